"""The governor's state as documents. Pure: no web framework, no server, no clock.

Whatever is unknown is None. Sizes are written for people ("1.2MB") where the contract of the health document asks for
it, and stand beside that as numbers of bytes.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from spillgate.config import NamespacePolicy
from spillgate.errors import mask_url
from spillgate.governor.state import State
from spillgate.keyspace import Keyspace
from spillgate.model import Estimate, Level
from spillgate.units import format_bytes, format_share

Document = dict[str, object]

HEALTHY, UNREACHABLE = "healthy", "unreachable"
# A rate takes two readings.
_LEAST_READINGS = 2


@dataclass(frozen=True, slots=True)
class NamespaceRow:
    """What is known of one namespace.

    ``prefix`` is its first glob up to the wildcard. ``ttl_s`` is the TTL in force, which with ``ttl_mode = "auto"`` may
    be another than the policy's, for the ``ttl_reason``.
    """

    policy: NamespacePolicy
    prefix: str
    keys: Estimate | None
    bytes: Estimate | None
    no_ttl: Estimate | None
    ttl_s: float | None = None
    ttl_reason: str | None = None


def status_of(state: State) -> str:
    """``healthy`` at normal, else the level's name; ``unreachable`` while the server is not read."""
    if state.assessment is None or state.reading is None or state.unreadable or state.ended:
        return UNREACHABLE
    level = state.assessment.level
    return HEALTHY if level is Level.NORMAL else level.label


def error_of(state: State) -> str | None:
    """What is wrong, None where nothing is."""
    if state.error is None and state.ended:
        return "the governor has stopped"
    if state.error is None and state.reading is None:
        return "the server has not been read yet"
    return state.error


def health(state: State) -> tuple[int, Document]:
    """The status code and the document of ``GET /health/redis-memory``."""
    status = status_of(state)
    rows = namespaces(state)
    document: Document = {
        "memory": _memory(state),
        "keys": {
            "total": state.reading.keys if state.reading else None,
            "byNamespace": {row.prefix: _rounded(row.keys) for row in rows},
            "unregistered": _rounded(state.census.unregistered_keys) if state.census else None,
            "exact": state.census.exact if state.census else None,
        },
        "status": status,
        "level": state.level_label,
        **_outlook(state),
        "error": error_of(state),
        "checkedAt": utc(state.at_unix_s),
        "dryRun": state.dry_run,
        "missingCapabilities": list(state.capabilities.missing()) if state.capabilities else None,
    }
    return 503 if status in {UNREACHABLE, Level.CRITICAL.label} else 200, {"redis": document}


def liveness(state: State) -> tuple[int, Document]:
    """``GET /livez``: 200 as long as the governor's loop goes on."""
    return 503 if state.ended else 200, {"alive": not state.ended}


def readiness(state: State) -> tuple[int, Document]:
    """``GET /readyz``: 200 once the server was read, as long as that goes on."""
    ready = status_of(state) != UNREACHABLE
    return 200 if ready else 503, {"ready": ready, "error": error_of(state)}


def _memory(state: State) -> Document:
    if state.reading is None or state.assessment is None:
        return _unknown(
            "used", "usagePercent", "limit", "available", "usedBytes", "limitBytes", "availableBytes", "planLimitBytes"
        )
    limits = state.assessment.limits
    used = state.reading.counted_bytes
    available = limits.ceiling_bytes - used
    return {
        "used": format_bytes(used),
        "usagePercent": format_share(used / limits.limit_bytes),
        "limit": format_bytes(limits.ceiling_bytes),
        "available": format_bytes(available),
        "usedBytes": used,
        "limitBytes": limits.ceiling_bytes,
        "availableBytes": available,
        "planLimitBytes": limits.limit_bytes,
    }


def _unknown(*names: str, value: object = None) -> Document:
    return dict.fromkeys(names, value)


def _outlook(state: State) -> Document:
    known = state.assessment
    if known is None:
        return _unknown("pressure", "forecast", "fillBytesPerSecond", "timeToLimitSeconds", "reason")
    return {
        "pressure": round(known.pressure, 4),
        "forecast": round(known.forecast, 4),
        "fillBytesPerSecond": fill_bytes_s(state),
        "timeToLimitSeconds": time_to_limit_s(state),
        "reason": known.reason,
    }


