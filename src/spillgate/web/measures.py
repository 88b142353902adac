"""Everything that is measured, in one table, from which Prometheus and OpenTelemetry are served, and the documentation.

Time series are bounded: some 70, and 10 for each namespace of the policy file up to `MOST_NAMESPACES`; receivers of
alerts add one each. No key or prefix that was found on the server is ever a label.
"""

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Final
from urllib.parse import urlsplit

from spillgate.model import Level
from spillgate.policy.findings import Severity
from spillgate.policy.pressure import threshold
from spillgate.web import views
from spillgate.web.exposure import protected_evictable
from spillgate.web.measuring import (
    MOST_NAMESPACES,
    Kind,
    MaybeSample,
    Measure,
    Sample,
    Seen,
    bounds,
    by,
    by_namespace,
    counter,
    gauge,
    info,
)

VERSION: Final = metadata.version("spillgate")


def server_address(url: str) -> str:
    """Where a server is, without the user or the password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    host = parts.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or 6379}"


def _server(seen: Seen) -> Mapping[str, str | None]:
    can = seen.state.capabilities
    return {
        "server": server_address(seen.state.policy.server.url),
        "product": can.product if can else None,
        "version": can.version if can else None,
        "role": seen.reading.role if seen.reading else None,
    }


def _eviction_policy(seen: Seen) -> Mapping[str, str | None] | None:
    policy = seen.reading.eviction_policy if seen.reading else None
    return None if policy is None else {"policy": policy}


def _protected_evictable(seen: Seen) -> bool | None:
    return protected_evictable(seen.state) if seen.up else None


def _unavailable(seen: Seen) -> int | None:
    can = seen.state.capabilities
    return None if can is None else len(can.missing())


def _limit(seen: Seen) -> int | None:
    return seen.state.assessment.limits.limit_bytes if seen.state.assessment else None


def _ceiling(seen: Seen) -> int | None:
    return seen.state.assessment.limits.ceiling_bytes if seen.state.assessment else None


def _thresholds(seen: Seen) -> Mapping[str, float | None]:
    levels, limit = seen.state.policy.levels, _limit(seen)
    return {
        level.label: None if limit is None else round(threshold(level, levels) * limit)
        for level in Level
        if level is not Level.NORMAL
    }


def _held(seen: Seen) -> Mapping[str, float | None]:
    reading = seen.reading
    return {
        "client buffers": reading.clients_bytes if reading else None,
        "replication backlog": reading.replication_bytes if reading else None,
        "scripts": reading.scripts_bytes if reading else None,
    }


def _findings(seen: Seen) -> Mapping[str, float | None]:
    done = seen.examined
    return {one.label: done.examination.count(one) if done else None for one in Severity}


def _firing(seen: Seen) -> Mapping[str, float | None]:
    return {one.label: None if seen.firing is None else seen.firing.count(one) for one in Level if one}


def _described(seen: Seen) -> Iterator[Sample]:
    """Of the policy alone, so it is known whether the server is read or not."""
    for one in seen.state.policy.namespaces[:MOST_NAMESPACES]:
        yield (one.name, one.cleanup.value, "" if one.priority is None else str(one.priority)), 1


def _budgets(seen: Seen) -> Iterator[MaybeSample]:
    return (((one.name,), one.budget_bytes) for one in seen.state.policy.namespaces[:MOST_NAMESPACES])


def _hits(seen: Seen) -> Iterator[MaybeSample]:
    """Of the policy's namespaces alone: others that an application made up may be any number."""
    named = {one.name for one in seen.state.policy.namespaces[:MOST_NAMESPACES]}
    for one in seen.library.recording.namespaces if seen.library else ():
        if one.name in named:
            yield (one.name,), one.hits / one.reads if one.reads else None


