"""``spillgate run``: its signals, its errors, and that it guards."""

from __future__ import annotations

import json
import signal
import socket
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.governing import EXAMPLE, MB, NAMESPACES, keys_of, used
from tests.programs import GOVERNED, HEALTH, ends_of, fill_up, running, spillgate, stock, untouched
from tests.servers import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Typed
    from tests.servers import Server

SECRET = "hunter2"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals, valkey: Server) -> None:
    client = stock(valkey)
    url = valkey.url.replace("redis://", f"redis://default:{SECRET}@")
    with running("--json", *GOVERNED, "--url", url) as governor:
        assert governor.becomes("healthy").code == 200
        assert governor.ends(number) == 0
        lines = [json.loads(line) for line in governor.log.splitlines()]
        assert {"time", "level", "message"} <= set.intersection(*(set(line) for line in lines))
        assert next(line["event"] for line in lines if "event" in line) == "started"
        assert lines[-1]["event"] == "stopped"
        assert "redis://default:***@" in lines[0]["message"]
        last = json.loads(governor.output)
        assert (last["level"], last["keys"]) == ("normal", 612)
        assert SECRET not in governor.log + governor.output
    assert eventually(lambda: client.info("clients")["connected_clients"] == 1)


def test_it_guards_in_little_memory_and_a_dry_run_only_tells(valkey: Server) -> None:
    client = fill_up(stock(valkey), 0.93)
    before = ends_of(client)
    with running("--dry-run", *GOVERNED, server=valkey) as governor:
        log = governor.awaits("would have deleted")
        assert "dry run: nothing will be deleted or re-timed" in log
        assert governor.get().redis["dryRun"] is True
        assert governor.ends(signal.SIGTERM) == 0
    assert untouched(before, client)
    with running(*GOVERNED, server=valkey) as governor:
        assert "deleted 200 of analytics" in governor.awaits("trim messages (")
        eventually(lambda: used(client) < 0.8 * 25 * MB)
        assert governor.get().code == 200
        assert psutil.Process(governor.process.pid).memory_info().rss < 72_000_000
        assert governor.ends(signal.SIGTERM) == 0
    assert keys_of(client, "ceo-platform:analytics:*") == set()
    for pattern, count in (("ceo-platform:users:*", 300), ("elsewhere:*", 12)):
        assert len(keys_of(client, pattern)) == count


def test_sighup_reads_the_policy_again(valkey: Server, tmp_path: Path) -> None:
    stock(valkey)
    policy = tmp_path / "spillgate.toml"
    policy.write_text(NAMESPACES)
    with running("--config", str(policy), server=valkey) as governor:
        assert "app:sessions:" in governor.becomes("healthy").redis["keys"]["byNamespace"]
        policy.write_text(NAMESPACES + '\n[[namespace]]\nname = "users"\nkeys = "ceo-platform:users:*"\n')
        governor.process.send_signal(signal.SIGHUP)
        governor.awaits("policy reloaded: 6 namespaces")
        names = eventually(lambda: _counted(governor.get().redis, "ceo-platform:users:"))
        assert names["ceo-platform:users:"] == 300
        assert governor.ends(signal.SIGTERM) == 0
        assert "restarted" not in governor.log


def test_sighup_with_a_bad_file_changes_nothing_and_says_so(valkey: Server, tmp_path: Path) -> None:
    stock(valkey)
    policy = tmp_path / "spillgate.toml"
    good = f'[server]\nurl = "{valkey.url}"\n{NAMESPACES}'
    policy.write_text(good)
    with running("--config", str(policy)) as governor:
        names = governor.becomes("healthy").redis["keys"]["byNamespace"].keys()
        for count, (text, said) in enumerate(
            [
                ('[server]\nlimit = "much"', f"{policy}: server.limit: expected a size"),
                ("cleanup = ", f"{policy}: is not valid TOML"),
                (good.replace("127.0.0.1", "localhost"), "the server's address cannot change while running"),
            ],
            start=1,
        ):
            policy.write_text(text)
            governor.process.send_signal(signal.SIGHUP)
            log = governor.awaits("policy not reloaded, the old one stays in force: ", count)
            assert said in log.splitlines()[-1]
        assert governor.get().redis["keys"]["byNamespace"].keys() == names
        policy.unlink()
        governor.process.send_signal(signal.SIGHUP)
        governor.awaits("cannot be read: No such file or directory")
        assert governor.ends(signal.SIGTERM) == 0


