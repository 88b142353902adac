"""A report made by hand, always the same: of the reference deployment, with everything that can be in one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillgate.cache.recording import Recording
from spillgate.checkup import Examination
from spillgate.config import Policy, load_policy
from spillgate.governor.history import Point
from spillgate.governor.journal import Entry, Event
from spillgate.keyspace.ttls import InForce
from spillgate.model import Estimate, Level, Reading, Survey
from spillgate.policy.capacity import Capacity, Feature, Projection, Risk
from spillgate.policy.findings import Evidence, diagnose
from spillgate.policy.pressure import Assessment, Limits, threshold
from spillgate.policy.ttl import Advice, Basis, Confidence, TtlPlan
from spillgate.report.composing import compose
from spillgate.report.deployment import Deployment
from spillgate.report.gathering import Gathered, Request
from spillgate.report.past import Past, past_of
from spillgate.server.capabilities import Capabilities
from tests.diagnosing import GOOD_SETTINGS, census, key, many
from tests.governing import EXAMPLE

if TYPE_CHECKING:
    from spillgate.report.model import Report

MB, DAY_S = 1 << 20, 86_400
NOW_S = 1_800_000_000.0  # 15 January 2027, 08:00 UTC
SECRET = "hunter2"
POLICY = load_policy(EXAMPLE, env={}, flags={"url": f"redis://me:{SECRET}@cache.example:6379/0"})
KEYS = "ceo-platform:"
USED = 16 * MB


def _survey(policy: Policy) -> Survey:
    namespaces = {
        "analytics": many(f"{KEYS}analytics:", 900, 1200, ttl_s=600, idle_s=200),
        "voice": many(f"{KEYS}voice:", 120, 7000, ttl_s=1200, idle_s=600),
        "sessions": [
            *many(f"{KEYS}sessions:", 400, 700, ttl_s=700, idle_s=120),
            *many(f"{KEYS}sessions:old:", 40, 700, ttl_s=None, idle_s=4000),
        ],
        "ai-context": many(f"{KEYS}ai-context:", 150, 3000, ttl_s=200, idle_s=60),
        "messages": many(f"{KEYS}messages:", 4000, 900, ttl_s=1500, idle_s=90),
        "tasks": many(f"{KEYS}tasks:", 200, 800, ttl_s=400, idle_s=30),
        "channels": many(f"{KEYS}channels:", 20, 1500, ttl_s=1500, idle_s=30),
        "users": many(f"{KEYS}users:", 60, 500, ttl_s=800, idle_s=30),
    }
    prefixes = {"legacy:*": many("legacy:", 50, 2000, ttl_s=None, idle_s=3 * DAY_S), "loose": [key("loose", 40_000)]}
    known = {ns.name for ns in policy.namespaces}
    others = {f"{KEYS}{name}:*": keys for name, keys in namespaces.items() if name not in known}
    found = census(others | prefixes, {name: keys for name, keys in namespaces.items() if name in known})
    data = round(found.total_bytes.value) if found.total_bytes else 0
    exact = Estimate.exact
    overhead = {"startup": exact(MB), "key tables": exact(400_000), "unexplained": exact(USED - MB - 400_000 - data)}
    info = {
        "maxmemory": str(25 * MB),
        "maxmemory_policy": "noeviction",
        "connected_clients": "12",
        "redis_version": "7.0.15",
        "evicted_keys": "0",
    }
    return Survey(USED, ((0, found),), overhead, info, 0.4, notes=("MEMORY STATS is forbidden",))


def _examination(policy: Policy) -> Examination:
    evidence = Evidence(
        policy,
        _survey(policy),
        settings=GOOD_SETTINGS,
        growth_bytes_s=Estimate(100.0, 20.0, 180.0),
        default_user_open=False,
        governed=True,
        reasons={"values": "reading values is forbidden to this user"},
        elements={},
        masked=True,
    )
    return Examination(_CAPABILITIES, evidence, diagnose(evidence), 1.2)


_CAPABILITIES = Capabilities("redis", "7.0.15", "me", *[True] * 10, acl=False)


def about(value: float, off: float = 0.1) -> Estimate:
    """A number give or take a share of it."""
    return Estimate(value, value * (1 - off), value * (1 + off))


def advice(name: str, ttl_s: float | None, then_s: float | None, **more: Any) -> Advice:
    """What is advised for a namespace."""
    known: dict[str, Any] = {
        "hit_ratio": about(0.8, 0.02),
        "hit_ratio_then": about(0.79, 0.02),
        "bytes": about(4 * MB),
        "bytes_then": about(2 * MB),
        "freed_bytes": about(2 * MB),
        "hits_lost": about(0.01),
        "basis": Basis.RECORDER,
        "confidence": Confidence.HIGH,
        "lever": True,
        "reason": "10m still hits 79% of its reads, and frees 2MB",
    }
    return Advice(name, ttl_s, then_s, **(known | more))


_PLAN = TtlPlan(
    14 * MB,
    (
        advice("messages", 1800, 600),
        advice("analytics", 900, 900, freed_bytes=about(0), reason="right as it is"),
        advice("users", 900, None, basis=Basis.NONE, confidence=Confidence.NONE, hits_lost=None, reason="no reads"),
    ),
    0.81,
    0.805,
    5e6,
    3e6,
    fits=True,
    notes=("namespaces that processes had no room to record: 1",),
)


def _projection(name: str, size_mb: float, risk: Risk, level: Level, **scale: int) -> Projection:
    reason = f"{size_mb:g}MB is {size_mb * 4:g}% of 25MB"
    return Projection(name, scale, about(size_mb * MB), {}, 2e6, risk, reason, 50 * MB, level=level)


_FEATURES = (
    Feature("messages", Estimate.exact(4000), about(3.4 * MB), about(900), about(500), about(450_000), about(4200)),
    Feature("voice", Estimate.exact(120), about(0.8 * MB), about(7000), None, None, about(500), growth_reason="steady"),
)
_CAPACITY = Capacity(
    25 * MB,
    23 * MB,
    USED,
    _FEATURES,
    about(0.5 * MB),
    {
        Level.WARNING: Estimate.exact(0),
        Level.PREVENTIVE: about(8 * DAY_S),
        Level.EMERGENCY: about(12 * DAY_S),
        Level.CRITICAL: None,
    },
    (
        _projection("2 times", 27, Risk.HIGH, Level.CRITICAL),
        _projection("5 times", 68, Risk.HIGH, Level.CRITICAL),
        _projection("10 times", 135, Risk.HIGH, Level.CRITICAL),
    ),
    Risk.MEDIUM,
    "16MB is 64% of 25MB, between 20% and 60%",
    ("2KB a connection, as one at rest takes on such a server",),
    "growing",
    {Level.CRITICAL: "unknown: beyond ten times the history"},
)
_SCENARIOS = replace(
    _CAPACITY,
    projections=(
        _projection("users=50, messages=1,000", 4, Risk.LOW, Level.NORMAL, users=50, messages=1000),
        _projection("users=100, messages=5,000", 8, Risk.MEDIUM, Level.NORMAL, users=100, messages=5000),
        _projection("users=200, messages=20,000", 24, Risk.HIGH, Level.EMERGENCY, users=200, messages=20_000),
    ),
)


def entry(number: int, hours_ago: float, event: Event, level: str, message: str, **details: object) -> Entry:
    """One entry of a journal."""
    return Entry(number, NOW_S - hours_ago * 3600, event, level, message, details)


FORESEEN = (
    "level rises from warning to preventive: 19MB of 25MB (76%) in use and filling: 81% before the governor can act "
    "again"
)
ENTRIES = (
    entry(1, 40, Event.STARTED, "unknown", "governing"),
    entry(2, 40, Event.LEVEL, "normal", "level normal: 10MB of 25MB (40%) in use"),
    entry(3, 20, Event.LEVEL, "warning", "level rises from normal to warning: 15.1MB of 25MB (60.4%) in use"),
    entry(4, 10, Event.LEVEL, "preventive", FORESEEN),
    entry(
        5,
        9.999,
        Event.ACTION,
        "emergency",
        "clear analytics, voice",
        kind="clear",
        namespace="analytics",
        together=["voice"],
        deleted=500,
        expired=20,
        retimed=0,
        freed_bytes=3 * MB,
        deleted_by_namespace={"analytics": 400, "voice": 100},
        dry_run=False,
    ),
    entry(6, 9.99, Event.ALARM, "emergency", "the server refused 3 writes for want of memory"),
    entry(7, 9, Event.LEVEL, "warning", "level falls from preventive to warning: 15.5MB of 25MB (62%) in use"),
    entry(8, 5, Event.ERROR, "warning", "the server cannot be reached; the level stays at warning"),
    entry(9, 3, Event.POLICY, "warning", "messages: the TTL changes", ttl_before_s=1800.0, ttl_s=1620.0),
)


def points() -> tuple[Point, ...]:
    """A day and sixteen hours of readings, an hour of them missing."""
    found: list[Point] = []
    for minute in range(40 * 60):
        at_s = NOW_S - (40 * 60 - minute) * 60
        if 35 * 60 <= minute < 36 * 60:
            found += [Point(at_s)] if minute == 35 * 60 else []
            continue
        used = round((10 + 6 * minute / 2400) * MB)
        high = round(20.5 * MB) if minute == 30 * 60 else used
        found.append(Point(at_s, used, high, 1, 25 * MB, 5000, 0, 3 if minute == 30 * 60 else 0))
    return tuple(found)


def past(**changes: Any) -> Past:
    """What happened in the last 40 hours."""
    known: dict[str, Any] = {
        "since_s": NOW_S - 7 * DAY_S,
        "until_s": NOW_S,
        "every_s": 60,
        "levels": {level: threshold(level, POLICY.levels) for level in Level},
        "interval_s": 30.0,
    }
    told: tuple[Point, ...] = changes.pop("told", points())
    return past_of(changes.pop("entries", ENTRIES), told, changes.pop("finest", {60: told}), **(known | changes))


def gathered(**changes: Any) -> Gathered:
    """Everything that the report is made of."""
    reading = Reading(
        NOW_S,
        USED,
        maxmemory_bytes=25 * MB,
        eviction_policy="noeviction",
        keys=5941,
        other_keys=0,
        connected_clients=12,
        evicted_keys=0,
        uptime_s=3 * DAY_S,
    )
    limits = Limits(25 * MB, 2 * MB)
    known: dict[str, Any] = {
        "policy": POLICY,
        "request": Request(
            Deployment(str(Path("spillgate.toml")), url_variable="REDIS_URL"),
            NOW_S - 7 * DAY_S,
            "the last report",
            Path("history.db"),
        ),
        "at_unix_s": NOW_S,
        "capabilities": _CAPABILITIES,
        "reading": reading,
        "assessment": Assessment(NOW_S, Level.WARNING, Level.WARNING, 0.64, 0.64, 100.0, limits),
        "examination": _examination(changes.get("policy", POLICY)),
        "plan": _PLAN,
        "capacity": _CAPACITY,
        "scenarios": _SCENARIOS,
        "past": past(),
        "recording": Recording(),
        "in_force": {"messages": InForce(1620.0, 1800.0)},
        "seconds": 2.5,
        "commands": 300,
    }
    return Gathered(**(known | changes))


def report(**changes: Any) -> Report:
    """The whole report, of no version in particular."""
    return replace(compose(gathered(**changes)), version="1.2.3")
