"""``spillgate census``."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.governing import MB, fill, used
from tests.programs import GOVERNED, SPILLGATE, TIMEOUT_S, Running, ends_of, environment, spillgate, stock, untouched
from tests.servers import HOST, ServerKind, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Typed
    from tests.conftest import ServerFactory
    from tests.servers import Server

SECRET = "hunter2"
ESTIMATE = {"value", "low", "high"}


def document_of(output: str) -> dict[str, Any]:
    return json.loads(output)


def rows_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in document["namespaces"] + document["prefixes"]}


def adds_up(document: dict[str, Any]) -> bool:
    """Whether rows and overhead are the memory used, to the byte."""
    data = sum(row["bytes"]["value"] for row in document["namespaces"] + document["prefixes"])
    return data == document["data"]["value"] and data + sum(document["overhead"].values()) == document["used_memory"]


def lines_of(text: str, title: str) -> dict[str, list[str]]:
    """The lines of one table by their first word."""
    _, _, after = text.partition(f"\n{title}\n")
    lines = after.split("\n\n")[0].splitlines()[1:]
    return {line.split()[0]: line.split() for line in lines}


def fill_in_parts(client: redis.Redis, count: int) -> None:
    """Keys in three parts of different size."""
    script = """
    for i = ARGV[1], ARGV[2] do
      redis.call('SET', 'app:' .. ({'a', 'b', 'c'})[i % 3 + 1] .. ':' .. i, string.rep('x', 100 * (i % 3 + 1)))
    end"""
    for start in range(0, count, 10_000):
        client.eval(script, 0, str(start), str(min(count, start + 10_000) - 1))


# ---- what is told


def test_it_tells_what_fills_a_server_without_any_configuration(server: Server) -> None:
    client = server.client()
    fill(client, "app:sessions:", 200, 500, 900)
    fill(client, "app:carts:", 50, 3000, None)
    client.hset("user:7:profile", mapping={"name": "Ann", "age": "9"})
    before = ends_of(client)
    told = spillgate("census", server=server)
    assert (told.returncode, told.stderr) == (0, "")
    assert untouched(before, client)
    assert told.stdout.startswith(f"server    {server.url}, ")
    assert "\nlooked at all 251 keys in " in told.stdout
    memory = lines_of(told.stdout, "What holds the memory")
    assert {"data", "startup", "client", "scripts", "key", "unexplained", "used_memory"} <= memory.keys()
    assert memory["used_memory"][-1] == "100%"
    prefixes = lines_of(told.stdout, "Prefixes")
    assert list(prefixes)[:2] == ["app:carts:*", "app:sessions:*"]
    assert prefixes["app:carts:*"][1] == "50"
    assert prefixes["app:carts:*"][5:7] == ["50", "-"]
    assert prefixes["app:sessions:*"][5] == "0"
    assert prefixes["app:sessions:*"][6] in {"15m", "14m59s", "14m58s"}
    assert lines_of(told.stdout, "Time to live")["never"][1] == "51"
    assert lines_of(told.stdout, "Time to live")["within"][1:3] == ["1h", "200"]
    assert lines_of(told.stdout, "Types and encodings")["string"][1:3] == ["raw", "250"]
    assert next(iter(lines_of(told.stdout, "Biggest keys seen"))).startswith("app:carts:")


def test_namespaces_are_told_apart_from_everything_else(server: Server, typed: Typed) -> None:
    stock(server)
    told = typed("census", *GOVERNED, server=server)
    assert (told.returncode, told.stderr) == (0, "")
    assert " of 25MB (" in told.stdout.splitlines()[1]
    namespaces = lines_of(told.stdout, "Namespaces")
    assert (namespaces["users"][1], namespaces["analytics"][1], namespaces["voice"][1]) == ("300", "200", "0")
    assert lines_of(told.stdout, "Keys of no namespace")["elsewhere:*"][1] == "12"


def test_the_json_document_keeps_its_contract(server: Server, typed: Typed) -> None:
    client = stock(server)
    told = typed("census", "--json", *GOVERNED, server=server)
    assert (told.returncode, told.stderr) == (0, "")
    document = document_of(told.stdout)
    assert (document["exact"], document["partial"], document["notes"]) == (True, False, [])
    assert document["sampled_keys"] == document["total_keys"] == 612
    assert 0 < document["seconds"] < 10
    assert abs(document["used_memory"] - used(client)) < MB / 4
    assert document["limit_bytes"] == 25 * MB
    assert adds_up(document)
    rows = rows_of(document)
    messages, users = rows["messages"], rows["users"]
    assert (messages["prefix"], messages["database"]) == ("ceo-platform:messages:", 0)
    assert messages["keys"] == {"value": 100, "low": 100, "high": 100}
    assert messages["no_ttl"]["value"] == 0
    assert users["no_ttl"]["value"] == 300
    assert users["ttl_p50_s"] is None
    assert messages["ttl_p50_s"]["value"] == pytest.approx(1800, abs=30)
    assert messages["idle_p50_s"]["value"] < 30
    assert messages["avg_bytes"]["value"] == pytest.approx(messages["bytes"]["value"] / 100, abs=0.1)
    assert messages["ttl"]["1h"]["value"] == messages["types"]["string"]["value"] == 100
    assert messages["biggest"]["key"].startswith("ceo-platform:messages:")
    assert rows["voice"]["avg_bytes"] is rows["voice"]["biggest"] is None
    numbers = [
        value for row in rows.values() for name, value in row.items() if name.startswith(("keys", "byte", "no_"))
    ]
    assert all(number.keys() == ESTIMATE for number in numbers)


def test_a_sample_tells_its_error_and_a_smaller_one_takes_more_keys(valkey: Server, typed: Typed) -> None:
    fill_in_parts(valkey.client(), 200_000)
    rough = document_of(typed("census", "--json", "--error", "20%", server=valkey).stdout)
    fine = document_of(typed("census", "--json", "--error", "0.7%", server=valkey).stdout)
    for document, error in ((rough, 0.2), (fine, 0.007)):
        assert (document["exact"], document["partial"]) == (False, False)
        assert document["total_keys"] == 200_000
        assert adds_up(document)
        for row in document["prefixes"]:
            assert row["keys"]["low"] < row["keys"]["value"] < row["keys"]["high"]
            assert (row["bytes"]["high"] - row["bytes"]["low"]) / 2 <= error * document["data"]["value"]
    assert rough["sampled_keys"] < fine["sampled_keys"] < 200_000
    told = typed("census", "--error", "3%", server=valkey).stdout
    assert " of 200,000 keys in " in told
    for row in lines_of(told, "Prefixes").values():
        assert [word for word in row if word.startswith("\u00b1")]
    exact = document_of(typed("census", "--json", "--exact", server=valkey).stdout)
    assert exact["exact"] is True
    assert {row["name"]: row["keys"]["value"] for row in exact["prefixes"]} == {
        "app:a:*": 66_667,
        "app:b:*": 66_667,
        "app:c:*": 66_666,
    }


def test_a_number_is_off_only_to_the_side_where_it_can_be(valkey: Server, typed: Typed) -> None:
    client = valkey.client()
    for start in range(0, 60_000, 10_000):
        script = "for i = ARGV[1], ARGV[2] do redis.call('SET', 'key:' .. i, string.rep('x', i % 100)) end"
        client.eval(script, 0, str(start), str(start + 9999))
    row = lines_of(typed("census", "--error", "5%", server=valkey).stdout, "Prefixes")["key:*"]
    assert row[1] == "60,000"
    assert row[2].startswith("-"), row
    assert row[4].startswith("\u00b1"), row


def test_other_databases_are_told_with_their_number(server: Server, typed: Typed) -> None:
    stock(server)
    with redis.Redis(HOST, server.port, db=3) as other:
        fill(other, "ceo-platform:users:", 7)
    document = document_of(typed("census", "--json", *GOVERNED, server=server).stdout)
    assert rows_of(document)["users"]["keys"]["value"] == 300
    (row,) = (row for row in document["prefixes"] if row["database"] == 3)
    assert (row["name"], row["prefix"], row["keys"]["value"]) == ("ceo-platform:users:*", "ceo-platform:users:", 7)
    assert adds_up(document)
    told = typed("census", *GOVERNED, server=server).stdout
    assert lines_of(told, "Keys of no namespace")["3"][1:3] == ["ceo-platform:users:*", "7"]


def test_the_rest_of_a_long_table_is_summed_up(valkey: Server, typed: Typed) -> None:
    client = valkey.client()
    for name in "abcdefgh":
        fill(client, f"{name}:", 10)
    told = typed("census", "--top", "3", server=valkey).stdout
    rows = lines_of(told, "Prefixes")
    assert len(rows) == 4
    assert rows["5"][1:3] == ["more", "50"]
    assert len(document_of(typed("census", "--top", "3", "--json", server=valkey).stdout)["prefixes"]) == 8


def test_an_empty_server_without_a_limit_is_told_as_empty(server: Server, typed: Typed) -> None:
    told = typed("census", server=server)
    assert (told.returncode, told.stderr) == (0, "")
    assert "\nlooked at all 0 keys in " in told.stdout
    document = document_of(typed("census", "--json", server=server).stdout)
    assert (document["exact"], document["prefixes"], document["limit_bytes"]) == (True, [], None)
    assert adds_up(document)


# ---- CSV, masks, odd names


def cells_of(output: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(output, newline="")))


def test_csv_has_a_line_for_each_namespace_and_prefix(valkey: Server, typed: Typed) -> None:
    stock(valkey)
    told = typed("census", "--csv", *GOVERNED, server=valkey)
    assert (told.returncode, told.stderr) == (0, "")
    document = document_of(typed("census", "--json", *GOVERNED, server=valkey).stdout)
    lines = cells_of(told.stdout)
    assert [(line["kind"], line["name"], line["prefix"]) for line in lines] == [
        (kind, row["name"], row["prefix"])
        for kind, rows in (("namespace", document["namespaces"]), ("prefix", document["prefixes"]))
        for row in rows
    ]
    messages = next(line for line in lines if line["name"] == "messages")
    row = rows_of(document)["messages"]
    for name in ("keys", "bytes", "avg_bytes", "no_ttl"):
        assert float(messages[name]) == row[name]["value"]
        assert float(messages[f"{name}_low"]) == row[name]["low"]
        assert float(messages[f"{name}_high"]) == row[name]["high"]
    assert next(line for line in lines if line["name"] == "users")["ttl_p50_s"] == ""


def test_no_name_of_a_key_reaches_a_terminal_or_a_spreadsheet_as_a_command(server: Server) -> None:
    client = server.client()
    for name in (
        b"=cmd|' /C calc'!A0",
        b"@SUM(1)",
        b"-1+1",
        b"+1",
        b"\xff\x00\x1b[31m",
        b"two\r\nlines",
        b'with "," all',
    ):
        client.set(name, b"x" * 5000)
    told = spillgate("census", "--csv", server=server)
    assert told.returncode == 0, told.stderr
    cells = [cell for line in csv.reader(io.StringIO(told.stdout)) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert any(cell.startswith("'=cmd") for cell in cells)
    text = spillgate("census", server=server)
    assert text.returncode == 0, text.stderr
    assert "\x1b" not in told.stdout + text.stdout
    assert "\\xff\\x00\\x1b[31m" in text.stdout
    assert "two\\r\\nlines" in text.stdout
    document = document_of(spillgate("census", "--json", server=server).stdout)
    assert {"two\r\nlines", "\\xff\x00\x1b[31m", 'with "," all'} <= {key["key"] for key in document["biggest"]}


def test_masked_output_has_no_key_in_it(valkey: Server, typed: Typed) -> None:
    client = valkey.client()
    for person in ("ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal", "ida"):
        client.set(f"user:{person}", "x" * 5000)
    client.set("very-private", "x" * 9000)
    for person in ("alice", "bob", "carol"):
        client.set(f"tok-{person}:s3cr", "x")
    assert "tok-alice:*" in rows_of(document_of(typed("census", "--json", server=valkey).stdout)), "a word of a key"
    for form in ((), ("--json",), ("--csv",)):
        plain = typed("census", *form, server=valkey).stdout
        masked = typed("census", "--mask", *form, server=valkey).stdout
        assert "very-private" in plain
        assert "user:***" in masked
        for secret in ("private", "ann", "ida", "alice", "s3cr"):
            assert secret not in masked
    assert adds_up(document_of(typed("census", "--json", "--mask", server=valkey).stdout))


# ---- what is missing


def test_what_is_forbidden_is_unknown_and_said(server: Server, typed: Typed) -> None:
    client = stock(server)
    client.execute_command(
        "ACL", "SETUSER", "narrow", "on", f">{SECRET}", "~*", "+@all", "-memory", "-eval", "-evalsha", "-object"
    )
    url = server.url.replace("://", f"://narrow:{SECRET}@")
    told = typed("census", *GOVERNED, REDIS_URL=url)
    assert (told.returncode, told.stderr) == (0, "")
    assert SECRET not in told.stdout
    assert lines_of(told.stdout, "Namespaces")["users"][1:3] == ["300", "unknown"]
    assert "note: MEMORY USAGE is forbidden: sizes are unknown" in told.stdout
    document = document_of(typed("census", "--json", *GOVERNED, REDIS_URL=url).stdout)
    row = rows_of(document)["users"]
    assert (row["bytes"], row["avg_bytes"], row["idle_p50_s"], document["data"]) == (None, None, None, None)
    assert sum(document["overhead"].values()) == document["used_memory"]
    client.execute_command("ACL", "SETUSER", "narrow", "-scan")
    told = typed("census", "--json", REDIS_URL=url)
    assert told.returncode == 3
    assert "SCAN is forbidden" in document_of(told.stdout)["error"]


def test_a_metered_plan_gets_what_its_commands_allow(valkey: Server, typed: Typed) -> None:
    fill_in_parts(valkey.client(), 60_000)
    told = typed("census", "--json", server=valkey, SPILLGATE_MONITOR_COMMANDS_PER_DAY="60")
    document = document_of(told.stdout)
    assert told.returncode == 0
    assert (document["partial"], document["exact"]) == (True, False)
    assert "commands allowed for today are spent" in document["notes"][0]
    assert 0 < document["sampled_keys"] < 60_000
    assert adds_up(document)
    assert typed("census", server=valkey, SPILLGATE_MONITOR_COMMANDS_PER_DAY="3").returncode == 3


@pytest.mark.parametrize("kind", [ServerKind.REDIS_7_0, ServerKind.VALKEY_9_1])
def test_a_replica_is_read_in_place_of_the_server(
    server_factory: ServerFactory, kind: ServerKind, typed: Typed
) -> None:
    primary, replica = server_factory(kind, repl_diskless_sync_delay=0), server_factory(kind)
    fill(primary.client(), "app:tasks:", 100)
    client = replica.client()
    client.replicaof(HOST, primary.port)
    eventually(lambda: client.info("replication")["master_link_status"] == "up" and client.dbsize() == 100, 20)
    asked = primary.client().info("commandstats").keys()
    told = typed("census", "--json", "--replica", replica.url, server=primary)
    assert told.returncode == 0, told.stderr
    document = document_of(told.stdout)
    assert rows_of(document)["app:tasks:*"]["keys"]["value"] == 100
    assert rows_of(document)["app:tasks:*"]["idle_p50_s"] is None
    assert "idle times are unknown" in document["notes"][0]
    assert adds_up(document)
    assert primary.client().info("commandstats").keys() == asked | {"cmdstat_info"}
    told = typed("census", "--replica", primary.url, server=primary)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == "error: command line: --replica: this server is no replica: name it with --url\n"


# ---- interrupted


def slow(server: Server) -> str:
    """The URL of a user without scripts, who takes long for many keys."""
    server.client().execute_command("ACL", "SETUSER", "slow", "on", f">{SECRET}", "~*", "+@all", "-@scripting")
    return server.url.replace("://", f"://slow:{SECRET}@")


def interrupted(server: Server, *arguments: str) -> tuple[int, str, str]:
    """A full pass that is interrupted in the middle: its exit code, output and log."""
    client = server.client()
    client.config_resetstat()
    command = [*SPILLGATE, "census", "--exact", *arguments]
    with Running(command, environment(REDIS_URL=slow(server))) as census:

        def pages() -> int:
            return client.info("commandstats").get("cmdstat_scan", {}).get("calls", 0)

        eventually(lambda: pages() > 20, TIMEOUT_S)
        return census.ends(signal.SIGINT), census.output, census.log


def test_ctrl_c_prints_what_was_seen_so_far(server: Server) -> None:
    fill_in_parts(server.client(), 60_000)
    code, output, log = interrupted(server, "--json")
    assert (code, log) == (130, "")
    document = document_of(output)
    assert (document["partial"], document["exact"]) == (True, False)
    assert document["notes"] == ["interrupted: the numbers are drawn from what was seen until then"]
    assert 1000 < document["sampled_keys"] < 60_000
    assert adds_up(document)
    for row in document["prefixes"]:
        assert row["keys"]["value"] == pytest.approx(20_000, rel=0.3)
    code, output, log = interrupted(server)
    assert (code, log) == (130, "")
    assert "note: interrupted" in output


def test_an_interrupted_pass_is_resumed(valkey: Server, tmp_path: Path, typed: Typed) -> None:
    fill_in_parts(valkey.client(), 60_000)
    file = tmp_path / "census.pass"
    code, output, log = interrupted(valkey, "--json", "--resume", str(file))
    assert code == 130
    assert log == f"what was seen is kept in {file}: the same command goes on from there\n"
    told = typed("census", "--exact", "--json", "--resume", str(file), REDIS_URL=slow(valkey))
    assert (told.returncode, told.stderr) == (0, "")
    document = document_of(told.stdout)
    assert (document["exact"], document["sampled_keys"]) == (True, 60_000)
    assert document_of(output)["sampled_keys"] < 60_000
    assert not file.exists()
    file.write_text("nothing of ours")
    told = typed("census", "--exact", "--resume", str(file), server=valkey)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith(f"error: {file}: is not a census to go on from: ")


@pytest.mark.parametrize("module", ["redis", "typer", "spillgate.cli.census"])
def test_ctrl_c_while_it_starts_ends_it_without_a_word(tmp_path: Path, module: str) -> None:
    interrupts = f"""
