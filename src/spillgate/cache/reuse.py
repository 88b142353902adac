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

import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from spillgate.cache.forking import register
from spillgate.cache.lanes import LENGTHS, TICKS_PER_S, Lanes
from spillgate.cache.popular import CELLS, MOST_KEPT, SHIFT, Popular
from spillgate.cache.recording import HASHES, LOWEST, SIZE_BUCKETS, Namespace
from spillgate.cache.slots import Slots
from spillgate.cache.track import GROUPS, LANES, Track, rounded, trimmed

BUDGET_BYTES: Final = 256 * 1024
MOST_TRACKS: Final = 24
MOST_HOT_TRACKS: Final = 8
"""In so many namespaces the keys of most reads are noted apart."""
_LONGEST: Final = LENGTHS[-1]
_LATEST: Final = 1 << 31
_LARGEST: Final = (1 << 32) - 1

# Of the budget, what a namespace takes, what a key takes (see `Slots` for the 14), and the rest. The number of a hot
# track is so much above that of its namespace.
_TRACK_BYTES: Final = 3072
_HOT_BYTES: Final = 3072 + CELLS + 64
_HOT: Final = 128
_KEY_BYTES: Final = 4 * LANES + 3 * 4 + 1 + 14
_REST_BYTES: Final = 14 * 1024

# So much of the largest namespace's sample stays when there are too many keys ...
_KEEP: Final = 5 / 6
# ... or when more than one call in so many takes the long way, and that more than so often a second.
_LONG_SHARE: Final = 16
_LONG_PER_S: Final = 100
_WEIGHED_AFTER: Final = 1024
_FEWEST_KEYS: Final = 64
# A key that was not among so many reads of its namespace is popular no more.
_COOL_READS: Final = 4000
# A value that was written within a tenth of the shortest TTL is as good as written now: its longest has this left.
_FRESH: Final = LENGTHS[-1] - LENGTHS[0] // 10

# Why a value is not there, so that whoever reads one after all knows that another process has written it.
_MISSED, _DELETED = 1, 2


