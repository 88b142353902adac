"""What is news, when it is told, and that nothing is told twice or lost."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.alerts.engine import DIGEST_KEY, HOUR_S, Rules
from spillgate.alerts.notice import Condition, Kind, Notice
from spillgate.model import Level
from tests.alerting import START_S, Engine, condition, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_S = 86_400.0
WARNING, PREVENTIVE, EMERGENCY, CRITICAL = Level.WARNING, Level.PREVENTIVE, Level.EMERGENCY, Level.CRITICAL


def many(count: int, severity: Level = PREVENTIVE) -> list[Condition]:
    return [condition(f"k{number}", severity) for number in range(count)]


def items_of(notice: Notice) -> list[tuple[str, str]]:
    return [(one.kind.value, one.key) for one in notice.items]


# ---- one condition


def test_what_lasts_is_told_once_and_over_when_it_has_been_gone_for_hold() -> None:
    engine = Engine()
    assert engine.sees(condition()) == [("firing", "level")]
    assert engine.lasts(600, condition()) == []
    assert engine.lasts(110) == []
    assert engine.lasts(30) == [(20.0, "recovered", "level")]
    assert engine.lasts(600) == []
    over = engine.said[-1]
    assert over.message == "Over after 12m10s; at worst it was preventive. All is well."
    assert (over.since_unix_s, over.by_hand) == (START_S, "")


def test_what_is_back_within_hold_was_never_over() -> None:
    engine = Engine()
    engine.sees(condition())
    assert engine.lasts(100) + engine.lasts(10, condition()) + engine.lasts(100) + engine.lasts(60, condition()) == []
    assert [one.key for one in engine.memory.active] == ["level"]


def test_what_gets_worse_is_told_at_once_and_what_gets_better_is_not() -> None:
    engine = Engine()
    engine.sees(condition(severity=PREVENTIVE))
    engine.turn(1)
    assert engine.sees(condition(severity=CRITICAL)) == [("firing", "level")]
    assert (engine.said[-1].was, engine.said[-1].severity) == (PREVENTIVE, CRITICAL)
    assert engine.lasts(600, condition(severity=PREVENTIVE)) == []
    assert engine.sees(condition(severity=EMERGENCY)) == [("firing", "level")]
    assert engine.said[-1].was is PREVENTIVE
    assert "At worst it was critical." in engine.said[-1].message


def test_a_level_that_jumps_up_and_down_is_told_once() -> None:
    engine = Engine()
    engine.sees(condition(severity=EMERGENCY))
    for _ in range(20):
        assert engine.lasts(60, condition(severity=PREVENTIVE)) == []
        assert engine.lasts(60, condition(severity=EMERGENCY)) == []


def test_what_has_to_last_is_not_told_before_and_then_at_once() -> None:
    engine = Engine()
    slow = condition(after_s=60)
    assert engine.sees(slow) == []
    assert engine.memory.active == ()
    assert engine.lasts(50, slow) == []
    engine.sees()  # gone: it starts anew
    assert engine.lasts(60, slow) == []
    assert engine.lasts(10, slow) == [(10.0, "firing", "level")]
    assert engine.said[-1].since_unix_s == START_S + 60


def test_what_lasts_is_told_again_ever_less_often() -> None:
    engine = Engine()
    engine.sees(condition())
    told = [at / 3600 for at, kind, _ in engine.lasts(5 * DAY_S, condition(), every_s=60) if kind == "reminder"]
    assert told == [1, 3, 7, 15, 31, 55, 79, 103]
    assert engine.said[1].message == "Still so after 1h. Message of level."


def test_no_reminder_where_none_is_wanted() -> None:
    engine = Engine('reminder = "0s"')
    engine.sees(condition())
    assert engine.lasts(2 * DAY_S, condition(), every_s=60) == []


def test_what_comes_and_goes_has_to_be_gone_for_longer_each_time() -> None:
    engine = Engine("rate = 1000")
    told = [engine.sees(condition())]
    for _ in range(20):
        told += [[one[1:] for one in engine.lasts(150)], [one[1:] for one in engine.lasts(10, condition())]]
    flat = [kind for step in told for kind, _ in step]
    assert flat == ["firing", "recovered", "firing"]


def test_what_is_not_known_is_neither_so_nor_over() -> None:
    engine = Engine()
    found = condition("finding:x")
    engine.sees(found)
    for _ in range(100):
        engine.turn(10)
        assert engine.sees(unknown=("finding:",)) == []
    assert [one.key for one in engine.memory.active] == ["finding:x"]
    assert engine.lasts(130) == [(120.0, "recovered", "finding:x")]


# ---- many


def test_a_few_at_once_are_told_one_by_one_and_many_in_one_message() -> None:
    engine = Engine()
    assert engine.sees(*many(5)) == [("firing", f"k{number}") for number in range(5)]
    other = Engine()
    assert other.sees(*many(6)) == [("digest", DIGEST_KEY)]
    assert items_of(other.said[0]) == [("firing", f"k{number}") for number in range(6)]
    assert other.said[0].title == "6 alerts: 6 stand"
    assert other.lasts(600, *many(6)) == []


def test_what_is_grave_is_told_by_itself_beside_the_rest() -> None:
    engine = Engine()
    assert engine.sees(*many(8), condition("worst", CRITICAL)) == [("firing", "worst"), ("digest", DIGEST_KEY)]


def test_beyond_the_rate_the_rest_is_summed_up() -> None:
    engine = Engine("rate = 8")
    said: list[tuple[str, str]] = []
    for number in range(30):
        engine.turn(30)
        said += engine.sees(*many(number + 1))
    assert said[:6] == [("firing", f"k{number}") for number in range(6)]  # two of eight are kept
    assert said[6:] == [("firing", "k6")]  # the first that has to be summed up is alone
    assert engine.lasts(1800, *many(30)) == [(1110.0, "digest", DIGEST_KEY)]
    assert items_of(engine.said[-1]) == [("firing", f"k{number}") for number in range(7, 30)]


def test_something_grave_gets_through_when_the_rate_is_used_up_by_the_rest() -> None:
    engine = Engine("rate = 8")
    for number in range(7):
        engine.turn(1)
        engine.sees(*many(number + 1))
    assert engine.sees(*many(7), condition("worst", CRITICAL)) == [("firing", "worst")]
    assert engine.sees(*many(7), condition("worst", CRITICAL), condition("more", CRITICAL)) == []
    assert engine.lasts(HOUR_S, *many(7), condition("worst", CRITICAL), condition("more", CRITICAL))[0] == (
        3600.0,
        "firing",
        "more",
    )


# ---- quiet hours


def quiet() -> Engine:
    """At 21:59:50."""
    return Engine('quiet_hours = "22:00-07:00"\nreminder = "30m"', START_S + 10 * 3600 - 10)


def test_in_quiet_hours_only_the_worst_is_told() -> None:
    engine = quiet()
    engine.turn(10)
    assert engine.sees(condition("a"), condition("b", EMERGENCY)) == [("firing", "b")]
    assert engine.lasts(3600, condition("a"), every_s=60) == [(180.0, "recovered", "b")]


def test_what_was_held_back_and_stands_is_told_in_the_morning() -> None:
    engine = quiet()
    engine.turn(10)
    told = engine.lasts(9 * 3600, condition("a"), every_s=60)
    assert told == [(9 * 3600, "firing", "a")]


def test_what_came_and_went_in_the_night_is_summed_up_in_the_morning() -> None:
    engine = quiet()
    engine.turn(10)
    for _ in range(3):
        engine.lasts(120, condition("a"), every_s=60)
        engine.lasts(3600, every_s=60)
    told = engine.lasts(9 * 3600, condition("b"), every_s=60)
    assert [one[1:] for one in told[:2]] == [("firing", "b"), ("digest", DIGEST_KEY)]
    summed = next(one for one in engine.said if one.kind is Kind.DIGEST)
    assert items_of(summed) == [("recovered", "a")]
    assert "It came and went 3 times" in summed.message


def test_what_was_told_in_the_evening_and_ended_in_the_night_is_over_in_the_morning() -> None:
    engine = quiet()
    assert engine.sees(condition("a")) == [("firing", "a")]
    told = engine.lasts(9 * 3600 + 60, every_s=60)
    assert [one[1:] for one in told] == [("recovered", "a")]
    assert told[0][0] >= 9 * 3600


def test_reminders_wait_for_the_morning() -> None:
    engine = quiet()
    engine.sees(condition("a"))
    told = engine.lasts(10 * 3600, condition("a"), every_s=60)
    assert [one[1:] for one in told] == [("reminder", "a")]
    assert told[0][0] == 9 * 3600 + 60


@pytest.mark.parametrize(
    ("zone", "quiet_at_noon_utc"), [("UTC", False), ("Asia/Tokyo", False), ("Pacific/Auckland", True)]
)
def test_quiet_hours_are_those_of_the_time_zone(zone: str, *, quiet_at_noon_utc: bool) -> None:
    rules = Rules.of(settings(f'quiet_hours = "22:00-07:00"\ntimezone = "{zone}"').alerts)
    assert rules.quiet(START_S) is quiet_at_noon_utc


@pytest.mark.parametrize(
    ("utc", "is_quiet"),
    [
        ("2026-03-28T20:59", False),  # 21:59 in winter
        ("2026-03-28T21:00", True),
        ("2026-03-29T00:59", True),  # 01:59, and a minute later it is 03:00
        ("2026-03-29T01:00", True),
        ("2026-03-29T04:59", True),  # 06:59 in summer
        ("2026-03-29T05:00", False),
        ("2026-10-24T19:59", False),
        ("2026-10-24T20:00", True),
        ("2026-10-25T00:30", True),  # 02:30 for the first time
        ("2026-10-25T01:30", True),  # and for the second
        ("2026-10-25T05:59", True),
        ("2026-10-25T06:00", False),
    ],
)
def test_quiet_hours_hold_over_midnight_and_when_the_clocks_change(utc: str, *, is_quiet: bool) -> None:
    rules = Rules.of(settings('quiet_hours = "22:00-07:00"\ntimezone = "Europe/Berlin"').alerts)
    assert rules.quiet(datetime.fromisoformat(f"{utc}+00:00").timestamp()) is is_quiet


# ---- whatever happens


KEYS = ("a", "b", "c", "d", "e", "f", "g")
LEVELS = (None, None, *(level for level in Level if level))
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.5, 10.0, 60.0, 130.0, 700.0, 4000.0]),
        st.fixed_dictionaries({key: st.sampled_from(LEVELS) for key in KEYS}),
    ),
    max_size=60,
)
SETTINGS = st.tuples(
    st.integers(1, 12),
    st.sampled_from(["", 'quiet_hours = "22:00-07:00"', 'quiet_hours = "09:00-17:00"\nquiet_level = "critical"']),
    st.sampled_from(["0s", "30s", "2m"]),
    st.sampled_from([0.0, 60.0]),
)


def told_of(notices: list[Notice]) -> Iterator[Notice]:
    """Everything that was said, also within digests; what a digest says as over without having been told, apart."""
    for notice in notices:
        yield from notice.items or (notice,)


@given(STEPS, SETTINGS)
def test_whatever_happens_alerts_keep_their_promises(
    steps: list[tuple[float, dict[str, Level | None]]], chosen: tuple[int, str, str, float]
) -> None:
    rate, hours, hold, after_s = chosen
    engine = Engine(f'rate = {rate}\nhold = "{hold}"\n{hours}')
    sent: list[float] = []
    standing: dict[str, Level] = {}  # what people know of
    owed: set[str] = set()  # what has been active and was never told
    for wait_s, levels in [*steps, *[(600.0, dict.fromkeys(KEYS))] * 200]:
        engine.turn(wait_s)
        before = len(engine.said)
        engine.sees(*(condition(key, level, after_s=after_s) for key, level in levels.items() if level))
        sent += [engine.at.monotonic_s] * (len(engine.said) - before)
        assert sum(at > engine.at.monotonic_s - HOUR_S for at in sent) <= rate
        owed |= {one.key for one in engine.memory.active} - standing.keys()
        for notice in told_of(engine.said[before:]):
            owed.discard(notice.key)
            missed = notice.kind is Kind.RECOVERED and "came and went" in notice.message
            if notice.kind is Kind.FIRING:
                assert notice.was == standing.get(notice.key) or (
                    notice.was is not None and notice.was < standing[notice.key]  # it had got better untold
                )
                assert notice.was is None or notice.was < notice.severity
                standing[notice.key] = notice.severity
            elif notice.kind is Kind.REMINDER:
                assert notice.key in standing
                standing[notice.key] = notice.severity
            elif not missed:
                assert notice.kind is Kind.RECOVERED
                standing.pop(notice.key)  # each had its firing
    assert standing == {}
    assert owed == set()
    assert engine.memory.active == ()
    assert engine.memory.missed == {}
