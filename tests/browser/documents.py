"""Documents of a server at one moment, always the same: for pictures and audits of a page with everything on it.

Their shape is that of `spillgate.web.documents`: `test_live.py` holds the two against each other.
"""

from __future__ import annotations

import math
from typing import Any

Document = dict[str, Any]

NOW = 1_800_000_000  # 15 January 2027, 08:00 UTC
MB = 1024 * 1024
LIMIT, CEILING = 25 * MB, 23 * MB
_HOUR = 3600
_LEVELS = (("normal", 0.0), ("warning", 0.6), ("preventive", 0.8), ("emergency", 0.88), ("critical", 1.0))


def estimate(value: float, error: float = 0.0) -> Document:
    """An estimate with its interval; without an error it is exact."""
    return {"value": round(value), "low": max(0, round(value - error)), "high": round(value + error)}


def namespace(name: str, cleanup: str, priority: int, ttl_s: int, megabytes: float, keys: int, **more: Any) -> Document:
    """One row of the state's ``namespaces``."""
    size = megabytes * MB
    return {
        "name": name,
        "prefix": f"ceo-platform:{name}:",
        "patterns": [f"ceo-platform:{name}:*"],
        "cleanup": cleanup,
        "priority": priority,
        "protected": cleanup == "never",
        "ttl_s": ttl_s,
        "ttl_file_s": ttl_s,
        "ttl_reason": None,
        "min_ttl_s": ttl_s / 6,
        "max_ttl_s": ttl_s * 4,
        "emergency_ttl_s": ttl_s / 6,
        "budget_bytes": None,
        "keys": estimate(keys, keys * 0.03),
        "bytes": estimate(size, size * 0.04),
        "no_ttl": estimate(0),
        "ttl_p50_s": estimate(ttl_s * 0.48, ttl_s * 0.05),
        "idle_p50_s": estimate(ttl_s * 0.21, ttl_s * 0.04),
    } | more


def namespaces() -> list[Document]:
    """The namespaces of the reference policy."""
    return [
        namespace("analytics", "clear", 1, 900, 1.2, 2_840, budget_bytes=2 * MB),
        namespace("voice", "clear", 2, 1800, 3.1, 288, no_ttl=estimate(12, 6)),
        namespace("sessions", "expired", 3, 900, 2.6, 2_000),
        namespace("ai-context", "clear", 4, 300, 1.4, 391),
        namespace("messages", "shorten", 5, 1800, 7.9, 11_420, budget_bytes=7 * MB),
        namespace("tasks", "never", 6, 600, 0.5, 640) | {"keys": estimate(640), "bytes": estimate(0.5 * MB)},
        namespace("channels", "never", 7, 1800, 0.06, 40, ttl_p50_s=None, idle_p50_s=None),
        namespace("users", "never", 8, 900, 0.4, 600) | {"keys": estimate(600), "bytes": estimate(0.4 * MB)},
    ]


FINDINGS: list[Document] = [
    {
        "id": "cache-keys-without-ttl",
        "severity": "high",
        "title": "Keys without a TTL in a cache",
        "text": "1,500 of 3,000 keys have no TTL and hold 480.1KB until deleted.",
        "namespace": None,
        "prefix": "app:pages:*",
        "database": 0,
        "wins": estimate(491_622, 20_000),
        "evidence": {"keys": estimate(3000), "without_ttl": estimate(1500), "idle_p50_s": estimate(7200, 600)},
        "examples": ["app:pages:10", "app:pages:11"],
        "fix": '[[namespace]]\nname = "pages"\nkeys = "app:pages:*"\nttl = "30m"\ncleanup = "clear"',
    },
    {
        "id": "rehash-headroom",
        "severity": "medium",
        "title": "No room for the table to double",
        "text": "At 32,768 keys the table of keys doubles and takes 1MB for a while; 0.6MB will be left by then.",
        "namespace": None,
        "prefix": None,
        "database": 0,
        "wins": None,
        "evidence": {"next_doubling_keys": 32_768},
        "examples": [],
        "fix": '[server]\nreserve = "3MB"',
    },
    {
        "id": "open-default-user",
        "severity": "low",
        "title": "No password",
        "text": "The default user has no password; only this machine can reach the server.",
        "namespace": None,
        "prefix": None,
        "database": None,
        "wins": None,
        "evidence": {},
        "examples": [],
        "fix": None,
    },
    {
        "id": "long-key-names",
        "severity": "info",
        "title": "Long key names",
        "text": "Names hold 21 % of the memory of 40 keys, and begin with the same 24 bytes.",
        "namespace": "channels",
        "prefix": None,
        "database": 0,
        "wins": estimate(940),
        "evidence": {},
        "examples": [],
        "fix": "a shorter prefix",
    },
]

