"""``GET /metrics`` of a real governor, asked by Prometheus' own tools."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import yaml
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.governing import MB, used
from tests.programs import GOVERNED, commands_of, fill_up, get, running, stock
from tests.servers import HOST, eventually, free_port

_DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from email.message import Message

    from prometheus_client import Metric

    from tests.programs import Running
    from tests.servers import Server

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# What Prometheus itself says that it takes.
PROMETHEUS = f"{OPENMETRICS},application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
FIRING = 'ALERTS{alertstate="firing"}'
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scrape(NamedTuple):
    """An answer, unpacked."""

    headers: Message
    text: str

    @property
    def samples(self) -> Samples:
        """What the client library's own parser makes of it."""
        modern = "openmetrics" in self.headers["Content-Type"]
        found: Iterable[Metric] = parse_text(self.text)
        if modern:  # its parser is not typed
            found = cast("Iterable[Metric]", openmetrics.text_string_to_metric_families(self.text))  # pyright: ignore[reportUnknownMemberType]
        return {(one.name, frozenset(one.labels.items())): one.value for family in found for one in family.samples}

    def value(self, name: str, **labels: str) -> float | None:
        """One of them."""
        return self.samples.get((name, frozenset(labels.items())))


def scrape(governor: Running, **headers: str) -> Scrape:
    """Ask; underscores in the names of ``headers`` stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urlopen(Request(f"{governor.base_url}/metrics", headers=named), timeout=10) as response:  # noqa: S310 - our own
        body = cast("bytes", response.read())
        packed = response.headers["Content-Encoding"] == "gzip"
        return Scrape(response.headers, (gzip.decompress(body) if packed else body).decode())


def until(governor: Running, name: str, value: float | None, **labels: str) -> Scrape:
    """Wait until a metric has this value, None for none at all."""
    latest = scrape(governor)

    def has_it() -> bool:
        nonlocal latest
        latest = scrape(governor)
        return latest.value(name, **labels) == value

    eventually(has_it, 15.0, interval_s=0.05)
    return latest


def test_it_tells_what_the_server_holds(server: Server) -> None:
    client = stock(server)
    with running(*GOVERNED, server=server) as governor:
        found = until(governor, "spillgate_namespace_keys", 300, namespace="users")
        assert found.value("spillgate_up") == 1
        assert found.value("spillgate_level") == 0
        assert found.value("spillgate_limit_bytes") == 25 * MB
        assert found.value("spillgate_ceiling_bytes") == 23 * MB
        assert found.value("spillgate_keys") == 612
        assert found.value("spillgate_unregistered_keys") == 12
        assert found.value("spillgate_refused_writes_total") == 0
        assert found.value("spillgate_server_info", server=f"{HOST}:{server.port}", **_server(found)) == 1
        memory = found.value("spillgate_namespace_memory_bytes", namespace="users")
        assert memory is not None
        assert 300 * 500 < memory < 300 * 700
        now = used(client)
        assert abs((found.value("spillgate_used_bytes") or 0) - now) < 0.1 * now
        assert (found.value("process_resident_memory_bytes") or 0) > MB


def _server(found: Scrape) -> dict[str, str]:
    """What it says of the server, without its address."""
    labels = next(dict(labels) for name, labels in found.samples if name == "spillgate_server_info")
    assert labels["role"] == "master"
    return {name: text for name, text in labels.items() if name != "server"}


@pytest.mark.requires("promtool")
@pytest.mark.parametrize("flags", [(), ("--exporter-names",)], ids=["own names", "the exporter's too"])
def test_promtool_finds_nothing_to_mend(flags: tuple[str, ...], valkey: Server) -> None:
    stock(valkey)
    with running(*GOVERNED, *flags, server=valkey) as governor:
        text = until(governor, "spillgate_namespace_keys", 300, namespace="users").text
    promtool = shutil.which("promtool") or ""
    done = subprocess.run([promtool, "check", "metrics"], input=text.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_format_is_the_one_asked_for(valkey: Server) -> None:
    stock(valkey)
    with running(*GOVERNED, server=valkey) as governor:
        plain = until(governor, "spillgate_namespace_keys", 300, namespace="users")
        assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert plain.headers["Content-Encoding"] is None
        modern = scrape(governor, Accept=PROMETHEUS, Accept_Encoding="gzip")
        assert modern.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert modern.headers["Content-Encoding"] == "gzip"
        assert modern.text.endswith("# EOF\n")
        names = {name for name, _ in plain.samples} ^ {name for name, _ in modern.samples}
        assert names <= {"spillgate_fill_bytes_per_second", "spillgate_time_to_limit_seconds"}  # of two readings
        for odd in ("application/openmetrics-text; version=abc", "text/plain;version=", ";;,=", "*/*"):
            assert get(governor.base_url, "/metrics", headers={"Accept": odd}).code == 200


def test_a_scrape_costs_the_server_no_command(valkey: Server) -> None:
    client = stock(valkey)
    with running(*GOVERNED, server=valkey, SPILLGATE_MONITOR_INTERVAL="1h") as governor:
        until(governor, "spillgate_namespace_keys", 300, namespace="users")

        def at_rest() -> bool:
            before = commands_of(client)
            scrape(governor)
            return commands_of(client) == before

        eventually(at_rest, 10.0)
        looks = client.info("commandstats")["cmdstat_info"]["calls"]
        commands = commands_of(client)
        for _ in range(50):
            scrape(governor, Accept=PROMETHEUS)
        assert commands_of(client) == commands
        # All of these are this test's own.
        assert client.info("commandstats")["cmdstat_info"]["calls"] - looks == 3


def test_the_names_of_the_exporter_are_there_when_wanted(valkey: Server) -> None:
    client = stock(valkey)
    with running(*GOVERNED, server=valkey) as governor:
        governor.becomes("healthy")
        assert "redis_" not in scrape(governor).text
    with running(*GOVERNED, "--exporter-names", server=valkey) as governor:
        found = until(governor, "redis_db_keys", 612, db="db0")
        assert found.value("redis_up") == 1
        assert found.value("redis_memory_max_bytes") == 25 * MB
        assert found.value("redis_db_keys_expiring", db="db0") == 300
        assert (found.value("redis_uptime_in_seconds") or -1) >= 0
        info = client.info()
        version, run_id = info["valkey_version"], info["run_id"]
        labels = {"role": "master", "valkey_version": version, "maxmemory_policy": "noeviction", "run_id": run_id}
        texts = next(dict(labels) for name, labels in found.samples if name == "redis_instance_info")
        assert {name: text for name, text in texts.items() if text} == labels


def test_what_the_plan_forbids_is_absent(valkey: Server) -> None:
    client = stock(valkey)
    client.acl_setuser("narrow", enabled=True, nopass=True, categories=["+@all"], commands=["-memory"], keys=["*"])
    url = f"redis://narrow:any@{HOST}:{valkey.port}/0"
    with running(*GOVERNED, "--url", url) as governor:
        found = until(governor, "spillgate_namespace_keys", 300, namespace="users")
        assert found.value("spillgate_unavailable_commands") == 1
        assert "spillgate_namespace_memory_bytes" not in found.text
        assert "spillgate_keyspace_memory_bytes" not in found.text


def test_cleanups_are_counted(valkey: Server) -> None:
    fill_up(stock(valkey), 0.93)
    with running(*GOVERNED, server=valkey) as governor:
        found = until(governor, "spillgate_namespace_keys", 0, namespace="analytics")
        assert (found.value("spillgate_deleted_keys_total") or 0) >= 200
        assert (found.value("spillgate_reclaimed_bytes_total") or 0) > MB
        assert (found.value("spillgate_actions_total") or 0) >= 1


def test_a_server_that_goes_takes_its_metrics_with_it_and_brings_them_back(valkey: Server) -> None:
    stock(valkey)
    with running(*GOVERNED, server=valkey) as governor:
        before = until(governor, "spillgate_keys", 612)
        valkey.kill()
        gone = until(governor, "spillgate_up", 0)
        assert gone.value("spillgate_used_bytes") is None
        assert gone.value("spillgate_keys") is None
        assert gone.value("spillgate_level") == 0
        last_look = "spillgate_last_look_timestamp_seconds"
        assert (gone.value(last_look) or 0) >= (before.value(last_look) or 0) > 0
        valkey.restart()
        back = until(governor, "spillgate_keys", 0)
        assert back.value("spillgate_up") == 1


@contextmanager
def prometheus(folder: Path, target: str) -> Generator[str]:
    """A real one that scrapes ``target`` with our configuration, only more often; its address."""
    deploy = yaml.safe_load((_DEPLOY / "prometheus.yml").read_text())
    deploy["global"] |= {"scrape_interval": "200ms", "evaluation_interval": "200ms", "scrape_timeout": "200ms"}
    deploy["rule_files"] = [str(_DEPLOY / "rules.yml")]
    deploy["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(deploy))
    at = f"{HOST}:{free_port()}"
    command = [
        shutil.which("prometheus") or "",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={at}",
        "--log.level=error",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield f"http://{at}"
    finally:
        process.kill()
        process.wait()


def asked(address: str, path: str, **parameters: str) -> Any:
    """What it answers, None while it does not."""
    try:
        answer = get(address, f"/api/v1/{path}?{urlencode(parameters)}")
    except OSError:
        return None
    return json.loads(answer.body)["data"] if answer.code == 200 else None


def queried(address: str, query: str) -> dict[str, float] | None:
    """The result of a query by instance, or by alert where there is one."""
    data = asked(address, "query", query=query)
    if data is None:
        return None
    return {
        one["metric"].get("alertname", one["metric"].get("instance", "")): float(one["value"][1])
        for one in data["result"]
    }


@pytest.mark.requires("prometheus")
def test_a_real_prometheus_scrapes_it_and_alerts(valkey: Server, tmp_path: Path) -> None:
    client = stock(valkey)
    client.config_set("maxmemory-policy", "allkeys-lru")
    with running("--dry-run", *GOVERNED, server=valkey) as governor:
        target = governor.base_url.removeprefix("http://")
        with prometheus(tmp_path, target) as address:
            eventually(lambda: queried(address, "spillgate_keys") == {target: 612}, 20.0, interval_s=0.1)
            assert queried(address, "up") == {target: 1}
            assert queried(address, 'spillgate_namespace_keys{namespace="users"}') == {target: 300}
            assert queried(address, FIRING) == {}
            fill_up(client, 0.93)
            eventually(
                lambda: queried(address, FIRING) == {"SpillgateMemoryEmergency": 1},
                20.0,
                interval_s=0.1,
            )
            fill_up(client, 0.99)
            number = 0
            while cast("dict[str, int]", client.info("stats"))["evicted_keys"] < 100:
                client.set(f"ceo-platform:messages:late:{number}", b"x" * 3000)
                number += 1
            eventually(
                lambda: "SpillgateProtectedEvictions" in (queried(address, FIRING) or {}),
                20.0,
                interval_s=0.1,
            )
            rules = asked(address, "rules")["groups"][0]["rules"]
            assert {rule["health"] for rule in rules} == {"ok"}
