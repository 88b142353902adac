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

    def __init__(
        self,
        wall_clock: Callable[[], float],
        logger: logging.Logger | None = None,
        *,
        last_number: int = 0,
        keep: Callable[[Entry], None] | None = None,
    ) -> None:
        """Start empty; ``wall_clock`` stamps the entries.

        Numbers go on after ``last_number``. ``keep`` gets every entry, in their order; it must neither wait nor raise.
        """
        self._wall_clock = wall_clock
        self._logger = logger or logging.getLogger("spillgate")
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._number = last_number
        self._keep = keep
        self._written = threading.Condition()

    def write(self, event: Event, level: str, message: str, **details: object) -> Entry:
        """Add one entry and log it."""
        with self._written:
            self._number += 1
            entry = Entry(self._number, self._wall_clock(), event, level, message, details)
            self._entries.append(entry)
            if self._keep is not None:
                self._keep(entry)
            self._written.notify_all()
        grave = event in {Event.ERROR, Event.ALARM}
        self._logger.log(
            logging.WARNING if grave else logging.INFO,
            message,
            extra={"spillgate": {"event": event.value, "level": level, **details}},
        )
        return entry

    def entries(self, after: int = 0) -> tuple[Entry, ...]:
        """The kept entries whose number is above ``after``."""
        with self._written:
            return tuple(entry for entry in self._entries if entry.number > after)

    @property
    def last_number(self) -> int:
        """The number of the newest entry; where there is none yet, the one that the first will follow."""
        return self._number

    def wait(self, after: int, timeout_s: float) -> bool:
        """Sleep until there is an entry whose number is above ``after``, or the time is over; whether there is one."""
        with self._written:
            return self._written.wait_for(lambda: self._number > after, timeout_s)
