"""How fast something grows, from what was read of it over time. Pure.

The slope is the median of the slopes between any two readings (Theil, 1950; Sen, Journal of the American Statistical
Association 63, 1968), which a cleanup, a restart or a burst here and there does not change. Its 95 % interval is made
of the order statistics of those slopes (Sen, by Kendall's variance), with the variance enlarged where a reading
resembles the one before it, as memory does (by the lag-1 autocorrelation r of the residuals: (1 + r) / (1 - r); Hamed
and Rao, Journal of Hydrology 204, 1998).

Readings are gathered into blocks first, of which the median counts. From two days of history on the blocks are hours,
and only the same hours of different days are held against each other (Hirsch, Slack and Smith, Water Resources Research
18, 1982): a daily cycle is no growth. From less history the two cannot be told apart, so then nothing is said about the
time beyond as much again.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from spillgate.model import Estimate
from spillgate.units import format_duration

HOUR_S, DAY_S = 3600.0, 86_400.0
_LEAST_READINGS, _LEAST_S = 8, 1800.0
_LEAST_BLOCKS, _BLOCKS = 6, 24
_CYCLE_S = 2 * DAY_S
_REACH = 10.0  # times the history, from two days on
_Z95 = 1.96
_MOST_RESEMBLANCE = 0.8

Reading = tuple[float, float]
"""When, in seconds, and how much."""


@dataclass(frozen=True, slots=True)
class Trend:
    """How something has grown. ``per_day`` is None where it is unknown, for the ``reason``.

    ``reach_s`` is how far ahead that may be carried on, ``note`` what it does not tell.
    """

    per_day: Estimate | None
    reason: str
    reach_s: float = 0.0
    note: str = ""

    @property
    def grows(self) -> bool:
        """Whether it surely grows: the whole interval is above 0."""
        return self.per_day is not None and self.per_day.low > 0


def trend(readings: Sequence[Reading]) -> Trend:
    """The growth of what was read, oldest first."""
    if len(readings) < _LEAST_READINGS:
        some = f"{len(readings)} reading{'s' if len(readings) != 1 else ''}" if readings else "no reading"
        return Trend(None, f"unknown: {some} in the history, and it takes {_LEAST_READINGS}")
    span_s = readings[-1][0] - readings[0][0]
    if span_s < _LEAST_S:
        return Trend(None, f"unknown: the history is {format_duration(span_s)} long, and it takes half an hour")
    cyclic = span_s >= _CYCLE_S
    blocks = _blocks(readings, HOUR_S if cyclic else span_s / _BLOCKS)
    if len(blocks) < _LEAST_BLOCKS:
        return Trend(None, "unknown: nobody looked for most of the history")
    slope = _slope(_by_hour(blocks) if cyclic else [blocks])
    if slope is None:
        return Trend(None, "unknown: what was read varies too much to tell")
    per_day = Estimate(slope.value * DAY_S, slope.low * DAY_S, slope.high * DAY_S)
    reach_s = span_s * _REACH if cyclic else span_s
    note = "" if cyclic else f"{format_duration(round(span_s))} of history cannot tell a daily cycle from growth"
    return Trend(per_day, _words(per_day), reach_s, note)


def _words(per_day: Estimate) -> str:
    if per_day.low > 0:
        return "growing"
    return "shrinking" if per_day.high < 0 else "not growing"


def _blocks(readings: Sequence[Reading], length_s: float) -> list[Reading]:
    """The median of each block of time that anything was read in, at its middle."""
    first = readings[0][0] // length_s * length_s if length_s == HOUR_S else readings[0][0]
    found: dict[int, list[float]] = {}
    for at_s, value in readings:
        found.setdefault(int((at_s - first) / length_s), []).append(value)
    return [(first + (number + 0.5) * length_s, statistics.median(values)) for number, values in sorted(found.items())]


def _by_hour(blocks: Sequence[Reading]) -> list[list[Reading]]:
    """The blocks of each hour of the day."""
    found: dict[int, list[Reading]] = {}
    for block in blocks:
        found.setdefault(int(block[0] % DAY_S // HOUR_S), []).append(block)
    return list(found.values())


def _slope(seasons: Sequence[Sequence[Reading]]) -> Estimate | None:
    """The median slope a second of what is comparable, with its interval; None where that has no ends."""
    slopes = sorted(slope for points in seasons for slope in _slopes(points))
    if not slopes:
        return None
    value = statistics.median(slopes)
    start_s = min(points[0][0] for points in seasons)
    residuals: list[Reading] = []
    for points in seasons:
        rest = [(at_s, y - value * (at_s - start_s)) for at_s, y in points]
        usual = statistics.median(y for _, y in rest)
        residuals += [(at_s, y - usual) for at_s, y in rest]
    resemblance = _resemblance([y for _, y in sorted(residuals)])
    counts = [len(points) for points in seasons]
    variance = sum(count * (count - 1) * (2 * count + 5) / 18 for count in counts)
    off = _Z95 * math.sqrt(variance * (1 + resemblance) / (1 - resemblance))
    low, high = math.floor((len(slopes) - off) / 2) - 1, math.ceil((len(slopes) + off) / 2)
    if low < 0 or high >= len(slopes):
        return None
    return Estimate(value, slopes[low], slopes[high])


def _slopes(points: Sequence[Reading]) -> list[float]:
    return [
        (later - earlier) / (after_s - before_s)
        for number, (before_s, earlier) in enumerate(points)
        for after_s, later in points[number + 1 :]
    ]


def _resemblance(residuals: Sequence[float]) -> float:
    """How much a residual is like the one before it, between 0 and a most."""
    whole = math.fsum(one * one for one in residuals)
    if not whole:
        return 0.0
    like = math.fsum(one * after for one, after in pairwise(residuals)) / whole
    return min(_MOST_RESEMBLANCE, max(0.0, like))


def time_to(distance: float, growth: Trend) -> tuple[Estimate | None, str]:
    """Seconds until ``distance`` more is there, or why that cannot be told."""
    if distance <= 0:
        return Estimate.exact(0), "there already"
    if growth.per_day is None:
        return None, growth.reason
    per_day = growth.per_day
    if not growth.grows:
        return None, growth.reason
    found = Estimate(*(distance / rate * DAY_S for rate in (per_day.value, per_day.high, per_day.low)))
    if found.low > growth.reach_s:
        return None, f"not within {format_duration(round(growth.reach_s))}: further the history does not reach"
    return found, "at the growth of the history"
