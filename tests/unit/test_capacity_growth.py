"""Growth: what grows is told from what does not, and both from what nobody can know."""

from __future__ import annotations

import math
import random

import pytest

from spillgate.policy.capacity_growth import DAY_S, HOUR_S, Reading, time_to, trend

MB = 1 << 20
START_S = 1_800_000_000.0


def readings(
    hours: float, per_day: float, *, every_s: float = 600, noise: float = 0, cycle: float = 0
) -> list[Reading]:
    """Memory of 5 MB that grows, with the same chance every time."""
    chance = random.Random(3)
    count = int(hours * HOUR_S / every_s)
    return [
        (
            START_S + i * every_s,
            5 * MB
            + per_day * i * every_s / DAY_S
            + cycle * math.sin(2 * math.pi * i * every_s / DAY_S)
            + chance.gauss(0, noise),
        )
        for i in range(count)
    ]


def test_two_readings_are_no_growth() -> None:
    found = trend([(START_S, 5 * MB), (START_S + 3600, 6 * MB)])
    assert found.per_day is None
    assert "unknown: 2 readings in the history" in found.reason
    assert trend([]).reason.startswith("unknown: no reading")
    short = trend([(START_S + i, 5 * MB + i) for i in range(600)])
    assert short.per_day is None
    assert "long" in short.reason


def test_growth_is_found_beneath_noise_cleanups_and_a_daily_cycle() -> None:
    seen = readings(24 * 6, 2 * MB, noise=0.2 * MB, cycle=3 * MB)
    for i in range(0, len(seen), 50):
        seen[i : i + 8] = [(at_s, MB) for at_s, _ in seen[i : i + 8]]  # the server was restarted, or cleaned up
    found = trend(seen)
    assert found.per_day is not None
    assert found.per_day.value == pytest.approx(2 * MB, rel=0.05)
    assert found.per_day.low <= 2 * MB <= found.per_day.high
    assert found.grows
    assert found.note == ""


@pytest.mark.parametrize("seen", [readings(48, 0), readings(24 * 5, 0, noise=MB), readings(24 * 4, 0, cycle=4 * MB)])
def test_what_does_not_grow_is_said_not_to(seen: list[Reading]) -> None:
    found = trend(seen)
    assert found.reason == "not growing"
    assert found.per_day is not None
    assert found.per_day.low <= 0 <= found.per_day.high
    assert time_to(MB, found) == (None, "not growing")


def test_what_shrinks_never_arrives() -> None:
    found = trend(readings(24 * 5, -MB, noise=0.1 * MB))
    assert found.reason == "shrinking"
    assert time_to(MB, found) == (None, "shrinking")


def test_a_cycle_is_not_carried_on_from_under_a_day() -> None:
    morning = trend(readings(6, 0, cycle=4 * MB))  # the rise of every morning
    assert morning.grows
    assert "cannot tell a daily cycle from growth" in morning.note
    soon, _ = time_to(MB, morning)
    later, reason = time_to(100 * MB, morning)
    assert soon is not None
    assert later is None
    assert "not within 6h" in reason.replace("5h50m", "6h")


def test_the_time_to_a_level_has_an_interval() -> None:
    found = trend(readings(24 * 7, MB, noise=0.2 * MB))
    reached, _ = time_to(10 * MB, found)
    assert reached is not None
    assert reached.low <= 10 * DAY_S <= reached.high
    assert reached.high < 12 * DAY_S
    assert time_to(-1, found)[1] == "there already"
    assert time_to(1000 * MB, found)[0] is None


def test_intervals_hold_the_truth() -> None:
    """Noise that clings to itself, as memory does; at 95 % wanted, fewer than 170 of 200 come once in ten million."""
    chance = random.Random(20)
    held = 0
    for _ in range(200):
        off, seen = 0.0, list[Reading]()
        for i in range(300):
            off = 0.5 * off + chance.gauss(0, 0.2 * MB)
            seen.append((START_S + i * 240, 5 * MB + i * 240 / DAY_S * MB + off))
        found = trend(seen).per_day
        held += found is not None and found.low <= MB <= found.high
    assert held >= 170
