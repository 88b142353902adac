"""The backend for Flask-Caching and cachelib, on real servers."""

from __future__ import annotations

import enum
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID

import flask
import pytest
import redis
from flask_caching import Cache as FlaskCaching
from flask_caching import CachedResponse
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug.exceptions import NotFound

from spillgate import Cache
from spillgate.errors import ConfigError, ValueRefused, ValueTooLarge
from spillgate.integrations.flask import SpillgateCache
from spillgate.integrations.flask_values import FlaskValues
from tests.caching import policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers import Server

BACKEND = "spillgate.integrations.flask.SpillgateCache"
NAMESPACES = """
[[namespace]]
name = "pages"
keys = "app:pages:*"
ttl = "10m"
max_ttl = "30m"
jitter = 0

[[namespace]]
name = "files"
keys = "app:files:*"
ttl = "10m"
binary = true

[[namespace]]
name = "json"
keys = "app:json:*"
ttl = "10m"
binary = true
codec = "json"
"""


class Row(NamedTuple):
    a: int
    b: int


class Colour(enum.StrEnum):
    RED = "red"


@dataclass
class Record:
    number: int


@pytest.fixture
def backend(server: Server) -> Iterator[SpillgateCache]:
    """A backend as cachelib's users make one."""
    with Cache(policy_of(server, NAMESPACES)) as cache:
        yield SpillgateCache(cache, "pages")


@pytest.fixture
def on_valkey(valkey: Server) -> Iterator[Callable[[str], SpillgateCache]]:
    """Makes backends by the name of the namespace, on one kind of server."""
    with Cache(policy_of(valkey, NAMESPACES)) as cache:
        yield lambda name: SpillgateCache(cache, name)


def application(server: Server, **config: Any) -> tuple[flask.Flask, FlaskCaching]:
    """A Flask application with Flask-Caching on the backend, without a policy file."""
    app = flask.Flask("site")
    app.config.update({"CACHE_TYPE": BACKEND, "CACHE_REDIS_URL": server.url} | config)
    return app, FlaskCaching(app)


def test_what_cachelib_promises(backend: SpillgateCache) -> None:
    assert backend.get("a") is None
    assert backend.set("a", {"b": [1, "c", None, 2.5, True]})
    assert backend.get("a") == {"b": [1, "c", None, 2.5, True]}
    assert backend.has("a")
    assert not backend.has("b")
    assert not backend.add("a", 1)
    assert backend.add("b", 1)
    assert sorted(backend.set_many({"c": 3, "d": (1, 2)})) == ["c", "d"]
    assert backend.get_many("c", "nothing", "d") == [3, None, (1, 2)]
    assert backend.get_dict("c", "nothing") == {"c": 3, "nothing": None}
    assert backend.delete("a")
    assert not backend.delete("a")
    assert backend.delete_many("b", "c", "nothing") == ["b", "c", "nothing"]
    assert [backend.has(key) for key in "abcd"] == [False, False, False, True]
    assert (backend.inc("n"), backend.inc("n", 10), backend.dec("n", 5), backend.dec("m")) == (1, 11, 6, -1)
    assert backend.get("n") == 6
    assert backend.clear()
    assert not backend.has("d")


def test_none_is_a_value(on_valkey: Callable[[str], SpillgateCache]) -> None:
    pages = on_valkey("pages")
    assert pages.set("none", None)
    assert pages.get("none") is None
    assert pages.has("none")
    assert not pages.add("none", 1)


@pytest.mark.parametrize(
    ("timeout", "ttl_s"),
    [
        (None, 600),
        (300, 300),
        (timedelta(minutes=4), 240),
        (250.5, 250.5),
        (0, 1800),  # "never" in cachelib
        (-1, 1800),
        (timedelta(0), 1800),
        (10**9, 1800),
        (1, 1),
    ],
)
def test_everything_ends_within_the_bounds_of_the_namespace(
    valkey: Server, on_valkey: Callable[[str], SpillgateCache], timeout: Any, ttl_s: float
) -> None:
    pages = on_valkey("pages")
    client = valkey.client()
    pages.set("a", "b", timeout)
    pages.add("b", "c", timeout)
    pages.set_many({"d": "e"}, timeout)
    keys = client.keys("app:pages:*")
    assert len(keys) == 3
    assert all(ttl_s - 2 < client.pttl(key) / 1000 <= ttl_s for key in keys)


