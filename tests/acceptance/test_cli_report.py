"""``spillgate report``, of servers that are governed, bare, strange, or gone."""

from __future__ import annotations

import json
import signal
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.governing import MB, fill, keys_of
from tests.programs import GOVERNED, commands_of, ends_of, fill_up, running, stock, untouched
from tests.servers import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Typed
    from tests.servers import Server

AT_ONCE = ("--growth", "0s")
SECRET = "hunter2"


def told(typed: Typed, *arguments: str, server: Server | None = None, code: int | None = None) -> dict[str, Any]:
    """The document, of a command that ended well."""
    ended = typed("report", "--json", *AT_ONCE, *arguments, server=server)
    assert ended.stderr == ""
    assert ended.returncode in ({0, 1} if code is None else {code})
    return json.loads(ended.stdout)


def value(number: Any) -> Any:
    """A number that may be an estimate, or have a note."""
    return number["value"] if isinstance(number, dict) else number  # pyright: ignore[reportUnknownVariableType] - JSON


def test_a_governed_server(valkey: Server, typed: Typed, tmp_path: Path) -> None:
    history, output = tmp_path / "history.db", tmp_path / "report.html"
    client = stock(valkey)
    with running(*GOVERNED, "--no-web", "--history", str(history), server=valkey) as governor:
        governor.awaits("level normal")
        fill_up(client, 0.9)
        governor.awaits("cleanup at")
        eventually(lambda: client.info("memory")["used_memory"] < 21 * MB)
        asked = (*GOVERNED, "--history", str(history), "--since", "1h")
        eventually(lambda: told(typed, *asked, server=valkey)["sections"]["happened"].get("actions"), interval_s=0.3)
        document = told(typed, *asked, server=valkey)
        written = typed("report", *AT_ONCE, *asked, "-o", str(output), server=valkey)
        assert governor.process.poll() is None  # its history is only read
    sections = document["sections"]
    assert len(sections) == 13
    # What is read adds up.
    memory = sections["memory"]
    assert sum(value(row["bytes"]) for row in memory["sum"][:-1]) == value(memory["sum"][-1]["bytes"])
    rows = {row["name"]["value"] if isinstance(row["name"], dict) else row["name"]: row for row in memory["features"]}
    assert value(rows["users"]["keys"]) == 300
    assert value(rows["elsewhere:*"]["no_ttl"]) == 12
    assert value(document["keys"]) == len(keys_of(client))
    # So does what happened.
    happened = sections["happened"]
    assert sum(row["deleted"] for row in happened["actions"]) == sum(row["deleted"] for row in happened["deleted"]) > 0
    visited = {value(row["level"]) for row in happened["levels"]}
    assert "normal" in visited
    assert visited & {"emergency", "critical"}
    forecasts = happened["forecasts"]
    assert value(forecasts["made"]) == sum(
        value(forecasts.get(name, 0)) for name in ("came_true", "averted", "did_not_come_true", "unknown")
    )
    assert value(sections["setup"]["around"]["governor"]) is True
    assert any("messages" in line for line in sections["emergency"]["emergency_commands"]) is False
    assert (
        f"spillgate cleanup analytics --level emergency --dry-run --config {GOVERNED[1]}"
        in (sections["emergency"]["emergency_commands"])
    )
    # And a page comes of it.
    assert written.returncode in {0, 1}
    assert (written.stdout, written.stderr) == ("", f"wrote {output}\n")
    assert "<polyline" not in output.read_text()
    assert 'class="line"' in output.read_text()
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_the_next_report_is_about_the_time_since(valkey: Server, typed: Typed, tmp_path: Path) -> None:
    output = tmp_path / "report.md"
    output.write_text("<!-- generated-at: 2026-11-01T00:00:00Z -->")
    output.chmod(0o640)
    history = tmp_path / "history.db"
    with running("--no-web", "--limit", "25MB", "--history", str(history), server=valkey) as governor:
        governor.awaits("level normal")
        governor.ends(signal.SIGTERM)
    ended = typed("report", *AT_ONCE, "--history", str(history), "-o", str(output), server=valkey)
    assert ended.returncode in {0, 1}
    text = output.read_text()
    assert "(the last report)" in text
    assert "since 1 Nov 2026, 00:00 UTC" in text
    assert stat.S_IMODE(output.stat().st_mode) == 0o640


