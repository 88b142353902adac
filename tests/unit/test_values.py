"""How values are measured, and what looks like a file."""

from __future__ import annotations

import json
import random

import pytest

from spillgate.census.files import kind_of
from spillgate.census.values import measure
from spillgate.policy.findings.allocation import string_bytes


def chats(count: int) -> list[bytes]:
    rng = random.Random(1)
    return [
        json.dumps({"id": number, "city": "San Francisco", "intent": "find a restaurant", "n": rng.random()}).encode()
        for number in range(count)
    ]


def test_a_dictionary_helps_small_values_that_are_alike() -> None:
    values = chats(80)
    measured = measure(values, list(map(len, values)))
    rest = [one for one in measured if one.with_dictionary is not None]
    assert [one.length for one in measured] == [one.read for one in measured] == list(map(len, values))
    assert len(rest) == 60  # a quarter was learnt from
    trained = sum(one.with_dictionary or 0 for one in rest)
    assert trained < 0.5 * sum(one.packed for one in rest)
    assert all(one.drawn and one.kind is None for one in measured)


def test_what_is_random_does_not_compress() -> None:
    values = [random.Random(number).randbytes(500) for number in range(40)]
    assert all(one.packed >= one.read for one in measure(values, [500] * 40))


@pytest.mark.parametrize("values", [[], [b"x"], [b"x"] * 100, chats(12)], ids=["none", "one", "tiny", "few"])
def test_too_little_to_learn_from_means_no_dictionary(values: list[bytes]) -> None:
    measured = measure(values, list(map(len, values)))
    assert [one.with_dictionary for one in measured] == [None] * len(values)


def test_a_value_that_was_read_in_part_keeps_its_length() -> None:
    (one,) = measure([b"x" * 1000], [50_000])
    assert (one.length, one.read) == (50_000, 1000)
    assert one.packed < 100


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG image"),
        (b"\xff\xd8\xff\xe0", "JPEG image"),
        (b"%PDF-1.7", "PDF document"),
        (b"PK\x03\x04", "ZIP archive or Office document"),
        (b"RIFF\x24\x08\x00\x00WAVE", "WAV sound"),
        (b"\x00\x00\x00\x18ftypmp42", "MP4 video"),
        (b"x" * 257 + b"ustar", "tar archive"),
        (b"data:image/png;base64,", "image as data: URL"),
        (b"/9j/4AAQSkZJRg", "JPEG image in Base64"),
        (b'{"name": "PNG"}', None),
        (b"(\xb5/\xfd", None),  # zstd: a value that somebody compressed already
        (b"\x1f\x8b\x08", None),  # gzip: the same
        (b"RIFF\x24\x08\x00\x00????", None),
        (b"", None),
    ],
)
def test_files_are_told_by_how_they_begin(head: bytes, kind: str | None) -> None:
    assert kind_of(head + bytes(300)) == kind


def test_a_short_value_is_no_file() -> None:
    assert kind_of(b"ID3") is None


@pytest.mark.parametrize(
    ("length", "jemalloc", "libc"),
    [(1, 16, 24), (12, 16, 24), (100, 112, 104), (130, 160, 136), (330, 384, 344), (29_000, 32_768, 29_016)],
)
def test_strings_take_what_their_allocator_hands_out(length: int, jemalloc: int, libc: int) -> None:
    assert string_bytes(length, "jemalloc-5.3.0") == jemalloc
    assert string_bytes(length, "libc") == libc
