# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false, reportOptionalSubscript=false
# (Django has no types, and what is inferred of it is often wrong)
"""What Django caches: values of any type that takes no pickle, whole pages, fragments of templates, and sessions."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.core.management import call_command
from django.db.models import IntegerChoices, TextChoices
from django.http import HttpResponse, StreamingHttpResponse
from django.template import Context, Template, engines
from django.template.response import TemplateResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import cache_page

from spillgate.errors import ServerError, ValueRefused, ValueTooLarge
from spillgate.integrations.django.values import Tag
from tests.django_site import Session, Twin, caching, twin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server


@pytest.fixture(params=["sync", "async"])
def cache(request: pytest.FixtureRequest, valkey: Server) -> Iterator[Twin]:
    """The default cache by either kind of methods."""
    with caching(valkey) as cache, twin(cache, request.param) as its_twin:
        yield its_twin


class Point(NamedTuple):
    x: int
    y: int


class Named(dict):  # type: ignore[type-arg]
    """A dict of an application's own."""


BERLIN = ZoneInfo("Europe/Berlin")
MOMENT = datetime(2025, 3, 30, 1, 59, 59, 123456, tzinfo=UTC)
VALUES = [
    None, True, 0, -(1 << 63), 1.5, float("inf"), "", "Iñtërnâtiônàlizætiøn", b"", b"\x00\xff", [], {}, (), set(),
    [1, [2, {"a": [None]}]], {"a": 1, 7: {"b": "x"}}, (1, "two", (3.0, None)), {1, 2}, frozenset({"a"}),
    [(1, 2), (3, 4)], {"rows": [(1, Decimal("1.10"))]}, {(1, 2): "pair", None: "none", 1.5: {"deep": (1,)}},
    {date(2025, 1, 1): [UUID(int=5)]}, MOMENT, MOMENT.replace(tzinfo=None), MOMENT.astimezone(BERLIN),
    datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN, fold=1),
    MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30))), date(2025, 1, 1), time(1, 2, 3, 4),
    time(1, tzinfo=UTC), timedelta(days=-1, microseconds=1), Decimal("1E+5"), Decimal("NaN").copy_abs(), UUID(int=1),
    mark_safe("<b>bold</b>"), [mark_safe("<i>")], {"blob": b"\xc1\xc1", "at": MOMENT},
]  # fmt: skip


REFUSED = [
    object(), len, lambda: 1, Session, Session(session_key="x"), Point(1, 2), Named(a=1), gettext_lazy("Hello"),
    [1, {"deep": (object(),)}], 1j, range(3), 1 << 64, [1 << 64], [(1 << 64,)], "\ud800", ["\ud800", ()],
    time(1, tzinfo=BERLIN),
]  # fmt: skip


def packed(code: int, data: bytes) -> bytes:
    """An extension of MessagePack."""
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(int(code), data))


