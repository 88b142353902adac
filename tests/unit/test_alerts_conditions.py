"""What is worth telling, by table: levels, forecasts, findings, failures, and evictions by the policy of the server."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from spillgate.alerts.conditions import EXHAUSTED, RECENT_S, Seen, conditions, situation
from spillgate.alerts.notice import Condition, Moment
from spillgate.alerts.trend import trend_of
from spillgate.config import parse_policy
from spillgate.governor.history import Point
from spillgate.governor.journal import Entry, Event
from spillgate.governor.state import State
from spillgate.governor.words import exhausted
from spillgate.model import Census, Estimate, Level, Plan, Reading, Usage
from spillgate.policy.findings import Finding, Severity
from spillgate.policy.pressure import Assessment, Limits
from tests.alerting import settings

MB = 1024 * 1024
NOW = Moment(5000.0, 1_769_860_800.0)
POLICY = parse_policy(
    """
    [[namespace]]
    name = "tasks"
    keys = "app:tasks:*"
    [[namespace]]
    name = "pages"
    keys = "app:pages:*"
    ttl = "30m"
    cleanup = "clear"
    priority = 2
    [[namespace]]
    name = "messages"
    keys = "app:messages:*"
    ttl = "30m"
    cleanup = "clear"
    priority = 1
    """,
    "test",
)


def state_at(share: float, level: Level, *, policy: str = "noeviction", fill_bytes_s: float = 0.0) -> State:
    used = round(share * 25 * MB)
    limits = Limits(25 * MB, 2 * MB)
    assessment = Assessment(4999.0, level, level, share, share, fill_bytes_s, limits)
    reading = Reading(at_s=4999.0, used_bytes=used, keys=100, eviction_policy=policy)
    return State(POLICY, dry_run=False, assessment=assessment, reading=reading, pause_s=30.0, readings=9)


CALM = state_at(0.3, Level.NORMAL)


def census(tasks: tuple[float, float | None], pages: float = 100, strangers: float = 0) -> Census:
    keys, no_ttl = tasks
    rows = (
        Usage("tasks", Estimate.exact(keys), None, None if no_ttl is None else Estimate.exact(no_ttl)),
        Usage("pages", Estimate.exact(pages), None, Estimate.exact(0)),
        Usage("messages", Estimate.exact(0), None, Estimate.exact(0)),
    )
    return Census(
        4999.0, exact=True, sampled_keys=1, total_keys=1, namespaces=rows, unregistered_keys=Estimate.exact(strangers)
    )


def seen(state: State = CALM, **rest: object) -> Seen:
    return replace(Seen(state, NOW, 1.0), **rest)  # type: ignore[arg-type] - each test gives what the field holds


def found(what: Seen, text: str = "") -> dict[str, Condition]:
    listed = conditions(what, settings(text).alerts)
    assert len({one.key for one in listed}) == len(listed)
    return {one.key: one for one in listed}


def only(what: Seen, text: str = "") -> Condition:
    (one,) = found(what, text).values()
    return one


def growing(bytes_a_minute: float, start: int = 10 * MB, minutes: int = 15, every_s: int = 30) -> tuple[Point, ...]:
    """Points that end now."""
    begin = NOW.unix_s - minutes * 60
    return tuple(
        Point(begin + at, used_bytes=round(start + bytes_a_minute * at / 60)) for at in range(0, minutes * 60, every_s)
    )


# ---- all is well


def test_nothing_is_told_of_a_calm_server() -> None:
    assert found(seen()) == {}
    assert found(seen(points=growing(0))) == {}
    assert situation(CALM) == "Now 7.5MB of 25MB (30%) in use, level normal."


def test_nothing_is_told_of_a_governor_that_only_begins() -> None:
    unread = State(POLICY, dry_run=False)
    assert found(seen(unread)) == {}
    assert situation(unread) == "The server is not read now."


# ---- levels


@pytest.mark.parametrize(
    ("level", "least", "told"),
    [
        (Level.WARNING, "preventive", False),
        (Level.WARNING, "warning", True),
        (Level.PREVENTIVE, "preventive", True),
        (Level.EMERGENCY, "critical", False),
        (Level.CRITICAL, "critical", True),
    ],
)
def test_a_level_is_told_from_the_least_on(level: Level, least: str, *, told: bool) -> None:
    one = found(seen(state_at(0.9, level)), f'min_level = "{least}"').get("level")
    assert (one is not None) is told
    assert one is None or one.severity is level


def test_a_level_says_how_bad_who_holds_it_what_happens_and_what_to_do() -> None:
    state = replace(state_at(0.9, Level.EMERGENCY, fill_bytes_s=MB), census=census((40, 40), strangers=12))
    assert state.reading is not None
    one = only(seen(replace(state, reading=replace(state.reading, clients_bytes=5 * MB))))
    assert one.title == "Memory is at emergency"
    assert one.message == (
        "22.5MB of 25MB (90%) in use, 1MB/s coming in, 2.5s to the limit. The heaviest namespaces: pages 100 keys, "
        "tasks 40 keys; about 12 keys match no namespace and stay. Deleting data does not free: client buffers 5MB."
    )
    assert one.governor == "It deletes by priority (messages, pages) until 76% of the limit are in use."
    assert "spillgate cleanup --level emergency --dry-run" in one.by_hand


def test_what_the_governor_does_is_what_it_may_do() -> None:
    critical = state_at(1.0, Level.CRITICAL)
    assert "critical_ttl" in only(seen(critical)).governor
    assert only(seen(replace(critical, dry_run=True))).governor.startswith("Nothing: it runs with --dry-run")
    protected = replace(critical, policy=settings())
    assert "no namespace has a cleanup" in only(seen(protected)).governor
    assert "nothing that is still wanted" in only(seen(state_at(0.8, Level.PREVENTIVE))).governor


def test_a_level_stays_told_while_the_server_is_not_read() -> None:
    state = replace(state_at(0.9, Level.EMERGENCY), unreadable=True, error="connection refused")
    assert found(seen(state, age_s=10.0)).keys() == {"level"}


# ---- forecast


@pytest.mark.parametrize(
    ("a_minute", "within", "told"),
    [
        (0.0, "30m", False),
        (-1.0 * MB, "30m", False),
        (0.1 * MB, "30m", False),  # 135 minutes
        (0.6 * MB, "30m", True),  # 10 MB left at the end: 10 minutes
        (0.6 * MB, "5m", False),
        (0.6 * MB, "0s", False),
    ],
)
def test_a_forecast_is_told_when_the_limit_is_near_enough(a_minute: float, within: str, *, told: bool) -> None:
    assert ("forecast" in found(seen(points=growing(a_minute)), f'forecast = "{within}"')) is told


def test_a_forecast_says_how_fast_and_how_soon() -> None:
    one = only(seen(points=growing(0.6 * MB)))
    assert one.severity is Level.PREVENTIVE
    assert "It grew by 614.4KB a minute over the last quarter of an hour" in one.message
    assert "at the limit of 25MB in 11m" in one.message
    assert one.governor == "From 80% on it cleans up without loss, from 88% on by priority (messages, pages)."


def test_a_forecast_is_not_told_beside_an_emergency_or_of_a_server_that_is_not_read() -> None:
    points = growing(0.6 * MB)
    assert "forecast" not in found(seen(state_at(0.9, Level.EMERGENCY), points=points))
    assert "forecast" in found(seen(state_at(0.8, Level.PREVENTIVE), points=points))
    assert "forecast" not in found(seen(replace(CALM, unreadable=True), points=points))


def test_a_forecast_that_was_told_stands_until_it_is_clearly_further_away() -> None:
    points = growing(0.38 * MB)  # about 25 minutes
    assert "forecast" not in found(seen(points=points), 'forecast = "20m"')
    assert "forecast" in found(seen(points=points, standing=frozenset({"forecast"})), 'forecast = "20m"')


def test_a_burst_is_no_trend() -> None:
    calm = growing(0)
    burst = tuple(replace(one, used_bytes=20 * MB) if 20 <= number < 27 else one for number, one in enumerate(calm))
    assert trend_of(burst, NOW.unix_s) is None


def test_what_rose_and_stopped_is_no_trend() -> None:
    rising = growing(MB)
    risen = tuple(one if number < 18 else replace(one, used_bytes=19 * MB) for number, one in enumerate(rising))
    assert trend_of(risen, NOW.unix_s) is None


def test_a_steady_rise_is_seen_through_noise_and_gaps() -> None:
    rng = random.Random(1)
    noisy = [
        replace(one, used_bytes=(one.used_bytes or 0) + rng.randrange(-MB // 4, MB // 4)) for one in growing(0.5 * MB)
    ]
    noisy[10:14] = [Point(one.at_s) for one in noisy[10:14]]  # nobody read the server
    trend = trend_of(noisy, NOW.unix_s)
    assert trend is not None
    assert trend.bytes_s * 60 == pytest.approx(0.5 * MB, rel=0.2)


def test_a_few_minutes_are_too_little_to_tell() -> None:
    assert trend_of(growing(MB, minutes=3), NOW.unix_s) is None
    assert trend_of((), NOW.unix_s) is None
    assert trend_of(growing(MB), NOW.unix_s + 3600) is None


# ---- the governor


def test_an_unreadable_server_is_told_after_the_grace() -> None:
    state = replace(state_at(0.5, Level.NORMAL), unreadable=True, error="connection refused")
    assert found(seen(state, age_s=59.0)) == {}
    one = only(seen(state, age_s=61.0))
    assert (one.key, one.severity) == ("unreadable", Level.EMERGENCY)
    assert one.message == "Not for 1m1s: connection refused. The level stays at normal."
    assert found(seen(state, age_s=61.0), 'grace = "5m"') == {}


def test_one_that_was_never_read_is_told_too() -> None:
    state = State(POLICY, dry_run=False, unreadable=True, error="connection refused")
    assert only(seen(state, age_s=61.0)).key == "unreadable"


def test_a_governor_that_looks_no_more_is_told() -> None:
    assert found(seen(CALM, age_s=85.0)) == {}  # its pause is 30 s
    assert only(seen(CALM, age_s=95.0)).key == "silent"


def test_the_end_of_a_governor_is_told_with_its_reason() -> None:
    one = only(seen(replace(CALM, ended=True), age_s=100.0))
    assert (one.key, one.severity, one.after_s) == ("governor", Level.CRITICAL, 10.0)
    crashed = replace(CALM, ended=True, unreadable=True, error="division by zero")
    assert "division by zero" in only(seen(crashed)).message
    known = only(seen(CALM, failure="no maxmemory"))
    assert (known.key, known.after_s) == ("governor", 0.0)
    assert "no maxmemory" in known.message


def test_a_cleanup_that_fails_is_told_and_gravely_where_it_is_needed() -> None:
    error = "UNLINK: no permission"
    one = only(seen(replace(CALM, error=error)))
    assert (one.key, one.severity, one.after_s) == ("cleanup", Level.PREVENTIVE, 60.0)
    assert error in one.message
    grave = found(seen(replace(state_at(0.9, Level.EMERGENCY), error=error)))
    assert grave.keys() == {"cleanup", "level"}
    assert grave["cleanup"].severity is Level.EMERGENCY


def said(text: str, ago_s: float = 10.0, event: Event = Event.ALARM) -> Entry:
    return Entry(1, NOW.unix_s - ago_s, event, "emergency", text)


def test_when_nothing_is_left_that_is_told_as_the_journal_says_it() -> None:
    plan = Plan(Level.EMERGENCY, 22 * MB, 19 * MB, (), "reason")
    text = exhausted(plan, Reading(1.0, 22 * MB), None)
    assert text.startswith(EXHAUSTED)  # by this it is known
    state = state_at(0.9, Level.EMERGENCY)
    one = found(seen(state, entries=(said(text),)))["exhausted"]
    assert one.severity is Level.EMERGENCY
    assert "3MB are missing to the target" in one.message
    assert "exhausted" not in found(seen(state, entries=(said(text, 401.0),)))
    assert "exhausted" not in found(seen(state, entries=(said("the server refused 3 writes"),)))
    assert "exhausted" not in found(seen(CALM, entries=(said(text),)))


def test_a_history_that_cannot_be_written_is_told_quietly() -> None:
    one = only(seen(history_error="history.db: disk full"))
    assert (one.key, one.severity) == ("history", Level.WARNING)
    assert "disk full" in one.message


# ---- what the server does by itself


def test_refused_writes_are_told_for_five_minutes() -> None:
    points = (Point(NOW.unix_s - 200, refused_writes=3), Point(NOW.unix_s - 100, refused_writes=4))
    one = only(seen(points=points))
    assert (one.key, one.severity) == ("refused", Level.CRITICAL)
    assert "refused 7 writes for want of memory within 5m (noeviction)" in one.message
    assert found(seen(points=(Point(NOW.unix_s - RECENT_S - 1, refused_writes=3),))) == {}
    assert found(seen(points=(Point(NOW.unix_s - 1, refused_writes=0), Point(NOW.unix_s - 2)))) == {}


EVICTING = (Point(NOW.unix_s - 10, evicted_keys=1234),)


@pytest.mark.parametrize(
    ("policy", "counted", "severity"),
    [
        ("allkeys-lru", census((40, 40)), Level.CRITICAL),  # tasks are protected
        ("allkeys-lru", census((0, 0), strangers=5), Level.CRITICAL),  # and so is what matches nothing
        ("allkeys-lru", census((0, 0)), None),  # a full pure cache is as it should be
        ("allkeys-lfu", census((0, 0)), None),
        ("allkeys-lru", None, Level.EMERGENCY),  # nobody knows yet
        ("volatile-lru", census((40, 40)), None),  # none of them has a TTL
        ("volatile-lru", census((40, 39)), Level.CRITICAL),
        ("volatile-ttl", census((40, None)), Level.EMERGENCY),  # TTLs are not told
        ("volatile-ttl", census((0, 0), strangers=5), Level.EMERGENCY),
        ("volatile-ttl", census((0, 0)), None),
        (None, census((0, 0)), Level.EMERGENCY),
    ],
)
def test_evictions_are_told_where_they_may_hit_what_is_protected(
    policy: str | None, counted: Census | None, severity: Level | None
) -> None:
    state = replace(CALM, census=counted, reading=Reading(4999.0, 24 * MB, eviction_policy=policy))
    one = found(seen(state, points=EVICTING)).get("evicted")
    assert (one.severity if one else None) is severity
    assert one is None or "evicted 1,234 keys within 5m" in one.message
    assert found(seen(state)) == {}


def test_evictions_name_who_may_be_hit() -> None:
    state = replace(state_at(0.3, Level.NORMAL, policy="allkeys-lru"), census=census((40, 40), strangers=5))
    assert only(seen(state, points=EVICTING)).message.endswith(
        "Under allkeys-lru it chooses among all keys, protected or not: tasks, keys that match no namespace may be hit."
    )


# ---- findings


def finding(severity: Severity, place: str | None = "app:tasks:*", database: int | None = None) -> Finding:
    return Finding(
        severity, "There is no TTL.", "set one", place=place, database=database, check="no-ttl", title="No TTL"
    )


@pytest.mark.parametrize(("least", "told"), [("info", 5), ("medium", 3), ("high", 2), ("critical", 1), ("never", 0)])
def test_findings_are_told_from_a_severity_on(least: str, told: int) -> None:
    findings = [finding(severity, place=severity.label) for severity in Severity]
    assert len(found(seen(findings=findings), f'findings = "{least}"')) == told


def test_a_finding_is_told_with_its_place_and_its_fix() -> None:
    one = only(seen(findings=[finding(Severity.HIGH)]))
    assert (one.key, one.title) == ("finding:no-ttl: app:tasks:*", "No TTL: app:tasks:*")
    assert (one.severity, one.message, one.by_hand) == (Level.PREVENTIVE, "There is no TTL. (high)", "set one")
    both = [finding(Severity.CRITICAL, database=1), finding(Severity.HIGH, place=None), finding(Severity.HIGH)]
    assert {one.severity for one in found(seen(findings=both)).values()} == {Level.EMERGENCY, Level.PREVENTIVE}
    assert len(found(seen(findings=both))) == 3
