"""What a governor costs that has nothing to do: commands, CPU and memory, at an interval of 30 seconds."""

import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import psutil
import redis

from bench.actors import Actor, Cue, all_ready, connected
from bench.data import seed
from bench.goals import Report, number, table
from bench.governing import cpu_and_wait_s, governed
from bench.options import Options
from tests.servers import Server, ServerKind

_INTERVAL_S = 30.0
_HOUR_S = 3600.0
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Cost:
    """What one governor did: commands sent when it started, scripts among them, and in ``seconds`` of idling then.

    ``processed`` is the server's own count for the same seconds, with what scripts call.
    """

    kind: str
    seconds: float
    starting: int
    scripts: int
    idling: int
    processed: int
    cpu_s: float
    resident_bytes: int

    @property
    def commands_per_hour(self) -> float:
        """Commands sent in an hour."""
        return self.idling * _HOUR_S / self.seconds

    @property
    def core_percent(self) -> float:
        """Share of one core while idling."""
        return 100 * self.cpu_s / self.seconds


def run(options: Options) -> Report:
    """Let governors idle on each kind of server, print what that cost, and judge it."""
    report = Report("idle")
    spans = 1 if options.quick else 2
    costs = [idle(kind, spans * _INTERVAL_S) for kind in options.kinds_of(report, ServerKind.VALKEY_9_1)]
    heads = (
        "",
        "seconds",
        "sent at start",
        "scripts",
        "sent idling",
        "an hour",
        "processed",
        "cpu s",
        "% of a core",
        "RSS MB",
    )
    print("\n" + table(heads, [_cells(cost) for cost in costs]), flush=True)
    report.numbers += [asdict(cost) for cost in costs]
    report.judge("idle: commands an hour", [cost.commands_per_hour for cost in costs], 400)
    report.judge("idle: CPU", [cost.core_percent for cost in costs], 0.2, " % of a core")
    report.judge("idle: resident memory", [cost.resident_bytes / _MB for cost in costs], 60, " MB")
    return report


def idle(kind: ServerKind, seconds: float) -> Cost:
    """One governor on a server at rest, which holds the data of the flood benchmark."""
    with Server(kind, maxmemory="25mb", maxmemory_policy="noeviction") as server:
        client = server.client()
        seed(client)
        monitor = Actor(count_commands, server.port, str(client.client_info()["addr"]))
        with all_ready(monitor):
            with governed(client, server.url) as pid:
                started_s, (cpu_before, _) = time.time(), cpu_and_wait_s(pid)
                processed_before = _processed(client)
                time.sleep(seconds)
                processed = _processed(client) - processed_before - 1
                ended_s, (cpu_after, _) = time.time(), cpu_and_wait_s(pid)
                resident = psutil.Process(pid).memory_info().rss
            client.publish(_END, "")
            sent = monitor.result()
    starting = [command for at_s, command in sent if at_s < started_s]
    return Cost(
        str(kind),
        ended_s - started_s,
        starting=len(starting),
        scripts=sum(command.startswith("EVAL") for command in starting),
        idling=sum(started_s <= at_s < ended_s for at_s, _ in sent),
        processed=processed,
        cpu_s=cpu_after - cpu_before,
        resident_bytes=resident,
    )


_END = "bench:end"


def count_commands(cue: Cue, port: int, ours: str) -> list[tuple[float, str]]:
    """When each command came in (Unix seconds) and what it was, until the end is told.

    Not what scripts call, nor what the client with the address ``ours`` sends.
    """
    seen: list[tuple[float, str]] = []
    with connected(port, None) as client, client.monitor() as monitor:
        cue.await_go()
        while True:
            line = cast("dict[str, Any]", monitor.next_command())
            if _END in line["command"]:
                return seen
            if line["client_type"] != "lua" and f"{line['client_address']}:{line['client_port']}" != ours:
                seen.append((line["time"], line["command"][:20]))
    return seen


def _processed(client: redis.Redis) -> int:
    return client.info("stats")["total_commands_processed"]


def _cells(cost: Cost) -> tuple[str, ...]:
    counts = (cost.seconds, cost.starting, cost.scripts, cost.idling, cost.commands_per_hour, cost.processed)
    shares = (cost.cpu_s, cost.core_percent, cost.resident_bytes / _MB)
    return (cost.kind, *(number(round(n)) for n in counts), *(f"{n:.3f}" for n in shares))
