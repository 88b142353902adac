"""The rules of HTTP caching (RFC 9111) for a cache that many users share; pure, on headers as ASGI has them.

Where the standard leaves a choice, and a page of one user could otherwise reach another, the stricter one is taken:

- A response to a request with Authorization is stored, and a stored response is given to one, only where the response
  says ``public`` or ``s-maxage``. (Section 3.5 would also take ``must-revalidate``, and allows the second.)
- The same goes for responses with Set-Cookie, and what is stored of them is without the cookie.
- ``no-cache``, and ``private`` with a list of fields, count as not to be stored.
- Without freshness information nothing is stored, unless a default TTL is given. Then the response is only for requests
  that also have no Cookie, or else it has to vary by that.
"""

import enum
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

Headers = Iterable[tuple[bytes, bytes]]
"""Header fields as ASGI has them; names in any case."""

# Section 1.2.2: whoever cannot count further takes this.
_MOST: Final = 1 << 31
_MOST_DIGITS: Final = 20
_DIRECTIVE: Final = re.compile(r"""([\w!#$%&'*+.^`|~-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s",]*)))?""", re.ASCII)
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')
_STORED: Final = frozenset({200, 203, 204, 300, 301, 302, 307, 308, 404, 410})
# Stored without freshness information: those that section 4.2.2 allows it for, and no errors.
_STORED_BY_DEFAULT: Final = frozenset({200, 203, 204, 300, 301, 308})
# What a cache must not pass on (section 3.1), and what is made anew for each answer.
_NOT_KEPT: Final = frozenset(
    b"age connection content-length date keep-alive proxy-authenticate proxy-authentication-info proxy-authorization "
    b"proxy-connection set-cookie set-cookie2 te trailer transfer-encoding upgrade".split()
)
_OF_THE_BODY: Final = frozenset(
    b"content-encoding content-language content-length content-range content-type transfer-encoding".split()
)


class Audience(enum.IntEnum):
    """Whose requests a stored response may answer."""

    ANYONE = 0
    UNAUTHORIZED = 1
    """Those without Authorization."""
    ANONYMOUS = 2
    """Those without Authorization and without Cookie."""


class Use(enum.Enum):
    """What a stored response is good for."""

    FRESH = enum.auto()
    STALE = enum.auto()
    """It may be used while it is refreshed."""
    NONE = enum.auto()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request says about caching; ages are in seconds."""

    authorized: bool = False
    has_cookie: bool = False
    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age_s: float = math.inf
    min_fresh_s: float = 0.0

    @classmethod
    def of(cls, headers: Headers, *, obey: bool = True) -> "Wishes":
        """Read them; its Cache-Control is left aside unless ``obey``."""
        headers = tuple(headers)
        said: Mapping[str, str] = directives(headers) if obey else {}
        return cls(
            authorized=value_of(headers, b"authorization") is not None,
            has_cookie=value_of(headers, b"cookie") is not None,
            no_store="no-store" in said,
            no_cache="no-cache" in said,
            only_if_cached="only-if-cached" in said,
            max_age_s=number(said["max-age"]) if "max-age" in said else math.inf,
            min_fresh_s=number(said["min-fresh"]) if "min-fresh" in said else 0.0,
        )

    def allowed(self, audience: Audience) -> bool:
        """Whether a response for this audience may answer the request."""
        if audience is Audience.ANYONE:
            return True
        return not self.authorized and not (self.has_cookie and audience is Audience.ANONYMOUS)

    def use(self, terms: "Terms", age_s: float) -> Use:
        """What a stored response of this age is good for (section 4.2)."""
        left_s = terms.lifetime_s - age_s
        if not self.allowed(terms.audience) or self.no_cache or age_s > self.max_age_s:
            return Use.NONE
        if left_s > 0:
            return Use.FRESH if left_s >= self.min_fresh_s else Use.NONE
        stale = -left_s < terms.stale_s and not self.min_fresh_s and self.max_age_s == math.inf
        return Use.STALE if stale else Use.NONE


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms under which a response may be stored and used, in seconds.

    ``lifetime_s`` counts from an age of 0, and ``age_s`` is how old it already was. ``stale_s`` is how much longer it
    may be used while it is refreshed (RFC 5861). ``vary`` names the request headers it depends on, in lower case.
    """

    lifetime_s: float
    stale_s: float = 0.0
    age_s: float = 0.0
    audience: Audience = Audience.UNAUTHORIZED
    vary: tuple[str, ...] = ()

    @classmethod
    def of(cls, status: int, headers: Headers, *, now_s: float, default_ttl_s: float | None = None) -> "Terms | None":
        """Those of a response to GET, None where it may not be stored (section 3)."""
        headers = tuple(headers)
        said = directives(headers)
        vary = vary_of(headers)
        if status not in _STORED or "*" in vary or not said.keys().isdisjoint({"no-store", "no-cache", "private"}):
            return None
        shared = "public" in said or "s-maxage" in said
        if not shared and value_of(headers, b"set-cookie") is not None:
            return None
        audience = Audience.ANYONE if shared else Audience.UNAUTHORIZED
        lifetime_s = lifetime_of(headers, said, now_s)
        if lifetime_s is None:
            if default_ttl_s is None or status not in _STORED_BY_DEFAULT:
                return None
            lifetime_s = default_ttl_s
            if not shared and "cookie" not in vary:
                audience = Audience.ANONYMOUS
        age_s = age_of(headers, now_s)
        if lifetime_s <= age_s:
            return None
        strict = "must-revalidate" in said or "proxy-revalidate" in said
        stale_s = 0.0 if strict or "stale-while-revalidate" not in said else number(said["stale-while-revalidate"])
        return cls(lifetime_s, stale_s, age_s, audience, vary)