class Sample:
    """The sampled keys of all namespaces of a process, in ``budget_bytes`` with all that belongs to it.

    ``clock`` is monotonic, in seconds. Safe from any thread; what is done without the lock may now and then get the
    time of a key's last access wrong.
    """

    def __init__(self, clock: Callable[[], float], budget_bytes: int = BUDGET_BYTES) -> None:
        self._clock = clock
        left_bytes = budget_bytes - MOST_TRACKS * _TRACK_BYTES - MOST_HOT_TRACKS * _HOT_BYTES - _REST_BYTES
        self.capacity = min(max(_FEWEST_KEYS, left_bytes // _KEY_BYTES), 60_000)
        self._tracks: dict[int, Track] = {}
        self._released: list[Track] = []
        self.restart()
        register(self)

    def forget(self) -> None:
        """Begin anew after a fork."""
        self.restart()

    def restart(self) -> None:
        """Forget everything."""
        self._lock = threading.Lock()
        self._start_s = self._clock()
        self._slots = Slots(self.capacity)
        self._lanes = lanes = Lanes(self.capacity)
        self._ends, self._quiet, self._sizes = lanes.ends, lanes.quiet, lanes.sizes
        self._last = array("I", (0,)) * (self.capacity + 1)
        self._absent = bytearray(self.capacity + 1)
        self._long, self._weighed_at, self._weighed_calls = 0, 1, 0
        self._popular = Popular()
        for track in self._tracks.values():
            track.restart(1)

    @property
    def keys(self) -> int:
        """How many keys are in the sample, of ``capacity``."""
        return self.capacity - self._slots.free

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
        arrays = (self._last, self._quiet, self._sizes, self._ends, self._absent, self._tracks, self._popular)
        of_tracks = sum(track.size_bytes() for track in self._tracks.values())
        return self._slots.size_bytes() + sum(item.__sizeof__() for item in arrays) + of_tracks

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

    # Keys that come often

    def notice(self, track: Track, hashed: int, size: int) -> None:
        """A value was read; now and then one is looked at in this way, to tell which keys come often."""
        with self._lock:
            if self._tracks.get(track.number) is not track:
                return
            share = track.reads / sum(one.reads for one in self._tracks.values())
            if self._popular.notice((hashed ^ track.seed) & _LARGEST, share):
                self._watch(track, hashed, size, self.tick())

    def _part(self, track: Track, hashed: int) -> Track | None:
        """The track that a key is noted in; None where it is in no sample."""
        hot = track.hot
        if hot is not None and track.watched[hashed >> SHIFT] and self._slots.find(hot.number, hashed):
            return hot
        return track if hashed < track.threshold else None

    def _watch(self, track: Track, hashed: int, size: int, tick: int) -> None:
        """Note a key apart from the sample, from now on."""
        hot = track.hot
        if hot is None:
            if sum(one.hot is not None for one in self._tracks.values()) >= MOST_HOT_TRACKS:
                return
            hot = Track(track.name, track.number + _HOT, self, sliding=track.sliding)
        if self._slots.find(hot.number, hashed) or self._slots.count(hot.number) >= MOST_KEPT:
            return
        before = self._slots.find(track.number, hashed)
        ends = self._ends[before * LANES : (before + 1) * LANES]
        if before:
            size = self._sizes[before]
            self._lanes.settle((track.kept, track.kept_bytes), [before], tick, -1)
            self._slots.remove([before])
        slot = self._add(hot, hashed, tick)
        self._sizes[slot] = min(size, _LARGEST)
        if before:
            self._ends[slot * LANES : (slot + 1) * LANES] = ends
            self._lanes.settle((hot.kept, hot.kept_bytes), [slot], tick, 1)
        elif size:
            self._lanes.store(hot, slot, tick, range(LANES))
        if track.hot is None:
            track.hot, track.watched = hot, bytearray(CELLS + 1)
        track.watched[hashed >> SHIFT] = 1

    # What is made of it

    def noted(self, track: Track) -> Namespace:
        """All that is noted of a namespace."""
        tick = self.tick()
        with self._lock:
            noted = self._noted(track, tick)
            return replace(noted, hot=self._noted(track.hot, tick)) if track.hot is not None else noted

    def _noted(self, track: Track, tick: int) -> Namespace:
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
            keys=sum(tick - self._last[slot] < _LONGEST for slot in slots),
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
                roomy = 2 * self.keys < self.capacity
                threshold = min(HASHES, track.threshold * 2) if roomy else track.threshold
                self._rescale(track, tick, threshold, halve=True)
                if track.hot is not None:
                    self._rescale(track.hot, tick, HASHES, halve=True)

    def _rescale(self, track: Track, tick: int, threshold: int, *, halve: bool = False) -> None:
        """Change a namespace's threshold. What is noted up to now is brought to its rate; what is to come is at it."""
        before = track.threshold
        if not before:
            return  # it was given up just now
        slots, hashes = self._up_to_date(track), self._slots.hashes
        sums = track.kept, track.kept_bytes
        self._lanes.settle(sums, slots, tick, -1)
        if halve:
            track.halve(tick)
        track.scale(threshold / before)
        if threshold > before:
            track.raised, track.raised_at = before, tick
        track.threshold = threshold
        self._slots.remove(slot for slot in slots if hashes[slot] >= threshold)
        self._lanes.settle(sums, [slot for slot in slots if hashes[slot] < threshold], tick, 1)

    # Which keys are sampled

    def _add(self, track: Track, hashed: int, tick: int) -> int:
        """A slot for a key; 0 where it is sampled no more."""
        if not self._slots.free:
            self._reap()
            self._slots.remove(self._unused(tick))
            self._cool(tick)
        if not self._slots.free:
            self._thin(tick)
        if hashed >= track.threshold:
            return 0
        slot = self._slots.add(track.number, hashed)
        self._last[slot], self._sizes[slot], self._absent[slot] = tick, 0, 0
        self._lanes.vacate(slot)
        return slot

    def _reap(self) -> None:
        """Take out the keys of namespaces that were given up."""
        while self._released:
            track = self._released.pop()
            self._tracks.pop(track.number, None)
            self._slots.remove(self._slots.of(track.number) + self._slots.of(track.number + _HOT))

    def _unused(self, tick: int) -> list[int]:
        """Keys whose values would be gone by any TTL."""
        return [slot for slot in self._slots.taken() if tick - self._last[slot] >= _LONGEST]

    def _cool(self, tick: int) -> None:
        """Take out popular keys of which nobody has heard for so many reads of their namespace."""
        for track in self._tracks.values():
            if track.hot is not None and track.reads:
                longest = (tick - track.since) * _COOL_READS / track.reads
                cold = [slot for slot in self._slots.of(track.hot.number) if tick - self._last[slot] > longest]
                self._lanes.settle((track.hot.kept, track.hot.kept_bytes), cold, tick, -1)
                self._slots.remove(cold)

    def _thin(self, tick: int) -> None:
        """Sample fewer keys of the namespace that has the most."""
        self._reap()
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
        if often and many and self.keys > _FEWEST_KEYS:
            self._thin(tick)
        self._long, self._weighed_at, self._weighed_calls = 0, tick, calls

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
        since = track.raised_at if self._slots.hashes[slot] >= track.raised else track.begun
        track.first[bisect_right(LENGTHS, tick - since)] += 1
        if size:
            self._sizes[slot] = min(max(size, 0), _LARGEST)
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
            self._last[slot], self._sizes[slot], self._absent[slot] = tick, min(size, _LARGEST), 0
            self._lanes.store(track, slot, tick, self._lanes.gone(slot, tick))
            if known:
                self._weigh(tick)

    def _drop(self, track: Track, slot: int, tick: int) -> None:
        """The value is gone by any TTL."""
        if track.sliding:
            self._lanes.prolong(track, slot, self._last[slot])
        self._lanes.drop(track, slot, tick)
        self._absent[slot] = _DELETED

    def _up_to_date(self, track: Track) -> list[int]:
        """The namespace's slots, after values that were read lately got their life prolonged."""
        slots = self._slots.of(track.number)
        if track.sliding:
            for slot in slots:
                self._lanes.prolong(track, slot, self._last[slot])
        return slots
