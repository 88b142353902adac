"""From what was gathered to the document. Pure."""

from importlib import metadata

from spillgate.errors import mask_url
from spillgate.model import Level
from spillgate.policy.capacity import Risk
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import Cell, Fact, Report, Tone, say
from spillgate.report.risk import Judged, judge
from spillgate.report.sections import (
    assumptions,
    cleanup,
    emergency,
    findings,
    happened,
    memory,
    practices,
    projections,
    protection,
    setup,
    summary,
    thresholds,
    ttls,
)
from spillgate.report.sections.shared import LEVEL_TONES, NO_LIMIT, Rows
from spillgate.units import format_bytes, format_share

_VERSION = metadata.version("spillgate")


def compose(seen: Gathered) -> Report:
    """The whole report."""
    judged, rows = judge(seen), Rows.of(seen)
    assessment = seen.assessment
    level = assessment.level if assessment else None
    return Report(
        server=mask_url(seen.policy.server.url),
        at_unix_s=seen.at_unix_s,
        version=_VERSION,
        level=level.label if level is not None else "unknown",
        tone=LEVEL_TONES[level] if level is not None else Tone.UNKNOWN,
        headline=tuple(_headline(seen, judged)),
        sections=(
            summary.section(seen, judged),
            setup.section(seen),
            protection.section(seen, rows),
            cleanup.section(seen, rows),
            ttls.section(seen, rows),
            memory.section(seen, rows),
            projections.section(seen),
            thresholds.section(seen),
            findings.section(seen),
            practices.section(seen),
            happened.section(seen),
            emergency.section(seen, rows),
            assumptions.section(seen),
        ),
        alarmed=(level is not None and level >= Level.PREVENTIVE) or judged.risk is Risk.HIGH,
        unreachable=isinstance(seen.examination, Missing),
    )


def _headline(seen: Gathered, judged: Judged) -> list[Fact]:
    used = seen.reading.counted_bytes
    keys = seen.reading.keys
    told = [Fact("used_bytes", "In use", Cell(say(format_bytes(used)), used, note=_of(seen)))]
    if seen.assessment is not None:
        limits = seen.assessment.limits
        left = max(0, limits.ceiling_bytes - used)
        note = f"ceiling {format_bytes(limits.ceiling_bytes)}"
        told.append(Fact("available_bytes", "Free below the ceiling", Cell(say(format_bytes(left)), left, note=note)))
    told.append(Fact("risk", "Risk", _risk(judged)))
    told.append(Fact("keys", "Keys", Cell(say(f"{keys:,}"), keys) if keys is not None else wording.unknown("not told")))
    return told


def _of(seen: Gathered) -> str:
    if seen.assessment is None:
        return NO_LIMIT.partition(":")[0]
    return (
        f"{format_share(seen.assessment.pressure)} of the limit of {format_bytes(seen.assessment.limits.limit_bytes)}"
    )


def _risk(judged: Judged) -> Cell:
    if judged.risk is None:
        return wording.unknown(judged.reason)
    return Cell(say(judged.risk.value), judged.risk.value, judged.tone)
