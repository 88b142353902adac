"""What ages and idle times of keys tell, against what was really read."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from spillgate.model import KeySample
from spillgate.policy.ttl_ages import Untold, ages_of

if TYPE_CHECKING:
    from collections.abc import Callable

TTL_S = 3600.0


def snapshot(
    reads_of: Callable[[random.Random], list[float]], count: int, *, seed: int = 1, ttl_s: float = TTL_S
) -> tuple[list[KeySample], list[list[float]]]:
    """Keys written at any time within the last TTL, looked at now; and all reads of each, as seconds after writing.

    ``reads_of`` makes them up.
    """
    chance = random.Random(seed)
    keys: list[KeySample] = []
    reads: list[list[float]] = []
    for _ in range(count):
        age = chance.random() * ttl_s
        times = [time for time in reads_of(chance) if time < ttl_s]
        used = max((time for time in times if time <= age), default=0.0)
        keys.append(KeySample(int(age - used), int((ttl_s - age) * 1000), 500))
        reads.append(times)
    return keys, reads


def soon_after(chance: random.Random) -> list[float]:
    """Most keys are read some times within minutes."""
    times = [0.0]
    for _ in range(chance.randrange(5)):
        times.append(times[-1] + chance.expovariate(1 / 60))
    return times[1:]


def for_ever(chance: random.Random) -> list[float]:
    """Some keys are read again and again, the others never."""
    every = chance.choice([30.0, 300.0, 1e9])
    return [every * chance.uniform(0.5, 1.5) * number for number in range(1, int(TTL_S / every) + 1)]


@pytest.mark.parametrize("reads_of", [soon_after, for_ever])
def test_the_share_of_keys_read_later_is_within_its_bounds(reads_of: Callable[[random.Random], list[float]]) -> None:
    keys, reads = snapshot(reads_of, 4000)
    ages = ages_of(keys, TTL_S)
    for t_s in (60.0, 300.0, 600.0, 1800.0):
        later = ages.later(t_s)
        assert later is not None
        truth = sum(any(time > t_s for time in times) for times in reads) / len(reads)
        assert later.low - 0.02 <= truth <= later.high + 0.001


def test_what_a_shorter_ttl_frees_and_how_much_more_is_rebuilt() -> None:
    keys, _ = snapshot(soon_after, 4000)
    ages = ages_of(keys, TTL_S)
    freed, more = ages.freed(900.0), ages.rebuilt(900.0)
    assert freed is not None
    assert more is not None
    assert freed.low < 0.75 < freed.high + 0.02  # keys are spread evenly over their hour
    assert more.high < 0.05
    hot = ages_of(snapshot(for_ever, 4000)[0], TTL_S).rebuilt(900.0)
    assert hot is not None
    assert hot.high > 1


def test_keys_that_nobody_reads_look_like_those_whose_reads_renew_them() -> None:
    keys, _ = snapshot(lambda _: [], 500)
    assert ages_of(keys, TTL_S).renewed
    keys, _ = snapshot(soon_after, 500)
    assert not ages_of(keys, TTL_S).renewed


def test_without_a_policy_the_ttl_is_drawn_from_what_keys_have_left() -> None:
    keys, _ = snapshot(soon_after, 500)
    for said in (None, 10 * TTL_S):
        ages = ages_of(keys, said)
        assert ages.guessed
        assert ages.ttl_s == pytest.approx(TTL_S, rel=0.02)
    assert not ages_of(keys, TTL_S).guessed


@pytest.mark.parametrize(
    ("keys", "ttl_s", "reason"),
    [
        ([], TTL_S, "no key"),
        ([KeySample(1, None, 1)] * 60, TTL_S, "60 of 60 keys looked at have no TTL"),
        ([KeySample(None, 1000, 1)] * 60, TTL_S, "LFU"),
        ([KeySample(1, 7_200_000, 1)] * 60, TTL_S, "live longer than its ttl says"),
        ([KeySample(1, 1000, 1)] * 9, None, "only 9 keys"),
    ],
)
def test_why_ages_are_unknown(keys: list[KeySample], ttl_s: float | None, reason: str) -> None:
    with pytest.raises(Untold, match=reason):
        ages_of(keys, ttl_s)
