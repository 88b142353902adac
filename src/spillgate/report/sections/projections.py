"""7: what memory will be, as it grows and with more of everything."""

import math
from collections.abc import Iterator
from dataclasses import replace

from spillgate.census.rows import shown
from spillgate.model import Estimate
from spillgate.policy.capacity import Capacity, Feature, Projection, Risk
from spillgate.policy.capacity_risk import HIGH_SHARE, MEDIUM_SHARE
from spillgate.report import wording
from spillgate.report.gathering import REFERENCE_SCALES, Gathered, Missing
from spillgate.report.model import (
    Bar,
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Section,
    Table,
    Words,
    code,
    say,
    strong,
)
from spillgate.report.risk import TONES
from spillgate.report.sections.shared import LEVEL_TONES, marks, unknown_because
from spillgate.units import format_bytes, format_duration, format_share

_FEATURES = (
    Column("name", "Feature"),
    Column("bytes_per_object", "One object", numeric=True),
    Column("growth_keys_day", "Grows by, keys a day", numeric=True),
    Column("growth_bytes_day", "Bytes a day", numeric=True),
    Column("more_fit", "So many more fit", numeric=True),
)
_SCALES = (
    Column("name", "With"),
    Column("bar", ""),
    Column("bytes", "Memory", numeric=True),
    Column("level", "Level then"),
    Column("risk", "Risk"),
    Column("plan_bytes", "Smallest plan", numeric=True),
)
_RISKS = (
    Column("risk", "Risk"),
    Column("when", "When"),
    Column("memory_bytes", "Memory", numeric=True),
    Column("projected_bytes", "Projected here", numeric=True),
    Column("answer", "Answer"),
)
_ANSWERS = {
    Risk.LOW: "none needed",
    Risk.MEDIUM: "preventive cleanup, shorter TTLs",
    Risk.HIGH: "emergency cleanup, aggressive TTLs, a larger plan",
}
_WHEN = {
    Risk.LOW: "5 to 50 users at once, under 1,000 messages a day, light voice",
    Risk.MEDIUM: "50 to 100 users, 5,000 and more messages a day, frequent voice commands",
    Risk.HIGH: "over 100 users at once, message flooding, continuous voice",
}
_MOST_FEATURES = 20


def section(seen: Gathered) -> Section:
    """The projections."""
    capacity = seen.capacity
    blocks: list[Block] = []
    if isinstance(capacity, Missing):
        blocks.append(unknown_because(capacity.reason))
    else:
        features = tuple(map(_feature, capacity.features[:_MOST_FEATURES]))
        blocks += [
            Facts("growth", tuple(_growth(seen, capacity)), "Growth"),
            Table("features", _FEATURES, features, "By feature", _fit(capacity)),
            _scales(seen, capacity.projections, "scales", "With more of everything"),
        ]
    if not isinstance(seen.scenarios, Missing) and seen.scenarios.projections:
        blocks.append(
            _scales(seen, seen.scenarios.projections, "scenarios", "With the users and messages of each risk")
        )
    blocks.append(Table("risks", _RISKS, tuple(_risks(seen)), "Risks", _RISK_NOTE))
    return Section("projections", "Projections", tuple(blocks))


_RISK_NOTE = say(
    "Shares of the limit, activity and objects at once are assumptions. What they would take here goes by the objects "
    "that are here, or by the sizes that section 13 lists."
)


def _fit(capacity: Capacity) -> Words:
    said = "So many more fit below the preventive level while everything else stays as it is."
    if all(feature.growth_keys_day is None for feature in capacity.features):
        why = next((one.growth_reason for one in capacity.features), "").removeprefix("unknown: ")
        said += f" Growth is unknown: {why}." if why else ""
    return say(said)


def _growth(seen: Gathered, capacity: Capacity) -> Iterator[Fact]:
    grows = wording.size(capacity.growth_bytes_day, capacity.growth_reason)
    if capacity.growth_bytes_day is not None:
        grows = Cell((*grows.words, *say(" a day")), grows.value, grows.tone, capacity.growth_reason)
    yield Fact("growth_bytes_day", "Memory grows by", grows)
    yield Fact("watched_bytes_s", "While it was watched", _watched(seen))
    for level, left in capacity.time_to.items():
        reason = capacity.time_to_reason.get(level, "")
        cell = wording.seconds(left, reason)
        if left is not None and not left.value:
            cell = Cell(say("reached"), 0, LEVEL_TONES[level])
        yield Fact(f"time_to_{level.label}_s", f"Time to {level.label}", cell)


