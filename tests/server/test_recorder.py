"""What caches record about themselves, published on the server they use."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from spillgate import AsyncCache, Cache
from spillgate.cache import recorder
from spillgate.cache.recording import MOST_BYTES, RECORDINGS, TTLS_S, Namespace, decode, read_recordings
from spillgate.model import Level
from tests.caching import NAMESPACES, Message, counted, policy_of
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spillgate.cache.pressure import Pressure
    from spillgate.cache.recording import Recording
    from tests.conftest import ServerFactory
    from tests.servers import Server

SLIDING = NAMESPACES.replace('ttl = "30m"\n', 'ttl = "30m"\nsliding = true\n')


@pytest.fixture(autouse=True)
def _sample_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """All caches of a process share a sample, those of tests before this one too, as far as something holds them."""
    monkeypatch.setattr(recorder, "_samples", {})


@pytest.fixture
def cache(valkey: Server) -> Iterator[Cache]:
    """A cache on a fresh Valkey."""
    with Cache(policy_of(valkey)) as cache:
        yield cache


def due(cache: Any) -> None:
    """Let a minute be over: the next call publishes."""
    cache._client.recorder.due_s = 0.0


def pressure_of(cache: Any) -> Pressure:
    """What a cache knows of its server's memory."""
    return cache._client.pressure


def published(server: Server) -> Recording:
    """All that is published on a server."""
    client: Any = server.client()
    return read_recordings(client.execute_command)


def keys_of(server: Server) -> list[bytes]:
    """The keys of what is published."""
    client: Any = server.client()
    return sorted(client.scan_iter(match=RECORDINGS + "*"))


def noted(cache: Any, name: str = "messages") -> Namespace:
    """What a cache recorded of a namespace."""
    return cache.recording()[name]


def kept_at(ttl_s: int, namespace: Namespace) -> int:
    """The seconds that values would have been there with this TTL."""
    return namespace.kept_s[TTLS_S.index(ttl_s)]


# Publishing


def test_a_recording_goes_along_with_a_call_as_one_small_key_that_expires(server: Server) -> None:
    with Cache(policy_of(server)) as cache:
        messages = cache.namespace("messages", type=Message)
        messages.set("1", Message(1, "hello"))
        messages.get("1")
        assert keys_of(server) == []
        due(cache)
        calls = server.client().info("stats")["total_connections_received"]
        assert messages.get("1") == Message(1, "hello")
        (key,) = keys_of(server)
        recording = cache.recording()
        assert key.decode() == recording.processes[0].key
        client = server.client()
        assert 170_000 < int(client.pttl(key)) <= 180_000
        assert client.strlen(key) < MOST_BYTES / 8
        document = client.get(key)
        assert isinstance(document, bytes)
        assert decode(document)["messages"].reads == 1  # the call that took it along was not over yet
        assert server.client().info("stats")["total_connections_received"] - calls <= 4  # those of this test
        messages.get("1")
        assert client.get(key) == document  # once a minute


def test_reading_it_takes_no_more_than_a_callable(server: Server) -> None:
    with Cache(policy_of(server)) as one, Cache(policy_of(server)) as two:
        for cache in (one, two):
            messages = cache.namespace("messages")
            messages.get_many(["a", "b", "c"])
            due(cache)
            cache.ping()
        for number in range(3000):
            one.namespace("users").set(f"{number}", number)
        server.client().set(RECORDINGS + "somebody:1:else", b"no recording")
        recording = published(server)
    assert {process.token for process in recording.processes} == {
        process.token for cache in (one, two) for process in cache.recording().processes
    }
    assert recording.unreadable == 1
    assert recording["messages"].reads == 6
    assert recording["messages"].keys == 6
    assert recording["messages"].sharing == 2
    assert recording.since_s <= recording.until_s <= time.time()


def test_asyncio_publishes_likewise(valkey: Server) -> None:
    async def main() -> Recording:
        async with AsyncCache(policy_of(valkey)) as cache:
            messages = cache.namespace("messages")
            await messages.set("1", 1)
            await asyncio.gather(*(messages.get("1") for _ in range(9)))
            due(cache)
            await asyncio.gather(*(messages.get("1") for _ in range(9)))
            return cache.recording()

    recording = asyncio.run(main())
    assert [key.decode() for key in keys_of(valkey)] == [process.key for process in recording.processes]
    assert published(valkey)["messages"].reads >= 9
    assert recording["messages"].reads == 18


