"""The part of the screen that is scrolled: namespaces, the journal, or help. Pure."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from spillgate.census.rows import shown
from spillgate.cli.top.keys import HELP, Sort
from spillgate.cli.top.seen import Ends, Happened, Namespace, Seen
from spillgate.cli.top.table import Column, table
from spillgate.cli.top.view import View, time_of
from spillgate.drawing import bytes_in_words, count_in_words
from spillgate.units import format_bytes, format_share

ALARMING = "bold red"

_OTHERS = "(no namespace)"
_LEAST_WORDS = 20


@dataclass(frozen=True, slots=True)
class Body:
    """What is scrolled, under a heading that is not."""

    heading: list[Text]
    lines: list[Text]


def body_of(view: View, width: int, *, plain: bool) -> Body:
    """What the controls ask for."""
    if view.controls.help:
        return _help(view.seen, width)
    if view.controls.journal and view.entries is not None:
        return Body([Text("journal, the latest first", style="dim")], [entry(one) for one in reversed(view.entries)])
    if view.controls.journal:
        return Body([], [Text("no journal is read here: --from ADDRESS reads that of a running governor")])
    return _namespaces(view, width, plain=plain)


def _namespaces(view: View, width: int, *, plain: bool) -> Body:
    seen = view.seen
    if seen is None or (seen.limit_bytes is None and not seen.namespaces):
        return Body([], [])
    rows = _rows(seen, view.controls.sort)
    shares = [one.bytes.value / seen.limit_bytes if one.bytes and seen.limit_bytes else None for one in rows]
    heading, *lines = table(_columns(rows, shares, view.controls.sort, plain=plain), width, bars=shares, plain=plain)
    if not seen.namespaces:
        lines += [Text(), Text("no policy names what may go; spillgate census shows what there is")]
    return Body([heading], lines)


def _rows(seen: Seen, sort: Sort) -> list[Namespace]:
    """In order, and last the keys that are in none."""
    rows = sorted(seen.namespaces, key=_ORDERS[sort])
    others = seen.unregistered_keys
    if others is None or others.high != 0 or not rows:
        rows.append(Namespace(_OTHERS, "never", keys=others, bytes=seen.unregistered_bytes))
    return rows


def _columns(rows: Sequence[Namespace], shares: Sequence[float | None], sort: Sort, *, plain: bool) -> list[Column]:
    def counts(of: Callable[[Namespace], Ends | None]) -> list[str]:
        return [_words(of(one), count_in_words, plain=plain) for one in rows]

    sizes = [_words(one.bytes, bytes_in_words, plain=plain) for one in rows]
    budgets = [_budget(one) for one in rows]
    columns = [
        Column("namespace", [shown(one.name) for one in rows], left=True, sorted=sort is Sort.NAME),
        Column("memory", sizes, sorted=sort is Sort.MEMORY, styles=[ALARMING if _over(one) else "" for one in rows]),
        Column("of limit", ["" if one is None else format_share(one) for one in shares], drop=3),
        Column("keys", counts(lambda one: one.keys), sorted=sort is Sort.KEYS, drop=5),
        Column("no TTL", counts(lambda one: one.no_ttl), sorted=sort is Sort.NO_TTL, drop=2),
        Column("cleanup", [_cleanup(one) for one in rows], left=True, sorted=sort is Sort.CLEANUP, drop=4),
    ]
    return [*columns, Column("budget", budgets, drop=1)] if any(budgets) else columns


def _budget(one: Namespace) -> str:
    if one.budget_bytes is None:
        return ""
    return f"{'over ' if _over(one) else ''}{format_bytes(one.budget_bytes)}"


def _over(one: Namespace) -> bool:
    """Whether a namespace holds more than its budget."""
    return bool(one.budget_bytes and one.bytes and one.bytes.value > one.budget_bytes)


def _words(ends: Ends | None, write: Callable[..., str], *, plain: bool) -> str:
    text = write(ends.estimate if ends else None)
    return text.replace("±", "+-") if plain else text


def _cleanup(one: Namespace) -> str:
    return one.cleanup if one.priority is None else f"{one.priority} {one.cleanup}"


def _weight(ends: Ends | None) -> float:
    """For an order in which the heaviest come first, and what is not known last."""
    return 1.0 if ends is None else -ends.value


_ORDERS: Mapping[Sort, Callable[[Namespace], tuple[float | str, ...]]] = {
    Sort.MEMORY: lambda one: (_weight(one.bytes), _weight(one.keys)),
    Sort.KEYS: lambda one: (_weight(one.keys),),
    Sort.NO_TTL: lambda one: (_weight(one.no_ttl),),
    Sort.CLEANUP: lambda one: (float("inf") if one.priority is None else float(one.priority),),
    Sort.NAME: lambda one: (one.name,),
}


def entry(one: Happened) -> Text:
    """An entry of the journal."""
    style = ALARMING if one.event in {"alarm", "error"} else ""
    return Text.assemble((f"{time_of(one)} ", "dim"), (f"{shown(one.event)}: {shown(one.message)}", style))


def _help(seen: Seen | None, width: int) -> Body:
    column = max(len(key) for key, _ in HELP) + 2
    lines = [line for key, what in HELP for line in _hanging(key, what, column, width)]
    missing = seen.missing if seen else None
    if missing:
        lines += [Text(), Text("What this server or plan does not allow, and what that costs:", style="bold")]
        lines += [line for cost in missing for line in _hanging("-", shown(cost), 2, width)]
    elif missing is not None:
        lines += [Text(), Text("This server allows everything that Spillgate makes use of.")]
    return Body([Text()], lines)


def _hanging(label: str, text: str, column: int, width: int) -> Iterator[Text]:
    """``text`` from a column on, in as many lines as it takes, with a label before it."""
    for number, line in enumerate(textwrap.wrap(text, max(_LEAST_WORDS, width - column))):
        yield Text.assemble((f"{'' if number else label:<{column}}", "bold"), line)
