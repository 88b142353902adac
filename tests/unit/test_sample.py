"""What a census has seen so far: as much as it needs, in bounded memory."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.census.sample import NEVER, Sample, heavy_from
from spillgate.keyspace import PrefixTree
from spillgate.model import KeySample, Run, Tally

NAMES = ("tasks", "pages")
TREE = PrefixTree(b":", [(b"*",), (b"user", b"*"), (b"user", b"*", b"cart")])
MOST_RUNS, MOST_DETAILS, MOST_BIGGEST = 1000, 20_000, 20


def key(name: str, size: int | None = 100, ttl_ms: int | None = 1000) -> KeySample:
    return KeySample(0, ttl_ms, size, name.encode(), "string", "raw")


def run(keys: dict[int, int], *, covered: float = 0.01, expired: int = 0, total: int = 10_000) -> Run:
    """So many keys of each group, of 100 bytes."""
    tallies = {
        group: Tally(keys=count, light_bytes=100 * count, name_bytes=10 * count) for group, count in keys.items()
    }
    visited = sum(keys.values())
    return Run(covered, visited, expired, total, tallies, light_squares=10_000.0 * visited)


def looked_at(*keys: tuple[int, KeySample], total: int = 10_000) -> Run:
    """A run with the details of each of its keys."""
    return replace(run({group: 1 for group, _ in keys}, total=total), visited=len(keys), details=keys)


def filled(runs: list[Run]) -> Sample:
    sample = Sample(NAMES)
    for one in runs:
        sample.add(one)
    return sample


def test_however_many_runs_there_are_few_are_kept_and_no_key_is_lost() -> None:
    rng = random.Random(1)
    runs = [run({1: rng.randrange(5, 50), 2: rng.randrange(50)}, expired=rng.randrange(3)) for _ in range(5000)]
    sample = filled(runs)
    assert len(sample.state().runs) <= MOST_RUNS
    assert sample.seen == sum(one.visited + one.expired for one in runs)
    census = sample.census(1.0, exact=True, sizes_known=True)
    assert census.sampled_keys == sum(one.visited for one in runs)
    for group, row in enumerate(census.namespaces, start=1):
        assert row.bytes is not None
        keys = sum(one.tallies[group].keys for one in runs)
        assert (row.keys.value, row.bytes.value) == (keys, 100 * keys)
    assert census.expired.value == sum(one.expired for one in runs)


def test_every_key_counts_for_as_much_after_runs_were_merged() -> None:
    """Half of the table holds 9 of 10 keys of the one, and a run covers ten times as much of the other half."""
    rng = random.Random(2)
    runs = [run({1: 90, 2: 10}, covered=0.001, total=10**6), run({2: 100}, covered=0.01, total=10**6)] * 150
    rng.shuffle(runs)
    estimates = [filled(runs[:count]).census(1.0, exact=False, sizes_known=True) for count in (180, 300)]
    few, many = (census.namespaces[0].keys for census in estimates)
    # 90 keys in each thousandth of one half, 110 in each pair of thousandths.
    assert many.value == pytest.approx(10**6 * 90 / 110, rel=0.01)
    assert few.low <= many.value <= few.high
    assert many.high - many.low < 1.5 * (few.high - few.low)


def test_runs_in_order_add_up_to_what_was_seen_though_some_were_merged() -> None:
    runs = [run({1: 40, 2: 60}, covered=1.0, total=25_000)] * 150 + [
        run({1: 60, 2: 40}, covered=1.0, total=25_000)
    ] * 90
    keys = filled(runs).census(1.0, exact=False, sizes_known=True).namespaces[0].keys
    assert keys.value == pytest.approx(25_000 * (40 * 150 + 60 * 90) / 24_000)


def test_what_scanning_dropped_still_belongs_to_the_keys_that_there_were() -> None:
    sample = filled([run({1: 50}, expired=50, total=1000), run({1: 50}, expired=50, total=950)])
    assert sample.total_keys == 1000
    found = sample.census(1.0, exact=False, sizes_known=True)
    assert (found.namespaces[0].keys.value, found.expired.value) == (500, 500)


def test_details_are_thinned_evenly_as_they_become_many() -> None:
    sample = Sample(NAMES, detail_every=3)
    for number in range(500):
        sample.add(looked_at(*((1, key(f"{number}:{place}")) for place in range(0, 300, sample.detail_every))))
    details = sample.state().details
    assert len(details) <= MOST_DETAILS
    assert sample.detail_every == 3 * 4
    early = sum(int(kept.name.split(b":")[0]) < 250 for _, kept in details)
    assert early / len(details) == pytest.approx(0.5, abs=0.02)


def test_the_biggest_keys_are_kept_each_once_and_what_is_asked_for_grows_with_them() -> None:
    sample = Sample(NAMES)
    assert sample.big_bytes == 4096
    for number in range(100):
        big = (1, key(f"big:{number % 50}", 10_000 + number % 50))
        sample.add(replace(run({1: 1}), biggest=(big,)))
    assert sample.big_bytes == 10_030
    biggest = sample.census(1.0, exact=False, sizes_known=True).biggest
    assert [found.size_bytes for found in biggest] == list(range(10_049, 10_029, -1))


def test_keys_looked_at_by_chance_are_among_the_biggest() -> None:
    sample = filled([looked_at((1, key("small", 60)), (2, key("smaller", 50)), (0, key("unknown", None)))])
    assert [found.name for found in sample.census(1.0, exact=True, sizes_known=True).biggest] == [b"small", b"smaller"]


def test_the_first_runs_are_divided_anew_once_there_is_a_tree() -> None:
    keys = [
        (0, key("user:1:cart", 200, None)),
        (0, key("user:2", 5000)),
        (0, key("else", 70)),
        (1, key("user:3:cart", 900)),
    ]
    pilot = looked_at(*keys)
    sample = filled([pilot])
    sample.divide(TREE, heavy_bytes=1000, detail_every=5, pilots=[pilot])
    assert (sample.tree, sample.heavy_bytes, sample.detail_every) == (TREE, 1000, 5)
    census = sample.census(1.0, exact=True, sizes_known=True)
    rows = {
        row.name: (row.keys.value, row.bytes and row.bytes.value, row.no_ttl and row.no_ttl.value)
        for row in census.prefixes
    }
    assert rows == {"user:*": (1, 5000, 0), "user:*:cart": (1, 200, 1), "*": (1, 70, 0)}
    assert [row.name for row in census.prefixes] == ["user:*", "user:*:cart", "*"]
    assert (census.namespaces[0].keys.value, census.unregistered_keys.value) == (1, 3)
    assert [kept.name for row in census.prefixes for kept in row.sample] == [b"user:2", b"user:1:cart", b"else"]
    (divided,) = sample.state().runs
    assert (divided.light_squares, divided.heavy_squares) == (200.0**2 + 70**2 + 900**2, 5000.0**2)


def test_bytes_are_unknown_where_sizes_are_and_rows_are_weighed_by_keys() -> None:
    sample = filled([run({1: 3, 2: 5})])
    census = sample.census(1.0, exact=True, sizes_known=False)
    assert {(row.bytes, row.avg_bytes) for row in census.namespaces} == {(None, None)}
    assert census.total_bytes is None
    assert [row.name for row in census.heaviest()] == ["pages", "tasks"]


def test_the_widest_error_is_a_share_of_all_bytes() -> None:
    rng = random.Random(3)
    runs = [run({1: 100 + (wave := rng.randrange(-30, 30)), 2: 100 - wave}, total=10**6) for _ in range(40)]
    sample = filled(runs)
    census = sample.census(1.0, exact=False, sizes_known=True)
    assert census.total_bytes is not None
    assert sample.widest() == pytest.approx(
        max((row.bytes.high - row.bytes.low) / 2 for row in census.namespaces if row.bytes) / census.total_bytes.value
    )
    assert filled([run({}, total=0)]).widest() == 0.0


@st.composite
def some_runs(draw: st.DrawFn) -> Run:
    tasks, other = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    told = run({1: tasks, 0: other}, expired=draw(st.integers(0, 3)))
    return replace(told, details=((1, key("t")),), biggest=((0, key(f"big{other}", 9000 + other)),))


@given(runs=st.lists(some_runs(), min_size=1, max_size=30), divided=st.booleans())
def test_another_goes_on_from_where_one_was(runs: list[Run], *, divided: bool) -> None:
    first, second = Sample(NAMES), Sample(NAMES)
    if divided:
        first.divide(TREE, 500, 3)
    for one in runs[: len(runs) // 2]:
        first.add(one)
    second.restore(first.state())
    for one in runs[len(runs) // 2 :]:
        first.add(one)
        second.add(one)
    assert second.state() == first.state()
    assert second.census(1.0, exact=False, sizes_known=True) == first.census(1.0, exact=False, sizes_known=True)


def test_heavy_are_the_biggest_percent_of_many_keys() -> None:
    assert heavy_from(range(1, 2001)) == 1981
    assert heavy_from([*range(1, 2001), *[None] * 500]) == 1981
    assert heavy_from(range(1, 500)) == NEVER
    assert heavy_from([]) == NEVER
