"""The page of a report in a real browser: it asks nobody anything, fits, can be read by all, and prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import ViewportSize

from spillgate.report.model import Format
from spillgate.report.rendering import render
from tests.conftest import missing
from tests.reporting import report

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.requires("chromium")

_AXE = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
_MOST_PAGES = 20
DESK, TABLET, PHONE = (ViewportSize(width=width, height=800) for width in (1280, 941, 360))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page is."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(report(), Format.HTML), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize(
    ("scheme", "viewport"),
    [("light", DESK), ("dark", TABLET), ("light", PHONE)],
    ids=["desk", "dark tablet", "phone"],
)
def test_it_fits_and_asks_nobody(browser: Browser, address: str, scheme: Any, viewport: Any) -> None:
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url != address else None)
    page.goto(address, wait_until="load")
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    assert page.locator("section").count() == 13
    for link in page.locator("nav a").all():
        assert page.locator(str(link.get_attribute("href"))).count() == 1
    line = page.locator(".plot .line").bounding_box()
    assert line is not None
    assert line["width"] > viewport["width"] / 2
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (ground == "rgb(12, 17, 22)") == (scheme == "dark")
    context.close()
    assert complaints == []


def test_axe_finds_nothing(browser: Browser, address: str) -> None:
    if not _AXE.exists():
        missing("axe-core is not installed: make check brings it")
    # A policy that lets no script in keeps axe out as well.
    context = browser.new_context(viewport=DESK, color_scheme="light", bypass_csp=True)
    page = context.new_page()
    page.goto(address)
    page.add_script_tag(path=_AXE)
    found = page.evaluate("async () => await axe.run()")
    assert len(found["passes"]) > 10
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size(PHONE)
    dark = "async (include) => await axe.run({ include }, { runOnly: ['color-contrast'] })"
    parts = ["header", ".status", "#summary", "#memory", "#findings"]
    found["violations"] += page.evaluate(dark, [[part] for part in parts])["violations"]
    context.close()
    assert [f"{one['id']}: {node['html'][:120]}" for one in found["violations"] for node in one["nodes"]] == []


def test_it_prints_on_some_pages(browser: Browser, address: str) -> None:
    context = browser.new_context(color_scheme="dark", viewport={"width": 688, "height": 1000})
    page = context.new_page()
    page.goto(address)
    printed = page.pdf(prefer_css_page_size=True)
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", printed)) < _MOST_PAGES
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") == 688
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(23, 32, 43)"
    # Nothing that belongs together is torn apart.
    torn = "[...document.querySelectorAll('tr, figure, .card, pre')].map(one => getComputedStyle(one).breakInside)"
    assert set(page.evaluate(torn)) == {"avoid"}
    context.close()
