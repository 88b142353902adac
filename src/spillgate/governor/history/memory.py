"""What is not written yet, and what is asked for every second. Nothing here waits, or grows without bound."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from spillgate.governor.history.model import FIVE_MINUTES_S, HOUR_S, KEPT_S, SECOND_S, Delivery, Point, rise
from spillgate.governor.journal import Entry
from spillgate.model import Census, Reading
from spillgate.policy.pressure import Assessment

# What waits for a disk that fails for long: a day of each five minutes of usages, two weeks of hours.
_MOST_USAGES = {FIVE_MINUTES_S: 288, HOUR_S: 336}
_MOST_ENTRIES = 5000
_MOST_DELIVERIES = 1000
# Of a policy with very many namespaces the heaviest are kept: two rows of text to a page of the file.
_MOST_USAGES_BYTES = 1900
_USAGE_BYTES = 26  # beside the name
# The one under way, and the one before it, which the next commit writes for the last time.
_UNDER_WAY = 2

T = TypeVar("T")


class Shelf(Generic[T]):
    """Values by number, the newest ``most`` of them, and which are still to be written.

    What was written is forgotten but for the newest ``retain``.
    """

    def __init__(self, most: int, retain: int = 0) -> None:
        """Start empty."""
        self.values: dict[int, T] = {}
        self._most = most
        self._retain = retain
        self._unwritten: set[int] = set()

    def put(self, number: int, value: T) -> None:
        """Add a value, or change one."""
        self.values[number] = value
        self._unwritten.add(number)
        if len(self.values) > self._most:
            self._drop(next(iter(self.values)))

    def take(self) -> dict[int, T]:
        """What is to be written; it counts as written until it is given back."""
        taken = {number: self.values[number] for number in self._unwritten}
        self._unwritten.clear()
        return taken

    def give_back(self, taken: Iterable[int]) -> None:
        """These could not be written; what has been dropped meanwhile is lost."""
        self._unwritten.update(number for number in taken if number in self.values)

    def settle(self) -> None:
        """Forget what has been written."""
        old = len(self.values) - self._retain
        if old > 0:
            for number in list(self.values)[:old]:
                if number not in self._unwritten:
                    del self.values[number]

    def _drop(self, number: int) -> None:
        del self.values[number]
        self._unwritten.discard(number)


Namespaces = dict[str, tuple[int, int | None]]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit writes; points and usages by their resolution."""

    points: Mapping[int, Mapping[int, Point]]
    usages: Mapping[int, Mapping[int, Namespaces]]
    entries: Mapping[int, Entry]
    deliveries: Mapping[int, Delivery]


