"""What is the case that somebody may want to know: from what the governor and those beside it saw. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spillgate.alerts import advice
from spillgate.alerts.notice import Condition, Moment
from spillgate.alerts.trend import trend_of
from spillgate.config import AlertSettings, FindingSeverity
from spillgate.governor.history import Point
from spillgate.governor.journal import Entry, Event
from spillgate.governor.state import State
from spillgate.governor.words import heaviest
from spillgate.model import Level
from spillgate.policy.findings import Finding, Severity
from spillgate.units import format_bytes, format_duration

RECENT_S = 300.0
"""What the server did by itself is told of for so long."""
EXHAUSTED = "nothing is left that the policy lets go"
"""How the journal begins to say that nothing is left to clean up; it says it again every five minutes."""
_EXHAUSTED_S = 400.0
_ENDED_S = 10.0  # so long a process may take to end after its governor
_SILENT_S = 60.0
_STILL = 1.5  # a forecast that was told stands until it is so much further away
_HELD_SHARE = 0.1
FINDING = "finding:"
"""With this the keys of findings begin."""
TITLES = {
    "level": "Memory is near its limit",
    "governor": "The governor has ended",
    "unreadable": "The server cannot be read",
    "silent": "The governor does not look",
    "cleanup": "Cleanup fails",
    "forecast": "Memory is on its way to the limit",
    "exhausted": "Nothing is left to let go",
    "refused": "Writes are refused",
    "evicted": "The server evicts what may be protected",
    "history": "The history cannot be written",
}
_SEVERITIES = {Severity.CRITICAL: Level.EMERGENCY, Severity.HIGH: Level.PREVENTIVE}


@dataclass(frozen=True, slots=True)
class Seen:
    """All that conditions follow from.

    ``age_s`` is how long ago the server was last read, or since when nobody has. ``entries`` and ``points`` are those
    of the last quarter of an hour. ``findings`` are the doctor's. ``failure`` is what ended the governor, where that is
    known, ``standing`` are the keys of the alerts that stand.
    """

    state: State
    now: Moment
    age_s: float
    entries: Sequence[Entry] = ()
    points: Sequence[Point] = ()
    findings: Sequence[Finding] = ()
    history_error: str | None = None
    failure: str | None = None
    standing: frozenset[str] = frozenset()


def conditions(seen: Seen, settings: AlertSettings) -> tuple[Condition, ...]:
    """Everything that is the case, in no order."""
    checks: tuple[Callable[[Seen, AlertSettings], Iterator[Condition]], ...] = (
        _governor,
        _unreadable,
        _cleanup,
        _level,
        _forecast,
        _exhausted,
        _refused,
        _evicted,
        _findings,
        _history,
    )
    return tuple(condition for check in checks for condition in check(seen, settings))


def title_of(key: str) -> str:
    """What a condition is called, where only its key is known."""
    return TITLES.get(key, f"Finding {key.removeprefix(FINDING)}")


def situation(state: State) -> str:
    """How things stand, in a sentence."""
    if state.assessment is None or state.unreadable or state.ended:
        return "The server is not read now."
    return f"Now {state.assessment.reason}, level {state.level_label}."


# The governor


def _governor(seen: Seen, _: AlertSettings) -> Iterator[Condition]:
    if not seen.state.ended and seen.failure is None:
        return
    why = seen.failure or (seen.state.error if seen.state.unreadable else None)
    yield Condition(
        "governor",
        Level.CRITICAL,
        TITLES["governor"],
        f"Nobody looks after the memory of this server any more{_because(why)}.",
        "",
        "Start spillgate run again; its log tells more.",
        after_s=0.0 if seen.failure else _ENDED_S,
    )


def _because(error: str | None) -> str:
    return f": {error.rstrip('.')}" if error else ""


def _unreadable(seen: Seen, settings: AlertSettings) -> Iterator[Condition]:
    state = seen.state
    if state.ended or seen.failure is not None:
        return
    silent_s = (state.pause_s or 0.0) + max(settings.grace_s, _SILENT_S)
    if state.unreadable and seen.age_s >= settings.grace_s:
        yield Condition(
            "unreadable",
            Level.EMERGENCY,
            TITLES["unreadable"],
            f"Not for {format_duration(round(seen.age_s))}{_because(state.error)}. "
            f"The level stays at {state.level_label}.",
            "It tries again all the time, at the latest after some seconds.",
            "See whether the server runs and answers (redis-cli PING), and whether its address, user and password are "
            "still those of the policy.",
        )
    elif not state.unreadable and seen.age_s > silent_s:
        yield Condition(
            "silent",
            Level.EMERGENCY,
            TITLES["silent"],
            f"The last look was {format_duration(round(seen.age_s))} ago, and another was due.",
            "",
            "See whether the process is frozen or has no processor time; restart it if it stays so.",
        )


def _cleanup(seen: Seen, settings: AlertSettings) -> Iterator[Condition]:
    state = seen.state
    if state.error is None or state.unreadable or state.ended or seen.failure is not None:
        return
    grave = state.assessment is not None and state.assessment.level >= Level.EMERGENCY
    yield Condition(
        "cleanup",
        Level.EMERGENCY if grave else Level.PREVENTIVE,
        TITLES["cleanup"],
        f"The server is read, but does not let the governor clean up{_because(state.error)}.",
        "It tries again all the time, at the latest after some seconds.",
        "See what the governor's user may do (spillgate status tells what is missing), and whether the server is a "
        "replica.",
        after_s=settings.grace_s,
    )


# Memory


def _level(seen: Seen, settings: AlertSettings) -> Iterator[Condition]:
    known = seen.state.assessment
    if known is None or known.level < settings.min_level:
        return
    left = known.time_to_limit_s
    pace = ""
    if left is not None:
        pace = (
            f", {format_bytes(round(known.fill_bytes_s))}/s coming in, {format_duration(round(left, 1))} to the limit"
        )
    yield Condition(
        "level",
        known.level,
        f"Memory is at {known.level.label}",
        f"{known.reason}{pace}.{_holders(seen.state)}",
        advice.at_level(known.level, seen.state),
        advice.by_hand(known.level),
    )


def _holders(state: State) -> str:
    """Who holds the memory."""
    said = f" The {heaviest(state.census)}." if state.census else ""
    if state.reading is None or state.assessment is None:
        return said
    limit = state.assessment.limits.limit_bytes
    held = {cause: size for cause, size in state.reading.held_bytes.items() if size > _HELD_SHARE * limit}
    named = ", ".join(f"{cause} {format_bytes(size)}" for cause, size in held.items())
    return f"{said} Deleting data does not free: {named}." if named else said


def _forecast(seen: Seen, settings: AlertSettings) -> Iterator[Condition]:
    known = seen.state.assessment
    if not settings.forecast_s or known is None or seen.state.unreadable or known.level >= Level.EMERGENCY:
        return
    trend = trend_of(seen.points, seen.now.unix_s)
    limit = known.limits.limit_bytes
    within_s = settings.forecast_s * (_STILL if "forecast" in seen.standing else 1.0)
    if trend is None or (left_s := trend.reaches_in_s(limit)) > within_s:
        return
    per_minute = format_bytes(round(trend.bytes_s * 60))
    yield Condition(
        "forecast",
        Level.PREVENTIVE,
        TITLES["forecast"],
        f"{known.reason}. It grew by {per_minute} a minute over the last quarter of an hour: at this pace it is at the "
        f"limit of {format_bytes(limit)} in {format_duration(round(left_s))}.{_holders(seen.state)}",
        advice.before(seen.state),
        "Find out what grows: spillgate census, or the dashboard's namespaces. If it is wanted, plan for more memory.",
    )


def _exhausted(seen: Seen, _: AlertSettings) -> Iterator[Condition]:
    known = seen.state.assessment
    if known is None or known.level < Level.EMERGENCY:
        return
    said = [
        entry
        for entry in seen.entries
        if entry.event is Event.ALARM
        and entry.message.startswith(EXHAUSTED)
        and seen.now.unix_s - entry.at_unix_s <= _EXHAUSTED_S
    ]
    if said:
        message = said[-1].message
        yield Condition(
            "exhausted",
            known.level,
            TITLES["exhausted"],
            f"{message[:1].upper()}{message[1:]}.",
            "It goes on looking for what expires and what is written anew.",
            "Give more namespaces a cleanup, see spillgate doctor for what else takes memory, or choose a larger plan.",
        )


# What the server does by itself


def _count(seen: Seen, name: str) -> int:
    since = seen.now.unix_s - RECENT_S
    return sum(getattr(point, name) or 0 for point in seen.points if point.at_s >= since)


def _refused(seen: Seen, _: AlertSettings) -> Iterator[Condition]:
    refused = _count(seen, "refused_writes")
    if not refused:
        return
    policy = seen.state.reading.eviction_policy if seen.state.reading else None
    yield Condition(
        "refused",
        Level.CRITICAL,
        TITLES["refused"],
        f"The server refused {refused:,} writes for want of memory within {format_duration(RECENT_S)}"
        f"{f' ({policy})' if policy else ''}. {situation(seen.state)}",
        advice.at_level(Level.CRITICAL, seen.state),
        advice.by_hand(Level.CRITICAL),
    )


def _evicted(seen: Seen, _: AlertSettings) -> Iterator[Condition]:
    """A pure cache that is full evicts, which is as it should be; what is protected must not be among the victims."""
    evicted = _count(seen, "evicted_keys")
    risk = advice.victims(seen.state) if evicted else None
    if risk is None:
        return
    yield Condition(
        "evicted",
        Level.CRITICAL if risk.sure else Level.EMERGENCY,
        TITLES["evicted"],
        f"The server itself evicted {evicted:,} keys within {format_duration(RECENT_S)}. {risk.why}",
        advice.at_level(Level.EMERGENCY, seen.state),
        "Make room first: spillgate cleanup, or a larger plan. Then CONFIG SET maxmemory-policy noeviction: from then "
        "on a full server refuses writes instead of dropping what must stay.",
    )


# What stands beside it


def _findings(seen: Seen, settings: AlertSettings) -> Iterator[Condition]:
    if settings.findings is FindingSeverity.NEVER:
        return
    least = Severity[settings.findings.name]
    for finding in seen.findings:
        if finding.severity >= least:
            database = "" if finding.database is None else f" (database {finding.database})"
            where = f": {finding.place}{database}" if finding.place else database
            yield Condition(
                f"{FINDING}{finding.check}{where}",
                _SEVERITIES.get(finding.severity, Level.WARNING),
                f"{finding.title}{where}",
                f"{finding.text} ({finding.severity.label})",
                "",
                finding.fix,
            )


def _history(seen: Seen, _: AlertSettings) -> Iterator[Condition]:
    if seen.history_error is not None:
        yield Condition(
            "history",
            Level.WARNING,
            TITLES["history"],
            f"{seen.history_error.rstrip('.')}.",
            "It keeps what is new in memory and tries again; governing goes on.",
            "See whether the disk is full, and whether the file named by --history may be written.",
        )
