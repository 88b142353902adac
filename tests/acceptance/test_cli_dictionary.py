"""``spillgate dictionary``, while an application goes on."""

from __future__ import annotations

import json
import random
import signal
import string
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from spillgate import Cache
from spillgate.cache.codec import dictionary_of
from tests.chats import chat, order
from tests.governing import keys_of
from tests.programs import SPILLGATE, Running, environment, spillgate
from tests.servers import eventually

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from tests.acceptance.conftest import Told, Typed
    from tests.servers import Server

POLICY = """
[[namespace]]
name = "messages"
keys = "app:messages:*"
ttl = "30m"
cleanup = "shorten"
priority = 1
dictionary = true

[[namespace]]
name = "plain"
keys = "app:plain:*"
ttl = "30m"

[[namespace]]
name = "open"
keys = "app:open:*"
ttl = "30m"
codec = "json"
"""
CHATS = {str(number): chat(number) for number in range(400)}
LETTERS = string.ascii_letters + string.digits
OWN = "spillgate:dictionary:{app:messages:}"
# An application of its own, which writes until it is told to stop, and tells which dictionary it writes with.
APPLICATION = """
import sys, time
sys.path.insert(0, ".")
from spillgate import Cache
from spillgate.cache.codec import dictionary_of
from tests.chats import chat
cache = Cache.from_url()
messages, told, number = cache.namespace("messages"), None, 0
while True:
    number += 1
    messages.set(f"live:{number % 50}", chat(number))
    current = messages._space.dictionaries.current
    current = current and current.number
    if current != told:
        told = current
        print("writes with", told, file=sys.stderr, flush=True)
    time.sleep(0.01)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "spillgate.toml"
    path.write_text(POLICY)
    return path


def application(server: Server, file: Path) -> Cache:
    return Cache.from_url(server.url, config=file)


def fill(server: Server, file: Path, namespace: str = "messages", values: dict[str, Any] = CHATS) -> None:
    with application(server, file) as cache:
        assert cache.namespace(namespace).set_many(values) == []


def document_of(told: Told) -> dict[str, Any]:
    assert (told.returncode, told.stderr) == (0, "")
    return json.loads(told.stdout)


def dictionaries(client: redis.Redis) -> set[bytes]:
    return set(keys_of(client, "spillgate:dictionary:*"))


# ---- train


def test_an_application_takes_it_up_while_it_runs(valkey: Server, file: Path) -> None:
    fill(valkey, file)
    client = valkey.client()
    with Running([sys.executable, "-c", APPLICATION], environment(valkey, SPILLGATE_CONFIG=str(file))) as running:
        eventually(lambda: client.exists("app:messages:live:1"))
        told = spillgate("dictionary", "train", "messages", "--config", str(file), "--json", server=valkey)
        assert (told.returncode, told.stderr) == (0, "")
        first = json.loads(told.stdout)["number"]
        running.awaits(f"writes with {first}\n")
        told = spillgate("dictionary", "drop", "messages", "--config", str(file), server=valkey)
        assert (told.returncode, told.stderr) == (0, "")
        running.awaits("writes with None\n")
    with application(valkey, file) as cache:
        assert cache.namespace("messages").get_many(CHATS) == CHATS
        assert len(cache.namespace("messages").get_many([f"live:{number}" for number in range(1, 20)])) == 19


def test_it_tells_what_is_won_and_that_is_won(server: Server, file: Path, typed: Typed) -> None:
    fill(server, file)
    client = server.client()
    told = typed("dictionary", "train", "messages", "--config", str(file), server=server)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("messages: 400 values read, of about 400 keys, in ")
    assert "as stored now" in told.stdout
    assert "with the new dictionary" in told.stdout
    assert " saves " in told.stdout
    assert "stored as dictionary " in told.stdout
    assert "dictionary = true" not in told.stdout
    before = used_by(client)
    with application(server, file) as cache:
        messages = cache.namespace("messages")
        messages.set("0", chat(0))
        messages.set_many(CHATS)
    assert used_by(client) < 0.6 * before


def used_by(client: redis.Redis) -> int:
    return sum(client.strlen(name) for name in keys_of(client, "app:messages:*"))


def test_its_document(valkey: Server, file: Path, typed: Typed) -> None:
    fill(valkey, file)
    document = document_of(typed("dictionary", "train", "messages", "--config", str(file), "--json", server=valkey))
    assert document["namespace"] == "messages"
    assert document["prefix"] == "app:messages:"
    assert (document["keys"], document["values"], document["measured"]) == (400, 400, 100)
    assert document["saving_bytes"] == document["now_bytes"] - document["trained_bytes"] > 0
    assert document["ratio"] < 0.6
    assert (document["stored"], document["reason"], document["enabled"]) == (True, None, True)
    assert (document["live_ratio"], document["trained_ratio"]) == (None, None)
    assert valkey.client().strlen(f"{OWN}#{document['number']}") == document["dictionary_bytes"]


def test_a_dry_run_changes_nothing(valkey: Server, file: Path, typed: Typed) -> None:
    fill(valkey, file)
    told = typed("dictionary", "train", "messages", "--config", str(file), "--dry-run", server=valkey)
    assert told.returncode == 0
    assert " saves " in told.stdout
    assert told.stdout.endswith("nothing was stored: this is a dry run\n")
    assert dictionaries(valkey.client()) == set()


def test_a_namespace_without_the_setting_gets_a_hint(valkey: Server, file: Path, typed: Typed) -> None:
    fill(valkey, file, "plain")
    told = typed("dictionary", "train", "plain", "--config", str(file), server=valkey)
    assert told.returncode == 0
    assert "once the namespace has dictionary = true in the policy file: plain has not" in told.stdout
    assert dictionaries(valkey.client()) != set()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "and only 0 were found"),
        ({str(number): chat(number) for number in range(39)}, "and only 39 were found"),
        ({str(number): "".join(random.Random(number).choices(LETTERS, k=30)) for number in range(50)}, "not worth"),
        ({str(number): number for number in range(100)}, "and only 0 were found"),
    ],
    ids=["none", "few", "noise", "counters"],
)
def test_where_nothing_is_to_be_won_nothing_is_stored(
    valkey: Server, file: Path, typed: Typed, values: dict[str, Any], reason: str
) -> None:
    fill(valkey, file, values=values)
    document = document_of(typed("dictionary", "train", "messages", "--config", str(file), "--json", server=valkey))
    assert (document["stored"], document["number"]) == (False, None)
    assert reason in document["reason"]
    assert dictionaries(valkey.client()) == set()


def test_only_if_decayed(valkey: Server, file: Path, typed: Typed) -> None:
    def train() -> dict[str, Any]:
        arguments = ("dictionary", "train", "messages", "--config", str(file), "--json", "--if-decayed")
        return document_of(typed(*arguments, server=valkey))

    fill(valkey, file)
    first = train()
    assert first["stored"]
    again = train()
    assert not again["stored"]
    assert again["reason"] == f"dictionary {first['number']} has not decayed"
    assert again["live_ratio"] == pytest.approx(again["trained_ratio"], rel=0.15)
    assert again["trained_bytes"] is None
    fill(valkey, file, values={f"order:{number}": order(number) for number in range(2000)})
    last = train()
    assert last["live_ratio"] > 1.25 * last["trained_ratio"]
    assert last["number"] == first["number"] % 65_535 + 1
    with application(valkey, file) as cache:
        cache.namespace("messages").set("a", order(1))
        cache.namespace("messages").set("b", order(2))
    data = valkey.client().get("app:messages:b")
    assert isinstance(data, bytes)
    assert dictionary_of(data) == last["number"]


def test_a_dictionary_in_force_is_not_replaced_by_its_like(valkey: Server, file: Path, typed: Typed) -> None:
    fill(valkey, file)
    typed("dictionary", "train", "messages", "--config", str(file), server=valkey)
    before = dictionaries(valkey.client())
    told = typed("dictionary", "train", "messages", "--config", str(file), server=valkey)
    assert "no better than the one in force" in told.stdout
    assert "with the dictionary in force they take " in told.stdout
    assert dictionaries(valkey.client()) == before


# ---- list and drop


def test_what_is_there_is_listed(valkey: Server, file: Path, typed: Typed) -> None:
    told = typed("dictionary", "list", "messages", "--config", str(file), server=valkey)
    assert (told.returncode, told.stdout) == (0, "messages has no dictionary in force\n")
    fill(valkey, file)
    first = document_of(typed("dictionary", "train", "messages", "--config", str(file), "--json", server=valkey))
    valkey.client().set(f"{OWN}#{first['number'] + 1}", b"older", ex=600)
    document = document_of(typed("dictionary", "list", "messages", "--config", str(file), "--json", server=valkey))
    assert document["current"] == first["number"]
    assert document["ratio"] == pytest.approx(first["ratio"], abs=1e-4)
    assert [version["current"] for version in document["versions"]] == [True, False]
    assert document["versions"][0]["ttl_s"] is None
    assert document["versions"][1]["ttl_s"] == pytest.approx(600, abs=5)
    told = typed("dictionary", "list", "messages", "--config", str(file), server=valkey)
    assert "in force, trained to " in told.stdout
    valkey.client().delete(f"{OWN}#{first['number']}")
    told = typed("dictionary", "list", "messages", "--config", str(file), server=valkey)
    assert f"the server has lost dictionary {first['number']} of messages: train another" in told.stdout


@pytest.mark.parametrize("now", [False, True], ids=["in time", "now"])
def test_dropping(valkey: Server, file: Path, typed: Typed, now: bool) -> None:  # noqa: FBT001 (a case)
    client = valkey.client()
    fill(valkey, file)
    typed("dictionary", "train", "messages", "--config", str(file), server=valkey)
    with application(valkey, file) as cache:
        messages = cache.namespace("messages")
        messages.set("0", chat(0))
        messages.set_many(CHATS)
    arguments = ("dictionary", "drop", "messages", "--config", str(file), *(["--now"] if now else []))
    told = typed(*arguments, server=valkey)
    assert (told.returncode, told.stderr) == (0, "")
    assert ("are misses from now on" if now else "2h1m at the most") in told.stdout
    assert len(dictionaries(client)) == (0 if now else 1)
    with application(valkey, file) as cache:
        found = cache.namespace("messages").get_many(CHATS)
        assert found == ({} if now else CHATS)
    told = typed(*arguments, server=valkey)
    assert told.stdout == "messages has no dictionary\n" if now else "2h1m at the most" in told.stdout


@pytest.mark.parametrize("now", [False, True], ids=["in time", "now"])
def test_dropping_where_none_is_in_force_says_so(valkey: Server, file: Path, typed: Typed, now: bool) -> None:  # noqa: FBT001 (a case)
    valkey.client().set(f"{OWN}#7", b"older", ex=600)
    arguments = ("dictionary", "drop", "messages", "--config", str(file), *(["--now"] if now else []))
    told = typed(*arguments, server=valkey)
    assert told.stdout.startswith("messages has no dictionary in force")
    assert ("deleted 1 of 5B" in told.stdout) == now
    assert valkey.client().exists(f"{OWN}#7") == (not now)


# ---- what goes wrong


@pytest.mark.parametrize("command", ["train", "list", "drop"])
def test_wrong_usage(valkey: Server, file: Path, typed: Typed, command: str) -> None:
    told = typed("dictionary", command, "other", "--config", str(file), server=valkey)
    assert told.returncode == 2
    assert 'unknown namespace "other" (registered: messages, plain, open)' in told.stderr
    told = typed("dictionary", command, "messages", server=valkey)
    assert told.returncode == 2
    assert "none; pass a policy file with --config" in told.stderr


def test_plain_json_cannot_be_compressed(valkey: Server, file: Path, typed: Typed) -> None:
    told = typed("dictionary", "train", "open", "--config", str(file), server=valkey)
    assert told.returncode == 2
    assert 'a dictionary takes codec = "msgpack"' in told.stderr


def test_at_the_limit_it_is_refused_and_told(valkey: Server, file: Path, typed: Typed) -> None:
    fill(valkey, file)
    valkey.client().config_set("maxmemory", 1)
    told = typed("dictionary", "train", "messages", "--config", str(file), "--json", server=valkey)
    assert told.returncode == 3
    assert "the server is at its memory limit and takes no dictionary of " in told.stderr
    assert json.loads(told.stdout)["kind"] == "OutOfMemory"
    assert dictionaries(valkey.client()) == set()


@pytest.mark.parametrize("command", ["train", "list", "drop"])
def test_without_a_server_it_is_told(valkey: Server, file: Path, typed: Typed, command: str) -> None:
    valkey.kill()
    told = typed("dictionary", command, "messages", "--config", str(file), "--json", server=valkey)
    assert told.returncode == 3
    assert json.loads(told.stdout)["kind"] == "ServerUnreachable"


def connected(pid: int) -> bool:
    """Whether the program has opened a connection."""
    return any(one.status == psutil.CONN_ESTABLISHED for one in psutil.Process(pid).net_connections("tcp"))


def test_ctrl_c_ends_it(valkey: Server, file: Path) -> None:
    client = valkey.client()
    fill(valkey, file)
    valkey.freeze()
    command = [*SPILLGATE, "dictionary", "train", "messages", "--config", str(file)]
    with subprocess.Popen(
        command, env=environment(valkey), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            eventually(lambda: connected(process.pid), 10)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
            assert process.stdout is not None
            assert process.stdout.read() == ""
            assert process.stderr is not None
            assert process.stderr.read() == "interrupted: nothing was stored\n"
        finally:
            process.kill()
            valkey.thaw()
    assert dictionaries(client) == set()
