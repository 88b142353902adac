"""Running the web application beside the governor, in an event loop that somebody else ends."""

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Longest wait for answers that are still being sent when the process is told to stop.
_LINGER_S = 3
# What one governor has to serve is few pages and a monitor or two; the rest is a mistake or worse.
_MOST_CONNECTIONS = 512
_BACKLOG = 64
_MOST_HEAD_BYTES = 64 * 1024
_HEAD_S = 10.0
_STALLED_S = 30.0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    listener = socket.create_server((host, port), family=family)
    # Accepted connections take these over. An answer is sent in two parts, of which the second would wait for the
    # acknowledgement of the first (40 ms); and who is gone without a word is to be noticed.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(_STALLED_S * 1000))
    return listener


async def serve(app: Starlette, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve the application that `spillgate.web.app.create_app` made until ``stop`` is set."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_LINGER_S,
    )
    await _Server(config, app, stop).serve([listener])


class _Server(uvicorn.Server):
    """Waits to be told to stop. The original looks ten times a second whether it should, which is 0.18 % of a core."""

    def __init__(self, config: uvicorn.Config, app: Starlette, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop
        self._events = app.state.events

    async def main_loop(self) -> None:
        """Wait; then end what would go on for ever."""
        await self._stop.wait()
        self._events.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to whoever runs the event loop."""
        yield


class _Connection(HttpToolsProtocol):
    """One connection, which may be neither one too many, nor silent, nor endless in its headers, nor stalled."""

    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what the event loop makes for TCP
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_complete()
        self._cancel_stalled()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            self._expect_head()
        super().data_received(data)
        if self._in_head and self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._head_is_complete()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._stalled = self.loop.call_later(_STALLED_S, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._cancel_stalled()
        super().resume_writing()

    def _expect_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(_HEAD_S, self.transport.abort)

    def _head_is_complete(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cancel_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
