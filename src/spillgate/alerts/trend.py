"""Where memory is heading, by a slope that a burst does not bend (Theil-Sen: the median of the slopes of all pairs)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from spillgate.governor.history import Point

SPAN_S = 900.0
"""How far back is looked."""
_BUCKET_S = 30
_LEAST_BUCKETS = 8
_LATELY = 3  # the last third must rise by itself: what rose and stopped is heading nowhere


@dataclass(frozen=True, slots=True)
class Trend:
    """Memory that grows by ``bytes_s`` a second, from ``used_bytes``."""

    bytes_s: float
    used_bytes: float

    def reaches_in_s(self, limit_bytes: int) -> float:
        """Seconds until it is at the limit."""
        return max(0.0, limit_bytes - self.used_bytes) / self.bytes_s


def trend_of(points: Iterable[Point], now_unix_s: float) -> Trend | None:
    """The trend of the last quarter of an hour; None where memory does not grow, or too little is known to tell."""
    buckets: dict[int, list[int]] = defaultdict(list)
    for point in points:
        if point.used_bytes is not None and 0 <= now_unix_s - point.at_s <= SPAN_S:
            buckets[int(point.at_s // _BUCKET_S)].append(point.used_bytes)
    line = [(bucket * float(_BUCKET_S), median(used)) for bucket, used in sorted(buckets.items())]
    if len(line) < _LEAST_BUCKETS:
        return None
    slope = min(_slope(line), _slope(line[-max(_LEAST_BUCKETS // 2, len(line) // _LATELY) :]))
    return Trend(slope, median(used for _, used in line[-_LATELY:])) if slope > 0 else None


def _slope(line: Sequence[tuple[float, float]]) -> float:
    return median((later - before) / (end - begin) for (begin, before), (end, later) in combinations(line, 2))
