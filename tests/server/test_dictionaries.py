"""Dictionaries on real servers: trained on what is there, taken up without a restart, kept while they are needed."""

from __future__ import annotations

import asyncio
import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spillgate import AsyncCache, Cache
from spillgate.cache.codec import MOST_ID, dictionary_of
from spillgate.cache.dictionary import Untrainable, dictionary_ttl_ms, read_pointer
from spillgate.errors import ConfigError, OutOfMemory
from tests.caching import counted, policy_of
from tests.chats import chat, order
from tests.governing import keys_of
from tests.servers import ServerKind, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from spillgate.cache._sync.space import Space
    from spillgate.cache._sync.training import Progress, Trainer
    from spillgate.config import Policy
    from tests.conftest import ServerFactory
    from tests.servers import Server

NAMESPACES = """
[[namespace]]
name = "messages"
keys = "app:messages:*"
ttl = "30m"
cleanup = "shorten"
priority = 1
dictionary = true
{more}
"""
POINTER = "spillgate:dictionary:{app:messages:}"
TTL_MS = dictionary_ttl_ms(4 * 30 * 60)
CHATS = {str(number): chat(number) for number in range(400)}
LATER = {f"later-{number}": chat(10_000 + number) for number in range(50)}


def policy(server: Server, more: str = "") -> Policy:
    return policy_of(server, NAMESPACES.format(more=more))


def space_of(cache: Cache) -> Space:
    return cache._space("messages")  # pyright: ignore[reportPrivateUsage]


def trainer_of(cache: Cache) -> Trainer:
    return space_of(cache).trainer


def train(cache: Cache) -> int:
    """Train and store, and return the number."""
    trainer = trainer_of(cache)
    return trainer.store(trainer.learn(trainer.sample()))


def pointer(client: redis.Redis) -> int | None:
    found = client.get(POINTER)
    assert found is None or isinstance(found, bytes)
    return read_pointer(found)[0]


def number_of(client: redis.Redis, key: str) -> int | None:
    """The dictionary that a value was written with."""
    data = client.get(f"app:messages:{key}")
    assert isinstance(data, bytes)
    return dictionary_of(data)


def left_ms(client: redis.Redis, number: int) -> int:
    """The TTL of a version: -1 without, -2 where it is gone."""
    left = client.pttl(f"{POINTER}#{number}")
    assert isinstance(left, int)
    return left


def is_outdated(client: redis.Redis, number: int) -> bool:
    return TTL_MS - 20_000 < left_ms(client, number) <= TTL_MS


@pytest.fixture
def cache(server: Server) -> Iterator[Cache]:
    """A cache with some messages in it."""
    with Cache(policy(server)) as cache:
        cache.namespace("messages").set_many(CHATS)
        yield cache


@pytest.fixture
def other(server: Server) -> Iterator[Cache]:
    """The cache of another process."""
    with Cache(policy(server)) as cache:
        yield cache


# ---- training


def test_a_dictionary_is_taken_up_with_the_next_write(cache: Cache, other: Cache, server: Server) -> None:
    client = server.client()
    messages, elsewhere = cache.namespace("messages"), other.namespace("messages")
    elsewhere.set("a", chat(1))
    number = train(cache)
    assert pointer(client) == number
    assert left_ms(client, number) == -1
    for view in (messages, elsewhere):
        view.set("first", chat(2))  # along with it the pointer is read
        assert view.set_many(LATER) == []
        assert number_of(client, "later-1") == number
    assert cache.namespace("messages").get_many([*CHATS, *LATER]) == CHATS | LATER
    with closing(Cache(policy(server))) as third:  # one that never writes
        assert third.namespace("messages").get_many([*CHATS, *LATER]) == CHATS | LATER
        assert counted(third) == {"hit": 450}


def test_what_it_promises_is_won(cache: Cache, server: Server) -> None:
    trainer = trainer_of(cache)
    training = trainer.learn(trainer.sample())
    assert (training.keys, training.learnt) == (400, 400)
    trainer.store(training)
    messages = cache.namespace("messages")
    messages.set("first", chat(1))
    messages.delete("first")
    messages.set_many({key: chat(5000 + number) for number, key in enumerate(CHATS)})
    client = server.client()
    stored = sum(client.strlen(name) for name in keys_of(client, "app:messages:*"))
    assert stored + len(training.content) == pytest.approx(training.trained_bytes, rel=0.05)
    assert stored < 0.6 * training.plain_bytes


