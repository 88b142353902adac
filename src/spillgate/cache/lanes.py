"""Sampled keys in caches with other TTLs: each of `TTLS_S` is a lane, in which a key's value is there until a tick."""

from array import array
from collections.abc import Iterable, Sequence
from operator import mul
from typing import Final

from spillgate.cache.recording import TTLS_S
from spillgate.cache.track import LANES, TICKS_PER_S, Sums, Track

LENGTHS: Final = tuple(ttl_s * TICKS_PER_S for ttl_s in TTLS_S)
_NONE: Final = array("I", (0,)) * LANES


class Lanes:
    """By slot: when the value is gone in each lane (0: it is not there), until when it is there in all, its bytes.

    What it comes to is added to the sums of a `Track`.
    """

    __slots__ = ("ends", "quiet", "sizes")

    def __init__(self, capacity: int) -> None:
        self.ends = array("I", (0,)) * (LANES * (capacity + 1))
        self.quiet, self.sizes = (array("I", (0,)) * (capacity + 1) for _ in range(2))

    def gone(self, slot: int, tick: int) -> list[int]:
        """The TTLs by which the value is gone."""
        return [lane for lane, end in enumerate(self.ends[slot * LANES : (slot + 1) * LANES]) if end <= tick]

    def store(self, track: Track, slot: int, tick: int, lanes: Iterable[int]) -> None:
        """The value is written. Its whole life is counted now, and corrected if it ends before its time."""
        base, size, ends = slot * LANES, self.sizes[slot], self.ends
        for lane in lanes:
            length = LENGTHS[lane]
            ends[base + lane] = tick + length
            track.kept[lane] += length
            track.kept_bytes[lane] += length * size
        self.quiet[slot] = min(ends[base : base + LANES])

    def prolong(self, track: Track, slot: int, tick: int) -> None:
        """Where the value is there it has its whole TTL from ``tick`` on."""
        base, size, ends = slot * LANES, self.sizes[slot], self.ends
        for lane, length in enumerate(LENGTHS):
            end = ends[base + lane]
            if 0 < end < tick + length:
                ends[base + lane] = tick + length
                track.kept[lane] += tick + length - end
                track.kept_bytes[lane] += (tick + length - end) * size
        self.quiet[slot] = min(ends[base : base + LANES])

    def drop(self, track: Track, slot: int, tick: int) -> None:
        """The value is gone by any TTL."""
        base, size = slot * LANES, self.sizes[slot]
        for lane, end in enumerate(self.ends[base : base + LANES]):
            if end > tick:
                track.kept[lane] -= end - tick
                track.kept_bytes[lane] -= (end - tick) * size
        self.vacate(slot)

    def vacate(self, slot: int) -> None:
        """There is no value by any TTL."""
        self.ends[slot * LANES : (slot + 1) * LANES] = _NONE
        self.quiet[slot] = 0

    def settle(self, sums: Sums, slots: Sequence[int], tick: int, sign: int) -> None:
        """Take out of the sums, or put into them, the time from now on until the values would be gone."""
        kept, kept_bytes = sums
        sizes = [self.sizes[slot] for slot in slots]
        for lane in range(LANES):
            ends = self.ends[lane::LANES]
            left = [end - tick if (end := ends[slot]) > tick else 0 for slot in slots]
            kept[lane] += sign * sum(left)
            kept_bytes[lane] += sign * sum(map(mul, left, sizes))