def test_counters_end_too_and_what_is_no_int_is_not_counted(
    valkey: Server, on_valkey: Callable[[str], SpillgateCache]
) -> None:
    pages = on_valkey("pages")
    pages.inc("n")
    (key,) = valkey.client().keys("app:pages:*")
    assert 598 < valkey.client().ttl(key) <= 600
    pages.set("text", "five")
    with pytest.raises(ValueRefused, match="to the value of 'text' 1 cannot be added"):
        pages.inc("text")


VALUES: list[Any] = [
    Markup("<b>bold</b>"),
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4),  # noqa: DTZ001 (naive ones have to come back naive)
    date(2026, 1, 2),
    time_of_day(3, 4, 5),
    timedelta(days=1, seconds=2, microseconds=3),
    UUID(int=7),
    Decimal("1.10"),
    (1, ("two", [3])),
    {1, 2},
    frozenset("ab"),
    {"a": {"b": (1,)}},
    {1: "int", (2, 3): "tuple", None: "none"},
    {" ": 1},
    {" ()": [1]},
    {" k": {" k": []}},
    ("body", 201, {"X-Own": "1"}),
    2**63,
    -(2**80),
    float("inf"),
    float("nan"),
    [],
    {},
    (),
    "",
]


def test_values_come_back_as_they_are(on_valkey: Callable[[str], SpillgateCache]) -> None:
    for namespace in ("pages", "json"):
        cache = on_valkey(namespace)
        for value in VALUES:
            assert cache.set("key", value)
            found = cache.get("key")
            assert type(found) is type(value)
            assert repr(found) == repr(value) or (found == value and type(value) in {set, frozenset})


PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(allow_nan=False)
HASHABLE = PLAIN | st.dates() | st.uuids() | st.tuples(PLAIN, PLAIN) | st.frozensets(PLAIN, max_size=3)


def make(*_: object) -> flask.Response:
    return flask.Response()


