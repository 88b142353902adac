"""Samples into numbers: exact where every key was seen, else intervals that hold the truth as often as they say."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from spillgate.census.estimate import Run, estimate_census
from spillgate.model import Census, Estimate, KeySample

NAMES = ("small", "large")


def key(size: int | None = 100, ttl_ms: int | None = 1000) -> KeySample:
    return KeySample(0, ttl_ms, size)


Keys = Sequence[tuple[str | None, KeySample]]


def census(runs: list[Keys], total: int, *, exact: bool = False, sizes_known: bool = True) -> Census:
    return estimate_census(NAMES, [Run(keys) for keys in runs], total, 7.0, exact=exact, sizes_known=sizes_known)


def rows(found: Census) -> dict[str, tuple[Estimate, Estimate | None, Estimate]]:
    return {row.name: (row.keys, row.bytes, row.no_ttl) for row in found.namespaces}


def test_every_key_seen_gives_exact_totals() -> None:
    runs: list[Keys] = [
        [("small", key(10)), ("small", key(30, None)), (None, key(99))],
        [("large", key(1000)), ("small", key(None))],
    ]
    found = census(runs, 12345, exact=True)
    exact = Estimate.exact
    assert rows(found) == {"small": (exact(3), exact(40), exact(1)), "large": (exact(1), exact(1000), exact(0))}
    assert (found.total_keys, found.sampled_keys, found.unregistered_keys) == (5, 5, exact(1))
    assert (found.at_s, found.exact, found.total_bytes) == (7.0, True, exact(1139))
    assert [row.name for row in found.heaviest()] == ["large", "small"]


def test_sizes_that_cannot_be_asked_are_unknown() -> None:
    found = census([[("small", key(None))]], 1, exact=True, sizes_known=False)
    assert [row.bytes for row in found.namespaces] == [None, None]
    assert found.total_bytes is None
    assert [row.name for row in found.heaviest()] == ["small"]


def test_an_empty_database_is_known_to_be_empty_and_an_unseen_one_is_not() -> None:
    assert census([[]], 0).unregistered_keys == Estimate(0, 0, 0)
    assert census([], 50).unregistered_keys == Estimate(0, 0, math.inf)


def test_one_call_says_nothing_about_its_error() -> None:
    assert census([[("small", key()), (None, key())]], 100).usage("small").keys == Estimate(50, 1, math.inf)  # type: ignore[union-attr]


def test_the_sample_of_a_namespace_is_what_was_seen_of_it() -> None:
    seen = key(77)
    usage = census([[("small", seen)], [(None, key())]], 100).usage("small")
    assert usage is not None
    assert usage.sample == (seen,)
    assert census([], 1).usage("no such") is None


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([None, *NAMES]), st.builds(key, st.integers(1, 10**6))), max_size=20),
        max_size=10,
    ),
    st.integers(0, 10**6),
)
def test_an_interval_holds_its_value_and_what_was_seen(runs: list[Keys], unseen: int) -> None:
    visited = sum(map(len, runs))
    found = census(runs, visited + unseen)
    for row in found.namespaces:
        # Runs may overlap: what several of them saw may be the same keys.
        seen = max((sum(owner == row.name for owner, _ in run) for run in runs), default=0)
        assert seen <= row.keys.low <= row.keys.value <= row.keys.high
    shares = [row.keys.value for row in found.namespaces] + [found.unregistered_keys.value]
    assert sum(shares) >= (visited + unseen if visited else 0) * (1 - 1e-9)


def test_a_run_through_a_part_just_emptied_counts_by_what_it_covered() -> None:
    """Half of the table holds 900 of "large" and 100 of "small", the other half 100 of "small" alone."""
    full: Keys = [("large", key())] * 9 + [("small", key())]
    bare: Keys = [("small", key())] * 10
    runs = [Run(full, 0.005), Run(bare, 0.05)] * 3
    found = estimate_census(NAMES, runs, 1100, 0.0, exact=False, sizes_known=True)
    assert {row.name: round(row.keys.value) for row in found.namespaces} == {"large": 900, "small": 200}


def draw_runs(rng: random.Random, keys: list[tuple[str | None, KeySample]], calls: int, per_call: int) -> list[Keys]:
    """Runs from random places, as calls from random cursors make them, each of about the number of keys asked for."""
    runs: list[Keys] = []
    for _ in range(calls):
        start, length = rng.randrange(len(keys)), per_call + rng.randrange(50)
        runs.append([keys[(start + step) % len(keys)] for step in range(length)])
    return runs


def test_95_percent_intervals_hold_the_truth_about_95_times_in_100() -> None:
    rng = random.Random(20)
    owners = rng.choices([*NAMES, None], weights=[15, 60, 25], k=20_000)
    keys = [
        (owner, key(rng.randrange(100, 900) if owner == "large" else rng.randrange(50, 80), rng.choice([None, 5])))
        for owner in owners
    ]
    truth = {name: sum(owner == name for owner in owners) for name in NAMES}
    sizes = {name: sum(seen.size_bytes or 0 for owner, seen in keys if owner == name) for name in NAMES}
    trials, held, tight = 200, 0, 0
    for _ in range(trials):
        found = census(draw_runs(rng, keys, calls=8, per_call=60), len(keys))
        for row in found.namespaces:
            assert row.bytes is not None
            held += row.keys.low <= truth[row.name] <= row.keys.high
            held += row.bytes.low <= sizes[row.name] <= row.bytes.high
            tight += row.keys.high - row.keys.low < 0.5 * len(keys)
    assert 0.92 <= held / (4 * trials) <= 0.98
    assert tight == 2 * trials  # an interval of everything would hold the truth as well
