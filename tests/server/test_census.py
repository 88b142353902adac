"""What a census sees of real servers: the truth, by scripts and without, and what it cannot see as unknown."""

from __future__ import annotations

import math
import random
import re
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from spillgate.census.collect import GOLDEN, Collector, collect_census
from spillgate.census.estimate import Estimator
from spillgate.config import NamespacePolicy, ServerSettings
from spillgate.errors import PermissionDenied
from spillgate.keyspace import PrefixTree, grow
from spillgate.model import Run, Tally
from spillgate.server.driver import Command, Driver
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import Ask, CallBounds, ScanTable, cursor_at
from tests.governing import HandClock, fill
from tests.servers import ServerKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import redis

    from spillgate.model import Estimate, KeySample
    from tests.conftest import ServerFactory
    from tests.servers import Server

both_ways = pytest.mark.parametrize("evaluate", [True, False], ids=["lua", "pipelined"])
ALL_AT_ONCE = CallBounds(1_000_000, 10_000_000)
NAMESPACES = (
    NamespacePolicy(name="tasks", keys=("app:tasks:*", "app:*:task")),
    NamespacePolicy(name="odd", keys=("odd?\\[x]*",)),
)


def connect(
    url: str, namespaces: Iterable[NamespacePolicy] = NAMESPACES, *, evaluate: bool = True, seed: int = 1
) -> Gateway:
    rng = random.Random(seed)
    gateway = Gateway(ServerSettings(url=url), ScanTable(namespaces), clock=HandClock().clock.monotonic, rng=rng)
    gateway.probe()
    gateway.capabilities = replace(gateway.capabilities, evaluate=evaluate)
    return gateway


def full_pass(gateway: Gateway, ask: Ask, bounds: CallBounds = ALL_AT_ONCE) -> list[Run]:
    """The runs of one pass in order."""
    runs: list[Run] = []
    cursor = 0
    while not runs or cursor:
        reply = gateway.census(cursor, bounds, ask)
        runs.append(reply.run)
        cursor = reply.cursor
        assert len(runs) < 10_000, "the pass never ends"
    return runs


def added(runs: Iterable[Run]) -> dict[int, Tally]:
    """What all runs together saw of each group."""
    met: dict[int, list[Tally]] = {}
    for run in runs:
        for group, tally in run.tallies.items():
            met.setdefault(group, []).append(tally)
    return {group: Tally.total(tallies) for group, tallies in met.items()}


def near(found: Estimate, truth: float, times: float = 2.5) -> bool:
    """Whether the truth is within so many times the interval: in each server the keys lie elsewhere."""
    low, high = ((1 - times) * found.value + times * end for end in (found.low, found.high))
    return low <= truth <= high


