"""Bytes that nobody meant: whatever is in the server, reading it gives a value of the type, or says why not."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spillgate.cache.codec import Codec, Dictionary, Reason, Unreadable, cost_of, dictionary_of
from spillgate.cache.foreign import read_foreign
from spillgate.compression import Zstd
from spillgate.config import Codec as CodecName
from spillgate.config import NamespacePolicy
from tests.codecs import Author, Card, Message, both_codecs, chat, chat_dictionary, codec, plain, reason_of, threads

if TYPE_CHECKING:
    from collections.abc import Generator

MOST_BYTES = 10_000
KNOWN = {258: chat_dictionary()}
MESSAGE = Message(
    7, "a text that is long enough to be compressed, long enough to be compressed", Author("Jo", 3),
    datetime(2026, 2, 3, tzinfo=UTC), ["a", "b"], [Message(8, "x", Author("Al"), datetime(2026, 2, 4, tzinfo=UTC))],
)  # fmt: skip
frames = zstandard.ZstdCompressionParameters.from_level(3, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
sizeless = zstandard.ZstdCompressionParameters.from_level(
    3, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False
)


def written(kind: str, cost_s: float | None = None) -> bytes:
    """A message as it is stored in one of the ways there are."""
    settings = {"codec": CodecName.JSON} if kind == "json" else {"compress_over_bytes": 0 if kind == "zstd" else 10_000}
    return codec(Message, **settings).encode(MESSAGE, KNOWN[258] if kind == "dictionary" else None, cost_s).data


def read(data: bytes, type_: Any, name: CodecName = CodecName.MSGPACK) -> Any:
    """The value, or the reason why there is none; anything else that is raised fails the test."""
    try:
        return codec(type_, codec=name, max_value_bytes=MOST_BYTES).decode(data, KNOWN)
    except Unreadable as error:
        return error.reason


def is_of(value: Any, type_: Any) -> bool:
    """Whether a value has the type that it should; what msgspec decodes to strictly, it also converts to."""
    return msgspec.convert(msgspec.to_builtins(value), type_) == value


kinds = pytest.mark.parametrize("kind", ["plain", "zstd", "dictionary", "json"])


@both_codecs
@settings(max_examples=300)
@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda rest: b"\xc1\x10" + rest))
@example(b"")
@example(b"\xc1")
@example(b"\xc1\x10")
@example(b"\xc1\x13")
@example(b"\xc1\x17\x00\x01")
def test_random_bytes(name: CodecName, data: bytes) -> None:
    read(data, Any, name)
    for type_ in (int, str, list[int], Card, Message, Author | None):
        seen = read(data, type_, name)
        assert isinstance(seen, Reason) or is_of(seen, type_)
    cost_of(data)
    dictionary_of(data)


@settings(max_examples=300)
@given(st.integers(0, 255), st.binary(max_size=60))
def test_random_envelopes(head: int, rest: bytes) -> None:
    seen = read(bytes((0xC1, head)) + rest, Any)
    if head >> 4 == 0:
        assert seen is Reason.CORRUPT
    elif head >> 4 > 1 or head & 8 or (head & 2 and not head & 1):
        assert seen is Reason.FUTURE
    elif isinstance(seen, Reason):
        assert seen is not Reason.FUTURE


@both_codecs
@settings(max_examples=200)
@given(plain, st.booleans())
def test_values_of_another_type_are_foreign(name: CodecName, value: Any, cost: bool) -> None:  # noqa: FBT001 (a parameter)
    data = codec(codec=name).encode(value, cost_s=1.0 if cost else None).data
    if name is CodecName.MSGPACK or "Infinity" not in json.dumps(value):
        assert read(data, Message, name) is Reason.FOREIGN


@kinds
@pytest.mark.parametrize("cost_s", [None, 1.0])
def test_every_truncation_is_told(kind: str, cost_s: float | None) -> None:
    data = written(kind, cost_s)
    name = CodecName.JSON if kind == "json" else CodecName.MSGPACK
    for length in range(len(data)):
        seen = read(data[:length], Message, name)
        if kind == "json":  # JSON has no mark, so half of it is nobody's
            assert seen is Reason.FOREIGN
        else:
            assert seen is Reason.CORRUPT


@kinds
def test_bytes_after_the_end_are_told(kind: str) -> None:
    name = CodecName.JSON if kind == "json" else CodecName.MSGPACK
    data = written(kind)
    assert read(data, Message, name) == MESSAGE
    for more in (b"\x00", b"x", data):
        assert read(data + more, Message, name) is (Reason.FOREIGN if kind == "json" else Reason.CORRUPT)


@kinds
def test_every_flipped_bit_gives_a_message_or_the_reason_why_not(kind: str) -> None:
    """Compressed values have no checksum: it would be 4 bytes more each, and the network and the server have theirs."""
    name = CodecName.JSON if kind == "json" else CodecName.MSGPACK
    data = written(kind, None if kind == "json" else 1.0)
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        seen = read(bytes(flipped), Message, name)
        assert isinstance(seen, Reason) or is_of(seen, Message)


@settings(max_examples=200)
@given(threads, st.data())
def test_several_flipped_bytes_in_any_message(message: Message, data: st.DataObject) -> None:
    stored = bytearray(codec(Message, compress_over_bytes=data.draw(st.sampled_from([0, 10_000]))).encode(message).data)
    for place in data.draw(st.lists(st.integers(0, len(stored) - 1), min_size=1, max_size=5)):
        stored[place] = data.draw(st.integers(0, 255))
    seen = read(bytes(stored), Message)
    assert isinstance(seen, Reason) or is_of(seen, Message)


# ---- what is made to hurt


@contextmanager
def little_memory(most_bytes: int = 4 * MOST_BYTES) -> Generator[None]:
    """Fail if Python, msgspec or zstandard took more than this meanwhile."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


