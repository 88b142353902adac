"""``GET /metrics``: the measures for Prometheus, and what this process itself takes."""

import gzip
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spillgate.web import endpoints
from spillgate.web.answers import route
from spillgate.web.exporter_names import EXPORTER_MEASURES
from spillgate.web.measures import MEASURES
from spillgate.web.measuring import Kind, Measure, Seen, look
from spillgate.web.sources import Sources

_SPEED: Final = 1  # levels of gzip above it take longer and make it little smaller


class GovernorCollector(Collector):
    """The measures as of when they are asked for. A measure of which nothing is known is left out."""

    def __init__(self, seen: Callable[[], Seen], measures: tuple[Measure, ...] = MEASURES) -> None:
        self._seen = seen
        self._measures = measures

    def describe(self) -> Iterator[Metric]:
        """The metrics without values, by which a registry finds names."""
        return map(_family, self._measures)

    def collect(self) -> Iterator[Metric]:
        """The metrics that are known, all of one moment."""
        seen = self._seen()
        for measure in self._measures:
            family = _family(measure)
            for labels, value in measure.samples(seen):
                if isinstance(family, InfoMetricFamily):
                    family.add_metric([], dict(zip(measure.labels, labels, strict=True)))
                else:
                    family.add_metric(labels, value)
            if family.samples:
                yield family


def _family(measure: Measure) -> CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily:
    if measure.kind is Kind.INFO:
        return InfoMetricFamily(measure.prometheus.removesuffix("_info"), measure.help)
    kind = CounterMetricFamily if measure.kind is Kind.COUNTER else GaugeMetricFamily
    return kind(measure.prometheus, measure.help, labels=measure.labels, unit=measure.suffix)


def registry(sources: Sources, *, exporter_names: bool) -> CollectorRegistry:
    """A registry of its own with all measures; ``exporter_names`` adds those by which the Redis exporter calls them."""
    found = CollectorRegistry()
    measures = MEASURES + (EXPORTER_MEASURES if exporter_names else ())
    found.register(GovernorCollector(lambda: look(sources), measures))
    ProcessCollector(registry=found)
    return found


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """The format asked for; plain text where a version is named that is none."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


def metrics_route(sources: Sources, *, exporter_names: bool = False) -> Route:
    """Where Prometheus asks: as text or OpenMetrics by Accept, compressed where that is accepted."""
    found = registry(sources, exporter_names=exporter_names)

    async def scrape(request: Request) -> Response:  # a plain function would cost a thread
        encode, media_type = _encoder(request.headers.get("accept", ""))
        body, headers = encode(found), {"Cache-Control": "no-store", "Vary": "Accept, Accept-Encoding"}
        if gzip_accepted(request.headers.get("accept-encoding", "")):
            body, headers["Content-Encoding"] = gzip.compress(body, _SPEED), "gzip"
        return Response(body, headers=headers | {"Content-Type": media_type})

    return route(endpoints.METRICS, scrape)
