"""Pieces of terminal screens: pure, of any width, readable without colour, and of ASCII alone where ``plain``."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from rich.text import Text

from spillgate.config import LevelSettings
from spillgate.model import Estimate, Level
from spillgate.policy.pressure import level_at, threshold
from spillgate.units import format_bytes, format_share

LEVEL_STYLES = {
    Level.NORMAL: "green",
    Level.WARNING: "yellow",
    Level.PREVENTIVE: "dark_orange",
    Level.EMERGENCY: "red",
    Level.CRITICAL: "bold red",
}
_BLOCKS, _PLAIN_BLOCKS = " ▁▂▃▄▅▆▇█", " .::||###"
_FULL, _PLAIN_FULL = "█", "#"
_EMPTY, _PLAIN_EMPTY = "·", "-"
_GAP = "?"
_LEAST_SCALE = 5


def badge(level: Level | None) -> tuple[str, str]:
    """The level as a word that stands out, with its style; None is one that is not known."""
    return ("UNKNOWN", "reverse") if level is None else (level.label.upper(), f"reverse {LEVEL_STYLES[level]}")


def bar(share: float, settings: LevelSettings, width: int, *, plain: bool) -> Text:
    """How much of the limit is in use, in the colour of its level."""
    filled = max(0, min(width, round(share * width)))
    full, empty = (_PLAIN_FULL, _PLAIN_EMPTY) if plain else (_FULL, _EMPTY)
    drawn = Text(full * filled, style=LEVEL_STYLES[level_at(max(0.0, share), settings)])
    return drawn.append(empty * (width - filled), style="dim")


def marks(settings: LevelSettings, width: int) -> Text:
    """A line whose "|" stand where the levels begin, each with the level's name where there is room for it."""
    line = ""
    for level in list(Level)[1:]:
        share = threshold(level, settings)
        room = min(width, round(share * width)) - len(line) - 1
        short = format_share(share)
        label = next((text for text in (f"{level.label} {short}", short, "") if len(text) < room), "")
        line += f"{label:>{max(0, room)}}|"
    return Text(line, style="dim")


def margin(top: str) -> int:
    """Columns to the left of a chart, for a scale that ends with ``top``."""
    return max(_LEAST_SCALE, len(top)) + len(" |")


def chart(
    shares: Sequence[float | None], settings: LevelSettings, *, top: str, rows: int, plain: bool
) -> Iterator[Text]:
    """Shares of the limit over time, a column each, between 0 and ``top``; "?" where one is not known."""
    blocks = _PLAIN_BLOCKS if plain else _BLOCKS
    for row in reversed(range(rows)):
        label = top if row == rows - 1 else "0" if row == 0 else ""
        line = Text(f"{label} |".rjust(margin(top)), style="dim")
        for share in shares:
            if share is None:
                line.append(_GAP if row == 0 else " ", style="dim")
                continue
            eighths = round(share * rows * 8) - row * 8
            line.append(blocks[min(8, max(0, eighths))], style=LEVEL_STYLES[level_at(share, settings)])
        yield line


def grouped(numbers: Sequence[int | None], count: int) -> list[int | None]:
    """These in ``count`` groups, the highest of each; None where a group has none that is known."""
    edges = [len(numbers) * number // count for number in range(count + 1)]
    groups = (numbers[start : max(start + 1, end)] for start, end in pairwise(edges))
    return [max((one for one in group if one is not None), default=None) for group in groups]


def fit(lines: Iterable[Text], width: int, height: int, *, plain: bool) -> list[Text]:
    """As many of them as there is room for, none longer than ``width``."""
    kept = list(lines)[:height]
    for line in kept:
        line.no_wrap = True
        line.truncate(width, overflow="crop" if plain else "ellipsis")
    return kept


def or_unknown(number: float | None) -> str:
    """A whole number, or that it is not known."""
    return "unknown" if number is None else f"{number:,.0f}"


def count_in_words(estimate: Estimate | None) -> str:
    """A number of keys with its error."""
    return with_error(estimate, lambda keys: f"{keys:,.0f}")


def bytes_in_words(estimate: Estimate | None) -> str:
    """A size with its error."""
    return with_error(estimate, format_bytes)


def with_error(estimate: Estimate | None, write: Callable[[float], str]) -> str:
    """The number and how far off it may be: to one side alone where it cannot be off to the other."""
    if estimate is None:
        return "unknown"
    if estimate.is_exact:
        return write(estimate.value)
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"about {write(estimate.value)}"
    sides = estimate.value - estimate.low, estimate.high - estimate.value
    below, above = (write(max(0.0, side)) != write(0.0) for side in sides)
    sign = "±" if below == above else "+" if above else "-"
    return f"{write(estimate.value)} {sign}{write(max(sides))}"
