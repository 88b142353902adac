"""Numbers with their intervals, as the checks put them together."""

import math
from collections.abc import Iterable, Sequence

from spillgate.model import Estimate
from spillgate.units import format_bytes

_LEAST_PAIRS = 2
_Z95 = 1.96
# A share of which no counter-example was seen in n draws is at most 3 / n off, with 95 % (the rule of three: Hanley and
# Lippman-Hand, Journal of the American Medical Association 249, 1983).
_RULE_OF_THREE = 3.0


def share(pairs: Iterable[tuple[float, float]], population: float | None = None) -> Estimate | None:
    """The sum of the parts over the sum of the wholes, of (part, whole) of keys drawn at random; None without any.

    ``population`` is how many there are to draw from: where all were drawn, the share is exact. The interval is that of
    the ratio estimator (Cochran, Sampling Techniques, 3rd edition, section 6.3).
    """
    drawn: Sequence[tuple[float, float]] = tuple(pairs)
    count, whole = len(drawn), math.fsum(x for _, x in drawn)
    if not whole:
        return None
    value = math.fsum(y for y, _ in drawn) / whole
    unseen = max(0.0, 1 - count / population) if population else 1.0
    if not unseen:
        return Estimate.exact(value)
    if count < _LEAST_PAIRS:
        return Estimate(value, 0.0, 1.0)
    squares = math.fsum((y - value * x) ** 2 for y, x in drawn)
    t = _Z95 + 2.4 / (count - 1)
    half = t * math.sqrt(unseen * squares * count / (count - 1)) / whole
    if value in {0.0, 1.0}:
        half = _RULE_OF_THREE * math.fsum(x * x for _, x in drawn) / whole / whole * unseen
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def times(one: Estimate, other: Estimate) -> Estimate:
    """The product of two numbers that are not negative; its interval holds every product of what they may be."""
    high = one.high * other.high if one.high and other.high else 0.0  # not infinity times 0
    return Estimate(one.value * other.value, one.low * other.low, high)


def scaled(number: Estimate, factor: float) -> Estimate:
    """A number times one that is known."""
    return Estimate(number.value * factor, number.low * factor, number.high * factor)


def added(numbers: Iterable[Estimate]) -> Estimate:
    """The sum of independent numbers: distances to the ends add as the sides of a right angle do (MOVER)."""
    parts = tuple(numbers)
    value = math.fsum(part.value for part in parts)
    low = math.hypot(*(part.value - part.low for part in parts))
    high = math.hypot(*(part.high - part.value for part in parts))
    return Estimate(value, max(0.0, value - low), value + high)


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
