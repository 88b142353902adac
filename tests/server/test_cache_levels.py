"""The cache under memory pressure: shorter TTLs, then fewer writes, protected namespaces never."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spillgate import Cache, Governor
from spillgate.model import Level
from tests.caching import counted, policy_of
from tests.servers import ServerKind, eventually

if TYPE_CHECKING:
    from tests.conftest import ServerFactory
    from tests.servers import Server


def use(server: Server, share: float) -> None:
    """Set the limit so that what is used is this share of it."""
    client = server.client()
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / share))


def started(server_factory: ServerFactory, kind: ServerKind = ServerKind.VALKEY_9_1) -> Server:
    """A server with 8 MB in it, beside which it matters little what connections take."""
    server = server_factory(kind, maxmemory="100mb", maxmemory_policy="noeviction")
    server.client().setrange("filler", 8_000_000, "x")
    return server


def seen(cache: Cache, level: Level) -> bool:
    """Use the cache, and tell whether it has come to see the level."""
    cache.namespace("users").get("look")
    return cache.level is level


def test_the_level_follows_the_server(server_factory: ServerFactory, server: Server) -> None:
    small = started(server_factory, server.kind)
    with Cache(policy_of(small)) as cache:
        assert cache.level is None
        assert seen(cache, Level.NORMAL)
        use(small, 0.9)
        eventually(lambda: seen(cache, Level.EMERGENCY))
        use(small, 0.02)
        eventually(lambda: seen(cache, Level.NORMAL))


def test_ttls_are_those_of_the_level_but_for_protected_namespaces(server_factory: ServerFactory) -> None:
    small = started(server_factory)
    with Cache(policy_of(small)) as cache:
        messages, users = cache.namespace("messages"), cache.namespace("users")
        use(small, 0.9)
        eventually(lambda: seen(cache, Level.EMERGENCY))
        messages.set("1", 1)
        users.set("1", 1)
        assert 290 < (messages.ttl("1") or 0) <= 300
        assert (users.ttl("1") or 0) > 800
        assert counted(cache)["shortened"] >= 1
        assert "shortened" not in counted(cache, "users")
        use(small, 1.05)
        eventually(lambda: seen(cache, Level.CRITICAL))
        assert messages.touch("1")
        assert 50 < (messages.ttl("1") or 0) <= 60


def test_at_critical_writes_are_shed_in_the_order_of_cleanup_and_never_protected_ones(
    server_factory: ServerFactory,
) -> None:
    small = started(server_factory)
    with Cache(policy_of(small)) as cache:
        analytics, messages, users = (cache.namespace(name) for name in ("analytics", "messages", "users"))
        messages.set("1", 1)
        use(small, 1.2)
        eventually(lambda: seen(cache, Level.CRITICAL))
        small.client().config_set("maxmemory", "100mb")  # there is room, which the library finds out within a second
        assert not analytics.set("1", 1)
        assert counted(cache, "analytics") == {"shed": 1}
        assert users.set("1", 1)
        assert users.set_many({"2": 2}) == []
        assert messages.get("1") == 1  # nothing but writes is shed
        eventually(lambda: analytics.set("1", 1))  # also where nothing but shed writes would be sent
        assert cache.level is Level.NORMAL


def test_cached_functions_compute_while_their_namespace_is_shed(server_factory: ServerFactory) -> None:
    small = started(server_factory)
    with Cache(policy_of(small)) as cache:
        analytics = cache.namespace("analytics")
        use(small, 1.2)
        eventually(lambda: seen(cache, Level.CRITICAL))
        assert analytics.get_or_set("1", lambda: 42) == 42
        assert small.client().keys("app:*") == []
        assert small.client().keys("spillgate:lock:*") == []


def test_the_governor_answers_a_refused_write(server_factory: ServerFactory) -> None:
    small = server_factory(maxmemory="8mb", maxmemory_policy="noeviction")
    policy = policy_of(small)
    with Cache(policy) as cache, Governor(policy, seed=1) as governor:
        analytics, users = cache.namespace("analytics"), cache.namespace("users")
        eventually(lambda: governor.state.readings >= 1)
        for number in range(20_000):  # 18 MB
            analytics.set(str(number), "x" * 900)
        assert eventually(lambda: users.set("1", "kept"))
        assert eventually(lambda: governor.state.totals.deleted > 0)
        assert eventually(lambda: analytics.set("after", 1))
        assert users.get("1") == "kept"


@pytest.mark.parametrize("eviction", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_evicts_is_full_by_nature(server_factory: ServerFactory, eviction: str) -> None:
    small = server_factory(maxmemory="5mb", maxmemory_policy=eviction)
    with small.client().pipeline(transaction=False) as pipe:
        for number in range(6_000):
            pipe.set(f"filler:{number}", "x" * 1_000, ex=600)
        pipe.execute()
    with Cache(policy_of(small)) as cache:
        analytics = cache.namespace("analytics")
        for number in range(50):
            assert analytics.set(str(number), "x" * 1_000)
        assert cache.level is None
        assert (analytics.ttl("49") or 0) > 800
    declared = policy_of(small)
    declared = replace(declared, server=replace(declared.server, limit_bytes=2_000_000))
    with Cache(declared) as cache:
        assert seen(cache, Level.CRITICAL)
