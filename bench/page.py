"""The dashboard's page: how soon it is painted with what it has to tell, and how much of it there is to send."""

import re
import shutil
from dataclasses import asdict, dataclass

import httpx
from playwright.sync_api import Browser

from bench.goals import Report, number, table
from bench.options import Options
from spillgate.web.page import is_built
from tests.browser.chromium import chromium
from tests.programs import GOVERNED, running, stock
from tests.servers import Server, ServerKind

_KB = 1024
_MS_IN_S = 1000.0
# Painted with figures in it: the first paint after the state has come, or that paint itself.
_TIMES = """() => {
    const painted = performance.getEntriesByName("first-contentful-paint")[0].startTime;
    const shown = performance.getEntriesByName("shown")[0].startTime;
    return [painted, Math.max(painted, shown)];
}"""


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit with an empty cache: milliseconds until the first paint, and until that has figures."""

    painted_ms: float
    shown_ms: float


def run(options: Options) -> Report:
    """Visit the page of a governor, weigh what it is made of, and judge both."""
    report = Report("page")
    if not (is_built() and shutil.which("chromium")):
        report.judge("page: first paint (needs chromium, and make page)", (), 1, " s")
        return report
    for kind in options.kinds_of(report, ServerKind.VALKEY_9_1):
        with Server(kind, maxmemory="25mb") as server, chromium() as browser:
            stock(server)
            with running(*GOVERNED, server=server) as governor:
                governor.becomes("healthy")
                visits = [visit(browser, governor.base_url) for _ in range(3 * options.repetitions)]
                sizes = weigh(governor.base_url)
        _tell(report, visits, sizes)
    return report


def visit(browser: Browser, url: str) -> Visit:
    """Open the page in a fresh profile."""
    with browser.new_context(viewport={"width": 1360, "height": 900}) as context:
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("body.ready")
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
        painted, shown = page.evaluate(_TIMES)
    return Visit(painted, shown)


def weigh(url: str) -> dict[str, int]:
    """Bytes on the wire, compressed, of the page and all that it asks for."""
    sizes: dict[str, int] = {}
    with httpx.Client(base_url=url, trust_env=False, headers={"Accept-Encoding": "gzip"}) as client:
        names = ["/", *re.findall(r'(?:src|href)="(/assets/[^"]+)"', client.get("/").text)]
        for name in names:
            with client.stream("GET", name) as answer:
                sizes[name] = len(b"".join(answer.iter_raw()))
    return sizes


def _tell(report: Report, visits: list[Visit], sizes: dict[str, int]) -> None:
    rows = [(str(n), number(one.painted_ms), number(one.shown_ms)) for n, one in enumerate(visits, 1)]
    print("\n" + table(("visit", "first paint ms", "with figures ms"), rows))
    print("\n" + table(("gzipped", "bytes"), [(name, number(size)) for name, size in sizes.items()]), flush=True)
    report.numbers += [asdict(one) for one in visits] + [{"gzipped": sizes}]
    report.judge("page: painted with figures", [one.shown_ms / _MS_IN_S for one in visits], 1, " s", typical=True)
    code = sum(size for name, size in sizes.items() if name.endswith((".js", ".css")))
    report.judge("page: script and style, gzipped", [code / _KB], 100, " KB")
