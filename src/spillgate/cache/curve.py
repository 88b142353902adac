"""What would be with other TTLs, from what was noted of sampled keys. Pure.

Of the few keys that are read most everything is noted, so that chance decides over none of them. The rest is sampled
by the hashes of keys (SHARDS; Waldspurger et al., FAST 2015). Reads, hits and misses are counted exactly, so the sample
also tells how far it is off: by how what really happened to its keys differs from what happened to all (ratio and
regression estimators; Cochran, Sampling Techniques, 3rd edition, chapters 6 and 7).

Whether the first read of a key would be a hit is not known where the key was not watched for as long as the TTL before.
Of these reads so many are misses as the steady state has it: as many keys of which nothing was seen for that long come
to a read as came to one when the watch had lasted that long. From an empty cache on, all of them are misses.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from spillgate.cache.recording import Namespace

# fmt: off
TTLS_S: Final = (
    10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1200, 1800, 2700,
    3600, 5400, 7200, 10_800, 18_000, 28_800, 43_200, 86_400,
)
# fmt: on
"""The TTLs that are looked into: 10 s to a day, in steps that people use, of a third to two thirds of the TTL."""

# Student's t for 95 %, with the 7 degrees of freedom of 8 groups.
_T95: Final = 2.365
# So few sampled hits or misses tell nothing about how far the sample is off.
_FEW: Final = 30
# Standard errors by which new keys are taken to be more than were counted: one-sided 95 %.
_DOUBT: Final = 1.64


@dataclass(frozen=True, slots=True)
class Estimate:
    """What would be with another TTL, in all processes together.

    ``hit_ratio`` is of the steady state, ``cold_hit_ratio`` from an empty cache on, in as much time as was recorded.
    ``low`` and ``high`` bound both: by 95 % for the sampling, and by what was not watched for long enough to tell a hit
    from a miss, the share ``unknown`` of all reads. ``keys`` and ``value_bytes`` are there at a time on average, names
    and overhead left out.
    """

    ttl_s: float
    hit_ratio: float
    cold_hit_ratio: float
    low: float
    high: float
    unknown: float
    writes_per_s: float
    keys: float
    value_bytes: float


class _Seen(NamedTuple):
    """What processes saw of a TTL. Half the interval of the hit ratio is ``error``; the rest is as of `Estimate`."""

    hit_ratio: float
    cold_hit_ratio: float
    warm_hit_ratio: float
    unknown: float
    error: float
    writes_per_s: float
    keys: float
    value_bytes: float


def curve_of(noted: "Namespace") -> tuple[Estimate, ...]:
    """What would be with each TTL of `TTLS_S`, shortest first; nothing where nothing was read.

    The interval comes from how far groups of sampled keys differ.

    Where several processes use the same keys each sees a part of a key's accesses. Where chance decides which one gets
    an access, that part looks like the whole in slow motion; so a TTL is looked up ``sharing`` times as long.
    """
    if not noted.reads or not noted.covered_s:
        return ()
    seen = list(accumulate((_seen(noted, number) for number in range(len(TTLS_S))), _no_worse))
    sharing = max(1.0, noted.sharing)
    return tuple(_estimate(ttl_s, _slowed(seen, ttl_s * sharing), sharing) for ttl_s in TTLS_S)


def _seen(noted: "Namespace", number: int) -> _Seen:
    sampled, hot = _Part.of(noted), _Part.of_all(noted.hot)
    steady, cold, warm = (
        max(0.0, 1 - (one + other) / noted.reads)
        for one, other in zip(sampled.missed(number), hot.missed(number), strict=True)
    )

    def per_s(amount: float, of_hot: float) -> float:
        return (amount / noted.rate + of_hot) / noted.covered_s * noted.processes

    unfilled = per_s(noted.unfilled, noted.hot.unfilled if noted.hot else 0)
    updates = per_s(noted.updates, noted.hot.updates if noted.hot else 0)
    return _Seen(
        steady,
        cold,
        warm,
        (sampled.unknown(number) * sampled.scale + hot.unknown(number)) / noted.reads,
        _error(noted, number) * sampled.scale / noted.reads,
        max(0.0, (1 - steady) * noted.reads_per_s - unfilled) + updates,
        per_s(noted.kept_s[number], noted.hot.kept_s[number] if noted.hot else 0),
        per_s(noted.kept_kb_s[number], noted.hot.kept_kb_s[number] if noted.hot else 0) * 1024,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """Some keys of a namespace: ``reads`` of them were noted, of all like them there were ``scale`` times as many.

    ``misses`` are all misses of keys like them, None where they are not known apart.
    """

    noted: "Namespace | None"
    reads: float
    scale: float
    misses: float | None

    @classmethod
    def of(cls, noted: "Namespace") -> "_Part":
        """The sampled keys, but for those that were noted apart."""
        hot_reads, hot_hits = (noted.hot.reads, noted.hot.hits) if noted.hot else (0, 0)
        reads = max(0, noted.reads - hot_reads)
        seen = float(sum(noted.reuse) + sum(noted.first))
        if noted.absent is None:  # an older library, to which the hottest keys mattered too much
            seen = max(seen, noted.rate * reads)
        misses = min(reads, max(0, noted.reads - noted.hits - hot_reads + hot_hits))
        return cls(noted, seen, reads / seen if seen else 0.0, misses)

    @classmethod
    def of_all(cls, hot: "Namespace | None") -> "_Part":
        """Keys that were all noted."""
        return cls(hot, float(sum(hot.reuse) + sum(hot.first)) if hot else 0.0, 1.0, None)

    def unknown(self, number: int) -> int:
        """First reads that were not watched for as long as that TTL."""
        return sum(self.noted.first[: number + 1]) if self.noted else 0

    def missed(self, number: int) -> tuple[float, float, float]:
        """All misses with a TTL: of the steady state, from an empty cache on, and if all that is unknown are hits."""
        if self.noted is None:
            return 0.0, 0.0, 0.0
        unknown = self.unknown(number)
        known = self.noted.misses[number] + sum(self.noted.first) - unknown
        steady = known + _unknown_missed(self.noted, number, unknown, self.reads)
        return self._all(steady), self._all(known + unknown), self._all(known)

    def _all(self, missed: float) -> float:
        """So many of these keys' misses, for all: by how their real ones compare with those of all, where known.

        A miss of a TTL is one of all shorter ones. So where fewer miss than really did misses are in proportion, where
        more do hits are: the coefficients of the regression of the one on the other.
        """
        reads = self.reads * self.scale
        return min(reads, max(0.0, self._adjusted(missed, reads)))

    def _adjusted(self, missed: float, reads: float) -> float:
        absent = self.noted.absent if self.noted else None
        if self.misses is not None and absent is not None:
            found = self.reads - absent
            if missed <= absent and absent >= _FEW:
                return missed * self.misses / absent
            if missed > absent and found >= _FEW:
                return reads - (self.reads - missed) * (reads - self.misses) / found
        return missed * self.scale


def _no_worse(shorter: _Seen, longer: _Seen) -> _Seen:
    """A longer TTL never hits less; only what is known of it may be less."""
    return longer._replace(hit_ratio=max(shorter.hit_ratio, longer.hit_ratio))


def _unknown_missed(noted: "Namespace", number: int, unknown: float, reads: float) -> float:
    """How many of the first reads, of which a TTL makes hits or misses nobody saw, are misses in the steady state.

    So many new keys come to a read as came to one later on, once it had been recorded for as long as the TTL. What may
    be chance in that makes for misses, so that it wins no TTL a hit.
    """
    longest = max((place for place, before in enumerate(noted.marks) if 2 * before <= noted.reads), default=-1)
    if longest < 0:
        return unknown
    place = min(number, longest)
    later = sum(noted.first[place + 1 :])
    came = (later + _DOUBT * math.sqrt(later) + 1) / max(1, noted.reads - noted.marks[place])
    before = noted.marks[number] if number < len(noted.marks) else noted.reads
    new = min(unknown, came * before)
    repeated = reads - sum(noted.first)
    return new + (unknown - new) * (min(1.0, noted.misses[number] / repeated) if repeated > 0 else 1.0)


def _error(noted: "Namespace", number: int) -> float:
    """Half of the interval of sampled misses; a key has at most one in each TTL, and its first."""
    most = noted.covered_s / max(1, noted.processes) / TTLS_S[number] + 1
    squares = min(noted.squares[number], most * noted.misses[number]) + sum(noted.first) + 1
    return _T95 * math.sqrt((1 - noted.rate) * squares * max(1.0, noted.sharing))


def _slowed(seen: Sequence[_Seen], ttl_s: float) -> _Seen:
    """What was seen of any TTL, between two of the grid."""
    ttl_s = min(ttl_s, TTLS_S[-1])
    after = bisect_left(TTLS_S, ttl_s)
    if TTLS_S[after] == ttl_s:
        return seen[after]
    part = math.log(ttl_s / TTLS_S[after - 1]) / math.log(TTLS_S[after] / TTLS_S[after - 1])
    return _Seen(*(near + part * (far - near) for near, far in zip(seen[after - 1], seen[after], strict=True)))


def _estimate(ttl_s: float, seen: _Seen, sharing: float) -> Estimate:
    return Estimate(
        ttl_s,
        seen.hit_ratio,
        seen.cold_hit_ratio,
        max(0.0, seen.cold_hit_ratio - seen.error),
        min(1.0, seen.warm_hit_ratio + seen.error),
        seen.unknown,
        seen.writes_per_s,
        seen.keys / sharing,
        seen.value_bytes / sharing,
    )
