"""A table that fits: columns that matter less are left out where there is no room for them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

_GAP = "  "
_BAR = (10, 40)  # columns of a bar, at least and at most
_LONGEST_NAME = 32


@dataclass(frozen=True, slots=True)
class Column:
    """Cells under a heading. Of columns that do not fit those with the lowest ``drop`` go first; 0 never goes."""

    heading: str
    cells: Sequence[str]
    left: bool = False
    sorted: bool = False
    drop: int = 0
    styles: Sequence[str] = ()

    @property
    def width(self) -> int:
        """What the longest cell takes."""
        longest = max((cell_len(cell) for cell in (self.heading, *self.cells)), default=0)
        return min(longest, _LONGEST_NAME)

    def style_of(self, number: int) -> str:
        """The style of a cell."""
        return self.styles[number] if self.styles else ""

    def cell(self, text: str) -> str:
        """``text`` as wide as the column."""
        short = text if cell_len(text) <= self.width else set_cell_size(text, self.width)
        padding = " " * (self.width - cell_len(short))
        return short + padding if self.left else padding + short


def table(columns: Sequence[Column], width: int, *, bars: Sequence[float | None], plain: bool) -> Iterator[Text]:
    """The headings, then a line each; where there is room for it with a bar for the share in ``bars``."""
    kept = _fitting(columns, width)
    room = width - _width(kept) - len(_GAP)
    size = min(_BAR[1], room) if room >= _BAR[0] else 0
    full = "#" if plain else "█"
    longest = max((share for share in bars if share is not None), default=0.0)
    yield Text(_GAP).join(Text(column.cell(column.heading), "bold" if column.sorted else "dim") for column in kept)
    for number, share in enumerate(bars):
        cells = [Text(column.cell(column.cells[number]), column.style_of(number)) for column in kept]
        line = Text(_GAP).join(cells)
        if size and share is not None and longest:
            line.append(_GAP).append(full * round(share / longest * size), style="cyan")
        yield line


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width + len(_GAP) for column in columns) - len(_GAP)


def _fitting(columns: Sequence[Column], width: int) -> list[Column]:
    kept = list(columns)
    while _width(kept) > width:
        expendable = [column for column in kept if column.drop]
        if not expendable:
            break
        kept.remove(min(expendable, key=lambda column: column.drop))
    return kept
