"""An ASGI application that governs its Redis while it runs.

Start it, with the ``web`` extra installed::

    REDIS_URL=redis://127.0.0.1:6379/0 uvicorn --app-dir examples asgi_app:app

and ask ``/health/redis-memory``, or ``/level`` for what a handler can read off the governor. FastAPI takes ``routes``
and ``lifespan`` in the same way.
"""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from spillgate.integrations.asgi import governed, health_route

POLICY = Path(__file__).with_name("ceo-platform.toml")


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncGenerator[dict[str, object], None]:
    """What the application sets up for itself goes on working as before."""
    yield {"greeting": "hello"}


async def level(request: Request) -> JSONResponse:
    """Under pressure an application may choose to do less."""
    level_label = request.state.governor.state.level_label
    return JSONResponse({"greeting": request.state.greeting, "level": level_label})


app = Starlette(routes=[Route("/level", level), health_route()], lifespan=governed(POLICY, lifespan=lifespan))
