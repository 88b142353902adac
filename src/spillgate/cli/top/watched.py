"""What was seen since the watching began."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from spillgate.cli.top.looks import Past
from spillgate.cli.top.seen import Happened, Seen

_MOST_COLUMNS = 512
_KEPT_ENTRIES = 200
# What was seen stands for so many intervals; a longer silence is a gap.
_STANDS = 3.0


class Trail:
    """Memory over time, in at most 512 columns of equal length; where they do not suffice two become one.

    A column is the most that was in use, None where that is not known.
    """

    def __init__(self, began_s: float, column_s: float) -> None:
        self.columns: list[int | None] = []
        self.column_s = column_s
        self._began_s = began_s
        self._latest_s: float | None = None

    @classmethod
    def of_past(cls, past: Past, now_s: float, interval_s: float) -> "Trail":
        """One that begins with what is known of the time before ``now_s``."""
        oldest_s = max((ago_s for ago_s, _ in past), default=0.0)
        trail = cls(now_s - oldest_s, interval_s)
        for ago_s, used_bytes in past:
            trail.add(now_s - ago_s, used_bytes, interval_s)
        return trail

    def add(self, at_s: float, used_bytes: int | None, interval_s: float) -> None:
        """One more look, or one that failed (None), while looking every ``interval_s``."""
        while (index := max(0, int((at_s - self._began_s) / self.column_s))) >= _MOST_COLUMNS:
            self._halve()
        stands = self._latest_s is not None and at_s - self._latest_s <= _STANDS * interval_s + self.column_s
        between = self.columns[-1] if self.columns and stands else None
        self.columns += [between] * (index - len(self.columns))
        if index == len(self.columns):
            self.columns.append(used_bytes)
        else:  # two looks in one column
            self.columns[index] = _most(self.columns[index], used_bytes)
        self._latest_s = at_s

    def _halve(self) -> None:
        pairs = zip(self.columns[::2], [*self.columns[1::2], None], strict=False)
        self.columns = [_most(left, right) for left, right in pairs]
        self.column_s *= 2


def _most(left: int | None, right: int | None) -> int | None:
    return right if left is None else left if right is None else max(left, right)


@dataclass(slots=True)
class Rise:
    """By how much a counter of the server rose; one that fell began anew. None while it was never told."""

    total: int | None = None
    _latest: int | None = None

    def add(self, count: int | None) -> None:
        """What it shows now."""
        if count is None:
            return
        if self._latest is None or self.total is None:
            self.total = 0
        else:
            self.total += count - self._latest if count >= self._latest else count
        self._latest = count


@dataclass(slots=True)
class Watched:
    """The latest look, and what came before it; ``began_s`` is when, by the clock of the looks."""

    trail: Trail
    seen: Seen | None = None
    seen_at_s: float = 0.0
    evicted: Rise = field(default_factory=Rise)
    refused: Rise = field(default_factory=Rise)
    entries: deque[Happened] | None = None

    def take(self, seen: Seen, at_s: float, interval_s: float) -> Sequence[Happened]:
        """One more look; returns what its journal has."""
        self.seen, self.seen_at_s = seen, at_s
        self.trail.add(at_s, seen.used_bytes if seen.reachable else None, interval_s)
        if seen.reachable:
            self.evicted.add(seen.server.evicted_keys)
            self.refused.add(seen.server.refused_writes)
        if seen.journal is None:
            return ()
        self.entries = deque(maxlen=_KEPT_ENTRIES) if self.entries is None else self.entries
        self.entries += seen.journal
        return seen.journal

    def age_s(self, now_s: float) -> float | None:
        """How long ago the server was last read."""
        if self.seen is None or self.seen.age_s is None:
            return None
        return self.seen.age_s + max(0.0, now_s - self.seen_at_s)
