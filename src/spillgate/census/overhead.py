"""The memory of a server that its keys do not account for, by cause. Pure.

With the data it adds up to ``used_memory``; what nobody tells the cause of is `UNEXPLAINED`.

The data is what ``MEMORY USAGE`` says of each key: value, name, and the key's entry in the hash table of its database.
``MEMORY STATS`` counts that entry again, together with the arrays of buckets and the second table that holds the keys
with a TTL, so it has to be taken off:

- Redis up to 7.2: ``overhead.hashtable.main`` is 8 bytes a bucket, and for each key 24 of the entry and 16 of the
  object. ``overhead.hashtable.expires`` is 8 bytes a bucket and 24 for each key with a TTL; no key's usage has those.
- Redis from 7.4, Valkey from 8.0: ``overhead.db.hashtable.lut`` has all the buckets. What main and expires hold beyond
  that and the 16 bytes of each key's object are the entries of both tables: 24 bytes each, or none in Valkey from 8.1,
  where the buckets themselves are the entries.

Redis from 7.0 and Valkey keep a histogram of latencies for each command that was ever given, and none is counted
anywhere: on a small plan they are more than all the buffers (``latency-tracking no`` is without them).

Tried on Redis 6.2 and 7.0 and on Valkey 9.1: what remains unexplained is what allocators round up, some bytes a key,
and about 0.2 MB that any server takes after its start (tests/server/test_survey.py).
"""

from collections.abc import Mapping
from typing import Any, cast

from spillgate.model import Estimate

UNEXPLAINED = "unexplained"
"""What is left: what allocators round up, lazy frees under way, and whatever the server does not tell of."""

# Each cause with the fields of INFO that tell of it; the server's own sums take them for disjoint.
_CAUSES = {
    "startup": ("used_memory_startup",),
    "client buffers": ("mem_clients_normal",),
    "replica buffers": ("mem_clients_slaves", "mem_replicas_repl_buffer"),
    "replication backlog": ("mem_replication_backlog",),
    "AOF buffer": ("mem_aof_buffer",),
    "scripts and functions": ("used_memory_scripts",),
    "cluster links": ("mem_cluster_links", "mem_cluster_slot_import", "mem_cluster_slot_export"),
}
_OBJECT_BYTES, _ENTRY_BYTES = 16, 24
_HISTOGRAM_BYTES = 24_688


def explain(
    used_bytes: int,
    data: Estimate,
    info: Mapping[str, str],
    stats: Mapping[str, Any] | None = None,
    timed_commands: int | None = None,
) -> dict[str, Estimate]:
    """Bytes by cause, `UNEXPLAINED` last; together with ``data`` they add up to ``used_bytes``.

    ``info`` are the fields of INFO, ``stats`` the reply of MEMORY STATS, ``timed_commands`` how many commands have a
    histogram of latencies (None where that is forbidden). A cause that the server does not tell of is left out. What is
    unexplained has the interval of the data, mirrored, and is negative where the data was estimated too high.
    """
    causes = {
        cause: Estimate.exact(sum(int(info.get(field, 0)) for field in fields))
        for cause, fields in _CAUSES.items()
        if fields[0] in info
    }
    tables = _tables_bytes(stats, keys_with_ttl(info)) if stats else None
    if tables is not None:
        causes["key tables"] = Estimate.exact(tables)
    if timed_commands:
        causes["latency histograms"] = Estimate.exact(timed_commands * _HISTOGRAM_BYTES)
    rest = used_bytes - sum(size.value for size in causes.values())
    return causes | {UNEXPLAINED: Estimate(rest - data.value, rest - data.high, rest - data.low)}


def keys_with_ttl(info: Mapping[str, str]) -> int:
    """How many keys of all databases have a TTL, by the keyspace section of INFO."""
    return sum(int(info[f"db{number}"].partition("expires=")[2].partition(",")[0] or 0) for number in databases(info))


def databases(info: Mapping[str, str]) -> list[int]:
    """The numbers of the logical databases that have keys, by the keyspace section of INFO."""
    return sorted(int(name[2:]) for name in info if name.startswith("db") and name[2:].isdecimal())


def _tables_bytes(stats: Mapping[str, Any], expires: int) -> int | None:
    """The hash tables of all databases, without what MEMORY USAGE counts as the keys' own; None where not told."""
    keys: object = stats.get("keys.count")
    if not isinstance(keys, int):
        return None
    parts = [cast("Mapping[str, int]", part) for part in stats.values() if isinstance(part, Mapping)]
    both = sum(part.get(f"overhead.hashtable.{one}", 0) for part in parts for one in ("main", "expires"))
    if "overhead.db.hashtable.lut" not in stats:
        return max(0, both - keys * (_OBJECT_BYTES + _ENTRY_BYTES))
    buckets = int(stats["overhead.db.hashtable.lut"])
    entries = max(0, both - buckets - keys * _OBJECT_BYTES)
    return buckets + round(entries * expires / max(1, keys + expires))
