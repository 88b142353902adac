"""An answer of an ASGI application on its way to the client, of which a copy is kept where it may be stored."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field, replace
from time import time
from typing import Any, Final, NamedTuple

from spillgate.cache.waiting import Abandoned, AsyncFlight, AsyncFlights
from spillgate.integrations.http_caching import Headers, Terms, Wishes, is_current, number, of_not_modified, value_of
from spillgate.integrations.stored_responses import AnyPage, Found, Responses, Target

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_START: Final = "http.response.start"
_BODY: Final = "http.response.body"
_NOT_MODIFIED: Final = 304
_CONDITIONS: Final = frozenset((b"if-none-match", b"if-modified-since"))


class Mark:
    """What X-Cache says."""

    HIT: Final = b"HIT"
    """A stored response, or one that another request was just getting."""
    STALE: Final = b"STALE"
    """A stored response that is made anew in the background."""
    MISS: Final = b"MISS"
    """The application's answer, which may be stored."""
    BYPASS: Final = b"BYPASS"
    """The application's answer, which may not."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and what answers to it."""

    scope: Scope
    receive: Receive
    send: Send
    target: Target
    wishes: Wishes

    @property
    def is_get(self) -> bool:
        """Whether it is GET: a response to HEAD has no body to be stored."""
        return self.scope["method"] == "GET"

    def unconditional(self) -> Scope:
        """Its scope without what asks for a 304: that could not be stored, and is made of the whole response."""
        if not self.is_get:
            return self.scope
        return {**self.scope, "headers": [field for field in self.target.headers if field[0] not in _CONDITIONS]}

    def in_background(self) -> "Call":
        """The same as a GET that nobody waits for."""
        scope = {**self.scope, "method": "GET", "state": dict(self.scope.get("state", {}))}
        scope.pop("extensions", None)
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()  # there is no client to be gone
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: Message) -> None:
            return

        return replace(self, scope=scope, receive=receive, send=send)


class Landed(NamedTuple):
    """A response that may be stored, and the request that it was made for."""

    target: Target
    page: AnyPage

    def is_for(self, target: Target) -> bool:
        """Whether another request for the same URL would get the same."""
        return target.key(0, self.page.vary) == self.target.key(0, self.page.vary)


class Lead:
    """The part of one who gets what others wait for; if ``leads`` is false somebody else has it."""

    __slots__ = ("_ended", "_flights", "_held", "_key", "flight", "leads")

    def __init__(self, flights: AsyncFlights[Landed | None], key: str) -> None:
        self._flights = flights
        self._key = key
        self.flight: AsyncFlight[Landed | None]
        self.flight, self.leads = flights.board(key)
        self._ended = not self.leads
        self._held = False

    def land(self, landed: Landed | None) -> None:
        """Give it to all who wait; None sends each of them to the application."""
        self.flight.land(landed)

    def abandon(self) -> None:
        """Let one of those who wait take over."""
        self.flight.fail(Abandoned())

    def hold(self) -> None:
        """Do not end before `release`."""
        self._held = True

    def release(self) -> None:
        """End now."""
        self._held = False
        self.end()

    def end(self) -> None:
        """Who comes from now on looks for a stored response first. A second time it does nothing."""
        if not self._ended and not self._held:
            self._ended = True
            self.flight.land(None)
            self._flights.clear(self._key, self.flight)


@dataclass(frozen=True, slots=True)
class Recording:
    """How answers are recorded."""

    responses: Responses
    default_ttl_s: float | None
    x_cache: bool
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    """Those that store: somebody has to hold them."""


