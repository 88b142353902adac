"""The page beside the real program on a real server: what happens is seen, and what is asked for happens."""

from __future__ import annotations

import json
import re
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from playwright.sync_api import expect

from tests.browser import documents
from tests.browser.conftest import PHONE, TOKEN
from tests.conftest import missing
from tests.governing import keys_of
from tests.programs import GOVERNED, ends_of, fill_up, running, stock, untouched
from tests.servers import Server, ServerKind, ServerMissingError, eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.conftest import Opener
    from tests.programs import Running

pytestmark = [pytest.mark.requires("chromium"), pytest.mark.usefixtures("examined")]

_LOST = "Failed to load resource|net::ERR_|EventSource"
_REFUSED = "status of 401"
# A burst of writes is forecast to go on, so the level may be higher than what is in use says.
_ALARMED = re.compile("warning|preventive|emergency|critical")


class Governed(Protocol):
    """Starts ``spillgate run`` with the reference policy and a token."""

    def __call__(self, server: Server, *arguments: str, **variables: str) -> Running:
        """Start it; it ends with the test."""
        ...


def _start(server: Server, *arguments: str, **variables: str) -> Running:
    return running(*GOVERNED, *arguments, server=server, **({"SPILLGATE_TOKEN": TOKEN} | variables))


@pytest.fixture
def governed() -> Iterator[Governed]:
    """Starts governors. To be asked for before `opened`, so that pages are closed first and do not miss them."""
    with ExitStack() as stack:
        yield lambda server, *arguments, **variables: stack.enter_context(_start(server, *arguments, **variables))


@pytest.fixture(scope="module")
def examined() -> Iterator[Running]:
    """A governor that has looked for findings by the time it is needed, which takes it some seconds."""
    try:
        valkey = Server(ServerKind.VALKEY_9_1, maxmemory_policy="noeviction")
    except ServerMissingError as error:
        missing(str(error))
    with valkey:
        stock(valkey)
        with _start(valkey) as governor:
            yield governor


def _document(governor: Running, path: str) -> dict[str, Any]:
    return json.loads(governor.get(path).body)


def _numbers(page: Page) -> list[int]:
    """The numbers of the journal's entries on the page, in the order in which they happened."""
    return [int(row.get_attribute("data-number") or 0) for row in page.locator("#journal li").all()][::-1]


def _misses_nothing(page: Page) -> list[int]:
    """Wait until the journal has every number from 1 on, which it may not have for as long as it is being fetched."""

    def whole() -> list[int] | None:
        numbers = _numbers(page)
        return numbers if numbers and numbers == list(range(1, numbers[-1] + 1)) else None

    return eventually(whole) or []


def _preview(page: Page, *, token: str = TOKEN, only: str | None = None) -> None:
    page.get_by_role("button", name="Clean up…").click()
    dialog = page.locator("dialog")
    dialog.get_by_label(re.compile("^emergency")).check()
    if only is not None:
        dialog.get_by_label(re.compile(f"^{only}")).check()
    dialog.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Preview").click()


def test_writes_are_seen_as_they_happen(valkey: Server, governed: Governed, opened: Opener) -> None:
    client = stock(valkey)
    governor = governed(valkey)
    governor.becomes("healthy")
    page = opened(governor.base_url)
    expect(page.locator("#link-text")).to_have_text("live")
    expect(page.locator("#level-name")).to_have_text("normal")
    expect(page.locator("#namespaces tbody tr", has_text="users")).to_contain_text("300")
    expect(page.locator("#plot canvas")).to_be_visible()
    plot = page.locator("#plot")
    before = plot.get_attribute("aria-valuetext")
    fill_up(client, 0.65)
    expect(page.locator("#level-name")).to_have_text(_ALARMED)
    expect(page.locator("#level-reason")).not_to_be_empty()
    expect(page.locator("#journal li", has_text="level rises from normal to").first).to_be_visible()
    expect(page.locator("#announcer")).to_have_text(_ALARMED)
    expect(page).to_have_title(_ALARMED)
    expect(plot).not_to_have_attribute("aria-valuetext", before or "")
    expect(plot).to_have_attribute("aria-valuetext", _ALARMED)
    page.reload()
    expect(page.locator("#summary-text")).to_contain_text("of level")


def test_a_cleanup_is_previewed_and_then_carried_out(valkey: Server, governed: Governed, opened: Opener) -> None:
    client = stock(valkey)
    governor = governed(valkey)
    governor.becomes("healthy")
    page = opened(governor.base_url, viewport=PHONE)
    _preview(page, only="analytics")
    dialog = page.locator("dialog")
    expect(dialog).not_to_contain_text("users")
    expect(dialog.get_by_role("heading")).to_have_text("What would go")
    expect(dialog.locator(".steps tbody tr", has_text="analytics")).to_contain_text("200")
    assert len(keys_of(client, "ceo-platform:analytics:*")) == 200
    dialog.get_by_role("button", name="Delete about 200 keys").click()
    expect(dialog.get_by_role("heading")).to_have_text("Done")
    expect(dialog).to_contain_text("Data is now")
    assert keys_of(client, "ceo-platform:analytics:*") == set()
    assert len(keys_of(client)) == 412
    dialog.get_by_role("button", name="Close").last.click()
    expect(page.locator("#journal li", has_text="cleanup by hand").first).to_be_visible()
    expect(page.locator("#totals")).to_contain_text("200")
    assert TOKEN not in page.content()


