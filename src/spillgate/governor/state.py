"""What the governor last saw and did, as one frozen value: all that surfaces ever read."""

from dataclasses import dataclass, field, replace

from spillgate.config import Policy
from spillgate.model import Census, Outcome, Reading
from spillgate.policy.pressure import Assessment
from spillgate.policy.steering import Steering
from spillgate.server.capabilities import Capabilities


@dataclass(frozen=True, slots=True)
class Totals:
    """What outcomes add up to since the governor started; a dry run deletes, re-times and frees nothing."""

    actions: int = 0
    deleted: int = 0
    expired: int = 0
    retimed: int = 0
    freed_bytes: int = 0

    def plus(self, outcome: Outcome) -> "Totals":
        """These totals and one more outcome."""
        if outcome.dry_run:
            return replace(self, actions=self.actions + 1, expired=self.expired + outcome.expired)
        return Totals(
            self.actions + 1,
            self.deleted + outcome.deleted,
            self.expired + outcome.expired,
            self.retimed + outcome.retimed,
            self.freed_bytes + outcome.freed_bytes,
        )


@dataclass(frozen=True, slots=True)
class State:
    """``error`` is why the latest cycle failed, None when it did not; the rest then stands as it was last seen.

    ``unreadable`` says that the server was not even read; else it was a cleanup that failed.
    ``at_unix_s`` is when the server was last read, ``pause_s`` how long the governor waits until it looks again.
    ``ended`` says that the loop is over, and with it all looking. ``policy`` is as it was written; ``steering`` tells
    which TTLs stand in the place of its own.
    """

    policy: Policy
    dry_run: bool
    assessment: Assessment | None = None
    reading: Reading | None = None
    at_unix_s: float | None = None
    census: Census | None = None
    capabilities: Capabilities | None = None
    error: str | None = None
    unreadable: bool = False
    pause_s: float | None = None
    readings: int = 0
    commands: int = 0
    totals: Totals = field(default_factory=Totals)
    ended: bool = False
    steering: Steering = field(default_factory=Steering)

    @property
    def in_force(self) -> Policy:
        """The policy with the TTLs in force."""
        return self.steering.applied_to(self.policy)

    @property
    def level_label(self) -> str:
        """The level in force, "unknown" before the first reading."""
        return self.assessment.level.label if self.assessment else "unknown"
