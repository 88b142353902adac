"""A 25 MB server in a flood: what is lost, refused, evicted, and how readers fare, with Spillgate and without."""

import contextlib
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import psutil
import redis

from bench.actors import Actor, Series, Written, all_ready, read_keys, watch_memory, write_messages
from bench.data import SESSION, Kept, seed
from bench.goals import Report, number, table
from bench.options import Options
from bench.spillgate_run import cpu_seconds, governed
from tests.servers import Server, ServerKind

MB = 1 << 20
LIMIT_BYTES = 25 * MB
CEILING_BYTES = 23 * MB
# Readers are compared from here on: the governor is at work, and the server without it is as full.
_CLEANUP_BYTES = LIMIT_BYTES * 0.8
# A server that the flood does not fill.
_LARGE_BYTES = 4 << 30
STOCK_POLICIES = ("noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-ttl")
# Calls on the server that are shorter than this are not looked at one by one.
_SLOW_US = 500


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of flood. Without ``writers`` the flood is redis-benchmark's, at the server's own full speed."""

    name: str
    title: str
    seconds: float
    writers: int = 1
    per_s: int | None = None
    eviction_policy: str = "noeviction"
    stock: tuple[str, ...] = ("noeviction",)


SCENARIOS = (
    Scenario("8000", "messages at 8,000/s", 8.0, per_s=8000, stock=STOCK_POLICIES),
    Scenario("pipeline", "one pipelining client at full speed", 4.0),
    Scenario("benchmark", "the server's own full speed (redis-benchmark -c 50 -P 16)", 4.0, writers=0),
    Scenario(
        "steering",
        "volatile-ttl, two pipelining clients at full speed",
        4.0,
        writers=2,
        eviction_policy="volatile-ttl",
        stock=("volatile-ttl",),
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One flood on one server. ``who`` is "spillgate", "alone", or "large" for a server that never fills."""

    kind: str
    scenario: str
    who: str
    eviction_policy: str
    writes: int
    writes_per_s: float
    refused: int
    evicted: int
    lost: dict[str, int]
    peak_bytes: int
    mean_bytes: float
    reader_p99_s: float
    reader_worst_s: float
    governor_cpu: float | None = None
    worst_call_s: float | None = None

    @property
    def lost_keys(self) -> int:
        """Keys of any group that are gone."""
        return sum(self.lost.values())


def run(options: Options) -> Report:
    """Run every scenario on every kind of server, print the rows, and judge them."""
    report = Report("flood")
    for kind in options.kinds_of(ServerKind.VALKEY_9_1, ServerKind.REDIS_7_0):
        for scenario in SCENARIOS:
            if not options.wants(scenario.name):
                continue
            rows = list(_rows(kind, scenario, options))
            print(f"\n{kind}, {scenario.title}, {scenario.seconds:.0f} s\n")
            print(_as_table(rows), flush=True)
            report.numbers += [asdict(row) for row in rows]
            _judge(report, kind, scenario, rows)
    return report


def _rows(kind: ServerKind, scenario: Scenario, options: Options) -> Iterator[Row]:
    if scenario.writers == 0 and not shutil.which("redis-benchmark"):
        print("redis-benchmark is not installed: it comes with the system package redis-tools")
        return
    for policy in scenario.stock if not options.quick else ():
        yield flood(kind, scenario, "alone", policy)
    for _ in range(options.repetitions):
        yield flood(kind, scenario, "spillgate", scenario.eviction_policy)
        yield flood(kind, scenario, "large", scenario.eviction_policy)


def flood(kind: ServerKind, scenario: Scenario, who: str, eviction_policy: str) -> Row:
    """One flood on a fresh server."""
    maxmemory = _LARGE_BYTES if who == "large" else LIMIT_BYTES
    with Server(kind, maxmemory=maxmemory, maxmemory_policy=eviction_policy) as server:
        client = server.client()
        client.config_set("slowlog-log-slower-than", _SLOW_US)
        client.config_set("slowlog-max-len", 100_000)
        kept = seed(client)
        with contextlib.ExitStack() as stack:
            governor = stack.enter_context(governed(client, server.url)) if who == "spillgate" else None
            return _measure(server, scenario, who, eviction_policy, client, kept, governor)


