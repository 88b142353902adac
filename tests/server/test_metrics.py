"""The metrics adapters on caches at work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from spillgate import AsyncCache, Cache
from spillgate.integrations.opentelemetry import observe
from spillgate.integrations.prometheus import CacheCollector, ComputeHistogram
from tests.caching import policy_of
from tests.servers import eventually

if TYPE_CHECKING:
    from tests.conftest import ServerFactory
    from tests.servers import Server


def test_what_a_cache_does_is_scraped(server_factory: ServerFactory) -> None:
    server = server_factory(maxmemory="25mb")
    registry = CollectorRegistry()
    with Cache.from_url(config=policy_of(server), hook=ComputeHistogram(registry)) as cache:
        registry.register(CacheCollector(cache))

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"spillgate_cache_{name}", labels)

        assert value("breaker_open") == 0
        assert value("level") is None
        messages = cache.namespace("messages")
        assert value("hits_total", namespace="messages") == 0
        messages.set("1", "x" * 2000)
        messages.get("1")
        messages.get("2")
        messages.get_or_set("3", lambda: 3)
        server.client().set("app:messages:4", b"\xc1\x10\xc1")
        messages.get("4")
        assert value("level") == 0
        assert value("hits_total", namespace="messages") == 1
        assert value("misses_total", namespace="messages") == 3
        assert value("sets_total", namespace="messages") == 2
        assert value("computes_total", namespace="messages") == 1
        assert value("compute_duration_seconds_count", namespace="messages") == 1
        assert value("unreadable_total", namespace="messages", reason="corrupt") == 1
        plain, stored = (value(f"{kind}_bytes_total", namespace="messages") or 0 for kind in ("plain", "stored"))
        assert plain > 2000
        assert 0 < stored < 200
        server.kill()
        eventually(lambda: (messages.get("1"), value("breaker_open") == 1)[1])
        assert value("breaker_openings_total") == 1
        assert (value("drops_total", namespace="messages") or 0) >= 3


def test_both_kinds_of_cache_are_scraped_together(valkey: Server) -> None:
    async def read(cache: AsyncCache) -> None:
        await cache.namespace("messages").get("1")
        await cache.aclose()

    registry = CollectorRegistry()
    policy = policy_of(valkey)
    with Cache(policy) as one:
        other = AsyncCache(policy)
        registry.register(CacheCollector(one, other))
        one.namespace("messages").get("1")
        asyncio.run(read(other))
        assert registry.get_sample_value("spillgate_cache_misses_total", {"namespace": "messages"}) == 2


def test_what_a_cache_does_is_exported(valkey: Server) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    with Cache(policy_of(valkey)) as cache:
        observe(cache, meter_provider=provider)
        messages = cache.namespace("messages")
        messages.set("1", 1)
        messages.get_many(["1", "2", "3"])
        data = reader.get_metrics_data()
    assert data is not None
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    metrics = {metric.name: metric for metric in scope.metrics}
    (point,) = metrics["spillgate.cache.misses"].data.data_points
    assert getattr(point, "value", None) == 2
    assert dict(point.attributes or {}) == {"spillgate.namespace": "messages"}
    assert metrics["spillgate.cache.stored_bytes"].unit == "By"
    assert metrics["spillgate.cache.compute_seconds"].unit == "s"
    provider.shutdown()
