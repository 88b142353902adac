"""The demo's policy: the reference policy, with time running faster where its users would otherwise wait.

``ceo-platform.toml`` beside this module is ``examples/ceo-platform.toml``: a link in the sources, a file in the wheel.
"""

from dataclasses import replace
from importlib import resources

from spillgate.config import Cleanup, NamespacePolicy, Policy, parse_policy
from spillgate.errors import ConfigError
from spillgate.units import format_duration

DEFAULT_SECONDS = 60.0
LEAST_SECONDS = 5.0
# The run stands for this much time in the life of cached data.
_TOLD_S = 3600.0
# Three levels have to fall within the calm phase, which is not a third of the run.
_HOLDS_A_RUN = 20
_LOOKS_A_RUN = 240


def demo_policy(url: str, seconds: float) -> Policy:
    """The reference policy for a run of ``seconds`` on the server at ``url``.

    TTLs of what may be cleaned up run as fast as the run tells an hour; those of sessions and of all that is protected
    stay as they are, so that each such key has to be there in the end. Levels fall, and looks come, sooner to match.
    Neither environment nor flags change a demo.

    Raises:
        ConfigError: ``seconds`` is too short for four phases.
    """
    if seconds < LEAST_SECONDS:
        raise ConfigError(f"a demo takes at least {format_duration(LEAST_SECONDS)}, got {format_duration(seconds)}")
    text = (resources.files("spillgate.demo") / "ceo-platform.toml").read_text(encoding="utf-8")
    policy = parse_policy(text, "ceo-platform.toml", flags={"url": url})
    interval_s = max(policy.monitor.min_interval_s, seconds / _LOOKS_A_RUN)
    return replace(
        policy,
        monitor=replace(policy.monitor, interval_s=min(policy.monitor.interval_s, interval_s)),
        levels=replace(policy.levels, hold_s=min(policy.levels.hold_s, seconds / _HOLDS_A_RUN)),
        namespaces=tuple(ns if must_live(ns) else _faster(ns, speed(seconds)) for ns in policy.namespaces),
    )


def speed(seconds: float) -> float:
    """How many times faster than in life the TTLs of cached data run."""
    return max(1.0, _TOLD_S / seconds)


def must_live(ns: NamespacePolicy) -> bool:
    """Whether a key of ``ns`` may only end by its own TTL."""
    return ns.protected or ns.cleanup is Cleanup.EXPIRED


def _faster(ns: NamespacePolicy, factor: float) -> NamespacePolicy:
    ttls = {
        "ttl_s": ns.ttl_s,
        "min_ttl_s": ns.min_ttl_s,
        "max_ttl_s": ns.max_ttl_s,
        "emergency_ttl_s": ns.emergency_ttl_s,
        "critical_ttl_s": ns.critical_ttl_s,
    }
    return replace(ns, **{name: ttl and ttl / factor for name, ttl in ttls.items()})