def test_the_asynchronous_library_trains_likewise(valkey: Server) -> None:
    async def live() -> None:
        async with AsyncCache(policy(valkey)) as cache:
            messages = cache.namespace("messages")
            await messages.set_many(CHATS)
            trainer = cache._space("messages").trainer  # pyright: ignore[reportPrivateUsage]
            number = await trainer.store(await trainer.learn(await trainer.sample()))
            await messages.set("first", chat(1))
            await messages.set_many(LATER)
            assert number_of(valkey.client(), "later-1") == number
            assert await messages.get_many([*CHATS, *LATER]) == CHATS | LATER
            listing = await trainer.listing()
            assert [version.number for version in listing.versions] == [listing.current] == [number]
            await trainer.drop()
            assert await trainer.current() == (None, 1.0)

    asyncio.run(live())


def test_training_leaves_the_event_loop_to_others(valkey: Server) -> None:
    async def live() -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1

        async with AsyncCache(policy(valkey)) as cache:
            await cache.namespace("messages").set_many(CHATS)
            trainer = cache._space("messages").trainer  # pyright: ignore[reportPrivateUsage]
            sample = await trainer.sample()
            waiting = asyncio.create_task(others())
            await trainer.learn(sample)
            waiting.cancel()
            assert turns > 5

    asyncio.run(live())


def test_values_of_all_kinds_are_sampled(cache: Cache, server: Server) -> None:
    client = server.client()
    messages = cache.namespace("messages")
    train(cache)
    messages.set("first", chat(1))
    messages.set_many(LATER)  # with the dictionary
    messages.set("large", [chat(number) for number in range(100)])  # compressed without, or with one
    messages.set("number", 7)
    client.set("app:messages:theirs", b"{}", ex=60)
    client.set("app:messages:damaged", b"\xc1\x11??", ex=60)
    client.set("app:messages:lost", b"\xc1\x13\x7f\xff????", ex=60)
    client.hset("app:messages:hash", "a", "b")
    client.set("app:elsewhere:1", b"\xc1\x10" + b"x" * 100)
    reports: list[Progress] = []
    sample = trainer_of(cache).sample(reports.append)
    assert len(sample.values) == 400 + 1 + 50 + 1
    assert sample.keys == pytest.approx(452, abs=1)
    assert reports[-1].values == 452
    assert max(map(len, sample.values)) > 10_000


def test_only_values_that_can_be_reached_are_sampled(cache: Cache) -> None:
    cache.namespace("messages").clear()
    trainer = trainer_of(cache)
    sample = trainer.sample()
    assert sample == ([], 0)
    with pytest.raises(Untrainable, match="only 0 were found"):
        trainer.learn(sample)
    cache.namespace("messages").set_many(LATER)
    assert trainer_of(cache).sample().keys == 50