def _counted(redis: dict[str, dict[str, dict[str, int]]], prefix: str) -> dict[str, int]:
    """The keys by namespace once they have ``prefix``."""
    names = redis["keys"]["byNamespace"]
    return names if names.get(prefix) else {}


def test_it_ends_when_the_governor_cannot_go_on(valkey: Server) -> None:
    with running(server=valkey) as governor:
        assert governor.ends() == 2
        assert governor.log.splitlines()[-1].startswith("error: The memory limit is unknown")
        assert "Traceback" not in governor.log


def test_a_port_in_use_is_a_clear_error(typed: Typed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = typed("run", "--port", str(port))
    assert told.returncode == 2
    assert told.stderr == (
        f"error: command line: --port: port {port} of 127.0.0.1 is in use: choose another, or 0 for a free one\n"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost.example"])  # noqa: S104 - that it is refused
def test_an_address_that_others_reach_needs_a_token(host: str, typed: Typed) -> None:
    told = typed("run", "--host", host, "--port", "0")
    assert told.returncode == 2
    assert told.stderr.startswith(f"error: command line: --host: {host} can be reached from other machines")


def test_with_a_token_or_insecure_it_binds_anywhere_and_answers_to_any_name(valkey: Server, typed: Typed) -> None:
    stock(valkey)
    with running("--host", "0.0.0.0", "--insecure", server=valkey) as governor:  # noqa: S104
        port = governor.base_url.rsplit(":", 1)[1]
        assert governor.get("/livez", host=f"spillgate.example:{port}").code == 200
        # Past the question of who may reach it: what is refused now is the port.
        told = typed("run", "--host", "0.0.0.0", "--port", port, SPILLGATE_TOKEN=SECRET)  # noqa: S104
    assert (told.returncode, f"port {port} of 0.0.0.0 is in use" in told.stderr) == (2, True)
    assert SECRET not in told.stderr


def test_without_the_web_extra_and_a_policy_it_says_so_and_runs_with_no_web(valkey: Server, tmp_path: Path) -> None:
    stock(valkey)
    (tmp_path / "starlette").mkdir()
    (tmp_path / "starlette" / "__init__.py").write_text('raise ModuleNotFoundError("No module", name="starlette")')
    told = spillgate("run", server=valkey, PYTHONPATH=str(tmp_path))
    assert told.returncode == 2
    assert "pip install 'spillgate[web]'" in told.stderr
    with running("--no-web", server=valkey, PYTHONPATH=str(tmp_path)) as governor:
        assert "no namespace is registered, so every key is protected" in governor.awaits("level normal")
        governor.process.send_signal(signal.SIGHUP)
        governor.awaits("nothing to reload: there is no policy file")
        assert governor.ends(signal.SIGTERM) == 0
        assert HEALTH not in governor.log


def test_embedded_governs_a_server_of_its_own_and_takes_it_along(typed: Typed) -> None:
    with running("--embedded", "--limit", "25MB", "--config", str(EXAMPLE)) as governor:
        memory = governor.becomes("healthy").redis["memory"]
        assert (memory["limit"], memory["planLimitBytes"]) == ("23MB", 25 * MB)
        children = psutil.Process(governor.process.pid).children()
        assert [child.name() for child in children] == ["valkey-server"]
        assert "embedded Valkey of 25MB at redis://127.0.0.1:" in governor.log
        assert governor.ends(signal.SIGINT) == 0
        assert not any(child.is_running() for child in children)
        assert "error" not in governor.log
    told = typed("run", "--embedded", "--no-web")
    assert told.returncode == 2
    assert "pass --limit 25MB" in told.stderr
    assert typed("run", "--embedded", "--url", "redis://127.0.0.1").returncode == 2
