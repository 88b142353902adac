"""Everything that may go wrong with a server while it is governed: the governor recovers, and tells what happened."""

from __future__ import annotations

import random
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
import redis

from spillgate.config import Cleanup, NamespacePolicy, parse_policy
from spillgate.errors import ConfigError
from spillgate.governor.journal import Event
from spillgate.governor.loop import Governor
from spillgate.model import Level
from tests.governing import LIMIT, MB, NAMESPACES, HandClock, fill, fill_to, keys_of, level, policy_of, told, ttls, used
from tests.servers import HOST, Server, ServerKind, eventually

if TYPE_CHECKING:
    from tests.conftest import ServerFactory
    from tests.server.conftest import Govern


def errors(governor: Governor) -> list[str]:
    return [entry.message for entry in governor.journal.entries() if entry.event is Event.ERROR]


# ---- the server goes away and comes back


def test_the_server_is_killed_in_the_middle_of_a_cleanup(server: Server, govern: Govern) -> None:
    fill_to(server.client(), 0.95)
    clock = HandClock()
    governor = govern(server, clock=clock)
    looks_after_plan = 0

    def kill_soon() -> None:
        nonlocal looks_after_plan
        looks_after_plan += "cleanup by priority" in told(governor, Event.PLAN)
        if looks_after_plan == 3:
            server.kill()

    clock.when_read = kill_soon
    governor.cycle()
    assert looks_after_plan >= 3
    assert level(governor) is Level.EMERGENCY
    assert governor.state.error is not None
    assert "the level stays at emergency" in errors(governor)[0]

    pauses = [governor.cycle().seconds for _ in range(8)]
    assert pauses == sorted(pauses), "each retry waits at least as long as the one before"
    assert pauses[-1] <= 5
    assert level(governor) is Level.EMERGENCY
    assert len(errors(governor)) <= 2, "the same failure is told once"

    clock.when_read = lambda: None
    server.start()
    governor.cycle()
    assert governor.state.error is None
    said = told(governor, Event.SERVER)
    assert "restarted or replaced" in said
    assert "answers again" in said
    # It is empty now, and the level comes down step by step.
    for _ in range(200):
        clock.turn(1)
        governor.cycle()
    assert level(governor) is Level.NORMAL
    fill_to(server.client(), 0.97)
    clock.turn(1)
    governor.cycle()
    assert used(server.client()) < 0.8 * LIMIT


def test_the_server_is_restarted_between_two_looks(server: Server, govern: Govern) -> None:
    client = server.client()
    client.set("x", 1)
    clock = HandClock()
    governor = govern(server, clock=clock)
    governor.cycle()
    server.restart()
    clock.turn(30)
    for _ in range(2):
        governor.cycle()
    assert "restarted or replaced" in told(governor, Event.SERVER)
    assert told(governor, Event.SERVER).count("connected to") == 2
    assert governor.state.error is None


def test_another_version_takes_its_place(server_factory: ServerFactory, govern: Govern) -> None:
    old = server_factory(ServerKind.VALKEY_9_1)
    governor = govern(old)
    governor.cycle()
    assert governor.state.capabilities is not None
    assert governor.state.capabilities.script_flags
    old.kill()
    governor.cycle()
    new = Server(ServerKind.REDIS_6_2)
    new.port = old.port
    with new:
        governor.cycle()
        assert governor.state.capabilities is not None
        assert governor.state.capabilities.product == "redis"
        assert not governor.state.capabilities.script_flags
        assert governor.state.error is None


@pytest.mark.kinds("valkey-9.1")
def test_failed_looks_never_lower_the_level(server: Server, govern: Govern) -> None:
    fill_to(server.client(), 0.95, "app:tasks:", ttl_s=None)
    clock = HandClock()
    governor = govern(server, clock=clock)
    governor.cycle()
    assert level(governor) is Level.EMERGENCY
    server.kill()
    for _ in range(20):
        clock.turn(100)
        governor.cycle()
    assert level(governor) is Level.EMERGENCY
    assert governor.state.error is not None


