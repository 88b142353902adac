"""What people read of an examination, on a terminal or in a pipe."""

import math
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from spillgate.census.rows import shown
from spillgate.checkup import Examination
from spillgate.cli.output import show
from spillgate.model import Estimate
from spillgate.policy.findings import Finding, Severity
from spillgate.units import format_bytes, format_duration, format_share

_STYLES = {
    Severity.INFO: "dim",
    Severity.LOW: "cyan",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "red",
    Severity.CRITICAL: "bold red",
}
_INDENT = 10


def tell(done: Examination) -> None:
    """The whole screen."""
    show(Text("\n".join(f"{name:<{_INDENT}}{line}" for name, line in _overview(done).items())))
    for finding in done.diagnosis.findings:
        show("", _finding(finding))
    if done.diagnosis.unable:
        show("", "could not run:")
        show(*(f"  {check}: {shown(reason)}" for check, reason in done.diagnosis.unable.items()))
    for note in done.evidence.survey.notes:
        show("", f"note: {shown(note)}")


def _overview(done: Examination) -> dict[str, str]:
    evidence, can = done.evidence, done.capabilities
    used, limit = evidence.survey.used_bytes, evidence.limit_bytes
    of = f" of {format_bytes(limit)} ({format_share(used / limit)})" if limit else ", no limit known"
    counts = [f"{number} {one.label}" for one in reversed(Severity) if (number := done.count(one))]
    total = len(done.diagnosis.findings)
    found = f"{total}: {', '.join(counts)}" if total else "none"
    unable = f"; checks that could not run: {len(done.diagnosis.unable)}" if done.diagnosis.unable else ""
    return {
        "server": f"{done.server}, {can.product} {can.version or 'of unknown version'}",
        "memory": f"{format_bytes(used)}{of}, {evidence.keys:,} keys",
        "findings": f"{found}{unable}; took {format_duration(round(done.seconds, 3))}",
    }


def _finding(finding: Finding) -> Group:
    return Group(_heading(finding), *(Padding(line, (0, 0, 0, _INDENT), expand=False) for line in _lines(finding)))


def _heading(finding: Finding) -> Text:
    label = finding.severity.label
    where = f" in {shown(finding.place)}" if finding.place else ""
    if finding.database is not None:  # nothing may be pasted into the policy of another
        where += f", db{finding.database}" if where else f" in db{finding.database}"
    wins = f": {_size(finding.wins)} to win" if finding.wins else ""
    heading = Text(f"{label:<{_INDENT}}", _STYLES[finding.severity])
    return heading.append(f"{finding.title}{where}{wins}", "bold").append(f"  [{finding.check}]", "dim")


def _lines(finding: Finding) -> Iterator[RenderableType]:
    yield Text(shown(finding.text))
    if finding.examples:
        yield Text(f"such as {shown(', '.join(finding.examples))}", "dim")
    first, *rest = map(shown, finding.fix.split("\n"))
    yield Text(f"fix: {first}", "green")
    for line in rest:
        yield Text(f"    {line}", "green")


def _size(size: Estimate) -> str:
    if size.is_exact:
        return format_bytes(size.value)
    if not math.isfinite(size.high):
        return f"at least {format_bytes(size.low)}"
    return f"{format_bytes(size.value)} ±{format_bytes(max(size.high - size.value, size.value - size.low))}"
