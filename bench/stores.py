"""Spillgate and its peers, each behind the same few methods, so that one loop can drive them all.

Keys are whole names as the server will have them; each library is set up to add nothing to them, and to give each key a
TTL of half an hour.
"""

import importlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import redis

from spillgate import Cache, Namespace, Policy, parse_policy

TTL_S = 1800
PREFIX = "ceo-platform:values:"


class Store(Protocol):
    """A cache as the benchmarks use it."""

    def get(self, key: str) -> Any:
        """The value."""
        ...

    def set(self, key: str, value: Any) -> object:
        """Store it."""
        ...

    def get_many(self, keys: Sequence[str]) -> Iterable[Any]:
        """The values of all of the keys, each of which has one."""
        ...

    def set_many(self, values: Mapping[str, Any]) -> object:
        """Store them."""
        ...


def policy_for(url: str, *, dictionary: bool = False, **more: str) -> Policy:
    """A policy with one namespace, ``values``; ``more`` are further lines of it (``codec='"json"'``)."""
    lines = [f'[server]\nurl = "{url}"\nlimit = "1GB"', '[[namespace]]\nname = "values"', f'keys = "{PREFIX}*"']
    lines += [f'ttl = "{TTL_S}s"\ncleanup = "trim"\npriority = 1', f"dictionary = {str(dictionary).lower()}"]
    lines += [f"{name} = {value}" for name, value in more.items()]
    return parse_policy("\n".join(lines), "bench")


def no_prefix(key: str) -> str:
    """The key as the namespace wants it: it adds its prefix itself."""
    return key.removeprefix(PREFIX)


class SpillgateStore:
    """A namespace. Its keys are without their prefix: `no_prefix`, once and not in the loop that is timed."""

    def __init__(self, cache: Cache) -> None:
        values: Namespace[Any] = cache.namespace("values")
        self.cache = cache
        self.get = values.get
        self.set = values.set
        self._values = values

    def get_many(self, keys: Sequence[str]) -> Iterable[Any]:
        """The values."""
        return self._values.get_many(keys).values()

    def set_many(self, values: Mapping[str, Any]) -> object:
        """Store them."""
        return self._values.set_many(values)


class RawStore:
    """redis-py with orjson: what one writes who uses no library."""

    def __init__(self, url: str) -> None:
        orjson = importlib.import_module("orjson")
        self._client = redis.Redis.from_url(url)
        self._dumps: Callable[[Any], bytes] = orjson.dumps
        self._loads: Callable[[Any], Any] = orjson.loads

    def get(self, key: str) -> Any:
        """The value."""
        data = self._client.get(key)
        return None if data is None else self._loads(data)

    def set(self, key: str, value: Any) -> object:
        """Store it."""
        return self._client.set(key, self._dumps(value), ex=TTL_S)

    def get_many(self, keys: Sequence[str]) -> Iterable[Any]:
        """The values."""
        stored: Any = self._client.mget(keys)
        return [self._loads(data) for data in stored if data is not None]

    def set_many(self, values: Mapping[str, Any]) -> object:
        """Store them."""
        with self._client.pipeline(transaction=False) as pipe:
            for key, value in values.items():
                pipe.set(key, self._dumps(value), ex=TTL_S)
            return pipe.execute()


class DjangoStore:
    """A cache backend of Django."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.get = backend.get
        self.set = backend.set
        self.set_many = backend.set_many

    def get_many(self, keys: Sequence[str]) -> Iterable[Any]:
        """The values."""
        return self._backend.get_many(keys).values()


class DogpileStore:
    """A region of dogpile.cache."""

    def __init__(self, url: str, *, as_json: bool) -> None:
        dogpile = importlib.import_module("dogpile.cache")
        # The serializer of its documentation.
        options = {"serializer": _as_json, "deserializer": json.loads} if as_json else {}
        arguments = {"url": url, "redis_expiration_time": TTL_S}
        region = dogpile.make_region(**options).configure("dogpile.cache.redis", arguments=arguments)
        self.get = region.get
        self.set = region.set
        self.get_many = region.get_multi
        self.set_many = region.set_multi


def django_redis(url: str, serializer: str, compressor: str) -> Store:
    """The cache backend of django-redis."""
    return _django("django_redis", url, {"SERIALIZER": serializer, "COMPRESSOR": compressor})


def django_cachex(url: str, serializer: str, compressor: str) -> Store:
    """The cache backend of django-cachex."""
    return _django("django_cachex", url, {"serializer": serializer, "compressor": compressor})


def _django(package: str, url: str, options: dict[str, str]) -> Store:
    settings = importlib.import_module("django.conf").settings
    if not settings.configured:
        settings.configure()
    backend = importlib.import_module(f"{package}.cache").RedisCache
    given = {name: path for name, path in options.items() if path}
    return DjangoStore(backend(url, {"OPTIONS": given, "TIMEOUT": TTL_S, "KEY_FUNCTION": _key_alone}))


def _key_alone(key: str, _prefix: str, _version: int) -> str:
    return key


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()