@pytest.mark.kinds("valkey-9.1")
def test_a_server_that_hangs_is_unreachable_and_nothing_hangs_with_it(server: Server, govern: Govern) -> None:
    governor = govern(server, url=server.url, tables='[monitor]\ninterval = "30s"')
    governor.cycle()
    policy = governor.state.policy
    governor.reload(replace(policy, server=replace(policy.server, timeout_s=0.2, connect_timeout_s=0.2)))
    governor.cycle()
    server.freeze()
    started = time.monotonic()
    for _ in range(2):
        governor.cycle()
    assert time.monotonic() - started < 3
    assert "imeout" in (governor.state.error or "")
    server.thaw()
    governor.cycle()
    assert governor.state.error is None


@pytest.mark.kinds("valkey-9.1")
def test_a_server_that_is_not_there_yet(server: Server, govern: Govern) -> None:
    server.kill()
    governor = govern(server)
    pause = governor.cycle()
    assert 0 < pause.seconds <= 5
    assert governor.state.level_label == "unknown"
    assert "the level stays at unknown" in errors(governor)[0]
    server.start()
    governor.cycle()
    assert level(governor) is Level.NORMAL


# ---- full before the governor starts


@pytest.mark.parametrize("evaluate", [True, False], ids=["lua", "pipelined"])
def test_it_is_full_before_the_governor_starts(server: Server, govern: Govern, *, evaluate: bool) -> None:
    client = server.client()
    client.config_set("maxmemory", LIMIT)
    client.config_set("maxmemory-policy", "noeviction")
    fill(client, "app:tasks:", 500, ttl_s=None)
    fill(client, "unregistered:", 500, ttl_s=None)
    fill(client, "app:sessions:", 500)
    kept = keys_of(client)
    with pytest.raises(redis.OutOfMemoryError):
        fill(client, "app:messages:", 10_000)
    url = server.url
    if not evaluate:
        client.execute_command("ACL", "SETUSER", "noscripts", "on", ">secret", "~*", "&*", "+@all", "-eval", "-evalsha")
        url = url.replace("redis://", "redis://noscripts:secret@")
    governor = govern(server, url=url)
    governor.cycle()
    assert used(client) <= 0.8 * LIMIT
    assert keys_of(client) >= kept
    assert keys_of(client, "app:messages:*")
    fill(client, "app:tasks:more", 100)
    assert "level critical" in told(governor, Event.LEVEL) or "level emergency" in told(governor, Event.LEVEL)
    assert client.info("stats")["evicted_keys"] == 0
    assert ("not available: EVAL" in told(governor)) is not evaluate


# ---- answers that are errors


def test_it_is_loading(server_factory: ServerFactory, govern: Govern) -> None:
    server = server_factory(ServerKind.REDIS_7_0, key_load_delay=2000, loading_process_events_interval_bytes=1024)
    client = server.client()
    fill(client, "app:tasks:", 1000, ttl_s=None)
    governor = govern(server)
    governor.cycle()
    client.save()
    server.restart()
    with pytest.raises(redis.BusyLoadingError):
        client.dbsize()
    for _ in range(5):
        governor.cycle()
    assert errors(governor) == [
        "The server is loading its data set into memory and does not answer commands yet; the level stays at normal"
    ]
    assert "answers again" not in told(governor)
    eventually(lambda: client.info("persistence")["loading"] == 0, timeout_s=10)
    governor.cycle()
    assert governor.state.error is None
    assert told(governor).count("answers again") == 1
    assert client.dbsize() == 1000


def test_it_starts_while_the_server_is_loading(server_factory: ServerFactory, govern: Govern) -> None:
    server = server_factory(key_load_delay=2000, loading_process_events_interval_bytes=1024)
    fill(server.client(), "app:tasks:", 500)
    server.client().save()
    server.restart()
    governor = govern(server)
    pause = governor.cycle()
    assert "loading" in (governor.state.error or "")
    assert pause.seconds <= 5
    eventually(lambda: server.client().info("persistence")["loading"] == 0, timeout_s=10)
    governor.cycle()
    assert governor.state.error is None
    assert governor.state.capabilities is not None
    assert governor.state.capabilities.evaluate


