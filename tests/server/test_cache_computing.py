"""Values computed when they are missing: once, however many want them, in however many processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from spillgate import AsyncCache, Cache
from spillgate.errors import ConfigError
from tests.caching import NAMESPACES, Message, counted, policy_of
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers import Server


@pytest.fixture
def cache(valkey: Server) -> Iterator[Cache]:
    """A cache on a fresh Valkey."""
    with Cache(policy_of(valkey, timeout="2s", lock="5s")) as cache:
        yield cache


def together(count: int, call: Callable[[], object]) -> list[object]:
    """Call it from so many threads at once."""
    results: list[object] = []
    barrier = threading.Barrier(count)

    def work() -> None:
        barrier.wait()
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 (the test looks at it)
            results.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def load_user(user: int) -> int:
    """What some tests cache."""
    return user


# The decorator


def test_a_cached_function_runs_once_for_the_same_arguments(cache: Cache) -> None:
    messages = cache.namespace("messages", type=Message)
    runs: list[tuple[int, str]] = []

    @messages.cached("user:{user}:{lang}")
    def load(user: int, lang: str = "en") -> Message:
        """Load it."""
        runs.append((user, lang))
        return Message(user, lang)

    assert load(1) == load(1, "en") == load(user=1, lang="en") == load(lang="en", user=1) == Message(1, "en")
    assert load(1, "de") == Message(1, "de")
    assert runs == [(1, "en"), (1, "de")]
    assert load.key(1) == "user:1:en"
    assert load.__name__ == "load"
    assert load.__doc__ == "Load it."
    assert load.invalidate(1)
    assert not load.invalidate(1)
    load(1)
    assert load.refresh(1) == Message(1, "en")
    assert len(runs) == 4
    assert messages.get("user:1:en") == Message(1, "en")


def test_methods_and_key_functions(cache: Cache) -> None:
    messages = cache.namespace("messages")

    class Store:
        def __init__(self, name: str) -> None:
            self.name = name
            self.runs = 0

        @messages.cached("{self.name}:{number}")
        def square(self, number: int) -> int:
            self.runs += 1
            return number**2

    one, two = Store("one"), Store("two")
    assert [one.square(3), one.square(3), two.square(3)] == [9, 9, 9]
    assert (one.runs, two.runs) == (1, 1)

    def key(first: int, *rest: int) -> str:
        return f"sum:{first}:{len(rest)}"

    @messages.cached(key)
    def add(first: int, *rest: int) -> int:
        return first + sum(rest)

    assert add(1, 2, 3) == 6
    assert add.key(1, 2, 3) == "sum:1:2"


def test_a_key_that_does_not_fit_the_function_is_told_at_once(cache: Cache) -> None:
    messages = cache.namespace("messages")
    with pytest.raises(ConfigError, match=r"names 'usr', which is no parameter of .*load: it has user"):

        @messages.cached("user:{usr}")
        def load(user: int) -> int:
            return user

    with pytest.raises(TypeError, match="missing a required argument: 'user'"):
        messages.cached("user:{user}")(load_user)()  # pyright: ignore[reportCallIssue] (what the test is about)


def test_none_is_a_result_like_any_other(cache: Cache) -> None:
    runs: list[int] = []
    messages = cache.namespace("messages")
    for _ in range(2):
        assert messages.get_or_set("1", lambda: runs.append(1)) is None
    assert runs == [1]


def test_a_result_that_may_not_be_stored_is_returned_all_the_same(
    cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    messages = cache.namespace("messages")
    assert messages.get_or_set("1", lambda: b"binary") == b"binary"
    assert counted(cache)["refused"] == 1
    assert "was computed and not stored" in caplog.text
    assert not messages.exists("1")


def test_an_error_is_raised_for_all_who_wait_and_nothing_is_stored(cache: Cache, valkey: Server) -> None:
    messages = cache.namespace("messages")
    runs: list[int] = []

    def fail() -> int:
        runs.append(1)
        time.sleep(0.1)
        raise LookupError

    results = together(5, lambda: messages.get_or_set("1", fail))
    assert all(isinstance(result, LookupError) for result in results)
    assert len(runs) == 1
    assert messages.get_or_set("1", lambda: 5) == 5  # the lock was given back
    assert valkey.client().keys("spillgate:lock:*") == []


# Once


def test_threads_that_want_the_same_share_one_computation(cache: Cache) -> None:
    messages = cache.namespace("messages")
    runs: list[int] = []

    def compute() -> int:
        runs.append(1)
        time.sleep(0.1)
        return 42

    assert together(20, lambda: messages.get_or_set("1", compute)) == [42] * 20
    assert len(runs) == 1
    counts = counted(cache)
    assert counts["compute"] == 1
    assert counts.get("shared", 0) + counts.get("hit", 0) == 19


def test_each_caller_has_a_copy_of_his_own(cache: Cache) -> None:
    messages = cache.namespace("messages")

    def compute() -> list[int]:
        time.sleep(0.05)
        return [1]

    results = cast("list[list[int]]", together(8, lambda: messages.get_or_set("1", compute)))
    assert len({id(one) for one in results}) == 8


def test_tasks_that_wait_hold_no_connection(valkey: Server) -> None:
    runs: list[int] = []

    async def main() -> None:
        policy = policy_of(valkey, timeout="2s", connections=2)
        async with AsyncCache(policy) as cache, AsyncCache(policy) as another:
            ours, theirs = cache.namespace("messages"), another.namespace("messages")
            begun, done = asyncio.Event(), asyncio.Event()

            async def compute() -> int:
                runs.append(1)
                begun.set()
                await done.wait()
                return 42

            wanted = [asyncio.create_task(one.get_or_set("1", compute)) for one in (ours, theirs) for _ in range(100)]
            await begun.wait()
            for number in range(20):  # there are two connections each, and 199 who wait
                assert await ours.set(f"other:{number}", number)
                assert await theirs.get(f"other:{number}") == number
            done.set()
            assert await asyncio.gather(*wanted) == [42] * 200

    asyncio.run(main())
    assert len(runs) == 1


def test_when_the_one_who_computes_is_cancelled_another_does(valkey: Server) -> None:
    runs: list[int] = []

    async def main() -> None:
        async with AsyncCache(policy_of(valkey, timeout="2s")) as cache:
            messages = cache.namespace("messages")
            begun = asyncio.Event()

            async def compute() -> int:
                runs.append(1)
                begun.set()
                await asyncio.sleep(0.05)
                return 42

            first = asyncio.create_task(messages.get_or_set("1", compute))
            await begun.wait()
            others = [asyncio.create_task(messages.get_or_set("1", compute)) for _ in range(5)]
            await asyncio.sleep(0.01)
            first.cancel()
            assert await asyncio.gather(*others) == [42] * 5

    asyncio.run(main())
    assert len(runs) == 2


WORKER = """
import sys, threading, time
from spillgate import Cache
from tests.caching import NAMESPACES
from spillgate import parse_policy
import redis

