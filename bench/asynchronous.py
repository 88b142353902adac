"""How many values a second the tasks of one event loop read and write."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from bench.async_stores import AiocacheStore, AsyncSpillgateStore, AsyncStore, CashewsStore
from bench.corpora import load
from bench.rounds import AsyncWork, Rounds, tasks_in_turn
from bench.stores import PREFIX, no_prefix, policy_for
from bench.throughput import Trial
from spillgate import AsyncCache
from tests.servers import Server

_VALUES = 100
_OURS = "spillgate"
_GOAL = 1.2
_PEERS: dict[str, Callable[[str], AsyncStore]] = {
    "cashews, pickle": lambda url: CashewsStore(url, "default", "null"),
    "cashews, json": lambda url: CashewsStore(url, "json", "null"),
    "aiocache, json": lambda url: AiocacheStore(url, "JsonSerializer"),
    "aiocache, pickle": lambda url: AiocacheStore(url, "PickleSerializer"),
}


def measure_async(trial: Trial) -> None:
    """`get` and `set` of chat turns, one after the other and by ten tasks at once."""
    values = load("turns").to_store[:_VALUES]
    for tasks in (1, 10):
        with Server(trial.kind) as server:
            gets, sets = asyncio.run(_measured(server.url, values, tasks, trial))
        for how, runs in (("get", gets), ("set", sets)):
            by = "one task" if tasks == 1 else f"{tasks} tasks"
            trial.show(f"async {how}, chat turn, {by}", runs, len(values), _OURS)
            for library in ("cashews", "aiocache"):
                own = [name for name in _PEERS if name.startswith(library)]
                ratios = [run.times_as_fast(_OURS, run.fastest(own)) for run in runs]
                goal = f"{trial.kind}: async {how}, {by}: times as fast as {library}"
                trial.report.judge(goal, ratios, _GOAL, at_least=True, typical=True)


async def _measured(url: str, values: Sequence[Any], tasks: int, trial: Trial) -> tuple[list[Rounds], list[Rounds]]:
    stores: dict[str, AsyncStore] = {_OURS: AsyncSpillgateStore(AsyncCache(policy_for(url)))}
    stores |= {name: make(url) for name, make in _PEERS.items()}
    gets: dict[str, AsyncWork] = {}
    sets: dict[str, AsyncWork] = {}
    for name, store in stores.items():
        keys = [f"{PREFIX}{name.replace(', ', '-')}:{number}" for number in range(len(values))]
        keys = [no_prefix(key) for key in keys] if name == _OURS else keys
        await store.set_many(dict(zip(keys, values, strict=True)))
        read = list(await store.get_many(keys))
        assert read == list(values), f"{name} returns something else than was stored"
        gets[name], sets[name] = _gets(store, keys, tasks), _sets(store, list(zip(keys, values, strict=True)), tasks)
    try:
        return (
            [await tasks_in_turn(gets, trial.rounds) for _ in range(trial.repetitions)],
            [await tasks_in_turn(sets, trial.rounds) for _ in range(trial.repetitions)],
        )
    finally:
        for store in stores.values():
            await store.close()


def _gets(store: AsyncStore, keys: Sequence[str], tasks: int) -> AsyncWork:
    async def some(mine: Sequence[str]) -> None:
        for key in mine:
            await store.get(key)

    async def work() -> None:
        await asyncio.gather(*(some(keys[first::tasks]) for first in range(tasks)))

    return work


def _sets(store: AsyncStore, pairs: Sequence[tuple[str, Any]], tasks: int) -> AsyncWork:
    async def some(mine: Sequence[tuple[str, Any]]) -> None:
        for key, value in mine:
            await store.set(key, value)

    async def work() -> None:
        await asyncio.gather(*(some(pairs[first::tasks]) for first in range(tasks)))

    return work
