"""Recordings as documents: small, read back as they were, and harmless when they are damaged."""

from __future__ import annotations

import contextlib
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.cache.recording import (
    COST_BUCKETS,
    LOWEST,
    MOST_BYTES,
    RECORDINGS,
    SIZE_BUCKETS,
    TTLS_S,
    Namespace,
    Process,
    Recording,
    UnreadableRecording,
    decode,
    merge,
    read_recordings,
)
from tests.recording import HandClock, cache_aside, recorder_by, zipf_trace

COUNTS = st.integers(0, 1 << 40)
LANES = len(TTLS_S)


def counts(least: int, most: int) -> st.SearchStrategy[tuple[int, ...]]:
    """So many counts."""
    return st.lists(COUNTS, min_size=least, max_size=most).map(tuple)


@st.composite
def namespaces(draw: st.DrawFn) -> Namespace:
    """Any namespace."""
    lowest = draw(st.lists(st.integers(0, (1 << 32) - 1), unique=True, max_size=LOWEST).map(sorted))
    return Namespace(
        name=draw(st.sampled_from(["messages", "users", "voice"])),
        processes=draw(st.integers(1, 100)),
        covered_s=draw(st.floats(0, 1e9)),
        sliding=draw(st.booleans()),
        reads=draw(COUNTS),
        hits=draw(COUNTS),
        writes=draw(COUNTS),
        computes=draw(COUNTS),
        compute_s=draw(st.floats(0, 1e9)),
        costs=draw(counts(0, COST_BUCKETS)),
        rate=draw(st.floats(1e-6, 1)),
        keys=draw(COUNTS),
        updates=draw(COUNTS),
        unfilled=draw(COUNTS),
        sizes=draw(counts(0, SIZE_BUCKETS)),
        reuse=draw(counts(LANES + 1, LANES + 1)),
        first=draw(counts(LANES + 1, LANES + 1)),
        misses=draw(counts(LANES, LANES)),
        squares=draw(counts(LANES, LANES)),
        kept_s=draw(counts(LANES, LANES)),
        kept_kb_s=draw(counts(LANES, LANES)),
        lowest=tuple(lowest),
        seen_in=(1,) * len(lowest),
    )


RECORDINGS_OF_ANY = st.builds(
    Recording,
    st.lists(st.builds(Process, st.just("host"), st.integers(1, 1 << 22), st.just("0a1b")), max_size=3).map(tuple),
    st.floats(0, 2e9),
    st.floats(0, 2e9),
    st.lists(namespaces(), max_size=2, unique_by=lambda one: one.name).map(tuple),
)


@given(RECORDINGS_OF_ANY)
def test_a_recording_comes_back_as_it_was(recording: Recording) -> None:
    assert decode(recording.encode()) == recording


@given(RECORDINGS_OF_ANY)
def test_whatever_was_recorded_estimates_are_within_their_bounds(recording: Recording) -> None:
    for namespace in recording.namespaces:
        for estimate in namespace.curve():
            assert 0 <= estimate.low <= 1
            assert 0 <= estimate.hit_ratio <= 1
            assert 0 <= estimate.high <= 1
            assert min(estimate.writes_per_s, estimate.keys, estimate.value_bytes) >= 0


@given(st.binary(max_size=400) | st.binary(max_size=200).map(b"\x10".__add__) | st.binary().map(b"\x11".__add__))
def test_anything_else_is_unreadable_and_nothing_worse(document: bytes) -> None:
    with contextlib.suppress(UnreadableRecording):
        decode(document)


def recorded() -> Recording:
    """What a recorder makes of some traffic."""
    clock = HandClock()
    recorder = recorder_by(clock)
    cache_aside(recorder.track("messages"), clock, list(zipf_trace(3000, 10_000, per_s=20)), ttl_s=300, size=500)
    return recorder.snapshot()


