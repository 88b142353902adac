"""What a server would use with other numbers of objects. Pure.

What it uses now is known. What is added to it, or taken off, is what changes: the objects by their average size, what
``MEMORY USAGE`` leaves out of each, the tables of keys, which double, and the connections. All else stays as it is. So
the error of a projection is that of the change alone.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from spillgate.model import Estimate
from spillgate.policy.capacity import Doubling
from spillgate.policy.capacity_layout import ENTRY_BYTES, Layout

FIXED, TABLES, ROUNDING, CONNECTIONS = "server and buffers", "hash tables", "not in MEMORY USAGE", "connections"
"""The causes of overhead."""

_MOST_FIT = 1 << 40
_PASSING_BYTES = 32 * 1024  # buffers of connections come and go, histograms of latencies come
_LONGER_NAME_BYTES = 8  # numbers in names are longer once there are more: half a block of the allocator
_NEAR = 16  # so few are tried one by one
_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class Holding:
    """The objects of one feature in one database.

    ``per_object`` is what MEMORY USAGE says of one on average, ``spread`` how far single ones are off that (standard
    deviation; None where too few were seen), ``beyond`` what one takes beside that and its share of the tables, and
    ``timed`` the share that has a TTL.
    """

    name: str
    keys: Estimate
    per_object: Estimate
    spread: float | None = 0.0
    timed: float = 1.0
    beyond: float = 0.0
    database: int = 0

    def bytes_of(self, count: float) -> Estimate:
        """What so many of them take by MEMORY USAGE."""
        if not count:
            return Estimate.exact(0)  # of however large objects
        return Estimate(*(count * size for size in (self.per_object.value, self.per_object.low, self.per_object.high)))


@dataclass(frozen=True, slots=True)
class Footing:
    """A server as it is. ``tables_bytes`` is what its hash tables take; None where the server does not tell."""

    layout: Layout
    used_bytes: int
    holdings: tuple[Holding, ...]
    tables_bytes: float | None = None
    connections: int = 0
    per_connection: float = 0.0

    @property
    def counts(self) -> dict[str, float]:
        """How many objects there are of each feature."""
        return {holding.name: holding.keys.value for holding in self.holdings}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What it would use: the features by MEMORY USAGE and the overhead by cause add up to ``bytes``.

    ``doubling_bytes`` is what stands beside for a moment while the largest table moves to one of twice its size, on
    the way there or next.
    """

    bytes: Estimate
    by_feature: Mapping[str, Estimate] = field(default_factory=dict[str, Estimate])
    overhead: Mapping[str, float] = field(default_factory=dict[str, float])
    doubling_bytes: float = 0.0


def outlook(footing: Footing, counts: Mapping[str, float], connections: int | None = None) -> Outlook:
    """What the server would use with these counts of features; of those not named there are as many as now."""
    then = footing.counts | dict(counts)
    by_feature = {holding.name: holding.bytes_of(then[holding.name]) for holding in footing.holdings}
    changed = Estimate.total(
        _changed(holding, then[holding.name], footing.layout.error) for holding in footing.holdings
    )
    now_tables, then_tables = _tables(footing, then)
    beyond = {
        moment: math.fsum(holding.beyond * count[holding.name] for holding in footing.holdings)
        for moment, count in (("now", footing.counts), ("then", then))
    }
    open_then = footing.connections if connections is None else connections
    more_connections = (open_then - footing.connections) * footing.per_connection
    certain = footing.used_bytes + (then_tables - now_tables) + (beyond["then"] - beyond["now"]) + more_connections
    if any(then[name] != count for name, count in footing.counts.items()):
        changed = Estimate.total([changed, _even(_PASSING_BYTES)])
    total = Estimate(*(max(0.0, certain + end) for end in (changed.value, changed.low, changed.high)))
    overhead = {
        TABLES: then_tables,
        ROUNDING: beyond["then"],
        CONNECTIONS: open_then * footing.per_connection,
    }
    rest = total.value - sum(overhead.values()) - math.fsum(size.value for size in by_feature.values())
    return Outlook(total, by_feature, {FIXED: rest} | overhead, _moment(footing, then))


def _changed(holding: Holding, then: float, error: float) -> Estimate:
    """What its objects take then, less what they take now.

    New objects are of the same kind as those that are there, which are a sample of it themselves: the error of their
    mean and the chance of single ones come together. ``error`` is that of the model, as a share.
    """
    if then == holding.keys.value:
        return Estimate.exact(0)
    now, size = holding.keys, holding.per_object
    more = then - now.value
    value = more * size.value
    parts = [
        Estimate(value, *sorted((more * size.low, more * size.high))),
        Estimate(0, (now.value - now.high) * size.value, (now.value - now.low) * size.value),
        _even(_chance(holding, more)),
        _even(error * abs(value)),
        Estimate(0, 0, max(0.0, more) * _LONGER_NAME_BYTES),
    ]
    return Estimate.total(parts)


def _even(half: float) -> Estimate:
    return Estimate(0, -half, half)


