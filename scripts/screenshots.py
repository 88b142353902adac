"""Take the pictures in ``docs/images`` of the program as it is: a governor on a server of 25 MB that messages flood.

Usage: scripts/screenshots.py [MINUTES]. It needs Chromium, the built page (``make page``), and as many minutes as the
charts are to show, 2 unless told. Nothing in the pictures is drawn by hand.
"""

import io
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from spillgate.server.embedded import embedded_valkey  # noqa: E402 - after the path, like the next
from tests.terminal import Terminal  # noqa: E402 - a real terminal for a program, as the tests have it

IMAGES = ROOT / "docs" / "images"
POLICY = ROOT / "examples" / "ceo-platform.toml"
TOKEN = "a token for pictures"  # noqa: S105 - of a governor that lives for two minutes on loopback
LIMIT = 25 * 1024 * 1024
SPILLGATE = (sys.executable, "-m", "spillgate.cli")
DESK, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 1400}
ROWS, COLUMNS = 30, 116
HOME = "\x1b[H"  # where a program begins to draw its screen
_SOME_FRAMES = 20
_CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
# What the application holds at the beginning and then writes again and again: keys, bytes a value, seconds to live.
_QUIET: Mapping[str, tuple[int, int, int | None]] = {
    "ceo-platform:users:": (600, 400, 900),
    "ceo-platform:sessions:": (2000, 900, 900),
    "ceo-platform:tasks:": (800, 500, 600),
    "ceo-platform:channels:": (40, 900, 1800),
    "ceo-platform:analytics:": (2400, 400, 900),
    "ceo-platform:voice:": (180, 9000, 1800),
    "ceo-platform:ai-context:": (300, 2600, 300),
    "other:": (40, 120, None),
}
_TURNS_S = 40.0  # in which everything of that is written once
_CYCLE_S, _FLOOD_S = 300.0, 20.0  # each cycle ends with a flood
_CALM_RATE, _FLOOD_RATE = 30.0, 6000.0  # messages a second
_WORDS = (
    "deploy",
    "review",
    "the",
    "budget",
    "is",
    "late",
    "thanks",
    "channel",
    "agreed",
    "on",
    "Monday",
    "please",
    "see",
)


