"""A backend for Flask-Caching, and for whatever else takes a cache of cachelib, such as Flask-Session.

With Flask-Caching::

    app.config["CACHE_TYPE"] = "spillgate.integrations.flask.SpillgateCache"
    app.config["SPILLGATE_CONFIG"] = "spillgate.toml"  # or CACHE_REDIS_URL alone
    app.config["SPILLGATE_NAMESPACE"] = "pages"

Anywhere else::

    SpillgateCache(Cache.from_url(config="spillgate.toml"), "sessions")

Values are plain data, see `flask_values`; what cannot be written so raises `ValueRefused`, which Flask-Caching logs and
passes over, unless the application is in debug mode.
"""

from typing import TYPE_CHECKING, Any, Self, cast

from spillgate.cache import Cache
from spillgate.errors import MissingExtra, ServerError
from spillgate.integrations.flask_config import DEFAULT_S, Timeout, read_config, ttl_of

try:
    from flask import Response as FlaskResponse
    from flask import current_app

    from spillgate.integrations.flask_values import FlaskValues
except ModuleNotFoundError as error:
    raise MissingExtra("flask") from error

if TYPE_CHECKING:
    from cachelib.base import BaseCache
    from flask import Flask
else:
    try:
        # Flask-Caching calls `factory` of its own kind of caches alone.
        from flask_caching.backends.base import BaseCache
    except ModuleNotFoundError:
        try:
            from cachelib.base import BaseCache
        except ModuleNotFoundError as error:
            raise MissingExtra("flask") from error


class SpillgateCache(BaseCache):
    """The values of one namespace, as a cache of cachelib.

    Nothing is stored for ever: a timeout of 0, which says so in cachelib, is the namespace's ``max_ttl``. None is
    ``default_timeout``, and where that is None too, the namespace's ``ttl``. Other timeouts are bounded by the
    namespace.

    Args:
        cache: the cache whose namespace it is; several may share one.
        namespace: its name in the policy.
        default_timeout: in seconds.
        ignore_delete_many_errors: whether `delete_many` keeps silent when the server fails.

    Raises:
        ConfigError: the policy has no such namespace, or it has no ``ttl``.
    """

    def __init__(
        self,
        cache: Cache,
        namespace: str,
        *,
        default_timeout: Timeout = None,
        ignore_delete_many_errors: bool = False,
    ) -> None:
        self.spillgate = cache
        """The cache of Spillgate: its counters, its level."""
        self._namespace = cache.namespace(namespace)
        (policy,) = (one for one in cache.policy.namespaces if one.name == namespace)
        self._values = FlaskValues(namespace, binary=policy.binary, make=_response)
        ttl_s = policy.ttl_s or DEFAULT_S
        self._default = ttl_of(default_timeout, ttl_s)
        self.default_timeout = int(ttl_s if default_timeout is None else min(self._default, policy.max_ttl_s or ttl_s))
        self.ignore_delete_many_errors = ignore_delete_many_errors

    @classmethod
    def factory(cls, app: "Flask", config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> Self:
        """What Flask-Caching makes it by.

        ``config`` may have ``SPILLGATE_CONFIG``, the path of a policy file, and ``SPILLGATE_NAMESPACE``, which of its
        namespaces is meant where it has several; both may also stand in the environment, or as ``config`` and
        ``namespace`` in ``CACHE_OPTIONS``. ``CACHE_REDIS_URL``, or ``CACHE_REDIS_HOST`` and so on, go over the server
        of the file.

        Without a policy file there is one namespace, of the keys that begin with ``CACHE_KEY_PREFIX``, for
        ``CACHE_DEFAULT_TIMEOUT`` and at most a day. What else is in ``CACHE_OPTIONS`` are settings of that namespace,
        as the policy file has them.

        Raises:
            ConfigError: something in there is wrong.
        """
        del app, args
        options = {key: value for key, value in kwargs.items() if key != "default_timeout"}
        ignore = bool(options.pop("ignore_delete_many_errors", False))
        policy, namespace = read_config(config, options)
        return cls(Cache(policy), namespace, ignore_delete_many_errors=ignore)

    def get(self, key: str) -> Any:
        """The value of ``key``, None where there is none."""
        return self._values.unpack(self._namespace.get(key))

    def get_many(self, *keys: str) -> list[Any]:
        """The values of ``keys`` in their order, None for those that have none."""
        found = self._namespace.get_many(keys)
        return [self._values.unpack(found.get(key)) for key in keys]

    def get_dict(self, *keys: str) -> dict[str, Any]:
        """As `get_many`, by key."""
        return dict(zip(keys, self.get_many(*keys), strict=True))

    def set(self, key: str, value: Any, timeout: Timeout = None) -> bool:
        """Store a value; whether it was stored.

        Raises:
            ValueRefused: it cannot be stored.
        """
        return self._namespace.set(key, self._values.pack(value), self._ttl(timeout))

    def set_many(self, mapping: dict[str, Any], timeout: Timeout = None) -> list[str]:
        """Store several values; the keys of those that were stored.

        Raises:
            ValueRefused: one of them cannot be stored; then some of the others may be.
        """
        lost = self._namespace.set_many(
            {key: self._values.pack(value) for key, value in mapping.items()}, self._ttl(timeout)
        )
        return [key for key in mapping if key not in set(lost)]

    def add(self, key: str, value: Any, timeout: Timeout = None) -> bool:
        """Store a value unless there is one; whether it was stored.

        Raises:
            ValueRefused: it cannot be stored.
        """
        try:
            return self._namespace.add(key, self._values.pack(value), self._ttl(timeout))
        except ServerError:
            return False

    def delete(self, key: str) -> bool:
        """Delete a value; whether there was one."""
        return self._namespace.delete(key)

    def delete_many(self, *keys: str) -> list[str]:
        """Delete several values; the keys that have none now.

        Raises:
            RuntimeError: the server failed, and that is not to be ignored.
        """
        if self._namespace.delete_many(keys) == len(set(keys)):
            return list(keys)
        try:
            self.spillgate.ping()  # were the others not there, or was it the server that was not?
        except ServerError as error:
            if self.ignore_delete_many_errors:
                return []
            raise RuntimeError(f"Failed to delete keys: {list(keys)}") from error
        self._namespace.delete_many(keys)
        return list(keys)

    def has(self, key: str) -> bool:
        """Whether there is a value."""
        return self._namespace.exists(key)

    def clear(self) -> bool:
        """Forget all values of the namespace; whether the server did."""
        try:
            self._namespace.clear()
        except ServerError:
            return False
        return True

    def inc(self, key: str, delta: int = 1) -> int | None:
        """Add to an int and return the sum, None where the server failed.

        Raises:
            ValueRefused: what is there is no int.
        """
        try:
            return self._namespace.incr(key, delta, self._default)
        except ServerError:
            return None

    def dec(self, key: str, delta: int = 1) -> int | None:
        """As `inc`, the other way."""
        return self.inc(key, -delta)

    def _ttl(self, timeout: Timeout) -> float:
        return ttl_of(timeout, self._default)


def _response(body: str | bytes, status: str, headers: list[tuple[str, str]]) -> FlaskResponse:
    kind = cast("Any", current_app).response_class if current_app else FlaskResponse
    return kind(body, status=status, headers=headers)
