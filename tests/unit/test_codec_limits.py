"""What no namespace stores: values too large, binary ones, files, and what cannot be written."""

from __future__ import annotations

import io
import random
import re
from typing import Any

import pytest
from hypothesis import given

from spillgate.cache.codec import (
    Dictionary,
    Reason,
)
from spillgate.config import Codec as CodecName
from spillgate.errors import ValueRefused, ValueTooLarge
from tests.codecs import (
    INT64,
    Author,
    both_codecs,
    chat_dictionary,
    codec,
    plain,
    reason_of,
    returned,
)

# ---- sizes


@both_codecs
def test_a_value_of_exactly_max_value_passes_and_one_byte_more_does_not(name: CodecName) -> None:
    one = codec(codec=name, max_value_bytes=1000)
    rest = 997 if name is CodecName.MSGPACK else 998  # three bytes of MessagePack, two quotes of JSON
    encoded = one.encode("x" * rest)
    assert encoded.plain_bytes == 1000
    assert one.decode(encoded.data, {}) == "x" * rest
    with pytest.raises(ValueTooLarge, match=r"things: the value takes 1001B, more than the 1000B allowed: store less"):
        one.encode("x" * (rest + 1))


def test_the_size_that_counts_is_the_one_before_compression() -> None:
    with pytest.raises(ValueTooLarge, match=r"takes 97\.7KB, more than the 10KB"):
        codec(max_value_bytes=10_240).encode("x" * 100_000)


@pytest.fixture(name="dictionary")
def _dictionary() -> Dictionary:
    return chat_dictionary()


@pytest.mark.parametrize("cost_s", [None, 1.0])
def test_the_largest_value_is_read_back_however_it_is_written(cost_s: float | None, dictionary: Dictionary) -> None:
    value = random.Random(2).randbytes(60).hex()
    for over in (0, 1024):
        for learnt in (None, dictionary):
            one = codec(max_value_bytes=122, compress_over_bytes=over)
            encoded = one.encode(value, learnt, cost_s)
            assert encoded.plain_bytes == 122
            assert one.decode(encoded.data, {258: dictionary}) == value


def test_values_written_before_max_value_was_lowered_are_not_unpacked() -> None:
    lower = codec(max_value_bytes=1999)
    for over, cost_s in ((0, None), (10_000, None), (10_000, 1.0)):
        data = codec(compress_over_bytes=over).encode("x" * 1997, cost_s=cost_s).data  # 2000 bytes
        assert reason_of(data, lower) is Reason.OVERSIZED
        assert codec(max_value_bytes=2000).decode(data, {}) == "x" * 1997
    assert reason_of(b'"' + b"x" * 1998 + b'"', codec(codec=CodecName.JSON, max_value_bytes=1999)) is Reason.OVERSIZED


def test_an_int_is_read_whatever_max_value_is() -> None:
    one = codec(int, max_value_bytes=4)
    assert one.decode(one.encode(-INT64).data, {}) == -INT64


# ---- what is refused

binary_values = pytest.mark.parametrize(
    "value",
    [
        b"x",
        bytearray(b"x"),
        memoryview(b"x"),
        [1, b"x"],
        (b"x",),
        {b"x"},
        {"a": b"x"},
        {b"x": 1},
        {"a": {"b": [1, {"c": b"x"}]}},
        ["ą" * 40] * 200 + [b""],
        [[[[[[[[[["ą", b"x"]]]]]]]]]],
        [Author(b"x", 1)],  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] (it lies about its type)
        {"a": b"x" * 70_000},
    ],
    ids=lambda value: re.sub(r" at 0x\w+", "", repr(value))[:30],
)


@both_codecs
@binary_values
def test_binary_values_are_refused_wherever_they_are(name: CodecName, value: Any) -> None:
    with pytest.raises(ValueRefused, match="things: binary values are not stored here: keep them in object storage"):
        codec(codec=name).encode(value)


@binary_values
def test_a_binary_namespace_takes_them(value: Any) -> None:
    assert codec(binary=True).encode(value).data


@pytest.mark.parametrize("value", [b"x\xff", [b"x", b""], {"a": {"b": b"x\x00"}}, b"\xc1\x10" * 2000])
def test_a_binary_namespace_gives_them_back(value: Any) -> None:
    assert returned(value, binary=True) == value
    assert returned(b"x\xff", bytes, binary=True, codec=CodecName.JSON) == b"x\xff"


@given(plain)
@pytest.mark.parametrize("name", list(CodecName))
def test_no_plain_value_is_taken_for_a_binary_one(name: CodecName, value: Any) -> None:
    """Texts and numbers have bytes that MessagePack begins binary values with."""
    assert codec(codec=name).encode(value)
    assert codec(codec=name).encode(["ąęć", 196, 1e300, value, {"ó": value}])


@both_codecs
def test_files_are_refused(name: CodecName, tmp_path: Any) -> None:
    one = codec(codec=name, binary=True)
    (tmp_path / "file").write_text("text")
    with (tmp_path / "file").open() as file:
        for value in (file, io.StringIO("x"), io.BytesIO(b"x")):
            with pytest.raises(ValueRefused, match="things: a file is not a value: read it, or store its path"):
                one.encode(value)
            with pytest.raises(ValueRefused, match=r"things: \w+ cannot be stored: no dataclass"):
                one.encode([value])
            with pytest.raises(ValueRefused, match=r"things: \w+ cannot be stored: no dataclass"):
                one.encode({"file": value})


def deep(levels: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def endless() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


unwritable: dict[str, tuple[Any, str]] = {
    "object": (
        object(),
        "object cannot be stored: no dataclass, msgspec Struct, TypedDict, Pydantic model or plain data",
    ),
    "member": ({"a": [object()]}, "dict cannot be stored: no dataclass"),
    "key": ({"a": {object(): 1}}, "dict cannot be stored: "),
    "class": (Author, "type cannot be stored: no dataclass"),
    "exception": (ValueError("x"), "ValueError cannot be stored: no dataclass"),
    "function": (len, "builtin_function_or_method cannot be stored: no dataclass"),
    "surrogate": ("\ud800", "str cannot be stored: 'utf-8' codec can't encode"),
    "deep": (deep(100_000), "list cannot be stored: maximum recursion depth exceeded"),
    "endless": (endless(), "list cannot be stored: maximum recursion depth exceeded"),
}


@both_codecs
@pytest.mark.parametrize("what", unwritable)
def test_what_cannot_be_written_is_refused_with_the_reason(name: CodecName, what: str) -> None:
    value, why = unwritable[what]
    with pytest.raises(ValueRefused, match="^things: " + why):
        codec(codec=name).encode(value)