_GOVERNOR: Final = (
    info("build", "The version of Spillgate.", lambda _: {"version": VERSION}, "version"),
    gauge("up", "", "Whether the server is being read: 1 or 0.", lambda seen: seen.up),
    gauge("governor.running", "", "Whether the governor's loop goes on: 1 or 0.", lambda seen: not seen.state.ended),
    gauge("dry_run", "", "Whether the governor only tells what it would do: 1 or 0.", lambda seen: seen.state.dry_run),
    counter("readings", "{reading}", "How often the server's memory was read.", lambda seen: seen.state.readings),
    counter("commands", "{command}", "Commands given to the server.", lambda seen: seen.state.commands),
    gauge(
        "last_look.timestamp", "s", "When the server was last read, in Unix time.", lambda seen: seen.state.at_unix_s
    ),
    gauge("next_look", "s", "How long the governor pauses until it looks again.", lambda seen: seen.state.pause_s),
    gauge(
        "cleanup.failing",
        "",
        "Whether the server was read but did not let the governor do what it had planned: 1 or 0.",
        lambda seen: seen.up and seen.state.error is not None,
    ),
    gauge("unavailable_commands", "", "How many of the commands it can use the plan forbids.", _unavailable),
)
_MEMORY: Final = (
    gauge(
        "used",
        "By",
        "Memory that counts towards the limit: without replica and AOF buffers.",
        lambda seen: seen.reading.counted_bytes if seen.reading else None,
    ),
    gauge("limit", "By", "Memory that the plan allows.", _limit),
    gauge("ceiling", "By", "The limit less the reserve that is kept free.", _ceiling),
    by("level", "level.threshold", "By", "Memory at which each level begins.", _thresholds),
    gauge(
        "rss",
        "By",
        "Memory that the server takes from its operating system.",
        lambda seen: seen.reading.rss_bytes if seen.reading else None,
    ),
    by("cause", "held", "By", "Counted memory that deleting keys does not free, by what holds it.", _held),
    gauge(
        "pressure",
        "1",
        "Used memory as a share of the limit.",
        lambda seen: seen.state.assessment.pressure if seen.reading and seen.state.assessment else None,
    ),
    gauge(
        "forecast",
        "1",
        "The share that is forecast for when the governor can act again.",
        lambda seen: seen.state.assessment.forecast if seen.reading and seen.state.assessment else None,
    ),
    gauge(
        "level",
        "",
        "The level in force: 0 normal, 1 warning, 2 preventive, 3 emergency, 4 critical. It stands while the server "
        "cannot be read.",
        lambda seen: seen.state.assessment.level if seen.state.assessment else None,
    ),
    gauge(
        "fill",
        "By/s",
        "How fast memory fills: a high quantile of the latest rates.",
        lambda seen: views.fill_bytes_s(seen.state) if seen.reading else None,
    ),
    gauge(
        "time_to_limit",
        "s",
        "When the limit is reached at that rate; absent where memory does not grow.",
        lambda seen: views.time_to_limit_s(seen.state) if seen.reading else None,
    ),
)
_SERVER: Final = (
    info(
        "server",
        "The server that is governed, without user and password.",
        _server,
        *("server", "product", "version", "role"),
    ),
    info("eviction_policy", "The server's own eviction policy.", _eviction_policy, "policy"),
    gauge(
        "protected_evictable",
        "",
        "Whether the server's eviction policy can take keys that are protected: 1 or 0; absent where nobody can tell.",
        _protected_evictable,
    ),
    gauge("keys", "{key}", "Keys of the database.", lambda seen: seen.reading.keys if seen.reading else None),
    gauge(
        "other_database_keys",
        "{key}",
        "Keys of the server's other databases, which are not governed.",
        lambda seen: seen.reading.other_keys if seen.reading else None,
    ),
    counter(
        "evicted_keys",
        "{key}",
        "Keys that the server evicted by itself, since it started.",
        lambda seen: seen.reading.evicted_keys if seen.reading else None,
    ),
    counter(
        "expired_keys",
        "{key}",
        "Keys that the server let expire, since it started.",
        lambda seen: seen.reading.expired_keys if seen.reading else None,
    ),
    counter(
        "refused_writes",
        "{write}",
        "Writes that the server refused for want of memory, since it started.",
        lambda seen: seen.reading.refused_writes if seen.reading else None,
    ),
    gauge(
        "connected_clients",
        "{client}",
        "Clients that are connected to the server.",
        lambda seen: seen.reading.connected_clients if seen.reading else None,
    ),
)
_CLEANUPS: Final = (
    counter(
        "actions", "{action}", "Steps of cleanups, those of a dry run too.", lambda seen: seen.state.totals.actions
    ),
    counter(
        "reclaimed",
        "By",
        "Memory that cleanups freed, by the server's own counter.",
        lambda seen: seen.state.totals.freed_bytes,
    ),
    counter("deleted_keys", "{key}", "Keys that cleanups deleted.", lambda seen: seen.state.totals.deleted),
    counter(
        "purged_keys",
        "{key}",
        "Keys past their TTL that the server dropped as cleanups met them.",
        lambda seen: seen.state.totals.expired,
    ),
    counter("retimed_keys", "{key}", "Keys whose TTL was set or capped.", lambda seen: seen.state.totals.retimed),
)
_NAMESPACES: Final = (
    by_namespace("namespace.memory", "By", "What the keys of a namespace hold, estimated.", lambda row: row.bytes),
    bounds("namespace.memory.bound", "By", "Both ends of its 95 % interval.", lambda row: row.bytes),
    by_namespace("namespace.keys", "{key}", "Keys of a namespace, estimated.", lambda row: row.keys),
    bounds("namespace.keys.bound", "{key}", "Both ends of its 95 % interval.", lambda row: row.keys),
    by_namespace(
        "namespace.unttl_keys", "{key}", "Keys of a namespace that have no TTL, estimated.", lambda row: row.no_ttl
    ),
    Measure(
        "namespace.budget",
        Kind.GAUGE,
        "By",
        "Memory beyond which it is trimmed first, where set.",
        _budgets,
        ("namespace",),
    ),
    Measure(
        "namespace",
        Kind.INFO,
        "",
        "What an emergency may do to a namespace, and its turn; both are of the policy file.",
        _described,
        ("namespace", "cleanup", "priority"),
    ),
    gauge(
        "unregistered_keys",
        "{key}",
        "Keys of no namespace, which are protected, estimated.",
        lambda seen: round(seen.census.unregistered_keys.value) if seen.census else None,
    ),
    gauge(
        "keyspace.memory",
        "By",
        "What all keys of the database hold, of a namespace or not, estimated.",
        lambda seen: round(seen.census.total_bytes.value) if seen.census and seen.census.total_bytes else None,
    ),
    Measure(
        "library.hit",
        Kind.GAUGE,
        "1",
        "Share of reads that the cache library answered from the cache, in the last days.",
        _hits,
        ("namespace",),
    ),
)
_BESIDE: Final = (
    by("severity", "findings", "{finding}", "What the latest checkup found, as spillgate doctor does.", _findings),
    gauge(
        "checkup.timestamp",
        "s",
        "When the latest checkup ended, in Unix time.",
        lambda seen: seen.examined.at_unix_s if seen.examined else None,
    ),
    gauge(
        "library.processes",
        "{process}",
        "Processes of applications that use the cache library.",
        lambda seen: len(seen.library.recording.processes) if seen.library else None,
    ),
    by("severity", "alerts.firing", "{alert}", "Alerts of Spillgate's own that stand.", _firing),
    by(
        "receiver",
        "alerts.receiver.failing",
        "",
        "Whether the latest alert could not be delivered to a receiver: 1 or 0.",
        lambda seen: {one.name: one.failing for one in seen.receivers},
    ),
    gauge(
        "history.writable",
        "",
        "Whether the file of the history can be written: 1 or 0; absent where it is kept in memory.",
        lambda seen: seen.history_writable,
    ),
)

MEASURES: Final = (*_GOVERNOR, *_MEMORY, *_SERVER, *_CLEANUPS, *_NAMESPACES, *_BESIDE)
"""The table."""
