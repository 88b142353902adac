"""Who may do what: the token, in constant time, and no more than some wrong ones."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.requests import Request

_MOST_WRONG, _WINDOW_S = 10, 60.0
_MOST_ADDRESSES = 1024


class Refused(Exception):
    """A request that is not carried out: with a status code, a message for people, and headers as of `answer`."""

    def __init__(self, code: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.code = code
        self.headers = headers


class Access:
    """Asks for one token; ``None`` lets nobody in."""

    def __init__(self, token: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` is a monotonic one."""
        self._token = token
        self._clock = clock
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, request: Request) -> None:
        """Let a request with the token pass.

        Raises:
            Refused: it has none, or a wrong one, or comes from a page of another origin.
        """
        if self._token is None:
            raise Refused(403, "this is off: set SPILLGATE_TOKEN where Spillgate runs, and restart it")
        origin = request.headers.get("origin")
        # A proxy in front may name itself in the one and the browser's address in the other; no page can set either.
        ours = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
        if origin is not None and (urlsplit(origin).netloc or origin) not in ours:
            raise Refused(403, f"a page of {origin} may not do this")
        address = request.client.host if request.client else ""
        self._heed_limit(address)  # before any comparison, or guessing would go on at full speed
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not given.strip():
            raise Refused(
                401, "this takes the token: Authorization: Bearer $SPILLGATE_TOKEN", WWW_Authenticate="Bearer"
            )
        if not hmac.compare_digest(given.strip().encode("latin-1"), self._token.encode()):
            self._note(address)
            raise Refused(401, "that is not the token", WWW_Authenticate='Bearer error="invalid_token"')

    def _heed_limit(self, address: str) -> None:
        since = self._clock() - _WINDOW_S
        wrong = [at_s for at_s in self._wrong.get(address, ()) if at_s > since]
        if len(wrong) >= _MOST_WRONG:
            left = max(1, round(wrong[0] - since))
            raise Refused(429, f"too many wrong tokens: try again in {left} s", Retry_After=str(left))

    def _note(self, address: str) -> None:
        now = self._clock()
        kept = [at_s for at_s in self._wrong.pop(address, ()) if at_s > now - _WINDOW_S]
        self._wrong[address] = [*kept[-_MOST_WRONG:], now]
        while len(self._wrong) > _MOST_ADDRESSES:
            self._wrong.popitem(last=False)