class Recorder:
    """Takes the application's messages, sends them on at once, and stores what it may when they are complete.

    ``lead`` is told of the response before its end is sent. ``judged`` is told the terms under which it is stored, None
    where it is not, as soon as they are known.
    """

    def __init__(
        self, recording: Recording, call: Call, found: Found, lead: Lead | None, judged: Callable[[Terms | None], None]
    ) -> None:
        self._recording = recording
        self._call = call
        self._found = found
        self._lead = lead
        self._judged = judged
        self._terms: Terms | None = None
        self._status = 0
        self._headers: tuple[tuple[bytes, bytes], ...] = ()
        self._parts: list[bytes] = []
        self._bytes = 0
        self._answered = False
        self.client_gone = False

    async def send(self, message: Message) -> None:
        """What the application sends with."""
        if message["type"] == _START:
            await self._start(message)
        elif message["type"] == _BODY:
            await self._body(message)
        else:  # such as http.response.pathsend: a body that does not pass through here
            self._give_up()
            await self._pass_on(message)

    async def _start(self, message: Message) -> None:
        self._status, self._headers = message["status"], tuple(message.get("headers", ()))
        terms = self._agreed(message)
        self._judged(terms)
        self._terms = terms
        if terms is None:
            self._give_up()
        headers = list(self._headers)
        if self._recording.x_cache:
            headers.append((b"x-cache", Mark.BYPASS if terms is None else Mark.MISS))
        if self._call.is_get and is_current(self._call.target.headers, self._status, self._headers):
            self._answered = True
            start = {"type": _START, "status": _NOT_MODIFIED, "headers": of_not_modified(headers)}
            await self._pass_on(start)
            await self._pass_on({"type": _BODY, "body": b"", "more_body": False})
        else:
            await self._pass_on({**message, "headers": headers})

    async def _body(self, message: Message) -> None:
        ends = not message.get("more_body", False)
        if self._terms is not None:
            self._keep(bytes(message.get("body", b"")))
        page = self._page() if ends else None
        if page is None:
            if not self._answered:
                await self._pass_on(message)
            return
        if self._lead is not None:
            self._lead.land(Landed(self._call.target, page))
        if not self._answered:
            await self._pass_on(message)
        await self._store(page)

    async def _store(self, page: AnyPage) -> None:
        """Store it, to the end: servers cancel what streams an answer as soon as its end is sent."""
        lead = self._lead

        async def work() -> None:
            try:
                await self._recording.responses.save(self._call.target, self._found, page)
            finally:
                if lead is not None:
                    lead.release()

        if lead is not None:
            lead.hold()
        task = asyncio.create_task(work())
        self._recording.tasks.add(task)
        task.add_done_callback(self._recording.tasks.discard)
        await asyncio.shield(task)

    def _agreed(self, message: Message) -> Terms | None:
        """The terms under which the answer is stored, None where it is not."""
        fits = number(value_of(self._headers, b"content-length") or "") <= self._recording.responses.most_bytes
        if not (self._call.is_get and fits) or message.get("trailers"):
            return None
        terms = Terms.of(self._status, self._headers, now_s=time(), default_ttl_s=self._recording.default_ttl_s)
        return terms if terms is not None and self._call.wishes.allowed(terms.audience) else None

    def _keep(self, part: bytes) -> None:
        self._bytes += len(part)
        if self._bytes > self._recording.responses.most_bytes:
            self._judged(None)
            self._give_up()
        elif part:
            self._parts.append(part)

    def _page(self) -> AnyPage | None:
        """The complete answer as it is stored, None where it is not."""
        if self._terms is None:
            return None
        declared = value_of(self._headers, b"content-length")
        if declared is not None and number(declared) != self._bytes:
            return None
        return self._recording.responses.page_of(
            self._status, self._headers, b"".join(self._parts), self._terms, time()
        )

    def _give_up(self) -> None:
        """Nothing will be stored; who waits need not."""
        self._terms = None
        self._parts.clear()
        if self._lead is not None:
            self._lead.end()

    async def _pass_on(self, message: Message) -> None:
        try:
            await self._call.send(message)
        except OSError:
            self.client_gone = True
            raise


def marked(send: Send, mark: bytes) -> Send:
    """``send``, with this X-Cache."""

    async def wrapped(message: Message) -> None:
        if message["type"] == _START:
            message = {**message, "headers": [*message.get("headers", ()), (b"x-cache", mark)]}
        await send(message)

    return wrapped


async def send_all(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send a whole answer."""
    await send({"type": _START, "status": status, "headers": list(headers)})
    await send({"type": _BODY, "body": body, "more_body": False})