def fill_bytes_s(state: State) -> int | None:
    """Bytes a second by which memory grows, None before two readings."""
    return round(state.assessment.fill_bytes_s) if state.assessment and state.readings >= _LEAST_READINGS else None


def time_to_limit_s(state: State) -> float | None:
    """Seconds until the limit, None where memory does not grow or that is not known."""
    left = state.assessment.time_to_limit_s if state.assessment else None
    return None if left is None else round(left, 1)


def namespaces(state: State) -> tuple[NamespaceRow, ...]:
    """The namespaces in the order of the policy."""
    prefixes = _prefixes(state.policy.namespaces)
    usages = {ns.name: state.census.usage(ns.name) if state.census else None for ns in state.policy.namespaces}
    adjusted = state.steering.adjusted
    return tuple(
        NamespaceRow(
            ns,
            prefixes[ns.name],
            usage.keys if (usage := usages[ns.name]) else None,
            usage.bytes if usage else None,
            usage.no_ttl if usage else None,
            adjusted[ns.name].ttl_s if ns.name in adjusted else ns.ttl_s,
            adjusted[ns.name].reason if ns.name in adjusted else None,
        )
        for ns in state.policy.namespaces
    )


@lru_cache(maxsize=2)
def _prefixes(listed: tuple[NamespacePolicy, ...]) -> dict[str, str]:
    """Worked out once a policy, for it means compiling every glob."""
    return dict(Keyspace(listed).prefixes)


def snapshot(state: State) -> Document:
    """Everything known, as ``--json`` prints it: bytes and seconds in numbers, each estimate with its 95 % interval."""
    reading, known = state.reading, state.assessment
    limits = known.limits if known else None
    can = state.capabilities
    return {
        "url": mask_url(state.policy.server.url),
        "status": status_of(state),
        "level": state.level_label,
        "reason": known.reason if known else None,
        "error": error_of(state),
        "checked_at": utc(state.at_unix_s),
        "dry_run": state.dry_run,
        "used_bytes": reading.counted_bytes if reading else None,
        "limit_bytes": limits.limit_bytes if limits else None,
        "ceiling_bytes": limits.ceiling_bytes if limits else None,
        "available_bytes": limits.ceiling_bytes - reading.counted_bytes if limits and reading else None,
        "pressure": round(known.pressure, 4) if known else None,
        "forecast": round(known.forecast, 4) if known else None,
        "fill_bytes_s": fill_bytes_s(state),
        "time_to_limit_s": time_to_limit_s(state),
        "held_bytes": reading.held_bytes if reading else None,
        "server": {
            "product": can.product if can else None,
            "version": can.version if can else None,
            "user": can.user if can else None,
            "eviction_policy": reading.eviction_policy if reading else None,
            "evicted_keys": reading.evicted_keys if reading else None,
            "refused_writes": reading.refused_writes if reading else None,
        },
        "missing": list(can.missing()) if can else None,
        "keys": reading.keys if reading else None,
        "unregistered_keys": _interval(state.census.unregistered_keys) if state.census else None,
        "namespaces": [row(one) for one in namespaces(state)],
        "totals": {
            "actions": state.totals.actions,
            "deleted": state.totals.deleted,
            "expired": state.totals.expired,
            "retimed": state.totals.retimed,
            "freed_bytes": state.totals.freed_bytes,
        },
    }


def row(one: NamespaceRow) -> Document:
    """One namespace in a document."""
    return {
        "name": one.policy.name,
        "prefix": one.prefix,
        "cleanup": one.policy.cleanup.value,
        "priority": one.policy.priority,
        "ttl_s": one.ttl_s,
        "ttl_file_s": one.policy.ttl_s,
        "ttl_reason": one.ttl_reason,
        "keys": _interval(one.keys),
        "bytes": _interval(one.bytes),
        "no_ttl": _interval(one.no_ttl),
    }


def _interval(estimate: Estimate | None) -> Document | None:
    return None if estimate is None else dict(estimate.ends())


def _rounded(estimate: Estimate | None) -> int | None:
    return None if estimate is None else round(estimate.value)


def utc(unix_s: float | None) -> str | None:
    """A time of the wall clock in ISO 8601."""
    return None if unix_s is None else f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
