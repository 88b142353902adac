"""Writes ``cache/_sync`` from ``cache/_async``; with ``--check`` it says whether that is up to date.

The rules are few and textual: ``await`` and ``async`` go, names lose their ``Async``, and what differs by more than
that (connections, waiting) is written twice by hand in ``cache/wire.py`` and ``cache/waiting.py``.
"""

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "spillgate" / "cache"
HEADER = "# Generated from ../_async by scripts/unasync.py: change that, then run `make sync`.\n"
RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\basync (def|with|for)\b", r"\1"),
        (r"\bawait ", ""),
        (r"\b__a(enter|exit)__\b", r"__\1__"),
        (r"\baclose\b", "close"),
        (r"\basleep\b", "sleep"),
        (r"\bAwaitable\[([\w\[\], ]+?)\]", r"\1"),
        (r"\bAwaitable, ", ""),
        (r"\bAsync([A-Z]\w*)", r"\1"),
        (r"\b_async\b", "_sync"),
        (r"\bThe cache for asyncio\. .*?\.\"", 'The cache for threads."'),
    )
)


def synchronous(source: str) -> str:
    """The same for threads."""
    for pattern, replacement in RULES:
        source = pattern.sub(replacement, source)
    return HEADER + source


def formatted(text: str) -> str:
    """As ruff formats it, with its imports in order: names got shorter."""
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        text = subprocess.run(
            [*ruff, *command, "--stdin-filename", str(PACKAGE / "_sync" / "module.py"), "-"],
            input=text, stdout=subprocess.PIPE, text=True, check=True,
        ).stdout  # fmt: skip
    return text


def main() -> int:
    """Write, or compare; the exit code is 1 where they differ."""
    check = sys.argv[1:] == ["--check"]
    wanted = {path.name: formatted(synchronous(path.read_text())) for path in (PACKAGE / "_async").glob("*.py")}
    target = PACKAGE / "_sync"
    there = {path.name: path.read_text() for path in target.glob("*.py")}
    if check:
        for name in sorted(wanted.keys() | there.keys()):
            if wanted.get(name) != there.get(name):
                print(f"{target / name} is not what _async makes it: run `make sync`", file=sys.stderr)
        return int(wanted != there)
    for name in there.keys() - wanted.keys():
        (target / name).unlink()
    for name, text in wanted.items():
        (target / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