def test_it_is_a_replica(server_factory: ServerFactory, server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.97)
    client.config_set("repl-diskless-sync-delay", 0)
    replica = server_factory(server.kind)
    replica.client().replicaof(HOST, server.port)
    eventually(lambda: replica.client().dbsize() == client.dbsize())
    governor = govern(replica)
    for _ in range(3):
        governor.cycle()
    assert "read-only replica" in (governor.state.error or "")
    assert level(governor) >= Level.EMERGENCY
    assert replica.client().dbsize() == client.dbsize()
    # It is promoted, and is governed from then on.
    replica.client().replicaof("NO", "ONE")
    governor.cycle()
    assert 0 < int(replica.client().dbsize()) < 0.9 * int(client.dbsize())
    assert "answers again" in told(governor, Event.SERVER)


def test_it_wants_a_password_all_of_a_sudden(server: Server, govern: Govern) -> None:
    client = server.client()
    governor = govern(server)
    governor.cycle()
    client.config_set("requirepass", "secret")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal")
    for _ in range(3):
        governor.cycle()
    assert "uthentication required" in (governor.state.error or "")
    assert "secret" not in told(governor)
    with redis.Redis(port=server.port, password="secret") as allowed:
        allowed.config_set("requirepass", "")
    governor.cycle()
    assert governor.state.error is None


def test_the_password_is_wrong(server_factory: ServerFactory, govern: Govern) -> None:
    server = server_factory(requirepass="right")
    governor = govern(server, url=server.url.replace("right", "wr0ng"))
    governor.cycle()
    assert "AuthenticationFailed" not in (governor.state.error or "")
    assert "WRONGPASS" in (governor.state.error or "") or "invalid username-password" in (governor.state.error or "")
    assert "wr0ng" not in told(governor)


@pytest.mark.parametrize("denied", ["info", "scan", "unlink"])
def test_it_may_not_do_what_governing_needs(server: Server, govern: Govern, denied: str) -> None:
    client = server.client()
    fill_to(client, 0.97)
    written = client.dbsize()
    client.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", f"-{denied}")
    governor = govern(server, url=server.url.replace("redis://", "redis://limited:secret@"))
    for _ in range(2):
        governor.cycle()
    assert governor.state.error is not None
    assert client.dbsize() == written
    assert "permission" in governor.state.error.lower() or "can't run this command" in governor.state.error
    client.execute_command("ACL", "SETUSER", "limited", "+@all")
    for _ in range(2):
        governor.cycle()
    assert used(client) < 0.8 * LIMIT
    assert governor.state.error is None


def test_it_is_busy_with_an_endless_script(server: Server, govern: Govern) -> None:
    client = server.client()
    client.config_set("lua-time-limit", 10)
    governor = govern(server)
    governor.cycle()
    with socket.create_connection((HOST, server.port)) as other:
        other.sendall(b"EVAL 'while true do end' 0\r\n")

        def is_busy() -> bool:
            try:
                return not client.ping()
            except redis.ResponseError as error:
                return str(error).startswith("BUSY")

        eventually(is_busy)
        for _ in range(3):
            governor.cycle()
        assert "busy running somebody's script" in (governor.state.error or "")
        assert len(errors(governor)) == 1
        assert level(governor) is Level.NORMAL
        client.script_kill()
        eventually(lambda: not is_busy())
    governor.cycle()
    assert governor.state.error is None


# ---- its limit changes


