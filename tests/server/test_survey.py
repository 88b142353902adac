"""Surveys of real servers: numbers that add up, every database, replicas, what is forbidden, and passes that go on."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import redis

from spillgate.census.checkpoint import Checkpoint
from spillgate.census.overhead import UNEXPLAINED
from spillgate.census.survey import data_of, take_survey
from spillgate.config import ServerSettings
from spillgate.errors import BudgetExhausted, CommandUnavailable, ConfigError, ServerUnreachable
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable
from tests.governing import fill, gateway_of, policy_of
from tests.servers import HOST, ServerKind, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from spillgate.census.collect import Progress
    from spillgate.model import Census, Survey
    from tests.conftest import ServerFactory
    from tests.servers import Server

MANY = """
for i = ARGV[1], ARGV[2] do
  local key = 'app:' .. ({'tasks', 'messages', 'other'})[i % 3 + 1] .. ':' .. i
  redis.call('SET', key, string.rep('x', 50 + i % 200))
  if i % 2 == 0 then redis.call('EXPIRE', key, 10000 + i % 1000) end
end
"""


TASKS = '[[namespace]]\nname = "tasks"\nkeys = "app:tasks:*"\n'


def fill_with_many(client: redis.Redis, count: int) -> None:
    """Strings of 50 to 250 bytes, in three parts, every other with a TTL."""
    for start in range(0, count, 10_000):
        client.eval(MANY, 0, str(start), str(min(count, start + 10_000) - 1))


def survey_of(server: Server, *, user: str = "", namespaces: str = "", error: float = 0.0, **options: Any) -> Survey:
    url = server.url.replace("://", f"://{user}:pass@") if user else server.url
    with closing(gateway_of(policy_of(url, namespaces=namespaces))) as gateway:
        return take_survey(gateway, error=error, **options)


def allow(client: redis.Redis, user: str, *rules: str) -> str:
    client.execute_command("ACL", "SETUSER", user, "on", ">pass", "~*", "+@all", *rules)
    return user


def adds_up(survey: Survey) -> bool:
    """Whether data and overhead are the memory used, to the byte."""
    overhead = sum(size.value for size in survey.overhead.values())
    return overhead + data_of(survey.databases).value == survey.used_bytes == int(survey.info["used_memory"])


def counts(census: Census) -> dict[str, float]:
    return {row.name: row.keys.value for row in census.namespaces + census.prefixes if row.keys.value}


class StopAfter:
    """Asks to stop after so many calls."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self) -> bool:
        self.calls -= 1
        return self.calls < 0


# ---- adding up


def test_numbers_add_up_and_little_is_unexplained(server: Server) -> None:
    client = server.client()
    fill_with_many(client, 60_000)
    for number in range(300):
        client.hset(f"hash:{number}", mapping={str(field): "x" * 20 for field in range(10)})
        client.rpush(f"list:{number}", *("x" * 30 for _ in range(20)))
    survey = survey_of(server)
    assert adds_up(survey)
    assert (survey.own.exact, survey.partial, survey.notes) == (True, False, ())
    unexplained = survey.overhead[UNEXPLAINED]
    assert unexplained.is_exact
    # 65,536 and 32,768 buckets of 8 bytes, and an entry of 24 for each key with a TTL; in Valkey a bucket has 64 bytes
    # and up to seven keys, in both tables.
    tables = survey.overhead["key tables"].value
    if server.kind is ServerKind.VALKEY_9_1:
        assert 90_600 * 64 / 7 < tables < 90_600 * 64 / 2
    else:
        assert tables == (65_536 + 32_768) * 8 + 30_000 * 24
    # Allocators round up by some bytes for each key.
    a_key = 4 if server.kind is ServerKind.VALKEY_9_1 else 16
    assert -100_000 <= unexplained.value <= 200_000 + a_key * 60_600
    assert ("latency histograms" in survey.overhead) is (server.kind is not ServerKind.REDIS_6_2)


def test_a_sample_adds_up_as_well_and_mirrors_its_error(server: Server) -> None:
    fill_with_many(server.client(), 60_000)
    survey = survey_of(server, error=0.05)
    assert not survey.own.exact
    assert survey.own.sampled_keys < 30_000
    assert adds_up(survey)
    data, unexplained = data_of(survey.databases), survey.overhead[UNEXPLAINED]
    assert data.low < data.value < data.high
    assert unexplained.high - unexplained.value == pytest.approx(data.value - data.low)
    assert unexplained.value - unexplained.low == pytest.approx(data.high - data.value)
    known = sum(size.value for cause, size in survey.overhead.items() if cause != UNEXPLAINED)
    assert unexplained.low + data.high == pytest.approx(survey.used_bytes - known)


