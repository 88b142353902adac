"""``spillgate run --otlp`` and a collector that decodes what arrives, is down, comes back, or never answers."""

from __future__ import annotations

import gzip
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from spillgate.web.measures import MEASURES, VERSION
from tests.governing import MB
from tests.programs import GOVERNED, running, spillgate, stock
from tests.servers import HOST, eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint

    from tests.programs import Running
    from tests.servers import Server

SECRET = "hunter2"
OFTEN = {"OTEL_METRIC_EXPORT_INTERVAL": "100"}


class Arrived(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    document: ExportMetricsServiceRequest


class Collector:
    """Takes OTLP over HTTP on a port of its own, for as long as the block lasts."""

    def __init__(self, port: int = 0) -> None:
        self.arrived: list[Arrived] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                document = ExportMetricsServiceRequest.FromString(body)
                headers = {name.lower(): text for name, text in self.headers.items()}
                collector.arrived.append(Arrived(self.path, headers, document))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
                """Say nothing."""

        self._server = ThreadingHTTPServer((HOST, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self._server.server_port}"

    @property
    def latest(self) -> dict[str, Metric]:
        """What arrived last, by name."""
        resource = self.arrived[-1].document.resource_metrics[0]
        return {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}

    @property
    def resource(self) -> dict[str, str]:
        """Who sent it."""
        return texts(self.arrived[-1].document.resource_metrics[0].resource.attributes)


def texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """Attributes as they are read."""
    return {one.key: one.value.string_value for one in attributes}


def points(metric: Metric) -> list[NumberDataPoint]:
    """The values of a gauge or a sum."""
    return list(metric.sum.data_points if metric.HasField("sum") else metric.gauge.data_points)


def value(point: NumberDataPoint) -> float:
    """Of a point."""
    return point.as_int if point.HasField("as_int") else point.as_double


def test_a_collector_gets_every_measure_by_its_name(valkey: Server) -> None:
    stock(valkey)
    with (
        Collector() as collector,
        running(*GOVERNED, "--otlp", server=valkey, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **OFTEN) as governor,
    ):
        eventually(lambda: collector.arrived and "spillgate.namespace.memory" in collector.latest, 15.0)
        found = collector.latest
        assert collector.arrived[-1].path == "/v1/metrics"
        assert collector.arrived[-1].headers["content-type"] == "application/x-protobuf"
        assert value(points(found["spillgate.limit"])[0]) == 25 * MB
        assert found["spillgate.limit"].unit == "By"
        counter = found["spillgate.readings"].sum
        assert counter.is_monotonic
        assert value(counter.data_points[0]) >= 1
        keys = {texts(one.attributes)["namespace"]: value(one) for one in points(found["spillgate.namespace.keys"])}
        assert keys["users"] == 300
        assert texts(points(found["spillgate.eviction_policy.info"])[0].attributes) == {"policy": "noeviction"}
        assert "spillgate.time_to_limit" not in found or points(found["spillgate.time_to_limit"])
        by_name = {measure.opentelemetry: measure for measure in MEASURES}
        assert found.keys() <= by_name.keys()
        assert {name: (found[name].unit, found[name].description) for name in found} == {
            name: (by_name[name].unit, by_name[name].help) for name in found
        }
        who = collector.resource
        assert {name: who[name] for name in ("service.name", "service.version", "service.instance.id")} == {
            "service.name": "spillgate",
            "service.version": VERSION,
            "service.instance.id": f"{HOST}:{valkey.port}",
        }
        assert governor.ends(signal.SIGTERM) == 0
        assert "metrics do not arrive" not in governor.log


def test_the_variables_of_the_standard_say_how(valkey: Server) -> None:
    with (
        Collector() as collector,
        running(
            *GOVERNED,
            "--otlp",
            server=valkey,
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{collector.url}/somewhere/else",
            OTEL_EXPORTER_OTLP_HEADERS=f"api-key={SECRET}",
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_SERVICE_NAME="shop-memory",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
            **OFTEN,
        ) as governor,
    ):
        eventually(lambda: collector.arrived, 15.0)
        path, headers, _ = collector.arrived[0]
        assert (path, headers["api-key"], headers["content-encoding"]) == ("/somewhere/else", SECRET, "gzip")
        assert collector.resource["service.name"] == "shop-memory"
        assert collector.resource["deployment.environment"] == "test"
        assert SECRET not in governor.log


def test_the_last_that_is_sent_says_that_the_governor_has_ended(valkey: Server) -> None:
    stock(valkey)
    with (
        Collector() as collector,
        running(*GOVERNED, "--otlp", server=valkey, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as governor,
    ):
        governor.becomes("healthy")
        assert collector.arrived == []  # a minute is not over
        assert governor.ends(signal.SIGTERM) == 0
        last = {name: value(points(metric)[0]) for name, metric in collector.latest.items()}
        assert (last["spillgate.governor.running"], last["spillgate.up"]) == (0, 0)
        assert last["spillgate.readings"] >= 1
        assert "spillgate.used" not in last


def test_a_collector_that_is_down_is_told_of_once_and_tried_on(valkey: Server) -> None:
    stock(valkey)
    port = free_port()
    endpoint = f"http://me:{SECRET}@{HOST}:{port}"
    # Without a second attempt, which the SDK would make after a second.
    flags = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5", **OFTEN}
    with running(*GOVERNED, "--otlp", server=valkey, **flags) as governor:
        log = governor.awaits("metrics do not arrive at")
        assert f"http://me:***@{HOST}:{port}/v1/metrics" in log
        governor.becomes("healthy")
        with Collector(port) as collector:
            governor.awaits("metrics arrive at")
            eventually(lambda: len(collector.arrived) > 2)
        governor.awaits("metrics do not arrive at", 2)
        before = time.monotonic()
        assert governor.ends(signal.SIGTERM) == 0
        assert time.monotonic() - before < 3.0
        assert governor.log.count("metrics do not arrive at") == 2
        assert SECRET not in governor.log
        assert "opentelemetry" not in governor.log.lower()
        assert "Traceback" not in governor.log


def readings(governor: Running) -> int:
    """How often it has looked."""
    found = re.search(r"^spillgate_readings_total (\d+)", governor.get("/metrics").body, re.MULTILINE)
    assert found
    return round(float(found[1]))


def test_a_collector_that_never_answers_keeps_nothing_waiting(valkey: Server) -> None:
    with socket.create_server((HOST, 0)) as silent:
        flags = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{silent.getsockname()[1]}", **OFTEN}
        with running(*GOVERNED, "--otlp", server=valkey, **flags) as governor:
            governor.becomes("healthy")
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(64).startswith(b"POST /v1/metrics")
                before = readings(governor)
                eventually(lambda: readings(governor) > before + 3)
                began = time.monotonic()
                assert governor.ends(signal.SIGTERM) == 0
                assert time.monotonic() - began < 5.0
            assert "governor stopped" in governor.log


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", 'expected "http/protobuf", got "grpc"'),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json", 'expected "http/protobuf", got "http/json"'),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "larger than zero"),
    ],
)
def test_what_cannot_be_done_is_an_error_of_configuration(name: str, text: str, said: str, valkey: Server) -> None:
    ended = spillgate("run", "--port", "0", *GOVERNED, "--otlp", server=valkey, **{name: text})
    assert ended.returncode == 2
    assert f"environment: {name}: " in ended.stderr
    assert said in ended.stderr


@pytest.mark.parametrize("package", ["opentelemetry.exporter.otlp.proto.http", "opentelemetry.sdk.metrics"])
def test_a_missing_package_is_named_as_its_extra(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; import spillgate.integrations.otlp"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'spillgate[otlp]'" in ran.stderr
    assert "MissingExtra" in ran.stderr
