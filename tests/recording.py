"""A clock that tests turn, recorders that run by it, and traces of accesses."""

from __future__ import annotations

import random
from bisect import bisect
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from spillgate.cache.lanes import TICKS_PER_S
from spillgate.cache.members import BUDGET_BYTES
from spillgate.cache.recorder import Recorder
from spillgate.cache.recording import TTLS_S
from spillgate.cache.reuse import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spillgate.cache.track import Blind

DAY_S = 86_400


class HandClock:
    """Seconds that pass when told to; a whole number of a sample's ticks can be told exactly."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s

    def pass_ticks(self, ticks: int) -> None:
        """Let time pass."""
        self.now_s += ticks / TICKS_PER_S


def recorder_by(clock: HandClock, budget_bytes: int = BUDGET_BYTES) -> Recorder:
    """A recorder with a sample of its own."""
    return Recorder(Sample(clock, budget_bytes), clock, clock)


class Access(NamedTuple):
    """A value asked for, and when."""

    at_s: float
    key: str


def zipf_trace(keys: int, count: int, per_s: float, *, exponent: float = 1.0, seed: int = 1) -> Iterator[Access]:
    """Accesses at random moments, the n-th most popular key in proportion to 1 / n^exponent."""
    rng = random.Random(seed)
    weights = list(accumulate(rank**-exponent for rank in range(1, keys + 1)))
    names = [f"user:{number}:profile" for number in rng.sample(range(10 * keys), keys)]
    at_s = 0.0
    for _ in range(count):
        at_s += rng.expovariate(per_s)
        yield Access(at_s, names[bisect(weights, rng.random() * weights[-1])])


def cache_aside(track: Blind, clock: HandClock, trace: Sequence[Access], ttl_s: float, size: int) -> None:
    """Read each key, and write it where it is missing or its TTL is over."""
    start_s = clock.now_s
    gone_at_s: dict[str, float] = {}
    for at_s, key in trace:
        clock.now_s = start_s + at_s
        if gone_at_s.get(key, -1.0) > at_s:
            track.read(key, size)
        else:
            track.read(key, 0)
            track.write(key, size, 0.002)
            gone_at_s[key] = at_s + ttl_s


class Truth(NamedTuple):
    """What a TTL makes of a trace, counted exactly: the hit ratio from an empty cache on, and keys at a time."""

    hit_ratio: float
    keys: float


def truth_of(trace: Sequence[Access], ttl_s: float) -> Truth:
    """Run it."""
    written_s: dict[str, float] = {}
    misses, kept_s = 0, 0.0
    for at_s, key in trace:
        before_s = written_s.get(key)
        if before_s is None or before_s + ttl_s <= at_s:
            misses += 1
            kept_s += ttl_s if before_s is not None else 0.0
            written_s[key] = at_s
    end_s = trace[-1].at_s
    kept_s += sum(min(ttl_s, end_s - before_s) for before_s in written_s.values())
    return Truth(1 - misses / len(trace), kept_s / end_s)


def truths_of(trace: Sequence[Access]) -> list[Truth]:
    """For each TTL that is looked into."""
    return [truth_of(trace, ttl_s) for ttl_s in TTLS_S]
