"""A deployment as render.yaml and the Dockerfile make it: installed from the lock, confined, and watched.

There is no container engine here, so the steps are taken without one: the same commands in a virtual environment of
their own, then the service as a user who may write nowhere, on a root file system that is read-only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
import yaml

from tests.conftest import missing
from tests.governing import EXAMPLE, keys_of
from tests.programs import Running, environment
from tests.servers import Server, ServerKind, ServerMissingError, eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src" / "spillgate" / "web" / "static"
COMPOSE = cast("dict[str, Any]", yaml.safe_load((ROOT / "compose.yaml").read_text()))
RENDER = cast("dict[str, Any]", yaml.safe_load((ROOT / "render.yaml").read_text()))["services"][1]
IMAGE = (ROOT / "Dockerfile").read_text()
SOURCES = ("LICENSE", "README.md", "hatch_build.py", "pyproject.toml", "deploy/requirements", "examples", "src")
TOKEN = "correct horse"
NOBODY = "10001"
INSTALL_S = 300.0
UNREACHABLE = re.compile(r"ConnectionError|NewConnectionError|NameResolutionError|Read timed out")


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """A folder with the project's files, and in ``venv`` what render.yaml's build makes of them."""
    if not (PAGE / "index.html").is_file():
        missing("the page is not built: make page")
    with tempfile.TemporaryDirectory(prefix="spillgate-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for source in SOURCES:
            origin, target = ROOT / source, folder / source
            target.parent.mkdir(parents=True, exist_ok=True)
            if origin.is_dir():
                shutil.copytree(origin, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(origin, target)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        done = subprocess.run(
            ["/bin/sh", "-c", RENDER["buildCommand"]],
            cwd=folder,
            env=inside(folder) | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
        if done.returncode and UNREACHABLE.search(done.stderr):
            missing("the package registry cannot be reached")
        assert done.returncode == 0, done.stdout + done.stderr
        yield folder


def inside(folder: Path, server: Server | None = None, **variables: str) -> dict[str, str]:
    """The environment in which the installed programs come first."""
    path = f"{folder / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return environment(server, PATH=path, **variables)


def confined(folder: Path, command: str) -> list[str]:
    """A command as an unprivileged user on a read-only file system, with ``folder/state`` to write to.

    The user may read all, since this Python may be installed where only root looks. Without root there is no changing
    users and mounts: then it runs as whoever tests.
    """
    state = folder / "state"
    state.mkdir(exist_ok=True)
    if os.geteuid():
        return ["sh", "-c", f"exec {command}"]
    drop = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --no-new-privs"
    drop += (
        " --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search --bounding-set=-all,+dac_read_search"
    )
    mounts = f"mount -t tmpfs -o uid={NOBODY},gid={NOBODY},mode=0750 tmpfs {state} && mount -o remount,ro,bind /"
    return ["unshare", "--mount", "sh", "-c", f"{mounts} && cd {folder} && exec {drop} {command}"]


def healthy(folder: Path, port: int) -> bool:
    """What the image's health check says of a service on this port."""
    found = re.search(r"HEALTHCHECK .*\\\n +CMD (\[.*\])", IMAGE)
    assert found
    command = [part.replace("3000", str(port)) for part in json.loads(found[1])]
    return subprocess.run(command, env=inside(folder), capture_output=True, timeout=30, check=False).returncode == 0


def test_it_installs_what_was_locked_and_no_more(installed: Path) -> None:
    python = installed / "venv" / "bin" / "python"
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True)
    versions = {one["name"].lower().replace("_", "-"): one["version"] for one in json.loads(listed.stdout)}
    pins = re.findall(r"^([a-z0-9-]+)==([^ ;]+) \\$", (ROOT / "deploy/requirements/run.txt").read_text(), re.MULTILINE)
    assert versions.items() >= set(pins)
    assert not versions.keys() & {"pytest", "ruff", "playwright", "django"}
    subprocess.run([python, "-m", "pip", "check"], check=True, capture_output=True)


