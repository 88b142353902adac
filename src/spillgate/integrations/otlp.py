"""The governor's measures to a collector, by OpenTelemetry's SDK and its own environment variables.

Everything that is configured is configured as for any program with that SDK: ``OTEL_EXPORTER_OTLP_ENDPOINT``,
``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_METRIC_EXPORT_INTERVAL``, ``OTEL_RESOURCE_ATTRIBUTES`` and so on. It is sent by a
thread of the SDK's, so a collector that is slow or down keeps nothing waiting.

Raises:
    MissingExtra: the SDK or its exporter is not installed.
"""

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from spillgate.errors import ConfigError, MissingExtra, mask_url
from spillgate.web.measures import MEASURES, VERSION, server_address
from spillgate.web.measuring import Kind, Measure, Seen, look
from spillgate.web.sources import Sources

try:
    from opentelemetry.exporter.otlp.proto.http import metric_exporter
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
except ModuleNotFoundError as error:
    raise MissingExtra("otlp") from error

_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"
# The last values are worth a moment at the end, unless the collector was down before.
_PATIENT_MS, _HURRIED_MS = 2000, 100

_log = logging.getLogger("spillgate")


@contextmanager
def export(sources: Sources) -> Generator[None]:
    """Send all measures now and then, and once more at the end.

    Raises:
        ConfigError: a variable asks for what cannot be done.
    """
    _check_protocol()
    exporter = _Exporter()
    try:
        reader = PeriodicExportingMetricReader(exporter)
    except ValueError as error:
        raise ConfigError(str(error), source="environment", key="OTEL_METRIC_EXPORT_INTERVAL") from error
    provider = MeterProvider([reader], resource=_resource(sources), shutdown_on_exit=False)
    _observe(provider.get_meter("spillgate", VERSION), lambda: look(sources))
    exporter_log = logging.getLogger(metric_exporter.__name__)
    exporter_log.addFilter(exporter.overhear)
    try:
        yield
    finally:
        provider.shutdown(_HURRIED_MS if exporter.failing else _PATIENT_MS)
        exporter_log.removeFilter(exporter.overhear)


class _Exporter(metric_exporter.OTLPMetricExporter):
    """The SDK's exporter, which says once that nothing arrives, and once that it does again."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = False
        self._overheard = ""

    def overhear(self, record: logging.LogRecord) -> bool:
        """Keep the first thing that the SDK has to say of an attempt, which tells most, instead of logging it all."""
        self._overheard = self._overheard or record.getMessage()
        return False

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Send, and say so where that changes something."""
        self._overheard = ""
        result = super().export(metrics_data, timeout_millis, **kwargs)  # pyright: ignore[reportUnknownMemberType]  # its **kwargs have no type
        failing = result is not MetricExportResult.SUCCESS
        if failing and not self.failing:
            where = mask_url(self._endpoint)
            _log.warning("metrics do not arrive at %s; it is tried on and on. %s", where, self._overheard)
        elif self.failing and not failing:
            _log.info("metrics arrive at %s again", mask_url(self._endpoint))
        self.failing = failing
        return result


def _check_protocol() -> None:
    name = next((name for name in _PROTOCOLS if os.environ.get(name)), None)
    if name is not None and os.environ[name] != _PROTOCOL:
        message = f'expected "{_PROTOCOL}", got "{os.environ[name]}": a collector takes that at port 4318'
        raise ConfigError(message, source="environment", key=name)


def _resource(sources: Sources) -> Resource:
    """Who sends; what the environment says of that comes first. There is one governor to a server."""
    own = {
        "service.name": "spillgate",
        "service.version": VERSION,
        "service.instance.id": server_address(sources.governor.state.policy.server.url),
    }
    return Resource.create(own | dict(OTELResourceDetector().detect().attributes))


def _observe(meter: Meter, seen: Callable[[], Seen]) -> None:
    for measure in MEASURES:
        kind = meter.create_observable_counter if measure.kind is Kind.COUNTER else meter.create_observable_gauge
        kind(measure.opentelemetry, [_reader(measure, seen)], unit=measure.unit, description=measure.help)


def _reader(measure: Measure, seen: Callable[[], Seen]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def read(_: CallbackOptions) -> Iterator[Observation]:
        for labels, value in measure.samples(seen()):
            attributes = zip(measure.labels, labels, strict=True)
            yield Observation(value, {name: text for name, text in attributes if text})

    return read