def asked(client: redis.Redis, keys: Sequence[bytes], *command: str, after: tuple[str | int, ...] = ()) -> list[Any]:
    """What the server itself says of each key."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.execute_command(*command, key, *after)
    return pipe.execute()


def all_keys(client: redis.Redis) -> list[bytes]:
    """Every key."""
    return list(cast("Iterator[bytes]", client.scan_iter(count=5000)))


# ---- both ways, and the truth

WORDS = [b"user", b"page", b"42", b"a1b2", b"shard7", b"", b"*", b"%d", b"\x00\xff", b"\xc3\xa9\n", b"-", b"12-34.5"]


def adversarial_keys(count: int) -> list[bytes]:
    """Keys of words with and without digits, stars, bytes that are no text, and nothing at all; and random bytes."""
    rng = random.Random(3)
    words = [*WORDS, b"meta-" + b"0af3" * 2 + b"-0af3" * 3 + b"-" + b"0af3" * 3, b"w" * 150, b"w1" * 150]
    made = {b":".join(rng.choices(words, k=rng.randrange(1, 8))) for _ in range(count)}
    return sorted(made | {rng.randbytes(rng.randrange(20)) for _ in range(count // 4)})


def populate(client: redis.Redis) -> list[bytes]:
    """Keys of all types, sizes and lives."""
    pipe = client.pipeline(transaction=False)
    keys = adversarial_keys(900)
    for number, key in enumerate(keys):
        pipe.set(key, b"x" * (number * 7 % 500), ex=None if number % 3 else 1000 + number)
    for number in range(60):
        pipe.set(f"app:tasks:{number}", "x" * number, ex=900 if number % 2 else None)
        pipe.rpush(f"app:list:{number}:task", *range(1, number + 2))
        pipe.hset(f"odd?[x]{number}", mapping={f"f{n}": "v" * number for n in range(number + 1)})
        pipe.zadd(f"board:{number}", {f"m{n}": n for n in range(3 * number + 1)})
        pipe.sadd(f"set:{number}", *range(number + 1))
        pipe.xadd(f"stream:{number}", {"f": "v"})
    pipe.set("page:big", b"x" * 100_000)
    pipe.execute()
    return all_keys(client)


@both_ways
@pytest.mark.parametrize("keys_a_call", [40, 100_000])
def test_a_pass_adds_up_to_the_truth(server: Server, keys_a_call: int, *, evaluate: bool) -> None:
    client = server.client()
    keys = populate(client)
    sizes = asked(client, keys, "MEMORY", "USAGE", after=("SAMPLES", 5))
    ttls = asked(client, keys, "PTTL")
    gateway = connect(server.url, evaluate=evaluate)
    tree = grow([key for key in keys if gateway.table.namespace_of(key) is None])
    expected: dict[int, list[Tally]] = {}
    for key, size, ttl in zip(keys, sizes, ttls, strict=True):
        heavy = size >= 2000
        light_and_heavy = (0, 1, size) if heavy else (size, 0, 0)
        group = gateway.table.index_of(key, tree)
        expected.setdefault(group, []).append(Tally(1, int(ttl == -1), *light_and_heavy, len(key)))

    runs = full_pass(gateway, Ask(tree, heavy_bytes=2000, detail_every=0), CallBounds(keys_a_call, 10**7))
    assert added(runs) == {group: Tally.total(tallies) for group, tallies in expected.items()}
    assert {1, 2} < expected.keys()
    assert sum(size >= 2000 for size in sizes) > 10
    assert sum(run.visited for run in runs) == len(keys)
    assert sum(run.covered for run in runs) == pytest.approx(1)
    assert {run.total_keys for run in runs} == {len(keys)}
    squares = [sum(size * size for size in sizes if (size >= 2000) is heavy) for heavy in (False, True)]
    assert sum(run.light_squares for run in runs) == pytest.approx(squares[0])
    assert sum(run.heavy_squares for run in runs) == pytest.approx(squares[1])
    assert all(not run.details and not run.biggest and not run.expired for run in runs)
    gateway.close()


@both_ways
def test_details_tell_what_a_key_is(server: Server, *, evaluate: bool) -> None:
    client = server.client()
    keys = populate(client)
    gateway = connect(server.url, evaluate=evaluate)
    tree = PrefixTree(b":", [(b"*",), (b"board", b"*"), (b"page",), (b"page", b"*")])
    told: dict[bytes, tuple[int, KeySample]] = {}
    biggest: set[bytes] = set()
    for run in full_pass(gateway, Ask(tree, named=True, big_bytes=50_000), CallBounds(200, 10**7)):
        told |= {key.name: (group, key) for group, key in run.details}
        biggest |= {key.name for _, key in run.biggest}
    assert told.keys() == set(keys)
    assert biggest == {b"page:big"}
    facts = zip(
        asked(client, keys, "TYPE"),
        asked(client, keys, "OBJECT", "ENCODING"),
        asked(client, keys, "MEMORY", "USAGE", after=("SAMPLES", 5)),
        asked(client, keys, "PTTL"),
        strict=True,
    )
    for key, (kind, encoding, size, ttl) in zip(keys, facts, strict=True):
        group, sample = told[key]
        assert group == gateway.table.index_of(key, tree)
        assert (sample.type, sample.encoding, sample.size_bytes) == (kind.decode(), encoding.decode(), size)
        assert (sample.ttl_ms is None) is (ttl == -1)
        assert sample.ttl_ms is None or 0 <= sample.ttl_ms - ttl < 5000
        assert sample.idle_s is not None
        assert sample.idle_s < 60
    gateway.close()


@both_ways
def test_one_key_in_so_many_is_told_of_and_its_name_only_where_asked(server: Server, *, evaluate: bool) -> None:
    fill(server.client(), "app:tasks:", 1000, size=10)
    gateway = connect(server.url, evaluate=evaluate)
    runs = full_pass(gateway, Ask(detail_every=10), CallBounds(200, 10**7))
    details = [key for run in runs for group, key in run.details if group == 1]
    assert 90 <= len(details) <= 110
    assert {(key.name, key.type, key.encoding) for key in details} == {(b"", None, None)}
    gateway.close()


# ---- places in the table


def is_rehashing(client: redis.Redis) -> bool:
    stats = cast("bytes", client.execute_command("DEBUG", "HTSTATS", 0)).split(b"[Expires HT]")[0]
    return b"rehashing target" in stats or re.search(rb"rehashing index: [0-9]", stats) is not None


def debuggable(server_factory: ServerFactory, kind: ServerKind, **options: str) -> Server:
    """A server that knows DEBUG: from Redis 7 on it has to be allowed."""
    allow = {} if kind is ServerKind.REDIS_6_2 else {"enable_debug_command": "yes"}
    return server_factory(kind, tls=False, unixsocket=False, **allow, **options)


each_kind = pytest.mark.parametrize("kind", list(ServerKind))


def grow_until_rehashing(client: redis.Redis) -> None:
    """Keys up to the middle of a growth that has tens of thousands of steps to go, each of them one access of a key."""
    for number in range(10):
        client.execute_command("DEBUG", "POPULATE", 22_900, f"old{number}", 2)
    for number in range(1000):
        client.execute_command("DEBUG", "POPULATE", 400, f"early{number}", 2)
        if is_rehashing(client):
            return
    pytest.fail("the table never grew")


@both_ways
@each_kind
def test_a_made_up_cursor_is_fair_while_the_table_is_rehashed(
    server_factory: ServerFactory, kind: ServerKind, *, evaluate: bool
) -> None:
    """Keys written since it began are all in the new table, which has most of its buckets still empty."""
    server = debuggable(server_factory, kind, activerehashing="no")
    client = server.client(socket_timeout=30.0)
    grow_until_rehashing(client)
    client.execute_command("DEBUG", "POPULATE", 8000, "app:tasks", 2)
    assert is_rehashing(client)
    total = int(client.dbsize())

    gateway = connect(server.url, evaluate=evaluate)
    places = [cursor_at(number * GOLDEN % 1) for number in range(400)]
    # Short runs, so that a first bucket seen by half would show.
    runs = [gateway.census(place, CallBounds(10, 10**6), Ask(detail_every=0), made_up=True).run for place in places]
    assert is_rehashing(client)
    # What a run covers is its share of the keys, too; and the new keys are met as often as there are of them.
    density = sum(run.visited for run in runs) / sum(run.covered for run in runs)
    assert density == pytest.approx(total, rel=0.06)
    found = Estimator(runs, total, exact=False).keys([1])
    assert near(found, 8000)
    assert found.high - found.low < 8000
    gateway.close()


@both_ways
def test_keys_at_random_are_a_sample_too(server: Server, *, evaluate: bool) -> None:
    client = server.client()
    gateway = connect(server.url, evaluate=evaluate)
    empty = gateway.census(None, CallBounds(50, 10**6), Ask())
    assert (empty.cursor, empty.run.visited, empty.run.expired, empty.run.total_keys) == (0, 0, 0, 0)
    fill(client, "app:tasks:", 500, size=10)
    fill(client, "elsewhere:", 1500, size=10, ttl_s=None)
    runs = [gateway.census(None, CallBounds(100, 10**6), Ask(named=True)).run for _ in range(20)]
    assert {(run.visited, run.covered, run.total_keys) for run in runs} == {(100, 1.0, 2000)}
    assert len({key.name for run in runs for _, key in run.details}) > 700
    tasks = added(runs)[1]
    assert 300 <= tasks.keys <= 700  # 500 are expected, with a standard error of 19
    assert (tasks.no_ttl, added(runs)[0].no_ttl) == (0, added(runs)[0].keys)
    gateway.close()


# ---- keys that go


@both_ways
@each_kind
def test_keys_past_their_ttl_are_counted_apart(
    server_factory: ServerFactory, kind: ServerKind, *, evaluate: bool
) -> None:
    server = debuggable(server_factory, kind)
    client = server.client()
    client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    fill(client, "app:tasks:", 300, size=10)
    gateway = connect(server.url, evaluate=evaluate)
    pipe = client.pipeline(transaction=False)
    for number in range(500):
        pipe.set(f"app:tasks:gone:{number}", b"x" * 500, px=1)
    pipe.execute()
    time.sleep(0.005)  # until all of them have expired
    runs = full_pass(gateway, Ask(detail_every=0), CallBounds(100, 10**6))
    assert sum(run.visited for run in runs) == added(runs)[1].keys == 300
    assert sum(run.expired for run in runs) == 500
    assert runs[0].total_keys == 800
    gateway.close()


@both_ways
def test_a_pass_that_drops_what_has_expired_does_not_lose_count(
    server_factory: ServerFactory, *, evaluate: bool
) -> None:
    server = debuggable(server_factory, ServerKind.REDIS_7_0)
    client = server.client()
    client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    fill(client, "app:tasks:", 4000, size=10)
    gateway = connect(server.url, evaluate=evaluate)
    pipe = client.pipeline(transaction=False)
    for number in range(4000):
        pipe.set(f"app:tasks:gone:{number}", b"x", px=1)
    pipe.execute()
    time.sleep(0.005)  # until all of them have expired
    collector = Collector(gateway, error=0.0)
    for step, _ in enumerate(collector.steps()):
        if step:
            census = collector.census()
            assert near(census.namespaces[0].keys, 4000, 4)  # one of many looks may be far off
            assert near(census.expired, 4000, 4)
    assert (collector.census().namespaces[0].keys.value, collector.census().expired.value) == (4000, 4000)
    gateway.close()


def test_a_key_deleted_between_its_page_and_the_look_at_it_is_not_counted(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.client()
    fill(client, "app:tasks:", 20)
    gateway = connect(server.url, evaluate=False)
    look = Driver.pipeline

    def too_late(driver: Driver, commands: Sequence[Command], **options: Any) -> list[Any]:
        if commands and commands[0][0] == "PTTL":
            client.delete("app:tasks:3", "app:tasks:7")
        return look(driver, commands, **options)

    monkeypatch.setattr(Driver, "pipeline", too_late)
    run = gateway.census(0, ALL_AT_ONCE, Ask(named=True)).run
    assert (run.visited, run.tallies[1].keys, len(run.details)) == (18, 18, 18)
    assert not {b"app:tasks:3", b"app:tasks:7"} & {key.name for _, key in run.details}
    gateway.close()


# ---- what must stay short


def test_a_collection_of_a_million_elements_is_measured_without_stalling_anyone(server: Server) -> None:
    client = server.client(socket_timeout=60.0)
    script = "for i = ARGV[1], ARGV[1] + 4999 do redis.call('SADD', KEYS[1], 'element:' .. (1000000 + i)) end"
    add = client.register_script(script)
    for start in range(0, 1_000_000, 5000):
        add(keys=["huge"], args=[start])
    gateway = connect(server.url)
    client.config_resetstat()
    run = gateway.census(0, ALL_AT_ONCE, Ask(named=True, big_bytes=4096)).run
    calls = client.info("commandstats")["cmdstat_evalsha"]
    assert calls["usec"] / calls["calls"] < 5000
    truth = int(client.memory_usage("huge", samples=0) or 0)
    _, sample = run.biggest[0]
    assert (sample.name, sample.type, sample.encoding) == (b"huge", "set", "hashtable")
    assert sample.size_bytes == pytest.approx(truth, rel=0.1)  # five elements stand for all
    gateway.close()


@each_kind
@pytest.mark.parametrize("error", [0.0, 0.01], ids=["all keys", "a sample"])
def test_no_call_takes_long_however_many_keys_there_are(
    server_factory: ServerFactory, kind: ServerKind, error: float
) -> None:
    server = debuggable(server_factory, kind)
    client = server.client(socket_timeout=60.0)
    for number in range(10):
        client.execute_command("DEBUG", "POPULATE", 30_000, f"app:tasks:{number}" if number % 2 else f"p{number}", 100)
    client.config_set("slowlog-log-slower-than", 5000)
    client.config_set("slowlog-max-len", 10_000)
    gateway = connect(server.url)
    client.slowlog_reset()
    collector = Collector(gateway, error=error, rng=random.Random(1))
    steps = sum(1 for _ in collector.steps())
    slow = [entry for entry in client.slowlog_get(10_000) if b"EVAL" in entry["command"]]
    assert steps >= 20
    # On a busy machine the server itself may be kept waiting, now and then.
    assert len(slow) <= max(2, steps // 200), [entry["duration"] for entry in slow]
    census = collector.census()
    assert census.exact is (error == 0)
    assert census.total_keys == 300_000
    assert near(census.namespaces[0].keys, 150_000)
    gateway.close()


# ---- what may not be seen


def limited(server: Server, rules: str) -> str:
    server.client().execute_command("ACL", "SETUSER", "limited", "on", ">secret", "&*", *rules.split())
    return server.url.replace("redis://", "redis://limited:secret@")


@both_ways
@pytest.mark.parametrize("error", [0.0, 0.05], ids=["all keys", "a sample"])
def test_without_the_right_to_ask_sizes_are_unknown_and_no_zero(
    server: Server, error: float, *, evaluate: bool
) -> None:
    fill(server.client(), "app:tasks:", 500)
    fill(server.client(), "page:", 500)
    gateway = connect(limited(server, "~* +@all -memory -object"), evaluate=evaluate)
    collector = Collector(gateway, error=error)
    assert list(collector.steps())
    for census in (collector.census(), collect_census(gateway)):
        rows = [*census.namespaces, *census.prefixes]
        assert {(row.bytes, row.avg_bytes) for row in rows} == {(None, None)}
        assert census.total_bytes is None
        assert {(key.idle_s, key.size_bytes) for row in rows for key in row.sample} == {(None, None)}
        tasks = census.namespaces[0]
        assert near(tasks.keys, 500)
        assert tasks.no_ttl is not None
        assert tasks.no_ttl.value == 0
    prefixes = collector.census().prefixes
    assert [(row.name, row.keys.value) for row in prefixes] == [("page:*", 500)]
    # A type is found out by TYPE where OBJECT ENCODING is forbidden.
    assert {(key.type, key.encoding) for key in prefixes[0].sample} == {("string", None)}
    gateway.close()


@both_ways
def test_keys_that_may_not_be_looked_at_are_counted_and_nothing_else_is_said_of_them(
    server: Server, *, evaluate: bool
) -> None:
    fill(server.client(), "app:tasks:", 30)
    fill(server.client(), "elsewhere:", 50)
    gateway = connect(limited(server, "~app:tasks:* +@all"), evaluate=evaluate)
    collector = Collector(gateway, error=0.0)
    assert list(collector.steps())
    census = collector.census()
    tasks, other = census.namespaces[0], census.unregistered_keys
    assert (tasks.keys.value, other.value) == (30, 50)
    assert tasks.bytes is not None
    assert tasks.bytes.value > 30 * 1000
    assert (tasks.no_ttl, census.total_bytes) == (replace(tasks.keys, value=0, low=0, high=0), None)
    gateway.close()


@both_ways
def test_without_the_right_to_ask_ttls_are_unknown_and_no_zero(server: Server, *, evaluate: bool) -> None:
    fill(server.client(), "app:tasks:", 30, ttl_s=None)
    gateway = connect(limited(server, "~* +@all -pttl"), evaluate=evaluate)
    census = collect_census(gateway)
    assert census.namespaces[0].keys.value == 30
    assert census.namespaces[0].no_ttl is None
    gateway.close()


@both_ways
def test_without_scan_there_is_no_census_but_an_error(server: Server, *, evaluate: bool) -> None:
    fill(server.client(), "app:tasks:", 30)
    gateway = connect(limited(server, "~* +@all -scan"), evaluate=evaluate)
    for error in (0.0, 0.05):
        with pytest.raises(PermissionDenied):
            list(Collector(gateway, error=error).steps())
    with pytest.raises(PermissionDenied):
        collect_census(gateway)
    gateway.close()


# ---- the collector


def truth_of(client: redis.Redis, gateway: Gateway) -> dict[str | None, tuple[int, int, int]]:
    """Keys, bytes and keys without a TTL of each namespace."""
    keys = all_keys(client)
    sizes = asked(client, keys, "MEMORY", "USAGE", after=("SAMPLES", 5))
    ttls = asked(client, keys, "PTTL")
    totals: dict[str | None, Counter[str]] = {}
    for key, size, ttl in zip(keys, sizes, ttls, strict=True):
        total = totals.setdefault(gateway.table.namespace_of(key), Counter())
        total.update(keys=1, bytes=size, no_ttl=int(ttl == -1))
    return {name: (total["keys"], total["bytes"], total["no_ttl"]) for name, total in totals.items()}


@both_ways
@pytest.mark.parametrize("error", [0.0, 0.01], ids=["all keys", "a sample"])
def test_of_few_keys_every_number_is_exact(server: Server, error: float, *, evaluate: bool) -> None:
    client = server.client()
    populate(client)
    gateway = connect(server.url, evaluate=evaluate)
    truth = truth_of(client, gateway)
    collector = Collector(gateway, error=error)
    last = list(collector.steps())[-1]
    census = collector.census()
    assert census.exact
    assert last.seen == last.wanted == census.sampled_keys == census.total_keys == client.dbsize()
    for row in census.namespaces:
        assert row.bytes is not None
        assert row.no_ttl is not None
        assert (row.keys.value, row.bytes.value, row.no_ttl.value) == truth[row.name]
        assert row.keys.is_exact
    for index, total in enumerate(("keys", "bytes", "no_ttl")):
        rows: list[Estimate] = [getattr(row, total) for row in (*census.namespaces, *census.prefixes)]
        assert sum(row.value for row in rows) == sum(numbers[index] for numbers in truth.values())
    assert census.unregistered_keys.value == truth[None][0]
    assert census.total_bytes is not None
    assert census.total_bytes.value == sum(numbers[1] for numbers in truth.values())
    assert (census.biggest[0].name, census.expired.value) == (b"page:big", 0)
    gateway.close()


def populate_many(client: redis.Redis, total: int) -> dict[str, int]:
    """Keys of ten prefixes of unequal number, with sizes of their own."""
    script = """
    for i = ARGV[1], ARGV[1] + 4999 do
      local group = math.floor(10 * ((i * 7919 % 1000) / 1000) ^ 2)
      local key = 'app:' .. (group < 5 and 'tasks:' or 'pages:') .. string.char(97 + group) .. ':' .. i
      redis.call('SET', key, string.rep('x', 50 + group * 40 + i * 31 % 300), 'EX', 600 + i % 3000)
    end"""
    add = client.register_script(script)
    for start in range(0, total, 5000):
        add(args=[start])
    groups = Counter(int(10 * ((number * 7919 % 1000) / 1000) ** 2) for number in range(total))
    return {chr(97 + group): count for group, count in groups.items()}


@both_ways
def test_of_many_keys_a_sample_is_as_good_as_wanted(server: Server, *, evaluate: bool) -> None:
    client = server.client()
    letters = populate_many(client, 60_000)
    gateway = connect(server.url, evaluate=evaluate)
    truth = truth_of(client, gateway)
    whole = sum(size for _, size, _ in truth.values())
    collector = Collector(gateway, error=0.03, rng=random.Random(4))
    last = list(collector.steps())[-1]
    census = collector.census()
    assert not census.exact
    assert last.error is not None
    assert last.error <= 0.03
    assert census.sampled_keys < 20_000
    assert census.total_keys == 60_000
    tasks = census.namespaces[0]
    assert tasks.bytes is not None
    assert near(tasks.bytes, truth["tasks"][1])
    assert tasks.bytes.high - tasks.bytes.low <= 2 * 0.03 * whole * 1.05
    assert census.namespaces[1].keys.value == 0
    found = {row.name: row for row in census.prefixes}
    assert found.keys() == {f"app:pages:{letter}:*" for letter in letters if letter > "e"}
    rows = [(row.keys, letters[row.name.split(":")[2]]) for row in census.prefixes]
    assert all(near(keys, count) for keys, count in rows)
    assert all(row.sample for row in census.prefixes)
    gateway.close()


@both_ways
@pytest.mark.parametrize("random_key", [True, False])
def test_where_cursors_may_not_be_made_up_keys_come_at_random_or_in_order(
    server: Server, *, random_key: bool, evaluate: bool
) -> None:
    client = server.client()
    letters = populate_many(client, 40_000)
    gateway = connect(server.url, (), evaluate=evaluate)
    gateway.capabilities = replace(gateway.capabilities, random_cursor=False, random_key=random_key)
    collector = Collector(gateway, error=0.04)
    assert list(collector.steps())
    census = collector.census()
    assert census.exact is not random_key
    rows = {row.name.split(":")[2]: row.keys for row in census.prefixes}
    assert rows.keys() == letters.keys()
    assert all(near(rows[letter], count) for letter, count in letters.items())
    gateway.close()


@both_ways
@pytest.mark.parametrize("error", [0.0, 0.02], ids=["all keys", "a sample"])
def test_a_census_may_be_left_after_any_step(server: Server, error: float, *, evaluate: bool) -> None:
    client = server.client()
    tasks = sum(count for letter, count in populate_many(client, 30_000).items() if letter <= "e")
    gateway = connect(server.url, evaluate=evaluate)
    collector = Collector(gateway, error=error, rng=random.Random(5))
    looks = 0
    for step, progress in enumerate(collector.steps()):
        if step > 5 and step % 17:
            continue
        census = collector.census()
        looks += 1
        assert census.sampled_keys == progress.seen
        rows = [*census.namespaces, *census.prefixes]
        assert all(row.keys.low <= row.keys.value <= row.keys.high for row in rows)
        assert census.exact or not any(row.keys.is_exact for row in rows)
        if step > 5:  # of fewer runs a look may be far off, now and then
            assert near(census.namespaces[0].keys, tasks, 4)
    assert looks >= 7
    gateway.close()


def test_after_a_census_was_left_the_connection_answers_what_it_is_asked(server: Server) -> None:
    client = server.client()
    populate_many(client, 40_000)
    gateway = connect(server.url)
    for steps in (1, 25, 31, 40):
        collector = Collector(gateway, error=0.001 if steps > 1 else 0.0)
        taken = zip(range(steps), collector.steps(), strict=False)
        assert len(list(taken)) == steps
        assert gateway.read().keys == 40_000
        assert collector.census().sampled_keys > 0
        assert gateway.census(0, CallBounds(10, 10**6), Ask()).run.total_keys == 40_000
    gateway.close()


def test_a_quick_census_of_more_keys_than_it_may_see_is_a_sample_from_all_over_the_table(server: Server) -> None:
    client = server.client()
    fill(client, "app:tasks:", 3000, size=10)
    fill(client, "elsewhere:", 9000, size=10)
    gateway = connect(server.url)
    quick = collect_census(gateway)
    assert not quick.exact
    assert 800 <= quick.sampled_keys <= 2400
    assert near(quick.namespaces[0].keys, 3000)
    assert quick.namespaces[0].keys.high < 4500
    few = collect_census(gateway, most_runs=200)
    assert few.exact
    assert (few.namespaces[0].keys.value, few.unregistered_keys.value) == (3000, 9000)
    gateway.close()


def test_a_quick_census_where_cursors_may_not_be_made_up_takes_keys_at_random_or_claims_nothing(server: Server) -> None:
    fill(server.client(), "app:tasks:", 20_000, size=20)
    gateway = connect(server.url)
    gateway.capabilities = replace(gateway.capabilities, random_cursor=False)
    drawn = collect_census(gateway).usage("tasks")
    assert drawn is not None
    assert drawn.bytes is not None
    assert drawn.keys.low <= 20_000 <= drawn.keys.high < 40_000
    gateway.capabilities = replace(gateway.capabilities, random_key=False)
    begun = collect_census(gateway)
    assert not begun.exact
    usage = begun.usage("tasks")
    assert usage is not None
    assert usage.bytes is not None
    assert usage.keys.high == usage.bytes.high == math.inf
    assert 0 < usage.keys.low < 20_000
    counted = collect_census(gateway, 1000).usage("tasks")
    assert counted is not None
    assert counted.keys.is_exact
    assert counted.keys.value == 20_000
