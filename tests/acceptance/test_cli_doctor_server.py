"""``spillgate doctor`` on what a server does by itself: idle times, expiry, buffers, scripts, connections."""

from __future__ import annotations

import json
import random
import socket
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.governing import MB, dumped, fill, used
from tests.servers import HOST, ServerKind, eventually

if TYPE_CHECKING:
    import redis

    from tests.acceptance.conftest import Typed
    from tests.conftest import ServerFactory
    from tests.servers import Server

DAY_S = 86_400


def found(typed: Typed, server: Server, *arguments: str) -> dict[str, dict[str, Any]]:
    """The first finding of each check."""
    told = typed("doctor", "--json", "--growth", "0s", *arguments, server=server)
    findings = cast("list[dict[str, Any]]", json.loads(told.stdout)["findings"])
    return {finding["id"]: finding for finding in reversed(findings)}


def info(client: redis.Redis, section: str, field: str) -> int:
    return cast("dict[str, int]", client.info(section))[field]


def write_idle(client: redis.Redis, prefix: str, count: int, idle_s: int, ttl_ms: int) -> None:
    """Keys that were last used so long ago."""
    payload = dumped(client, 1000)
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        pipe.restore(f"{prefix}{number}", ttl_ms, payload, idletime=idle_s)
    pipe.execute()


def test_what_nobody_uses_is_found(server: Server, typed: Typed) -> None:
    client = server.client()
    fill(client, "app:pages:", 300)
    write_idle(client, "app:archive:", 200, 5 * DAY_S, 0)
    stored = found(typed, server)["long-term-storage"]
    assert (stored["prefix"], stored["evidence"]["keys"]["value"]) == ("app:archive:*", 200)
    assert stored["wins"]["value"] == pytest.approx(200 * 1100, rel=0.1)


def test_ttls_longer_than_the_use_are_found(server: Server, typed: Typed) -> None:
    client = server.client()
    write_idle(client, "cache:1", 300, 30, DAY_S * 1000)
    write_idle(client, "cache:2", 100, 20_000, DAY_S * 1000)
    outlived = found(typed, server)["ttl-outlives-use"]
    assert outlived["fix"].startswith("SET … EX 300 ")
    assert outlived["wins"]["value"] == pytest.approx(100 * 1100, rel=0.1)


@pytest.mark.kinds("valkey-9.1", "redis-7.0")
def test_a_backlog_of_expired_keys_is_found(server: Server, server_factory: ServerFactory, typed: Typed) -> None:
    debuggable = server_factory(server.kind, enable_debug_command="yes")
    client = debuggable.client()
    client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    fill(client, "app:pages:", 30_000, 50)
    pipe = client.pipeline(transaction=False)
    for number in range(10_000):
        pipe.set(f"app:gone:{number}", "x" * 50, px=1)
    pipe.execute()
    backlog = found(typed, debuggable)["expiry-backlog"]
    # What is visited is dropped, which may be a third of all keys.
    assert 6000 <= backlog["evidence"]["expired"]["value"] <= 10_500
    assert backlog["fix"].startswith("CONFIG SET active-expire-effort ")


def test_memory_of_scripts_is_found_and_won(server: Server, typed: Typed) -> None:
    client = server.client()
    for number in range(400):
        client.eval(f"return '{number}{'x' * 3000}'", 0)
    scripts = found(typed, server)["scripts"]
    before = used(client)
    assert scripts["fix"].startswith("SCRIPT FLUSH")
    client.script_flush()
    eventually(lambda: before - used(client) > 0.65 * scripts["wins"]["value"])
    assert before - used(client) < 1.35 * scripts["wins"]["value"]


