"""A Django application in one file: sessions, whole pages and the results of functions in a server of 25 MB.

Start it, with the ``django`` extra installed::

    REDIS_URL=redis://127.0.0.1:6379/0 python examples/django_app.py

and ask ``http://127.0.0.1:8000/``, which counts your visits in a session, ``/report/2025-01-31/``, which is made once
and kept as a page, and ``/counts/``, which tells how the caches are doing. Let ``spillgate run`` with the same policy
stand beside it, and what the server has no room for goes in the policy's order, sessions after pages.
"""

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.core.cache import caches
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import cache_page

from spillgate import Cache

POLICY = Path(__file__).with_name("ceo-platform.toml")


def cache_of(namespace: str) -> Mapping[str, object]:
    """An entry of CACHES: a namespace of the policy. Its server is the policy's, or that of REDIS_URL."""
    return {
        "BACKEND": "spillgate.integrations.django.SpillgateCache",
        "OPTIONS": {"config": POLICY, "namespace": namespace},
    }


settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    SECRET_KEY=os.environ.get("SECRET_KEY", "only to try it"),
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    CACHES={"default": cache_of("analytics"), "sessions": cache_of("sessions")},
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SESSION_CACHE_ALIAS="sessions",
    SESSION_COOKIE_AGE=15 * 60,
)
django.setup()

# Beside Django's own caches: typed values, and functions whose results are kept, in any namespace of the same policy.
summaries = Cache.from_url(config=POLICY).namespace("ai-context", type=str)
made: list[str] = []


@summaries.cached("summary:{day}")
def summary(day: str) -> str:
    """What happened on a day; this is the slow part."""
    made.append(f"summary of {day}")
    return f"All was well on {day}."


def visits(request: HttpRequest) -> JsonResponse:
    """How often this visitor came."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


@cache_page(10 * 60)
def report(_request: HttpRequest, day: str) -> HttpResponse:
    """A page that is made once in ten minutes."""
    made.append(f"page of {day}")
    return HttpResponse(f"<h1>{day}</h1><p>{summary(day)}</p>", headers={"Content-Language": "en"})


def counts(_request: HttpRequest) -> JsonResponse:
    """What was made since the start, and what happened in the caches."""
    return JsonResponse({"made": made} | {name: caches[name].counts() for name in settings.CACHES})


urlpatterns = [path("", visits), path("report/<day>/", report), path("counts/", counts)]


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), WSGIHandler()) as server:

        def stop(_number: int, _frame: object) -> None:
            threading.Thread(target=server.shutdown).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        server.serve_forever()


if __name__ == "__main__":
    main()
