"""Server-sent events: what happens is turned into events once, for however many pages listen."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import msgspec

from spillgate.web import documents
from spillgate.web.sources import Sources
from spillgate.web.views import Document

MOST_LISTENERS = 64
"""Pages that may listen at a time."""

_EVERY_S = 1.0
_BEAT_S = 10.0
_RETRY_MS = 2000
# A page that takes in nothing for so many events is let go; it comes back by itself.
_MOST_WAITING = 200
# After a longer gap a page does better to fetch everything anew.
_MOST_ENTRIES, _MOST_SECONDS = 500, 3600
_LONGEST_NUMBER = 18  # digits

_log = logging.getLogger("spillgate")


class Place(NamedTuple):
    """How far a page has come: the numbers of the last entry and of the last second, in one run of this process."""

    run: str
    number: int
    second: int

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """The place that an event's id names, None where it names none."""
        run, _, rest = (text or "").partition("-")
        number, _, second = rest.partition("-")
        if not (run.isalnum() and all(part.isdecimal() and len(part) <= _LONGEST_NUMBER for part in (number, second))):
            return None
        return cls(run, int(number), int(second))

    def is_shortly_before(self, here: "Place") -> bool:
        """Whether all that came between is still there, and worth sending."""
        return 0 <= here.number - self.number <= _MOST_ENTRIES and 0 <= here.second - self.second <= _MOST_SECONDS

    def __str__(self) -> str:
        return f"{self.run}-{self.number}-{self.second}"


@dataclass(eq=False, slots=True)
class _Listener:
    queue: "asyncio.Queue[bytes | None]"
    lost: bool = False


class Events:
    """The events of one process; to be used in one event loop. While nobody listens it does nothing."""

    def __init__(self, sources: Sources, clock: Callable[[], float] = time.time) -> None:
        """``clock`` is the wall clock."""
        self._sources = sources
        self._clock = clock
        self._listeners: set[_Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._place = Place(secrets.token_hex(4), 0, 0)
        self._told: object = None
        self._told_at_s = 0.0
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether no more can listen."""
        return self._closed or len(self._listeners) >= MOST_LISTENERS

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for listener in self._listeners:
            self._let_go(listener)

    async def listen(self, last_event_id: str | None) -> AsyncGenerator[bytes]:
        """The stream for one page, which begins with what it missed since the event of that id."""
        if not self._listeners:
            self._go_to_now()
        listener = _Listener(asyncio.Queue(_MOST_WAITING))
        # All of it before others may be told more: what comes from now on waits in the queue.
        begin = [*self._missed(Place.read(last_event_id), given=bool(last_event_id))]
        begin.append(_event("state", documents.state(self._sources, self._clock()), self._place))
        self._listeners.add(listener)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        try:
            yield f"retry: {_RETRY_MS}\n\n".encode()
            for event in begin:
                yield event
            while not listener.lost or not listener.queue.empty():
                event = await listener.queue.get()
                if event is None:
                    return
                yield event
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._rest()

    def _rest(self) -> None:
        """Do nothing until somebody listens again."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _go_to_now(self) -> None:
        """Nobody needs what was before."""
        self._told = self._known()
        number, second = self._sources.governor.journal.last_number, self._sources.history.seconds
        self._place = self._place._replace(number=number, second=second)

    def _missed(self, place: Place | None, *, given: bool) -> Iterator[bytes]:
        """What came between ``place`` and what all others have been told."""
        here = self._place
        if not given:
            return
        if place is None or place.run != here.run or not place.is_shortly_before(here):
            yield _event("reset", {"now": round(self._clock(), 3)}, here)
            return
        # Each has the id of its own place: who leaves again in the middle goes on from there.
        for second, one in self._sources.history.newest(place.second):
            if second <= here.second:
                place = place._replace(second=second)
                yield _event("point", documents.point(one), place)
        for entry in self._sources.governor.journal.entries(place.number):
            if entry.number <= here.number:
                place = place._replace(number=entry.number)
                yield _event("journal", documents.entry(entry), place)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                for event in self._news():
                    self._send(event)
            except Exception:  # noqa: BLE001 - one bad round must not be the last for every page
                _log.exception("what happened could not be told to the pages that listen")

    def _news(self) -> Iterator[bytes]:
        """Everything that has happened since the last time."""
        now = self._clock()
        happened = False
        for second, one in self._sources.history.newest(self._place.second):
            self._place = self._place._replace(second=second)
            yield _event("point", documents.point(one), self._place)
            happened = True
        for entry in self._sources.governor.journal.entries(self._place.number):
            self._place = self._place._replace(number=entry.number)
            yield _event("journal", documents.entry(entry), self._place)
            happened = True
        known = self._known()
        if happened or self._told != known:
            self._told, self._told_at_s = known, now
            yield _event("state", documents.state(self._sources, now), self._place)
        elif not 0 <= now - self._told_at_s < _BEAT_S:
            self._told_at_s = now
            yield _event("beat", {"now": round(now, 3)}, self._place)

    def _known(self) -> object:
        """What differs whenever the document of the state does, but for times that pass."""
        seen, sources = self._sources.governor.state, self._sources
        watching, alerts = sources.checkup, sources.alerts
        return (
            (seen.readings, seen.at_unix_s, seen.error, seen.pause_s, seen.ended, id(seen.census), id(seen.policy)),
            (watching.latest, watching.library, watching.why_not) if watching else None,
            alerts.active if alerts else None,
            sources.history.error,
        )

    def _send(self, event: bytes) -> None:
        for listener in self._listeners:
            try:
                listener.queue.put_nowait(event)
            except asyncio.QueueFull:
                self._let_go(listener)

    def _let_go(self, listener: _Listener) -> None:
        """End a stream: at once where nothing waits in it, else after what does."""
        listener.lost = True
        if not listener.queue.full():
            listener.queue.put_nowait(None)


def _event(name: str, document: Document, place: Place) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), str(place).encode(), msgspec.json.encode(document))