import os, signal, sys
class Interrupts:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts)
"""
    (tmp_path / "sitecustomize.py").write_text(interrupts)
    told = spillgate(
        "census", PYTHONPATH=os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    assert (told.returncode, told.stdout, told.stderr) == (130, "", "")


@pytest.mark.parametrize("command", [("census", "--exact"), ("doctor", "--exact", "--growth", "5s")])
def test_it_lets_others_go_first(valkey: Server, command: tuple[str, ...]) -> None:
    fill_in_parts(valkey.client(), 20_000)
    with Running([*SPILLGATE, *command], environment(REDIS_URL=slow(valkey))) as running:
        wanted = min(19, os.nice(0) + 15)
        assert eventually(lambda: os.getpriority(os.PRIO_PROCESS, running.process.pid) == wanted, TIMEOUT_S)


def test_progress_is_shown_on_a_terminal(valkey: Server) -> None:
    fill_in_parts(valkey.client(), 60_000)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*SPILLGATE, "census", "--json", "--exact"],
        env=environment(valkey, TERM="xterm", COLUMNS="120"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                part = os.read(ours, 4096)
            except OSError:  # how a terminal ends
                break
            if not part:
                break
            shown += part
        assert process.stdout is not None
        document = document_of(process.stdout.read().decode())
        assert process.wait(TIMEOUT_S) == 0
    os.close(ours)
    assert document["exact"] is True
    assert b"looking at keys" in shown
    assert b"/60000" in shown


# ---- what cannot be meant


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--error", "0%"), "--error: no sample is without error: use --exact to visit every key"),
        (("--error", "much"), '--error: expected a share such as "80%" or 0.8, at most 100%, got "much"'),
        (("--error", "1%", "--exact"), "--error: --exact leaves no error: choose one of them"),
        (("--json", "--csv"), "--csv: there is one document: choose --json or --csv"),
        (("--resume", "file"), "--resume: only a full pass can be resumed: pass --exact as well"),
        (("--separator", "::"), '--separator: expected one ASCII character such as ":", got "::"'),
        (("--separator", ""), '--separator: expected one ASCII character such as ":", got ""'),
        (("--replica", f"http://me:{SECRET}@host"), "--replica: expected a URL such as redis://"),
        (("--exact", "--resume", "/no/such/folder/file"), ""),
    ],
)
def test_nonsense_is_refused(valkey: Server, arguments: tuple[str, ...], said: str, typed: Typed) -> None:
    told = typed("census", *arguments, server=valkey)
    assert told.returncode == 2
    expected = f"error: command line: {said}" if said else "error: /no/such/folder/file: cannot be written"
    assert told.stderr.startswith(expected), told.stderr
    assert told.stderr.count("\n") == 1
    assert SECRET not in told.stderr + told.stdout


def test_an_unreachable_server_is_exit_code_3(typed: Typed) -> None:
    told = typed("census", "--json", REDIS_URL=f"redis://somebody:{SECRET}@127.0.0.1:1/0")
    assert told.returncode == 3
    assert "somebody:***@" in document_of(told.stdout)["error"]
    assert SECRET not in told.stdout + told.stderr


def test_help_names_every_option(typed: Typed) -> None:
    told = typed("census", "--help")
    assert told.returncode == 0
    for option in (
        "url",
        "config",
        "limit",
        "json",
        "csv",
        "exact",
        "error",
        "separator",
        "top",
        "replica",
        "resume",
        "mask",
    ):
        assert f"--{option}" in told.stdout
