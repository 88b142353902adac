"""The file of a history: whose it is, restarts, kills, and everything that can happen to a file in use."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import pytest

from spillgate.errors import ConfigError
from spillgate.governor.history import Delivery, History, Notice, Span
from spillgate.governor.journal import Event
from spillgate.model import Level
from spillgate.policy.pressure import Limits
from tests.histories import MB, NOW_S, Wall, assessment, census, journal_of, reading, see
from tests.servers import eventually

if TYPE_CHECKING:
    from pathlib import Path

HOUR_S = 3600


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "history.db"


def used(history: History, span: Span) -> list[int | None]:
    return [point.used_bytes for point in history.points(span)]


def refused(path: Path, reason: str) -> None:
    """Opening it is an error that names the option and the file, says why, and changes nothing."""
    content = path.read_bytes() if path.is_file() else None
    with pytest.raises(ConfigError, match=reason) as caught:
        History(path)
    assert (caught.value.source, caught.value.key) == ("command line", "--history")
    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == content


def sound(path: Path) -> bool:
    """Whether SQLite finds nothing wrong with the file."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


class TestWhoseItIs:
    def test_a_new_file_is_the_owners_alone_and_tidy_when_closed(self, path: Path, wall: Wall) -> None:
        before = os.umask(0)
        try:
            with History(path, wall_clock=wall) as history:
                see(history, 1)
                history.flush()
                modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
                assert modes == dict.fromkeys(
                    ("history.db", "history.db-wal", "history.db-shm", "history.db.lock"), 0o600
                )
        finally:
            os.umask(before)
        assert [one.name for one in path.parent.iterdir()] == ["history.db"]
        with closing(sqlite3.connect(path)) as db:
            [application], [version] = (
                db.execute(f"PRAGMA {it}").fetchone() for it in ("application_id", "user_version")
            )
            assert (application, version) == (0x53504C47, 1)

    def test_what_is_not_ours_is_refused_and_left_alone(self, path: Path) -> None:
        path.write_text("my shopping list")
        refused(path, "not a history of Spillgate.*choose another file")
        path.unlink()
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE mine (a)")
            db.commit()
        refused(path, "not a history of Spillgate")
        assert [one.name for one in path.parent.iterdir()] == ["history.db"]

    def test_an_empty_file_is_taken(self, path: Path, wall: Wall) -> None:
        path.touch()
        with History(path, wall_clock=wall) as history:
            see(history, 1)
        assert sound(path)

    def test_one_of_a_newer_version_is_refused(self, path: Path) -> None:
        History(path).stop()
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 2")
        refused(path, "newer version .*format 2, this one knows 1")

    def test_places_where_no_file_can_be_are_refused(self, path: Path) -> None:
        refused(path.parent, "not a plain file")
        refused(path.parent / "none" / "history.db", "folder .*none does not exist: make it")
        os.mkfifo(path)
        refused(path, "not a plain file")

    def test_a_second_process_is_refused_until_the_first_ends(self, path: Path) -> None:
        with Writer(path) as process:
            process.awaits_one()
            refused(path, f"process {process.pid} is writing to it: give each governor a file of its own")
        History(path).stop()

    def test_a_second_history_in_the_process_is_refused_too(self, path: Path) -> None:
        with History(path) as first:
            refused(path, f"process {os.getpid()} is writing to it")
            see(first, 1)
            first.flush()
            assert first.error is None
        assert sound(path)


