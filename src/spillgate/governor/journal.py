"""What happened and why, in plain words. Surfaces read it; the log gets every entry too."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

_KEPT = 2000


class Event(StrEnum):
    """What a journal entry is about."""

    STARTED = "started"
    STOPPED = "stopped"
    SERVER = "server"  # connected, lost, restarted, its settings changed
    LEVEL = "level"
    PLAN = "plan"
    ACTION = "action"
    POLICY = "policy"
    ALARM = "alarm"  # the server refused writes or evicted keys by itself
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: ``number`` counts from 1 without gaps, ``at_unix_s`` is the wall clock's."""

    number: int
    at_unix_s: float
    event: Event
    level: str
    message: str
    details: dict[str, object] = field(default_factory=dict[str, object])


class Journal:
    """The latest entries, newest last; safe to read from any thread."""

    def __init__(self, wall_clock: Callable[[], float], logger: logging.Logger | None = None) -> None:
        """Start empty; ``wall_clock`` stamps the entries."""
        self._wall_clock = wall_clock
        self._logger = logger or logging.getLogger("spillgate")
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._number = 0
        self._lock = threading.Lock()

    def write(self, event: Event, level: str, message: str, **details: object) -> Entry:
        """Add one entry and log it."""
        with self._lock:
            self._number += 1
            entry = Entry(self._number, self._wall_clock(), event, level, message, details)
            self._entries.append(entry)
        grave = event in {Event.ERROR, Event.ALARM}
        self._logger.log(
            logging.WARNING if grave else logging.INFO,
            message,
            extra={"spillgate": {"event": event.value, "level": level, **details}},
        )
        return entry

    def entries(self, after: int = 0) -> tuple[Entry, ...]:
        """The kept entries whose number is above ``after``."""
        with self._lock:
            return tuple(entry for entry in self._entries if entry.number > after)
