"""States as documents, by table."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from spillgate.config import parse_policy
from spillgate.governor.state import State
from spillgate.model import Census, Estimate, Level, Reading, Usage
from spillgate.policy.pressure import Assessment, Limits
from spillgate.server.capabilities import Capabilities
from spillgate.web import views

if TYPE_CHECKING:
    from spillgate.config import Policy

MB = 1024 * 1024
POLICY = parse_policy(
    """
    [server]
    url = "redis://me:secret@127.0.0.1:6379/0"
    [[namespace]]
    name = "users"
    keys = "ceo-platform:users:*"
    [[namespace]]
    name = "messages"
    keys = ["ceo-platform:messages:*", "old:messages:*"]
    ttl = "30m"
    cleanup = "clear"
    priority = 1
    """,
    "test",
)
USED = 1_258_291  # 1.2 MB, 4.8 % of 25 MB
UNREAD = State(policy=POLICY, dry_run=False)


def assessed(level: Level = Level.NORMAL, fill_bytes_s: float = 0.0) -> Assessment:
    return Assessment(
        at_s=100.0,
        level=level,
        raw_level=level,
        pressure=USED / (25 * MB),
        forecast=USED / (25 * MB),
        fill_bytes_s=fill_bytes_s,
        limits=Limits(25 * MB, 2 * MB),
    )


def census() -> Census:
    rows = (
        Usage("users", Estimate(11.6, 5, 20), Estimate(4000.4, 3000, 5000), Estimate.exact(0)),
        Usage("messages", Estimate(80, 60, math.inf), None, Estimate.exact(3)),
    )
    return Census(
        100.0, exact=False, sampled_keys=100, total_keys=145, namespaces=rows, unregistered_keys=Estimate(45.5, 40, 50)
    )


def counted() -> Census:
    keys = {"users": 12, "messages": 87}
    rows = tuple(Usage(name, Estimate.exact(number), None, None) for name, number in keys.items())
    others = Estimate.exact(46)
    return Census(100.0, exact=True, sampled_keys=145, total_keys=145, namespaces=rows, unregistered_keys=others)


READ = State(
    policy=POLICY,
    dry_run=False,
    assessment=assessed(),
    reading=Reading(at_s=100.0, used_bytes=USED, keys=145),
    at_unix_s=1_769_860_800.5,
    census=counted(),
    capabilities=Capabilities(product="valkey", version="9.1.2", scan=True),
    readings=2,
)


def redis_of(state: State) -> dict[str, Any]:
    return cast("dict[str, Any]", views.health(state)[1]["redis"])


def test_the_health_document_is_the_one_agreed_upon() -> None:
    code, document = views.health(READ)
    redis = cast("dict[str, dict[str, Any]]", document["redis"])
    assert code == 200
    assert redis["status"] == "healthy"
    assert {name: redis["memory"][name] for name in ("used", "usagePercent", "limit", "available")} == {
        "used": "1.2MB",
        "usagePercent": "4.8%",
        "limit": "23MB",
        "available": "21.8MB",
    }
    assert {name: redis["keys"][name] for name in ("total", "byNamespace")} == {
        "total": 145,
        "byNamespace": {"ceo-platform:users:": 12, "ceo-platform:messages:": 87},
    }


@pytest.mark.parametrize(
    ("level", "error", "ended", "status", "code"),
    [
        (Level.NORMAL, None, False, "healthy", 200),
        (Level.WARNING, None, False, "warning", 200),
        (Level.PREVENTIVE, None, False, "preventive", 200),
        (Level.EMERGENCY, None, False, "emergency", 200),
        (Level.CRITICAL, None, False, "critical", 503),
        (Level.NORMAL, "connection refused", False, "unreachable", 503),
        (Level.CRITICAL, "connection refused", False, "unreachable", 503),
        (Level.NORMAL, None, True, "unreachable", 503),
    ],
)
def test_status_and_code_follow_level_and_reach(
    level: Level, error: str | None, status: str, code: int, *, ended: bool
) -> None:
    state = replace(READ, assessment=assessed(level), error=error, unreadable=error is not None, ended=ended)
    assert (views.health(state)[0], redis_of(state)["status"]) == (code, status)
    assert redis_of(state)["level"] == level.label
    assert redis_of(state)["error"] == (error or ("the governor has stopped" if ended else None))
    assert views.readiness(state)[0] == (503 if status == "unreachable" else 200)
    assert views.liveness(state) == ((503, {"alive": False}) if ended else (200, {"alive": True}))


def test_what_is_unknown_is_none_and_never_zero() -> None:
    code, document = views.health(UNREAD)
    redis = cast("dict[str, Any]", document["redis"])
    assert (code, redis["status"], redis["level"]) == (503, "unreachable", "unknown")
    assert redis["error"] == "the server has not been read yet"
    assert set(redis["memory"].values()) == {None}
    assert redis["keys"] == {
        "total": None,
        "byNamespace": {"ceo-platform:users:": None, "ceo-platform:messages:": None},
        "unregistered": None,
        "exact": None,
    }
    for name in (
        "pressure",
        "forecast",
        "fillBytesPerSecond",
        "timeToLimitSeconds",
        "checkedAt",
        "missingCapabilities",
    ):
        assert redis[name] is None
    assert redis_of(READ).keys() == redis.keys()
    assert redis_of(READ)["memory"].keys() == redis["memory"].keys()
    assert views.snapshot(UNREAD).keys() == views.snapshot(READ).keys()


def test_what_is_above_the_ceiling_is_told_as_less_than_nothing_available() -> None:
    memory = redis_of(replace(READ, reading=Reading(at_s=1, used_bytes=24 * MB)))["memory"]
    assert (memory["available"], memory["availableBytes"], memory["usagePercent"]) == ("-1MB", -MB, "96%")


def test_what_does_not_count_towards_the_limit_is_left_out() -> None:
    memory = redis_of(replace(READ, reading=Reading(at_s=1, used_bytes=10 * MB, not_counted_bytes=MB)))["memory"]
    assert (memory["used"], memory["available"]) == ("9MB", "14MB")


@pytest.mark.parametrize(("seen", "users", "exact"), [(counted(), 12, True), (census(), 12, False), (None, None, None)])
def test_keys_are_counted_where_possible_and_else_estimated(
    seen: Census | None, users: int | None, *, exact: bool | None
) -> None:
    keys = redis_of(replace(READ, census=seen))["keys"]
    assert keys["byNamespace"]["ceo-platform:users:"] == users
    assert keys["exact"] is exact
    assert keys["unregistered"] == (46 if seen else None)


@pytest.mark.parametrize(
    ("readings", "fill", "shown_fill", "left"),
    [(1, 0.0, None, None), (2, 0.0, 0, None), (2, 1_000_000.4, 1_000_000, 25.0)],
)
def test_a_rate_takes_two_readings(readings: int, fill: float, shown_fill: int | None, left: float | None) -> None:
    redis = redis_of(replace(READ, assessment=assessed(fill_bytes_s=fill), readings=readings))
    assert (redis["fillBytesPerSecond"], redis["timeToLimitSeconds"]) == (shown_fill, left)


def test_a_snapshot_is_json_with_intervals_and_without_secrets() -> None:
    text = json.dumps(views.snapshot(replace(READ, census=census())), allow_nan=False)
    snapshot = json.loads(text)
    assert "secret" not in text
    assert snapshot["url"] == "redis://me:***@127.0.0.1:6379/0"
    assert snapshot["checked_at"] == "2026-01-31T12:00:00Z"
    users, messages = snapshot["namespaces"]
    assert (users["name"], users["prefix"], users["cleanup"], users["priority"]) == (
        "users",
        "ceo-platform:users:",
        "never",
        None,
    )
    assert users["keys"] == {"value": 12, "low": 5, "high": 20}
    assert users["bytes"] == {"value": 4000, "low": 3000, "high": 5000}
    assert messages["keys"] == {"value": 80, "low": 60, "high": None}
    assert messages["bytes"] is None
    assert any(line.startswith("EVAL:") for line in snapshot["missing"])


def test_prefixes_follow_a_policy_that_was_reloaded() -> None:
    other: Policy = parse_policy('[[namespace]]\nname = "users"\nkeys = "new:users:*"', "test")
    assert list(redis_of(replace(READ, policy=other))["keys"]["byNamespace"]) == ["new:users:"]
    assert list(redis_of(READ)["keys"]["byNamespace"]) == ["ceo-platform:users:", "ceo-platform:messages:"]


def test_a_cleanup_that_fails_is_told_and_the_level_stays_visible() -> None:
    state = replace(READ, assessment=assessed(Level.EMERGENCY), error="UNLINK: no permission")
    assert views.health(state)[0] == 200
    assert [redis_of(state)[name] for name in ("status", "error")] == ["emergency", "UNLINK: no permission"]
