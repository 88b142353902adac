"""What the demo sees for itself, apart from the governor: memory on a connection of its own, and the journal told on."""

import contextlib
import threading
import time
from collections import Counter, deque

from spillgate.config import Policy
from spillgate.errors import ServerError
from spillgate.governor.journal import Entry, Event, Journal
from spillgate.model import Level
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable

_LOOK_S = 0.05
_FULL_S = 0.5
# Columns of the time line; a column keeps the highest memory seen in its time.
COLUMNS = 240
_TELLABLE = {Event.LEVEL, Event.ACTION, Event.ALARM, Event.ERROR}
_KEPT_ENTRIES = 100


class MemoryWatch:
    """Looks at a server's memory every 50 ms, in a thread of its own, while used as a context manager.

    ``evicted`` is None until known. A server that fails ends the watch and leaves what was last seen.
    """

    def __init__(self, policy: Policy, seconds: float) -> None:
        """Prepare to watch a run of ``seconds``."""
        self.used_bytes = 0
        self.peak_bytes = 0
        self.evicted: int | None = None
        self.columns = [0] * COLUMNS
        self._seconds = seconds
        self._gateway = Gateway(policy.server, ScanTable(()), clock=time.monotonic)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spillgate-demo-watch", daemon=True)
        self._started = self._full_at = 0.0

    def __enter__(self) -> "MemoryWatch":
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._gateway.close()

    def start_over(self) -> None:
        """Begin the time line now."""
        self._started = time.monotonic()
        self.columns = [0] * COLUMNS

    def _run(self) -> None:
        with contextlib.suppress(ServerError):
            while not self._stopping.wait(_LOOK_S):
                self._look()
            self._look(full=True)

    def _look(self, *, full: bool = False) -> None:
        now = time.monotonic()
        if full or now - self._full_at >= _FULL_S:
            reading, self._full_at = self._gateway.read(), now
            self.evicted = reading.evicted_keys
        else:
            reading = self._gateway.read_memory()
        self.used_bytes = reading.used_bytes
        self.peak_bytes = max(self.peak_bytes, reading.used_bytes)
        column = min(COLUMNS - 1, int((now - self._started) / self._seconds * COLUMNS))
        self.columns[column] = max(self.columns[column], reading.used_bytes)


class Story:
    """The journal of one run, read on whenever asked: levels in the order of their first visit, actions, deletions."""

    def __init__(self, journal: Journal) -> None:
        """Start at the journal's beginning."""
        self.levels: list[Level] = []
        self.actions: list[dict[str, object]] = []
        self.deleted: Counter[str] = Counter()
        self.latest: deque[Entry] = deque(maxlen=_KEPT_ENTRIES)
        self._journal = journal
        self._read = 0