def test_an_empty_server_is_known_to_be_empty(server: Server) -> None:
    survey = survey_of(server, error=0.01)
    assert (survey.own.exact, survey.own.total_keys, survey.partial) == (True, 0, False)
    assert survey.own.total_bytes is not None
    assert (survey.own.total_bytes.value, survey.own.prefixes) == (0, ())
    assert adds_up(survey)


def test_keys_of_no_namespace_that_no_prefix_was_found_for_have_a_row(valkey: Server) -> None:
    client = valkey.client()
    fill(client, "app:tasks:", 3)
    client.set("stranger", "x" * 5000)
    # Without the right to see TTLs nobody looks at other keys for prefixes.
    survey = survey_of(valkey, user=allow(client, "narrow", "-pttl"), namespaces=TASKS)
    assert counts(survey.own) == {"tasks": 3, "*": 1}
    assert adds_up(survey)
    assert [row.no_ttl for row in survey.own.namespaces + survey.own.prefixes] == [None, None]


# ---- databases


def test_every_database_is_looked_at(server: Server) -> None:
    fill(server.client(), "app:tasks:", 30)
    for number, count in ((3, 20), (9, 10)):
        with redis.Redis(HOST, server.port, db=number) as client:
            fill(client, "app:tasks:", count)
    survey = survey_of(server, namespaces=TASKS, error=0.01)
    assert [number for number, _ in survey.databases] == [0, 3, 9]
    # The policy is of one database.
    assert [counts(census) for _, census in survey.databases] == [
        {"tasks": 30},
        {"app:tasks:*": 20},
        {"app:tasks:*": 10},
    ]
    assert adds_up(survey)
    assert survey.overhead[UNEXPLAINED].value < 300_000


def test_a_database_that_is_forbidden_is_told_and_stays_unexplained(server: Server) -> None:
    client = server.client()
    fill(client, "app:tasks:", 30)
    with redis.Redis(HOST, server.port, db=3) as other:
        fill(other, "big:", 10, 100_000)
    survey = survey_of(server, user=allow(client, "narrow", "-select"))
    assert [number for number, _ in survey.databases] == [0]
    assert survey.partial
    assert survey.notes[0].startswith("database 3 could not be read: ")
    assert len(survey.notes) == 1
    assert survey.overhead[UNEXPLAINED].value > 900_000  # a little of it may be explained by something else
    assert adds_up(survey)


# ---- what is forbidden


def test_without_scripts_the_survey_is_the_same(server: Server) -> None:
    client = server.client()
    fill_with_many(client, 3000)
    scripted = survey_of(server)
    piped = survey_of(server, user=allow(client, "narrow", "-@scripting"))
    assert piped.own.exact
    assert counts(piped.own) == counts(scripted.own)
    assert data_of(piped.databases) == data_of(scripted.databases)
    assert adds_up(piped)


def test_without_memory_usage_sizes_are_unknown_not_zero(server: Server) -> None:
    client = server.client()
    fill(client, "big:", 20, 100_000)
    survey = survey_of(server, user=allow(client, "narrow", "-memory"))
    assert [(row.name, row.bytes, row.avg_bytes, row.keys.value) for row in survey.own.prefixes] == [
        ("big:*", None, None, 20)
    ]
    assert survey.own.total_bytes is None
    assert "key tables" not in survey.overhead, "MEMORY STATS is forbidden as well"
    assert survey.overhead[UNEXPLAINED].value > 2_000_000
    assert "MEMORY USAGE is forbidden" in survey.notes[0]
    assert adds_up(survey)


def test_without_object_idle_times_are_unknown(server: Server) -> None:
    client = server.client()
    fill(client, "big:", 20)
    client.hset("hash", "a", "b")
    survey = survey_of(server, user=allow(client, "narrow", "-object"))
    sample = [key for row in survey.own.prefixes for key in row.sample]
    assert len(sample) == 21
    assert {(key.idle_s, key.encoding) for key in sample} == {(None, None)}
    assert {key.type for key in sample} == {"hash", "string"}

    assert survey.notes == ("OBJECT is forbidden: idle times and encodings are unknown",)


