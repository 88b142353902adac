"""Spillgate as its users start it: the real program, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from tests.governing import EXAMPLE
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers import Server

SPILLGATE = [sys.executable, "-W", "error", "-m", "spillgate.cli"]
GOVERNED = ("--config", str(EXAMPLE))
HEALTH = "/health/redis-memory"
TIMEOUT_S = 30.0
_OURS = re.compile(r"SPILLGATE_|REDIS_URL|NO_COLOR|FORCE_COLOR|COLUMNS")
_HEALTH_AT = re.compile(rf"http://\S+(?={HEALTH})")


class Answer(NamedTuple):
    """An HTTP response."""

    code: int
    headers: Message
    body: str

    @property
    def redis(self) -> dict[str, Any]:
        """The health document, without its outermost key."""
        return cast("dict[str, dict[str, Any]]", json.loads(self.body))["redis"]


def environment(server: Server | None = None, **variables: str) -> dict[str, str]:
    """This environment without what Spillgate reads from it, then with ``server`` and ``variables``."""
    kept = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    return kept | ({"REDIS_URL": server.url} if server else {}) | variables


def spillgate(
    *arguments: str, server: Server | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, outside of any terminal."""
    return subprocess.run(
        [*SPILLGATE, *arguments],
        env=environment(server, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


class Running:
    """A program that runs until it is told to stop, or the block ends. Its stderr is its ``log``."""

    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        self._stdout, self._stderr = tempfile.TemporaryFile("w+"), tempfile.NamedTemporaryFile("r")  # noqa: SIM115
        with Path(self._stderr.name).open("w") as stderr:
            self.process = subprocess.Popen(
                command, env=dict(env), stdin=subprocess.DEVNULL, stdout=self._stdout, stderr=stderr
            )
        self._base_url: str | None = None

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._stdout.close()
        self._stderr.close()

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return Path(self._stderr.name).read_text()

    @property
    def output(self) -> str:
        """What it wrote to stdout so far."""
        self._stdout.seek(0)
        return self._stdout.read()

    def awaits(self, text: str, count: int = 1) -> str:
        """Wait until its log has ``text`` so many times; return the log."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.log.count(text) < count:
            ended = self.process.poll()
            assert ended is None, f"ended with {ended} before it said {text!r}:\n{self.log}"
            assert time.monotonic() < deadline, f"never said {text!r}:\n{self.log}"
            time.sleep(0.01)
        return self.log

    def ends(self, number: signal.Signals | None = None) -> int:
        """Send a signal, where one is given, and wait for the exit code."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(TIMEOUT_S)

    @property
    def base_url(self) -> str:
        """Where it says that it serves HTTP."""
        if self._base_url is None:
            found = _HEALTH_AT.search(self.awaits(HEALTH))
            assert found
            self._base_url = found[0]
        return self._base_url

    def get(self, path: str = HEALTH, *, method: str = "GET", host: str | None = None) -> Answer:
        """One request."""
        return get(self.base_url + path, method=method, host=host)

    def becomes(self, status: str, timeout_s: float = 15.0) -> Answer:
        """Wait until the health document has this status."""

        def answer() -> Answer | None:
            latest = self.get()
            return latest if latest.redis["status"] == status else None

        return eventually(answer, timeout_s)


def get(url: str, *, method: str = "GET", host: str | None = None) -> Answer:
    """One HTTP request, whatever the code of its response."""
    request = urllib.request.Request(url, method=method, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return Answer(response.status, response.headers, response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read().decode())


def running(*arguments: str, server: Server | None = None, **variables: str) -> Running:
    """Start ``spillgate run`` on a free port, looking five times a second."""
    hurry = {"SPILLGATE_MONITOR_INTERVAL": "200ms"}
    return Running([*SPILLGATE, "run", "--port", "0", *arguments], environment(server, **(hurry | variables)))
