"""What the advisor knows of one namespace, and the TTLs that it may have."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from spillgate.model import Estimate
from spillgate.policy.ttl_ages import Ages
from spillgate.policy.ttl_choice import Option, ttls_between
from spillgate.policy.ttl_curve import Curve, Point
from spillgate.units import format_duration, format_share

SHORTEST_S = 10.0
"""Shorter TTLs are not looked into."""

_LEAST_READS = 200
_MOST_UNKNOWN = 0.4
_MOST_UNKNOWN_OF_ANOTHER = 0.2
_LEAST_PROTECTED_READS = 1000
_TIMES_PROTECTED = 5
_MOST_PROTECTED_LOST = 0.002
# It must have been recorded for so many times a TTL.
_TIMES_RECORDED = 2
_AS_RECORDED = 1.5  # times what was recorded is still the same


@dataclass(frozen=True, slots=True)
class Subject:
    """One namespace, or one prefix where ``named`` is False, with what was seen of it: nothing, for ``why``.

    ``bytes`` are what a census finds now, with the keys' part of the server's key tables. ``cost`` is what rebuilding a
    value takes, in any unit that all subjects share. ``trimmed`` is whether its policy may have a budget.
    """

    name: str
    ttl_s: float | None
    min_s: float | None = None
    max_s: float | None = None
    protected: bool = False
    jitter: float = 0.0
    cost: float = 1.0
    bytes: Estimate | None = None
    curve: Curve | None = None
    ages: Ages | None = None
    why: str = ""
    named: bool = True
    trimmed: bool = False

    def measured(self) -> "Measured | str":
        """It with its curve, or why that tells too little."""
        curve, ttl_s = self.curve, self.ttl_s
        if curve is None:
            return self.why
        if ttl_s is None:
            return "it has no ttl in the policy, so there is none to compare with: give it one"
        if curve.reads < _LEAST_READS:
            return f"only {curve.reads:,} reads were recorded: too few to tell anything; ask again later"
        if ttl_s < SHORTEST_S:
            return f"its ttl is shorter than the shortest that is looked into, {format_duration(SHORTEST_S)}"
        measured = Measured(self, curve, ttl_s)
        unknown = measured.at(ttl_s).unknown
        if unknown <= _MOST_UNKNOWN:
            return measured
        return (
            f"recorded for {format_duration(curve.recorded_s)} only: of {format_share(unknown)} of its reads nobody "
            f"can tell yet whether a TTL of {format_duration(ttl_s)} makes them hits; ask again later"
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """A namespace whose reads were recorded, with the TTL that it has now."""

    subject: Subject
    curve: Curve
    ttl_s: float

    @property
    def name(self) -> str:
        """The namespace's name."""
        return self.subject.name

    @property
    def worth_per_s(self) -> float:
        """What it would be worth if each read were a hit."""
        return self.curve.reads_per_s * self.subject.cost

    def at(self, ttl_s: float) -> Point:
        """The curve with this TTL in the policy."""
        return self.curve.at(self._lived(ttl_s))

    def _lived(self, ttl_s: float) -> float:
        """How long keys live on average: jitter takes up to a share of it off."""
        return ttl_s * (1 - self.subject.jitter / 2)

    def lost(self, then_s: float) -> Estimate:
        """Hits lost with another TTL, as a share of reads."""
        return self.curve.lost(self._lived(self.ttl_s), self._lived(then_s))

    def freed(self, then_s: float) -> Estimate:
        """Bytes freed with another TTL."""
        if self.is_beyond and self.subject.bytes is not None:
            size, then = self.subject.bytes, self.at(then_s).bytes
            return Estimate(size.value - then.value, size.low - then.high, size.high - then.low)
        return self.curve.freed(self._lived(self.ttl_s), self._lived(then_s))

    @property
    def is_beyond(self) -> bool:
        """Whether its TTL is longer than any that was looked into."""
        return self._lived(self.ttl_s) > self.curve.longest_s

    @property
    def others_bytes(self) -> float:
        """What the census finds beyond all that the recording accounts for: keys that others write, it seems."""
        if self.subject.bytes is None or self.is_beyond:
            return 0.0
        more = self.subject.bytes.low - self.at(self.ttl_s).bytes.high
        return more if more > (_AS_RECORDED - 1) * self.at(self.ttl_s).bytes.value else 0.0

    def bytes_at(self, ttl_s: float) -> Estimate:
        """What it holds with this TTL, others' keys included."""
        size, others = self.at(ttl_s).bytes, self.others_bytes
        if ttl_s == self.ttl_s and self.is_beyond and self.subject.bytes is not None:
            return self.subject.bytes
        return Estimate(size.value + others, size.low + others, size.high + others)

    def option(self, ttl_s: float) -> Option:
        """A TTL with what it takes and is worth."""
        return Option(ttl_s, self.bytes_at(ttl_s).value, self.worth_per_s * self.at(ttl_s).hit_ratio.value)

    def menu(self) -> tuple[Option, ...]:
        """The TTLs that may be recommended, that of now among them, shortest first; a longer one is worth no less."""
        options: list[Option] = []
        for ttl_s in sorted({self.ttl_s, *self._candidates()}):
            option = self.option(ttl_s)
            worth = max(option.worth, options[-1].worth if options else 0.0)  # but for chance it is
            options.append(Option(ttl_s, option.bytes, worth))
        return tuple(options)

    @property
    def bounds(self) -> tuple[float, float]:
        """The shortest and the longest TTL that its policy allows."""
        least = max(SHORTEST_S, self.subject.min_s or 0.0)
        return least, self.subject.max_s if self.subject.max_s is not None else math.inf

    def _candidates(self) -> Iterator[float]:
        least, most = self.bounds
        most = min(most, self.curve.longest_s)
        for ttl_s in {*ttls_between(least, most), float(math.ceil(least)), float(math.floor(most))}:
            if least <= ttl_s <= most and self._may_be(ttl_s):
                yield ttl_s

    def _may_be(self, ttl_s: float) -> bool:
        if ttl_s > self.ttl_s:
            told = self.is_recorded(ttl_s) and self.at(ttl_s).unknown <= _MOST_UNKNOWN_OF_ANOTHER
            return told and self.lost(ttl_s).high < 0  # a longer one must win something for sure
        return ttl_s == self.ttl_s or not self.subject.protected or self.loses_nothing(ttl_s)

    def is_recorded(self, ttl_s: float) -> bool:
        """Whether it was recorded for long enough to tell of this TTL."""
        return ttl_s * _TIMES_RECORDED <= self.curve.recorded_s

    def loses_nothing(self, ttl_s: float) -> bool:
        """Whether next to no read would miss with this TTL: what a protected namespace's may be shortened to."""
        told = self.curve.reads >= _LEAST_PROTECTED_READS and _TIMES_PROTECTED * self.ttl_s <= self.curve.recorded_s
        lost, off = self.lost(ttl_s).value, self.curve.sampling_error(self._lived(self.ttl_s), self._lived(ttl_s))
        return told and lost + off <= _MOST_PROTECTED_LOST
