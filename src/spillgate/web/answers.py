"""Routes made from the table of endpoints, and answers in JSON."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spillgate.web.endpoints import Endpoint
from spillgate.web.views import Document

Handler = Callable[[Request], Awaitable[Response]]

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def route(endpoint: Endpoint, handler: Handler) -> Route:
    """Where an endpoint is answered."""
    return Route(endpoint.path, handler, methods=[endpoint.method])


def answer(document: Document, code: int = 200, *, media_type: str = "application/json", **headers: str) -> Response:
    """A document, which nobody is to keep; underscores in the names of ``headers`` stand for dashes."""
    further = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(msgspec.json.encode(document), code, _HEADERS | further, media_type)
