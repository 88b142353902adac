"""The documentation: it builds strictly, loads nothing from elsewhere, and what it tells people to type exists."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
import typer

from bench.__main__ import BENCHMARKS
from spillgate.cli.commands import app
from spillgate.config import SETTINGS, parse_policy
from spillgate.web.endpoints import ENDPOINTS
from spillgate.web.page import POLICY
from tests.browser.documents import state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<mark>`{3,})(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=mark)",
    re.MULTILINE | re.DOTALL,
)
_LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
}
_LOADING_LINKS = {
    "stylesheet",
    "icon",
    "preconnect",
    "preload",
    "prefetch",
    "dns-prefetch",
    "modulepreload",
    "manifest",
}
# Addresses in the theme's own script: of a comment, and of what it loads for parts that no page here has.
_NEVER_LOADED = re.compile(r"clipboardjs\.com|api\.github\.com|unpkg\.com/(mermaid|resize-observer-polyfill)")
_SCRIPTS_THAT_LOAD = (".mermaid", 'data-md-component="source"')
_ADDRESS = re.compile(r"https?://[\w.-]+[\w/.@-]*")


def script(name: str) -> ModuleType:
    """A script of the project as a module."""
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Fence(NamedTuple):
    """A block of code on a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def fences(*languages: str) -> list[Fence]:
    """The blocks of these languages, or of all, on all pages, in README.md as well."""
    found: list[Fence] = []
    for page in [*PAGES, ROOT / "README.md"]:
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            inside = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
            found.append(Fence(page, line, match["language"], inside))
    return [one for one in found if one.language in languages] if languages else found


class Html(HTMLParser):
    """What one page of the site loads, leads to, and offers as anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads_to: list[str] = []
        self.anchors: set[str] = set()
        self.images_without_words: list[str] = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element loads."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag in _LOADED and _LOADED[tag] in given:
            self.loads.append(given[_LOADED[tag]])
        if (
            tag == "img"
            and not given.get("alt")
            and "logo" not in given.get("src", "")
            and "icon" not in given.get("src", "")
        ):
            self.images_without_words.append(given.get("src", ""))
        if tag == "link" and _LOADING_LINKS & set(given.get("rel", "").split()):
            self.loads.append(given.get("href", ""))
        if tag == "a" and "href" in given:
            self.leads_to.append(given["href"])
        self.loads += re.findall(r"url\(['\"]?([^'\")]+)", given.get("style", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a broken link or anchor, or a page that is not in the navigation, fails here."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = dict(os.environ) | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert built.returncode == 0, built.stderr + built.stdout
    return folder


@pytest.fixture(scope="module")
def html(site: Path) -> dict[str, Html]:
    """Its pages by their address."""
    return {path.relative_to(site).as_posix(): Html(path) for path in sorted(site.rglob("*.html"))}


class TestSite:
    def test_it_loads_nothing_from_elsewhere(self, site: Path, html: dict[str, Html]) -> None:
        loaded = [(page, address) for page, parsed in html.items() for address in parsed.loads]
        for style in site.rglob("*.css"):
            text = style.read_text(encoding="utf-8")
            loaded += [(style.name, address) for address in re.findall(r"(?:url\(|@import )['\"]?([^'\")]+)", text)]
        outside = [one for one in loaded if urlsplit(one[1]).netloc or urlsplit(one[1]).scheme not in {"", "data"}]
        assert outside == []

    def test_its_scripts_know_no_address_that_they_would_load(self, site: Path, html: dict[str, Html]) -> None:
        bundle = next((site / "assets" / "javascripts").glob("bundle.*.min.js")).read_text(encoding="utf-8")
        unknown = [one for one in _ADDRESS.findall(bundle) if not _NEVER_LOADED.search(one)]
        assert unknown == []
        assert [
            page for page, parsed in html.items() for sign in _SCRIPTS_THAT_LOAD if sign.strip(".") in parsed.text
        ] == []

    def test_every_page_can_be_reached_from_the_first_one(self, html: dict[str, Html]) -> None:
        seen, waiting = {"index.html"}, ["index.html"]
        while waiting:
            page = waiting.pop()
            for link in html[page].leads_to:
                target = _target(page, link)
                if target in html and target not in seen:
                    seen.add(target)
                    waiting.append(target)
        assert sorted(set(html) - seen - {"404.html"}) == []

    def test_every_link_inside_leads_to_an_anchor_that_exists(self, html: dict[str, Html]) -> None:
        broken: list[str] = []
        for page, parsed in html.items():
            for link in parsed.leads_to if page != "404.html" else ():
                target = _target(page, link)
                anchor = unquote(urldefrag(link).fragment)
                if target is not None and (target not in html or (anchor and anchor not in html[target].anchors)):
                    broken.append(f"{page}: {link}")
        assert broken == []

    def test_every_image_says_what_is_in_it(self, html: dict[str, Html]) -> None:
        assert [one for parsed in html.values() for one in parsed.images_without_words] == []

    @pytest.mark.requires("chromium")
    def test_it_can_be_searched_from_the_disk_with_no_request_to_anywhere(self, site: Path) -> None:
        with ThreadPoolExecutor(1) as apart:  # Playwright allows one browser a thread, and other tests have one
            asked, found = apart.submit(_searched, site, "generation").result(60)
        assert [address for address in asked if not address.startswith(("file:", "data:", "blob:"))] == []
        assert "cache.html" in found


def _target(page: str, link: str) -> str | None:
    """The page of the site that a link leads to, None where it leads elsewhere."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    return os.path.normpath(Path(page).parent / unquote(parts.path)) if parts.path else page


