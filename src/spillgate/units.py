"""Sizes, durations and shares: read once at the edge, bytes, seconds and fractions inside.

Sizes are powers of 1024, as the server counts them. A formatted value can be parsed again, and then formats to the
same text; it carries one decimal (durations: two units), so it is for people and not for arithmetic.
"""

import math
import re
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

from spillgate.errors import UnitError

_BYTES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_SECONDS = {"d": Decimal(86_400), "h": Decimal(3_600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}

# More digits than these are a mistake, and would overflow further on.
_NUMBER = r"\d{1,15}(?:\.\d{1,15})?"
_SIZE = re.compile(rf"({_NUMBER}) ?(B|KB|MB|GB)|(\d{{1,18}})", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|[dhms]))+", re.ASCII)
_DURATION_PART = re.compile(rf"({_NUMBER})(ms|[dhms])", re.ASCII)
_SHARE = re.compile(rf"({_NUMBER})(%?)", re.ASCII)


def parse_bytes(value: object) -> int:
    """Return the bytes in ``"25MB"``, ``"256KB"``, ``"1.5GB"``, ``"512B"`` or a plain whole number.

    Units are case-insensitive; a fraction of a byte is rounded. Raises `UnitError`.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise unreadable('a size such as "25MB" or "256KB", or a whole number of bytes', value)
    number, unit, plain = match.groups()
    return int(plain) if plain else round(Decimal(number) * _BYTES[unit.upper()])


def format_bytes(size: float) -> str:
    """Return ``size`` in bytes as ``"1.2MB"``, ``"23MB"`` or ``"-3KB"``: in the largest unit that gives 1 or more."""
    text = ""
    for unit, factor in _BYTES.items():
        shown = _one_decimal(Decimal(size) / factor) if factor > 1 else Decimal(round(size))
        text = f"{shown}{unit}"
        if abs(shown) < 1024:  # noqa: PLR2004 (the factor between units)
            break
    return text


def parse_duration(value: object) -> float:
    """Return the seconds in ``"100ms"``, ``"30s"``, ``"15m"``, ``"1h30m"`` or ``"2d"``.

    Units descend and none comes twice. A bare number is refused, for it might be seconds or milliseconds.
    Raises `UnitError`.
    """
    parts = _DURATION_PART.findall(value) if isinstance(value, str) and _DURATION.fullmatch(value) else []
    sizes = [_SECONDS[unit] for _, unit in parts]
    if not parts or any(later >= earlier for earlier, later in pairwise(sizes)):
        raise unreadable('a duration such as "100ms", "30s", "15m", "1h30m" or "2d"', value)
    return float(sum(Decimal(number) * _SECONDS[unit] for number, unit in parts))


def format_duration(seconds: float) -> str:
    """Return ``seconds`` as ``"100ms"``, ``"1.5s"``, ``"15m"``, ``"1h30m"``: the two largest units from a minute up."""
    exact = abs(Decimal(seconds))
    sign = "-" if seconds < 0 else ""
    milliseconds = _one_decimal(exact * 1000)
    if milliseconds == 0:
        return "0s"
    if milliseconds < 1000:  # noqa: PLR2004 (a second)
        return f"{sign}{milliseconds}ms"
    if (shown := _one_decimal(exact)) < _SECONDS["m"]:
        return f"{sign}{shown}s"
    for (large, large_size), (small, small_size) in pairwise(_SECONDS.items()):
        count = int((exact / small_size).quantize(Decimal(1), ROUND_HALF_UP))
        whole, rest = divmod(count, int(large_size / small_size))
        if whole:
            return f"{sign}{whole}{large}{f'{rest}{small}' if rest else ''}"
    return f"{sign}1m"


def parse_share(value: object) -> float:
    """Return the fraction between 0 and 1 in ``"80%"``, ``"0.8"`` or ``0.8``. Raises `UnitError`."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    match = _SHARE.fullmatch(value) if isinstance(value, str) else None
    share = Decimal(match[1]) / (100 if match[2] else 1) if match else None
    if share is None or share > 1:
        raise unreadable('a share such as "80%" or 0.8, at most 100%', value)
    return float(share)


def format_share(share: float) -> str:
    """Return ``share`` (1.0 is the whole) as ``"4.8%"`` or ``"80%"``."""
    return f"{_one_decimal(Decimal(share) * 100)}%"


def _one_decimal(number: Decimal) -> Decimal:
    """Round to one decimal, without a trailing ``.0``."""
    rounded = number.quantize(Decimal("0.1"), ROUND_HALF_UP)
    return rounded if rounded % 1 else Decimal(int(rounded))


def unreadable(expected: str, given: object) -> UnitError:
    """Return the error that says what was ``expected`` and what was ``given``, as a policy file would write it."""
    shown = f'"{given}"' if isinstance(given, str) else str(given).lower() if isinstance(given, bool) else given
    return UnitError(f"expected {expected}, got {shown}")


def rounded(number: float, digits: int = 0) -> float | None:
    """A number in a document; None where there is none, as for an end of an interval that is not known."""
    return round(number, digits or None) if math.isfinite(number) else None
