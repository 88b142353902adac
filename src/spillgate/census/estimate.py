"""Samples into numbers with 95 % intervals.

One sample call visits a run of hash buckets. A key's bucket does not depend on its namespace, so a run is a fair
sample, but the keys of one run are not independent draws of equal number: so this is cluster sampling, and the variance
is taken between calls (ratio estimator; Cochran, Sampling Techniques, 3rd edition, sections 2.11 and 9A.1).

A run ends after so many keys, not buckets, while its start is a random bucket. Where a cleanup has just emptied part of
the table that would count the sparse part for too much, so each run stands for its keys by the buckets it covered.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from spillgate.model import Census, Estimate, KeySample, NamespaceUsage


@dataclass(frozen=True, slots=True)
class Run:
    """The keys of one call, each with the name of its namespace (None: it has none).

    ``covered`` is the share of the table that the call went through; any number, where all runs have the same.
    """

    keys: Sequence[tuple[str | None, KeySample]]
    covered: float = 1.0


# Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom; beyond the table the normal one plus a little.
_T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
_T95_BEYOND = 2.04


def estimate_census(
    names: Sequence[str], runs: Sequence[Run], total_keys: int, at_s: float, *, exact: bool, sizes_known: bool
) -> Census:
    """The census that ``runs`` of a database of ``total_keys`` keys suggest; ``exact`` where they hold every key."""
    seen = sum(len(run.keys) for run in runs)
    total = seen if exact else total_keys

    def tell(weigh: Callable[[KeySample], int], *owners: str | None) -> Estimate:
        return _scaled([(len(run.keys), _weight(run, owners, weigh), run.covered) for run in runs], total, exact=exact)

    rows = tuple(
        NamespaceUsage(
            name,
            keys=tell(_one, name),
            bytes=tell(_size, name) if sizes_known else None,
            no_ttl=tell(_without_ttl, name),
            sample=tuple(key for run in runs for owner, key in run.keys if owner == name),
        )
        for name in names
    )
    return Census(
        at_s,
        exact,
        sampled_keys=seen,
        total_keys=total,
        namespaces=rows,
        unregistered_keys=tell(_one, None),
        total_bytes=tell(_size, None, *names) if sizes_known else None,
    )


def _one(_key: KeySample) -> int:
    return 1


def _size(key: KeySample) -> int:
    return key.size_bytes or 0


def _without_ttl(key: KeySample) -> int:
    return int(key.ttl_ms is None)


def _weight(run: Run, owners: Collection[str | None], weigh: Callable[[KeySample], int]) -> int:
    return sum(weigh(key) for owner, key in run.keys if owner in owners)


def _scaled(runs: Sequence[tuple[int, int, float]], total: int, *, exact: bool) -> Estimate:
    """``total`` times the ratio of the runs' weights to their keys, each run given as keys, weight and what it covered.

    Runs may overlap, so only what the largest of them saw is a certain lower bound.
    """
    if exact:
        return Estimate.exact(sum(weight for _, weight, _ in runs))
    at_least = max((weight for _, weight, _ in runs), default=0)
    dense = [(keys / covered, weight / covered) for keys, weight, covered in runs if keys and covered > 0]
    if not dense:
        return Estimate(0, 0, math.inf if total else 0)
    calls = len(dense)
    mean = sum(keys for keys, _ in dense) / calls
    ratio = sum(weight for _, weight in dense) / calls / mean
    value = ratio * total
    if calls < 2:  # noqa: PLR2004 - one call tells nothing about the spread between calls
        return Estimate(value, at_least, math.inf)
    spread = sum((weight - ratio * keys) ** 2 for keys, weight in dense) / (calls - 1)
    error = total * math.sqrt(spread / calls) / mean
    half = (_T95[calls - 2] if calls - 2 < len(_T95) else _T95_BEYOND) * error
    return Estimate(max(value, at_least), max(at_least, value - half), max(at_least, value + half))
