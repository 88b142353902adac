"""The live screen: a pure function of what is known, for 80 by 24 characters and more, readable without colour."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from rich.text import Text

from spillgate.config import LevelSettings
from spillgate.demo.phases import PHASES, Report
from spillgate.demo.watch import Line
from spillgate.model import Level
from spillgate.policy.pressure import level_at, threshold
from spillgate.units import format_bytes, format_share

_STYLES = {
    Level.NORMAL: "green",
    Level.WARNING: "yellow",
    Level.PREVENTIVE: "dark_orange",
    Level.EMERGENCY: "red",
    Level.CRITICAL: "bold red",
}
_CHART_ROWS = 3
_MARGIN = 7
_BLOCKS, _PLAIN_BLOCKS = " ▁▂▃▄▅▆▇█", " .::||###"
_FULL, _PLAIN_FULL = "█", "#"


@dataclass(frozen=True, slots=True)
class NamespaceRow:
    """One namespace: ``keys`` that are there (None: unknown; ``exact`` or estimated), and those deleted by cleanup."""

    name: str
    cleanup: str
    keys: float | None
    exact: bool
    deleted: int


@dataclass(frozen=True, slots=True)
class View:
    """Everything the screen shows.

    ``columns`` is the time line, the highest memory in each part of the run; ``level`` is None before the governor's
    first look, ``evicted`` where the server does not tell.
    """

    seconds: float
    elapsed_s: float
    server: str
    endpoint: str
    report: Report
    used_bytes: int
    peak_bytes: int
    limit_bytes: int
    level: Level | None
    settings: LevelSettings
    columns: Sequence[int]
    rows: Sequence[NamespaceRow]
    evicted: int | None
    lines: Sequence[Line]


def draw(view: View, width: int, height: int, *, plain: bool = False) -> list[Text]:
    """The lines of the screen, none longer than ``width`` and no more than ``height``; ``plain`` for ASCII alone."""
    lines = [
        *_head(view, width),
        Text(),
        *_memory(view, width, plain=plain),
        *_chart(view, width, plain=plain),
        Text(),
        *_namespaces(view.rows, width),
        *_counters(view),
    ]
    room = max(0, height - len(lines))
    lines += _journal(view, room)
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="crop" if plain else "ellipsis")
    return lines[:height]


def status_line(view: View) -> str:
    """Where things stand, in one line."""
    report = view.report
    level = "unknown" if view.level is None else view.level.label
    share = format_share(view.used_bytes / view.limit_bytes)
    alive, due = (count.get("sessions", 0) for count in (report.alive, report.due))
    return (
        f"{view.elapsed_s:6.1f}s {report.phase:<6} {format_bytes(view.used_bytes):>6} ({share:>5}) "
        f"{level:<10} sessions {alive:,} of {due:,}, lost {_or_unknown(report.lost)}, "
        f"writes {report.writes:,}, refused {report.refused:,}, evicted {_or_unknown(view.evicted)}"
    )


def _or_unknown(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _head(view: View, width: int) -> Iterator[Text]:
    clock = f"{view.elapsed_s:.0f} of {view.seconds:g}s"
    left = Text.assemble(("Spillgate demo", "bold"), f"  {view.server}")
    left.pad_right(max(1, width - left.cell_len - len(clock)))
    yield left.append(clock)
    says = next(phase.says for phase in PHASES if phase.name == view.report.phase)
    yield Text.assemble((view.report.phase.upper(), "bold"), f": {says}")
    yield Text(view.endpoint, style="dim")


def _memory(view: View, width: int, *, plain: bool) -> Iterator[Text]:
    """The memory in words, as a bar, and where on it the levels begin."""
    share = view.used_bytes / view.limit_bytes
    size = f"{format_bytes(view.used_bytes)} of {format_bytes(view.limit_bytes)} ({format_share(share)})"
    yield Text.assemble(
        f"memory {size}, at most {format_bytes(view.peak_bytes)}   level ",
        ("UNKNOWN", "reverse") if view.level is None else (view.level.label.upper(), f"reverse {_STYLES[view.level]}"),
    )
    filled = min(width, round(share * width))
    bar = Text((_PLAIN_FULL if plain else _FULL) * filled, style=_STYLES[level_at(share, view.settings)])
    yield bar.append(("-" if plain else "·") * (width - filled), style="dim")
    yield Text(_marks(view.settings, width), style="dim")


def _marks(settings: LevelSettings, width: int) -> str:
    """A line whose "|" stand where the levels begin, each with the level's name where there is room for it."""
    marks = ""
    for level in list(Level)[1:]:
        share = threshold(level, settings)
        room = min(width, round(share * width)) - len(marks) - 1
        short = format_share(share)
        label = next((text for text in (f"{level.label} {short}", short, "") if len(text) < room), "")
        marks += f"{label:>{max(0, room)}}|"
    return marks


