"""The web surfaces: health documents at a thousand a second, also while the server hangs; ten pages that look on."""

import asyncio
import statistics
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

import psutil

from bench.actors import Actor, Cue, write_messages
from bench.goals import Report, number, table
from bench.governing import cpu_and_wait_s
from bench.options import Options
from spillgate.units import format_share
from tests.programs import GOVERNED, HEALTH, Running, commands_of, running, stock
from tests.servers import Server, ServerKind, eventually

_SECONDS = 10.0
_PER_S = 1000
_CONNECTIONS = 32
_PAGES = 10
_MESSAGES_PER_S = 200
_MB = 1 << 20


class Load(NamedTuple):
    """Answers to health requests: seconds from when each was due to its last byte, and those that were not 200."""

    latencies_s: list[float]
    others: int


def run(options: Options) -> Report:
    """Ask, look on, and judge."""
    report = Report("web")
    for kind in options.kinds_of(report, ServerKind.VALKEY_9_1):
        if options.wants("health"):
            _health(report, kind, options.repetitions)
        if options.wants("pages"):
            _pages(report, kind, options.repetitions)
    return report


@contextmanager
def _serving(kind: ServerKind, **variables: str) -> Generator[tuple[Server, Running]]:
    with Server(kind, maxmemory="25mb", maxmemory_policy="noeviction") as server:
        stock(server)
        with running(*GOVERNED, server=server, **variables) as governor:
            governor.becomes("healthy")
            yield server, governor


def _health(report: Report, kind: ServerKind, repetitions: int) -> None:
    rows: list[tuple[str, ...]] = []
    measured: dict[str, list[float]] = {}
    for _ in range(repetitions):
        with _serving(kind, SPILLGATE_MONITOR_INTERVAL="1s", SPILLGATE_SERVER_TIMEOUT="2s") as (server, governor):
            for scene in ("at rest", "server hangs"):
                if scene == "server hangs":
                    server.freeze()
                    eventually(lambda: governor.get().code == 503, 30)
                with Actor(ask, governor.base_url) as client:
                    client.go()
                    cpu_before, _ = cpu_and_wait_s(governor.process.pid)
                    load = client.result(within_s=_SECONDS + 20)
                    cpu_s = cpu_and_wait_s(governor.process.pid)[0] - cpu_before
                p50, p99 = (1000 * _quantile(load.latencies_s, share) for share in (0.5, 0.99))
                rate = len(load.latencies_s) / _SECONDS
                cells = (f"{p50:.2f}", f"{p99:.2f}", f"{1000 * max(load.latencies_s):.1f}")
                rows.append((scene, number(round(rate)), *cells, format_share(cpu_s / _SECONDS), str(load.others)))
                measured.setdefault(scene, []).append(p99)
                report.numbers.append({"scene": scene, "per_s": rate, "p50_ms": p50, "p99_ms": p99, "cpu_s": cpu_s})
    heads = (f"{HEALTH}, {kind}", "answers/s", "p50 ms", "p99 ms", "worst ms", "of a core", "not 200")
    print("\n" + table(heads, rows), flush=True)
    for scene, values in measured.items():
        report.judge(f"web: p99 at {_PER_S}/s, {scene}", values, 20, " ms", typical=True)


def _pages(report: Report, kind: ServerKind, repetitions: int) -> None:
    rows: list[tuple[str, ...]] = []
    shares: list[float] = []
    further: list[float] = []
    for _ in range(repetitions):
        with _serving(kind, SPILLGATE_MONITOR_INTERVAL="1s", SPILLGATE_MONITOR_CHECKUP="0s") as (server, governor):
            alone = _watched(server, governor, 0)
            watched = _watched(server, governor, _PAGES)
            resident = psutil.Process(governor.process.pid).memory_info().rss / _MB
        shares.append(100 * (watched[0] - alone[0]))
        further.append(watched[1] - alone[1])
        rows.append(
            (
                *(format_share(cpu) for cpu, _ in (alone, watched)),
                *(f"{commands:.1f}" for _, commands in (alone, watched)),
                f"{resident:.0f}",
            )
        )
        report.numbers.append({"alone": alone, "watched": watched})
    heads = ("of a core alone", f"{_PAGES} pages", "commands/s alone", f"{_PAGES} pages", "RSS MB")
    print("\n" + table(heads, rows, left=0), flush=True)
    report.judge(f"web: CPU of {_PAGES} pages", shares, 2, " % of a core", typical=True)
    # The number of looks in a span differs by one now and then.
    report.judge(f"web: further commands a second of {_PAGES} pages", further, 0.3, typical=True)


def _watched(server: Server, governor: Running, pages: int) -> tuple[float, float]:
    """Share of a core and commands a second while messages come in and so many pages look on."""
    client = server.client()
    with (
        Actor(listen, governor.base_url, pages) as page,
        Actor(write_messages, server.port, _SECONDS + 3, _MESSAGES_PER_S, "web") as writer,
    ):
        page.go()
        writer.go()
        time.sleep(1.0)
        before, sent, began_s = cpu_and_wait_s(governor.process.pid)[0], commands_of(client), time.monotonic()
        time.sleep(_SECONDS)
        cpu_s = cpu_and_wait_s(governor.process.pid)[0] - before
        seconds, after = time.monotonic() - began_s, commands_of(client)
        page.result(stop=True)
        writer.result()
    # Every look of the governor calls scripts, which call other commands in numbers that differ.
    calls = sum(after.get(name, 0) - sent.get(name, 0) for name in ("cmdstat_evalsha", "cmdstat_eval"))
    return cpu_s / seconds, calls / seconds


def ask(cue: Cue, base_url: str) -> Load:
    """Ask for the health document a thousand times a second, over connections that are kept."""
    host, _, port = base_url.removeprefix("http://").partition(":")
    return asyncio.run(_ask(cue, host, int(port)))


async def _ask(cue: Cue, host: str, port: int) -> Load:
    request = f"GET {HEALTH} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    streams = [await asyncio.open_connection(host, port) for _ in range(_CONNECTIONS)]
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for stream in streams:
        free.put_nowait(stream)
    load = Load([], 0)
    others = 0

    async def one(due_s: float) -> None:
        nonlocal others
        reader, writer = stream = await free.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
        load.latencies_s.append(time.monotonic() - due_s)
        others += not head.startswith(b"HTTP/1.1 200")
        free.put_nowait(stream)

    began_s = cue.await_go()
    async with asyncio.TaskGroup() as tasks:
        for number_ in range(round(_PER_S * _SECONDS)):
            due_s = began_s + number_ / _PER_S
            if (left := due_s - time.monotonic()) > 0:
                await asyncio.sleep(left)
            tasks.create_task(one(due_s))
    for _, writer in streams:
        writer.close()
    return Load(load.latencies_s, others)


def listen(cue: Cue, base_url: str, pages: int) -> int:
    """Be so many pages that listen to events; the bytes received."""
    host, _, port = base_url.removeprefix("http://").partition(":")
    return asyncio.run(_listen(cue, host, int(port), pages))


async def _listen(cue: Cue, host: str, port: int, pages: int) -> int:
    received = 0

    async def one() -> None:
        nonlocal received
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET /api/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        while data := await reader.read(65536):
            received += len(data)

    cue.await_go()
    tasks = [asyncio.create_task(one()) for _ in range(pages)]
    await asyncio.to_thread(cue.stop.wait)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return received


def _quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]
