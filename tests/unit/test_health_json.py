"""``application/health+json``: what it says of a state, and who gets it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from typing import Any, cast

import pytest

from spillgate.config import parse_policy
from spillgate.governor.state import State, Totals
from spillgate.model import Level, Reading
from spillgate.policy.pressure import Assessment, Limits
from spillgate.web import views
from spillgate.web.health_json import health_json, prefers_health_json

MB = 1024 * 1024
POLICY = parse_policy('[server]\nurl = "redis://me:secret@127.0.0.1:6379/0"', "test")
UNREAD = State(policy=POLICY, dry_run=False)


def assessed(level: Level) -> Assessment:
    return Assessment(
        at_s=100.0,
        level=level,
        raw_level=level,
        pressure=0.8,
        forecast=0.85,
        fill_bytes_s=1024.0 * 1024,
        limits=Limits(25 * MB, 2 * MB),
    )


READ = State(
    policy=POLICY,
    dry_run=False,
    assessment=assessed(Level.NORMAL),
    reading=Reading(at_s=100.0, used_bytes=20 * MB, keys=145, evicted_keys=3, refused_writes=0),
    at_unix_s=1_769_860_800.5,
    readings=2,
    totals=Totals(actions=4),
)


def checks_of(state: State) -> dict[str, dict[str, Any]]:
    checks = cast("dict[str, list[dict[str, Any]]]", health_json(state)[1]["checks"])
    assert {len(listed) for listed in checks.values()} == {1}
    return {name: listed[0] for name, listed in checks.items()}


@pytest.mark.parametrize(
    ("level", "error", "ended", "status"),
    [
        (Level.NORMAL, None, False, "pass"),
        (Level.WARNING, None, False, "warn"),
        (Level.PREVENTIVE, None, False, "warn"),
        (Level.EMERGENCY, None, False, "warn"),
        (Level.CRITICAL, None, False, "fail"),
        (Level.NORMAL, "connection refused", False, "fail"),
        (Level.WARNING, None, True, "fail"),
    ],
)
def test_status_and_code_follow_level_and_reach(level: Level, error: str | None, status: str, *, ended: bool) -> None:
    state = replace(READ, assessment=assessed(level), error=error, unreadable=error is not None, ended=ended)
    code, document = health_json(state)
    assert (code, document["status"]) == (503 if status == "fail" else 200, status)
    assert code == views.health(state)[0]
    assert ("output" in document) is (status != "pass")
    statuses = [check.get("status") for check in checks_of(state).values()]
    assert max(filter(None, statuses), key=["pass", "warn", "fail"].index) == status


def test_the_document_has_the_members_of_the_draft() -> None:
    _, document = health_json(READ)
    release = metadata.version("spillgate")
    assert document["releaseId"] == release
    assert document["version"] == release.split(".")[0]
    assert document["serviceId"] == "spillgate"
    assert set(document) == {"status", "version", "releaseId", "serviceId", "description", "checks"}
    checks = checks_of(READ)
    assert checks["redis:memory"] == {
        "componentType": "datastore",
        "observedValue": 20 * MB,
        "observedUnit": "bytes",
        "status": "pass",
        "time": "2026-01-31T12:00:00Z",
    }
    values = {name: (check["observedValue"], check.get("observedUnit")) for name, check in checks.items()}
    assert values == {
        "redis:memory": (20 * MB, "bytes"),
        "redis:pressure": (0.8, "ratio"),
        "redis:forecast": (0.85, "ratio"),
        "redis:timeToLimit": (5.0, "seconds"),
        "redis:keys": (145, "keys"),
        "redis:evictedKeys": (3, "keys"),
        "redis:refusedWrites": (0, "writes"),
        "governor:lastLook": ("2026-01-31T12:00:00Z", None),
        "governor:cleanup": (4, "actions"),
    }


def test_a_level_gives_its_reason() -> None:
    emergency = replace(READ, assessment=assessed(Level.EMERGENCY))
    assert checks_of(emergency)["redis:memory"]["output"] == "20MB of 25MB (80%) in use"
    assert health_json(emergency)[1]["output"] == "20MB of 25MB (80%) in use"


def test_what_was_never_read_is_unknown_and_fails() -> None:
    code, document = health_json(UNREAD)
    assert (code, document["status"], document["output"]) == (503, "fail", "the server has not been read yet")
    checks = checks_of(UNREAD)
    assert checks["governor:lastLook"]["status"] == "fail"
    for name, check in checks.items():
        assert check["observedValue"] is (0 if name == "governor:cleanup" else None)
        assert "time" not in check
    assert "status" not in checks["redis:memory"]


def test_a_server_that_is_gone_fails_with_what_was_last_seen_and_when() -> None:
    state = replace(READ, error="redis://me:***@127.0.0.1:6379/0: refused", unreadable=True)
    checks = checks_of(state)
    assert checks["redis:memory"]["observedValue"] == 20 * MB
    assert checks["redis:memory"]["time"] == "2026-01-31T12:00:00Z"
    assert checks["governor:lastLook"]["output"] == state.error
    assert checks["governor:cleanup"]["status"] == "pass"
    assert "secret" not in json.dumps(health_json(state)[1], allow_nan=False)


def test_a_cleanup_that_fails_warns_while_the_server_is_read() -> None:
    code, document = health_json(replace(READ, error="UNLINK: no permission"))
    assert (code, document["status"], document["output"]) == (200, "warn", "UNLINK: no permission")
    checks = cast("dict[str, list[dict[str, Any]]]", document["checks"])
    assert checks["governor:lastLook"][0]["status"] == "pass"
    assert checks["governor:cleanup"][0]["output"] == "UNLINK: no permission"


@pytest.mark.parametrize(
    ("accept", "preferred"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/*", False),
        ("application/json", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("application/health+json", True),
        ("Application/Health+JSON", True),
        ("application/health+json;q=0", False),
        ("application/health+json;q=0.001", True),
        ("application/health+json, application/json", True),
        ("application/json, application/health+json", True),
        ("application/json, application/health+json;q=0.9", False),
        ("application/json;q=0.5, application/health+json;q=0.9", True),
        ("application/json;q=0.5,application/health+json;q=0.5", True),
        ("application/health+json, */*;q=0.1", True),
        ("*/*, application/health+json;q=0.5", False),
        ("application/*;q=0.2, */*, application/health+json;q=0.5", True),
        ("application/json;q=0.1, application/*, application/health+json;q=0.5", True),
        ("application/health+json; charset=utf-8; q=0.4, application/json; q = 0.3", True),
        ("application/health+json;q=much, application/json;q=0.1", False),
        ("application/health+json;q=2", False),
        ("application/health+json;q=nan", False),
        ("application/health+jsonx", False),
        (";,;;q=1,,", False),
    ],
)
def test_it_is_for_who_asks_for_it_by_name(accept: str | None, *, preferred: bool) -> None:
    assert prefers_health_json(accept) is preferred
