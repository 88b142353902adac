"""Which TTL a key gets: none is stored without one."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast, overload

from spillgate.config import NamespacePolicy
from spillgate.errors import ConfigError
from spillgate.model import Level
from spillgate.units import parse_duration

Ttl = float | timedelta | str
"""A TTL as callers give it: seconds, a timedelta, or a text as in the policy file ("15m")."""

_LEAST_S = 0.001


@overload
def seconds_of(ttl: Ttl) -> float: ...
@overload
def seconds_of(ttl: Ttl | None) -> float | None: ...
def seconds_of(ttl: Ttl | None) -> float | None:
    """The seconds of a TTL; None of none.

    Raises:
        UnitError: it is a text, and no duration.
        ValueError: it is not a number of seconds above 0.
    """
    if ttl is None:
        return None
    seconds = (
        parse_duration(ttl)
        if isinstance(ttl, str)
        else (ttl.total_seconds() if isinstance(ttl, timedelta) else float(ttl))
    )
    if not seconds > 0:  # also where it is not a number
        message = f"expected a TTL above 0 seconds, got {ttl!r}; to have no value, delete it"
        raise ValueError(message)
    return seconds


@dataclass(frozen=True, slots=True)
class Lifetime:
    """TTLs of one namespace, in seconds: within its bound, a little random, shorter under pressure.

    What a caller asks for is bounded from above. A shorter TTL than ``min_ttl``, which is a bound for who changes the
    policy, is the caller's right: a session or a code that is to end soon must not live longer.
    """

    ttl_s: float
    max_ttl_s: float
    emergency_ttl_s: float
    critical_ttl_s: float
    jitter: float
    protected: bool

    @classmethod
    def of(cls, policy: NamespacePolicy) -> "Lifetime":
        """The TTLs that the policy says.

        Raises:
            ConfigError: it has no ``ttl``, so its keys could not be given one.
        """
        if policy.ttl_s is None:
            raise ConfigError(
                f"the namespace {policy.name!r} has no ttl, and no key is stored without one: "
                f'add ttl = "15m", or what fits, to it in the policy file'
            )
        # Where there is a ttl the policy has all of them.
        max_ttl_s, emergency_ttl_s, critical_ttl_s = cast(
            "tuple[float, float, float]", (policy.max_ttl_s, policy.emergency_ttl_s, policy.critical_ttl_s)
        )
        return cls(policy.ttl_s, max_ttl_s, emergency_ttl_s, critical_ttl_s, policy.jitter, policy.protected)

    def with_ttl(self, ttl_s: float | None) -> "Lifetime":
        """These, but for another TTL of keys whose writer names none; as they are where it is None."""
        return self if ttl_s is None else replace(self, ttl_s=ttl_s)

    def at(
        self,
        level: Level,
        ttl_s: float | None = None,
        stale_s: float = 0.0,
        chance: Callable[[], float] = random.random,
    ) -> float:
        """The TTL of a key written at ``level``.

        ``ttl_s`` is the caller's wish, bounded by the policy; ``stale_s`` is how much longer the key is kept, as far as
        bounds and level let it. ``chance`` gives a number from 0 to 1 by which the key expires sooner, so that keys
        written together do not expire together. A protected namespace keeps its TTLs at any level.
        """
        return max(_LEAST_S, self.longest(level, ttl_s, stale_s) * self.share(chance))

    def share(self, chance: Callable[[], float] = random.random) -> float:
        """The share of its longest TTL that a key gets, a little less than all by ``chance``."""
        return 1 - self.jitter * chance()

    def stale_part(self, level: Level, ttl_s: float | None, stale_s: float) -> float:
        """How much of the TTL that `at` gives is for serving a stale value: less than asked for where it is cut.

        The namespace's bounds cut it first, so that a long one does not make a value stale before its time; what the
        level cuts, it takes from both parts alike.
        """
        stale_s = self._bounded_stale(ttl_s, stale_s)
        if not stale_s:
            return 0.0
        return self.longest(level, ttl_s, stale_s) * stale_s / (self._bounded(ttl_s) + stale_s)

    def cap(self, level: Level) -> float | None:
        """The longest TTL that a key may get at ``level``, None where the level caps nothing."""
        if self.protected or level < Level.EMERGENCY:
            return None
        return self.critical_ttl_s if level >= Level.CRITICAL else self.emergency_ttl_s

    def _bounded(self, ttl_s: float | None) -> float:
        return self.ttl_s if ttl_s is None else min(max(ttl_s, _LEAST_S), self.max_ttl_s)

    def _bounded_stale(self, ttl_s: float | None, stale_s: float) -> float:
        return max(0.0, min(stale_s, self.max_ttl_s - self._bounded(ttl_s)))

    def longest(self, level: Level, ttl_s: float | None, stale_s: float) -> float:
        """What `at` gives where chance takes nothing off."""
        cap = self.cap(level)
        if cap is None and not stale_s:
            return self._bounded(ttl_s)
        kept_s = self._bounded(ttl_s) + self._bounded_stale(ttl_s, stale_s)
        return min(kept_s, self.max_ttl_s, self.max_ttl_s if cap is None else cap)
