"""Places for connections that threads take and give back: so many, and who waits for one is served in turn."""

import threading
from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from spillgate.errors import ServerUnreachable


class NoConnectionFree(ServerUnreachable):
    """All connections are in use, and none became free in time: allow more of them, or fewer callers at once."""


@dataclass(slots=True)
class Line:
    """A place for a connection, and since when it is idle."""

    connection: Any = None
    idle_since_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiter:
    """A thread that waits for a line: locked until it was given one."""

    line: Line | None = None
    given: threading.Lock = field(default_factory=threading.Lock)


class Lines:
    """So many lines, all of which are idle at first."""

    __slots__ = ("_idle", "_lock", "_queue")

    def __init__(self, most: int) -> None:
        self._idle = deque(Line() for _ in range(most))
        self._queue: deque[_Waiter] = deque()
        self._lock = threading.RLock()  # a signal's handler may use the cache as well

    def take(self, deadline_s: float) -> Line:
        """The line that was used last, so that no more connections are made than are needed at once.

        Where others wait, it is their turn first: whoever has just given a line back would always be faster.

        Raises:
            NoConnectionFree: none was to be had until then.
        """
        if not self._queue:
            try:
                return self._idle.pop()
            except IndexError:
                pass
        waiter = _Waiter()
        waiter.given.acquire()
        with self._lock:
            self._queue.append(waiter)
            self._hand_on()  # one may have been given back before anybody was in the queue
        try:
            waiter.given.acquire(timeout=max(0.0, deadline_s - monotonic()))
        except BaseException:  # a signal's handler raised
            line = self._leave(waiter)
            if line is not None:
                self.give(line)
            raise
        line = self._leave(waiter)
        if line is None:
            raise NoConnectionFree
        return line

    def take_idle(self) -> list[Line]:
        """All that are idle."""
        taken: list[Line] = []
        try:
            while True:
                taken.append(self._idle.pop())
        except IndexError:
            return taken

    def give(self, line: Line) -> None:
        """Give a line back."""
        self._idle.append(line)
        if self._queue:
            with self._lock:
                self._hand_on()

    def _hand_on(self) -> None:
        """Give idle lines to those who wait; with the lock held."""
        while self._queue and self._idle:
            try:
                line = self._idle.pop()
            except IndexError:  # somebody was faster, who did not see the queue
                return
            waiter = self._queue.popleft()
            waiter.line = line
            waiter.given.release()

    def _leave(self, waiter: _Waiter) -> Line | None:
        """Wait no longer; the line that was given meanwhile."""
        if waiter.line is None:
            with self._lock:
                if waiter.line is None:
                    self._queue.remove(waiter)
        return waiter.line
