"""A chat that keeps its latest messages in Redis, governed by a ``spillgate run`` beside it: compose.yaml starts both.

By itself, with the ``web`` extra installed::

    export REDIS_URL=redis://127.0.0.1:6379/0 SPILLGATE_CONFIG=examples/ceo-platform.toml
    uvicorn --app-dir examples chat_app:app

``POST /channels/NAME?text=...`` says something, ``GET /channels/NAME`` reads what was said last. ``POST
/flood?messages=N`` lets everybody talk at once, so that there is something to see on Spillgate's page.
"""

import contextlib
import itertools
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from spillgate import AsyncCache

_SHOWN = 50
_LONGEST = 4000
_LARGEST_FLOOD = 200_000
_BATCH = 200


@dataclass
class Message:
    """What somebody said."""

    at: float
    text: str


cache = AsyncCache.from_url()
messages = cache.namespace("messages", type=Message)
channels = cache.namespace("channels", type=list[str])
numbers = itertools.count(time.time_ns())


async def say(request: Request) -> JSONResponse:
    """Messages may go when memory is short, the list of a channel stays: the policy protects it."""
    channel, text = request.path_params["channel"], request.query_params.get("text", "")
    if not 0 < len(text) <= _LONGEST:
        return JSONResponse({"error": f"text: expected 1 to {_LONGEST} characters, got {len(text)}"}, 422)
    key = f"{channel}:{next(numbers)}"
    stored = await messages.set(key, Message(time.time(), text))
    if stored:
        await channels.set(channel, [*(await channels.get(channel) or [])[1 - _SHOWN :], key])
    return JSONResponse({"stored": stored}, 201 if stored else 503)


async def read(request: Request) -> JSONResponse:
    """What was cleaned up, or has expired, is just not there any more."""
    keys = await channels.get(request.path_params["channel"]) or []
    found = await messages.get_many(keys)
    return JSONResponse([{"at": found[key].at, "text": found[key].text} for key in keys if key in found])


async def flood(request: Request) -> JSONResponse:
    """As many messages as are asked for, as fast as they can be written."""
    asked = request.query_params.get("messages", "")
    if not asked.isdecimal() or not 0 < int(asked) <= _LARGEST_FLOOD:
        return JSONResponse({"error": f'messages: expected 1 to {_LARGEST_FLOOD}, got "{asked}"'}, 422)
    refused = 0
    for start in range(0, int(asked), _BATCH):
        size = min(_BATCH, int(asked) - start)
        spoken = {f"flood:{next(numbers)}": Message(time.time(), f"{start + i} " * 60) for i in range(size)}
        refused += len(await messages.set_many(spoken))
    return JSONResponse({"written": int(asked) - refused, "refused": refused})


async def alive(_: Request) -> PlainTextResponse:
    """That this process answers; how Redis is, Spillgate tells."""
    return PlainTextResponse("ok")


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None]:
    """Connections are closed when the application ends."""
    async with cache:
        yield


app = Starlette(
    routes=[
        Route("/channels/{channel}", read, methods=["GET"]),
        Route("/channels/{channel}", say, methods=["POST"]),
        Route("/flood", flood, methods=["POST"]),
        Route("/livez", alive),
    ],
    lifespan=lifespan,
)
