"""TTLs recommended from what was recorded, for namespaces that are used in known ways."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillgate.config import Cleanup, parse_policy
from spillgate.foresight.advising import advise, document
from spillgate.foresight.advising_curves import curves_of
from spillgate.model import Census, Estimate, KeySample
from spillgate.policy.ttl import Basis, Confidence
from tests.advised import BESIDE, MB, Scene, once, popular, renewed, scene, soon, usual
from tests.recording import Access, truth_of
from tests.unit.test_recording import RECORDINGS_OF_ANY
from tests.unit.test_ttl_ages import snapshot, soon_after

if TYPE_CHECKING:
    from spillgate.cache.recording import Recording
    from spillgate.policy.ttl import Advice, TtlPlan

NOTHING = Census(0.0, exact=True, sampled_keys=0, total_keys=0, namespaces=(), unregistered_keys=Estimate.exact(0))


def test_hits_and_memory_are_predicted_for_each_ttl() -> None:
    calls = popular(3000, 60_000, 800)
    shown = scene({"hot": calls}, {"hot": "30m"})
    curve = curves_of(*shown.seen, shown.policy)["hot"]
    trace = [Access(at_s, key) for at_s, key, _ in calls]
    for point in curve.points:
        truth = truth_of(trace, point.ttl_s)
        assert point.cold_hit_ratio == pytest.approx(truth.hit_ratio, abs=0.03)
        assert point.cold_bytes == pytest.approx(truth.keys * (800 + BESIDE), rel=0.1)
        assert point.bytes.low <= truth.keys * (800 + BESIDE) <= point.bytes.high
        assert point.hit_ratio.low <= truth.hit_ratio <= point.hit_ratio.high


def test_between_two_ttls_and_beyond_the_last() -> None:
    curve = curves_of(*usual().seen, usual().policy)["hot"]
    near, far = curve.points[9], curve.points[10]
    middle = curve.at(math.sqrt(near.ttl_s * far.ttl_s))
    assert middle.hit_ratio.value == pytest.approx((near.hit_ratio.value + far.hit_ratio.value) / 2)
    assert middle.bytes.value == pytest.approx((near.bytes.value + far.bytes.value) / 2)
    assert curve.at(near.ttl_s) == near
    assert curve.at(30 * 86_400).bytes.high == math.inf
    assert curve.at(30 * 86_400).hit_ratio.high == 1
    for shorter, longer in pairwise(point.ttl_s for point in curve.points):
        lost, won = curve.lost(longer, shorter), curve.lost(shorter, longer)
        assert (won.value, won.low, won.high) == (-lost.value, -lost.high, -lost.low)
        assert 0 <= lost.low <= lost.value <= lost.high <= 1


def test_memory_goes_where_hits_are_to_be_had() -> None:
    advised = {one.name: one for one in usual().advised(3).advices}
    hot, brief, never, new = (advised[name] for name in ("hot", "soon", "once", "new"))
    assert all(one.basis is Basis.RECORDER for one in advised.values())
    assert hot.recommended_s is not None
    assert hot.recommended_s > 1800
    assert hot.hits_lost is not None
    assert hot.hits_lost.high < 0
    assert brief.recommended_s is not None
    assert brief.recommended_s <= 1200
    assert brief.freed_bytes is not None
    assert brief.freed_bytes is not None
    assert brief.freed_bytes.low > 0
    assert never.recommended_s == 150
    assert "of its reads that are the first of their key" in never.reason
    assert not new.lever
    assert new.recommended_s == new.ttl_s
    assert "TTL is no lever here" in new.reason
    assert "renew a value before its TTL is over" in new.reason


@pytest.mark.parametrize("target_mb", [0.5, 1, 2, 3, 5, 15])
def test_the_target_is_kept_within_the_bounds_of_each_namespace(target_mb: float) -> None:
    shown = usual().advised(target_mb)
    target = round(target_mb * MB)
    assert shown.target_bytes == target
    assert shown.bytes_then is not None
    least = sum(one.bytes_then.value for one in usual().advised(0.0).advices if one.bytes_then)
    assert shown.fits is (shown.bytes_then <= target)
    assert shown.fits is (least <= target)
    for one, namespace in zip(shown.advices, usual().policy.namespaces, strict=True):
        assert one.recommended_s is not None
        assert namespace.min_ttl_s is not None
        assert namespace.max_ttl_s is not None
        assert namespace.min_ttl_s <= one.recommended_s <= namespace.max_ttl_s
    budgets = [one.budget_bytes or 0 for one in shown.advices]
    assert sum(budgets) <= target + len(budgets)


def test_more_memory_never_means_fewer_hits() -> None:
    ratios = [usual().advised(target_mb).hit_ratio_then or 0.0 for target_mb in (0.5, 1, 1.5, 2, 3, 4, 6, 9)]
    assert all(less <= more + 0.002 for less, more in pairwise(ratios))  # but for what is not worth a change
    assert ratios[-1] > ratios[0] + 0.1


def test_without_a_limit_no_more_is_used_than_now() -> None:
    shown = replace(usual(), policy=replace(usual().policy, server=replace(usual().policy.server, limit_bytes=None)))
    advised = shown.advised()
    assert (advised.target_bytes, advised.fits) == (None, None)
    assert advised.bytes is not None
    assert advised.bytes_then is not None
    assert advised.bytes_then <= advised.bytes
    assert (advised.hit_ratio_then or 0) > (advised.hit_ratio or 1)


def test_what_costs_more_to_rebuild_gets_the_memory() -> None:
    calls = {"one": popular(3000, 15_000, 800, seed=5), "two": popular(3000, 15_000, 800, seed=6)}
    shown = scene(calls, {"one": "20m", "two": "20m"})
    even = {one.name: one.recommended_s or 0 for one in shown.advised(1).advices}
    dear = {one.name: one.recommended_s or 0 for one in shown.with_policy("two", weight=20.0).advised(1).advices}
    assert dear["two"] > even["two"]
    assert dear["one"] < even["one"]


def test_a_protected_namespace_is_shortened_only_where_nothing_is_lost() -> None:
    calls = {"hot": popular(3000, 30_000, 800), "soon": soon(3000, 2000, hours=24)}
    shown = replace(scene(calls, {"hot": "30m", "soon": "2h"}, cleanup="never"), hours=24)
    for target_mb in (0.5, 20):
        hot = shown.advice("hot", target_mb)
        assert hot.recommended_s is not None
        assert hot.recommended_s >= 1800
        brief = shown.advice("soon", target_mb)
        assert brief.recommended_s is not None
        assert brief.recommended_s < 7200
        assert brief.hits_lost is not None
        assert brief.hits_lost.value <= 0.002
        assert "protected" in brief.reason


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ([], "no reads of it were recorded, and it has no keys now"),
        (renewed(5, 100, 100), "only .. reads were recorded: too few"),
        (
            [(at_s, key, -abs(size)) for at_s, key, size in renewed(5, 500, 100)],
            "500 writes and no read were recorded in 6h",
        ),
    ],
)
def test_where_nothing_is_known_nothing_is_recommended(calls: list[tuple[float, str, int]], reason: str) -> None:
    advised = scene({"some": calls} if calls else {}, {"some": "1h"}).advised()
    (some,) = advised.advices
    assert (some.recommended_s, some.basis, some.confidence, some.lever) == (None, Basis.NONE, Confidence.NONE, False)
    assert (some.hit_ratio, some.hits_lost, some.freed_bytes) == (None, None, None)
    assert advised.hit_ratio is None
    assert re.search(reason, some.reason)


def test_a_recording_that_is_too_young_tells_nothing_of_a_long_ttl() -> None:
    shown = scene({"once": once(3000, 100, hours=0.5)}, {"once": "6h"}, hours=0.5)
    advice = shown.advice("once")
    assert advice.recommended_s is None
    assert "recorded for 30m only" in advice.reason
    assert "ask again later" in advice.reason
    advice = scene({"hot": popular(300, 3000, 100, hours=0.5)}, {"hot": "20m"}, hours=0.5).advice("hot")
    assert advice.confidence is Confidence.LOW


def test_keys_that_something_else_writes_are_told_and_stay() -> None:
    recording, census = usual().seen
    more = tuple(
        replace(one, bytes=Estimate.exact(one.bytes.value * 4)) if one.name == "hot" and one.bytes else one
        for one in census.namespaces
    )
    advised = advise(
        usual().policy, replace(census, namespaces=more), recording, used_bytes=40 * MB, target_bytes=40 * MB
    )
    hot = advised.advices[0]
    assert "something else writes such keys too" in hot.reason
    assert hot.bytes is not None
    assert hot.bytes.value > 1.5 * (usual().advice("hot").bytes or Estimate.exact(0)).value


def by_server(**changes: object) -> Scene:
    """A namespace that the cache library does not know, with keys that are read for minutes and kept for an hour."""
    keys, _ = snapshot(soon_after, 3000)
    shown = scene({}, {"brief": "1h"})
    shown = shown.with_policy("brief", **changes) if changes else shown
    return replace(shown, samples={"brief": tuple(keys)})


def advised_by_server(shown: Scene) -> tuple[TtlPlan, Advice]:
    """What is advised of it without a recording."""
    _, census = shown.seen
    usage = replace(census.namespaces[0], keys=Estimate.exact(3000), bytes=Estimate.exact(3000 * 600))
    plan = advise(shown.policy, replace(census, namespaces=(usage,)), None, used_bytes=4 * MB)
    return plan, plan.advices[0]


def test_from_the_server_alone_there_is_a_bound() -> None:
    plan, brief = advised_by_server(by_server())
    assert brief.basis is Basis.SERVER
    assert brief.confidence is Confidence.MEDIUM
    assert brief.recommended_s == 600
    assert (brief.hit_ratio, brief.hits_lost) == (None, None)
    assert brief.freed_bytes is not None
    assert brief.freed_bytes.low > 0.4 * 3000 * 600
    assert "a bound, no count of hits" in brief.reason
    assert "no process of the cache library" in plan.notes[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sliding": True}, "reading its keys renews their TTL"),
        ({"cleanup": Cleanup.NEVER, "priority": None}, "protected, and nothing shows"),
        ({"min_ttl_s": 3600.0, "max_ttl_s": 3600.0}, "no shorter TTL that its policy allows"),
    ],
)
def test_from_the_server_alone_nothing_where_it_cannot_be_told(changes: dict[str, object], reason: str) -> None:
    _, brief = advised_by_server(by_server(**changes))
    assert brief.recommended_s is None
    assert reason in brief.reason


def test_without_a_policy_prefixes_get_a_guess() -> None:
    keys, _ = snapshot(soon_after, 3000)
    _, census = usual().seen
    usage = replace(census.namespaces[0], name="page:*", keys=Estimate.exact(3000), sample=tuple(keys))
    lasting = replace(usage, name="user:*", sample=(KeySample(1, None, 100),) * 60)
    plan = advise(parse_policy("", "test"), replace(NOTHING, prefixes=(usage, lasting)), None)
    page, user = plan.advices
    assert (page.recommended_s, page.confidence, page.basis) == (600, Confidence.LOW, Basis.SERVER)
    assert "seem to be written with a TTL of 1h" in page.reason
    assert user.recommended_s is None
    assert "60 of 60 keys looked at have no TTL" in user.reason
    assert "no namespace is registered" in plan.notes[0]


@settings(max_examples=60)
@given(RECORDINGS_OF_ANY, st.sampled_from([None, 0, MB, 1 << 40]))
def test_whatever_was_recorded_advice_is_within_its_bounds(recording: Recording, target_bytes: int | None) -> None:
    policy = scene({}, {"messages": "30m", "users": "1h", "voice": "15m"}).policy
    plan = advise(policy, NOTHING, recording, target_bytes=target_bytes)
    for one, namespace in zip(plan.advices, policy.namespaces, strict=True):
        if one.recommended_s is not None:
            assert (namespace.min_ttl_s or 0) <= one.recommended_s <= (namespace.max_ttl_s or 0)
        for estimate in (one.hit_ratio, one.hit_ratio_then, one.bytes, one.bytes_then, one.freed_bytes, one.hits_lost):
            assert estimate is None or estimate.low <= estimate.value <= estimate.high
        for ratio in (one.hit_ratio, one.hit_ratio_then):
            assert ratio is None or (ratio.low >= 0 and ratio.high <= 1)


def test_the_document_has_all_of_it_and_its_page_explains_it() -> None:
    told = document(usual().advised(3))
    assert list(told) == [
        "target_bytes", "fits", "hit_ratio", "hit_ratio_then", "bytes", "bytes_then", "namespaces", "notes",
    ]  # fmt: skip
    rows: Any = told["namespaces"]
    assert rows[0]["name"] == "hot"
    assert rows[0]["hits_lost"]["low"] < rows[0]["hits_lost"]["value"] < 0
    page = (Path(__file__).parents[2] / "docs" / "advise.md").read_text(encoding="utf-8")
    assert [name for name in (*told, *rows[0], *Basis, *Confidence) if f"`{name}`" not in page] == []
