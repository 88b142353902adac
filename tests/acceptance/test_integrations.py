"""A governor inside an application: the examples started as their users start them, and the lifespan by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from starlette.applications import Starlette

from spillgate import Governor
from spillgate.errors import ConfigError
from spillgate.integrations.asgi import governed, health_route
from tests.governing import policy_of
from tests.programs import HEALTH, Answer, Running, environment, get, stock
from tests.servers import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import redis

    from tests.servers import Server

EXAMPLES = Path(__file__).parents[2] / "examples"
THREAD = "spillgate-governor"


def answers(base_url: str, path: str) -> Answer | None:
    """Its answer, None as long as nobody listens."""
    with contextlib.suppress(ConnectionRefusedError):
        return get(base_url, path)
    return None


def connections(client: redis.Redis) -> int:
    """How many clients the server has, this one included."""
    return cast("dict[str, int]", client.info("clients"))["connected_clients"]


def governors() -> int:
    return sum(thread.name == THREAD for thread in threading.enumerate())


def test_the_asgi_example_is_governed_and_keeps_its_own_lifespan(valkey: Server) -> None:
    client = stock(valkey)
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "asgi_app:app", "--port", str(port)]
    with Running(command, environment(valkey)) as app:
        eventually(lambda: (answer := answers(url, HEALTH)) and answer.redis["status"] == "healthy", 15)
        assert get(url, HEALTH).redis["memory"]["limit"] == "23MB"
        assert json.loads(get(url, "/level").body) == {"greeting": "hello", "level": "normal"}
        assert connections(client) > 1
        app.ends(signal.SIGTERM)
        assert "Traceback" not in app.log
    eventually(lambda: connections(client) == 1)


def test_the_wsgi_example_is_governed_from_a_thread(valkey: Server) -> None:
    client = stock(valkey)
    url = f"http://127.0.0.1:{(port := free_port())}"
    with Running(
        [sys.executable, str(EXAMPLES / "wsgi_app.py")],
        environment(valkey, PORT=str(port), SPILLGATE_MONITOR_INTERVAL="200ms"),
    ) as app:
        eventually(lambda: (answer := answers(url, HEALTH)) and answer.redis["status"] == "healthy", 15)
        assert get(url, HEALTH).code == 200
        assert get(url, "/").code == 404
        valkey.kill()
        eventually(lambda: get(url, HEALTH).code == 503)
        assert app.ends(signal.SIGTERM) == 0
        assert "Traceback" not in app.log
    client.close()


def test_a_lifespan_runs_one_governor_each_time_and_passes_on_the_state_of_the_applications_own(
    valkey: Server,
) -> None:
    stock(valkey)
    order: list[str] = []

    @contextlib.asynccontextmanager
    async def own(_app: object) -> AsyncGenerator[dict[str, str], None]:
        order.append(f"begins with {governors()}")
        yield {"mine": "kept"}
        order.append(f"ends with {governors()}")

    lifespan = governed(policy_of(valkey.url), lifespan=own)

    async def live() -> None:
        async with lifespan(Starlette()) as state:
            assert state["mine"] == "kept"
            assert governors() == 1
            governor: Governor = state["governor"]
            await asyncio.to_thread(eventually, lambda: governor.state.level_label == "normal")

    for _ in range(2):
        asyncio.run(live())
        assert governors() == 0
    assert order == ["begins with 0", "ends with 0"] * 2


def test_an_application_that_fails_leaves_no_governor_behind(valkey: Server) -> None:
    stock(valkey)

    async def fail() -> None:
        async with governed(policy_of(valkey.url))(Starlette()):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(fail())
    assert governors() == 0


def test_an_unreachable_server_does_not_keep_an_application_from_starting() -> None:
    async def live() -> tuple[int, dict[str, Any]]:
        async with governed(policy_of("redis://127.0.0.1:1"))(Starlette()) as state:
            governor: Governor = state["governor"]
            await asyncio.to_thread(eventually, lambda: governor.state.error)
            return await asked(Starlette(routes=[health_route()]), state)

    code, document = asyncio.run(live())
    assert (code, document["redis"]["status"]) == (503, "unreachable")


def test_a_policy_file_that_cannot_be_used_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        governed(tmp_path / "nowhere.toml")


def test_a_governor_that_ended_by_itself_is_told_on_the_health_route(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[str] = []

    def note(args: threading.ExceptHookArgs) -> None:
        failures.append(args.exc_type.__name__)

    monkeypatch.setattr(threading, "excepthook", note)
    with Governor(policy_of(valkey.url)) as governor:  # the server has no maxmemory
        eventually(lambda: governor.state.ended)
        code, document = asyncio.run(asked(Starlette(routes=[health_route(governor)]), {}))
    assert failures == ["LimitUnknown"]
    assert (code, document["redis"]["status"]) == (503, "unreachable")
    assert "pass --limit 25MB" in document["redis"]["error"]


async def asked(app: Starlette, state: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What the application answers to GET /health/redis-memory."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": HEALTH,
        "headers": [],
        "query_string": b"",
        "state": dict(state),
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)
