"""Looks in a thread of their own, so that a server that hangs holds up nothing but the next look."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, Self

from spillgate.web.views import Document

# A thread that waits for a server that hangs is left to itself.
_PATIENCE_S = 0.5

Past = Sequence[tuple[float, int | None]]
"""Memory before the first look: how long ago, and the bytes in use, None where that is not known; oldest first."""


class Source(Protocol):
    """Where looks come from."""

    @property
    def past(self) -> Past:
        """What is known of the time before the first look; to be asked after it."""
        ...

    def look(self, interval_s: float) -> Document:
        """One look, while looking every ``interval_s``; raises only what no further look will mend."""
        ...

    def pause_s(self, interval_s: float) -> float:
        """How long to wait until the next look, where ``interval_s`` is wanted."""
        ...

    def close(self) -> None:
        """Give up the connection."""
        ...


class Look(NamedTuple):
    """One look: when it ended, by the monotonic clock, and what it told."""

    at_s: float
    document: Document


class Looks:
    """Looks at ``source`` every ``interval_s`` while in its context; ``tell`` is called, in the thread, after each."""

    def __init__(self, source: Source, interval_s: float, tell: Callable[[], None]) -> None:
        self._source = source
        self._interval_s = interval_s
        self._tell = tell
        self._paused = self._ended = False
        self._changed = threading.Condition()
        self._new: deque[Look] = deque()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="spillgate-top", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(_PATIENCE_S)

    def take(self) -> list[Look]:
        """What is new; raises what ended the looks, if something did."""
        with self._changed:
            new = list(self._new)
            self._new.clear()
            if not new and self._failure is not None:
                raise self._failure
        return new

    def change(self, interval_s: float, *, paused: bool) -> None:
        """Look this often from now on, or not at all while ``paused``."""
        with self._changed:
            self._interval_s, self._paused = interval_s, paused
            self._changed.notify()

    def _run(self) -> None:
        try:
            while not self._ended:
                document = self._source.look(self._interval_s)
                with self._changed:
                    self._new.append(Look(time.monotonic(), document))
                self._tell()
                self._wait()
            self._source.close()
        except Exception as error:  # noqa: BLE001 - raised again where it is seen, by `take`
            self._failure = error
            self._tell()

    def _wait(self) -> None:
        """Until the next look is due, also where that changes meanwhile."""
        began_s = time.monotonic()
        with self._changed:
            while not self._ended:
                left_s = began_s + self._source.pause_s(self._interval_s) - time.monotonic()
                if left_s <= 0 and not self._paused:
                    return
                self._changed.wait(None if self._paused else left_s)
