"""What of all that is the case is news. Pure: a step takes what was remembered and gives what to remember, and notices.

It compares what is the case with what people were told, and says the difference as far as they may be disturbed now.
What has to wait is not queued: when it may be said, the difference is whatever it is by then, and what came and went
meanwhile is summed up in a digest. So nothing is told twice, and nothing is told that was never so.

- What gets worse is told at once, what gets better is not: a reminder says how it stands.
- Over is what has been gone for ``hold``. What comes and goes has to be gone for twice as long each time it came within
  the last hour, up to sixteen times.
- Of the notices of any hour a quarter is kept for the grave ones and for digests.
- In quiet hours only what is at least ``quiet_level`` is told, and that such a thing is over.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from types import MappingProxyType
from typing import NamedTuple

from spillgate.alerts.notice import Alert, Condition, Kind, Moment, Notice
from spillgate.config import AlertSettings, QuietHours
from spillgate.config.alerting import zone_of
from spillgate.model import Level
from spillgate.units import format_duration

HOUR_S, DAY_S = 3600.0, 86_400.0
GRAVE = Level.EMERGENCY
DIGEST_KEY = "digest"
_MOST_DOUBLINGS = 4
_RESERVED = 4  # one in so many
_AT_ONCE = 5  # more news than this in one step are one message


@dataclass(frozen=True, slots=True)
class Rules:
    """When people may be disturbed; ``rate`` is the most notices an hour, ``reminder_s`` 0 for none."""

    hold_s: float
    reminder_s: float
    rate: int
    quiet_hours: QuietHours | None
    quiet_level: Level
    zone: tzinfo

    @classmethod
    def of(cls, settings: AlertSettings) -> "Rules":
        """Those of a policy."""
        return cls(
            settings.hold_s,
            settings.reminder_s,
            settings.rate,
            settings.quiet_hours,
            settings.quiet_level,
            zone_of(settings.timezone),
        )

    def quiet(self, unix_s: float) -> bool:
        """Whether people are not to be disturbed by what is not grave."""
        if self.quiet_hours is None:
            return False
        local = datetime.fromtimestamp(unix_s, self.zone)
        return self.quiet_hours.include(local.hour * 60 + local.minute)

    def reminder_after_s(self, reminders: int) -> float:
        """How long after the last word, and so many reminders before: twice as long each, a day at the most."""
        return min(self.reminder_s * 2.0 ** min(reminders, 30), max(self.reminder_s, DAY_S))


@dataclass(frozen=True, slots=True)
class Tracked:
    """A condition on its way. ``told`` is the severity that people know of, None where they know of nothing.

    ``active`` is one that has lasted long enough; ``gone_s`` and ``lower_s`` are since when it has been absent, or less
    than what was told. ``kept`` is one that was told before a restart and has not been seen since.
    """

    condition: Condition
    since: Moment
    peak: Level
    active: bool = False
    kept: bool = False
    told: Level | None = None
    told_peak: Level = Level.NORMAL
    told_s: float = 0.0
    reminders: int = 0
    gone_s: float | None = None
    lower_s: float | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """What came and went before it could be told, ``times`` over."""

    condition: Condition
    since: Moment
    until: Moment
    peak: Level
    times: int = 1


@dataclass(frozen=True, slots=True)
class Memory:
    """What a step has to know of those before it."""

    tracked: Mapping[str, Tracked] = field(default_factory=lambda: MappingProxyType(dict[str, Tracked]()))
    missed: Mapping[str, Missed] = field(default_factory=lambda: MappingProxyType(dict[str, Missed]()))
    sent_s: tuple[float, ...] = ()
    digest_s: float | None = None
    came: tuple[tuple[str, float], ...] = ()

    @property
    def active(self) -> tuple[Alert, ...]:
        """What stands, the worst first."""
        listed = sorted(self.tracked.values(), key=lambda one: (-one.condition.severity, one.since.monotonic_s))
        return tuple(
            Alert(c.key, c.severity, c.title, c.message, one.since.unix_s)
            for one in listed
            if one.active and not one.kept
            for c in (one.condition,)
        )


@dataclass(frozen=True, slots=True)
class News:
    """What is the case. ``situation`` says in a sentence how things stand, for what is over.

    Of keys that begin with one of ``unknown`` nothing can be said now: what was the case is neither so still, nor over.
    """

    conditions: tuple[Condition, ...]
    situation: str = ""
    unknown: tuple[str, ...] = ()


class _Want(NamedTuple):
    """Something to say about a condition; ``weight`` is what decides whether people may be disturbed by it."""

    kind: Kind
    tracked: Tracked
    weight: Level


def step(memory: Memory, news: News, now: Moment, rules: Rules) -> tuple[Memory, tuple[Notice, ...]]:
    """Take in what is the case ``now``."""
    memory = _observe(_forget(memory, now), news, now, rules)
    situation = news.situation
    quiet = rules.quiet(now.unix_s)
    wants = [want for want in sorted(_wants(memory, now, rules), key=_turn) if _heard(want.weight, rules, quiet=quiet)]
    missed = [one for one in memory.missed.values() if _heard(one.peak, rules, quiet=quiet)]
    said, rest = _divide(wants, rules.rate - len(memory.sent_s), rules.rate)
    notices = [_notice(want, now, situation) for want in said]
    if _digest_now(memory, len(said), rest, missed, now, rules):
        items = [*(_notice(want, now, situation) for want in rest), *map(_in_digest, missed)]
        notices.append(items[0] if len(items) == 1 and rest else _summed_up(items, now))
        memory = replace(
            memory,
            digest_s=now.monotonic_s,
            missed=_without(memory.missed, (one.condition.key for one in missed)),
        )
        said = [*said, *rest]
    memory = replace(memory, sent_s=(*memory.sent_s, *(now.monotonic_s for _ in notices)))
    return _told(memory, said, now), tuple(notices)


def again(memory: Memory, keys: Mapping[str, bool], now: Moment, rules: Rules, *, quiet: bool) -> Notice | None:
    """What still stands of what was told, but did not arrive; None where nothing does that may be told now.

    Of each key it says whether an earlier word of it did arrive.
    """
    wants = [
        _Want(Kind.REMINDER if knew else Kind.FIRING, replace(one, told=None), one.condition.severity)
        for key, knew in keys.items()
        if (one := memory.tracked.get(key)) is not None and one.gone_s is None and one.told is not None
    ]
    items = [_notice(want, now, "") for want in sorted(wants, key=_turn) if _heard(want.weight, rules, quiet=quiet)]
    return _summed_up(items, now) if len(items) > 1 else items[0] if items else None


def _forget(memory: Memory, now: Moment) -> Memory:
    """Leave out what is more than an hour old."""
    since = now.monotonic_s - HOUR_S
    sent = tuple(at for at in memory.sent_s if at > since)
    return replace(memory, sent_s=sent, came=tuple(one for one in memory.came if one[1] > since))


# What is the case


def _observe(memory: Memory, news: News, now: Moment, rules: Rules) -> Memory:
    present = {one.key: one for one in news.conditions}
    tracked, missed, came = dict(memory.tracked), dict(memory.missed), list(memory.came)
    for key, condition in present.items():
        known = tracked.get(key) or Tracked(condition, now, condition.severity)
        seen = _seen(known, condition, now, _hold_s(memory, key, rules))
        if seen.active and not known.active:
            came.append((key, now.monotonic_s))
        tracked[key] = seen
    for key in tracked.keys() - present.keys():
        one = tracked[key]
        if key.startswith(news.unknown):
            tracked[key] = replace(one, gone_s=now.monotonic_s)
            continue
        since = one.gone_s if one.gone_s is not None else now.monotonic_s
        over = now.monotonic_s - since >= _hold_s(memory, key, rules)
        if not one.active or (over and one.told is None):
            del tracked[key]
            if one.active:
                missed[key] = _missed(missed.get(key), one, now)
        else:
            tracked[key] = replace(one, gone_s=since)
    return replace(memory, tracked=MappingProxyType(tracked), missed=MappingProxyType(missed), came=tuple(came))


def _seen(known: Tracked, condition: Condition, now: Moment, hold_s: float) -> Tracked:
    """A condition that is still, or again, the case."""
    active = known.active or now.monotonic_s - known.since.monotonic_s >= condition.after_s
    told, lower_s = known.told, None
    if known.kept:
        told = condition.severity if condition.severity < GRAVE else None
        known = replace(known, kept=False, peak=condition.severity, told_peak=told or Level.NORMAL)
    if told is not None and condition.severity < told:
        lower_s = known.lower_s if known.lower_s is not None else now.monotonic_s
        if now.monotonic_s - lower_s >= hold_s:
            told, lower_s = condition.severity, None
    peak = max(known.peak, condition.severity)
    return replace(known, condition=condition, active=active, peak=peak, told=told, gone_s=None, lower_s=lower_s)


def _hold_s(memory: Memory, key: str, rules: Rules) -> float:
    times = sum(one == key for one, _ in memory.came)
    return rules.hold_s * 2.0 ** min(max(0, times - 1), _MOST_DOUBLINGS)


def _missed(before: Missed | None, one: Tracked, now: Moment) -> Missed:
    if before is None:
        return Missed(one.condition, one.since, now, one.peak)
    return Missed(one.condition, before.since, now, max(before.peak, one.peak), before.times + 1)


# What to say


def _wants(memory: Memory, now: Moment, rules: Rules) -> Iterator[_Want]:
    """What differs from what people know."""
    for key, one in memory.tracked.items():
        severity = one.condition.severity
        if one.gone_s is not None:
            if one.told is not None and now.monotonic_s - one.gone_s >= _hold_s(memory, key, rules):
                yield _Want(Kind.RECOVERED, one, one.told_peak)
        elif not one.active:
            continue
        elif one.told is None or severity > one.told:
            yield _Want(Kind.FIRING, one, severity)
        elif rules.reminder_s and now.monotonic_s - one.told_s >= rules.reminder_after_s(one.reminders):
            yield _Want(Kind.REMINDER, one, severity)


def _turn(want: _Want) -> tuple[int, bool, float]:
    """The gravest first, of these what is news, then what has been so for longest."""
    return -want.weight, want.kind is Kind.REMINDER, want.tracked.since.monotonic_s


def _heard(weight: Level, rules: Rules, *, quiet: bool) -> bool:
    return not quiet or weight >= rules.quiet_level


def _divide(wants: list[_Want], left: int, rate: int) -> tuple[list[_Want], list[_Want]]:
    """What to say one by one with ``left`` notices, and what to sum up."""
    grave = [want for want in wants if want.weight >= GRAVE]
    ordinary = [want for want in wants if want.weight < GRAVE]
    alone = max(0, left if len(grave) <= left else left - 1)  # the last is the digest's
    said, rest = grave[:alone], grave[alone:]
    free = max(0, left - len(said) - rate // _RESERVED)
    if len(ordinary) > _AT_ONCE or rest:
        free = 0
    return [*said, *ordinary[:free]], [*rest, *ordinary[free:]]


def _digest_now(
    memory: Memory, saying: int, rest: list[_Want], missed: list[Missed], now: Moment, rules: Rules
) -> bool:
    """Whether to sum up what is left: at once with something grave or while notices are plenty, else now and then."""
    left = rules.rate - len(memory.sent_s) - saying
    if left <= 0 or not (rest or missed):
        return False
    reserved = rules.rate // _RESERVED
    if left > reserved or any(want.weight >= GRAVE for want in rest):
        return True
    return memory.digest_s is None or now.monotonic_s - memory.digest_s >= HOUR_S / max(1, reserved)


def _notice(want: _Want, now: Moment, situation: str) -> Notice:
    one, c = want.tracked, want.tracked.condition
    lasted = format_duration(round(max(0.0, now.monotonic_s - one.since.monotonic_s)))
    notice = Notice(
        kind=want.kind,
        key=c.key,
        severity=c.severity,
        peak=max(one.peak, c.severity),
        title=c.title,
        message=c.message,
        at_unix_s=now.unix_s,
        governor=c.governor,
        by_hand=c.by_hand,
        since_unix_s=one.since.unix_s,
        was=one.told if want.kind is Kind.FIRING else None,
    )
    if want.kind is Kind.RECOVERED:
        how = f"Over after {lasted}; at worst it was {one.peak.label}."
        if one.kept:
            how = "Over; the governor was restarted since it was told."
        message = f"{how} {situation}".rstrip()
        return replace(notice, message=message, governor="", by_hand="")
    worst = f" At worst it was {one.peak.label}." if one.peak > c.severity else ""
    still = f"Still so after {lasted}. " if want.kind is Kind.REMINDER else ""
    return replace(notice, message=f"{still}{c.message}{worst}")


def _in_digest(one: Missed) -> Notice:
    c = one.condition
    lasted = format_duration(round(max(0.0, one.until.monotonic_s - one.since.monotonic_s)))
    came = "It came and went" if one.times == 1 else f"It came and went {one.times} times"
    return Notice(
        kind=Kind.RECOVERED,
        key=c.key,
        severity=c.severity,
        peak=one.peak,
        title=c.title,
        message=f"{came} within {lasted}; at worst it was {one.peak.label}.",
        at_unix_s=one.until.unix_s,
        since_unix_s=one.since.unix_s,
    )


def _summed_up(items: list[Notice], now: Moment) -> Notice:
    """One notice for several."""
    standing = [item for item in items if item.kind is not Kind.RECOVERED]
    over = len(items) - len(standing)
    parts = [f"{len(standing)} stand" if standing else "", f"{over} over" if over else ""]
    return Notice(
        kind=Kind.DIGEST,
        key=DIGEST_KEY,
        severity=max((item.severity for item in standing), default=Level.NORMAL),
        peak=max(item.peak for item in items),
        title=f"{len(items)} alerts: {' and '.join(filter(None, parts))}",
        message="\n".join(f"- {item.kind.value}: {item.title}. {item.message}" for item in items),
        at_unix_s=now.unix_s,
        items=tuple(items),
    )


def _told(memory: Memory, said: list[_Want], now: Moment) -> Memory:
    """Remember that people know."""
    tracked = dict(memory.tracked)
    for want in said:
        one = want.tracked
        severity = one.condition.severity
        if want.kind is Kind.RECOVERED:
            del tracked[one.condition.key]
            continue
        tracked[one.condition.key] = replace(
            one,
            told=severity,
            told_peak=max(one.told_peak, severity),
            told_s=now.monotonic_s,
            reminders=one.reminders + 1 if want.kind is Kind.REMINDER else 0,
            lower_s=None,
        )
    return replace(memory, tracked=MappingProxyType(tracked))


def _without(missed: Mapping[str, Missed], keys: Iterable[str]) -> Mapping[str, Missed]:
    gone = set(keys)
    return MappingProxyType({key: one for key, one in missed.items() if key not in gone})
