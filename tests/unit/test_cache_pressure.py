"""What the cache library knows of the server's memory, and which writes it sheds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.cache.pressure import LOOK_S, Pressure
from spillgate.config import Policy, parse_policy
from spillgate.model import Level

MB = 1024 * 1024
POLICY = """
[server]
{server}

[[namespace]]
name = "third"
keys = "app:third:*"
ttl = "10m"
cleanup = "clear"
priority = 7

[[namespace]]
name = "protected"
keys = "app:protected:*"
ttl = "10m"

[[namespace]]
name = "first"
keys = "app:first:*"
ttl = "10m"
cleanup = "clear"
priority = 1

[[namespace]]
name = "second"
keys = "app:second:*"
ttl = "10m"
cleanup = "shorten"
priority = 1
"""


def policy(server: str = 'limit = "100MB"') -> Policy:
    """Three namespaces that may be shed, and one that may not."""
    return parse_policy(POLICY.format(server=server), "test")


def info(used: float, *, not_counted: int = 0, maxmemory: int = 0) -> bytes:
    """INFO memory, with this share of 100 MB in use."""
    return (
        f"# Memory\r\nused_memory:{round(used * 100 * MB) + not_counted}\r\nused_memory_human:1M\r\n"
        f"used_memory_rss:999999999\r\nused_memory_peak:999999999\r\nused_memory_dataset:5\r\n"
        f"maxmemory:{maxmemory}\r\nmaxmemory_human:0B\r\nmaxmemory_policy:noeviction\r\n"
        f"mem_not_counted_for_evict:{not_counted}\r\nmem_clients_normal:1\r\n"
    ).encode()


def seen(*shares: float, every_s: float = 10.0) -> Pressure:
    """After looks that found these shares in use, so far apart that none foretells anything."""
    pressure = Pressure(policy())
    for number, share in enumerate(shares):
        pressure.saw(info(share), number * every_s)
    return pressure


# ---- levels


@pytest.mark.parametrize(
    ("share", "level"),
    [
        (0.0, Level.NORMAL), (0.599, Level.NORMAL), (0.6, Level.WARNING), (0.799, Level.WARNING),
        (0.8, Level.PREVENTIVE), (0.879, Level.PREVENTIVE), (0.88, Level.EMERGENCY), (0.999, Level.EMERGENCY),
        (1.0, Level.CRITICAL), (3.0, Level.CRITICAL),
    ],
)  # fmt: skip
def test_each_level_begins_at_its_threshold(share: float, level: Level) -> None:
    assert seen(share).level is level
    assert seen(0.1, share).level is level


def test_nothing_is_known_before_the_first_look() -> None:
    fresh = Pressure(policy())
    assert fresh.level is None
    assert fresh.effective is Level.NORMAL
    assert fresh.shed == frozenset()


@pytest.mark.parametrize(
    ("shares", "level"),
    [
        ((0.9, 0.85), Level.EMERGENCY),
        ((0.9, 0.839), Level.PREVENTIVE),
        ((0.9, 0.77), Level.PREVENTIVE),
        ((0.9, 0.7), Level.WARNING),
        ((0.9, 0.57), Level.WARNING),
        ((0.9, 0.5), Level.NORMAL),
        ((1.0, 0.97), Level.CRITICAL),
        ((1.0, 0.959), Level.EMERGENCY),
        ((0.6, 0.57, 0.57), Level.WARNING),
        ((0.6, 0.559), Level.NORMAL),
    ],
)
def test_a_level_ends_as_far_below_its_threshold_as_release_says(shares: tuple[float, ...], level: Level) -> None:
    assert seen(*shares).level is level


@given(st.lists(st.floats(0, 1.5), min_size=1, max_size=20))
def test_a_level_is_never_below_what_memory_says_and_never_far_above(shares: list[float]) -> None:
    begins = (0.0, 0.6, 0.8, 0.88, 1.0)
    pressure = Pressure(policy())
    for number, share in enumerate(shares):
        pressure.saw(info(share), number * 10.0)
        share = round(share * 100 * MB) / (100 * MB)  # noqa: PLW2901 (as INFO tells it)
        level = pressure.effective
        assert level == 4 or share < begins[level + 1]
        assert share > begins[level] - 0.04 or level == 0


def test_memory_that_does_not_count_for_eviction_is_left_out() -> None:
    pressure = Pressure(policy())
    pressure.saw(info(0.5, not_counted=90 * MB), 0.0)
    assert pressure.level is Level.NORMAL


@pytest.mark.parametrize(
    ("declared", "maxmemory", "level"),
    [
        ('limit = "100MB"', 0, Level.NORMAL),
        ('limit = "100MB"', 50 * MB, Level.CRITICAL),
        ('limit = "50MB"', 100 * MB, Level.CRITICAL),
        ("", 50 * MB, Level.CRITICAL),
        ("", 100 * MB, Level.NORMAL),
        ("", 0, None),
    ],
)
def test_the_lesser_of_the_declared_limit_and_maxmemory_counts(
    declared: str, maxmemory: int, level: Level | None
) -> None:
    pressure = Pressure(policy(declared))
    pressure.saw(info(0.5, maxmemory=maxmemory), 0.0)
    assert pressure.level is level


# ---- forecast


def test_memory_that_would_pass_the_limit_before_the_next_look_is_critical_now() -> None:
    assert seen(0.5, 0.74, every_s=1.0).level is Level.WARNING
    assert seen(0.5, 0.76, every_s=1.0).level is Level.CRITICAL
    assert seen(0.5, 0.76, every_s=2.0).level is Level.WARNING  # 13 % a second
    assert seen(0.1, 0.9, every_s=2.1).level is Level.EMERGENCY  # too long ago to foretell anything
    assert seen(0.9, 0.5, every_s=1.0).level is Level.NORMAL  # what falls does not foretell either
    assert seen(0.1, 0.9, every_s=0.0).level is Level.EMERGENCY  # nor two looks at once


def test_a_forecast_that_did_not_come_true_ends() -> None:
    assert seen(0.5, 0.76, 0.76, every_s=1.0).level is Level.WARNING


# ---- a server that does not tell


@pytest.mark.parametrize(
    "reply",
    [None, b"", b"# Memory\r\n", 5, "used_memory:5", ValueError("NOPERM"), b"used_memory:x\r\n", b"used_memory_rss:5"],
    ids=repr,
)
def test_without_an_answer_the_level_is_not_known_and_asked_for_seldom(reply: object) -> None:
    pressure = seen(0.9)
    pressure.saw(reply, 10.0)
    assert pressure.level is None
    assert pressure.shed == frozenset()
    assert not pressure.claim_look(69.9)
    assert pressure.claim_look(70.0)


def test_a_refused_write_is_critical_for_a_while_where_nothing_else_tells() -> None:
    pressure = Pressure(policy(""))
    pressure.refused(100.0)
    assert pressure.level is Level.CRITICAL
    assert pressure.claim_look(101.0)
    pressure.saw(info(0.5), 101.0)
    assert pressure.level is Level.CRITICAL
    pressure.saw(info(0.5), 105.1)
    assert pressure.level is None
    assert pressure.shed == frozenset()


# ---- looks


def test_one_look_a_second_whoever_asks() -> None:
    pressure = Pressure(policy())
    assert pressure.claim_look(5.0)
    assert not any(pressure.claim_look(5.0 + share * LOOK_S) for share in (0.0, 0.5, 0.999))
    assert not pressure.is_due(5.999)
    assert pressure.is_due(6.0)
    assert pressure.claim_look(6.0)


def test_of_many_threads_one_looks() -> None:
    pressure = Pressure(policy())
    with ThreadPoolExecutor(16) as pool:
        for second in range(20):
            assert sum(pool.map(pressure.claim_look, [float(second)] * 64)) == 1


# ---- refused writes


def test_a_refused_write_is_critical_at_once_and_tells_the_governor_once_a_second() -> None:
    pressure = seen(0.1)
    assert pressure.refused(10.0)
    assert pressure.level is Level.CRITICAL
    assert [pressure.refused(10.0 + tenth / 10) for tenth in range(1, 12)] == [False] * 9 + [True, False]


def test_a_burst_of_refused_writes_is_one_step() -> None:
    pressure = seen(0.1)
    for _ in range(100):
        pressure.refused(10.0)
    assert pressure.shed == {"first"}
    pressure.refused(10.05)
    assert pressure.shed == {"first"}
    pressure.refused(10.11)
    assert pressure.shed == {"first", "second"}


# ---- shedding


def test_namespaces_are_shed_in_the_order_of_cleanup_one_more_each_second_and_never_a_protected_one() -> None:
    pressure = Pressure(policy())
    shed: list[frozenset[str]] = []
    for second in range(6):
        pressure.saw(info(1.0), float(second))
        shed.append(pressure.shed)
    everything = frozenset({"first", "second", "third"})
    assert shed == [{"first"}, {"first", "second"}, everything, everything, everything, everything]


def test_one_less_each_second_at_emergency_and_none_below() -> None:
    pressure = seen(1.0, 1.0, 1.0)
    pressure.saw(info(0.9), 30.0)
    assert pressure.shed == {"first", "second"}
    pressure.saw(info(0.9), 31.0)
    assert pressure.shed == {"first"}
    pressure.saw(info(1.0), 40.0)
    assert pressure.shed == {"first", "second"}
    pressure.saw(info(0.8), 50.0)
    assert (pressure.level, pressure.shed) == (Level.PREVENTIVE, frozenset())


@pytest.mark.parametrize("share", [0.0, 0.7, 0.85, 0.95])
def test_nothing_is_shed_below_critical(share: float) -> None:
    assert seen(share, share, share).shed == frozenset()


def test_without_namespaces_to_shed_there_is_nothing_to_do() -> None:
    pressure = Pressure(Policy())
    pressure.refused(1.0)
    assert (pressure.level, pressure.shed) == (Level.CRITICAL, frozenset())
