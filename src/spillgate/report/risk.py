"""How great the risk is that this server runs full, and why. Pure."""

from dataclasses import dataclass

from spillgate.model import Level
from spillgate.policy.capacity import Risk
from spillgate.policy.findings import Severity
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import Tone

TONES = {Risk.LOW: Tone.GOOD, Risk.MEDIUM: Tone.WATCH, Risk.HIGH: Tone.BAD}
_ORDER = list(Risk)


@dataclass(frozen=True, slots=True)
class Judged:
    """The risk and its reason; None where it cannot be told."""

    risk: Risk | None
    reason: str

    @property
    def tone(self) -> Tone:
        """What it means."""
        return Tone.UNKNOWN if self.risk is None else TONES[self.risk]


def judge(seen: Gathered) -> Judged:
    """The greatest of what capacity, the level and the findings say."""
    found = [(risk, reason) for risk, reason in _reasons(seen) if risk is not None]
    if not found:
        return Judged(None, next(reason for _, reason in _reasons(seen)))
    worst = max((risk for risk, _ in found), key=_ORDER.index)
    return Judged(worst, "; ".join(reason for risk, reason in found if risk is worst))


def _reasons(seen: Gathered) -> list[tuple[Risk | None, str]]:
    told: list[tuple[Risk | None, str]] = []
    capacity, assessment = seen.capacity, seen.assessment
    if isinstance(capacity, Missing):
        told.append((None, f"what fits is unknown, because {capacity.reason}"))
    elif assessment is None:
        told.append((None, "no limit is known: pass --limit, such as 25MB"))
    else:
        told.append((capacity.risk, capacity.reason))
    if assessment is not None and assessment.level >= Level.PREVENTIVE:
        told.append((Risk.HIGH, f"the level is {assessment.level.label}: {assessment.reason}"))
    if not isinstance(seen.examination, Missing):
        told += [
            (Risk.HIGH, f"critical finding: {finding.title}")
            for finding in seen.examination.diagnosis.findings
            if finding.severity is Severity.CRITICAL
        ]
    return told