def test_maxmemory_changes_while_running(server: Server, govern: Govern) -> None:
    client = server.client()
    client.config_set("maxmemory", 2 * LIMIT)
    fill_to(client, 0.6)
    clock = HandClock()
    governor = govern(server, clock=clock)
    governor.cycle()
    assert level(governor) is Level.WARNING
    client.config_set("maxmemory", LIMIT * 65 // 100)
    clock.turn(1)
    governor.cycle()
    assert "maxmemory changed from 16MB to 5.2MB" in told(governor, Event.SERVER)
    assert used(client) < 0.8 * 0.65 * LIMIT
    assert governor.state.assessment is not None
    assert governor.state.assessment.limits.limit_bytes == LIMIT * 65 // 100
    client.config_set("maxmemory-policy", "allkeys-lru")
    clock.turn(10)
    governor.cycle()
    assert "eviction policy changed: noeviction to allkeys-lru" in told(governor, Event.SERVER)


def test_the_only_limit_there_was_is_taken_away(server: Server) -> None:
    client = server.client()
    client.config_set("maxmemory", LIMIT)
    clock = HandClock()
    governor = Governor(policy_of(server.url), clock=clock.clock)
    governor.cycle()
    client.config_set("maxmemory", 0)
    clock.turn(1)
    assert governor.cycle().seconds > 0
    assert "limit" in (governor.state.error or "")
    client.config_set("maxmemory", LIMIT)
    clock.turn(10)
    governor.cycle()
    assert governor.state.error is None
    governor.close()


# ---- keys


@pytest.mark.parametrize("evaluate", [True, False], ids=["lua", "pipelined"])
def test_keys_vanish_and_come_while_they_are_swept(server: Server, govern: Govern, *, evaluate: bool) -> None:
    client = server.client()
    fill(client, "app:tasks:", 300, ttl_s=None)
    fill_to(client, 0.97)
    url = server.url
    if not evaluate:
        client.execute_command("ACL", "SETUSER", "noscripts", "on", ">secret", "~*", "&*", "+@all", "-eval", "-evalsha")
        url = url.replace("redis://", "redis://noscripts:secret@")
    governor = govern(server, url=url)
    stop = threading.Event()

    def disturb() -> None:
        rng = random.Random(1)
        with redis.Redis(port=server.port) as other:
            while not stop.is_set():
                for _ in range(50):
                    if (key := cast("bytes | None", other.randomkey())) and not key.startswith(b"app:tasks:"):
                        other.delete(key)
                fill(other, f"app:pages:{rng.random()}", 20)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        for _ in range(5):
            governor.cycle()
            fill(client, "app:messages:again", 300)
    finally:
        stop.set()
        disturber.join()
    assert errors(governor) == []
    assert len(keys_of(client, "app:tasks:*")) == 300
    assert used(client) < 0.9 * LIMIT


def test_keys_are_binary_have_spaces_globs_or_end_in_newlines(server: Server, govern: Govern) -> None:
    client = server.client()
    tails = [b"", b" ", b"a b", b"*", b"[a-z]?", b"\x00\xff\x01", b"\n", b"end\n", b"\r\n", b"%d%s", b"\\"]
    kept = [
        prefix + tail for prefix in (b"app:tasks:", b"app:message", b"", b"*", b"\xffapp:messages:") for tail in tails
    ]
    for key in kept:
        client.set(key, b"x" * 100)
    gone = [prefix + tail for prefix in (b"app:messages:", b"app:analytics:") for tail in tails]
    for key in gone:
        client.set(key, b"x" * 70_000)
    fill_to(client, 0.97, "app:tasks:")
    governor = govern(server)
    governor.cleanup(Level.EMERGENCY, frozenset({"messages", "analytics"}))
    assert {key for key in gone if client.exists(key)} == set()
    assert [key for key in kept if key and not client.exists(key)] == []
    assert {client.ttl(key) for key in kept if client.exists(key)} == {-1}


OVERLAPPING = (
    NamespacePolicy("all", ("app:*",), ttl_s=60, cleanup=Cleanup.CLEAR, priority=1),
    NamespacePolicy("tasks", ("app:tasks:*",)),
)


def test_two_namespaces_that_match_one_key_are_a_mistake_in_the_policy_file() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_policy(NAMESPACES + '[[namespace]]\nname = "urgent"\nkeys = "app:tasks:urgent:*"\n', "spillgate.toml")
    for part in ("spillgate.toml", 'namespace[6] "urgent"', '"app:tasks:urgent:*"', '"app:tasks:*"', "belong to both"):
        assert part in str(caught.value)


@pytest.mark.parametrize("order", [1, -1])
def test_two_namespaces_that_match_one_key_in_a_policy_of_ones_own_making(
    server: Server, govern: Govern, order: int
) -> None:
    """A policy made in Python is not checked by the file's reader. Nothing starts with it, so all stays."""
    client = server.client()
    fill(client, "app:tasks:", 50, ttl_s=None)
    policy = replace(policy_of(server.url, namespaces=""), namespaces=OVERLAPPING[::order])
    with pytest.raises(ConfigError, match='"app:tasks:\\*" of "tasks", which is protected'):
        Governor(policy)
    governor = govern(server)
    governor.cycle()
    with pytest.raises(ConfigError, match="protected"):
        governor.reload(policy)
    governor.cycle()
    assert set(ttls(client).values()) == {-1}
    assert client.dbsize() == 50


# ---- memory that is not data


def test_client_buffers_hold_the_memory(server: Server, govern: Govern) -> None:
    client = server.client()
    fill(client, "app:messages:", 500)
    fill(client, "app:analytics:", 500)
    client.rpush("list", *[b"x" * 1000] * 500)
    before = keys_of(client)
    governor = govern(server)
    governor.cycle()
    assert level(governor) is Level.NORMAL
    with socket.create_connection((HOST, server.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"LRANGE list 0 -1\r\n" * 20)  # and never reads what comes
        eventually(lambda: cast("int", client.info("memory")["mem_clients_normal"]) > 0.7 * LIMIT, timeout_s=10)
        assert used(client) > 0.9 * LIMIT
        for _ in range(3):
            governor.cycle()
        assert level(governor) >= Level.EMERGENCY
        assert keys_of(client) == before
        assert governor.state.totals.deleted == 0
        assert "client buffers" in told(governor, Event.PLAN)
        assert "data is not what fills it" in told(governor, Event.PLAN)


@pytest.mark.kinds("valkey-9.1")
def test_replies_that_share_the_memory_of_their_values_hold_none_of_their_own(server: Server, govern: Govern) -> None:
    """Valkey 9.1 counts a reply of 16 KB and more as its client's memory although it only points at the value."""
    client = server.client()
    client.set("big", b"x" * (MB // 2))
    fill_to(client, 0.97)
    governor = govern(server)
    with socket.create_connection((HOST, server.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET big\r\n" * 14)
        eventually(lambda: cast("int", client.info("memory")["mem_clients_normal"]) > 0.3 * LIMIT, timeout_s=10)
        messages = len(keys_of(client, "app:messages:*"))
        governor.cycle()
        assert level(governor) >= Level.EMERGENCY
        assert 0 < len(keys_of(client, "app:messages:*")) < messages
        assert 0.6 * LIMIT < used(client) < 0.92 * LIMIT


# ---- one key that is large


@pytest.mark.kinds("valkey-9.1", "redis-7.0")
def test_a_collection_of_a_million_elements_goes_without_stalling_anyone(server: Server, govern: Govern) -> None:
    client = server.client()
    client.eval("for i = 1, 1e6 do redis.call('SADD', KEYS[1], 'element:' .. i) end", 1, "app:analytics:huge")
    fill(client, "app:tasks:", 100, ttl_s=None)
    fill(client, "app:messages:", 2000)
    limit = used(client)
    # Freeing it in the foreground takes a quarter of a second, on an idle machine.
    client.config_set("slowlog-log-slower-than", 200_000)
    client.slowlog_reset()
    freed = client.info("memory")["lazyfreed_objects"]
    governor = govern(server, limit_bytes=limit)
    governor.cycle()
    assert not client.exists("app:analytics:huge")
    ours = [entry for entry in client.slowlog_get() if entry["command"].startswith(b"EVAL")]
    assert [entry["duration"] for entry in ours if b"SADD" not in entry["command"]] == []
    # While a million elements are being freed nothing else is deleted for want of memory.
    eventually(lambda: client.info("memory")["lazyfree_pending_objects"] == 0)
    assert client.info("memory")["lazyfreed_objects"] > freed
    governor.cycle()
    assert used(client) < limit / 2
    assert len(keys_of(client, "app:messages:*")) == 2000
    assert len(keys_of(client, "app:tasks:*")) == 100


# ---- clocks that jump


@pytest.mark.kinds("valkey-9.1")
def test_the_clocks_jump(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.3, "app:tasks:", ttl_s=None)
    clock = HandClock()
    rng = random.Random(7)
    governor = govern(server, clock=clock)
    levels = [Level.NORMAL]
    for step in range(60):
        if step % 20 == 10:
            fill_to(client, 0.95)
        clock.monotonic_s += rng.choice([0.0, 0.001, 1.0, 3600.0, -0.5, -3600.0, -1e6])
        clock.wall_s += rng.choice([0.0, 1.0, 86_400.0, -86_400.0, -1e7])
        pause = governor.cycle()
        assert 0 < pause.seconds <= 30
        assert governor.state.error is None
        assert governor.state.assessment is not None
        assert governor.state.assessment.level >= governor.state.assessment.raw_level
        assert used(client) <= 0.88 * LIMIT
        levels.append(level(governor))
    assert max(levels) >= Level.EMERGENCY
    assert len(keys_of(client, "app:tasks:*")) > 0


@pytest.mark.kinds("valkey-9.1")
def test_a_clock_set_back_does_not_lower_the_level_sooner(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.93, "app:tasks:", ttl_s=None)
    clock = HandClock()
    governor = govern(server, clock=clock)
    governor.cycle()
    assert level(governor) is Level.EMERGENCY
    client.flushall()
    clock.turn(1)
    governor.cycle()
    clock.turn(-500)
    governor.cycle()
    clock.turn(14.9)
    governor.cycle()
    assert level(governor) is Level.EMERGENCY
    clock.turn(0.2)
    governor.cycle()
    assert level(governor) is Level.PREVENTIVE


@pytest.mark.kinds("valkey-9.1")
def test_a_wall_clock_set_back_over_midnight_opens_no_second_budget(server: Server, govern: Govern) -> None:
    fill_to(server.client(), 0.95, "app:tasks:", ttl_s=None)
    clock = HandClock(wall_s=86_400.0 * 1000 + 60)
    governor = govern(server, clock=clock, tables="[monitor]\ncommands_per_day = 60")
    for step in range(100):
        clock.turn(5)
        clock.wall_s += -7200 if step % 2 else 7200
        governor.cycle()
    assert governor.state.commands <= 60


# ---- the server helps itself


def test_refused_writes_and_evictions_are_told(server: Server, govern: Govern) -> None:
    client = server.client()
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", LIMIT)
    clock = HandClock()
    governor = govern(server, clock=clock)
    governor.cycle()
    with pytest.raises(redis.OutOfMemoryError):
        fill_to(client, 1.1, "app:tasks:", ttl_s=None)
    clock.turn(10)
    governor.cycle()
    assert "refused" in told(governor, Event.ALARM)
    client.config_set("maxmemory-policy", "allkeys-random")
    fill(client, "app:tasks:x", 500)
    clock.turn(10)
    governor.cycle()
    assert "the server itself evicted" in told(governor, Event.ALARM)
    assert "(allkeys-random)" in told(governor, Event.ALARM)


# ---- what is not for a cleanup of this database to pay for


def test_another_database_fills_the_server(server: Server, govern: Govern) -> None:
    client = server.client()
    fill(client, "app:messages:", 100)
    client.select(1)
    fill_to(client, 0.95, prefix="elsewhere:")
    client.select(0)
    governor = govern(server)
    for _ in range(3):
        governor.cycle()
    assert level(governor) >= Level.EMERGENCY
    assert len(keys_of(client, "app:messages:*")) == 100
    assert "other databases" in told(governor, Event.PLAN)


def test_a_cleanup_that_failed_in_the_middle_is_ended_by_the_next_cycle(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.97)
    client.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all")
    governor = govern(server, url=server.url.replace("redis://", "redis://limited:secret@"))
    client.execute_command("ACL", "SETUSER", "limited", "-unlink")
    governor.cycle()
    assert governor.state.error is not None
    assert not governor.state.unreadable
    # Meanwhile the application deletes some by itself: below emergency, but above what an emergency aims at.
    client.execute_command("ACL", "SETUSER", "limited", "+@all")
    for key in sorted(keys_of(client, "app:messages:*")):
        if used(client) < 0.85 * LIMIT:
            break
        client.delete(key)
    governor.cycle()
    assert used(client) < 0.78 * LIMIT


def test_the_oldest_messages_go_before_their_ttls_are_shortened(server: Server, govern: Govern) -> None:
    client = server.client()
    pipe = client.pipeline(transaction=False)
    for number in range(6000):
        pipe.set(f"app:messages:{number:04}", b"m" * 1000, px=360_000 + number * 240)
    pipe.execute()
    assert used(client) > 0.9 * LIMIT
    governor = govern(server)
    governor.cycle()
    left = [int(key.rsplit(b":", 1)[1]) for key in keys_of(client, "app:messages:*")]
    oldest, newest = sum(number < 1500 for number in left), sum(number >= 4500 for number in left)
    assert newest == 1500
    assert oldest < 900
    assert max(ttls(client, "app:messages:*").values()) <= 300


def test_a_governor_runs_once(server: Server, govern: Govern) -> None:
    governor = govern(server)
    governor.start()
    governor.stop()
    with pytest.raises(RuntimeError, match="make a new one"):
        governor.start()
