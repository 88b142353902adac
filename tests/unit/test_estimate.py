"""Samples into numbers: exact where every key was seen, else intervals.

How often these hold the truth is counted in tests/unit/test_coverage.py.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.census.estimate import Draw, Estimator, quantile, shares
from spillgate.model import Estimate, Run, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ONE, OTHER = 1, 2
BOTH = (ONE, OTHER)


def tally(keys: int, size: int = 100, *, no_ttl: int = 0, heavy: int = 0) -> Tally:
    """Keys of one size, ``heavy`` of them of fifty times that."""
    return Tally(keys, no_ttl, (keys - heavy) * size, heavy, heavy * 50 * size, keys * 10)


def run(*tallies: Tally, covered: float = 0.01, expired: int = 0, visited: int | None = None, total: int = 0) -> Run:
    """A run that met these groups, the first numbered 1; ``visited`` keys are more where some belong to group 0."""
    by_group = {group: mine for group, mine in enumerate(tallies, start=1) if mine.keys}
    light = sum(mine.light_bytes**2 / max(1, mine.keys - mine.heavy_keys) for mine in tallies)
    heavy = sum(mine.heavy_bytes**2 / max(1, mine.heavy_keys) for mine in tallies)
    seen = sum(mine.keys for mine in tallies) if visited is None else visited
    return Run(covered, seen, expired, total, by_group, light, heavy)


def estimate(runs: list[Run], total: int) -> Estimator:
    return Estimator(runs, total, exact=False)


# ---- every key seen


def test_every_key_seen_gives_exact_numbers() -> None:
    runs = [run(tally(2, 20, no_ttl=1), tally(1, 7), expired=3), run(tally(1, 30, heavy=1))]
    found = Estimator(runs, 999, exact=True)
    exact = Estimate.exact
    assert (found.keys([ONE]), found.keys([OTHER]), found.keys(BOTH)) == (exact(3), exact(1), exact(4))
    assert (found.bytes([ONE]), found.bytes(BOTH)) == (exact(1540), exact(1547))
    assert found.avg_bytes([ONE]) == exact(1540 / 3)
    assert (found.no_ttl([ONE]), found.no_ttl([OTHER])) == (exact(1), exact(0))
    assert (found.name_bytes([ONE]), found.expired()) == (exact(30), exact(3))


def test_of_a_group_without_keys_there_is_no_mean_but_a_sum() -> None:
    found = Estimator([run(tally(2))], 2, exact=True)
    assert found.avg_bytes([OTHER]) is None
    assert found.bytes([OTHER]) == Estimate.exact(0)


def test_an_empty_database_is_known_to_be_empty_and_an_unseen_one_is_not() -> None:
    nothing = Estimate.exact(0)
    for exact in (False, True):
        found = Estimator([Run(1.0, 0, 0, 0, {})], 0, exact=exact)
        assert [found.keys(BOTH), found.bytes(BOTH), found.no_ttl(BOTH), found.expired()] == [nothing] * 4
    assert estimate([], 50).keys([ONE]) == Estimate(0, 0, math.inf)
    assert estimate([], 50).bytes([ONE]) == Estimate(0, 0, math.inf)
    assert estimate([], 50).avg_bytes([ONE]) is None


# ---- what the server does not tell


def test_sizes_and_ttls_that_were_not_told_are_unknown_and_no_zero() -> None:
    hidden = Tally(keys=5, name_bytes=50, untimed=1, unsized=2)
    for exact in (False, True):
        found = Estimator([run(tally(5), hidden), run(tally(5), tally(5))], 100, exact=exact)
        assert (found.bytes([OTHER]), found.avg_bytes([OTHER]), found.no_ttl([OTHER])) == (None, None, None)
        assert (found.bytes(BOTH), found.avg_bytes(BOTH), found.no_ttl(BOTH)) == (None, None, None)
        assert found.keys([OTHER]).value > 0
        assert found.name_bytes([OTHER]).value > 0
        assert found.bytes([ONE]) is not None
        assert found.no_ttl([ONE]) is not None


# ---- samples


def test_one_call_says_nothing_about_its_error() -> None:
    found = estimate([run(tally(1), tally(3))], 100)
    assert found.keys([ONE]) == Estimate(25, 1, math.inf)
    assert found.bytes([ONE]) == Estimate(2500, 100, math.inf)
    assert found.avg_bytes([ONE]) == Estimate(100, 0, math.inf)


def test_what_was_never_met_may_still_be_there() -> None:
    found = estimate([run(tally(100))] * 20, 100_000)
    keys, size = found.keys([OTHER]), found.bytes([OTHER])
    assert size is not None
    assert (keys.value, keys.low, size.value, size.low) == (0, 0, 0, 0)
    # Of 2000 keys seen none: with 97.5 % at most 3.7 in 2000 are (Poisson).
    assert 3.5 / 2000 <= keys.high / 100_000 <= 4.5 / 2000
    assert 100 * 3.5 / 2000 <= size.high / 100_000 <= 100 * 4.5 / 2000
    assert found.avg_bytes([OTHER]) is None


def test_a_group_that_is_all_there_is_may_hide_as_much_of_another() -> None:
    found = estimate([run(tally(100))] * 20, 100_000)
    keys = found.keys([ONE])
    assert (keys.value, keys.high) == (100_000, 100_000)
    assert 3.5 / 2000 <= 1 - keys.low / 100_000 <= 4.5 / 2000


def test_of_more_than_half_of_all_keys_the_error_is_that_of_the_rest() -> None:
    runs = [run(tally(140 + step), tally(10 - step)) for step in range(-5, 6)]
    found = estimate(runs, 1_000_000)
    most, rest = found.keys([ONE]), found.keys([OTHER])
    assert most.value > 900_000
    assert most.value + rest.value == pytest.approx(1_000_000)
    assert most.low == pytest.approx(1_000_000 - rest.high)
    assert most.high == pytest.approx(1_000_000 - rest.low)


def test_a_run_through_a_part_just_emptied_counts_by_what_it_covered() -> None:
    """Half of the table holds 900 of one group and 100 of the other, the other half 100 of the latter alone."""
    runs = [run(tally(9), tally(1), covered=0.005), run(tally(0), tally(10), covered=0.05)] * 3
    found = estimate(runs, 1100)
    assert (round(found.keys([ONE]).value), round(found.keys([OTHER]).value)) == (900, 200)
    sizes = found.bytes([ONE]), found.bytes([OTHER])
    assert [round(size.value) for size in sizes if size] == [90_000, 20_000]


def test_keys_past_their_ttl_are_a_share_of_all_keys() -> None:
    found = estimate([run(tally(90), expired=10), run(tally(95), expired=5), run(tally(85), expired=15)], 3_000_000)
    assert found.expired().value == pytest.approx(300_000)
    assert found.keys([ONE]).value == pytest.approx(2_700_000)
    assert 0 < found.expired().low < 300_000 < found.expired().high < 1_000_000


def test_intervals_close_as_the_sample_becomes_the_whole() -> None:
    runs = [run(tally(10 + step), tally(10 - step)) for step in range(-4, 5)]
    seen = sum(one.visited for one in runs)
    widths = [found.high - found.low for found in (estimate(runs, total).keys([ONE]) for total in (seen, 2 * seen))]
    assert widths[0] == 0
    assert widths[1] > 1
    relative = [
        (found.high - found.low) / total
        for total in (2 * seen, 10 * seen, 1000 * seen)
        for found in (estimate(runs, total).keys([ONE]),)
    ]
    assert all(narrow < wide for narrow, wide in pairwise(relative))


def test_four_times_as_many_runs_halve_the_interval() -> None:
    runs = [run(tally(40 + step), tally(110 - step)) for step in (-6, -2, 3, 5)] * 10
    few, many = (estimate(some, 10**9).keys([ONE]) for some in (runs, runs * 4))
    assert (many.high - many.low) / (few.high - few.low) == pytest.approx(0.5, rel=0.05)


def test_a_few_heavy_keys_widen_the_interval_of_all_groups_though_only_one_was_seen_to_have_them() -> None:
    light = [run(tally(100), tally(50))] * 40
    heavy = [*light[:38], *[run(tally(100, heavy=1), tally(50))] * 2]
    for group in BOTH:
        even, skewed = (estimate(runs, 10**6).bytes([group]) for runs in (light, heavy))
        assert even is not None
        assert skewed is not None
        assert skewed.high - skewed.value > 5 * (even.high - even.value)
        mean = estimate(heavy, 10**6).avg_bytes([group])
        assert mean is not None
        assert mean.high > 105


counts = st.integers(0, 60)


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    keys = draw(counts)
    no_ttl, heavy = min(keys, draw(counts)), min(keys, draw(st.sampled_from([0, 0, 0, 1, 5])))
    return tally(keys, draw(st.integers(1, 10**7)), no_ttl=no_ttl, heavy=heavy)


@st.composite
def some_runs(draw: st.DrawFn) -> Run:
    return run(draw(tallies()), draw(tallies()), covered=draw(st.floats(1e-6, 1.0)), expired=draw(counts))


WEIGHTS: dict[str, Callable[[Tally], int]] = {
    "keys": lambda mine: mine.keys,
    "no_ttl": lambda mine: mine.no_ttl,
    "bytes": lambda mine: mine.light_bytes + mine.heavy_bytes,
    "name_bytes": lambda mine: mine.name_bytes,
}


def most_seen(runs: list[Run], groups: Sequence[int], statistic: str) -> int:
    """What the run saw that saw most. Runs may overlap: what several of them saw may be the same keys."""
    weigh = WEIGHTS[statistic]
    return max((sum(weigh(one.tallies[group]) for group in groups if group in one.tallies) for one in runs), default=0)


@given(runs=st.lists(some_runs(), max_size=12), unseen=st.integers(0, 10**9), exact=st.booleans())
def test_an_interval_holds_its_value_and_what_was_seen(runs: list[Run], unseen: int, *, exact: bool) -> None:
    total = sum(one.visited + one.expired for one in runs) + unseen
    found = Estimator(runs, total, exact=exact)
    for groups in ([ONE], [OTHER], BOTH):
        for statistic in WEIGHTS:
            estimated: Estimate = getattr(found, statistic)(groups)
            assert most_seen(runs, groups, statistic) <= estimated.low * (1 + 1e-9)
            assert estimated.low <= estimated.value <= estimated.high
            assert estimated.is_exact or not exact
        keys = found.keys(groups)
        assert keys.high <= max(total, keys.value) or keys.high == math.inf
        mean = found.avg_bytes(groups)
        assert (mean is None) is (most_seen(runs, groups, "keys") == 0)
        assert mean is None or 0 <= mean.low <= mean.value <= mean.high
    expired = found.expired()
    assert expired.low <= expired.value <= expired.high


@given(st.lists(some_runs(), max_size=12), st.integers(0, 10**6))
def test_the_groups_and_the_expired_add_up_to_all_keys(runs: list[Run], unseen: int) -> None:
    seen = sum(one.visited + one.expired for one in runs)
    total = seen + unseen
    found = estimate(runs, total)
    parts = [found.keys([ONE]).value, found.keys([OTHER]).value, found.expired().value]
    # No less than all; more where a run alone saw more of a group than its share of the table suggests.
    assert sum(parts) >= (total if seen else 0) * (1 - 1e-9)


# ---- order statistics and shares


def test_a_quantile_of_everything_is_exact_and_of_nothing_unknown() -> None:
    values = [float(number) for number in range(1, 101)]
    assert quantile(values, 0.5, exact=True) == Estimate.exact(51)
    assert quantile(values, 1.0, exact=True) == Estimate.exact(100)
    assert quantile(values, 0.0, exact=True) == Estimate.exact(1)
    assert quantile([], 0.5) is None
    assert quantile([], 0.5, exact=True) is None


def test_a_quantile_s_interval_is_made_of_values_that_were_seen_or_is_open() -> None:
    found = quantile([float(number) for number in range(1, 1001)], 0.5)
    assert found is not None
    assert (found.low, found.value, found.high) == (469, 501, 532)  # 500 ± 1.96 · sqrt(1000 / 4), outwards
    high = quantile([1.0, 2.0, 3.0], 0.99)
    assert high is not None
    assert high.high == math.inf
    assert quantile([5.0], 0.5) == Estimate(5.0, 0.0, math.inf)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_lies_in_its_interval(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found is not None
    assert found.low <= found.value <= found.high
    assert found.value in values


def test_shares_are_told_most_frequent_first_each_with_its_interval() -> None:
    words = ["string"] * 90 + ["hash"] * 10
    assert shares(words, exact=True) == {"string": Estimate.exact(0.9), "hash": Estimate.exact(0.1)}
    found = shares(words)
    assert list(found) == ["string", "hash"]
    # Wilson's interval of 10 in 100: 5.5 to 17.4 %.
    assert (round(found["hash"].low, 3), found["hash"].value, round(found["hash"].high, 3)) == (0.055, 0.1, 0.174)
    assert found["string"].low == pytest.approx(1 - found["hash"].high)
    assert shares([]) == {}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=50))
def test_shares_add_up_and_lie_in_their_intervals(words: list[str]) -> None:
    found = shares(words)
    assert sum(share.value for share in found.values()) == pytest.approx(1)
    assert all(0 <= share.low <= share.value <= share.high <= 1 for share in found.values())


# ---- how the runs were drawn


def test_keys_that_may_come_again_are_never_the_whole() -> None:
    runs = [run(tally(6), tally(4), covered=1), run(tally(4), tally(6), covered=1)]
    whole = Estimator(runs, 20, exact=False).keys([ONE])
    again = Estimator(runs, 20, exact=False, draw=Draw.KEYS).keys([ONE])
    assert whole == Estimate.exact(10)
    assert again.value == 10
    assert again.low < 8
    assert again.high > 12


def test_a_sample_in_an_order_that_nobody_knows_claims_no_more_than_it_saw() -> None:
    found = Estimator([run(tally(6)), run(tally(4))], 1000, exact=False, draw=Draw.UNFAIR)
    assert (found.keys([ONE]).low, found.keys([ONE]).high) == (6, math.inf)
    size = found.bytes([ONE])
    assert size is not None
    assert size.high == math.inf