def test_protected_namespaces_are_not_offered_and_a_wrong_token_is_told(
    valkey: Server, governed: Governed, opened: Opener
) -> None:
    before = ends_of(stock(valkey))
    governor = governed(valkey)
    governor.becomes("healthy")
    page = opened(governor.base_url, expected=_REFUSED)
    _preview(page, token="not this one")
    expect(page.get_by_role("alert")).to_have_text(re.compile("That is not the token"))
    expect(page.get_by_label("Token")).to_be_focused()
    offered = page.locator("input[name=cleanup-namespace]").evaluate_all("all => all.map(one => one.value)")
    assert offered == ["analytics", "voice", "sessions", "ai-context", "messages"]
    expect(page.locator("dialog")).to_contain_text("Protected, so not offered: tasks, channels, users")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("dialog").get_by_role("heading")).to_have_text("What would go")
    page.get_by_role("button", name="Back").click()
    page.locator("dialog").get_by_label(re.compile("^preventive")).check()
    expect(page.locator("input[name=cleanup-namespace]").first).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    assert untouched(before, valkey.client())


def test_many_wrong_tokens_and_a_server_that_is_gone_are_told_in_words(
    valkey: Server, governed: Governed, opened: Opener
) -> None:
    stock(valkey)
    governor = governed(valkey)
    governor.becomes("healthy")
    page = opened(governor.base_url, expected="status of (401|429|503)")
    valkey.kill()
    governor.becomes("unreachable")
    _preview(page)
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be cleaned up now")
    page.get_by_label("Token").fill("wrong")
    alert = page.get_by_role("alert")
    for _ in range(10):
        page.get_by_role("button", name="Preview").click()
        expect(alert).to_contain_text("That is not the token")
        expect(page.get_by_role("button", name="Preview")).to_be_enabled()
    page.get_by_role("button", name="Preview").click()
    expect(alert).to_contain_text("Too many wrong tokens. Try again in")


def test_without_a_token_it_says_how_to_turn_cleaning_on(valkey: Server, governed: Governed, opened: Opener) -> None:
    governor = governed(valkey, "--limit", "25MB", SPILLGATE_TOKEN="")
    page = opened(governor.base_url)
    page.get_by_role("button", name="Clean up…").click()
    expect(page.locator("dialog")).to_contain_text("SPILLGATE_TOKEN")
    expect(page.locator("dialog")).to_contain_text("spillgate cleanup --level emergency")
    expect(page.get_by_role("button", name="Preview")).to_have_count(0)


def test_a_dry_run_previews_and_never_confirms(valkey: Server, governed: Governed, opened: Opener) -> None:
    before = ends_of(stock(valkey))
    governor = governed(valkey, "--dry-run")
    governor.becomes("healthy")
    page = opened(governor.base_url)
    expect(page.locator("#level-mode")).to_be_visible()
    _preview(page, only="analytics")
    expect(page.locator("dialog")).to_contain_text("this stays a preview")
    expect(page.get_by_role("button", name="Delete about")).to_have_count(0)
    assert untouched(before, valkey.client())


def test_it_comes_back_when_spillgate_does_and_misses_nothing(valkey: Server, opened: Opener, tmp_path: Path) -> None:
    client = stock(valkey)
    kept = ("--history", str(tmp_path / "history.db"), "--port", str(free_port()))
    with _start(valkey, *kept) as governor:
        governor.becomes("healthy")
        page = opened(governor.base_url, expected=_LOST)
        fill_up(client, 0.65)
        expect(page.locator("#level-name")).to_have_text(_ALARMED)
        url, seen = governor.base_url, _numbers(page)
        governor.process.send_signal(signal.SIGTERM)  # a killed one may lose its last second
        assert governor.ends() == 0
    expect(page.locator("#link-text")).to_have_text("disconnected")
    expect(page.locator("#notice")).to_contain_text("No connection to Spillgate for")
    expect(page.locator("#announcer")).to_have_text(re.compile("disconnected, level"))
    expect(page).to_have_title("disconnected · Spillgate")
    with _start(valkey, *kept) as governor:
        assert governor.base_url == url
        expect(page.locator("#link-text")).to_have_text("live")
        expect(page.locator("#notice")).to_be_hidden()
        expect(page.locator("#journal li[data-event=started]")).to_have_count(2)
        client.config_set("maxmemory-policy", "volatile-ttl")
        expect(page.locator("#journal li", has_text="eviction policy changed").first).to_be_visible()
        assert set(seen) <= set(_misses_nothing(page))
        points = _document(governor, "/api/history")["columns"]["at"]
        drawn = int(page.locator("#plot").get_attribute("aria-valuemax") or 0) + 1
        assert abs(drawn - len(points)) <= 3  # seconds that pass between the two questions


