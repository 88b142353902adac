"""The metrics adapters: every event, sensible names, bounded series, and word about what is not installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from spillgate.cache.counters import SERVER, Counters, Event
from spillgate.integrations.cache_metrics import COUNTERS
from spillgate.integrations.opentelemetry import observe
from spillgate.integrations.prometheus import CacheCollector, ComputeHistogram
from spillgate.model import Level

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Figures:
    """What an adapter sees of a cache."""

    level: Level | None = Level.NORMAL
    available: bool = True
    counters: Counters = field(default_factory=Counters)

    def counts(self) -> Mapping[str, Mapping[Event, float]]:
        """What happened."""
        return self.counters.snapshot()


def busy() -> Figures:
    """One in which everything happened once, computing for a quarter of a second."""
    figures = Figures()
    messages, users = figures.counters.of("messages"), figures.counters.of("users")
    for event in set(Event) - {Event.BREAKER_OPEN}:
        messages.count(event, 0.25 if event is Event.COMPUTE_SECONDS else 1)
    users.count(Event.HIT, 3)
    figures.counters.of(SERVER).count(Event.BREAKER_OPEN, 2)
    return figures


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """What Prometheus would get."""
    return registry.get_sample_value(f"spillgate_cache_{name}", labels)


def observed(*caches: Figures) -> dict[str, dict[tuple[str, ...], float]]:
    """What OpenTelemetry would export: by name, and by the values of the attributes."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe(*caches, meter_provider=provider)
    exported = reader.get_metrics_data()
    assert exported is not None
    found = {
        metric.name: {
            tuple(str(text) for text in (point.attributes or {}).values()): float(getattr(point, "value", -1))
            for point in metric.data.data_points
        }
        for resource in exported.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    provider.shutdown()
    return found


def test_every_event_is_in_one_metric() -> None:
    events = [event for counter in COUNTERS for event in counter.events.values()]
    assert sorted(events) == sorted(Event)
    assert len({counter.name for counter in COUNTERS}) == len(COUNTERS)


def test_the_names_are_those_of_the_field() -> None:
    for counter in COUNTERS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", counter.name)
        assert counter.help.endswith(".")
        unit = {"s": "_seconds", "By": "_bytes"}.get(counter.unit, "")
        assert counter.name.endswith(unit)


# Prometheus


def test_prometheus_gets_each_event_by_namespace() -> None:
    registry = CollectorRegistry()
    registry.register(CacheCollector(busy()))
    assert sample(registry, "hits_total", namespace="messages") == 1
    assert sample(registry, "hits_total", namespace="users") == 3
    assert sample(registry, "misses_total", namespace="users") == 0  # rates need a beginning
    assert sample(registry, "compute_seconds_total", namespace="messages") == 0.25
    assert sample(registry, "unreadable_total", namespace="messages", reason="corrupt") == 1
    assert sample(registry, "unreadable_total", namespace="users", reason="foreign") == 0
    assert sample(registry, "hits_total", namespace=SERVER) is None


def test_prometheus_gets_what_is_the_servers_without_a_namespace() -> None:
    figures = busy()
    registry = CollectorRegistry()
    registry.register(CacheCollector(figures))
    assert sample(registry, "breaker_openings_total") == 2
    assert sample(registry, "breaker_open") == 0
    assert sample(registry, "level") == 0
    figures.available, figures.level = False, Level.CRITICAL
    assert sample(registry, "breaker_open") == 1
    assert sample(registry, "level") == 4
    figures.level = None
    assert sample(registry, "level") is None


def test_several_caches_count_as_one() -> None:
    one, two = busy(), busy()
    two.level = Level.WARNING
    registry = CollectorRegistry()
    registry.register(CacheCollector(one, two))
    assert sample(registry, "hits_total", namespace="users") == 6
    assert sample(registry, "breaker_openings_total") == 4
    assert sample(registry, "level") == 1


def test_a_second_collector_in_a_registry_is_refused_rather_than_scraped_twice() -> None:
    registry = CollectorRegistry()
    registry.register(CacheCollector(busy()))
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(CacheCollector(busy()))


def test_series_are_bounded_by_the_namespaces() -> None:
    figures = busy()
    registry = CollectorRegistry()
    registry.register(CacheCollector(figures))
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    events = len(Event) - 1  # but for the one of the server
    assert len(lines) == 2 * events + 3


@pytest.mark.requires("promtool")
def test_promtool_has_nothing_to_say() -> None:
    registry = CollectorRegistry()
    registry.register(CacheCollector(busy()))
    histogram = ComputeHistogram(registry)
    histogram("messages", Event.COMPUTE_SECONDS, 0.1)
    promtool = shutil.which("promtool") or ""
    ran = subprocess.run(
        [promtool, "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_computing_times_as_a_histogram() -> None:
    registry = CollectorRegistry()
    counters = Counters(ComputeHistogram(registry))
    messages = counters.of("messages")
    messages.count(Event.COMPUTE)
    for seconds in (0.002, 0.2, 7.0):
        messages.count(Event.COMPUTE_SECONDS, seconds)
    name = "compute_duration_seconds"
    assert sample(registry, f"{name}_count", namespace="messages") == 3
    assert sample(registry, f"{name}_sum", namespace="messages") == pytest.approx(7.202)
    assert sample(registry, f"{name}_bucket", namespace="messages", le="0.25") == 2
    assert counters.snapshot()["messages"].get(Event.HOOK_ERROR) is None


# OpenTelemetry


def test_opentelemetry_gets_the_same() -> None:
    found = observed(busy())
    assert found["spillgate.cache.hits"] == {("messages",): 1, ("users",): 3}
    assert found["spillgate.cache.compute_seconds"] == {("messages",): 0.25, ("users",): 0}
    assert found["spillgate.cache.unreadable"]["messages", "oversized"] == 1
    assert found["spillgate.cache.breaker_openings"] == {(): 2}
    assert found["spillgate.cache.breaker_open"] == {(): 0}
    assert found["spillgate.cache.level"] == {(): 0}
    assert len(found) == len(COUNTERS) + 2


def test_opentelemetry_is_told_of_no_level_where_none_is_known() -> None:
    broken = busy()
    broken.level, broken.available = None, False
    found = observed(broken)
    assert found.get("spillgate.cache.level", {}) == {}
    assert found["spillgate.cache.breaker_open"] == {(): 1}


def test_opentelemetry_adds_several_caches_up() -> None:
    assert observed(busy(), busy())["spillgate.cache.hits"] == {("messages",): 2, ("users",): 6}


# What is not installed


@pytest.mark.parametrize(
    ("module", "package"), [("prometheus", "prometheus_client"), ("opentelemetry", "opentelemetry.metrics")]
)
def test_a_missing_package_is_named_as_its_extra(module: str, package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; import spillgate.integrations.{module}"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"pip install 'spillgate[{module}]'" in ran.stderr
    assert "MissingExtra" in ran.stderr