ALERT: Document = {
    "key": "level",
    "severity": "emergency",
    "title": "Memory is at emergency",
    "message": "22.1MB of 25MB are in use; the governor cleans up by priority until 19MB are.",
    "since": NOW - 95,
}


def state(**changes: Any) -> Document:
    """``GET /api/state``: in an emergency, with something in every panel."""
    used = round(22.1 * MB)
    return {
        "version": "0.1.0",
        "url": "redis://default:***@redis-14.example.org:6379/0",
        "status": "emergency",
        "level": "emergency",
        "reason": "pressure is 88.4 %, at or above 88 %",
        "error": None,
        "checked_at": "2027-01-15T08:00:00Z",
        "dry_run": False,
        "now": NOW,
        "age_s": 0.4,
        "next_look_s": 1.9,
        "used_bytes": used,
        "limit_bytes": LIMIT,
        "ceiling_bytes": CEILING,
        "available_bytes": CEILING - used,
        "pressure": round(used / LIMIT, 4),
        "forecast": 0.931,
        "fill_bytes_s": 612_000,
        "time_to_limit_s": 5.0,
        "levels": [{"name": name, "share": share, "bytes": round(share * LIMIT)} for name, share in _LEVELS],
        "release": 0.04,
        "hold_s": 15.0,
        "held_bytes": {"client buffers": round(0.7 * MB), "replication backlog": round(1.0 * MB)},
        "server": {
            "product": "Valkey",
            "version": "9.1.0",
            "user": "default",
            "eviction_policy": "noeviction",
            "evicted_keys": 0,
            "refused_writes": 3,
        },
        "missing": [
            "CONFIG is forbidden: the limit has to be declared in the policy file",
            "MEMORY USAGE is forbidden: bytes by namespace are estimated from the lengths of values",
        ],
        "keys": 18_231,
        "unregistered_keys": estimate(12),
        "unregistered_bytes": estimate(0.3 * MB, 0.02 * MB),
        "namespaces": namespaces(),
        "totals": {"actions": 41, "deleted": 128_402, "expired": 3_511, "retimed": 9_120, "freed_bytes": 212 * MB},
        "library": {
            "at": NOW - 40,
            "processes": 3,
            "namespaces": [
                {
                    "name": name,
                    "hit_ratio": ratio,
                    "reads": reads,
                    "hits": round(reads * ratio),
                    "writes": 900,
                    "compute_ms": 12.5,
                }
                for name, ratio, reads in (
                    ("messages", 0.931, 184_000),
                    ("sessions", 0.987, 60_400),
                    ("ai-context", 0.714, 1_900),
                )
            ],
        },
        "checkup": {
            "at": NOW - 1_260,
            "next_in_s": 2_340,
            "why_not": None,
            "findings": FINDINGS,
            "unable": [{"id": "eviction-order", "reason": "the server does not tell keyspace hits to this user"}],
        },
        "cleanup": {
            "enabled": True,
            "dry_run_only": False,
            "levels": ["preventive", "emergency", "critical"],
        },
        "history": {"file": True, "error": None},
        "alerts": {"receivers": 2, "active": [ALERT], "failing": ["on-call"]},
    } | changes


def _share(at: float) -> float | None:
    """The share of the limit in use at a time: calm, a flood, an outage, another flood under way."""
    ago = NOW - at
    if 1_500 < ago <= 1_620:
        return None
    wave = 0.012 * math.sin(at / 37) + 0.006 * math.sin(at / 11)
    if ago > 2_400:
        return 0.42 + wave + (3_600 - ago) / 3_600 * 0.2
    if ago > 1_620:
        return min(0.93, 0.5 + (2_400 - ago) / 780 * 0.6) - 0.1 * (ago % 150 < 40) + wave
    return 0.5 + wave + max(0.0, 600 - ago) / 600 * 0.38


def _level(share: float) -> int:
    return sum(share >= entered for _, entered in _LEVELS) - 1


def point(at: float) -> Document:
    """One point of the history."""
    share = _share(at)
    if share is None:
        return {
            "at": at, "used": None, "high": None, "level": None,
            "limit": None, "keys": None, "evicted": None, "refused": None,
        }  # fmt: skip
    used = round(share * LIMIT)
    return {
        "at": at,
        "used": used,
        "high": round(used * 1.012),
        "level": _level(share * 1.012),
        "limit": LIMIT,
        "keys": round(share * 20_000),
        "evicted": 0,
        "refused": 3 if NOW - at == 1_700 else 0,
    }


