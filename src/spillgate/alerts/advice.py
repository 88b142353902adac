"""What the governor does by itself, what people can do, and whom the server's own evictions may hit. Pure."""

from dataclasses import dataclass

from spillgate.config import NamespacePolicy
from spillgate.governor.state import State
from spillgate.model import Census, Level
from spillgate.policy.pressure import threshold
from spillgate.units import format_share

_MOST_NAMES = 6


def before(state: State) -> str:
    """What the governor will do as memory fills."""
    levels, expendable = state.policy.levels, _in_order(state)
    loss_free = f"From {format_share(levels.preventive)} on it cleans up without loss"
    if not expendable:
        return f"{loss_free}; beyond that nothing may go, for no namespace has a cleanup."
    return f"{loss_free}, from {format_share(levels.emergency)} on by priority ({expendable})."


def at_level(level: Level, state: State) -> str:
    """What the governor does at a level."""
    if state.dry_run:
        return "Nothing: it runs with --dry-run and only says what it would do."
    if level <= Level.WARNING:
        return "It only gives cache keys that have no TTL theirs."
    if level is Level.PREVENTIVE:
        return "It drops what has expired, caps TTLs and trims what is over its budget: nothing that is still wanted."
    levels = state.policy.levels
    target = format_share(threshold(Level.PREVENTIVE, levels) - levels.release)
    expendable = _in_order(state)
    if not expendable:
        return "It drops what has expired. Nothing else: no namespace has a cleanup, so every key is protected."
    shed = (
        " The cache library sheds what may wait, and TTLs are cut to critical_ttl." if level is Level.CRITICAL else ""
    )
    return f"It deletes by priority ({expendable}) until {target} of the limit are in use.{shed}"


def by_hand(level: Level) -> str:
    """What people can do at a level."""
    if level <= Level.WARNING:
        return "Nothing has to be done now; spillgate census shows what grows."
    if level is Level.PREVENTIVE:
        return (
            "Look at spillgate census and spillgate doctor for what can be smaller; if this is usual, get more memory."
        )
    return (
        f"If it does not fall within minutes: spillgate cleanup --level {level.label} --dry-run, then without that. If "
        "it stays, give more namespaces a cleanup, stop what writes so much, or choose a larger plan."
    )


def _in_order(state: State) -> str:
    """The namespaces that may go, the first to go first."""
    listed = [ns for ns in state.policy.namespaces if not ns.protected]
    names = [ns.name for ns in sorted(listed, key=lambda ns: ns.priority or 0)]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


@dataclass(frozen=True, slots=True)
class Risk:
    """Why what is protected may be among the evicted; not ``sure`` where it is not known that there is such a key."""

    sure: bool
    why: str


def victims(state: State) -> Risk | None:
    """Whether the server's eviction policy may choose what is protected; None where it cannot."""
    policy = state.reading.eviction_policy if state.reading else None
    if policy is None:
        return Risk(sure=False, why="Under which policy it chooses is not known, so protected keys may be among them.")
    timed = policy.startswith("volatile")
    chooses = f"Under {policy} it chooses among {'keys with a TTL' if timed else 'all keys'}, protected or not"
    protected = [ns for ns in state.policy.namespaces if ns.protected]
    if state.census is None:
        return Risk(sure=False, why=f"{chooses}; what there is of those is not known yet.")
    hit = {ns.name: _may_be_hit(ns, state.census, timed=timed) for ns in protected}
    strangers = state.census.unregistered_keys.value > 0
    sure = [name for name, risk in hit.items() if risk]
    if strangers and not timed:
        sure.append("keys that match no namespace")
    if sure:
        return Risk(sure=True, why=f"{chooses}: {', '.join(sure)} may be hit.")
    unsure = [name for name, risk in hit.items() if risk is None]
    if strangers:
        unsure.append("keys that match no namespace")
    if unsure:
        return Risk(
            sure=False, why=f"{chooses}: whether {', '.join(unsure)} have one is not known, so they may be hit."
        )
    return None


def _may_be_hit(ns: NamespacePolicy, census: Census, *, timed: bool) -> bool | None:
    """Whether it has keys that can be chosen, None where that is not known."""
    usage = census.usage(ns.name)
    if usage is None:
        return None
    if timed and usage.keys.value:
        return None if usage.no_ttl is None else usage.keys.value > usage.no_ttl.value
    return usage.keys.value > 0
