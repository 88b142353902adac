"""How long after writing keys are still read, from the server alone: a bound, for nobody saw the reads.

Of a key that was written with a TTL of ``ttl`` and has ``left`` to live, the age is ``ttl - left``; the server tells
for how long it has been idle, so it was last used ``age - idle`` after it was written. What is asked is whether a key
is read later than some time ``t`` after writing, at any time of its life; a key that is alive has not told all yet.
This is current-status data, as in survival analysis (Sun, The Statistical Analysis of Interval-censored Failure Time
Data, 2006, chapter 3): each key tells of one moment alone. So there are two ends:

- at least the keys that were used later than ``t`` already;
- at most these and all those used within as long a time as they have left, which are taken to be used again.

Both are of keys in the older half of their life beyond ``t``, which have told most. A shorter TTL of ``t`` makes each
key that is read later be written again, at most once every ``t``: so rebuilding grows by no more than the share of such
keys times ``ttl / t``.

What biases it: whoever touches keys (EXPIRE, a look at all values) makes them look used, which errs on the side of
longer TTLs, as does a TTL that is shorter than assumed. Where reading renews TTLs, ages begin anew with each read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spillgate.model import Estimate, KeySample
from spillgate.policy.findings.numbers import share

_SLACK_S = 2.0  # idle times are of whole seconds, and both are asked one after the other
_OFF = 1.01
_MOST_OFF = 0.2  # of the keys, that live longer than the TTL says
_FEW = 50
_GUESS = 4.0  # a TTL drawn from so many keys is too long by no more than this over their number, as a share of it


class Untold(Exception):
    """Nothing can be told, for the reason given."""


@dataclass(frozen=True, slots=True)
class Age:
    """One key: how long ago it was written, for how long it is idle, how long it has to live, and its size."""

    age_s: float
    idle_s: float
    left_s: float
    size_bytes: float

    @property
    def used_s(self) -> float:
        """How long after it was written it was last used."""
        return max(0.0, self.age_s - self.idle_s)


@dataclass(frozen=True, slots=True)
class Ages:
    """Sampled keys of one namespace. ``guessed`` says that ``ttl_s`` was drawn from what the keys have left.

    ``spread_s`` is how much younger than it looks a key may be.
    """

    ttl_s: float
    keys: tuple[Age, ...]
    spread_s: float = 0.0
    guessed: bool = False

    @property
    def renewed(self) -> bool:
        """Whether next to no key was used after it was written: nobody reads them, or each read renews their TTL."""
        used = sum(key.used_s > _SLACK_S + self.spread_s for key in self.keys)
        return used < max(1.0, 0.02 * len(self.keys))

    def old(self, t_s: float) -> list[Age]:
        """The keys in the older half of their life beyond ``t_s``."""
        return [key for key in self.keys if key.age_s >= (t_s + self.ttl_s) / 2]

    def later(self, t_s: float) -> Estimate | None:
        """The share of keys read later than ``t_s`` after writing; None where no key is old enough to tell."""
        old = self.old(t_s)
        sure = share((float(key.used_s > t_s + _SLACK_S), 1.0) for key in old)
        maybe = share((float(key.used_s > t_s + _SLACK_S or key.idle_s <= key.left_s), 1.0) for key in old)
        return Estimate(sure.value, sure.low, maybe.high) if sure and maybe else None

    def rebuilt(self, t_s: float) -> Estimate | None:
        """How much more would be written with a TTL of ``t_s``, as a share of what is now: between 0 and the bound."""
        later = self.later(t_s)
        if later is None:
            return None
        times = self.ttl_s / t_s
        return Estimate(later.value * times, 0.0, later.high * times)

    def freed(self, t_s: float) -> Estimate | None:
        """The share of bytes that a TTL of ``t_s`` frees: of keys older than that which were not used later."""
        gone = share(
            ((key.size_bytes if key.age_s > t_s and key.used_s <= t_s + _SLACK_S else 0.0), key.size_bytes)
            for key in self.keys
        )
        older = share(((key.size_bytes if key.age_s > t_s else 0.0), key.size_bytes) for key in self.keys)
        return Estimate(gone.value, gone.low, older.high) if gone and older else None


def ages_of(sample: Sequence[KeySample], ttl_s: float | None, jitter: float = 0.0) -> Ages:
    """The ages of sampled keys that were written with a TTL of ``ttl_s``, None where nobody says which.

    Raises:
        Untold: they cannot be told.
    """
    if not sample:
        raise Untold("no key of it was looked at closely")
    timed = [(key.ttl_ms / 1000, key) for key in sample if key.ttl_ms is not None and key.ttl_ms >= 0]
    if len(timed) * 2 < len(sample):
        raise Untold(f"{len(sample) - len(timed)} of {len(sample)} keys looked at have no TTL, so their age is unknown")
    if all(key.idle_s is None for _, key in timed):
        raise Untold("the server tells no idle times (it keeps none under an LFU policy, or OBJECT is forbidden)")
    longest = max(left for left, _ in timed)
    written = _written_with(ttl_s, longest, len(timed))
    guessed = written != ttl_s
    off = sum(left > written * _OFF + _SLACK_S for left, _ in timed)
    if off > _MOST_OFF * len(timed):
        raise Untold(f"{off} of {len(timed)} keys looked at live longer than its ttl says, so their age is unknown")
    keys = tuple(_ages(timed, written))
    return Ages(written, keys, _GUESS * written / len(timed) if guessed else written * jitter, guessed)


def _written_with(ttl_s: float | None, longest_left_s: float, keys: int) -> float:
    """The TTL that keys were written with: as is said, unless all have far less left, else what they seem to have."""
    if ttl_s is not None and (keys < _FEW or longest_left_s > ttl_s / 2):
        return ttl_s
    if keys < _FEW:
        raise Untold(f"only {keys} keys with a TTL were looked at: too few to tell which TTL they were written with")
    return float(round(longest_left_s * (1 + 2 / keys)))


def _ages(timed: Iterable[tuple[float, KeySample]], ttl_s: float) -> Iterable[Age]:
    for left, key in timed:
        if key.idle_s is not None and left <= ttl_s * _OFF + _SLACK_S:
            yield Age(max(0.0, ttl_s - left), float(key.idle_s), left, float(key.size_bytes or 1))
