"""Which TTL is in force where ``ttl_mode = "auto"``: slowly down, quickly back, never beyond a namespace's bounds.

A TTL that is too short costs hits, which shows only once what was written before is gone. So it goes down by small
steps, each after a while, and only where the recommendation has stood for as long; it comes back at once where the
recommendation does, where there is none any more, or where hits are lost. A TTL that is too long costs memory: the way
back ends at the file's TTL, goes on from there by doubling, and waits while memory is short. The user has the last
word: another ``ttl`` in the policy file undoes all that was done to it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from spillgate.config import NamespacePolicy, Policy
from spillgate.model import Level
from spillgate.units import format_duration, format_share

PERIOD_S = 600.0
"""From one step to the next, and how long a recommendation must have stood for the first: recordings are looked at
every five minutes, so it was confirmed once. Hit ratios count after as long a calm, for a cleanup costs hits, too."""
STEP_DOWN = 0.1
"""The share that a step takes off: a TTL is halved in a little over an hour, and one step alone costs few hits."""
STEP_UP = 2.0
"""The factor by which a step goes beyond the file's TTL: to the default bound, four times it, takes two of them."""
NOISE = 0.1
"""Recommendations this near to the TTL in force, as a share of it, move nothing."""
STALE_S = 3600.0
"""So much calm without a recommendation brings the file's TTL back."""
GUARD = 0.05
"""A hit ratio that is lower than before the steps down by more than this brings the file's TTL back,"""
REST_S = 6 * 3600.0
"""and for so long nothing goes down again: it was tried, and the traffic has to be another first."""

_RESUMED = "it was in force before this governor began"


@dataclass(frozen=True, slots=True)
class Advised:
    """What was recommended at ``at_s``: TTLs in seconds, by namespace; of the others nothing is recommended.

    ``hit_ratios`` are those measured lately; a namespace that is missing, or has None, was not measured.
    """

    at_s: float
    ttls: Mapping[str, float]
    hit_ratios: Mapping[str, float | None] = field(default_factory=dict[str, float | None])


@dataclass(frozen=True, slots=True)
class Steered:
    """One namespace: the file's TTL ``file_s``, and the one in force since ``since_s``, for the ``reason``.

    ``wanted_s`` is what was recommended last, ``quiet_s`` for how much calm nothing has been since, ``heard_at_s`` when
    anything was said. ``leaning`` is the direction that this asks for, -1, 0 or 1, since ``leaning_since_s``.
    ``hit_ratio`` was measured last, ``best`` is the best of before the steps down that are in force.
    """

    file_s: float
    ttl_s: float
    since_s: float
    reason: str = ""
    wanted_s: float | None = None
    quiet_s: float = 0.0
    heard_at_s: float = -inf
    leaning: int = 0
    leaning_since_s: float = -inf
    hit_ratio: float | None = None
    best: float | None = None
    resting_until_s: float = -inf

    @property
    def adjusted(self) -> bool:
        """Whether another TTL than the file's is in force."""
        return self.ttl_s != self.file_s


class Change(NamedTuple):
    """A TTL that became another."""

    name: str
    before_s: float
    after_s: float
    file_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Steering:
    """The adjustable namespaces by name, as they stood at ``at_s``; it has been calm since ``calm_since_s``."""

    at_s: float = -inf
    namespaces: Mapping[str, Steered] = field(default_factory=dict[str, Steered])
    calm_since_s: float | None = None

    @property
    def adjusted(self) -> dict[str, Steered]:
        """Those in which another TTL than the file's is in force."""
        return {name: one for name, one in self.namespaces.items() if one.adjusted}

    def applied_to(self, policy: Policy) -> Policy:
        """The policy with the TTLs in force. All else stays, also what was derived from the file's TTLs."""
        adjusted = self.adjusted
        if not adjusted:
            return policy
        listed = (replace(ns, ttl_s=adjusted[ns.name].ttl_s) if ns.name in adjusted else ns for ns in policy.namespaces)
        return replace(policy, namespaces=tuple(listed))


def resumed(policy: Policy, in_force: Mapping[str, tuple[float, float]], now_s: float) -> Steering:
    """Go on with what another governor left: by namespace the TTL in force, and the file's.

    Where the file says another one by now, or the TTL is beyond the bounds, that is over.
    """
    taken: dict[str, Steered] = {}
    for ns in policy.adjustable:
        ttl_s, file_s = in_force.get(ns.name, (0.0, 0.0))
        if file_s == ns.ttl_s and ttl_s == _bounded(ttl_s, ns):
            taken[ns.name] = Steered(file_s, ttl_s, now_s, _RESUMED, wanted_s=ttl_s)
    return Steering(now_s, taken)


def steer(
    before: Steering, policy: Policy, advised: Advised | None, now_s: float, level: Level | None
) -> tuple[Steering, tuple[Change, ...]]:
    """The TTLs in force from now on, and which of them are others than before.

    ``policy`` is the file's; ``advised`` is what was said last, no matter how often it was handed in already. While
    the ``level`` is not known only the file changes anything; from preventive on nothing grows or becomes stale.
    """
    calm = level is not None and level < Level.PREVENTIVE
    calm_since_s = (now_s if before.calm_since_s is None else before.calm_since_s) if calm else None
    # A gap in which nobody looked, as while the server was away, is no hour without a recommendation.
    quiet_s = min(STALE_S / 2, max(0.0, now_s - before.at_s)) if calm and before.at_s > -inf else 0.0
    measured = calm_since_s is not None and now_s - calm_since_s >= PERIOD_S
    after: dict[str, Steered] = {}
    for ns in policy.adjustable:
        one = _by_file(before.namespaces.get(ns.name), ns, now_s)
        if level is not None:
            one = _heard(replace(one, quiet_s=one.quiet_s + quiet_s), ns.name, advised, measured=measured)
            one = _moved(one, ns, now_s, calm=calm)
        after[ns.name] = one
    return Steering(now_s, after, calm_since_s), tuple(_changes(before, after, policy))


