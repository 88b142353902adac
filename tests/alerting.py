"""What tests of alerts share: conditions and steps in one line, and receivers on loopback that are not ours."""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

from spillgate.alerts.engine import Memory, News, Rules, step
from spillgate.alerts.notice import Condition, Moment, Notice
from spillgate.config import parse_policy
from spillgate.model import Level

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator

    from spillgate.config import Policy

START_S = 1_769_860_800.0
"""2026-01-31, noon UTC."""


def settings(text: str = "") -> Policy:
    """A policy with these lines in its table [alerts], or with tables of its own."""
    return parse_policy(text if text.lstrip().startswith("[") else f"[alerts]\n{text}", "test policy")


def condition(key: str = "level", severity: Level = Level.PREVENTIVE, *, after_s: float = 0.0) -> Condition:
    """A condition that is the case."""
    return Condition(key, severity, f"Title of {key}", f"Message of {key}.", "It acts.", "Act.", after_s)


class Engine:
    """An engine whose clock is turned by hand, and all that it ever said."""

    def __init__(self, text: str = "", at_unix_s: float = START_S) -> None:
        self.rules = Rules.of(settings(text).alerts)
        self.memory = Memory()
        self.at = Moment(1000.0, at_unix_s)
        self.said: list[Notice] = []

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.at = Moment(self.at.monotonic_s + seconds, self.at.unix_s + seconds)

    def sees(self, *conditions: Condition, unknown: tuple[str, ...] = ()) -> list[tuple[str, str]]:
        """One step; kinds and keys of what it says."""
        news = News(conditions, "All is well.", unknown)
        self.memory, notices = step(self.memory, news, self.at, self.rules)
        self.said += notices
        return [(one.kind.value, one.key) for one in notices]

    def lasts(self, seconds: float, *conditions: Condition, every_s: float = 10.0) -> list[tuple[float, str, str]]:
        """Steps for so long; what is said, with the seconds after which it is."""
        found: list[tuple[float, str, str]] = []
        passed = 0.0
        while passed < seconds:
            self.turn(every_s)
            passed += every_s
            found += [(passed, *one) for one in self.sees(*conditions)]
        return found


@dataclass
class Received:
    """One request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass
class Http:
    """An HTTP receiver; ``answers`` are the codes and headers of its next answers, 204 when there are no more."""

    url: str
    got: list[Received] = field(default_factory=list[Received])
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list[tuple[int, dict[str, str]]])
    hangs: threading.Event | None = None


@contextmanager
def http_receiver(
    *answers: int | tuple[int, dict[str, str]], hangs: bool = False, tls: ssl.SSLContext | None = None
) -> Generator[Http]:
    """A real HTTP server on loopback; one that ``hangs`` takes requests and never answers."""
    listed = [(one, dict[str, str]()) if isinstance(one, int) else one for one in answers]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            if receiver.hangs is not None:
                receiver.hangs.wait(30)
                return
            code, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
            self.send_response(code)
            for name, value in (headers | {"Content-Length": "0"}).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any, **__: Any) -> None:
            """Say nothing."""

    server = _Quiet(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver = Http(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", answers=listed)
    receiver.hangs = threading.Event() if hangs else None
    with _serving(server, lambda: receiver.hangs and receiver.hangs.set()):
        yield receiver


class _Quiet(ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    def handle_error(self, *_: Any, **__: Any) -> None:
        """Say nothing."""


@contextmanager
def smtp_receiver() -> Generator[tuple[int, list[str]]]:
    """A real SMTP server on loopback, as small as can be: its port, and the messages that it took."""
    taken: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 test\r\n")
            for line in self.rfile:
                word = line[:4].upper().strip()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    taken.append(b"".join(lines).decode())
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")
                if word == b"QUIT":
                    return

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    with _serving(server, lambda: None):
        yield cast("tuple[str, int]", server.server_address)[1], taken


@contextmanager
def _serving(server: socketserver.TCPServer, before_end: Callable[[], object]) -> Generator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        before_end()
        server.shutdown()
        thread.join()
        server.server_close()