def history(span: str = "hour", step_s: int = 5) -> Document:
    """``GET /api/history``: whatever the span, an hour is known."""
    points = [point(at) for at in range(NOW - _HOUR + step_s, NOW + 1, step_s)]
    columns = {name: [one[name] for one in points] for name in points[0]}
    return {"span": span, "resolution_s": 1, "through": columns["at"][-1], "columns": columns}


_URL = "redis://default:***@redis-14.example.org:6379/0"
_CLEARED: Document = {
    "kind": "clear",
    "namespace": "analytics",
    "deleted": 1204,
    "deleted_by_namespace": {"analytics": 1204},
    "freed_bytes": 422_400,
    "visited": 2840,
    "seconds": 0.008,
    "stop": "target reached",
    "dry_run": False,
}
_ACTION = (
    "clear analytics (least important of what may go): deleted 1,204 of analytics, freed 412.5KB (2,840 keys seen in "
    "8ms; target reached)"
)
_PLAN = (
    "cleanup at emergency: 22.1MB are to come down to 19MB. Steps: purge, clear analytics, clear voice, expired "
    "sessions, clear ai-context, shorten messages"
)
_RISES = (
    "level rises from preventive to emergency: pressure is 88.4 %, at or above 88 %; 597.7KB/s coming in, "
    "5s to the limit"
)
_ENTRIES: tuple[tuple[int, str, str, str, Document], ...] = (
    (4, "action", "emergency", _ACTION, _CLEARED),
    (4, "plan", "emergency", _PLAN, {"target_bytes": 19 * MB}),
    (5, "level", "emergency", _RISES, {}),
    (61, "level", "preventive", "level rises from warning to preventive: pressure is 80.2 %, at or above 80 %", {}),
    (190, "level", "warning", "level rises from normal to warning: pressure is 60.1 %, at or above 60 %", {}),
    (1_499, "server", "normal", f"connected to {_URL} as default: Valkey 9.1.0", {}),
    (1_620, "error", "emergency", "the server cannot be read: Connection refused. Is it running?", {}),
    (1_700, "alarm", "emergency", "the server refused 3 writes for want of memory", {}),
    (5_200, "started", "unknown", f"governing {_URL}: 5 of 8 namespaces are expendable", {}),
)


def journal() -> Document:
    """``GET /api/journal``."""
    count = len(_ENTRIES)
    entries = [
        {"number": count - index, "at": NOW - ago, "event": event, "level": level, "message": text, "details": details}
        for index, (ago, event, level, text, details) in enumerate(_ENTRIES)
    ]
    return {"entries": entries, "last": count, "more": True}


def alerts() -> Document:
    """``GET /api/alerts``."""
    delivery = {"at": NOW - 94, "receiver": "ops", "key": "level", "kind": "firing", "attempts": 1}
    return {
        "active": [ALERT],
        "receivers": [
            {"name": "ops", "kind": "webhook", "failing": False, "last_error": None},
            {"name": "on-call", "kind": "apprise", "failing": True, "last_error": "HTTP 502 from the receiver"},
        ],
        "deliveries": [
            delivery | {"status": "delivered", "error": None},
            delivery
            | {"receiver": "on-call", "status": "failed", "attempts": 5, "error": "HTTP 502 from the receiver"},
        ],
    }


def cleanup(*, dry_run: bool = True) -> Document:
    """``POST /api/cleanup``."""
    step: Document = {
        "calls": 3,
        "seconds": 0.02,
        "expired": 0,
        "retimed": 0,
        "together": [],
        "dry_run": dry_run,
        "error": None,
    }
    return {
        "dry_run": dry_run,
        "level": "emergency",
        "namespaces": None,
        "reason": "22.1MB of data are to come down to 19MB",
        "data_bytes_before": round(22.1 * MB),
        "data_bytes": 19 * MB,
        "target_bytes": 19 * MB,
        "reached": True,
        "deleted": 3128,
        "retimed": 420,
        "freed_bytes": round(3.1 * MB),
        "level_now": None if dry_run else "warning",
        "outcomes": [
            step
            | {
                "kind": "purge", "namespace": None, "reason": "expired keys first", "deleted": 0,
                "deleted_by_namespace": {}, "freed_bytes": 0, "visited": 18_231, "stop": "all keys seen",
            },
            step
            | {
                "kind": "clear", "namespace": "analytics", "reason": "priority 1", "deleted": 2840,
                "deleted_by_namespace": {"analytics": 2840}, "freed_bytes": round(1.2 * MB), "visited": 2840,
                "stop": "all keys seen",
            },
            step
            | {
                "kind": "clear", "namespace": "voice", "reason": "priority 2", "deleted": 288,
                "deleted_by_namespace": {"voice": 288}, "freed_bytes": round(1.9 * MB), "visited": 288,
                "retimed": 420, "stop": "target reached",
            },
        ],
        "error": None,
    }  # fmt: skip
