"""The web application: what the governor and those beside it know, so that asking costs the Redis server nothing."""

import ipaddress
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from spillgate.governor.history import Span
from spillgate.governor.journal import Event
from spillgate.governor.loop import Governor
from spillgate.governor.state import State
from spillgate.model import Level
from spillgate.web import documents, endpoints, views
from spillgate.web.access import Access, Refused
from spillgate.web.answers import answer, route
from spillgate.web.cleaning import Cleaning
from spillgate.web.endpoints import Endpoint
from spillgate.web.events import Events
from spillgate.web.health import health_route
from spillgate.web.metrics import metrics_route
from spillgate.web.page import page_routes
from spillgate.web.sources import Sources

View = Callable[[State], tuple[int, views.Document]]
T = TypeVar("T")
# Names under which a browser on this machine reaches a loopback address.
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1", "[::1]")
_MOST_ENTRIES = 500
_NEWEST_S = 120.0
_LATEST_S = 1e11  # no time of the wall clock is later


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what is bound to ``host``. A name other than localhost may be anywhere."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def create_app(sources: Sources, *, host: str, exporter_names: bool = False) -> Starlette:
    """The application that ``spillgate run`` serves on ``host``; ``app.state.events`` are to be closed when it ends.

    ``exporter_names`` adds the names of the well-known Redis exporter to the metrics. On a loopback address only
    requests that name one are answered: a web page on the same machine whose name was pointed here (DNS rebinding) gets
    400.
    """
    guard = [Middleware(TrustedHostMiddleware, allowed_hosts=[*_LOOPBACK_HOSTS, host], www_redirect=False)]
    api = _Api(sources)

    app = Starlette(
        routes=[
            health_route(lambda _: sources.governor),
            _view_route(endpoints.LIVENESS, views.liveness, sources.governor),
            _view_route(endpoints.READINESS, views.readiness, sources.governor),
            metrics_route(sources, exporter_names=exporter_names),
            route(endpoints.STATE, api.state),
            route(endpoints.CENSUS, api.census),
            route(endpoints.HISTORY, api.history),
            route(endpoints.JOURNAL, api.journal),
            route(endpoints.ALERTS, api.alerts),
            route(endpoints.EVENTS, api.listen),
            route(endpoints.CLEANUP, api.clean_up),
            *page_routes(),
        ],
        middleware=guard if is_loopback(host) else [],
        exception_handlers={Refused: _refusal, HTTPException: _http_error},
    )
    app.state.events = api.events
    return app


def _view_route(endpoint: Endpoint, view: View, governor: Governor) -> Route:
    async def look(_: Request) -> Response:  # a plain function would cost a thread
        code, document = view(governor.state)
        return answer(document, code)

    return route(endpoint, look)


async def _refusal(_: Request, refused: Any) -> Response:
    return answer({"error": str(refused)}, refused.code, **refused.headers)


async def _http_error(request: Request, error: Any) -> Response:
    """What Starlette refuses by itself: an address that there is not, or another method."""
    text = f"{error.detail}: {request.method} {request.url.path}"
    given: Mapping[str, str] = error.headers or {}
    headers = {name.replace("-", "_"): value for name, value in given.items()}
    return answer({"error": text}, error.status_code, **headers)


class _Api:
    """What is answered under ``/api/``."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.events = Events(sources)
        self._cleaning = Cleaning(sources, Access(sources.token))

    async def state(self, _: Request) -> Response:
        return answer(documents.state(self._sources, time.time()))

    async def census(self, _: Request) -> Response:
        return answer(documents.census(self._sources.governor.state))

    async def alerts(self, _: Request) -> Response:
        return answer(await run_in_threadpool(documents.alerts, self._sources))

    async def history(self, request: Request) -> Response:
        span = _choices(request, "span", {one.value: one for one in Span}, "hour")[0]
        since_s = _number(request, "since", 0, 0, _LATEST_S)

        def told() -> Response:  # ten thousand points take their time, in which others are answered
            newest = self._sources.history.points(Span.HOUR, time.time() - _NEWEST_S)
            points = self._sources.history.points(span, since_s)
            return answer(documents.series(span, points, newest[-1].at_s if newest else None))

        return await run_in_threadpool(told)

    async def journal(self, request: Request) -> Response:
        limit = int(_number(request, "limit", 100, 1, _MOST_ENTRIES))
        before = int(_number(request, "before", 0, 0, _LATEST_S)) or None
        history = self._sources.history
        found = await run_in_threadpool(
            lambda: history.entries(
                after=int(_number(request, "after", 0, 0, _LATEST_S)),
                before=before,
                limit=limit + 1,
                events=_choices(request, "event", {one.value: one for one in Event}),
                levels=_choices(request, "level", {one.label: one.label for one in Level} | {"unknown": "unknown"}),
                text=request.query_params.get("text", ""),
            )
        )
        listed = [documents.entry(one) for one in found[:limit]]
        return answer({"entries": listed, "last": history.last_number, "more": len(found) > limit})

    async def listen(self, request: Request) -> Response:
        if self.events.full:
            raise Refused(503, "too many pages listen already", Retry_After="30")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return Response(headers=headers, media_type="text/event-stream")
        stream = self.events.listen(request.headers.get("last-event-id"))
        return StreamingResponse(stream, headers=headers, media_type="text/event-stream")

    async def clean_up(self, request: Request) -> Response:
        return answer(await self._cleaning.answer(request))


def _number(request: Request, name: str, default: float, low: float, high: float) -> float:
    """A number of the query.

    Raises:
        Refused: it is none, or out of bounds.
    """
    text = request.query_params.get(name)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if low <= number <= high:
        return number
    raise Refused(422, f'{name}: expected a number from {low:g} to {high:g}, got "{text}"')


def _choices(request: Request, name: str, known: Mapping[str, T], default: str = "") -> tuple[T, ...]:
    """Some of the words that the query may have, with commas between them.

    Raises:
        Refused: another word.
    """
    words = [word for word in (request.query_params.get(name) or default).split(",") if word]
    for word in words:
        if word not in known:
            raise Refused(422, f'{name}: expected {", ".join(known)}, got "{word}"')
    return tuple(known[word] for word in words)