class TestValues:
    @pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
    def test_what_goes_in_comes_out_as_the_same_type(self, valkey: Server, value: Any) -> None:
        with caching(valkey) as cache:
            assert cache.set("key", value)
            assert same(cache.get("key"), value)
            assert cache.get_or_set("other", lambda: value) == value or value != value  # noqa: PLR0124 (a NaN)
            assert same(cache.get("other"), value)

    def test_they_are_the_same_for_async_methods(self, valkey: Server) -> None:
        async def through() -> list[Any]:
            await cache.aset_many(dict(enumerate(VALUES)))
            found = await cache.aget_many(range(len(VALUES)))
            return [found[number] for number in range(len(VALUES))]

        with caching(valkey) as cache:
            assert all(map(same, asyncio.run(through()), VALUES))

    def test_texts_and_numbers_of_an_enum_come_back_as_such(self, cache: Twin) -> None:
        colour = TextChoices("Colour", "RED")
        cache.set("key", [colour.RED, IntegerChoices("Size", "SMALL").SMALL])
        assert cache.get("key") == [colour.RED.value, 1]

    @pytest.mark.parametrize("value", REFUSED, ids=range(len(REFUSED)))
    def test_what_would_take_a_pickle_is_refused(self, cache: Twin, valkey: Server, value: Any) -> None:
        for store in (cache.set, cache.add, lambda key, one: cache.set_many({"fine": 1, key: one})):
            with pytest.raises(ValueRefused):
                store("key", value)
        assert valkey.client().keys() == []
        assert cache.cache.counts()["refused"] == 3

    def test_the_refusal_says_what_to_do(self, cache: Twin) -> None:
        with pytest.raises(ValueRefused, match=r"Session could only be .* a pickle.* list\(queryset.values\(\)\)"):
            cache.set("key", Session(session_key="x"))
        with pytest.raises(ValueRefused, match="QuerySet could only be stored as a pickle"):
            cache.set("key", Session.objects.all())

    def test_a_value_that_holds_itself_is_refused(self, cache: Twin) -> None:
        endless: list[Any] = []
        endless.append(endless)
        with pytest.raises(ValueRefused, match="holds itself"):
            cache.set("key", endless)

    def test_values_are_compressed(self, cache: Twin, valkey: Server) -> None:
        cache.set("plain", "x" * 5000)
        cache.set("boxed", ("x" * 5000,))
        assert valkey.client().strlen(":1:plain") < 100
        assert valkey.client().strlen(":1:boxed") < 100

    def test_a_value_of_more_than_1_mb_is_too_large(self, cache: Twin) -> None:
        cache.set("key", "x" * (1 << 20 - 1))
        with pytest.raises(ValueTooLarge, match="more than the 1MB allowed"):
            cache.set("key", "x" * (1 << 20))

    @pytest.mark.parametrize(
        "box",
        [
            (Tag.BOX, b""),
            (Tag.BOX, b"\xc1"),
            (99, b"\x01"),
            (Tag.BOX, packed(99, b"\x01")),
            (Tag.BOX, packed(Tag.DECIMAL, b"\xa1x")),
            (Tag.BOX, packed(Tag.SET, b"\x91\x90")),
            (Tag.BOX, packed(Tag.RESPONSE, b"\x90")),
            (Tag.TUPLE, b"\x90"),
        ],
    )
    def test_a_damaged_value_is_a_counted_miss(self, cache: Twin, valkey: Server, box: tuple[int, bytes]) -> None:
        valkey.client().set(":1:key", b"\xc1\x10" + packed(*box))
        assert cache.get("key", "default") == "default"
        counts = cache.cache.counts()
        assert (counts["miss"], counts["foreign"]) == (1, 1)

    def test_a_cut_off_value_is_a_counted_miss(self, valkey: Server) -> None:
        client = valkey.client()
        with caching(valkey) as cache:
            cache.set("key", {"when": MOMENT, "page": HttpResponse("text")})
            whole = client.get(":1:key")
            for end in range(len(whole)):
                client.set(":1:key", whole[:end])
                assert cache.get("key") is None
            assert cache.counts()["miss"] == len(whole)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of equal types all through."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(mine, its)
            for pair in zip(one.items(), other.items(), strict=True)
            for mine, its in zip(*pair, strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, datetime):
        return (one, one.tzinfo, one.fold) == (other, other.tzinfo, other.fold)
    return one == other or (one != one and other != other)  # noqa: PLR0124 (a NaN)


def from_string(source: str) -> Any:
    """A template, as views use them."""
    return engines["django"].from_string(source)


