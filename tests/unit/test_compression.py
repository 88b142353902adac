"""Frames: what goes in comes out, in no more memory than is allowed, whatever somebody did to them."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any, cast

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from spillgate.compression import LEVEL, DamagedFrame, OversizedFrame, Zstd, train
from tests.chats import chats

LENGTHS = [0, 1, 2, 255, 256, 257, 2048, 2049, 32_767, 32_768, 65_535, 65_536, 65_791, 65_792, 131_073, 600_000]


def learnt() -> Zstd:
    content = train(chats(400), 8192, 512)
    assert content is not None
    return Zstd(content)


ALONE, LEARNT = Zstd(), learnt()


@pytest.mark.parametrize("zstd", [ALONE, LEARNT], ids=["alone", "with a dictionary"])
@pytest.mark.parametrize("length", LENGTHS)
def test_any_length_comes_back(zstd: Zstd, length: int) -> None:
    noise = random.Random(length).randbytes(length)
    for data in (bytes(length), noise, (b"some words " * length)[:length], noise[: length // 2] + bytes(length // 2)):
        frame = zstd.compress(data)
        assert zstd.decompress(frame, len(data)) == data
        assert zstd.decompress(memoryview(b"?" + frame)[1:], len(data)) == data
        if data:
            with pytest.raises(OversizedFrame):
                zstd.decompress(frame, len(data) - 1)


@given(st.binary(max_size=5000))
def test_anything_comes_back(data: bytes) -> None:
    for zstd in (ALONE, LEARNT):
        assert zstd.decompress(zstd.compress(data), len(data)) == data


def test_a_frame_is_as_bare_as_can_be() -> None:
    (short,) = chats(1)
    long = b"".join(chats(20))
    parameters = cast("Any", zstandard.ZstdCompressionParameters).from_level(LEVEL, write_content_size=1)
    for data, spared in ((short, 3 + 4), (long, 4 + 4)):
        whole = zstandard.ZstdCompressor(compression_params=parameters).compress(data)
        assert len(ALONE.compress(data)) == len(whole) - spared


@given(st.binary(max_size=200), st.integers(0, 5000))
def test_what_is_no_frame_is_damaged_or_too_large(data: bytes, most_bytes: int) -> None:
    for zstd in (ALONE, LEARNT):
        with suppress(DamagedFrame, OversizedFrame):
            assert len(zstd.decompress(data, most_bytes)) <= most_bytes


def test_damage_never_takes_more_than_is_allowed() -> None:
    rng = random.Random(1)
    for data in (*chats(5), b"".join(chats(30)), bytes(100_000)):
        for zstd in (ALONE, LEARNT):
            frame = zstd.compress(data)
            for _ in range(300):
                damaged = bytearray(frame)
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
                if rng.random() < 0.3:
                    del damaged[rng.randrange(len(damaged)) :]
                with suppress(DamagedFrame, OversizedFrame):
                    assert len(zstd.decompress(bytes(damaged), 200_000)) <= 200_000


@pytest.mark.parametrize("content", [b"", b"no dictionary", b"\x37\xa4\x30\xec", b"\x37\xa4\x30\xec" + bytes(500)])
def test_what_is_no_dictionary_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a zstd dictionary"):
        Zstd(content)


def test_another_dictionary_is_damage() -> None:
    content = train([value[::-1] for value in chats(400)], 8192, 512)
    assert content is not None
    with pytest.raises(DamagedFrame):
        Zstd(content).decompress(LEARNT.compress(b"".join(chats(30))), 100_000)
