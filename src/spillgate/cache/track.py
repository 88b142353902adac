"""What is noted of one namespace: exact totals, and sums over the sampled keys."""

import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final
from zlib import crc32

from spillgate.cache.popular import CELLS, EVERY, SHIFT
from spillgate.cache.recording import COST_BUCKETS, HASHES, SIZE_BUCKETS, TTLS_S

if TYPE_CHECKING:
    from spillgate.cache.reuse import Sample

TICKS_PER_S: Final = 32
LANES: Final = len(TTLS_S)
"""One lane is one simulated TTL."""

GROUPS: Final = 8
"""Misses are added up in so many groups of keys; how far these differ tells how far off the whole may be."""

Sums = tuple["array[float]", "array[float]"]

HIT: Final = -1
"""The size of a value that was read, where it is not known."""

_MICRO: Final = 1_000_000
# The hash must be the same in each process, and cost next to nothing. CRC-32 alone is linear: numbered keys would be
# spread unevenly. Knuth's multiplicative hashing mends that.
_MIX: Final = 2_654_435_761
_MASK: Final = HASHES - 1
_NOBODY: Final = bytearray(CELLS + 1)  # one more for the hash of no key


class Blind:
    """Where nothing is recorded."""

    __slots__ = ()

    def read(self, key: str, size: int) -> None:
        """A value was read: the bytes that are stored, `HIT` where that is not known, 0 where there was none."""

    def write(self, key: str, size: int, cost_s: float | None = None) -> None:
        """A value of so many stored bytes was written; after it was computed in ``cost_s`` seconds, if it was."""

    def read_many(self, keys: Sequence[str], sizes: Sequence[int]) -> None:
        """As `read`, of several values at once."""

    def write_many(self, keys: Sequence[str], sizes: Sequence[int]) -> None:
        """As `write`, of several values at once."""

    def renew(self, key: str) -> None:
        """A value got its whole TTL again."""

    def delete(self, key: str) -> None:
        """A value was deleted."""

    def clear(self) -> None:
        """All values were."""