def test_a_damaged_recording_is_unreadable_or_still_a_recording() -> None:
    document, rng = recorded().encode(), random.Random(1)
    for _ in range(3000):
        damaged = bytearray(document)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(UnreadableRecording):
            merge([decode(bytes(damaged[: rng.randint(1, len(damaged))]))])


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 0.0},
        {"rate": 2.0},
        {"rate": float("nan")},
        {"covered_s": float("inf")},
        {"misses": (1,)},
        {"reads": -1},
        {"reads": 1 << 63},
        {"lowest": (1, 2)},
        {"name": "n" * 65},
    ],
)
def test_numbers_that_nobody_records_are_refused(change: dict[str, object]) -> None:
    recording = recorded()
    (namespace,) = recording.namespaces
    forged = msgspec.structs.replace(recording, namespaces=(msgspec.structs.replace(namespace, **change),))
    with pytest.raises(UnreadableRecording):
        decode(b"\x10" + msgspec.msgpack.encode(forged))


def test_a_later_version_is_refused() -> None:
    with pytest.raises(UnreadableRecording):
        decode(b"\x20" + recorded().encode()[1:])


def test_a_bomb_is_not_unpacked() -> None:
    zeros = Recording((Process("h" * 64, 1, "t" * 32),) * 5000).encode()
    assert len(zeros) < 1000
    with pytest.raises(UnreadableRecording):
        decode(zeros)


def test_a_document_is_small_and_has_the_namespaces_that_are_read_most() -> None:
    recording = recorded()
    (namespace,) = recording.namespaces
    assert len(recording.encode()) < 1024
    rng = random.Random(1)
    many = [
        msgspec.structs.replace(
            namespace,
            name=f"n{number}",
            reads=number,
            **{
                field: tuple(rng.randrange(1 << 32) for _ in getattr(namespace, field))
                for field in ("misses", "squares", "kept_s", "kept_kb_s", "reuse", "first", "lowest")
            },
        )
        for number in range(24)
    ]
    document = msgspec.structs.replace(recording, namespaces=tuple(many)).encode()
    assert len(document) <= MOST_BYTES
    kept = decode(document)
    assert kept.left_out == 24 - len(kept.namespaces)
    assert {one.name for one in kept.namespaces} == {f"n{number}" for number in range(kept.left_out, 24)}


@given(st.lists(RECORDINGS_OF_ANY, min_size=1, max_size=4), st.randoms())
def test_merging_adds_up_in_any_order(recordings: list[Recording], rng: random.Random) -> None:
    merged = merge(recordings)
    rng.shuffle(recordings)
    again = merge(recordings)
    assert {one.name: one.reads for one in merged.namespaces} == {one.name: one.reads for one in again.namespaces}
    for namespace in merged.namespaces:
        parts = [one for recording in recordings for one in recording.namespaces if one.name == namespace.name]
        assert namespace.reads == sum(part.reads for part in parts)
        assert namespace.rate == min(part.rate for part in parts)
        whole = sum(part.misses[0] / part.rate for part in parts)
        assert namespace.misses[0] / namespace.rate == pytest.approx(whole, rel=1e-3, abs=1 / namespace.rate)


def test_nothing_merges_to_nothing() -> None:
    assert merge([]) == Recording()


def test_published_recordings_are_found_and_merged_and_damaged_ones_counted() -> None:
    """A server is not needed for that: what a command answers is all that it takes."""
    first, second = recorded(), recorded()
    stored = {
        first.processes[0].key.encode(): first.encode(),
        second.processes[0].key.encode(): second.encode(),
        RECORDINGS.encode() + b"damaged": b"\x10\x90 and more",
        RECORDINGS.encode() + b"expired meanwhile": None,
    }

    def run(*command: object) -> object:
        if command[0] == "SCAN":
            assert command[2:4] == ("MATCH", "spillgate:recorder:*")
            return [b"7", [*stored][:2]] if command[1] == 0 else [b"0", [*stored][1:]]
        return [stored[key] for key in command[1:] if isinstance(key, bytes)]

    recording = read_recordings(run)
    assert recording.processes == first.processes + second.processes
    assert recording.unreadable == 1
    assert recording["messages"].reads == 20_000
