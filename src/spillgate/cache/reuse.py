"""A sample of keys in fixed memory, and what it tells of caches with other TTLs.

A key is sampled if its hash is below its namespace's threshold, so that all accesses of a sampled key are seen and the
sampled keys stand for all (SHARDS: Waldspurger, Park, Garthwaite, Ahmad, FAST 2015). When the sample is full, the
namespace with the most keys in it gets a lower threshold; so it does when too many calls take the long way.

What is kept of a sampled key is the least that a simulation of each TTL needs: when the value would be gone by it
(24 times 4 bytes), the last access, the size, and whether a miss waits for its write. A read after that moment is a
miss of this TTL, and the miss leads to a write. So the estimates assume nothing about how accesses are spread; from
reuse intervals alone one would have to, since a TTL runs from the last write and not from the last access.

Most calls end after the hash. Most others find that no TTL can have ended since the last access: until ``quiet`` the
value is there by all of them.
"""

import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import mul
from typing import Final

from spillgate.cache.recording import HASHES, LOWEST, SIZE_BUCKETS, TTLS_S, Namespace
from spillgate.cache.slots import Slots
from spillgate.cache.track import GROUPS, LANES, Sums, Track, rounded, trimmed

BUDGET_BYTES: Final = 256 * 1024
MOST_TRACKS: Final = 24
TICKS_PER_S: Final = 32
LENGTHS: Final = tuple(ttl_s * TICKS_PER_S for ttl_s in TTLS_S)
_LONGEST: Final = LENGTHS[-1]
_LATEST: Final = 1 << 31
_LARGEST: Final = (1 << 32) - 1
_NONE: Final = array("I", bytes(4 * LANES))

# Of the budget, what a namespace takes, what a key takes (see `Slots` for the 14), and the rest.
_TRACK_BYTES: Final = 4 * 1024
_KEY_BYTES: Final = 4 * LANES + 3 * 4 + 1 + 14
_REST_BYTES: Final = 4 * 1024

# So much of the largest namespace's sample stays when there are too many keys ...
_KEEP: Final = 2 / 3
# ... or when more than one call in so many takes the long way, and that more than so often a second.
_LONG_SHARE: Final = 16
_LONG_PER_S: Final = 100
_WEIGHED_AFTER: Final = 1024
_FEWEST_KEYS: Final = 64
# A value that was written within this is as good as written now: a tenth of the shortest TTL.
_FRESH: Final = LENGTHS[0] // 10

# Why a value is not there, so that whoever reads one after all knows that another process has written it.
_MISSED, _DELETED = 1, 2