def _chance(holding: Holding, more: float) -> float:
    """How far so many more objects may be off the average of those that are there."""
    seen = holding.keys.value
    if not seen:
        return 0.0  # what is assumed has its interval
    if holding.spread is None:
        return abs(more) * holding.per_object.value
    t = _Z95 + 2.4 / max(1.0, seen - 1)
    of_mean = more * more / seen if holding.per_object.is_exact else 0.0
    return t * holding.spread * math.sqrt(of_mean + abs(more))


def _databases(footing: Footing, counts: Mapping[str, float]) -> dict[int, tuple[float, float]]:
    """Keys, and those with a TTL, by database."""
    found: dict[int, tuple[float, float]] = {}
    for holding in footing.holdings:
        keys, timed = found.get(holding.database, (0.0, 0.0))
        count = counts[holding.name]
        found[holding.database] = keys + count, timed + count * holding.timed
    return found


def _tables(footing: Footing, then: Mapping[str, float]) -> tuple[float, float]:
    """What the tables take now and then: an array that is larger than it need be now stays so while keys are added."""
    layout = footing.layout
    before, after = _databases(footing, footing.counts), _databases(footing, then)
    entries_now = sum(layout.entries_bytes(*pair) for pair in before.values())
    entries_then = sum(layout.entries_bytes(*pair) for pair in after.values())
    arrays_now = sum(layout.array_bytes(count) for pair in before.values() for count in pair)
    arrays_then = sum(layout.array_bytes(count) for pair in after.values() for count in pair)
    told = (footing.tables_bytes or 0.0) - _told_entries(layout, before.values())
    arrays = max(told, float(arrays_now))
    return arrays + entries_now, max(arrays, float(arrays_then)) + entries_then


def _told_entries(layout: Layout, databases: Iterable[tuple[float, float]]) -> float:
    """The entries that MEMORY STATS counts among the tables: those of the keys with a TTL, or chained buckets."""
    if layout.bucketed:
        return sum(layout.entries_bytes(*pair) for pair in databases)
    return sum(timed * ENTRY_BYTES for _, timed in databases)


def _moment(footing: Footing, then: Mapping[str, float]) -> float:
    """The old array of the largest table while it moves: of the last doubling on the way, else of the next one."""
    layout = footing.layout
    before, after = _databases(footing, footing.counts), _databases(footing, then)
    old = [0.0]
    for database, pair in after.items():
        for now, later in zip(before[database], pair, strict=True):
            doubled = layout.array_bytes(later) > layout.array_bytes(now)
            old.append(layout.array_bytes(later) / 2 if doubled else 0.0)
    return max(old)


def doublings(footing: Footing) -> tuple[Doubling, ...]:
    """The next doubling of each database's table of keys, the nearest first."""
    found = [
        Doubling(database, footing.layout.full_at(keys) - keys + 1, footing.layout.array_bytes(keys))
        for database, (keys, _) in _databases(footing, footing.counts).items()
        if keys >= 1
    ]
    return tuple(sorted(found, key=lambda one: one.keys_left))


def more_that_fit(footing: Footing, name: str, bound_bytes: float) -> Estimate:
    """How many more objects of one feature fit while memory stays below a bound and all else stays as it is."""
    footing = _beside_others(footing, name)
    now = footing.counts[name]
    usual = max(1.0, footing.holdings[0].per_object.value)
    guess = max(1, int((bound_bytes - footing.used_bytes) / usual))

    def most(end: Callable[[Estimate], float]) -> float:
        def fits(more: int) -> bool:
            return end(outlook(footing, {name: now + more}).bytes) < bound_bytes

        return _last(fits, guess)

    value = most(lambda size: size.value)
    return Estimate(value, min(value, most(lambda size: size.high)), max(value, most(lambda size: size.low)))


def _last(fits: Callable[[int], bool], guess: int) -> float:
    """The largest number that fits, 0 where none does, found from a guess by doubling and halving."""
    if not fits(0):
        return 0.0
    least, beyond = 0, guess
    while fits(beyond):
        least, beyond = beyond, beyond * 2
        if beyond > _MOST_FIT:
            return math.inf
    if not least and beyond > _NEAR and fits(beyond * 3 // 4):
        least = beyond * 3 // 4
    while beyond - least > 1:
        middle = (least + beyond) // 2
        least, beyond = (middle, beyond) if fits(middle) else (least, middle)
    return float(least)


def _beside_others(footing: Footing, name: str) -> Footing:
    """The same where all other features of a database are one, which is quicker to reckon with."""
    own = next(holding for holding in footing.holdings if holding.name == name)
    others: dict[int, list[Holding]] = {}
    for holding in footing.holdings:
        if holding is not own:
            others.setdefault(holding.database, []).append(holding)
    return replace(footing, holdings=(own, *(_together(database, rest) for database, rest in others.items())))


def _together(database: int, holdings: Sequence[Holding]) -> Holding:
    keys = math.fsum(holding.keys.value for holding in holdings)
    timed = math.fsum(holding.keys.value * holding.timed for holding in holdings)
    share = timed / keys if keys else 0.0
    return Holding(f"\0{database}", Estimate.exact(keys), Estimate.exact(0), timed=share, database=database)
