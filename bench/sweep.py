"""A million keys: the longest that one call keeps the server busy, beside another library that does the same job."""

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import redis

from bench.actors import Actor, all_ready, read_keys, write_messages
from bench.goals import Report, number, table
from bench.governing import ROOT, clean_environment, governed, spillgate
from bench.options import Options
from tests.servers import Server, ServerKind

_KEYS = 1_000_000
_CLEARED_KEYS = 262_277
_NAMESPACES = 25
_VALUE_BYTES = 60
_LEFT_KEYS = _KEYS - _CLEARED_KEYS
_SLOW_US = 100
_FLOOD_S = 5.0
_FLOOD_PER_S = 8000
# The flood starts with the server as full as this.
_FLOOD_FROM = 0.84
_LIMIT_S = 120.0
_DJANGO_REDIS = """
import sys
from django.conf import settings
cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": sys.argv[1]}
settings.configure(CACHES={"default": cache | {"KEY_FUNCTION": lambda key, prefix, version: key}})
from django.core.cache import cache
cache.delete_pattern("bench:n0:*", itersize=5000)
"""
# The server writes them itself, a batch a call.
_SEED = """
local value = string.rep('v', tonumber(ARGV[4]))
for i = ARGV[2], ARGV[3] do redis.call('SET', ARGV[1] .. i, value, 'EX', 3600) end
"""
_SEED_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one way of clearing did. ``left`` is how many keys are there after it."""

    kind: str
    who: str
    seconds: float
    left: int
    worst_call_s: float
    reader_p99_s: float
    reader_worst_s: float
    refused: int = 0


def run(options: Options) -> Report:
    """Clear a namespace on each kind of server, print what that took, and judge it."""
    report = Report("sweep")
    for kind in options.kinds_of(report, *ServerKind):
        sweeps = list(_sweeps(kind, options))
        print(f"\n{kind}, {_CLEARED_KEYS:,} of {_KEYS:,} keys cleared\n\n{_as_table(sweeps)}", flush=True)
        report.numbers += [asdict(sweep) for sweep in sweeps]
        ours = [sweep for sweep in sweeps if sweep.who == "spillgate cleanup"]
        flooded = [sweep for sweep in sweeps if sweep.who == "spillgate run, flooded"]
        report.judge(f"{kind}: worst call while clearing", [s.worst_call_s * 1e3 for s in ours], 5, " ms", typical=True)
        report.judge(f"{kind}: keys lost or left behind", [abs(s.left - _LEFT_KEYS) for s in ours], 0)
        calls = [s.worst_call_s * 1e3 for s in flooded]
        report.judge(f"{kind}: worst call in a flood at 8,000/s", calls, 5, " ms", typical=True)
        report.judge(f"{kind}: writes refused in that flood", [s.refused for s in flooded], 0)
    return report


def _sweeps(kind: ServerKind, options: Options) -> Iterator[Sweep]:
    with Server(kind) as server, tempfile.TemporaryDirectory(prefix="spillgate-") as folder:
        client = server.client(socket_timeout=_LIMIT_S)
        client.config_set("slowlog-log-slower-than", _SLOW_US)
        client.config_set("slowlog-max-len", 100_000)
        policy = Path(folder) / "spillgate.toml"
        policy.write_text("\n".join(_policy()))
        for i in range(1, _NAMESPACES):
            _fill(client, f"bench:n{i}:", _share(i))
        for _ in range(options.repetitions):
            command = spillgate("cleanup", "n0", "--yes", "--config", str(policy), "--url", server.url)
            yield _clear(server, client, "spillgate cleanup", command)
        if not options.quick and _has_django_redis():
            django_redis = [sys.executable, "-c", _DJANGO_REDIS, server.url]
            yield _clear(server, client, "django-redis, itersize 5000", django_redis)
        yield _flooded(server, client, policy)


def _has_django_redis() -> bool:
    if importlib.util.find_spec("django_redis"):
        return True
    print("left out: django-redis is not installed")
    return False


def _policy() -> Iterator[str]:
    yield '[server]\nlimit = "1GB"'
    for i in range(_NAMESPACES):
        yield f'[[namespace]]\nname = "n{i}"\nkeys = "bench:n{i}:*"\nttl = "1h"\ncleanup = "clear"\npriority = {i}'
    yield '[[namespace]]\nname = "messages"\nkeys = "ceo-platform:messages:*"'
    yield 'ttl = "30m"\ncleanup = "trim"\npriority = 0'


def _share(index: int) -> int:
    """Keys of one of the other namespaces."""
    count, rest = divmod(_LEFT_KEYS, _NAMESPACES - 1)
    return count + (index <= rest)


def _fill(client: redis.Redis, prefix: str, count: int) -> None:
    for first in range(0, count, _SEED_BATCH):
        last = min(count, first + _SEED_BATCH) - 1
        client.eval(_SEED, 0, prefix, str(first), str(last), str(_VALUE_BYTES))


def _clear(server: Server, client: redis.Redis, who: str, command: Sequence[str]) -> Sweep:
    """Have a namespace of 262,277 keys cleared by a process while another reads."""
    _fill(client, "bench:n0:", _CLEARED_KEYS)
    client.slowlog_reset()
    reader = Actor(read_keys, server.port, "bench:n1:{}", _share(1))
    with all_ready(reader):
        started_s = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        ended_s = time.monotonic()
        reads = sorted(reader.result(stop=True).since(started_s, ended_s))
    left = client.dbsize()
    if left == _KEYS:
        raise RuntimeError(f"{who} cleared nothing: {done.stderr}")
    return Sweep(
        str(server.kind), who, ended_s - started_s, left, worst_call_s(client), reads[int(len(reads) * 0.99)], reads[-1]
    )


def _flooded(server: Server, client: redis.Redis, policy: Path) -> Sweep:
    """Have the governor hold a limit in a flood, with all those keys to look through."""
    used = cast("dict[str, int]", client.info("memory"))["used_memory"]
    limit = int(used / _FLOOD_FROM)
    client.config_set("maxmemory", limit)
    policy.write_text(policy.read_text().replace('limit = "1GB"', f'limit = "{limit}B"'))
    with governed(client, server.url, policy):
        client.slowlog_reset()
        reader = Actor(read_keys, server.port, f"bench:n{_NAMESPACES - 1}:{{}}", _share(_NAMESPACES - 1))
        writer = Actor(write_messages, server.port, _FLOOD_S, _FLOOD_PER_S, "w0")
        with all_ready(reader, writer):
            written = writer.result()
            reads = sorted(reader.result(stop=True).since(written.started_s, written.ended_s))
    left = client.dbsize()
    worst = worst_call_s(client)
    p99 = reads[int(len(reads) * 0.99)]
    return Sweep(str(server.kind), "spillgate run, flooded", _FLOOD_S, left, worst, p99, reads[-1], written.refused)


def worst_call_s(client: redis.Redis) -> float:
    """The longest that one command other than ours has kept the server busy."""
    slow = client.slowlog_get(100_000)
    theirs = [call["duration"] for call in slow if not call["command"].startswith((b"GET ", b"SET ", b"SLOWLOG"))]
    return max(theirs, default=0) / 1e6


def _as_table(sweeps: Sequence[Sweep]) -> str:
    heads = ("", "seconds", "keys left", "worst call ms", "GET p99 ms", "worst ms", "refused")
    rows: list[tuple[str, ...]] = []
    for sweep in sweeps:
        times = (sweep.worst_call_s, sweep.reader_p99_s, sweep.reader_worst_s)
        millis = [number(seconds * 1e3) for seconds in times]
        rows.append((sweep.who, number(sweep.seconds), f"{sweep.left:,}", *millis, f"{sweep.refused:,}"))
    return table(heads, rows)