def test_nothing_is_published_where_that_is_switched_off(valkey: Server) -> None:
    with Cache.from_url(config=policy_of(valkey), record=False) as cache:
        messages = cache.namespace("messages")
        messages.set("1", 1)
        assert messages.get("1") == 1
        assert cache.recording().namespaces == ()
        assert keys_of(valkey) == []


def test_nothing_is_published_while_the_server_is_short_of_memory(server_factory: ServerFactory) -> None:
    server = server_factory(maxmemory="25mb")
    with Cache(policy_of(server)) as cache:
        messages = cache.namespace("messages")
        messages.get("1")
        pressure_of(cache).refused(time.monotonic())  # what a refused write tells
        due(cache)
        messages.get("1")
        assert cache.level is Level.CRITICAL
        assert keys_of(server) == []

        def is_published() -> bool:
            messages.get("1")
            return bool(keys_of(server))

        eventually(is_published)
        assert cache.level is Level.NORMAL


def test_a_publication_that_is_refused_fails_nothing_and_counts_as_nothing(server_factory: ServerFactory) -> None:
    server = server_factory(maxmemory="3mb", maxmemory_policy="noeviction")
    with Cache(policy_of(server)) as cache:
        messages = cache.namespace("messages")
        assert messages.set("1", 1)
        client = server.client()
        client.config_set("maxmemory", 1)
        due(cache)
        assert messages.get("1") == 1
        assert keys_of(server) == []
        assert counted(cache) == {"set": 1, "hit": 1}
        client.config_set("maxmemory", "3mb")
        client.execute_command("ACL", "SETUSER", "default", "resetkeys", "~app:*", "~spillgate:generation:*")
        due(cache)
        assert messages.get("1") == 1
        assert counted(cache) == {"set": 1, "hit": 2}


def test_a_dead_server_is_told_nothing_and_what_it_did_not_answer_is_not_recorded(valkey: Server) -> None:
    with Cache(policy_of(valkey)) as cache:
        messages = cache.namespace("messages")
        messages.get("1")
        valkey.kill()
        due(cache)
        assert messages.get("1") is None
        assert messages.get_many(["1", "2"]) == {}
        assert not messages.set("1", 1)
        assert messages.get_or_set("1", lambda: 1) == 1
        assert (noted(cache).reads, noted(cache).writes) == (1, 0)
        valkey.start()
        eventually(lambda: messages.set("1", 1))
        due(cache)
        messages.get("1")
        assert len(keys_of(valkey)) == 1


