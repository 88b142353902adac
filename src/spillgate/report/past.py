"""What happened between two times, by the points and the journal of a history. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from spillgate.governor.history import Point
from spillgate.governor.journal import Entry, Event
from spillgate.model import Level

# The journal has the time of a rise, not for how far ahead it was foreseen: until the governor can act again, which is
# the shortest pause between looks and one pass over the keys. That is less than this on any server of a few GB.
_AHEAD_S = 5.0
_FORESEEN = re.compile(r"level rises from \w+ to (?P<level>\w+): .* in use and filling: ")
_RISES = re.compile(r"level rises from \w+ to (?P<level>\w+): ")
_LABELS = {level.label: level for level in Level}
_NUMBERS = ("deleted", "expired", "retimed", "freed_bytes")


class Verdict(StrEnum):
    """What became of a forecast."""

    TRUE = "came true"
    AVERTED = "a cleanup came first"
    FALSE = "did not come true"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Forecast:
    """A level that was entered because memory was foreseen to reach it, and whether it did."""

    at_unix_s: float
    level: Level
    message: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Step:
    """Cleanup steps of one kind on the same namespaces, added up. ``dry`` ones changed nothing."""

    kind: str
    names: tuple[str, ...]
    dry: bool
    runs: int
    deleted: int
    expired: int
    retimed: int
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A time when nobody looked, or the server could not be read."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Past:
    """What happened from ``since_s``, or from when anything is known, to ``until_s``.

    ``begins_s`` is when what is known begins, None where nothing is. ``seconds`` and ``visits`` are by level;
    ``unwatched_s`` is the rest. Counts that are None are unknown.
    """

    since_s: float
    until_s: float
    begins_s: float | None
    points: tuple[Point, ...]
    every_s: int
    seconds: Mapping[Level, float]
    visits: Mapping[Level, int]
    unwatched_s: float
    gaps: tuple[Gap, ...]
    steps: tuple[Step, ...]
    deleted: Mapping[str, int]
    forecasts: tuple[Forecast, ...]
    alarms: tuple[Entry, ...]
    errors: tuple[Entry, ...]
    changes: tuple[Entry, ...]
    evicted_keys: int | None
    refused_writes: int | None

    @property
    def highest(self) -> Point | None:
        """The point with the most memory, None without any."""
        known = [point for point in self.points if point.high_bytes is not None]
        return max(known, key=lambda point: point.high_bytes or 0, default=None)


def past_of(
    entries: Iterable[Entry],
    points: Sequence[Point],
    finest: Mapping[int, Sequence[Point]],
    *,
    since_s: float,
    until_s: float,
    every_s: int,
    levels: Mapping[Level, float],
    interval_s: float,
) -> Past:
    """What entries of the journal, and points of ``every_s`` seconds, tell of that time.

    ``finest`` are the points by which forecasts are judged, by their length in seconds, shortest first; ``levels`` the
    share of the limit at which each level begins; ``interval_s`` how far apart looks may be without a gap. Of
    points from before, which may be coarse, the last tells whether somebody watched when that time began.
    """
    ordered = sorted(entries, key=lambda entry: entry.number)
    within = [entry for entry in ordered if since_s <= entry.at_unix_s <= until_s]
    told = tuple(point for point in points if since_s - every_s < point.at_s <= until_s)
    starts = [*(entry.at_unix_s for entry in ordered[:1]), *(point.at_s for point in points[:1])]
    begins_s = min(starts, default=None)
    since_s = min(until_s, max(since_s, begins_s or since_s))
    earlier = [point for point in points if point.at_s <= since_s - every_s]
    before = [Point(since_s)] if earlier and not earlier[-1].known else []
    gaps = tuple(_gaps([*before, *told], until_s, every_s, interval_s))
    seconds, unwatched = _time_in_levels(ordered, gaps, since_s, until_s)
    return Past(
        since_s=since_s,
        until_s=until_s,
        begins_s=begins_s,
        points=told,
        every_s=every_s,
        seconds=seconds,
        visits=_visits(within),
        unwatched_s=unwatched,
        gaps=gaps,
        steps=_steps(within),
        deleted=_deleted(within),
        forecasts=tuple(_forecasts(within, finest, levels)),
        alarms=tuple(entry for entry in within if entry.event is Event.ALARM),
        errors=tuple(entry for entry in within if entry.event is Event.ERROR),
        changes=tuple(entry for entry in within if "ttl_before_s" in entry.details),
        evicted_keys=_sum(point.evicted_keys for point in told),
        refused_writes=_sum(point.refused_writes for point in told),
    )


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _gaps(points: Sequence[Point], until_s: float, every_s: int, interval_s: float) -> Iterator[Gap]:
    """From each point of which nothing is known to the next one of which something is."""
    start: float | None = None
    for point in points:
        if not point.known and start is None:
            start = point.at_s
        elif point.known and start is not None:
            yield Gap(start, point.at_s)
            start = None
    # The last look may just not have been followed by another yet.
    if start is not None and until_s - start > 3 * interval_s + every_s:
        yield Gap(start, until_s)


def _time_in_levels(
    entries: Iterable[Entry], gaps: Sequence[Gap], since_s: float, until_s: float
) -> tuple[dict[Level, float], float]:
    """Seconds in each level, and those when nobody knows."""
    seconds: dict[Level, float] = {}
    for level, start, end in _stretches(entries, since_s, until_s):
        if level is not None:
            unseen = sum(max(0.0, min(end, gap.end_s) - max(start, gap.start_s)) for gap in gaps)
            seconds[level] = seconds.get(level, 0.0) + end - start - unseen
    return seconds, max(0.0, until_s - since_s - sum(seconds.values()))


def _stretches(entries: Iterable[Entry], since_s: float, until_s: float) -> Iterator[tuple[Level | None, float, float]]:
    """The level in force from one time to the next, by what stands in each entry; None where no governor ran."""
    level: Level | None = None
    start = since_s
    for entry in entries:
        at_s = min(until_s, entry.at_unix_s)
        after = _level_after(entry, level)
        if after != level and at_s > start:
            yield level, start, at_s
            start = at_s
        level = after
    yield level, start, until_s


def _level_after(entry: Entry, before: Level | None) -> Level | None:
    if entry.event in {Event.STARTED, Event.STOPPED}:
        return None
    return _LABELS.get(entry.level, before)


def _visits(entries: Iterable[Entry]) -> dict[Level, int]:
    """How often each level was entered from below."""
    found = (_RISES.match(entry.message) for entry in entries if entry.event is Event.LEVEL)
    return dict(Counter(_LABELS[match["level"]] for match in found if match and match["level"] in _LABELS))


def _steps(entries: Iterable[Entry]) -> tuple[Step, ...]:
    """Cleanup steps, most bytes first."""
    sums: dict[tuple[str, tuple[str, ...], bool], Counter[str]] = {}
    for entry in entries:
        if entry.event is Event.ACTION:
            told = entry.details
            kind = str(told.get("kind") or "upkeep")
            sums.setdefault((kind, _names(told), bool(told.get("dry_run"))), Counter()).update(
                {"runs": 1}
                | {name: _whole(told.get(name)) for name in ("deleted", "expired", "retimed", "freed_bytes")}
            )
    steps = (
        Step(*key, one["runs"], one["deleted"], one["expired"], one["retimed"], one["freed_bytes"])
        for key, one in sums.items()
    )
    return tuple(sorted(steps, key=lambda step: (-step.freed_bytes, -step.runs, step.kind)))


def _names(details: Mapping[str, object]) -> tuple[str, ...]:
    first, others = details.get("namespace"), details.get("together")
    listed = [str(name) for name in cast("Sequence[object]", others)] if isinstance(others, list | tuple) else []
    return (str(first), *listed) if first else ()


def _deleted(entries: Iterable[Entry]) -> dict[str, int]:
    """Keys deleted by namespace, dry runs apart."""
    sums: Counter[str] = Counter()
    for entry in entries:
        found = entry.details.get("deleted_by_namespace")
        if isinstance(found, Mapping) and not entry.details.get("dry_run"):
            told = cast("Mapping[object, object]", found)
            sums.update({str(name): _whole(number) for name, number in told.items()})
    return dict(sums.most_common())


def _whole(number: object) -> int:
    return int(number) if isinstance(number, int | float) else 0


def _forecasts(
    entries: Sequence[Entry], points: Mapping[int, Sequence[Point]], levels: Mapping[Level, float]
) -> Iterator[Forecast]:
    for entry in entries:
        match = _FORESEEN.match(entry.message) if entry.event is Event.LEVEL else None
        if match and match["level"] in _LABELS:
            level = _LABELS[match["level"]]
            yield Forecast(entry.at_unix_s, level, entry.message, _verdict(entry, entries, points, levels[level]))


def _verdict(entry: Entry, entries: Iterable[Entry], points: Mapping[int, Sequence[Point]], bound: float) -> Verdict:
    """Whether memory was at this share of the limit within the time that the forecast was for."""
    start, end = entry.at_unix_s, entry.at_unix_s + _AHEAD_S
    told = (_near(kept, start - every_s, end) for every_s, kept in points.items())
    near = next(filter(None, told), list[Point]())
    if any(point.limit_bytes and (point.high_bytes or 0) >= bound * point.limit_bytes for point in near):
        return Verdict.TRUE
    acted = any(
        other.event is Event.ACTION and start <= other.at_unix_s <= end and not other.details.get("dry_run")
        for other in entries
    )
    if acted:
        return Verdict.AVERTED
    return Verdict.FALSE if near else Verdict.UNKNOWN


def _near(points: Iterable[Point], start: float, end: float) -> list[Point]:
    """The points between the two of which something is known."""
    return [point for point in points if start < point.at_s <= end and point.high_bytes is not None]