def bomb(plain_bytes: int, parameters: Any = frames) -> bytes:
    """A small frame of a large text, in an envelope."""
    text = msgspec.msgpack.encode("x" * plain_bytes)
    return b"\xc1\x11" + zstandard.ZstdCompressor(compression_params=parameters).compress(text)


@pytest.mark.parametrize("parameters", [frames, sizeless], ids=["declared", "not declared"])
def test_a_bomb_is_not_unpacked(parameters: Any) -> None:
    data = bomb(50_000_000, parameters)
    assert len(data) < MOST_BYTES
    one = codec(max_value_bytes=MOST_BYTES)
    with little_memory():
        assert reason_of(data, one) is Reason.OVERSIZED


def test_unpacking_it_would_be_noticed() -> None:
    with pytest.raises(AssertionError), little_memory():
        codec(max_value_bytes=100_000_000).decode(bomb(5_000_000), {})


def test_a_bomb_that_lies_about_its_size_is_not_unpacked() -> None:
    data = bytearray(bomb(50_000_000))
    parameters = zstandard.get_frame_parameters(bytes(data[2:]), zstandard.FORMAT_ZSTD1_MAGICLESS)
    size = parameters.content_size.to_bytes(4, "little")
    at = data.index(size)
    data[at : at + 4] = (1000).to_bytes(4, "little")
    one = codec(max_value_bytes=MOST_BYTES)
    with little_memory():
        assert reason_of(bytes(data), one) is Reason.CORRUPT


def test_a_frame_without_its_size_is_refused_however_small() -> None:
    assert reason_of(bomb(10, sizeless), codec()) is Reason.OVERSIZED


def test_the_limit_of_what_is_unpacked_is_max_value_to_the_byte() -> None:
    data = bomb(2000)  # and three bytes
    assert codec(max_value_bytes=2003).decode(data, {}) == "x" * 2000
    assert reason_of(data, codec(max_value_bytes=2002)) is Reason.OVERSIZED


