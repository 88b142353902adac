"""Numbers with their intervals, as the checks put them together."""

import math
from collections.abc import Iterable, Sequence

from spillgate.model import Estimate
from spillgate.units import format_bytes

_Z95 = 1.96


def share(pairs: Iterable[tuple[float, float]], population: float | None = None) -> Estimate | None:
    """The sum of the parts over the sum of the wholes, of (part, whole) of keys drawn at random; None without any.

    ``population`` is how many there are to draw from: where all were drawn, the share is exact. Else the interval is
    Wilson's (Journal of the American Statistical Association 22, 1927) for as many draws as these are worth: fewer
    where the wholes are unequal (Kish, Survey Sampling, 1965, section 11.7), more where the parts differ less than all
    and nothing do.
    """
    drawn: Sequence[tuple[float, float]] = tuple(pairs)
    count, whole = len(drawn), math.fsum(x for _, x in drawn)
    if not whole:
        return None
    value = math.fsum(y for y, _ in drawn) / whole
    unseen = max(0.0, 1 - count / population) if population else 1.0
    if not unseen:
        return Estimate.exact(value)
    squares = math.fsum(x * x for _, x in drawn)
    most = value * (1 - value) * squares
    differ = math.fsum((y - value * x) ** 2 for y, x in drawn) / most if most else 1.0
    differ = (count * differ + 1) / (count + 1)  # as if one more had been seen, which differs as much as can be
    t = _Z95 + 2.4 / max(1, count - 1)
    tt = t * t * differ * unseen * squares / whole / whole
    middle, half = value + tt / 2, math.sqrt(tt * value * (1 - value) + tt * tt / 4)
    return Estimate(value, max(0.0, (middle - half) / (1 + tt)), min(1.0, (middle + half) / (1 + tt)))


def times(one: Estimate, other: Estimate) -> Estimate:
    """The product of two numbers that are not negative; its interval holds every product of what they may be."""
    high = one.high * other.high if one.high and other.high else 0.0  # not infinity times 0
    return Estimate(one.value * other.value, one.low * other.low, high)


def scaled(number: Estimate, factor: float) -> Estimate:
    """A number times one that is known."""
    return Estimate(number.value * factor, number.low * factor, number.high * factor)


def count(number: Estimate) -> str:
    """A number of keys in words: ``4,000``, or ``about 4,000 (3,900 to 4,100)``."""
    if number.is_exact:
        return f"{number.value:,.0f}"
    return f"about {number.value:,.0f} ({number.low:,.0f} to {_end(f'{number.high:,.0f}', number.high)})"


def size(number: Estimate) -> str:
    """A number of bytes in words: ``1.2MB``, or ``about 1.2MB (1.1MB to 1.3MB)``."""
    shown = format_bytes(number.value)
    if number.is_exact:
        return shown
    high = "more" if math.isinf(number.high) else format_bytes(number.high)
    return f"about {shown} ({format_bytes(number.low)} to {high})"


def _end(text: str, high: float) -> str:
    return "more" if math.isinf(high) else text


def median(values: Iterable[float]) -> float | None:
    """The value in the middle, None without any."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None
