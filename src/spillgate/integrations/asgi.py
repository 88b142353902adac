"""A governor and a cache that live as long as an ASGI application.

Example::

    from starlette.applications import Starlette
    from spillgate.integrations.asgi import governed, health_route, with_cache

    app = Starlette(routes=[health_route()], lifespan=with_cache("spillgate.toml", lifespan=governed("spillgate.toml")))

FastAPI takes the same ``routes`` and ``lifespan``. Handlers find them as ``request.state.governor`` and
``request.state.cache``. Each worker process runs a governor of its own: with many workers let ``spillgate run`` do it
beside them. A cache of whole responses is in `spillgate.integrations.responses`.
"""

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from spillgate.cache import AsyncCache
from spillgate.config import Policy, load_policy
from spillgate.errors import MissingExtra
from spillgate.governor.loop import Governor

try:
    import anyio.to_thread
    from starlette.requests import Request
    from starlette.routing import Route

    from spillgate.web import health as web
except ModuleNotFoundError as error:
    raise MissingExtra("web") from error

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
"""What Starlette and FastAPI take as ``lifespan``; it yields None or a mapping of state."""


def governed(policy: Policy | Path | str, *, lifespan: Lifespan | None = None, dry_run: bool = False) -> Lifespan:
    """A lifespan that governs while the application runs.

    ``policy`` is a policy, or the path of a policy file; the environment overrides the file as it does for the command
    line. The governor runs in a thread, from after the start of ``lifespan``, the application's own, until before its
    end. An unreachable server does not keep the application from starting: the governor goes on trying.

    Raises:
        ConfigError: the policy file cannot be used.
    """
    loaded = policy if isinstance(policy, Policy) else load_policy(Path(policy), env=os.environ, flags={})

    @asynccontextmanager
    async def run(application: object) -> AsyncGenerator[Mapping[str, object], None]:
        if lifespan is None:
            async with _running(Governor(loaded, dry_run=dry_run)) as governor:
                yield {"governor": governor}
            return
        async with lifespan(application) as own, _running(Governor(loaded, dry_run=dry_run)) as governor:
            yield {**(own or {}), "governor": governor}

    return run


def with_cache(cache: AsyncCache | Policy | Path | str, *, lifespan: Lifespan | None = None) -> Lifespan:
    """A lifespan with a cache, which is closed when the application ends.

    ``cache`` is one that is there already, since something else needs it too, or the policy of a new one as `governed`
    takes it. It is opened before ``lifespan``, the application's own, and closed after that. An unreachable server does
    not keep the application from starting.

    Raises:
        ConfigError: the policy cannot be used.
    """
    opened = cache if isinstance(cache, AsyncCache) else AsyncCache.from_url(config=cache)

    @asynccontextmanager
    async def run(application: object) -> AsyncGenerator[Mapping[str, object], None]:
        try:
            if lifespan is None:
                yield {"cache": opened}
                return
            async with lifespan(application) as own:
                yield {**(own or {}), "cache": opened}
        finally:
            with anyio.CancelScope(shield=True):
                await opened.aclose()

    return run


@asynccontextmanager
async def _running(governor: Governor) -> AsyncGenerator[Governor, None]:
    governor.start()
    try:
        yield governor
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(governor.stop)


def health_route(governor: Governor | None = None) -> Route:
    """``GET /health/redis-memory``, to be listed or mounted where it is wanted.

    It answers for ``governor``, or where none is given for the one that `governed` runs.
    """

    def find(request: Request) -> Governor:
        return governor or cast("Governor", request.state.governor)

    return web.health_route(find)
