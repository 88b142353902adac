"""The cache library: typed values, always with a TTL, compressed, calm when the server is not."""

from spillgate.cache._async.cache import AsyncCache
from spillgate.cache._async.namespace import AsyncCached, AsyncNamespace
from spillgate.cache._sync.cache import Cache
from spillgate.cache._sync.namespace import Cached, Namespace
from spillgate.cache.counters import SERVER, Event, Hook

__all__ = [
    "SERVER",
    "AsyncCache",
    "AsyncCached",
    "AsyncNamespace",
    "Cache",
    "Cached",
    "Event",
    "Hook",
    "Namespace",
]
