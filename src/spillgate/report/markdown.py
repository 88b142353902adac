"""Text inside GitHub-flavoured Markdown: whatever is in it, it stays text. Pure.

What is data (names, keys, errors) may hold anything; so every character that means something in Markdown is escaped,
and what is a name stands in a span of code, where only backquotes and the bars of tables count.
"""

import re

from spillgate.census.rows import shown
from spillgate.report.model import Cell, Kind, Run, Words

_SPECIAL = re.compile(r"[\\`*\[\]{}<>#|~$!@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BEGINS = re.compile(r"[-+=]|\d+(?=[.)](?:\s|$))")
_ADDRESS = re.compile(r"(?i)\b(https?|ftp|www)(?=[:.])")
_TICKS = re.compile(r"`+")


def escaped(text: str) -> str:
    """A text that means nothing to Markdown, in one line."""
    line = shown(text).replace("&", "&amp;")
    line = _SPECIAL.sub(lambda found: _entity(found[0]), line)
    # An address would become a link by itself.
    return _ADDRESS.sub(r"\1<!-- -->", line)


def _entity(character: str) -> str:
    return {"<": "&lt;", ">": "&gt;", "@": "&#64;"}.get(character, f"\\{character}")


def begun(text: str) -> str:
    """The same at the beginning of a line, where more has a meaning."""
    line = text.lstrip()
    found = _BEGINS.match(line)
    if found is None:
        return line
    end = found.end() if found[0].isdigit() else 0
    return f"{line[:end]}\\{line[end:]}"


def code_span(text: str) -> str:
    """A span of code with exactly this text in it, in one line."""
    line = shown(text) or " "
    longest = max((len(found) for found in _TICKS.findall(line)), default=0)
    ticks = "`" * (longest + 1)
    space = " " if line[0] in "` " or line[-1] in "` " else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def fenced(text: str, language: str = "") -> str:
    """A block of code with exactly these lines in it."""
    longest = max((len(found) for found in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = "\n".join(shown(line) for line in text.split("\n"))
    return f"{fence}{language}\n{lines}\n{fence}"


def run(one: Run) -> str:
    """A piece of a sentence."""
    match one.kind:
        case Kind.CODE:
            return code_span(one.text)
        case Kind.STRONG:
            text = escaped(one.text)
            return f"**{text}**" if text.strip() == text and text else text
        case Kind.TEXT:
            return escaped(one.text)


def words(said: Words) -> str:
    """A sentence."""
    return "".join(map(run, said))


def cell(one: Cell) -> str:
    """A cell of a table: its words, its note in brackets, and whether it was assumed."""
    return _said("".join(map(_in_table, one.words)), one)


def fact(one: Cell) -> str:
    """The same outside of a table."""
    return _said(words(one.words), one)


def _said(text: str, one: Cell) -> str:
    note = escaped(one.note)
    if note:
        text = f"{text} ({note})" if text else note
    return f"{text} *(assumed)*" if one.assumed else text


def _in_table(piece: Run) -> str:
    # A bar ends a cell even inside of code, unless it is escaped there.
    return run(piece).replace("|", "\\|") if piece.kind is Kind.CODE else run(piece)