class Application(threading.Thread):
    """Writes what such an application writes, and now and then a flood of messages, until it is told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._client: Any = redis.Redis.from_url(url)
        self._stopping = threading.Event()
        self.flooding = False

    def run(self) -> None:
        """Write ten times a second."""
        for prefix, (keys, size, ttl_s) in _QUIET.items():
            self._write(prefix, range(keys), size, ttl_s)
        number, share = 0, 0.1 / _TURNS_S
        while not self._stopping.wait(0.1):
            batch = round((_FLOOD_RATE if self.flooding else _CALM_RATE) / 10)
            self._write("ceo-platform:messages:", range(number, number + batch), 700, 1800)
            number += batch
            for prefix, (keys, size, ttl_s) in _QUIET.items():
                some = int(share * keys + random.random())
                self._write(prefix, random.sample(range(keys), some), size, ttl_s)

    def stop(self) -> None:
        """Write no more."""
        self._stopping.set()
        self.join()

    def _write(self, prefix: str, numbers: Iterable[int], size: int, ttl_s: int | None) -> None:
        pipe = self._client.pipeline(transaction=False)
        for number in numbers:
            pipe.set(f"{prefix}{number}", _text(size), ex=ttl_s)
        pipe.execute(raise_on_error=False)


def _text(size: int) -> str:
    words = random.choices(_WORDS, k=size // 5)
    return " ".join(words)[: random.randint(size // 2, size)]


def main() -> None:
    """Take all pictures."""
    seconds = 60 * float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    IMAGES.mkdir(exist_ok=True)
    with embedded_valkey(LIMIT, "noeviction") as url, _governor(url) as address, _chromium() as browser:
        application = Application(url)
        application.start()
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > 0:
            application.flooding = left_s % _CYCLE_S < _FLOOD_S
            time.sleep(0.5)
        _dashboard(browser, address, "dashboard", DESK)
        _dashboard(browser, address, "dashboard-dark", DESK, color_scheme="dark")
        _dashboard(browser, address, "dashboard-phone", PHONE, device_scale_factor=2)
        _terminal(browser, ["top"], url, lambda shown: shown.writes(HOME, _SOME_FRAMES))
        application.stop()
        _dashboard(browser, address, "cleanup", DESK, _preview)
        _terminal(browser, ["status"], url, lambda shown: shown.ends())
        _terminal(browser, ["demo", "--seconds", "30", "--port", "0"], url, _in_emergency)


@contextmanager
def _governor(url: str) -> Generator[str]:
    environment = _environment(url) | {"SPILLGATE_TOKEN": TOKEN, "SPILLGATE_MONITOR_INTERVAL": "1s"}
    command = [*SPILLGATE, "run", "--port", "0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None  # noqa: S101 - it is piped
            for line in process.stderr:
                if found := re.search(r"dashboard at (\S+/),", line):
                    threading.Thread(target=process.stderr.read, daemon=True).start()
                    yield found[1]
                    break
        finally:
            process.terminate()


def _environment(url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPILLGATE_", "REDIS_"))}
    return kept | {"REDIS_URL": url, "SPILLGATE_CONFIG": str(POLICY), "COLORTERM": "truecolor"}


@contextmanager
def _chromium() -> Generator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_CHROMIUM)
        yield browser
        browser.close()


def _dashboard(
    browser: Browser,
    address: str,
    name: str,
    size: Any,
    then: Callable[[Page], None] = lambda _: None,
    **options: Any,
) -> None:
    context = browser.new_context(viewport=size, locale="en-GB", reduced_motion="reduce", **options)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("body.ready")
    page.wait_for_timeout(3000)  # some points and entries come in
    then(page)
    _keep(name, page.screenshot())
    context.close()


def _keep(name: str, picture: bytes) -> None:
    """With 256 colours, which nobody misses and which are a third of the bytes."""
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(256).save(IMAGES / f"{name}.png", optimize=True)


def _preview(page: Page) -> None:
    page.click("#cleanup-open")
    page.fill("#cleanup-token", TOKEN)
    page.click("#cleanup-preview")
    page.wait_for_selector("#cleanup table")


def _terminal(browser: Browser, command: list[str], url: str, ready: Callable[[Terminal], object]) -> None:
    """A picture of a program's screen in a terminal."""
    program = [*SPILLGATE, *command]
    with Terminal(program, _environment(url), rows=ROWS, columns=COLUMNS, kind="xterm-256color") as shown:
        ready(shown)
        screen = _last_screen(shown.output)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(Text.from_ansi(screen), end="")
    picture = console.export_svg(title=f"spillgate {command[0]}", theme=MONOKAI)
    # The fonts that rich names are elsewhere: the machine's own will do.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL).replace("Fira Code", "DejaVu Sans Mono")
    context = browser.new_context(device_scale_factor=1.5)
    page = context.new_page()
    page.set_content(f"<body style='margin:0'>{picture}</body>")
    _keep(command[0], page.locator("svg").first.screenshot())
    context.close()


def _in_emergency(shown: Terminal) -> None:
    shown.awaits("EMERGENCY")
    shown.writes(HOME, shown.output.count(HOME) + _SOME_FRAMES)


def _last_screen(output: str) -> str:
    """What was last drawn whole, colours included."""
    frames = output.replace("\r", "").split(HOME)
    screen = frames[-2] if len(frames) > 2 else frames[-1]  # noqa: PLR2004 - the last one may be half drawn
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-ln-z]", "", screen).rstrip("\n")


if __name__ == "__main__":
    main()
