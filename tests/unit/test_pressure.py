"""From readings to levels: what raises one, and how slowly it falls."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.config import LevelSettings, ServerSettings
from spillgate.errors import LimitUnknown
from spillgate.model import Level, Reading
from spillgate.policy.pressure import Assessment, FillRates, Limits, assess, find_limits, level_at, threshold

MB = 1024 * 1024
LIMITS = Limits(100 * MB, 8 * MB)
LEVELS = LevelSettings()
CALM = FillRates()


def reading(pressure: float, at_s: float = 0.0, not_counted: int = 0) -> Reading:
    return Reading(at_s, round(pressure * LIMITS.limit_bytes) + not_counted, not_counted_bytes=not_counted)


def look(
    previous: Assessment | None,
    pressure: float,
    at_s: float,
    rates: FillRates = CALM,
    horizon_s: float = 0.1,
) -> Assessment:
    return assess(previous, reading(pressure, at_s), rates, LIMITS, LEVELS, horizon_s)


@pytest.mark.parametrize(
    ("pressure", "level"),
    [
        (0.0, Level.NORMAL),
        (0.599, Level.NORMAL),
        (0.6, Level.WARNING),
        (0.799, Level.WARNING),
        (0.8, Level.PREVENTIVE),
        (0.879, Level.PREVENTIVE),
        (0.88, Level.EMERGENCY),
        (0.999, Level.EMERGENCY),
        (1.0, Level.CRITICAL),
        (1.7, Level.CRITICAL),
    ],
)
def test_each_level_begins_at_its_threshold(pressure: float, level: Level) -> None:
    assert level_at(pressure, LEVELS) is level
    first = look(None, pressure, 0.0)
    assert (first.level, first.raw_level) == (level, level)


@pytest.mark.parametrize("pressure", [-0.1, -math.inf, math.nan])
def test_a_pressure_that_makes_no_sense_is_no_alarm(pressure: float) -> None:
    assert level_at(pressure, LEVELS) is Level.NORMAL


def test_a_limit_below_zero_is_none() -> None:
    assert (
        find_limits(ServerSettings("", limit_bytes=5 * MB), Reading(0.0, 1, maxmemory_bytes=-(2**63))).limit_bytes
        == 5 * MB
    )
    with pytest.raises(LimitUnknown):
        find_limits(ServerSettings(""), Reading(0.0, 1, maxmemory_bytes=-(2**63)))


def test_a_level_rises_at_once_by_any_number_of_steps() -> None:
    assert look(look(None, 0.1, 0.0), 1.0, 0.001).level is Level.CRITICAL


def test_a_level_rises_on_the_forecast_and_says_so() -> None:
    filling = FillRates((10.0 * LIMITS.limit_bytes,))  # 100 % in a tenth of a second
    seen = look(None, 0.3, 0.0, filling)
    assert (seen.level, seen.forecast) == (Level.CRITICAL, pytest.approx(1.3, abs=1e-6))
    assert "filling" in seen.reason
    assert "130%" in seen.reason
    assert seen.time_to_limit_s == pytest.approx(0.07, abs=1e-6)
    assert look(None, 0.3, 0.0, filling, horizon_s=0.001).level is Level.NORMAL


def test_memory_that_does_not_count_for_the_limit_is_no_pressure() -> None:
    seen = assess(None, reading(0.5, not_counted=90 * MB), CALM, LIMITS, LEVELS, 0.1)
    assert (seen.pressure, seen.level) == (0.5, Level.NORMAL)
    assert seen.time_to_limit_s is None


def test_a_level_falls_one_step_at_a_time_each_after_its_own_hold() -> None:
    hold = LEVELS.hold_s
    seen = look(None, 1.0, 0.0)
    falls: list[tuple[float, Level]] = []
    for second in range(1, 100):
        after = look(seen, 0.1, float(second))
        if after.level is not seen.level:
            falls.append((float(second), after.level))
        seen = after
    assert [level for _, level in falls] == [Level.EMERGENCY, Level.PREVENTIVE, Level.WARNING, Level.NORMAL]
    assert falls[0][0] == 1 + hold  # it has been below since the first look that said so
    assert all(later[0] - earlier[0] >= hold for earlier, later in pairwise(falls))


def test_a_level_stays_until_the_pressure_is_clearly_below_its_threshold() -> None:
    seen = look(None, 0.88, 0.0)
    for second in range(1, 100):
        seen = look(seen, 0.845, float(second))  # below 88 %, but not by the 4 % of release
    assert seen.level is Level.EMERGENCY
    assert seen.raw_level is Level.PREVENTIVE


def test_one_look_above_the_release_point_starts_the_hold_anew() -> None:
    seen = look(None, 0.9, 0.0)
    seen = look(seen, 0.5, 1.0)
    seen = look(seen, 0.86, 15.0)
    seen = look(seen, 0.5, 16.0)
    assert look(seen, 0.5, 30.9).level is Level.EMERGENCY
    assert look(seen, 0.5, 31.0).level is Level.PREVENTIVE


def test_a_clock_that_goes_backwards_starts_the_hold_anew() -> None:
    seen = look(look(None, 0.9, 1000.0), 0.5, 1001.0)
    seen = look(seen, 0.5, 10.0)
    assert look(seen, 0.5, 24.9).level is Level.EMERGENCY
    assert look(seen, 0.5, 25.0).level is Level.PREVENTIVE


times_and_pressures = st.lists(
    st.tuples(st.floats(-40, 40), st.sampled_from([0.1, 0.55, 0.6, 0.77, 0.83, 0.85, 0.9, 0.97, 1.2])), max_size=60
)


@given(times_and_pressures, st.floats(0, LIMITS.limit_bytes))
def test_whatever_happens_a_level_rises_at_once_and_falls_slowly(
    steps: list[tuple[float, float]], fill_bytes_s: float
) -> None:
    """The clock may run, stand, or jump either way; what is held is time that really passed."""
    now, below_for_s = 1000.0, 0.0
    seen: Assessment | None = None
    for turned, pressure in steps:
        now += turned
        after = look(seen, pressure, now, FillRates((fill_bytes_s,)))
        assert after.level >= after.raw_level >= level_at(pressure, LEVELS)
        if seen is not None:
            below_for_s += max(0.0, turned)
            if after.level < seen.level:
                assert seen.level - after.level == 1
                assert below_for_s >= LEVELS.hold_s - 1e-6
                below_for_s = 0.0
        if pressure > threshold(after.level, LEVELS) - LEVELS.release:
            below_for_s = 0.0
        seen = after


# ---- fill rates


def test_memory_that_falls_fills_nothing_and_no_time_tells_nothing() -> None:
    assert FillRates().high_bytes_s == 0
    assert FillRates().observe(-5000, 1.0).high_bytes_s == 0
    assert FillRates().observe(5000, 0.0).observe(5000, -1.0) == FillRates()
    assert FillRates().observe(5000, 2.0).high_bytes_s == 2500


def test_a_burst_is_kept_in_mind_for_some_looks_and_then_forgotten() -> None:
    rates = FillRates().observe(1000, 1.0).observe(900, 1.0)
    for _ in range(5):
        rates = rates.observe(0, 1.0)
    assert rates.high_bytes_s >= 900
    for _ in range(200):
        rates = rates.observe(0, 1.0)
    assert rates.high_bytes_s == 0


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=100))
def test_the_rate_is_a_high_quantile_and_never_below_the_latest(grown: list[float]) -> None:
    rates = FillRates()
    for size in grown:
        rates = rates.observe(size, 1.0)
    assert grown[-1] <= rates.high_bytes_s <= max(grown)
    kept = rates.samples
    assert sum(size <= rates.high_bytes_s for size in kept) >= 0.9 * len(kept)


# ---- limits


@pytest.mark.parametrize(("declared", "maxmemory", "limit"), [(25, 0, 25), (None, 30, 30), (25, 30, 25), (25, 20, 20)])
def test_the_limit_is_the_declared_one_but_never_above_the_servers(
    declared: int | None, maxmemory: int, limit: int
) -> None:
    server = ServerSettings(limit_bytes=declared * MB if declared else None)
    found = find_limits(server, Reading(0, 1, maxmemory_bytes=maxmemory * MB))
    assert found == Limits(limit * MB, round(0.08 * limit * MB))
    assert found.ceiling_bytes == found.limit_bytes - found.reserve_bytes


def test_a_reserve_as_declared_and_without_any_limit_an_error() -> None:
    assert (
        find_limits(ServerSettings(limit_bytes=25 * MB, reserve_bytes=2 * MB), Reading(0, 1)).ceiling_bytes == 23 * MB
    )
    with pytest.raises(LimitUnknown, match="--limit"):
        find_limits(ServerSettings(), Reading(0, 1))
