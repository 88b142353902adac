"""What a diagnosis is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from spillgate.model import Estimate


class Severity(IntEnum):
    """How bad it is; higher is worse.

    Of what only wastes memory, the share of the used memory that it would win decides: info below 1 %, low from there,
    medium from 5 %, high from 25 %. Of what puts data or the server at risk, each check says its own; critical is what
    loses data that must not be lost, or ends the memory within the hour.
    """

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def label(self) -> str:
        """The severity as users write and read it."""
        return self.name.lower()


class Unable(Exception):
    """A check cannot run; the message says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to mend.

    ``text`` says in plain words what was found, ``fix`` is the setting, the lines of the policy file or the command
    that mends it. ``wins`` are the bytes of memory that this would free, None where it frees none or nobody can tell.
    ``place`` is the namespace or the prefix that it is about, None for the whole server; ``numbers`` are the counts
    behind it by name, ``examples`` some of the keys. ``check`` and ``title`` are those of the check that found it.
    """

    severity: Severity
    text: str
    fix: str
    wins: Estimate | None = None
    place: str | None = None
    is_namespace: bool = False
    database: int | None = None
    numbers: Mapping[str, Estimate | float | str] = field(default_factory=dict[str, Estimate | float | str])
    examples: tuple[str, ...] = ()
    check: str = ""
    title: str = ""

    @property
    def order(self) -> tuple[float, int, str, str]:
        """Findings in this order stand with the most bytes to win first, then the worst."""
        return -(self.wins.value if self.wins else 0.0), -self.severity, self.check, self.place or ""
