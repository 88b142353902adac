"""The FastAPI and Flask examples, started as their users start them and asked over HTTP."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.programs import HEALTH, Running, environment
from tests.servers import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.servers import Server

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextlib.contextmanager
def started(server: Server, *command: str) -> Generator[tuple[httpx.Client, Running], None, None]:
    """The program on a free port, once it answers."""
    port = str(free_port())
    filled = [sys.executable, *(part.format(port=port) for part in command)]
    with (
        Running(filled, environment(server, PORT=port, SPILLGATE_MONITOR_INTERVAL="200ms")) as app,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):

        def healthy() -> bool:
            with contextlib.suppress(httpx.ConnectError):
                return client.get(HEALTH).json()["redis"]["status"] == "healthy"
            return False

        eventually(healthy, 20)
        yield client, app


def test_the_fastapi_example_caches_what_it_says(valkey: Server) -> None:
    with started(valkey, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "fastapi_app:app", "--port", "{port}") as (
        client,
        app,
    ):
        with ThreadPoolExecutor(20) as threads:
            found = list(threads.map(client.get, ["/products/7"] * 20))
        assert {answer.text for answer in found} == {'{"number":7,"price":9.5,"looked_up":1}'}
        again = client.get("/products/7")
        assert (again.headers["x-cache"], again.headers["age"].isdigit()) == ("HIT", True)
        assert client.put("/products/7?price=5").status_code == 200
        changed = client.get("/products/7")
        assert (changed.json()["price"], changed.headers["x-cache"]) == (5, "MISS")
        for visitor in ("ann", "bob"):
            basket = client.get("/basket", headers={"Cookie": f"visitor={visitor}"})
            assert (basket.json(), basket.headers["x-cache"]) == ({"visitor": visitor}, "BYPASS")
        assert client.get("/counts").json()["products"]["compute"] == 2
        unknown = client.get("/products/100"), client.put("/products/100?price=5")
        assert [answer.status_code for answer in unknown] == [404, 404]
        assert unknown[0].json() == {"detail": "there is no product 100"}
        stored = valkey.client().keys("shop:*")
        assert stored
        assert all(valkey.client().pttl(key) > 0 for key in stored)

        valkey.kill()
        for _ in range(5):
            assert client.get("/products/7").json()["price"] == 5
        app.ends(signal.SIGTERM)
        assert "Traceback" not in app.log


def test_the_flask_example_caches_views_and_functions(valkey: Server) -> None:
    with started(valkey, str(EXAMPLES / "flask_app.py")) as (client, app):
        first, second = client.get("/products/7"), client.get("/products/7")
        assert first.json() == second.json()
        assert (second.json()["look_ups"], second.headers["x-number"]) == (1, "7")
        assert client.get("/products/8").json()["look_ups"] == 2
        assert client.post("/products/7/forget").status_code == 204
        assert client.get("/products/7").json()["look_ups"] == 3
        stored = valkey.client().keys("shop:views:*")
        assert stored
        assert all(valkey.client().pttl(key) > 0 for key in stored)

        valkey.kill()
        for _ in range(5):
            assert client.get("/products/7").json()["number"] == 7
        assert "Traceback" not in app.log


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("spillgate.integrations.asgi", "starlette", "web"),
        ("spillgate.integrations.flask", "flask", "flask"),
        ("spillgate.integrations.flask", "cachelib", "flask"),
    ],
)
def test_what_is_not_installed_is_named(module: str, package: str, extra: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules[{package!r}] = None; import {module}"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert f"run pip install 'spillgate[{extra}]'" in told.stderr


def test_responses_need_no_extra() -> None:
    """They work with any ASGI framework."""
    code = "import sys; sys.modules['starlette'] = None; import spillgate.integrations.responses"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0
