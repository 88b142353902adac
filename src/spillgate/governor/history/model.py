"""What a history keeps, and how points are put together. Pure: no clock, no file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

SECOND_S, MINUTE_S, FIVE_MINUTES_S, HOUR_S, DAY_S = 1, 60, 300, 3600, 86_400

KEPT_S: Mapping[int, int] = {SECOND_S: HOUR_S, MINUTE_S: 7 * DAY_S, HOUR_S: 366 * DAY_S}
"""For how long points of each resolution are kept, as many as there are of them in that time."""

USAGES_KEPT_S: Mapping[int, int] = {FIVE_MINUTES_S: 7 * DAY_S, HOUR_S: 366 * DAY_S}
"""The same of what namespaces held."""


class Span(StrEnum):
    """How far back to look."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    YEAR = "year"

    @property
    def seconds(self) -> int:
        """Its length."""
        return {Span.HOUR: HOUR_S, Span.DAY: DAY_S, Span.WEEK: 7 * DAY_S, Span.YEAR: 366 * DAY_S}[self]

    @property
    def resolution_s(self) -> int:
        """How long each of its points is."""
        return {Span.HOUR: SECOND_S, Span.DAY: MINUTE_S, Span.WEEK: MINUTE_S, Span.YEAR: HOUR_S}[self]

    @property
    def usages_resolution_s(self) -> int:
        """The same for what namespaces held."""
        return HOUR_S if self is Span.YEAR else FIVE_MINUTES_S


@dataclass(frozen=True, slots=True)
class Point:
    """What was read within one second, minute or hour; ``at_s`` is its beginning in Unix seconds.

    Memory, limit and keys are those of the last reading in it, ``high_bytes`` and ``level`` the highest and the worst.
    The last two say what the server did since the full reading before: while the governor looks often it reads memory
    alone, and what only a full reading tells is known in the seconds of those, as are the keys. What is None is
    unknown; all is, where the server was not read or nobody looked: a line drawn through the points breaks there.
    Between two points that stand further apart there was no need to look.
    """

    at_s: float
    used_bytes: int | None = None
    high_bytes: int | None = None
    level: int | None = None
    limit_bytes: int | None = None
    keys: int | None = None
    evicted_keys: int | None = None
    refused_writes: int | None = None

    @property
    def known(self) -> bool:
        """Whether anything was read."""
        return self.used_bytes is not None

    def followed_by(self, later: "Point") -> "Point":
        """This point and one more reading in it: counts add up."""
        return Point(
            self.at_s,
            _last(self.used_bytes, later.used_bytes),
            _most(self.high_bytes, later.high_bytes),
            _most(self.level, later.level),
            _last(self.limit_bytes, later.limit_bytes),
            _last(self.keys, later.keys),
            _sum(self.evicted_keys, later.evicted_keys),
            _sum(self.refused_writes, later.refused_writes),
        )

    def updated_by(self, newer: "Point") -> "Point":
        """This point as it was written once, and as it has become since: counts have grown."""
        return Point(
            self.at_s,
            _last(self.used_bytes, newer.used_bytes),
            _most(self.high_bytes, newer.high_bytes),
            _most(self.level, newer.level),
            _last(self.limit_bytes, newer.limit_bytes),
            _last(self.keys, newer.keys),
            _most(self.evicted_keys, newer.evicted_keys),
            _most(self.refused_writes, newer.refused_writes),
        )


def _last(before: int | None, after: int | None) -> int | None:
    return before if after is None else after


def _most(before: int | None, after: int | None) -> int | None:
    if before is None or after is None:
        return before if after is None else after
    return max(before, after)


def _sum(before: int | None, after: int | None) -> int | None:
    if before is None or after is None:
        return before if after is None else after
    return before + after


def rise(before: int | None, after: int | None) -> int | None:
    """How much a counter of the server has grown; one that was reset counts from 0 again."""
    if before is None or after is None:
        return None
    return after - before if after >= before else after


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one alert was delivered to one receiver, all attempts together.

    ``key`` is the notice's, ``kind`` firing, reminder, recovered, test or digest, ``status`` delivered, failed or
    dropped; ``error`` says why it was not delivered.
    """

    at_unix_s: float
    receiver: str
    key: str
    kind: str
    status: str
    attempts: int
    error: str | None = None


class Usages(NamedTuple):
    """What namespaces held at the end of some minutes, by name: keys, and bytes (None where they are not known)."""

    at_s: float
    namespaces: Mapping[str, tuple[int, int | None]]


class Notice(NamedTuple):
    """What a history has to tell of itself; ``grave`` where something is lost or cannot be written."""

    grave: bool
    message: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries of the journal are asked for: numbers between the two, these events and levels, all these words."""

    after: int = 0
    before: int | None = None
    limit: int = 100
    events: frozenset[str] = frozenset()
    levels: frozenset[str] = frozenset()
    words: tuple[str, ...] = field(default=())

    def has(self, number: int, event: str, level: str, message: str) -> bool:
        """Whether an entry is one of them."""
        if number <= self.after or (self.before is not None and number >= self.before):
            return False
        if (self.events and event not in self.events) or (self.levels and level not in self.levels):
            return False
        folded = message.casefold() if self.words else ""
        return all(word in folded for word in self.words)
