"""Which TTL a key gets."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.cache.lifetime import Lifetime, Ttl, seconds_of
from spillgate.config import Cleanup, NamespacePolicy
from spillgate.errors import ConfigError, UnitError
from spillgate.model import Level

LEAST_S = 0.001
ALARMED = (Level.EMERGENCY, Level.CRITICAL)


def lifetime(ttl_s: float | None = 600.0, cleanup: Cleanup = Cleanup.CLEAR, **settings: Any) -> Lifetime:
    """TTLs of a namespace with these settings; without jitter, unless it is among them."""
    settings = {"jitter": 0.0, **settings}
    return Lifetime.of(NamespacePolicy("things", ("things:*",), ttl_s, cleanup, 1, **settings))


# ---- TTLs as callers give them


@pytest.mark.parametrize(
    ("given_ttl", "seconds"),
    [
        (5, 5.0),
        (0.25, 0.25),
        (timedelta(minutes=2), 120.0),
        ("15m", 900.0),
        ("1h30m", 5400.0),
        ("100ms", 0.1),
        (math.inf, math.inf),
    ],
)
def test_a_ttl_is_seconds_a_timedelta_or_a_duration_as_in_the_policy(given_ttl: Ttl, seconds: float) -> None:
    assert seconds_of(given_ttl) == seconds


def test_what_is_no_ttl_is_an_error() -> None:
    with pytest.raises(UnitError, match=r'expected a duration such as .*, got "15"'):
        seconds_of("15")
    for nothing in (math.nan, 0, -5, timedelta(0), "0s"):
        with pytest.raises(ValueError, match="expected a TTL above 0 seconds"):
            seconds_of(nothing)
    assert seconds_of(None) is None


def test_a_namespace_without_a_ttl_cannot_be_used() -> None:
    with pytest.raises(
        ConfigError, match=r"the namespace 'things' has no ttl, and no key is stored without one: add ttl"
    ):
        lifetime(None, Cleanup.NEVER)


# ---- bounds


def test_without_a_wish_a_key_gets_the_namespaces_ttl() -> None:
    assert lifetime().at(Level.NORMAL) == 600


@pytest.mark.parametrize(
    ("wish_s", "ttl_s"),
    [(0.5, 0.5), (99, 99), (100, 100), (600, 600), (2400, 2400), (2401, 2400), (math.inf, 2400)],
)
def test_a_wish_is_bounded_from_above(wish_s: float, ttl_s: float) -> None:
    assert lifetime().at(Level.NORMAL, wish_s) == ttl_s


bounded = lifetime(min_ttl_s=60.0, max_ttl_s=3600.0, emergency_ttl_s=50.0, critical_ttl_s=20.0)
wishes = st.none() | st.floats(0, exclude_min=True, allow_nan=False)
stales = st.just(0.0) | st.floats(0, allow_nan=False)
chances = st.floats(0, 1)
levels = st.sampled_from(Level)


@given(levels, wishes, stales, chances, st.floats(0, 1), st.booleans())
def test_jitter_makes_a_ttl_never_longer_and_never_less_than_a_millisecond(
    level: Level,
    wish_s: float | None,
    stale_s: float,
    chance: float,
    jitter: float,
    protected: bool,  # noqa: FBT001 (a parameter)
) -> None:
    cleanup = Cleanup.NEVER if protected else Cleanup.CLEAR
    jittered = lifetime(cleanup=cleanup, jitter=jitter).at(level, wish_s, stale_s, lambda: chance)
    longest = lifetime(cleanup=cleanup).at(level, wish_s, stale_s)
    assert LEAST_S <= jittered <= longest <= 2400
    assert jittered >= longest * (1 - jitter) * (1 - 1e-9) or jittered == LEAST_S


def test_keys_written_together_expire_apart() -> None:
    spread = {lifetime(jitter=0.1).at(Level.NORMAL) for _ in range(200)}
    assert len(spread) > 150
    assert 540 <= min(spread) < 560
    assert 580 < max(spread) <= 600


def test_even_a_jitter_of_all_leaves_a_ttl() -> None:
    assert lifetime(jitter=1.0).at(Level.NORMAL, chance=lambda: 1.0) == LEAST_S


# ---- levels


@pytest.mark.parametrize(
    ("level", "ttl_s"),
    [(Level.NORMAL, 600), (Level.WARNING, 600), (Level.PREVENTIVE, 600), (Level.EMERGENCY, 50), (Level.CRITICAL, 20)],
)
def test_each_level_has_its_ttl(level: Level, ttl_s: float) -> None:
    assert bounded.at(level) == ttl_s
    assert bounded.at(level, 3600.0, 3600.0) == max(ttl_s, 20) if level in ALARMED else 3600
    assert bounded.cap(level) == (ttl_s if level in ALARMED else None)


@given(wishes, stales)
def test_a_worse_level_never_lengthens_a_ttl(wish_s: float | None, stale_s: float) -> None:
    ttls = [bounded.at(level, wish_s, stale_s) for level in Level]
    assert ttls == sorted(ttls, reverse=True)


@given(levels, wishes, stales)
def test_a_protected_namespace_keeps_its_ttls_at_any_level(level: Level, wish_s: float | None, stale_s: float) -> None:
    protected = lifetime(cleanup=Cleanup.NEVER)
    assert protected.cap(level) is None
    assert protected.at(level, wish_s, stale_s) == protected.at(Level.NORMAL, wish_s, stale_s)
    assert protected.stale_part(level, wish_s, stale_s) == protected.stale_part(Level.NORMAL, wish_s, stale_s)


# ---- the stale part


def test_a_key_is_kept_longer_for_serving_it_stale() -> None:
    assert lifetime().at(Level.NORMAL, None, 300.0) == 900
    assert lifetime().stale_part(Level.NORMAL, None, 300.0) == 300
    assert lifetime().stale_part(Level.NORMAL, None, 0.0) == 0


@pytest.mark.parametrize("stale_s", [86_400.0, 1e300, math.inf])
def test_a_long_stale_part_is_cut_and_not_the_time_for_which_the_value_is_fresh(stale_s: float) -> None:
    assert lifetime().at(Level.NORMAL, None, stale_s) == 2400
    assert lifetime().stale_part(Level.NORMAL, None, stale_s) == 1800
    assert lifetime().stale_part(Level.NORMAL, 5000.0, stale_s) == 0


def test_a_level_cuts_both_parts_alike() -> None:
    assert bounded.at(Level.EMERGENCY, 100.0, 100.0) == 50
    assert bounded.stale_part(Level.EMERGENCY, 100.0, 100.0) == 25


@given(levels, wishes, st.floats(allow_nan=False), st.booleans())
def test_the_stale_part_is_some_of_the_ttl_and_no_more_than_was_asked_for(
    level: Level,
    wish_s: float | None,
    stale_s: float,
    protected: bool,  # noqa: FBT001 (a parameter)
) -> None:
    one = lifetime(cleanup=Cleanup.NEVER if protected else Cleanup.CLEAR)
    part = one.stale_part(level, wish_s, stale_s)
    kept = one.at(level, wish_s, stale_s)
    assert 0 <= part <= max(0.0, stale_s) * (1 + 1e-9)
    assert part < kept
    if one.cap(level) is None:
        assert kept - part == pytest.approx(one.at(level, wish_s))
