"""How calls fare where the server is dead, frozen, late, or dripping, and where many want what is not there yet."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from bench.actors import Actor
from bench.goals import number, table
from bench.slow_proxy import relay
from bench.stampede import PROCESSES, THREADS, Herd, stampedes
from bench.stores import policy_for
from bench.throughput import SMALL, Trial
from spillgate import Cache
from tests.servers import Server, free_port

_DEAD_CALLS = 1_000
_SLOW_CALLS = 12
_LATE_S = 2.0
_DRIP_S = 0.02
# What the system may take to wake a process whose time is over: two cores serve everything here.
_SLACK_S = 0.05
Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Calls:
    """The seconds of one kind of call, in the order they were made."""

    server: str
    call: str
    seconds: list[float]


def measure_down(trial: Trial) -> None:
    """A thousand calls of each kind after the server was killed."""
    told: list[Calls] = []
    for _ in range(trial.repetitions):
        for name in _CALLS:
            with Server(trial.kind) as server, Cache(policy_for(server.url)) as cache:
                call = _warm(cache, name)
                server.kill()
                told.append(Calls("killed", name, _timed(call, _DEAD_CALLS)))
    _show(trial, told)
    for name in _CALLS:
        last = [one.seconds[-1] * 1e3 for one in told if one.call == name]
        trial.report.judge(f"{trial.kind}: {_DEAD_CALLS:,}th {name} of a dead server", last, 1, " ms", typical=True)


def measure_slow(trial: Trial) -> None:
    """Some calls of each kind to a server that is frozen, or answers two seconds late, or byte by byte."""
    told: list[Calls] = []
    limit_s = 0.0
    for _ in range(trial.repetitions):
        for name in _CALLS:
            with Server(trial.kind) as server, Cache(policy_for(server.url)) as cache:
                limit_s = cache.policy.cache.timeout_s
                call = _warm(cache, name)
                server.freeze()
                told.append(Calls("frozen", name, _timed(call, _SLOW_CALLS)))
                server.thaw()
        told += _relayed(trial, "late", _LATE_S, None)
        told += _relayed(trial, "dripping", 0.0, _DRIP_S)
    _show(trial, told)
    for name in _CALLS:
        worst = [max(one.seconds) * 1e3 for one in told if one.call == name]
        goal = f"{trial.kind}: longest {name} of a slow server, limit {limit_s * 1e3:.0f} ms"
        trial.report.judge(goal, worst, (limit_s + _SLACK_S) * 1e3, " ms")


def measure_stampede(trial: Trial) -> None:
    """A hundred callers of one cold key in four processes, as threads and as tasks."""
    herds: list[Herd] = []
    for how in ("threads", "tasks"):
        for _ in range(trial.repetitions):
            herds += stampedes(trial.kind, how)
    trial.report.numbers += [asdict(herd) for herd in herds]
    rows: list[tuple[str, ...]] = []
    for how in ("threads", "tasks"):
        own = [herd for herd in herds if herd.how == how]
        slowest = f"{statistics.median(herd.slowest_s for herd in own) * 1e3:.0f}"
        rows.append((how, f"{len(own)}", f"{max(herd.runs for herd in own)}", slowest))
        name = f"{trial.kind}: runs for {PROCESSES * THREADS} callers of a cold key, {PROCESSES} processes, {how}"
        trial.report.judge(name, [herd.runs for herd in own], 1)
    heads = ("", "cold keys", "most runs for one", "slowest caller ms")
    print(f"\n{trial.kind}: callers of a cold key, computed in 100 ms\n\n{table(heads, rows)}", flush=True)


def _relayed(trial: Trial, how: str, delay_s: float, drip_s: float | None) -> Iterator[Calls]:
    for name, prepare in _CALLS.items():
        with Server(trial.kind) as server, ExitStack() as stack:
            port = free_port()
            actor = stack.enter_context(Actor(relay, server.port, port, delay_s, drip_s))
            actor.go()
            cache = stack.enter_context(Cache(policy_for(f"redis://127.0.0.1:{port}/0")))
            yield Calls(how, name, _timed(prepare(cache), _SLOW_CALLS))


def _warm(cache: Cache, name: str) -> Call:
    call = _CALLS[name](cache)
    call()
    return call


def _timed(call: Call, times: int) -> list[float]:
    seconds: list[float] = []
    for _ in range(times):
        started_s = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started_s)
    return seconds


def _cached(cache: Cache) -> Call:
    @cache.namespace("values", type=dict[str, Any]).cached("user:{number}")
    def load(number: int) -> dict[str, Any]:
        return SMALL[number]

    return lambda: load(7)


def _get(cache: Cache) -> Call:
    values = cache.namespace("values")
    return lambda: values.get("7")


def _set(cache: Cache) -> Call:
    values = cache.namespace("values")
    return lambda: values.set("7", SMALL[7])


def _get_many(cache: Cache) -> Call:
    values, keys = cache.namespace("values"), [str(number) for number in range(len(SMALL))]
    return lambda: values.get_many(keys)


def _set_many(cache: Cache) -> Call:
    values, pairs = cache.namespace("values"), {str(number): value for number, value in enumerate(SMALL)}
    return lambda: values.set_many(pairs)


_CALLS: dict[str, Callable[[Cache], Call]] = {
    "get": _get,
    "set": _set,
    "get_many": _get_many,
    "set_many": _set_many,
    "cached": _cached,
}


def _show(trial: Trial, told: Sequence[Calls]) -> None:
    rows: list[tuple[str, ...]] = []
    for server, call in dict.fromkeys((one.server, one.call) for one in told):
        own = [one.seconds for one in told if (one.server, one.call) == (server, call)]
        figures = {
            "first_s": statistics.median(seconds[0] for seconds in own),
            "last_s": statistics.median(seconds[-1] for seconds in own),
            "longest_s": max(map(max, own)),
            "all_s": statistics.median(map(sum, own)),
        }
        rows.append((f"{server}, {call}", f"{len(own[0]):,}", *(number(one * 1e3) for one in figures.values())))
        trial.report.numbers.append({"kind": str(trial.kind), "server": server, "call": call, **figures})
    heads = ("", "calls", "first ms", "last ms", "longest ms", "all ms")
    print(f"\n{trial.kind}: calls of a server that is of no use\n\n{table(heads, rows)}", flush=True)
