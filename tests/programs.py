"""Spillgate as its users start it: the real program, in a process of its own."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from tests.governing import EXAMPLE, MB, fill, keys_of, used
from tests.servers import eventually

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
    from email.message import Message

    import redis

    from tests.servers import Server

SPILLGATE = [sys.executable, "-W", "error", "-m", "spillgate.cli"]
GOVERNED = ("--config", str(EXAMPLE))
HEALTH = "/health/redis-memory"
TIMEOUT_S = 30.0
FOREIGN = re.compile(r"SPILLGATE_|REDIS_URL|NO_COLOR|FORCE_COLOR|COLUMNS|PYTHONDONTWRITEBYTECODE")
"""Variables that would reach into a test from outside; without the last one programs start twice as fast."""
_HEALTH_AT = re.compile(rf"http://\S+(?={HEALTH})")


def stock(server: Server) -> redis.Redis:
    """Make it a server of 25 MB that holds some of everything, and return a client of it."""
    client = server.client()
    client.config_set("maxmemory", 25 * MB)
    fill(client, "ceo-platform:users:", 300, 500, None)
    fill(client, "ceo-platform:analytics:", 200, 500, 900)
    fill(client, "ceo-platform:messages:", 100, 700, 1800)
    fill(client, "elsewhere:", 12, 10, None)
    return client


def fill_up(client: redis.Redis, share: float, prefix: str = "ceo-platform:messages:more:") -> redis.Redis:
    """Write keys until this share of 25 MB is used, and return the client.

    No more than 30 MB of them: where a governor cleans up as fast as they come, the share is never reached.
    """
    number = 0
    while used(client) < share * 25 * MB and number < 200:
        fill(client, f"{prefix}{number}:", 50, 3000, 1800)
        number += 1
    return client


def commands_of(client: redis.Redis) -> dict[str, int]:
    """How often each command was called, INFO and CONFIG apart, which this question and a test send themselves."""
    stats = client.info("commandstats")
    assert isinstance(stats, dict)
    return {
        name: row["calls"] for name, row in stats.items() if name not in {"cmdstat_info", "cmdstat_config|resetstat"}
    }


def ends_of(client: redis.Redis) -> dict[bytes, float]:
    """When each key ends, in Unix seconds; infinity where it never does."""
    keys = sorted(keys_of(client))
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.pttl(key)
    now_s = time.time()
    return {key: now_s + left / 1000 if left >= 0 else math.inf for key, left in zip(keys, pipe.execute(), strict=True)}


def untouched(before: dict[bytes, float], client: redis.Redis) -> bool:
    """Whether no key was deleted and none re-timed, by a minute or more, since `ends_of` said ``before``."""
    after = ends_of(client)
    return before.keys() == after.keys() and all(
        end == after[key] or abs(end - after[key]) < 60 for key, end in before.items()
    )


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
    kept = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    return kept | ({"REDIS_URL": server.url} if server else {}) | variables


def spillgate(*arguments: str, server: Server | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
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

    def get(
        self,
        path: str = HEALTH,
        *,
        method: str = "GET",
        host: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request."""
        return get(self.base_url, path, method=method, host=host, headers=headers, body=body)

    def becomes(self, status: str, timeout_s: float = 15.0) -> Answer:
        """Wait until the health document has this status."""

        def answer() -> Answer | None:
            latest = self.get()
            return latest if latest.redis["status"] == status else None

        found = eventually(answer, timeout_s)
        assert found
        return found


def get(
    base_url: str,
    path: str,
    *,
    method: str = "GET",
    host: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """One HTTP request, whatever the code of its response."""
    named = dict(headers or {}) | ({"Host": host} if host else {})
    with closing(HTTPConnection(base_url.removeprefix("http://"), timeout=10)) as connection:
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())


def running(*arguments: str, server: Server | None = None, **variables: str) -> Running:
    """Start ``spillgate run`` on a free port, looking five times a second."""
    hurry = {"SPILLGATE_MONITOR_INTERVAL": "200ms"}
    return Running([*SPILLGATE, "run", "--port", "0", *arguments], environment(server, **(hurry | variables)))
