"""What passes of a moment ago have shown, and for how long that holds."""

from __future__ import annotations

import pytest

from spillgate.config import parse_policy
from spillgate.governor.recent import Recent
from spillgate.model import Action, ActionKind, Census, Estimate, Level, Outcome, Reading, Stop, Usage
from spillgate.server.scanning import RuleCount, SweepReply

POLICY = parse_policy(
    """
    [levels]
    hold = "15s"
    [[namespace]]
    name = "analytics"
    keys = "a:*"
    ttl = "15m"
    cleanup = "clear"
    priority = 1
    [[namespace]]
    name = "sessions"
    keys = "s:*"
    ttl = "15m"
    cleanup = "expired"
    priority = 2
    [[namespace]]
    name = "messages"
    keys = "m:*"
    ttl = "30m"
    cleanup = "shorten"
    priority = 3
    [[namespace]]
    name = "tasks"
    keys = "t:*"
    """,
    "test",
)
NOTHING = {name: RuleCount() for name in ("analytics", "sessions", "messages", "tasks")}


def done(
    kind: ActionKind, namespace: str | None = None, stop: Stop = Stop.COMPLETE, *, dry_run: bool = False
) -> Outcome:
    return Outcome(Action(kind, namespace, (), ""), stop, dry_run=dry_run)


def call(cursor: int = 5, visited: int = 1000, **counts: RuleCount) -> SweepReply:
    return SweepReply(cursor, visited, 0, 0, 0, Reading(0, 0), NOTHING | counts)


def census(at_s: float, **keys: int) -> Census:
    rows = tuple(Usage(name, Estimate(number, number, 9999), None, Estimate.exact(0)) for name, number in keys.items())
    return Census(
        at_s, exact=False, sampled_keys=10, total_keys=9999, namespaces=rows, unregistered_keys=Estimate.exact(0)
    )


def test_nothing_is_known_at_first() -> None:
    known = Recent(POLICY).known(0.0, 1_000_000, Level.EMERGENCY)
    assert (known.empty, known.purged, known.capped) == (frozenset(), False, False)
    assert 0.5 < known.pass_s < 10
    assert Recent(POLICY).known(0.0, None, Level.EMERGENCY).pass_s == 0


def test_a_full_pass_tells_what_is_empty_until_the_hold_is_over() -> None:
    recent = Recent(POLICY)
    counts = NOTHING | {"messages": RuleCount(5), "sessions": RuleCount(9, no_ttl=0)}
    recent.saw_pass(done(ActionKind.PURGE), Level.EMERGENCY, counts, 100.0)
    known = recent.known(114.9, 10, Level.EMERGENCY)
    assert known.empty >= {"analytics", "sessions"}  # of sessions no step could delete any
    assert "messages" not in known.empty
    assert (known.purged, known.capped) == (True, False)
    assert recent.found_empty("analytics", 114.9)
    for later in (115.0, 99.0):  # too long ago, or a clock that went backwards
        assert recent.known(later, 10, Level.EMERGENCY).empty == frozenset()
        assert not recent.known(later, 10, Level.EMERGENCY).purged
    assert not recent.found_empty(None, 100.0)


def test_sessions_with_keys_without_a_ttl_are_worth_a_step() -> None:
    recent = Recent(POLICY)
    counts = NOTHING | {"sessions": RuleCount(9, no_ttl=1)}
    recent.saw_pass(done(ActionKind.PURGE), Level.EMERGENCY, counts, 100.0)
    assert "sessions" not in recent.known(100.0, 10, Level.EMERGENCY).empty


@pytest.mark.parametrize(
    "outcome",
    [
        done(ActionKind.PURGE, stop=Stop.TARGET),
        done(ActionKind.PURGE, stop=Stop.PREEMPTED),
        done(ActionKind.PURGE, stop=Stop.FAILED),
        done(ActionKind.PURGE, dry_run=True),
        done(ActionKind.WAIT),
    ],
)
def test_a_pass_that_did_not_see_or_do_everything_tells_nothing(outcome: Outcome) -> None:
    recent = Recent(POLICY)
    recent.saw_pass(outcome, Level.EMERGENCY, NOTHING, 100.0)
    assert recent.known(100.0, 10, Level.EMERGENCY).empty == frozenset()
    assert not recent.known(100.0, 10, Level.EMERGENCY).purged


def test_ttls_are_capped_for_one_level_only() -> None:
    recent = Recent(POLICY)
    recent.saw_pass(done(ActionKind.SHORTEN, "messages"), Level.EMERGENCY, NOTHING | {"messages": RuleCount(5)}, 100.0)
    assert recent.known(101.0, 10, Level.EMERGENCY).capped
    assert not recent.known(101.0, 10, Level.CRITICAL).capped


def test_a_cleared_namespace_is_done_with_until_keys_of_it_are_met_again() -> None:
    recent = Recent(POLICY)
    recent.saw_pass(
        done(ActionKind.CLEAR, "analytics"), Level.EMERGENCY, NOTHING | {"analytics": RuleCount(500)}, 100.0
    )
    assert recent.found_empty("analytics", 101.0)
    recent.saw_call(call(analytics=RuleCount(1)), 0.001)
    assert not recent.found_empty("analytics", 101.0)


def test_a_namespace_that_was_empty_and_fills_is_noticed_by_the_next_sweep() -> None:
    recent = Recent(POLICY)
    recent.saw_pass(done(ActionKind.CAP), Level.PREVENTIVE, NOTHING, 100.0)
    assert recent.found_empty("messages", 101.0)
    recent.saw_call(call(messages=RuleCount(10)), 0.001)
    assert not recent.found_empty("messages", 101.0)


def test_a_namespace_that_was_empty_and_fills_is_noticed_by_the_next_census() -> None:
    recent = Recent(POLICY)
    recent.saw_pass(done(ActionKind.CAP), Level.PREVENTIVE, NOTHING, 100.0)
    recent.saw_census(census(101.0, messages=7, analytics=0))
    assert not recent.found_empty("messages", 101.0)
    assert recent.found_empty("analytics", 101.0)


def test_the_length_of_a_pass_is_learned_from_the_calls() -> None:
    recent = Recent(POLICY)
    for _ in range(100):
        recent.saw_call(call(visited=1000), 0.01)  # 10 microseconds a key
    assert recent.known(0.0, 100_000, Level.NORMAL).pass_s == pytest.approx(1.0, rel=0.01)
    recent.saw_call(call(visited=1), 5.0)  # too few keys to tell
    assert recent.known(0.0, 100_000, Level.NORMAL).pass_s == pytest.approx(1.0, rel=0.01)
