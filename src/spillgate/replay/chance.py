"""Draws that a workload is made of, without a library for numbers.

Popularity follows Zipf's law: the key of rank r is asked for in proportion to r to the power of -alpha (Breslau et al.,
Web caching and Zipf-like distributions, INFOCOM 1999). Sizes are log-normal, told by their median and 99th percentile.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from statistics import NormalDist

# Sizes and TTLs of keys are taken from so many quantiles of their distribution.
_QUANTILES = 1024
_P99 = NormalDist().inv_cdf(0.99)
# Knuth's multiplicative hash: neighbouring numbers get unrelated quantiles.
_MULTIPLIER, _MODULUS = 2_654_435_761, 2**32


class Zipf:
    """Ranks from 0, of ``population`` keys, by Zipf's law with the exponent ``alpha`` (0: all alike)."""

    __slots__ = ("_cumulative", "_total")

    def __init__(self, population: int, alpha: float) -> None:
        self._cumulative = list(accumulate((rank + 1) ** -alpha for rank in range(population)))
        self._total = self._cumulative[-1]

    def rank(self, chance: float) -> int:
        """The rank that ``chance``, from 0 to 1, falls on."""
        return min(bisect_left(self._cumulative, chance * self._total), len(self._cumulative) - 1)


def log_normal(p50: float, p99: float) -> tuple[int, ...]:
    """Quantiles of sizes in bytes, the smallest first, at least one byte each."""
    sigma = math.log(p99 / p50) / _P99
    normal = NormalDist(math.log(p50), sigma) if sigma else None
    levels = ((part + 0.5) / _QUANTILES for part in range(_QUANTILES))
    return tuple(max(1, round(math.exp(normal.inv_cdf(level)))) for level in levels) if normal else (round(p50),)


def mixed(shares: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """Values in the proportion of their shares, as quantiles: ``shares`` has (value, share), not necessarily to 1."""
    total = sum(share for _, share in shares)
    ends = list(accumulate(share / total for _, share in shares))
    levels = ((part + 0.5) / _QUANTILES for part in range(_QUANTILES))
    return tuple(shares[min(bisect_left(ends, level), len(shares) - 1)][0] for level in levels)


def scattered(number: int, count: int) -> int:
    """A place among ``count`` for the key ``number``: always the same one, and unrelated to its neighbours'."""
    return (number * _MULTIPLIER % _MODULUS) * count // _MODULUS
