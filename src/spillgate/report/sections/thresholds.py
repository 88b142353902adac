"""8: where memory stands against the levels, now and over time."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from spillgate.governor.history import Point
from spillgate.model import Level
from spillgate.policy.pressure import threshold
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import Block, Cell, Fact, Facts, Paragraph, Sample, Section, Timeline, Tone, say
from spillgate.report.past import Past
from spillgate.report.sections.shared import LEVEL_TONES, NO_LIMIT, marks, unknown_because
from spillgate.units import format_bytes, format_share

_MOST_SAMPLES = 240
_HEADROOM = 1.06  # the figure goes a little beyond the limit


def section(seen: Gathered) -> Section:
    """The thresholds."""
    blocks: list[Block] = []
    if seen.assessment is None:
        blocks.append(unknown_because(NO_LIMIT))
    else:
        blocks.append(Facts("now", tuple(_now(seen)), "Now"))
    past = seen.past
    if isinstance(past, Missing):
        blocks.append(Paragraph(say(f"Memory over time is not known: {past.reason}."), Tone.UNKNOWN))
    elif any(point.known for point in past.points):
        blocks.append(_timeline(seen, past))
    else:
        blocks.append(Paragraph(say("The history has no reading of this time."), Tone.UNKNOWN))
    return Section("thresholds", "Thresholds, and where it stands", tuple(blocks))


def _now(seen: Gathered) -> Iterator[Fact]:
    assessment = seen.assessment
    assert assessment is not None  # noqa: S101 - asked for where there is one
    used, limit = seen.reading.counted_bytes, assessment.limits.limit_bytes
    said = say(f"{format_bytes(used)}, {format_share(assessment.pressure)} of the limit")
    yield Fact(
        "used_bytes", "In use", Cell(said, used, LEVEL_TONES[assessment.level], f"level {assessment.level.label}")
    )
    for level in list(Level)[1:]:
        part = threshold(level, seen.policy.levels)
        left = round(part * limit) - used
        if left > 0:
            cell = Cell(say(f"{format_bytes(part * limit)}, {format_bytes(left)} from here"), left)
        else:
            cell = Cell(say(f"{format_bytes(part * limit)}, reached"), left, LEVEL_TONES[level])
        yield Fact(f"to_{level.label}_bytes", f"{level.label.capitalize()} at {format_share(part)}", cell)
    left = assessment.limits.ceiling_bytes - used
    where = f"{format_bytes(left)} from here" if left > 0 else "exceeded"
    yield Fact(
        "to_ceiling_bytes", "Ceiling", Cell(say(f"{format_bytes(assessment.limits.ceiling_bytes)}, {where}"), left)
    )
    past = seen.past
    if not isinstance(past, Missing) and (highest := past.highest) is not None:
        high = highest.high_bytes or 0
        said = f"{format_bytes(high)}, on {wording.when(highest.at_s)}"
        yield Fact(
            "highest_bytes", "Highest since then", Cell(say(said), high, note=f"since {wording.when(past.since_s)}")
        )


def _timeline(seen: Gathered, past: Past) -> Timeline:
    start = past.since_s
    every_s = max(past.every_s, (past.until_s - start) / _MOST_SAMPLES)
    samples = tuple(_thinned(past.points, start, every_s))
    highest = max((sample.high or 0.0 for sample in samples), default=0.0)
    limit = float(seen.assessment.limits.limit_bytes) if seen.assessment else 0.0
    known = [sample.used for sample in samples if sample.used is not None]
    caption = (
        f"From {wording.when(start)} to {wording.when(past.until_s)} memory was between {format_bytes(min(known))} and "
        f"{format_bytes(highest)}, at the end {format_bytes(known[-1])}. The line is what was in use at the end of "
        "each stretch, the band goes up to the most in it; where it breaks, nobody looked."
    )
    whole = max(limit, highest) * _HEADROOM or 1.0
    return Timeline(
        "over_time", samples, start, past.until_s, every_s, tuple(marks(seen)), whole, "Memory over time", caption
    )


def _thinned(points: Sequence[Point], start: float, every_s: float) -> Iterator[Sample]:
    """A sample for each stretch of time in which there are points."""
    for number, group in groupby(points, key=lambda point: int(max(0.0, point.at_s - start) // every_s)):
        within = list(group)
        known = [point for point in within if point.used_bytes is not None]
        last = known[-1] if known else None
        # A break in the middle of a stretch is one, too: the line ends there.
        broken = not within[-1].known
        highs = [point.high_bytes for point in known if point.high_bytes is not None]
        yield Sample(
            start + number * every_s,
            None if last is None else last.used_bytes,
            max(highs, default=None),
        )
        if broken and last is not None:
            yield Sample(within[-1].at_s, None, None)
