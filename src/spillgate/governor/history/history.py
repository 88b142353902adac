"""The history: fed by the governor's thread, written by one of its own."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from spillgate.errors import ConfigError
from spillgate.governor.history.files import UnusableError
from spillgate.governor.history.keeper import Keeper
from spillgate.governor.history.memory import Memory, Namespaces
from spillgate.governor.history.model import (
    Delivery,
    Notice,
    Point,
    Span,
    Usages,
    Wanted,
)
from spillgate.governor.journal import Entry, Event
from spillgate.model import Census, Reading
from spillgate.policy.pressure import Assessment

# What happens within this time goes to the disk at once.
_GATHER_S = 2.0
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 60.0
# A reading that comes so much later than expected was preceded by a time when nobody looked.
_LATE_S = 60.0
_MOST_NOTICES = 20

_log = logging.getLogger("spillgate")


class History:
    """What was seen and done, in a file or in memory.

    What feeds it (`observe`, `unreadable`, `expect`, `keep`, `saw`, `delivered`) takes microseconds, never raises and
    never waits for a disk. It may be fed and asked from any thread, and before it was started; what it was fed is found
    at once. Started, or used as a context manager, it writes what is new some seconds later; at rest its thread sleeps.

    ``path`` is None where it is in memory alone. ``error`` says why the file cannot be written, None while it can;
    what is new is kept in memory meanwhile. ``last_number`` is that of the journal's newest entry, 0 without any.
    """

    def __init__(
        self, path: Path | None = None, *, wall_clock: Callable[[], float] = time.time, gather_s: float = _GATHER_S
    ) -> None:
        """Open or create the file; ``gather_s`` is how long what is new may wait to be written.

        Raises:
            ConfigError: the file is not a history, is in use, or cannot be used.
        """
        self.path = path
        self.error: str | None = None
        self._wall_clock = wall_clock
        self._gather_s = gather_s
        self._memory = Memory()
        self._lock = threading.Lock()
        self._happened = threading.Condition(self._lock)
        self._writing = threading.Lock()
        self._fresh = self._stopping = self._closed = False
        self._thread: threading.Thread | None = None
        self._last_look_s: float | None = None
        self._expected_s = 0.0
        self._notices: deque[Notice] = deque(maxlen=_MOST_NOTICES)
        try:
            self._keeper = Keeper(path, wall_clock(), self._notices.append)
        except UnusableError as error:
            raise ConfigError(f"{path}: {error}", source="command line", key="--history") from error
        self.last_number = self._keeper.read(lambda store: store.last_number("journal"), 0)
        self._deliveries = self._keeper.read(lambda store: store.last_number("deliveries"), 0)
        self._go_on()

    def _go_on(self) -> None:
        """Go on with the minute and the hour under way; what lies between the last point and now is unknown."""
        now = self._wall_clock()
        for step_s, shelf in self._memory.points.items():
            at_s = int(now // step_s) * step_s
            last = self._keeper.read(lambda store, step_s=step_s, at_s=at_s: store.last_point(step_s, at_s), None)
            if last is None:
                continue
            if last.at_s == at_s:
                shelf.values[at_s] = last
            elif last.known and last.at_s + step_s < at_s:
                after = int(last.at_s) + step_s
                self._memory.blank(step_s, after)
                self._fresh = True

    # Life

    def __enter__(self) -> Self:
        """Start writing."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write the rest, and close."""
        self.stop()

    def start(self) -> None:
        """Write in a daemon thread from now on, once. In a server that forks workers, open and start after the fork.

        Raises:
            RuntimeError: it was started, or stopped, before.
        """
        if self._thread is not None or self._closed:
            message = "a History runs once: make a new one"
            raise RuntimeError(message)
        self._thread = threading.Thread(target=self._run, name="spillgate-history", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is new, and close the file. The last hour can still be read."""
        with self._lock:
            self._stopping = True
            self._happened.notify()
        if self._thread is not None:
            self._thread.join()
        with self._writing:
            if not self._closed:
                self._closed = True
                self._write()
                self._keeper.close()

    # Fed

    def observe(self, reading: Reading, assessment: Assessment, *, full: bool = True) -> None:
        """One more reading; unless it is ``full``, only memory was read, and of the rest nothing is known by it."""
        try:
            now = self._wall_clock()
            with self._lock:
                last = self._last_look_s
                if last is not None and now - last > self._expected_s + _LATE_S:
                    self._memory.gap(last, now)
                self._last_look_s = now
                self._memory.read(now, reading, assessment, full=full)
                self._wake()
        except Exception:  # noqa: BLE001 - nothing that is wrong here may stop a governor
            _log.debug("a reading was not kept", exc_info=True)

    def expect(self, within_s: float) -> None:
        """The next look is due so soon; had it been much later, nobody looked in between."""
        self._expected_s = within_s

    def unreadable(self) -> None:
        """A look failed."""
        try:
            now = self._wall_clock()
            with self._lock:
                self._last_look_s = now
                self._memory.unknown(now)
                self._wake()
        except Exception:  # noqa: BLE001 - as above
            _log.debug("a failed look was not kept", exc_info=True)

    def keep(self, entry: Entry) -> None:
        """One more entry of the journal."""
        with self._lock:
            self._memory.entries.put(entry.number, entry)
            self.last_number = entry.number
            self._wake()

    def saw(self, census: Census) -> None:
        """One more census; the last of each five minutes is kept."""
        try:
            now = self._wall_clock()
            with self._lock:
                self._memory.counted(now, census)
                self._wake()
        except Exception:  # noqa: BLE001 - as above
            _log.debug("a census was not kept", exc_info=True)

    def delivered(self, delivery: Delivery) -> None:
        """An alert was delivered, or could not be."""
        with self._lock:
            self._deliveries += 1
            self._memory.deliveries.put(self._deliveries, delivery)
            self._wake()

    def _wake(self) -> None:
        if not self._fresh:
            self._fresh = True
            self._happened.notify()

    # Asked

    def points(self, span: Span, since_s: float = 0) -> tuple[Point, ...]:
        """The points of a span up to now, oldest first, the one under way included.

        With ``since_s`` from the one on that this time (Unix seconds) is in.
        """
        now, step_s = self._wall_clock(), span.resolution_s
        first = max(now - span.seconds, since_s - step_s) + 1e-6
        with self._lock:
            recent = dict(self._memory.points[step_s].values)
        found = {
            int(one.at_s): one
            for one in self._keeper.read(lambda store: store.points(step_s, first, now), list[Point]())
        }
        for at_s, one in recent.items():
            if first <= at_s <= now:
                before = found.get(at_s)
                found[at_s] = one if before is None else before.updated_by(one)
        return tuple(found[at_s] for at_s in sorted(found))

    @property
    def seconds(self) -> int:
        """The number of the last second that is over; 0 before the first. They are numbered as they come, from 1."""
        now = self._wall_clock()
        with self._lock:
            return self._memory.over(now)

    def newest(self, after: int) -> tuple[tuple[int, Point], ...]:
        """The seconds that are over, with their numbers, from the one after that; an hour of them at most.

        They come in the order in which they were read, which a clock that is set does not change: the times need not
        rise, and a time that comes twice is there with everything read in it, by its last number.
        """
        now = self._wall_clock()
        with self._lock:
            return self._memory.newest(after, now)

    def usages(self, span: Span) -> tuple[Usages, ...]:
        """What namespaces held, oldest first: every five minutes, in a year every hour."""
        now, step_s = self._wall_clock(), span.usages_resolution_s
        first = now - span.seconds
        with self._lock:
            recent: dict[int, Namespaces] = dict(self._memory.usages[step_s].values)
        written = self._keeper.read(lambda store: store.usages(step_s, first, now), list[Usages]())
        found = {int(one.at_s): one for one in written}
        found |= {at_s: Usages(at_s, held) for at_s, held in recent.items() if first <= at_s <= now}
        return tuple(found[at_s] for at_s in sorted(found))

    def entries(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = 100,
        events: Iterable[Event | str] = (),
        levels: Iterable[str] = (),
        text: str = "",
    ) -> tuple[Entry, ...]:
        """Entries of the journal whose numbers lie between ``after`` and ``before``, newest first.

        Of these ``events`` and ``levels`` where some are named; every word of ``text`` is in the message.
        """
        names = frozenset(str(event) for event in events)
        wanted = Wanted(after, before, limit, names, frozenset(levels), tuple(text.casefold().split()))
        with self._lock:
            recent = dict(self._memory.entries.values)
        found = {one.number: one for one in self._keeper.read(lambda store: store.entries(wanted), list[Entry]())}
        found |= {n: one for n, one in recent.items() if wanted.has(n, one.event, one.level, one.message)}
        return tuple(found[number] for number in sorted(found, reverse=True)[:limit])

    def deliveries(self, limit: int = 100) -> tuple[Delivery, ...]:
        """How alerts were delivered, newest first."""
        with self._lock:
            recent = dict(self._memory.deliveries.values)
        found = dict(self._keeper.read(lambda store: store.deliveries(limit), list[tuple[int, Delivery]]())) | recent
        return tuple(found[number] for number in sorted(found, reverse=True)[:limit])

    def notices(self) -> tuple[Notice, ...]:
        """What it has to tell of itself since it was asked last."""
        told: list[Notice] = []
        while self._notices:
            told.append(self._notices.popleft())
        return tuple(told)

    # Written

    def flush(self) -> None:
        """Write what is new now; `error` tells whether that went well."""
        with self._writing:
            if not self._closed:
                self._write()

    def _run(self) -> None:
        retry_s = _FIRST_RETRY_S
        while not self._stopping:
            with self._lock:
                self._happened.wait_for(lambda: self._fresh or self._stopping)
                self._happened.wait_for(lambda: self._stopping, self._gather_s if self.error is None else retry_s)
            if self._stopping:
                return  # `stop` writes the rest
            failing = self.error is not None
            self.flush()
            retry_s = min(_LAST_RETRY_S, retry_s * 2) if failing else _FIRST_RETRY_S

    def _write(self) -> None:
        with self._lock:
            batch, self._fresh = self._memory.take(), False
        try:
            self._keeper.write(batch, self._wall_clock())
        except Exception as error:  # noqa: BLE001 - whatever is wrong with what is new, this thread has to go on
            with self._lock:
                self._memory.give_back(batch)
                self._fresh = True
            why = error if isinstance(error, UnusableError) else f"{type(error).__name__}: {error}"
            self._tell(f"the history cannot be written: {why}; what is new is kept in memory until it can")
        else:
            with self._lock:
                self._memory.settle()
            self._tell(None)

    def _tell(self, error: str | None) -> None:
        if error and error != self.error:
            self._notices.append(Notice(grave=True, message=error))
        elif self.error and error is None:
            self._notices.append(Notice(grave=False, message="the history is written again"))
        self.error = error
