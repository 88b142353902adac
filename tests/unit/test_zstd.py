"""Frames from many threads, damaged frames, and dictionaries that are none."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spillgate.compression import DamagedFrame, OversizedFrame, Zstd, train

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 100_000
THREADS = 16
MAGIC = b"\x37\xa4\x30\xec"


def text(seed: int, words: int = 20) -> bytes:
    """A text like others."""
    some = ["where", "find", "a", "restaurant", "in", "San", "Francisco", "hotel", "cheap", "please", "today", "{}"]
    return " ".join(random.Random(seed).choices(some, k=words)).encode()


@cache
def learnt(first: int = 0) -> bytes:
    """A dictionary of texts."""
    content = train([text(seed) + str(first).encode() * 20 for seed in range(first, first + 500)], 4096)
    assert content is not None
    return content


makers: dict[str, Callable[[], Zstd]] = {"alone": Zstd, "with a dictionary": lambda: Zstd(learnt())}
with_and_without = pytest.mark.parametrize("how", makers)


def tried(zstd: Zstd, frame: bytes) -> bytes | type[Exception]:
    """What is in a frame, or the error that says why not; any other error fails the test."""
    try:
        return zstd.decompress(frame, MOST_BYTES)
    except (DamagedFrame, OversizedFrame) as error:
        return type(error)


# ---- threads


@with_and_without
def test_one_is_shared_by_many_threads(how: str) -> None:
    """Each uses it from its first moment on, when nothing has been made yet, and small and large values by turns."""
    zstd = makers[how]()
    ready = Barrier(THREADS)

    def work(seed: int) -> int:
        rng = random.Random(seed)
        ready.wait(10)
        done = 0
        for turn in range(60):
            data = text(seed * 1000 + turn, rng.choice([5, 50, 2000]))
            done += zstd.decompress(zstd.compress(data), len(data)) == data
        return done

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, range(THREADS))) == [60] * THREADS


@with_and_without
def test_a_damaged_frame_in_one_thread_disturbs_no_other_nor_the_next_one(how: str) -> None:
    zstd = makers[how]()
    good = [(data, zstd.compress(data)) for data in map(text, range(50))]

    def work(seed: int) -> bool:
        rng = random.Random(seed)
        for data, frame in good * 5:
            damaged = bytearray(frame)
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            tried(zstd, bytes(damaged))
            if zstd.decompress(frame, len(data)) != data:
                return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(THREADS)))


# ---- damage


@with_and_without
@pytest.mark.parametrize("words", [1, 20, 100, 10_000])
def test_a_truncated_or_prolonged_frame_is_damaged(how: str, words: int) -> None:
    zstd = makers[how]()
    data = text(1, words)
    frame = zstd.compress(data)
    lengths = range(len(frame)) if len(frame) < 500 else random.Random(1).sample(range(len(frame)), 100)
    for length in lengths:
        assert tried(zstd, frame[:length]) is DamagedFrame
    for more in (b"\x00", b"x", frame):
        assert tried(zstd, frame + more) is DamagedFrame
    assert tried(zstd, frame) == data


@with_and_without
@settings(max_examples=300)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\x08")
@example(b"\x08\x00")
@example(b"\x08\x05" + bytes(3_000_000))
@example(b"\xff" * 20)
def test_random_bytes_are_refused_or_give_no_more_than_is_allowed(how: str, data: bytes) -> None:
    seen = tried(makers[how](), data)
    assert not isinstance(seen, bytes) or len(seen) <= MOST_BYTES


def test_a_frame_that_does_not_declare_its_size_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False
    )
    frame = zstandard.ZstdCompressor(compression_params=parameters).compress(b"x")
    with pytest.raises(OversizedFrame):
        Zstd().decompress(frame, MOST_BYTES)


def test_a_frame_is_not_read_with_another_dictionary_or_without() -> None:
    """Without a checksum it may not be noticed here, but what comes out is not the text."""
    data = text(1000)
    frame = Zstd(learnt()).compress(data)
    for other in (Zstd(), Zstd(learnt(1000))):
        assert tried(other, frame) != data


# ---- dictionaries

no_dictionaries: dict[str, bytes] = {
    "empty": b"",
    "byte": b"x",
    "plain content, which zstd would take": text(1, 1000),
    "magic number": MAGIC,
    "zeros": MAGIC + b"\x00" * 100,
    "ones": MAGIC + b"\xff" * 1000,
    "cut off in its tables": learnt()[:50],
}


@pytest.mark.parametrize("what", no_dictionaries)
def test_what_is_no_trained_dictionary_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"^not a zstd dictionary"):
        Zstd(no_dictionaries[what])


@settings(max_examples=50)
@given(st.data())
def test_a_damaged_dictionary_is_refused_or_does_no_harm(data: st.DataObject) -> None:
    """The content of a dictionary may be anything; its tables may not."""
    damaged = bytearray(learnt())
    damaged[data.draw(st.integers(0, 200))] ^= data.draw(st.integers(1, 255))
    try:
        zstd = Zstd(bytes(damaged))
    except ValueError:
        return
    assert zstd.decompress(zstd.compress(text(1)), MOST_BYTES) == text(1)


few: dict[str, list[bytes]] = {"none": [], "one": [b"x"], "empty ones": [b""] * 100, "few": [text(1)] * 5}


@pytest.mark.parametrize("what", few)
def test_too_little_to_learn_from_gives_no_dictionary(what: str) -> None:
    assert train(few[what], 4096) is None


@pytest.mark.parametrize("segment_bytes", [None, 100])
def test_a_dictionary_is_no_larger_than_asked_for(segment_bytes: int | None) -> None:
    content: Any = train([text(seed) for seed in range(500)], 1024, segment_bytes)
    assert content.startswith(MAGIC)
    assert len(content) <= 1024
    assert Zstd(content).dictionary == content
