"""Every panel of the page, on documents that have something for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser import documents
from tests.browser.conftest import DESK, PHONE, opening
from tests.browser.documents import MB, NOW, estimate
from tests.browser.still import still_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.browser.conftest import Opener
    from tests.browser.still import Still

pytestmark = pytest.mark.requires("chromium")


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """The page with everything on it, at a time that stands still; tests that share it leave it as it was to others."""
    with still_server() as (_, url), opening(browser) as opener:
        page = opener(url, clock_s=NOW)
        expect(page.locator("#journal li").first).to_be_visible()
        page.clock.run_for(1000)
        yield page


def _texts(page: Page, selector: str) -> list[str]:
    return [text.replace("\u00a0", " ").strip() for text in page.locator(selector).all_inner_texts()]


def test_the_head_names_server_and_connection(page: Page) -> None:
    assert _texts(page, "#server-url") == ["redis://default:***@redis-14.example.org:6379/0"]
    assert _texts(page, "#server-product") == ["Valkey 9.1.0"]
    assert _texts(page, "#server-eviction") == ["noeviction"]
    expect(page.locator("#link-text")).to_have_text("live")
    expect(page.locator("#notice")).to_be_hidden()
    expect(page).to_have_title("88\u00a0% emergency · Spillgate")


def test_the_level_has_its_reason_and_its_figures(page: Page) -> None:
    expect(page.locator("#level-name")).to_have_text("emergency")
    expect(page.locator("#level-reason")).to_have_text("Pressure is 88.4 %, at or above 88 %.")
    figures = dict(zip(_texts(page, "#figures dt"), _texts(page, "#figures b"), strict=True))
    assert figures | {"Next look": ""} == {
        "In use": "22.1 MB",
        "Free below the ceiling": "921.6 KB",
        "Forecast": "93.1 %",
        "Fill rate": "+597.7 KB/s",
        "Time to limit": "5 s",
        "Next look": "",
    }


def test_memory_over_time_is_drawn_told_and_listed(page: Page) -> None:
    told = page.locator("#summary-text").inner_text().replace("\u00a0", " ")
    assert "Over the last hour memory was between" in told
    assert "of the limit of 25 MB" in told
    assert "1 gap without data" in told
    page.get_by_text("Show as a table").click()
    rows = page.locator("#points-table tbody tr")
    expect(rows.first).to_be_visible()
    assert 55 <= rows.count() <= 60
    assert any("unknown" in row for row in rows.all_inner_texts())  # the outage
    for span in ("Day", "Week", "Year"):
        with page.expect_request(f"**/api/history?span={span.lower()}"):
            page.get_by_label(span, exact=True).check()
        expect(page.locator("#summary-text")).to_contain_text("Since 15 Jan 2027, 07:00:05 memory was")
    page.get_by_label("Hour", exact=True).check()
    expect(page.locator("#summary-text")).to_contain_text("Over the last hour")


def test_the_arrow_keys_move_through_the_points(page: Page) -> None:
    plot = page.get_by_role("slider", name="Memory at a time")
    plot.focus()
    latest = plot.get_attribute("aria-valuetext")
    assert latest
    assert latest.startswith("15 Jan 2027, 08:00:00: in use")
    plot.press("ArrowLeft")
    before = plot.get_attribute("aria-valuetext")
    assert before
    assert before.startswith("15 Jan 2027, 07:59:55: in use")
    plot.press("Home")
    assert plot.get_attribute("aria-valuenow") == "0"
    plot.press("End")
    assert plot.get_attribute("aria-valuetext") == latest
    box = plot.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    expect(page.locator("#readout")).to_contain_text("07:3")


def test_the_bar_has_what_fills_the_memory_in_the_order_in_which_it_goes(page: Page) -> None:
    parts = [text.split("\n")[0] for text in page.locator("#tank .part").all_text_contents()]
    names = [text.split("\u00a0")[0].rstrip("0123456789. ") for text in parts]
    assert names == [
        *("client buffers", "replication backlog", "the server itself"),
        *("tasks", "channels", "users", "outside"),
        *("messages", "ai-context", "sessions", "voice", "analytics"),
    ]
    described = page.locator("#tank [role=img]").get_attribute("aria-label") or ""
    assert "messages 7.9\u00a0MB" in described
    assert _texts(page, "#tank .mark") == [
        *("ceiling 23 MB", "limit 25 MB", "warning 60 %", "preventive 80 %", "emergency 88 %")
    ]


def test_the_table_has_estimates_with_their_error_and_says_unknown(page: Page) -> None:
    rows = {text.split("\n")[0]: text.replace("\u00a0", " ") for text in _texts(page, "#namespaces tbody tr")}
    messages = " ".join(rows["messages"].split())
    assert "7.9±0.3MB" in messages
    assert "over its budget of 7 MB" in messages
    assert "11,420±343" in messages
    assert "93.1 %" in messages
    assert "5. shorten" in messages
    assert rows["channels"].count("unknown") == 2
    assert "not reported" in rows["tasks"]
    assert page.locator("#namespaces .locked").count() == 3
    assert any(name.startswith("outside any namespace") for name in rows)
    assert any(name.startswith("replication backlog") for name in rows)


def test_the_table_is_sorted_from_the_keyboard(page: Page) -> None:
    def order() -> list[str]:
        return [name.split("\n")[0] for name in _texts(page, "#namespaces tbody tr:not(.other) th")]

    assert order()[:3] == ["messages", "voice", "sessions"]
    head = page.get_by_role("columnheader", name="Namespace").get_by_role("button")
    head.focus()
    page.keyboard.press("Enter")
    assert order() == sorted(order())
    assert page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"
    page.keyboard.press("Enter")
    assert order() == sorted(order(), reverse=True)
    page.get_by_role("button", name="TTL left").click()
    assert order()[-1] == "channels"  # what is not known is last, whichever way
    page.get_by_role("button", name="TTL left").click()
    assert order()[-1] == "channels"


def test_counters(page: Page) -> None:
    counters = dict(zip(_texts(page, "#totals dt"), _texts(page, "#totals b"), strict=True))
    assert counters == {
        "Keys": "18,231",
        "Writes refused": "3",
        "Keys evicted": "0",
        "Memory freed": "212 MB",
        "Keys deleted": "128,402",
        "Expired keys dropped": "3,511",
        "TTLs shortened or given": "9,120",
        "Steps taken": "41",
    }


def test_the_journal_has_reasons_and_details(page: Page) -> None:
    first = page.locator("#journal li").first
    expect(first).to_contain_text("clear analytics (least important of what may go)")
    first.get_by_text("Details").click()
    expect(first.locator("dl")).to_contain_text("412.5\u00a0KB")
    expect(page.locator("#journal li.grave")).to_have_count(2)
    expect(page.locator("#journal-more")).to_be_visible()


def test_findings_have_what_they_win_and_a_fix_to_copy(page: Page) -> None:
    assert _texts(page, "#findings > ul h3") == [
        *("Keys without a TTL in a cache", "No room for the table to double", "No password")
    ]
    page.get_by_text("1 finding of little weight").click()
    expect(page.get_by_role("heading", name="Long key names")).to_be_visible()
    expect(page.locator("#findings li").first).to_contain_text("wins 480.1\u00a0±19.5\u00a0KB")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_label("Copy the fix for No room for the table to double").click()
    expect(page.locator("#findings .copy").nth(1)).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == '[server]\nreserve = "3MB"'
    expect(page.locator("#findings-note")).to_have_text("Looked 21\u00a0min ago, looks again in 39\u00a0min")
    page.get_by_text("1 check could not run").click()
    expect(page.locator("#findings")).to_contain_text("eviction-order")


def test_what_the_plan_forbids_and_alerts(page: Page) -> None:
    expect(page.locator("#missing li")).to_have_count(2)
    expect(page.locator("#alerts-note")).to_have_text("1 active, 2 receivers, failing: on-call")
    expect(page.locator("#alerts")).to_contain_text("Memory is at emergency")
    page.get_by_text("Last deliveries").click()
    expect(page.locator(".deliveries .failed")).to_contain_text("HTTP 502 from the receiver")


def test_nothing_known_is_told_as_unknown_never_as_zero(still: tuple[Still, str], opened: Opener) -> None:
    served, url = still
    names = ("used_bytes", "limit_bytes", "ceiling_bytes", "available_bytes", "pressure", "forecast", "fill_bytes_s")
    rows = [
        row | dict.fromkeys(("keys", "bytes", "no_ttl", "ttl_p50_s", "idle_p50_s")) for row in documents.namespaces()
    ]
    served.state |= dict.fromkeys((*names, "time_to_limit_s", "age_s", "next_look_s", "reason", "keys", "missing"))
    served.state |= dict.fromkeys(
        ("held_bytes", "unregistered_keys", "unregistered_bytes", "library", "checkup", "alerts")
    )
    served.state |= {
        "status": "unreachable",
        "level": "unknown",
        "error": "the server has not been read yet",
        "namespaces": rows,
        "server": dict.fromkeys(served.state["server"]),
        "levels": [one | {"bytes": None} for one in served.state["levels"]],
    }
    page = opened(url, clock_s=NOW)
    expect(page.locator("#link-text")).to_have_text("server unreachable")
    expect(page.locator("#notice")).to_contain_text("the server has not been read yet")
    assert set(_texts(page, "#figures b")) == {"unknown"}
    counters = dict(zip(_texts(page, "#totals dt"), _texts(page, "#totals b"), strict=True))
    assert [counters[name] for name in ("Keys", "Writes refused", "Keys evicted")] == ["unknown"] * 3
    assert all(row.count("unknown") == 7 - 1 for row in _texts(page, "#namespaces tbody tr:not(.other)"))
    expect(page.locator("#missing")).to_contain_text("Not known yet")
    expect(page.locator("#findings-note")).to_contain_text("run spillgate doctor")


def test_estimates_without_a_bound_and_of_none_say_so(still: tuple[Still, str], opened: Opener) -> None:
    served, url = still
    served.state["unregistered_bytes"] = estimate(2 * MB) | {"high": None}
    served.state["unregistered_keys"] = {"value": 0, "low": 0, "high": 92}
    page = opened(url, clock_s=NOW)
    outside = _texts(page, "#namespaces tr.other")[0]
    assert "2±?MB" in outside
    assert "≤92" in outside


def test_old_data_is_called_old(still: tuple[Still, str], opened: Opener) -> None:
    page = opened(still[1], clock_s=NOW)
    page.clock.run_for(15_000)
    expect(page.locator("#link-text")).to_have_text("data 15\u00a0s old")
    expect(page.locator("#notice")).to_contain_text("a look at the server was due 14\u00a0s ago")


def test_where_no_stream_is_to_be_had_it_asks(still: tuple[Still, str], opened: Opener) -> None:
    page = opened(still[1], expected="503", clock_s=NOW)
    page.route("**/api/events", lambda route: route.fulfill(status=503))
    page.reload()
    expect(page.locator("#link-text")).to_have_text("disconnected")
    page.clock.run_for(11_000)
    expect(page.locator("#link-text")).to_have_text("every few seconds")
    expect(page.locator("#journal li").first).to_be_visible()


def test_the_theme_is_kept(still: tuple[Still, str], opened: Opener) -> None:
    page = opened(still[1], color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_label("Dark").check()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    page.get_by_label("Auto").check()
    assert page.evaluate(ground) == light


def test_no_width_takes_scrolling_sideways(still: tuple[Still, str], opened: Opener) -> None:
    page = opened(still[1], viewport=PHONE)
    expect(page.locator("#journal li").first).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    for width in (PHONE["width"], 520, 700, 900, 1100, DESK["width"]):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": PHONE["width"], "height": 640})
    page.get_by_role("button", name="Clean up…").click()
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= PHONE["width"]