FORKING = """
import os, sys
from spillgate import Cache, parse_policy

cache = Cache(parse_policy(sys.stdin.read(), "test"))
messages = cache.namespace("messages")
messages.get_many(["a", "b", "c"])
child = os.fork()
if child == 0:
    messages.get("d")
cache._client.recorder.due_s = 0.0
cache.ping()
print(cache.recording().processes[0].key, messages.name, cache.recording()["messages"].reads, flush=True)
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


def test_after_a_fork_the_child_records_for_itself(valkey: Server) -> None:
    text = f'[server]\nurl = "{valkey.url}"\n{NAMESPACES}'
    ran = subprocess.run(
        [sys.executable, "-c", FORKING], input=text, capture_output=True, text=True, check=True, timeout=30
    )
    lines = sorted((line.split() for line in ran.stdout.splitlines()), key=lambda line: line[2])
    (child, _, child_reads), (parent, _, parent_reads) = lines
    assert (child_reads, parent_reads) == ("1", "3")
    assert child != parent
    assert child.split(":")[-2] != parent.split(":")[-2]  # process numbers
    assert sorted(key.decode() for key in keys_of(valkey)) == sorted([child, parent])
    assert published(valkey)["messages"].reads == 4


def test_processes_find_out_that_they_use_the_same_keys(valkey: Server) -> None:
    program = FORKING.replace('["a", "b", "c"]', "map(str, range(500))").replace(
        'messages.get("d")', "messages.get_many(map(str, range(500)))"
    )
    text = f'[server]\nurl = "{valkey.url}"\n{NAMESPACES}'
    for _ in range(2):  # with other seeds of Python's own hashes
        subprocess.run([sys.executable, "-c", program], input=text, text=True, check=True, timeout=30)
    messages = published(valkey)["messages"]
    assert messages.processes == 4
    assert messages.sharing == 4


# What is recorded


def test_reads_and_writes(cache: Cache) -> None:
    messages = cache.namespace("messages")
    assert messages.get("1") is None
    messages.set("1", "x" * 100)
    messages.get("1")
    messages.set_many({"2": "y", "3": "z"})
    messages.get_many(["1", "2", "4"])
    seen = noted(cache)
    assert (seen.reads, seen.hits, seen.writes, seen.keys) == (5, 3, 3, 4)
    assert seen.updates == 2  # the first write filled a miss
    assert sum(seen.sizes) == 3
    assert seen.sizes[7] == 1  # 104 bytes


def test_computed_values_with_their_cost(cache: Cache) -> None:
    messages = cache.namespace("messages")
    for _ in range(3):
        messages.get_or_set("1", lambda: time.sleep(0.01))
    seen = noted(cache)
    assert (seen.reads, seen.hits, seen.writes, seen.computes, seen.updates) == (3, 2, 1, 1, 0)
    assert 0.01 <= seen.compute_s < 0.5
    assert sum(seen.costs[14:]) == 1  # 8 ms and more
    assert seen.first[0] == 1
    assert set(seen.misses) == {0}


def test_a_result_shared_with_another_caller_is_a_read(valkey: Server) -> None:
    async def main() -> Namespace:
        async with AsyncCache(policy_of(valkey)) as cache:
            messages = cache.namespace("messages")

            async def compute() -> int:
                await asyncio.sleep(0.02)
                return 1

            await asyncio.gather(*(messages.get_or_set("1", compute) for _ in range(10)))
            return noted(cache)

    seen = asyncio.run(main())
    assert (seen.reads, seen.hits, seen.writes) == (10, 9, 1)


def test_counters_and_locks(cache: Cache) -> None:
    messages = cache.namespace("messages")
    assert [messages.incr("count") for _ in range(3)] == [1, 2, 3]
    assert [messages.add("lock", 1) for _ in range(2)] == [True, False]
    seen = noted(cache)
    assert (seen.reads, seen.hits, seen.writes, seen.updates) == (5, 3, 2, 0)


def test_deleted_and_cleared_values_take_no_memory_any_more(cache: Cache) -> None:
    messages = cache.namespace("messages")
    messages.set_many({"1": 1, "2": 2, "3": 3})
    messages.delete("1")
    messages.clear()
    messages.get_many(["1", "2", "3"])
    seen = noted(cache)
    assert set(seen.misses) == {3}
    assert kept_at(86_400, seen) == 0
    assert seen.unfilled == 0


def test_another_process_that_clears_is_noticed(valkey: Server, cache: Cache) -> None:
    messages = cache.namespace("messages")
    messages.set("1", 1)
    with Cache(policy_of(valkey)) as other:
        other.namespace("messages").clear()
    assert messages.get("1") is None
    assert set(noted(cache).misses) == {1}


def test_shed_writes_are_recorded_as_wanted(cache: Cache) -> None:
    analytics = cache.namespace("analytics")
    analytics.get("1")
    pressure_of(cache).refused(time.monotonic())  # what a refused write tells
    assert not analytics.set("1", 1)
    assert (noted(cache, "analytics").writes, noted(cache, "analytics").updates) == (1, 0)


def test_a_sliding_namespace_is_told_as_one(valkey: Server) -> None:
    with Cache(policy_of(valkey, SLIDING)) as cache:
        messages = cache.namespace("messages")
        messages.set("1", 1)
        messages.get("1")
        messages.touch("1")
        assert noted(cache).sliding
        assert cache.namespace("users").touch("1") is False
        assert not noted(cache, "users").sliding


def test_keys_are_written_down_nowhere(valkey: Server, cache: Cache) -> None:
    secret = "somebody@example.org"
    messages = cache.namespace("messages")
    messages.set(secret, 1)
    messages.get(secret)
    due(cache)
    cache.ping()
    (key,) = keys_of(valkey)
    document = valkey.client().get(key)
    assert isinstance(document, bytes)
    assert secret.encode() not in document
    assert secret.encode() not in repr(decode(document)).encode()
