"""A pause that writes can cut short.

Looking every 30 seconds costs nothing and misses every flood; looking every 100 milliseconds misses nothing and is
never idle. So the governor lets the server call: a second connection asks for the invalidation messages of client-side
caching (CLIENT TRACKING ON BCAST), does not read what they say, and only counts their bytes. Enough of them end the
pause. A message on the channel ``spillgate:wake`` ends it too, so that an application that was refused a write can ask
for help; PUBLISH works at 100 % memory.

Goal: notice a flood within milliseconds at no command at all while nothing happens.

Limits: messages that are not read fill a buffer in the governed server. So tracking is switched off as soon as it has
rung, stays off while the governor looks often anyway, and the subscription puts the connection under the server's
``client-output-buffer-limit pubsub``, not under the unlimited one of normal clients (redis/redis#8069).
"""

import contextlib
import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from spillgate.errors import BudgetExhausted, ServerError
from spillgate.keyspace import WAKE_CHANNEL
from spillgate.policy.pacing import Pause
from spillgate.server.driver import PushConnection

# While messages come in, they are counted in gulps of this length rather than one by one.
_GULP_S = 0.01
_READ_BYTES = 1 << 16
_LEAST_BURST_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Woken:
    """How a pause ended: after how much was pushed, and whether that, or a call for help, cut it short."""

    pushed_bytes: int = 0
    early: bool = False


class WriteTracker:
    """The pauses of one governor. Unless ``enabled`` it only waits them out."""

    def __init__(self, subscribe: Callable[[str], PushConnection]) -> None:
        """Prepare; ``subscribe`` opens a connection to the governed server that listens to a channel."""
        self.enabled = False
        self._subscribe = subscribe
        self._connection: PushConnection | None = None
        self._socket: socket.socket | None = None
        self._armed = False
        self._wake_here, self._wake_there = socket.socketpair()
        self._wake_here.settimeout(0)
        self._wake_there.settimeout(0)  # who wakes never waits; one byte is as good as many

    def wake(self) -> None:
        """End the present pause, or the next; safe from any thread and from signal handlers."""
        with contextlib.suppress(OSError):
            self._wake_there.send(b"!")

    def close(self) -> None:
        """Give up both ends."""
        self.disconnect()
        self._wake_here.close()
        self._wake_there.close()

    def disconnect(self) -> None:
        """Drop the connection to the server; the next pause makes a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._socket = None
        self._armed = False

    def wait(self, pause: Pause) -> Woken:
        """Wait ``pause`` out, or until enough was written, or until `wake`."""
        self._arm(wanted=self.enabled and pause.pushed_bytes is not None)
        deadline = monotonic() + pause.seconds
        pushed = 0
        while (left := deadline - monotonic()) > 0:
            ready = self._ready(left)
            if self._wake_here in ready:
                self._wake_here.recv(_READ_BYTES)
                return Woken(pushed, early=True)
            if self._socket is None or self._socket not in ready:
                continue
            chunk = self._drain()
            if chunk is None or WAKE_CHANNEL.encode() in chunk:
                return Woken(pushed, early=True)
            pushed += len(chunk)
            burst = max(_LEAST_BURST_BYTES, pause.pushed_bytes_s * _GULP_S)
            if len(chunk) >= burst or (pause.pushed_bytes is not None and pushed >= pause.pushed_bytes):
                return Woken(pushed, early=True)
            self._ready_here(min(_GULP_S, max(0.0, deadline - monotonic())))
        return Woken(pushed)

    def _ready(self, seconds: float) -> list[socket.socket]:
        watched = [self._wake_here] if self._socket is None else [self._wake_here, self._socket]
        return _readable(watched, seconds)

    def _ready_here(self, seconds: float) -> None:
        """Let messages gather, but not through a `wake`."""
        _readable([self._wake_here], seconds)

    def _arm(self, *, wanted: bool) -> None:
        """Switch the messages on or off. Whatever fails is tried again at the next pause: a look comes anyway."""
        try:
            if wanted and self._connection is None:
                self._connection = self._subscribe(WAKE_CHANNEL)
                self._socket = self._connection.socket
            if self._connection is not None and wanted is not self._armed:
                mode = ("ON", "BCAST", "NOLOOP") if wanted else ("OFF",)
                self._connection.send("CLIENT", "TRACKING", *mode)
                self._armed = wanted
            if not wanted:
                self._drain()
        except (ServerError, BudgetExhausted):
            self.disconnect()

    def _drain(self) -> bytes | None:
        """Whatever has come in; None when the server closed the connection."""
        if self._socket is None:
            return b""
        self._socket.settimeout(0)
        gathered = b""
        try:
            while chunk := self._socket.recv(_READ_BYTES):
                gathered += chunk
                if len(gathered) >= _READ_BYTES:
                    return gathered
        except (BlockingIOError, ssl.SSLWantReadError):
            return gathered
        except OSError:
            pass
        self.disconnect()
        return None


def _readable(sockets: list[socket.socket], seconds: float) -> list[socket.socket]:
    """Those that can be read, after ``seconds`` at the latest. Unlike select.select, good for any file descriptor."""
    poll = select.poll()
    for one in sockets:
        poll.register(one, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
    return [one for one in sockets if one.fileno() in ready]