class TestResponses:
    def test_all_of_a_response_comes_back(self, cache: Twin) -> None:
        response = HttpResponse("pägé", status=201, reason="Made", headers={"X-Own": "1", "Content-Language": "de"})
        response.charset = "latin-1"
        response.set_cookie("name", "a value; quoted", max_age=60, httponly=True, samesite="Lax")
        response.set_cookie("other", "x", secure=True)
        cache.set("key", response)
        back = cache.get("key")
        assert type(back) is HttpResponse
        assert (back.status_code, back.reason_phrase, back.charset) == (201, "Made", "latin-1")
        assert back.content == response.content
        assert back.headers.items() == response.headers.items() or dict(back.headers) == dict(response.headers)
        assert back.cookies == response.cookies
        assert back.serialize() == response.serialize()

    def test_binary_content_and_no_content_type(self, cache: Twin) -> None:
        response = HttpResponse(b"\x89PNG\xff")
        del response["Content-Type"]
        cache.set("key", response)
        assert cache.get("key").content == b"\x89PNG\xff"
        assert list(cache.get("key").headers) == []

    def test_a_template_is_stored_when_it_is_rendered(self, cache: Twin) -> None:
        response = TemplateResponse(RequestFactory().get("/"), from_string("{{ word }}"), {"word": "hello"})
        assert cache.set("key", response) is False
        cache.set("key", response.render())
        assert cache.get("key").content == b"hello"

    def test_a_stream_is_not_stored_and_that_breaks_nothing(
        self, cache: Twin, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert cache.set("key", StreamingHttpResponse([b"x"])) is False
        assert "key was not cached: django: a StreamingHttpResponse is a stream" in caplog.text
        assert cache.cache.counts()["refused"] == 1

    def test_a_page_or_fragment_that_is_too_large_is_not_stored_and_that_breaks_nothing(
        self, cache: Twin, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert cache.set("page", HttpResponse("x" * (1 << 20))) is False
        assert cache.set("fragment", SafeString("x" * (1 << 20))) is False
        assert caplog.text.count("more than the 1MB allowed") == 2


class TestPages:
    def test_a_view_is_called_once(self, valkey: Server) -> None:
        calls: list[str] = []

        @cache_page(60)
        def view(_request: Any, name: str) -> HttpResponse:
            calls.append(name)
            response = HttpResponse(f"hello {name}", headers={"X-View": "1"})
            response.set_cookie("seen", "1")
            return response

        with caching(valkey), override_settings(ROOT_URLCONF=(path("<name>/", view),)):
            client = Client()
            first, second = client.get("/ada/"), client.get("/ada/")
            assert client.get("/bob/").content == b"hello bob"
            assert client.head("/ada/").headers["X-View"] == "1"
        assert calls == ["ada", "bob"]
        assert first.content == second.content == b"hello ada"
        assert (first["X-View"], first["Cache-Control"]) == (second["X-View"], second["Cache-Control"])
        assert second.cookies == first.cookies

    def test_an_async_view(self, valkey: Server) -> None:
        calls: list[int] = []

        @cache_page(60)
        async def view(_request: Any) -> HttpResponse:
            calls.append(1)
            return HttpResponse("hello")

        async def ask() -> list[bytes]:
            return [(await view(RequestFactory().get("/"))).content for _ in range(2)]

        with caching(valkey):
            assert asyncio.run(ask()) == [b"hello"] * 2
        assert len(calls) == 1

    def test_a_rendered_template_view(self, valkey: Server) -> None:
        calls: list[int] = []

        @cache_page(60)
        def view(request: Any) -> TemplateResponse:
            calls.append(1)
            return TemplateResponse(request, from_string("<p>{{ word }}</p>"), {"word": "a & b"})

        with caching(valkey), override_settings(ROOT_URLCONF=(path("", view),)):
            pages = [Client().get("/").content for _ in range(2)]
        assert pages == [b"<p>a &amp; b</p>"] * 2
        assert len(calls) == 1

    def test_the_whole_site(self, valkey: Server) -> None:
        calls: list[int] = []

        def view(_request: Any) -> HttpResponse:
            calls.append(1)
            return HttpResponse("site")

        middleware = [
            "django.middleware.cache.UpdateCacheMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.cache.FetchFromCacheMiddleware",
        ]
        with caching(valkey), override_settings(ROOT_URLCONF=(path("", view),), MIDDLEWARE=middleware):
            assert [Client().get("/").content for _ in range(3)] == [b"site"] * 3
        assert len(calls) == 1

    def test_a_template_fragment_stays_safe(self, valkey: Server) -> None:
        template = Template("{% load cache %}{% cache 60 part key %}<b>{{ word }}</b>{% endcache %}")
        with caching(valkey) as cache:
            assert template.render(Context({"key": 1, "word": "first"})) == "<b>first</b>"
            assert template.render(Context({"key": 1, "word": "second"})) == "<b>first</b>"
            assert template.render(Context({"key": 2, "word": "second"})) == "<b>second</b>"
            cache.set("html", mark_safe("<i>"))
            assert type(cache.get("html")) is SafeString
            assert Template("{{ html }}").render(Context({"html": cache.get("html")})) == "<i>"


class TestSessions:
    @pytest.fixture(autouse=True)
    def tables(self) -> None:
        """Those of the installed applications, in the database in memory."""
        call_command("migrate", verbosity=0)

    @pytest.mark.parametrize("engine", ["cache", "cached_db"])
    def test_a_session_lives_in_the_cache(self, valkey: Server, engine: str) -> None:
        store = import_module(f"django.contrib.sessions.backends.{engine}").SessionStore
        with caching(valkey) as cache:
            session = store()
            session["user"] = 7
            session["since"] = "2025-01-01T00:00:00"
            session.set_expiry(1000)
            session.save()
            assert cache.get(session.cache_key) == {
                "user": 7, "since": "2025-01-01T00:00:00", "_session_expiry": 1000
            }  # fmt: skip
            assert 990 < cache.ttl(session.cache_key) <= 1000
            again = store(session.session_key)
            assert again["user"] == 7
            assert again.exists(session.session_key)
            again["user"] = 8
            again.save()
            assert store(session.session_key)["user"] == 8
            old_key = again.session_key
            again.cycle_key()
            assert store(again.session_key)["user"] == 8
            assert "user" not in store(old_key)
            again.flush()
            assert cache.get(session.cache_key) is None

    def test_an_async_session(self, valkey: Server) -> None:
        store = import_module("django.contrib.sessions.backends.cache").SessionStore

        async def live() -> Any:
            session = store()
            await session.aset("user", 7)
            await session.asave()
            return await store(session.session_key).aget("user")

        with caching(valkey):
            assert asyncio.run(live()) == 7

    def test_a_cached_db_session_outlives_the_server(self, valkey: Server) -> None:
        store = import_module("django.contrib.sessions.backends.cached_db").SessionStore
        with caching(valkey):
            session = store()
            session["user"] = 7
            session.save()
            valkey.kill()
            assert store(session.session_key)["user"] == 7
            session["user"] = 8
            session.save()
            assert store(session.session_key)["user"] == 8

    def test_without_the_server_a_new_session_in_the_cache_alone_is_an_error(self, valkey: Server) -> None:
        store = import_module("django.contrib.sessions.backends.cache").SessionStore
        with caching(valkey):
            valkey.kill()
            session = store()
            session["user"] = 7
            with pytest.raises(ServerError):
                session.save()
