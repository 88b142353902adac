"""Evidence made by hand: a server in good order, and whatever a test spoils of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spillgate.config import Policy, parse_policy
from spillgate.model import Census, Estimate, KeySample, Survey, Usage
from spillgate.policy.findings import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MB = 1024 * 1024
DAY_S = 86_400

GOOD_INFO = {
    "aof_enabled": "0",
    "allocator_frag_bytes": "100000",
    "allocator_frag_ratio": "1.05",
    "connected_clients": "5",
    "evicted_keys": "0",
    "keyspace_hits": "9900",
    "keyspace_misses": "100",
    "maxclients": "1000",
    "maxmemory": str(100 * MB),
    "maxmemory_policy": "allkeys-lru",
    "mem_allocator": "jemalloc-5.3.0",
    "mem_clients_normal": "100000",
    "number_of_cached_scripts": "2",
    "redis_version": "7.2.4",
    "rejected_connections": "0",
    "total_system_memory": str(8192 * MB),
    "used_memory_scripts": "5000",
}
GOOD_SETTINGS = {
    "active-expire-effort": "1",
    "bind": "127.0.0.1 -::1",
    "hash-max-listpack-entries": "512",
    "hash-max-listpack-value": "64",
    "protected-mode": "yes",
    "save": "",
    "zset-max-listpack-entries": "128",
    "zset-max-listpack-value": "64",
}

NAMESPACES = """
[[namespace]]
name = "pages"
keys = "app:pages:*"
ttl = "10m"
cleanup = "clear"
priority = 1

[[namespace]]
name = "tasks"
keys = "app:tasks:*"
cleanup = "never"
"""


def policy(namespaces: str = "", server: str = "") -> Policy:
    """A policy with these tables."""
    return parse_policy(f"[server]\n{server}\n{namespaces}", "test policy")


def key(
    name: str | bytes,
    size: int | None = 1000,
    *,
    ttl_s: float | None = 600,
    idle_s: int | None = 10,
    kind: str = "string",
    encoding: str = "raw",
) -> KeySample:
    """One key that was seen."""
    raw = name.encode() if isinstance(name, str) else name
    return KeySample(idle_s, None if ttl_s is None else round(ttl_s * 1000), size, raw, kind, encoding)


def many(prefix: str, count: int = 100, size: int = 1000, **more: Any) -> list[KeySample]:
    """Keys alike."""
    return [key(f"{prefix}{number}", size, **more) for number in range(count)]


def usage(name: str, keys: Sequence[KeySample]) -> Usage:
    """What a census that saw all of them says of these keys."""
    exact = Estimate.exact
    held = sum(one.size_bytes or 0 for one in keys)
    return Usage(
        name,
        exact(len(keys)),
        exact(held) if all(one.size_bytes is not None for one in keys) else None,
        exact(sum(one.ttl_ms is None for one in keys)),
        tuple(keys),
        exact(held / max(1, len(keys))),
        exact(sum(len(one.name) for one in keys)),
    )


def census(
    prefixes: Mapping[str, Sequence[KeySample]], namespaces: Mapping[str, Sequence[KeySample]], expired: int = 0
) -> Census:
    """A full census of these keys."""
    groups = [usage(name, keys) for name, keys in prefixes.items()]
    everything = [one for keys in (*prefixes.values(), *namespaces.values()) for one in keys]
    sized = all(one.size_bytes is not None for one in everything)
    return Census(
        0.0,
        True,  # noqa: FBT003 - exact
        len(everything),
        len(everything),
        tuple(usage(name, keys) for name, keys in namespaces.items()),
        Estimate.exact(sum(len(keys) for keys in prefixes.values())),
        Estimate.exact(sum(one.size_bytes or 0 for one in everything)) if sized else None,
        tuple(groups),
        Estimate.exact(expired),
        tuple(sorted(everything, key=lambda one: -(one.size_bytes or 0))[:20]),
    )


GOOD_KEYS = {"app:pages:*": many("app:pages:", 200)}


def evidence(
    prefixes: Mapping[str, Sequence[KeySample]] | None = None,
    *,
    namespaces: Mapping[str, Sequence[KeySample]] | None = None,
    tables: str = "",
    server: str = "",
    used: int = 10 * MB,
    info: Mapping[str, str | None] | None = None,
    settings: Mapping[str, str] | None = None,
    **fields: Any,
) -> Evidence:
    """A server in good order, with these keys and fields instead; a field of INFO that is None is not told.

    Beside the fields of `Evidence` there are ``expired`` keys, and ``others``: censuses of more databases.
    """
    own = census(GOOD_KEYS if prefixes is None else prefixes, namespaces or {}, fields.pop("expired", 0))
    told = {name: value for name, value in (GOOD_INFO | dict(info or {})).items() if value is not None}
    survey = Survey(used, ((0, own), *fields.pop("others", ())), {}, told, 0.1)
    known: dict[str, Any] = {
        "settings": GOOD_SETTINGS | dict(settings or {}),
        "growth_bytes_s": Estimate(0.0, -10.0, 10.0),
        "values": {},
        "elements": {},
        "default_user_open": False,
        "governed": True,
    }
    return Evidence(policy(tables or NAMESPACES, server), survey, **(known | fields))
