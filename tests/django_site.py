# pyright: basic
"""Django inside the test process: configured once, its caches set by each test."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Server

__all__ = ["BACKEND", "Session", "Twin", "caching", "twin"]

BACKEND = "spillgate.integrations.django.SpillgateCache"

if not settings.configured:
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.sessions"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        SECRET_KEY="only for tests",
        ALLOWED_HOSTS=["testserver"],
        USE_TZ=True,
    )
    django.setup()

from django.contrib.sessions.models import Session  # noqa: E402 (a model needs the settings)


@contextmanager
def caching(server: Server, *more: dict[str, Any], **entry: Any) -> Iterator[Any]:
    """The default cache of this server, with ``entry`` in its settings; ``more`` are those of caches "1", "2", ..."""
    base = {"BACKEND": BACKEND, "LOCATION": server.url}
    others = {str(number): base | one for number, one in enumerate(more, 1)}
    with override_settings(CACHES={"default": base | entry, **others}):
        yield caches["default"]


class Twin:
    """A cache's methods, called by their names or awaited as their ``a...`` twins."""

    def __init__(self, cache: Any, runner: asyncio.Runner | None) -> None:
        self.cache = cache
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """The method of this name, whichever it is."""
        runner = self._runner
        if runner is None:
            return getattr(self.cache, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            return runner.run(getattr(self.cache, "a" + name)(*args, **kwargs))

        return run


@contextmanager
def twin(cache: Any, mode: str) -> Iterator[Twin]:
    """The cache's "sync" or its "async" methods."""
    if mode == "sync":
        yield Twin(cache, None)
        return
    with asyncio.Runner() as runner:
        yield Twin(cache, runner)
