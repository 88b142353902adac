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


@dataclass(frozen=True, slots=True)
class Shape:
    """What the values of one namespace look like.

    Strings have ``size`` bytes, collections that many elements, from the smaller number to the larger with as many
    small ones as large ones (evenly in their logarithm). ``volatile`` of the keys have a TTL of ``TTL_S`` seconds.
    """

    command: str
    size: tuple[int, int]
    volatile: float


TTL_S = (3600, 86_400)
# The first namespace has the most keys, the last one the fewest.
SHAPES = (
    Shape("SET", (40, 400), 1),
    Shape("SET", (100, 300), 1),
    Shape("HSET", (3, 12), 0.5),
    Shape("SET", (16, 64), 0),
    Shape("SET", (100, 1000), 1),
    Shape("RPUSH", (2, 30), 1),
    Shape("SET", (8, 20), 0),
    Shape("SADD", (2, 10), 0.5),
    Shape("SET", (200, 3000), 1),
    Shape("ZADD", (2, 20), 0),
    Shape("SET", (60, 60), 1),
    Shape("HSET", (5, 50), 1),
    Shape("SET", (30, 1500), 0.5),
    Shape("SET", (20, 20), 1),
    Shape("RPUSH", (5, 40), 0),
    Shape("SET", (500, 1500), 1),
    Shape("SET", (100, 100), 0.1),
    Shape("SADD", (3, 30), 1),
    Shape("SET", (10, 1000), 0),
    Shape("HSET", (2, 6), 1),
    Shape("SET", (500, 5000), 0.5),
    Shape("ZADD", (5, 50), 1),
    Shape("SET", (50, 500), 0),
    Shape("SET", (300, 300), 1),
    Shape("RPUSH", (1, 20), 0.5),
)
# The server writes them itself, a batch a call, and tells how many bytes they take.
_FILL = """
local prefix, command, volatile = ARGV[1], ARGV[4], tonumber(ARGV[7])
local low, high, bytes = tonumber(ARGV[5]), tonumber(ARGV[6]), 0
local paired, elements = command == 'HSET' or command == 'ZADD', {}
for n = 1, command ~= 'SET' and high or 0 do
  if paired then elements[#elements + 1] = n end
  elements[#elements + 1] = 'an element, number ' .. n
end
math.randomseed(ARGV[2])
for i = ARGV[2], ARGV[3] do
  local key, size = prefix .. i, math.floor(low * (high / low) ^ math.random())
  if command == 'SET' then
    redis.call('SET', key, string.rep('v', size))
  else
    redis.call(command, key, unpack(elements, 1, paired and 2 * size or size))
  end
  if math.random() < volatile then
    redis.call('EXPIRE', key, math.random(tonumber(ARGV[8]), tonumber(ARGV[9])))
  end
  bytes = bytes + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 5)
end
return bytes
"""
# A table that has just grown moves to its new place a little at each look.
_SETTLE = "for i = 1, ARGV[1] do redis.call('EXISTS', ARGV[2]) end"
_FILL_BATCH = 2000
_SETTLE_BATCH = 100_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What one namespace really holds."""

    keys: int = 0
    bytes: int = 0


class Keyspace:
    """Keys ``bench:n0:0`` and so on, in 25 namespaces of unequal size (Zipf's law), of several types, some with a TTL.

    ``truth`` is what each namespace has, by the server's own MEMORY USAGE when the keys were written.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.truth = {f"n{i}": Usage() for i in range(len(SHAPES))}
        self._client = client

    @property
    def total(self) -> Usage:
        """All namespaces together."""
        return Usage(sum(u.keys for u in self.truth.values()), sum(u.bytes for u in self.truth.values()))

    def grow(self, keys: int) -> None:
        """Add keys until there are so many, in the same proportions."""
        weights = [1 / (i + 1) for i in range(len(SHAPES))]
        counts = [int(keys * weight / sum(weights)) for weight in weights]
        counts[0] += keys - sum(counts)
        for (name, usage), shape, count in zip(self.truth.items(), SHAPES, counts, strict=True):
            self.truth[name] = self._fill(name, shape, usage, count)
        for _ in range(0, keys, _SETTLE_BATCH):
            self._client.eval(_SETTLE, 0, str(_SETTLE_BATCH), "bench:n0:0")

    def _fill(self, name: str, shape: Shape, usage: Usage, count: int) -> Usage:
        added = 0
        for first in range(usage.keys, count, _FILL_BATCH):
            last = min(count, first + _FILL_BATCH) - 1
            numbers = (shape.command, *shape.size, shape.volatile, *TTL_S)
            arguments = (f"bench:{name}:", first, last, *numbers)
            added += cast("int", self._client.eval(_FILL, 0, *map(str, arguments)))
        return Usage(count, usage.bytes + added)