def test_a_stream_that_falls_silent_is_opened_anew(valkey: Server, governed: Governed, opened: Opener) -> None:
    client = stock(valkey)
    governor = governed(valkey)
    governor.becomes("healthy")
    page = opened(governor.base_url, expected=_LOST)
    page.clock.install()
    page.reload()
    expect(page.locator("#link-text")).to_have_text("live")
    governor.process.send_signal(signal.SIGSTOP)
    try:
        page.clock.fast_forward(30_000)
        expect(page.locator("#link-text")).to_have_text("disconnected")
        fill_up(client, 0.65)
    finally:
        governor.process.send_signal(signal.SIGCONT)
    expect(page.locator("#link-text")).to_have_text("live")
    expect(page.locator("#level-name")).to_have_text(_ALARMED)
    _misses_nothing(page)


def test_a_server_that_hangs_is_said_to_hang_and_data_to_be_old(
    valkey: Server, governed: Governed, opened: Opener
) -> None:
    stock(valkey)
    governor = governed(valkey, SPILLGATE_SERVER_TIMEOUT="1s")
    governor.becomes("healthy")
    page = opened(governor.base_url)
    expect(page.locator("#link-text")).to_have_text("live")
    valkey.freeze()
    expect(page.locator("#link-text")).to_have_text("server unreachable")
    expect(page.locator("#notice")).to_contain_text("The server cannot be read")
    expect(page.locator("#notice")).to_contain_text(re.compile(r"What you see is \d+\u00a0s old"))
    expect(page.locator("#level-name")).to_have_text("unreachable")
    valkey.thaw()
    expect(page.locator("#link-text")).to_have_text("live")
    expect(page.locator("#summary-text")).to_contain_text("gap")


def test_the_journal_is_filtered_and_loaded_on(valkey: Server, governed: Governed, opened: Opener) -> None:
    client = stock(valkey)
    governor = governed(valkey, SPILLGATE_MONITOR_INTERVAL="100ms")
    governor.becomes("healthy")
    for number in range(27):  # two entries each
        client.config_set("maxmemory-policy", "allkeys-lru" if number % 2 else "noeviction")
        client.config_set("maxmemory", 26_214_400 + number % 2)
        governor.awaits("eviction policy changed", number)
    page = opened(governor.base_url)
    rows = page.locator("#journal li")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Load more").click()
    expect(page.get_by_role("button", name="Load more")).to_be_hidden()
    _misses_nothing(page)
    page.get_by_label("Search the journal").last.fill("MAXMEMORY changed")
    expect(page.locator("#journal-note")).to_contain_text("filtered")
    expect(rows.first).to_contain_text("maxmemory changed")
    page.get_by_label("Search the journal").last.fill("")
    page.locator("#journal-events").get_by_label("level").check()
    expect(page.locator("#journal li:not([data-event=level])")).to_have_count(0)
    expect(rows).to_have_count(1)
    fill_up(client, 0.65)
    expect(rows.filter(has_text="level rises from normal")).to_have_count(1)
    expect(page.locator("#journal li:not([data-event=level])")).to_have_count(0)  # the filter is for new ones, too
    page.locator("#journal-levels").get_by_label("critical").check()
    expect(page.locator("#journal-empty")).to_have_text("No entry is like that.")


def test_the_documents_of_the_pictures_have_the_shape_of_the_real_ones(examined: Running, opened: Opener) -> None:
    page = opened(examined.base_url)
    expect(page.locator("#findings-note")).to_contain_text("Looked")
    real = _document(examined, "/api/state")
    assert _shape(documents.state()) == _shape(real)
    assert _shape(documents.namespaces()[0]) == _shape(real["namespaces"][0])
    assert real["checkup"]["findings"]
    assert _shape(documents.FINDINGS[0]) == _shape(real["checkup"]["findings"][0])
    assert _shape(documents.alerts()) == _shape(_document(examined, "/api/alerts"))
    assert _shape(documents.history()) == _shape(_document(examined, "/api/history"))
    assert _shape(documents.journal()) == _shape(_document(examined, "/api/journal"))
    expect(page.locator("#findings li").first).to_be_visible()


def _shape(document: dict[str, Any]) -> dict[str, Any]:
    """The names in a document, and those within its parts where both can be told."""
    inner = ("server", "totals", "cleanup", "history", "columns")
    return {name: sorted(value) if name in inner else None for name, value in document.items()}
