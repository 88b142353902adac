"""What one namespace would be with each TTL: hits, writes and memory, as a curve that can be asked between its points.

A TTL runs from the write of a value, so hits rise and memory grows with it: the curve stands where a miss-ratio curve
by cache size does, with the TTL in place of the size (Sultan, Shakiba, Lee, Chen, Stumm: "TTLs Matter", EuroSys 2024).
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

from spillgate.model import Estimate


@dataclass(frozen=True, slots=True)
class Point:
    """One TTL of a curve, when it has gone on for a while.

    The interval of ``hit_ratio`` has what is ``unknown`` as well, a share of all reads. ``misses`` are those of the
    sampled keys, their first reads left out, ``squares`` the sum of the squares of each key's. ``bytes`` are resident,
    with names, overhead and the keys' part of the server's key tables. ``cold_hit_ratio`` and ``cold_bytes`` are from
    an empty cache on, over the time that was recorded.
    """

    ttl_s: float
    hit_ratio: Estimate
    unknown: float
    misses: float
    squares: float
    writes_per_s: float
    keys: Estimate
    bytes: Estimate
    cold_hit_ratio: float
    cold_bytes: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one namespace, shortest TTL first; there is at least one.

    ``reads`` were recorded in ``recorded_s`` seconds of each process; ``reads_per_s`` are of all processes together.
    ``hit_ratio`` is what readers really got. ``first`` is the share of reads that were the first of their key,
    ``updated`` the share of writes that renewed a value before its TTL was over. ``compute_s`` is what computing a
    value took on average, None where that was not seen often enough. ``sampled_reads`` are those of the sampled keys,
    and ``noise`` times the root of a sum of squares is half the interval of that sum, for the sampling (0: all keys
    were sampled).
    """

    name: str
    points: tuple[Point, ...]
    reads: int
    reads_per_s: float
    recorded_s: float
    hit_ratio: float
    first: float
    updated: float
    sampled_reads: float
    noise: float
    compute_s: float | None = None

    @property
    def longest_s(self) -> float:
        """The longest TTL of which something is known."""
        return self.points[-1].ttl_s

    def at(self, ttl_s: float) -> Point:
        """Any TTL: between two points by the logarithm of the TTL, beyond the ends as there.

        Beyond the longest nobody knows what more there would be: hits may be all there are, and memory anything.
        """
        ttls = [point.ttl_s for point in self.points]
        after = bisect_left(ttls, ttl_s)
        if after == len(ttls):
            return _beyond(self.points[-1], ttl_s)
        if after == 0 or ttls[after] == ttl_s:
            return _at(ttl_s, self.points[after])
        near, far = self.points[after - 1], self.points[after]
        return _between(ttl_s, near, far, math.log(ttl_s / near.ttl_s) / math.log(far.ttl_s / near.ttl_s))

    def lost(self, now_s: float, then_s: float) -> Estimate:
        """Hits lost by going from one TTL to another, as a share of reads; negative where they are won.

        Beside what comes of sampling, reads of which the shorter tells and the longer does not are uncertain: they were
        misses of the shorter, and may be anything of the longer.
        """
        if now_s == then_s:
            return Estimate.exact(0.0)
        shorter, longer = self.at(min(now_s, then_s)), self.at(max(now_s, then_s))
        off = self.sampling_error(now_s, then_s) + max(0.0, longer.unknown - shorter.unknown)
        value = max(0.0, longer.hit_ratio.value - shorter.hit_ratio.value)
        low, high = max(0.0, value - off), min(1.0, value + off)
        if longer.hit_ratio.high >= 1 and longer.ttl_s > self.longest_s:
            high = max(high, 1 - shorter.hit_ratio.low)
        return Estimate(value, low, high) if then_s < now_s else Estimate(-value, -high, -low)

    def sampling_error(self, one_s: float, other_s: float) -> float:
        """Half of the interval of the hits lost, as far as it comes of sampling keys.

        A shorter TTL never hits where a longer one misses, so what is uncertain is the misses that the shorter has more
        in the sample. None of a key's are closer together than the shorter TTL, which bounds the sum of their squares.
        """
        shorter, longer = self.at(min(one_s, other_s)), self.at(max(one_s, other_s))
        more = max(0.0, shorter.misses - longer.misses)
        squares = min(max(shorter.squares, more), more * (self.recorded_s / shorter.ttl_s + 1)) + 1
        return self.noise * math.sqrt(squares) / max(1.0, self.sampled_reads)

    def freed(self, now_s: float, then_s: float) -> Estimate:
        """Bytes freed by going from one TTL to another; negative where it takes more."""
        if now_s == then_s:
            return Estimate.exact(0.0)
        now, then = self.at(now_s).bytes, self.at(then_s).bytes
        value = now.value - then.value
        part = abs(value) / max(now.value, then.value, 1.0)
        # The same keys are in both: what is uncertain of the smaller is so of the larger in the same proportion.
        below = part * max(now.value - now.low, then.value - then.low)
        above = part * max(now.high - now.value, then.high - then.value) if part else 0.0
        return (
            Estimate(value, value - below, value + above)
            if value >= 0
            else Estimate(value, value - above, value + below)
        )


def _at(ttl_s: float, point: Point) -> Point:
    return point if point.ttl_s == ttl_s else _between(ttl_s, point, point, 0.0)


def _beyond(last: Point, ttl_s: float) -> Point:
    hits = Estimate(last.hit_ratio.value, last.hit_ratio.low, 1.0)
    keys, size = (Estimate(one.value, one.low, math.inf) for one in (last.keys, last.bytes))
    return replace(last, ttl_s=ttl_s, hit_ratio=hits, keys=keys, bytes=size)


def _between(ttl_s: float, near: Point, far: Point, part: float) -> Point:
    def number(of: Callable[[Point], float]) -> float:
        start, end = of(near), of(far)
        return start if not part or start == end else start + part * (end - start)

    def estimate(of: Callable[[Point], Estimate]) -> Estimate:
        value = number(lambda point: of(point).value)
        low, high = number(lambda point: of(point).low), number(lambda point: of(point).high)
        return Estimate(value, min(low, value), max(high, value))

    return Point(
        ttl_s=ttl_s,
        hit_ratio=estimate(lambda point: point.hit_ratio),
        unknown=number(lambda point: point.unknown),
        misses=number(lambda point: point.misses),
        squares=number(lambda point: point.squares),
        writes_per_s=number(lambda point: point.writes_per_s),
        keys=estimate(lambda point: point.keys),
        bytes=estimate(lambda point: point.bytes),
        cold_hit_ratio=number(lambda point: point.cold_hit_ratio),
        cold_bytes=number(lambda point: point.cold_bytes),
    )
