"""The demo's policy: the reference policy, with time running faster where its watchers would otherwise have to wait.

``ceo-platform.toml`` beside this module is ``examples/ceo-platform.toml``: a link in the sources, a file in the wheel.
"""

from dataclasses import replace
from importlib import resources

from spillgate.config import Cleanup, NamespacePolicy, Policy, parse_policy
from spillgate.units import format_duration

_POLICY_FILE = "ceo-platform.toml"
# A run stands for this much time in the life of cached data.
_TOLD_S = 3600.0
# Three levels have to fall within the calm phase, which is a third of the run.
_HOLDS_A_RUN = 20
_LOOKS_A_RUN = 240


def reference_policy() -> Policy:
    """The reference policy as it is written. Neither environment nor flags change a demo."""
    text = (resources.files("spillgate.demo") / _POLICY_FILE).read_text(encoding="utf-8")
    return parse_policy(text, _POLICY_FILE)


def demo_policy(seconds: float) -> Policy:
    """The reference policy for a run of ``seconds``.

    TTLs of what may be cleaned up are shortened as an hour is to the run. Those of sessions and of all that is
    protected stay, so that each such key has to be there in the end. Levels fall, and looks come, sooner to match.
    """
    policy = reference_policy()
    interval_s = max(policy.monitor.min_interval_s, seconds / _LOOKS_A_RUN)
    return replace(
        policy,
        monitor=replace(policy.monitor, interval_s=min(policy.monitor.interval_s, interval_s)),
        levels=replace(policy.levels, hold_s=min(policy.levels.hold_s, seconds / _HOLDS_A_RUN)),
        namespaces=tuple(ns if must_live(ns) else faster(ns, _speed(seconds)) for ns in policy.namespaces),
    )


def pace_in_words(seconds: float) -> str:
    """How the demo's policy differs from the one it is made of."""
    before, after = reference_policy(), demo_policy(seconds)
    hold, shorter_hold = (format_duration(policy.levels.hold_s) for policy in (before, after))
    interval, shorter_interval = (format_duration(policy.monitor.interval_s) for policy in (before, after))
    return (
        f"The policy is examples/{_POLICY_FILE}, told faster: TTLs of cached data are {_speed(seconds):.4g} times "
        f"shorter, levels fall after {shorter_hold} (not {hold}), a server at rest is looked at every "
        f"{shorter_interval} (not {interval}). TTLs of sessions and protected keys are as written."
    )


def must_live(ns: NamespacePolicy) -> bool:
    """Whether a key of ``ns`` may only end by its own TTL."""
    return ns.protected or ns.cleanup is Cleanup.EXPIRED


def faster(ns: NamespacePolicy, factor: float) -> NamespacePolicy:
    """A namespace whose TTLs are all so many times shorter."""
    ttls = {
        "ttl_s": ns.ttl_s,
        "min_ttl_s": ns.min_ttl_s,
        "max_ttl_s": ns.max_ttl_s,
        "emergency_ttl_s": ns.emergency_ttl_s,
        "critical_ttl_s": ns.critical_ttl_s,
    }
    return replace(ns, **{name: ttl and ttl / factor for name, ttl in ttls.items()})


def _speed(seconds: float) -> float:
    return max(1.0, _TOLD_S / seconds)
