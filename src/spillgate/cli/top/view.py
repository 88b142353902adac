"""Everything that can be shown, and the same in lines of a pipe."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from spillgate.census.rows import shown
from spillgate.cli.top.keys import Controls
from spillgate.cli.top.seen import Happened, Seen
from spillgate.drawing import or_unknown
from spillgate.units import format_bytes, format_duration, format_share


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the screen shows.

    ``columns`` is memory since ``since``, a column each, None where it is not known; ``evicted`` and ``refused`` are
    what came up since then. ``entries`` are of a governor's journal, oldest first, None where none is read. ``age_s``
    is how long ago the server was last read, ``pause_s`` how long until the next look.
    """

    seen: Seen | None
    controls: Controls
    at: str
    since: str
    pause_s: float
    age_s: float | None = None
    columns: Sequence[int | None] = ()
    column_s: float = 2.0
    evicted: int | None = None
    refused: int | None = None
    entries: Sequence[Happened] | None = None


def line_of(view: View) -> str:
    """Where things stand, in one line of a pipe."""
    seen = view.seen
    if seen is None or not seen.reachable or seen.used_bytes is None or seen.limit_bytes is None:
        why = seen.error if seen and seen.error else "nothing is known yet"
        return shown(f"{view.at} unreachable {why}")
    share = format_share(seen.used_bytes / seen.limit_bytes)
    memory = f"{format_bytes(seen.used_bytes)} of {format_bytes(seen.limit_bytes)} ({share})"
    line = (
        f"{view.at} {seen.level:<10} {memory:<24} {growth(seen)}, keys {or_unknown(seen.keys)}, "
        f"evicted {counted(seen.server.evicted_keys, view.evicted)}, "
        f"refused {counted(seen.server.refused_writes, view.refused)}"
    )
    return shown(f"{line}; {seen.error}" if seen.error else line)


def news_line(one: Happened) -> str:
    """An entry of the journal, in one line of a pipe."""
    return shown(f"{time_of(one)}   {one.event}: {one.message}")


def growth(seen: Seen) -> str:
    """How memory grows and when it will be full."""
    if seen.fill_bytes_s is None:
        return "growth unknown: it takes two looks"
    if not seen.fill_bytes_s or seen.time_to_limit_s is None:
        return "memory is not growing"
    return f"{format_bytes(seen.fill_bytes_s)}/s coming in, at the limit in {format_duration(seen.time_to_limit_s)}"


def counted(count: int | None, came: int | None) -> str:
    """A counter of the server, and by how much it rose while it was watched."""
    return or_unknown(count) if count is None or came is None else f"{count:,} (+{came:,})"


def time_of(one: Happened) -> str:
    """When it happened, by the clock on the wall."""
    return time.strftime("%H:%M:%S", time.localtime(one.at))
