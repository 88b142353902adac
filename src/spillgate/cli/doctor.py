"""``spillgate doctor``: what was typed, the examination, its document, and how the command ends."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from spillgate.census.evidence import Closeness, gather
from spillgate.census.survey import take_survey
from spillgate.cli.census import Request as CensusRequest
from spillgate.cli.options import PolicySource, gateway_of, let_others_go_first
from spillgate.cli.output import Exit, console, emit, ends, rounded
from spillgate.config import Policy
from spillgate.errors import ConfigError, mask_url
from spillgate.model import Estimate
from spillgate.policy.findings import Diagnosis, Evidence, Finding, Severity, diagnose
from spillgate.server.capabilities import Capabilities
from spillgate.units import parse_duration

# So few keys are all looked at one by one, which takes no longer than a sample of them.
_FEW_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Request:
    """The options of the command as they were typed."""

    source: PolicySource
    exact: bool = False
    error: str | None = None
    values: bool = True
    growth: str = "2s"
    mask: bool = False
    fail_on: Severity = Severity.MEDIUM
    as_json: bool = False

    def closeness(self) -> Closeness:
        """How closely to look.

        Raises:
            ConfigError: the time is none.
        """
        try:
            return Closeness(self.values, parse_duration(self.growth), self.mask)
        except ConfigError as error:
            raise ConfigError(str(error), source="command line", key="--growth") from error


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


def examine(request: Request) -> Exit:
    """The whole command, and the exit code it ends with.

    Raises:
        ConfigError: options or a policy that cannot be used.
        ServerError: the server failed.
    """
    wanted, close = CensusRequest(request.source, request.exact, request.error).wanted_error(), request.closeness()
    policy = request.source.load()
    try:
        with console(stderr=True).status("examining the server ..."):
            examination = _examination(policy, wanted, close)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    if request.as_json:
        emit(document(examination))
    else:
        from spillgate.cli import doctor_screens  # noqa: PLC0415 - see output.console

        doctor_screens.tell(examination)
    worst = examination.diagnosis.worst
    return Exit.ALARMED if worst is not None and worst >= request.fail_on else Exit.FINE


def _examination(policy: Policy, wanted: float, close: Closeness) -> Examination:
    began_s = time.monotonic()
    let_others_go_first()
    with closing(gateway_of(policy)) as gateway:
        gateway.probe()
        seen = gateway.read()
        if seen.keys is not None and seen.keys + (seen.other_keys or 0) <= _FEW_KEYS:
            wanted = 0.0
        evidence = gather(gateway, policy, take_survey(gateway, error=wanted), close)
        return Examination(gateway.capabilities, evidence, diagnose(evidence), time.monotonic() - began_s)


def document(done: Examination) -> dict[str, object]:
    """What ``--json`` prints; docs/doctor.md has its fields."""
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
        return ends(number, 4)
    return rounded(number, 4) if isinstance(number, float) else number
