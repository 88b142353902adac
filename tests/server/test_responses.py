"""The cache of responses in Starlette and FastAPI applications, on real servers."""

from __future__ import annotations

import asyncio
import gzip
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, cast

import httpx
import pytest
from fastapi import FastAPI, Header
from fastapi import Response as FastAPIResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from spillgate import AsyncCache
from spillgate.errors import ConfigError, OutOfMemory, ServerError
from spillgate.integrations.asgi import with_cache
from spillgate.integrations.responses import ResponseCache, Responses
from tests.caching import counted, policy_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import redis
    from starlette.requests import Request

    from tests.servers import Server

NAMESPACES = """
[[namespace]]
name = "pages"
keys = "app:pages:*"
ttl = "10m"
min_ttl = "1s"
cleanup = "clear"
priority = 1
max_value = "8KB"
jitter = 0

[[namespace]]
name = "files"
keys = "app:files:*"
ttl = "10m"
cleanup = "clear"
priority = 2
binary = true
"""
MINUTE = {"Cache-Control": "max-age=60"}


class Site:
    """An application, how often it ran, and a client of it."""

    def __init__(self, server: Server, answer: Callable[[Request], Awaitable[Response]], **options: Any) -> None:
        self.runs = 0
        self.cache = AsyncCache(policy_of(server, NAMESPACES))
        self.responses = Responses(self.cache, options.pop("namespace", "pages"))
        self._answer = answer
        inner: list[Middleware] = options.pop("inner", [])
        outer: list[Middleware] = options.pop("outer", [])
        self.app = Starlette(
            routes=[Route("/{path:path}", self._endpoint, methods=["GET", "POST", "PUT", "DELETE", "OPTIONS"])],
            middleware=[*outer, Middleware(ResponseCache, responses=self.responses, **options), *inner],
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://site")

    async def _endpoint(self, request: Request) -> Response:
        self.runs += 1
        return await self._answer(request)

    async def get(self, path: str = "/", **headers: str) -> httpx.Response:
        return await self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def marks(self, *requests: dict[str, str], path: str = "/") -> list[str]:
        """X-Cache of requests with these headers, one after the other."""
        return [(await self.get(path, **headers)).headers["x-cache"] for headers in requests]


@asynccontextmanager
async def site(
    server: Server, answer: Callable[[Request], Awaitable[Response]], **options: Any
) -> AsyncGenerator[Site, None]:
    made = Site(server, answer, **options)
    async with made.client, made.cache:
        yield made


def connections(client: redis.Redis) -> int:
    """How many clients the server has, this one included."""
    return cast("dict[str, int]", client.info("clients"))["connected_clients"]


async def until(true: Callable[[], bool]) -> None:
    """Wait until it is true."""
    while not true():  # noqa: ASYNC110 (what is waited for tells nobody)
        await asyncio.sleep(0.001)


def says(text: str = "hello", **headers: str) -> Callable[[Request], Awaitable[Response]]:
    """What answers all requests with the same."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(_: Request) -> Response:
        return PlainTextResponse(text, headers=fields)

    return answer


def test_a_response_with_max_age_is_made_once_and_says_its_age(server: Server) -> None:
    async def live() -> None:
        async with site(server, says(cache_control="max-age=60", etag='"1"', x_own="kept")) as page:
            first, second = await page.get("/a?b=c"), await page.get("/a?b=c")
            assert [first.headers["x-cache"], second.headers["x-cache"]] == ["MISS", "HIT"]
            assert "age" not in first.headers
            assert second.headers["age"] == "0"
            assert (second.text, second.status_code, second.headers["x-own"]) == ("hello", 200, "kept")
            assert second.headers["content-length"] == "5"
            assert second.headers["content-type"] == first.headers["content-type"]
            assert page.runs == 1
            head = await page.client.head("/a?b=c")
            assert (head.headers["x-cache"], head.headers["content-length"], head.content) == ("HIT", "5", b"")
        assert all(0 < server.client().pttl(key) <= 2_400_000 for key in server.client().keys("app:pages:*"))

    asyncio.run(live())


def test_a_hit_is_one_round_trip(valkey: Server) -> None:
    def asked() -> int:
        return valkey.client().info("commandstats")["cmdstat_mget"]["calls"]

    async def live() -> None:
        async with site(valkey, says(cache_control="max-age=60")) as page:
            await page.marks({}, {})
            before = asked()
            for _ in range(10):
                assert await page.marks({}) == ["HIT"]
            assert asked() - before == 10

    asyncio.run(live())


def test_host_path_and_query_as_it_is_tell_pages_apart(valkey: Server) -> None:
    async def live() -> None:
        async with site(valkey, says(cache_control="max-age=60")) as page:
            urls = ["/a", "/b", "/a?x=1&y=2", "/a?y=2&x=1", "/a%2Fb", "/a/b", "http://other/a", "https://site/a"]
            for _ in range(2):
                for url in urls:
                    await page.get(url)
            assert page.runs == len(urls)

    asyncio.run(live())


def test_responses_that_vary_are_stored_for_each_value(valkey: Server) -> None:
    async def answer(request: Request) -> Response:
        language = request.headers.get("accept-language", "none")
        return PlainTextResponse(language, headers=MINUTE | {"Vary": "Accept-Language, Cookie"})

    async def live() -> None:
        async with site(valkey, answer) as page:
            wishes = [
                {"accept_language": "de"},
                {"accept_language": "fr"},
                {},
                {"accept_language": "de", "cookie": "a=b"},
            ]
            assert await page.marks(*wishes) == ["MISS"] * 4
            assert await page.marks(*wishes) == ["HIT"] * 4
            assert [(await page.get(**one)).text for one in wishes] == ["de", "fr", "none", "de"]
        keys = b" ".join(cast("list[bytes]", valkey.client().keys("*")))
        assert b"a=b" not in keys

    asyncio.run(live())


def test_a_response_that_varies_by_more_now_and_then_is_never_given_to_the_wrong_one(valkey: Server) -> None:
    async def answer(request: Request) -> Response:
        cookie = request.headers.get("cookie", "")
        return PlainTextResponse(cookie, headers=MINUTE | ({"Vary": "Cookie"} if cookie else {}))

    async def live() -> None:
        async with site(valkey, answer) as page:
            for _ in range(3):
                for user in ("", "user=a", "user=b"):
                    own = {"cookie": user} if user else {}
                    # Without Vary the first is everybody's, as the application said.
                    assert (await page.get(**own)).text == (user if page.runs > 1 else "")
            assert await page.marks({"cookie": "user=c"}) == ["HIT"]
            await page.responses.clear()
            for _ in range(2):
                for user in ("user=a", "", "user=b"):
                    assert (await page.get(**({"cookie": user} if user else {}))).text == user

    asyncio.run(live())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"cache_control": "no-store"},
        {"cache_control": "private, max-age=60"},
        {"cache_control": "no-cache"},
        {"cache_control": "max-age=60", "vary": "*"},
        {"cache_control": "max-age=60", "set_cookie": "a=b"},
        {"expires": "0"},
    ],
)
def test_what_is_not_for_all_is_not_stored(valkey: Server, headers: dict[str, str]) -> None:
    async def live() -> None:
        async with site(valkey, says(**headers)) as page:
            assert await page.marks({}, {}) == ["BYPASS"] * 2
            assert page.runs == 2
            assert valkey.client().keys("app:*") == []

    asyncio.run(live())


def test_authorization_keeps_responses_apart_unless_they_are_public(valkey: Server) -> None:
    bearer = {"authorization": "Bearer secret"}

    async def live() -> None:
        async with site(valkey, says(cache_control="max-age=60")) as page:
            assert await page.marks(bearer, bearer, {}, {}, bearer) == ["BYPASS", "BYPASS", "MISS", "HIT", "BYPASS"]
        async with site(valkey, says(cache_control="public, max-age=60"), namespace="files") as page:
            assert await page.marks(bearer, bearer, {}) == ["MISS", "HIT", "HIT"]

    asyncio.run(live())


def test_a_public_response_with_a_cookie_is_stored_without_it(valkey: Server) -> None:
    async def live() -> None:
        async with site(valkey, says(cache_control="public, max-age=60", set_cookie="session=secret")) as page:
            first, second = await page.get(), await page.get()
            assert first.headers["set-cookie"] == "session=secret"
            assert second.headers["x-cache"] == "HIT"
            assert "set-cookie" not in second.headers

    asyncio.run(live())


def test_sessions_of_starlette_keep_users_apart(valkey: Server) -> None:
    async def answer(request: Request) -> Response:
        if request.url.path == "/login":
            request.session["user"] = request.query_params["user"]
        return PlainTextResponse(request.session.get("user", "nobody"), headers=MINUTE)

    async def live() -> None:
        inner = [Middleware(SessionMiddleware, secret_key="for the test")]
        async with site(valkey, answer, inner=inner) as page:
            cookies = {user: (await page.get(f"/login?user={user}")).headers["set-cookie"] for user in ("ann", "bob")}
            page.client.cookies.clear()
            for _ in range(2):
                for user, cookie in cookies.items():
                    assert (await page.get("/me", cookie=cookie.partition(";")[0])).text == user
                assert (await page.get("/me")).text == "nobody"
            assert page.runs == 2 + 3

    asyncio.run(live())


def test_a_default_ttl_is_for_requests_of_nobody_in_particular(valkey: Server) -> None:
    async def live() -> None:
        async with site(valkey, says(), default_ttl="1m") as page:
            user = {"cookie": "user=a"}
            assert await page.marks(user, user, {}, {}, user) == ["BYPASS", "BYPASS", "MISS", "HIT", "BYPASS"]
        async with site(valkey, says(cache_control="no-store"), default_ttl=60, namespace="files") as page:
            assert await page.marks({}, {}) == ["BYPASS"] * 2

    asyncio.run(live())


def test_what_requests_say_counts(valkey: Server) -> None:
    async def live() -> None:
        async with site(valkey, says(cache_control="max-age=60, stale-while-revalidate=60")) as page:
            alone = await page.get(cache_control="only-if-cached")
            assert (alone.status_code, alone.headers["x-cache"], page.runs) == (504, "MISS", 0)
            said = ["no-store", "", "no-cache", "max-age=0", "only-if-cached", "min-fresh=120", "max-age=60"]
            marks = await page.marks(*({"cache_control": text} for text in said))
            assert marks == ["BYPASS", "MISS", "MISS", "MISS", "HIT", "MISS", "HIT"]
            assert await page.marks({"range": "bytes=0-1"}, {"if_match": '"1"'}) == ["BYPASS"] * 2
            fat = await page.client.request("GET", "/", content=b"more")
            assert fat.headers["x-cache"] == "BYPASS"

    asyncio.run(live())


def test_requests_can_be_disobeyed_and_x_cache_left_out(valkey: Server) -> None:
    async def live() -> None:
        async with site(valkey, says(cache_control="max-age=60"), obey_requests=False, x_cache=False) as page:
            for said in ("no-store", "no-cache", "max-age=0"):
                assert "x-cache" not in (await page.get(cache_control=said)).headers
            assert page.runs == 1

    asyncio.run(live())


def test_conditions_are_answered_with_304_from_store_and_application(valkey: Server) -> None:
    made = "Sun, 06 Nov 1994 08:49:37 GMT"

    async def live() -> None:
        answer = says(cache_control="max-age=60", etag='"1"', last_modified=made)
        async with site(valkey, answer) as page:
            for mark in ("MISS", "HIT"):
                found = await page.get(if_none_match='"0", W/"1"')
                assert (found.status_code, found.content, found.headers["x-cache"]) == (304, b"", mark)
                assert found.headers["etag"] == '"1"'
                assert "content-type" not in found.headers
                assert "content-length" not in found.headers
            assert (await page.get(if_none_match='"2"')).status_code == 200
            assert (await page.get(if_modified_since=made)).status_code == 304
            assert (await page.get()).text == "hello"
            assert page.runs == 1

    asyncio.run(live())


def test_errors_are_not_stored(valkey: Server) -> None:
    async def answer(request: Request) -> Response:
        if request.url.path == "/raises":
            raise ZeroDivisionError
        return PlainTextResponse("no", status_code=int(request.url.path[1:]), headers=MINUTE)

    async def live() -> None:
        async with site(valkey, answer) as page:
            for status in (500, 503, 400, 429, 206):
                assert await page.marks({}, {}, path=f"/{status}") == ["BYPASS"] * 2
            assert await page.marks({}, {}, path="/404") == ["MISS", "HIT"]
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    await page.get("/raises")
            assert page.runs == 5 * 2 + 1 + 2

    asyncio.run(live())


def test_streams_pass_through_as_they_come_and_are_stored_if_small_enough(valkey: Server) -> None:
    sent: list[bytes] = []
    gates: dict[str, asyncio.Event] = {}

    async def answer(request: Request) -> Response:
        async def parts() -> AsyncGenerator[bytes, None]:
            yield b"first"
            if request.url.path == "/waits":
                await gates["open"].wait()
            for _ in range(int(request.query_params["more"])):
                yield b"x" * 1024

        return StreamingResponse(parts(), media_type="text/plain", headers=MINUTE)

    async def live() -> None:
        gates["open"] = asyncio.Event()
        async with site(valkey, answer) as page:
            assert await page.marks({}, {}, path="/small?more=2") == ["MISS", "HIT"]
            small = await page.get("/small?more=2")
            assert (len(small.content), small.headers["content-length"]) == (2053, "2053")
            assert await page.marks({}, {}, path="/large?more=100") == ["MISS", "MISS"]
            assert len((await page.get("/large?more=100")).content) == 102_405
            async with site(valkey, answer) as elsewhere:  # what is stored outlives the stream that it came from
                assert await elsewhere.marks({}, path="/small?more=2") == ["HIT"]

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Any) -> None:
                if message["type"] == "http.response.body":
                    sent.append(message["body"])
                    gates["open"].set()  # so a body that is held back would wait for ever

            scope: dict[str, Any] = {
                "type": "http",
                "method": "GET",
                "path": "/waits",
                "query_string": b"more=1",
                "headers": [],
                "asgi": {"spec_version": "2.4"},
            }
            await asyncio.wait_for(page.app(scope, receive, send), 5)
        assert [len(part) for part in sent] == [5, 1024, 0]

    asyncio.run(live())


UNSTORABLE: dict[str, list[tuple[Any, str]]] = {
    "short": [({"content-length": "9"}, "start"), (b"short", "body")],
    "trailers": [({"trailers": "yes"}, "start"), (b"body", "body"), ({}, "trailers")],
    "file": [({}, "start"), ({"path": "/somewhere"}, "pathsend")],
    "unfinished": [({}, "start"), (b"never ended", "more")],
    "large": [({}, "start"), (b"x" * 9000, "body")],
    "declared-large": [({"content-length": "9000"}, "start"), (b"x" * 9000, "body")],
}


@pytest.mark.parametrize("messages", UNSTORABLE.values(), ids=UNSTORABLE)
def test_what_is_not_a_whole_response_passes_through_and_is_not_stored(
    valkey: Server, messages: list[tuple[Any, str]]
) -> None:
    sent: list[Any] = []

    async def inner(_scope: Any, _receive: Any, send: Any) -> None:
        for content, kind in messages:
            if kind == "start":
                headers = [(b"cache-control", b"max-age=60"), *((k.encode(), v.encode()) for k, v in content.items())]
                trailers = "trailers" in content
                await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": trailers})
            elif kind in {"body", "more"}:
                await send({"type": "http.response.body", "body": content, "more_body": kind == "more"})
            else:
                await send({"type": f"http.response.{kind}", **content})

    async def send(message: Any) -> None:
        sent.append(message)

    async def live() -> None:
        async with AsyncCache(policy_of(valkey, NAMESPACES)) as cache:
            middleware = ResponseCache(inner, Responses(cache, "pages"))
            for _ in range(2):
                scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": []}
                await asyncio.wait_for(middleware(scope, None, send), 2)  # pyright: ignore[reportArgumentType]
        assert [one["type"] for one in sent[: len(messages)]] == [one["type"] for one in sent[len(messages) :]]
        assert all(one["status"] == 200 for one in sent if "status" in one)
        assert valkey.client().keys("app:*") == []

    asyncio.run(live())


def test_content_encodings_are_kept_inside_and_made_anew_outside(valkey: Server) -> None:
    text = "hello " * 200
    compress = [Middleware(GZipMiddleware, minimum_size=10)]

    async def live() -> None:
        async with site(valkey, says(text, cache_control="max-age=60"), inner=compress, namespace="files") as page:
            for _ in range(2):
                packed, plain = await page.get(accept_encoding="gzip"), await page.get(accept_encoding="identity")
                assert packed.headers["content-encoding"] == "gzip"
                assert "content-encoding" not in plain.headers
                assert packed.text == plain.text == text
            assert page.runs == 2
        async with site(valkey, says(text, cache_control="max-age=60"), outer=compress) as page:
            for _ in range(2):
                packed, plain = await page.get(accept_encoding="gzip"), await page.get(accept_encoding="identity")
                assert packed.headers["content-encoding"] == "gzip"
                assert packed.text == plain.text == text
            assert page.runs == 1

    asyncio.run(live())


def test_binary_bodies_need_a_namespace_that_takes_them(valkey: Server, caplog: pytest.LogCaptureFixture) -> None:
    body = gzip.compress(b"hello")

    async def answer(_: Request) -> Response:
        return Response(body, headers=MINUTE | {"Content-Encoding": "gzip"})

    async def live() -> None:
        async with site(valkey, answer) as page:
            assert await page.marks({}, {}) == ["MISS"] * 2
        async with site(valkey, answer, namespace="files") as page:
            assert await page.marks({}, {}) == ["MISS", "HIT"]
            assert (await page.get()).text == "hello"

    asyncio.run(live())
    assert caplog.text.count("set binary = true") == 1


def test_a_hundred_cold_requests_run_the_handler_once(server: Server) -> None:
    async def answer(_: Request) -> Response:
        await asyncio.sleep(0.05)
        return PlainTextResponse("hello", headers=MINUTE)

    async def live() -> None:
        async with site(server, answer) as page:
            found = await asyncio.gather(*(page.get() for _ in range(100)))
            assert {one.text for one in found} == {"hello"}
            assert page.runs == 1
            assert sorted(one.headers["x-cache"] for one in found) == ["HIT"] * 99 + ["MISS"]

    asyncio.run(live())


def test_a_hundred_cold_requests_of_users_never_share_what_is_private(valkey: Server) -> None:
    async def answer(request: Request) -> Response:
        await asyncio.sleep(0.01)
        says_it = {"/me": "private, max-age=60", "/by-cookie": "max-age=60"}[request.url.path]
        headers = {"Cache-Control": says_it} | ({"Vary": "Cookie"} if request.url.path == "/by-cookie" else {})
        return PlainTextResponse(request.headers["cookie"], headers=headers)

    async def live() -> None:
        async with site(valkey, answer) as page:
            for path, runs in (("/me", 100), ("/by-cookie", 10)):
                page.runs = 0
                users = [f"user={number % 10}" for number in range(100)]
                found = await asyncio.gather(*(page.get(path, cookie=user) for user in users))
                assert [one.text for one in found] == users
                assert page.runs >= runs
                if path == "/by-cookie":
                    assert page.runs <= 2 * runs

    asyncio.run(live())


def test_who_waits_for_a_private_response_waits_for_its_headers_alone(valkey: Server) -> None:
    events: dict[str, asyncio.Event] = {}

    async def answer(_: Request) -> Response:
        if "begin" in events:
            await events["begin"].wait()

        async def parts() -> AsyncGenerator[bytes, None]:
            yield b"mine"
            await events["end"].wait()

        return StreamingResponse(parts(), headers={"Cache-Control": "private"})

    async def live() -> None:
        events["end"] = asyncio.Event()
        async with site(valkey, answer) as page:
            requests = [asyncio.create_task(page.get()) for _ in range(5)]
            await until(lambda: page.runs == 5)  # all run although none has ended
            events["end"].set()
            assert [one.text for one in await asyncio.gather(*requests)] == ["mine"] * 5
            # From now on nobody waits here, not even for headers.
            events["begin"] = asyncio.Event()
            requests = [asyncio.create_task(page.get()) for _ in range(5)]
            await until(lambda: page.runs == 10)
            events["begin"].set()
            assert [one.text for one in await asyncio.gather(*requests)] == ["mine"] * 5

    asyncio.run(asyncio.wait_for(live(), 10))


def test_a_cancelled_client_leaves_the_work_to_another(valkey: Server) -> None:
    started: list[asyncio.Event] = []

    async def answer(_: Request) -> Response:
        started[0].set()
        await asyncio.sleep(0.05)
        return PlainTextResponse("hello", headers=MINUTE)

    async def live() -> None:
        started.append(asyncio.Event())
        async with site(valkey, answer) as page:
            first = asyncio.create_task(page.get())
            await started[0].wait()
            others = [asyncio.create_task(page.get()) for _ in range(20)]
            await asyncio.sleep(0.02)
            first.cancel()
            assert {one.text for one in await asyncio.gather(*others)} == {"hello"}
            assert first.cancelled()
            assert page.runs == 2

    asyncio.run(live())


def test_a_client_that_is_gone_leaves_the_work_to_another(valkey: Server) -> None:
    async def answer(_: Request) -> Response:
        await asyncio.sleep(0.05)
        return PlainTextResponse("hello", headers=MINUTE)

    async def live() -> None:
        async with site(valkey, answer) as page:

            async def receive() -> dict[str, Any]:
                return {"type": "http.disconnect"}

            async def send(_: Any) -> None:
                raise BrokenPipeError

            scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"site")], "raw_path": b"/"}
            gone = asyncio.create_task(page.app({**scope, "query_string": b""}, receive, send))
            await until(lambda: page.runs == 1)
            found = await asyncio.gather(*(page.get() for _ in range(20)))
            assert {one.text for one in found} == {"hello"}
            assert page.runs == 2
            with pytest.raises(OSError, match=r"^$"):
                await gone

    asyncio.run(live())


def test_an_error_is_for_the_one_it_happened_to(valkey: Server) -> None:
    async def answer(request: Request) -> Response:
        await asyncio.sleep(0.05)
        if "x-fails" in request.headers:
            raise ZeroDivisionError
        return PlainTextResponse("hello", headers=MINUTE)

    async def live() -> None:
        async with site(valkey, answer) as page:
            failing = asyncio.create_task(page.get(x_fails="yes"))
            await until(lambda: page.runs == 1)
            found = await asyncio.gather(*(page.get() for _ in range(10)))
            assert {one.text for one in found} == {"hello"}
            with pytest.raises(ZeroDivisionError):
                await failing

    asyncio.run(live())


def test_a_stale_response_is_served_while_it_is_made_anew(valkey: Server) -> None:
    gates: list[asyncio.Event] = []

    async def answer(request: Request) -> Response:
        run = page.runs
        assert "if-none-match" not in request.headers
        if run > 1:
            await gates[0].wait()
        return PlainTextResponse(f"{run}", headers={"Cache-Control": "stale-while-revalidate=60", "ETag": f'"{run}"'})

    async def live() -> None:
        gates.append(asyncio.Event())
        async with page.client, page.cache:
            assert await page.marks({}, {}) == ["MISS", "HIT"]
            await asyncio.sleep(0.31)
            found = await asyncio.gather(*(page.get(if_none_match='"1"') for _ in range(5)))
            assert {(one.status_code, one.headers["x-cache"]) for one in found} == {(304, "STALE")}
            gates[0].set()
            while (latest := await page.get()).headers["x-cache"] == "STALE":  # noqa: ASYNC110 (what it waits for is this)
                await asyncio.sleep(0.005)
            assert (latest.text, latest.headers["x-cache"]) == ("2", "HIT")
            assert page.runs == 2

    page = Site(valkey, answer, default_ttl=0.3)
    asyncio.run(asyncio.wait_for(live(), 10))


def test_a_response_is_never_fresh_for_longer_than_it_said(valkey: Server) -> None:
    """The namespace's ``min_ttl`` is the least its keys live, not the least that a response is fresh."""

    async def live() -> None:
        async with site(valkey, says(), namespace="files", default_ttl=0.3) as page:
            assert await page.marks({}, {}) == ["MISS", "HIT"]
            await asyncio.sleep(0.31)
            assert await page.marks({}) == ["MISS"]

    asyncio.run(live())


def test_paths_are_invalidated_by_name_by_unsafe_methods_and_all_at_once(server: Server) -> None:
    async def live() -> None:
        async with site(server, says(cache_control="max-age=60", vary="X-User")) as page:

            async def stored(*paths: str) -> list[str]:
                marks = [await page.marks({"x_user": user}, path=path) for path in paths for user in ("a", "b")]
                return sorted({mark for (mark,) in marks})

            paths = ("/a", "/a?b=c", "/a?b=d", "http://other/a")
            assert await stored(*paths, "/z") == ["MISS"]
            assert await stored(*paths, "/z") == ["HIT"]
            await page.responses.invalidate("/a", "/never-seen")
            assert await stored(*paths) == ["MISS"]
            assert await stored(*paths, "/z") == ["HIT"]
            for change in ("POST", "PUT", "DELETE"):
                assert await stored(*paths) == ["HIT"]
                await page.client.request(change, "/a")
                assert await stored(*paths) == ["MISS"]
                assert await stored("/z") == ["HIT"]
            await page.client.options("/a")
            assert await stored(*paths) == ["HIT"]
            await page.responses.clear()
            assert await stored(*paths, "/z") == ["MISS"]

    asyncio.run(live())


def test_a_server_at_its_limit_still_forgets_what_changed(server: Server) -> None:
    async def live() -> None:
        async with site(server, says(cache_control="max-age=60")) as page:
            assert await page.marks({}, {}) == ["MISS", "HIT"]
            server.client().config_set("maxmemory", 1)
            assert await page.marks({}) == ["HIT"]
            await page.responses.invalidate("/")
            assert await page.marks({}, {}) == ["MISS", "MISS"]
            with pytest.raises(OutOfMemory):
                await page.responses.invalidate("/never-seen")

    asyncio.run(live())


def test_a_failed_change_invalidates_nothing(valkey: Server) -> None:
    async def answer(request: Request) -> Response:
        return PlainTextResponse("hello", status_code=200 if request.method == "GET" else 409, headers=MINUTE)

    async def live() -> None:
        async with site(valkey, answer) as page:
            await page.get()
            assert (await page.client.post("/")).status_code == 409
            assert await page.marks({}) == ["HIT"]

    asyncio.run(live())


@pytest.mark.parametrize("warm", [False, True])
def test_what_was_being_made_when_its_path_changed_is_not_served(valkey: Server, warm: bool) -> None:  # noqa: FBT001 (a parameter of the table)
    state = {"text": "old"}
    gates: list[asyncio.Event] = []

    async def answer(request: Request) -> Response:
        text = state["text"]
        if request.method == "POST":
            state["text"] = "new"
        elif text == "old" and gates:
            await gates[0].wait()
        return PlainTextResponse(text, headers=MINUTE)

    async def live() -> None:
        async with site(valkey, answer) as page:
            if warm:
                await page.get("/?other")
            gates.append(asyncio.Event())
            runs = page.runs
            slow = asyncio.create_task(page.get())
            await until(lambda: page.runs > runs)
            await page.client.post("/")
            assert (await asyncio.wait_for(page.get(), 2)).text == "new"  # and not that which is still being made
            gates[0].set()
            assert (await slow).text == "old"
            for _ in range(2):
                assert (await page.get()).text == "new"

    asyncio.run(live())


def test_the_application_answers_as_ever_when_the_server_is_killed_midway(valkey: Server) -> None:
    async def answer(request: Request) -> Response:
        if request.url.path == "/kills":
            valkey.kill()
        return PlainTextResponse("hello", headers=MINUTE)

    async def live() -> None:
        async with site(valkey, answer) as page:
            assert await page.marks({}, {}) == ["MISS", "HIT"]
            killing = await page.get("/kills")
            assert (killing.text, killing.status_code) == ("hello", 200)
            started_s = time.monotonic()
            for _ in range(50):
                assert (await page.get()).text == "hello"
            assert (await page.client.post("/")).text == "hello"
            assert time.monotonic() - started_s < 2
            assert page.runs == 1 + 1 + 50 + 1
            with pytest.raises(ServerError):
                await page.responses.invalidate("/")
            valkey.start()
            while (await page.get()).headers["x-cache"] != "HIT":  # noqa: ASYNC110 (what it waits for is this)
                await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(live(), 20))


