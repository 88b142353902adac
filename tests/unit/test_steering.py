"""Which TTL is in force where the governor adjusts it: slowly down, quickly back, within bounds, undone by an edit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.config import Policy, parse_policy
from spillgate.model import Level
from spillgate.policy.steering import GUARD, PERIOD_S, REST_S, STALE_S, STEP_DOWN, Advised, Steering, resumed, steer

if TYPE_CHECKING:
    from spillgate.policy.steering import Change, Steered

HALF_HOUR, MIN_S, MAX_S = 1800.0, 300.0, 7200.0


def policy(ttl: str = "30m", mode: str = "auto", *, least: str = "5m", most: str = "2h", monitor: str = "") -> Policy:
    """One namespace that may be adjusted, one that is protected, one of sessions."""
    return parse_policy(
        f"""
        [monitor]
        ttl_mode = "{mode}"
        {monitor}
        [[namespace]]
        name = "messages"
        keys = "m:*"
        ttl = "{ttl}"
        cleanup = "clear"
        priority = 1
        min_ttl = "{least}"
        max_ttl = "{most}"
        [[namespace]]
        name = "tasks"
        keys = "t:*"
        ttl = "10m"
        [[namespace]]
        name = "sessions"
        keys = "s:*"
        ttl = "15m"
        cleanup = "expired"
        priority = 2
        """,
        "test",
    )


@dataclass
class Course:
    """What happens to the TTL of messages, minute by minute."""

    policy: Policy
    now_s: float = 1000.0
    steering: Steering = field(default_factory=Steering)
    advised: Advised | None = None
    level: Level | None = Level.NORMAL
    changes: tuple[Change, ...] = ()

    def look(self) -> Steered:
        """One look of the governor."""
        self.steering, changes = steer(self.steering, self.policy, self.advised, self.now_s, self.level)
        self.changes += changes
        return self.steering.namespaces["messages"]

    def go_on(self, minutes: int = 1, ttl_s: float | None = None, hit_ratio: float | None = None) -> float:
        """So many minutes, each with a look and the same recommendation, if there is one; the TTL then."""
        for _ in range(minutes):
            self.now_s += 60
            if ttl_s is not None or hit_ratio is not None:
                ttls = {} if ttl_s is None else {ns.name: ttl_s for ns in self.policy.namespaces}
                self.advised = Advised(self.now_s, ttls, {"messages": hit_ratio})
            self.look()
        return self.look().ttl_s


@pytest.fixture
def course() -> Course:
    """A namespace that is adjusted, looked at once."""
    begun = Course(policy())
    begun.look()
    return begun


# ---- down


def test_it_goes_down_a_tenth_every_ten_minutes_once_the_recommendation_has_stood_as_long(course: Course) -> None:
    assert [course.go_on(5, 600.0) for _ in range(7)] == pytest.approx([1800, 1800, 1620, 1620, 1458, 1458, 1312.2])
    assert course.go_on(200, 600.0) == pytest.approx(600, rel=0.1)
    assert course.changes[0][:4] == ("messages", 1800.0, 1620.0, 1800.0)
    assert course.changes[0].reason == "10m is recommended, a tenth at a time"
    assert {change.name for change in course.changes} == {"messages"}, "the protected one and sessions stay"


def test_no_recommendation_leads_beyond_the_bounds(course: Course) -> None:
    assert course.go_on(300, 10.0) == pytest.approx(MIN_S, rel=0.1)
    assert course.steering.namespaces["messages"].ttl_s >= MIN_S
    assert course.changes[-1].reason == "10s is recommended, beyond its min_ttl, a tenth at a time"
    assert course.go_on(60, 90_000.0) == MAX_S


def test_noise_moves_nothing(course: Course) -> None:
    for number in range(200):
        course.go_on(1, HALF_HOUR * (0.91 + 0.18 * (number * 7 % 10) / 9))
    for number in range(100):  # and what is no noise, but contradicts itself within ten minutes
        course.go_on(5, HALF_HOUR * (0.5 if number % 2 else 1.0))
    assert course.changes == ()


# ---- back


def test_it_is_back_at_the_next_look_and_goes_beyond_by_doubling(course: Course) -> None:
    course.go_on(100, 600.0)
    assert course.go_on(1, MAX_S) == HALF_HOUR
    assert course.go_on(9, MAX_S) == HALF_HOUR
    assert [course.go_on(10, MAX_S) for _ in range(3)] == [3600, 7200, 7200]


def test_what_nobody_recommends_any_more_is_given_back(course: Course) -> None:
    course.go_on(100, 600.0)
    assert course.go_on(59) < 900
    assert course.go_on(1) == HALF_HOUR
    assert course.changes[-1].reason == "nothing was recommended for 1h"
    course.go_on(30, MAX_S)
    assert course.go_on(61) == MAX_S
    assert course.go_on(10) == pytest.approx(0.9 * MAX_S), "down is slow, also to the file's"
    assert course.go_on(300) == HALF_HOUR


def test_nothing_becomes_stale_or_grows_while_memory_is_short_or_nobody_looks(course: Course) -> None:
    low = course.go_on(100, 600.0)
    for level in (Level.PREVENTIVE, None):
        course.level = level
        assert course.go_on(600) <= low
        assert course.go_on(5, MAX_S) <= low
    course.level = Level.NORMAL
    course.advised = None
    course.now_s += 24 * 3600  # the server was away
    assert course.look().ttl_s == HALF_HOUR, "what was recommended last comes into force"
    low = course.go_on(100, 600.0)
    course.now_s += 24 * 3600
    assert course.look().ttl_s <= low


def test_lost_hits_bring_it_back_and_it_rests(course: Course) -> None:
    course.go_on(50, 600.0, 0.80)
    assert course.go_on(20, 600.0, 0.80 - GUARD) < HALF_HOUR
    assert course.go_on(1, 600.0, 0.74) == HALF_HOUR
    assert course.changes[-1].reason == "its hit ratio fell from 80% to 74%, so it stays for 6h"
    assert course.go_on(int(REST_S / 60) - 1, 600.0, 0.74) == HALF_HOUR
    assert course.go_on(12, 600.0, 0.74) < HALF_HOUR
    assert course.go_on(12, 600.0, None) < HALF_HOUR, "what is not known is no loss"


def test_hits_that_a_cleanup_has_cost_count_against_no_ttl(course: Course) -> None:
    course.go_on(50, 600.0, 0.80)
    course.level = Level.EMERGENCY
    course.go_on(5, 600.0, 0.10)
    course.level = Level.NORMAL
    assert course.go_on(9, 600.0, 0.10) < HALF_HOUR
    assert course.go_on(20, 600.0, 0.80) < HALF_HOUR


# ---- the user


def test_an_edit_of_the_ttl_is_in_force_at_once_and_undoes_everything(course: Course) -> None:
    course.go_on(100, 600.0)
    course.policy, course.level = policy("20m"), None
    assert course.look().ttl_s == 1200, "also where the level is not known"
    assert course.changes[-1].reason == "the policy file has a new ttl"
    course.level = Level.NORMAL
    assert course.go_on(30) == 1200, "what was recommended before it does not count"
    assert course.go_on(10, 600.0) == 1200
    assert course.go_on(1, 600.0) == 1080


def test_other_edits(course: Course) -> None:
    low = course.go_on(100, 600.0)
    course.policy = replace(policy(), server=replace(policy().server, limit_bytes=1))
    assert course.look().ttl_s == low, "one that has nothing to do with it"
    course.policy = policy(least="15m")
    assert course.look().ttl_s == 900
    for other in (policy(mode="advise"), policy(monitor="commands_per_day = 1000")):
        course = Course(policy())
        course.go_on(100, 600.0)
        course.policy = other
        after, changes = steer(course.steering, other, course.advised, course.now_s, None)
        assert after.applied_to(other) is other
        assert [(change.name, change.after_s) for change in changes] == [("messages", HALF_HOUR)]


def test_the_policy_in_force_keeps_what_was_derived_from_the_files_ttl(course: Course) -> None:
    assert course.steering.applied_to(course.policy) is course.policy
    low = course.go_on(100, 600.0)
    in_force = course.steering.applied_to(course.policy)
    assert in_force.namespaces == (
        replace(course.policy.namespaces[0], ttl_s=low),
        *course.policy.namespaces[1:],
    )
    assert in_force.namespaces[0].max_ttl_s == MAX_S


def test_another_governor_goes_on_where_the_last_one_stood() -> None:
    left = {"messages": (900.0, 1800.0), "sessions": (600.0, 900.0), "gone": (1.0, 2.0)}
    course = Course(policy(), steering=resumed(policy(), left, 1000.0))
    assert course.steering.adjusted.keys() == {"messages"}
    assert course.go_on(59) == 900
    assert course.go_on(1) == HALF_HOUR
    for nothing in ({"messages": (900.0, 1200.0)}, {"messages": (100.0, 1800.0)}):
        assert resumed(policy(), nothing, 1000.0).adjusted == {}


# ---- whatever happens


class Minute(NamedTuple):
    """What may happen from one look to the next."""

    seconds: float
    ttl_s: float | None
    hit_ratio: float | None
    level: Level | None
    edit: str | None


minutes = st.builds(
    Minute,
    st.floats(-60, 2 * STALE_S) | st.just(PERIOD_S) | st.just(60.0),
    st.none() | st.floats(0.001, 1e7) | st.sampled_from([600.0, 1700.0, MAX_S]),
    st.none() | st.floats(0, 1),
    st.none() | st.sampled_from(Level) | st.just(Level.NORMAL),
    st.none() | st.none() | st.none() | st.sampled_from(["20m", "30m", "2h"]),
)


@given(st.lists(minutes, max_size=60))
def test_whatever_happens_it_goes_down_slowly_stays_within_bounds_and_the_user_wins(happened: list[Minute]) -> None:
    course, again = Course(policy()), Course(policy())
    before, stepped_at_s = course.look(), -PERIOD_S
    again.look()
    for minute in happened:
        for one in (course, again):
            one.now_s += minute.seconds
            one.level = minute.level
            one.policy = policy(minute.edit) if minute.edit else one.policy
            if minute.ttl_s is not None:
                one.advised = Advised(one.now_s, {"messages": minute.ttl_s}, {"messages": minute.hit_ratio})
            one.look()
        after = course.steering.namespaces["messages"]
        assert again.steering == course.steering
        assert MIN_S <= after.ttl_s <= MAX_S
        if after.file_s != before.file_s:
            assert after.ttl_s == after.file_s == course.policy.namespaces[0].ttl_s
        elif after.ttl_s < before.ttl_s:
            assert minute.level is not None
            assert after.ttl_s >= (1 - STEP_DOWN) * before.ttl_s
            assert course.now_s - stepped_at_s >= PERIOD_S
            stepped_at_s = course.now_s
        elif after.ttl_s > before.ttl_s:
            assert minute.level is not None
            assert minute.level < Level.PREVENTIVE
            assert after.ttl_s <= max(after.file_s, 2 * before.ttl_s)
        before = after


@given(st.lists(minutes, max_size=30))
def test_from_wherever_it_stands_one_look_brings_it_back(happened: list[Minute]) -> None:
    course = Course(policy())
    for minute in happened:
        course.now_s += minute.seconds
        course.level = minute.level
        if minute.ttl_s is not None:
            course.advised = Advised(course.now_s, {"messages": minute.ttl_s}, {"messages": minute.hit_ratio})
        course.look()
    course.level = Level.NORMAL
    assert course.go_on(1, HALF_HOUR) >= HALF_HOUR


@given(st.lists(minutes, max_size=30))
def test_where_nothing_is_recommended_nothing_changes(happened: list[Minute]) -> None:
    course = Course(policy())
    for minute in happened:
        course.now_s += minute.seconds
        course.level = minute.level
        course.advised = Advised(course.now_s, {}, {"messages": minute.hit_ratio})
        assert course.look().ttl_s == HALF_HOUR
    assert course.changes == ()
