# pyright: basic
"""Django as its users have it: the example over HTTP, and caches that django-redis and Django's own backend left."""

from __future__ import annotations

import json
import re
import signal
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import caches
from django.test import override_settings

from spillgate import parse_policy
from tests.django_site import BACKEND
from tests.programs import Answer, Running, environment
from tests.servers import eventually, free_port

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

EXAMPLE = Path(__file__).parents[2] / "examples" / "django_app.py"


class Visitor:
    """A browser that keeps its cookie."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookie = ""

    def get(self, path: str) -> Answer:
        """One request."""
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
            connection.request("GET", path, headers={"Cookie": self._cookie} if self._cookie else {})
            response = connection.getresponse()
            self._cookie = (response.headers["Set-Cookie"] or self._cookie).partition(";")[0]
            return Answer(response.status, response.headers, response.read().decode())

    def visits(self) -> int | None:
        """How often it came, as it is told; None as long as nobody listens."""
        try:
            return json.loads(self.get("/").body)["visits"]
        except ConnectionRefusedError:
            return None


@pytest.fixture
def port(valkey: Server) -> Iterator[int]:
    """The example, listening."""
    with Running(
        [sys.executable, "-W", "error", str(EXAMPLE)], environment(valkey, PORT=str(port := free_port()))
    ) as app:
        eventually(Visitor(port).visits, 15)
        yield port
        assert app.ends(signal.SIGTERM) == 0
        assert "Traceback" not in app.log


def test_the_example_keeps_sessions_pages_and_results(valkey: Server, port: int) -> None:
    visitor, other = Visitor(port), Visitor(port)
    assert [visitor.visits(), visitor.visits(), other.visits(), visitor.visits()] == [1, 2, 1, 3]
    first, second = visitor.get("/report/2025-01-31/"), visitor.get("/report/2025-01-31/")
    assert first.body == second.body == "<h1>2025-01-31</h1><p>All was well on 2025-01-31.</p>"
    assert second.headers["Content-Language"] == "en"
    assert second.headers["Cache-Control"] == "max-age=600"
    told = json.loads(visitor.get("/counts/").body)
    assert told["made"] == ["page of 2025-01-31", "summary of 2025-01-31"]
    assert told["default"]["hit"] >= 2
    assert told["sessions"]["set"] >= 4
    client = valkey.client()
    names: list[Any] = list(client.scan_iter("ceo-platform:*"))
    assert {name.split(b":")[1] for name in names} == {b"sessions", b"analytics", b"ai-context"}
    assert all(0 < client.ttl(name) <= 3600 for name in names)


def test_the_example_goes_on_without_its_server(valkey: Server, port: int) -> None:
    visitor = Visitor(port)
    visitor.get("/report/2025-01-31/")
    valkey.kill()
    assert visitor.get("/report/2025-01-31/").body.startswith("<h1>2025-01-31</h1>")
    assert visitor.get("/report/2025-02-01/").code == 200


def test_the_policy_in_the_docs_can_be_used() -> None:
    page = (EXAMPLE.parents[1] / "docs" / "django.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    pages, sessions = parse_policy(text, "docs/django.md").namespaces
    assert (pages.name, pages.protected, sessions.name, sessions.protected) == ("pages", False, "sessions", True)


SERIALIZERS = ("json.JSONSerializer", "msgpack.MSGPackSerializer")
COMPRESSORS = (
    "identity.IdentityCompressor",
    "zlib.ZlibCompressor",
    "gzip.GzipCompressor",
    "lzma.LzmaCompressor",
    "lz4.Lz4Compressor",
    "zstd.ZStdCompressor",
)
WRITTEN: dict[str, Any] = {
    "counter": 41,
    "none": None,
    "yes": True,
    "text": "ünicode",
    "empty": "",
    "list": [1, 2.5, None, "x"],
    "long": {"text": "hello world " * 100, "numbers": list(range(100))},
    "session": {"_auth_user_id": "7", "cart": [{"sku": "a-1", "count": 2}]},
}


@pytest.mark.parametrize("compressor", COMPRESSORS)
@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("key_prefix", ["", "site"])
def test_what_django_redis_wrote_is_read(
    valkey: Server, serializer: str, compressor: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its zstd compressor wants pyzstd, which by now is another name for this package.
    monkeypatch.setitem(sys.modules, "pyzstd", zstd)
    common = {"LOCATION": valkey.url, "KEY_PREFIX": key_prefix, "VERSION": 2}
    options = {
        "SERIALIZER": f"django_redis.serializers.{serializer}",
        "COMPRESSOR": f"django_redis.compressors.{compressor}",
    }
    before = common | {"BACKEND": "django_redis.cache.RedisCache", "OPTIONS": options}
    with override_settings(CACHES={"default": common | {"BACKEND": BACKEND}, "before": before}):
        caches["before"].set_many(WRITTEN, 1000)
        cache = caches["default"]
        assert {name: cache.get(name, "missed") for name in WRITTEN} == WRITTEN
        assert cache.incr("counter") == 42
        assert 990 < cache.ttl("counter") <= 1000
        assert cache.touch("text", 2000)
        assert cache.get_or_set("text", lambda: "computed") == "ünicode"
        assert cache.incr_version("list") == 3
        assert cache.get("list", version=3) == WRITTEN["list"]
        assert cache.counts()["migrated"] >= len(WRITTEN) - 1
        caches["before"].close()


@pytest.mark.parametrize("backend", ["django_redis.cache.RedisCache", "django.core.cache.backends.redis.RedisCache"])
def test_pickles_are_counted_misses_and_are_replaced(valkey: Server, backend: str) -> None:
    common = {"LOCATION": valkey.url}
    with override_settings(CACHES={"default": common | {"BACKEND": BACKEND}, "before": common | {"BACKEND": backend}}):
        caches["before"].set("key", {"a": 1})
        caches["before"].set("counter", 1)
        cache = caches["default"]
        assert cache.get("key", "missed") == "missed"
        assert cache.get("counter") == 1
        assert cache.counts()["foreign"] == 1
        assert cache.get_or_set("key", lambda: {"b": 2}) == {"b": 2}
        assert cache.get("key") == {"b": 2}
        caches["before"].close()


def test_without_migration_only_ints_are_read(valkey: Server) -> None:
    valkey.client().mset({":1:key": '{"a": 1}', ":1:counter": 5})
    entry = {"BACKEND": BACKEND, "LOCATION": valkey.url, "OPTIONS": {"migrate": False}}
    with override_settings(CACHES={"default": entry}):
        assert caches["default"].get("key") is None
        assert caches["default"].get("counter") == 5
        assert caches["default"].counts()["foreign"] == 1


def test_keys_are_those_of_django_redis(valkey: Server) -> None:
    common = {"LOCATION": valkey.url, "KEY_PREFIX": "site", "VERSION": 3}
    before = common | {"BACKEND": "django_redis.cache.RedisCache"}
    client = valkey.client()
    with override_settings(CACHES={"default": common | {"BACKEND": BACKEND}, "before": before}):
        caches["before"].set("a:b", 1)
        names = client.keys()
        client.flushall()
        caches["default"].set("a:b", 1)
        assert client.keys() == names
        caches["before"].close()