def test_a_frozen_server_costs_no_more_than_the_time_limit(valkey: Server) -> None:
    async def live() -> None:
        async with site(valkey, says(cache_control="max-age=60")) as page:
            await page.get()
            valkey.freeze()
            try:
                started_s = time.monotonic()
                found = await asyncio.gather(*(page.get() for _ in range(20)))
                assert {one.text for one in found} == {"hello"}
                assert time.monotonic() - started_s < 2
            finally:
                valkey.thaw()

    asyncio.run(live())


def test_fastapi_with_state_from_the_lifespan_invalidates_from_a_handler(valkey: Server) -> None:
    cache = AsyncCache(policy_of(valkey, NAMESPACES))
    pages = Responses(cache, "pages")

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncGenerator[dict[str, str], None]:
        yield {"mine": "kept"}

    app = FastAPI(lifespan=with_cache(cache, lifespan=own))
    app.add_middleware(ResponseCache, responses=pages)
    runs: list[int] = []

    @app.get("/articles/{number}")
    async def article(
        number: int, response: FastAPIResponse, accept_language: Annotated[str | None, Header()] = None
    ) -> dict[str, Any]:
        runs.append(number)
        response.headers.update(MINUTE | {"Vary": "Accept-Language"})
        return {"number": number, "language": accept_language}

    @app.post("/articles")
    async def change(number: int) -> None:
        await pages.invalidate(f"/articles/{number}")

    async def live() -> None:
        async with app.router.lifespan_context(app) as state:
            assert state == {"mine": "kept", "cache": cache}
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site") as client:
                for language in ("de", "fr", "de", "fr"):
                    found = await client.get("/articles/7", headers={"Accept-Language": language})
                    assert found.json() == {"number": 7, "language": language}
                assert runs == [7, 7]
                await client.post("/articles?number=7")
                await client.get("/articles/7")
                assert runs == [7, 7, 7]
                found = await client.get("/articles/seven")
                assert (found.status_code, found.headers["x-cache"]) == (422, "BYPASS")
        assert counted(cache, "pages")["hit"] > 0

    asyncio.run(live())


