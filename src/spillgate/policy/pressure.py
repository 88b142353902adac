"""From readings to a level.

A level rises at once, also on the forecast. It falls one step at a time, after ``hold`` seconds spent ``release`` below
its threshold. Only a reading can lower it: when readings fail, the caller keeps the assessment it has.
"""

from dataclasses import dataclass

from spillgate.config import LevelSettings, ServerSettings
from spillgate.errors import LimitUnknown
from spillgate.model import Level, Reading
from spillgate.units import format_bytes, format_share

# A key table that doubles is one allocation and can take 4 % of a small plan in one step, so rates are
# remembered over some looks: the 90th percentile of the last 20 keeps a burst in mind without keeping it for ever.
_REMEMBERED_RATES = 20
_RATE_QUANTILE = 0.9


@dataclass(frozen=True, slots=True)
class Limits:
    """The memory that may be used: ``ceiling_bytes`` is the limit less the reserve."""

    limit_bytes: int
    reserve_bytes: int

    @property
    def ceiling_bytes(self) -> int:
        """What the governor promises not to exceed."""
        return self.limit_bytes - self.reserve_bytes


def find_limits(server: ServerSettings, reading: Reading) -> Limits:
    """The declared limit, never above the server's own ``maxmemory``.

    Raises:
        LimitUnknown: none is declared and the server has none.
    """
    known = [size for size in (server.limit_bytes, reading.maxmemory_bytes) if size and size > 0]
    if not known:
        raise LimitUnknown
    limit = min(known)
    return Limits(limit, server.reserve_for(limit))


@dataclass(frozen=True, slots=True)
class FillRates:
    """Recent fill rates in bytes a second, newest last; falling memory counts as 0."""

    samples: tuple[float, ...] = ()

    def observe(self, grown_bytes: float, seconds: float) -> "FillRates":
        """These rates with one more; an interval of no length tells nothing."""
        if seconds <= 0:
            return self
        rate = max(0.0, grown_bytes / seconds)
        return FillRates((*self.samples, rate)[-_REMEMBERED_RATES:])

    @property
    def high_bytes_s(self) -> float:
        """A high quantile (nearest rank) of the recent rates, or the latest if it is higher; 0 while none is known."""
        if not self.samples:
            return 0.0
        rank = min(int(_RATE_QUANTILE * len(self.samples)), len(self.samples) - 1)
        return max(sorted(self.samples)[rank], self.samples[-1])


@dataclass(frozen=True, slots=True)
class Assessment:
    """How bad it is.

    ``raw_level`` is what the moment asks for, by the forecast alone where it is ``foreseen``; ``level`` is what is in
    force, as it falls slowly.
    """

    at_s: float
    level: Level
    raw_level: Level
    pressure: float
    forecast: float
    fill_bytes_s: float
    limits: Limits
    foreseen: bool = False
    below_since_s: float | None = None

    @property
    def reason(self) -> str:
        """The level in words: what is in use, and what is forecast where that is what raised it."""
        limit = self.limits.limit_bytes
        used = f"{format_bytes(round(self.pressure * limit))} of {format_bytes(limit)} ({format_share(self.pressure)})"
        if not self.foreseen:
            return f"{used} in use"
        return f"{used} in use and filling: {format_share(self.forecast)} before the governor can act again"

    @property
    def time_to_limit_s(self) -> float | None:
        """Seconds until the limit at the present fill rate; None where memory does not grow."""
        if self.fill_bytes_s <= 0:
            return None
        return max(0.0, 1.0 - self.pressure) * self.limits.limit_bytes / self.fill_bytes_s

    @property
    def fill_share_s(self) -> float:
        """The fill rate as a share of the limit a second."""
        return self.fill_bytes_s / self.limits.limit_bytes


def threshold(level: Level, settings: LevelSettings) -> float:
    """The pressure at which a level is entered."""
    return {
        Level.NORMAL: 0.0,
        Level.WARNING: settings.warning,
        Level.PREVENTIVE: settings.preventive,
        Level.EMERGENCY: settings.emergency,
        Level.CRITICAL: settings.critical,
    }[level]


def level_at(pressure: float, settings: LevelSettings) -> Level:
    """The level that a pressure belongs to."""
    return max((level for level in Level if pressure >= threshold(level, settings)), default=Level.NORMAL)


def assess(
    previous: Assessment | None,
    reading: Reading,
    rates: FillRates,
    limits: Limits,
    settings: LevelSettings,
    horizon_s: float,
) -> Assessment:
    """The level after one more reading.

    ``horizon_s`` is how long it takes until the governor can act again: the shortest pause between looks plus one pass
    over the keys. The forecast is the pressure by then.
    """
    pressure = reading.counted_bytes / limits.limit_bytes
    fill = rates.high_bytes_s
    forecast = pressure + fill * horizon_s / limits.limit_bytes
    raw = level_at(forecast, settings)
    level, below_since = _settle(previous, raw, pressure, reading.at_s, settings)
    return Assessment(
        at_s=reading.at_s,
        level=level,
        raw_level=raw,
        pressure=pressure,
        forecast=forecast,
        fill_bytes_s=fill,
        limits=limits,
        foreseen=raw > level_at(pressure, settings),
        below_since_s=below_since,
    )


def _settle(
    previous: Assessment | None, raw: Level, pressure: float, now_s: float, settings: LevelSettings
) -> tuple[Level, float | None]:
    """The level in force and since when the pressure has been ``release`` below its threshold."""
    if previous is None or raw >= previous.level:
        return raw, None
    if pressure > threshold(previous.level, settings) - settings.release:
        return previous.level, None
    since = previous.below_since_s
    # A clock that went backwards must not shorten the hold: the wait starts anew.
    if since is None or since > now_s:
        return previous.level, now_s
    if now_s - since < settings.hold_s:
        return previous.level, since
    return max(raw, Level(previous.level - 1)), now_s
