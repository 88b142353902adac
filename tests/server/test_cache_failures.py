"""The cache when its server is down, slow, full, or forbids things: calm, fast, and everything counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from spillgate import AsyncCache, Cache, parse_policy
from spillgate.errors import OutOfMemory, ServerError, ServerUnreachable
from spillgate.model import Level
from tests.caching import NAMESPACES, Message, counted, policy_of
from tests.proxy import Proxy
from tests.servers import HOST, eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import ServerFactory
    from tests.servers import Server

# What a busy machine may add to a time limit.
SLACK_S = 0.15


@pytest.fixture
def proxies() -> Iterator[list[Proxy]]:
    """Closed when the test ends."""
    made: list[Proxy] = []
    yield made
    for proxy in made:
        proxy.close()


def down(**cache: str | int) -> Cache:
    """A cache whose server is not there."""
    table = "\n".join(f"{key} = {value!r}" for key, value in cache.items())
    url = f"redis://{HOST}:{free_port()}/0"
    return Cache.from_url(url, config=parse_policy(f"[cache]\n{table}\n{NAMESPACES}", "test"))


# Down


def test_without_a_server_reads_miss_writes_are_dropped_and_all_is_counted() -> None:
    with down(failures=1_000) as cache:
        messages = cache.namespace("messages")
        assert messages.get("1", "default") == "default"
        assert messages.get_many(["1", "2"]) == {}
        assert not messages.set("1", 1)
        assert messages.set_many({"1": 1, "2": 2}) == ["1", "2"]
        assert not messages.delete("1")
        assert messages.delete_many(["1", "2"]) == 0
        assert not messages.exists("1")
        assert messages.ttl("1") is None
        assert not messages.touch("1")
        assert counted(cache) == {"drop": 12, "miss": 3}


def test_what_would_have_to_lie_raises() -> None:
    with down() as cache:
        messages = cache.namespace("messages")
        for call in (lambda: messages.add("1", 1), lambda: messages.incr("1"), messages.clear, cache.ping):
            with pytest.raises(ServerUnreachable):
                call()


def test_cached_functions_go_on_without_a_server() -> None:
    with down() as cache:
        messages = cache.namespace("messages")
        runs: list[int] = []

        @messages.cached("n:{number}")
        def square(number: int) -> int:
            runs.append(number)
            return number**2

        assert [square(3), square(3), square(4)] == [9, 9, 16]
        assert runs == [3, 3, 4]


def test_a_dead_server_is_given_up_and_costs_nothing() -> None:
    with down() as cache:
        messages = cache.namespace("messages")
        for _ in range(999):
            messages.get("1")
        assert not cache.available
        assert cache.counts()["*"] == {"breaker_open": 1}
        times: list[float] = []
        for _ in range(20):
            started = time.perf_counter()
            messages.get("1")
            times.append(time.perf_counter() - started)
        assert sorted(times)[10] < 0.001
        assert counted(cache)["drop"] == 1_019


def test_it_comes_back_by_itself(valkey: Server) -> None:
    with Cache(policy_of(valkey, retry="50ms")) as cache:
        messages = cache.namespace("messages")
        assert messages.set("1", 1)
        valkey.kill()
        for _ in range(5):
            messages.get("1")
        assert not cache.available
        valkey.start()
        eventually(lambda: messages.set("1", 2))
        assert cache.available
        assert messages.get("1") == 2


def test_a_complaint_is_logged_once_not_for_each_call(caplog: pytest.LogCaptureFixture) -> None:
    with down() as cache, caplog.at_level(logging.WARNING, "spillgate.cache"):
        for _ in range(100):
            cache.namespace("messages").get("1")
    assert len(caplog.records) == 1
    assert "the cache goes on without its server" in caplog.text


# Slow


def test_no_call_takes_longer_than_its_limit_when_the_server_hangs(valkey: Server) -> None:
    with Cache(policy_of(valkey, timeout="100ms", failures=100)) as cache:
        messages = cache.namespace("messages")
        messages.set("1", 1)
        valkey.freeze()
        for call in (lambda: messages.get("1"), lambda: messages.set("2", "x" * 200_000), lambda: messages.touch("1")):
            started = time.monotonic()
            assert not call()
            assert time.monotonic() - started < 0.1 + SLACK_S
        valkey.thaw()  # which may carry out what it got meanwhile
        eventually(lambda: messages.set("1", 1) and messages.get("1") == 1)


def test_no_call_takes_longer_than_its_limit_when_answers_trickle(valkey: Server, proxies: list[Proxy]) -> None:
    with Cache(policy_of(valkey)) as direct:
        direct.namespace("messages").set("1", "".join(chr(33 + n * 7919 % 90) for n in range(900)))
    proxies.append(Proxy(valkey.port, piece=20, pause_s=0.02))  # each piece well within the limit, all of them not
    policy = policy_of(valkey, timeout="200ms", failures=100)
    with Cache.from_url(f"redis://{HOST}:{proxies[0].port}", config=policy) as cache:
        started = time.monotonic()
        assert cache.namespace("messages").get("1") is None
        assert time.monotonic() - started < 0.2 + SLACK_S

    async def also_for_tasks() -> None:
        async with AsyncCache.from_url(f"redis://{HOST}:{proxies[0].port}", config=policy) as cache:
            started = time.monotonic()
            assert await cache.namespace("messages").get("1") is None
            assert time.monotonic() - started < 0.2 + SLACK_S

    asyncio.run(also_for_tasks())


def test_a_late_answer_never_reaches_the_next_caller(valkey: Server, proxies: list[Proxy]) -> None:
    proxies.append(Proxy(valkey.port))
    policy = policy_of(valkey, timeout="60ms", failures=1_000)
    with Cache.from_url(f"redis://{HOST}:{proxies[0].port}", config=policy) as cache:
        messages = cache.namespace("messages")
        assert messages.set_many({str(number): number for number in range(50)}) == []
        for number in range(50):
            proxies[0].delay_s = 0.1 if number % 5 == 0 else 0.0
            assert messages.get(str(number)) in {number, None}
        proxies[0].delay_s = 0.0
        assert [messages.get(str(number)) for number in range(50)] == list(range(50))


@pytest.mark.parametrize("cut", [1, 3, 7, 20])
def test_an_answer_cut_short_is_a_miss(valkey: Server, proxies: list[Proxy], cut: int) -> None:
    with Cache(policy_of(valkey)) as direct:
        direct.namespace("messages").set("1", "x" * 50)
    proxies.append(Proxy(valkey.port))
    with Cache.from_url(f"redis://{HOST}:{proxies[0].port}", config=policy_of(valkey, failures=100)) as cache:
        messages = cache.namespace("messages")
        assert messages.get("1") == "x" * 50
        proxies[0].cut_after = cut
        assert messages.get("1") is None
        proxies[0].cut_after = None
        assert messages.get("1") == "x" * 50


def test_when_all_connections_are_busy_callers_give_up_in_time(valkey: Server) -> None:
    with Cache(policy_of(valkey, timeout="200ms", connections=1, failures=100)) as cache:
        messages = cache.namespace("messages")
        messages.set("1", 1)
        valkey.freeze()
        threads = [threading.Thread(target=messages.get, args=("1",)) for _ in range(8)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - started < 0.4 + SLACK_S
        valkey.thaw()
        eventually(lambda: messages.get("1") == 1)


def test_threads_share_a_cache(valkey: Server) -> None:
    with Cache(policy_of(valkey, connections=4, timeout="5s")) as cache:
        messages = cache.namespace("messages", type=Message)
        wrong: list[object] = []

        def work(me: int) -> None:
            for number in range(100):
                mine = Message(number, f"thread {me}")
                messages.set(f"{me}:{number}", mine)
                if messages.get(f"{me}:{number}") != mine:
                    wrong.append(mine)

        threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(valkey.client().client_list()) <= 5


def test_what_could_not_be_deleted_is_deleted_when_the_server_is_back(valkey: Server) -> None:
    with Cache(policy_of(valkey, timeout="50ms", retry="50ms")) as cache:
        messages = cache.namespace("messages")
        messages.set_many({"gone": "old", "changed": "old", "kept": "old"})
        valkey.freeze()
        assert not messages.delete("gone")
        assert not messages.set("changed", "new")
        valkey.thaw()
        eventually(lambda: messages.get("kept") == "old")
        assert messages.get("gone") is None
        assert messages.get("changed") != "old"


def test_of_more_than_can_be_remembered_the_namespace_is_cleared(valkey: Server) -> None:
    with Cache(policy_of(valkey, timeout="50ms", retry="50ms")) as cache:
        messages, users = cache.namespace("messages"), cache.namespace("users")
        messages.set("kept", "old")
        users.set("kept", "old")
        valkey.freeze()
        assert messages.delete_many(str(number) for number in range(10_500)) == 0
        valkey.thaw()
        eventually(lambda: users.get("kept") == "old")
        assert messages.get("kept") is None


def test_the_log_says_when_the_server_is_full_and_when_it_is_back(
    valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spillgate.cache")
    with Cache(policy_of(valkey, retry="20ms")) as cache:
        users = cache.namespace("users")
        assert users.set("1", 1)
        valkey.kill()
        users.get("1")
        valkey.start()
        eventually(lambda: users.set("1", 1))
        assert "the server of the cache answers again" in caplog.text
        valkey.client().config_set("maxmemory", "100kb")
        assert not users.set("1", 1)
        assert "writes are refused" in caplog.text


def test_a_ping_asks_also_where_the_server_is_given_up(server_factory: ServerFactory) -> None:
    server = server_factory(requirepass="right")
    with Cache.from_url(server.url.replace("right", "wrong"), config=policy_of(server)) as cache:
        for _ in range(5):
            cache.namespace("messages").get("1")
        with pytest.raises(ServerError, match="Check the user and password"):
            cache.ping()


# Cancelled


def test_a_cancelled_call_leaves_no_reply_to_another(valkey: Server, proxies: list[Proxy]) -> None:
    proxies.append(Proxy(valkey.port, delay_s=0.002))

    async def main() -> None:
        policy = policy_of(valkey, connections=3, timeout="5s")
        async with AsyncCache.from_url(f"redis://{HOST}:{proxies[0].port}", config=policy) as cache:
            messages = cache.namespace("messages")
            assert await messages.set_many({str(number): number for number in range(100)}) == []
            for turn in range(60):
                tasks = [asyncio.create_task(messages.get(str(number))) for number in range(6)]
                await asyncio.sleep(0.0005 * (turn % 12))
                for task in tasks[::2]:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                for number, result in enumerate(results):
                    assert result == number or isinstance(result, asyncio.CancelledError)
            assert await messages.get_many(map(str, range(100))) == {str(number): number for number in range(100)}

    asyncio.run(main())


def test_one_async_cache_serves_one_event_loop_after_another_and_several_at_once(valkey: Server) -> None:
    cache = AsyncCache(policy_of(valkey))
    messages = cache.namespace("messages")

    async def use(number: int) -> None:
        assert await messages.set(str(number), number)
        assert await messages.get(str(number)) == number
        await cache.aclose()

    for number in range(3):
        asyncio.run(use(number))
    failures: list[BaseException] = []

    def in_a_thread(number: int) -> None:
        try:
            asyncio.run(use(number))
        except BaseException as error:  # noqa: BLE001 (told below)
            failures.append(error)

    threads = [threading.Thread(target=in_a_thread, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# Full


def fill(server: Server) -> None:
    """Write until the server refuses."""
    client = server.client()
    with contextlib.suppress(Exception):
        for number in range(100_000):
            client.set(f"filler:{number}", "x" * 4_000)


def test_at_the_limit_a_value_is_dropped_counted_and_the_governor_told(
    server_factory: ServerFactory, server: Server
) -> None:
    small = server_factory(server.kind, maxmemory="3mb", maxmemory_policy="noeviction")
    listener = small.client().pubsub()
    listener.subscribe("spillgate:wake")
    assert listener.get_message(timeout=5) is not None
    with Cache(policy_of(small)) as cache:
        messages, users = cache.namespace("messages"), cache.namespace("users")
        messages.set("1", "there before")
        small.client().config_set("maxmemory", "100kb")
        assert not messages.set("2", "x" * 1_000)
        assert users.set_many({"1": "x" * 1_000, "2": "x" * 1_000}) == ["1", "2"]
        with pytest.raises(OutOfMemory):
            users.add("3", "x")
        with pytest.raises(OutOfMemory):
            users.incr("n")
        assert messages.get("1") == "there before"
        assert counted(cache)["oom"] == 1
        assert counted(cache, "users")["oom"] == 4
        assert cache.level is Level.CRITICAL
        message = cast("dict[str, object]", listener.get_message(timeout=5))
        assert message["channel"] == b"spillgate:wake"
        assert cache.available
    listener.close()


def test_a_value_that_cannot_be_replaced_is_a_miss_and_not_the_old_one(server_factory: ServerFactory) -> None:
    small = server_factory(maxmemory="100mb", maxmemory_policy="noeviction")
    with Cache(policy_of(small)) as cache:
        users, analytics = cache.namespace("users"), cache.namespace("analytics")
        assert users.set_many({"1": "old", "2": "old"}) == []
        assert analytics.set("1", "old")
        small.client().config_set("maxmemory", "100kb")
        assert users.set_many({"1": "new"}) == ["1"]
        assert users.get_many(["1", "2"]) == {"2": "old"}
        assert not analytics.set("1", "new")  # shed
        assert counted(cache, "analytics")["shed"] == 1
        assert analytics.get("1") is None


def test_at_the_limit_clear_works_all_the_same(server_factory: ServerFactory, server: Server) -> None:
    small = server_factory(server.kind, maxmemory="3mb", maxmemory_policy="noeviction")
    with Cache(policy_of(small)) as cache:
        messages = cache.namespace("messages")
        messages.set_many({str(number): "x" * 500 for number in range(500)})
        fill(small)
        messages.clear()
        assert messages.get("1") is None
        eventually(lambda: counted(cache).get("freed") == 500)


def test_at_the_limit_cached_functions_compute(server_factory: ServerFactory) -> None:
    small = server_factory(maxmemory="3mb", maxmemory_policy="noeviction")
    with Cache(policy_of(small)) as cache:
        small.client().config_set("maxmemory", "100kb")
        assert cache.namespace("messages").get_or_set("1", lambda: "computed") == "computed"
        assert counted(cache)["oom"] == 1


def test_a_server_that_is_loading_or_read_only_is_a_reason_not_a_crash(server_factory: ServerFactory) -> None:
    primary = server_factory()
    replica = server_factory(replicaof=f"{HOST} {primary.port}")
    with Cache(policy_of(replica)) as cache:
        messages = cache.namespace("messages")
        assert messages.get("1") is None
        assert not messages.set("1", 1)
        with pytest.raises(ServerError, match="read-only"):
            messages.incr("n")


@pytest.mark.parametrize("command", ["info", "publish", "unlink", "scan", "eval"])
def test_a_plan_that_forbids_a_command_costs_only_what_needs_it(server_factory: ServerFactory, command: str) -> None:
    server = server_factory()
    client = server.client()
    client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", f"-{command}")
    url = server.url.replace("redis://", "redis://app:pw@")
    with Cache.from_url(url, config=policy_of(server)) as cache:
        messages = cache.namespace("messages")
        assert messages.set("1", 1)
        assert messages.get("1") == 1
        assert messages.get_or_set("2", lambda: 2) == 2
        messages.clear()
        assert messages.get("1") is None
        assert cache.available
        assert cache.level is None or command != "info"
