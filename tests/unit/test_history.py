"""What a history keeps, in memory: points thinned with age, the journal, what namespaces held, alerts delivered."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.governor.history import Delivery, History, Notice, Point, Span, Usages
from spillgate.governor.history.memory import Shelf
from spillgate.governor.journal import Entry, Event, Journal
from spillgate.model import Level, Reading
from tests.histories import MB, NOW_S, Wall, assessment, census, journal_of, reading, see
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOUR_S, DAY_S, YEAR_S = 3600, 86_400, 366 * 86_400
# What docs/history.md states.
MOST_BYTES = 64 * MB
MOST_POINTS = {1: 3600, 60: 7 * 1440, HOUR_S: 366 * 24}


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def history(wall: Wall) -> Iterator[History]:
    history = History(wall_clock=wall)
    yield history
    history.stop()


def used(history: History, span: Span) -> list[int | None]:
    return [point.used_bytes for point in history.points(span)]


class TestPoints:
    def test_a_second_has_its_last_its_highest_and_its_worst(self, history: History, wall: Wall) -> None:
        for size, level in ((5 * MB, Level.NORMAL), (24 * MB, Level.CRITICAL), (9 * MB, Level.EMERGENCY)):
            see(history, size, level)
            wall.now_s += 0.3
        [point] = history.points(Span.HOUR)
        assert point == Point(NOW_S, 9 * MB, 24 * MB, Level.CRITICAL, 25 * MB, 7, 0, 0)

    def test_minutes_and_hours_are_made_as_it_goes(self, history: History, wall: Wall) -> None:
        for size in range(7200):
            see(history, size)
            wall.now_s += 1
        wall.now_s -= 0.5
        assert used(history, Span.HOUR) == list(range(3600, 7200))
        assert used(history, Span.DAY) == used(history, Span.WEEK) == list(range(59, 7200, 60))
        assert [point.high_bytes for point in history.points(Span.YEAR)] == [3599, 7199]

    @pytest.mark.parametrize("flushed", [False, True])
    def test_the_one_under_way_is_there_written_or_not(self, history: History, wall: Wall, *, flushed: bool) -> None:
        for size in (1, 2, 3):
            see(history, size)
            if flushed:
                history.flush()
            for span in Span:
                assert used(history, span)[-1] == size
            wall.now_s += 0.4

    def test_what_the_server_did_adds_up(self, history: History, wall: Wall) -> None:
        for evicted, refused in ((100, 7), (103, 7), (110, 9), (2, 9)):  # the last after CONFIG RESETSTAT
            history.observe(reading(1, evicted=evicted, refused=refused), assessment())
            history.flush()
            wall.now_s += 1
        assert [point.evicted_keys for point in history.points(Span.HOUR)] == [None, 3, 7, 2]
        [minute] = history.points(Span.DAY)
        assert (minute.evicted_keys, minute.refused_writes) == (12, 2)

    def test_another_server_counts_for_itself(self, history: History, wall: Wall) -> None:
        for evicted, run_id in ((100, "a"), (9000, "b"), (9001, "b")):
            history.observe(reading(1, evicted=evicted, run_id=run_id), assessment())
            wall.now_s += 1
        assert [point.evicted_keys for point in history.points(Span.HOUR)] == [None, None, 1]

    def test_what_a_server_does_not_tell_is_unknown(self, history: History) -> None:
        history.observe(Reading(0.0, 5), assessment())
        [point] = history.points(Span.HOUR)
        assert (point.keys, point.evicted_keys, point.refused_writes) == (None, None, None)

    def test_an_outage_is_unknown_and_not_zero(self, history: History, wall: Wall) -> None:
        see(history, 5)
        for _ in range(3):
            wall.now_s += 60
            history.unreadable()
        wall.now_s += 60
        see(history, 6)
        assert used(history, Span.HOUR) == used(history, Span.DAY) == [5, None, None, None, 6]
        assert history.points(Span.HOUR)[1] == Point(NOW_S + 60)
        assert used(history, Span.YEAR) == [6]  # something was read in that hour

    def test_a_look_that_fails_in_a_second_with_a_reading_hides_nothing(self, history: History) -> None:
        see(history, 5)
        history.unreadable()
        history.flush()
        assert used(history, Span.HOUR) == [5]

    def test_a_long_pause_is_no_gap_but_a_late_look_is(self, history: History, wall: Wall) -> None:
        history.expect(600.0)
        for late_s in (600, 600, 4000):
            see(history, 5)
            wall.now_s += late_s
        see(history, 6)
        assert used(history, Span.DAY) == [5, 5, 5, None, 6]
        assert history.points(Span.DAY)[3].at_s == NOW_S + 1260  # where the gap begins

    def test_since_begins_with_the_point_that_the_time_is_in(self, history: History, wall: Wall) -> None:
        for size in range(600):
            see(history, size)
            wall.now_s += 1
        for flush in (False, True):
            if flush:
                history.flush()
            at_s = [point.at_s - NOW_S for point in history.points(Span.DAY, NOW_S + 475)]
            assert at_s == [420, 480, 540]
            assert [point.at_s - NOW_S for point in history.points(Span.DAY, NOW_S + 480)] == [480, 540]

    def test_the_latest_are_seconds_that_are_over(self, history: History, wall: Wall) -> None:
        assert history.newest(0) == ()
        for size in range(4):
            see(history, size)
            wall.now_s += 1
        wall.now_s -= 0.1
        assert [point.used_bytes for _, point in history.newest(0)] == [0, 1, 2]
        history.flush()
        assert [point.used_bytes for _, point in history.newest(2)] == [2]
        wall.now_s += 0.1
        assert [point.used_bytes for _, point in history.newest(3)] == [3]
        assert history.newest(4) == ()

    def test_seconds_that_are_over_are_numbered_as_they_come(self, history: History, wall: Wall) -> None:
        assert (history.newest(0), history.seconds) == ((), 0)
        for size in range(4):
            see(history, size)
            wall.now_s += 1
        wall.now_s -= 0.1
        assert [(number, point.used_bytes) for number, point in history.newest(0)] == [(1, 0), (2, 1), (3, 2)]
        wall.now_s += 0.1
        history.flush()
        assert [(number, point.used_bytes) for number, point in history.newest(2)] == [(3, 2), (4, 3)]
        assert (history.seconds, history.newest(4), history.newest(99)) == (4, (), ())

    def test_a_clock_set_back_hides_no_newer_second(self, history: History, wall: Wall) -> None:
        for size in range(5):
            see(history, size)
            wall.now_s += 1
        last = history.seconds
        wall.now_s -= 1800
        for size in range(20):
            see(history, size)
            wall.now_s += 1
        assert [number for number, _ in history.newest(last)] == list(range(6, 26))
        times = [point.at_s for point in history.points(Span.HOUR)]
        assert times == sorted(set(times))

    def test_a_second_that_comes_twice_is_told_again_with_everything_in_it(self, history: History, wall: Wall) -> None:
        see(history, 9)
        wall.now_s += 1
        assert history.seconds == 1
        wall.now_s -= 0.5
        see(history, 5)
        assert history.newest(1) == ()  # it is under way again
        wall.now_s += 1
        [(number, point)] = history.newest(0)
        assert (number, point.used_bytes, point.high_bytes) == (2, 5, 9)

    def test_what_only_a_full_reading_tells_is_known_where_one_was(self, history: History, wall: Wall) -> None:
        for refused, full in ((0, True), (0, False), (0, False), (7, True), (7, False)):
            history.observe(reading(1, refused=refused), assessment(), full=full)
            wall.now_s += 1
        assert [point.refused_writes for point in history.points(Span.HOUR)] == [None, None, None, 7, None]
        assert [point.keys for point in history.points(Span.HOUR)] == [7, None, None, 7, None]
        [minute] = history.points(Span.DAY)
        assert (minute.refused_writes, minute.keys) == (7, 7)

    @given(st.lists(st.tuples(st.floats(-4000, 4000), st.booleans(), st.booleans()), max_size=30))
    def test_however_the_clock_jumps_points_are_in_order_and_none_lies_ahead(
        self, steps: list[tuple[float, bool, bool]]
    ) -> None:
        wall = Wall()
        history = History(wall_clock=wall)
        for number, (turned, flush, fails) in enumerate(steps):
            wall.now_s += turned
            if fails:
                history.unreadable()
            else:
                see(history, number)
            if flush:
                history.flush()
            for span in Span:
                times = [point.at_s for point in history.points(span)]
                assert times == sorted(set(times))
                assert wall.now_s - span.resolution_s < times[-1] <= wall.now_s
                if not fails:
                    assert history.points(span)[-1].used_bytes == number
            newest = history.newest(0)
            assert [n for n, _ in newest] == sorted({n for n, _ in newest})
            assert len({point.at_s for _, point in newest}) == len(newest)
            assert not newest or newest[-1][0] <= history.seconds
        assert history.error is None
        history.stop()

    def test_a_clock_set_back_across_the_hour_loses_no_highest(self, history: History, wall: Wall) -> None:
        wall.now_s += HOUR_S - 1
        see(history, 20 * MB, Level.PREVENTIVE)
        for _ in range(3):  # the hour before is written and forgotten
            wall.now_s += HOUR_S
            see(history, MB)
            history.flush()
        wall.now_s = NOW_S + HOUR_S - 0.5
        see(history, 2 * MB)
        history.flush()
        [hour] = history.points(Span.YEAR)
        assert (hour.used_bytes, hour.high_bytes, hour.level) == (2 * MB, 20 * MB, Level.PREVENTIVE)


class TestJournal:
    def test_it_is_found_newest_first_written_or_not(self, history: History, wall: Wall) -> None:
        journal = journal_of(history, wall)
        for number in range(1, 21):
            journal.write(Event.ACTION, "normal", f"entry {number}", freed=number)
            if number == 10:
                history.flush()
        assert [entry.number for entry in history.entries(limit=12)] == list(range(20, 8, -1))
        assert [entry.number for entry in history.entries(after=8, before=12)] == [11, 10, 9]
        assert history.entries(after=19) == (Entry(20, NOW_S, Event.ACTION, "normal", "entry 20", {"freed": 20}),)
        history.flush()
        assert history.entries(after=19)[0].details == {"freed": 20}
        assert history.entries(after=20) == history.entries(limit=0) == ()

    @pytest.mark.parametrize("flushed", [False, True])
    def test_it_is_filtered(self, history: History, wall: Wall, *, flushed: bool) -> None:
        journal = journal_of(history, wall)
        journal.write(Event.LEVEL, "emergency", "Level rises: Größe 24MB")
        journal.write(Event.ACTION, "emergency", "deleted 12 of analytics")
        journal.write(Event.ACTION, "normal", "deleted 3 of voice")
        if flushed:
            history.flush()
        assert [one.number for one in history.entries(events=[Event.ACTION])] == [3, 2]
        assert [one.number for one in history.entries(events=["action", "level"], levels=["emergency"])] == [2, 1]
        assert [one.number for one in history.entries(text="DELETED analytics")] == [2]
        assert [one.number for one in history.entries(text="GRÖSSE")] == [1]
        assert [one.number for one in history.entries(text="grÖße level")] == [1]
        assert history.entries(text="100%' OR 1=1 --") == ()

    def test_details_of_any_kind_are_kept(self, history: History, wall: Wall) -> None:
        journal_of(history, wall).write(Event.ACTION, "normal", "x", odd={1: math.inf}, level_now=Level.NORMAL, one=set)
        history.flush()
        assert history.error is None
        assert history.entries()[0].details["level_now"] == 0

    def test_who_waits_for_news_is_woken(self) -> None:
        journal = Journal(Wall(), last_number=5)
        assert journal.last_number == 5
        assert journal.wait(4, 0)
        assert not journal.wait(5, 0.01)
        woken: list[bool] = []
        waiting = threading.Thread(target=lambda: woken.append(journal.wait(5, 60.0)))
        waiting.start()
        entry = journal.write(Event.ACTION, "normal", "news")
        waiting.join(10)
        assert (woken, entry.number) == ([True], 6)


class TestTheRest:
    def test_what_namespaces_held_is_kept_every_five_minutes(self, history: History, wall: Wall) -> None:
        for minute in range(180):
            history.saw(census(chat=(minute, minute * 10), tasks=(0, None)))
            wall.now_s += 60
            if minute == 90:
                history.flush()
        listed = history.usages(Span.DAY)
        assert len(listed) == 36
        assert listed[0] == Usages(NOW_S, {"chat": (4, 40), "tasks": (0, None)})
        assert [one.namespaces["chat"][0] for one in history.usages(Span.YEAR)] == [59, 119, 179]

    def test_of_very_many_namespaces_the_heaviest_are_kept(self, history: History) -> None:
        history.saw(census(**{f"n{number}": (1, number) for number in range(1000)}))
        [one] = history.usages(Span.HOUR)
        assert sorted(one.namespaces) == sorted(f"n{number}" for number in range(937, 1000))

    def test_deliveries_are_found_newest_first(self, history: History) -> None:
        sent = [Delivery(NOW_S + n, "ops", "level", "firing", "failed", 3, "x" * 5000) for n in range(1500)]
        for delivery in sent[:700]:
            history.delivered(delivery)
        history.flush()
        for delivery in sent[700:]:
            history.delivered(delivery)
        history.flush()
        found = history.deliveries(5000)
        assert [one.at_unix_s - NOW_S for one in found] == list(range(1499, 499, -1))
        assert found[0].error == "x" * 1000
        assert [one.at_unix_s - NOW_S for one in history.deliveries(2)] == [1499, 1498]


class TestFeeding:
    def test_whatever_it_is_fed_it_never_raises(self, history: History, wall: Wall) -> None:
        wall.now_s = math.nan
        see(history, 1)
        history.unreadable()
        history.saw(census(a=(1, 1)))
        wall.now_s = NOW_S
        history.observe(cast("Reading", None), assessment())
        see(history, 2)
        assert used(history, Span.HOUR) == [2]

    def test_without_a_thread_memory_stays_bounded(self, history: History, wall: Wall) -> None:
        journal = journal_of(history, wall)
        for number in range(20_000):
            see(history, number)
            journal.write(Event.ACTION, "normal", "x")
            wall.now_s += 1
        assert len(history.points(Span.HOUR)) == 3599  # none yet in the second under way
        assert len(history.entries(limit=100_000)) == 5000

    def test_the_writer_writes_by_itself_and_sleeps_otherwise(self, wall: Wall, tmp_path: Path) -> None:
        path = tmp_path / "history.db"
        history = History(path, wall_clock=wall, gather_s=0.01)
        with history:
            see(history, 5)
            eventually(lambda: count(path, 1) == 1)
            [thread] = [one for one in threading.enumerate() if one.name == "spillgate-history"]
            before = wakes(thread)
            time.sleep(0.5)  # at rest: that nothing happens takes time to see
            assert wakes(thread) == before
        assert not thread.is_alive()
        assert used(history, Span.HOUR) == [5]
        with pytest.raises(RuntimeError, match="make a new one"):
            history.start()

    def test_in_memory_the_journal_is_shorter(self, history: History, wall: Wall) -> None:
        journal = journal_of(history, wall)
        for number in range(20_000):
            journal.write(Event.ACTION, "normal", "x")
            if number % 100 == 0:
                history.flush()
        assert history.last_number == 20_000
        assert 5000 <= len(history.entries(limit=100_000)) <= 5600

    def test_it_has_nothing_to_tell_of_itself(self, history: History) -> None:
        see(history, 1)
        history.flush()
        assert (history.path, history.error, history.last_number, history.notices()) == (None, None, 0, ())


def wakes(thread: threading.Thread) -> int:
    """How often a thread has gone to sleep."""
    with open(f"/proc/self/task/{thread.native_id}/status", encoding="ascii") as status:  # noqa: PTH123 - no real file
        return next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))


def test_a_shelf_drops_the_oldest_and_forgets_what_was_written() -> None:
    shelf = Shelf[str](3, retain=1)
    for number in range(5):
        shelf.put(number, str(number))
    assert list(shelf.values) == [2, 3, 4]
    taken = shelf.take()
    shelf.put(4, "new")
    shelf.settle()
    assert shelf.values == {4: "new"}
    shelf.give_back(taken)
    assert shelf.take() == {4: "new"}


def test_a_year_stays_within_its_bounds(tmp_path: Path, wall: Wall) -> None:
    """A year and some days: every day an hour in which much happens; at last a reading every two minutes."""
    path = tmp_path / "year.db"
    history = History(path, wall_clock=wall)
    journal = journal_of(history, wall)
    largest = 0
    held = census(**{f"namespace-{number}": (number * 1000, number * 1_000_000) for number in range(50)})
    history.expect(600.0)
    for day in range(380):
        every_s = 120 if day > 370 else 600
        began_s = wall.now_s
        for number in range(HOUR_S // 10):
            see(history, number * 1000, Level.EMERGENCY)
            if number % 4 == 0:
                journal.write(Event.ACTION, "emergency", "deleted " * 40, **{f"count_{n}": n for n in range(20)})
            wall.now_s += 10
        for number in range(23 * HOUR_S // every_s):
            see(history, day * 1000)
            history.saw(held)
            if number % 50 == 0:
                history.delivered(Delivery(wall.now_s, "ops", "level", "firing", "failed", 5, "e" * 2000))
                history.flush()
            wall.now_s += every_s
        assert wall.now_s - began_s == DAY_S
        if day % 20 == 0:
            largest = max(largest, sum(one.stat().st_size for one in tmp_path.iterdir()))
    history.flush()
    assert history.error is None
    assert (history.notices(), largest < MOST_BYTES) == ((), True)
    rows = {step_s: count(path, step_s) for step_s in MOST_POINTS}
    assert {step: rows[step] <= most + 2 * HOUR_S // step + 2 for step, most in MOST_POINTS.items()} == dict.fromkeys(
        MOST_POINTS, True
    )
    assert rows[HOUR_S] >= YEAR_S // HOUR_S - 1
    assert rows[60] >= 7 * 690
    assert 19_000 <= len(history.entries(limit=100_000)) <= 20_500
    assert len(history.deliveries(5000)) == 1000
    assert len(history.usages(Span.YEAR)) <= YEAR_S // HOUR_S + 2
    slowest = max(timed(lambda span=span: history.points(span)) for span in Span)
    assert slowest < 0.5  # bench/history.py has the figure; here other work may go on beside
    history.stop()
    assert path.stat().st_size < MOST_BYTES


def count(path: Path, resolution_s: int) -> int:
    """How many points of a resolution a file has, as any other program can see."""
    with closing(sqlite3.connect(path)) as other:
        [rows] = other.execute("SELECT count(*) FROM points WHERE resolution_s = ?", (resolution_s,)).fetchone()
    return rows


def timed(do: Callable[[], object]) -> float:
    """The least of three runs, in seconds."""
    took: list[float] = []
    for _ in range(3):
        started_s = time.perf_counter()
        do()
        took.append(time.perf_counter() - started_s)
    return min(took)


def test_a_journal_of_long_entries_is_bounded_by_its_text(tmp_path: Path, wall: Wall) -> None:
    with History(tmp_path / "long.db", wall_clock=wall) as history:
        journal = journal_of(history, wall)
        for _ in range(6):
            for _ in range(500):
                journal.write(Event.ACTION, "normal", "x" * 20_000)
            history.flush()
        assert 700 < len(history.entries(limit=10_000)) < 1400
    assert (tmp_path / "long.db").stat().st_size < MOST_BYTES
    assert history.notices() == tuple[Notice]()
