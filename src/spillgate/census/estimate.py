"""Samples into numbers with 95 % intervals.

One call visits a run of hash buckets. A key's bucket does not depend on its namespace, so a run is a fair sample, but
the keys of one run are not independent draws of equal number: so this is cluster sampling, and the variance is taken
between calls (ratio estimator; Cochran, Sampling Techniques, 3rd edition, sections 2.11 and 9A.1), smaller by the share
of the table that was seen (the finite population correction, section 2.6).

A run ends after so many keys, not buckets, while its start is a random bucket. Where a cleanup has just emptied part of
the table that would count the sparse part for too much, so each run stands for its keys by the buckets it covered.

An interval of plus and minus so many standard errors misses the truth too often where little was seen, or where sizes
are skewed: a sample without the one big key thinks itself exact. So the variance is taken to be proportional to what is
measured, and the interval holds every value that the observed one does not contradict (the score interval; Wilson,
Journal of the American Statistical Association 22, 1927). The factor is shrunk towards that of all keys together, as if
one more hit of the usual kind had been seen.

Where few heavy keys decide what the error is, they are estimated apart from the rest, and so is what they add to the
size of a usual key: that nothing heavy was seen in a namespace tells how much there may be of it. The two intervals are
put together by the squares of their halves (MOVER; Zou and Donner, Statistics in Medicine 27, 2008). Where sizes are
even that would only widen the intervals. How often they hold the truth is a test: tests/unit/test_coverage.py.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from spillgate.model import Estimate, Run, Tally

# Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom, and the normal one.
_T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
_Z95 = 1.96
_LEAST_RUNS = 2
# Of the sum of squared sizes: if heavy keys make up more than so much, then few of them decide what the error is.
_HEAVY_TAIL = 0.4

Weigh = Callable[[Tally], int]
"""What a tally counts for: its keys, its bytes, …"""

_Part = tuple[Weigh, Weigh, float]


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over runs of what they saw of something (``x``) and of the keys it is compared with (``n``).

    Both are taken by the share covered. ``hits`` are the keys that ``x`` is of, ``most`` is the most that one run saw.
    """

    x: float
    n: float
    xx: float
    xn: float
    nn: float
    hits: int
    most: float


class Draw(Enum):
    """How the runs of a sample were drawn."""

    RUNS = "runs of neighbours, none of them twice"
    KEYS = "keys one by one, any of them again and again"
    UNFAIR = "in the order of a server of which nobody knows how it orders keys"


