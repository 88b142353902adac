"""The day's command budget across midnight and clocks that jump."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spillgate.governor.clock import Clock, CommandMeter
from spillgate.policy.pacing import DAY_S, CommandBudget


class Wall:
    """A wall clock turned by hand."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def test_a_day_ends_at_midnight_utc_and_a_new_budget_begins() -> None:
    wall = Wall(10 * DAY_S + 1000)
    meter = CommandMeter(100, Clock(wall=wall))
    assert meter.budget(40) == CommandBudget(100, 40, DAY_S - 1000)
    wall.now_s = 11 * DAY_S - 10
    assert meter.budget(70) == CommandBudget(100, 70, 10)
    wall.now_s = 11 * DAY_S
    assert meter.budget(70) == CommandBudget(100, 0, DAY_S)
    assert meter.budget(75).used == 5


def test_a_clock_set_back_does_not_open_the_budget_again() -> None:
    wall = Wall(10 * DAY_S + 1000)
    meter = CommandMeter(100, Clock(wall=wall))
    wall.now_s -= 2 * DAY_S
    assert meter.budget(100).spent
    assert meter.budget(100).left_s <= DAY_S
    wall.now_s += 2 * DAY_S
    assert meter.budget(100).spent
    wall.now_s += DAY_S
    assert not meter.budget(100).spent


def test_no_cap_is_no_cap_on_any_day() -> None:
    meter = CommandMeter(0, Clock(wall=Wall(0)))
    assert meter.budget(10**9).remaining is None


@given(st.lists(st.tuples(st.floats(-3 * DAY_S, 3 * DAY_S), st.integers(0, 30)), max_size=50))
def test_however_the_clock_jumps_no_more_is_spent_than_the_days_seen_allow(steps: list[tuple[float, int]]) -> None:
    wall = Wall(100 * DAY_S)
    meter = CommandMeter(50, Clock(wall=wall))
    sent, latest = 0, wall.now_s
    for turned, asked in steps:
        wall.now_s += turned
        budget = meter.budget(sent)
        assert 1 <= budget.left_s <= DAY_S
        sent += min(asked, budget.remaining or 0)
        latest = max(latest, wall.now_s)
        assert sent <= 50 * (latest // DAY_S - 100 + 1)
