"""The gateway's operations, on each kind of server, with scripts and without."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spillgate.errors import ConfigError, PermissionDenied, ServerReadOnly
from spillgate.model import Rule, Unlink
from spillgate.server.scanning import Ask, CallBounds
from tests.governing import MB, dumped, fill, gateway_of, keys_of, policy_of, sweep_all, ttls, used
from tests.servers import ServerKind, eventually

if TYPE_CHECKING:
    import redis

    from spillgate.config import Policy
    from spillgate.server.gateway import Gateway
    from tests.conftest import ServerFactory
    from tests.servers import Server

both_ways = pytest.mark.parametrize("evaluate", [True, False], ids=["lua", "pipelined"])


def connect(server: Server, policy: Policy | None = None, *, evaluate: bool = True) -> Gateway:
    gateway = gateway_of(policy or policy_of(server.url))
    gateway.capabilities = replace(gateway.capabilities, evaluate=evaluate)
    return gateway


def place(client: redis.Redis, key: str | bytes, *, idle_s: int = 0, ttl_ms: int = 0, size: int = 100_000) -> None:
    """A key that has been idle for so long."""
    client.restore(key, ttl_ms, dumped(client, size), idletime=idle_s)


# ---- readings and probes


def test_a_reading_tells_what_the_server_does(server: Server) -> None:
    client = server.client()
    client.config_set("maxmemory", "25mb")
    fill(client, "app:tasks:", 3)
    client.set("forever", "x")
    gateway = connect(server)
    reading = gateway.read()
    assert reading.at_s == gateway.now()
    assert (reading.keys, reading.keys_with_ttl) == (4, 3)
    assert (reading.maxmemory_bytes, reading.eviction_policy) == (25 * MB, "noeviction")
    assert (reading.refused_writes, reading.evicted_keys, reading.lazyfree_pending, reading.role) == (0, 0, 0, "master")
    assert abs(reading.counted_bytes - used(client)) < 100_000
    assert 0 < reading.data_bytes < reading.counted_bytes
    assert reading.held_bytes["scripts"] > 0
    assert reading.run_id == client.info("server")["run_id"]
    partial = gateway.read_memory()
    assert (partial.keys, partial.run_id, partial.refused_writes) == (None, None, None)
    assert partial.used_bytes > 0
    gateway.close()


def test_a_probe_finds_out_what_each_version_can(server: Server) -> None:
    gateway = gateway_of(policy_of(server.url))
    can = gateway.capabilities
    product, version = server.kind.split("-")
    assert can.product == product
    assert (can.version or "").split(".")[0] == version.split(".")[0]
    assert can.user == "default"
    assert can.evaluate
    assert can.script_clock
    assert can.idle
    assert can.memory_usage
    assert can.scan
    assert can.config
    assert can.tracking
    assert can.random_cursor
    # Redis 6.2 knows no script flags, and nothing else is missing anywhere.
    assert can.script_flags is (server.kind is not ServerKind.REDIS_6_2)
    assert [cost.split(":")[0] for cost in can.missing()] == ([] if can.script_flags else ["script flags"])
    gateway.close()


def test_under_lfu_idle_times_are_known_to_be_missing(server: Server) -> None:
    server.client().config_set("maxmemory-policy", "allkeys-lfu")
    gateway = gateway_of(policy_of(server.url))
    assert not gateway.capabilities.idle
    assert any("time to live" in cost for cost in gateway.capabilities.missing())
    fill(server.client(), "app:pages:", 5)
    details = gateway.census(0, CallBounds(100, 5000), Ask()).run.details
    assert [key.idle_s for _, key in details] == [None] * 5
    sweep_all(gateway, [Rule("pages", Unlink.CUT, idle_s=0, ttl_ms=600_000)])
    assert keys_of(server.client()) == set()
    gateway.close()


@both_ways
def test_a_sample_tells_what_keys_are_and_changes_nothing(server: Server, *, evaluate: bool) -> None:
    client = server.client()
    place(client, "app:messages:1", idle_s=50, ttl_ms=60_000, size=5000)
    place(client, "web:news:page", idle_s=70)
    place(client, "elsewhere", idle_s=90)
    gateway = connect(server, evaluate=evaluate)
    reply = gateway.census(0, CallBounds(100, 5000), Ask())
    run = reply.run
    assert (reply.cursor, run.visited, run.total_keys) == (0, 3, 3)
    assert len(run.details) == 3
    seen = {([None, *gateway.table.names][group]): key for group, key in run.details}
    assert seen.keys() == {"messages", "pages", None}
    assert 50 <= (seen["messages"].idle_s or 0) <= 55
    assert 55_000 <= (seen["messages"].ttl_ms or 0) <= 60_000
    assert 5000 <= (seen["messages"].size_bytes or 0) <= 7000
    assert (seen["pages"].ttl_ms, seen[None].ttl_ms) == (None, None)
    assert int(client.object("IDLETIME", "elsewhere")) >= 90
    gateway.close()


# ---- sweeps


def populate(client: redis.Redis) -> None:
    """Keys of each kind: fresh, idle, about to expire, without a TTL; protected and unregistered ones of the same."""
    for name in ("analytics", "sessions", "pages", "messages", "tasks", "unregistered"):
        place(client, f"app:{name}:fresh", idle_s=1, ttl_ms=500_000)
        place(client, f"app:{name}:idle", idle_s=5000, ttl_ms=500_000)
        place(client, f"app:{name}:edge-soon", idle_s=1000, ttl_ms=100_000)
        place(client, f"app:{name}:edge-late", idle_s=1000, ttl_ms=900_000)
        place(client, f"app:{name}:orphan", idle_s=5000)
        place(client, f"app:{name}:new-orphan", idle_s=1)


def remaining(client: redis.Redis) -> dict[bytes, int]:
    """Every key with its TTL in seconds, to the nearest ten, -1 without."""
    return {key: -1 if ttl < 0 else (ttl + 5) // 10 * 10 for key, ttl in ttls(client).items()}


SWEEPS: dict[str, tuple[Rule, set[str], dict[str, int]]] = {
    # rule, keys of its namespace that go, TTLs in seconds that others get
    "count": (Rule("messages", Unlink.COUNT), set(), {}),
    "clear": (
        Rule("messages", Unlink.ALL),
        {"fresh", "idle", "edge-soon", "edge-late", "orphan", "new-orphan"},
        {},
    ),
    "cut": (Rule("messages", Unlink.CUT, idle_s=3000, ttl_ms=200_000), {"idle", "orphan"}, {}),
    "cut by ttl": (Rule("messages", Unlink.CUT, ttl_ms=500_000), {"fresh", "idle", "edge-soon"}, {}),
    "orphan": (Rule("messages", Unlink.ORPHAN, idle_s=900), {"orphan"}, {}),
    "cap": (
        Rule("messages", cap_ms=300_000),
        set(),
        {"fresh": 300, "idle": 300, "edge-late": 300, "orphan": 300, "new-orphan": 300},
    ),
    "give": (Rule("messages", give_ms=700_000), set(), {"orphan": 700, "new-orphan": 700}),
    "cut and cap": (
        Rule("messages", Unlink.CUT, idle_s=4000, cap_ms=50_000),
        {"idle", "orphan"},
        {"fresh": 50, "edge-soon": 50, "edge-late": 50, "new-orphan": 50},
    ),
}


@both_ways
@pytest.mark.parametrize("kind", SWEEPS)
def test_a_sweep_does_what_its_rule_asks_for_and_touches_nothing_else(
    server: Server, kind: str, *, evaluate: bool
) -> None:
    rule, gone, times = SWEEPS[kind]
    if kind == "orphan" and not evaluate:
        # What must be touched only if it is dead is left alone where it may be written between look and delete.
        gone = set[str]()
    client = server.client()
    populate(client)
    before = remaining(client)
    expected = {key: ttl for key, ttl in before.items() if key not in {f"app:messages:{one}".encode() for one in gone}}
    expected |= {f"app:messages:{one}".encode(): ttl for one, ttl in times.items()}
    gateway = connect(server, evaluate=evaluate)

    dry = sweep_all(gateway, [rule], start=0, dry_run=True)
    assert remaining(client) == before

    wet = sweep_all(gateway, [rule], start=0)
    assert remaining(client) == expected
    count = wet.counts["messages"]
    assert (count.matched, count.deleted, count.retimed) == (6, len(gone), len(times))
    assert dry.counts == wet.counts
    assert all(other.deleted == other.retimed == 0 for name, other in wet.counts.items() if name != "messages")
    if gone:
        assert wet.freed_bytes > 0
        assert dry.freed_bytes > 0
    gateway.close()


@both_ways
def test_the_longest_idle_go_first_and_of_equals_the_soonest_to_expire(server: Server, *, evaluate: bool) -> None:
    client = server.client()
    client.config_set("hz", 1)
    for name, ttl_ms in (("soon", 100_000), ("late", 900_000), ("never", 0)):
        place(client, f"app:pages:{name}", idle_s=1000, ttl_ms=ttl_ms)
    idle_s = int(client.object("IDLETIME", "app:pages:soon"))
    gateway = connect(server, evaluate=evaluate)
    sweep_all(gateway, [Rule("pages", Unlink.CUT, idle_s=idle_s, ttl_ms=200_000)])
    # A second may have passed meanwhile, and then all are idle for longer: then all go.
    assert keys_of(client) in ({b"app:pages:late", b"app:pages:never"}, set())
    gateway.close()


@both_ways
def test_a_purge_lets_the_server_drop_what_has_expired(server_factory: ServerFactory, *, evaluate: bool) -> None:
    server = server_factory(ServerKind.REDIS_7_0, enable_debug_command="yes")
    client = server.client()
    client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    pipe = client.pipeline(transaction=False)
    for number in range(500):
        pipe.set(f"app:tasks:{number}", b"x" * 500, px=1)
    pipe.execute()
    fill(client, "app:sessions:", 20)
    time.sleep(0.005)  # until all of them have expired
    assert client.dbsize() == 520
    gateway = connect(server, evaluate=evaluate)
    expired = int(client.dbsize()) - 20  # the probe's SCAN and RANDOMKEY have dropped those that they met
    done = sweep_all(gateway, [Rule("sessions", Unlink.COUNT)])
    assert client.dbsize() == 20
    assert done.expired == expired >= 200
    assert done.freed_bytes > 500 * expired
    assert done.counts["sessions"].matched >= 20
    assert sum(count.deleted for count in done.counts.values()) == 0
    gateway.close()


ODD_KEYS = [
    b"",
    b" ",
    b"\x00\xff\xfe\r\n",
    b"with spaces in it ",
    b"*",
    b"?[a-z]\\",
    b"ends in a newline\n",
    b"\n",
    b"%a%z",
    b"\xc3\xa9\xe2\x82\xac",
    b"-" * 3000,
]


@both_ways
@pytest.mark.parametrize("blind", [False, True], ids=["counting", "blind"])
def test_keys_may_be_any_bytes(server: Server, *, evaluate: bool, blind: bool) -> None:
    odd = r"""
        [[namespace]]
        name = "odd"
        keys = 'odd[*?]\[x]:*'
        ttl = "5m"
        cleanup = "clear"
        priority = 1
        [[namespace]]
        name = "magic"
        keys = 'm\*\?\[^-\]\\:*'
        ttl = "5m"
        cleanup = "clear"
        priority = 2
    """
    client = server.client()
    ours = [prefix + key for prefix in (b"odd*[x]:", b"odd?[x]:", b"m*?[^-]\\:") for key in ODD_KEYS]
    others = [
        prefix + key for prefix in (b"", b"oddx[x]:", b"odd*x:", b"mm?[^-]\\:", b"M*?[^-]\\:") for key in ODD_KEYS
    ]
    for key in ours + others:
        client.set(key, b"x")
    gateway = connect(server, policy_of(server.url, namespaces=odd), evaluate=evaluate)
    for name in ("odd", "magic"):
        cursor = 1
        while cursor:
            reply = gateway.sweep(cursor % 2 and 0, [Rule(name, Unlink.ALL)], CallBounds(9999, 50_000), blind=blind)
            cursor = reply.cursor
    assert keys_of(client) == set(others)
    gateway.close()


@both_ways
@pytest.mark.parametrize("blind", [False, True], ids=["counting", "blind"])
def test_a_call_stops_within_a_step_of_what_is_needed(server: Server, *, evaluate: bool, blind: bool) -> None:
    client = server.client()
    fill(client, "app:analytics:", 3000)
    gateway = connect(server, evaluate=evaluate)
    reply = gateway.sweep(0, [Rule("analytics", Unlink.ALL)], CallBounds(10**6, 10**6, need_bytes=100_000), blind=blind)
    assert 0 < 3000 - int(client.dbsize()) <= 400  # 100 would be enough, a step has 100 to 200 keys
    assert reply.cursor != 0
    assert reply.counts["analytics"].deleted == 3000 - int(client.dbsize())
    gateway.close()


def test_a_call_ends_within_its_time(server: Server) -> None:
    client = server.client()
    fill(client, "app:messages:", 20_000, size=20)
    gateway = connect(server)
    client.config_resetstat()
    sweep_all(gateway, [Rule("messages", cap_ms=1000)], CallBounds(10**6, 1000))
    calls = client.info("commandstats")["cmdstat_evalsha"]
    assert calls["calls"] >= 10
    assert calls["usec_per_call"] < 4000  # a millisecond and the page that was begun; much more on a busy machine
    gateway.close()


@both_ways
def test_a_pass_from_anywhere_visits_every_key(server: Server, *, evaluate: bool) -> None:
    client = server.client()
    fill(client, "app:messages:", 1000, size=1)
    gateway = connect(server, evaluate=evaluate)
    for keys_a_call in (37, 10_000):
        for _ in range(3):
            done = sweep_all(gateway, [Rule("messages", Unlink.COUNT)], CallBounds(keys_a_call, 10**6))
            # Where the pass began and where one call ran past it, keys are seen twice.
            assert 1000 <= done.counts["messages"].matched <= 2000
    assert client.dbsize() == 1000
    gateway.close()


def test_scripts_are_sent_again_after_the_server_forgot_them(server: Server) -> None:
    client = server.client()
    fill(client, "app:analytics:", 10)
    gateway = connect(server)
    sweep_all(gateway, [])
    assert gateway.census(0, CallBounds(10, 1000), Ask()).run.visited == 10
    client.script_flush()
    assert len(gateway.census(0, CallBounds(10, 1000), Ask()).run.details) == 10
    sweep_all(gateway, [Rule("analytics", Unlink.ALL)])
    assert client.dbsize() == 0
    gateway.close()


def test_sweeps_work_at_full_memory(server: Server) -> None:
    client = server.client()
    fill(client, "app:analytics:", 2000)
    gateway = connect(server)
    client.config_set("maxmemory", used(client) // 2)
    client.config_set("maxmemory-policy", "noeviction")
    gateway.close()
    gateway = connect(server)  # a probe has to work as well
    sweep_all(gateway, [Rule("analytics", cap_ms=1000)])
    assert 0 < int(client.pttl("app:analytics:1")) <= 1000
    sweep_all(gateway, [Rule("analytics", Unlink.ALL)])
    assert client.dbsize() == 0
    gateway.close()


def test_another_database_is_left_alone(server: Server) -> None:
    client = server.client()
    fill(client, "app:analytics:", 5)
    for number in range(5):
        client.copy(f"app:analytics:{number}", f"app:analytics:{number}", destination_db="3")
    gateway = connect(server, policy_of(server.url.removesuffix("0") + "3"))
    assert gateway.read().keys == 5
    sweep_all(gateway, [Rule("analytics", Unlink.ALL)])
    assert client.info("keyspace").keys() == {"db0"}
    assert client.dbsize() == 5
    gateway.close()


# ---- what is forbidden

FORBIDDEN = {
    "-eval -evalsha": ("evaluate", "pipelines"),
    "-object": ("idle", "time to live"),
    "-memory": ("memory_usage", "bytes by namespace stay unknown"),
    "-config": ("config", "settings cannot be checked"),
    "-client": ("tracking", "next look only"),
    "-acl": ("acl", "user in force is unknown"),
    "-eval -evalsha -object -memory -config -client -acl": ("evaluate", "pipelines"),
}


def restricted(server: Server, rules: str) -> Policy:
    """A policy for a user who may do all but something."""
    server.client().execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", *rules.split())
    return policy_of(server.url.replace("redis://", "redis://limited:secret@"))


@pytest.mark.parametrize("rules", FORBIDDEN)
def test_what_is_forbidden_is_named_with_its_cost_and_the_rest_works(server: Server, rules: str) -> None:
    capability, cost = FORBIDDEN[rules]
    client = server.client()
    populate(client)
    gateway = gateway_of(restricted(server, rules))
    can = gateway.capabilities
    assert getattr(can, capability) is False
    assert any(cost in told for told in can.missing())
    assert can.user == (None if "-acl" in rules else "limited")
    details = gateway.census(0, CallBounds(100, 5000), Ask()).run.details
    assert len(details) == 36
    assert all((key.idle_s is not None) == can.idle for _, key in details)
    assert all((key.size_bytes is not None) == can.memory_usage for _, key in details)
    sweep_all(gateway, [Rule("analytics", Unlink.ALL), Rule("messages", cap_ms=10_000)])
    assert keys_of(client, "app:analytics:*") == set()
    assert client.dbsize() == 30
    assert (
        int(client.pttl("app:messages:late" if client.exists("app:messages:late") else "app:messages:fresh")) <= 10_000
    )
    # Without idle times no orphan is told from a key that is in use.
    sweep_all(gateway, [Rule("sessions", Unlink.ORPHAN, idle_s=900)])
    assert bool(client.exists("app:sessions:orphan")) is not (can.idle and can.evaluate)
    assert client.exists("app:sessions:new-orphan")
    gateway.close()


@both_ways
@pytest.mark.parametrize("rules", ["-unlink", "-scan"])
def test_what_cleaning_needs_and_may_not_do_is_an_error_and_no_success(
    server: Server, rules: str, *, evaluate: bool
) -> None:
    client = server.client()
    populate(client)
    gateway = connect(server, restricted(server, rules), evaluate=evaluate)
    assert gateway.capabilities.scan is (rules != "-scan")
    with pytest.raises(PermissionDenied):
        sweep_all(gateway, [Rule("analytics", Unlink.ALL)])
    assert client.dbsize() == 36
    gateway.close()


def test_a_ttl_that_may_not_be_asked_is_not_taken_for_none(server: Server) -> None:
    client = server.client()
    populate(client)
    gateway = connect(server, restricted(server, "-pttl"), evaluate=False)
    with pytest.raises(PermissionDenied):
        sweep_all(gateway, [Rule("messages", give_ms=700_000)])
    assert client.exists("app:sessions:idle")
    gateway.close()


@both_ways
def test_keys_that_may_not_be_touched_are_an_error_and_no_success(server: Server, *, evaluate: bool) -> None:
    client = server.client()
    fill(client, "app:analytics:", 3)
    client.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~other:*", "&*", "+@all")
    gateway = connect(server, policy_of(server.url.replace("redis://", "redis://limited:secret@")), evaluate=evaluate)
    with pytest.raises(PermissionDenied):
        sweep_all(gateway, [Rule("analytics", Unlink.ALL)])
    assert client.dbsize() == 3
    gateway.close()


@both_ways
def test_a_replica_refuses_and_that_is_told(server_factory: ServerFactory, server: Server, *, evaluate: bool) -> None:
    fill(server.client(), "app:analytics:", 3)
    server.client().config_set("repl-diskless-sync-delay", 0)
    replica = server_factory(server.kind)
    replica.client().replicaof("127.0.0.1", server.port)
    eventually(lambda: replica.client().dbsize() == 3)
    gateway = connect(replica, evaluate=evaluate)
    assert gateway.read().role == "slave"
    with pytest.raises(ServerReadOnly, match="primary"):
        sweep_all(gateway, [Rule("analytics", Unlink.ALL)])
    assert replica.client().dbsize() == 3
    gateway.close()


def test_an_address_that_needs_several_servers_is_refused() -> None:
    with pytest.raises(ConfigError, match="redis://, rediss:// and unix://"):
        gateway_of(policy_of("redis+cluster://user:secret@127.0.0.1:1"), probed=False)
