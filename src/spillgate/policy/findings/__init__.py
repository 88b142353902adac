"""What is wrong with a server, and what mends it: ``diagnose`` runs every check of the table over the evidence.

Pure: the evidence was gathered by `spillgate.census.evidence`.
"""

from spillgate.policy.findings.checks import CHECKS, Check
from spillgate.policy.findings.diagnosis import Diagnosis, diagnose
from spillgate.policy.findings.evidence import Clients, Elements, Evidence, Key, Value
from spillgate.policy.findings.finding import Finding, Severity, Unable
from spillgate.policy.findings.groups import Group, Kind
from spillgate.policy.findings.queues import USUAL_KEYS

__all__ = [
    "CHECKS",
    "USUAL_KEYS",
    "Check",
    "Clients",
    "Diagnosis",
    "Elements",
    "Evidence",
    "Finding",
    "Group",
    "Key",
    "Kind",
    "Severity",
    "Unable",
    "Value",
    "diagnose",
]
