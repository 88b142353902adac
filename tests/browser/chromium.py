"""The system's Chromium, driven by Playwright; Playwright's own browsers are never fetched."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Browser

_FONTS = Path(__file__).parent / "fonts.conf"
_ARGUMENTS = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # what follows makes pictures the same on every machine that has the same fonts
    "--force-device-scale-factor=1",
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--hide-scrollbars",
)


@contextmanager
def chromium() -> Generator[Browser]:
    """Start it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=_ARGUMENTS,
            env=dict[str, str | float | bool](os.environ) | {"FONTCONFIG_FILE": str(_FONTS)},
        )
        try:
            yield browser
        finally:
            browser.close()