def test_without_type_the_types_of_strings_are_known(server: Server) -> None:
    client = server.client()
    fill(client, "big:", 20)
    client.hset("hash", "a", "b")
    user = allow(client, "narrow", "-type")
    survey = survey_of(server, user=user)
    assert survey.notes == ("TYPE is forbidden: types are unknown, but for strings",)
    assert {key.type for row in survey.own.prefixes for key in row.sample} == {"string", None}
    allow(client, user, "-type", "-object", "-pttl")
    assert survey_of(server, user=user).notes == (
        "PTTL is forbidden, for some keys at least: how long they live is unknown",
        "OBJECT is forbidden: idle times and encodings are unknown",
        "TYPE is forbidden: types are unknown",
    )


def test_sizes_of_some_keys_alone_are_told_as_such(server: Server) -> None:
    client = server.client()
    fill(client, "mine:", 20)
    fill(client, "other:", 20)
    client.execute_command(
        "ACL", "SETUSER", "narrow", "on", ">pass", "resetkeys", "~mine:*", "~spillgate:probe", "+@all"
    )
    survey = survey_of(server, user="narrow")
    assert sum(counts(survey.own).values()) == 40
    assert survey.notes == (
        "MEMORY USAGE is forbidden for some keys: their sizes are unknown, what is unexplained holds them",
        "PTTL is forbidden, for some keys at least: how long they live is unknown",
    )
    assert adds_up(survey)


def test_under_lfu_there_are_no_idle_times_and_that_is_said(server: Server) -> None:
    client = server.client()
    fill(client, "big:", 20)
    client.config_set("maxmemory-policy", "allkeys-lfu")
    survey = survey_of(server)
    assert survey.notes == ("idle times are unknown: under allkeys-lfu the server keeps none",)
    sample = [key for row in survey.own.prefixes for key in row.sample]
    assert {(key.idle_s, key.encoding) for key in sample} == {(None, "raw")}


@pytest.mark.parametrize("command", ["scan", "dbsize"])
def test_without_scan_or_dbsize_nothing_is_made_up(server: Server, command: str) -> None:
    client = server.client()
    fill(client, "big:", 20)
    with pytest.raises(CommandUnavailable, match=f"{command.upper()} is forbidden to this user or plan"):
        survey_of(server, user=allow(client, "narrow", f"-{command}"))


def test_the_days_commands_are_kept_and_what_they_told_is_used(valkey: Server) -> None:
    fill_with_many(valkey.client(), 60_000)
    with redis.Redis(HOST, valkey.port, db=3) as other:
        fill(other, "big:", 10)
    left = 1000

    def metered(commands: int) -> Survey:
        nonlocal left
        made = Gateway(
            ServerSettings(url=valkey.url), ScanTable(()), clock=time.monotonic, allow=lambda: left - made.commands
        )
        left = 1000
        made.probe()
        left = made.commands + commands
        try:
            return take_survey(made, error=0)
        finally:
            assert made.commands <= left
            made.close()

    survey = metered(12)
    assert survey.partial
    assert any("commands allowed for today are spent" in note for note in survey.notes)
    assert "database 3 was not looked at" in survey.notes
    assert 0 < survey.own.sampled_keys < 30_000
    assert sum(row.keys.value for row in survey.own.prefixes) == pytest.approx(60_000, rel=0.05)
    assert adds_up(survey)
    with pytest.raises(BudgetExhausted):
        metered(1)


# ---- keys of every kind


def test_any_bytes_may_be_a_key(server: Server) -> None:
    client = server.client()
    names = [b"\xff\xfe\x00", b"with space:1", b"with\nnewline", b"", b"'quoted\"", b"{tag}:*", b":" * 50]
    for name in names:
        client.set(name, b"x" * 5000)
    survey = survey_of(server, error=0.01)
    assert {key.name for key in survey.own.biggest} == set(names)
    assert sum(counts(survey.own).values()) == len(names)
    assert adds_up(survey)


