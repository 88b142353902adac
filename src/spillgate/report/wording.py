"""Numbers as a report writes them: each with its interval where it is an estimate, and "unknown" with the reason."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

from spillgate.model import Estimate
from spillgate.report.model import Cell, Tone, say
from spillgate.units import format_bytes, format_duration, format_share

DASH = "\N{EN DASH}"
"""Between the ends of an interval; alone, where there is nothing."""

_UNITS = ("KB", "MB", "GB", "B", "%")
Write = Callable[[float], str]


def unknown(reason: str = "") -> Cell:
    """A cell of what nobody knows, and why."""
    return Cell(say("unknown"), tone=Tone.UNKNOWN, note=reason.removeprefix("unknown: "))


def nothing(note: str = "") -> Cell:
    """A cell with nothing in it, because there is nothing."""
    return Cell(say(DASH), tone=Tone.MUTED, note=note)


def between(number: Estimate, write: Write) -> str:
    """A number with its interval: ``1.2MB (1.1 to 1.3)``; "or more" where there is no upper end."""
    shown = write(number.value)
    if number.is_exact:
        return shown
    low = write(number.low) if math.isfinite(number.low) else write(0)
    if not math.isfinite(number.high):
        return f"about {shown}" if low == write(0) else f"{shown} ({low} or more)"
    high = write(number.high)
    if low == high == shown:
        return shown
    unit = next((one for one in _UNITS if shown.endswith(one)), "")
    if unit and all(_has_unit(end, unit) for end in (low, high)):
        low, high = low.removesuffix(unit), high.removesuffix(unit)
    return f"{shown} ({low}{DASH}{high})"


def _has_unit(text: str, unit: str) -> bool:
    return text.endswith(unit) and text.removesuffix(unit)[-1:].isdigit()


def count(number: Estimate | None, reason: str = "", *, tone: Tone = Tone.PLAIN) -> Cell:
    """A cell of a number of keys or of anything that is counted."""
    if number is None:
        return unknown(reason)
    return Cell(say(between(number, lambda one: f"{one:,.0f}")), number.ends(), tone)


def size(number: Estimate | float | None, reason: str = "", *, tone: Tone = Tone.PLAIN) -> Cell:
    """A cell of a number of bytes."""
    if number is None:
        return unknown(reason)
    if not isinstance(number, Estimate):
        return Cell(say(format_bytes(number)), round(number), tone)
    return Cell(say(between(number, format_bytes)), number.ends(), tone)


def seconds(number: Estimate | float | None, reason: str = "") -> Cell:
    """A cell of a duration."""
    if number is None:
        return unknown(reason)
    if not isinstance(number, Estimate):
        return Cell(say(format_duration(number)), round(number, 3))
    return Cell(say(between(number, lambda one: format_duration(round(one)))), number.ends(1))


def share(number: Estimate | float | None, reason: str = "") -> Cell:
    """A cell of a share, 1 being the whole."""
    if number is None:
        return unknown(reason)
    if not isinstance(number, Estimate):
        return Cell(say(format_share(number)), round(number, 4))
    return Cell(say(between(number, format_share)), number.ends(4))


def when(at_unix_s: float) -> str:
    """A time of the wall clock, in UTC."""
    return f"{datetime.fromtimestamp(at_unix_s, UTC):%d %b %Y, %H:%M} UTC".lstrip("0")


def iso(at_unix_s: float) -> str:
    """The same as programs read it."""
    return f"{datetime.fromtimestamp(at_unix_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def several(number: int, one: str, many: str = "") -> str:
    """A number with its word: ``1 key``, ``2 keys``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