@dataclass(slots=True)
class Memory:
    """Fed with everything as it happens; whoever uses it holds a lock."""

    points: dict[int, Shelf[Point]] = field(
        default_factory=lambda: {
            step_s: Shelf[Point](kept_s // step_s, HOUR_S if step_s == SECOND_S else _UNDER_WAY)
            for step_s, kept_s in KEPT_S.items()
        }
    )
    usages: dict[int, Shelf[Namespaces]] = field(
        default_factory=lambda: {step_s: Shelf[Namespaces](most, _UNDER_WAY) for step_s, most in _MOST_USAGES.items()}
    )
    entries: Shelf[Entry] = field(default_factory=lambda: Shelf[Entry](_MOST_ENTRIES))
    deliveries: Shelf[Delivery] = field(default_factory=lambda: Shelf[Delivery](_MOST_DELIVERIES))
    _last: Reading | None = None  # that told everything
    _numbered: deque[tuple[int, int]] = field(default_factory=lambda: deque[tuple[int, int]](maxlen=HOUR_S))
    _under_way: int | None = None  # the second of the last number, None once it was told that it is over

    def read(self, now_s: float, reading: Reading, assessment: Assessment, *, full: bool) -> None:
        """One more reading; but for a full one the server told its memory alone, and the rest is old."""
        last = self._last
        # Counters of another server say nothing about this one's.
        same = last if full and last is not None and last.run_id == reading.run_id else None
        used = reading.counted_bytes
        values = (
            used,
            used,
            int(assessment.level),
            assessment.limits.limit_bytes,
            reading.keys if full else None,
            rise(same.evicted_keys, reading.evicted_keys) if same else None,
            rise(same.refused_writes, reading.refused_writes) if same else None,
        )
        if full:
            self._last = reading
        for step_s, shelf in self.points.items():
            at_s = _begins(now_s, step_s)
            before, here = shelf.values.get(at_s), Point(at_s, *values)
            self._put(step_s, here if before is None else before.followed_by(here))

    def unknown(self, at_s: float) -> None:
        """Nothing was read at that time; what else was read in the same second, minute or hour stands."""
        for step_s, shelf in self.points.items():
            at = _begins(at_s, step_s)
            if at not in shelf.values:
                self._put(step_s, Point(at))

    def gap(self, last_s: float, now_s: float) -> None:
        """Nobody looked between the two."""
        for step_s, shelf in self.points.items():
            after = _begins(last_s, step_s) + step_s
            if after < _begins(now_s, step_s) and after not in shelf.values:
                self._put(step_s, Point(after))

    def blank(self, step_s: int, at_s: int) -> None:
        """From then on nobody looked."""
        self._put(step_s, Point(at_s))

    def _put(self, step_s: int, point: Point) -> None:
        at_s = int(point.at_s)
        self.points[step_s].put(at_s, point)
        if step_s == SECOND_S and at_s != self._under_way:
            self._numbered.append((self._last_number + 1, at_s))
            self._under_way = at_s

    @property
    def _last_number(self) -> int:
        return self._numbered[-1][0] if self._numbered else 0

    def over(self, now_s: float) -> int:
        """The number of the last second that is over: they are numbered from 1 in the order in which they came."""
        under_way = self._under_way
        if under_way is not None and under_way <= now_s < under_way + SECOND_S:
            return self._last_number - 1
        self._under_way = None  # should the clock go back into it, it has another number
        return self._last_number

    def newest(self, after: int, now_s: float) -> tuple[tuple[int, Point], ...]:
        """The seconds that are over with a number above that; one that came twice, by a clock set back, once."""
        last = self.over(now_s)
        if last <= after:
            return ()
        values = self.points[SECOND_S].values
        found: dict[int, int] = {}
        for number, at_s in reversed(self._numbered):
            if number <= after:
                break
            if number <= last and at_s in values:
                found.setdefault(at_s, number)
        return tuple((number, values[at_s]) for at_s, number in reversed(found.items()))

    def counted(self, now_s: float, census: Census) -> None:
        """One more census."""
        rows = sorted(census.namespaces, key=lambda row: (row.bytes or row.keys).value, reverse=True)
        found: Namespaces = {}
        size = 0
        for row in rows:
            size += len(row.name.encode()) + _USAGE_BYTES
            if size > _MOST_USAGES_BYTES:
                break
            found[row.name] = (round(row.keys.value), round(row.bytes.value) if row.bytes else None)
        for step_s, shelf in self.usages.items():
            shelf.put(_begins(now_s, step_s), found)

    def take(self) -> Batch:
        """What is to be written."""
        return Batch(
            {step_s: shelf.take() for step_s, shelf in self.points.items()},
            {step_s: shelf.take() for step_s, shelf in self.usages.items()},
            self.entries.take(),
            self.deliveries.take(),
        )

    def give_back(self, batch: Batch) -> None:
        """It could not be written."""
        for step_s, shelf in self.points.items():
            shelf.give_back(batch.points[step_s])
        for step_s, held in self.usages.items():
            held.give_back(batch.usages[step_s])
        self.entries.give_back(batch.entries)
        self.deliveries.give_back(batch.deliveries)

    def settle(self) -> None:
        """What was taken has been written."""
        for shelf in (*self.points.values(), *self.usages.values(), self.entries, self.deliveries):
            shelf.settle()


def _begins(at_s: float, step_s: int) -> int:
    """When the second, minute or hour begins that a time is in."""
    return int(at_s // step_s) * step_s
