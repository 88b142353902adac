"""A hook of MkDocs: files of the project that a page links to, and that lie beside ``docs/``, become pages of the site.

So a link such as ``../examples/asgi_app.py`` works where the sources are read and on the site alike. A Markdown file
stays what it is, anything else is shown as text, and of a folder there is a list of what is in it.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "sources"
"""Where they are on the site."""
ALWAYS: tuple[str, ...] = ("CHANGELOG.md", "CONTRIBUTING.md", "bench/README.md")
"""Those that have a place of their own in the navigation."""

_LINK = re.compile(r"(?<=\]\()(?P<path>(?:\.\./)+[^)#\s]+)")
_UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n"  # what people look for is on the pages
_LANGUAGES = {
    ".json": "json",
    ".py": "python",
    ".service": "ini",
    ".sh": "bash",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    "Dockerfile": "docker",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to."""
    found: set[str] = set(ALWAYS)
    for page in files.documentation_pages():
        found.update(links(page.content_string, page.src_uri))
    for folder in [path for path in found if (ROOT / path).is_dir()]:
        found.update(_inside(folder))
    for path in sorted(found):
        files.append(File.generated(config, _place(path), content=_shown(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let links to them lead there."""
    here = page.file.src_uri

    def there(link: re.Match[str]) -> str:
        path = _beside(here, link["path"])
        return posixpath.relpath(_place(path), posixpath.dirname(here)) if path else link["path"]

    return _LINK.sub(there, markdown)


def links(text: str, page: str) -> Iterator[str]:
    """The files and folders of the project, beside ``docs/``, that the text of a page links to."""
    return (path for link in _LINK.finditer(text) if (path := _beside(page, link["path"])))


def _beside(page: str, link: str) -> str | None:
    """What a page's link leads to, None where there is nothing or it is a page itself."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    return path if not path.startswith(("docs", "..")) and (ROOT / path).exists() else None


def _inside(folder: str) -> Iterator[str]:
    """The files of a folder and of those in it."""
    return (path.relative_to(ROOT).as_posix() for path in sorted((ROOT / folder).rglob("*")) if path.is_file())


def _place(path: str) -> str:
    """Where it is on the site."""
    if (ROOT / path).is_dir():
        return f"{FOLDER}/{path}/index.md"
    return f"{FOLDER}/{path}" if path.endswith(".md") else f"{FOLDER}/{path}.md"


def _shown(path: str) -> str:
    """It as a page."""
    if (ROOT / path).is_dir():
        names = [one.removeprefix(f"{path}/") for one in _inside(path)]
        links_to = [f"- [{name}]({posixpath.relpath(_place(f'{path}/{name}'), f'{FOLDER}/{path}')})" for name in names]
        return "\n".join([_UNSEARCHED, f"# {path}", "", *links_to, ""])
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    name = Path(path)
    language = _LANGUAGES.get(name.suffix) or _LANGUAGES.get(name.name, "text")
    return f"{_UNSEARCHED}\n# {path}\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"