def value_of(headers: Headers, name: bytes) -> str | None:
    """The value of a header field, of several lines joined by commas; None where there is none."""
    lines = [value for field, value in headers if field.lower() == name]
    return b", ".join(lines).decode("latin-1") if lines else None


def directives(headers: Headers) -> Mapping[str, str]:
    """What Cache-Control says, names in lower case; of a directive that is there twice the first counts."""
    found: dict[str, str] = {}
    for name, quoted, plain in _DIRECTIVE.findall(value_of(headers, b"cache-control") or ""):
        found.setdefault(name.lower(), quoted or plain)
    return found


def number(text: str) -> int:
    """A number of seconds or bytes; 0 where it is none, so that what says it counts as stale."""
    if not (text.isascii() and text.isdigit()):
        return 0
    return min(int(text), _MOST) if len(text) <= _MOST_DIGITS else _MOST


def moment(text: str) -> float | None:
    """An HTTP date as seconds since 1970; None where it is none."""
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def vary_of(headers: Headers) -> tuple[str, ...]:
    """The names in Vary, in lower case and in order."""
    names = (value_of(headers, b"vary") or "").lower().split(",")
    return tuple(sorted({name.strip() for name in names} - {""}))


def lifetime_of(headers: Headers, said: Mapping[str, str], now_s: float) -> float | None:
    """For how many seconds a response is fresh (section 4.2.1); None where it does not say."""
    for name in ("s-maxage", "max-age"):
        if name in said:
            return number(said[name])
    expires = value_of(headers, b"expires")
    if expires is None:
        return None
    end_s, made_s = moment(expires), moment(value_of(headers, b"date") or "")
    return 0.0 if end_s is None else end_s - (now_s if made_s is None else made_s)


def age_of(headers: Headers, now_s: float) -> float:
    """How old a response already is (section 4.2.3)."""
    made_s = moment(value_of(headers, b"date") or "")
    # The moment it was made has no fractions, so a second is no age.
    apparent_s = 0.0 if made_s is None or now_s - made_s < 1 else now_s - made_s
    return max(apparent_s, number((value_of(headers, b"age") or "0").strip()))


def kept(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The header fields that are stored (section 3.1), names in lower case."""
    headers = [(name.lower(), value) for name, value in headers]
    named = {name.strip().encode("latin-1") for name in (value_of(headers, b"connection") or "").lower().split(",")}
    return [(name, value) for name, value in headers if name not in _NOT_KEPT and name not in named]


def is_current(request: Headers, status: int, response: Headers) -> bool:
    """Whether the client has this response already, so that 304 says it all (RFC 9110, section 13.2.2)."""
    request, response = tuple(request), tuple(response)
    if status != 200:  # noqa: PLR2004 (the one status that a condition is about)
        return False
    tag, known = value_of(response, b"etag"), value_of(request, b"if-none-match")
    if known is not None:
        mine = _TAG.findall(tag or "")
        return known.strip() == "*" or bool(mine and mine[0] in _TAG.findall(known))
    changed_s = moment(value_of(response, b"last-modified") or "")
    since_s = moment(value_of(request, b"if-modified-since") or "")
    return changed_s is not None and since_s is not None and changed_s <= since_s


def of_not_modified(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The header fields of a response that its 304 has as well (RFC 9110, section 15.4.5)."""
    headers = tuple(headers)
    left_out = _OF_THE_BODY | ({b"last-modified"} if value_of(headers, b"etag") else set[bytes]())
    return [(name, value) for name, value in headers if name.lower() not in left_out]