def test_a_lifespan_opens_its_own_cache_and_closes_it_also_after_a_failure(valkey: Server) -> None:
    client = valkey.client()

    async def live() -> None:
        async with with_cache(policy_of(valkey, NAMESPACES))(Starlette()) as state:
            await state["cache"].ping()
            assert connections(client) == 2
            raise ZeroDivisionError

    async def left() -> None:
        await until(lambda: connections(client) == 1)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(live())
    asyncio.run(left())


def test_websockets_lifespans_other_paths_and_methods_pass_through(valkey: Server) -> None:
    seen: list[str] = []

    async def inner(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope.get("method", scope["type"]))

    async def live() -> None:
        async with AsyncCache(policy_of(valkey, NAMESPACES)) as cache:
            middleware = ResponseCache(inner, Responses(cache, "pages"), paths=("/api/",))
            http: dict[str, Any] = {"type": "http", "path": "/api/x", "headers": []}
            passing: list[dict[str, Any]] = [{"type": "lifespan"}, {"type": "websocket", "path": "/"}]
            for scope in (*passing, {**http, "method": "OPTIONS"}):
                await middleware(scope, None, None)  # pyright: ignore[reportArgumentType]
            await middleware({**http, "method": "GET", "path": "/other"}, None, None)  # pyright: ignore[reportArgumentType]
            assert seen == ["lifespan", "websocket", "OPTIONS", "GET"]
            assert cache.counts().get("pages", {}) == {}

    asyncio.run(live())


def test_a_namespace_that_is_not_there_is_an_error_at_once(valkey: Server) -> None:
    cache = AsyncCache(policy_of(valkey, NAMESPACES))
    with pytest.raises(ConfigError, match="no namespace 'page'"):
        Responses(cache, "page")
