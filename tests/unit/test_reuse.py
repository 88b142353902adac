"""The simulated TTLs: exactly what caches with those TTLs would do, as long as all keys are sampled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.cache.lanes import LENGTHS, TICKS_PER_S
from spillgate.cache.recording import TTLS_S
from spillgate.cache.track import HIT
from tests.recording import HandClock, recorder_by

if TYPE_CHECKING:
    from spillgate.cache.recorder import Recorder
    from spillgate.cache.recording import Namespace

SIZE = 2048
FRESH = LENGTHS[0] // 10


@dataclass
class World:
    """A cache in which values live for ``length`` ticks: when each was written, and what came of it."""

    length: int
    written: dict[str, int] = field(default_factory=dict[str, int])
    misses: int = 0
    kept: int = 0

    def has(self, key: str, now: int) -> bool:
        """Whether there is a value."""
        return key in self.written and self.written[key] + self.length > now

    def drop(self, key: str, now: int) -> None:
        """Let it be gone, now or since its TTL was over."""
        if key in self.written:
            self.kept += min(now - self.written.pop(key), self.length)

    def write(self, key: str, now: int) -> None:
        """Write a value where there is none."""
        if not self.has(key, now):
            self.drop(key, now)
            self.written[key] = now

    def read(self, key: str, now: int, *, there: bool) -> None:
        """Read a value; where it is missing here, ``there`` says that it could be written."""
        if not self.has(key, now):
            self.misses += 1
            self.drop(key, now)
            if there:
                self.written[key] = now


class Model:
    """What a namespace should come to, done without any cleverness."""

    def __init__(self) -> None:
        self.worlds = [World(length) for length in LENGTHS]
        self.last: dict[str, int] = {}
        self.why_absent: dict[str, str] = {}
        self.updates = self.unfilled = self.first = self.again = 0

    def read(self, key: str, now: int, *, there: bool) -> None:
        """A value is asked for."""
        if key not in self.last:
            self.first += 1
            for world in self.worlds if there else ():
                world.write(key, now)
        else:
            self.again += 1
            if there and key in self.why_absent:
                for world in self.worlds:
                    if key not in world.written:
                        world.write(key, now)
            for world in self.worlds:
                world.read(key, now, there=there)
            self.unfilled += not there and self.why_absent.get(key) == "missed"
        self.last[key] = now
        self.why_absent.pop(key, None)
        if not there:
            self.why_absent[key] = "missed"

    def write(self, key: str, now: int, *, computed: bool) -> None:
        """A value is stored."""
        longest = self.worlds[-1]
        fresh = key in longest.written and longest.written[key] > now - FRESH
        if not (fresh or computed or self.why_absent.get(key) == "missed"):
            for world in self.worlds:
                world.drop(key, now)
        self.updates += not computed and (fresh or self.why_absent.get(key) != "missed")
        if not fresh:
            for world in self.worlds:
                world.write(key, now)
        self.last[key] = now
        self.why_absent.pop(key, None)

    def delete(self, key: str, now: int) -> None:
        """A value is deleted."""
        if key in self.last:
            for world in self.worlds:
                world.drop(key, now)
            self.why_absent[key] = "deleted"


ACTIONS = st.tuples(
    st.sampled_from(["hit", "hit of unknown size", "miss", "write", "compute", "delete", "clear"]),
    st.sampled_from("abc"),
    st.sampled_from([0, 1, 31, 33, 319, 320, 321, 480, 900, 10_000, 57_600, 2_000_000, 3_000_000]),
)


@given(st.lists(ACTIONS, max_size=60))
def test_each_ttl_is_simulated_exactly(actions: list[tuple[str, str, int]]) -> None:
    clock, model = HandClock(), Model()
    recorder = recorder_by(clock)
    track, now = recorder.track("n"), 1
    track.write("a", SIZE)
    model.write("a", now, computed=False)
    for action, key, ticks in actions:
        clock.pass_ticks(ticks)
        now += ticks
        if action.startswith("hit"):
            track.read(key, SIZE if action == "hit" or key not in model.last else HIT)
            model.read(key, now, there=True)
        elif action == "miss":
            track.read(key, 0)
            model.read(key, now, there=False)
        elif action in {"write", "compute"}:
            track.write(key, SIZE, 0.001 if action == "compute" else None)
            model.write(key, now, computed=action == "compute")
        elif action == "delete":
            track.delete(key)
            model.delete(key, now)
        else:
            track.clear()
            for each in "abc":
                model.delete(each, now)
    noted = recorder.snapshot()["n"]
    for world in model.worlds:
        for key in tuple(world.written):
            world.drop(key, now)
    assert noted.misses == tuple(world.misses for world in model.worlds)
    assert noted.kept_s == tuple(round(world.kept / TICKS_PER_S) for world in model.worlds)
    assert (noted.updates, noted.unfilled) == (model.updates, model.unfilled)
    assert (sum(noted.first), sum(noted.reuse)) == (model.first, model.again)
    assert noted.rate == 1


def sized(ttl_s: int, values: tuple[int, ...]) -> int:
    """The one of a value for each TTL that is for this one."""
    return values[TTLS_S.index(ttl_s)]


@pytest.fixture
def clock() -> HandClock:
    """The time."""
    return HandClock()


@pytest.fixture
def recorder(clock: HandClock) -> Recorder:
    """A recorder with a sample of its own."""
    return recorder_by(clock)


def read_at(clock: HandClock, recorder: Recorder, seconds: list[int], *, sliding: bool) -> Namespace:
    """One value, read at these moments."""
    track = recorder.track("n", sliding=sliding)
    for before, after in zip([0, *seconds], seconds, strict=False):
        clock.now_s += after - before
        track.read("a", SIZE)
    return recorder.snapshot()["n"]


def test_a_ttl_runs_from_the_last_write(clock: HandClock, recorder: Recorder) -> None:
    noted = read_at(clock, recorder, [0, 8, 16, 24], sliding=False)
    assert sized(10, noted.misses) == 1  # written at 0 and 16
    assert sized(15, noted.misses) == 1
    assert sized(20, noted.misses) == 1  # written at 0 and 24
    assert sized(30, noted.misses) == 0


def test_a_sliding_ttl_runs_from_the_last_read(clock: HandClock, recorder: Recorder) -> None:
    noted = read_at(clock, recorder, [0, 8, 16, 24, 36, 46], sliding=True)
    assert noted.sliding
    assert sized(10, noted.misses) == 2  # at 36 and 46
    assert sized(15, noted.misses) == 0
    assert sized(10, noted.kept_s) == 44  # 0 to 34, 36 to 46
    assert sized(15, noted.kept_s) == 46
    assert sized(15, noted.kept_kb_s) == 92


def test_touched_values_live_on(clock: HandClock, recorder: Recorder) -> None:
    track = recorder.track("n")
    track.write("a", SIZE)
    for _ in range(2):
        clock.now_s += 12
        track.renew("a")
    clock.now_s += 12
    track.read("a", SIZE)
    noted = recorder.snapshot()["n"]
    assert sized(10, noted.misses) == 1
    assert sized(15, noted.misses) == 0
    assert (sized(10, noted.kept_s), sized(15, noted.kept_s)) == (10, 36)


def test_reuse_and_first_reads_are_told_by_time(clock: HandClock, recorder: Recorder) -> None:
    track = recorder.track("n")
    track.read("early", SIZE)
    clock.now_s += 25
    track.read("early", SIZE)
    track.read("late", SIZE)
    noted = recorder.snapshot()["n"]
    after_20_s = TTLS_S.index(20) + 1
    assert [place for place, count in enumerate(noted.reuse) if count] == [after_20_s]
    assert [place for place, count in enumerate(noted.first) if count] == [0, after_20_s]
    unknown = {estimate.ttl_s: estimate.unknown for estimate in noted.curve()}
    assert unknown[20] == pytest.approx(1 / 3)  # "late" had not been read in the 25 s before
    assert unknown[30] == pytest.approx(2 / 3)


def test_misses_that_nothing_is_written_for_lead_to_no_memory(clock: HandClock, recorder: Recorder) -> None:
    track = recorder.track("n")
    for _ in range(10):
        track.read("never there", 0)
        clock.now_s += 1
    noted = recorder.snapshot()["n"]
    assert set(noted.kept_s) == {0}
    assert set(noted.misses) == {9}
    assert noted.unfilled == 9


def test_a_value_of_another_process_was_no_miss(clock: HandClock, recorder: Recorder) -> None:
    track = recorder.track("n")
    track.read("a", 0)
    clock.now_s += 1
    track.read("a", SIZE)
    noted = recorder.snapshot()["n"]
    assert set(noted.misses) == {0}
    assert noted.unfilled == 0


def test_many_at_once_are_recorded_like_one_after_the_other(clock: HandClock, recorder: Recorder) -> None:
    one, many = recorder.track("n"), recorder_by(clock)
    together = many.track("n")
    keys = [f"key:{number}" for number in range(50)] + ["half a pair: \ud800"]
    for step in (0, 1, 12, 700):
        clock.now_s += step
        sizes = [SIZE if number % 3 else 0 for number in range(len(keys))]
        for key, size in zip(keys, sizes, strict=True):
            one.read(key, size)
        together.read_many(keys, sizes)
        for key in keys:
            one.write(key, SIZE)
        together.write_many(keys, [SIZE] * len(keys))
    assert many.snapshot()["n"] == recorder.snapshot()["n"]


def test_sizes_and_costs_are_told_by_their_bits(recorder: Recorder) -> None:
    track = recorder.track("n")
    track.write("a", 1023, 0.000_5)
    track.write("b", 1024, 2.0)
    track.write("c", 1 << 40, 1e9)
    noted = recorder.snapshot()["n"]
    assert {bits: count for bits, count in enumerate(noted.sizes) if count} == {10: 1, 11: 1, 25: 1}
    assert {bits: count for bits, count in enumerate(noted.costs) if count} == {9: 1, 21: 1, 33: 1}
    assert (noted.computes, noted.writes) == (3, 3)
    assert noted.compute_s == pytest.approx(1e9 + 2.000_5)
