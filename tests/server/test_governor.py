"""Whole cycles of the governor on real servers: what it looks at, decides, does and says."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Self, cast

import pytest
import redis.exceptions

from spillgate.config import Cleanup, NamespacePolicy
from spillgate.errors import ConfigError, LimitUnknown
from spillgate.governor.journal import Event
from spillgate.governor.loop import Governor
from spillgate.model import Estimate, Level, Stop
from spillgate.policy.pacing import DAY_S
from tests.governing import (
    LIMIT,
    NAMESPACES,
    HandClock,
    dumped,
    fill,
    fill_to,
    governing,
    keys_of,
    level,
    policy_of,
    told,
    ttls,
    used,
)
from tests.servers import HOST, eventually

if TYPE_CHECKING:
    from tests.server.conftest import Govern
    from tests.servers import Server

# ---- looking


def test_the_first_cycle_connects_and_says_what_it_found(server: Server) -> None:
    fill(server.client(), "app:messages:", 10)
    clock = HandClock()
    with governing(policy_of(server.url, server=f"limit = {LIMIT}"), clock) as governor:
        assert governor.state.level_label == "unknown"
        pause = governor.cycle()
        state = governor.state
        assert level(governor) is Level.NORMAL
        assert pause.seconds == state.policy.monitor.interval_s
        assert (state.error, state.at_unix_s, state.readings) == (None, clock.wall_s, 1)
        assert state.capabilities is not None
        assert state.reading is not None
        assert state.reading.keys == 10
        assert state.census is not None
        usage = state.census.usage("messages")
        assert usage is not None
        assert usage.keys.value == 10
        assert (state.census.exact, usage.keys.is_exact) == (True, True)
        assert "connected to redis://" in told(governor, Event.SERVER)
        assert "level normal" in told(governor, Event.LEVEL)


def test_without_any_limit_it_says_what_to_do(server: Server) -> None:
    with governing(policy_of(server.url)) as governor, pytest.raises(LimitUnknown, match="--limit 25MB"):
        governor.cycle()


@pytest.mark.kinds("valkey-9.1")
def test_the_census_is_kept_fresh_and_exact_while_the_keys_are_few(server: Server) -> None:
    client = server.client()
    fill(client, "app:messages:", 3000, size=10)
    with governing(policy_of(server.url, server="limit = '100MB'")) as governor:
        governor.cycle()
        fill(client, "app:tasks:", 500, size=10)
        client.delete(*(f"app:messages:{number}" for number in range(1000)))
        sent = governor.state.commands
        looks = 0
        while (census := governor.state.census) is None or census.total_keys != 2500:
            governor.cycle()
            looks += 1
            assert looks < 20
        assert census.exact
        found = {row.name: row.keys for row in census.namespaces if row.keys.value}
        assert found == {"messages": Estimate.exact(2000), "tasks": Estimate.exact(500)}
        assert governor.state.commands - sent <= 3.2 * looks + 5


@pytest.mark.kinds("valkey-9.1")
def test_a_sampled_census_forgets_what_is_no_longer_so(server: Server, govern: Govern) -> None:
    client = server.client()
    fill(client, "app:messages:", 20_000, size=10)
    fill(client, "app:tasks:", 10_000, size=10)
    governor = govern(server, limit_bytes=100 << 20)
    for _ in range(25):
        governor.cycle()
    census = governor.state.census
    assert census is not None
    assert not census.exact
    assert census.unregistered_keys.value == 0
    before = census.usage("messages")
    assert before is not None
    assert before.keys.low <= 20_000 <= before.keys.high
    client.eval("for i = 0, 19999 do redis.call('UNLINK', 'app:messages:' .. i) end", 0)
    for _ in range(25):
        governor.cycle()
    after = governor.state.census.usage("messages") if governor.state.census else None
    assert after is not None
    assert after.keys.value == 0


@pytest.mark.kinds("valkey-9.1")
def test_after_a_cleanup_and_after_a_restart_no_old_number_stands(server: Server, govern: Govern) -> None:
    client = server.client()
    fill(client, "app:analytics:", 5000, size=10)
    governor = govern(server, limit_bytes=100 << 20)
    governor.cycle()
    governor.cleanup(Level.EMERGENCY, frozenset({"analytics"}))
    governor.cycle()
    cleaned = governor.state.census.usage("analytics") if governor.state.census else None
    assert cleaned is not None
    assert cleaned.keys == Estimate.exact(0)
    fill(client, "app:messages:", 300, size=10)
    governor.cycle()
    server.restart()
    for _ in range(3):
        governor.cycle()
    assert governor.state.census is not None
    assert governor.state.census.total_keys == 0


def test_at_warning_the_heaviest_namespaces_are_named_and_nothing_is_deleted(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.65)
    before = keys_of(client)
    governor = govern(server)
    governor.cycle()
    assert level(governor) is Level.WARNING
    assert "heaviest namespaces: about" in told(governor, Event.LEVEL) or "heaviest" in told(governor, Event.LEVEL)
    assert "messages" in told(governor, Event.LEVEL)
    assert keys_of(client) == before


# ---- cleaning


def test_at_preventive_ttls_are_capped_and_no_key_is_lost(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.7, ttl_s=7200)
    fill_to(client, 0.83, "app:pages:", ttl_s=None)
    fill(client, "app:tasks:", 5, ttl_s=90_000)
    before = keys_of(client)
    governor = govern(server)
    governor.cycle()
    assert level(governor) is Level.PREVENTIVE
    assert keys_of(client) == before
    assert max(ttls(client, "app:messages:*").values()) <= 1800
    assert {ttl for ttl in ttls(client, "app:pages:*").values() if not 0 < ttl <= 600} == set()
    assert min(ttls(client, "app:tasks:*").values()) > 80_000


def test_over_budget_is_trimmed_to_its_budget_before_others_lose_anything(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.6, "app:pages:")
    fill_to(client, 0.85)
    namespaces = NAMESPACES.replace('name = "pages"', 'name = "pages"\nbudget = "1MB"')
    messages = keys_of(client, "app:messages:*")
    governor = govern(server, namespaces=namespaces)
    for _ in range(20):
        governor.cycle()
    assert keys_of(client, "app:messages:*") == messages
    assert keys_of(client, "app:pages:*")
    assert used(client) <= 0.78 * LIMIT
    assert "over its 1MB" in told(governor, Event.ACTION)


def test_a_full_server_is_brought_to_the_target_by_priority(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.2, "app:tasks:", ttl_s=None)
    fill_to(client, 0.3, "app:sessions:")
    fill_to(client, 0.4, "unregistered:", ttl_s=None)
    fill_to(client, 0.45, "app:analytics:")
    fill_to(client, 0.98)
    kept = {pattern: keys_of(client, pattern) for pattern in ("app:tasks:*", "app:sessions:*", "unregistered:*")}
    messages = len(keys_of(client, "app:messages:*"))
    governor = govern(server)
    governor.cycle()
    assert used(client) <= 0.78 * LIMIT
    assert used(client) >= 0.6 * LIMIT, "cleaned far deeper than asked"
    assert keys_of(client, "app:analytics:*") == set()
    assert 0 < len(keys_of(client, "app:messages:*")) < messages
    for pattern, keys in kept.items():
        assert keys_of(client, pattern) == keys
    assert min(ttls(client, "app:tasks:*").values()) == -1
    assert min(ttls(client, "unregistered:*").values()) == -1
    said = told(governor, Event.ACTION)
    assert said.index("clear analytics") < said.index("messages")
    assert governor.state.totals.deleted > 0
    assert governor.state.totals.freed_bytes > 0.15 * LIMIT


def test_of_sessions_only_orphans_that_are_long_idle_go(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.3, "app:tasks:", ttl_s=None)
    payload = dumped(client, 2000)
    for number in range(200):
        client.restore(f"app:sessions:orphan{number}", 0, payload, idletime=2000)
        client.restore(f"app:sessions:idle{number}", 500_000, payload, idletime=2000)
        client.restore(f"app:sessions:new{number}", 0, payload)
    fill_to(client, 0.95, "app:tasks:more:", ttl_s=None)
    governor = govern(server)
    governor.cycle()
    assert keys_of(client, "app:sessions:orphan*") == set()
    assert len(keys_of(client, "app:sessions:idle*")) == 200
    assert len(keys_of(client, "app:sessions:new*")) == 200


def test_trim_takes_the_longest_idle_first(server: Server, govern: Govern) -> None:
    client = server.client()
    payload = dumped(client, 1000)
    idle: dict[bytes, int] = {}
    pipe = client.pipeline(transaction=False)
    while used(client) < 0.93 * LIMIT:
        for _ in range(50):
            key = f"app:pages:{len(idle)}"
            idle[key.encode()] = len(idle) * 7 % 1000
            pipe.restore(key, 500_000, payload, idletime=idle[key.encode()])
        pipe.execute()
    governor = govern(server)
    governor.cycle()
    gone = idle.keys() - keys_of(client)
    assert 0.1 < len(gone) / len(idle) < 0.4
    # About a fifth has to go. The cut-off comes from a sample, and has some slack so that a part of a pass will do.
    assert min(idle[key] for key in gone) > 350


@pytest.mark.kinds("valkey-9.1")
def test_when_nothing_may_go_it_says_so_once_and_deletes_nothing(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.95, "app:tasks:", ttl_s=None)
    before = ttls(client)
    governor = govern(server)
    for _ in range(3):
        governor.cycle()
    assert ttls(client) == before
    alarms = [entry for entry in governor.journal.entries() if entry.event is Event.ALARM]
    assert len(alarms) == 1
    assert "nothing is left that the policy lets go" in alarms[0].message
    assert "tasks" in alarms[0].message


def test_a_namespace_that_fills_right_after_it_was_found_empty_is_cleaned(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.81, "app:tasks:", ttl_s=None)
    governor = govern(server)
    governor.cycle()  # a pass that finds no messages at all
    assert level(governor) is Level.PREVENTIVE
    for prefix in ("app:messages:", "app:analytics:"):
        fill_to(client, 0.97, prefix)
        governor.cycle()
        assert keys_of(client, f"{prefix}*") == set()


def test_a_level_above_takes_over_a_cleanup_and_the_cycle_goes_on(server: Server, govern: Govern) -> None:
    """The loss-free pass finds the server filled further meanwhile: the higher level cleans up at once."""
    client = server.client()
    fill_to(client, 0.5, "app:tasks:", ttl_s=None)
    fill_to(client, 0.83)
    clock = HandClock()
    governor = govern(server, clock=clock)

    def write_more() -> None:
        if "loss-free cleanup" in told(governor, Event.PLAN):
            clock.when_read = lambda: None
            fill_to(client, 0.97, "app:messages:more:")

    clock.when_read = write_more
    governor.cycle()
    assert "cleanup by priority" in told(governor, Event.PLAN)
    assert level(governor) >= Level.EMERGENCY
    assert used(client) < 0.8 * LIMIT


# ---- by hand


def test_a_cleanup_by_hand_touches_only_what_was_named(server: Server, govern: Govern) -> None:
    client = server.client()
    for name in ("analytics", "pages", "messages", "tasks"):
        fill(client, f"app:{name}:", 50)
    before = ttls(client)
    governor = govern(server, namespaces=NAMESPACES.replace('cleanup = "trim"', 'cleanup = "clear"'))
    plan, outcomes = governor.cleanup(Level.EMERGENCY, frozenset({"pages", "tasks"}))
    assert {action.namespace for action in plan.actions} == {"pages"}
    assert [(outcome.stop, outcome.deleted_by_namespace) for outcome in outcomes] == [(Stop.COMPLETE, {"pages": 50})]
    after = ttls(client)
    assert after.keys() == {key for key in before if not key.startswith(b"app:pages:")}
    assert all(before[key] - ttl <= 2 for key, ttl in after.items())
    assert "cleanup by hand" in told(governor, Event.PLAN)


@pytest.mark.kinds("valkey-9.1")
def test_a_dry_run_changes_nothing_and_tells_what_the_real_one_then_does(server: Server) -> None:
    client = server.client()
    fill_to(client, 0.3, "app:analytics:", ttl_s=None)
    fill_to(client, 0.5, "app:pages:", ttl_s=None)
    fill_to(client, 0.6, "app:tasks:", ttl_s=None)
    fill_to(client, 0.98, ttl_s=7200)
    namespaces = NAMESPACES.replace('cleanup = "trim"', 'cleanup = "clear"')
    before = ttls(client)
    policy = policy_of(server.url, server=f"limit = {LIMIT}", namespaces=namespaces)
    with governing(policy, dry_run=True) as governor:
        governor.cycle()
        promised, outcomes = governor.cleanup(Level.EMERGENCY, frozenset({"analytics", "pages"}))
        after = ttls(client)
        assert after.keys() == before.keys()
        assert all(abs(before[key] - ttl) <= 5 for key, ttl in after.items())
        totals = governor.state.totals
        assert (totals.deleted, totals.retimed, totals.freed_bytes) == (0, 0, 0)
        assert "dry run" in told(governor, Event.PLAN)
        assert "would have deleted" in told(governor, Event.ACTION)
    with governing(policy) as governor:
        kept, done = governor.cleanup(Level.EMERGENCY, frozenset({"analytics", "pages"}))
        assert promised.actions == kept.actions
        assert [one.deleted_by_namespace for one in outcomes] == [one.deleted_by_namespace for one in done]
        assert all(one.deleted > 0 for one in done)
        for dry, wet in zip(outcomes, done, strict=True):
            assert dry.freed_bytes == pytest.approx(wet.freed_bytes, rel=0.2)


@pytest.mark.kinds("valkey-9.1")
def test_a_dry_run_at_full_memory_promises_as_much_as_is_then_done(server: Server) -> None:
    client = server.client()
    fill_to(client, 0.2, "app:tasks:", ttl_s=None)
    fill_to(client, 0.28, "app:analytics:")
    fill_to(client, 0.36, "app:pages:")
    fill_to(client, 0.97)
    namespaces = NAMESPACES.replace('cleanup = "trim"', 'cleanup = "clear"')
    policy = policy_of(server.url, server=f"limit = {LIMIT}", namespaces=namespaces)
    promised: dict[str, int] = {}
    with governing(policy, dry_run=True) as governor:
        for outcome in governor.cleanup(Level.EMERGENCY)[1]:
            for name, number in outcome.deleted_by_namespace.items():
                promised[name] = promised.get(name, 0) + number
    held = {name: len(keys_of(client, f"app:{name}:*")) for name in ("analytics", "pages", "messages")}
    assert promised["analytics"] == held["analytics"]
    assert promised["pages"] == held["pages"]
    with governing(policy) as governor:
        governor.cleanup(Level.EMERGENCY)
    gone = {name: number - len(keys_of(client, f"app:{name}:*")) for name, number in held.items()}
    assert {"analytics": promised["analytics"], "pages": promised["pages"]} == {
        "analytics": gone["analytics"],
        "pages": gone["pages"],
    }
    assert promised.get("messages", 0) == pytest.approx(gone["messages"], abs=0.25 * held["messages"])


# ---- TTLs


def test_upkeep_gives_ttls_only_where_they_are_enforced(server: Server, govern: Govern) -> None:
    client = server.client()
    namespaces = (
        NAMESPACES
        + """
        [[namespace]]
        name = "channels"
        keys = "app:channels:*"
        ttl = "30m"
        enforce_ttl = true
        [[namespace]]
        name = "drafts"
        keys = "app:drafts:*"
        ttl = "10m"
        cleanup = "clear"
        priority = 9
        enforce_ttl = false
    """
    )
    for name in ("analytics", "sessions", "pages", "messages", "channels", "tasks", "drafts", "unregistered"):
        fill(client, f"app:{name}:", 5, ttl_s=None)
    fill(client, "app:messages:long", 5, ttl_s=7200)
    client.restore("app:sessions:dead", 0, cast("bytes", client.dump("app:sessions:0")), idletime=16 * 60)
    governor = govern(server, namespaces=namespaces)
    governor.cycle()
    minutes = {"analytics": 15, "pages": 10, "messages": 30, "channels": 30}
    for name, ttl in minutes.items():
        found = {one for key, one in ttls(client, f"app:{name}:*").items() if b"long" not in key}
        assert found <= {ttl * 60, ttl * 60 - 1, ttl * 60 - 2}, name
    assert min(ttls(client, "app:messages:long*").values()) > 7000  # calm shortens nothing
    for name in ("tasks", "drafts", "unregistered"):
        assert set(ttls(client, f"app:{name}:*").values()) == {-1}
    # Of sessions only what is idle longer than their TTL: one in use without a TTL is nobody's to end.
    sessions = ttls(client, "app:sessions:*")
    assert sessions.pop(b"app:sessions:dead") in {900, 899, 898}
    assert set(sessions.values()) == {-1}
    assert "gave a TTL to keys that had none" in told(governor, Event.ACTION)
    assert "5 of channels" in told(governor, Event.ACTION)


@pytest.mark.kinds("valkey-9.1")
def test_upkeep_goes_round_a_large_keyspace_a_slice_a_look(server: Server) -> None:
    client = server.client()
    fill(client, "app:messages:", 20_000, size=1, ttl_s=None)
    policy = policy_of(server.url, server="limit = '1GB'")
    with governing(policy) as governor:
        governor.cycle()
        first = sum(ttl != -1 for ttl in ttls(client).values())
        assert 0 < first < 20_000
        for _ in range(100):
            governor.cycle()
        assert -1 not in ttls(client).values()


@pytest.mark.kinds("valkey-9.1", "redis-7.0")
def test_under_volatile_ttl_the_server_is_steered_to_evict_expendable_keys(server: Server, govern: Govern) -> None:
    client = server.client()
    pipe = client.pipeline(transaction=False)
    for number in range(500):
        pipe.set(f"app:tasks:{number}", b"x" * 1000, ex=60 + number % 800)
    pipe.execute()
    fill_to(client, 0.95, ttl_s=1800)
    client.config_set("maxmemory", LIMIT)
    client.config_set("maxmemory-policy", "volatile-ttl")
    governor = govern(server)
    governor.cleanup(Level.CRITICAL)
    assert client.info("stats")["evicted_keys"] == 0
    left = ttls(client, "app:messages:*")
    assert left
    assert max(left.values()) <= 15
    # With nobody governing any more, the server evicts by itself: messages alone.
    for number in range(160):
        fill(client, f"app:messages:flood:{number}:", 50, ttl_s=10)
    assert client.info("stats")["evicted_keys"] > 0
    assert len(keys_of(client, "app:tasks:*")) == 500


# ---- what it costs


class Tap:
    """Listens in with MONITOR: what others send, without what scripts do inside the server."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection((HOST, server.port), timeout=5)
        self._got = b""
        self._client = server.client()
        self._socket.sendall(b"MONITOR\r\n")
        self._read_until(b"+OK\r\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _read_until(self, mark: bytes) -> None:
        while mark not in self._got:
            self._got += self._socket.recv(1 << 20)

    def commands(self) -> list[bytes]:
        """Every command so far of any connection but the test's own."""
        mark = b"end of %d bytes" % len(self._got)
        self._client.echo(mark)
        self._read_until(mark)
        lines = [line for line in self._got.splitlines() if b" [" in line and b" lua]" not in line]
        mine = next(line for line in lines if b'"ECHO"' in line).split(b"]")[0].split(b" [")[1]
        return [line for line in lines if mine not in line]


@pytest.mark.parametrize("pressure", [0.3, 0.95])
def test_the_commands_of_a_day_are_kept(server: Server, govern: Govern, pressure: float) -> None:
    client = server.client()
    fill_to(client, pressure, "app:tasks:", ttl_s=None)
    client.close()
    clock = HandClock(wall_s=100 * DAY_S)
    tables = "[monitor]\ncommands_per_day = 300"
    governor = govern(server, clock=clock, tables=tables)
    with Tap(server) as tap:
        for day in (1, 2):
            while clock.wall_s < (100 + day) * DAY_S:
                clock.turn(governor.cycle().seconds)
            # A connection greets the server with commands of its own, which come on top; MONITOR leaves some out.
            sent = [line for line in tap.commands() if b"SETINFO" not in line and b"HELLO" not in line]
            assert governor.state.commands - 5 <= len(sent) <= governor.state.commands
            assert 150 * day <= len(sent) <= 300 * day


def test_a_spent_budget_ends_a_cleanup_and_says_so(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.95)
    tables = "[monitor]\ncommands_per_day = 17"
    governor = govern(server, tables=tables)
    pause = governor.cycle()
    assert governor.state.commands <= 17
    assert "commands_per_day" in told(governor, Event.ERROR)
    assert pause.seconds > 1000
    assert level(governor) >= Level.EMERGENCY


def test_it_never_has_more_than_two_connections(server: Server) -> None:
    client = server.client()
    others = len(client.client_list())
    seen: set[int] = set()
    policy = policy_of(server.url, server=f"limit = {LIMIT}")
    with Governor(policy, seed=1) as governor:
        eventually(lambda: len(client.client_list()) - others == 2)
        for step in range(40):
            if step == 20:
                fill(client, "app:messages:flood", 7000)
            if step == 30:
                governor.reload(policy)
            governor.wake()
            fill(client, "app:messages:x", 20)
            seen.add(len(client.client_list()) - others)
        eventually(lambda: "policy reloaded" in told(governor))
        eventually(lambda: len(client.client_list()) - others == 2)
    assert max(seen) == 2
    eventually(lambda: len(client.client_list()) == others)
    assert "governor stopped" in told(governor)


def test_a_flood_is_noticed_long_before_the_interval_is_over(server: Server) -> None:
    client = server.client()
    client.config_set("maxmemory", LIMIT)
    policy = policy_of(server.url, tables='[monitor]\ninterval = "1h"')
    with Governor(policy, seed=1) as governor:
        eventually(lambda: governor.state.pause_s == 3600)
        pipe = client.pipeline(transaction=False)
        for number in range(20_000):
            pipe.set(f"app:messages:{number}", b"x" * 600, ex=1800)
            if number % 50 == 49:
                pipe.execute()
        assert governor.state.readings > 1
        eventually(lambda: used(client) < 0.8 * LIMIT)
    assert client.info("stats")["evicted_keys"] == 0
    assert "rises" in told(governor, Event.LEVEL)


# ---- another policy


@pytest.mark.kinds("valkey-9.1")
def test_a_new_policy_is_used_from_the_next_cycle_on(server: Server, govern: Govern) -> None:
    client = server.client()
    fill_to(client, 0.5, "new:", ttl_s=None)
    fill_to(client, 0.95, "app:tasks:", ttl_s=None)
    governor = govern(server, tables="[monitor]\ncommands_per_day = 1000")
    governor.cycle()
    assert level(governor) is Level.EMERGENCY
    tasks = keys_of(client, "app:tasks:*")
    fresh = NamespacePolicy("new", ("new:*",), ttl_s=60, cleanup=Cleanup.CLEAR, priority=1)
    old = governor.state.policy
    governor.reload(replace(old, namespaces=(fresh, *old.namespaces)))
    governor.cycle()
    assert keys_of(client, "app:tasks:*") == tasks
    assert used(client) < 0.8 * LIMIT
    assert "policy reloaded: 6 namespaces" in told(governor, Event.POLICY)
    assert level(governor) is Level.EMERGENCY  # what was known of the level stays


@pytest.mark.kinds("valkey-9.1")
def test_what_is_counted_goes_on_under_a_new_policy(server: Server, govern: Govern) -> None:
    governor = govern(server, tables="[monitor]\ncommands_per_day = 1000")
    for _ in range(3):
        governor.cycle()
        before = governor.state
        governor.reload(before.policy)
        governor.cycle()
        assert governor.state.readings == before.readings + 1
        assert governor.state.commands > before.commands
    cap = governor.state.commands + 3
    old = governor.state.policy
    governor.reload(replace(old, monitor=replace(old.monitor, commands_per_day=cap)))
    governor.cycle()
    assert governor.state.commands == cap
    assert "commands_per_day" in (governor.state.error or "")


@pytest.mark.parametrize("limit", [2**63 - 1, 2**63, 2**64 - 1])
def test_a_limit_beyond_any_memory_is_no_trouble(server: Server, govern: Govern, limit: int) -> None:
    client = server.client()
    governor = govern(server)
    try:
        client.config_set("maxmemory", limit)
    except redis.exceptions.ResponseError:
        pytest.skip("the server takes no such limit")
    governor.cycle()
    assert (level(governor), governor.state.error) == (Level.NORMAL, None)


@pytest.mark.kinds("valkey-9.1")
def test_a_new_policy_opens_no_new_budget(server: Server, govern: Govern) -> None:
    governor = govern(server, tables="[monitor]\ncommands_per_day = 1000")
    governor.cycle()
    old = governor.state.policy
    cap = governor.state.commands + 3
    governor.reload(replace(old, monitor=replace(old.monitor, commands_per_day=cap)))
    governor.cycle()
    assert "commands_per_day" in (governor.state.error or "")


@pytest.mark.kinds("valkey-9.1")
def test_a_policy_for_another_server_is_refused(server: Server, govern: Govern) -> None:
    governor = govern(server)
    with pytest.raises(ConfigError, match="restart"):
        governor.reload(policy_of("redis://127.0.0.1:1/0"))
    governor.cycle()
    assert level(governor) is Level.NORMAL


@pytest.mark.kinds("valkey-9.1")
def test_stopping_ends_a_cleanup_in_its_middle(server: Server, govern: Govern) -> None:

    client = server.client()
    fill_to(client, 0.97, ttl_s=7200)
    clock = HandClock()
    governor = govern(server, clock=clock)
    clock.when_read = lambda: governor.stop() if "cleanup" in told(governor, Event.PLAN) else None
    written = client.dbsize()
    governor.cycle()
    assert int(client.dbsize()) > 0.8 * int(written)
