"""A herd of callers: many at once, in several processes, want one value that has to be computed."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import redis

from bench.actors import Actor, Cue, connected
from bench.stores import policy_for
from spillgate import AsyncCache, Cache
from tests.servers import Server, ServerKind

PROCESSES = 4
THREADS = 25
_KEYS = 3
_COMPUTE_S = 0.1
_APART_S = 0.4
_HEAD_START_S = 0.3
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Herd:
    """How often the value of one key was computed, and how long the slowest caller waited for it."""

    kind: str
    how: str
    runs: int
    slowest_s: float


def stampedes(kind: ServerKind, how: str) -> Iterator[Herd]:
    """All callers at once, for one cold key after the other; ``how`` is "threads" or "tasks"."""
    act = with_threads if how == "threads" else with_tasks
    with Server(kind) as server, ExitStack() as stack:
        actors = [stack.enter_context(Actor(act, server.port)) for _ in range(PROCESSES)]
        client = server.client()
        for actor in actors:
            actor.go()
        client.set("start", repr(time.monotonic() + _HEAD_START_S))
        slowest = zip(*(actor.result() for actor in actors), strict=True)
        for key, seconds in enumerate(slowest):
            yield Herd(str(kind), how, int(client.get(f"runs:{key}") or 0), max(seconds))


def with_threads(cue: Cue, port: int) -> list[float]:
    """The threads of one process, for each key the seconds that the slowest took."""
    with connected(port, _TIMEOUT_S) as counting, Cache(policy_for(f"redis://127.0.0.1:{port}/0")) as cache:

        @cache.namespace("values", type=str).cached("{key}")
        def compute(key: int) -> str:
            counting.incr(f"runs:{key}")
            time.sleep(_COMPUTE_S)
            return f"value {key}"

        def call(key: int) -> float:
            started_s = time.monotonic()
            assert compute(key) == f"value {key}"
            return time.monotonic() - started_s

        cache.ping()
        begin_s = _begin_s(cue, counting)
        with ThreadPoolExecutor(THREADS) as pool:
            slowest: list[float] = []
            for key in range(_KEYS):
                time.sleep(max(0.0, begin_s + key * _APART_S - time.monotonic()))
                slowest.append(max(pool.map(call, [key] * THREADS)))
    return slowest


def with_tasks(cue: Cue, port: int) -> list[float]:
    """As `with_threads`, the tasks of one event loop."""
    return asyncio.run(_tasks(cue, port))


async def _tasks(cue: Cue, port: int) -> list[float]:
    with connected(port, _TIMEOUT_S) as counting:
        async with AsyncCache(policy_for(f"redis://127.0.0.1:{port}/0")) as cache:

            @cache.namespace("values", type=str).cached("{key}")
            async def compute(key: int) -> str:
                counting.incr(f"runs:{key}")
                await asyncio.sleep(_COMPUTE_S)
                return f"value {key}"

            async def call(key: int) -> float:
                started_s = time.monotonic()
                assert await compute(key) == f"value {key}"
                return time.monotonic() - started_s

            await cache.ping()
            begin_s = _begin_s(cue, counting)
            slowest: list[float] = []
            for key in range(_KEYS):
                await asyncio.sleep(max(0.0, begin_s + key * _APART_S - time.monotonic()))
                slowest.append(max(await asyncio.gather(*(call(key) for _ in range(THREADS)))))
    return slowest


def _begin_s(cue: Cue, client: redis.Redis) -> float:
    """When all processes begin, as the server has it for them."""
    cue.await_go()
    while (begin := client.get("start")) is None:
        time.sleep(0.001)
    return float(begin)