class Estimator:
    """Numbers for any group of keys, from the runs that were made.

    ``total_keys`` is what the database holds, keys past their TTL included; ``exact`` says that the runs hold every
    key, each once. Keys drawn one by one may come again, so that they never are the whole (no finite population).
    """

    def __init__(self, runs: Sequence[Run], total_keys: int, *, exact: bool, draw: Draw = Draw.RUNS) -> None:
        self._exact = exact
        self._runs = [run for run in runs if exact or (run.covered > 0 and run.visited + run.expired)]
        self._seen = sum(run.visited + run.expired for run in runs)
        self._total = total_keys
        self._n = [(run.visited + run.expired) / run.covered for run in self._runs] if not exact else []
        self._n_sum = sum(self._n)
        self._nn_sum = sum(n * n for n in self._n)
        calls = len(self._runs)
        self._t = _T95[calls - 2] if 0 <= calls - 2 < len(_T95) else _Z95 + 2.4 / max(1, calls - 1)
        self._unseen = max(0.0, 1 - self._seen / total_keys) if total_keys else 0.0
        self._fair = calls >= _LEAST_RUNS and draw is not Draw.UNFAIR
        if draw is Draw.KEYS and total_keys:
            self._unseen = 1.0
        self._met = _by_group(self._runs, exact=exact)
        whole = Tally.total(tally for met in self._met.values() for _, tally in met)
        squares = math.fsum(run.light_squares for run in runs), math.fsum(run.heavy_squares for run in runs)
        self._parts: tuple[_Part, ...] = ((_bytes, _keys, self._usual(sum(squares), _bytes(whole))),)
        if squares[1] > sum(squares) * _HEAVY_TAIL:
            self._parts = (
                (_light_bytes, _light_keys, self._usual(squares[0], whole.light_bytes)),
                (_heavy_bytes, _heavy_keys, self._usual(squares[1], whole.heavy_bytes)),
            )
        self._usual_name = whole.name_bytes / whole.keys if whole.keys else 0.0

    def keys(self, groups: Iterable[int]) -> Estimate:
        """How many keys there are of these groups."""
        return self._count(tuple(groups), _keys)

    def expired(self) -> Estimate:
        """How many keys are past their TTL and still there: what the runs saw that belongs to no group."""
        if self._exact:
            return Estimate.exact(sum(run.expired for run in self._runs))
        dense = [(run.expired / run.covered, n) for run, n in zip(self._runs, self._n, strict=True)]
        seen = [run.expired for run in self._runs]
        x, xx, xn = sum(x for x, _ in dense), sum(x * x for x, _ in dense), sum(x * n for x, n in dense)
        return self._share(_Sums(x, self._n_sum, xx, xn, self._nn_sum, sum(seen), max(seen, default=0)))

    def no_ttl(self, groups: Iterable[int]) -> Estimate | None:
        """How many have no TTL; None where the server did not tell of all."""
        groups = tuple(groups)
        return None if self._any(groups, _untimed) else self._count(groups, _no_ttl)

    def bytes(self, groups: Iterable[int]) -> Estimate | None:
        """What they take; None where the server did not tell of all."""
        groups = tuple(groups)
        if self._any(groups, _unsized):
            return None
        return Estimate.total(self._sum(groups, *part) for part in self._parts)

    def avg_bytes(self, groups: Iterable[int]) -> Estimate | None:
        """What one of them takes; None where there is none, or the server did not tell of all."""
        groups = tuple(groups)
        if self._any(groups, _unsized):
            return None
        whole = self._gather(groups, _bytes, _keys, of=_keys)
        if not whole.n:
            return None
        mean = whole.x / whole.n
        if self._exact or not self._fair:
            return Estimate(mean, *((mean, mean) if self._exact else (0.0, math.inf)))
        return Estimate.total(self._mean(groups, whole.hits, *part) for part in self._parts)

    def _mean(self, groups: Sequence[int], keys: int, weigh: Weigh, count: Weigh, usual: float) -> Estimate:
        """What such bytes add to the size of one key, of ``keys`` that were seen."""
        sums = self._gather(groups, weigh, count, of=_keys)
        mean = sums.x / sums.n
        usual *= self._seen / keys * self._unseen
        return Estimate(mean, *self._score(mean, self._variance(sums, mean), sums.hits, usual))

    def name_bytes(self, groups: Iterable[int]) -> Estimate:
        """How long their keys are, together."""
        return self._sum(tuple(groups), _name_bytes, _keys, self._usual_name / max(1, self._seen))

    def _usual(self, squares: float, total: float) -> float:
        """What one more key of the usual kind would add to the variance, for each byte that it adds to the sum."""
        return squares / total / self._seen if total else 0.0

    def _any(self, groups: Iterable[int], weigh: Weigh) -> bool:
        return any(weigh(tally) for group in groups for _, tally in self._met.get(group, ()))

    def _gather(self, groups: Sequence[int], weigh: Weigh, count: Weigh, of: Weigh | None = None) -> _Sums:
        """The sums of ``weigh``, in relation to all keys, or to ``of`` in the same groups."""
        x = n = xx = xn = nn = most = 0.0
        hits = 0
        for position, tally in self._together(groups):
            plain = weigh(tally)
            covered = 1.0 if self._exact else self._runs[position].covered
            dense = plain / covered
            beside = of(tally) / covered if of else 0.0 if self._exact else self._n[position]
            x, xx, xn = x + dense, xx + dense * dense, xn + dense * beside
            n, nn = n + beside, nn + beside * beside
            hits += count(tally)
            most = max(most, plain)
        return _Sums(x, n, xx, xn, nn, hits, most) if of else _Sums(x, self._n_sum, xx, xn, self._nn_sum, hits, most)

    def _together(self, groups: Sequence[int]) -> Iterable[tuple[int, Tally]]:
        """What each run saw of the groups, by its position."""
        if len(groups) == 1:
            return self._met.get(groups[0], ())
        found: dict[int, list[Tally]] = {}
        for group in groups:
            for position, tally in self._met.get(group, ()):
                found.setdefault(position, []).append(tally)
        return ((position, Tally.total(tallies)) for position, tallies in found.items())

    def _count(self, groups: Sequence[int], weigh: Weigh) -> Estimate:
        sums = self._gather(groups, weigh, weigh)
        return Estimate.exact(sums.hits) if self._exact else self._share(sums)

    def _share(self, sums: _Sums) -> Estimate:
        """A number of keys. Of more than half of all keys the rest is estimated: it is the smaller, and as certain."""
        if not self._fair:
            return self._single(sums)
        share = sums.x / sums.n
        usual = self._unseen / max(1, self._seen)
        variance = self._variance(sums, share)
        if share <= 1 / 2:
            low, high = self._score(share, variance, sums.hits, usual)
        else:
            high, low = (1 - end for end in self._score(1 - share, variance, self._seen - sums.hits, usual))
        return self._scaled(share, max(0.0, low), min(1.0, high), sums.most)

    def _sum(self, groups: Sequence[int], weigh: Weigh, count: Weigh, usual: float) -> Estimate:
        sums = self._gather(groups, weigh, count)
        if self._exact:
            return Estimate.exact(sums.x)
        if not self._fair:
            return self._single(sums)
        ratio = sums.x / sums.n
        low, high = self._score(ratio, self._variance(sums, ratio), sums.hits, usual * self._unseen)
        return self._scaled(ratio, low, high, sums.most)

    def _single(self, sums: _Sums) -> Estimate:
        """One call tells nothing about the spread between calls, an unfair sample nothing about what it left out."""
        value = max(sums.x / sums.n * self._total if sums.n else 0.0, sums.most)
        return Estimate(value, sums.most, math.inf if self._unseen else value)

    def _variance(self, sums: _Sums, ratio: float) -> float:
        """Of the ratio: the mean square, between calls, of what each is off it by."""
        calls = len(self._runs)
        squares = sums.xx - 2 * ratio * sums.xn + ratio * ratio * sums.nn
        mean = sums.n / calls
        return max(0.0, squares) / (calls - 1) / calls / mean / mean * self._unseen

    def _score(self, value: float, variance: float, hits: int, usual: float) -> tuple[float, float]:
        """The values within t standard errors of the one observed, each with the error that it would have itself."""
        factor = variance / value if value > 0 else usual
        factor = (hits * factor + usual) / (hits + 1)
        t = self._t
        middle = value + t * t * factor / 2
        half = t * math.sqrt(value * factor + (t * factor / 2) ** 2)
        return max(0.0, min(value, middle - half)), max(value, middle + half)  # but for rounding they hold it anyway

    def _scaled(self, share: float, low: float, high: float, at_least: float) -> Estimate:
        """Runs may overlap, so only what the largest of them saw is a certain lower bound."""
        value, low, high = (max(part * self._total, at_least) for part in (share, low, high))
        return Estimate(value, min(low, value), max(high, value))