class Sample:
    """The sampled keys of all namespaces of a process, in ``budget_bytes`` with all that belongs to it.

    ``clock`` is monotonic, in seconds. Safe from any thread; what is done without the lock may now and then get the
    time of a key's last access wrong.
    """

    def __init__(self, clock: Callable[[], float], budget_bytes: int = BUDGET_BYTES) -> None:
        self._clock = clock
        left_bytes = budget_bytes - MOST_TRACKS * _TRACK_BYTES - _REST_BYTES
        self.capacity = min(max(_FEWEST_KEYS, left_bytes // _KEY_BYTES), 60_000)
        self._tracks: dict[int, Track] = {}
        self._released: list[Track] = []
        self.restart()

    def restart(self) -> None:
        """Forget everything, as a process does that has just been forked."""
        self._lock = threading.Lock()
        self._start_s = self._clock()
        self._slots = Slots(self.capacity)
        # By slot: the last access, until when nothing can happen, the stored bytes, and by TTL when the value is gone.
        self._last, self._quiet, self._sizes = (array("I", bytes(4 * (self.capacity + 1))) for _ in range(3))
        self._ends = array("I", bytes(4 * LANES * (self.capacity + 1)))
        self._absent = bytearray(self.capacity + 1)
        self._long, self._weighed_at, self._weighed_calls = 0, 1, 0
        for track in self._tracks.values():
            track.restart(1)

    def tick(self) -> int:
        """The present, in ticks since the sample began, from 1 on."""
        return int((self._clock() - self._start_s) * TICKS_PER_S) + 1

    def track(self, name: str, *, sliding: bool = False) -> Track | None:
        """A new namespace; None where there are too many already."""
        with self._lock:
            self._reap()
            number = next((number for number in range(1, MOST_TRACKS + 1) if number not in self._tracks), None)
            if number is None:
                return None
            track = self._tracks[number] = Track(name, number, self, sliding=sliding)
            return track

    def release(self, tracks: Mapping[str, Track]) -> None:
        """Give up namespaces. Takes no lock: this is called by the collection of garbage, amid anything."""
        for track in tracks.values():
            track.threshold = 0
            self._released.append(track)

    def size_bytes(self) -> int:
        """The memory that it takes, as the interpreter tells."""
        arrays = (self._last, self._quiet, self._sizes, self._ends, self._absent, self._tracks)
        of_tracks = sum(track.size_bytes() for track in self._tracks.values())
        return self._slots.size_bytes() + sum(item.__sizeof__() for item in arrays) + of_tracks

    # What happens to a sampled key

    def read(self, track: Track, hashed: int, size: int) -> None:
        """A value was read; the size is as of `Track.read`."""
        tick = int((self._clock() - self._start_s) * TICKS_PER_S) + 1
        slot = self._slots.find(track.number, hashed)
        if size and tick < self._quiet[slot]:  # slot 0 is never quiet
            self._last[slot] = tick
            track.seen[hashed % GROUPS] += 1
            return
        with self._lock:
            track.seen[hashed % GROUPS] += 1
            slot = self._slots.find(track.number, hashed)
            if slot:
                self._read_again(track, slot, tick, size)
                self._weigh(tick)
            elif slot := self._add(track, hashed, tick):
                self._read_first(track, slot, tick, size)

    def write(self, track: Track, hashed: int, size: int, *, computed: bool) -> None:
        """A value was stored; ``computed`` says that it was because there was none, or soon would be none."""
        tick = self.tick()
        size = min(size, _LARGEST)
        slot = self._slots.find(track.number, hashed)
        if slot and self._ends[slot * LANES + LANES - 1] > tick + _LONGEST - _FRESH:
            track.updates += not computed
            self._last[slot], self._absent[slot] = tick, 0
            return
        with self._lock:
            known = self._slots.find(track.number, hashed)
            if slot := known or self._add(track, hashed, tick):
                self._write(track, slot, tick, size, fills=computed or self._absent[slot] == _MISSED)
            if known:
                self._weigh(tick)

    def renew(self, track: Track, hashed: int) -> None:
        """A value got its whole TTL again."""
        tick = self.tick()
        with self._lock:
            slot = self._slots.find(track.number, hashed)
            if slot:
                for lane in self._gone(slot, tick):
                    self._ends[slot * LANES + lane] = 0
                self._prolong(track, slot, tick)
                self._weigh(tick)

    def delete(self, track: Track, hashed: int) -> None:
        """A value was deleted."""
        tick = self.tick()
        with self._lock:
            slot = self._slots.find(track.number, hashed)
            if slot:
                self._drop(track, slot, tick)
                self._weigh(tick)

    def clear(self, track: Track) -> None:
        """All values of a namespace were."""
        tick = self.tick()
        with self._lock:
            if self._tracks.get(track.number) is track:
                for slot in self._slots.of(track.number):
                    self._drop(track, slot, tick)

    # What is made of it

    def noted(self, track: Track) -> Namespace:
        """All that is noted of a namespace."""
        tick = self.tick()
        with self._lock:
            slots = self._up_to_date(track)
            kept, kept_bytes = track.kept[:], track.kept_bytes[:]
            self._settle((kept, kept_bytes), slots, tick, -1)
            # Who misses less is there less.
            missed = track.missed()
            others = sum(track.first) + track.updates
            part = [(one.corrected + others) / (one.counted + others or 1) for one in missed]
            reuse = (sum(track.seen) - sum(track.first) - sum(track.reuse[1:]), *track.reuse[1:])
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
                keys=sum(tick - self._last[slot] < _LONGEST for slot in slots),
                updates=round(track.updates),
                unfilled=round(track.unfilled),
                sizes=trimmed(track.sizes),
                reuse=rounded(reuse),
                first=rounded(track.first),
                misses=rounded(one.corrected for one in missed),
                squares=rounded(one.squares for one in missed),
                kept_s=rounded(amount / TICKS_PER_S for amount in map(mul, kept, part)),
                kept_kb_s=rounded(amount / TICKS_PER_S / 1024 for amount in map(mul, kept_bytes, part)),
                lowest=tuple(lowest),
                seen_in=(1,) * len(lowest),
            )

    def age(self) -> None:
        """Let days gone by weigh less, and sample more keys again where there is room; to be called now and then."""
        tick = self.tick()
        if tick >= _LATEST:  # ticks end with the 32 bits that they are kept in, after four years
            self.restart()
            return
        with self._lock:
            due = [track for track in self._tracks.values() if tick - track.since >= 2 * _LONGEST]
            if due:
                self._slots.remove(self._unused(tick))
            for track in due:
                roomy = 2 * self._slots.free > self.capacity
                threshold = min(HASHES, track.threshold * 2) if roomy else track.threshold
                self._rescale(track, tick, threshold, halve=True)

    def _rescale(self, track: Track, tick: int, threshold: int, *, halve: bool = False) -> None:
        """Change a namespace's threshold. What is noted up to now is brought to its rate; what is to come is at it."""
        slots, hashes = self._up_to_date(track), self._slots.hashes
        sums = track.kept, track.kept_bytes
        self._settle(sums, slots, tick, -1)
        if halve:
            track.halve(tick)
        track.scale(threshold / track.threshold)
        if threshold > track.threshold:
            track.raised, track.raised_at = track.threshold, tick
        track.threshold = threshold
        self._slots.remove(slot for slot in slots if hashes[slot] >= threshold)
        self._settle(sums, [slot for slot in slots if hashes[slot] < threshold], tick, 1)

    # Which keys are sampled

    def _add(self, track: Track, hashed: int, tick: int) -> int:
        """A slot for a key; 0 where it is sampled no more."""
        if not self._slots.free:
            self._reap()
            self._slots.remove(self._unused(tick))
        if not self._slots.free:
            self._thin(tick)
        if hashed >= track.threshold:
            return 0
        slot = self._slots.add(track.number, hashed)
        self._last[slot], self._quiet[slot], self._sizes[slot], self._absent[slot] = tick, 0, 0, 0
        self._ends[slot * LANES : (slot + 1) * LANES] = _NONE
        return slot

    def _reap(self) -> None:
        """Take out the keys of namespaces that were given up."""
        while self._released:
            track = self._released.pop()
            self._tracks.pop(track.number, None)
            self._slots.remove(self._slots.of(track.number))

    def _unused(self, tick: int) -> list[int]:
        """Keys whose values would be gone by any TTL."""
        return [slot for slot in self._slots.taken() if tick - self._last[slot] >= _LONGEST]

    def _thin(self, tick: int) -> None:
        """Sample fewer keys of the namespace that has the most."""
        track = max(self._tracks.values(), key=lambda one: self._slots.count(one.number))
        hashes = sorted(self._slots.hashes[slot] for slot in self._slots.of(track.number))
        if len(hashes) > 1:
            self._rescale(track, tick, max(1, hashes[int(len(hashes) * _KEEP)]))

    def _weigh(self, tick: int) -> None:
        """A call takes the long way; thin the sample where too many do."""
        self._long += 1
        if self._long < _WEIGHED_AFTER:
            return
        calls = sum(track.reads + track.writes for track in self._tracks.values())
        often = self._long * TICKS_PER_S > _LONG_PER_S * (tick - self._weighed_at)
        many = self._long * _LONG_SHARE > calls - self._weighed_calls
        if often and many and self.capacity - self._slots.free > _FEWEST_KEYS:
            self._thin(tick)
        self._long, self._weighed_at, self._weighed_calls = 0, tick, calls

    # The simulated TTLs

    def _read_first(self, track: Track, slot: int, tick: int, size: int) -> None:
        since = track.raised_at if self._slots.hashes[slot] >= track.raised else track.begun
        track.first[bisect_right(LENGTHS, tick - since)] += 1
        if size:
            self._sizes[slot] = min(max(size, 0), _LARGEST)
            self._store(track, slot, tick, range(LANES))
        else:
            self._absent[slot] = _MISSED

    def _read_again(self, track: Track, slot: int, tick: int, size: int) -> None:
        last, absent = self._last[slot], self._absent[slot]
        track.reuse[bisect_right(LENGTHS, tick - last)] += 1
        self._last[slot] = tick
        if size and absent:
            # Another process wrote it, and would have with any TTL.
            self._store(track, slot, tick, self._gone(slot, 0))
        if track.sliding:
            self._prolong(track, slot, last)
        gone = self._gone(slot, tick)
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
        self._store(track, slot, tick, gone)
        if track.sliding:
            self._prolong(track, slot, tick)

    def _write(self, track: Track, slot: int, tick: int, size: int, *, fills: bool) -> None:
        if not fills:
            track.updates += 1
            self._drop(track, slot, tick)
        track.sizes[min(size.bit_length(), SIZE_BUCKETS - 1)] += 1
        self._last[slot], self._sizes[slot], self._absent[slot] = tick, size, 0
        self._store(track, slot, tick, self._gone(slot, tick))

    def _gone(self, slot: int, tick: int) -> list[int]:
        """The TTLs by which the value is gone."""
        return [lane for lane, end in enumerate(self._ends[slot * LANES : (slot + 1) * LANES]) if end <= tick]

    def _store(self, track: Track, slot: int, tick: int, lanes: Iterable[int]) -> None:
        """The value is written. Its whole life is counted now, and corrected if it ends before its time."""
        base, size, ends = slot * LANES, self._sizes[slot], self._ends
        for lane in lanes:
            length = LENGTHS[lane]
            ends[base + lane] = tick + length
            track.kept[lane] += length
            track.kept_bytes[lane] += length * size
        self._quiet[slot] = min(ends[base : base + LANES])

    def _prolong(self, track: Track, slot: int, tick: int) -> None:
        """Where the value is there it has its whole TTL from ``tick`` on."""
        base, size, ends = slot * LANES, self._sizes[slot], self._ends
        for lane, length in enumerate(LENGTHS):
            end = ends[base + lane]
            if 0 < end < tick + length:
                ends[base + lane] = tick + length
                track.kept[lane] += tick + length - end
                track.kept_bytes[lane] += (tick + length - end) * size
        self._quiet[slot] = min(ends[base : base + LANES])

    def _drop(self, track: Track, slot: int, tick: int) -> None:
        """The value is gone by any TTL."""
        if track.sliding:
            self._prolong(track, slot, self._last[slot])
        base, size = slot * LANES, self._sizes[slot]
        for lane, end in enumerate(self._ends[base : base + LANES]):
            if end > tick:
                track.kept[lane] -= end - tick
                track.kept_bytes[lane] -= (end - tick) * size
        self._ends[base : base + LANES] = _NONE
        self._quiet[slot], self._absent[slot] = 0, _DELETED

    def _settle(self, sums: Sums, slots: Sequence[int], tick: int, sign: int) -> None:
        """Take out of the sums, or put into them, the time from now on until the values would be gone."""
        kept, kept_bytes = sums
        sizes = [self._sizes[slot] for slot in slots]
        for lane in range(LANES):
            ends = self._ends[lane::LANES]
            left = [end - tick if (end := ends[slot]) > tick else 0 for slot in slots]
            kept[lane] += sign * sum(left)
            kept_bytes[lane] += sign * sum(map(mul, left, sizes))

    def _up_to_date(self, track: Track) -> list[int]:
        """The namespace's slots, after values that were read lately got their life prolonged."""
        slots = self._slots.of(track.number)
        if track.sliding:
            for slot in slots:
                self._prolong(track, slot, self._last[slot])
        return slots
