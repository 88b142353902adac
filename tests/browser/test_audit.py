"""axe-core finds nothing: in both themes, on a phone, with the dialog open and in trouble."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESK, PHONE
from tests.browser.documents import NOW
from tests.conftest import missing

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Opener
    from tests.browser.still import Still

pytestmark = pytest.mark.requires("chromium")

_AXE = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
_LEAST_PASSES = 5


def _violations(page: Page, *parts: str) -> list[str]:
    """What axe finds, each with where; in these parts of the page only, where some are named."""
    if not _AXE.exists():
        missing("axe-core is not installed: make check brings it")
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=_AXE)
    scope = [[part] for part in parts] or [["html"]]
    result: dict[str, Any] = page.evaluate("async (include) => await axe.run({ include })", scope)
    assert len(result["passes"]) > _LEAST_PASSES
    found = result["violations"]
    return [f"{one['id']}: {node['html'][:120]} ({node['failureSummary']})" for one in found for node in one["nodes"]]


@pytest.mark.parametrize(
    ("scheme", "viewport"), [("light", DESK), ("dark", DESK), ("light", PHONE)], ids=["light", "dark", "phone"]
)
def test_the_page(still: tuple[Still, str], opened: Opener, scheme: str, viewport: dict[str, int]) -> None:
    # A policy that lets no script in would keep axe out as well.
    page = opened(still[1], color_scheme=scheme, viewport=viewport, bypass_csp=True)
    expect(page.locator("#journal li").first).to_be_visible()
    expect(page.locator("#alerts .receivers")).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    assert _violations(page) == []


def test_the_dialog_in_both_themes(still: tuple[Still, str], opened: Opener) -> None:
    page = opened(still[1], viewport=PHONE, bypass_csp=True)
    page.get_by_role("button", name="Clean up…").click()
    steps = {
        "form": lambda: page.get_by_label("Token").fill("anything"),
        "preview": lambda: page.get_by_role("button", name="Preview").click(),
        "done": lambda: page.get_by_role("button", name="Delete about").click(),
    }
    for name, go in steps.items():
        go()
        heading = {"form": "Clean up by hand", "preview": "What would go", "done": "Done"}[name]
        expect(page.locator("dialog").get_by_role("heading", name=heading)).to_be_visible()
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            assert _violations(page, "dialog") == []


def test_every_level_in_both_themes(still: tuple[Still, str], opened: Opener) -> None:
    page = opened(still[1], bypass_csp=True, clock_s=NOW)
    page.clock.run_for(20_000)  # so that the data is old as well
    expect(page.locator("#notice")).to_be_visible()
    page.clock.resume()
    page.evaluate(
        """levels => levels.forEach(level => {
            const copy = document.getElementById("level").cloneNode(true);
            copy.dataset.level = level;
            copy.querySelectorAll("[id]").forEach(one => one.removeAttribute("id"));
            document.querySelector(".status").append(copy);
        })""",
        ["normal", "warning", "preventive", "critical", "unreachable", "unknown"],
    )
    for theme in ("Light", "Dark"):
        page.get_by_label(theme).check()
        assert _violations(page, ".top", "main > .notice", ".status") == []


def test_it_can_be_used_from_the_keyboard(still: tuple[Still, str], opened: Opener) -> None:
    page = opened(still[1])
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the memory")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.get_by_role("button", name="Clean up…").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.name") == "cleanup-level"
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Clean up…")).to_be_focused()