@pytest.mark.parametrize("body", [
    b"\xdd\xff\xff\xff\xff", b"\xdd\x7f\xff\xff\xff" + b"\x01" * 100, b"\xdf\xff\xff\xff\xff\x01\x01",
    b"\xdb\xff\xff\xff\xffabc", b"\xc6\xff\xff\xff\xffabc", b"\xc9\xff\xff\xff\xff\x01abc",
], ids=["array", "array with members", "map", "text", "binary", "extension"])  # fmt: skip
@pytest.mark.parametrize("type_", [Any, list[int], tuple[int, ...], dict[int, int], str, Message], ids=str)
def test_huge_declared_lengths_take_no_memory(body: bytes, type_: Any) -> None:
    one = codec(type_, max_value_bytes=MOST_BYTES)
    with little_memory():
        assert reason_of(b"\xc1\x10" + body, one) in {Reason.CORRUPT, Reason.FOREIGN}


@pytest.mark.parametrize("type_", [Any, list[Any], Message], ids=str)
def test_deep_nesting_ends(type_: Any) -> None:
    wide = codec(type_, max_value_bytes=1_000_000)
    assert reason_of(b"\xc1\x10" + b"\x91" * 500_000 + b"\x90", wide) in {Reason.CORRUPT, Reason.FOREIGN}
    assert reason_of(b"\xc1\x10" + b"\x81\xa1a" * 200_000 + b"\x90", wide) in {Reason.CORRUPT, Reason.FOREIGN}
    json_codec = codec(type_, codec=CodecName.JSON, max_value_bytes=1_000_000)
    for text in (b"[" * 500_000, b'{"a":' * 150_000, b"[" * 400_000 + b"]" * 400_000):
        assert reason_of(text, json_codec) is Reason.FOREIGN
    migrating: Codec[Any] = Codec(
        NamespacePolicy("things", ("things:*",), ttl_s=60.0, max_value_bytes=10**6), type_, read_foreign
    )
    for data in (b"[" * 500_000, b"\x91" * 500_000):
        assert reason_of(data, migrating) is Reason.FOREIGN


@pytest.mark.parametrize("data", [
    b"\xc1\x10\xa2\xff\xfe", b"\xc1\x10\x81\xa1\xff\x01", b"\xc1\x10\xa3\xed\xa0\x80",
], ids=["text", "key", "surrogate"])  # fmt: skip
def test_text_that_is_no_utf8_is_corrupt(data: bytes) -> None:
    assert reason_of(data, codec()) is Reason.CORRUPT
    assert reason_of(data, codec(dict[str, int])) in {Reason.CORRUPT, Reason.FOREIGN}


@pytest.mark.parametrize("data", [b'"\xff\xfe"', b'{"\xff": 1}', b'"\xed\xa0\x80"', b"\xff\xfe[\x00]\x00"])
def test_json_that_is_no_utf8_is_foreign(data: bytes) -> None:
    assert reason_of(data, codec(codec=CodecName.JSON)) is Reason.FOREIGN


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.CORRUPT),
        (b"\xc1", Reason.CORRUPT),
        (b"\xc1\x10", Reason.CORRUPT),
        (b"\xc1\x00\x05", Reason.CORRUPT),
        (b"\xc1\x20\x05", Reason.FUTURE),
        (b"\xc1\xf0\x05", Reason.FUTURE),
        (b"\xc1\x18\x05", Reason.FUTURE),
        (b"\xc1\x12\x00\x01\x05", Reason.FUTURE),
        (b"\xc1\x11\x05", Reason.CORRUPT),
        (b"\xc1\x13\x01", Reason.CORRUPT),
        (b"\xc1\x13\x00\x09\x05", Reason.DICTIONARY),
        (b"\xc1\x10\x05\x05", Reason.CORRUPT),
        (b"\x80\x04N.", Reason.FOREIGN),
        (b"hello", Reason.FOREIGN),
        (b"{}", Reason.FOREIGN),
        (b"\x81\xa1a\x01", Reason.FOREIGN),
    ],
)
def test_each_reason(data: bytes, reason: Reason) -> None:
    assert reason_of(data, codec(), KNOWN) is reason


def test_damage_inside_a_frame_with_a_dictionary_is_corrupt() -> None:
    data = codec().encode(chat(1), KNOWN[258]).data
    assert reason_of(data[:6] + b"\xff\xff" + data[8:], codec(), KNOWN) is Reason.CORRUPT
    assert reason_of(data, codec(), {258: Dictionary(258, Zstd())}) is Reason.CORRUPT
