"""Looking into some keys: reading values, counting elements.

That counts as a use of a key where the server has no ``CLIENT NO-TOUCH``. So it is done for some hundred keys only,
after a survey has seen their idle times. What is in flight counts towards the server's memory limit, so little of it is
asked for at a time.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from heapq import nlargest
from typing import TypeVar

from spillgate.census.values import measure
from spillgate.model import KeySample
from spillgate.policy.findings import Elements, Evidence, Key, Unable, Value
from spillgate.server.facts import Facts
from spillgate.server.gateway import Gateway

_Item = TypeVar("_Item")

# Strings that are looked into, and as many collections: in all; of one group by chance, at the most and where there
# are many groups; and the biggest of one group besides.
_MOST_KEYS, _MOST_DRAWN, _LEAST_DRAWN, _MOST_BY_SIZE = 400, 100, 8, 4
_MOST_READ_BYTES = 64 * 1024
_IN_FLIGHT_BYTES = 256 * 1024
# Collections of which every element is read, to see whether they are just too large to be compact.
_MOST_WHOLE, _MOST_ELEMENTS = 100, 2048
_TABLES = frozenset({"hashtable", "skiplist"})
_STRINGS = frozenset({"string"})
_COLLECTIONS = frozenset({"hash", "list", "set", "stream", "zset"})
_GROWING = frozenset({"list", "stream", "zset"})


@dataclass(slots=True)
class Inside:
    """What is inside of some keys, a database at a time, each on a connection of its own."""

    gateway: Gateway
    values: dict[Key, Value] = field(default_factory=dict[Key, Value])
    elements: dict[Key, Elements] = field(default_factory=dict[Key, Elements])
    may_read: bool = True
    may_count: bool = True
    growing: dict[int, list[tuple[bytes, str]]] = field(default_factory=dict[int, list[tuple[bytes, str]]])

    def look(self, evidence: Evidence) -> None:
        """Read and count some keys of every group that holds enough to matter."""
        strings, collections = _choose(evidence, _STRINGS), _choose(evidence, _COLLECTIONS)
        for number, census in evidence.survey.databases:
            with closing(self.gateway.other(number)) as other:
                facts = other.facts
                facts.leave_no_trace()
                for keys in strings.get(number, ()):
                    self._read(facts, number, keys)
                for keys in collections.get(number, ()):
                    self._count(facts, number, keys)
                self._count(facts, number, {key: False for key in census.biggest if key.type in _COLLECTIONS})
        self.may_read = bool(self.values) or not strings
        self.may_count = bool(self.elements) or not collections

    def look_again(self) -> None:
        """Count the elements of what may only grow once more."""
        for database, keys in self.growing.items():
            with closing(self.gateway.other(database)) as other:
                other.facts.leave_no_trace()
                for (name, _), later in zip(keys, other.facts.counts(keys), strict=True):
                    if later is not None:
                        self.elements[database, name] = replace(self.elements[database, name], later=later)

    def _read(self, facts: Facts, database: int, keys: Mapping[KeySample, bool]) -> None:
        lengths = zip(keys, facts.lengths(key.name for key in keys), strict=True)
        there = [(key, length) for key, length in lengths if length]
        heads: list[bytes | None] = []
        for batch in _batches(there, lambda one: min(one[1], _MOST_READ_BYTES)):
            heads += facts.heads([key.name for key, _ in batch], _MOST_READ_BYTES)
        read = [(key, length, head) for (key, length), head in zip(there, heads, strict=True) if head]
        measured = measure([head for _, _, head in read], [length for _, length, _ in read])
        for (key, _, _), value in zip(read, measured, strict=True):
            self.values[database, key.name] = replace(value, drawn=keys[key])

    def _count(self, facts: Facts, database: int, keys: Mapping[KeySample, bool]) -> None:
        new = [key for key in keys if (database, key.name) not in self.elements]
        typed = [(key.name, key.type or "") for key in new]
        for key, number in zip(new, facts.counts(typed), strict=True):
            if number is not None:
                self.elements[database, key.name] = Elements(number, drawn=keys[key])
        found = [key for key in new if (database, key.name) in self.elements]
        self._read_whole(facts, database, found)
        streams = [key.name for key in found if key.type == "stream"]
        for name, ever in zip(streams, facts.ever_added(streams), strict=True):
            self.elements[database, name] = replace(self.elements[database, name], ever=ever)
        endless = [(key.name, key.type or "") for key in found if key.type in _GROWING and key.ttl_ms is None]
        self.growing.setdefault(database, []).extend(endless)

    def _read_whole(self, facts: Facts, database: int, keys: Iterable[KeySample]) -> None:
        left = _MOST_WHOLE - sum(known.longest is not None for known in self.elements.values())
        small = [
            (key, key.size_bytes)
            for key in keys
            if key.encoding in _TABLES
            and key.size_bytes is not None
            and key.size_bytes <= _MOST_READ_BYTES
            and self.elements[database, key.name].count <= _MOST_ELEMENTS
        ]
        for batch in _batches(small[:left], lambda one: one[1]):
            contents = facts.elements([(key.name, key.type or "") for key, _ in batch])
            for (key, _), parts in zip(batch, contents, strict=True):
                if parts:
                    lengths = list(map(len, parts))
                    known = self.elements[database, key.name]
                    known = replace(known, longest=max(lengths), content_bytes=sum(lengths))
                    self.elements[database, key.name] = known


def _choose(evidence: Evidence, types: Collection[str]) -> dict[int, list[dict[KeySample, bool]]]:
    """Some keys of these types by database and group, those of the largest groups first; what is small is left out."""
    try:
        least = evidence.matters_bytes
    except Unable:
        return {}  # no key can be weighed
    groups = [
        (group, keys)
        for group in evidence.groups
        if group.usage.bytes is not None and group.usage.bytes.value >= least
        if (keys := [key for key in group.sample if key.type in types])
    ]
    each = min(_MOST_DRAWN, max(_LEAST_DRAWN, _MOST_KEYS // max(1, len(groups)) - _MOST_BY_SIZE))
    left = _MOST_KEYS
    chosen: dict[int, list[dict[KeySample, bool]]] = {}
    for group, keys in sorted(groups, key=lambda one: -(one[0].usage.bytes or one[0].usage.keys).value):
        drawn = _drawn(keys, max(0, min(each, left)))
        left -= len(drawn)
        chosen.setdefault(group.database, []).append(drawn)
    return chosen


def _drawn(keys: list[KeySample], most: int) -> dict[KeySample, bool]:
    """So many of the keys, evenly out of their order, and some of the biggest: those with false."""
    number = min(len(keys), most)
    drawn = {keys[at * len(keys) // number]: True for at in range(number)}
    big = nlargest(_MOST_BY_SIZE if number else 0, keys, key=lambda key: key.size_bytes or 0)
    return drawn | {key: False for key in big if key not in drawn}


def _batches(items: Sequence[_Item], weigh: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """The items in order, so many at a time that their replies are small together."""
    batch: list[_Item] = []
    held = 0
    for item in items:
        if batch and held + weigh(item) > _IN_FLIGHT_BYTES:
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += weigh(item)
    if batch:
        yield batch
