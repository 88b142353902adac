"""The recorder: within its memory and time whatever comes, and right about what it did not see."""

from __future__ import annotations

import gc
import random
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.cache.members import BUDGET_BYTES, MOST_TRACKS
from spillgate.cache.recorder import BLIND, LIVES_S, PUBLISH_S
from spillgate.cache.recording import HASHES, TTLS_S, Recording, decode, merge
from spillgate.cache.track import HIT, Track
from tests.recording import DAY_S, Access, HandClock, cache_aside, recorder_by, truths_of, zipf_trace

if TYPE_CHECKING:
    from spillgate.cache.recorder import Recorder


@pytest.fixture
def clock() -> HandClock:
    """The time."""
    return HandClock()


# Estimates


@pytest.mark.parametrize(
    ("keys", "exponent", "budget_bytes", "off"),
    [(6000, 1.0, BUDGET_BYTES, 0.03), (20_000, 0.8, BUDGET_BYTES, 0.04), (20_000, 0.8, 4 * BUDGET_BYTES, 0.02)],
)
def test_estimates_from_a_sample_are_near_what_each_ttl_does(
    clock: HandClock, keys: int, exponent: float, budget_bytes: int, off: float
) -> None:
    trace = list(zipf_trace(keys, 40_000, per_s=100, exponent=exponent))
    recorder = recorder_by(clock, budget_bytes)
    cache_aside(recorder.track("n"), clock, trace, ttl_s=600, size=500)
    noted = recorder.snapshot()["n"]
    assert noted.rate < 0.6
    for estimate, truth in zip(noted.curve(), truths_of(trace), strict=True):
        assert estimate.cold_hit_ratio == pytest.approx(truth.hit_ratio, abs=off)
        assert estimate.low - 0.01 <= truth.hit_ratio <= estimate.high + 0.01
        assert estimate.keys == pytest.approx(truth.keys, rel=0.1)
        assert estimate.value_bytes == pytest.approx(500 * estimate.keys, rel=0.01)
        assert estimate.writes_per_s * noted.covered_s == pytest.approx(
            (1 - estimate.hit_ratio) * noted.reads, rel=0.05, abs=5
        )
    distinct = len({access.key for access in trace})
    assert noted.keys / noted.rate == pytest.approx(distinct, rel=0.1)
    assert noted.reads_per_s == pytest.approx(100, rel=0.05)


def test_keys_that_are_read_once_are_no_hits_of_any_ttl_however_short_the_recording(clock: HandClock) -> None:
    trace: list[Access] = []
    for second in range(1800):
        trace += [Access(second, f"hot:{second % 100}"), Access(second + 0.5, f"once:{second}")]
    recorder = recorder_by(clock)
    cache_aside(recorder.track("n"), clock, trace, ttl_s=600, size=500)
    for estimate, truth in zip(recorder.snapshot()["n"].curve(), truths_of(trace), strict=True):
        assert estimate.hit_ratio == pytest.approx(truth.hit_ratio, abs=0.05)
        assert estimate.low <= estimate.hit_ratio <= estimate.high
    assert recorder.snapshot()["n"].curve()[-1].unknown > 0.5


def test_a_hot_key_that_chance_leaves_out_is_noted_all_the_same(clock: HandClock) -> None:
    """One key in a third of all reads and ten in another third, in each of several places of the hash."""
    for seed in range(6):
        rng = random.Random(seed)
        trace = [
            Access(
                place / 20, f"{seed}:" + rng.choice(("hot", f"warm:{rng.randrange(10)}", f"cold:{rng.randrange(9000)}"))
            )
            for place in range(40_000)
        ]
        recorder = recorder_by(clock)
        cache_aside(recorder.track("n"), clock, trace, ttl_s=600, size=500)
        noted = recorder.snapshot()["n"]
        assert noted.rate < 0.5
        assert noted.hot is not None
        assert noted.hot.reads > 0.55 * noted.reads
        for estimate, truth in zip(noted.curve(), truths_of(trace), strict=True):
            assert estimate.cold_hit_ratio == pytest.approx(truth.hit_ratio, abs=0.02)
            assert estimate.keys == pytest.approx(truth.keys, rel=0.12)
        merged = merge([recorder.snapshot(), recorder.snapshot()])["n"]
        assert merged.hot is not None
        assert merged.hot.reads == 2 * noted.hot.reads
        assert decode(recorder.snapshot().encode())["n"].hot == noted.hot


