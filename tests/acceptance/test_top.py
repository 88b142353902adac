"""``spillgate top``, as people see it on a terminal and programs in a pipe."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from spillgate.cli.top.looking import Looker
from spillgate.config import load_policy
from tests.governing import EXAMPLE, MB, fill, keys_of
from tests.programs import (
    GOVERNED,
    SPILLGATE,
    TIMEOUT_S,
    Running,
    commands_of,
    ends_of,
    environment,
    fill_up,
    running,
    spillgate,
    stock,
    untouched,
)
from tests.servers import eventually
from tests.terminal import CURSOR_SHOWN, ENTERED, LEFT, Terminal

if TYPE_CHECKING:
    from tests.acceptance.conftest import Typed
    from tests.conftest import ServerFactory
    from tests.servers import Server

SECRET = "hunter2"
HURRY = ("--interval", "100ms")
WRITES = re.compile(r"cmdstat_(del|unlink|expire|pexpire|expireat|pexpireat|set|flush\w*|config\|set)$")


def top(server: Server, *arguments: str, kind: str = "xterm", **variables: str) -> Terminal:
    """Start it on a terminal."""
    command = [*SPILLGATE, "top", *GOVERNED, *HURRY, *arguments]
    return Terminal(command, environment(server, **variables), kind=kind)


def piped(*arguments: str, server: Server | None = None, **variables: str) -> Running:
    """Start it in a pipe."""
    return Running([*SPILLGATE, "top", *HURRY, *arguments], environment(server, **variables))


def given_back(terminal: Terminal) -> bool:
    """Whether the terminal is as it was: its own screen, with its cursor, echo and line editing."""
    out = terminal.output
    there = out.rindex(LEFT) > out.rindex(ENTERED) and out.rindex(CURSOR_SHOWN) > out.rindex(ENTERED)
    return there and terminal.modes == terminal.before


def test_a_terminal_gets_a_live_screen_and_the_server_is_only_looked_at(server: Server) -> None:
    client = fill_up(stock(server), 0.9)
    before = ends_of(client)
    client.config_resetstat()
    with top(server) as terminal:
        shown = terminal.awaits("EMERGENCY", "messages", "q quit")
        lines = shown.splitlines()
        assert len(lines) == 24
        assert lines[0].startswith(f"top  {server.url}, ")
        assert any(line.startswith("messages") and line.rstrip().endswith("5 shorten") for line in lines)
        assert any(line.startswith("users") and line.split()[-1] == "never" for line in lines)
        assert terminal.modes != terminal.before
        fill(client, "ceo-platform:messages:new:", 200, 3000)
        terminal.awaits("/s coming in, at the limit in ")
        terminal.type("q")
        assert terminal.ends() == 0
        assert given_back(terminal)
    assert before.keys() <= ends_of(client).keys()
    client.delete(*keys_of(client, "ceo-platform:messages:new:*"))
    assert untouched(before, client)
    client.config_resetstat()
    assert spillgate("top", *GOVERNED, *HURRY, "--count", "5", server=server).returncode == 1
    assert [name for name in commands_of(client) if WRITES.match(name)] == []


def test_keys_do_what_the_help_says(valkey: Server) -> None:
    client = stock(valkey)
    with top(valkey) as terminal:
        terminal.awaits("sort: memory", "every 100ms")
        terminal.type("s")
        terminal.awaits("sort: keys")
        terminal.type("+")
        terminal.awaits("every 200ms")
        terminal.type("-")
        terminal.type("?")
        assert "look less, more often" in terminal.awaits("quit; so does Ctrl-C", "This server allows everything")
        terminal.type("x")
        terminal.awaits("namespace", "messages")
        terminal.type("p")
        terminal.awaits("PAUSED", "p go on")
        sent = client.info("stats")["total_commands_processed"]
        fill(client, "ceo-platform:voice:", 77, 10)
        terminal.type("s")
        assert "voice" in terminal.awaits("sort: no TTL")
        # Two of them are ours: the INFO above and the one here; the writes came in 77 more.
        assert client.info("stats")["total_commands_processed"] - sent <= 77 + 2
        terminal.type("p")
        assert re.search(r"^keys +689 ", terminal.awaits("p pause", "keys      689"), re.MULTILINE)
        terminal.type("\x03")
        assert terminal.ends() == 0
        assert given_back(terminal)


def test_it_follows_the_size_of_the_terminal(valkey: Server) -> None:
    stock(valkey)
    with top(valkey) as terminal:
        terminal.awaits("(no namespace)", "q quit")
        terminal.resize(12, 60)
        shown = terminal.awaits("1-", " of 9")
        assert max(map(len, shown.splitlines())) <= 60
        terminal.type("\x1b[6~")
        terminal.awaits("-9 of 9", "(no namespace)")
        terminal.resize(50, 150)
        assert len(terminal.awaits("q quit", "critical 100%").splitlines()) == 50
        terminal.type("q")
        assert terminal.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_told_to_end_it_gives_the_terminal_back(valkey: Server, number: signal.Signals) -> None:
    stock(valkey)
    with top(valkey) as terminal:
        terminal.awaits("NORMAL")
        assert terminal.ends(number) == 0
        assert given_back(terminal)
        assert terminal.last_words == ""


def test_a_crash_gives_the_terminal_back_and_is_told(valkey: Server) -> None:
    stock(valkey)
    broken = (
        "import sys; from spillgate.cli import main; from spillgate.cli.top.looking import Looker\n"
        "look = Looker.look\n"
        "def once(self, interval_s):\n"
        "    if self._looks: raise ZeroDivisionError('boom')\n"
        "    return look(self, interval_s)\n"
        "Looker.look = once; sys.argv = ['spillgate', 'top', '--interval', '300ms']; main()"
    )
    with Terminal([sys.executable, "-c", broken], environment(valkey)) as terminal:
        terminal.awaits("NORMAL")
        assert terminal.ends() == 1
        assert given_back(terminal)
        assert "ZeroDivisionError: boom" in terminal.last_words


def test_ctrl_z_lends_the_terminal_to_the_shell(valkey: Server) -> None:
    stock(valkey)
    with top(valkey) as terminal:
        terminal.awaits("NORMAL")
        terminal.type("\x1a")
        process = psutil.Process(terminal.process.pid)
        eventually(lambda: process.status() == psutil.STATUS_STOPPED, TIMEOUT_S)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.writes(ENTERED, 2)
        assert LEFT in terminal.output.rpartition(ENTERED)[0]
        terminal.type("s")
        terminal.awaits("sort: keys")
        terminal.type("q")
        assert terminal.ends() == 0
        assert given_back(terminal)


def test_a_server_that_goes_is_told_and_so_is_its_return(valkey: Server) -> None:
    stock(valkey)
    with top(valkey) as terminal:
        terminal.awaits("NORMAL", "keys      612")
        valkey.kill()
        shown = terminal.awaits("UNREACHABLE", "looking again every 100ms")
        assert re.search(r"seen \S+ ago: NORMAL", shown)
        assert "keys      612" in shown
        valkey.start()
        valkey.client().config_set("maxmemory", 25 * MB)
        terminal.awaits("NORMAL", "keys      0")
        terminal.type("q")
        assert terminal.ends() == 0


def test_a_server_that_hangs_holds_up_neither_keys_nor_the_end(valkey: Server) -> None:
    stock(valkey)
    with top(valkey) as terminal:
        terminal.awaits("NORMAL")
        valkey.freeze()
        terminal.type("s")
        terminal.awaits("sort: keys")
        terminal.type("q")
        eventually(lambda: terminal.ends() == 0, 2.0)
        assert given_back(terminal)
        valkey.thaw()


def test_a_server_that_is_not_there_yet_is_waited_for(valkey: Server) -> None:
    valkey.kill()
    with top(valkey, "--limit", "25MB") as terminal:
        terminal.awaits("UNREACHABLE", "it was never read: nothing is known of it")
        valkey.start()
        terminal.awaits("NORMAL", "of 25MB")
        terminal.type("q")
        assert terminal.ends() == 0


def test_without_colour_there_is_none(valkey: Server) -> None:
    stock(valkey)
    with top(valkey, NO_COLOR="1") as terminal:
        terminal.awaits("NORMAL")
        terminal.type("q")
        assert terminal.ends() == 0
        assert not re.search(r"\x1b\[[0-9;]*\b(3[0-8]|4[0-8]|9[0-7])\b[0-9;]*m", terminal.output)
    with top(valkey) as terminal:
        terminal.awaits("NORMAL")
        assert re.search(r"\x1b\[[0-9;]*32m", terminal.output)


def test_a_terminal_of_ascii_gets_no_more_than_that(valkey: Server) -> None:
    stock(valkey)
    with top(valkey, PYTHONIOENCODING="ascii") as terminal:
        assert terminal.awaits("NORMAL", "####", "arrows").isascii()
        terminal.type("q")
        assert terminal.ends() == 0


def test_a_dumb_terminal_gets_lines(valkey: Server) -> None:
    stock(valkey)
    with top(valkey, "--count", "2", kind="dumb") as terminal:
        assert terminal.ends() == 0
        assert "\x1b" not in terminal.output
        lines = terminal.output.splitlines()
        assert len(lines) == 2
        assert all(re.match(r"\d\d:\d\d:\d\d normal +\S+ of 25MB \(", line) for line in lines)


def test_a_pipe_gets_a_line_for_each_look_and_an_exit_code(valkey: Server) -> None:
    client = stock(valkey)
    told = spillgate("top", *GOVERNED, *HURRY, "--count", "3", server=valkey)
    assert (told.returncode, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert len(lines) == 3
    assert all("keys 612, evicted 0 (+0), refused 0 (+0)" in line for line in lines)
    assert "it takes two looks" in lines[0]
    assert "it takes two looks" not in lines[1]
    fill_up(client, 0.9)
    assert spillgate("top", *GOVERNED, "--count", "1", server=valkey).returncode == 1
    told = spillgate("top", *GOVERNED, *HURRY, "--count", "2", REDIS_URL=f"redis://me:{SECRET}@127.0.0.1:1/0")
    assert told.returncode == 3
    assert [line.split()[1:3] for line in told.stdout.splitlines()] == [
        ["unreachable", "redis://me:***@127.0.0.1:1/0:"]
    ] * 2


def test_a_pipe_that_is_ended_ends_well(valkey: Server) -> None:
    stock(valkey)
    for number in (signal.SIGINT, signal.SIGTERM):
        with piped(*GOVERNED, server=valkey) as program:
            eventually(lambda: program.output.count("\n") >= 2, TIMEOUT_S)
            assert program.ends(number) == 0
            assert program.log == ""
    there, here = os.pipe()
    os.close(there)
    told = subprocess.run(
        [*SPILLGATE, "top"], env=environment(valkey), stdout=here, stderr=subprocess.PIPE, timeout=30, check=False
    )
    os.close(here)
    assert (told.returncode, told.stderr) == (1, b"")


def test_programs_get_a_document_a_line(server: Server, typed: Typed) -> None:
    client = stock(server)
    told = typed("top", *GOVERNED, *HURRY, "--json", "--count", "3", server=server)
    assert (told.returncode, told.stderr) == (0, "")
    documents = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(documents) == 3
    status = json.loads(typed("status", "--json", *GOVERNED, server=server).stdout)
    for document in documents:
        assert set(status) <= set(document)
        assert document["status"] == "healthy"
        assert document["keys"] == client.dbsize()
        assert {row["name"]: row["keys"]["value"] for row in document["namespaces"] if row["keys"]["value"]} == {
            "analytics": 200,
            "messages": 100,
            "users": 300,
        }
        assert document["unregistered_keys"] == {"value": 12, "low": 12, "high": 12}
        assert document["next_look_s"] <= 0.1
    assert [document["fill_bytes_s"] is None for document in documents] == [True, False, False]


def test_a_look_costs_two_commands(server: Server) -> None:
    client = stock(server)
    fill(client, "ceo-platform:messages:more:", 20_000, 10)

    def sent(looks: int) -> int:
        """INFO and scripts: there is nothing else but what a connection begins with."""
        client.config_resetstat()
        assert spillgate("top", *GOVERNED, *HURRY, "--count", str(looks), server=server).returncode == 0
        stats = client.info("commandstats")
        return sum(row["calls"] for name, row in stats.items() if re.match(r"cmdstat_(info|eval|evalsha)$", name))

    assert sent(21) - sent(1) <= 20 * 2 + 1  # the script itself is sent once


def test_the_days_commands_are_respected(valkey: Server) -> None:
    stock(valkey)
    with top(valkey, SPILLGATE_MONITOR_COMMANDS_PER_DAY="5000") as terminal:
        terminal.awaits("(metered)", "NORMAL")
        terminal.type("q")
        assert terminal.ends() == 0
    told = spillgate("top", *GOVERNED, *HURRY, "--count", "1", server=valkey, SPILLGATE_MONITOR_COMMANDS_PER_DAY="5")
    assert told.returncode == 3
    assert "The commands allowed for today" in told.stdout


def test_a_plan_without_scripts_and_scan_is_shown_as_far_as_it_goes(valkey: Server) -> None:
    client = stock(valkey)
    client.acl_setuser("looker", enabled=True, passwords=[f"+{SECRET}"], commands=["+info", "+ping"])
    url = valkey.url.replace("redis://", f"redis://looker:{SECRET}@")
    with Terminal([*SPILLGATE, "top", "--url", url, *GOVERNED, *HURRY], environment()) as terminal:
        shown = terminal.awaits("forbidden", "EVAL", "NORMAL")
        assert re.search(r"^messages +unknown +unknown +unknown", shown, re.MULTILINE)
        assert SECRET not in terminal.output
        assert "redis://looker:***@" in shown
        terminal.type("?")
        terminal.awaits("EVAL: cleaning goes through pipelines")
        terminal.type("\x1b[F")
        terminal.awaits("SCAN: keys cannot be visited", "script flags")
        terminal.type("qq")
        assert terminal.ends() == 0


def test_a_server_that_was_started_anew_is_looked_at_anew(valkey: Server) -> None:
    stock(valkey)
    policy = load_policy(EXAMPLE, env={}, flags={"url": valkey.url})
    with closing(Looker(policy)) as looker:
        assert looker.look(1.0)["keys"] == 612
        valkey.restart()
        fill(valkey.client(), "ceo-platform:users:", 5)

        def seen() -> dict[str, Any] | None:
            document: dict[str, Any] = looker.look(1.0)
            return document if document["keys"] == 5 and document["status"] == "healthy" else None

        document = eventually(seen, TIMEOUT_S)
        assert document
        counted = {row["name"]: row["keys"]["value"] for row in document["namespaces"] if row["keys"]["value"]}
        assert counted == {"users": 5}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--interval", "soon"), 2, "error: command line: --interval: expected a duration"),
        (("--interval", "1ms"), 2, "error: command line: --interval: expected 100ms or more"),
        (("--count", "0"), 2, "Invalid value for '--count'"),
        (("--from", "127.0.0.1:3000"), 2, "error: command line: --from: expected the address of a running governor"),
        (("--from", "http://127.0.0.1:1", "--limit", "1MB"), 2, "leave out --url, --config and --limit"),
        (("--limit", "1XB"), 2, "error: command line: --limit: expected a size"),
    ],
)
def test_bad_options_are_told(arguments: tuple[str, ...], code: int, said: str, typed: Typed) -> None:
    told = typed("top", *arguments)
    assert (told.returncode, told.stdout) == (code, "")
    assert said in told.stderr


def test_what_no_waiting_mends_ends_it_at_once(valkey: Server, server_factory: ServerFactory, typed: Typed) -> None:
    told = typed("top", server=valkey)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("error: The memory limit is unknown")
    locked = server_factory(requirepass=SECRET, maxmemory="25mb")
    told = typed("top", "--url", locked.url.replace(SECRET, "wr0ng"))
    assert (told.returncode, told.stdout) == (3, "")
    assert "password" in told.stderr.lower()
    assert "wr0ng" not in told.stderr
    with Terminal([*SPILLGATE, "top"], environment(valkey)) as terminal:
        assert terminal.ends() == 2
        assert given_back(terminal)
        assert "The memory limit is unknown" in terminal.last_words


def test_a_governor_is_read_at_no_cost_to_the_server(valkey: Server, typed: Typed) -> None:
    stock(valkey)
    with running(*GOVERNED, server=valkey) as governor:
        governor.becomes("healthy")
        told = typed("top", "--from", governor.base_url, *HURRY, "--count", "2", "--json")
        assert (told.returncode, told.stderr) == (0, "")
        first, second = (json.loads(line) for line in told.stdout.splitlines())
        assert first["status"] == second["status"] == "healthy"
        assert [entry["event"] for entry in first["journal"]][:2] == ["started", "server"]
        assert [entry["number"] for entry in first["journal"]] == list(range(1, len(first["journal"]) + 1))
        assert not {entry["number"] for entry in second["journal"]} & {entry["number"] for entry in first["journal"]}
        told = typed("top", "--from", governor.base_url, *HURRY, "--count", "1")
        assert "started: governing redis://" in told.stdout
        assert re.search(r"normal +\S+ of 25MB \(", told.stdout.splitlines()[-1])
        command = [*SPILLGATE, "top", "--from", governor.base_url, *HURRY]
        with Terminal(command, environment(), rows=34) as terminal:
            terminal.awaits("NORMAL", "server: connected to redis://", "messages")
            terminal.type("l")
            terminal.awaits("journal, the latest first")
            terminal.type("l")
            assert governor.ends(signal.SIGTERM) == 0
            terminal.awaits("UNREACHABLE", "the governor at http://127.0.0.1:", "does not answer")
            terminal.type("q")
            assert terminal.ends() == 0


def test_reading_a_governor_opens_no_connection_to_the_server(valkey: Server, typed: Typed) -> None:
    client = stock(valkey)

    def connections() -> int:
        return client.info("stats")["total_connections_received"]

    before = connections()
    with running(*GOVERNED, server=valkey, SPILLGATE_MONITOR_CHECKUP="0s") as governor:
        governor.becomes("healthy")
        eventually(
            lambda: connections() == before + 2, TIMEOUT_S
        )  # the governor's: for commands, and for invalidations
        told = typed("top", "--from", governor.base_url, *HURRY, "--count", "5")
        assert told.stdout.count(" normal ") >= 5
        assert connections() == before + 2


def test_something_else_than_a_governor_is_told(valkey: Server, typed: Typed) -> None:
    told = typed("top", "--from", f"http://127.0.0.1:{valkey.port}", *HURRY, "--count", "1")
    assert told.returncode == 3
    with running(*GOVERNED, server=valkey, SPILLGATE_LIMIT="25MB") as governor:
        told = typed("top", "--from", f"{governor.base_url}/elsewhere")
        assert (told.returncode, told.stdout) == (2, "")
        assert "GET /api/state is answered with 404 Not Found" in told.stderr
