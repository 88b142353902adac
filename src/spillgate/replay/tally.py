"""What a client counts while it replays."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """One namespace. ``fills`` are sets after a get had missed, ``unfilled`` misses of a value of unknown size."""

    reads: int = 0
    hits: int = 0
    writes: int = 0
    fills: int = 0
    deletes: int = 0
    refused: int = 0
    unfilled: int = 0


@dataclass(slots=True)
class Times:
    """Round trips, and how late their requests were, in seconds of wall time."""

    round_trips_s: list[float] = field(default_factory=list[float])
    lags_s: list[float] = field(default_factory=list[float])

    def clear(self) -> None:
        """Forget all of it."""
        self.round_trips_s.clear()
        self.lags_s.clear()


def quantile(values: list[float], share: float) -> float:
    """The value that ``share`` of them do not exceed; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
