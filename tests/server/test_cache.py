"""The cache on real servers: what goes in comes out, always with a TTL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from spillgate import Cache, parse_policy
from spillgate.cache import Event
from spillgate.errors import ConfigError, PermissionDenied, ServerError, ValueRefused, ValueTooLarge
from tests.caching import NAMESPACES, Message, counted, policy_of
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import ServerFactory
    from tests.servers import Server


@pytest.fixture
def cache(server: Server) -> Iterator[Cache]:
    """A cache on the test's server."""
    with Cache(policy_of(server)) as cache:
        yield cache


def test_what_goes_in_comes_out(cache: Cache) -> None:
    messages = cache.namespace("messages", type=Message)
    assert messages.get("1") is None
    assert messages.get("1", "nothing") == "nothing"
    assert messages.set("1", Message(1, "hello"))
    assert messages.get("1") == Message(1, "hello")
    assert messages.exists("1")
    assert not messages.exists("2")
    assert counted(cache) == {"miss": 2, "set": 1, "hit": 1}


def test_none_and_other_plain_values_are_told_from_a_miss(cache: Cache) -> None:
    users = cache.namespace("users")
    values: dict[str, Any] = {"none": None, "no": False, "zero": 0, "text": "", "list": [], "map": {"a": [1, None]}}
    assert users.set_many(values) == []
    assert users.get_many([*values, "other"]) == values
    assert users.get("none", "default") is None


