"""``spillgate status`` and ``spillgate tick``."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.governing import MB, fill, keys_of, used
from tests.programs import GOVERNED, SPILLGATE, ends_of, environment, fill_up, spillgate, stock, untouched

if TYPE_CHECKING:
    from tests.acceptance.conftest import Typed
    from tests.conftest import ServerFactory
    from tests.servers import Server

SECRET = "hunter2"


def lines_of(output: str) -> dict[str, str]:
    """The lines by their first word."""
    return {line.split()[0]: line for line in output.splitlines() if line.strip()}


def test_status_tells_what_fills_the_server_and_changes_nothing(server: Server) -> None:
    client = stock(server)
    client.set("ceo-platform:analytics:eternal", "without a TTL")
    before = ends_of(client)
    told = spillgate("status", *GOVERNED, server=server)
    assert (told.returncode, told.stderr) == (0, "")
    lines = lines_of(told.stdout)
    assert lines["server"].startswith(f"server    {server.url}, ")
    assert lines["level"] == "level     normal"
    assert lines["memory"].endswith("below the ceiling of 23MB")
    assert lines["forecast"] == "forecast  memory is not growing"
    assert lines["keys"] == "keys      613, 12 of them in no namespace and so protected"
    assert lines["analytics"].split()[:2] == ["analytics", "201"]
    assert lines["analytics"].split()[3:] == ["1", "clear", "1", "ceo-platform:analytics:*"]
    assert lines["users"].split()[-3:] == ["never", "(protected)", "ceo-platform:users:*"]
    assert untouched(before, client)


def test_status_as_json_agrees_with_the_server(server: Server, typed: Typed) -> None:
    client = stock(server)
    told = typed("status", "--json", *GOVERNED, server=server)
    status = json.loads(told.stdout)
    assert (told.returncode, told.stderr) == (0, "")
    assert abs(status["used_bytes"] - used(client)) < MB / 4
    assert (status["limit_bytes"], status["ceiling_bytes"]) == (25 * MB, 23 * MB)
    assert status["available_bytes"] == 23 * MB - status["used_bytes"]
    assert status["pressure"] == round(status["used_bytes"] / (25 * MB), 4)
    assert (status["level"], status["status"], status["error"]) == ("normal", "healthy", None)
    assert status["server"]["product"] == ("valkey" if "valkey" in server.kind else "redis")
    assert status["unregistered_keys"] == {"value": 12, "low": 12, "high": 12}
    counted = {row["name"]: row["keys"]["value"] for row in status["namespaces"] if row["keys"]["value"]}
    assert counted == {"analytics": 200, "messages": 100, "users": 300}
    assert 0 < sum(row["bytes"]["value"] for row in status["namespaces"]) < status["used_bytes"]


def test_status_at_emergency_ends_with_1(valkey: Server, typed: Typed) -> None:
    fill_up(stock(valkey), 0.9)
    told = typed("status", *GOVERNED, server=valkey)
    assert told.returncode == 1
    assert lines_of(told.stdout)["level"] == "level     emergency"


def test_status_tells_how_fast_memory_fills(valkey: Server, typed: Typed) -> None:
    client = stock(valkey)
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.wait(0.01):
            fill(client, f"ceo-platform:messages:{number}:", 20, 700)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        told = typed("status", *GOVERNED, server=valkey)
        status = json.loads(typed("status", "--json", *GOVERNED, server=valkey).stdout)
    finally:
        done.set()
        writer.join()
    assert "/s coming in, at the limit in " in lines_of(told.stdout)["forecast"]
    assert status["fill_bytes_s"] > 10_000
    assert 0 < status["time_to_limit_s"] <= 25 * MB / status["fill_bytes_s"]


def test_without_a_policy_everything_is_protected_and_status_says_so(valkey: Server, typed: Typed) -> None:
    stock(valkey)
    told = typed("status", server=valkey)
    assert told.returncode == 0
    assert lines_of(told.stdout)["keys"].endswith("612 of them in no namespace and so protected")
    assert "no namespace is registered, so every key is protected" in told.stdout


def test_what_a_server_forbids_is_named_with_its_cost(valkey: Server, typed: Typed) -> None:
    client = stock(valkey)
    client.acl_setuser("looker", enabled=True, passwords=[f"+{SECRET}"], commands=["+info", "+ping"])
    url = valkey.url.replace("redis://", f"redis://looker:{SECRET}@")
    told = typed("status", "--url", url, *GOVERNED)
    assert told.returncode == 0, told.stderr
    assert "not available: SCAN: keys cannot be visited" in told.stdout
    assert "not available: MEMORY USAGE" in told.stdout
    assert "redis://looker:***@" in told.stdout
    assert SECRET not in told.stdout + told.stderr
    assert lines_of(told.stdout)["users"].split()[:3] == ["users", "unknown", "unknown"]


def test_a_tick_cleans_up_and_ends_with_1(valkey: Server, typed: Typed) -> None:
    client = fill_up(stock(valkey), 0.9)
    protected = keys_of(client, "ceo-platform:users:*") | keys_of(client, "elsewhere:*")
    told = typed("tick", *GOVERNED, server=valkey)
    assert (told.returncode, told.stderr) == (1, "")
    assert "deleted 200 of analytics" in told.stdout
    assert used(client) < 0.8 * 25 * MB
    assert protected <= keys_of(client)
    assert keys_of(client, "ceo-platform:analytics:*") == set()


def test_a_dry_tick_tells_and_changes_nothing(valkey: Server, typed: Typed) -> None:
    client = fill_up(stock(valkey), 0.9)
    before = ends_of(client)
    told = typed("tick", "--dry-run", "--json", *GOVERNED, server=valkey)
    document = json.loads(told.stdout)
    assert told.returncode == 1
    assert document["dry_run"] is True
    assert document["totals"]["deleted"] == 0
    assert any("would have deleted 200 of analytics" in entry["message"] for entry in document["journal"])
    assert untouched(before, client)


def test_a_calm_tick_ends_with_0(valkey: Server, typed: Typed) -> None:
    stock(valkey)
    told = typed("tick", *GOVERNED, server=valkey)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1] == "nothing had to be done"


def test_an_unknown_limit_is_an_error_that_says_what_to_do(valkey: Server, typed: Typed) -> None:
    for command in ("status", "tick"):
        told = typed(command, server=valkey)
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr.startswith("error: The memory limit is unknown")
        assert "--limit 25MB" in told.stderr
        assert told.stderr.count("\n") == 1
    assert typed("tick", "--limit", "25MB", server=valkey).returncode == 0
    assert typed("tick", "--limit", "1MB", server=valkey).returncode == 1, "the flag decides"
    assert typed("tick", server=valkey, SPILLGATE_LIMIT="25MB").returncode == 0


@pytest.mark.parametrize("arguments", [("status",), ("tick",), ("cleanup", "--yes")])
def test_an_unreachable_server_is_exit_code_3(arguments: tuple[str, ...], typed: Typed) -> None:
    url = f"redis://somebody:{SECRET}@127.0.0.1:1/0"
    told = typed(*arguments, "--json", *GOVERNED, REDIS_URL=url)
    assert told.returncode == 3
    assert told.stderr.startswith("error: redis://somebody:***@127.0.0.1:1/0: ")
    assert told.stderr.count("\n") == 1
    assert "somebody:***@" in json.loads(told.stdout)["error"]
    assert SECRET not in told.stdout + told.stderr


def test_a_missing_and_a_wrong_password_are_told_without_showing_one(
    server_factory: ServerFactory, typed: Typed
) -> None:
    server = server_factory(requirepass=SECRET, maxmemory="25mb")
    for url in (server.url.replace(f":{SECRET}@", ""), server.url.replace(SECRET, "wr0ng")):
        told = typed("status", "--url", url)
        assert (told.returncode, told.stdout) == (3, "")
        assert "password" in told.stderr.lower()
        assert "wr0ng" not in told.stderr
    told = typed("status", server=server)
    assert told.returncode == 0, told.stderr
    assert f"redis://:***@127.0.0.1:{server.port}/0" in told.stdout
    assert SECRET not in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--limit", "25XB"), 'error: command line: --limit: expected a size such as "25MB"'),
        (("--url", f"http://me:{SECRET}@host"), "error: command line: --url: expected a URL such as redis://"),
        (("--url", "redis+cluster://host:1"), "error: redis+cluster://host:1: only redis://, rediss:// and unix://"),
        (("--config", "no/such.toml"), "error: no/such.toml: cannot be read: No such file or directory"),
    ],
)
def test_bad_configuration_is_one_line_and_exit_code_2(arguments: tuple[str, ...], said: str, typed: Typed) -> None:
    for command in (("status",), ("tick",), ("run",), ("cleanup", "--yes")):
        told = typed(*command, *arguments)
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr.startswith(said), told.stderr
        assert told.stderr.count("\n") == 1
        assert SECRET not in told.stderr


def test_an_error_is_a_document_too_where_one_is_expected(typed: Typed) -> None:
    told = typed("status", "--json", "--limit", "much")
    assert told.returncode == 2
    assert json.loads(told.stdout)["kind"] == "ConfigError"
    assert json.loads(told.stdout)["error"] in told.stderr


def test_what_cannot_be_typed_is_exit_code_2(typed: Typed) -> None:
    for arguments in ((), ("frobnicate",), ("status", "--frobnicate"), ("run", "--port", "many")):
        told = typed(*arguments)
        assert told.returncode == 2
        assert "Usage: spillgate" in told.stdout + told.stderr
    assert typed("--version").stdout.startswith("spillgate 0.")


def test_every_command_has_the_common_options_and_says_what_it_does(typed: Typed) -> None:
    for command in ("status", "tick", "run", "cleanup"):
        told = typed(command, "--help")
        assert told.returncode == 0
        for option in ("--url", "--config", "--limit", "--json"):
            assert option in told.stdout
    assert "[[namespace]]" in typed("run", "--help").stdout


def test_a_closed_pipe_is_no_traceback(valkey: Server) -> None:
    stock(valkey)
    there, here = os.pipe()
    os.close(there)
    told = subprocess.run(
        [*SPILLGATE, "status"], env=environment(valkey), stdout=here, stderr=subprocess.PIPE, timeout=30, check=False
    )
    os.close(here)
    assert b"Traceback" not in told.stderr
    assert told.returncode == 1
