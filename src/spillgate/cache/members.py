"""Which keys are in the sample of a process, and the memory that they take."""

import threading
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Mapping
from typing import Final

from spillgate.cache.forking import register
from spillgate.cache.lanes import LENGTHS, TICKS_PER_S, Lanes
from spillgate.cache.popular import CELLS, MOST_KEPT, SHIFT, Popular
from spillgate.cache.slots import Slots
from spillgate.cache.track import LANES, Track

BUDGET_BYTES: Final = 256 * 1024
MOST_TRACKS: Final = 24
MOST_HOT_TRACKS: Final = 8
"""In so many namespaces the keys of most reads are noted apart."""
LONGEST: Final = LENGTHS[-1]
LARGEST: Final = (1 << 32) - 1
"""The most bytes that a value is taken to have."""

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


class Members(ABC):
    """The sampled keys of all namespaces of a process, in ``budget_bytes`` with all that belongs to it.

    ``clock`` is monotonic, in seconds.
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
            track = self._tracks[number] = self._new(name, number, sliding=sliding)
            return track

    @abstractmethod
    def _new(self, name: str, number: int, *, sliding: bool) -> Track:
        """A track of this sample."""

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

    # Keys that come often

    def notice(self, track: Track, hashed: int, size: int) -> None:
        """A value was read; now and then one is looked at in this way, to tell which keys come often."""
        with self._lock:
            if self._tracks.get(track.number) is not track:
                return
            share = track.reads / sum(one.reads for one in self._tracks.values())
            if self._popular.notice((hashed ^ track.seed) & LARGEST, share):
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
            hot = self._new(track.name, track.number + _HOT, sliding=track.sliding)
        if self._slots.find(hot.number, hashed) or self._slots.count(hot.number) >= MOST_KEPT:
            return
        before = self._slots.find(track.number, hashed)
        ends = self._ends[before * LANES : (before + 1) * LANES]
        if before:
            size = self._sizes[before]
            self._lanes.settle((track.kept, track.kept_bytes), [before], tick, -1)
            self._slots.remove([before])
        slot = self._add(hot, hashed, tick)
        self._sizes[slot] = min(max(size, 0), LARGEST)
        if before:
            self._ends[slot * LANES : (slot + 1) * LANES] = ends
            self._lanes.settle((hot.kept, hot.kept_bytes), [slot], tick, 1)
        elif size:
            self._lanes.store(hot, slot, tick, range(LANES))
        if track.hot is None:
            track.hot, track.watched = hot, bytearray(CELLS + 1)
        track.watched[hashed >> SHIFT] = 1

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
        return [slot for slot in self._slots.taken() if tick - self._last[slot] >= LONGEST]

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

    def _up_to_date(self, track: Track) -> list[int]:
        """The namespace's slots, after values that were read lately got their life prolonged."""
        slots = self._slots.of(track.number)
        if track.sliding:
            for slot in slots:
                self._lanes.prolong(track, slot, self._last[slot])
        return slots
