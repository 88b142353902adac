"""Spillgate's asyncio half and its peers, as `bench.stores` has the others; `Blocking` makes one of those of these."""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from bench.stores import TTL_S, Store
from spillgate import AsyncCache, AsyncNamespace


class AsyncStore(Protocol):
    """A cache as the benchmarks use it, for tasks."""

    def get(self, key: str) -> Awaitable[Any]:
        """The value."""
        ...

    def set(self, key: str, value: Any) -> Awaitable[object]:
        """Store it."""
        ...

    def get_many(self, keys: Sequence[str]) -> Awaitable[Iterable[Any]]:
        """The values of all of the keys, each of which has one."""
        ...

    def set_many(self, values: Mapping[str, Any]) -> Awaitable[object]:
        """Store them."""
        ...

    def close(self) -> Awaitable[object]:
        """Close its connections."""
        ...


class AsyncSpillgateStore:
    """A namespace."""

    def __init__(self, cache: AsyncCache) -> None:
        values: AsyncNamespace[Any] = cache.namespace("values")
        self._values = values
        self.get = values.get
        self.set = values.set
        self.set_many = values.set_many
        self.close = cache.aclose

    async def get_many(self, keys: Sequence[str]) -> Iterable[Any]:
        """The values."""
        return (await self._values.get_many(keys)).values()


class CashewsStore:
    """A cache of cashews."""

    def __init__(self, url: str, pickler: str, compressor: str) -> None:
        cache = importlib.import_module("cashews").Cache()
        cache.setup(url, pickle_type=pickler, compress_type=compressor)
        self._cache = cache
        self.get = cache.get
        self.close = cache.close

    def set(self, key: str, value: Any) -> Awaitable[object]:
        """Store it."""
        return self._cache.set(key, value, expire=TTL_S)

    def get_many(self, keys: Sequence[str]) -> Awaitable[Iterable[Any]]:
        """The values."""
        return self._cache.get_many(*keys)

    def set_many(self, values: Mapping[str, Any]) -> Awaitable[object]:
        """Store them."""
        return self._cache.set_many(values, expire=TTL_S)


class AiocacheStore:
    """A cache of aiocache."""

    def __init__(self, url: str, serializer: str) -> None:
        serializers = importlib.import_module("aiocache.serializers")
        redis = importlib.import_module("aiocache.backends.redis")
        place = urlsplit(url)
        chosen = getattr(serializers, serializer)()
        cache = redis.RedisCache(serializer=chosen, endpoint=place.hostname, port=place.port, ttl=TTL_S)
        self._cache = cache
        self.get = cache.get
        self.set = cache.set
        self.get_many = cache.multi_get
        self.close = cache.close

    def set_many(self, values: Mapping[str, Any]) -> Awaitable[object]:
        """Store them."""
        return self._cache.multi_set(list(values.items()))


class Blocking:
    """A store for tasks, used by a thread that waits."""

    def __init__(self, make: Callable[[], AsyncStore]) -> None:
        self._runner = asyncio.Runner()
        self._store = make()

    def get(self, key: str) -> Any:
        """The value."""
        return self._runner.run(_awaited(self._store.get(key)))

    def set(self, key: str, value: Any) -> object:
        """Store it."""
        return self._runner.run(_awaited(self._store.set(key, value)))

    def get_many(self, keys: Sequence[str]) -> Iterable[Any]:
        """The values."""
        return self._runner.run(_awaited(self._store.get_many(keys)))

    def set_many(self, values: Mapping[str, Any]) -> object:
        """Store them."""
        return self._runner.run(_awaited(self._store.set_many(values)))

    def close(self) -> None:
        """Close its connections and its loop."""
        self._runner.run(_awaited(self._store.close()))
        self._runner.close()


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


def cashews(url: str, pickler: str, compressor: str = "null") -> Store:
    """A cache of cashews, waited for."""
    return Blocking(lambda: CashewsStore(url, pickler, compressor))


def aiocache(url: str, serializer: str) -> Store:
    """A cache of aiocache, waited for."""
    return Blocking(lambda: AiocacheStore(url, serializer))
