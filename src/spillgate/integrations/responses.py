"""A cache of responses for ASGI applications, which honours HTTP caching (RFC 9111).

Example::

    from fastapi import FastAPI
    from spillgate import AsyncCache
    from spillgate.integrations.asgi import with_cache
    from spillgate.integrations.responses import ResponseCache, Responses

    cache = AsyncCache.from_url(config="spillgate.toml")
    pages = Responses(cache, "pages")

    app = FastAPI(lifespan=with_cache(cache))
    app.add_middleware(ResponseCache, responses=pages)

A response is stored where its headers say for how long (``Cache-Control: max-age=60``), and where `http_caching` finds
that it is nobody's own. It is sent on while it is made, and a copy is kept of it, of ``max_value`` at the most. Clients
who want what is just being made wait for that, in each process once: as soon as its headers show that it may not be
stored, each gets one of its own.

With the server down the application answers as it would without a cache.
"""

from contextlib import suppress
from time import monotonic, time
from typing import Final

from spillgate.cache.lifetime import Ttl, seconds_of
from spillgate.cache.waiting import Abandoned, AsyncFlights, AsyncHands, TookTooLong
from spillgate.errors import ServerError
from spillgate.integrations.http_caching import Headers, Terms, Use, Wishes, is_current, of_not_modified
from spillgate.integrations.recording import (
    App,
    Call,
    Landed,
    Lead,
    Mark,
    Message,
    Receive,
    Recorder,
    Recording,
    Scope,
    Send,
    marked,
    send_all,
)
from spillgate.integrations.stored_responses import AnyPage, Found, Responses, Target

__all__ = ["ResponseCache", "Responses"]

# Requests for a part, or on a condition that only the application can judge, and those with a body.
_BYPASSING: Final = frozenset((b"range", b"if-range", b"if-match", b"if-unmodified-since", b"transfer-encoding"))
# Methods that change nothing (RFC 9110, section 9.2.1), but for those that are cached.
_SAFE: Final = frozenset(("OPTIONS", "TRACE"))
_NO_CONTENT: Final = 204
_NOT_MODIFIED: Final = 304
_GATEWAY_TIMEOUT: Final = 504
_ERRORS_FROM: Final = 400
# Where responses turned out not to be for all, nobody waits for another's for so long.
_ALONE_S: Final = 10.0
_MOST_ALONE: Final = 4096
# Who waits for others' responses and finds them to be of another variant does so this often at the most.
_ROUNDS: Final = 4