def _by_group(runs: Sequence[Run], *, exact: bool) -> dict[int, list[tuple[int, Tally]]]:
    """What was seen of each group, with the position of the run; all in one where the runs hold every key."""
    met: dict[int, list[tuple[int, Tally]]] = {}
    for position, run in enumerate(runs):
        for group, tally in run.tallies.items():
            met.setdefault(group, []).append((position, tally))
    if not exact:
        return met
    return {group: [(0, Tally.total(tally for _, tally in found))] for group, found in met.items()}


def quantile(values: Sequence[float], share: float, *, exact: bool = False) -> Estimate | None:
    """The value that ``share`` of them are at most; None without values.

    The interval is made of the order statistics that hold it with 95 % (Conover, Practical Nonparametric Statistics,
    3rd edition, section 3.2): it needs no assumption about how the values are spread.
    """
    if not values:
        return None
    ordered = sorted(values)
    count = len(ordered)
    middle = ordered[min(count - 1, int(share * count))]
    if exact:
        return Estimate.exact(middle)
    off = _Z95 * math.sqrt(count * share * (1 - share))
    low, high = math.floor(share * count - off) - 1, math.ceil(share * count + off)
    return Estimate(
        middle, ordered[low] if low >= 0 else min(0.0, ordered[0]), ordered[high] if high < count else math.inf
    )


def shares(words: Iterable[str], *, exact: bool = False) -> dict[str, Estimate]:
    """Each word's share of all, most frequent first, with its interval (Wilson)."""
    counts = Counter(words)
    total = counts.total()
    return {word: Estimate.exact(n / total) if exact else _wilson(n, total) for word, n in counts.most_common()}


def _wilson(hits: int, of: int) -> Estimate:
    share, zz = hits / of, _Z95 * _Z95
    middle = (share + zz / 2 / of) / (1 + zz / of)
    half = _Z95 * math.sqrt(share * (1 - share) / of + zz / 4 / of / of) / (1 + zz / of)
    # At 0 and 1 the interval ends there, but for rounding.
    return Estimate(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))


def _keys(tally: Tally) -> int:
    return tally.keys


def _no_ttl(tally: Tally) -> int:
    return tally.no_ttl


def _untimed(tally: Tally) -> int:
    return tally.untimed


def _unsized(tally: Tally) -> int:
    return tally.unsized


def _light_bytes(tally: Tally) -> int:
    return tally.light_bytes


def _light_keys(tally: Tally) -> int:
    return tally.keys - tally.heavy_keys


def _heavy_bytes(tally: Tally) -> int:
    return tally.heavy_bytes


def _heavy_keys(tally: Tally) -> int:
    return tally.heavy_keys


def _bytes(tally: Tally) -> int:
    return tally.light_bytes + tally.heavy_bytes


def _name_bytes(tally: Tally) -> int:
    return tally.name_bytes