class Track(Blind):
    """One namespace. Sums are of sampled keys, times of the sample's ticks.

    Most calls hash the key, compare, and are done. Two threads that count at once may lose one.

    The few keys of most reads have a track of their own, ``hot``, and are part of none of the sums here but the totals:
    whether chance picks them would decide everything. ``watched`` is a bitmap of their hashes.
    """

    __slots__ = (
        "_sample", "absent", "absent_sampled", "begun", "compute_s", "computes", "costs", "first", "hot", "kept",
        "kept_bytes", "marks", "misses", "name", "number", "quiet", "raised", "raised_at", "reads", "reuse", "seed",
        "since", "sizes", "sliding", "threshold", "unfilled", "updates", "watched", "writes",
    )  # fmt: skip

    def __init__(self, name: str, number: int, sample: "Sample", *, sliding: bool) -> None:
        self.name = name
        self.number = number
        self.sliding = sliding
        self._sample = sample
        self.seed = crc32(name.encode())
        self.restart(sample.tick())

    def restart(self, tick: int) -> None:
        """Forget everything."""
        # Keys with hashes below ``threshold`` are sampled: since ``begun``, those not below ``raised`` since then.
        self.threshold = self.raised = HASHES
        self.hot: Track | None = None
        self.watched = _NOBODY
        self.begun = self.since = self.raised_at = tick
        self.reads = self.absent = self.writes = self.computes = self.quiet = 0
        self.compute_s = self.updates = self.unfilled = self.absent_sampled = 0.0
        self.costs, self.sizes = _counts(COST_BUCKETS), _counts(SIZE_BUCKETS)
        self.first, self.reuse = _counts(LANES + 1), _counts(LANES + 1)
        self.misses = _counts(LANES * GROUPS)
        self.marks = array("Q")  # the reads there had been when the watch was as long as each TTL
        self.kept, self.kept_bytes = array("d", (0.0,)) * LANES, array("d", (0.0,)) * LANES

    # These are called for each key

    def read(self, key: str, size: int) -> None:
        """As of `Blind`."""
        self.reads += 1
        if not size:
            self.absent += 1
        try:
            hashed = crc32(key.encode(), self.seed) * _MIX & _MASK
        except UnicodeEncodeError:  # half a surrogate pair: such a key was never stored
            return
        if hashed < self.threshold or self.watched[hashed >> SHIFT]:
            self._sample.read(self, hashed, size)
        if self.threshold < HASHES and not self.reads % EVERY:
            self._sample.notice(self, hashed, size)

    def write(self, key: str, size: int, cost_s: float | None = None) -> None:
        """As of `Blind`."""
        self.writes += 1
        if cost_s is not None:
            self.computes += 1
            self.compute_s += cost_s
            self.costs[min(int(cost_s * _MICRO).bit_length(), COST_BUCKETS - 1)] += 1
        hashed = self._hashed(key)
        if hashed < self.threshold or self.watched[hashed >> SHIFT]:
            self._sample.write(self, hashed, size, computed=cost_s is not None)

    def read_many(self, keys: Sequence[str], sizes: Sequence[int]) -> None:
        """As of `Blind`."""
        self.reads += len(keys)
        self.absent += sizes.count(0)
        sampled = self._sampled(keys, sizes)
        if sampled:
            self._sample.read_many(self, sampled)
        if self.threshold < HASHES and self.reads % EVERY < len(keys):
            self._sample.notice(self, self._hashed(keys[0]), sizes[0])

    def write_many(self, keys: Sequence[str], sizes: Sequence[int]) -> None:
        """As of `Blind`."""
        self.writes += len(keys)
        sampled = self._sampled(keys, sizes)
        if sampled:
            self._sample.write_many(self, sampled)

    def renew(self, key: str) -> None:
        """As of `Blind`."""
        hashed = self._hashed(key)
        if hashed < self.threshold or self.watched[hashed >> SHIFT]:
            self._sample.renew(self, hashed)

    def delete(self, key: str) -> None:
        """As of `Blind`."""
        hashed = self._hashed(key)
        if hashed < self.threshold or self.watched[hashed >> SHIFT]:
            self._sample.delete(self, hashed)

    def clear(self) -> None:
        """As of `Blind`."""
        self._sample.clear(self)

    # What the sample does with it

    def scale(self, factor: float) -> None:
        """Bring the sums to another rate of sampling."""
        self.reuse[0] += self.quiet
        self.quiet = 0
        self.updates *= factor
        self.unfilled *= factor
        self.absent_sampled *= factor
        for sums in (self.sizes, self.first, self.reuse, self.misses, self.kept, self.kept_bytes):
            scale(sums, factor)

    def halve(self, tick: int) -> None:
        """Let what was so far weigh half."""
        self.scale(0.5)
        self.since = tick - (tick - self.since) // 2
        self.marks = array("Q", [reads // 2 for reads in self.marks])
        self.reads, self.absent, self.writes = self.reads // 2, self.absent // 2, self.writes // 2
        self.computes, self.compute_s = self.computes // 2, self.compute_s / 2
        scale(self.costs, 0.5)

    def mark(self, tick: int) -> None:
        """Take down how many reads there were, where the watch has become as long as another TTL."""
        while len(self.marks) < LANES and tick - self.begun >= TTLS_S[len(self.marks)] * TICKS_PER_S:
            self.marks.append(self.reads)

    def missed(self) -> tuple[list[float], list[float]]:
        """By TTL the misses, and the sum of the squares of each key's misses, as far as the groups tell.

        Every sum has as much chance in it as keys of much weight are in the sample or not; that sum of squares says how
        much. Eight groups tell it about as well as anybody needs, and keep no count for each key.
        """
        groups = [self.misses[lane::LANES] for lane in range(LANES)]
        means = [sum(group) / GROUPS for group in groups]
        squares = [sum((misses - mean) ** 2 for misses in group) for group, mean in zip(groups, means, strict=True)]
        return [mean * GROUPS for mean in means], [square * GROUPS / (GROUPS - 1) for square in squares]

    def size_bytes(self) -> int:
        """The memory that it takes."""
        shared = ("_sample", "hot", "watched") if self.watched is _NOBODY else ("_sample", "hot")
        own = [getattr(self, name) for name in Track.__slots__ if name not in shared]
        hot = self.hot.size_bytes() if self.hot is not None else 0
        return sys.getsizeof(self) + sum(map(sys.getsizeof, own)) + hot

    def _sampled(self, keys: Sequence[str], sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Hash and size of those that are sampled."""
        seed, threshold = self.seed, self.threshold
        try:
            hashes = [crc32(key.encode(), seed) * _MIX & _MASK for key in keys]
        except UnicodeEncodeError:
            hashes = [self._hashed(key) for key in keys]
        pairs = zip(hashes, sizes, strict=True)
        watched = self.watched
        return [pair for pair in pairs if pair[0] < threshold or watched[pair[0] >> SHIFT]]

    def _hashed(self, key: str) -> int:
        try:
            return crc32(key.encode(), self.seed) * _MIX & _MASK
        except UnicodeEncodeError:
            return HASHES


def scale(sums: "array[float]", factor: float) -> None:
    """Multiply all."""
    for place, amount in enumerate(sums):
        sums[place] = amount * factor


def rounded(amounts: Iterable[float]) -> tuple[int, ...]:
    """As whole numbers, none below 0."""
    return tuple(max(0, round(amount)) for amount in amounts)


def trimmed(amounts: Iterable[float]) -> tuple[int, ...]:
    """The same without the zeros at the end."""
    counts = list(rounded(amounts))
    while counts and not counts[-1]:
        counts.pop()
    return tuple(counts)


def _counts(count: int) -> "array[float]":
    """Counts that come nowhere near 2^24, where a float of 4 bytes stops counting, before they are halved."""
    return array("f", (0.0,)) * count
