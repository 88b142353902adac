"""Running every check."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from spillgate.policy.findings.checks import CHECKS
from spillgate.policy.findings.evidence import Evidence
from spillgate.policy.findings.finding import Finding, Severity, Unable


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found, the most bytes to win first.

    ``unable`` holds the checks that could not run by their id, each with the reason.
    """

    findings: tuple[Finding, ...]
    unable: Mapping[str, str]

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding, None without any."""
        return max((finding.severity for finding in self.findings), default=None)


def diagnose(evidence: Evidence) -> Diagnosis:
    """What every check of the table finds."""
    findings: list[Finding] = []
    unable: dict[str, str] = {}
    for check in CHECKS:
        try:
            found = list(check.find(evidence))
        except Unable as reason:
            unable[check.id] = str(reason)
        else:
            findings += [replace(finding, check=check.id, title=check.title) for finding in found]
    return Diagnosis(tuple(sorted(findings, key=lambda finding: finding.order)), unable)
