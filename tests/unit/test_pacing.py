"""When to look again: between the shortest pause and the interval, and never for more than the day's commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.config import LevelSettings, MonitorSettings
from spillgate.model import Level, Reading
from spillgate.policy.pacing import DAY_S, CommandBudget, next_pause, on_guard
from spillgate.policy.pressure import Assessment, FillRates, Limits, assess

MB = 1024 * 1024
LIMITS = Limits(25 * MB, 2 * MB)
LEVELS = LevelSettings()
MONITOR = MonitorSettings()
UNCAPPED = CommandBudget()
COMMANDS_A_LOOK = 2.0


def seen(pressure: float, fill_share_s: float = 0.0, held: Level = Level.NORMAL) -> Assessment:
    """What a look at this pressure tells, with at least ``held`` in force."""
    rates = FillRates((fill_share_s * LIMITS.limit_bytes,))
    previous = assess(
        None, Reading(0, round((0, 0.6, 0.8, 0.88, 1)[held] * LIMITS.limit_bytes)), FillRates(), LIMITS, LEVELS, 0
    )
    return assess(previous, Reading(0, round(pressure * LIMITS.limit_bytes)), rates, LIMITS, LEVELS, 0.1)


assessments = st.builds(seen, st.floats(0, 1.2), st.floats(0, 5), st.sampled_from(Level))


def test_calm_looks_come_at_the_interval() -> None:
    assert next_pause(seen(0.1), MONITOR, LEVELS, UNCAPPED).seconds == MONITOR.interval_s


def test_the_pause_shrinks_with_the_headroom_and_the_fill_rate() -> None:
    # 20 % to the next threshold at 1 % a second: less than 20 s away, so look well before.
    pause = next_pause(seen(0.4, 0.01), MONITOR, LEVELS, UNCAPPED).seconds
    assert pause <= 10
    assert next_pause(seen(0.5, 0.01), MONITOR, LEVELS, UNCAPPED).seconds < pause
    assert next_pause(seen(0.4, 0.02), MONITOR, LEVELS, UNCAPPED).seconds < pause


@pytest.mark.parametrize("level", [Level.PREVENTIVE, Level.EMERGENCY, Level.CRITICAL])
def test_while_alarmed_looks_stay_frequent_also_when_the_pressure_is_gone(level: Level) -> None:
    assert next_pause(seen(0.1, 0.0, level), MONITOR, LEVELS, UNCAPPED).seconds <= 1.0


@given(assessments)
def test_a_pause_lies_between_the_bounds(assessment: Assessment) -> None:
    pause = next_pause(assessment, MONITOR, LEVELS, UNCAPPED).seconds
    assert 0 < pause <= MONITOR.interval_s
    if not on_guard(assessment):
        assert pause >= MONITOR.min_interval_s
        filled = pause * assessment.fill_share_s
        headroom = (
            min((at for at in (0.6, 0.8, 0.88, 1.0) if at > assessment.pressure), default=1.0) - assessment.pressure
        )
        assert pause == MONITOR.min_interval_s or filled <= headroom / 2 + 1e-9


@given(assessments, st.floats(1, 1000))
def test_writes_may_cut_short_every_pause_worth_cutting(assessment: Assessment, bytes_per_pushed: float) -> None:
    pause = next_pause(assessment, MONITOR, LEVELS, UNCAPPED, bytes_per_pushed=bytes_per_pushed)
    if pause.seconds >= 0.5:
        assert pause.pushed_bytes is not None
        assert pause.pushed_bytes > 0
    # The more memory a byte of messages stands for, the fewer of them may pass.
    more = next_pause(assessment, MONITOR, LEVELS, UNCAPPED, bytes_per_pushed=2 * bytes_per_pushed)
    assert (more.pushed_bytes or 0) <= (pause.pushed_bytes or 0)


# ---- the command budget


def spend_a_day(per_day: int, moments: list[Assessment]) -> int:
    """Commands that a day of looks takes, each after the pause that the one before asked for."""
    at_s, used, look = 0.0, 0, 0
    while at_s < DAY_S:
        budget = CommandBudget(per_day, used, DAY_S - at_s)
        assert (budget.remaining or 0) >= COMMANDS_A_LOOK, "it is told to look when there are no commands left"
        used += int(COMMANDS_A_LOOK)
        budget = CommandBudget(per_day, used, DAY_S - at_s)
        pause = next_pause(moments[look % len(moments)], MONITOR, LEVELS, budget, commands_per_look=COMMANDS_A_LOOK)
        assert pause.seconds > 0
        at_s += pause.seconds
        look += 1
    return used


@given(st.integers(2, 3000), st.lists(assessments, min_size=1, max_size=10))
def test_a_day_of_looks_never_takes_more_than_the_cap(per_day: int, moments: list[Assessment]) -> None:
    assert spend_a_day(per_day, moments) <= per_day


@given(st.integers(100, 3000), st.lists(st.builds(seen, st.floats(0, 0.7)), min_size=1, max_size=5))
def test_calm_looks_leave_commands_for_a_cleanup_and_waste_none_of_theirs(
    per_day: int, moments: list[Assessment]
) -> None:
    used = spend_a_day(per_day, moments)
    assert used <= 0.75 * per_day + COMMANDS_A_LOOK
    assert used >= min(0.7 * per_day, DAY_S / MONITOR.interval_s * COMMANDS_A_LOOK)


def test_a_budget_without_a_cap_is_never_spent() -> None:
    assert CommandBudget(0, 10**9).remaining is None
    assert not CommandBudget(0, 10**9).spent
    assert CommandBudget(100, 99).remaining == 1
    assert not CommandBudget(100, 99).spent
    assert CommandBudget(100, 120).remaining == 0
    assert CommandBudget(100, 120).spent


def test_near_the_end_of_the_budget_the_pause_lasts_until_the_day_ends() -> None:
    assert next_pause(seen(0.1), MONITOR, LEVELS, CommandBudget(1000, 999, 5000.0)).seconds == 5000.0
    assert next_pause(seen(0.9), MONITOR, LEVELS, CommandBudget(1000, 999, 5000.0)).seconds == 5000.0