def _searched(site: Path, words: str) -> tuple[list[str], str]:
    """What a browser asks for while it searches the site, and where the first result leads."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only here

    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.fill("input[name=query]", words)
        first = page.wait_for_selector(".md-search-result__link")
        found = first.get_attribute("href") if first else None
        browser.close()
    return asked, found or ""


class TestReference:
    @pytest.mark.parametrize("page", ["cli.md", "http.md"])
    def test_it_says_what_the_program_does(self, page: str) -> None:
        text = (DOCS / page).read_text(encoding="utf-8")
        assert script("docs_reference").written(page, text) == text, "run scripts/docs_reference.py"

    def test_every_command_is_described(self) -> None:
        text = (DOCS / "cli.md").read_text(encoding="utf-8")
        names = [name for name, _ in script("docs_reference").every_command()]
        assert "status" in names
        assert [name for name in names if f"\n## spillgate {name}\n" not in text] == []

    def test_every_address_is_described(self) -> None:
        text = (DOCS / "http.md").read_text(encoding="utf-8")
        assert [one.path for one in ENDPOINTS if f"\n### {one.method} {one.path}\n" not in text] == []

    def test_every_setting_is_described(self) -> None:
        text = (DOCS / "policy.md").read_text(encoding="utf-8")
        assert [one.key for one in SETTINGS if f"| `{one.key}` |" not in text] == []

    def test_every_field_of_the_state_is_described(self) -> None:
        text = (DOCS / "http.md").read_text(encoding="utf-8")
        document = state()
        fields = {*document, *document["server"], *document["namespaces"][0], *document["totals"], *document["checkup"]}
        assert sorted(name for name in fields if f"`{name}`" not in text and f'"{name}"' not in text) == []

    def test_security_tells_the_policy_that_the_page_has(self) -> None:
        assert POLICY in " ".join((DOCS / "security.md").read_text(encoding="utf-8").split())


class TestExamples:
    @pytest.mark.parametrize("fence", fences("bash", "sh", "console"), ids=str)
    def test_commands_exist_with_their_options(self, fence: Fence) -> None:
        for words in typed(fence):
            check(words)

    def test_commands_in_the_text_exist(self) -> None:
        unknown: list[str] = []
        for page in [*PAGES, ROOT / "README.md"]:
            for command in re.findall(r"`(?:\w+=\S+ )*(spillgate [^`]+)`", page.read_text(encoding="utf-8")):
                unknown += [f"{page.name}: {command}: {word}" for word in _unknown(command)]
        assert unknown == []

    def test_benchmarks_in_the_text_exist(self) -> None:
        known = set(
            re.findall(r'add_argument\("(--\w+)"', (ROOT / "bench" / "__main__.py").read_text(encoding="utf-8"))
        )
        for page in [*PAGES, ROOT / "README.md"]:
            for command in re.findall(
                r"`(?:make bench ARGS='?|python -m bench )([^'`]+)", page.read_text(encoding="utf-8")
            ):
                words = command.split()
                assert words[0] in BENCHMARKS, f"{page.name}: {command}"
                assert {word for word in words if word.startswith("--")} <= known, f"{page.name}: {command}"

    @pytest.mark.parametrize("fence", fences("toml"), ids=str)
    def test_policies_can_be_read(self, fence: Fence) -> None:
        assert tomllib.loads(fence.text)
        parse_policy(fence.text, str(fence), env={"REDIS_URL": "rediss://example.org:6379/0"})  # as on a hosted server

    @pytest.mark.parametrize("fence", fences("json"), ids=str)
    def test_documents_are_json(self, fence: Fence) -> None:
        assert json.loads(fence.text)

    @pytest.mark.parametrize("fence", fences("python"), ids=str)
    def test_programs_can_be_read(self, fence: Fence) -> None:
        compile(fence.text, str(fence), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)

    def test_every_block_says_what_it_is(self) -> None:
        known = {"console", "bash", "sh", "toml", "json", "python", "text", "yaml", "promql", ""}
        assert [str(one) for one in fences() if one.language not in known] == []

    def test_no_page_knows_this_machine(self) -> None:
        assert [
            page.name for page in PAGES if re.search(r"/work/|/root/|/home/\w|/tmp/", page.read_text("utf-8"))
        ] == []


def typed(fence: Fence) -> Iterator[list[str]]:
    """The commands of a block, without variables before them and what they are piped into."""
    text = fence.text.replace("\\\n", " ")
    for line in text.splitlines():
        command = line.removeprefix("$ ") if line.startswith("$ ") else line
        if fence.language == "console" and not line.startswith("$ "):
            continue
        for part in re.split(r"\s(?:\||&&|;)\s", command):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"\w+=.*", words[0], re.DOTALL):
                words.pop(0)
            if words:
                yield words


def check(words: list[str]) -> None:
    """Let the real parser read a command of ours; those of others cannot be checked here."""
    if words[0] == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        assert {word for word in words[1:] if "=" not in word} <= targets, words
    if words[0] != "spillgate":
        return
    command, rest = _found(words[1:])
    if "--help" not in rest:
        command.make_context(words[0], rest)


def _found(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words name, and its own arguments."""
    command: Any = typer.main.get_command(app)
    for number, word in enumerate(words):
        below: dict[str, Any] | None = getattr(command, "commands", None)
        if below is None:
            return command, words[number:]
        assert word in below, f"no such command: {' '.join(words)}"
        command = below[word]
    return command, []


def _unknown(command: str) -> Iterator[str]:
    """Words of a command in running text that the program does not know; capitals and brackets stand for something."""
    words = [word.strip("[],.") for word in command.split()[1:]]
    names = [word for word in words if re.fullmatch(r"[a-z]+", word)]
    flags = [word for word in words if re.fullmatch(r"--[a-z-]+", word)]
    if not names:
        yield from (flag for flag in flags if flag not in {"--version", "--help"})
        return
    found: Any = typer.main.get_command(app)
    for name in names:
        below: dict[str, Any] = getattr(found, "commands", {})
        if name in below:
            found = below[name]
        elif below:
            yield name
            return
    known = {opt for one in getattr(found, "params", ()) for opt in (*one.opts, *one.secondary_opts)}
    yield from (flag for flag in flags if flag not in known | {"--help"})