def test_many_keys_go_in_batches(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages", type=Message)
    values = {str(number): Message(number, "x" * number) for number in range(1_203)}
    assert messages.set_many(values) == []
    assert messages.get_many(values) == values
    assert server.client().dbsize() == 1_203
    assert messages.delete_many([*values, "none"]) == 1_203
    assert counted(cache) == {"set": 1_203, "hit": 1_203, "delete": 1_203}


def test_no_key_is_stored_without_a_ttl_whatever_is_asked_for(cache: Cache, server: Server) -> None:
    messages, users = cache.namespace("messages"), cache.namespace("users")
    messages.set("default", 1)
    messages.set("none", 1, ttl=None)
    messages.set("text", 1, ttl="10m")
    messages.set("delta", 1, ttl=timedelta(minutes=20))
    messages.set("long", 1, ttl=10**9)
    messages.set_many({"many": 1}, ttl=600)
    messages.add("added", 1)
    messages.incr("counted")
    messages.get_or_set("computed", lambda: 1)
    messages.clear()
    messages.set("@odd", 1)
    users.incr("n")
    client = server.client()
    keys = cast("list[bytes]", client.keys("app:*"))
    for key in keys:
        assert client.pttl(key) > 0, key
    assert eventually(lambda: client.keys("app:messages:*") == [b"app:messages:@1:@odd"])
    assert {key for key in cast("list[bytes]", client.keys("spillgate:*")) if client.pttl(key) < 0} == {
        b"spillgate:generation:app:messages:"
    }


@pytest.mark.parametrize("ttl", [0, -5, timedelta(0), float("nan"), "0s"])
def test_a_ttl_of_nothing_is_a_mistake(cache: Cache, ttl: float | timedelta | str) -> None:
    messages = cache.namespace("messages")
    for call in (lambda: messages.set("1", 1, ttl), lambda: messages.get_or_set("1", lambda: 1, ttl)):
        with pytest.raises(ValueError, match="expected a TTL above 0 seconds"):
            call()


def test_ttls_stay_within_the_bound_of_the_namespace_and_may_be_shorter(cache: Cache) -> None:
    messages = cache.namespace("messages")
    for ttl, wanted in ((None, 1_800), ("10m", 600), (timedelta(minutes=20), 1_200), (10**9, 7_200), (1, 1)):
        messages.set("key", 1, ttl=ttl)
        left = messages.ttl("key")
        assert left is not None
        assert wanted - 5 < left <= wanted
    assert messages.ttl("none") is None


def test_keys_written_together_do_not_expire_together(cache: Cache) -> None:
    analytics = cache.namespace("analytics")  # with the default jitter of 10 %
    analytics.set_many({str(number): number for number in range(200)})
    lives = [analytics.ttl(str(number)) or 0 for number in range(200)]
    assert 800 < min(lives) < 830
    assert 880 < max(lives) <= 900


def test_touch_gives_a_new_ttl_and_tells_whether_there_was_a_value(cache: Cache) -> None:
    messages = cache.namespace("messages")
    messages.set("1", 1, ttl="10m")
    assert messages.touch("1")
    assert (messages.ttl("1") or 0) > 1_790
    assert messages.touch("1", "10m")
    assert (messages.ttl("1") or 0) <= 600
    assert not messages.touch("2")


def test_with_sliding_reading_renews_the_ttl(server: Server) -> None:
    namespaces = NAMESPACES + "sliding = true\njitter = 0\n"
    with Cache(policy_of(server, namespaces)) as cache:
        users = cache.namespace("users")
        users.set_many({"1": 1, "2": 2}, ttl="3m")
        assert users.get("1") == 1
        assert (users.ttl("1") or 0) > 890
        assert (users.ttl("2") or 0) <= 180
        assert users.get_many(["1", "2", "3"]) == {"1": 1, "2": 2}
        assert (users.ttl("2") or 0) > 890
        assert users.get("3") is None
        assert not users.exists("3")


def test_add_stores_only_where_there_is_nothing(cache: Cache) -> None:
    messages = cache.namespace("messages")
    assert messages.add("1", "first")
    assert not messages.add("1", "second")
    assert messages.get("1") == "first"


def test_incr_counts_in_the_server(cache: Cache) -> None:
    users = cache.namespace("users")
    assert users.incr("n") == 1
    assert users.incr("n", 41) == 42
    assert users.incr("n", -2) == 40
    assert users.get("n") == 40
    users.set("n", 7)
    assert users.incr("n") == 8
    users.set("text", "seven")
    with pytest.raises(ValueRefused, match="to the value of 'text' 1 cannot be added"):
        users.incr("text")


def test_an_int_counts_also_in_a_namespace_of_ints(cache: Cache) -> None:
    users = cache.namespace("users", type=int)
    users.incr("n", 3)
    assert users.get("n") == 3


def test_what_may_not_be_stored_is_refused_and_counted(cache: Cache) -> None:
    messages = cache.namespace("messages")
    with pytest.raises(ValueTooLarge, match="293KB, more than the 256KB allowed"):
        messages.set("1", "x" * 300_000)
    with pytest.raises(ValueRefused, match="binary"):
        messages.set("1", b"x")
    with pytest.raises(ValueRefused, match="object cannot be stored"):
        messages.set_many({"1": object()})
    assert counted(cache) == {"refused": 3}


def test_large_values_are_compressed(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    messages.set("long", "ab" * 50_000)
    messages.set("short", "ab" * 500)
    client = server.client()
    assert client.strlen("app:messages:long") < 200
    assert client.strlen("app:messages:short") > 1_000
    assert messages.get("long") == "ab" * 50_000
    counts = cache.counts()["messages"]
    assert counts[Event.PLAIN_BYTES] > 100_000
    assert counts[Event.STORED_BYTES] < 1_300


def test_what_others_wrote_is_a_counted_miss(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages", type=Message)
    client = server.client()
    client.set("app:messages:text", "hello")
    client.set("app:messages:digits", "17")
    client.set("app:messages:torn", b"\xc1\x11(\xb5")
    client.set("app:messages:later", b"\xc1\x20\x01")
    client.hset("app:messages:hash", "a", "1")
    for key in ("text", "digits", "torn", "later", "hash"):
        assert messages.get(key) is None
    assert messages.get_many(["text", "torn"]) == {}
    assert counted(cache) == {"foreign": 3, "corrupt": 2, "future": 1, "miss": 7}


def test_a_value_of_another_shape_is_a_miss_for_who_wants_this_one(cache: Cache) -> None:
    cache.namespace("messages").set("1", {"number": "one"})
    assert cache.namespace("messages", type=Message).get("1") is None
    assert counted(cache)["foreign"] == 1


def test_keys_may_hold_anything_that_text_can(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    keys = ["", " ", "a b", "ключ", "@1:x", "@", "a*b", "\x00", "x" * 5_000, "new\nline"]
    messages.set_many({key: key for key in keys})
    assert messages.get_many(keys) == {key: key for key in keys}
    messages.clear()
    assert messages.get_many(keys) == {}
    messages.set("@1:x", "now")
    assert messages.get("@1:x") == "now"
    assert messages.get("x") is None
    eventually(lambda: server.client().keys("app:*") == [b"app:messages:@1:@1:x"])


# Invalidation


def test_clear_takes_one_command_however_many_keys_there_are(cache: Cache, server: Server) -> None:
    messages, users = cache.namespace("messages"), cache.namespace("users")
    messages.set_many({str(number): number for number in range(5_000)})
    users.set("1", "stays")
    messages.clear()
    assert messages.get("1") is None
    assert messages.get_many(map(str, range(5_000))) == {}
    messages.set("1", "new")
    eventually(lambda: counted(cache).get("freed") == 5_000)
    assert messages.get("1") == "new"
    assert users.get("1") == "stays"
    assert eventually(lambda: server.client().dbsize() == 3)  # the two values, and the generation


def test_clear_reaches_other_processes_at_once(cache: Cache, server: Server) -> None:
    with Cache(policy_of(server)) as other:
        ours, theirs = cache.namespace("messages"), other.namespace("messages")
        ours.set("1", "old")
        theirs.set("n", 1)
        assert theirs.get("1") == "old"
        ours.clear()
        assert theirs.get("1") is None
        assert theirs.get_many(["1", "n"]) == {}
        ours.clear()
        assert theirs.set("1", "new")
        assert ours.get("1") == "new"
        ours.clear()
        assert theirs.add("1", "added")
        ours.clear()
        assert theirs.incr("n", 5) == 5
        ours.set("1", "there")
        ours.clear()
        ours.set("1", "again")
        assert theirs.exists("1")
        ours.clear()
        ours.set("1", "again")
        assert theirs.delete("1")
        assert ours.get("1") is None


def test_a_lost_generation_brings_nothing_back(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    messages.set("1", "first")
    messages.clear()
    messages.set("1", "second")
    client = server.client()
    client.delete("spillgate:generation:app:messages:")
    client.set("app:messages:1", b"\xc1\x10\xa5first", ex=60)  # as if nothing had been freed yet
    assert messages.get("1") is None
    messages.set("1", "third")
    assert messages.get("1") == "third"
    with Cache(policy_of(server)) as other:
        assert other.namespace("messages").get("1") == "third"


def test_a_flushed_server_is_an_empty_cache(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    messages.set("1", "x")
    server.client().flushall()
    assert messages.get("1") is None
    assert messages.set("1", "y")
    assert messages.get("1") == "y"


def test_a_flood_of_clears_frees_everything(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    for number in range(20):
        messages.set_many({str(key): number for key in range(100)})
        messages.clear()
    client = server.client()
    eventually(lambda: client.dbsize() == 1)
    assert counted(cache)["freed"] == 2_000


def test_a_script_may_wait_until_all_is_freed(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    messages.set_many({str(key): key for key in range(2_000)})
    messages.clear(wait=True)
    assert server.client().keys("app:*") == []


def test_what_a_script_left_behind_is_freed_by_another_process(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    messages.set_many({str(key): key for key in range(2_000)})
    program = (
        "import sys; from tests.caching import *; from spillgate import *; "
        "Cache.from_url(sys.argv[1], config=parse_policy(NAMESPACES, 'test')).namespace('messages').clear()"
    )
    subprocess.run([sys.executable, "-c", program, server.url], check=True, env={"PYTHONPATH": "."})
    client = server.client()
    client.delete("spillgate:sweeping:app:messages:")  # as if the script had ended long ago
    assert messages.get("1") is None
    assert eventually(lambda: client.keys("app:*") == [])
    assert eventually(lambda: client.keys("spillgate:unswept:*") == [])


def test_a_sweep_spares_what_a_later_generation_holds(cache: Cache, server: Server) -> None:
    """The one who sweeps does not hear by itself that another has cleared since."""
    messages = cache.namespace("messages")
    messages.set_many({str(key): key for key in range(20_000)})
    messages.clear()
    with Cache(policy_of(server)) as other:
        theirs = other.namespace("messages")
        theirs.clear()
        assert theirs.set_many({f"new:{key}": key for key in range(1_000)}) == []
        assert theirs.incr("n") == 1
        client = server.client()
        assert eventually(lambda: len(cast("list[bytes]", client.keys("app:*"))) == 1_001)
        assert len(theirs.get_many([f"new:{key}" for key in range(1_000)])) == 1_000


def test_a_cleared_generation_does_not_come_back_where_the_number_was_lost(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    messages.clear(wait=True)
    messages.clear(wait=True)
    client = server.client()
    client.set("app:messages:@1:1", b"\xc1\x10\xabgeneration1", ex=60)
    client.delete("spillgate:generation:app:messages:")
    messages.clear()
    assert messages.get("1") is None


def test_another_s_key_in_the_generation_s_place_is_no_reason_to_hang(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    messages.clear()
    client = server.client()
    client.delete("spillgate:generation:app:messages:")
    client.lpush("spillgate:generation:app:messages:", "somebody's")
    assert messages.get("1") is None
    assert messages.set("1", 1)


def test_a_key_that_is_no_valid_text_is_a_key(cache: Cache) -> None:
    messages = cache.namespace("messages")
    assert messages.get("\udc80") is None
    assert messages.set("\udc80", 1)
    assert messages.get_many(["\udc80"]) == {"\udc80": 1}


def test_incr_leaves_no_key_without_a_ttl_where_a_plan_forbids_set(server: Server) -> None:
    client = server.client()
    client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-set")
    url = server.url.replace("redis://", "redis://app:pw@")
    with Cache.from_url(url, config=policy_of(server)) as cache:
        with pytest.raises(PermissionDenied):
            cache.namespace("users").incr("n")
        assert client.pttl("app:users:n") > 0


def test_incr_refuses_what_cannot_be_added(cache: Cache, server: Server) -> None:
    users = cache.namespace("users")
    server.client().hset("app:users:hash", "a", "1")
    users.set("full", 2**63 - 1)
    for key, delta in (("hash", 1), ("full", 1), ("n", 10**30)):
        with pytest.raises(ValueRefused, match="added"):
            users.incr(key, delta)


def test_cached_functions_renew_the_ttl_where_reading_does(server: Server) -> None:
    with Cache(policy_of(server, NAMESPACES + "sliding = true\njitter = 0\n")) as cache:
        users = cache.namespace("users")
        users.get_or_set("1", lambda: 1, "20m")
        server.client().pexpire("app:users:1", 60_000)
        users.get_or_set("1", lambda: 1, "20m")
        assert (users.ttl("1") or 0) > 1_190


def test_an_untyped_function_returns_of_a_miss_what_it_returns_of_a_hit(cache: Cache) -> None:
    users = cache.namespace("users")
    made = {"when": datetime(2026, 1, 2, tzinfo=UTC), "pair": (1, 2), "set": {3}}
    assert users.get_or_set("1", lambda: made) == users.get_or_set("1", lambda: made)


def test_a_value_that_is_not_of_the_type_is_told_of(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    messages = cache.namespace("messages", type=Message)
    wrong = Message(cast("Any", "one"), "text")
    assert messages.get_or_set("1", lambda: wrong) is wrong
    assert "not what the namespace's type says" in caplog.text


# Interoperation


def test_json_is_plain_for_other_languages_and_from_them(server: Server) -> None:
    with Cache(policy_of(server, NAMESPACES + 'codec = "json"\n')) as cache:
        users = cache.namespace("users", type=Message)
        users.set("1", Message(1, "héllo"))
        client = server.client()
        assert client.get("app:users:1") == '{"number":1,"text":"héllo"}'.encode()
        client.set("app:users:2", ' {"text": "theirs", "number": 2}', ex=60)
        assert users.get("2") == Message(2, "theirs")
        client.set("app:users:3", '{"text": 5}', ex=60)
        assert users.get("3") is None


def test_migrating_reads_what_was_there(cache: Cache, server: Server) -> None:
    client = server.client()
    client.set("app:messages:1", '{"number": 1, "text": "json"}', ex=60)
    assert cache.namespace("messages", type=Message).get("1") is None
    messages = cache.namespace("messages", type=Message, migrate=True)
    assert messages.get("1") == Message(1, "json")
    assert counted(cache)["migrated"] == 1
    messages.set("1", Message(1, "ours"))
    assert messages.get("1") == Message(1, "ours")
    assert counted(cache)["migrated"] == 1


# Configuration


def test_a_cache_is_made_from_a_url_and_a_policy_file(valkey: Server, tmp_path: Path) -> None:
    path = tmp_path / "spillgate.toml"
    path.write_text(NAMESPACES)
    with Cache.from_url(valkey.url, config=path) as cache:
        cache.ping()
        assert cache.namespace("messages").set("1", 1)
    with Cache.from_url(valkey.url, config=str(path)) as cache:
        assert cache.namespace("messages").get("1") == 1
    with Cache.from_url(valkey.url, config=parse_policy(NAMESPACES, "test")) as cache:
        assert cache.namespace("messages").get("1") == 1


def test_the_environment_names_server_and_policy(
    valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spillgate.toml"
    path.write_text(NAMESPACES)
    monkeypatch.setenv("SPILLGATE_CONFIG", str(path))
    monkeypatch.setenv("REDIS_URL", valkey.url)
    with Cache.from_url() as cache:
        assert cache.namespace("messages").set("1", 1)


@pytest.mark.parametrize(
    ("namespaces", "name", "message"),
    [
        (NAMESPACES, "voice", "the policy has no namespace 'voice', only messages, analytics, users"),
        ("", "voice", "there is no namespace 'voice', since there is no policy, or none that has .*: pass config="),
        ('[[namespace]]\nname = "a"\nkeys = "a:*"\n', "a", "the namespace 'a' has no ttl"),
        ('[[namespace]]\nname = "a"\nkeys = "a:*:b"\nttl = "1m"\n', "a", "no pattern that is a prefix with one star"),
        (
            '[[namespace]]\nname = "a"\nkeys = "*"\nttl = "1m"\n',
            "a",
            "would hold the keys that Spillgate keeps",
        ),
    ],
)
def test_a_namespace_that_cannot_be_used_says_why(namespaces: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Cache(parse_policy(namespaces, "test")).namespace(name)


def test_a_cluster_url_is_refused_for_now() -> None:
    policy = parse_policy('[server]\nurl = "redis+cluster://:secret@127.0.0.1:7000"', "test")
    with pytest.raises(ConfigError, match="can be used so far") as caught:
        Cache(policy)
    assert "secret" not in str(caught.value)


def test_passwords_unix_sockets_and_tls(server_factory: ServerFactory) -> None:
    locked = server_factory(requirepass="open sesame")
    with Cache(policy_of(locked)) as cache:
        cache.ping()
        assert cache.namespace("messages").set("1", 1)
    local = server_factory(unixsocket=True)
    with Cache.from_url(local.unix_url, config=policy_of(local)) as cache:
        assert cache.namespace("messages").set("1", 1)


@pytest.mark.kinds("redis-7.0")
def test_tls(server_factory: ServerFactory, server: Server) -> None:
    encrypted = server_factory(server.kind, tls=True)
    with Cache(policy_of(encrypted)) as cache:
        cache.ping()
        messages = cache.namespace("messages")
        assert messages.set("1", "x" * 200_000)
        assert messages.get("1") == "x" * 200_000


def test_a_wrong_password_is_told_and_masked(server_factory: ServerFactory) -> None:
    server = server_factory(requirepass="right")
    policy = policy_of(server)
    with Cache.from_url(server.url.replace("right", "wrong-one"), config=policy) as cache:
        with pytest.raises(ServerError, match="Check the user and password") as caught:
            cache.ping()
        assert "wrong-one" not in str(caught.value)
        assert cache.namespace("messages").get("1") is None
        assert not cache.namespace("messages").set("1", 1)


def test_a_user_without_rights_gets_misses_and_a_reason(server: Server) -> None:
    client = server.client()
    client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~app:*", "+@all")
    url = server.url.replace("redis://", "redis://app:pw@")
    with Cache.from_url(url, config=policy_of(server)) as cache:
        messages = cache.namespace("messages")
        assert messages.get("1") is None
        assert counted(cache) == {"drop": 1, "miss": 1}
        with pytest.raises(PermissionDenied):
            messages.clear()
        client.execute_command("ACL", "SETUSER", "app", "~spillgate:*")
        assert messages.set("1", 1)
        assert messages.get("1") == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # from 3.12 on: it is what is tested
def test_after_a_fork_parent_and_child_have_their_own_connections(cache: Cache) -> None:
    messages = cache.namespace("messages")
    messages.set("parent", "p")
    child = os.fork()
    if child == 0:
        good = all(messages.get("parent") == "p" and messages.set(f"child{number}", number) for number in range(50))
        os._exit(0 if good else 1)
    for _ in range(50):
        assert messages.get("parent") == "p"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert messages.get("child49") == 49


def test_a_connection_that_the_server_closed_is_replaced_unnoticed(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    messages.set("1", 1)
    server.client().client_kill_filter(_type="normal", skipme=True)
    assert messages.get("1") == 1
    assert counted(cache) == {"set": 1, "hit": 1}


def test_time_is_not_spent_on_looks(cache: Cache, server: Server) -> None:
    messages = cache.namespace("messages")
    client = server.client()
    messages.set("1", 1)
    before = client.info("commandstats")
    started = time.monotonic()
    for _ in range(200):
        messages.get("1")
    looks = int(time.monotonic() - started) + 1
    after = client.info("commandstats")
    asked = after["cmdstat_info"]["calls"] - before["cmdstat_info"]["calls"]
    assert asked <= looks + 1
    assert after["cmdstat_mget"]["calls"] - before["cmdstat_mget"]["calls"] == 200


def test_what_was_cleared_is_never_read_again_however_many_are_at_it(cache: Cache, server: Server) -> None:
    cleared = [0]
    wrong: list[tuple[int, int]] = []
    over = threading.Event()

    def read(space: Cache) -> None:
        messages = space.namespace("messages", type=int)
        while not over.is_set():
            floor = cleared[0]
            seen = (messages.get("1"), messages.get_many(["1"]).get("1"))
            wrong.extend((value, floor) for value in seen if value is not None and value <= floor)

    with Cache(policy_of(server, timeout="5s")) as other:
        readers = [threading.Thread(target=read, args=(space,)) for space in (cache, cache, other, other)]
        for reader in readers:
            reader.start()
        messages = cache.namespace("messages", type=int)
        for number in range(1, 60):
            messages.set("1", number)
            messages.clear()
            cleared[0] = number
        over.set()
        for reader in readers:
            reader.join()
    assert wrong == []
