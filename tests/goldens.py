"""Golden files: what a screen looks like, compared to the letter.

``SPILLGATE_UPDATE_GOLDEN=1`` writes them anew; what changed is then read in the diff.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

GOLDEN = Path(__file__).parent / "golden"


def drawn(*parts: RenderableType, width: int = 80, terminal: bool = True, plain: bool = False) -> str:
    """What a console without colour shows: of a ``terminal``, or of a pipe; ``plain`` where it knows ASCII alone."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii" if plain else "utf-8", write_through=True)
    console = Console(
        file=out, width=width, force_terminal=terminal, color_system=None, highlight=False, markup=False, _environ={}
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return raw.getvalue().decode()


def assert_golden(name: str, text: str) -> None:
    """Whether ``tests/golden/<name>.txt`` has this text; blanks at the ends of lines do not count."""
    path = GOLDEN / f"{name}.txt"
    shown = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    if os.environ.get("SPILLGATE_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown)
    assert path.exists(), f"{path.name} is missing: SPILLGATE_UPDATE_GOLDEN=1 writes it"
    assert shown == path.read_text(), f"{path.name} differs: SPILLGATE_UPDATE_GOLDEN=1 writes it anew"


def orphans(folder: str, names: Iterable[str]) -> set[str]:
    """Files of a folder that no test compares with."""
    return {path.name for path in (GOLDEN / folder).iterdir()} - {f"{name}.txt" for name in names}
