"""What ``spillgate run`` serves over HTTP, asked of the real process beside a real server."""

from __future__ import annotations

import itertools
import json
import signal
from typing import TYPE_CHECKING, Any

from spillgate.units import format_bytes, format_share
from tests.governing import MB, fill, used
from tests.programs import GOVERNED, HEALTH, commands_of, fill_up, running, stock
from tests.servers import eventually

if TYPE_CHECKING:
    from tests.servers import Server


def test_the_health_document_has_the_fields_and_values_that_were_agreed(server: Server) -> None:
    client = stock(server)
    with running(*GOVERNED, server=server) as governor:
        eventually(lambda: (keys := governor.get().redis["keys"])["exact"] and keys["unregistered"])
        answer = governor.get()
        document = json.loads(answer.body)
        assert governor.ends(signal.SIGTERM) == 0
    assert answer.code == 200
    assert document.keys() == {"redis"}
    memory, keys = document["redis"]["memory"], document["redis"]["keys"]
    assert document["redis"]["status"] == "healthy"
    size = memory["usedBytes"]
    assert abs(size - used(client)) < MB / 4
    assert {name: memory[name] for name in ("used", "usagePercent", "limit", "available")} == {
        "used": format_bytes(size),
        "usagePercent": format_share(size / (25 * MB)),
        "limit": "23MB",
        "available": format_bytes(23 * MB - size),
    }
    assert keys["total"] == 612
    assert keys["byNamespace"] == {
        "ceo-platform:analytics:": 200,
        "ceo-platform:voice:": 0,
        "ceo-platform:sessions:": 0,
        "ceo-platform:ai-context:": 0,
        "ceo-platform:messages:": 100,
        "ceo-platform:tasks:": 0,
        "ceo-platform:channels:": 0,
        "ceo-platform:users:": 300,
    }
    assert (keys["unregistered"], keys["exact"]) == (12, True)
    assert document["redis"]["error"] is None


def test_answers_are_not_cached_only_read_and_only_given_to_this_machine(valkey: Server) -> None:
    stock(valkey)
    with running(*GOVERNED, server=valkey) as governor:
        governor.becomes("healthy")
        for path, begin in (
            (HEALTH, '{"redis":{"memory":{"used":"'),
            ("/livez", '{"alive":true}'),
            ("/readyz", '{"ready":true'),
        ):
            answer = governor.get(path)
            assert (answer.code, answer.headers["Cache-Control"]) == (200, "no-store")
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.body.startswith(begin)
            head = governor.get(path, method="HEAD")
            assert (head.code, head.body, head.headers["Cache-Control"]) == (200, "", "no-store")
            for method in ("POST", "PUT", "DELETE"):
                assert governor.get(path, method=method).code == 405
        for path in ("/health", "/api", "/health/redis-memory/more"):
            assert governor.get(path).code == 404
        port = governor.base_url.rsplit(":", 1)[1]
        for host in ("localhost", "127.0.0.1", "[::1]", f"localhost:{port}", f"127.0.0.1:{port}"):
            assert governor.get(host=host).code == 200
        for host in ("rebound.example", f"rebound.example:{port}", "127.0.0.1.example", "localhost.example"):
            assert governor.get(host=host).code == governor.get("/livez", host=host).code == 400


def test_asking_costs_the_server_nothing(valkey: Server) -> None:
    client = stock(valkey)
    with running(*GOVERNED, server=valkey, SPILLGATE_MONITOR_INTERVAL="1h", SPILLGATE_MONITOR_CHECKUP="0s") as governor:
        governor.becomes("healthy")
        # One look, its census included, and the pause after it has begun: from here on the governor is silent.
        eventually(lambda: commands_of(client).get("cmdstat_subscribe"))
        before = eventually(lambda: (first := commands_of(client)) == commands_of(client) and first)
        for _ in range(100):
            assert governor.get().code == 200
        assert commands_of(client) == before


def test_a_server_that_is_down_is_unreachable_until_it_is_back(valkey: Server) -> None:
    valkey.kill()
    with running(*GOVERNED, server=valkey) as governor:
        governor.awaits("error: ")
        answer = governor.get()
        assert (answer.code, answer.redis["status"], answer.redis["level"]) == (503, "unreachable", "unknown")
        assert set(answer.redis["memory"].values()) == {None}
        assert answer.redis["keys"]["total"] is None
        assert set(answer.redis["keys"]["byNamespace"].values()) == {None}
        assert f"127.0.0.1:{valkey.port}" in answer.redis["error"]
        ready = governor.get("/readyz")
        assert (ready.code, json.loads(ready.body)["ready"]) == (503, False)
        assert governor.get("/livez").code == 200

        valkey.restart()
        stock(valkey)
        assert governor.becomes("healthy").code == 200
        assert governor.get("/readyz").code == 200
        eventually(lambda: governor.get().redis["keys"]["total"] == 612, 10)

        valkey.kill()
        answer = governor.becomes("unreachable")
        assert answer.code == 503
        assert answer.redis["level"] == "normal", "the level stays as it was"
        assert answer.redis["keys"]["total"] == 612, "the latest that is known"
        assert governor.get("/livez").code == 200
        assert governor.get("/readyz").code == 503

        valkey.restart()
        fill(valkey.client(), "ceo-platform:users:", 10)
        assert governor.becomes("healthy").code == 200
        eventually(lambda: governor.get().redis["keys"]["total"] == 10, 10)


def test_at_critical_it_is_503(valkey: Server) -> None:
    client = fill_up(stock(valkey), 0.95, prefix="ceo-platform:users:more:")
    client.config_set("maxmemory", used(client) - MB // 10)
    with running(*GOVERNED, server=valkey) as governor:
        answer = governor.becomes("critical")
        assert answer.code == 503
        assert answer.redis["memory"]["availableBytes"] < 0
        assert answer.redis["memory"]["available"].startswith("-")
        assert answer.redis["pressure"] > 1
        assert governor.get("/readyz").code == 200, "it is read, so it is ready"


def test_fill_rate_and_time_to_the_limit_are_told(valkey: Server) -> None:
    client = stock(valkey)
    with running(*GOVERNED, server=valkey) as governor:
        governor.becomes("healthy")
        numbers = itertools.count()

        def after_more() -> dict[str, Any]:
            fill(client, f"ceo-platform:messages:{next(numbers)}:", 20, 700)
            return governor.get().redis

        redis = eventually(lambda: (latest := after_more())["fillBytesPerSecond"] and latest)
        assert 0 < redis["timeToLimitSeconds"] <= 25 * MB / redis["fillBytesPerSecond"] + 1
        assert redis["forecast"] >= redis["pressure"] > 0