def test_a_collection_of_a_million_elements_holds_nobody_up(server: Server) -> None:
    client = server.client(socket_timeout=60)
    for start in range(0, 1_000_000, 100_000):
        client.eval(f"for i = {start}, {start + 99_999} do redis.call('SADD', 'set', 'e' .. i) end", 0)
    client.config_set("slowlog-log-slower-than", 20_000)
    client.slowlog_reset()
    survey = survey_of(server)
    assert client.slowlog_get() == []
    (key,) = survey.own.biggest
    assert (key.name, key.type, key.encoding) == (b"set", "set", "hashtable")
    assert (key.size_bytes or 0) > 20_000_000
    assert adds_up(survey)


# ---- interrupted


def test_an_interrupted_pass_tells_what_it_has_seen_with_its_error(server: Server) -> None:
    fill_with_many(server.client(), 60_000)
    with redis.Redis(HOST, server.port, db=3) as other:
        fill(other, "big:", 10)
    heard: list[Progress] = []
    survey = survey_of(server, on_progress=heard.append, asked_to_stop=StopAfter(40))
    assert survey.partial
    assert survey.notes == (
        "interrupted: the numbers are drawn from what was seen until then",
        "database 3 was not looked at",
    )
    assert not survey.own.exact
    assert len(heard) == 41
    assert heard[-1].seen == survey.own.sampled_keys < 60_000 == heard[-1].wanted
    for row in survey.own.prefixes:
        assert row.keys.low < 20_000 * 1.1
        assert row.keys.high > 20_000 * 0.9
    assert adds_up(survey)


def test_stopped_between_databases(valkey: Server) -> None:
    fill(valkey.client(), "app:tasks:", 30)
    with redis.Redis(HOST, valkey.port, db=3) as other:
        fill(other, "big:", 10)
    survey = survey_of(valkey, asked_to_stop=StopAfter(0))
    assert survey.own.exact
    assert (survey.partial, survey.notes) == (True, ("database 3 was not looked at",))


# ---- going on


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pass"


def whole(server: Server, **options: Any) -> tuple[dict[str, float], float]:
    """What a full pass in one go says."""
    survey = survey_of(server, **options)
    return counts(survey.own), data_of(survey.databases).value


@pytest.mark.parametrize("stops", [(1,), (5, 30, 1)])
def test_a_pass_goes_on_where_it_was_stopped(server: Server, file: Path, stops: tuple[int, ...]) -> None:
    fill_with_many(server.client(), 30_000)
    with redis.Redis(HOST, server.port, db=3) as other:
        fill(other, "big:", 10)
    seen = 0
    for calls in stops:
        part = survey_of(server, checkpoint=Checkpoint(file), asked_to_stop=StopAfter(calls))
        assert part.partial
        assert part.own.sampled_keys > seen
        assert file.stat().st_mode & 0o777 == 0o600
        seen = part.own.sampled_keys
    rest = survey_of(server, checkpoint=Checkpoint(file))
    assert (rest.partial, rest.own.exact, rest.own.sampled_keys) == (False, True, 30_000)
    assert (counts(rest.own), data_of(rest.databases).value) == whole(server)
    assert not file.exists()


def test_a_pass_stopped_in_another_database_does_not_repeat_the_first(valkey: Server, file: Path) -> None:
    fill(valkey.client(), "app:tasks:", 30)
    with redis.Redis(HOST, valkey.port, db=3) as other:
        fill_with_many(other, 20_000)
    part = survey_of(valkey, checkpoint=Checkpoint(file), asked_to_stop=StopAfter(20))
    assert [census.exact for _, census in part.databases] == [True, False]
    heard: list[Progress] = []
    rest = survey_of(valkey, checkpoint=Checkpoint(file), on_progress=heard.append)
    assert heard[0].seen > part.databases[1][1].sampled_keys
    assert [census.sampled_keys for _, census in rest.databases] == [30, 20_000]
    assert not file.exists()


def test_a_pass_that_lacks_a_database_is_kept_and_goes_on_with_it(valkey: Server, file: Path) -> None:
    client = valkey.client()
    fill(client, "app:tasks:", 30)
    with redis.Redis(HOST, valkey.port, db=3) as other:
        fill(other, "big:", 10)
    user = allow(client, "narrow", "-select")
    part = survey_of(valkey, user=user, checkpoint=Checkpoint(file))
    assert (part.partial, [number for number, _ in part.databases]) == (True, [0])
    assert file.exists()
    allow(client, user, "+select")
    rest = survey_of(valkey, user=user, checkpoint=Checkpoint(file))
    assert (rest.partial, [census.sampled_keys for _, census in rest.databases]) == (False, [30, 10])
    assert not file.exists()


