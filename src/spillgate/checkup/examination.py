"""One examination of a server, and its document."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from spillgate.census.evidence import Closeness, gather
from spillgate.census.survey import take_survey
from spillgate.config import Policy
from spillgate.errors import mask_url
from spillgate.model import Estimate
from spillgate.policy.findings import Diagnosis, Evidence, Finding, Severity, diagnose
from spillgate.server.capabilities import Capabilities
from spillgate.server.gateway import Gateway
from spillgate.units import rounded

# So few keys are all looked at one by one, which takes no longer than a sample of them.
_FEW_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Examination:
    """A server, what was seen of it, and what is wrong with it."""

    capabilities: Capabilities
    evidence: Evidence
    diagnosis: Diagnosis
    seconds: float

    def count(self, severity: Severity) -> int:
        """How many findings are that bad."""
        return sum(finding.severity is severity for finding in self.diagnosis.findings)

    @property
    def server(self) -> str:
        """Where the server is, without its password."""
        return mask_url(self.evidence.policy.server.url)


def examine(
    gateway: Gateway,
    policy: Policy,
    wanted: float,
    closeness: Closeness,
    asked_to_stop: Callable[[], bool] = lambda: False,
    *,
    governed: bool = False,
) -> Examination:
    """Look at a server, at every key of it where there are few, and tell what is wrong; nothing is changed.

    ``wanted`` is the largest error of the survey. Once ``asked_to_stop`` the rest is drawn from what was seen so
    far. ``governed`` says that a governor is known to run; else the server is asked for one.

    Raises:
        ServerError: the server failed, or does not let keys be visited.
        BudgetExhausted: the day's commands were spent before a single key was looked at.
    """
    began_s = time.monotonic()
    gateway.probe()
    seen = gateway.read()
    if seen.keys is not None and seen.keys + (seen.other_keys or 0) <= _FEW_KEYS:
        wanted = 0.0
    survey = take_survey(gateway, error=wanted, asked_to_stop=asked_to_stop)
    evidence = gather(gateway, policy, survey, closeness)
    if governed:
        evidence = replace(evidence, governed=True)
    return Examination(gateway.capabilities, evidence, diagnose(evidence), time.monotonic() - began_s)


def document(done: Examination) -> dict[str, object]:
    """What ``spillgate doctor --json`` prints; docs/doctor.md has its fields."""
    evidence = done.evidence
    return {
        "server": done.server,
        "product": done.capabilities.product,
        "version": done.capabilities.version,
        "used_memory": evidence.survey.used_bytes,
        "limit_bytes": evidence.limit_bytes,
        "total_keys": evidence.keys,
        "growth_bytes_s": _number(evidence.growth_bytes_s),
        "seconds": round(done.seconds, 3),
        "partial": evidence.survey.partial,
        "counts": {severity.label: done.count(severity) for severity in reversed(Severity)},
        "findings": [_finding(finding) for finding in done.diagnosis.findings],
        "unable": [{"id": check, "reason": reason} for check, reason in done.diagnosis.unable.items()],
        "notes": list(evidence.survey.notes),
    }


def _finding(finding: Finding) -> Mapping[str, object]:
    return {
        "id": finding.check,
        "severity": finding.severity.label,
        "title": finding.title,
        "text": finding.text,
        "namespace": finding.place if finding.is_namespace else None,
        "prefix": None if finding.is_namespace else finding.place,
        "database": finding.database,
        "wins": _number(finding.wins),
        "evidence": {name: _number(number) for name, number in finding.numbers.items()},
        "examples": list(finding.examples),
        "fix": finding.fix,
    }


def _number(number: Estimate | float | str | None) -> object:
    if isinstance(number, Estimate):
        return number.ends(4)
    return rounded(number, 4) if isinstance(number, float) else number