def test_a_bare_server(server: Server, typed: Typed) -> None:
    """No policy, no limit, no history; keys of strange names; nothing of it changes."""
    client = server.client()
    client.config_set("maxmemory", 0)
    fill(client, "a|b`<script>alert(1)</script>\n\x1b[31m:", 40, 300)
    fill(client, "session:", 40, 100, None)
    client.set("somebody@example.org", "x" * 2000)
    client.set("profile:somebody@example.org", "x" * 2000, ex=600)
    before = ends_of(client)
    client.config_resetstat()
    document = told(typed, server=server, code=0)
    sizes = sum(calls for name, calls in commands_of(client).items() if name.startswith("cmdstat_memory"))
    assert 82 <= sizes <= 82 + 5  # each key was looked at once
    assert (document["level"], value(document["risk"])) == ("unknown", None)
    assert {row["bytes"] for row in document["sections"]["protection"]["levels"]} == {None}
    assert "every key is protected" in document["sections"]["cleanup"]["text"][0]
    assert "somebody" not in json.dumps(document)
    assert "somebody" in json.dumps(told(typed, "--examples", server=server))
    for form in ("md", "html"):
        ended = typed("report", *AT_ONCE, "--format", form, server=server)
        assert "somebody" not in ended.stdout
        assert (ended.returncode, ended.stderr) == (0, "")
        assert form == "md" or "<script>" not in ended.stdout  # in Markdown it stands in a span of code
        assert not set(ended.stdout) & {"\x1b", "\x7f"}
        assert "session:" in ended.stdout
    assert untouched(before, client)


def test_an_empty_server(valkey: Server, typed: Typed) -> None:
    document = told(typed, *GOVERNED, server=valkey, code=0)
    assert (document["level"], value(document["risk"])) == ("normal", "low")
    assert typed("report", *AT_ONCE, *GOVERNED, "--format", "html", server=valkey).returncode == 0


def test_what_is_forbidden_is_unknown(valkey: Server, typed: Typed) -> None:
    """An ACL without scripts, sizes, idle times, settings; LFU; and one that lets no key be visited at all."""
    client = stock(valkey)
    client.config_set("maxmemory-policy", "allkeys-lfu")
    forbidden = ("-eval", "-evalsha", "-memory", "-object", "-config", "-pubsub", "-client", "-acl", "-get")
    for name, more in (("some", ()), ("blind", ("-scan",))):
        commands = ["+@all", *forbidden, *more]
        client.acl_setuser(name, enabled=True, passwords=[f"+{SECRET}"], keys=["*"], channels=["*"], commands=commands)
    url = valkey.url.replace("redis://", f"redis://some:{SECRET}@")
    ended = typed("report", *AT_ONCE, *GOVERNED, "--url", url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert SECRET not in ended.stdout
    assert "MEMORY USAGE is forbidden" in ended.stdout
    assert "spillgate status --config" in ended.stdout
    assert '--url "$REDIS_URL"' in ended.stdout
    blind = typed("report", *AT_ONCE, *GOVERNED, "--url", url.replace("some:", "blind:"))
    assert (blind.returncode, blind.stderr) == (3, "")
    assert "Unknown, because SCAN is forbidden" in blind.stdout
    assert "| Level | " in blind.stdout


def test_a_full_server_is_an_alarm(valkey: Server, typed: Typed) -> None:
    fill_up(stock(valkey), 0.85)
    document = told(typed, *GOVERNED, server=valkey, code=1)
    assert (document["level"], value(document["risk"]), document["alarmed"]) == ("preventive", "high", True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("-o", "{tmp}"), 2, "-o: {tmp} is a directory: name a file in it"),
        (("-o", "{tmp}/no/report.md"), 2, "-o: the directory {tmp}/no does not exist: make it, or choose another file"),
        (("--history", "{tmp}/none.db"), 2, "--history: {tmp}/none.db: there is no such file"),
        (("--history", "{tmp}/notes.txt"), 2, "it is not a history of Spillgate"),
        (("--since", "soon"), 2, "--since: expected a time such as"),
        (("--url", "redis://127.0.0.1:1/0"), 3, "redis://127.0.0.1:1/0: "),
    ],
)
def test_what_cannot_be(typed: Typed, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    (tmp_path / "notes.txt").write_text("not a history, but notes of somebody")
    ended = typed("report", *(one.format(tmp=tmp_path) for one in ("--url", "redis://127.0.0.1:1/0", *arguments)))
    assert ended.returncode == code
    assert message.format(tmp=tmp_path) in ended.stderr
    assert ended.stdout == ""
    assert (tmp_path / "notes.txt").read_text() == "not a history, but notes of somebody"


def test_jinja_may_be_missing(monkeypatch: pytest.MonkeyPatch, typed: Typed, valkey: Server) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    ended = typed("report", *AT_ONCE, server=valkey)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "pip install 'spillgate[report]'" in ended.stderr
    assert told(typed, server=valkey)["sections"]