def _by_file(before: Steered | None, ns: NamespacePolicy, now_s: float) -> Steered:
    """As the file has it: anew where its TTL is another one, else within its bounds."""
    ttl_s = ns.ttl_s or 0.0  # whatever may be adjusted has one
    if before is None:
        return Steered(ttl_s, ttl_s, now_s)
    if before.file_s != ttl_s:
        # What was recommended before was so for what the file said then.
        return Steered(ttl_s, ttl_s, now_s, "the policy file has a new ttl", heard_at_s=now_s)
    bounded_s = _bounded(before.ttl_s, ns)
    return before if bounded_s == before.ttl_s else _set(before, bounded_s, now_s, "the policy file has new bounds")


def _heard(one: Steered, name: str, advised: Advised | None, *, measured: bool) -> Steered:
    """With what was said since."""
    if advised is None or advised.at_s <= one.heard_at_s:
        return one
    hit_ratio = advised.hit_ratios.get(name) if measured else None
    one = replace(one, heard_at_s=advised.at_s, hit_ratio=hit_ratio)
    wanted_s = advised.ttls.get(name)
    return one if wanted_s is None else replace(one, wanted_s=wanted_s, quiet_s=0.0)


def _moved(one: Steered, ns: NamespacePolicy, now_s: float, *, calm: bool) -> Steered:
    """One step, where there is one to make."""
    if calm and one.best is not None and one.hit_ratio is not None and one.hit_ratio < one.best - GUARD:
        return _guarded(one, now_s)
    wanted_s = None if one.quiet_s >= STALE_S else one.wanted_s
    aim_s = one.file_s if wanted_s is None else _bounded(wanted_s, ns)
    one = _leaned(one, aim_s, now_s)
    why = _why(wanted_s, aim_s)
    stood = now_s - max(one.leaning_since_s, one.since_s) >= PERIOD_S
    if one.leaning > 0 and calm:
        if one.ttl_s < one.file_s:
            return _set(one, min(aim_s, one.file_s), now_s, why)
        return _set(one, min(aim_s, STEP_UP * one.ttl_s), now_s, why) if stood else one
    if one.leaning < 0 and stood and now_s >= one.resting_until_s:
        measured = [ratio for ratio in (one.best, one.hit_ratio) if ratio is not None]
        one = replace(one, best=max(measured, default=None))
        return _set(one, max(aim_s, (1 - STEP_DOWN) * one.ttl_s), now_s, f"{why}, a tenth at a time")
    return one


def _leaned(one: Steered, aim_s: float, now_s: float) -> Steered:
    """With the direction that it has to go. Nearly there is there, but for the file's TTL, which is reached."""
    near = abs(aim_s / one.ttl_s - 1) <= (0 if aim_s == one.file_s else NOISE)
    leaning = 0 if near else 1 if aim_s > one.ttl_s else -1
    return one if leaning == one.leaning else replace(one, leaning=leaning, leaning_since_s=now_s)


def _guarded(one: Steered, now_s: float) -> Steered:
    """Back, for hits were lost."""
    fell = f"its hit ratio fell from {format_share(one.best or 0.0)} to {format_share(one.hit_ratio or 0.0)}"
    reason = f"{fell}, so it stays for {format_duration(REST_S)}"
    rested = replace(one, best=None, resting_until_s=now_s + REST_S)
    return _set(rested, max(one.ttl_s, one.file_s), now_s, reason)


def _why(wanted_s: float | None, aim_s: float) -> str:
    if wanted_s is None:
        return f"nothing was recommended for {format_duration(STALE_S)}"
    bound = "" if wanted_s == aim_s else f", beyond its {'min_ttl' if wanted_s < aim_s else 'max_ttl'}"
    return f"{format_duration(wanted_s)} is recommended{bound}"


def _set(one: Steered, ttl_s: float, now_s: float, reason: str) -> Steered:
    """With another TTL. At the file's and above no step down is in force any more."""
    best = one.best if ttl_s < one.file_s else None
    return replace(one, ttl_s=ttl_s, since_s=now_s, reason=reason, best=best)


def _bounded(ttl_s: float, ns: NamespacePolicy) -> float:
    return min(max(ttl_s, ns.min_ttl_s or ttl_s), ns.max_ttl_s or ttl_s)


def _changes(before: Steering, after: Mapping[str, Steered], policy: Policy) -> Iterator[Change]:
    """Namespaces whose TTL is another one; those that are not to be adjusted any more have the file's."""
    for ns in policy.namespaces:
        was, now = before.namespaces.get(ns.name), after.get(ns.name)
        ttl_s, reason = (now.ttl_s, now.reason) if now else (ns.ttl_s, "the policy file does not leave it to auto")
        if was is not None and ttl_s is not None and was.ttl_s != ttl_s:
            yield Change(ns.name, was.ttl_s, ttl_s, ns.ttl_s or ttl_s, reason)
