"""The counters of a cache as metrics: one table for every metrics system, and several caches as one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from spillgate.cache import SERVER, Event
from spillgate.model import Level


class Counted(Protocol):
    """What is read of a `Cache` or an `AsyncCache`."""

    @property
    def level(self) -> Level | None:
        """The level, None where it is not known."""
        ...

    @property
    def available(self) -> bool:
        """Whether the server is tried at all."""
        ...

    def counts(self) -> Mapping[str, Mapping[Event, float]]:
        """What happened so far."""
        ...


@dataclass(frozen=True, slots=True)
class Counter:
    """One metric: its name without what every name begins with, its unit, what it is, and the events it adds up.

    ``events`` are by their reason; where there is but one it needs none.
    """

    name: str
    unit: str
    help: str
    events: Mapping[str, Event]
    of_server: bool = False

    @property
    def has_reasons(self) -> bool:
        """Whether its samples are told apart by reason."""
        return len(self.events) > 1


def _one(name: str, event: Event, text: str, unit: str = "1") -> Counter:
    return Counter(name, unit, text, {"": event})


_UNREADABLE: Final = (Event.CORRUPT, Event.FOREIGN, Event.FUTURE, Event.OVERSIZED, Event.NO_DICTIONARY)

COUNTERS: Final = (
    _one("hits", Event.HIT, "Values read from the cache within their TTL."),
    _one("stale_hits", Event.STALE, "Values read past their TTL while they were refreshed."),
    _one("misses", Event.MISS, "Values asked for and not there, not readable, or not to be had."),
    _one("shared_results", Event.SHARED, "Values that another caller or process had just computed."),
    _one("sets", Event.SET, "Values stored."),
    _one("deletes", Event.DELETE, "Values deleted."),
    _one("computes", Event.COMPUTE, "Values computed."),
    _one("compute_seconds", Event.COMPUTE_SECONDS, "Time spent on computing values.", "s"),
    _one("refreshes", Event.REFRESH, "Values computed anew before they were gone."),
    _one(
        "refresh_failures", Event.REFRESH_FAILED, "Values that could not be computed anew and were served as they were."
    ),
    _one("plain_bytes", Event.PLAIN_BYTES, "Size of stored values before compression.", "By"),
    _one("stored_bytes", Event.STORED_BYTES, "Size of stored values as they were sent.", "By"),
    _one("drops", Event.DROP, "Operations not done since the server was down, slow or refused."),
    _one("out_of_memory", Event.OOM, "Writes that the server refused for want of memory."),
    _one("sheds", Event.SHED, "Writes not even sent, under pressure."),
    _one("shortened_ttls", Event.SHORTENED, "TTLs cut short by the level."),
    Counter("unreadable", "1", "Stored values that could not be read.", {event.value: event for event in _UNREADABLE}),
    _one("refused_values", Event.REFUSED, "Values that their namespace does not take."),
    _one("migrated_values", Event.MIGRATED, "Values read as another library wrote them."),
    _one("freed_keys", Event.FREED, "Keys of cleared namespaces that were deleted."),
    _one("decays", Event.DECAYED, "Dictionaries found to compress clearly worse than when they were trained."),
    _one("hook_errors", Event.HOOK_ERROR, "Errors of the hook."),
    Counter(
        "breaker_openings",
        "1",
        "Times that the server was given up for a while.",
        {"": Event.BREAKER_OPEN},
        of_server=True,
    ),
)
"""Every event is in one of these; a test holds that."""

LEVEL_HELP: Final = "How near its limit the server is: 0 normal, 1 warning, 2 preventive, 3 emergency, 4 critical."
BREAKER_HELP: Final = "Whether the server is given up for now: 1 or 0."


class Amount(NamedTuple):
    """What one counter has come to, of one namespace and reason; both empty where they say nothing."""

    namespace: str
    reason: str
    value: float


def added_up(caches: Iterable[Counted]) -> dict[str, dict[Event, float]]:
    """The counts of several caches together."""
    sums: dict[str, dict[Event, float]] = {SERVER: {}}
    for cache in caches:
        for namespace, counts in cache.counts().items():
            into = sums.setdefault(namespace, {})
            for event, amount in counts.items():
                into[event] = into.get(event, 0) + amount
    return sums


def amounts(counter: Counter, counts: Mapping[str, Mapping[Event, float]]) -> Iterator[Amount]:
    """What a counter has come to, by namespace; 0 where nothing happened, so that rates are right from the start."""
    for namespace, events in counts.items():
        for reason, event in counter.events.items():
            if (namespace == SERVER) is counter.of_server or event in events:
                yield Amount("" if counter.of_server else namespace, reason, events.get(event, 0))


def level_of(caches: Iterable[Counted]) -> Level | None:
    """The highest level that any of them knows of."""
    return max((level for cache in caches if (level := cache.level) is not None), default=None)


def broken(caches: Iterable[Counted]) -> bool:
    """Whether any of them has given the server up for now."""
    return not all(cache.available for cache in caches)
