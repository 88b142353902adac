"""The documents under ``/api/``, drawn from what stands beside the governor. Whatever is unknown is None."""

import statistics
from collections.abc import Iterable, Mapping
from importlib import metadata

from spillgate import checkup
from spillgate.checkup import Checkup, Library
from spillgate.config import NamespacePolicy
from spillgate.governor.history import Point, Span
from spillgate.governor.journal import Entry
from spillgate.governor.state import State
from spillgate.model import Estimate, Level, Usage
from spillgate.policy.pressure import threshold
from spillgate.web import views
from spillgate.web.sources import Sources
from spillgate.web.views import Document

CLEANUP_LEVELS = (Level.PREVENTIVE, Level.EMERGENCY, Level.CRITICAL)
"""The levels as which a cleanup by hand can be asked for."""

_VERSION = metadata.version("spillgate")


def state(sources: Sources, now_s: float) -> Document:
    """Everything that is known at ``now_s``, in seconds since 1970."""
    seen = sources.governor.state
    return views.snapshot(seen) | {
        "version": _VERSION,
        "now": round(now_s, 3),
        "age_s": None if seen.at_unix_s is None else round(max(0.0, now_s - seen.at_unix_s), 3),
        "next_look_s": seen.pause_s,
        "levels": _levels(seen),
        "release": seen.policy.levels.release,
        "hold_s": seen.policy.levels.hold_s,
        "unregistered_bytes": ends(seen.census.unregistered_bytes) if seen.census else None,
        "namespaces": _namespaces(seen),
        "library": _library(sources.checkup.library) if sources.checkup else None,
        "checkup": _checkup(sources.checkup) if sources.checkup else None,
        "cleanup": {
            "enabled": sources.token is not None,
            "dry_run_only": seen.dry_run,
            "levels": [level.label for level in CLEANUP_LEVELS],
        },
        "history": {"file": sources.history.path is not None, "error": sources.history.error},
        "alerts": _alerts(sources),
    }


def census(seen: State) -> Document:
    """Keys and bytes by namespace."""
    found = seen.census
    return {
        "checked_at": views.utc(seen.at_unix_s),
        "exact": found.exact if found else None,
        "sampled_keys": found.sampled_keys if found else None,
        "total_keys": found.total_keys if found else None,
        "total_bytes": ends(found.total_bytes) if found else None,
        "unregistered_keys": ends(found.unregistered_keys) if found else None,
        "unregistered_bytes": ends(found.unregistered_bytes) if found else None,
        "namespaces": _namespaces(seen),
    }


def series(span: Span, points: Iterable[Point], through_s: float | None) -> Document:
    """Memory over time, a column for each number; of seconds up to ``through_s`` everything is in it."""
    columns = dict(zip(_POINT, map(list, zip(*map(_numbers, points), strict=True)), strict=False))
    columns = {name: columns.get(name, []) for name in _POINT}
    return {"span": span.value, "resolution_s": span.resolution_s, "through": through_s, "columns": columns}


_POINT = ("at", "used", "high", "level", "limit", "keys", "evicted", "refused")


def point(one: Point) -> Document:
    """One point of the history."""
    return dict(zip(_POINT, _numbers(one), strict=True))


def _numbers(one: Point) -> tuple[object, ...]:
    return (
        one.at_s,
        one.used_bytes,
        one.high_bytes,
        one.level,
        one.limit_bytes,
        one.keys,
        one.evicted_keys,
        one.refused_writes,
    )


def entry(one: Entry) -> Document:
    """One entry of the journal."""
    return {
        "number": one.number,
        "at": round(one.at_unix_s, 3),
        "event": one.event.value,
        "level": one.level,
        "message": one.message,
        "details": one.details,
    }


