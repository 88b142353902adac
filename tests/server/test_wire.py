"""Connections of the cache on days that are not ideal: forks, blocked event loops, closed ones, crowds, distance."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, cast

import hiredis
import pytest

from spillgate.cache.limit import Limit
from spillgate.cache.wire import AsyncWire, NoConnectionFree, Wire, failed
from spillgate.config import CacheSettings, ServerSettings
from spillgate.errors import ConfigError, ServerError, ServerUnreachable
from spillgate.server.driver import Driver
from tests.proxy import Proxy
from tests.servers import ServerKind, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import ServerFactory
    from tests.servers import Server

SLACK_S = 0.15


def packed(*command: str | int) -> bytes:
    return cast("Any", hiredis).pack_command(command)


PING = packed("PING")


def settings_of(server: Server, url: str = "") -> ServerSettings:
    return ServerSettings(url=url or server.url, ca_file=server.ca_file)


def wire_to(server: Server, url: str = "", **settings: Any) -> Wire:
    return Wire(settings_of(server, url), CacheSettings(**settings))


def async_wire_to(server: Server, url: str = "", **settings: Any) -> AsyncWire:
    return AsyncWire(settings_of(server, url), CacheSettings(**settings))


def clients(server: Server) -> int:
    """Connections of others than who asks, of whom there is one."""
    asker = server.client()
    count = len(asker.client_list()) - 1
    asker.close()
    return count


def hang_up(server: Server) -> None:
    """Close the connections of all others, on the server's side."""
    server.client().client_kill_filter(_type="normal", skipme=True)


# Forks