def test_what_an_older_library_published_is_estimated_without_what_it_did_not_count(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    cache_aside(recorder.track("n"), clock, list(zipf_trace(3000, 10_000, per_s=50)), ttl_s=120, size=500)
    recording = recorder.snapshot()
    fields = msgspec.to_builtins(recording)
    older = msgspec.convert([*fields[:3], [[*fields[3][0][:-3]]], *fields[4:]], Recording)
    assert older["n"].absent is None
    for one, other in zip(recording["n"].curve(), older["n"].curve(), strict=True):
        assert one.cold_hit_ratio == pytest.approx(other.cold_hit_ratio, abs=0.05)
    assert merge([recording, older])["n"].absent is None


def test_longer_ttls_never_hit_less(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    cache_aside(recorder.track("n"), clock, list(zipf_trace(300, 10_000, per_s=5)), ttl_s=120, size=500)
    ratios = [estimate.hit_ratio for estimate in recorder.snapshot()["n"].curve()]
    assert ratios == sorted(ratios)


def test_processes_that_share_keys_add_up_to_the_whole() -> None:
    trace = list(zipf_trace(1000, 40_000, per_s=20))
    parts = [trace[number::4] for number in range(4)]
    recorders: list[Recorder] = []
    for part in parts:
        clock = HandClock()
        recorder = recorder_by(clock)
        # What the others write is not seen; that it is there is: this one never misses.
        track = recorder.track("n")
        for at_s, key in part:
            clock.now_s = 1000 + at_s
            track.read(key, 500)
        recorders.append(recorder)
    merged = merge(recorder.snapshot() for recorder in recorders)["n"]
    assert merged.processes == 4
    assert merged.reads == len(trace)
    assert merged.reads_per_s == pytest.approx(20, rel=0.05)
    assert 3 < merged.sharing <= 4
    for estimate, truth in zip(merged.curve(), truths_of(trace), strict=True):
        assert estimate.low - 0.01 <= truth.hit_ratio <= estimate.high + 0.01
        if estimate.ttl_s <= 60:  # beyond, half an hour in slow motion is too short to tell much
            assert estimate.hit_ratio == pytest.approx(truth.hit_ratio, abs=0.02)
        if estimate.ttl_s <= 300:
            assert estimate.keys == pytest.approx(truth.keys, rel=0.1)


def test_processes_with_keys_of_their_own_just_add_up() -> None:
    whole = HandClock()
    one, two, both = recorder_by(HandClock()), recorder_by(HandClock()), recorder_by(whole)
    everything = both.track("n")
    tracks = [recorder.track("n") for recorder in (one, two)]
    for _ in range(3):
        for number in range(100):
            everything.read(f"key:{number}", 500)
            tracks[number % 2].read(f"key:{number}", 500)
    merged, expected = merge([one.snapshot(), two.snapshot()])["n"], both.snapshot()["n"]
    assert merged.sharing == 1
    assert (merged.reads, merged.keys, merged.reuse) == (expected.reads, expected.keys, expected.reuse)


# The sample


@pytest.mark.parametrize(
    "template", ["{}", "user:{}", "user:{:08d}:cart", "{}:profile", "session:{:032x}", "größe:{}", "a" * 200 + "{}"]
)
def test_numbered_keys_are_sampled_evenly(clock: HandClock, template: str) -> None:
    recorder = recorder_by(clock)
    track = recorder.track("n")
    for number in range(30_000):
        track.read(template.format(number), 100)
    noted = recorder.snapshot()["n"]
    assert 500 < noted.keys < 1600
    assert noted.keys / noted.rate == pytest.approx(30_000, rel=0.1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3000), st.integers(0, 5000)), max_size=1500))
def test_memory_is_bounded_and_the_rate_is_the_samples(calls: list[tuple[int, int, int]]) -> None:
    clock = HandClock()
    recorder = recorder_by(clock, 100_000)  # little, so that much has to go
    tracks = [recorder.track(f"n{number}") for number in range(4)]
    for namespace, key, size in calls:
        clock.pass_ticks(1)
        tracks[namespace].read(f"key:{key}", size)
    assert recorder.sample.size_bytes() <= 100_000
    for track in tracks:
        assert isinstance(track, Track)
        noted = recorder.sample.noted(track)
        assert noted.rate == track.threshold / HASHES
        assert all(hashed < track.threshold for hashed in noted.lowest)
        assert noted.reads == track.reads


