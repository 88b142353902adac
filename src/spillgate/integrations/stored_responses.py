"""Responses in a namespace of a cache: how they are keyed, found, stored and invalidated.

Three kinds of values, each a hop from the one before::

    hash of the path                   a number
    hash of that number and the URL    the response; where it varies, which request headers it depends on
    hash of all that and their values  the response

Changing the number makes all responses of a path unreachable, for whatever host, query or user, with no index of them;
they end by their TTLs. The keys are hashes, so neither cookies nor tokens can be read off them.
"""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import msgspec

from spillgate.cache import AsyncCache, AsyncNamespace
from spillgate.cache.waiting import logger
from spillgate.errors import ServerError, ValueRefused
from spillgate.integrations.http_caching import Audience, Headers, Terms, kept, value_of

Body = TypeVar("Body", str, bytes)

_DIGEST_BYTES: Final = 16
# A path's next number is at most this much more than the last, and chosen by chance, so that none comes up again.
_STEP: Final = 1 << 40
_REMEMBERED: Final = 4096
_LONGEST: Final = float("inf")  # which the namespace bounds


class Page(msgspec.Struct, Generic[Body], frozen=True, array_like=True, tag="p"):
    """A stored response; ``born_s`` is when its age was 0, in seconds since 1970."""

    status: int
    headers: list[tuple[str, str]]
    body: Body
    born_s: float
    lifetime_s: float
    stale_s: float
    audience: Audience
    vary: tuple[str, ...]

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        return self.body.encode() if isinstance(self.body, str) else self.body

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields as ASGI has them."""
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]

    @property
    def terms(self) -> Terms:
        """Those under which it was stored."""
        return Terms(self.lifetime_s, self.stale_s, 0.0, self.audience, self.vary)


class Varies(msgspec.Struct, frozen=True, array_like=True, tag="v"):
    """Which request headers the responses of a URL depend on."""

    names: tuple[str, ...]


AnyPage = Page[str] | Page[bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is for. The query counts as it was sent: to some handlers the order matters."""

    path: str
    url: tuple[str, str, str, str]
    headers: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> "Target":
        """Read it off an ASGI scope."""
        headers = tuple(cast("Headers", scope["headers"]))
        raw: bytes | None = scope.get("raw_path")
        path: str = scope["path"]
        return cls(
            path,
            (
                scope.get("scheme", "http"),
                (value_of(headers, b"host") or "").lower(),
                path if raw is None else raw.decode("latin-1"),
                cast("bytes", scope.get("query_string", b"")).decode("latin-1"),
            ),
            headers,
        )

    def key(self, number: int, vary: tuple[str, ...] = ()) -> str:
        """The key of its response, where that depends on these request headers."""
        values = [[value for name, value in self.headers if name.lower() == wanted.encode()] for wanted in vary]
        return _hash(number, *self.url, vary, values)


class Found(NamedTuple):
    """What is stored for a target: the path's number, which headers its responses depend on, and the response."""

    number: int | None = None
    vary: tuple[str, ...] = ()
    page: AnyPage | None = None


class Responses:
    """The responses stored in a namespace.

    Args:
        cache: where they are; what is asked of it when its server is down is answered at once, with nothing.
        namespace: its name in the policy. With ``binary = true`` it takes any body, else those that are UTF-8 text.

    Raises:
        ConfigError: the policy has no such namespace, or it has no ``ttl``.
    """

    def __init__(self, cache: AsyncCache, namespace: str) -> None:
        page = Page[str]
        for policy in cache.policy.namespaces:
            if policy.name == namespace:
                self.most_bytes = policy.max_value_bytes
                page = Page[bytes] if policy.binary else Page[str]
        self.lock_s = cache.policy.cache.lock_s
        self._binary = page is Page[bytes]
        self._values: AsyncNamespace[Any] = cache.namespace(namespace, int | Varies | page)
        self._numbers: dict[str, int] = {}
        self._told = False

    async def invalidate(self, *paths: str) -> None:
        """Make all responses of these paths unreachable, for everybody and at once, and those now being made as well.

        A path is without host and query, as handlers see it: percent-decoded.

        Raises:
            ServerError: the server failed; they may still be reachable.
        """
        for path in paths:
            key = _path_key(path)
            try:
                await self._values.incr(key, 1 + secrets.randbelow(_STEP), _LONGEST)
            except ServerError:
                # At its memory limit a server still deletes.
                if not await self._values.delete(key):
                    raise

    async def clear(self) -> None:
        """Make all responses of the namespace unreachable.

        Raises:
            ServerError: the server failed; they may still be reachable.
        """
        await self._values.clear()

    async def find(self, target: Target) -> Found:
        """What is stored: one round trip where the path's number is still the one remembered, and nothing varies."""
        path_key = _path_key(target.path)
        guess = self._numbers.get(path_key)
        values = await self._values.get_many([path_key] if guess is None else [path_key, target.key(guess)])
        number = values.get(path_key)
        if type(number) is not int:
            return Found()
        if number != guess:
            self._remember(path_key, number)
            values = await self._values.get_many([target.key(number)])
        value = values.get(target.key(number))
        if not isinstance(value, Varies):
            return Found(number, (), value)
        return Found(number, value.names, await self._values.get(target.key(number, value.names)))

    async def save(self, target: Target, found: Found, page: AnyPage) -> bool:
        """Store a response that was made after ``found`` was found; whether it was stored.

        It is not where the path was invalidated meanwhile: then the number is another one, or there is one now.
        """
        path_key, number = _path_key(target.path), found.number
        try:
            if number is None:
                number = 1 + secrets.randbelow(_STEP)
                if not await self._values.add(path_key, number, _LONGEST):
                    return False
                self._remember(path_key, number)
            elif not await self._values.touch(path_key, _LONGEST):
                return False
            ttl_s = page.lifetime_s + page.stale_s
            names = tuple(sorted({*found.vary, *page.vary}))
            if not names:
                return await self._values.set(target.key(number), page, ttl_s)
            pointed = await self._values.set(target.key(number), Varies(names), _LONGEST)
            return pointed and await self._values.set(target.key(number, names), page, ttl_s)
        except (ServerError, ValueRefused):
            return False  # counted, and logged

    def page_of(self, status: int, headers: Headers, body: bytes, terms: Terms, now_s: float) -> AnyPage | None:
        """A response as it is stored; None where the namespace does not take its body."""
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in kept(headers)]
        rest = (now_s - terms.age_s, terms.lifetime_s, terms.stale_s, terms.audience, terms.vary)
        if self._binary:
            return Page(status, fields, body, *rest)
        try:
            return Page(status, fields, body.decode(), *rest)
        except UnicodeDecodeError:
            if not self._told:
                self._told = True
                logger.warning(
                    "%s: responses that are not UTF-8 text, or are compressed, are not stored here: set binary = true "
                    "for the namespace, or compress after the cache",
                    self._values.name,
                )
            return None

    def _remember(self, path_key: str, number: int) -> None:
        if len(self._numbers) >= _REMEMBERED:
            self._numbers.clear()
        self._numbers[path_key] = number


def _path_key(path: str) -> str:
    return _hash(path.encode(errors="surrogatepass"))


def _hash(*parts: object) -> str:
    digest = blake2b(msgspec.msgpack.encode(parts), digest_size=_DIGEST_BYTES).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")
