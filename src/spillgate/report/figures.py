"""Where the lines of figures go: in percent for a page, in characters for text. Pure.

Pages place everything by shares of a width that only the reader's window knows, so nothing here is in pixels.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from spillgate.report.model import Bar, Mark, Sample, Tank, Timeline
from spillgate.units import format_bytes

_VIEW = 1000.0  # the units of a drawing's width and height, stretched to where it stands
_LEAST_APART = 7.0  # percent of the height between two labels
_TICKS = 6
_NICE = (1, 2, 2.5, 5, 10)
_MOST_Y_TICKS = 6
_DAY_S = 86_400.0
_STEPS_S = (60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000)
_TEXT_WIDTH, _TEXT_HEIGHT = 64, 11
_BLOCKS = " ▁▂▃▄▅▆▇█"
_BAR_WIDTH = 16


@dataclass(frozen=True, slots=True)
class Label:
    """A label and its place in percent; ``line`` is where what it names is, ``place`` where there is room for it."""

    text: str
    line: float
    place: float
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """A timeline as paths in a square of 1,000 by 1,000, and the labels beside it."""

    line: str
    band: str
    dots: tuple[tuple[float, float], ...]
    y_ticks: tuple[Label, ...]
    x_ticks: tuple[Label, ...]
    marks: tuple[Label, ...]
    zones: tuple[Label, ...]


def curve(figure: Timeline) -> Curve:
    """Where everything in it goes."""
    runs = list(_runs(figure.samples))
    place = _Place(figure)
    return Curve(
        " ".join(_path([place.at(sample.at_s, sample.used or 0) for sample in run]) for run in runs if len(run) > 1),
        " ".join(_area(place, run) for run in runs if len(run) > 1),
        tuple(place.at(run[0].at_s, run[0].used or 0) for run in runs if len(run) == 1),
        tuple(_y_ticks(figure)),
        tuple(_x_ticks(figure)),
        tuple(_marks(figure.marks, figure.whole)),
        tuple(_zones(figure)),
    )


class _Place:
    """Turns time and bytes into the units of the drawing."""

    def __init__(self, figure: Timeline) -> None:
        self._start, self._span = figure.start_s, max(1.0, figure.end_s - figure.start_s)
        self._whole = figure.whole

    def at(self, at_s: float, size: float) -> tuple[float, float]:
        x = (at_s - self._start) / self._span * _VIEW
        return round(max(0.0, min(_VIEW, x)), 1), round(_VIEW * (1 - min(1.0, size / self._whole)), 1)


def _runs(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """What can be joined by a line: up to where nobody looked."""
    run: list[Sample] = []
    for sample in samples:
        if sample.used is None:
            if run:
                yield run
            run = []
        else:
            run.append(sample)
    if run:
        yield run


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _area(place: _Place, run: Sequence[Sample]) -> str:
    """Between the line and the highest there was."""
    above = [place.at(sample.at_s, sample.high if sample.high is not None else sample.used or 0) for sample in run]
    below = [place.at(sample.at_s, sample.used or 0) for sample in reversed(run)]
    return f"{_path([*above, *below])}Z"


def _marks(marks: Iterable[Mark], whole: float) -> Iterator[Label]:
    """The levels, from above; a label moves up where the one below it leaves no room."""
    listed = sorted(marks, key=lambda mark: mark.bytes)
    last = 100.0 + _LEAST_APART
    for mark in listed:
        line = 100 * (1 - mark.bytes / whole)
        last = min(line, last - _LEAST_APART)
        yield Label(f"{mark.label} {format_bytes(mark.bytes)}", round(line, 2), round(last, 2), mark.tone)


def _zones(figure: Timeline) -> Iterator[Label]:
    """The ground of each level: from ``place`` down to ``line``."""
    levels = [mark for mark in figure.marks if mark.tone not in {"ceiling", "limit"}]
    tops = [*(mark.bytes for mark in levels[1:]), figure.whole]
    for mark, top in zip(levels, tops, strict=False):
        line, place = (100 * (1 - size / figure.whole) for size in (mark.bytes, top))
        yield Label("", round(line, 2), round(max(0.0, place), 2), mark.tone)


def _y_ticks(figure: Timeline) -> Iterator[Label]:
    unit = 1024 ** max(0, int(math.log(max(1.0, figure.whole), 1024)))
    rough = figure.whole / unit / _MOST_Y_TICKS
    power = 10 ** math.floor(math.log10(max(rough, 1e-9)))
    step = next(factor * power for factor in _NICE if factor * power >= rough) * unit
    for number in range(int(figure.whole / step) + 1):
        place = round(100 * (1 - number * step / figure.whole), 2)
        yield Label("0" if not number else format_bytes(number * step), place, place)


def _x_ticks(figure: Timeline) -> Iterator[Label]:
    span = max(1.0, figure.end_s - figure.start_s)
    step = next((step for step in _STEPS_S if span / step <= _TICKS), span / _TICKS)
    form = "%H:%M" if step < _DAY_S else "%d %b" if span < 200 * _DAY_S else "%b %Y"
    first = math.ceil(figure.start_s / step) * step
    for number in range(_TICKS + 1):
        at_s = first + number * step
        if at_s > figure.end_s:
            return
        place = round(100 * (at_s - figure.start_s) / span, 2)
        text = f"{datetime.fromtimestamp(at_s, UTC):{form}}"
        midnight = step < _DAY_S < span and text == "00:00"
        yield Label(f"{datetime.fromtimestamp(at_s, UTC):%d %b}" if midnight else text, place, place)


def mark_labels(marks: Iterable[Mark]) -> tuple[Label, ...]:
    """The labels alone, for a list of them."""
    return tuple(Label(f"{mark.label} {format_bytes(mark.bytes)}", 0, 0, mark.tone) for mark in marks)


def shares(bar: Bar) -> tuple[float, float, float]:
    """Value, low and high end of a bar in percent of its width."""
    return tuple(round(100 * max(0.0, min(1.0, number / bar.most)), 2) for number in (bar.value, bar.low, bar.high))  # type: ignore[return-value]


def slices(figure: Tank) -> tuple[tuple[float, float], ...]:
    """Where each part of a tank begins and how wide it is, in percent."""
    found: list[tuple[float, float]] = []
    start = 0.0
    for part in figure.parts:
        width = 100 * part.bytes / figure.whole
        found.append((round(start, 3), round(width, 3)))
        start += width
    return tuple(found)


# As text


def text_bar(bar: Bar) -> str:
    """A bar of characters, with "|" where a mark is beyond its end."""
    filled = round(_BAR_WIDTH * min(1.0, bar.value / bar.most))
    cells = ["█" if place < filled else "░" for place in range(_BAR_WIDTH)]
    for _, size in bar.marks:
        place = min(_BAR_WIDTH - 1, round(_BAR_WIDTH * size / bar.most))
        if place >= filled:
            cells[place] = "|"
    return "".join(cells)


def text_tank(figure: Tank) -> str:
    """A line for each part, then the levels."""
    widest = max((len(part.label) for part in figure.parts), default=0)
    widest = max(widest, *(len(mark.label) for mark in figure.marks), 0) if figure.marks else widest
    sizes = [part.text for part in figure.parts] + [format_bytes(mark.bytes) for mark in figure.marks]
    column = max(map(len, sizes), default=0)
    lines: list[str] = []
    for part, (start, width) in zip(figure.parts, slices(figure), strict=True):
        before = round(start / 100 * _TEXT_WIDTH)
        filled = max(1, round((start + width) / 100 * _TEXT_WIDTH) - before)
        block = "▒" if part.stays else "█"
        lines.append(f"{part.label:<{widest}}  {part.text:>{column}}  {' ' * before}{block * filled}")
    for mark in figure.marks:
        place = round(mark.bytes / figure.whole * _TEXT_WIDTH)
        lines.append(f"{mark.label:<{widest}}  {format_bytes(mark.bytes):>{column}}  {' ' * place}|")
    return "\n".join(lines)


def text_timeline(figure: Timeline) -> str:
    """Columns of blocks, with the levels at the left."""
    columns = _columns(figure)
    rows = _TEXT_HEIGHT
    edge = figure.whole / rows
    names = {min(rows - 1, int(mark.bytes / edge)): f"{mark.label} {format_bytes(mark.bytes)}" for mark in figure.marks}
    widest = max((len(name) for name in names.values()), default=0)
    lines = [
        f"{names.get(row, ''):>{widest}} {'┤' if row in names else '│'}"
        + "".join(_block(high, row, edge) for high in columns)
        for row in reversed(range(rows))
    ]
    start, end = (f"{datetime.fromtimestamp(at_s, UTC):%d %b %H:%M}" for at_s in (figure.start_s, figure.end_s))
    room = max(1, _TEXT_WIDTH - len(start) - len(end))
    return "\n".join((*lines, f"{'':>{widest}} └{'─' * _TEXT_WIDTH}", f"{'':>{widest}}  {start}{' ' * room}{end}"))


def _columns(figure: Timeline) -> list[float | None]:
    """The most there was in each column; None where nobody looked. Between two looks it was as at the first."""
    span = max(1.0, figure.end_s - figure.start_s)
    columns: list[float | None] = []
    held: float | None = None
    samples = list(figure.samples)
    for number in range(_TEXT_WIDTH):
        end = figure.start_s + (number + 1) * span / _TEXT_WIDTH
        most = held
        while samples and samples[0].at_s < end:
            sample = samples.pop(0)
            held = sample.used
            if sample.high is not None:
                most = max(most or 0.0, sample.high)
        columns.append(most)
    return columns


def _block(high: float | None, row: int, edge: float) -> str:
    if high is None:
        return "?" if row == 0 else " "
    eighths = round((high / edge - row) * 8)
    return _BLOCKS[max(0, min(8, eighths))]