def in_child(work: Callable[[], object]) -> int:
    """The exit code of a forked child: 0 where the work ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_that_collects_its_garbage_leaves_the_connections_of_its_parents_loop_alone(valkey: Server) -> None:
    async def main() -> None:
        wire = async_wire_to(valkey)
        assert await wire.exchange(PING, 1) == [b"PONG"]
        assert in_child(gc.collect) == 0
        assert await wire.exchange(PING, 1) == [b"PONG"]
        assert clients(valkey) == 1
        await wire.aclose()

    asyncio.run(main())


def test_a_child_that_ends_its_parents_tasks_leaves_their_connections_alone(valkey: Server) -> None:
    async def main() -> None:
        wire = async_wire_to(valkey, timeout_s=5.0)
        await wire.exchange(PING, 1)
        valkey.freeze()
        exchange = wire.exchange(PING, 1)
        task = asyncio.create_task(exchange)
        await asyncio.sleep(0.01)
        assert in_child(exchange.close) == 0
        valkey.thaw()
        assert await task == [b"PONG"]
        await wire.aclose()

    asyncio.run(main())


def test_a_child_has_connections_of_its_own(valkey: Server) -> None:
    wire = wire_to(valkey)
    (mine,) = wire.exchange(packed("CLIENT", "ID"), 1)

    async def use() -> None:
        other = async_wire_to(valkey)
        assert await other.exchange(PING, 1) == [b"PONG"]

    def work() -> None:
        assert wire.exchange(packed("CLIENT", "ID"), 1) != [mine]
        asyncio.run(use())

    assert in_child(work) == 0
    assert wire.exchange(packed("CLIENT", "ID"), 1) == [mine]
    wire.close()


# Event loops that are blocked, or closed


def test_an_answer_that_came_while_the_event_loop_was_blocked_is_read(valkey: Server) -> None:
    async def block() -> None:
        time.sleep(0.08)  # noqa: ASYNC251 (what is not to be done)

    async def main() -> None:
        wire = async_wire_to(valkey, timeout_s=0.05)
        await wire.exchange(PING, 1)
        for _ in range(3):
            exchanges = [wire.exchange(PING, 1) for _ in range(8)]
            *replies, _ = await asyncio.gather(*exchanges, block())
            assert replies == [[b"PONG"]] * 8
        await wire.aclose()

    asyncio.run(main())


def test_a_server_that_hangs_is_given_up_also_where_the_event_loop_was_blocked(valkey: Server) -> None:
    async def main() -> None:
        wire = async_wire_to(valkey, timeout_s=0.05)
        await wire.exchange(PING, 1)
        valkey.freeze()
        for blocked_s in (0.0, 0.08, 0.3):
            started = time.monotonic()
            task = asyncio.create_task(wire.exchange(PING, 1))
            await asyncio.sleep(0)
            time.sleep(blocked_s)  # noqa: ASYNC251 (as above)
            with pytest.raises(ServerUnreachable):
                await task
            assert time.monotonic() - started < max(blocked_s, 0.05) + 0.05 + SLACK_S
        valkey.thaw()

    asyncio.run(main())


def test_a_limit_ends_in_a_time_out_and_a_cancellation_in_a_cancellation() -> None:
    async def wait(limit_s: float) -> None:
        with Limit(limit_s):
            await asyncio.sleep(10)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await wait(0.01)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        cancelled = asyncio.create_task(wait(10))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await wait(10)
        with pytest.raises(ZeroDivisionError), Limit(10):
            _ = 1 / 0

    asyncio.run(main())


@pytest.mark.parametrize("tls", [False, True])
def test_connections_of_closed_loops_do_not_add_up(server_factory: ServerFactory, *, tls: bool) -> None:
    server = server_factory(ServerKind.REDIS_7_0 if tls else ServerKind.VALKEY_9_1, tls=tls)
    wire = async_wire_to(server, timeout_s=2.0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(8):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(wire.exchange(PING, 1)) == [b"PONG"]
            loop.close()
        gc.collect()
    eventually(lambda: clients(server) == 1)
    assert [str(one.message) for one in told] == []
    asyncio.run(ended(wire))
    gc.collect()
    eventually(lambda: clients(server) == 0)


async def ended(wire: AsyncWire) -> None:
    """Use a wire in a loop that is shut down as it should be."""
    await wire.exchange(PING, 1)


# Crowds


def test_who_waits_for_a_connection_gets_it_before_who_comes_later(valkey: Server) -> None:
    wire = wire_to(valkey, connections=1, timeout_s=0.3)
    takes_10_ms = packed("BLPOP", "nothing", "0.01")
    over = threading.Event()
    lost: list[NoConnectionFree] = []

    def again_and_again() -> None:
        while not over.is_set():
            wire.exchange(takes_10_ms, 1)

    def now_and_then() -> None:
        try:
            for _ in range(5):
                wire.exchange(PING, 1)
        except NoConnectionFree as error:
            lost.append(error)
        over.set()

    threads = [threading.Thread(target=work) for work in (again_and_again, now_and_then)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    wire.close()


def test_a_crowd_of_threads_shares_few_connections(valkey: Server) -> None:
    wire = wire_to(valkey, connections=3, timeout_s=5.0)
    wrong: list[object] = []

    def work(me: int) -> None:
        for number in range(20):
            text = f"{me}:{number}"
            if wire.exchange(packed("ECHO", text), 1) != [text.encode()]:
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert clients(valkey) <= 3
    wire.close()


def test_who_gave_up_waiting_takes_no_connection_from_others(valkey: Server) -> None:
    wire = wire_to(valkey, connections=1, timeout_s=0.05)

    def in_vain() -> None:
        with pytest.raises(ServerUnreachable):
            wire.exchange(PING, 1)

    valkey.freeze()
    in_threads(in_vain, 6)
    valkey.thaw()
    assert [wire.exchange(PING, 1) for _ in range(3)] == [[b"PONG"]] * 3
    wire.close()


# Distance


def test_a_far_server_is_reached_with_a_greeting_and_the_commands_one_round_trip_each(
    server_factory: ServerFactory,
) -> None:
    server = server_factory(requirepass="secret")
    proxy = Proxy(server.port, delay_s=0.14)
    url = f"redis://:secret@127.0.0.1:{proxy.port}/3"
    try:
        wire = wire_to(server, url, timeout_s=0.4)
        assert wire.exchange(packed("SET", "key", "value"), 1) == [b"OK"]
        wire.close()

        async def also_for_tasks() -> None:
            assert await async_wire_to(server, url, timeout_s=0.4).exchange(packed("GET", "key"), 1) == [b"value"]

        asyncio.run(also_for_tasks())
    finally:
        proxy.close()
    assert list(server.client().info("keyspace")) == ["db3"]


@pytest.mark.parametrize("login", ["", ":wrong@", "app:wrong@"])
def test_who_may_not_come_in_is_told_so(server_factory: ServerFactory, login: str) -> None:
    server = server_factory(requirepass="secret")
    url = f"redis://{login}127.0.0.1:{server.port}/3"
    with pytest.raises(ServerError, match=r"(?i)auth|password"):
        raise_failed(wire_to(server, url).exchange(PING, 1))

    async def also_for_tasks() -> None:
        raise_failed(await async_wire_to(server, url).exchange(PING, 1))

    with pytest.raises(ServerError, match=r"(?i)auth|password"):
        asyncio.run(also_for_tasks())


def raise_failed(replies: list[Any]) -> None:
    for reply in replies:
        if failed(reply):
            raise reply


def test_a_user_with_a_name_comes_in(server_factory: ServerFactory) -> None:
    server = server_factory()
    server.client().execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all")
    url = f"redis://app:pw@127.0.0.1:{server.port}"
    wire = wire_to(server, url)
    assert wire.exchange(packed("ACL", "WHOAMI"), 1) == [b"app"]
    wire.close()

    async def also_for_tasks() -> None:
        assert await async_wire_to(server, url).exchange(packed("ACL", "WHOAMI"), 1) == [b"app"]

    asyncio.run(also_for_tasks())


# Connections that the server closed


def test_what_may_not_be_sent_twice_is_not_sent_over_a_closed_connection(valkey: Server) -> None:
    wire = wire_to(valkey)
    for number in range(1, 4):
        assert wire.exchange(packed("INCR", "n"), 1, repeatable=False) == [number]
        hang_up(valkey)
    wire.close()

    async def also_for_tasks() -> None:
        wire = async_wire_to(valkey)
        for number in range(4, 7):
            assert await wire.exchange(packed("INCR", "n"), 1, repeatable=False) == [number]
            hang_up(valkey)  # of which the event loop knows nothing yet
        await wire.aclose()

    asyncio.run(also_for_tasks())


# What a URL says


@pytest.mark.parametrize("query", ["decode_responses=true", "socket_timeout=3", "protocol=3", "max_connections=1"])
def test_a_url_changes_nothing_about_how_the_cache_talks(valkey: Server, query: str) -> None:
    url = f"{valkey.url}?{query}"
    valkey.client().hset("hash", "field", b"\xff")
    wire = wire_to(valkey, url, timeout_s=0.1)
    assert wire.exchange(packed("HGETALL", "hash"), 1) == [[b"field", b"\xff"]]
    in_threads(lambda: wire.exchange(packed("BLPOP", "nothing", "0.02"), 1), 2)

    async def also_for_tasks() -> None:
        wire = async_wire_to(valkey, url)
        assert await wire.exchange(packed("HGETALL", "hash"), 1) == [[b"field", b"\xff"]]

    asyncio.run(also_for_tasks())
    valkey.freeze()
    started = time.monotonic()
    with pytest.raises(ServerUnreachable):
        wire.exchange(PING, 1)
    assert time.monotonic() - started < 0.1 + SLACK_S
    valkey.thaw()
    wire.close()


def in_threads(work: Callable[[], object], count: int) -> None:
    """Do it so many times at once; an error ends the test."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (told below)
            failures.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("query", ["decode_responses=true", "socket_timeout=3"])