class TestRestarts:
    def test_everything_is_there_again_and_goes_on(self, path: Path, wall: Wall) -> None:
        with History(path, wall_clock=wall) as history:
            journal_of(history, wall).write(Event.STARTED, "normal", "the first")
            history.saw(census(chat=(5, 500)))
            history.delivered(Delivery(NOW_S, "ops", "level", "firing", "delivered", 1))
            history.observe(reading(20 * MB, evicted=100), assessment(Level.PREVENTIVE))
            history.observe(reading(5 * MB, evicted=104), assessment())
        wall.now_s += 30
        with History(path, wall_clock=wall) as history:
            assert history.last_number == 1
            journal_of(history, wall).write(Event.STARTED, "normal", "the second")
            history.delivered(Delivery(NOW_S + 1, "ops", "level", "recovered", "delivered", 1))
            history.observe(reading(6 * MB, evicted=104), assessment())
            history.observe(reading(6 * MB, evicted=105), assessment())
            assert [entry.message for entry in history.entries()] == ["the second", "the first"]
            assert [one.kind for one in history.deliveries()] == ["recovered", "firing"]
            assert history.usages(Span.DAY)[0].namespaces == {"chat": (5, 500)}
            for _ in range(2):
                [minute] = history.points(Span.DAY)
                assert (minute.used_bytes, minute.high_bytes, minute.level) == (6 * MB, 20 * MB, Level.PREVENTIVE)
                assert minute.evicted_keys == 5
                history.flush()

    def test_the_time_in_between_is_unknown(self, path: Path, wall: Wall) -> None:
        for size, away_s in ((1, 90), (2, 0.4), (3, 5 * HOUR_S), (4, 0)):
            with History(path, wall_clock=wall) as history:
                see(history, size)
            wall.now_s += away_s
        with History(path, wall_clock=wall) as history:
            assert used(history, Span.DAY) == [1, 3, None, 4]
            assert used(history, Span.YEAR) == [3, None, 4]
            assert used(history, Span.HOUR) == [4]

    def test_a_restart_without_a_reading_adds_nothing(self, path: Path, wall: Wall) -> None:
        with History(path, wall_clock=wall) as history:
            see(history, 1)
        for _ in range(5):
            wall.now_s += 10
            History(path, wall_clock=wall).stop()
        with History(path, wall_clock=wall) as history:
            assert used(history, Span.HOUR) == [1, None]

    def test_a_clock_that_is_behind_shows_nothing_of_the_future_and_keeps_it(self, path: Path, wall: Wall) -> None:
        with History(path, wall_clock=wall) as history:
            see(history, 1)
        wall.now_s -= 2 * HOUR_S
        with History(path, wall_clock=wall) as history:
            see(history, 2)
            history.flush()
            assert used(history, Span.DAY) == [2]
        wall.now_s += 2 * HOUR_S + 60
        with History(path, wall_clock=wall) as history:
            assert used(history, Span.DAY) == [2, 1]


class Writer:
    """A process that writes a history, and says what it has committed."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.histories", "write", str(path)], stdout=subprocess.PIPE
        )
        self.pid = self._process.pid
        self._told: bytes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.killed()

    def awaits_one(self) -> None:
        """Wait for the first commit."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip().isdigit()

    def killed(self) -> list[int]:
        """Kill it, and return the last committed numbers that it told."""
        self._process.kill()
        if self._told is None:
            self._told, _ = self._process.communicate()
        return [int(line) for line in self._told.splitlines(keepends=True) if line.endswith(b"\n")]


def test_kill_9_in_the_middle_of_writing_loses_nothing_that_was_committed(path: Path) -> None:
    chance = random.Random()
    last = 0
    for _ in range(15):
        with Writer(path) as process:
            process.awaits_one()
            time.sleep(chance.uniform(0, 0.15))  # no waiting for luck: any moment will do
            committed = max([last, *process.killed()])
        history = History(path)
        try:
            assert history.notices() == ()
            assert committed <= history.last_number
            numbers = [entry.number for entry in history.entries(limit=100_000)]
            assert numbers[0] == history.last_number
            assert numbers == list(range(numbers[0], numbers[-1] - 1, -1))
            assert used(history, Span.HOUR)
            last = history.last_number
        finally:
            history.stop()
        assert sound(path)


def test_it_is_read_by_many_while_it_is_written(path: Path) -> None:
    failures: list[BaseException] = []
    over = threading.Event()

    def read(history: History) -> None:
        try:
            highest = 0
            while not over.is_set():
                for span in Span:
                    highest, before = max(point.used_bytes or 0 for point in history.points(span)), highest
                    assert highest >= before
                numbers = [entry.number for entry in history.entries(limit=50)]
                assert numbers == list(range(numbers[0], numbers[0] - len(numbers), -1))
                with closing(sqlite3.connect(path)) as other:
                    other.execute("SELECT count(*) FROM points").fetchone()
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    with History(path, gather_s=0.001) as history:
        journal = journal_of(history, time.time)
        journal.write(Event.ACTION, "normal", "first")
        see(history, 1)
        readers = [threading.Thread(target=read, args=(history,)) for _ in range(4)]
        for reader in readers:
            reader.start()
        for number in range(2, 300):
            see(history, number)
            journal.write(Event.ACTION, "normal", "x")
            history.flush()
        over.set()
        for reader in readers:
            reader.join()
        assert (failures, history.error) == ([], None)


