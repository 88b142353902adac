"""Gathering what a diagnosis needs beyond a survey: settings, clients, growth, some values and lengths.

Reading values and lengths counts as a use of a key where the server has no ``CLIENT NO-TOUCH``. So it is done for some
hundred keys only, after the survey has seen their idle times. What is in flight counts towards the server's memory
limit, so little of it is asked for at a time.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from heapq import nlargest
from typing import TypeVar
from urllib.parse import urlsplit

from spillgate.census.values import measure
from spillgate.config import Policy
from spillgate.model import Estimate, KeySample, Reading, Survey
from spillgate.policy.findings import USUAL_KEYS, Clients, Elements, Evidence, Group, Key, Value
from spillgate.server.facts import Facts
from spillgate.server.gateway import Gateway
from spillgate.server.tracking import CHANNEL

_Item = TypeVar("_Item")

# No setting that holds a secret is ever asked for.
_SETTINGS = (
    "active-expire-effort",
    "bind",
    "hash-max-listpack-entries",
    "hash-max-listpack-value",
    "hash-max-ziplist-entries",
    "hash-max-ziplist-value",
    "protected-mode",
    "save",
    "set-max-listpack-entries",
    "set-max-listpack-value",
    "zset-max-listpack-entries",
    "zset-max-listpack-value",
    "zset-max-ziplist-entries",
    "zset-max-ziplist-value",
)
# Keys that are looked into: in all, of one group by chance, and the biggest of one group besides.
_MOST_KEYS, _MOST_DRAWN, _MOST_BY_SIZE = 400, 100, 5
_MOST_READ_BYTES = 64 * 1024
_IN_FLIGHT_BYTES = 256 * 1024
# Collections of which every element is read, to see whether they are just too large to be compact.
_MOST_WHOLE, _MOST_ELEMENTS = 100, 2048
_TABLES = frozenset({"hashtable", "skiplist"})
_COLLECTIONS = frozenset({"hash", "list", "set", "stream", "zset"})
_GROWING = frozenset({"list", "stream", "zset"})
_MOST_CLIENTS = 2000
_IDLE_CLIENT_S = 3600
_LOOKS = 6
_T95 = 2.78  # Student's t for a line through six looks: four degrees of freedom


@dataclass(frozen=True, slots=True)
class Closeness:
    """How closely to look: whether at ``values``, and for how long memory is watched (0: not at all).

    With ``masked`` no key is named. ``wait`` passes the time while memory is watched.
    """

    values: bool = True
    growth_s: float = 2.0
    masked: bool = False
    wait: Callable[[float], None] = time.sleep


def gather(gateway: Gateway, policy: Policy, survey: Survey, closeness: Closeness | None = None) -> Evidence:
    """The evidence that comes to a ``survey`` of the probed ``gateway``'s server; nothing is changed.

    Raises:
        ServerError: the server failed.
        BudgetExhausted: the day's commands are spent.
    """
    close = closeness or Closeness()
    facts, reasons = gateway.facts, dict(_REASONS)
    listeners = facts.subscribers(CHANNEL)
    first = Evidence(
        policy,
        survey,
        settings=facts.settings(_SETTINGS),
        clients=_clients(facts, survey),
        known=_usual(facts),
        default_user_open=_open(facts, policy, gateway.capabilities.user),
        governed=None if listeners is None else listeners > 0,
        reasons=reasons,
        masked=close.masked,
    )
    inside = _Inside(gateway)
    if close.values:
        inside.look(first)
    else:
        reasons |= dict.fromkeys(("values", "elements"), "values and lengths were left alone: --no-values")
    growth = _watch(gateway, close)
    if close.values and close.growth_s:
        inside.look_again()
    return replace(
        first,
        growth_bytes_s=growth,
        values=inside.values if close.values and inside.may_read else None,
        elements=inside.elements if close.values and inside.may_count else None,
    )


_REASONS: Mapping[str, str] = {
    "settings": "CONFIG GET is forbidden to this user or plan",
    "values": "reading values is forbidden to this user",
    "elements": "counting elements is forbidden to this user",
    "growth_bytes_s": "memory was not watched: --growth 0s",
    "default_user_open": "ACL GETUSER is forbidden, and this user logged in with a password",
    "governed": "PUBSUB NUMSUB is forbidden, so whether a governor runs is unknown",
}


def _usual(facts: Facts) -> tuple[KeySample, ...]:
    types = zip(USUAL_KEYS, facts.types(USUAL_KEYS), strict=True)
    return tuple(KeySample(None, None, None, name, kind) for name, kind in types if kind is not None)


def _open(facts: Facts, policy: Policy, user: str | None) -> bool | None:
    """What the server says, else what the login shows: whoever gave no password needed none."""
    said = facts.default_user_open()
    url = urlsplit(policy.server.url)
    if said is None and user in {None, "default"} and url.password is None and "password=" not in url.query:
        return True
    return said


def _clients(facts: Facts, survey: Survey) -> Clients | None:
    if int(survey.info.get("connected_clients", "0")) > _MOST_CLIENTS:
        return None
    listed = facts.clients()
    if not listed:
        return None
    held = {client["id"]: int(client.get("omem", "0")) for client in listed if "id" in client}
    worst = max(listed, key=lambda client: held.get(client.get("id", ""), 0))
    name = f" ({worst['name']})" if worst.get("name") else ""
    return Clients(
        len(listed),
        sum(int(client.get("idle", "0")) >= _IDLE_CLIENT_S for client in listed),
        sum(held.values()),
        f"client {worst.get('id')}{name}, last command {worst.get('cmd', 'unknown')}",
        held.get(worst.get("id", ""), 0),
    )


def _watch(gateway: Gateway, close: Closeness) -> Estimate | None:
    """How memory grows, in bytes a second: the line through some looks."""
    if not close.growth_s:
        return None
    looks = [gateway.read_memory()]
    for _ in range(_LOOKS - 1):
        close.wait(close.growth_s / (_LOOKS - 1))
        looks.append(gateway.read_memory())
    return slope(looks)


def slope(looks: Sequence[Reading]) -> Estimate | None:
    """The slope of the line through some readings, with its interval (least squares); None where no time passed."""
    middle_s = math.fsum(look.at_s for look in looks) / len(looks)
    middle = math.fsum(look.used_bytes for look in looks) / len(looks)
    spread = math.fsum((look.at_s - middle_s) ** 2 for look in looks)
    if not spread:
        return None
    value = math.fsum((look.at_s - middle_s) * (look.used_bytes - middle) for look in looks) / spread
    off = math.fsum((look.used_bytes - middle - value * (look.at_s - middle_s)) ** 2 for look in looks)
    half = _T95 * math.sqrt(off / (len(looks) - 2) / spread)
    return Estimate(value, value - half, value + half)


@dataclass(slots=True)
class _Inside:
    """What is inside of some keys, a database at a time, each on a connection of its own."""

    gateway: Gateway
    values: dict[Key, Value] = field(default_factory=dict[Key, Value])
    elements: dict[Key, Elements] = field(default_factory=dict[Key, Elements])
    may_read: bool = True
    may_count: bool = True
    growing: dict[int, list[tuple[bytes, str]]] = field(default_factory=dict[int, list[tuple[bytes, str]]])

    def look(self, evidence: Evidence) -> None:
        """Read and count some keys of every group, those of the largest first."""
        asked = {"values": 0, "counts": 0}
        groups = sorted(evidence.groups, key=lambda group: -(group.usage.bytes or group.usage.keys).value)
        for number, census in evidence.survey.databases:
            with closing(self.gateway.other(number)) as other:
                facts = other.facts
                facts.leave_no_trace()
                for group in groups:
                    if group.database == number:
                        self._look_into(facts, group, asked)
                self._count(facts, number, {key: False for key in census.biggest if key.type in _COLLECTIONS})
        self.may_read = bool(self.values) or not asked["values"]
        self.may_count = bool(self.elements) or not asked["counts"]

    def _look_into(self, facts: Facts, group: Group, asked: dict[str, int]) -> None:
        strings = _chosen(group, {"string"}, _MOST_KEYS - asked["values"])
        asked["values"] += len(strings)
        self._read(facts, group.database, strings)
        collections = _chosen(group, _COLLECTIONS, _MOST_KEYS - asked["counts"])
        asked["counts"] += len(collections)
        self._count(facts, group.database, collections)

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


def _chosen(group: Group, types: Collection[str], most: int) -> dict[KeySample, bool]:
    """Some keys of these types evenly out of the sample, and the biggest: those with false."""
    keys = [key for key in group.sample if key.type in types]
    number = min(len(keys), most, _MOST_DRAWN)
    drawn = {keys[at * len(keys) // number]: True for at in range(number)} if number else {}
    big = nlargest(min(_MOST_BY_SIZE, most - number), keys, key=lambda key: key.size_bytes or 0)
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