url, callers, text = sys.argv[1], int(sys.argv[2]), NAMESPACES
cache = Cache.from_url(url, config=parse_policy('[cache]\\ntimeout = "5s"\\n' + text, "test"))
messages = cache.namespace("messages")
runs = redis.Redis.from_url(url)

def compute():
    runs.incr("runs")
    time.sleep(0.3)
    return "computed"

print("ready", flush=True)
sys.stdin.readline()
results = []

def want():
    results.append(messages.get_or_set("cold", compute))

threads = [threading.Thread(target=want) for _ in range(callers)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(results.count("computed"))
"""


def test_a_hundred_callers_in_four_processes_run_it_once(server: Server, tmp_path: Path) -> None:
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    command = [sys.executable, str(program), server.url, "25"]
    workers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": ".", "PATH": ""}
        )
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    assert [worker.communicate(timeout=30)[0] for worker in workers] == ["25\n"] * 4
    assert server.client().get("runs") == b"1"
    assert server.client().keys("spillgate:lock:*") == []


def test_a_lock_whose_owner_died_delays_others_only_until_it_ends(valkey: Server) -> None:
    with Cache(policy_of(valkey, lock="1s")) as cache:
        valkey.client().set("spillgate:lock:{app:messages:1}", "of a process that was killed", px=200)
        started = time.monotonic()
        assert cache.namespace("messages").get_or_set("1", lambda: 42) == 42
        assert 0.1 < time.monotonic() - started < 0.9


def test_who_waits_longer_than_the_lock_lasts_computes_for_itself(valkey: Server) -> None:
    with Cache(policy_of(valkey, lock="200ms")) as cache:
        valkey.client().set("spillgate:lock:{app:messages:1}", "of a process that hangs", px=60_000)
        started = time.monotonic()
        assert cache.namespace("messages").get_or_set("1", lambda: 42) == 42
        assert 0.15 < time.monotonic() - started < 2


def test_a_time_out_of_the_function_s_own_is_an_error_like_any_other(cache: Cache) -> None:
    messages = cache.namespace("messages")
    runs: list[int] = []

    def fail() -> int:
        runs.append(1)
        time.sleep(0.05)
        raise TimeoutError

    assert all(isinstance(one, TimeoutError) for one in together(10, lambda: messages.get_or_set("1", fail)))
    assert len(runs) == 1


def test_when_a_computation_outlasts_the_lock_one_more_begins_not_all(valkey: Server) -> None:
    with Cache(policy_of(valkey, timeout="2s", lock="200ms")) as cache:
        messages = cache.namespace("messages")
        runs: list[int] = []

        def compute() -> int:
            runs.append(1)
            time.sleep(0.5)
            return 42

        assert together(30, lambda: messages.get_or_set("1", compute)) == [42] * 30
        assert len(runs) <= 3


def test_a_function_that_wants_its_own_result_gets_it_at_once(cache: Cache) -> None:
    messages = cache.namespace("messages")
    started = time.monotonic()
    assert messages.get_or_set("1", lambda: messages.get_or_set("1", lambda: 1) + 1) == 2
    assert time.monotonic() - started < 1


def test_what_was_invalidated_while_it_was_computed_is_not_stored(cache: Cache) -> None:
    messages = cache.namespace("messages")

    def compute() -> str:
        messages.delete("1")
        return "from what was before"

    assert messages.get_or_set("1", compute) == "from what was before"
    assert messages.get("1") is None


def test_a_refresh_in_a_fresh_process_is_stored_where_others_find_it(cache: Cache, valkey: Server) -> None:
    cache.namespace("messages").clear()
    with Cache(policy_of(valkey)) as fresh:
        load = fresh.namespace("messages").cached("user:{user}")(load_user)
        assert load.refresh(1) == 1
        assert cache.namespace("messages").get("user:1") == 1


def test_an_early_refresh_that_fails_leaves_the_value_that_is_there(
    cache: Cache, valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    messages = cache.namespace("messages")

    def slow() -> str:
        time.sleep(0.1)
        return "there"

    def fail() -> str:
        raise LookupError("the database is away")

    messages.get_or_set("1", slow)
    valkey.client().pexpire("app:messages:1", 250)
    for _ in range(100):
        assert messages.get_or_set("1", fail) == "there"
    assert counted(cache).get("refresh_failed") == 1  # the next try is a second away
    assert "messages: '1' could not be computed anew: LookupError: the database is away" in caplog.text


def test_a_ttl_that_cannot_be_read_is_told_before_anything_is_computed(cache: Cache) -> None:
    messages = cache.namespace("messages")
    with pytest.raises(ConfigError, match="10 minits"):
        messages.cached("user:{user}", ttl="10 minits")
    with pytest.raises(ConfigError, match="10 minits"):
        messages.get_or_set("1", lambda: pytest.fail("computed"), "10 minits")


def test_a_cancelled_caller_leaves_no_lock_behind(valkey: Server) -> None:
    async def main() -> None:
        async with AsyncCache(policy_of(valkey, timeout="2s", connections=4)) as cache:
            messages = cache.namespace("messages")

            async def compute() -> int:
                await asyncio.sleep(0.01)
                return 1

            for number in range(100):
                task = asyncio.create_task(messages.get_or_set(str(number), compute))
                await asyncio.sleep(0.0002 * (number % 20))
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            for _ in range(200):
                if not valkey.client().keys("spillgate:lock:*"):
                    return
                await asyncio.sleep(0.01)
            pytest.fail("locks were left behind")

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # from 3.12 on: it is what is tested
def test_a_forked_child_waits_for_no_thread_of_its_parent(cache: Cache) -> None:
    messages = cache.namespace("messages")
    begun, over = threading.Event(), threading.Event()

    def compute() -> int:
        begun.set()
        over.wait(10)
        return 1

    thread = threading.Thread(target=lambda: messages.get_or_set("1", compute))
    thread.start()
    begun.wait()
    child = os.fork()
    if child == 0:
        started = time.monotonic()
        good = messages.set("1", 2) and messages.get_or_set("1", lambda: 3) == 2
        os._exit(0 if good and time.monotonic() - started < 2 else 1)
    ended = os.waitpid(child, 0)[1]  # before the parent's computation ends: that would write its own value
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(ended) == 0


def test_what_was_computed_before_a_clear_is_not_stored_after_it(cache: Cache) -> None:
    messages = cache.namespace("messages")

    def compute() -> str:
        messages.clear()
        return "from what was before"

    assert messages.get_or_set("1", compute) == "from what was before"
    assert messages.get("1") is None


# Early, and stale


def test_near_its_end_a_costly_value_is_computed_anew_by_one_caller(cache: Cache, valkey: Server) -> None:
    messages = cache.namespace("messages")
    runs: list[int] = []

    def compute() -> int:
        runs.append(1)
        time.sleep(0.1)
        return len(runs)

    assert messages.get_or_set("1", compute) == 1
    assert messages.get_or_set("1", compute) == 1
    valkey.client().pexpire("app:messages:1", 100_000)
    for _ in range(20):
        assert messages.get_or_set("1", compute) == 1  # 100 s are a thousand times what it takes
    valkey.client().pexpire("app:messages:1", 300)
    assert eventually(lambda: messages.get_or_set("1", compute) == 2)
    assert counted(cache)["refresh"] == 1
    assert counted(cache).get("miss") == 1
    assert (messages.ttl("1") or 0) > 1_000


def test_a_stale_value_is_served_while_one_caller_refreshes_it(cache: Cache, valkey: Server) -> None:
    messages = cache.namespace("messages")
    runs: list[int] = []

    def compute() -> int:
        runs.append(1)
        time.sleep(0.1)
        return len(runs)

    assert messages.get_or_set("1", compute, stale="10m") == 1
    assert 2_390 < (messages.ttl("1") or 0) <= 2_400
    valkey.client().pexpire("app:messages:1", 600_000)  # its half hour is over
    started = time.monotonic()
    assert together(10, lambda: messages.get_or_set("1", compute, stale="10m")) == [1] * 10
    assert time.monotonic() - started < 0.1
    assert eventually(lambda: messages.get_or_set("1", compute, stale="10m") == 2)
    assert len(runs) == 2
    counts = counted(cache)
    assert counts["stale"] >= 10
    assert counts["refresh"] == 1


def test_a_refresh_that_fails_leaves_the_stale_value(
    cache: Cache, valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    messages = cache.namespace("messages")
    messages.get_or_set("1", lambda: "old", stale="10m")
    valkey.client().pexpire("app:messages:1", 300_000)

    def fail() -> str:
        raise LookupError("the database is away")

    assert messages.get_or_set("1", fail, stale="10m") == "old"
    assert eventually(lambda: "the database is away" in caplog.text)
    assert messages.get_or_set("1", lambda: "new", stale="10m") == "old"  # the next try is a second away
    assert counted(cache)["refresh_failed"] == 1
    assert eventually(lambda: messages.get_or_set("1", lambda: "new", stale="10m") == "new")


def test_tasks_refresh_in_the_background_too(valkey: Server) -> None:
    async def main() -> None:
        async with AsyncCache(policy_of(valkey, timeout="2s")) as cache:
            messages = cache.namespace("messages")

            async def old() -> str:
                return "old"

            @messages.cached("1", stale="10m")
            async def new() -> str:
                await asyncio.sleep(0.01)
                return "new"

            await messages.get_or_set("1", old, stale="10m")
            valkey.client().pexpire("app:messages:1", 300_000)
            assert await asyncio.gather(*(new() for _ in range(5))) == ["old"] * 5
            for _ in range(200):
                if await messages.get("1") == "new":
                    break
                await asyncio.sleep(0.01)
            assert await new() == "new"
            assert counted(cache)["refresh"] == 1
            assert await new.refresh() == "new"
            assert await new.invalidate()

    asyncio.run(main())


def test_json_values_know_their_cost_as_well(valkey: Server) -> None:
    namespaces = NAMESPACES + 'codec = "json"\n'
    with Cache(policy_of(valkey, namespaces, timeout="2s")) as cache:
        users = cache.namespace("users")
        runs: list[int] = []

        def compute() -> str:
            runs.append(1)
            time.sleep(0.05)
            return f"run {len(runs)}"

        assert users.get_or_set("1", compute) == "run 1"
        valkey.client().pexpire("app:users:1", 150)
        assert eventually(lambda: users.get_or_set("1", compute) == "run 2")
        assert counted(cache, "users").get("miss") == 1
