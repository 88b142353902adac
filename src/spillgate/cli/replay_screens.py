"""What people read of a replay, on a terminal or in a pipe."""

from collections.abc import Iterator
from typing import TypeAlias

from rich.table import Table

from spillgate.census.rows import shown
from spillgate.cli.output import console, show
from spillgate.cli.replay import Comparison, in_words
from spillgate.cli.screens import columns
from spillgate.replay import Result
from spillgate.units import format_bytes, format_share

# Namespaces side by side, and one below the other.
_COLUMNS = 8
_LINES = 20
# What `columns` leaves between two of them.
_GAP = 3

Rows: TypeAlias = Iterator[tuple[str, ...]]


def tell(comparison: Comparison) -> None:
    """The whole screen."""
    show(*(shown(line) for line in in_words(comparison)))
    show("", *_tables(_overview(comparison)), "hit ratio by namespace:", "", *_tables(_namespaces(comparison)))
    kept = [one.name for one in comparison.results[0].namespaces if one.lost is not None]
    if kept:
        show(f"lost: keys that were gone before their TTL ran out, of {shown(', '.join(kept))}", "")
    show(*(f"note: {shown(note)}" for note in comparison.notes))


def _overview(comparison: Comparison) -> Rows:
    yield ("contender", "hits", "weighted", "refused", "lost", "evicted", "cleaned", "peak", "mean", "p50", "p99")
    for one in comparison.results:
        yield (
            one.label,
            _share(one.hit_ratio),
            _share(one.weighted_hit_ratio),
            f"{one.refused:,}",
            _lost(one),
            f"{one.evicted:,}",
            f"{sum(one.governor.deleted.values()):,}" if one.governor else "-",
            format_bytes(one.peak_bytes),
            format_bytes(one.mean_bytes),
            _ms(one.round_trip_p50_s),
            _ms(one.round_trip_p99_s),
        )


def _namespaces(comparison: Comparison) -> Rows:
    """A column for each namespace; where they are many, a line for each of those that are read most."""
    results = comparison.results
    first = results[0].namespaces
    if len(first) <= _COLUMNS:
        yield ("contender", *(one.name for one in first))
        for result in results:
            yield (result.label, *(_share(one.hit_ratio) for one in result.namespaces))
        yield ("weight", *(f"{one.weight:g}" for one in first))
        return
    yield ("namespace", "reads", "weight", *(result.label for result in results))
    order = sorted(range(len(first)), key=lambda place: -first[place].reads)
    for place in order[:_LINES]:
        one, ratios = first[place], (_share(result.namespaces[place].hit_ratio) for result in results)
        yield (one.name, f"{one.reads:,}", f"{one.weight:g}", *ratios)
    if len(first) > _LINES:
        yield (f"and {len(first) - _LINES} more, see --json", *[""] * (len(results) + 2))


def _tables(rows: Rows) -> Iterator[Table | str]:
    """Rows, the first of them headings, as a table; as several, one below the other, where a screen is narrower.

    Each begins with the first column.
    """
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) + _GAP for column in zip(*cells, strict=True)]
    room = console().width + _GAP - widths[0]
    start = 1
    while start < len(widths):
        end = start + 1
        while end < len(widths) and sum(widths[start : end + 1]) <= room:
            end += 1
        heading, *body = ([row[0], *row[start:end]] for row in cells)
        table = columns(heading[0], *(f"{name}*" for name in heading[1:]))
        for row in body:
            table.add_row(*row)
        yield table
        yield ""
        start = end


def _lost(result: Result) -> str:
    """Unknown where the workload has no key that must not be lost."""
    return f"{result.lost:,}" if any(one.lost is not None for one in result.namespaces) else "-"


def _share(share: float | None) -> str:
    return "-" if share is None else format_share(share)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}ms"
