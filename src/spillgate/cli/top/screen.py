"""The screen of ``spillgate top``: a pure function of what is known, for any size, readable without colour."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from spillgate.census.rows import shown
from spillgate.cli.top.body import ALARMING, body_of, entry
from spillgate.cli.top.keys import Controls, Extent
from spillgate.cli.top.seen import Seen
from spillgate.cli.top.view import View, counted, growth
from spillgate.drawing import badge, bar, chart, fit, grouped, margin, marks, or_unknown
from spillgate.units import format_bytes, format_duration

# Of so many lines and more the chart gets some, in steps; with fewer there is none.
_CHART_ROWS = ((44, 8), (34, 5), (22, 3))
_LEAST_FOR_MARKS, _LEAST_FOR_DETAILS = 16, 14
_STALE_S = 10.0
_JOURNAL_LINES = 3
_MOST_LINES = 3
_LEAST_WORDS = 20
_LABEL = 10


@dataclass(frozen=True, slots=True)
class Drawn:
    """The lines of the screen, and how far what is on it can be scrolled."""

    lines: list[Text]
    extent: Extent


def draw(view: View, width: int, height: int, *, plain: bool = False) -> Drawn:
    """No line is longer than ``width``, and there are never more than ``height``; ``plain`` for ASCII alone."""
    below = 1 if height > 1 else 0  # the line of the keys
    body = body_of(view, width, plain=plain)
    lines = [*_head(view, width, height, plain=plain), *body.heading]
    page = max(0, height - len(lines) - below)
    offset = max(0, min(view.controls.offset, len(body.lines) - page))
    lines += body.lines[offset : offset + page]
    lines += _latest(view, height - len(lines) - below)
    lines += [Text()] * (height - len(lines) - below)
    seen = f" {offset + 1}-{offset + page} of {len(body.lines)}" if page < len(body.lines) else " scroll"
    kept = [*lines[: height - below], *[_foot(view.controls, view.pause_s, seen, plain=plain)][:below]]
    fitting = fit([_of_ascii(line) if plain else line for line in kept], width, height, plain=plain)
    return Drawn(fitting, Extent(len(body.lines), page))


def _head(view: View, width: int, height: int, *, plain: bool) -> Iterator[Text]:
    seen = view.seen
    yield _title(view, width)
    if seen is None:
        yield Text("looking at the server ...")
        return
    yield from _verdict(view, seen, width)
    if view.controls.help or seen.used_bytes is None or seen.limit_bytes is None:
        return
    yield bar(seen.used_bytes / seen.limit_bytes, seen.settings, width, plain=plain)
    if height >= _LEAST_FOR_MARKS:
        yield marks(seen.settings, width)
    rows = next((rows for least, rows in _CHART_ROWS if height >= least), 0)
    if rows:
        yield from _chart(view, seen, seen.limit_bytes, width, rows=rows, plain=plain)
    if height >= _LEAST_FOR_DETAILS:
        yield from _details(view, seen)


def _title(view: View, width: int) -> Text:
    what = "" if view.seen is None else f"  {_server(view.seen)}"
    right = f"PAUSED  {view.at}" if view.controls.paused else view.at
    left = Text.assemble(("top", "bold"), what)
    left.truncate(max(0, width - len(right) - 1), overflow="crop")
    left.pad_right(max(1, width - left.cell_len - len(right)))
    return left.append(right, style="bold" if view.controls.paused else "")


def _server(seen: Seen) -> str:
    server = seen.server
    named = f"{server.product} {server.version or 'of unknown version'}" if server.product else None
    parts = [seen.url, named, server.eviction_policy, "dry run" if seen.dry_run else None]
    return ", ".join(shown(part) for part in parts if part)


def _verdict(view: View, seen: Seen, width: int) -> Iterator[Text]:
    """The level and why; or that the server cannot be read, and what was last seen."""
    if seen.reachable:
        late = f", {_ago(view.age_s)}" if view.age_s is not None and view.age_s > _STALE_S + view.pause_s else ""
        yield from _badged(badge(seen.in_force), f"{seen.reason or ''}{late}", width)
        if seen.error:
            yield from _wrapped(f"error: {seen.error}", width)
        return
    again = "paused" if view.controls.paused else f"looking again every {format_duration(round(view.pause_s, 1))}"
    yield from _badged(("UNREACHABLE", f"reverse {ALARMING}"), again, width)
    yield from _wrapped(seen.error or "the server does not answer", width)
    if seen.reason is None:
        yield Text("it was never read: nothing is known of it")
    else:
        yield Text.assemble(f"{_ago(view.age_s)}: ", badge(seen.in_force), f" {shown(seen.reason)}")


def _badged(label: tuple[str, str], text: str, width: int) -> Iterator[Text]:
    """A label that stands out, and what it means, in as many lines as that takes."""
    indent = len(label[0]) + 2
    first, *more = textwrap.wrap(shown(text), max(_LEAST_WORDS, width - indent)) or [""]
    yield Text.assemble(label, f"  {first}")
    yield from (Text(f"{' ' * indent}{line}") for line in more[: _MOST_LINES - 1])


def _wrapped(text: str, width: int) -> Iterator[Text]:
    lines = textwrap.wrap(shown(text), max(_LEAST_WORDS, width))
    yield from (Text(line, style=ALARMING) for line in lines[:_MOST_LINES])


def _ago(age_s: float | None) -> str:
    return "seen at an unknown time" if age_s is None else f"seen {format_duration(round(age_s))} ago"


def _chart(view: View, seen: Seen, limit_bytes: int, width: int, *, rows: int, plain: bool) -> Iterator[Text]:
    """Memory since the watching began, growing to the right, then in ever longer columns."""
    top = format_bytes(limit_bytes)
    left = margin(top)
    count = min(len(view.columns), max(0, width - left))
    most = grouped(view.columns, count) if count else []
    shares = [None if used is None else used / limit_bytes for used in most]
    yield from chart(shares, seen.settings, top=top, rows=rows, plain=plain)
    length_s = view.column_s * len(view.columns) / count if count else view.column_s
    begin = f"since {view.since}, the most in each {format_duration(round(length_s, 1))}"
    axis = begin.ljust(max(0, count - len("now")))
    yield Text(f"{' ' * left}{axis}{'now' if len(begin) + len(' now') <= count else ''}", style="dim")


def _details(view: View, seen: Seen) -> Iterator[Text]:
    """What is said in words, a line each."""
    yield _labelled("forecast", growth(seen) if seen.reachable else "unknown while the server cannot be read")
    held = ", ".join(f"{cause} {format_bytes(size)}" for cause, size in (seen.held_bytes or {}).items())
    yield _labelled("not data", "unknown" if seen.held_bytes is None else held or "nothing that the server tells of")
    evicted, refused = (
        counted(seen.server.evicted_keys, view.evicted),
        counted(seen.server.refused_writes, view.refused),
    )
    yield _labelled(
        "keys",
        f"{or_unknown(seen.keys)}   evicted ",
        (evicted, ALARMING if view.evicted else ""),
        "   writes refused ",
        (refused, ALARMING if view.refused else ""),
    )
    if seen.totals.actions:
        done = seen.totals
        freed = (
            f"{done.deleted:,} keys deleted, {done.retimed:,} TTLs shortened, {format_bytes(done.freed_bytes)} freed"
        )
        yield _labelled("cleaned", f"{freed} in {done.actions:,} steps")
    if seen.missing:
        names = ", ".join(cost.partition(":")[0] for cost in seen.missing)
        yield _labelled("forbidden", f"{shown(names)} (? tells what that costs)")


def _labelled(label: str, *parts: str | tuple[str, str]) -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "dim"), *parts)


def _latest(view: View, room: int) -> Iterator[Text]:
    """What the journal said last, where there is room for it under the namespaces."""
    if not view.entries or room < _JOURNAL_LINES or view.controls.help or view.controls.journal:
        return
    yield Text()
    latest = list(view.entries)[-(room - 1) :]
    yield from (entry(one) for one in latest)


def _foot(controls: Controls, pause_s: float, seen: str, *, plain: bool) -> Text:
    every = format_duration(round(pause_s, 1))
    slower = "" if pause_s <= controls.interval_s else " (metered)"
    arrows = "arrows" if plain else "↑↓"
    pause = "go on" if controls.paused else "pause"
    return Text.assemble(
        *(("q", "bold"), " quit  ", ("?", "bold"), " help  ", ("s", "bold"), f" sort: {controls.sort}  "),
        *((arrows, "bold"), f"{seen}  ", ("p", "bold"), f" {pause}  ", ("+ -", "bold"), f" every {every}{slower}"),
    )


def _of_ascii(line: Text) -> Text:
    return line if line.plain.isascii() else Text(line.plain.encode("ascii", "backslashreplace").decode())
