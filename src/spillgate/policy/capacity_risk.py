"""How bad it is, and which plan would do. Pure.

The shares are those of the deployment that Spillgate was asked for: of 25 MB it calls 1 to 5 MB low, 5 to 15 MB medium
and more than that high.
"""

import math

from spillgate.model import Estimate
from spillgate.policy.capacity import Risk
from spillgate.policy.capacity_growth import DAY_S
from spillgate.units import format_bytes, format_duration, format_share

MEDIUM_SHARE, HIGH_SHARE = 0.2, 0.6
_WEEK_S = 7 * DAY_S
_MB, _GB = 1 << 20, 1 << 30
PLANS = (
    *(size * _MB for size in (5, 10, 20, 25, 30, 50, 100, 250, 256, 500, 512)),
    *(round(size * _GB) for size in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128)),
)
"""Sizes that providers sell. Beyond them whole GB are taken."""


def plan_for(size: float, preventive: float, reserve_bytes: int | None = None) -> int:
    """The smallest plan of which ``size`` is less than the share ``preventive``, and below the ceiling."""

    def holds(plan: int) -> bool:
        reserve = plan * 0.08 if reserve_bytes is None else reserve_bytes
        return size < min(plan * preventive, plan - reserve)

    found = next((plan for plan in PLANS if holds(plan)), None)
    if found is not None:
        return found
    plan = math.ceil(max(size / preventive, size + (reserve_bytes or size * 0.09)) / _GB) * _GB
    return plan if holds(plan) else plan + _GB


def risk_of(size: float, limit_bytes: int | None, to_preventive: Estimate | None = None) -> tuple[Risk | None, str]:
    """The risk and why; None where no limit is known. ``to_preventive`` are the seconds until the preventive level."""
    if limit_bytes is None:
        return None, "unknown: no limit is known; pass --limit, such as 25MB"
    share = size / limit_bytes
    used = f"{format_bytes(size)} is {format_share(share)} of {format_bytes(limit_bytes)}"
    risk = Risk.LOW if share <= MEDIUM_SHARE else Risk.MEDIUM if share <= HIGH_SHARE else Risk.HIGH
    reason = {
        Risk.LOW: f"{used}, at most {format_share(MEDIUM_SHARE)}",
        Risk.MEDIUM: f"{used}, between {format_share(MEDIUM_SHARE)} and {format_share(HIGH_SHARE)}",
        Risk.HIGH: f"{used}, more than {format_share(HIGH_SHARE)}",
    }[risk]
    if to_preventive is None or to_preventive.value > _WEEK_S or not to_preventive.value:
        return risk, reason
    when = f"and the preventive level is {format_duration(round(to_preventive.value))} away as it grows now"
    if to_preventive.value <= DAY_S:
        return Risk.HIGH, f"{reason}, {when}"
    return max(risk, Risk.MEDIUM, key=list(Risk).index), f"{reason}, {when}"
