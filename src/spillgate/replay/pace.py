"""Time in a replay: all times of a workload and of its policy, divided by one factor.

What cannot be divided stays as it is, and so is out of proportion: the server's clocks for idle times (seconds) and for
the decay of access frequencies (minutes), its speed, and the times that the governor keeps within itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from spillgate.config import Policy
from spillgate.demo.pace import faster
from spillgate.errors import ConfigError
from spillgate.replay.workload import Workload
from spillgate.units import format_duration

LEAST_SECONDS = 1.0
USUAL_SECONDS = 20.0
# What client and server sustain on two cores, with room for a phase that is busier than the rest.
_REQUESTS_S = 25_000
# Expiry, the client's ticks and the server's own clock are a few milliseconds apart.
_COARSE_TTL_S = 0.020
_LEAST_TTL_S = 0.002
# The governor looks no more often than this, so that it leaves the processor to server and client.
_LEAST_INTERVAL_S = 0.005
# Server's clocks: LRU in seconds (LRU_CLOCK_RESOLUTION), the decay of LFU counters in minutes (lfu-decay-time).
LRU_RESOLUTION_S = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """A run of ``seconds`` of wall time, in which ``factor`` virtual seconds pass in each."""

    factor: float
    seconds: float

    @classmethod
    def of(cls, workload: Workload, seconds: float) -> "Pace":
        """The pace at which a workload takes ``seconds``; one that is shorter than that is not stretched."""
        if seconds < LEAST_SECONDS:
            message = f"a run takes {format_duration(LEAST_SECONDS)} at least, got {format_duration(seconds)}"
            raise ConfigError(message, source="command line", key="--seconds")
        factor = max(1.0, workload.duration_s / seconds)
        return cls(factor, workload.duration_s / factor)

    @classmethod
    def usual(cls, workload: Workload) -> float:
        """How long a run should take, in wall seconds: twenty, or longer where the client could not keep up."""
        return max(USUAL_SECONDS, workload.requests_expected / _REQUESTS_S)

    def policy(self, policy: Policy) -> Policy:
        """The policy with all its times divided. Alerts, and what sends them, are left out."""
        monitor, interval_s = policy.monitor, max(_LEAST_INTERVAL_S, policy.monitor.interval_s / self.factor)
        least_s = min(interval_s, max(_LEAST_INTERVAL_S, monitor.min_interval_s / self.factor))
        whole = Policy()
        return replace(
            policy,
            monitor=replace(monitor, interval_s=interval_s, min_interval_s=least_s, commands_per_day=0),
            levels=replace(policy.levels, hold_s=policy.levels.hold_s / self.factor),
            namespaces=tuple(faster(ns, self.factor) for ns in policy.namespaces),
            alerts=whole.alerts,
            webhooks=whole.webhooks,
        )

    def checked(self, workload: Workload, policy: Policy, ttls: Mapping[str, float]) -> Iterator[str]:
        """Check that the shortest TTL can be kept, and tell where it is coarse.

        Raises:
            ConfigError: it cannot be kept at all.
        """
        shortest = min(_ttls(workload, policy, ttls), default=None)
        if shortest is None:
            return
        ttl_s, name = shortest
        scaled_s = ttl_s / self.factor
        if scaled_s >= _COARSE_TTL_S:
            return
        enough = format_duration(workload.duration_s * _COARSE_TTL_S / ttl_s)
        told = f"{name}'s TTL of {format_duration(ttl_s)} becomes {format_duration(scaled_s)}"
        if scaled_s < _LEAST_TTL_S:
            raise ConfigError(f"{told}, too short to be kept: say --seconds {enough}", key="--seconds")
        yield f"{told}, which server and client keep to a few milliseconds: --seconds {enough} would be exact enough"


def _ttls(workload: Workload, policy: Policy, ttls: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    """Each TTL that keys may get, with its namespace."""
    registered = {ns.name: ns.ttl_s for ns in policy.namespaces}
    for space in workload.namespaces:
        if space.name in ttls:
            yield ttls[space.name], space.name
            continue
        for ttl_s in (space.shortest_ttl_s, registered.get(space.name)):
            if ttl_s is not None:
                yield ttl_s, space.name
