# pyright: basic
"""The backend: what Django asks of a cache, done by a namespace of `Cache` and of `AsyncCache`.

Each operation is written once, as its steps; the method of Django's name and its ``a...`` twin do these (`twins`).
"""

import inspect
import logging
from collections.abc import Generator, Iterable, Mapping
from typing import Any, NoReturn, cast

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.exceptions import ImproperlyConfigured
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString

from spillgate.cache import Event
from spillgate.errors import ServerError, ValueRefused
from spillgate.integrations.django.configured import Configured, Wanted, configured
from spillgate.integrations.django.twins import PING, Steps, twins
from spillgate.integrations.django.values import value_of

logger = logging.getLogger("spillgate.django")


class SpillgateCache(BaseCache):
    """Django's cache on a server that Spillgate keeps below its memory limit.

    Where the server fails, reads are misses and writes are dropped; ``add``, ``incr``, ``decr``, ``incr_version``,
    ``decr_version`` and ``clear`` raise `ServerError` rather than lie.

    Raises:
        ImproperlyConfigured: the settings cannot be used.
    """

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        super().__init__(params)
        self.timed = any(name in params for name in ("timeout", "TIMEOUT"))
        options = params.get("OPTIONS") or {}
        self.shared: Configured = configured(
            Wanted(server, options, self.key_prefix, self.default_timeout, self.timed, str(self.make_key("key")))
        )

    # Each operation once

    def _do_get(self, key: Any, default: Any = None, version: int | None = None) -> Steps:
        """The value of a key, or ``default``."""
        found = yield "get", self._name(key, version)
        return default if found is None else found.value

    def _do_get_many(self, keys: Iterable[Any], version: int | None = None) -> Steps:
        """The values of those of the keys that have one, in one round trip."""
        names = {self._name(key, version): key for key in keys}
        found = yield "get_many", tuple(names)
        return {names[name]: stored.value for name, stored in found.items()}

    def _do_set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> Steps:
        """Store a value; whether it was stored.

        Raises:
            ValueRefused: it could only be stored as a pickle. A page or fragment that is too large is not stored.
        """
        name, ttl_s = self._name(key, version), self._ttl_s(timeout)
        if ttl_s is not None and ttl_s <= 0:
            yield "delete", name
            return False
        try:
            return (yield "set", name, self.shared.rules.storable(value), ttl_s)
        except ValueRefused as error:
            if not isinstance(value, HttpResponseBase | SafeString):
                raise
            # Who rendered it goes on without: an exception here would take the place of a page that is fine.
            logger.warning("%s was not cached: %s", key, error)
            return False

    def _do_set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Steps:
        """Store several values in one round trip; the keys of those that were not stored."""
        names = {self._name(key, version): key for key in data}
        ttl_s = self._ttl_s(timeout)
        if ttl_s is not None and ttl_s <= 0:
            yield "delete_many", tuple(names)
            return []
        values = {name: self.shared.rules.storable(data[key]) for name, key in names.items()}
        lost = yield "set_many", values, ttl_s
        return [names[name] for name in lost]

    def _do_add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> Steps:
        """Store a value unless there is one; whether there was none.

        Raises:
            ServerError: that cannot be told.
            ValueRefused: it could only be stored as a pickle.
        """
        name, ttl_s = self._name(key, version), self._ttl_s(timeout)
        if ttl_s is not None and ttl_s <= 0:
            return not (yield "exists", name)
        return (yield "add", name, self.shared.rules.storable(value), ttl_s)

    def _do_touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> Steps:
        """Give a value a new timeout; whether there is one."""
        name, ttl_s = self._name(key, version), self._ttl_s(timeout)
        if ttl_s is not None and ttl_s <= 0:
            return (yield "delete", name)
        return (yield "touch", name, ttl_s)

    def _do_delete(self, key: Any, version: int | None = None) -> Steps:
        """Delete a value; whether there was one."""
        return (yield "delete", self._name(key, version))

    def _do_delete_many(self, keys: Iterable[Any], version: int | None = None) -> Steps:
        """Delete several values in one round trip."""
        yield "delete_many", [self._name(key, version) for key in keys]

    def _do_has_key(self, key: Any, version: int | None = None) -> Steps:
        """Whether there is a value."""
        return (yield "exists", self._name(key, version))

    def _do_incr(self, key: Any, delta: int = 1, version: int | None = None) -> Steps:
        """Add to an int in the server, and return the sum; its timeout stays.

        Raises:
            ValueError: there is no value, or it is no int.
            ServerError: it cannot be counted on.
        """
        name = self._name(key, version)
        if not (yield "exists", name):
            return (yield from self._missing(key))
        return (yield "incr", name, delta)

    def _do_decr(self, key: Any, delta: int = 1, version: int | None = None) -> Steps:
        """As ``incr``, with ``-delta``."""
        return (yield from self._do_incr(key, -delta, version))

    def _do_incr_version(self, key: Any, delta: int = 1, version: int | None = None) -> Steps:
        """Move a value to another version, with what is left of its timeout; that version.

        Raises:
            ValueError: there is no value.
            ServerError: the server failed; the value may be in both versions.
        """
        before = self.version if version is None else version
        old, new = self._name(key, before), self._name(key, before + delta)
        stored: Any = yield "get", old
        if stored is None:
            return (yield from self._missing(key))
        left_s = yield "ttl", old
        if not (yield "set", new, self.shared.rules.storable(stored.value), left_s):
            raise ServerError(f"the value of {key!r} could not be stored as version {before + delta}")
        yield "delete", old
        return before + delta

    def _do_decr_version(self, key: Any, delta: int = 1, version: int | None = None) -> Steps:
        """As ``incr_version``, with ``-delta``."""
        return (yield from self._do_incr_version(key, -delta, version))

    def _do_clear(self) -> Steps:
        """Make all values of this cache unreachable, in all versions: at once, however many there are.

        Other keys of the server stay. What the values took is freed in the background.

        Raises:
            ServerError: the server failed, so they may still be reachable.
        """
        yield ("clear",)

    def _do_ttl(self, key: Any, version: int | None = None) -> Steps:
        """The seconds until a value expires, 0 where there is none; None for one that somebody stored for ever."""
        left_ms = yield from self._do_pttl(key, version)
        return left_ms and max(1, round(left_ms / 1000))

    def _do_pttl(self, key: Any, version: int | None = None) -> Steps:
        """As ``ttl``, in milliseconds."""
        name = self._name(key, version)
        left_s = yield "ttl", name
        if left_s is None:
            return None if (yield "exists", name) else 0
        return max(1, round(left_s * 1000))

    def _do_get_or_add(self, key: Any, default: Any, timeout: Any, version: int | None) -> Steps:
        """The value of a key; ``default`` where there is none, which is then stored."""
        name = self._name(key, version)
        found = yield "get", name
        if found is not None:
            return found.value
        try:
            yield from self._do_add(key, default, timeout, version)
        except ServerError:
            return default
        # Another caller may have been the first to add it.
        found = yield "get", name
        return default if found is None else found.value

    # Its two forms

    get, aget = twins(_do_get)
    get_many, aget_many = twins(_do_get_many)
    set, aset = twins(_do_set)
    set_many, aset_many = twins(_do_set_many)
    add, aadd = twins(_do_add)
    touch, atouch = twins(_do_touch)
    expire, aexpire = touch, atouch
    delete, adelete = twins(_do_delete)
    delete_many, adelete_many = twins(_do_delete_many)
    has_key, ahas_key = twins(_do_has_key)
    incr, aincr = twins(_do_incr)
    decr, adecr = twins(_do_decr)
    incr_version, aincr_version = twins(_do_incr_version)
    decr_version, adecr_version = twins(_do_decr_version)
    clear, aclear = twins(_do_clear)
    ttl, attl = twins(_do_ttl)
    pttl, apttl = twins(_do_pttl)
    _get_or_add, _aget_or_add = twins(_do_get_or_add)

    def get_or_set(self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> Any:
        """The value of a key; ``default``, or what it returns, where there is none, which is then stored.

        A callable is called once, however many callers want the value at the same time in however many processes.
        """
        if not callable(default):
            return self._get_or_add(key, default, timeout, version)
        name, ttl_s = self._name(key, version), self._ttl_s(timeout)
        if ttl_s is not None and ttl_s <= 0:
            found = self.shared.sync.namespace.get(name)
            return default() if found is None else value_of(found)

        def compute() -> Any:
            return self.shared.rules.packed(default())

        return value_of(self.shared.sync.namespace.get_or_set(name, compute, ttl_s))

    async def aget_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,  # noqa: ASYNC109 (Django's name for a TTL)
        version: int | None = None,
    ) -> Any:
        """As ``get_or_set``; what ``default`` returns may also be awaitable."""
        if not callable(default):
            return await self._aget_or_add(key, default, timeout, version)
        name, ttl_s = self._name(key, version), self._ttl_s(timeout)

        async def called() -> Any:
            value = default()
            return await value if inspect.isawaitable(value) else value

        async def compute() -> Any:
            return self.shared.rules.packed(await called())

        namespace: Any = self.shared.asynchronous.namespace
        if ttl_s is not None and ttl_s <= 0:
            found = await namespace.get(name)
            return await called() if found is None else value_of(found)
        return value_of(await namespace.get_or_set(name, compute, ttl_s))

    def counts(self) -> Mapping[Event, float]:
        """What happened so far in this process, by event, of all that share the cache's namespace."""
        total: dict[Event, float] = {}
        for side in (self.shared.sync, self.shared.asynchronous):
            for event, amount in side.cache.counts().get(self.shared.rules.name, {}).items():
                total[event] = total.get(event, 0) + amount
        return total

    def close(self, **kwargs: Any) -> None:
        """Nothing: Django closes its caches after each request, and connections are there to be used again."""

    async def aclose(self, **_kwargs: Any) -> None:
        """Close the connections of the running event loop, for a loop that ends before its process does."""
        cache: Any = self.shared.asynchronous.cache
        await cache.aclose()

    # What the operations share

    def _name(self, key: Any, version: int | None) -> str:
        """A key as the namespace knows it.

        Raises:
            ImproperlyConfigured: the KEY_FUNCTION made one that is outside of the namespace.
        """
        made = cast("str", self.make_and_validate_key(key, version))
        if not self.shared.keeps:
            return made
        if not made.startswith(self.shared.prefix):
            raise ImproperlyConfigured(
                f"CACHES: the KEY_FUNCTION made {made!r} of the key {key!r}, which does not begin with "
                f"{self.shared.prefix!r}, as all keys of this cache do"
            )
        return made[len(self.shared.prefix) :]

    def _ttl_s(self, timeout: Any) -> float | None:
        """The seconds that a timeout stands for; None for the namespace's own TTL, 0 or less to store nothing.

        For ever is as long as the namespace allows.
        """
        if timeout is DEFAULT_TIMEOUT:
            if not self.timed:
                return None
            timeout = self.default_timeout
        return self.shared.max_ttl_s if timeout is None else timeout

    @staticmethod
    def _missing(key: Any) -> Generator[tuple[Any, ...], Any, NoReturn]:
        """Raise the error of a key without a value, or that of a server that cannot tell."""
        yield PING
        raise ValueError(f"Key '{key}' not found")
