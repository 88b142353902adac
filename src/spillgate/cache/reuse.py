"""A sample of keys in fixed memory, and what it tells of caches with other TTLs.

A key is sampled if its hash is below its namespace's threshold, so that all accesses of a sampled key are seen and the
sampled keys stand for all (SHARDS: Waldspurger, Park, Garthwaite, Ahmad, FAST 2015). When the sample is full, the
namespace with the most keys in it gets a lower threshold; so it does when too many calls take the long way. The keys
that are read most are noted whatever their hash, apart from the others: were it for chance, a sample with the hottest
key would be off one way, and one without it the other.

What is kept of a sampled key is the least that a simulation of each TTL needs: when the value would be gone by it
(24 times 4 bytes), the last access, the size, and whether a miss waits for its write. A read after that moment is a
miss of this TTL, and the miss leads to a write. So the estimates assume nothing about how accesses are spread; from
reuse intervals alone one would have to, since a TTL runs from the last write and not from the last access.

Most calls end after the hash. Most others find that no TTL can have ended since the last access: until ``quiet`` the
value is there by all of them.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from spillgate.cache.lanes import LENGTHS, TICKS_PER_S
from spillgate.cache.members import LARGEST, LONGEST, Members
from spillgate.cache.popular import SHIFT
from spillgate.cache.recording import HASHES, LOWEST, SIZE_BUCKETS, Namespace
from spillgate.cache.track import GROUPS, LANES, Track, rounded, trimmed

_LATEST: Final = 1 << 31
# A value that was written within a tenth of the shortest TTL is as good as written now: its longest has this left.
_FRESH: Final = LENGTHS[-1] - LENGTHS[0] // 10

# Why a value is not there, so that whoever reads one after all knows that another process has written it.
_MISSED, _DELETED = 1, 2


class Sample(Members):
    """What happens to the sampled keys, and what that comes to.

    Safe from any thread; what is done without the lock may now and then get the time of a key's last access wrong.
    """

    def _new(self, name: str, number: int, *, sliding: bool) -> Track:
        return Track(name, number, self, sliding=sliding)

    # What happens to a sampled key

    def read(self, track: Track, hashed: int, size: int) -> None:
        """A value was read; the size is as of `Track.read`."""
        if track.watched[hashed >> SHIFT]:
            part = self._part(track, hashed)
            if part is None:
                return
            if part is not track:
                part.reads += 1
                part.absent += not size
            track = part
        tick = int((self._clock() - self._start_s) * TICKS_PER_S) + 1
        slot = self._slots.find(track.number, hashed)
        if size and tick < self._quiet[slot]:  # slot 0 is never quiet
            self._last[slot] = tick
            track.quiet += 1
        else:
            self._read(track, hashed, size, tick)

    def read_many(self, track: Track, reads: Iterable[tuple[int, int]]) -> None:
        """Several values were read, of which it gets hash and size."""
        tick, number, find, last, quiet = self.tick(), track.number, self._slots.find, self._last, self._quiet
        quick = 0
        for hashed, size in reads:
            if track.watched[hashed >> SHIFT]:
                self.read(track, hashed, size)
                continue
            slot = find(number, hashed)
            if size and tick < quiet[slot]:
                last[slot] = tick
                quick += 1
            else:
                self._read(track, hashed, size, tick)
        track.quiet += quick

    def write(self, track: Track, hashed: int, size: int, *, computed: bool) -> None:
        """A value was stored; ``computed`` says that it was because there was none, or soon would be none."""
        if track.watched[hashed >> SHIFT]:
            part = self._part(track, hashed)
            if part is None:
                return
            part.writes += part is not track
            track = part
        tick = int((self._clock() - self._start_s) * TICKS_PER_S) + 1
        slot = self._slots.find(track.number, hashed)
        if self._ends[slot * LANES + LANES - 1] > tick + _FRESH:
            track.updates += not computed
            self._last[slot], self._absent[slot] = tick, 0
        else:
            self._write(track, hashed, size, tick, computed=computed)

    def write_many(self, track: Track, writes: Iterable[tuple[int, int]]) -> None:
        """Several values were stored, of which it gets hash and size."""
        tick, number, find, last, ends = self.tick(), track.number, self._slots.find, self._last, self._ends
        fresh = tick + _FRESH
        quick = 0
        for hashed, size in writes:
            if track.watched[hashed >> SHIFT]:
                self.write(track, hashed, size, computed=False)
                continue
            slot = find(number, hashed)
            if ends[slot * LANES + LANES - 1] > fresh:
                last[slot], self._absent[slot] = tick, 0
                quick += 1
            else:
                self._write(track, hashed, size, tick, computed=False)
        track.updates += quick

    def renew(self, track: Track, hashed: int) -> None:
        """A value got its whole TTL again."""
        tick = self.tick()
        with self._lock:
            part = self._part(track, hashed)
            slot = self._slots.find(part.number, hashed) if part else 0
            if slot and part:
                for lane in self._lanes.gone(slot, tick):
                    self._ends[slot * LANES + lane] = 0
                self._lanes.prolong(part, slot, tick)
                self._weigh(tick)

    def delete(self, track: Track, hashed: int) -> None:
        """A value was deleted."""
        tick = self.tick()
        with self._lock:
            part = self._part(track, hashed)
            slot = self._slots.find(part.number, hashed) if part else 0
            if slot and part:
                self._drop(part, slot, tick)
                self._weigh(tick)

    def clear(self, track: Track) -> None:
        """All values of a namespace were."""
        tick = self.tick()
        with self._lock:
            if self._tracks.get(track.number) is not track:
                return
            for part in (track, track.hot):
                if part is not None:
                    for slot in self._slots.of(part.number):
                        self._drop(part, slot, tick)

    # What is made of it

    def noted(self, track: Track) -> Namespace:
        """All that is noted of a namespace."""
        tick = self.tick()
        with self._lock:
            noted = self._noted(track, tick)
            return noted if track.hot is None else replace(noted, hot=_all_noted(self._noted(track.hot, tick)))

    def _noted(self, track: Track, tick: int) -> Namespace:
        track.mark(tick)
        slots = self._up_to_date(track)
        kept, kept_bytes = track.kept[:], track.kept_bytes[:]
        self._lanes.settle((kept, kept_bytes), slots, tick, -1)
        misses, squares = track.missed()
        lowest = sorted(self._slots.hashes[slot] for slot in slots)[:LOWEST]
        return Namespace(
            name=track.name,
            processes=1,
            covered_s=(tick - track.since) / TICKS_PER_S,
            sliding=track.sliding,
            reads=track.reads,
            hits=max(0, track.reads - track.absent),
            writes=track.writes,
            computes=track.computes,
            compute_s=track.compute_s,
            costs=trimmed(track.costs),
            rate=track.threshold / HASHES,
            keys=sum(tick - self._last[slot] < LONGEST for slot in slots),
            updates=round(track.updates),
            unfilled=round(track.unfilled),
            sizes=trimmed(track.sizes),
            reuse=rounded((track.reuse[0] + track.quiet, *track.reuse[1:])),
            first=rounded(track.first),
            misses=rounded(misses),
            squares=rounded(squares),
            kept_s=rounded(amount / TICKS_PER_S for amount in kept),
            kept_kb_s=rounded(amount / TICKS_PER_S / 1024 for amount in kept_bytes),
            lowest=tuple(lowest),
            seen_in=(1,) * len(lowest),
            absent=round(track.absent_sampled),
            marks=tuple(track.marks),
        )

    def age(self) -> None:
        """Let days gone by weigh less, and sample more keys again where there is room; to be called now and then."""
        tick = self.tick()
        if tick >= _LATEST:  # ticks end with the 32 bits that they are kept in, after four years
            self.restart()
            return
        with self._lock:
            due = [track for track in self._tracks.values() if tick - track.since >= 2 * LONGEST]
            if due:
                self._slots.remove(self._unused(tick))
            for track in due:
                roomy = 2 * self.keys < self.capacity
                threshold = min(HASHES, track.threshold * 2) if roomy else track.threshold
                self._rescale(track, tick, threshold, halve=True)
                if track.hot is not None:
                    self._rescale(track.hot, tick, HASHES, halve=True)

    # The simulated TTLs

    def _read(self, track: Track, hashed: int, size: int, tick: int) -> None:
        with self._lock:
            known = self._slots.find(track.number, hashed)
            slot = known or self._add(track, hashed, tick)
            if not slot:
                return
            track.absent_sampled += not size
            if known:
                self._read_again(track, slot, tick, size)
                self._weigh(tick)
            else:
                self._read_first(track, slot, tick, size)

    def _read_first(self, track: Track, slot: int, tick: int, size: int) -> None:
        track.mark(tick)
        since = track.raised_at if self._slots.hashes[slot] >= track.raised else track.begun
        track.first[bisect_right(LENGTHS, tick - since)] += 1
        if size:
            self._sizes[slot] = min(max(size, 0), LARGEST)
            self._lanes.store(track, slot, tick, range(LANES))
        else:
            self._absent[slot] = _MISSED

    def _read_again(self, track: Track, slot: int, tick: int, size: int) -> None:
        last, absent = self._last[slot], self._absent[slot]
        track.reuse[bisect_right(LENGTHS, tick - last)] += 1
        self._last[slot] = tick
        if size and absent:
            # Another process wrote it, and would have with any TTL.
            self._lanes.store(track, slot, tick, self._lanes.gone(slot, 0))
        if track.sliding:
            self._lanes.prolong(track, slot, last)
        gone = self._lanes.gone(slot, tick)
        group = self._slots.hashes[slot] % GROUPS * LANES
        for lane in gone:
            track.misses[group + lane] += 1
        if not size:  # the write that follows will fill them
            track.unfilled += absent == _MISSED
            for lane in gone:
                self._ends[slot * LANES + lane] = 0
            self._absent[slot], self._quiet[slot] = _MISSED, 0
            return
        self._absent[slot] = 0
        self._lanes.store(track, slot, tick, gone)
        if track.sliding:
            self._lanes.prolong(track, slot, tick)

    def _write(self, track: Track, hashed: int, size: int, tick: int, *, computed: bool) -> None:
        with self._lock:
            known = self._slots.find(track.number, hashed)
            slot = known or self._add(track, hashed, tick)
            if not slot:
                return
            if not (computed or self._absent[slot] == _MISSED):
                track.updates += 1
                self._drop(track, slot, tick)
            track.sizes[min(size.bit_length(), SIZE_BUCKETS - 1)] += 1
            self._last[slot], self._sizes[slot], self._absent[slot] = tick, min(size, LARGEST), 0
            self._lanes.store(track, slot, tick, self._lanes.gone(slot, tick))
            if known:
                self._weigh(tick)

    def _drop(self, track: Track, slot: int, tick: int) -> None:
        """The value is gone by any TTL."""
        if track.sliding:
            self._lanes.prolong(track, slot, self._last[slot])
        self._lanes.drop(track, slot, tick)
        self._absent[slot] = _DELETED


def _all_noted(hot: Namespace) -> Namespace:
    """Keys that were all noted, without what only a sample is told by."""
    return replace(
        hot,
        reuse=(sum(hot.reuse),) + (0,) * LANES,
        squares=(0,) * LANES,
        costs=(),
        sizes=(),
        lowest=(),
        seen_in=(),
        marks=(),
    )
