"""When to look again, within the command budget."""

import math
import sys
from dataclasses import dataclass

from spillgate.config import LevelSettings, MonitorSettings
from spillgate.model import Level
from spillgate.policy.pressure import Assessment, threshold

# Look twice before the next threshold can be reached at the present fill rate.
_LOOKS_TO_THRESHOLD = 2.0
_LOOKS_ON_GUARD = 8.0
# While alarmed never wait longer than this, however slowly memory fills.
_ALARMED_INTERVAL_S = 1.0
# With less time than this to the limit pauses may be shorter than ``min_interval``: a server that is filled at its own
# full speed takes a tenth of a second from half full to full.
_GUARD_S = 1.0
_GUARD_INTERVAL_S = 0.005
# A look is a reading, a slice of upkeep and one of the census.
_COMMANDS_A_LOOK = 3.0
# Pauses longer than this are worth guarding by write tracking.
_TRACKING_PAUSE_S = 0.25
# A day's commands held back for cleanups; looks alone never spend them.
_CLEANUP_SHARE = 0.25
# Until measured otherwise, each byte of an invalidation message stands for this many bytes of memory
# (a 600-byte value announced by a 60-byte message).
DEFAULT_BYTES_PER_PUSHED = 12.0
_LEAST_PUSHED_BYTES = 2048
# A burst that would fill what is left to the limit within this time ends the pause at once.
_BURST_S = 1.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class CommandBudget:
    """Commands allowed and used in the present UTC day; ``per_day`` 0 means no cap."""

    per_day: int = 0
    used: int = 0
    left_s: float = DAY_S

    @property
    def remaining(self) -> int | None:
        """What is left for today; None where there is no cap."""
        return max(0, self.per_day - self.used) if self.per_day else None

    @property
    def spent(self) -> bool:
        """Whether not one more command may be sent today."""
        return self.remaining == 0


@dataclass(frozen=True, slots=True)
class Pause:
    """How long to wait for the next look.

    A write tracker cuts it short after ``pushed_bytes`` of messages in all (None: it is not needed), or when they come
    faster than ``pushed_bytes_s``.
    """

    seconds: float
    pushed_bytes: int | None = None
    pushed_bytes_s: float = math.inf


def on_guard(assessment: Assessment) -> bool:
    """Whether the limit is so near that everything else has to wait."""
    left = assessment.time_to_limit_s
    return assessment.raw_level >= Level.EMERGENCY or (left is not None and left < _GUARD_S)


def next_pause(
    assessment: Assessment,
    monitor: MonitorSettings,
    levels: LevelSettings,
    budget: CommandBudget,
    *,
    commands_per_look: float = _COMMANDS_A_LOOK,
    bytes_per_pushed: float = DEFAULT_BYTES_PER_PUSHED,
) -> Pause:
    """``clamp(min_interval, headroom / (k · fill rate), interval)``, short while alarmed, longer where the budget asks.

    Headroom is the distance to the next threshold, or to the limit when there is none. Only `on_guard` is the pause
    shorter than ``min_interval``.
    """
    headroom = _headroom_bytes(assessment, levels)
    alarmed = assessment.level >= Level.PREVENTIVE
    longest = min(monitor.interval_s, _ALARMED_INTERVAL_S) if alarmed else monitor.interval_s
    fill = assessment.fill_bytes_s
    guarding = on_guard(assessment)
    looks = _LOOKS_ON_GUARD if guarding else _LOOKS_TO_THRESHOLD
    seconds = longest if fill <= 0 else min(longest, headroom / (looks * fill))
    shortest = min(_GUARD_INTERVAL_S, monitor.min_interval_s) if guarding else monitor.min_interval_s
    seconds = max(shortest, seconds, least_affordable_s(budget, commands_per_look, alarmed=alarmed))
    if seconds <= _TRACKING_PAUSE_S:
        return Pause(seconds)
    # On a metered plan a steady stream of writes must not spend the day's looks; a burst is worth one.
    pushed = sys.maxsize if budget.per_day else int(headroom / (_LOOKS_TO_THRESHOLD * max(1.0, bytes_per_pushed)))
    to_limit = max(0.0, 1.0 - assessment.pressure) * assessment.limits.limit_bytes
    return Pause(seconds, max(_LEAST_PUSHED_BYTES, pushed), to_limit / max(1.0, bytes_per_pushed) / _BURST_S)


def _headroom_bytes(assessment: Assessment, levels: LevelSettings) -> float:
    above = [threshold(level, levels) for level in Level if threshold(level, levels) > assessment.pressure]
    nearest = min(above, default=1.0)
    return max(0.0, nearest - assessment.pressure) * assessment.limits.limit_bytes


def least_affordable_s(
    budget: CommandBudget, commands_per_look: float = _COMMANDS_A_LOOK, *, alarmed: bool = True
) -> float:
    """The shortest pause that the day's remaining commands can keep up until the day ends."""
    if not budget.per_day:
        return 0.0
    held_back = 0.0 if alarmed else _CLEANUP_SHARE * budget.per_day
    looks = (budget.per_day - held_back - budget.used) / commands_per_look
    return budget.left_s if looks < 1 else budget.left_s / looks
