"""What the platform's users do, phase by phase, and how the workload reports on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Writes of messages in a second, and in the bursts of a flood, which begin and end at these shares of it.
FLOOD_MESSAGES_S = 8_000
BURST_MESSAGES_S = 12_000
_BURSTS = ((0.40, 0.48), (0.72, 0.80))


@dataclass(frozen=True, slots=True)
class Phase:
    """``share`` of the run's time. ``writes`` are spread over the phase, by namespace, however long it is."""

    name: str
    share: float
    says: str
    writes: Mapping[str, int]
    flood: bool = False

    def writes_s(self, namespace: str, position: float, phase_s: float) -> float:
        """Writes a second to ``namespace`` at ``position`` (0 to 1) of this phase, which takes ``phase_s``."""
        if self.flood and namespace == "messages":
            bursting = any(begin <= position < end for begin, end in _BURSTS)
            return BURST_MESSAGES_S if bursting else FLOOD_MESSAGES_S
        return self.writes.get(namespace, 0) / phase_s


PHASES = (
    Phase(
        "low",
        0.15,
        "10 to 50 users, under 1,000 messages a day",
        {"users": 50, "sessions": 60, "channels": 10, "tasks": 60, "messages": 900}
        | {"voice": 10, "ai-context": 20, "analytics": 200},
    ),
    Phase(
        "medium",
        0.20,
        "50 to 100 users, 5,000 messages a day, voice commands",
        {"users": 50, "sessions": 340, "channels": 10, "tasks": 140, "messages": 5_000}
        | {"voice": 150, "ai-context": 150, "analytics": 2_000},
    ),
    Phase(
        "flood",
        0.35,
        f"hundreds of users, continuous voice, {FLOOD_MESSAGES_S:,} messages a second",
        {"users": 500, "sessions": 1_600, "channels": 20, "tasks": 400}
        | {"voice": 300, "ai-context": 400, "analytics": 3_000},
        flood=True,
    ),
    Phase(
        "calm",
        0.30,
        "the flood is over",
        {"sessions": 60, "tasks": 40, "messages": 200, "voice": 5, "ai-context": 20, "analytics": 50},
    ),
)
"""The phases in their order; their shares add up to 1."""


def phase_at(elapsed_s: float, seconds: float) -> tuple[Phase, float]:
    """The phase ``elapsed_s`` after the start of a run of ``seconds``, and the position in it from 0 to 1."""
    left = min(1.0, elapsed_s / seconds)
    for phase in PHASES[:-1]:
        if left < phase.share:
            return phase, left / phase.share
        left -= phase.share
    return PHASES[-1], min(1.0, left / PHASES[-1].share)


@dataclass(frozen=True, slots=True)
class Report:
    """What the workload has done so far.

    ``due`` counts the keys by namespace that must be on the server, for their TTL has not run out by the workload's own
    clock, and ``alive`` those of them that are. ``lost`` counts keys that were missing at any check, and is None where
    the last check was not possible; ``error`` then says why.
    """

    elapsed_s: float
    phase: str
    writes: int = 0
    refused: int = 0
    written_bytes: int = 0
    written: dict[str, int] = field(default_factory=dict[str, int])
    due: dict[str, int] = field(default_factory=dict[str, int])
    alive: dict[str, int] = field(default_factory=dict[str, int])
    lost: int | None = 0
    last: bool = False
    error: str | None = None