def _measure(
    server: Server,
    scenario: Scenario,
    who: str,
    eviction_policy: str,
    client: redis.Redis,
    kept: Kept,
    governor: psutil.Process | None,
) -> Row:
    memory, reader = Actor(watch_memory, server.port), Actor(read_keys, server.port, SESSION.key, SESSION.count)
    writers = [
        Actor(write_messages, server.port, scenario.seconds, scenario.per_s, f"w{i}") for i in range(scenario.writers)
    ]
    sets_before = _sets(client)
    cpu_before = cpu_seconds(governor) if governor else 0.0
    with all_ready(memory, reader, *writers):
        written = [writer.result() for writer in writers] or [_redis_benchmark(client, server.port, scenario.seconds)]
        cpu = cpu_seconds(governor) - cpu_before if governor else None
        used, reads = memory.result(stop=True), reader.result(stop=True)
    info = cast("dict[str, Any]", client.info("all"))
    started_s, ended_s = written[0].started_s, max(one.ended_s for one in written)
    writes = sum(one.writes for one in written) or _sets(client) - sets_before
    oom = cast("dict[str, int]", info.get("errorstat_OOM", {"count": 0}))["count"]
    latencies = sorted(reads.since(_first_above(used, _CLEANUP_BYTES, started_s), ended_s)) or [0.0]
    return Row(
        str(server.kind),
        scenario.name,
        who,
        eviction_policy,
        writes=writes,
        writes_per_s=writes / (ended_s - started_s),
        refused=max(oom, sum(one.refused for one in written)),
        evicted=int(info["evicted_keys"]),
        lost=kept.lost(client),
        peak_bytes=int(max(info["used_memory_peak"], *used.values)),
        mean_bytes=statistics.fmean(used.since(started_s, ended_s)),
        reader_p99_s=latencies[int(len(latencies) * 0.99)],
        reader_worst_s=latencies[-1],
        governor_cpu=None if cpu is None else cpu / (ended_s - started_s),
        worst_call_s=worst_call_s(client) if governor else None,
    )


def _redis_benchmark(client: redis.Redis, port: int, seconds: float) -> Written:
    """The server's own full speed. It ends at the first write that is refused; ``writes`` is left to the server."""
    command = ["redis-benchmark", "-p", str(port), "-c", "50", "-P", "16", "-q", "-n", "1000000000"]
    command += ["-r", "100000000000", "SET", "ceo-platform:messages:__rand_int__", "m" * 600]
    started_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return Written(0, 0, started_s, time.monotonic())
    finally:
        process.kill()
        process.wait()
        client.ping()


def _sets(client: redis.Redis) -> int:
    stats = cast("dict[str, dict[str, int]]", client.info("commandstats")).get("cmdstat_set", {})
    return stats.get("calls", 0) + stats.get("rejected_calls", 0)


def _first_above(used: Series, bytes_used: float, otherwise: float) -> float:
    above = (at_s for at_s, value in zip(used.at_s, used.values, strict=True) if value >= bytes_used)
    return next(above, otherwise)


def worst_call_s(client: redis.Redis) -> float:
    """The longest that one script of the governor has kept the server busy, 0 where none took long enough to be noted."""
    slow = cast("list[dict[str, Any]]", client.slowlog_get(100_000))
    scripts = (call["duration"] for call in slow if call["command"].upper().startswith((b"EVAL", b"FCALL")))
    return max(scripts, default=0) / 1e6


def _as_table(rows: Sequence[Row]) -> str:
    heads = ("", "policy", "writes", "per s", "refused", "evicted", "lost: sessions", "tasks", "channels", "users",
             "app keys", "peak MB", "mean MB", "GET p99 ms", "worst ms", "governor", "its worst call")  # fmt: skip
    return table(heads, [_cells(row) for row in rows], left=2)


def _cells(row: Row) -> tuple[str, ...]:
    who = {"spillgate": "with Spillgate", "alone": "server alone", "large": "(never full)"}[row.who]
    counts = (row.writes, round(row.writes_per_s), row.refused, row.evicted, *row.lost.values())
    sizes = (row.peak_bytes / MB, row.mean_bytes / MB, row.reader_p99_s * 1e3, row.reader_worst_s * 1e3)
    cpu = "" if row.governor_cpu is None else f"{row.governor_cpu:.0%} cpu"
    worst = "" if row.worst_call_s is None else f"{row.worst_call_s * 1e3:.1f} ms"
    return (who, row.eviction_policy, *(f"{n:,}" for n in counts), *(number(n) for n in sizes), cpu, worst)


def _judge(report: Report, kind: ServerKind, scenario: Scenario, rows: Sequence[Row]) -> None:
    ours = [row for row in rows if row.who == "spillgate"]
    large = [row for row in rows if row.who == "large"]
    at = f"{kind} {scenario.name}:"
    protected = [row.lost_keys - row.lost["app keys"] for row in ours]
    report.judge(f"{at} sessions, tasks, channels, users lost", protected, 0)
    report.judge(f"{at} application keys of no namespace lost", [row.lost["app keys"] for row in ours], 0)
    report.judge(f"{at} writes refused", [row.refused for row in ours], 0)
    if scenario.name != "benchmark":
        report.judge(f"{at} evictions by the server", [row.evicted for row in ours], 0)
    if scenario.name == "8000":
        report.judge(f"{at} peak", [row.peak_bytes / MB for row in ours], CEILING_BYTES / MB, " MB")
        mean = [100 * row.mean_bytes / LIMIT_BYTES for row in ours]
        report.judge(f"{at} mean memory, of the limit", mean, 65, " %", at_least=True)
    if scenario.name == "pipeline":
        report.judge(f"{at} peak", [row.peak_bytes / MB for row in ours], LIMIT_BYTES / MB, " MB")
    ratios = [one.reader_p99_s / other.reader_p99_s for one, other in zip(ours, large, strict=True)]
    report.judge(f"{at} reader's p99 beside the one without governor", ratios, 3, " times", typical=True)
