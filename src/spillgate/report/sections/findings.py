"""9: what the doctor found."""

from collections.abc import Iterator, Mapping
from typing import cast

from spillgate.census.rows import shown
from spillgate.checkup import document
from spillgate.policy.findings import Finding, Severity
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import Block, Card, Cards, Cell, Fact, Paragraph, Points, Section, Tone, code, say
from spillgate.report.sections.shared import unknown_because

TONES = {
    Severity.INFO: Tone.MUTED,
    Severity.LOW: Tone.PLAIN,
    Severity.MEDIUM: Tone.WATCH,
    Severity.HIGH: Tone.BAD,
    Severity.CRITICAL: Tone.BAD,
}


def section(seen: Gathered) -> Section:
    """The findings."""
    title = "Findings"
    if isinstance(seen.examination, Missing):
        return Section("findings", title, (unknown_because(seen.examination.reason),))
    done = seen.examination
    told = cast("list[dict[str, object]]", document(done)["findings"])
    examples = seen.request.examples
    if not examples:  # what is left of masked names tells nothing
        told = [value | {"examples": list[str]()} for value in told]
    pairs = list(zip(done.diagnosis.findings, told, strict=True))
    pairs.sort(key=lambda pair: (-pair[0].severity, pair[0].order))
    blocks: list[Block] = []
    if pairs:
        said = "The worst first. What findings win overlaps: a key that is deleted need not be compressed."
        cards = tuple(_card(finding, value, examples=examples) for finding, value in pairs)
        blocks += [Paragraph(say(said)), Cards("findings", cards)]
    else:
        blocks.append(Paragraph(say("The doctor found nothing to mend."), Tone.GOOD))
    if done.diagnosis.unable:
        items = tuple(say(code(check), f": {shown(reason)}") for check, reason in done.diagnosis.unable.items())
        blocks.append(Points("unable", items, "Checks that could not run"))
    return Section("findings", title, tuple(blocks))


def _card(finding: Finding, value: Mapping[str, object], *, examples: bool) -> Card:
    return Card(
        finding.title,
        finding.severity.label,
        TONES[finding.severity],
        tuple(_facts(finding, examples=examples)),
        shown(finding.text),
        "\n".join(shown(line) for line in finding.fix.split("\n")),
        value,
    )


def _facts(finding: Finding, *, examples: bool) -> Iterator[Fact]:
    if finding.place:
        where = f" (db{finding.database})" if finding.database else ""
        yield Fact("place", "In", Cell(say(code(shown(finding.place)), where)))
    elif finding.database:
        yield Fact("place", "In", Cell(say(f"db{finding.database}")))
    if finding.wins is not None:
        yield Fact("wins", "To win", wording.size(finding.wins))
    if examples and finding.examples:
        yield Fact("examples", "Such as", Cell(say(code(shown(", ".join(finding.examples))))))
    yield Fact("check", "Check", Cell(say(code(finding.check))))
