"""What the well-known Redis exporter (oliver006/redis_exporter) also tells, by its names, from the latest reading.

Only what means the same is here. It is less than the exporter has, and no further command is given for it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs, urlsplit

from spillgate.model import Reading
from spillgate.web.measuring import Kind, MaybeSample, Measure, Seen, counter, gauge, info


def _read(pick: Callable[[Reading], float | None]) -> Callable[[Seen], float | None]:
    return lambda seen: pick(seen.reading) if seen.reading else None


def _instance(seen: Seen) -> Mapping[str, str | None] | None:
    reading, can = seen.reading, seen.state.capabilities
    if reading is None:
        return None
    # Valkey states the version of Redis that it is compatible with beside its own, which is all that a reading keeps.
    version = "valkey_version" if can and can.product == "valkey" else "redis_version"
    return {
        "role": reading.role,
        version: reading.version,
        "maxmemory_policy": reading.eviction_policy,
        "run_id": reading.run_id,
    }


def _database(seen: Seen) -> str:
    parts = urlsplit(seen.state.policy.server.url)
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    return f"db{int(parse_qs(parts.query).get('db', [path or '0'])[0])}"


def _per_database(pick: Callable[[Reading], float | None]) -> Callable[[Seen], Iterator[MaybeSample]]:
    def samples(seen: Seen) -> Iterator[MaybeSample]:
        if seen.reading:
            yield (_database(seen),), pick(seen.reading)

    return samples


def _refused(seen: Seen) -> Iterator[MaybeSample]:
    if seen.reading:
        yield ("OOM",), seen.reading.refused_writes


_TABLE: Final = (
    gauge("up", "", "Whether the server is being read: 1 or 0.", lambda seen: seen.up),
    info(
        "instance",
        "Information about the Redis instance.",
        _instance,
        *("role", "redis_version", "valkey_version", "maxmemory_policy", "run_id"),
    ),
    gauge("memory_used", "By", "used_memory of INFO.", _read(lambda reading: reading.used_bytes)),
    gauge(
        "memory_max",
        "By",
        "maxmemory of INFO; absent where there is none.",
        _read(lambda reading: reading.maxmemory_bytes or None),  # one that is not told is 0 in a reading, too
    ),
    gauge("memory_used_rss", "By", "used_memory_rss of INFO.", _read(lambda reading: reading.rss_bytes)),
    gauge("memory_used_startup", "By", "used_memory_startup of INFO.", _read(lambda reading: reading.startup_bytes)),
    gauge("memory_used_dataset", "By", "used_memory_dataset of INFO.", _read(lambda reading: reading.dataset_bytes)),
    gauge("memory_used_scripts", "By", "used_memory_scripts of INFO.", _read(lambda reading: reading.scripts_bytes)),
    gauge("mem_clients_normal", "", "mem_clients_normal of INFO.", _read(lambda reading: reading.clients_bytes)),
    gauge(
        "mem_replication_backlog", "By", "mem_replication_backlog of INFO.", _read(lambda one: one.replication_bytes)
    ),
    gauge("mem_aof_buffer", "By", "mem_aof_buffer of INFO.", _read(lambda reading: reading.aof_bytes)),
    gauge("mem_fragmentation", "1", "mem_fragmentation_ratio of INFO.", _read(lambda reading: reading.fragmentation)),
    gauge("lazyfree_pending_objects", "", "lazyfree_pending_objects of INFO.", _read(lambda one: one.lazyfree_pending)),
    gauge("connected_clients", "", "connected_clients of INFO.", _read(lambda reading: reading.connected_clients)),
    gauge("uptime_in", "s", "uptime_in_seconds of INFO.", _read(lambda reading: reading.uptime_s)),
    counter("evicted_keys", "", "evicted_keys of INFO.", _read(lambda reading: reading.evicted_keys)),
    counter("expired_keys", "", "expired_keys of INFO.", _read(lambda reading: reading.expired_keys)),
    Measure("errors", Kind.COUNTER, "", "errorstat_OOM of INFO; no other error.", _refused, ("err",)),
    Measure(
        "db_keys",
        Kind.GAUGE,
        "",
        "Keys of the database that is governed.",
        _per_database(lambda one: one.keys),
        ("db",),
    ),
    Measure(
        "db_keys_expiring",
        Kind.GAUGE,
        "",
        "The same, those with a TTL.",
        _per_database(lambda one: one.keys_with_ttl),
        ("db",),
    ),
)

EXPORTER_MEASURES: Final = tuple(replace(one, prefix="redis") for one in _TABLE)
"""The table."""
