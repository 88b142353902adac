"""A 25 MB server in a flood: what is lost, refused, evicted, and how readers fare, with Spillgate and without."""

import contextlib
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import redis

from bench.actors import Actor, Series, Written, all_ready, read_keys, watch_memory, write_messages
from bench.data import GROUPS, SESSION, seed
from bench.goals import Report, number, table
from bench.governing import REFERENCE_POLICY, cpu_and_wait_s, governed
from bench.options import Options
from bench.tasks import TaskQueue, TaskRuns
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
    """One kind of flood. Without ``writers`` the flood is redis-benchmark's, at the server's own full speed.

    ``least_per_s`` is what it has to write to be the flood it claims to be. ``stock`` are the eviction policies under
    which the server is flooded alone, for comparison.
    """

    name: str
    title: str
    seconds: float
    writers: int = 1
    per_s: int | None = None
    least_per_s: int | None = None
    eviction_policy: str = "noeviction"
    stock: tuple[str, ...] = ("noeviction",)
    celery: bool = False


SCENARIOS = (
    Scenario("8000", "messages at 8,000/s", 8.0, per_s=8000, least_per_s=7900, stock=STOCK_POLICIES),
    Scenario("pipeline", "one pipelining client at full speed", 3.0, least_per_s=50_000),
    Scenario(
        "benchmark", "the server's own full speed (redis-benchmark -c 50 -P 16)", 3.0, writers=0, least_per_s=150_000
    ),
    Scenario("celery", "messages at 8,000/s, a Celery worker beside", 8.0, per_s=8000, stock=(), celery=True),
    Scenario(
        "steering",
        "volatile-ttl, two pipelining clients at full speed",
        3.0,
        writers=2,
        eviction_policy="volatile-ttl",
        stock=("volatile-ttl",),
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One flood on one server. ``who`` is "spillgate", "alone", or "large" for a server that never fills.

    ``server_waited`` is the share of the time for which the server was ready to run and had no core: what other
    programs on the machine add to its calls and to the reader's times.
    """

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
    server_waited: float
    governor_cpu: float | None = None
    worst_call_s: float | None = None
    tasks: TaskRuns | None = None

    @property
    def lost_keys(self) -> int:
        """Keys of any group that are gone."""
        return sum(self.lost.values())


def run(options: Options) -> Report:
    """Run every scenario on every kind of server, print the rows, and judge them."""
    report = Report("flood")
    for kind in options.kinds_of(report, ServerKind.VALKEY_9_1, ServerKind.REDIS_7_0):
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
        if scenario.celery:
            return
        yield flood(kind, scenario, "large", scenario.eviction_policy)


def flood(kind: ServerKind, scenario: Scenario, who: str, eviction_policy: str) -> Row:
    """One flood on a fresh server."""
    maxmemory = _LARGE_BYTES if who == "large" else LIMIT_BYTES
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spillgate-")))
        server = stack.enter_context(Server(kind, maxmemory=maxmemory, maxmemory_policy=eviction_policy))
        client = server.client(socket_timeout=60.0)
        client.config_set("slowlog-log-slower-than", _SLOW_US)
        client.config_set("slowlog-max-len", 100_000)
        kept = seed(client)
        queue = stack.enter_context(TaskQueue(server.url, folder)) if scenario.celery else None
        policy = queue.policy if queue else REFERENCE_POLICY
        governor = stack.enter_context(governed(client, server.url, policy)) if who == "spillgate" else None
        run = _let_loose(server, client, scenario, queue, governor)
        return _row(server, client, scenario, run, who=who, eviction_policy=eviction_policy, lost=kept.lost(client))


@dataclass(frozen=True, slots=True)
class _Run:
    """What was seen of one flood; times are monotonic seconds."""

    written: Sequence[Written]
    used: Series
    reads: Series
    server_waited_s: float
    governor_cpu_s: float | None
    tasks: TaskRuns | None

    @property
    def started_s(self) -> float:
        return self.written[0].started_s

    @property
    def ended_s(self) -> float:
        return max(one.ended_s for one in self.written)


def _let_loose(
    server: Server, client: redis.Redis, scenario: Scenario, queue: TaskQueue | None, governor: int | None
) -> _Run:
    memory = Actor(watch_memory, server.port)
    reader = Actor(read_keys, server.port, SESSION.key, SESSION.count)
    writers = [
        Actor(write_messages, server.port, scenario.seconds, scenario.per_s, f"w{i}") for i in range(scenario.writers)
    ]
    producers = [queue.producer(scenario.seconds)] if queue else []
    with all_ready(memory, reader, *writers, *producers):
        cpu_before = cpu_and_wait_s(governor)[0] if governor else 0.0
        waited_before = cpu_and_wait_s(server.pid)[1]
        written = [writer.result() for writer in writers] or [_redis_benchmark(client, server.port, scenario.seconds)]
        return _Run(
            written,
            server_waited_s=cpu_and_wait_s(server.pid)[1] - waited_before,
            governor_cpu_s=cpu_and_wait_s(governor)[0] - cpu_before if governor else None,
            used=memory.result(stop=True),
            reads=reader.result(stop=True),
            tasks=queue.runs(producers[0].result()) if queue else None,
        )


def _row(
    server: Server,
    client: redis.Redis,
    scenario: Scenario,
    run: _Run,
    *,
    who: str,
    eviction_policy: str,
    lost: dict[str, int],
) -> Row:
    info = client.info("all")
    seconds = run.ended_s - run.started_s
    writes = sum(one.writes for one in run.written) or _sets(info) - sum(group.count for group in GROUPS)
    oom = cast("dict[str, int]", info.get("errorstat_OOM", {"count": 0}))["count"]
    cleaning_s = _first_above(run.used, _CLEANUP_BYTES, run.started_s)
    latencies = sorted(run.reads.since(cleaning_s, run.ended_s)) or [0.0]
    return Row(
        str(server.kind),
        scenario.name,
        who,
        eviction_policy,
        writes=writes,
        writes_per_s=writes / seconds,
        refused=max(oom, sum(one.refused for one in run.written)),
        evicted=int(info["evicted_keys"]),
        lost=lost,
        peak_bytes=int(max(info["used_memory_peak"], *run.used.values)),
        mean_bytes=statistics.fmean(run.used.since(run.started_s, run.ended_s)),
        reader_p99_s=latencies[int(len(latencies) * 0.99)],
        reader_worst_s=latencies[-1],
        server_waited=run.server_waited_s / seconds,
        governor_cpu=None if run.governor_cpu_s is None else run.governor_cpu_s / seconds,
        worst_call_s=None if run.governor_cpu_s is None else worst_call_s(client),
        tasks=run.tasks,
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


def _sets(info: dict[str, Any]) -> int:
    stats = cast("dict[str, int]", info["cmdstat_set"])
    return stats["calls"] + stats.get("rejected_calls", 0)


def _first_above(used: Series, bytes_used: float, otherwise: float) -> float:
    above = (at_s for at_s, value in zip(used.at_s, used.values, strict=True) if value >= bytes_used)
    return next(above, otherwise)


def worst_call_s(client: redis.Redis) -> float:
    """The longest that a script of the governor has kept the server busy, 0 where none took long enough to be noted."""
    slow = client.slowlog_get(100_000)
    scripts = (call["duration"] for call in slow if call["command"].upper().startswith((b"EVAL", b"FCALL")))
    return max(scripts, default=0) / 1e6


def _as_table(rows: Sequence[Row]) -> str:
    heads = (
        *("", "policy", "writes", "per s", "refused", "evicted"),
        *("lost: sessions", "tasks", "channels", "users", "app keys"),
        *("peak MB", "mean MB", "GET p99 ms", "worst ms", "server waits", "governor", "its worst call"),
    )
    return table(heads, [_cells(row) for row in rows], left=2)


def _cells(row: Row) -> tuple[str, ...]:
    who = {"spillgate": "with Spillgate", "alone": "server alone", "large": "(never full)"}[row.who]
    counts = (row.writes, round(row.writes_per_s), row.refused, row.evicted, *row.lost.values())
    sizes = (row.peak_bytes / MB, row.mean_bytes / MB, row.reader_p99_s * 1e3, row.reader_worst_s * 1e3)
    cpu = "" if row.governor_cpu is None else f"{row.governor_cpu:.0%} cpu"
    worst = "" if row.worst_call_s is None else f"{row.worst_call_s * 1e3:.1f} ms"
    waits = f"{row.server_waited:.0%}"
    return (who, row.eviction_policy, *(f"{n:,}" for n in counts), *(number(n) for n in sizes), waits, cpu, worst)


def _judge(report: Report, kind: ServerKind, scenario: Scenario, rows: Sequence[Row]) -> None:
    ours = [row for row in rows if row.who == "spillgate"]
    large = [row for row in rows if row.who == "large"]
    at = f"{kind} {scenario.name}:"
    judge_rate(report, at, scenario, [row.writes_per_s for row in ours], [row.writes_per_s for row in large])
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
    if scenario.celery:
        runs = [row.tasks for row in ours if row.tasks]
        report.judge(f"{at} tasks queued that did not run", [one.never for one in runs], 0)
        report.judge(f"{at} tasks that ran more than once", [one.again for one in runs], 0)
        report.judge(f"{at} tasks that could not be queued", [one.refused for one in runs], 0)
        return
    ratios = [one.reader_p99_s / other.reader_p99_s for one, other in zip(ours, large, strict=True)]
    report.judge(f"{at} reader's p99 beside the one without governor", ratios, 3, " times", typical=True)


def judge_rate(
    report: Report, at: str, scenario: Scenario, governed_per_s: Sequence[float], free_per_s: Sequence[float]
) -> None:
    """Hold the flood itself to its rate in every repetition: what withstands a slower one proves nothing.

    ``free_per_s`` was written without governor to a server that never fills, which is what the machine can do. At the
    server's own full speed only that is judged, as a script of the governor takes from the writers what it takes.
    """
    if scenario.least_per_s is None:
        return
    judged, who = (governed_per_s, "with Spillgate") if scenario.writers else (free_per_s, "never full")
    missed = min(judged, default=0) < scenario.least_per_s
    # The machine is to blame only where it misses the same bound without the governor.
    too_slow = missed and bool(free_per_s) and min(free_per_s) < scenario.least_per_s
    name = f"{at} writes, {who}{' (machine too slow)' if too_slow else ''}"
    report.judge(name, judged, scenario.least_per_s, "/s", at_least=True)
