"""A whole capacity, reckoned from a census and a history as they come from a server and a governor."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spillgate.config import parse_policy
from spillgate.errors import ConfigError
from spillgate.foresight import growing
from spillgate.foresight.growing import Scale
from spillgate.foresight.growing_history import opened
from spillgate.foresight.growing_scales import parse_counts
from spillgate.governor.history import History
from spillgate.model import Census, Estimate, KeySample, Level, Survey, Usage
from spillgate.policy.capacity import Risk
from tests.histories import NOW_S, Wall, census, see

if TYPE_CHECKING:
    from pathlib import Path

    from spillgate.config import Policy

MB = 1 << 20
HOUR_S, DAY_S = 3600, 86_400
INFO = {"valkey_version": "9.1.2", "mem_allocator": "libc", "maxmemory": str(25 * MB), "connected_clients": "10"}


def policy() -> Policy:
    return parse_policy(
        """
        [[namespace]]
        name = "messages"
        keys = "app:messages:*"
        ttl = "30m"
        cleanup = "clear"
        priority = 1
        [[namespace]]
        name = "voice"
        keys = "app:voice:*"
        ttl = "30m"
        cleanup = "clear"
        priority = 2
        """,
        "test.toml",
    )


def usage(name: str, keys: int, size: int | None) -> Usage:
    sample = tuple(KeySample(0, 1000, size, b"name", "string", "raw") for _ in range(min(3, keys)))
    known = size is not None
    return Usage(
        name,
        Estimate.exact(keys),
        Estimate.exact(keys * size) if size is not None else None,
        Estimate.exact(0),
        sample,
        Estimate.exact(size) if size is not None and keys else None,
        Estimate.exact(keys * 4),
        sample[0] if known and sample else None,
    )


def survey(*, sizes: bool = True, info: dict[str, str] | None = None) -> Survey:
    """Of 3 MB: 2,000 messages of 400 bytes, no voice, 300 carts of 900 bytes that match nothing."""
    rows = usage("messages", 2000, 400 if sizes else None), usage("voice", 0, None)
    more = (usage("shop:cart:*", 300, 900 if sizes else None),)
    total = Estimate.exact(2000 * 400 + 300 * 900) if sizes else None
    found = Census(
        0.0,
        exact=True,
        sampled_keys=2300,
        total_keys=2300,
        namespaces=rows,
        unregistered_keys=Estimate.exact(300),
        total_bytes=total,
        prefixes=more,
    )
    overhead = {"startup": Estimate.exact(MB), "unexplained": Estimate.exact(MB)}
    return Survey(3 * MB, ((0, found),), overhead, INFO if info is None else info, 0.1)


def test_everything_is_told_as_the_users_tables_have_it() -> None:
    scale = Scale(parse_counts(["messages=10,000", "voice=200"]), connections=60)
    found = growing.capacity(policy(), survey(), None, [scale])
    (projection,) = found.projections
    assert projection.name == "messages=10,000, voice=200, 60 connections"
    assert projection.scale == {"messages": 10_000, "voice": 200}
    assert projection.by_feature["messages"].value == 4_000_000
    assert projection.by_feature["voice"].value == 200 * 4096
    assert projection.by_feature["shop:cart:*"].value == 270_000
    assert projection.bytes.value == pytest.approx(3 * MB + 8000 * 400 + 200 * 4096 + 50 * 2000, rel=0.05)
    assert (projection.risk, projection.level) == (Risk.MEDIUM, Level.NORMAL)
    assert (found.risk, found.ceiling_bytes) == (Risk.LOW, 23 * MB)
    assert [one.name for one in found.features] == ["messages", "voice", "shop:cart:*"]
    messages, voice, _ = found.features
    assert messages.more_fit is not None
    assert messages.more_fit_ceiling is not None
    assert 30_000 < messages.more_fit.value < messages.more_fit_ceiling.value
    assert voice.bytes_per_object is None
    # Nothing that was not measured is left unsaid.
    assert any(one.startswith("voice: 4KB an object (1KB to 10KB): ") for one in found.assumptions)
    assert any("a connection" in one for one in found.assumptions)
    assert all(one is None for one in found.time_to.values())
    assert "no history was given" in found.time_to_reason[Level.PREVENTIVE]


def test_without_a_limit_levels_are_unknown() -> None:
    found = growing.capacity(policy(), survey(info=INFO | {"maxmemory": "0"}))
    assert (found.limit_bytes, found.ceiling_bytes, found.risk) == (None, None, None)
    assert set(found.time_to.values()) == {None}
    assert found.features[0].more_fit is None
    assert [one.level for one in found.projections] == [None, None, None]
    assert all(one.plan_bytes for one in found.projections)
    document = growing.document(found)
    assert document["risk"] is None
    assert document["limit_bytes"] is None


def test_without_sizes_an_average_is_assumed_and_said_so() -> None:
    found = growing.capacity(policy(), survey(sizes=False), None, [Scale(times=2)])
    assert found.features[0].bytes is None
    assert any("messages: 456B an object, the average of all keys" in one for one in found.assumptions)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("messages=5", "messages"),
        ("shop:cart=5", "shop:cart:*"),
        ("shop:cart:*=5", "shop:cart:*"),
        ("cart=5", "shop:cart:*"),
    ],
)
def test_a_feature_is_named_as_people_do(given: str, meant: str) -> None:
    found = growing.capacity(policy(), survey(), None, [Scale(parse_counts([given]))])
    assert found.projections[0].scale == {meant: 5}


def test_names_that_nobody_knows_are_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r'"mesages" is unknown: the server has messages, voice, shop:cart:\*; assum'):
        growing.capacity(policy(), survey(), None, [Scale({"mesages": 5})])
    doubled = survey()
    own = replace(doubled.own, prefixes=(usage("a:cart:*", 1, 9), usage("b:cart:*", 1, 9)))
    with pytest.raises(ConfigError, match=r"may be any of a:cart:\*, b:cart:\*"):
        growing.capacity(policy(), replace(doubled, databases=((0, own),)), None, [Scale({"cart": 5})])
    for wrong in ("messages", "messages=many", "=5", "messages=-1", "messages=1.5"):
        with pytest.raises(ConfigError, match="expected NAME=COUNT"):
            parse_counts([wrong])
    with pytest.raises(ConfigError, match="twice"):
        parse_counts(["a=1", "a=2"])


def filled(path: Path, per_day: float) -> None:
    """A history of four days in which messages have come in at this rate."""
    wall = Wall(NOW_S - 4 * DAY_S)
    with History(path, wall_clock=wall) as history:
        for number in range(4 * 24 * 4):
            wall.now_s = NOW_S - 4 * DAY_S + number * HOUR_S / 4
            grown = per_day * number / 96
            see(history, round(2 * MB + grown))
            history.saw(census(messages=(round(1000 + grown / 400), round(400_000 + grown))))
            history.expect(HOUR_S)


def test_growth_comes_from_the_history(tmp_path: Path) -> None:
    path = tmp_path / "history"
    filled(path, MB)
    wall = Wall()
    with History(path, wall_clock=wall) as history:
        found = growing.capacity(policy(), survey(), history)
    assert found.growth_bytes_day is not None
    assert found.growth_bytes_day.value == pytest.approx(MB, rel=0.01)
    preventive = found.time_to[Level.PREVENTIVE]
    assert preventive is not None
    assert preventive.value == pytest.approx(17 * DAY_S, rel=0.01)
    assert found.features[0].growth_keys_day is not None
    assert found.features[0].growth_keys_day.value == pytest.approx(MB / 400, rel=0.01)
    assert found.features[2].growth_keys_day is None
    assert found.risk is Risk.LOW
    late = replace(survey(), used_bytes=17 * MB)
    with History(path, wall_clock=wall) as history:
        assert growing.capacity(policy(), late, history).risk is Risk.HIGH


def test_a_history_is_read_while_a_governor_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "history"
    filled(path, 0)
    with History(path) as written:
        see(written, 5 * MB)
        written.flush()
        with opened(path) as history:
            assert history.path != path
            assert growing.capacity(policy(), survey(), history).growth_bytes_day is None  # all of it is long ago
    with pytest.raises(ConfigError, match="no such file"), opened(tmp_path / "other"):
        pass
    (tmp_path / "text").write_text("no history")
    with pytest.raises(ConfigError, match="not a history of Spillgate"), opened(tmp_path / "text"):
        pass
