"""What the demo sees for itself, apart from the governor, and what it tells of the governor's journal."""

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import msgspec

from spillgate.config import Policy
from spillgate.errors import ServerError
from spillgate.governor.journal import Entry, Event, Journal
from spillgate.model import Level, Reading
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable
from spillgate.units import format_bytes, format_duration

_LOOK_S = 0.05
_FULL_LOOK_S = 0.5
_COLUMNS = 240
_KEPT_LINES = 100

Line = tuple[float, str]
"""Something that happened, with its time in seconds of the run."""


class MemoryWatch:
    """Looks at a server's memory every 50 ms over a connection of its own, in a thread, while in its context.

    ``peak_bytes`` is the most that it or the governor has seen in use. ``columns`` is the time line: 240 parts of the
    run, each with the highest memory seen in it, 0 where none was yet. ``evicted`` is None until known. A server that
    fails ends the watch and leaves what was seen last.
    """

    def __init__(self, policy: Policy, seconds: float, governors: Callable[[], Reading | None]) -> None:
        """Prepare to watch a run of ``seconds``, which begins with the context; ``governors`` is its latest reading."""
        self.used_bytes = 0
        self.peak_bytes = 0
        self.evicted: int | None = None
        self.columns = [0] * _COLUMNS
        self._seconds = seconds
        self._governors = governors
        self._gateway = Gateway(policy.server, ScanTable(()), clock=time.monotonic)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spillgate-demo-watch", daemon=True)
        self._started = self._full_at = 0.0

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._look(full=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take a last, full look; then end."""
        self._stopping.set()
        self._thread.join()
        self._gateway.close()

    def _run(self) -> None:
        with contextlib.suppress(ServerError):
            while not self._stopping.wait(_LOOK_S):
                self._look(full=time.monotonic() - self._full_at >= _FULL_LOOK_S)
            self._look(full=True)

    def _look(self, *, full: bool) -> None:
        now = time.monotonic()
        if full:
            reading, self._full_at = self._gateway.read(), now
            self.evicted = reading.evicted_keys
        else:
            reading = self._gateway.read_memory()
        self.used_bytes = reading.used_bytes
        governors = self._governors()
        self.peak_bytes = max(self.peak_bytes, reading.used_bytes, governors.used_bytes if governors else 0)
        column = min(_COLUMNS - 1, int((now - self._started) / self._seconds * _COLUMNS))
        self.columns[column] = max(self.columns[column], reading.used_bytes)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a cleanup, as the demo's JSON document has it."""

    kind: str
    namespace: str | None
    reason: str
    deleted: int
    deleted_by_namespace: dict[str, int]
    retimed: int
    expired: int
    freed_bytes: int
    seconds: float
    together: tuple[str, ...] = ()

    def in_words(self) -> str:
        """The numbers first: a narrow screen cuts what is behind them."""
        deleted = sorted(self.deleted_by_namespace.items(), key=lambda item: -item[1])
        did = ["deleted " + ", ".join(f"{count:,} {name}" for name, count in deleted)] if deleted else []
        did += [f"dropped {self.expired:,} expired"] if self.expired else []
        did += [f"shortened {self.retimed:,} TTLs"] if self.retimed else []
        name = f"{self.kind} {', '.join((self.namespace, *self.together))}" if self.namespace else self.kind
        freed, took = format_bytes(self.freed_bytes), format_duration(round(self.seconds, 3))
        return f"{name}: {', '.join(did) or 'nothing to do'}; {freed} in {took}: {self.reason}"


class Story:
    """What the journal of one run tells: the levels in the order of their first visit, the steps, what they deleted.

    ``lines`` are the latest happenings, oldest first.
    """

    def __init__(self, journal: Journal, began_unix_s: float) -> None:
        """Nothing is told before `read_on`."""
        self.levels: list[Level] = []
        self.steps: list[Step] = []
        self.deleted: Counter[str] = Counter()
        self.lines: deque[Line] = deque(maxlen=_KEPT_LINES)
        self._journal = journal
        self._began_unix_s = began_unix_s
        self._read = 0

    def read_on(self) -> list[Line]:
        """Take in what is new, and return its lines."""
        new: list[Line] = []
        for entry in self._journal.entries(self._read):
            self._read = entry.number
            text = self._take(entry)
            if text is not None:
                new.append((max(0.0, entry.at_unix_s - self._began_unix_s), text))
        self.lines += new
        return new

    def _take(self, entry: Entry) -> str | None:
        """What to tell of an entry; None for what is no news to who watches."""
        match entry.event:
            case Event.LEVEL:
                level = Level[entry.level.upper()]
                self.levels += [] if level in self.levels else [level]
                return entry.message
            case Event.ACTION if entry.details:
                step = msgspec.convert(entry.details, Step)
                self.steps.append(step)
                self.deleted.update(step.deleted_by_namespace)
                return step.in_words()
            case Event.ACTION | Event.ALARM | Event.ERROR:
                return entry.message
            case _:
                return None
