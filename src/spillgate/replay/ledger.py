"""The keys that must be on the server, and those of them that are not.

A key of a protected namespace, of one whose live keys are never touched (``cleanup = "expired"``), or of none may end
by its own TTL, or by a delete of the workload, and by nothing else.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

_BATCH = 256
# Keys with less than this left are not looked for, so that the clocks of client and server need not agree.
_MARGIN_S = 0.010


class Ledger:
    """What was written and when it ends, in seconds of the client's clock."""

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()
        self._due: dict[bytes, tuple[float, str]] = {}

    def wrote(self, key: bytes, namespace: str, ends_s: float) -> None:
        """A key was set, and ends at ``ends_s`` or later."""
        self._due[key] = (ends_s, namespace)

    def forget(self, key: bytes) -> None:
        """A key was deleted on purpose."""
        self._due.pop(key, None)

    def missed(self, key: bytes, now_s: float) -> None:
        """A key was not there, by a reply that came before ``now_s``."""
        ends_s, namespace = self._due.pop(key, (0.0, ""))
        if ends_s > now_s + _MARGIN_S:
            self.lost[namespace] += 1

    def due(self, now_s: float) -> Iterator[list[bytes]]:
        """The keys that must be there, in batches; what is over is forgotten."""
        self._due = {key: entry for key, entry in self._due.items() if entry[0] > now_s + _MARGIN_S}
        keys = list(self._due)
        for start in range(0, len(keys), _BATCH):
            yield keys[start : start + _BATCH]

    def missing(self, keys: Iterable[bytes], now_s: float) -> None:
        """Several keys were not there."""
        for key in keys:
            self.missed(key, now_s)
