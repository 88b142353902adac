"""13: what was assumed, and what nobody knows."""

from collections.abc import Iterator

from spillgate.census.rows import shown
from spillgate.policy.capacity_risk import HIGH_SHARE, MEDIUM_SHARE
from spillgate.report import wording
from spillgate.report.gathering import REFERENCE_SCALES, Gathered, Missing
from spillgate.report.model import Block, Paragraph, Points, Section, Tone, Words, code, say
from spillgate.report.sections.shared import NO_LIMIT, exact
from spillgate.units import format_duration, format_share


def section(seen: Gathered) -> Section:
    """The assumptions."""
    blocks: list[Block] = [
        Paragraph(
            say(
                "Every number of this report was measured on this instance, or set in its policy, or follows from such "
                "numbers, unless it is marked as assumed. What is assumed is listed here."
            )
        ),
        Points("measured", tuple(_measured(seen)), "How it was measured"),
        Points("assumed", tuple(_assumed(seen)), "What was assumed"),
    ]
    unknown = tuple(_unknown(seen))
    if unknown:
        blocks.append(Points("unknown", unknown, "What is unknown"))
    else:
        blocks.append(Paragraph(say("Nothing that was asked for is unknown."), Tone.GOOD))
    return Section("assumptions", "Assumptions, and what is unknown", tuple(blocks))


def _measured(seen: Gathered) -> Iterator[Words]:
    took = format_duration(round(seen.seconds, 1))
    yield say(f"On {wording.when(seen.at_unix_s)}, in {took}, with {seen.commands:,} commands. Nothing was changed.")
    if not isinstance(seen.examination, Missing):
        survey = seen.examination.evidence.survey
        if exact(survey):
            yield say("Every key was looked at, once.")
        else:
            yield say("A sample of the keys was looked at; intervals are of 95 %, and hold for each number by itself.")
    if seen.request.growth_s:
        yield say(f"Memory was watched for {format_duration(seen.request.growth_s)}.")
    if seen.request.history:
        yield say(
            "What happened, and how memory grows, is what the governor wrote into ",
            code(str(seen.request.history)),
            ".",
        )


def _assumed(seen: Gathered) -> Iterator[Words]:
    yield say(
        f"Risks: up to {format_share(MEDIUM_SHARE)} of the limit is low, up to {format_share(HIGH_SHARE)} medium, more "
        "is high. These are the shares of a deployment of 25 MB, taken over for this one."
    )
    told: list[str] = []
    for capacity in (seen.capacity, seen.scenarios):
        if not isinstance(capacity, Missing):
            told += capacity.assumptions
    yield from (say(f"{shown(text)}.") for text in dict.fromkeys(told))
    if not isinstance(seen.scenarios, Missing):
        for name, counts in REFERENCE_SCALES.items():
            yield say(f"Risk {name}: {', '.join(f'{count:,} {what}' for what, count in counts.items())} at once.")
    if not isinstance(seen.past, Missing):
        yield say("Forecasts are judged by the thresholds of the policy as it is now, and for 5 seconds.")
    if not isinstance(seen.plan, Missing):
        yield say("Recommended TTLs assume that what comes is read and written as what was recorded.")


def _unknown(seen: Gathered) -> Iterator[Words]:
    if seen.assessment is None:
        yield say(f"Levels: {NO_LIMIT}.")
    parts = {
        "Keys, findings and practices": seen.examination,
        "Recommended TTLs": seen.plan,
        "Projections": seen.capacity,
        "Recordings of the cache library": seen.recording,
        "What happened": seen.past,
    }
    for name, part in parts.items():
        if isinstance(part, Missing):
            yield say(f"{name}: {shown(part.reason)}.")
    if isinstance(seen.examination, Missing):
        return
    for note in seen.examination.evidence.survey.notes:
        yield say(f"{shown(note)}.")
    for check, reason in seen.examination.diagnosis.unable.items():
        yield say(code(check), f" could not run: {shown(reason)}.")
