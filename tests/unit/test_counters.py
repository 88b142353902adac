"""What happened, counted; a hook is told, and cannot do harm."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from spillgate.cache.codec import Reason
from spillgate.cache.counters import SERVER, Counters, Event


def test_events_are_counted_by_namespace() -> None:
    counters = Counters()
    one, two = counters.of("one"), counters.of("two")
    one.count(Event.HIT)
    one.count(Event.HIT, 4)
    one.count(Event.COMPUTE_SECONDS, 0.25)
    two.count(Event.MISS)
    assert counters.snapshot() == {"one": {"hit": 5, "compute_seconds": 0.25}, "two": {"miss": 1}}


def test_views_of_one_namespace_count_together() -> None:
    counters = Counters()
    counters.of("one").count(Event.SET)
    counters.of("one").count(Event.SET)
    assert counters.snapshot() == {"one": {Event.SET: 2}}


def test_what_did_not_happen_is_left_out_and_nobody_is_told() -> None:
    told: list[Event] = []
    counters = Counters(lambda _namespace, event, _amount: told.append(event))
    counters.of("one").count(Event.HIT, 0)
    assert counters.snapshot() == {"one": {}}
    assert told == []


def test_a_snapshot_is_of_its_moment_and_cannot_be_changed() -> None:
    counters = Counters()
    one = counters.of("one")
    one.count(Event.HIT)
    before = counters.snapshot()
    one.count(Event.HIT)
    counters.of("two")
    assert before == {"one": {Event.HIT: 1}}
    with pytest.raises(TypeError):
        cast("Any", before)["two"] = {}
    with pytest.raises(TypeError):
        cast("Any", before["one"])[Event.HIT] = 5


def test_a_hook_is_told_of_each_event_as_it_happens() -> None:
    told: list[tuple[str, Event, float]] = []
    counters = Counters(lambda namespace, event, amount: told.append((namespace, event, amount)))
    counters.of("one").count(Event.HIT)
    counters.of("one").count(Event.STORED_BYTES, 120)
    counters.of(SERVER).count(Event.BREAKER_OPEN)
    assert told == [("one", Event.HIT, 1), ("one", Event.STORED_BYTES, 120), ("*", Event.BREAKER_OPEN, 1)]


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError(1), RecursionError(), OSError(), AssertionError(), StopIteration()], ids=repr
)
def test_what_a_hook_raises_is_counted_and_goes_no_further(error: Exception) -> None:
    def hook(_namespace: str, _event: Event, _amount: float) -> None:
        raise error

    counters = Counters(hook)
    for _ in range(3):
        counters.of("one").count(Event.HIT, 2)
    assert counters.snapshot() == {"one": {Event.HIT: 6, Event.HOOK_ERROR: 3}}


def test_the_first_error_of_a_hook_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    def hook(_namespace: str, _event: Event, amount: float) -> None:
        message = f"no label for {amount}"
        raise LookupError(message)

    counters = Counters(hook)
    for name in ("one", "two", "one"):
        counters.of(name).count(Event.HIT, 5)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("spillgate.cache", "WARNING")
    assert "LookupError: no label for 5; from now on only hook_error counts it" in record.getMessage()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_hook_does_not_keep_the_process_from_ending(error: type[BaseException]) -> None:
    def hook(_namespace: str, _event: Event, _amount: float) -> None:
        raise error

    with pytest.raises(error):
        Counters(hook).of("one").count(Event.HIT)


def test_a_hook_that_counts_itself_ends() -> None:
    counters = Counters(
        lambda _namespace, event, _amount: counters.of("hook").count(Event.SET) if event == "hit" else None
    )
    counters.of("one").count(Event.HIT)
    assert counters.snapshot() == {"one": {Event.HIT: 1}, "hook": {Event.SET: 1}}


def test_a_snapshot_can_be_taken_while_others_count() -> None:
    counters = Counters()

    def work(number: int) -> int:
        for event in Event:
            counters.of(f"n{number % 5}").count(event)
            counters.snapshot()
        return number

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(work, range(40)))) == 40
    assert all(set(counts) == set(Event) for counts in counters.snapshot().values())


def test_each_reason_for_which_a_value_cannot_be_read_is_an_event() -> None:
    assert {reason.value for reason in Reason} <= {event.value for event in Event}