class ResponseCache:
    """ASGI middleware that answers with stored responses; websockets and lifespans pass through.

    Args:
        app: the application, or the next middleware.
        responses: where they are stored.
        default_ttl: how long a response without freshness information is kept; by default it is not stored.
        paths: what the paths of requests that are cached begin with.
        x_cache: whether responses say ``X-Cache: HIT``, ``MISS``, ``STALE`` or ``BYPASS``.
        obey_requests: whether the Cache-Control of a request counts; without, no client can ask for a fresh response.
    """

    def __init__(
        self,
        app: App,
        responses: Responses,
        *,
        default_ttl: Ttl | None = None,
        paths: tuple[str, ...] = ("/",),
        x_cache: bool = True,
        obey_requests: bool = True,
    ) -> None:
        self._app = app
        self._responses = responses
        self._recording = Recording(responses, None if default_ttl is None else seconds_of(default_ttl), x_cache)
        self._paths = paths
        self._obey = obey_requests
        self._flights: AsyncFlights[Landed | None] = AsyncFlights()
        self._hands = AsyncHands()
        self._alone: dict[tuple[str, bool], float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http" or scope["method"] in _SAFE or not scope["path"].startswith(self._paths):
            await self._app(scope, receive, send)
            return
        if scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, self._invalidating(scope["path"], send))
            return
        target = Target.of(scope)
        call = Call(scope, receive, send, target, Wishes.of(target.headers, obey=self._obey))
        if call.wishes.no_store or _bypasses(target.headers):
            await self._app(scope, receive, marked(send, Mark.BYPASS) if self._recording.x_cache else send)
        else:
            await self._answer(call)

    async def _answer(self, call: Call) -> None:
        """Answer with what is stored, with what another request is getting, or with what the application says."""
        found = Found()
        vary: set[str] = set()
        for _ in range(_ROUNDS):
            found = await self._responses.find(call.target)
            if await self._served(call, found.page, found):
                return
            if call.wishes.only_if_cached:
                await self._refuse(call)
                return
            if not self._waits(call):
                break
            vary.update(found.vary)
            lead = Lead(self._flights, call.target.key(found.number or 0, tuple(sorted(vary))))
            if lead.leads:
                await self._lead(call, lead)
                return
            with suppress(Abandoned):
                landed = await self._landed(lead)
                if landed is None:
                    break
                if landed.is_for(call.target) and await self._served(call, landed.page, found):
                    return
                vary.update(landed.page.vary)
        await self._run(call, found)

    def _waits(self, call: Call) -> bool:
        """Whether a request that nothing is stored for waits for a response that another one is getting."""
        until_s = self._alone.get((call.target.path, call.wishes.authorized))
        alone = until_s is not None and monotonic() < until_s
        return call.is_get and not call.wishes.no_cache and not alone

    async def _landed(self, lead: Lead) -> Landed | None:
        """What another request got, None where it is not for others.

        Raises:
            Abandoned: that was cancelled.
        """
        with suppress(TookTooLong):
            return await lead.flight.result(self._responses.lock_s)
        return None

    async def _lead(self, call: Call, lead: Lead) -> None:
        """Answer, and let all who wait for the same have it."""
        try:
            found = await self._responses.find(call.target)  # who led before may have stored it meanwhile
            page = found.page
            if page is not None and call.wishes.use(page.terms, time() - page.born_s) is not Use.NONE:
                lead.land(Landed(call.target, page))
            if not await self._served(call, page, found):
                await self._run(call, found, lead)
        except Exception:
            raise
        except BaseException:  # cancelled: it was this client's doing, not the application's
            lead.abandon()
            raise
        finally:
            lead.end()

    async def _run(self, call: Call, found: Found, lead: Lead | None = None) -> None:
        """Let the application answer, and store that where it may be."""
        place = (call.target.path, call.wishes.authorized)

        def judged(terms: Terms | None) -> None:
            if terms is not None:
                self._alone.pop(place, None)
                return
            if len(self._alone) >= _MOST_ALONE:
                self._alone.clear()
            self._alone[place] = monotonic() + _ALONE_S

        recorder = Recorder(self._recording, call, found, lead, judged)
        try:
            await self._app(call.unconditional(), call.receive, recorder.send)
        except Exception:
            if recorder.client_gone and lead is not None:
                lead.abandon()
            raise

    async def _served(self, call: Call, page: AnyPage | None, found: Found) -> bool:
        """Answer with a response that is there, if the request takes it; whether it does."""
        if page is None:
            return False
        age_s = time() - page.born_s
        use = call.wishes.use(page.terms, age_s)
        if use is Use.NONE:
            return False
        if use is Use.STALE:
            self._refresh(call, found)
        status, headers, body = page.status, page.raw_headers, page.content
        if is_current(call.target.headers, status, headers):
            status, headers, body = _NOT_MODIFIED, of_not_modified(headers), b""
        elif status != _NO_CONTENT:
            headers.append((b"content-length", b"%d" % len(body)))
        headers.append((b"age", b"%d" % max(0, int(age_s))))
        if self._recording.x_cache:
            headers.append((b"x-cache", Mark.STALE if use is Use.STALE else Mark.HIT))
        await send_all(call.send, status, headers, body if call.is_get else b"")
        return True

    def _refresh(self, call: Call, found: Found) -> None:
        """Let the application make a response anew in the background, unless it is at it."""
        lead = Lead(self._flights, f"refresh {call.target.key(found.number or 0, found.vary)}")
        if not lead.leads:
            return

        async def work() -> None:
            try:
                await self._run(call.in_background(), found, lead)
            finally:
                lead.end()

        if not self._hands.take(work):
            lead.end()

    async def _refuse(self, call: Call) -> None:
        """Answer to ``only-if-cached`` where nothing is stored (section 5.2.1.7)."""
        headers = [(b"content-length", b"0")]
        if self._recording.x_cache:
            headers.append((b"x-cache", Mark.MISS))
        await send_all(call.send, _GATEWAY_TIMEOUT, headers, b"")

    def _invalidating(self, path: str, send: Send) -> Send:
        """Invalidate a path when a request that may have changed it succeeds (section 4.4)."""

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < _ERRORS_FROM:
                # Where the server fails, which the cache logs, the change was made all the same.
                with suppress(ServerError):
                    await self._responses.invalidate(path)
            await send(message)

        return wrapped


def _bypasses(headers: Headers) -> bool:
    return any(name in _BYPASSING or (name == b"content-length" and value != b"0") for name, value in headers)
