"""1: where it stands, how great the risk is, and what to do first."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from spillgate.census.rows import shown
from spillgate.config import Cleanup
from spillgate.model import Estimate, Level
from spillgate.policy.findings import Finding, Severity
from spillgate.policy.ttl import Advice, Confidence
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import (
    Block,
    Cell,
    Fact,
    Facts,
    Paragraph,
    Points,
    Section,
    Tone,
    Words,
    code,
    listed,
    say,
    strong,
)
from spillgate.report.risk import Judged
from spillgate.report.sections.shared import LEVEL_TONES, NO_LIMIT, total
from spillgate.units import format_bytes, format_duration, format_share

_MOST = 3
_BELIEVED = (Confidence.HIGH, Confidence.MEDIUM)


def section(seen: Gathered, judged: Judged) -> Section:
    """The summary."""
    things = tuple(_things(seen))
    blocks: list[Block] = [
        Facts("status", (_level(seen), _risk(judged), _memory(seen), _growth(seen), _findings(seen))),
    ]
    if things:
        blocks.append(Points("to_do", things, "The most valuable things to do", ordered=True))
    else:
        blocks.append(Paragraph(say("Nothing was found that would be worth doing."), Tone.GOOD))
    return Section("summary", "Summary", tuple(blocks))


def _level(seen: Gathered) -> Fact:
    assessment = seen.assessment
    if assessment is None:
        return Fact("level", "Level", wording.unknown(NO_LIMIT))
    return Fact(
        "level",
        "Level",
        Cell(
            say(strong(assessment.level.label)),
            assessment.level.label,
            LEVEL_TONES[assessment.level],
            f"{assessment.reason}, measured for this report",
        ),
    )


def _risk(judged: Judged) -> Fact:
    if judged.risk is None:
        return Fact("risk", "Risk", wording.unknown(judged.reason))
    return Fact("risk", "Risk", Cell(say(strong(judged.risk.value)), judged.risk.value, judged.tone, judged.reason))


def _memory(seen: Gathered) -> Fact:
    used, assessment = seen.reading.counted_bytes, seen.assessment
    if assessment is None:
        return Fact("memory", "Memory", Cell(say(f"{format_bytes(used)} in use"), used))
    limits = assessment.limits
    left = max(0, limits.ceiling_bytes - used)
    return Fact(
        "memory",
        "Memory",
        Cell(
            say(
                f"{format_bytes(used)} of {format_bytes(limits.limit_bytes)} ({format_share(assessment.pressure)}), "
                f"{format_bytes(left)} free below the ceiling of {format_bytes(limits.ceiling_bytes)}"
            ),
            used,
        ),
    )


def _growth(seen: Gathered) -> Fact:
    capacity = seen.capacity
    if isinstance(capacity, Missing):
        return Fact("time_to_preventive", "Time to preventive", wording.unknown(capacity.reason))
    reason = capacity.time_to_reason.get(Level.PREVENTIVE, "")
    return Fact("time_to_preventive", "Time to preventive", wording.seconds(capacity.time_to[Level.PREVENTIVE], reason))


def _findings(seen: Gathered) -> Fact:
    done = seen.examination
    if isinstance(done, Missing):
        return Fact("findings", "Findings", wording.unknown(done.reason))
    counts = {one.label: done.count(one) for one in reversed(Severity) if done.count(one)}
    worst = done.diagnosis.worst
    tone = Tone.GOOD if worst is None or worst < Severity.MEDIUM else Tone.BAD if worst >= Severity.HIGH else Tone.WATCH
    total = sum(counts.values())
    unable = len(done.diagnosis.unable)
    words = ", ".join(f"{number} {label}" for label, number in counts.items())
    return Fact(
        "findings",
        "Findings",
        Cell(
            say(f"{total}: {words}" if total else "none"),
            counts,
            tone,
            f"{wording.several(unable, 'check')} could not run" if unable else "",
        ),
    )


@dataclass(frozen=True, slots=True)
class _Thing:
    """Something worth doing: how badly, and the bytes that it wins."""

    urgency: int
    wins: float
    words: Words


def _things(seen: Gathered) -> Iterator[Words]:
    """What is worth most: what is worst first, then what wins most bytes."""
    found = [*_now(seen), *_of_findings(seen), *_of_ttls(seen), *_of_setup(seen)]
    found.sort(key=lambda thing: (-thing.urgency, -thing.wins))
    yield from (thing.words for thing in found[:_MOST])


def _now(seen: Gathered) -> Iterator[_Thing]:
    """Cleaning up, where that cannot wait and there is something that may go."""
    if seen.assessment is None or seen.assessment.level < Level.EMERGENCY or not seen.policy.namespaces:
        return
    level = seen.assessment.level.label
    yield _Thing(
        Severity.CRITICAL,
        math.inf,
        (
            *say(strong("Clean up now"), ": "),
            *say(code(seen.request.deployment.command("cleanup", "--level", level, "--dry-run"))),
            *say(" shows what would go; section 12 has the rest."),
        ),
    )


def _of_findings(seen: Gathered) -> Iterator[_Thing]:
    """One thing for each check; what it found most of stands for the rest."""
    if isinstance(seen.examination, Missing):
        return
    found: dict[str, list[Finding]] = {}
    for finding in seen.examination.diagnosis.findings:
        if finding.severity > Severity.INFO:
            found.setdefault(finding.check, []).append(finding)
    for same in found.values():
        worst = max(finding.severity for finding in same)
        wins = total(finding.wins for finding in same if finding.wins is not None)
        # What may lose data is worth more than what wastes memory, as bad as that is.
        at_risk = all(finding.wins is None for finding in same) and worst >= Severity.HIGH
        yield _Thing(worst, math.inf if at_risk else wins.value if wins else 0.0, _mends(same, wins))


def _mends(found: list[Finding], wins: Estimate | None) -> Words:
    first = found[0]
    fix, _, more = first.fix.partition("\n")
    places = [code(shown(finding.place)) for finding in found if finding.place]
    where = (*say(" in "), *listed(places)) if places else ()
    won = f" ({_won(wins)} to win)" if wins is not None and wins.value else ""
    end = f"{fix.rstrip(':')} (the lines are in section 9)" if more else fix
    return (*say(strong(first.title)), *where, *say(f"{won}: {shown(end)}."))


def _won(wins: Estimate) -> str:
    return wording.between(wins, format_bytes)


def _of_ttls(seen: Gathered) -> Iterator[_Thing]:
    if isinstance(seen.plan, Missing) or isinstance(seen.examination, Missing):
        return
    for advice in seen.plan.advices:
        freed = advice.freed_bytes
        if freed is None or freed.value <= 0 or advice.confidence not in _BELIEVED or not _differs(advice):
            continue
        yield _Thing(seen.examination.evidence.graded(freed), freed.value, _shortens(advice, freed))


def _differs(advice: Advice) -> bool:
    return advice.recommended_s is not None and advice.recommended_s != advice.ttl_s


def _shortens(advice: Advice, freed: Estimate) -> Words:
    ttl = format_duration(advice.recommended_s or 0)
    now = f" instead of {format_duration(advice.ttl_s)}" if advice.ttl_s else ""
    wins, line = f" ({_won(freed)} to win): ", code(f'ttl = "{ttl}"')
    return say(strong("Shorten a TTL"), " in ", code(advice.name), wins, line, f"{now}.")


def _of_setup(seen: Gathered) -> Iterator[_Thing]:
    """What no check looks at: a limit, a policy, a governor."""
    if seen.assessment is None:
        words = say(strong("Name the limit"), ": ", code('limit = "25MB"'), " in [server], or ", code("--limit"), ".")
        yield _Thing(Severity.HIGH, 0.0, words)
    if not seen.policy.namespaces:
        why = ": without one nothing may be cleaned up. "
        shows = " shows what there is to name."
        words = say(strong("Write a policy file"), why, code(seen.request.deployment.command("census")), shows)
        yield _Thing(Severity.MEDIUM, 0.0, words)
    if isinstance(seen.examination, Missing) or seen.examination.evidence.governed is not False:
        return
    told = {finding.check for finding in seen.examination.diagnosis.findings}
    expendable = any(ns.cleanup is not Cleanup.NEVER for ns in seen.policy.namespaces)
    if expendable and "cache-without-eviction" not in told:
        filling = seen.assessment is not None and seen.assessment.level > Level.NORMAL
        command = code(seen.request.deployment.command("run"))
        words = say(strong("Start the governor"), ": nobody watches this server. ", command)
        yield _Thing(Severity.HIGH if filling else Severity.MEDIUM, 0.0, words)
