"""One run: a server of its own, perhaps a governor, and the client that plays the workload on it."""

import gc
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain

from spillgate.config import NamespacePolicy, Policy
from spillgate.demo.pace import must_live
from spillgate.errors import LimitUnknown
from spillgate.replay.client import Line
from spillgate.replay.contenders import Contender
from spillgate.replay.governing import Governed, GovernorProcess
from spillgate.replay.memory import Average, Look, data_of, facts
from spillgate.replay.names import namers
from spillgate.replay.pace import Pace
from spillgate.replay.player import Player, Target
from spillgate.replay.result import NamespaceResult, Result
from spillgate.replay.tally import quantile
from spillgate.replay.workload import Request, Workload
from spillgate.server.embedded import embedded_valkey

# What a batch may hold: enough for the rate, and not so much that replies under way would fill a small server.
_MOST_REQUESTS = 256
_MOST_BYTES = 256 * 1024
_LOOK_S = 0.02
_TELL_S = 0.2
_NAP_S = 0.001
# A lag that matters less than what server and client are apart anyway.
_LAG_S = 0.020
_LAG_OF_TTL = 0.05
# So that expiry keeps up with TTLs that are as many times shorter: the most that the server allows.
_EXPIRY = (("hz", "500"), ("active-expire-effort", "10"))
# The server keeps a histogram of latencies for each command from its first use on, which is no memory of the workload.
_FIRST_USES = (
    ("SET", "first-use", "x", "PX", "60000"),
    ("GET", "first-use"),
    ("EXISTS", "first-use"),
    ("UNLINK", "first-use"),
    ("INFO", "memory"),
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a run is like.

    It takes ``seconds`` of wall time. ``limited`` False leaves the server without a limit. ``ttls``, in seconds by
    namespace, win over those of the policy and of the requests. Requests and memory count from ``from_s``, in virtual
    seconds; what went before only fills the cache.
    """

    seconds: float = 20.0
    limited: bool = True
    ttls: Mapping[str, float] = field(default_factory=dict[str, float])
    from_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, as a share of it."""

    contender: Contender
    share: float


def run(
    workload: Workload,
    policy: Policy,
    contender: Contender,
    conditions: Conditions = Conditions(),
    on_progress: Callable[[Progress], None] = lambda _: None,
    *,
    label: str | None = None,
) -> Result:
    """Play ``workload`` under ``policy``'s limit and TTLs on an embedded server.

    Touches no other server, whatever the policy's URL. ``label`` is what the contender is called in the result.

    Raises:
        ConfigError: the run is too short for a TTL, or a key cannot be named by the policy.
        LimitUnknown: there is to be a limit, and the policy declares none.
        MissingExtra: ``spillgate[embedded]`` is not installed.
        ServerError: the embedded server failed.
    """
    limit = policy.server.limit_bytes if conditions.limited else 0
    if limit is None:
        raise LimitUnknown("a replay needs a limit: pass --limit 25MB, or set limit in the [server] table")
    pace = Pace.of(workload, conditions.seconds)
    notes = tuple(pace.checked(workload, policy, conditions.ttls))
    policy = _retimed(policy, conditions.ttls)
    with embedded_valkey(limit, contender.eviction_policy) as url, Line(url) as line:
        for name, value in _EXPIRY:
            line.call("CONFIG", "SET", name, value)
        for command in _FIRST_USES:
            line.call(*command)
        with _governor(contender, pace.policy(policy), url) as governor, _quiet():
            playing = _Run(workload, policy, pace, line, conditions)
            playing.play(lambda share: on_progress(Progress(contender, share)))
            governed = governor.finish() if governor else None
        return playing.result(contender, label or contender.name, limit or None, governed, notes)


def _governor(contender: Contender, policy: Policy, url: str) -> AbstractContextManager[GovernorProcess | None]:
    if not contender.governed:
        return nullcontext()
    return GovernorProcess(replace(policy, server=replace(policy.server, url=url)))


def _retimed(policy: Policy, ttls: Mapping[str, float]) -> Policy:
    """The policy with other TTLs."""
    namespaces = (_with_ttl(ns, ttls[ns.name]) if ns.name in ttls else ns for ns in policy.namespaces)
    return replace(policy, namespaces=tuple(namespaces))


def _with_ttl(ns: NamespacePolicy, ttl_s: float) -> NamespacePolicy:
    def at_most(value: float | None) -> float:
        return ttl_s if value is None else min(value, ttl_s)

    return replace(
        ns,
        ttl_s=ttl_s,
        min_ttl_s=at_most(ns.min_ttl_s),
        max_ttl_s=max(ttl_s, ns.max_ttl_s or ttl_s),
        emergency_ttl_s=at_most(ns.emergency_ttl_s),
        critical_ttl_s=at_most(ns.critical_ttl_s),
    )


@contextmanager
def _quiet() -> Generator[None]:
    """No rounds of the garbage collector: nothing here makes cycles, and each round would be a lag."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Run:
    """The client's side of a run."""

    def __init__(self, workload: Workload, policy: Policy, pace: Pace, line: Line, conditions: Conditions) -> None:
        self._workload = workload
        self._policy = policy
        self._pace = pace
        self._line = line
        self._from_s = conditions.from_s
        self._targets = _targets(workload, policy, pace, conditions.ttls)
        self._player = Player(line, self._targets, pace.factor)
        self._memory = Average()
        self._requests = 0
        self._looked_s = self._told_s = -math.inf
        self._begin_s = 0.0

    def play(self, tell: Callable[[float], None]) -> None:
        """Play it all, and stay until its time is over."""
        self._base = Look.at(self._line)
        self._begin_s = time.monotonic()
        looks = ((at_s, self._player.check) for at_s in self._workload.checks_s())
        events = sorted(chain(looks, self._restarts()), key=lambda event: event[0])
        events.reverse()
        requests = self._workload.requests()
        request = next(requests, None)
        while request is not None:
            now_s = self._now_s()
            while events and events[-1][0] <= now_s:
                events.pop()[1]()
            request = self._step(request, requests, now_s)
            self._look_around(tell)
        while (left_s := self._workload.duration_s - self._now_s()) > 0:
            time.sleep(min(_LOOK_S, left_s / self._pace.factor))
            self._look_around(tell)
        for _, event in reversed(events):
            event()
        self._look_around(tell, last=True)
        self._facts = facts(self._line)

    def _restarts(self) -> Iterator[tuple[float, Callable[[], None]]]:
        if self._from_s > 0:
            yield self._from_s, self._restart

    def _restart(self) -> None:
        self._look()
        self._memory.restart()
        self._player.restart_counts()
        self._requests = 0

    def _step(self, request: Request | None, requests: Iterator[Request], now_s: float) -> Request | None:
        """Play what is due, as far as a batch may go, else nap; return the first request that is left."""
        assert request is not None  # noqa: S101 - the caller ends with the last one
        if request.at_s > now_s:
            time.sleep(min(_NAP_S, (request.at_s - now_s) / self._pace.factor))
            return request
        self._player.times.lags_s.append((now_s - request.at_s) / self._pace.factor)
        batch: list[Request] = []
        weight = 0
        while request is not None and request.at_s <= now_s and len(batch) < _MOST_REQUESTS and weight < _MOST_BYTES:
            batch.append(request)
            weight += request.size
            request = next(requests, None)
        self._player.play(batch)
        self._requests += len(batch)
        return request

    def _now_s(self) -> float:
        """Virtual time."""
        return (time.monotonic() - self._begin_s) * self._pace.factor

    def _look_around(self, tell: Callable[[float], None], *, last: bool = False) -> None:
        now_s = time.monotonic()
        if last or now_s - self._looked_s >= _LOOK_S:
            self._look()
        if last or now_s - self._told_s >= _TELL_S:
            self._told_s = now_s
            tell(min(1.0, self._now_s() / self._workload.duration_s) if self._workload.duration_s else 1.0)

    def _look(self) -> None:
        self._looked_s = time.monotonic()
        self._memory.add(self._looked_s, Look.at(self._line))

    def result(
        self, contender: Contender, label: str, limit: int | None, governed: Governed | None, notes: tuple[str, ...]
    ) -> Result:
        """What came of it."""
        times, baseline = self._player.times, data_of(self._base)
        lag_p99_s = quantile(times.lags_s, 0.99)
        return Result(
            workload=self._workload.name,
            contender=contender,
            label=label,
            limit_bytes=limit,
            seconds=self._pace.seconds,
            factor=self._pace.factor,
            requests=self._requests,
            namespaces=tuple(self._namespaces()),
            evicted=self._facts["evicted_keys"],
            expired=self._facts["expired_keys"],
            peak_bytes=self._facts["used_memory_peak"],
            mean_bytes=self._memory.data_bytes,
            baseline_bytes=baseline,
            mean_data_bytes=self._memory.data_bytes - baseline,
            round_trips=len(times.round_trips_s),
            round_trip_p50_s=quantile(times.round_trips_s, 0.5),
            round_trip_p99_s=quantile(times.round_trips_s, 0.99),
            lag_p99_s=lag_p99_s,
            lag_max_s=max(times.lags_s, default=0.0),
            kept_pace=lag_p99_s <= max(_LAG_S, _LAG_OF_TTL * self._shortest_s()),
            governor=governed,
            notes=notes,
        )

    def _shortest_s(self) -> float:
        ttls = [target.ttl_ms / 1000 for target in self._targets.values() if target.ttl_ms]
        ttls += [one.shortest_ttl_s / self._pace.factor for one in self._workload.namespaces if one.shortest_ttl_s]
        return min(ttls, default=0.0)

    def _namespaces(self) -> Iterator[NamespaceResult]:
        weights = {ns.name: ns.weight for ns in self._policy.namespaces} | dict(self._workload.weights)
        for name, tally in self._player.tallies.items():
            yield NamespaceResult(
                name=name,
                weight=weights.get(name, 1.0),
                reads=tally.reads,
                hits=tally.hits,
                writes=tally.writes,
                fills=tally.fills,
                deletes=tally.deletes,
                refused=tally.refused,
                unfilled=tally.unfilled,
                lost=self._player.ledger.lost[name] if self._targets[name].kept else None,
            )


def _targets(workload: Workload, policy: Policy, pace: Pace, ttls: Mapping[str, float]) -> dict[str, Target]:
    """How the keys of each namespace are named, how long they live, and whether they must not be lost."""
    names = tuple(space.name for space in workload.namespaces)
    registered = {ns.name: ns for ns in policy.namespaces}
    found: dict[str, Target] = {}
    for name, namer in namers(policy, names).items():
        ns = registered.get(name)
        ttl_s = ttls.get(name, ns.ttl_s if ns else None)
        ttl_ms = None if ttl_s is None else max(1, round(ttl_s * 1000 / pace.factor))
        found[name] = Target(namer, ttl_ms, ns is None or must_live(ns), name in ttls)
    return found
