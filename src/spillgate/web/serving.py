"""Running the web application beside the governor, in an event loop that somebody else ends."""

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.applications import Starlette

# Longest wait for answers that are still being sent when the process is told to stop.
_LINGER_S = 3


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family)


async def serve(app: Starlette, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve the application that `spillgate.web.app.create_app` made until ``stop`` is set."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
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
