"""Write the generated parts of the reference: commands as the program has them, addresses as their table has.

Run it after a change of either; ``--check`` only tells whether something would change.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from spillgate.cli.commands import app
from spillgate.cli.output import Exit
from spillgate.web.endpoints import ENDPOINTS, Endpoint

DOCS = Path(__file__).resolve().parents[1] / "docs"
_COMMON = "common-options"
_EXITS = {
    Exit.FINE: "fine",
    Exit.ALARMED: "a level of preventive or above, findings, or a target that was not reached: each command says which",
    Exit.USAGE: "a mistake in the command line, the environment or the policy file, or something that is not installed",
    Exit.UNREACHABLE: "the server cannot be reached, or does not tell what is needed",
    Exit.INTERRUPTED: "Ctrl-C",
}


def commands() -> str:
    """Every command with its options, for ``docs/cli.md``."""
    found = list(every_command())
    common = [option for option in _options(dict(found)["run"]) if _is_common(option[0])]
    lines = ["## Common options", "", *_table(("option", "what it does", "default"), map(_row, common)), ""]
    lines += ["## Exit codes", "", *_table(("code", "meaning"), _exits()), ""]
    for name, command in found:
        lines += [*_command(name, command), ""]
    return "\n".join(lines)


def every_command() -> Iterator[tuple[str, Any]]:
    """The commands that do something, with their full names and their groups' left out."""
    yield from _within(typer.main.get_command(app), ())


def endpoints() -> str:
    """Every address, for ``docs/http.md``."""
    rows = [
        (f"[`{one.method} {one.path}`](#{_anchor(one)})", one.summary, "yes" if one.auth else "no") for one in ENDPOINTS
    ]
    lines = _table(("address", "what it answers", "token"), rows)
    for one in ENDPOINTS:
        lines += ["", f"### {one.method} {one.path}", "", one.summary, ""]
        if one.auth:
            lines += ["Asks for the token.", ""]
        if one.parameters:
            said = ((f"`{given.name}`", given.where, given.help) for given in one.parameters)
            lines += [*_table(("parameter", "in", "what it is"), said), ""]
        lines += _table(("status", "meaning"), ((str(code), meaning) for code, meaning in one.statuses))
    return "\n".join([*lines, ""])


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "cli.md": ("commands", commands),
    "http.md": ("endpoints", endpoints),
}
"""The pages, with the name of the part that is generated and what generates it."""


def written(page: str, text: str) -> str:
    """The page's text with its generated part as it should be.

    Raises:
        ValueError: the page has no place for it.
    """
    name, generate = PARTS[page]
    place = re.compile(rf"(?<=<!-- {name} -->\n).*(?=<!-- end of {name} -->)", re.DOTALL)
    if not place.search(text):
        raise ValueError(f"{page}: expected <!-- {name} --> and <!-- end of {name} -->, found no such lines")
    part = re.sub(r"\n{3,}", "\n\n", generate()).strip()
    return place.sub(lambda _: f"\n{part}\n\n", text)


def _within(command: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    below: dict[str, Any] | None = getattr(command, "commands", None)
    if below is None:
        yield " ".join(names), command
        return
    for name, one in below.items():
        yield from _within(one, (*names, name))


def _command(name: str, command: Any) -> Iterator[str]:
    options = _options(command)
    usage = command.get_usage(command.make_context(name, [], resilient_parsing=True)).removeprefix("Usage: ")
    yield from (f"## spillgate {name}", "", "```text", f"spillgate {usage}", "```", "")
    yield from _paragraphs(command.help or "")
    common = [f"`{_names(names)[-1]}`" for names, _ in options if _is_common(names)]
    own = [_row(option) for option in options if not _is_common(option[0])]
    if own:
        yield from ("", *_table(("option", "what it does", "default"), own))
    if common:
        yield from ("", f"{'Also' if own else 'Takes'} {', '.join(common)}: see [common options](#{_COMMON}).")
    if command.epilog:
        yield from ("", *_paragraphs(command.epilog))


def _options(command: Any) -> list[tuple[str, str]]:
    """What ``--help`` says of each argument and option."""
    context = command.make_context(command.name, [], resilient_parsing=True)
    return [record for one in command.params if (record := one.get_help_record(context)) is not None]


def _names(said: str) -> list[str]:
    return re.findall(r"--?[a-z][a-z-]*", said) or [said.split(maxsplit=1)[0]]


def _is_common(said: str) -> bool:
    return bool({"--url", "--config", "--limit", "--json"} & set(_names(said)))


def _row(option: tuple[str, str]) -> tuple[str, str, str]:
    names, text = option
    found = re.search(r"\s*\[default: (?P<value>.*)\]$", text)
    text = text[: found.start()] if found else text
    value = found["value"].partition("; ")[0] if found else ""
    shown = value.strip("()") if value.startswith("(") or not value else f"`{value}`"
    names = f"{names.split()[0]}..." if names.endswith("<list[str]>") else names
    return f"`{names}`", text, shown


def _exits() -> Iterator[tuple[str, str]]:
    return ((f"`{code.value}`", _EXITS[code]) for code in Exit)


def _paragraphs(text: str) -> Iterator[str]:
    """Help text as Markdown: what is marked as written line by line is shown so."""
    block: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("\b"):
            block += ["", *(line.removeprefix("    ") for line in paragraph.splitlines()[1:])]
        else:
            yield from (" ".join(paragraph.split()), "")
    if block:
        yield from ("```toml", *block[1:], "```")


def _table(headings: tuple[str, ...], rows: Any) -> list[str]:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (headings, *rows)]
    return [lines[0], "|" + "---|" * len(headings), *lines[1:]]


def _anchor(one: Endpoint) -> str:
    """What the heading is called, on the site and where its source is read."""
    return re.sub(r"[^a-z -]", "", f"{one.method} {one.path}".lower()).strip().replace(" ", "-")


def main() -> int:
    """Write what has changed, or with ``--check`` tell it."""
    check = "--check" in sys.argv[1:]
    stale = [page for page in PARTS if _differs(page, write=not check)]
    for page in stale:
        print(f"docs/{page}: {'run scripts/docs_reference.py, this is not as it should be' if check else 'written'}")
    return 1 if stale and check else 0


def _differs(page: str, *, write: bool) -> bool:
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    wanted = written(page, text)
    if write and wanted != text:
        path.write_text(wanted, encoding="utf-8")
    return wanted != text


if __name__ == "__main__":
    sys.exit(main())
