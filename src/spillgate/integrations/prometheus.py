"""The counters of a cache for prometheus_client.

Example::

    from prometheus_client import REGISTRY
    from spillgate.integrations.prometheus import CacheCollector

    REGISTRY.register(CacheCollector(cache))

They are read when Prometheus asks, so no call of the cache takes longer. Time series are as many as namespaces used
times some 25. They are of this process: prometheus_client's multi-process mode (``PROMETHEUS_MULTIPROC_DIR``) leaves
out collectors such as this one, so let each worker process be scraped by itself.

How long computing takes is told as a distribution by `ComputeHistogram`, a hook, which costs each event a call.

Raises:
    MissingExtra: prometheus_client is not installed.
"""

from collections.abc import Iterator
from typing import Final

from spillgate.cache import Event
from spillgate.errors import MissingExtra
from spillgate.integrations.cache_metrics import (
    BREAKER_HELP,
    COUNTERS,
    LEVEL_HELP,
    Counted,
    added_up,
    amounts,
    broken,
    level_of,
)

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Histogram
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    raise MissingExtra("prometheus") from error

_PREFIX: Final = "spillgate_cache_"
# From a fast query to what nobody should wait for.
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class CacheCollector(Collector):
    """What one cache counted; or several of one server, such as a `Cache` and an `AsyncCache`, together.

    It is registered once, with all caches of the server: a second one in the same registry would have the same names.
    """

    def __init__(self, *caches: Counted) -> None:
        self._caches = caches

    def describe(self) -> Iterator[Metric]:
        """The metrics without values, by which a registry finds names that are taken."""
        for counter in COUNTERS:
            yield CounterMetricFamily(_PREFIX + counter.name, counter.help)
        yield GaugeMetricFamily(_PREFIX + "level", LEVEL_HELP)
        yield GaugeMetricFamily(_PREFIX + "breaker_open", BREAKER_HELP)

    def collect(self) -> Iterator[Metric]:
        """The metrics as of now; no level where it is not known."""
        counts = added_up(self._caches)
        for counter in COUNTERS:
            labels = [] if counter.of_server else ["namespace"]
            family = CounterMetricFamily(
                _PREFIX + counter.name, counter.help, labels=[*labels, "reason"] if counter.has_reasons else labels
            )
            for namespace, reason, value in amounts(counter, counts):
                family.add_metric([label for label in (namespace, reason) if label], value)
            yield family
        level = GaugeMetricFamily(_PREFIX + "level", LEVEL_HELP)
        known = level_of(self._caches)
        if known is not None:
            level.add_metric([], int(known))
        yield level
        breaker = GaugeMetricFamily(_PREFIX + "breaker_open", BREAKER_HELP)
        breaker.add_metric([], int(broken(self._caches)))
        yield breaker


class ComputeHistogram:
    """A hook that tells how long computing values takes: ``Cache.from_url(..., hook=ComputeHistogram())``."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._seconds = Histogram(
            _PREFIX + "compute_duration_seconds",
            "Time that computing one value took.",
            ["namespace"],
            registry=registry,
            buckets=_BUCKETS_S,
        )

    def __call__(self, namespace: str, event: Event, amount: float, /) -> None:
        """Take note of it."""
        if event is Event.COMPUTE_SECONDS:
            self._seconds.labels(namespace).observe(amount)
