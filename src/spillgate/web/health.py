"""``GET /health/redis-memory``, in the fixed document or in the draft standard's, as the request asks."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spillgate.governor.loop import Governor
from spillgate.web import endpoints, views
from spillgate.web.answers import answer, route
from spillgate.web.health_json import MEDIA_TYPE, health_json, prefers_health_json

HEALTH_PATH = endpoints.HEALTH.path


def health_route(find: Callable[[Request], Governor]) -> Route:
    """The health of the governor that ``find`` names."""

    async def health(request: Request) -> Response:  # a plain function would cost a thread
        seen = find(request).state
        if prefers_health_json(request.headers.get("accept")):
            code, document = health_json(seen)
            return answer(document, code, media_type=MEDIA_TYPE, Vary="Accept")
        code, document = views.health(seen)
        return answer(document, code, Vary="Accept")

    return route(endpoints.HEALTH, health)
