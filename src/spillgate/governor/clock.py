"""The clocks, handed in so that tests can turn them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from spillgate.policy.pacing import DAY_S, CommandBudget


@dataclass(frozen=True, slots=True)
class Clock:
    """``monotonic`` for intervals, ``wall`` (Unix seconds) for timestamps and the day of the command budget."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class CommandMeter:
    """Counts commands against the cap of a UTC day."""

    def __init__(self, per_day: int, clock: Clock) -> None:
        """``per_day`` 0 means no cap."""
        self._per_day = per_day
        self._clock = clock
        self._day = self._today()
        self._used_before = 0

    def _today(self) -> int:
        return int(self._clock.wall() // DAY_S)

    def change(self, per_day: int, sent: int) -> None:
        """Another cap from now on, and ``sent`` counts from 0 again; what was used today stays used."""
        self._per_day, self._used_before = per_day, self._used_before - sent

    def budget(self, sent: int) -> CommandBudget:
        """The budget now, where ``sent`` commands have been sent since the governor started."""
        # A clock that is set back must not open a day's budget again.
        if (today := self._today()) > self._day:
            self._day, self._used_before = today, sent
        left_s = (self._day + 1) * DAY_S - self._clock.wall()
        return CommandBudget(self._per_day, sent - self._used_before, min(DAY_S, max(1.0, left_s)))