class TestTrouble:
    def test_without_room_it_goes_on_in_memory_and_recovers(self, path: Path) -> None:
        command = [sys.executable, "-m", "tests.histories", "full", str(path)]
        told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        assert told["error"].startswith("the history cannot be written: ")
        assert told["took_s"] < 5
        assert (told["points"], told["entries"], told["old"]) == (7999, ["entry 7999"], ["with room"])
        assert told["pending"] == 5001  # bounded: with the one that was written before
        assert told["error_after"] is None
        assert told["notices"] == [told["error"], "the history is written again"]
        assert told["kept"] == [5001, "entry 7999"]
        assert sound(path)

    def test_a_folder_that_vanished_is_told_and_not_made_anew(self, path: Path, wall: Wall) -> None:
        history = History(path, wall_clock=wall)
        journal = journal_of(history, wall)
        journal.write(Event.STARTED, "normal", "before")
        see(history, 1)
        history.flush()
        shutil.rmtree(path.parent)
        for size in (2, 3):
            wall.now_s += 1
            see(history, size)
            history.flush()
            assert history.error is not None
            assert f"the folder {path.parent} does not exist" in history.error
        assert not path.parent.exists()
        journal.write(Event.ACTION, "normal", "meanwhile")
        assert used(history, Span.HOUR) == [1, 2, 3]
        assert [entry.message for entry in history.entries()] == ["meanwhile", "before"]
        path.parent.mkdir()
        history.flush()
        assert history.error is None
        assert [notice.grave for notice in history.notices()] == [True, False]
        history.stop()
        with History(path, wall_clock=wall) as again:  # with what the file that is gone had
            assert used(again, Span.HOUR) == [1, 2, 3]
            assert [entry.message for entry in again.entries()] == ["meanwhile", "before"]

    def test_a_file_that_was_deleted_is_written_again(self, path: Path, wall: Wall) -> None:
        history = History(path, wall_clock=wall)
        for size in range(500):
            see(history, size)
            wall.now_s += 1
        history.flush()
        for one in path.parent.iterdir():
            one.unlink()
        see(history, 500)
        history.flush()
        assert (history.error, history.notices()) == (None, ())
        assert used(history, Span.HOUR) == list(range(501))
        # Killed now, everything is in the file.
        copy = path.parent.parent / "copy"
        shutil.copytree(path.parent, copy)
        (copy / "history.db.lock").unlink()
        history.stop()
        for file in (path, copy / "history.db"):
            assert sound(file)
            with History(file, wall_clock=wall) as again:
                assert used(again, Span.HOUR) == list(range(501))

    def test_another_file_in_its_place_is_gone_on_with(self, path: Path, wall: Wall) -> None:
        with History(path, wall_clock=wall) as history:
            see(history, 1)
        backup = path.with_name("backup.db")
        shutil.copy(path, backup)
        wall.now_s += 1
        with History(path, wall_clock=wall) as history:
            see(history, 2)
            history.flush()
            backup.rename(path)
            wall.now_s += 1
            see(history, 3)
            history.flush()
            assert history.error is None
        with History(path, wall_clock=wall) as history:
            assert used(history, Span.HOUR) == [1, 3]

    def test_a_foreign_file_in_its_place_is_not_touched(self, path: Path, wall: Wall) -> None:
        with History(path, wall_clock=wall) as history:
            see(history, 1)
            history.flush()
            path.unlink()
            path.write_text("my shopping list")
            see(history, 2)
            history.flush()
            assert "not a history of Spillgate" in str(history.error)
            assert used(history, Span.HOUR) == [2]
        assert path.read_text() == "my shopping list"

    def test_somebody_who_locks_it_is_waited_for(self, path: Path, wall: Wall) -> None:
        with History(path, wall_clock=wall) as history:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                see(history, 1)
                history.flush()
                assert "locked" in str(history.error)
                assert used(history, Span.HOUR) == [1]
            history.flush()
            assert history.error is None


@pytest.mark.parametrize("wrong_s", [2 * 366 * 86_400, -1_700_000_000])
def test_a_clock_that_is_wrong_once_erases_nothing(path: Path, wall: Wall, wrong_s: int) -> None:
    def kept() -> tuple[int, ...]:
        with History(path, wall_clock=wall) as history:
            spans = (Span.YEAR, Span.WEEK, Span.HOUR)
            return (
                *(len(history.points(span)) for span in spans),
                len(history.usages(Span.YEAR)),
                len(history.entries()),
            )

    with History(path, wall_clock=wall) as history:
        for number in range(48):
            see(history, number)
            history.saw(census(chat=(1, 1)))
            journal_of(history, wall).write(Event.ACTION, "normal", "x")
            wall.now_s += HOUR_S
    wall.now_s -= 1
    before = kept()
    assert before[0] == before[3] == before[4] == 48
    for _ in range(2):  # the second is a restart while it is still wrong
        wall.now_s += wrong_s
        with History(path, wall_clock=wall) as history:
            for _ in range(5):
                see(history, 1)
                history.flush()
                wall.now_s += 61
        wall.now_s -= wrong_s + 5 * 61
        assert kept() == before


