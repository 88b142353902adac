"""``spillgate status`` and ``spillgate tick``."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.governing import MB, fill, keys_of, used
from tests.programs import GOVERNED, environment, spillgate

if TYPE_CHECKING:
    import redis

    from tests.conftest import ServerFactory
    from tests.servers import Server

SECRET = "hunter2"


def prepare(server: Server, messages: int) -> redis.Redis:
    """A server of 25 MB that holds some of everything; 22,500 messages bring it to emergency."""
    client = server.client()
    client.config_set("maxmemory", 25 * MB)
    fill(client, "ceo-platform:users:", 300, 500, None)
    fill(client, "ceo-platform:analytics:", 200, 500)
    fill(client, "ceo-platform:messages:", messages, 700, 1800)
    fill(client, "elsewhere:", 12, 10, None)
    return client


def ttls(client: redis.Redis) -> dict[bytes, int]:
    return {key: client.ttl(key) for key in sorted(keys_of(client, "*:1*"))}


def test_status_tells_what_fills_the_server_and_changes_nothing(server: Server) -> None:
    client = prepare(server, 100)
    client.set("ceo-platform:analytics:eternal", "without a TTL")
    before = keys_of(client), ttls(client)
    told = spillgate("status", *GOVERNED, server=server)
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    lines = {line.split()[0]: line for line in told.stdout.splitlines() if line.strip()}
    assert lines["level"].split() == ["level", "normal"]
    assert lines["memory"].endswith("the ceiling of 23MB")
    assert lines["keys"].split(maxsplit=1)[1] == "613, 12 of them in no namespace and so protected"
    assert lines["analytics"].split()[:2] == ["analytics", "201"]
    assert lines["analytics"].split()[-3:] == ["clear", "1", "ceo-platform:analytics:*"]
    assert "never (protected)" in lines["users"]
    after = ttls(client)
    assert keys_of(client) == before[0]
    assert client.ttl("ceo-platform:analytics:eternal") == -1
    assert all(before[1][key] - 30 <= left <= before[1][key] for key, left in after.items())


def test_status_as_json_agrees_with_the_server(server: Server) -> None:
    client = prepare(server, 100)
    told = spillgate("status", "--json", *GOVERNED, server=server)
    status = json.loads(told.stdout)
    assert told.returncode == 0
    assert abs(status["used_bytes"] - used(client)) < MB / 4
    assert (status["limit_bytes"], status["ceiling_bytes"]) == (25 * MB, 23 * MB)
    assert status["available_bytes"] == 23 * MB - status["used_bytes"]
    assert status["pressure"] == round(status["used_bytes"] / (25 * MB), 4)
    assert (status["level"], status["status"], status["error"]) == ("normal", "healthy", None)
    assert status["server"]["product"] == ("valkey" if "valkey" in server.kind else "redis")
    assert status["unregistered_keys"] == {"value": 12, "low": 12, "high": 12}
    counted = {row["name"]: row["keys"]["value"] for row in status["namespaces"] if row["keys"]["value"]}
    assert counted == {"analytics": 200, "messages": 100, "users": 300}
    sizes = [row["bytes"]["value"] for row in status["namespaces"]]
    assert 0 < sum(sizes) < status["used_bytes"]


def test_status_at_emergency_ends_with_1(valkey: Server) -> None:
    prepare(valkey, 23_500)
    told = spillgate("status", *GOVERNED, server=valkey)
    assert told.returncode == 1
    assert "level     emergency" in told.stdout


def test_status_tells_how_fast_memory_fills(valkey: Server) -> None:
    client = prepare(valkey, 100)
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.wait(0.01):
            fill(client, f"ceo-platform:messages:{number}:", 20, 700)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        told = spillgate("status", *GOVERNED, server=valkey)
        status = json.loads(spillgate("status", "--json", *GOVERNED, server=valkey).stdout)
    finally:
        done.set()
        writer.join()
    assert "/s coming in, at the limit in" in told.stdout
    assert status["fill_bytes_s"] > 10_000
    assert 0 < status["time_to_limit_s"] <= 25 * MB / status["fill_bytes_s"]


def test_without_a_policy_everything_is_protected_and_status_says_so(valkey: Server) -> None:
    prepare(valkey, 100)
    told = spillgate("status", server=valkey)
    assert told.returncode == 0
    assert "612 of them in no namespace" in told.stdout
    assert "no namespace is registered, so every key is protected" in told.stdout


def test_what_a_server_forbids_is_named_with_its_cost(valkey: Server) -> None:
    client = prepare(valkey, 100)
    client.acl_setuser("looker", enabled=True, passwords=[f"+{SECRET}"], commands=["+info", "+ping"])
    url = valkey.url.replace("redis://", f"redis://looker:{SECRET}@")
    told = spillgate("status", "--url", url, *GOVERNED)
    assert told.returncode == 0, told.stderr
    assert "not available: SCAN: keys cannot be visited" in told.stdout
    assert "not available: MEMORY USAGE" in told.stdout
    assert "looker:***@" in told.stdout
    assert SECRET not in told.stdout + told.stderr
    assert "users       unknown" in " ".join(told.stdout.split(" " * 6)) or "unknown" in told.stdout


def test_a_tick_cleans_up_and_ends_with_1(valkey: Server) -> None:
    client = prepare(valkey, 23_500)
    protected = keys_of(client, "ceo-platform:users:*") | keys_of(client, "elsewhere:*")
    told = spillgate("tick", *GOVERNED, server=valkey)
    assert told.returncode == 1, told.stderr
    assert "action: clear analytics" in told.stdout
    assert used(client) < 0.8 * 25 * MB
    assert protected <= keys_of(client)
    assert keys_of(client, "ceo-platform:analytics:*") == set()


def test_a_dry_tick_tells_and_changes_nothing(valkey: Server) -> None:
    client = prepare(valkey, 23_500)
    before = keys_of(client), ttls(client)
    told = spillgate("tick", "--dry-run", "--json", *GOVERNED, server=valkey)
    document = json.loads(told.stdout)
    assert told.returncode == 1
    assert document["dry_run"] is True
    assert any("would have deleted 200 of analytics" in entry["message"] for entry in document["journal"])
    after = ttls(client)
    assert keys_of(client) == before[0]
    assert all(before[1][key] - 30 <= left <= before[1][key] for key, left in after.items())


def test_a_calm_tick_ends_with_0(valkey: Server) -> None:
    prepare(valkey, 100)
    told = spillgate("tick", *GOVERNED, server=valkey)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1] == "nothing had to be done"


def test_an_unknown_limit_is_an_error_that_says_what_to_do(valkey: Server) -> None:
    for command in ("status", "tick"):
        told = spillgate(command, server=valkey)
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr.startswith("error: The memory limit is unknown")
        assert "--limit 25MB" in told.stderr
        assert told.stderr.count("\n") == 1
    assert spillgate("status", "--limit", "25MB", server=valkey).returncode == 0


@pytest.mark.parametrize("arguments", [("status",), ("tick",), ("cleanup", "--yes")])
def test_an_unreachable_server_is_exit_code_3(arguments: tuple[str, ...]) -> None:
    url = f"redis://somebody:{SECRET}@127.0.0.1:1/0"
    told = spillgate(*arguments, "--json", *GOVERNED, REDIS_URL=url)
    assert told.returncode == 3
    assert told.stderr.startswith("error: redis://somebody:***@127.0.0.1:1/0: ")
    assert told.stderr.count("\n") == 1
    assert "127.0.0.1:1" in json.loads(told.stdout)["error"]
    assert SECRET not in told.stdout + told.stderr


def test_a_missing_and_a_wrong_password_are_told_without_showing_one(server_factory: ServerFactory) -> None:
    server = server_factory(requirepass=SECRET, maxmemory="25mb")
    bare = server.url.replace(f":{SECRET}@", "")
    for url in (bare, server.url.replace(SECRET, "wr0ng")):
        told = spillgate("status", "--url", url)
        assert (told.returncode, told.stdout) == (3, "")
        assert "password" in told.stderr.lower() or "authentication" in told.stderr.lower(), told.stderr
        assert "wr0ng" not in told.stderr
    told = spillgate("status", server=server)
    assert told.returncode == 0, told.stderr
    assert f"redis://:***@127.0.0.1:{server.port}/0" in told.stdout
    assert SECRET not in told.stdout + told.stderr


def test_a_closed_pipe_is_no_traceback(valkey: Server) -> None:
    prepare(valkey, 100)
    command = "spillgate_status | head -c 1".replace("spillgate_status", "python -W error -m spillgate.cli status")
    told = subprocess.run(
        ["bash", "-c", command], env=environment(valkey), capture_output=True, text=True, timeout=30, check=False
    )
    assert "Traceback" not in told.stderr
