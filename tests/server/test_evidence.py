"""What is gathered from real servers, and that nothing is changed by it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis

from spillgate.census.evidence import Closeness, gather, slope
from spillgate.census.survey import take_survey
from spillgate.model import Reading
from spillgate.policy.findings import diagnose
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable
from tests.governing import HandClock, fill, keys_of, policy_of
from tests.servers import ServerKind

if TYPE_CHECKING:
    from spillgate.policy.findings import Evidence
    from tests.conftest import ServerFactory
    from tests.servers import Server

WATCHED_S = 10.0


class Watch:
    """A clock that goes on while memory is watched, and what happens meanwhile."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.meanwhile: list[Any] = []

    def wait(self, seconds: float) -> None:
        self.clock.turn(seconds)
        for what in self.meanwhile:
            what()


def look(url: str, *, watch: Watch | None = None, values: bool = True, growth_s: float = 0.0) -> Evidence:
    watch = watch or Watch()
    policy = policy_of(url, namespaces="")
    with closing(Gateway(policy.server, ScanTable(()), clock=watch.clock.clock.monotonic)) as gateway:
        gateway.probe()
        survey = take_survey(gateway, error=0.0)
        return gather(gateway, policy, survey, Closeness(values, growth_s, wait=watch.wait))


def stock(server: Server) -> redis.Redis:
    client = server.client()
    fill(client, "app:pages:", 50, 2000)
    client.rpush("chat:1:log", *(f"message {number}, of some words" for number in range(300)))
    client.xadd("events:all", {"a": "b"})
    client.xadd("events:all", {"a": "c"})
    client.hset("prof:1", mapping={f"field{number}": "x" * 100 for number in range(20)})
    client.sadd("tags:1", *(f"tag{number}" for number in range(600)))
    client.zadd("rank:1", {f"member{number}": number for number in range(200)})
    return client


def idle_s(client: redis.Redis, name: bytes) -> int:
    return cast("int", client.object("IDLETIME", name.decode()))


def test_values_and_lengths_are_what_the_server_has(server: Server) -> None:
    stock(server)
    seen = look(server.url)
    assert seen.values is not None
    assert seen.elements is not None
    assert {(value.length, value.read) for value in seen.values.values()} == {(2000, 2000)}
    assert len(seen.values) == 50
    counts = {name.decode(): known.count for (_, name), known in seen.elements.items()}
    assert counts == {"chat:1:log": 300, "events:all": 2, "prof:1": 20, "tags:1": 600, "rank:1": 200}
    profile, ranks, tags = (seen.elements[0, name] for name in (b"prof:1", b"rank:1", b"tags:1"))
    assert (profile.longest, profile.content_bytes) == (100, sum(len(f"field{n}") + 100 for n in range(20)))
    assert (ranks.longest, ranks.content_bytes) == (9, sum(len(f"member{n}") for n in range(200)))
    assert (tags.longest, tags.content_bytes) == (6, sum(len(f"tag{n}") for n in range(600)))
    events = seen.elements[0, b"events:all"]
    assert events.ever == (None if server.kind is ServerKind.REDIS_6_2 else 2)


def test_settings_are_told_by_the_names_of_the_version(server: Server) -> None:
    seen = look(server.url)
    assert seen.settings is not None
    assert seen.settings["bind"] == "127.0.0.1"
    ziplist = {name for name in seen.settings if "ziplist" in name}
    listpack = {name for name in seen.settings if "listpack" in name}
    assert ziplist
    assert bool(listpack) is (server.kind is not ServerKind.REDIS_6_2)


@pytest.mark.kinds("valkey-9.1")
def test_looking_leaves_idle_times_alone(server: Server) -> None:
    client = stock(server)
    for name in keys_of(client):
        dumped = client.dump(name)
        assert isinstance(dumped, bytes)
        client.execute_command("RESTORE", name, 0, dumped, "REPLACE", "IDLETIME", 5000)
    before = keys_of(client)
    seen = look(server.url)
    assert seen.values
    assert seen.elements
    assert keys_of(client) == before
    assert all(idle_s(client, name) >= 5000 for name in before)