def test_a_pass_goes_on_after_a_lost_connection(server: Server, file: Path) -> None:
    fill_with_many(server.client(), 30_000)

    def cut(progress: Progress) -> None:
        if progress.seen > 10_000:
            server.freeze()

    hasty = policy_of(server.url, server='timeout = "200ms"', namespaces="")
    with closing(gateway_of(hasty)) as gateway, pytest.raises(ServerUnreachable):
        take_survey(gateway, error=0, checkpoint=Checkpoint(file), on_progress=cut)
    server.thaw()
    first: list[Progress] = []
    rest = survey_of(server, checkpoint=Checkpoint(file), on_progress=first.append)
    assert first[0].seen > 10_000
    assert (rest.own.exact, rest.own.sampled_keys) == (True, 30_000)
    assert counts(rest.own) == whole(server)[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("namespaces", "is of other namespaces than the policy has now: delete it to begin anew"),
        ("separator", "is of another --separator: delete it to begin anew"),
        ("restart", "is of another server, or of this one before it was restarted: delete it to begin anew"),
        ("database", "is of database 0, and this is 1: delete it to begin anew"),
    ],
)
def test_a_pass_of_something_else_is_refused(valkey: Server, file: Path, change: str, said: str) -> None:
    fill_with_many(valkey.client(), 30_000)
    survey_of(valkey, checkpoint=Checkpoint(file), asked_to_stop=StopAfter(3))
    kept = file.read_bytes()
    if change == "restart":
        valkey.restart()
    url = valkey.url.replace("/0", "/1") if change == "database" else valkey.url
    separator = b"/" if change == "separator" else None
    with closing(gateway_of(policy_of(url, namespaces=TASKS if change == "namespaces" else ""))) as gateway:
        with pytest.raises(ConfigError, match=said) as refused:
            take_survey(gateway, error=0, separator=separator, checkpoint=Checkpoint(file))
        assert gateway.commands < 30, "nothing was looked at"
    assert str(file) in str(refused.value)
    assert file.read_bytes() == kept


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80", b"\x84\xa6format\x01"])
def test_a_file_that_is_no_pass_is_refused_and_left_alone(valkey: Server, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="is not a census to go on from"):
        survey_of(valkey, checkpoint=Checkpoint(file))
    assert file.read_bytes() == content


def test_a_file_that_cannot_be_written_is_refused_before_the_pass(valkey: Server, tmp_path: Path) -> None:
    heard: list[Progress] = []
    with pytest.raises(ConfigError, match="cannot be written"):
        survey_of(valkey, checkpoint=Checkpoint(tmp_path / "none" / "pass"), on_progress=heard.append)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        survey_of(valkey, checkpoint=Checkpoint(tmp_path), on_progress=heard.append)
    assert heard == []


# ---- replicas


@pytest.mark.parametrize("kind", [ServerKind.REDIS_7_0, ServerKind.VALKEY_9_1])
@pytest.mark.parametrize("error", [0.0, 0.05], ids=["exact", "sampled"])
def test_a_replica_is_read_without_writing_to_it(server_factory: ServerFactory, kind: ServerKind, error: float) -> None:
    primary, replica = server_factory(kind, repl_diskless_sync_delay=0), server_factory(kind)
    fill_with_many(primary.client(), 40_000)
    client = replica.client()
    client.replicaof(HOST, primary.port)
    eventually(lambda: client.info("replication")["master_link_status"] == "up" and client.dbsize() == 40_000, 20)
    survey = survey_of(replica, error=error)
    assert survey.info["role"] == "slave"
    assert survey.own.exact is (error == 0)
    assert sum(counts(survey.own).values()) == pytest.approx(40_000)
    assert {key.idle_s for row in survey.own.prefixes for key in row.sample} == {None}
    assert "idle times are unknown" in survey.notes[0]
    assert adds_up(survey)
    assert survey.overhead[UNEXPLAINED].value < 0.2 * survey.used_bytes
    assert client.dbsize() == 40_000
    primary.kill()
    eventually(lambda: client.info("replication")["master_link_status"] == "down")
    assert "the replica has lost its primary: its keys may be old" in survey_of(replica, error=error).notes