@pytest.mark.requires("unshare", "setpriv", "mount")
def test_the_service_runs_confined_and_outlives_redis(installed: Path, valkey: Server) -> None:
    port = free_port()
    variables = {one["key"]: one["value"] for one in RENDER["envVars"] if "value" in one}
    variables |= {"PORT": str(port), "SPILLGATE_TOKEN": TOKEN, "SPILLGATE_MONITOR_INTERVAL": "200ms"}
    variables |= {"SPILLGATE_HISTORY": str(installed / "state" / "history.db"), "SPILLGATE_LIMIT": "25MB"}
    command = confined(installed, RENDER["startCommand"])
    with (
        Running(command, inside(installed, valkey, **variables)) as service,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):
        service.awaits("connected to")
        assert eventually(lambda: client.get("/readyz").status_code == 200)
        assert "<title>" in client.get("/").text
        assert client.get("/metrics").status_code == 200
        assert client.get("/api/state").json()["history"] == {"file": True, "error": None}
        uid = Path(f"/proc/{service.process.pid}/status").read_text().partition("Uid:\t")[2].split()[0]
        assert uid == (NOBODY if os.geteuid() == 0 else str(os.geteuid()))
        assert healthy(installed, port)

        valkey.kill()
        assert eventually(lambda: client.get("/readyz").status_code == 503)
        assert healthy(installed, port), "a restart of the governor would not bring Redis back"
        assert service.ends(signal.SIGTERM) == 0
        assert not healthy(installed, port)


def test_the_image_s_command_refuses_to_listen_without_a_token(installed: Path, valkey: Server) -> None:
    command = json.loads(re.findall(r"^CMD (\[.*\])$", IMAGE, re.MULTILINE)[-1])
    done = subprocess.run(
        [installed / "venv" / "bin" / "spillgate", *command],
        env=inside(installed, valkey),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, "set SPILLGATE_TOKEN" in done.stderr) == (2, True)


@pytest.fixture(scope="module")
def chat() -> Iterator[tuple[httpx.Client, Server]]:
    """The application of compose.yaml, as it is started there, on a server as it is started there."""
    try:
        server = Server(ServerKind.VALKEY_9_1, maxmemory="25mb", maxmemory_policy="noeviction")
    except ServerMissingError as error:
        missing(str(error))
    port = str(free_port())
    swapped = {"/app": str(ROOT / "examples"), "8000": port}
    entrypoint = cast("list[str]", COMPOSE["services"]["app"]["entrypoint"])
    command = [sys.executable, "-W", "error", "-m", *(swapped.get(part, part) for part in entrypoint)]
    with (
        server,
        Running(command, environment(server, SPILLGATE_CONFIG=str(EXAMPLE))) as app,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):

        def answers() -> bool:
            with contextlib.suppress(httpx.ConnectError):
                return client.get("/livez").text == "ok"
            return False

        eventually(answers, 20)
        yield client, server
        assert app.ends(signal.SIGTERM) == -signal.SIGTERM  # which is how uvicorn ends when told to
        assert "Traceback" not in app.log


class TestExampleApplication:
    def test_what_is_said_is_heard(self, chat: tuple[httpx.Client, Server]) -> None:
        client, server = chat
        for text in ("hello", "is anybody there?"):
            assert client.post("/channels/lobby", params={"text": text}).status_code == 201
        assert [one["text"] for one in client.get("/channels/lobby").json()] == ["hello", "is anybody there?"]
        assert client.get("/channels/empty").json() == []
        keys = keys_of(server.client())
        assert {key.split(b":")[1] for key in keys} == {b"messages", b"channels"}
        assert all(server.client().pttl(key) > 0 for key in keys)

    def test_a_flood_fills_the_memory(self, chat: tuple[httpx.Client, Server]) -> None:
        client, server = chat
        before = server.client().dbsize()
        assert client.post("/flood?messages=1000").json() == {"written": 1000, "refused": 0}
        assert server.client().dbsize() == before + 1000

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("/flood", "messages: expected 1 to 200000"),
            ("/flood?messages=-1", "messages: expected 1 to 200000"),
            ("/channels/lobby", "text: expected 1 to 4000 characters, got 0"),
        ],
    )
    def test_mistakes_are_told(self, chat: tuple[httpx.Client, Server], path: str, said: str) -> None:
        answer = chat[0].post(path)
        assert (answer.status_code, said in answer.json()["error"]) == (422, True)