def _chart(view: View, width: int, *, plain: bool) -> Iterator[Text]:
    """Memory over the run: the limit at the top, and under it where the phases begin."""
    blocks = _PLAIN_BLOCKS if plain else _BLOCKS
    count = width - _MARGIN
    edges = [len(view.columns) * number // count for number in range(count + 1)]
    tops = [max(view.columns[start : max(start + 1, end)]) / view.limit_bytes for start, end in pairwise(edges)]
    for row in reversed(range(_CHART_ROWS)):
        label = format_bytes(view.limit_bytes) if row == _CHART_ROWS - 1 else "0" if row == 0 else ""
        line = Text(f"{label:>{_MARGIN - 2}} |", style="dim")
        for top in tops:
            eighths = round(top * _CHART_ROWS * 8) - row * 8
            line.append(blocks[min(8, max(0, eighths))], style=_STYLES[level_at(top, view.settings)])
        yield line
    axis, begin = "", 0.0
    for phase in PHASES:
        axis = axis.ljust(round(begin * count)) + phase.name
        begin += phase.share
    yield Text(" " * _MARGIN + axis, style="dim")


def _namespaces(rows: Sequence[NamespaceRow], width: int) -> Iterator[Text]:
    """The namespaces in two columns."""
    cell = width // 2
    half = (len(rows) + 1) // 2
    head = f"{'namespace':<12}{'cleanup':<9}{'keys':>8}{'deleted':>9}".ljust(cell)
    yield Text(head * 2, style="dim")
    for left, right in zip_longest(rows[:half], rows[half:]):
        yield Text("").join(_namespace(row, cell) for row in (left, right) if row)


def _namespace(row: NamespaceRow, cell: int) -> Text:
    keys = "unknown" if row.keys is None else f"{'' if row.exact else '~'}{row.keys:,.0f}"
    text = f"{row.name:<12}{row.cleanup:<9}{keys:>8}{row.deleted:>9,}"
    return Text(text.ljust(cell), style="green" if row.exact else "")


def _counters(view: View) -> Iterator[Text]:
    report = view.report
    alive, due = (count.get("sessions", 0) for count in (report.alive, report.due))
    others_alive, others_due = sum(report.alive.values()) - alive, sum(report.due.values()) - due
    yield Text.assemble(
        ("sessions alive ", "bold"),
        f"{alive:,} of {due:,}   tasks, channels, users {others_alive:,} of {others_due:,}   ",
        (f"lost {_or_unknown(report.lost)}", "bold red" if report.lost else "bold"),
    )
    yield Text.assemble(
        f"writes {report.writes:,}   ",
        (f"refused {report.refused:,}", "bold red" if report.refused else "bold"),
        f"   evicted by the server {_or_unknown(view.evicted)}",
    )


def _journal(view: View, room: int) -> Iterator[Text]:
    """The latest lines, newest last."""
    latest = list(view.lines)[-room:] if room else []
    yield from (Text(f"{at_s:5.1f}s {text}") for at_s, text in latest)