def test_replies_that_nobody_reads_are_found(server: Server, typed: Typed) -> None:
    client = server.client()
    client.set("app:big", random.Random(1).randbytes(MB))
    with closing(socket.create_connection((HOST, server.port))) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"CLIENT SETNAME deaf\r\n" + b"GET app:big\r\n" * 40)
        eventually(lambda: info(client, "memory", "mem_clients_normal") > 10 * MB)
        buffers = found(typed, server)["client-buffers"]
    assert buffers["severity"] == "high"
    assert "(deaf), last command get" in buffers["text"]
    assert buffers["fix"].startswith('CONFIG SET client-output-buffer-limit "normal ')
    client.config_set("client-output-buffer-limit", buffers["fix"].split('"')[1])


def test_connections_near_the_most_are_found(server: Server, typed: Typed) -> None:
    client = server.client()
    client.config_set("maxclients", 20)
    with ExitStack() as crowd:
        for _ in range(15):
            crowd.enter_context(closing(socket.create_connection((HOST, server.port))))
        eventually(lambda: info(client, "clients", "connected_clients") >= 16)
        connections = found(typed, server)["connections"]
    assert connections["evidence"]["most"] == 20
    assert connections["severity"] in {"medium", "high"}


def test_an_eviction_policy_that_does_not_fit_is_found(server: Server, typed: Typed) -> None:
    client = server.client()
    client.config_set("maxmemory", 8 * MB)
    fill(client, "app:cache:", 300, 10_000)
    client.config_set("maxmemory-policy", "noeviction")
    assert found(typed, server)["cache-without-eviction"]["severity"] in {"low", "medium"}
    client.config_set("maxmemory-policy", "volatile-lru")
    assert "volatile-without-ttl" not in found(typed, server)
    fill(client, "app:users:", 560, 10_000, None)
    assert found(typed, server)["volatile-without-ttl"]["severity"] == "high"
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.lpush("celery", "job")
    fill(client, "app:cache:more:", 300, 10_000)
    assert info(client, "stats", "evicted_keys") > 0
    client.lpush("celery", "job")
    assert found(typed, server)["queue-under-eviction"]["severity"] == "critical"


def test_under_lfu_what_needs_idle_times_says_so(server: Server, typed: Typed) -> None:
    client = server.client()
    client.config_set("maxmemory-policy", "allkeys-lfu")
    fill(client, "app:cache:", 300)
    told = typed("doctor", "--json", "--growth", "0s", server=server)
    unable = {one["id"]: one["reason"] for one in json.loads(told.stdout)["unable"]}
    assert "LFU" in unable["ttl-outlives-use"]
    assert "LFU" in unable["long-term-storage"]


def test_the_fixes_of_settings_are_taken_by_the_server(server: Server, typed: Typed) -> None:
    client = server.client()
    missing = found(typed, server)["memory-limit"]
    assert missing["severity"] == "medium"
    _, _, name, value = missing["fix"].split()[:4]
    assert client.config_set(name, value)
    declared = found(typed, server, "--limit", "25MB")["memory-limit"]
    assert declared["severity"] == "high"
    assert declared["fix"] == f"CONFIG SET maxmemory {25 * MB}"
    assert client.config_set("maxmemory", 25 * MB)
    assert "memory-limit" not in found(typed, server, "--limit", "25MB")


def test_the_doubling_of_the_table_comes_when_it_is_said_to(server: Server, typed: Typed) -> None:
    client = server.client()
    fill(client, "app:pages:", 7100 if server.kind is ServerKind.VALKEY_9_1 else 8120, 1, None)
    found(typed, server)  # so that its scripts are there
    client.config_set("maxmemory", info(client, "memory", "used_memory") + 130_000)
    told = found(typed, server)["rehash-headroom"]
    left, step = (int(told["evidence"][name]) for name in ("keys_left", "step_bytes"))
    assert 'reserve = "' in told["fix"]
    client.config_set("maxmemory", 0)
    fill(client, "app:more:", left - 50, 1, None)
    before = used(client)
    fill(client, "app:last:", 100, 1, None)
    assert step <= used(client) - before < step + 100 * 400