def test_points_too_many_go_furthest_from_now_first(path: Path, wall: Wall) -> None:
    with History(path, wall_clock=wall) as history:
        wall.now_s += 10 * 366 * 86_400
        see(history, 1)
        history.flush()
        wall.now_s = NOW_S
        for number in range(3700):
            see(history, number)
            wall.now_s += 1
            if number % 100 == 0:
                history.flush()
        wall.now_s += 61
        see(history, 3700)
        history.flush()
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT count(*), max(at_s) FROM points WHERE resolution_s = 1").fetchall()
        assert rows == [(3600, int(wall.now_s))]


@pytest.mark.parametrize("limit", [2**63, 2**70, -(2**70)])
def test_a_number_that_is_too_large_for_the_file_is_written_as_the_largest(path: Path, wall: Wall, limit: int) -> None:
    with History(path, wall_clock=wall) as history:
        history.observe(reading(1), replace(assessment(), limits=Limits(limit, 0)))
        history.flush()
        assert history.error is None
    with History(path, wall_clock=wall) as history:
        [point] = history.points(Span.HOUR)
        assert abs(point.limit_bytes or 0) == 2**63 - 1


def test_whatever_goes_wrong_in_writing_is_told_and_the_writer_goes_on(path: Path, wall: Wall) -> None:
    with History(path, wall_clock=wall, gather_s=0.01) as history:
        journal_of(history, wall).write(Event.ACTION, "normal", "half a character: \ud800")
        eventually(lambda: history.error is not None)
        assert "UnicodeEncodeError" in (history.error or "")
        [thread] = [one for one in threading.enumerate() if one.name == "spillgate-history"]
        assert thread.is_alive()
        see(history, 5)
        assert (used(history, Span.HOUR), len(history.entries())) == ([5], 1)


def spoil(path: Path) -> None:
    """Overwrite everything but the first page of the file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(size - 4096))


class TestCorruption:
    def test_at_the_start_it_is_moved_aside_and_said(self, path: Path, wall: Wall) -> None:
        with History(path, wall_clock=wall) as history:
            for size in range(2000):
                see(history, size)
                wall.now_s += 1
        spoil(path)
        broken = path.read_bytes()
        with History(path, wall_clock=wall) as history:
            [notice] = history.notices()
            aside = path.with_name("history.db.corrupt-20270115T083320Z")
            assert notice == Notice(grave=True, message=notice.message)
            assert "history.db is broken" in notice.message
            assert f"it is now {aside.name}, and a new one begins" in notice.message
            assert aside.read_bytes() == broken
            assert history.points(Span.HOUR) == ()
            see(history, 1)
            history.flush()
            assert history.error is None
        assert sound(path)

    def test_while_running_it_goes_on_with_a_new_file(self, path: Path, wall: Wall) -> None:
        history = History(path, wall_clock=wall)
        for size in range(3000):
            see(history, size)
            wall.now_s += 1
        history.flush()
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        spoil(path)
        for _ in range(3):
            wall.now_s += 61
            see(history, 1)
            history.flush()
        assert history.error is None
        assert any("is broken" in notice.message for notice in history.notices())
        assert used(history, Span.HOUR)[-1] == 1
        history.stop()
        assert sound(path)
        assert len([one for one in path.parent.iterdir() if ".corrupt-" in one.name]) == 1

    def test_of_the_broken_ones_the_newest_three_are_kept(self, path: Path, wall: Wall) -> None:
        for _ in range(5):
            with History(path, wall_clock=wall) as history:
                for size in range(500):
                    see(history, size)
                    wall.now_s += 1
            spoil(path)
        History(path, wall_clock=wall).stop()
        names = sorted(one.name for one in path.parent.iterdir() if ".corrupt-" in one.name)
        assert len(names) == 3


def test_a_process_that_is_killed_leaves_the_lock_to_the_next(path: Path) -> None:
    with Writer(path) as process:
        process.awaits_one()
        process.killed()
    assert path.with_name("history.db.lock").exists()
    History(path).stop()
    assert not path.with_name("history.db.lock").exists()
