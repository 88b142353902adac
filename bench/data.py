"""The data that must survive, and telling what of it was lost."""

import random
import time
from dataclasses import dataclass
from typing import cast

import redis

# A key whose own TTL ends this soon may be gone without being lost.
_GRACE_S = 1.0
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Group:
    """Keys of one kind: how many, how large, and with which TTL (None: without)."""

    name: str
    key: str
    count: int
    size_bytes: int
    ttl_s: tuple[int, int] | None


# The sessions and tasks of the design, the rest of what the reference policy protects, and what no policy names.
GROUPS = (
    Group("sessions", "ceo-platform:sessions:{}", 5000, 400, (60, 900)),
    Group("tasks", "ceo-platform:tasks:{}", 2000, 800, (600, 600)),
    Group("channels", "ceo-platform:channels:{}", 50, 800, (1800, 1800)),
    Group("users", "ceo-platform:users:{}", 100, 400, (900, 900)),
    Group("app keys", "shop:cart:{}", 300, 300, None),
    Group("app keys", "shop:offer:{}:live", 200, 300, (3600, 3600)),
)
SESSION = GROUPS[0]


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written: for each group each key with the end of its TTL in Unix seconds (None: without)."""

    keys: dict[str, dict[str, float | None]]

    def lost(self, client: redis.Redis) -> dict[str, int]:
        """Keys by group that are gone, or will be, though their own TTL is not over."""
        return {name: sum(_lost(client, list(keys.items()))) for name, keys in self.keys.items()}


def _lost(client: redis.Redis, keys: list[tuple[str, float | None]]) -> list[bool]:
    found: list[bool] = []
    for start in range(0, len(keys), _BATCH):
        pipe = client.pipeline(transaction=False)
        batch = keys[start : start + _BATCH]
        for key, _ in batch:
            pipe.pttl(key)
        remaining = cast("list[int]", pipe.execute())
        now = time.time()
        found += [_is_lost(ttl_ms, end_s, now) for ttl_ms, (_, end_s) in zip(remaining, batch, strict=True)]
    return found


def _is_lost(ttl_ms: int, end_s: float | None, now_s: float) -> bool:
    if end_s is None or ttl_ms == -1:
        return ttl_ms != -1
    return end_s - now_s > _GRACE_S + max(0, ttl_ms) / 1000


def seed(client: redis.Redis) -> Kept:
    """Write everything, the same on every server."""
    chance = random.Random(25)
    kept: dict[str, dict[str, float | None]] = {group.name: {} for group in GROUPS}
    for group in GROUPS:
        value = b"v" * group.size_bytes
        pipe = client.pipeline(transaction=False)
        for i in range(group.count):
            ttl_s = chance.randint(*group.ttl_s) if group.ttl_s else None
            key = group.key.format(i)
            pipe.set(key, value, ex=ttl_s)
            kept[group.name][key] = None if ttl_s is None else time.time() + ttl_s
        pipe.execute()
    return Kept(kept)