def alerts(sources: Sources) -> Document:
    """Alerts that stand, receivers, and what was delivered."""
    watching = sources.alerts
    return {
        "active": _active(sources),
        "receivers": [
            {"name": one.name, "kind": one.kind, "failing": one.failing, "last_error": one.last_error}
            for one in (watching.receivers if watching else ())
        ],
        "deliveries": [
            {
                "at": round(one.at_unix_s, 3),
                "receiver": one.receiver,
                "key": one.key,
                "kind": one.kind,
                "status": one.status,
                "attempts": one.attempts,
                "error": one.error,
            }
            for one in sources.history.deliveries(limit=100)
        ],
    }


def ends(estimate: Estimate | None) -> Document | None:
    """An estimate with both ends of its interval."""
    return None if estimate is None else dict(estimate.ends())


def _levels(seen: State) -> list[Document]:
    limit = seen.assessment.limits.limit_bytes if seen.assessment else None
    shares = {level: threshold(level, seen.policy.levels) for level in Level}
    return [
        {"name": level.label, "share": share, "bytes": None if limit is None else round(share * limit)}
        for level, share in shares.items()
    ]


def _namespaces(seen: State) -> list[Document]:
    usages = {usage.name: usage for usage in seen.census.namespaces} if seen.census else {}
    return [views.row(row) | _lifetimes(row.policy, usages.get(row.policy.name)) for row in views.namespaces(seen)]


def _lifetimes(policy: NamespacePolicy, usage: Usage | None) -> Document:
    sample = usage.sample if usage else ()
    return {
        "patterns": list(policy.keys),
        "protected": policy.protected,
        "min_ttl_s": policy.min_ttl_s,
        "max_ttl_s": policy.max_ttl_s,
        "emergency_ttl_s": policy.emergency_ttl_s,
        "budget_bytes": policy.budget_bytes,
        "ttl_p50_s": _median(key.ttl_ms / 1000 for key in sample if key.ttl_ms is not None),
        "idle_p50_s": _median(key.idle_s for key in sample if key.idle_s is not None),
    }


def _median(numbers: Iterable[float]) -> Document | None:
    """The median of a sample, and the two numbers of it between which the median of all is (by 95 %)."""
    listed = sorted(numbers)
    if not listed:
        return None
    # Of n numbers, the ranks n/2 ± 0.98·sqrt(n) bound it: the binomial distribution's normal approximation.
    reach = 0.98 * len(listed) ** 0.5
    low = max(0, int(len(listed) / 2 - reach))
    high = min(len(listed) - 1, int(len(listed) / 2 + reach))
    return {"value": round(statistics.median(listed)), "low": round(listed[low]), "high": round(listed[high])}


def _library(library: Library | None) -> Document | None:
    """How often the processes that use the cache library find what they look for."""
    if library is None:
        return None
    return {
        "at": round(library.at_unix_s, 3),
        "processes": len(library.recording.processes),
        "namespaces": [
            {
                "name": one.name,
                "hit_ratio": round(one.hits / one.reads, 4) if one.reads else None,
                "reads": one.reads,
                "hits": one.hits,
                "writes": one.writes,
                "compute_ms": round(one.compute_s / one.computes * 1000, 3) if one.computes else None,
            }
            for one in library.recording.namespaces
        ],
    }


def _checkup(watching: Checkup) -> Document:
    latest = watching.latest
    found: Mapping[str, object] = checkup.document(latest.examination) if latest else {}
    return {
        "at": round(latest.at_unix_s, 3) if latest else None,
        "next_in_s": None if watching.next_in_s is None else round(watching.next_in_s),
        "why_not": watching.why_not,
        "findings": found.get("findings", []),
        "unable": found.get("unable", []),
    }


def _alerts(sources: Sources) -> Document | None:
    if sources.alerts is None:
        return None
    receivers = sources.alerts.receivers
    return {
        "receivers": len(receivers),
        "active": _active(sources),
        "failing": [one.name for one in receivers if one.failing],
    }


def _active(sources: Sources) -> list[Document]:
    return [
        {
            "key": one.key,
            "severity": one.severity.label,
            "title": one.title,
            "message": one.message,
            "since": round(one.since_unix_s, 3),
        }
        for one in (sources.alerts.active if sources.alerts else ())
    ]
