"""``spillgate cleanup``: the manual emergency procedure."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.governing import MB, fill, keys_of, used
from tests.programs import (
    GOVERNED,
    SPILLGATE,
    TIMEOUT_S,
    Running,
    ends_of,
    environment,
    fill_up,
    stock,
    untouched,
)
from tests.servers import eventually

if TYPE_CHECKING:
    from tests.acceptance.conftest import Typed
    from tests.servers import Server

ANALYTICS, MESSAGES, USERS = (f"ceo-platform:{name}:*" for name in ("analytics", "messages", "users"))


def losers_of(document: dict[str, Any]) -> list[str]:
    """The namespaces that lost keys, in the order of the steps. One may take two: trim, then shorten."""
    return list(dict.fromkeys(name for step in document["outcomes"] for name in step["deleted_by_namespace"]))


def test_a_dry_run_foretells_what_the_cleanup_then_does_in_order_of_priority(server: Server, typed: Typed) -> None:
    client = fill_up(stock(server), 0.93)
    fill(client, "ceo-platform:sessions:", 50, 500, 600)
    kept = {key for name in ("users", "sessions") for key in keys_of(client, f"ceo-platform:{name}:*")}
    kept |= keys_of(client, "elsewhere:*")
    before = ends_of(client)
    foretold = json.loads(typed("cleanup", "--dry-run", "--json", *GOVERNED, server=server).stdout)
    assert untouched(before, client)
    assert (foretold["dry_run"], foretold["reached"]) == (True, True)
    told = typed("cleanup", "--yes", "--json", *GOVERNED, server=server)
    done = json.loads(told.stdout)
    assert (told.returncode, told.stderr, done["error"]) == (0, "", None)
    assert losers_of(done) == losers_of(foretold) == ["analytics", "messages"]
    for number in ("deleted", "retimed", "freed_bytes"):
        assert 0 < done[number] == pytest.approx(foretold[number], rel=0.2)
    # The reading after it has the buffers of another connection in it.
    assert done["data_bytes"] <= 1.01 * done["target_bytes"] < 0.8 * 25 * MB
    assert used(client) < 0.8 * 25 * MB
    assert keys_of(client, ANALYTICS) == set()
    assert {key for key, end in ends_of(client).items() if b":messages:" in key and end > time.time() + 330} == set()
    assert kept <= keys_of(client)


def test_a_named_namespace_is_cleaned_alone_and_whatever_the_pressure(valkey: Server, typed: Typed) -> None:
    client = stock(valkey)
    others = keys_of(client) - keys_of(client, ANALYTICS)
    told = typed("cleanup", "analytics", "--yes", *GOVERNED, server=valkey)
    assert told.returncode == 0, told.stderr
    assert keys_of(client) == others
    assert "200 keys" in told.stdout
    fill_up(client, 0.93)
    fill(client, "ceo-platform:analytics:", 200, 500, 900)
    assert typed("cleanup", "messages", "--yes", *GOVERNED, server=valkey).returncode == 0
    assert used(client) < 0.8 * 25 * MB
    assert len(keys_of(client, ANALYTICS)) == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sesions",), 'unknown namespace "sesions" (registered: analytics, voice, sessions, ai-context, '),
        (("analytics", "users"), 'the namespace "users" is protected (cleanup = "never")'),
        (("analytics", "--level", "preventive"), "name namespaces only with the level emergency or critical"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], said: str, valkey: Server, typed: Typed) -> None:
    client = stock(valkey)
    told = typed("cleanup", *arguments, "--yes", *GOVERNED, server=valkey)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("error: ")
    assert said in told.stderr
    assert len(keys_of(client)) == 612


def test_nobody_to_confirm_is_an_error(valkey: Server, typed: Typed) -> None:
    client = stock(valkey)
    told = typed("cleanup", "analytics", *GOVERNED, server=valkey)
    assert (told.returncode, told.stdout) == (2, "")
    assert "pass --yes to go ahead, or --dry-run" in told.stderr
    assert len(keys_of(client)) == 612


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, 200), ("y\n", 0, 0), ("\x03", 130, 200)])
def test_on_a_terminal_it_shows_what_would_go_and_asks(answer: str, code: int, left: int, valkey: Server) -> None:
    client = stock(valkey)
    told, ended = on_a_terminal(answer, "cleanup", "analytics", *GOVERNED, server=valkey)
    assert "would delete" in told
    assert "Delete about 200 keys and shorten 0 TTLs? [y/N]" in told
    assert ended == code, told
    assert len(keys_of(client, ANALYTICS)) == left
    assert "Traceback" not in told


def on_a_terminal(answer: str, *arguments: str, server: Server) -> tuple[str, int]:
    """Type a command on a terminal, and ``answer`` when it asks; all it showed, and its exit code."""
    here, there = pty.openpty()
    process = subprocess.Popen(
        [*SPILLGATE, *arguments],
        env=environment(server, COLUMNS="120", TERM="xterm"),
        preexec_fn=lambda: os.login_tty(there),  # noqa: PLW1509 - what makes Ctrl-C there a signal to the process
    )
    os.close(there)
    shown = b""
    asked = False
    while True:
        try:
            shown += os.read(here, 65536)
        except OSError:  # its other end is closed
            break
        if not asked and b"[y/N]" in shown:
            asked = True
            os.write(here, answer.encode())
    os.close(here)
    return shown.decode(), process.wait(TIMEOUT_S)


def test_a_target_that_cannot_be_reached_is_exit_code_1(valkey: Server, typed: Typed) -> None:
    client = fill_up(stock(valkey), 0.93, prefix="ceo-platform:users:more:")
    users = keys_of(client, USERS)
    told = typed("cleanup", "--yes", *GOVERNED, server=valkey)
    assert told.returncode == 1
    assert "is not reached, the rest is protected" in told.stdout.splitlines()[-1]
    assert keys_of(client, USERS) == users


def test_a_server_that_forbids_deleting_is_exit_code_3(valkey: Server, typed: Typed) -> None:
    client = fill_up(stock(valkey), 0.93)
    client.acl_setuser("clerk", enabled=True, nopass=True, categories=["+@all"], commands=["-unlink"], keys=["*"])
    keys = keys_of(client)
    told = typed("cleanup", "--yes", "--url", valkey.url.replace("redis://", "redis://clerk:any@"), *GOVERNED)
    assert told.returncode == 3
    assert told.stderr.startswith("error: ")
    assert "unlink" in told.stderr
    assert told.stdout.splitlines()[-1].endswith("not finished")
    assert keys_of(client) == keys


def test_below_the_target_there_is_nothing_to_do(valkey: Server, typed: Typed) -> None:
    client = stock(valkey)
    before = ends_of(client)
    told = typed("cleanup", "--yes", *GOVERNED, server=valkey)
    assert told.returncode == 0
    assert untouched(before, client)


def test_at_a_full_server_it_does_what_was_asked_for(valkey: Server, typed: Typed) -> None:
    client = fill_up(stock(valkey), 0.99)
    client.config_set("maxmemory", used(client) - MB // 10)
    told = typed("cleanup", "--yes", "--json", "--level", "emergency", *GOVERNED, server=valkey)
    document = json.loads(told.stdout)
    assert told.returncode == 0, told.stdout
    assert {step["stop"] for step in document["outcomes"]} <= {"all keys seen", "target reached"}
    assert used(client) < 0.8 * 25 * MB


def test_preventive_loses_nothing(valkey: Server, typed: Typed) -> None:
    client = fill_up(stock(valkey), 0.85)
    fill(client, "ceo-platform:analytics:long:", 10, 10, 86_400)
    keys = keys_of(client)
    told = typed("cleanup", "--level", "preventive", "--yes", "--json", *GOVERNED, server=valkey)
    assert told.returncode == 1
    assert json.loads(told.stdout)["retimed"] == 10
    assert keys_of(client) == keys


def test_ctrl_c_ends_it_with_130(valkey: Server) -> None:
    stock(valkey)
    valkey.freeze()
    with Running([*SPILLGATE, "cleanup", "--yes", *GOVERNED], environment(valkey)) as command:
        eventually(lambda: psutil.Process(command.process.pid).net_connections(), TIMEOUT_S)
        assert command.ends(signal.SIGINT) == 130
        assert "Traceback" not in command.log
