"""What the page looks like: golden pictures, with tolerance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESK, PHONE
from tests.browser.documents import NOW
from tests.browser.pictures import FOLDER, assert_picture
from tests.conftest import missing

if TYPE_CHECKING:
    from tests.browser.conftest import Opener
    from tests.browser.still import Still

pytestmark = pytest.mark.requires("chromium")

_PICTURES = {"light": ("light", DESK), "dark": ("dark", DESK), "phone": ("light", PHONE), "dialog": ("dark", DESK)}


@pytest.fixture(scope="module", autouse=True)
def font() -> None:
    """The pictures were taken with it, and `fonts.conf` shows the browser no other."""
    if not Path("/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf").exists():
        missing("pictures are of DejaVu Sans, which comes with the system package fonts-dejavu-core")


@pytest.mark.parametrize("name", _PICTURES)
def test_it_looks_as_it_did(still: tuple[Still, str], opened: Opener, name: str) -> None:
    scheme, viewport = _PICTURES[name]
    page = opened(still[1], clock_s=NOW, color_scheme=scheme, viewport=viewport)
    expect(page.locator("#journal li").first).to_be_visible()
    expect(page.locator("#alerts .receivers")).to_be_visible()
    expect(page.locator("#summary-text")).to_contain_text("Over the last hour")
    page.clock.run_for(1000)
    if name == "dialog":
        page.get_by_role("button", name="Clean up…").click()
    assert_picture(name, page.screenshot(full_page=name != "dialog", animations="disabled", caret="hide"))


def test_no_picture_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(_PICTURES)
