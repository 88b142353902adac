"""Replay without a server: names of keys, times that run faster, the ledger, and what a result comes to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spillgate.config import Policy, parse_policy
from spillgate.demo.pace import reference_policy
from spillgate.errors import ConfigError, LimitUnknown
from spillgate.replay import SPILLGATE, STOCK, Conditions, Workload, load, run
from spillgate.replay.contenders import named
from spillgate.replay.ledger import Ledger
from spillgate.replay.memory import Average, Look
from spillgate.replay.names import namers
from spillgate.replay.pace import Pace
from spillgate.replay.result import NamespaceResult, Result
from spillgate.replay.workload import Space


def lasting(seconds: float, *spaces: Space) -> Workload:
    return Workload("w", "", seconds, spaces, list, 0)


def test_keys_get_the_names_that_the_policy_knows_them_by() -> None:
    policy = parse_policy(
        '[[namespace]]\nname = "a"\nkeys = ["app:[xy]", "app:a:*"]\n[[namespace]]\nname = "b"\nkeys = "b:*:b"\n',
        "policy",
    )
    names = namers(policy, ("a", "b", "c"))
    assert names["a"]("1") == names["a"]("app:a:1") == b"app:a:1"
    assert names["b"]("b:1:b") == b"b:1:b"
    assert names["c"]("1") == b"c:1"
    with pytest.raises(ConfigError, match=r"'1' matches no pattern of it \(b:\*:b\)"):
        names["b"]("1")


def test_all_times_run_faster_together() -> None:
    policy = reference_policy()
    pace = Pace.of(lasting(7200.0), 20.0)
    assert (pace.factor, pace.seconds) == (360.0, 20.0)
    faster = pace.policy(policy)
    assert [ns.ttl_s for ns in faster.namespaces] == [ns.ttl_s and ns.ttl_s / 360 for ns in policy.namespaces]
    assert faster.levels.hold_s == policy.levels.hold_s / 360
    assert faster.monitor.interval_s == pytest.approx(30 / 360)
    assert faster.monitor.min_interval_s == 0.005
    assert Pace.of(lasting(3.0), 20.0) == Pace(1.0, 3.0)  # nothing is slowed down
    assert Pace.usual(replace(lasting(3.0), requests_expected=1_000_000)) == 40.0


def test_a_ttl_that_becomes_too_short_is_told_or_refused() -> None:
    pace = Pace.of(lasting(10_000.0), 10.0)

    def told(ttl_s: float, **ttls: float) -> list[str]:
        return list(pace.checked(lasting(10_000.0, Space("a", shortest_ttl_s=ttl_s)), Policy(), ttls))

    assert told(60.0) == []
    assert told(1.0, a=60.0) == []
    (note,) = told(10.0)
    assert note.startswith("a's TTL of 10s becomes 10ms")
    assert "--seconds 20s would be exact enough" in note
    with pytest.raises(ConfigError, match=r"a's TTL of 1s becomes 1ms, too short to be kept: say --seconds 3m20s"):
        told(1.0)
    with pytest.raises(ConfigError, match="a run takes 1s at least, got 500ms"):
        Pace.of(lasting(3.0), 0.5)


def test_a_key_is_lost_when_it_is_gone_before_its_time_and_only_once() -> None:
    ledger = Ledger()
    for key, ends_s in ((b"early", 10.0), (b"kept", 10.0), (b"over", 5.0), (b"deleted", 10.0)):
        ledger.wrote(key, "tasks", ends_s)
    ledger.forget(b"deleted")
    for key in (b"early", b"early", b"over", b"deleted", b"never written"):
        ledger.missed(key, 5.0)
    assert ledger.lost == {"tasks": 1}
    assert list(ledger.due(5.0)) == [[b"kept"]]
    assert list(ledger.due(9.999)) == []  # the clocks need not agree to the last moment


def test_memory_is_averaged_over_time_not_over_looks() -> None:
    average = Average()
    for at_s, used in ((0.0, 0), (1.0, 100), (1.1, 100), (1.2, 100), (5.2, 100)):
        average.add(at_s, Look(used + 7, 7))
    assert average.data_bytes == pytest.approx((50 + 420) / 5.2)
    assert average.used_bytes == pytest.approx(average.data_bytes + 7)
    average.restart()
    average.add(6.2, Look(307, 7))
    assert average.data_bytes == pytest.approx(200)


def test_hits_are_weighted_by_what_a_miss_costs() -> None:
    cheap = NamespaceResult("cheap", 1.0, 100, 50, 0, 50, 0, 0, 0, None)
    dear = NamespaceResult("dear", 9.0, 100, 90, 5, 10, 0, 2, 0, 1)
    idle = NamespaceResult("idle", 5.0, 0, 0, 0, 0, 0, 0, 0, 0)
    result = Result(
        "w",
        SPILLGATE,
        "spillgate",
        100,
        1,
        1,
        205,
        (cheap, dear, idle),
        0,
        0,
        9,
        8,
        1,
        7,
        1,
        0,
        0,
        0,
        0,
        kept_pace=True,
    )
    assert result.hit_ratio == 0.7
    assert result.weighted_hit_ratio == pytest.approx((50 + 9 * 90) / 1000)
    assert (result.writes, result.refused, result.lost) == (65, 2, 1)
    assert idle.hit_ratio is None
    assert replace(result, namespaces=(idle,)).weighted_hit_ratio is None


def test_contenders_are_every_policy_and_spillgate() -> None:
    assert len(STOCK) == 8
    assert named(()) == (*STOCK, SPILLGATE)
    assert [one.name for one in named(("spillgate", "volatile-ttl"))] == ["volatile-ttl", "spillgate"]
    with pytest.raises(ConfigError, match=r'there is no "lru" \(there are noeviction, allkeys-lru'):
        named(("lru",))


def test_without_a_limit_there_is_nothing_to_replay_under() -> None:
    with pytest.raises(LimitUnknown, match="a replay needs a limit"):
        run(load("normal"), Policy(), SPILLGATE, Conditions(seconds=1))
