"""Projections: everything adds up, more never takes less, and what is said to fit does."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.model import Estimate
from spillgate.policy.capacity import Risk
from spillgate.policy.capacity_growth import DAY_S
from spillgate.policy.capacity_layout import Layout
from spillgate.policy.capacity_model import CONNECTIONS, Footing, Holding, doublings, more_that_fit, outlook
from spillgate.policy.capacity_risk import plan_for, risk_of

MB = 1 << 20
LAYOUTS = (
    Layout.of({"valkey_version": "9.1.2", "mem_allocator": "libc"}),
    Layout.of({"redis_version": "7.0.15", "mem_allocator": "jemalloc-5.3.0"}),
)


def holding(name: str, keys: int, size: float, *, database: int = 0, spread: float | None = 10.0) -> Holding:
    return Holding(name, Estimate.exact(keys), Estimate.exact(size), spread, 0.5, 8.0, database)


def footing(layout: Layout, *holdings: Holding, used: int = 3 * MB) -> Footing:
    return Footing(layout, used, holdings, None, 10, 2000.0)


@given(
    st.sampled_from(LAYOUTS),
    st.integers(1, 100_000),
    st.integers(0, 5000),
    st.floats(1, 20),
    st.integers(0, 1000),
)
def test_parts_add_up_and_more_takes_more(
    layout: Layout, keys: int, others: int, times: float, connections: int
) -> None:
    there = footing(layout, holding("a", keys, 500), holding("b", others, 100, database=1))
    found = outlook(there, {"a": keys * times}, connections)
    together = sum(size.value for size in found.by_feature.values()) + sum(found.overhead.values())
    assert found.bytes.value == pytest.approx(together)
    assert found.bytes.low <= found.bytes.value <= found.bytes.high
    assert found.overhead[CONNECTIONS] == connections * 2000
    assert outlook(there, {}).bytes == Estimate.exact(3 * MB)
    fewer = outlook(there, {"a": keys * times - 1}, connections) if keys * times > 1 else None
    assert fewer is None or fewer.bytes.value < found.bytes.value


@given(st.sampled_from(LAYOUTS), st.integers(1, 30_000), st.integers(1, 50_000))
def test_what_is_said_to_fit_fits_and_not_one_more(layout: Layout, keys: int, size: int) -> None:
    there = footing(layout, holding("a", keys, size))
    more = more_that_fit(there, "a", 20 * MB)
    assert more.low <= more.value <= more.high
    assert outlook(there, {"a": keys + more.value}).bytes.value < 20 * MB
    assert outlook(there, {"a": keys + more.value + 1}).bytes.value >= 20 * MB
    assert more_that_fit(there, "a", 2 * MB) == Estimate.exact(0)


def test_a_doubling_is_seen_coming_and_counted_once() -> None:
    there = footing(LAYOUTS[1], holding("a", 1000, 100))
    (near,) = doublings(there)
    assert (near.keys_left, near.bytes) == (25, 8192)
    before, after = (outlook(there, {"a": count}).bytes.value for count in (1024, 1025))
    one = 100 + 8 + 8 + 0.5 * 32  # the object, what is left out of it, its entries
    assert after - before == 8192 + 4096 + one  # half of the keys have a TTL, and their table doubles as well
    # An array that is larger than it need be has room already.
    roomy = Footing(LAYOUTS[1], 3 * MB, there.holdings, 65_536 + 500 * 24, 10, 2000.0)
    assert outlook(roomy, {"a": 1025}).bytes.value - outlook(roomy, {"a": 1024}).bytes.value == one


def test_few_objects_tell_little() -> None:
    few, many = (footing(LAYOUTS[0], holding("a", count, 500, spread=100)) for count in (3, 3000))
    widths = [
        (size.high - size.low) / size.value
        for there, count in ((few, 30), (many, 30_000))
        for size in (outlook(there, {"a": count}).bytes,)
    ]
    lone = outlook(footing(LAYOUTS[0], holding("a", 1, 500, spread=None)), {"a": 1001}).bytes
    assert lone.high - lone.value >= 500 * 1000
    assert lone.value - lone.low >= 500 * 1000
    assert widths[1] > 0
    unsure = Holding("a", Estimate.exact(0), Estimate(500, 0, math.inf))
    assert outlook(footing(LAYOUTS[0], unsure), {"a": 0}).bytes == Estimate.exact(3 * MB)


@pytest.mark.parametrize(
    ("used_mb", "to_preventive_s", "risk"),
    [
        (1, None, Risk.LOW),
        (5, None, Risk.LOW),
        (5.1, None, Risk.MEDIUM),
        (15, None, Risk.MEDIUM),
        (15.1, None, Risk.HIGH),
        (2, 8 * DAY_S, Risk.LOW),
        (2, 6 * DAY_S, Risk.MEDIUM),
        (2, DAY_S / 2, Risk.HIGH),
        (16, 6 * DAY_S, Risk.HIGH),
    ],
)
def test_the_risk_is_the_users(used_mb: float, to_preventive_s: float | None, risk: Risk) -> None:
    when = None if to_preventive_s is None else Estimate.exact(to_preventive_s)
    found, reason = risk_of(used_mb * MB, 25 * MB, when)
    assert found is risk
    assert "of 25MB" in reason
    assert risk_of(used_mb * MB, None) == (None, "unknown: no limit is known; pass --limit, such as 25MB")


@given(st.floats(1000, 1e13), st.floats(0.3, 0.99), st.one_of(st.none(), st.integers(0, 100 * MB)))
def test_a_plan_holds_it_below_preventive(size: float, preventive: float, reserve: int | None) -> None:
    plan = plan_for(size, preventive, reserve)
    assert size < plan * preventive
    assert size < plan - (plan * 0.08 if reserve is None else reserve)


def test_plans_are_of_sizes_that_are_sold() -> None:
    sizes = [plan_for(size * MB, 0.8) // MB for size in (10, 20.1, 24.1, 79, 81, 203, 401, 900)]
    assert sizes == [20, 30, 50, 100, 250, 256, 512, 1536]
