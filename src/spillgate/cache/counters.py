"""What happened, counted by namespace; nothing the library drops, sheds or cannot read goes uncounted.

The counters cost an addition each and are always on. A `Hook` is told of the same events as they happen, for metrics
systems that want them pushed (`spillgate.integrations.prometheus`, `spillgate.integrations.opentelemetry`).
"""

import enum
import logging
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from spillgate.cache.forking import register

_logger = logging.getLogger("spillgate.cache")


class Event(enum.StrEnum):
    """What is counted. The amount is 1 for each key, unless it says otherwise."""

    HIT = "hit"
    STALE = "stale"
    """A hit that is past its TTL, served while it is refreshed."""
    MISS = "miss"
    SET = "set"
    DELETE = "delete"
    COMPUTE = "compute"
    """A value computed by `get_or_set` or a `cached` function."""
    COMPUTE_SECONDS = "compute_seconds"
    """The amount is how long that took."""
    SHARED = "shared"
    """A caller who got what another one in this process, or another process, computed."""
    REFRESH = "refresh"
    """A value computed anew before it was gone."""
    REFRESH_FAILED = "refresh_failed"
    """Computing a value anew raised an error; the one that was there was served."""
    PLAIN_BYTES = "plain_bytes"
    """The amount is the size of a value that was set, before compression."""
    STORED_BYTES = "stored_bytes"
    """The amount is its size as it was sent."""
    DROP = "drop"
    """Something not done because the server is down, slow or refuses; a `get` counts as a miss as well."""
    OOM = "oom"
    """A write that the server refused because it is at its memory limit."""
    SHED = "shed"
    """A write not even sent, under pressure."""
    CORRUPT = "corrupt"
    FOREIGN = "foreign"
    FUTURE = "future"
    OVERSIZED = "oversized"
    NO_DICTIONARY = "no_dictionary"
    REFUSED = "refused"
    """A value that its namespace does not take: `ValueRefused` was raised."""
    MIGRATED = "migrated"
    """A value read as another library wrote it."""
    HOOK_ERROR = "hook_error"
    """The hook raised."""
    BREAKER_OPEN = "breaker_open"
    """The server was given up for a while. Counted under the namespace ``*``, as all that concerns the server."""
    SHORTENED = "shortened"
    """A TTL cut short by the level."""
    FREED = "freed"
    """A key of an invalidated generation that was deleted."""
    DECAYED = "decayed"
    """A dictionary found to compress clearly worse than when it was trained."""


SERVER = "*"
"""What stands for a namespace where an event is about the server."""


class Hook(Protocol):
    """Told of each event. It is called on the way of a request: be quick, and do not wait for anything."""

    def __call__(self, namespace: str, event: Event, amount: float, /) -> None:
        """Take note of it."""
        ...


class Counters:
    """The events of one cache, from any thread."""

    def __init__(self, hook: Hook | None = None) -> None:
        self._hook = hook
        self._counts: dict[str, dict[Event, float]] = {}
        self._complained = False
        self.forget()
        register(self)

    def forget(self) -> None:
        """Begin anew after a fork."""
        self._adding = threading.Lock()

    def of(self, namespace: str) -> "NamespaceCounters":
        """The counters of one namespace, to be kept by who counts."""
        with self._adding:
            return NamespaceCounters(namespace, self._counts.setdefault(namespace, {}), self._hook, self.complain)

    def complain(self, error: Exception) -> None:
        """Log what a hook raised, the first time that one does: the rest is counted."""
        if not self._complained:
            self._complained = True
            _logger.warning(
                "the hook of a cache raised %s: %s; from now on only hook_error counts it", type(error).__name__, error
            )

    def snapshot(self) -> Mapping[str, Mapping[Event, float]]:
        """All counts so far, by namespace and event; events that did not happen are left out."""
        with self._adding:
            return MappingProxyType({name: MappingProxyType(dict(counts)) for name, counts in self._counts.items()})


class NamespaceCounters:
    """Counts for one namespace. Two threads that count at once may lose one: a lock would cost more than that."""

    __slots__ = ("_complain", "_counts", "_hook", "_namespace")

    def __init__(
        self, namespace: str, counts: dict[Event, float], hook: Hook | None, complain: Callable[[Exception], None]
    ) -> None:
        self._complain = complain
        self._namespace = namespace
        self._counts = counts
        self._hook = hook

    def count(self, event: Event, amount: float = 1) -> None:
        """Count it, and tell the hook; what a hook raises is counted and goes no further."""
        if not amount:
            return
        counts = self._counts
        counts[event] = counts.get(event, 0) + amount
        if self._hook is not None:
            try:
                self._hook(self._namespace, event, amount)
            except Exception as error:  # noqa: BLE001 (a request must not fail because of its metrics)
                counts[Event.HOOK_ERROR] = counts.get(Event.HOOK_ERROR, 0) + 1
                self._complain(error)