def test_a_url_changes_nothing_about_how_the_governor_talks(valkey: Server, query: str) -> None:
    settings = ServerSettings(url=f"{valkey.url}?{query}", timeout_s=0.1)
    driver = Driver(settings, allow=lambda: None)
    assert driver.call("ECHO", b"\xff") == b"\xff"
    valkey.freeze()
    started = time.monotonic()
    with pytest.raises(ServerUnreachable):
        driver.call("PING")
    assert time.monotonic() - started < 0.1 + SLACK_S
    valkey.thaw()
    driver.close()


def test_a_url_that_cannot_be_read_is_an_error_of_the_configuration(valkey: Server) -> None:
    for url in (f"{valkey.url}?db=first", "redis://127.0.0.1:port/0"):
        for make in (wire_to, async_wire_to):
            with pytest.raises(ConfigError):
                make(valkey, url)


# Replies


def test_errors_are_in_their_places_and_say_where_they_come_from(server_factory: ServerFactory) -> None:
    server = server_factory(requirepass="secret")
    commands = [packed("SET", f"key:{number}", number) for number in range(300)]
    commands[7] = packed("INCR", "text")
    commands[299] = packed("LLEN", "text")
    everything = packed("SET", "text", "text") + b"".join(commands)

    def check(replies: list[Any]) -> None:
        assert [place for place, reply in enumerate(replies) if reply != b"OK"] == [8, 300]
        for place in (8, 300):
            assert isinstance(replies[place], ServerError)
            assert str(replies[place]).startswith(f"redis://:***@127.0.0.1:{server.port}/0: ")

    wire = wire_to(server, timeout_s=5.0)
    check(wire.exchange(everything, 301))
    wire.close()

    async def also_for_tasks() -> None:
        check(await async_wire_to(server, timeout_s=5.0).exchange(everything, 301))

    asyncio.run(also_for_tasks())


def test_replies_that_nobody_asked_for_reach_nobody(valkey: Server) -> None:
    two = packed("ECHO", "1") + packed("ECHO", "2")
    three = packed("ECHO", "3")
    wire = wire_to(valkey)
    with pytest.raises(ServerUnreachable, match="more replies"):
        wire.exchange(two, 1)
    assert wire.exchange(three, 1) == [b"3"]
    wire.close()

    async def also_for_tasks() -> None:
        wire = async_wire_to(valkey)
        with pytest.raises(ServerUnreachable, match="more replies"):
            await wire.exchange(two, 1)
        assert await wire.exchange(three, 1) == [b"3"]

    asyncio.run(also_for_tasks())


def test_more_connections_than_the_drivers_pool_allows(valkey: Server) -> None:
    wire = wire_to(valkey, connections=120, timeout_s=5.0)
    in_threads(lambda: wire.exchange(packed("BLPOP", "nothing", "0.3"), 1), 110)
    assert clients(valkey) > 100
    wire.close()
