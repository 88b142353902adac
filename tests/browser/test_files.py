"""How the page's files are answered. No browser is needed for it."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette

from spillgate.web.page import POLICY, STATIC, is_built, page_routes
from tests.browser.still import served
from tests.conftest import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_BYTES = 100 * 1024


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client of the built page."""
    if not is_built():
        missing("the page has not been built: make page")
    with (
        served(Starlette(routes=page_routes())) as url,
        httpx.Client(base_url=url, trust_env=False, headers={"Accept-Encoding": "identity"}) as client,
    ):
        yield client


def _assets(client: httpx.Client) -> list[str]:
    return re.findall(r'(?:src|href)="(/assets/[^"]+)"', client.get("/").text)


def test_the_page_is_asked_for_every_time_and_its_assets_once(client: httpx.Client) -> None:
    page = client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-cache"
    assert len(_assets(client)) == 3
    for address in _assets(client):
        asset = client.get(address)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["content-type"].split(";")[0] in {"text/javascript", "text/css", "image/svg+xml"}
    assert client.get("/assets/no-such-file.js").status_code == 404
    assert client.get("/assets/..%2findex.html").status_code == 404


def test_every_answer_has_the_policy(client: httpx.Client) -> None:
    for address in ("/", "/assets/none.js", *_assets(client)):
        headers = client.get(address).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"


def test_nothing_is_sent_that_the_browser_has(client: httpx.Client) -> None:
    for address in ("/", *_assets(client)):
        tag = client.get(address).headers["etag"]
        for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
            again = client.get(address, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip, deflate", True), ("deflate, GZIP;q=0.5", True), ("*", True), ("gzip;q=0", False), ("identity", False)],
)
def test_it_is_compressed_for_whoever_accepts_that(client: httpx.Client, accepted: str, *, packed: bool) -> None:
    with client.stream("GET", "/", headers={"Accept-Encoding": accepted}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["vary"] == "Accept-Encoding"
    assert ("content-encoding" in answer.headers) is packed
    assert (gzip.decompress(raw) if packed else raw) == (STATIC / "index.html").read_bytes()


def test_script_and_style_are_small(client: httpx.Client) -> None:
    sizes = {address: len(gzip.compress(client.get(address).content)) for address in _assets(client)}
    assert sum(sizes.values()) < _MOST_BYTES, sizes


def test_without_a_page_it_says_how_to_build_one(tmp_path: Path) -> None:
    with served(Starlette(routes=page_routes(tmp_path))) as url:
        answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 503
    assert "make page" in answer.text
    assert answer.headers["content-security-policy"] == POLICY
