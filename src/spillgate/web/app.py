"""The web application: answers from the governor's latest state alone, so asking costs the Redis server nothing."""

import ipaddress
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from spillgate.governor.loop import Governor
from spillgate.governor.state import State
from spillgate.web import views

View = Callable[[State], tuple[int, views.Document]]
Find = Callable[[Request], Governor]

HEALTH_PATH = "/health/redis-memory"
# Names under which a browser on this machine reaches a loopback address.
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what is bound to ``host``. A name other than localhost may be anywhere."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def create_app(governor: Governor, *, host: str) -> Starlette:
    """The application that ``spillgate run`` serves on ``host``.

    On a loopback address only requests that name one are answered: a web page on the same machine whose name was
    pointed here (DNS rebinding) gets 400.
    """
    guard = [Middleware(TrustedHostMiddleware, allowed_hosts=[*_LOOPBACK_HOSTS, host], www_redirect=False)]

    def ours(_: Request) -> Governor:
        return governor

    return Starlette(
        routes=[health_route(ours), _route("/livez", views.liveness, ours), _route("/readyz", views.readiness, ours)],
        middleware=guard if is_loopback(host) else [],
    )


def health_route(find: Find) -> Route:
    """``GET /health/redis-memory`` for the governor that ``find`` names."""
    return _route(HEALTH_PATH, views.health, find)


def _route(path: str, view: View, find: Find) -> Route:
    async def endpoint(request: Request) -> JSONResponse:  # a plain function would cost a thread
        code, document = view(find(request).state)
        return JSONResponse(document, code, headers={"Cache-Control": "no-store"})

    return Route(path, endpoint)