def test_of_many_keys_a_fair_part_is_read(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spillgate.cache._sync.training.MOST_VALUES", 300)
    with Cache(policy(valkey)) as cache:
        values = {str(number): chat(number) | {"half": number < 1500} for number in range(3000)}
        cache.namespace("messages").set_many(values)
        sample = trainer_of(cache).sample()
    assert len(sample.values) == 300
    assert sample.keys == pytest.approx(3000, rel=0.01)
    assert 100 < sum(b"\xa4half\xc3" in value for value in sample.values) < 200


def test_of_large_values_so_many_are_read_as_fit(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spillgate.cache._sync.training.MOST_BYTES", 500_000)
    with Cache(policy(valkey)) as cache:
        cache.namespace("messages").set_many({str(n): random.Random(n).randbytes(20_000).hex() for n in range(100)})
        sample = trainer_of(cache).sample()
    assert 500_000 <= sum(map(len, sample.values)) < 1_000_000
    assert sample.keys == 100


def test_plain_json_has_no_dictionary(valkey: Server) -> None:
    with Cache(policy(valkey, 'codec = "json"')) as cache, pytest.raises(ConfigError, match='takes codec = "msgpack"'):
        trainer_of(cache).sample()


# ---- the life of versions


def test_a_replaced_version_lives_as_long_as_its_values_may(cache: Cache, server: Server) -> None:
    client = server.client()
    messages = cache.namespace("messages")
    first = train(cache)
    messages.set("a", chat(1))
    messages.set_many(LATER)
    second = train(cache)
    assert second == first % MOST_ID + 1
    assert is_outdated(client, first)
    assert (left_ms(client, second), pointer(client)) == (-1, second)
    messages.set("a", chat(1))
    messages.set("b", chat(2))
    assert (number_of(client, "later-1"), number_of(client, "b")) == (first, second)
    with Cache(policy(server)) as other:
        assert other.namespace("messages").get_many(LATER) == LATER


def test_numbers_wrap_and_those_in_use_are_left_alone(cache: Cache, server: Server) -> None:
    client = server.client()
    first = train(cache)
    client.rename(f"{POINTER}#{first}", f"{POINTER}#{MOST_ID}")
    client.set(POINTER, b"%d 0.3" % MOST_ID)
    client.set(f"{POINTER}#1", b"somebody's", ex=60)
    assert train(cache) == 2
    assert client.get(f"{POINTER}#1") == b"somebody's"
    assert is_outdated(client, MOST_ID)


def test_of_two_that_train_at_once_neither_is_left_behind(cache: Cache, other: Cache, server: Server) -> None:
    client = server.client()
    one, two = trainer_of(cache), trainer_of(other)
    training = one.learn(one.sample())
    first = one.store(training)
    ask = two._ask  # pyright: ignore[reportPrivateUsage]

    def ask_early(*command: Any) -> Any:
        """The pointer as it was before the other one stored its own."""
        reply = ask(*command)
        if command[0] == "GET":
            numbers.append(one.store(training))
        return reply

    numbers: list[int] = []
    two._ask = ask_early  # pyright: ignore[reportPrivateUsage]
    numbers.append(two.store(training))
    assert numbers == [first + 1, first + 2]
    assert pointer(client) == first + 2
    assert is_outdated(client, first)
    assert is_outdated(client, first + 1)
    assert left_ms(client, first + 2) == -1


def test_who_wrote_long_ago_keeps_the_old_version(cache: Cache, other: Cache, server: Server) -> None:
    client = server.client()
    first = train(cache)
    idle = other.namespace("messages")
    idle.set("a", chat(1))
    second = train(cache)
    client.delete(f"{POINTER}#{first}")  # as when its TTL is over
    idle.set("late", chat(2))
    assert number_of(client, "late") == first
    assert is_outdated(client, first)
    idle.set("next", chat(3))
    assert number_of(client, "next") == second
    assert cache.namespace("messages").get_many(["late", "next"]) == {"late": chat(2), "next": chat(3)}


def test_a_prolonged_life_prolongs_that_of_the_dictionary(server: Server) -> None:
    client = server.client()
    with Cache(policy(server, "sliding = true")) as cache:
        messages = cache.namespace("messages")
        messages.set_many(CHATS)
        first = train(cache)
        messages.set("a", chat(1))
        messages.set("old", chat(2))
        train(cache)
        messages.set("a", chat(1))
        client.pexpire(f"{POINTER}#{first}", 5000)
        assert messages.get("old") == chat(2)
        assert is_outdated(client, first)


def test_a_current_version_that_the_server_lost_is_put_back(cache: Cache, server: Server) -> None:
    client = server.client()
    messages = cache.namespace("messages")
    number = train(cache)
    messages.set("a", chat(1))
    client.delete(f"{POINTER}#{number}")
    dictionaries = space_of(cache).dictionaries
    dictionaries._tend_at_s = 0.0  # pyright: ignore[reportPrivateUsage]
    messages.set("b", chat(2))
    eventually(lambda: is_outdated(client, number))
    client.pexpire(f"{POINTER}#{number}", 5000)
    dictionaries._tend_at_s = 0.0  # pyright: ignore[reportPrivateUsage]
    messages.set("c", chat(3))
    eventually(lambda: is_outdated(client, number))
    with Cache(policy(server)) as fresh:
        assert fresh.namespace("messages").get_many("abc") == {"a": chat(1), "b": chat(2), "c": chat(3)}


def test_without_its_version_values_are_counted_misses_until_it_is_back(
    cache: Cache, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.client()
    number = train(cache)
    cache.namespace("messages").set("a", chat(1))
    cache.namespace("messages").set("b", chat(2))
    content = client.get(f"{POINTER}#{number}")
    assert isinstance(content, bytes)
    client.delete(f"{POINTER}#{number}")
    monkeypatch.setattr("spillgate.cache._sync.dictionaries._MISSING_S", 0.05)
    with Cache(policy(server)) as fresh:
        messages = fresh.namespace("messages")
        assert messages.get("b") is None
        assert messages.set("c", chat(3))  # without a dictionary
        assert messages.set("d", chat(4))
        assert number_of(client, "d") is None
        assert counted(fresh) == {"miss": 1, "no_dictionary": 1, "set": 2}
        client.set(f"{POINTER}#{number}", content)
        assert eventually(lambda: messages.get("b")) == chat(2)
        eventually(lambda: messages.set("d", chat(4)) and number_of(client, "d") == number)


@pytest.mark.parametrize("content", [b"nonsense", b"\x37\xa4\x30\xec" + b"?" * 100])
def test_a_damaged_version_is_of_no_use_and_does_no_harm(server_factory: ServerFactory, content: bytes) -> None:
    server = server_factory(ServerKind.VALKEY_9_1)
    server.client().set(f"{POINTER}#5", content)
    server.client().set(POINTER, "5 0.2")
    with Cache(policy(server)) as cache:
        messages = cache.namespace("messages")
        assert messages.set_many(LATER) == []
        assert messages.set_many(LATER) == []
        assert messages.get_many(LATER) == LATER


def test_at_its_limit_the_server_takes_none_and_keeps_the_one_in_force(cache: Cache, server: Server) -> None:
    client = server.client()
    trainer = trainer_of(cache)
    training = trainer.learn(trainer.sample())
    first = trainer.store(training)
    client.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemory, match=r"takes no dictionary of .* the one in force, if any, stays"):
        trainer.store(training)
    client.config_set("maxmemory", 0)
    assert pointer(client) == first
    assert left_ms(client, first) == -1
    assert [version.number for version in trainer.listing().versions] == [first]


def test_where_only_the_pointer_is_refused_nothing_is_left_behind(cache: Cache, server: Server) -> None:
    client = server.client()
    trainer = trainer_of(cache)
    training = trainer.learn(trainer.sample())
    first = trainer.store(training)
    make = trainer._new_version  # pyright: ignore[reportPrivateUsage]

    def make_and_fill(content: bytes, before: int | None) -> int:
        number = make(content, before)
        client.config_set("maxmemory", 1)
        return number

    trainer._new_version = make_and_fill  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(OutOfMemory):
        trainer.store(training)
    assert (pointer(client), left_ms(client, first)) == (first, -1)
    assert [version.number for version in trainer.listing().versions] == [first]


# ---- listing and dropping


def test_versions_are_listed(cache: Cache) -> None:
    trainer = trainer_of(cache)
    assert trainer.listing() == (None, 1.0, [])
    first, second = train(cache), train(cache)
    listing = trainer.listing()
    assert listing.current == second
    assert 0 < listing.ratio < 0.6
    by_number = {version.number: version for version in listing.versions}
    assert by_number.keys() == {first, second}
    assert by_number[second].ttl_s is None
    assert by_number[first].ttl_s == pytest.approx(TTL_MS / 1000, abs=20)
    assert all(version.size_bytes > 1000 for version in listing.versions)


def test_dropped_it_can_still_be_read_with(cache: Cache, other: Cache, server: Server) -> None:
    client = server.client()
    elsewhere = other.namespace("messages")
    number = train(cache)
    elsewhere.set("a", chat(1))
    elsewhere.set("b", chat(2))
    trainer_of(cache).drop()
    assert pointer(client) is None
    assert is_outdated(client, number)
    elsewhere.set("a", chat(3))  # finds out
    elsewhere.set("c", chat(4))
    assert (number_of(client, "b"), number_of(client, "c")) == (number, None)
    with Cache(policy(server)) as fresh:
        assert fresh.namespace("messages").get_many("abc") == {"a": chat(3), "b": chat(2), "c": chat(4)}


def test_dropped_at_once_its_values_are_counted_misses(cache: Cache, other: Cache, server: Server) -> None:
    client = server.client()
    number = train(cache)
    cache.namespace("messages").set("a", chat(1))
    cache.namespace("messages").set("b", chat(2))
    trainer_of(cache).drop(now=True)
    assert left_ms(client, number) == -2
    assert other.namespace("messages").get("b") is None
    assert counted(other) == {"miss": 1, "no_dictionary": 1}
    assert train(other) != number  # values that name it may be left


# ---- decay


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decay is told after 100 values."""
    monkeypatch.setattr("spillgate.cache.dictionary._WINDOW_VALUES", 100)


ORDERS = {f"order-{number}": order(number) for number in range(1200)}


def store_orders(server: Server) -> None:
    """Let a process without dictionaries write them."""
    with Cache(policy_of(server, NAMESPACES.format(more="").replace("dictionary = true", ""))) as cache:
        assert cache.namespace("messages").set_many(ORDERS) == []


@pytest.mark.usefixtures("quick")
def test_when_values_change_another_is_trained_in_the_background(cache: Cache, server: Server) -> None:
    client = server.client()
    messages = cache.namespace("messages")
    first = train(cache)
    messages.set("a", chat(1))
    messages.set_many(CHATS)
    assert "decayed" not in counted(cache)
    store_orders(server)
    messages.set_many(ORDERS)
    second = eventually(lambda: (found := pointer(client)) != first and found)
    assert counted(cache)["decayed"] == 1
    messages.set("a", chat(1))
    messages.set_many(ORDERS)
    assert number_of(client, "order-7") == second
    assert counted(cache)["decayed"] == 1
    assert messages.get_many(ORDERS) == ORDERS


@pytest.mark.usefixtures("quick")
def test_when_values_change_another_is_trained_beside_the_event_loop(valkey: Server) -> None:
    client = valkey.client()

    async def live() -> None:
        async with AsyncCache(policy(valkey)) as cache:
            messages = cache.namespace("messages")
            await messages.set_many(CHATS)
            trainer = cache._space("messages").trainer  # pyright: ignore[reportPrivateUsage]
            first = await trainer.store(await trainer.learn(await trainer.sample()))
            await messages.set("a", chat(1))
            store_orders(valkey)
            await messages.set_many(ORDERS)
            await asyncio.to_thread(eventually, lambda: pointer(client) != first)
            assert counted(cache)["decayed"] == 1

    asyncio.run(live())


@pytest.mark.usefixtures("quick")
def test_one_process_does_it_and_not_twice_an_hour(cache: Cache, other: Cache, server: Server) -> None:
    client = server.client()
    lock = "spillgate:lock:" + POINTER
    train(cache)
    client.set(lock, 1, ex=3600)
    first = pointer(client)
    for one in (cache, other):
        messages = one.namespace("messages")
        messages.set("a", chat(1))
        messages.set_many(ORDERS)
        messages.set_many(ORDERS)
        assert counted(one)["decayed"] == 1
    assert pointer(client) == first
    client.delete(lock)
    trainer_of(cache).retrain()
    assert 3500 < client.ttl(lock) <= 3600
    second = pointer(client)
    assert second != first
    trainer_of(other).retrain()
    assert pointer(client) == second


@pytest.mark.usefixtures("quick")
def test_where_no_other_does_better_the_one_in_force_stays(
    cache: Cache, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = server.client()
    number = train(cache)
    trainer_of(cache).retrain()
    assert pointer(client) == number
    assert "no other does better" in caplog.text
    client.delete("spillgate:lock:" + POINTER)
    client.delete(*keys_of(client, "app:messages:*"))
    trainer_of(cache).retrain()
    assert pointer(client) == number
    assert "there is no other: it takes at least" in caplog.text


@pytest.mark.usefixtures("quick")
def test_retraining_never_fails_the_application(cache: Cache, server: Server) -> None:
    train(cache)
    messages = cache.namespace("messages")
    messages.set("a", chat(1))
    server.client().config_set("maxmemory", 1)
    assert len(messages.set_many(ORDERS)) == len(ORDERS)
    assert counted(cache)["decayed"] == 1
    server.kill()
    assert not messages.set("b", order(1))
