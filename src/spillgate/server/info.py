"""INFO replies into readings. Missing fields stay unknown."""

from collections.abc import Mapping

from spillgate.errors import ServerError
from spillgate.model import Reading

InfoFields = Mapping[str, str]


def parse_fields(reply: bytes) -> dict[str, str]:
    """The ``name:value`` lines of an INFO reply; whatever is not such a line is passed over."""
    lines = reply.decode("utf-8", "replace").splitlines()
    parted = (line.partition(":") for line in lines if line and line[0] != "#")
    return {name: value.strip() for name, colon, value in parted if colon}


def parse_reading(reply: bytes, at_s: float, database: int = 0) -> Reading:
    """One reading from an INFO reply, of all default sections or of memory alone.

    Raises:
        ServerError: the reply does not tell ``used_memory``, so nothing can be said at all.
    """
    fields = parse_fields(reply)
    used = _whole(fields, "used_memory")
    if used is None:
        message = "INFO does not tell used_memory: this server or plan cannot be governed"
        raise ServerError(message)
    keys, keys_with_ttl, other_keys = _keyspace(fields, database)
    return Reading(
        at_s=at_s,
        used_bytes=used,
        not_counted_bytes=_whole(fields, "mem_not_counted_for_evict") or 0,
        maxmemory_bytes=_unsigned(fields, "maxmemory") or 0,
        eviction_policy=fields.get("maxmemory_policy"),
        startup_bytes=_whole(fields, "used_memory_startup"),
        dataset_bytes=_dataset(fields, used),
        clients_bytes=_whole(fields, "mem_clients_normal"),
        replication_bytes=_whole(fields, "mem_replication_backlog"),
        aof_bytes=_whole(fields, "mem_aof_buffer"),
        scripts_bytes=_whole(fields, "used_memory_scripts"),
        rss_bytes=_whole(fields, "used_memory_rss"),
        fragmentation=_real(fields, "mem_fragmentation_ratio"),
        lazyfree_pending=_whole(fields, "lazyfree_pending_objects"),
        keys=keys,
        keys_with_ttl=keys_with_ttl,
        other_keys=other_keys,
        evicted_keys=_whole(fields, "evicted_keys"),
        expired_keys=_whole(fields, "expired_keys"),
        refused_writes=_refused(fields),
        connected_clients=_whole(fields, "connected_clients"),
        run_id=fields.get("run_id"),
        version=fields.get("valkey_version") or fields.get("redis_version"),
        uptime_s=_whole(fields, "uptime_in_seconds"),
        role=fields.get("role"),
    )


def _whole(fields: InfoFields, name: str) -> int | None:
    try:
        return int(fields[name])
    except (KeyError, ValueError):
        return None


def _unsigned(fields: InfoFields, name: str) -> int | None:
    """A size, which some servers write as if it had a sign."""
    size = _whole(fields, name)
    return size if size is None or size >= 0 else size + 2**64


def _real(fields: InfoFields, name: str) -> float | None:
    try:
        return float(fields[name])
    except (KeyError, ValueError):
        return None


def _dataset(fields: InfoFields, used: int) -> int | None:
    """``used_memory_dataset``, which underflows in old servers (redis/redis#13973): then it is unknown."""
    dataset = _whole(fields, "used_memory_dataset")
    return dataset if dataset is not None and 0 <= dataset <= used else None


def _keyspace(fields: InfoFields, database: int) -> tuple[int | None, int | None, int | None]:
    """Keys, keys with a TTL, and keys in other databases; empty ones have no line, a partial INFO has none."""
    if "keyspace_hits" not in fields:
        return None, None, None
    databases = {name: _pairs(line) for name, line in fields.items() if name.startswith("db") and name[2:].isdecimal()}
    own = databases.pop(f"db{database}", {"keys": "0", "expires": "0"})
    others = [_whole(counts, "keys") or 0 for counts in databases.values()]
    return _whole(own, "keys"), _whole(own, "expires"), sum(others)


def _refused(fields: InfoFields) -> int | None:
    """Writes refused for want of memory. The server counts errors by kind since 6.2 and omits kinds not yet seen."""
    line = fields.get("errorstat_OOM")
    if line is not None:
        return _whole(_pairs(line), "count")
    return 0 if "keyspace_hits" in fields and "total_error_replies" in fields else None


def _pairs(line: str) -> dict[str, str]:
    """The parts of a value such as ``keys=5,expires=2``."""
    parted = (part.partition("=") for part in line.split(","))
    return {name: value for name, _, value in parted}