def test_it_takes_256_kb_however_many_keys_and_namespaces_there_are(clock: HandClock) -> None:
    recorder_by(clock).snapshot()  # what is imported and made once
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        recorder = recorder_by(clock)
        tracks = [recorder.track(f"namespace-{number}") for number in range(3 * MOST_TRACKS)]
        for number in range(20_000):
            clock.pass_ticks(1)
            track = tracks[number % len(tracks)]
            track.read(f"key:{number}", 0)
            track.write(f"key:{number}", 1000, 0.01)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before <= BUDGET_BYTES
    assert recorder.sample.size_bytes() <= BUDGET_BYTES
    recording = recorder.snapshot()
    assert len(recording.namespaces) == MOST_TRACKS
    assert recording.left_out == 2 * MOST_TRACKS
    assert tracks[-1] is BLIND


def test_small_namespaces_are_sampled_whole_beside_a_large_one(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    large, small = recorder.track("large"), recorder.track("small")
    for number in range(20_000):
        large.read(f"key:{number}", 100)
        small.read(f"key:{number % 50}", 100)
    recording = recorder.snapshot()
    assert recording["large"].rate < 0.1
    assert recording["small"].rate == 1
    assert recording["small"].keys == 50


def test_it_samples_fewer_keys_where_too_many_calls_take_the_long_way(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    track = recorder.track("n")
    for _ in range(20):
        for number in range(1000):
            clock.now_s += 0.002  # 500 a second, and each key each 2 s: long enough to write it anew
            track.write(f"key:{number}", 100)
    # A hundred a second may: a fifth of them.
    assert recorder.snapshot()["n"].rate == pytest.approx(0.2, abs=0.05)


def test_it_does_not_where_there_are_few_calls_anyway(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    track = recorder.track("n")
    for _ in range(40):
        for number in range(100):
            clock.now_s += 0.12
            track.read(f"key:{number}", 100)
    assert recorder.snapshot()["n"].rate == 1


def test_hot_keys_hardly_ever_take_the_long_way(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    track = recorder.track("n")
    for _ in range(20_000):
        clock.now_s += 0.001
        track.read("hot", 100)
        track.write("hot too", 100)
    sample: Any = recorder.sample
    assert sample._long < 100


def test_keys_unused_for_a_day_make_room(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    track = recorder.track("n")
    capacity = recorder.sample.capacity
    for number in range(capacity):
        track.read(f"old:{number}", 100)
    clock.now_s += DAY_S + 1
    for number in range(capacity):
        track.read(f"new:{number}", 100)
    noted = recorder.snapshot()["n"]
    assert noted.rate == 1
    assert noted.keys == capacity


def test_a_key_that_is_no_text_is_passed_over(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    track = recorder.track("n")
    track.read("half a pair: \ud800", 100)
    track.write("half a pair: \ud800", 100)
    noted = recorder.snapshot()["n"]
    assert (noted.reads, noted.writes, noted.keys) == (1, 1, 0)


def test_threads_record_together(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    track = recorder.track("n")

    def work(seed: int) -> None:
        for access in zipf_trace(5000, 4000, per_s=100, seed=seed):
            track.read(access.key, 0)
            track.write(access.key, 100)
            recorder.snapshot() if access.key.endswith("99:profile") else track.delete(access.key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    noted = recorder.snapshot()["n"]
    assert noted.reads == pytest.approx(16_000, rel=0.01)
    assert noted.hot is not None
    assert noted.keys + noted.hot.keys == recorder.sample.keys <= recorder.sample.capacity


# Over days


def test_recent_days_weigh_more(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    changed, steady = recorder.track("changed"), recorder.track("steady")
    for hour in range(24 * 8):
        clock.now_s += 3600
        for number in range(10):
            changed.read(f"key:{number}", 100 if hour < 24 * 6 else 0)
            steady.read(f"key:{number}", 1024)
        recorder.publication(clock.now_s)
    recording = recorder.snapshot()
    for noted in recording.namespaces:
        assert DAY_S <= noted.covered_s <= 2 * DAY_S
        assert noted.reads_per_s == pytest.approx(10 / 3600, rel=0.1)
        assert noted.rate == 1
    assert recording["changed"].hits / recording["changed"].reads < 0.3
    by_ttl = {estimate.ttl_s: estimate for estimate in recording["steady"].curve()}
    assert by_ttl[1800].hit_ratio == 0
    assert by_ttl[5400].hit_ratio == pytest.approx(1 / 2, abs=0.02)
    assert by_ttl[DAY_S].hit_ratio == pytest.approx(23 / 24, abs=0.03)
    assert by_ttl[1800].keys == pytest.approx(5, rel=0.05)
    assert by_ttl[DAY_S].keys == pytest.approx(10, rel=0.05)
    assert by_ttl[DAY_S].value_bytes == pytest.approx(10 * 1024, rel=0.05)


def test_after_a_flood_more_keys_are_sampled_again(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    track = recorder.track("n")
    for number in range(50_000):
        track.read(f"flood:{number}", 100)
    low = recorder.snapshot()["n"].rate
    for hour in range(24 * 12):
        clock.now_s += 3600
        for number in range(2000):
            track.read(f"key:{number}", 100)
        if hour % 12 == 0:
            recorder.publication(clock.now_s)
    noted = recorder.snapshot()["n"]
    assert noted.rate > 4 * low
    assert noted.keys / noted.rate == pytest.approx(2000, rel=0.2)
    at_a_day = noted.curve()[TTLS_S.index(DAY_S)]
    assert at_a_day.keys == pytest.approx(2000, rel=0.3)


def test_it_goes_on_after_its_ticks_have_run_out(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    track = recorder.track("n")
    track.read("a", 100)
    clock.now_s += 3 * 365 * DAY_S
    assert recorder.publication(clock.now_s)
    track.read("a", 100)
    assert recorder.snapshot()["n"].reads == 1


# Publishing


def test_a_recording_is_published_once_a_minute_by_one_caller(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    recorder.track("n").read("a", 100)
    assert recorder.publication(clock.now_s) is None
    clock.now_s += 1.25 * PUBLISH_S
    publication = recorder.publication(clock.now_s)
    assert publication is not None
    command, key, document, unit, lives_ms = publication
    assert (command, unit, lives_ms) == ("SET", "PX", LIVES_S * 1000)
    assert key == recorder.process.key
    assert decode(document)["n"].reads == 1
    assert recorder.publication(clock.now_s) is None
    assert recorder.publication(clock.now_s + 0.7 * PUBLISH_S) is None
    assert recorder.publication(clock.now_s + 1.25 * PUBLISH_S)


def test_a_call_makes_up_one_namespace_of_it_unless_calls_are_rare(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    for number in range(4):
        recorder.track(f"n{number}").read("a", 100)
    clock.now_s += 1.25 * PUBLISH_S
    assert [recorder.publication(clock.now_s) is None for _ in range(5)] == [True, True, True, False, True]
    clock.now_s += 1.25 * PUBLISH_S
    assert recorder.publication(clock.now_s) is None
    clock.now_s += 20
    publication = recorder.publication(clock.now_s)
    assert publication is not None
    assert len(decode(publication[2]).namespaces) == 4


def test_a_recorder_that_is_gone_gives_its_namespaces_back(clock: HandClock) -> None:
    recorder = recorder_by(clock)
    sample = recorder.sample
    again = type(recorder)(sample, clock, clock)
    for number in range(MOST_TRACKS):
        recorder.track(f"n{number}").read("a", 100)
    assert again.track("n") is BLIND
    del recorder
    gc.collect()
    third = type(again)(sample, clock, clock)
    assert third.track("n") is not BLIND
    assert sample.keys == 0


def test_a_hot_value_of_unknown_size_is_recorded_like_any_other(clock: HandClock) -> None:
    track = recorder_by(clock).track("n")
    for number in range(3000):
        track.read(f"cold:{number}", 500)
    for _ in range(400):
        for number in range(10):
            track.read(f"hot:{number}", HIT)
            track.read_many([f"warm:{number}"], [HIT])
    assert isinstance(track, Track)
    assert track.hot is not None
    assert track.hot.reads > 100


def test_traffic_that_falls_wins_no_hits(clock: HandClock) -> None:
    """Each key is read three times within seconds, and never again, by night a sixth as often."""
    trace: list[Access] = []
    at_s, number = 0.0, 0
    while at_s < 6 * 3600:
        at_s += 1 / (0.6 - 0.5 * at_s / (6 * 3600))
        number += 1
        trace += [Access(at_s + 2 * place, f"key:{number}") for place in range(3)]
    recorder = recorder_by(clock)
    cache_aside(recorder.track("n"), clock, sorted(trace), ttl_s=600, size=500)
    for estimate in recorder.snapshot()["n"].curve():
        assert estimate.hit_ratio == pytest.approx(2 / 3, abs=0.02)