def test_without_values_no_key_is_touched(server: Server) -> None:
    client = stock(server)
    dumped = client.dump("chat:1:log")
    assert isinstance(dumped, bytes)
    client.execute_command("RESTORE", "chat:1:log", 0, dumped, "REPLACE", "IDLETIME", 5000)
    seen = look(server.url, values=False)
    assert (seen.values, seen.elements) == (None, None)
    assert "--no-values" in seen.reasons["values"]
    assert idle_s(client, b"chat:1:log") >= 5000


def test_few_keys_of_many_are_read(valkey: Server) -> None:
    client = valkey.client()
    for group in range(8):
        fill(client, f"g{group}:", 300, 100)
    seen = look(valkey.url)
    stats = client.info("commandstats")
    assert seen.values is not None
    assert 350 <= len(seen.values) <= 450
    assert stats["cmdstat_getrange"]["calls"] == len(seen.values)
    assert "cmdstat_get" not in stats


def test_huge_values_are_read_in_part_and_never_many_at_once(valkey: Server) -> None:
    client = valkey.client()
    fill(client, "blob:", 30, 1_000_000)
    client.config_resetstat()
    before = cast("dict[str, int]", client.info("memory"))["used_memory"]
    seen = look(valkey.url)
    assert seen.values is not None
    assert {(value.length, value.read) for value in seen.values.values()} == {(1_000_000, 65_536)}
    peak = cast("dict[str, int]", client.info("memory"))["used_memory_peak"]
    assert peak - before < 2 * 1024 * 1024


def test_growth_is_the_line_through_what_was_seen(server: Server) -> None:
    client = server.client()
    watch = Watch()
    numbers = iter(range(1000))
    watch.meanwhile.append(lambda: fill(client, f"more:{next(numbers)}:", 100, 1000))
    seen = look(server.url, watch=watch, growth_s=WATCHED_S)
    assert seen.growth_bytes_s is not None
    written = 5 * 100 * 1000 / WATCHED_S
    assert written < seen.growth_bytes_s.value < 1.5 * written
    assert seen.growth_bytes_s.low > 0


def test_a_list_that_grows_is_seen_to_grow(server: Server) -> None:
    client = stock(server)
    watch = Watch()
    watch.meanwhile.append(lambda: client.rpush("chat:1:log", "more"))
    seen = look(server.url, watch=watch, growth_s=WATCHED_S)
    assert seen.elements is not None
    log, events = seen.elements[0, b"chat:1:log"], seen.elements[0, b"events:all"]
    assert (log.count, log.later) == (300, 305)
    assert (events.count, events.later) == (2, 2)


def test_every_database_is_looked_into(server: Server) -> None:
    stock(server)
    with closing(redis.Redis(port=server.port, db=5)) as other:
        fill(other, "there:", 30, 500)
        other.rpush("there:log", "a")
        seen = look(server.url)
    assert seen.values is not None
    assert seen.elements is not None
    assert {number for number, _ in seen.values} == {0, 5}
    assert seen.elements[5, b"there:log"].count == 1


def test_what_a_user_may_not_ask_is_unknown_with_its_reason(server: Server) -> None:
    client = stock(server)
    client.set("secret:1", "x" * 500)
    commands = ["+info", "+scan", "+pttl", "+memory", "+object", "+type", "+dbsize", "+select"]
    client.acl_setuser("looker", enabled=True, passwords=["+pw"], keys=["*"], commands=commands)
    seen = look(server.url.replace("redis://", "redis://looker:pw@"))
    assert (seen.settings, seen.values, seen.elements, seen.default_user_open, seen.governed) == (None,) * 5
    assert seen.clients is None
    for name in ("settings", "values", "elements", "default_user_open", "governed"):
        assert "forbidden" in seen.reasons[name] or "password" in seen.reasons[name]