def _watched(seen: Gathered) -> Cell:
    """How memory grew while the report was made: of the moment alone."""
    if isinstance(seen.examination, Missing):
        return wording.unknown(seen.examination.reason)
    evidence = seen.examination.evidence
    rate = evidence.growth_bytes_s
    if rate is None:
        return wording.unknown(evidence.reasons.get("growth_bytes_s", ""))
    note = f"for {format_duration(seen.request.growth_s)}, which says nothing about a day"
    return Cell(say(f"{wording.between(rate, format_bytes)} a second"), rate.ends(1), note=note)


def _feature(feature: Feature) -> tuple[Cell, ...]:
    assumed = feature.more_fit is not None and feature.bytes_per_object is None
    return (
        Cell(say(code(shown(feature.name))), feature.name),
        wording.size(feature.bytes_per_object, "no keys, or no sizes"),
        wording.count(feature.growth_keys_day),
        wording.size(feature.growth_bytes_day),
        replace(wording.count(feature.more_fit, "no limit is known"), assumed=assumed),
    )


def _scales(seen: Gathered, projections: tuple[Projection, ...], key: str, title: str) -> Table:
    limit = seen.assessment.limits.limit_bytes if seen.assessment else 0
    tops = [_end(projection.bytes) for projection in projections]
    most = max([float(limit), *tops])
    named = zip(projections, REFERENCE_SCALES, strict=False) if key == "scenarios" else ()
    names = {one.name: name for one, name in named}
    lines = tuple((mark.tone, mark.bytes) for mark in marks(seen) if mark.tone != "ceiling")
    return Table(
        key,
        _SCALES,
        tuple(_scale(one, names.get(one.name, one.name), most, lines) for one in projections),
        title,
        say(
            "The smallest plan is the one that holds it below the preventive level. Lines in bars are levels and limit."
        ),
    )


def _end(size: Estimate) -> float:
    return size.high if math.isfinite(size.high) else size.value


def _scale(one: Projection, name: str, most: float, lines: tuple[tuple[str, float], ...]) -> tuple[Cell, ...]:
    assumed = name != one.name  # named after what is assumed
    level = wording.unknown("no limit is known")
    if one.level is not None:
        level = Cell(say(one.level.label), one.level.label, LEVEL_TONES[one.level])
    # The planner says None in place of a risk where no limit is known.
    risk: Risk | None = one.risk
    judged = wording.unknown("no limit is known")
    if risk is not None:
        judged = Cell(say(risk.value), risk.value, TONES[risk], one.reason)
    return (
        Cell(say(strong(shown(name))), dict(one.scale), note=shown(one.name) if assumed else "", assumed=assumed),
        Cell((), bar=Bar(one.bytes.value, one.bytes.low, _end(one.bytes), most, lines)),
        wording.size(one.bytes),
        level,
        judged,
        wording.size(one.plan_bytes),
    )


def _risks(seen: Gathered) -> Iterator[tuple[Cell, ...]]:
    limit = seen.assessment.limits.limit_bytes if seen.assessment else None
    bounds = (0.0, MEDIUM_SHARE, HIGH_SHARE, 1.0)
    projected: tuple[Projection, ...] = () if isinstance(seen.scenarios, Missing) else seen.scenarios.projections
    for number, risk in enumerate(Risk):
        low, high = bounds[number], bounds[number + 1]
        shares = f"{format_share(low)} to {format_share(high)} of the limit"
        memory = Cell(say(shares), [low, high], assumed=True)
        if limit is not None:
            words = f"{format_bytes(low * limit)} to {format_bytes(high * limit)}"
            memory = Cell(say(words), [round(low * limit), round(high * limit)], note=shares, assumed=True)
        there = wording.size(projected[number].bytes) if number < len(projected) else _elsewhere(seen)
        when = _WHEN[risk] if projected else "as far as the limit goes"
        yield (
            Cell(say(risk.value), risk.value, TONES[risk]),
            Cell(say(when), when, assumed=bool(projected)),
            memory,
            there,
            Cell(say(_ANSWERS[risk]), _ANSWERS[risk]),
        )


def _elsewhere(seen: Gathered) -> Cell:
    return wording.unknown(seen.scenarios.reason if isinstance(seen.scenarios, Missing) else "")
