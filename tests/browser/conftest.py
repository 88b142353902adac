"""One Chromium for all tests, and pages in it that may not complain about anything."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from playwright.sync_api import expect

from spillgate.web.page import is_built
from tests.browser.chromium import chromium
from tests.browser.still import still_server
from tests.conftest import missing

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

    from tests.browser.still import Still

TOKEN = "a token of this test"
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1360, "height": 900}
WAIT_MS = 15_000.0


class Opener(Protocol):
    """Opens the page at an address; ``expected`` is what its console may say, as a regular expression."""

    def __call__(self, url: str, *, expected: str | None = None, clock_s: float | None = None, **context: Any) -> Page:
        """Open it; with ``clock_s`` its clock stands at that time. ``context`` is as for Playwright's new_context."""
        ...


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, where it and the page are there."""
    if not is_built():
        missing("the page has not been built: make page")
    program = shutil.which("chromium")
    if program is None:
        missing("the program chromium is not installed")
    if not shutil.which("chromium"):
        missing("the program chromium is not installed")
    expect.set_options(timeout=WAIT_MS)
    with chromium() as started:
        yield started


@contextmanager
def opening(browser: Browser) -> Generator[Opener]:
    """Opens pages; in the end none may have logged an error, met the page's policy, or asked another origin."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def visit(url: str, *, expected: str | None = None, clock_s: float | None = None, **options: Any) -> Page:
        settings: dict[str, Any] = {"viewport": DESK, "timezone_id": "UTC", "locale": "en-GB", **options}
        context = browser.new_context(reduced_motion="reduce", **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)

        def log(message: ConsoleMessage) -> None:
            fine = message.type not in {"error", "warning"} or (expected and re.search(expected, message.text))
            if not fine:
                complaints.append(f"{message.type}: {message.text}")

        def ask(request: Request) -> None:
            if not request.url.startswith((url, "data:")):
                complaints.append(f"asked {request.url}")

        page.on("console", log)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", ask)
        if clock_s is not None:
            page.clock.install(time=clock_s)
            page.clock.pause_at(clock_s + 1)
        page.goto(url)
        page.wait_for_selector("body.ready")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opener]:
    """Opens pages for one test."""
    with opening(browser) as opener:
        yield opener


@pytest.fixture
def still(browser: Browser) -> Iterator[tuple[Still, str]]:
    """A server whose documents never change; it needs the page, so it needs the browser's conditions."""
    assert browser
    with still_server() as served:
        yield served
