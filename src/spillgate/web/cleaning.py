"""``POST /api/cleanup``: a cleanup by hand, asked for over HTTP."""

import asyncio
from typing import Annotated

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from spillgate.errors import ConfigError, SpillgateError
from spillgate.governor import by_hand
from spillgate.model import Level
from spillgate.web.access import Access, Refused
from spillgate.web.documents import CLEANUP_LEVELS
from spillgate.web.sources import Sources
from spillgate.web.views import Document

_MOST_BYTES = 64 * 1024
_BODY_S = 10.0
_LEVELS = {level.label: level for level in CLEANUP_LEVELS}


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    level: str = Level.EMERGENCY.label
    namespaces: Annotated[list[str], msgspec.Meta(max_length=10_000)] = msgspec.field(default_factory=list[str])
    dry_run: bool = True


class Cleaning:
    """Carries out one cleanup at a time; what it would do may be asked for meanwhile, one question at a time too."""

    def __init__(self, sources: Sources, access: Access) -> None:
        """``access`` decides who may ask."""
        self._sources = sources
        self._access = access
        self._previewing, self._cleaning = asyncio.Lock(), asyncio.Lock()

    async def answer(self, request: Request) -> Document:
        """What came of it.

        Raises:
            Refused: it is not carried out, and why.
        """
        self._access.check(request)
        body = await _body(request)
        asked = by_hand.Request(self._sources.governor.state.policy, _LEVELS[body.level], frozenset(body.namespaces))
        try:
            asked.check("request")
        except ConfigError as error:
            raise Refused(422, str(error)) from error
        if body.dry_run and self._sources.governor.state.policy.monitor.commands_per_day:
            raise Refused(409, "the plan meters commands, and a preview takes many: use spillgate cleanup --dry-run")
        if not body.dry_run and self._sources.governor.dry_run:
            raise Refused(409, "the governor runs with --dry-run: nothing is ever deleted")
        lock = self._previewing if body.dry_run else self._cleaning
        if lock.locked():
            raise Refused(409, "another cleanup by hand is under way")
        async with lock:
            return await run_in_threadpool(self._carried_out, asked, dry_run=body.dry_run)

    def _carried_out(self, asked: by_hand.Request, *, dry_run: bool) -> Document:
        try:
            report = asked.preview() if dry_run else asked.carry_out(self._sources.governor)
        except SpillgateError as error:
            raise Refused(503, str(error)) from error
        if not dry_run:
            self._sources.governor.wake()
        return report.document()


async def _body(request: Request) -> _Body:
    """What the request says.

    Raises:
        Refused: it cannot be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, 'expected Content-Type: application/json, and a body such as {"level": "emergency"}')
    data = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.stream():
                data += chunk
                if len(data) > _MOST_BYTES:
                    raise Refused(413, f"expected a body of at most {_MOST_BYTES // 1024} KB")
    except TimeoutError as error:
        raise Refused(408, f"the body did not come within {_BODY_S:g} s", Connection="close") from error
    try:
        body = msgspec.json.decode(data or b"{}", type=_Body)
    except msgspec.MsgspecError as error:
        raise Refused(422, f"the body cannot be read: {error}") from error
    if body.level not in _LEVELS:
        raise Refused(422, f'unknown level "{body.level}" (expected one of {", ".join(_LEVELS)})')
    return body
