"""Values as bytes and back: what each codec writes, what it reads, what it refuses."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.cache.codec import (
    MAGIC,
    MOST_ID,
    Dictionary,
    Encoded,
    Reason,
    Unreadable,
    cost_byte,
    cost_of,
    dictionary_of,
    is_int,
)
from spillgate.compression import Zstd, train
from spillgate.config import Codec as CodecName
from spillgate.errors import ValueRefused
from tests.codecs import (
    INT64,
    Author,
    Card,
    Message,
    Path,
    authors,
    both_codecs,
    cards,
    chat,
    chat_dictionary,
    codec,
    floats,
    has_infinity,
    ints,
    messages,
    paths,
    plain,
    reason_of,
    returned,
    texts,
    threads,
)

round_trips: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "dataclass": (Message, threads),
    "optional dataclass": (Message | None, st.none() | messages),
    "dataclasses": (list[Message], st.lists(messages, max_size=3)),
    "dataclasses by key": (dict[str, Author], st.dictionaries(texts, authors, max_size=3)),
    "struct": (Path, paths),
    "optional structs": (list[Path | None], st.lists(st.none() | paths, max_size=3)),
    "typed dict": (Card, cards),
    "set": (set[int], st.sets(ints, max_size=5)),
    "tuple": (tuple[str, float], st.tuples(texts, floats)),
    "int or text": (int | str, ints | texts),
    "float": (float, floats | st.integers(-1000, 1000).map(float)),
    "decimal": (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    "uuid": (uuid.UUID, st.uuids()),
    "plain data": (Any, plain),
}


@both_codecs
@pytest.mark.parametrize("what", round_trips)
@given(data=st.data())
def test_what_goes_in_comes_out_as_its_type(name: CodecName, what: str, data: st.DataObject) -> None:
    type_, values = round_trips[what]
    value = data.draw(values)
    if name is CodecName.JSON and has_infinity(value):
        return  # JSON has no word for it
    back = returned(value, type_, codec=name, compress_over_bytes=data.draw(st.sampled_from([0, 1024])))
    assert back == value
    assert type(back) is type(value)


# ---- ints


@both_codecs
@pytest.mark.parametrize("value", [0, 7, -1, INT64 - 1, -INT64, 1 - INT64, 10**18, -(10**18)])
def test_an_int_is_its_digits_as_a_counter_wants_it(name: CodecName, value: int) -> None:
    one = codec(int, codec=name)
    assert one.encode(value) == Encoded(str(value).encode(), len(str(value)))
    assert one.encode(value, cost_s=1.0).data == str(value).encode()
    assert one.decode(str(value).encode(), {}) == value


def test_ints_beyond_64_bits() -> None:
    assert returned(INT64) == INT64
    assert returned(2 * INT64 - 1) == 2 * INT64 - 1
    for value in (2 * INT64, -INT64 - 1, [10**30]):
        with pytest.raises(ValueRefused, match=r"things: (int|list) cannot be stored: can't serialize ints"):
            codec().encode(value)
        assert returned(value, codec=CodecName.JSON) == value


@both_codecs
def test_a_bool_is_no_int(name: CodecName) -> None:
    assert [returned(one, codec=name) for one in (True, False)] == [True, False]
    assert type(returned(True, codec=name)) is bool  # noqa: FBT003 (a value)
    assert codec(codec=name).encode(True).data != b"1"  # noqa: FBT003 (a value)
    assert reason_of(b"1", codec(bool, codec=name)) is Reason.FOREIGN


@given(st.integers(-(10**25), 10**25))
def test_digits_are_told_from_other_bytes(value: int) -> None:
    digits = str(value).encode()
    assert is_int(digits) == (len(digits.lstrip(b"-")) <= 19)
    assert not is_int(digits + b" ")
    assert not is_int(b"+" + digits)


@pytest.mark.parametrize("data", [b"", b"-", b"--1", b"1.0", b"1e3", b" 1", b"\xc2\xb2", "٣".encode(), b"1" * 20])
def test_what_is_no_int(data: bytes) -> None:
    assert not is_int(data)


# ---- the envelope


def test_plain_values_take_two_bytes_more_than_their_messagepack_and_three_with_their_cost() -> None:
    body = msgspec.msgpack.encode({"a": [1, "b"]})
    one = codec()
    assert one.encode({"a": [1, "b"]}) == Encoded(b"\xc1\x10" + body, len(body))
    with_cost = one.encode({"a": [1, "b"]}, cost_s=0.5).data
    assert with_cost[:2] == b"\xc1\x14"
    assert with_cost[3:] == body


def test_no_other_librarys_value_begins_as_ours_do() -> None:
    """MessagePack never uses 0xC1, UTF-8 neither, and pickles, zlib, gzip, xz, zstd and LZ4 begin otherwise."""
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(bytes((MAGIC,)))
    with pytest.raises(UnicodeDecodeError):
        bytes((MAGIC,)).decode()


def test_the_json_codec_writes_plain_json_and_nothing_else() -> None:
    message = Message(1, "né", Author("Jo"), datetime(2026, 2, 3, tzinfo=UTC))
    one = codec(Message, codec=CodecName.JSON, compress_over_bytes=0)
    data = one.encode(message).data
    assert json.loads(data) == {
        "number": 1,
        "text": "né",
        "author": {"name": "Jo", "age": None},
        "at": "2026-02-03T00:00:00Z",
        "tags": [],
        "replies": [],
    }
    assert one.decode(json.dumps(json.loads(data), indent=2).encode(), {}) == message


@given(plain)
def test_other_languages_read_the_json(value: Any) -> None:
    if not has_infinity(value):
        assert json.loads(codec(codec=CodecName.JSON, compress_over_bytes=0).encode(value).data) == value


@given(threads)
def test_values_stay_readable_when_the_codec_is_switched_to_json(message: Message) -> None:
    data = codec(Message).encode(message).data
    assert codec(Message, codec=CodecName.JSON).decode(data, {}) == message


def test_json_is_a_foreign_value_once_the_codec_is_messagepack() -> None:
    data = codec(codec=CodecName.JSON).encode({"a": 1}).data
    assert reason_of(data, codec()) is Reason.FOREIGN
    assert codec().decode(codec(codec=CodecName.JSON).encode(5).data, {}) == 5


# ---- compression


def test_values_are_compressed_from_compress_over_on() -> None:
    one = codec(compress_over_bytes=100)
    plain_text = one.encode("x" * 98)  # two bytes of MessagePack before it: 100
    packed = one.encode("x" * 99)
    assert plain_text.data[:2] == b"\xc1\x10"
    assert packed.data[:2] == b"\xc1\x11"
    assert packed.plain_bytes == 101
    assert len(packed.data) < 30
    assert one.decode(packed.data, {}) == "x" * 99


def test_a_value_that_compression_would_not_make_smaller_is_left_as_it_is() -> None:
    value = random.Random(1).randbytes(5000).hex()[:3000]
    noise = codec(compress_over_bytes=0, binary=True).encode(random.Random(1).randbytes(5000))
    assert noise.data[:2] == b"\xc1\x10"
    assert len(noise.data) == noise.plain_bytes + 2
    hexadecimal = codec(compress_over_bytes=0).encode(value)
    assert len(hexadecimal.data) < hexadecimal.plain_bytes


@given(plain | st.text(alphabet="ab", max_size=3000), st.integers(0, 200))
def test_a_value_never_takes_more_than_two_bytes_more_than_it_has(value: Any, over: int) -> None:
    encoded = codec(compress_over_bytes=over).encode(value)
    assert len(encoded.data) <= encoded.plain_bytes + 2
    assert encoded.plain_bytes == len(encoded.data) if type(value) is int else len(msgspec.msgpack.encode(value))


@pytest.fixture(name="dictionary")
def _dictionary() -> Dictionary:
    return chat_dictionary()


def test_with_a_dictionary_compression_pays_far_below_1_kb(dictionary: Dictionary) -> None:
    one = codec()
    for number in range(1000, 1050):
        encoded = one.encode(chat(number), dictionary)
        assert encoded.plain_bytes < 150
        assert len(encoded.data) < 0.6 * encoded.plain_bytes
        assert encoded.data[:4] == b"\xc1\x13\x01\x02"  # a frame, with a dictionary: 258
        assert dictionary_of(encoded.data) == 258
        assert one.decode(encoded.data, {258: dictionary}) == chat(number)


def test_the_dictionarys_number_comes_after_the_cost(dictionary: Dictionary) -> None:
    data = codec().encode(chat(1), dictionary, cost_s=2.0).data
    assert data[:2] + data[3:5] == b"\xc1\x17\x01\x02"
    assert dictionary_of(data) == 258
    assert cost_of(data) == pytest.approx(2.0, rel=0.05)
    assert codec().decode(data, {258: dictionary}) == chat(1)


def test_a_dictionary_is_not_used_where_it_gains_nothing(dictionary: Dictionary) -> None:
    for value in ("", "x", {"q": random.Random(3).random()}):
        data = codec().encode(value, dictionary).data
        assert data[:2] == b"\xc1\x10"
        assert dictionary_of(data) is None


def test_a_value_whose_dictionary_is_not_there_names_it(dictionary: Dictionary) -> None:
    data = codec().encode(chat(1), dictionary).data
    with pytest.raises(Unreadable) as refusal:
        codec().decode(data, {})
    assert (refusal.value.reason, refusal.value.dictionary) == (Reason.DICTIONARY, 258)


def test_a_value_read_with_another_dictionary_is_corrupt_at_worst(dictionary: Dictionary) -> None:
    content = train([msgspec.msgpack.encode([number, "another"] * 5) for number in range(400)], 4096)
    assert content is not None
    data = codec(dict[str, Any]).encode(chat(1), dictionary).data
    assert reason_of(data, codec(dict[str, Any]), {258: Dictionary(258, Zstd(content))}) in {
        Reason.CORRUPT,
        Reason.FOREIGN,
    }


@pytest.mark.parametrize("number", [0, 1, 255, 256, MOST_ID])
def test_dictionaries_have_numbers_of_two_bytes(number: int, dictionary: Dictionary) -> None:
    numbered = Dictionary(number, dictionary.zstd)
    data = codec().encode(chat(1), numbered).data
    assert dictionary_of(data) == number
    assert codec().decode(data, {number: numbered}) == chat(1)


def test_json_is_never_compressed_not_even_with_a_dictionary(dictionary: Dictionary) -> None:
    one = codec(codec=CodecName.JSON, compress_over_bytes=0)
    assert one.encode(chat(1), dictionary).data[:1] == b"{"


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\xc1\x10", b"5", b"{}", b"\xc1\x20\x00\x00\x01", b"\x93\x13\x01\x02\x03"]
)
def test_other_values_have_no_dictionary_and_no_cost(data: bytes) -> None:
    assert dictionary_of(data) is None
    assert cost_of(data) is None


# ---- the cost


@given(st.floats(1e-5, 4 * 86_400))
def test_a_cost_is_kept_within_5_percent(seconds: float) -> None:
    data = codec().encode("x", cost_s=seconds).data
    assert cost_of(data) == pytest.approx(seconds, rel=0.05)
    assert codec().decode(data, {}) == "x"


@pytest.mark.parametrize(("seconds", "byte"), [(-1.0, 0), (0.0, 0), (1e-9, 0), (1e-5, 0), (1e9, 255)])
def test_costs_beyond_what_a_byte_holds_are_its_ends(seconds: float, byte: int) -> None:
    assert cost_byte(seconds) == byte


def test_what_is_read_from_the_envelope_needs_only_its_beginning(dictionary: Dictionary) -> None:
    data = codec().encode(chat(1), dictionary, cost_s=2.0).data[:5]
    assert dictionary_of(data) == 258
    assert cost_of(data) is not None