@given(
    st.recursive(
        HASHABLE | st.datetimes() | st.timedeltas() | st.decimals(allow_nan=False),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(HASHABLE | st.sampled_from([" ", " k", " ()"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_nesting_of_them_comes_back_as_it_is(value: Any) -> None:
    values = FlaskValues("pages", binary=False, make=make)
    assert values.unpack(values.pack(value)) == value


@given(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(list(" abk")), inner)))
def test_what_is_none_of_ours_is_a_miss_or_itself(plain: Any) -> None:
    values = FlaskValues("pages", binary=False, make=make)
    values.unpack({" ": {" dt": plain}})
    values.unpack({" ": {" r": plain}})
    values.unpack({" ": plain})


REFUSED: list[Any] = [
    b"bytes",
    {"a": [b"bytes"]},
    Record(1),
    Row(1, 2),
    Colour.RED,
    OrderedDict(a=1),
    Ellipsis,
    len,
    1j,
    10**5000,
    "\ud800",
    [Record(1)],
    {Record: 1},
]


def test_what_would_come_back_as_another_is_refused(on_valkey: Callable[[str], SpillgateCache]) -> None:
    pages = on_valkey("pages")
    for value in REFUSED:
        with pytest.raises(ValueRefused, match=r"^pages: .* stored"):
            pages.set("key", value)
        assert not pages.has("key")


def test_what_holds_itself_and_what_is_too_large_is_refused(on_valkey: Callable[[str], SpillgateCache]) -> None:
    pages = on_valkey("pages")
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueRefused, match="nested too deep"):
        pages.set("key", loop)
    with pytest.raises(ValueTooLarge, match="raise max_value"):
        pages.set("key", "x" * 300_000)


def test_bytes_go_where_they_may(on_valkey: Callable[[str], SpillgateCache]) -> None:
    for name in ("files", "json"):
        files = on_valkey(name)
        assert files.set("key", {"a": b"\x00\xff"})
        assert files.get("key") == {"a": b"\x00\xff"}


def test_responses_come_back_as_responses(on_valkey: Callable[[str], SpillgateCache]) -> None:
    for name, body in (("pages", "grüß Gott".encode()), ("files", b"\x00\xff"), ("json", b"\x00\xff")):
        cache = on_valkey(name)
        made = flask.Response(body, status="299 Fine", headers=[("X-Own", "1"), ("X-Own", "2")], mimetype="text/x")
        assert cache.set("key", made)
        found = cache.get("key")
        assert type(found) is flask.Response
        assert (found.data, found.status, list(found.headers)) == (body, "299 Fine", list(made.headers))


def test_responses_that_are_one_clients_own_or_no_text_or_streams_are_refused(
    on_valkey: Callable[[str], SpillgateCache],
) -> None:
    pages = on_valkey("pages")
    cookie = flask.Response("mine")
    cookie.set_cookie("session", "secret")
    stream = flask.Response(part for part in ("a", "b"))
    for value, why in (
        (cookie, "its cookie is for one client"),
        (stream, "a stream or a file"),
        (flask.Response(b"\xff"), "no UTF-8 text; set binary = true"),
        (NotFound(response=flask.Response("own")), "more than a status and a description"),
    ):
        with pytest.raises(ValueRefused, match=why):
            pages.set("key", value)
    assert stream.get_data() == b"ab"  # it can still be sent


def test_a_server_that_is_down_is_told_as_cachelib_tells(valkey: Server) -> None:
    with Cache(policy_of(valkey, NAMESPACES)) as cache:
        pages = SpillgateCache(cache, "pages")
        lenient = SpillgateCache(cache, "pages", ignore_delete_many_errors=True)
        pages.set("a", 1)
        valkey.kill()
        started_s = time.monotonic()
        assert pages.get("a") is None
        assert pages.get_many("a", "b") == [None, None]
        assert pages.set("a", 2) is False
        assert pages.set_many({"a": 2}) == []
        assert pages.add("a", 2) is False
        assert pages.inc("a") is None
        assert pages.delete("a") is False
        assert pages.has("a") is False
        assert pages.clear() is False
        assert lenient.delete_many("a") == []
        with pytest.raises(RuntimeError, match="Failed to delete keys"):
            pages.delete_many("a")
        assert time.monotonic() - started_s < 2


def test_sessions_as_flask_session_keeps_them(on_valkey: Callable[[str], SpillgateCache]) -> None:
    """What its cachelib storage calls, with what a session holds."""
    sessions = on_valkey("pages")
    session = {"_permanent": True, "user": 7, "since": datetime(2026, 1, 2, tzinfo=UTC), "_flashes": [("info", "hi")]}
    sessions.set(key="session:1", value=session, timeout=1200)
    assert sessions.get("session:1") == session
    sessions.delete("session:1")
    assert sessions.get("session:1") is None


def test_flask_caching_caches_whatever_views_return(valkey: Server) -> None:
    app, caching = application(valkey, CACHE_OPTIONS={"binary": True})
    runs: list[str] = []

    def respond(kind: str) -> Any:
        made = flask.make_response("made", 202)
        made.headers["X-Own"] = "1"
        return {
            "text": "text",
            "bytes": b"bytes",
            "dict": {"a": (1, 2)},
            "list": [1, 2],
            "pair": ("text", 201),
            "triple": ("text", 203, {"X-Own": "1"}),
            "response": made,
            "json": flask.jsonify(a=1),
            "template": flask.render_template_string("<p>{{ name }}</p>", name="<you>"),
            "cached": CachedResponse(flask.make_response("short"), 5),
        }[kind]

    @app.route("/<kind>")
    @caching.cached(timeout=60)
    def view(kind: str) -> Any:
        runs.append(kind)
        if kind == "generator":
            return (part for part in ("a", "b"))
        if kind == "abort":
            flask.abort(404, "no such thing")
        return respond(kind)

    kinds = ["text", "bytes", "dict", "list", "pair", "triple", "response", "json", "template", "cached"]
    kinds += ["generator", "abort"]
    client = app.test_client()
    for kind in kinds:
        first, second = client.get(f"/{kind}"), client.get(f"/{kind}")
        assert runs == [kind]
        assert (first.status_code, first.data) == (second.status_code, second.data)
        assert list(first.headers) == list(second.headers)
        runs.clear()
    assert (client.get("/abort").status_code, client.get("/triple").status_code) == (404, 203)
    assert all(valkey.client().ttl(key) > 0 for key in valkey.client().keys("flask_cache_*"))


def test_flask_caching_memoizes_none_and_forgets(valkey: Server) -> None:
    app, caching = application(valkey, CACHE_KEY_PREFIX="site[1]:")
    runs: list[int] = []

    @caching.memoize(timeout=60, cache_none=True)
    def load(number: int) -> dict[str, Any] | None:
        runs.append(number)
        return {"when": date(2026, 1, number)} if number else None

    with app.app_context():
        assert [load(number) for number in (0, 1, 0, 1)] == [None, {"when": date(2026, 1, 1)}] * 2
        assert runs == [0, 1]
        caching.delete_memoized(load, 1)
        load(1)
        assert runs == [0, 1, 1]
        caching.clear()
        load(0)
        assert runs == [0, 1, 1, 0]
    assert all(key.startswith((b"site[1]:", b"spillgate:")) for key in cast("list[bytes]", valkey.client().keys("*")))


def test_flask_caching_caches_fragments_of_templates(valkey: Server) -> None:
    app, _ = application(valkey)
    template = "{% cache 60, 'part' %}<b>{{ name }}</b>{% endcache %}"
    with app.test_request_context():
        assert flask.render_template_string(template, name="<one>") == "<b>&lt;one&gt;</b>"
        assert flask.render_template_string(template, name="two") == "<b>&lt;one&gt;</b>"


def test_what_cannot_be_cached_is_answered_all_the_same(valkey: Server, caplog: pytest.LogCaptureFixture) -> None:
    app, caching = application(valkey)

    @app.route("/")
    @caching.cached()
    def view() -> flask.Response:
        made = flask.make_response("mine")
        made.set_cookie("session", "secret")
        return made

    for _ in range(2):
        answer = app.test_client().get("/")
        assert (answer.data, "secret" in answer.headers["Set-Cookie"]) == (b"mine", True)
    assert "its cookie is for one client alone" in caplog.text
    app.debug = app.testing = True
    with pytest.raises(ValueRefused):
        app.test_client().get("/")


def test_the_default_timeout_is_for_what_says_none_and_0_is_a_day(valkey: Server) -> None:
    for default, ttl_s in ((120, 120), (timedelta(minutes=3), 180), (0, 86_400), (200_000, 200_000)):
        app, caching = application(valkey, CACHE_DEFAULT_TIMEOUT=default, CACHE_OPTIONS={"jitter": "0%"})
        with app.app_context():
            caching.set("key", "value")
            caching.set("never", "value", timeout=0)
            assert caching.cache.default_timeout == ttl_s
        client = valkey.client()
        ttls = sorted(client.ttl(key) for key in client.keys("flask_cache_*"))
        assert ttl_s - 2 <= ttls[0] <= ttl_s
        assert max(ttl_s, 86_400) - 2 <= ttls[-1] <= max(ttl_s, 86_400)
        client.flushall()


def test_a_policy_file_names_the_namespace(valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "spillgate.toml"
    policy.write_text(NAMESPACES)
    app, caching = application(valkey, SPILLGATE_CONFIG=str(policy), SPILLGATE_NAMESPACE="files")
    with app.app_context():
        assert caching.set("key", b"value")
        assert caching.cache.default_timeout == 600
    assert len(valkey.client().keys("app:files:*")) == 1
    monkeypatch.setenv("SPILLGATE_CONFIG", str(policy))
    monkeypatch.setenv("SPILLGATE_NAMESPACE", "pages")
    app, caching = application(valkey)
    with app.app_context():
        assert caching.set("key", "value")
    assert len(valkey.client().keys("app:pages:*")) == 1
    monkeypatch.delenv("SPILLGATE_NAMESPACE")
    with pytest.raises(
        ConfigError, match="SPILLGATE_NAMESPACE: name one of the policy's namespaces: pages, files, json"
    ):
        application(valkey)
    with pytest.raises(ConfigError, match="no namespace 'page'"):
        application(valkey, SPILLGATE_NAMESPACE="page")
    with pytest.raises(ConfigError, match="'max_value' belongs into the policy file"):
        application(valkey, CACHE_OPTIONS={"namespace": "pages", "max_value": "1MB"})


def test_settings_of_the_redis_backend_name_the_server(valkey: Server) -> None:
    app, caching = application(
        valkey, CACHE_REDIS_URL=None, CACHE_REDIS_HOST="127.0.0.1", CACHE_REDIS_PORT=valkey.port, CACHE_REDIS_DB=3
    )
    with app.app_context():
        assert caching.set("key", "value")
    with redis.Redis.from_url(valkey.url.replace("/0", "/3")) as client:
        assert client.keys("flask_cache_*")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"CACHE_KEY_PREFIX": ""}, "CACHE_KEY_PREFIX: must not be empty"),
        ({"CACHE_KEY_PREFIX": "spillgate:"}, "would hold the keys that Spillgate keeps for itself"),
        ({"CACHE_OPTIONS": {"max_valu": "1MB"}}, 'unknown key "max_valu"'),
        ({"CACHE_OPTIONS": {"max_value": "much"}}, "max_value"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_an_error_at_once(
    valkey: Server, config: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        application(valkey, **config)
