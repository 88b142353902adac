"""A server whose documents never change, with the real page: what pictures are taken of."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from spillgate.web import serving
from spillgate.web.page import page_routes
from tests.browser import documents

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from starlette.requests import Request


class Still:
    """Serves `documents`; ``state`` may be changed by a test before it opens the page."""

    def __init__(self) -> None:
        self.state = documents.state()
        self.closed = asyncio.Event()

    def app(self) -> Starlette:
        """What is served."""

        async def state(_: Request) -> Response:
            return JSONResponse(self.state)

        async def history(request: Request) -> Response:
            return JSONResponse(documents.history(request.query_params.get("span", "hour")))

        async def journal(_: Request) -> Response:
            return JSONResponse(documents.journal())

        async def alerts(_: Request) -> Response:
            return JSONResponse(documents.alerts())

        async def events(_: Request) -> Response:
            return StreamingResponse(self._events(), media_type="text/event-stream")

        async def cleanup(_: Request) -> Response:
            return JSONResponse(documents.cleanup())

        return Starlette(
            routes=[
                *page_routes(),
                Route("/api/state", state),
                Route("/api/history", history),
                Route("/api/journal", journal),
                Route("/api/alerts", alerts),
                Route("/api/events", events),
                Route("/api/cleanup", cleanup, methods=["POST"]),
            ]
        )

    async def _events(self) -> AsyncGenerator[bytes]:
        yield b"event: state\nid: still-1-1\ndata: %b\n\n" % msgspec.json.encode(self.state)
        await self.closed.wait()


@contextlib.contextmanager
def served(app: Starlette, close: Callable[[], None] = lambda: None) -> Generator[str]:
    """Serve it in a thread; yields where. ``close`` ends what would go on for ever."""
    app.state.events = SimpleNamespace(close=close)
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    with serving.listen("127.0.0.1", 0) as listener:
        serve = serving.serve(app, listener, stop)
        thread = threading.Thread(target=loop.run_until_complete, args=(serve,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


@contextlib.contextmanager
def still_server() -> Generator[tuple[Still, str]]:
    """What is served, and where."""
    still = Still()
    with served(still.app(), still.closed.set) as url:
        yield still, url
