"""The live screen: a pure function of what is known, for 80 by 24 characters and more, readable without colour."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.text import Text

from spillgate.config import LevelSettings
from spillgate.demo.phases import PHASES, Report
from spillgate.demo.watch import Line
from spillgate.drawing import badge, bar, chart, fit, grouped, margin, marks, or_unknown
from spillgate.model import Level
from spillgate.units import format_bytes, format_share

_CHART_ROWS = 3


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
    return fit(lines, width, height, plain=plain)


def status_line(view: View) -> str:
    """Where things stand, in one line."""
    report = view.report
    level = "unknown" if view.level is None else view.level.label
    share = format_share(view.used_bytes / view.limit_bytes)
    alive, due = (count.get("sessions", 0) for count in (report.alive, report.due))
    return (
        f"{view.elapsed_s:6.1f}s {report.phase:<6} {format_bytes(view.used_bytes):>6} ({share:>5}) "
        f"{level:<10} sessions {alive:,} of {due:,}, lost {or_unknown(report.lost)}, "
        f"writes {report.writes:,}, refused {report.refused:,}, evicted {or_unknown(view.evicted)}"
    )


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
    yield Text.assemble(f"memory {size}, at most {format_bytes(view.peak_bytes)}   level ", badge(view.level))
    yield bar(share, view.settings, width, plain=plain)
    yield marks(view.settings, width)


def _chart(view: View, width: int, *, plain: bool) -> Iterator[Text]:
    """Memory over the run: the limit at the top, and under it where the phases begin."""
    top = format_bytes(view.limit_bytes)
    left = margin(top)
    count = width - left
    shares = [None if most is None else most / view.limit_bytes for most in grouped(view.columns, count)]
    yield from chart(shares, view.settings, top=top, rows=_CHART_ROWS, plain=plain)
    axis, begin = "", 0.0
    for phase in PHASES:
        axis = axis.ljust(round(begin * count)) + phase.name
        begin += phase.share
    yield Text(" " * left + axis, style="dim")


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
        (f"lost {or_unknown(report.lost)}", "bold red" if report.lost else "bold"),
    )
    yield Text.assemble(
        f"writes {report.writes:,}   ",
        (f"refused {report.refused:,}", "bold red" if report.refused else "bold"),
        f"   evicted by the server {or_unknown(view.evicted)}",
    )


def _journal(view: View, room: int) -> Iterator[Text]:
    """The latest lines, newest last."""
    latest = list(view.lines)[-room:] if room else []
    yield from (Text(f"{at_s:5.1f}s {text}") for at_s, text in latest)