def test_keys_that_a_user_may_not_read_stay_unread(valkey: Server) -> None:
    client = stock(valkey)
    fill(client, "secret:", 20, 500)
    client.acl_setuser(
        "half",
        enabled=True,
        passwords=["+pw"],
        keys=["app:*"],
        commands=["+@all"],
        selectors=[("+pttl +memory +object +type", "%R~*")],
    )
    seen = look(valkey.url.replace("redis://", "redis://half:pw@"))
    assert seen.values is not None
    assert {name.partition(b":")[0] for _, name in seen.values} == {b"app"}


def test_whether_anybody_may_log_in(server: Server, server_factory: ServerFactory) -> None:
    assert look(server.url).default_user_open is True
    closed = server_factory(server.kind, requirepass="pw")
    assert look(closed.url).default_user_open is False


def test_a_governor_that_listens_is_noticed(valkey: Server) -> None:
    assert look(valkey.url).governed is False
    with valkey.client().pubsub() as listener:
        listener.subscribe("spillgate:wake")
        listener.get_message(timeout=1)
        assert look(valkey.url).governed is True


def test_keys_that_queues_always_have_are_asked_for_by_name(server: Server) -> None:
    client = server.client()
    client.lpush("celery", "job")
    client.set("queues", "no queue")
    seen = {key.name: key.type for key in look(server.url).known}
    assert seen == {b"celery": "list", b"queues": "string"}


def test_an_empty_server_is_no_trouble(server: Server) -> None:
    seen = look(server.url)
    assert (seen.values, seen.elements, seen.groups) == ({}, {}, ())


def test_a_key_that_goes_while_it_is_looked_at_is_left_out(valkey: Server) -> None:
    client = stock(valkey)
    policy = policy_of(valkey.url, namespaces="")
    with closing(Gateway(policy.server, ScanTable(()), clock=HandClock().clock.monotonic)) as gateway:
        gateway.probe()
        survey = take_survey(gateway, error=0.0)
        client.delete("chat:1:log", "app:pages:7")
        client.delete("prof:1")
        client.set("prof:1", "a string now")
        seen = gather(gateway, policy, survey, Closeness(growth_s=0))
    assert seen.values is not None
    assert seen.elements is not None
    assert (0, b"app:pages:7") not in seen.values
    assert (0, b"prof:1") not in seen.elements
    assert len(seen.values) == 49


@pytest.mark.parametrize("left", [0, 5, 40, 100])
def test_what_the_commands_of_the_day_are_not_enough_for_is_unknown(valkey: Server, left: int) -> None:
    stock(valkey)
    policy = policy_of(valkey.url, namespaces="")
    allowed: list[int] = []
    with closing(
        Gateway(
            policy.server,
            ScanTable(()),
            clock=HandClock().clock.monotonic,
            allow=lambda: allowed[0] - gateway.commands if allowed else None,
        )
    ) as gateway:
        gateway.probe()
        survey = take_survey(gateway, error=0.0)
        allowed.append(gateway.commands + left)
        seen = gather(gateway, policy, survey, Closeness(growth_s=0))
        assert gateway.commands <= allowed[0]
    assert (seen.values, seen.elements) == (None, None)
    assert seen.reasons["values"] == seen.reasons["elements"] == "the day's commands are spent"
    assert (seen.settings is None) is (left < 14)
    assert (seen.governed is None) is (left < 1)
    assert diagnose(seen).unable["compressible-values"] == "the day's commands are spent"


def test_a_slope_needs_time() -> None:
    looks = [Reading(1.0, 5), Reading(1.0, 6), Reading(1.0, 7)]
    assert slope(looks) is None
    line = slope([replace(look, at_s=float(n), used_bytes=100 * n) for n, look in enumerate(looks)])
    assert line is not None
    assert (line.value, line.low, line.high) == (100, 100, 100)
