"""Values that django-redis wrote, and plain JSON: read without a cold start, without pickles, without bombs."""

from __future__ import annotations

import bz2
import gzip
import importlib
import json
import lzma
import pickle
import struct
import sys
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any, cast

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from spillgate.cache.codec import Codec, Reason, Unreadable
from spillgate.cache.foreign import read_foreign
from spillgate.config import NamespacePolicy
from tests.codecs import Author, plain

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 10_000
msgpack: Any = importlib.import_module("msgpack")
lz4_frame: Any = importlib.import_module("lz4.frame")


def migrating(type_: Any = Any, max_value_bytes: int = MOST_BYTES) -> Codec[Any]:
    """A codec that reads what django-redis wrote."""
    policy = NamespacePolicy("things", ("things:*",), ttl_s=60.0, max_value_bytes=max_value_bytes)
    return Codec(policy, type_, read_foreign)


def read(data: bytes, type_: Any = Any, max_value_bytes: int = MOST_BYTES) -> Any:
    """The value, or the reason why there is none."""
    try:
        return migrating(type_, max_value_bytes).decode(data, {})
    except Unreadable as error:
        return error.reason


SERIALIZERS = ("JSONSerializer", "MSGPackSerializer")
COMPRESSORS = ("identity", "zlib", "gzip", "lzma", "lz4", "zstd")
VALUE = {
    "name": "Jo",
    "age": 30,
    "texts": ["a text that compresses, a text that compresses"] * 20,
    "ok": True,
    "none": None,
}


def serialized(serializer: str, value: object) -> bytes:
    """A value as django-redis writes it."""
    module = importlib.import_module(f"django_redis.serializers.{serializer.removesuffix('Serializer').lower()}")
    return getattr(module, serializer)({}).dumps(value)


def compressor(name: str) -> Callable[[bytes], bytes]:
    """How django-redis compresses; its zstd, which takes pyzstd, is written by the package that is here."""
    if name == "zstd":
        return zstandard.ZstdCompressor().compress
    module = importlib.import_module(f"django_redis.compressors.{name}")
    class_ = next(one for key, one in vars(module).items() if key.lower() == f"{name}compressor")
    return class_({}).compress


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("name", COMPRESSORS)
def test_values_of_django_redis_are_read(serializer: str, name: str) -> None:
    plain_bytes = serialized(serializer, VALUE)
    data = compressor(name)(plain_bytes)
    assert (data != plain_bytes) == (name != "identity")
    assert read(data) == VALUE
    assert read(compressor(name)(serialized(serializer, {"name": "Jo", "age": 30})), Author) == Author("Jo", 30)


@given(plain)
def test_any_plain_value_is_read_as_json_and_messagepack(value: Any) -> None:
    if "Infinity" not in json.dumps(value):
        assert read(json.dumps(value, indent=1).encode()) == value
    data = cast("bytes", msgpack.packb(value))
    if not data.isdigit():  # the digits 0 to 9 are ints that MessagePack would take for 48 to 57
        assert read(data) == value
        assert read(zlib.compress(data)) == value


@pytest.mark.parametrize("number", [0, 5, -3, (1 << 63) - 1, -(1 << 63)])
def test_ints_are_their_digits_for_django_redis_too(number: int) -> None:
    assert read(str(number).encode(), int) == number


@pytest.mark.parametrize("level", range(1, 10))
def test_any_level_of_zlib_is_known_by_its_mark(level: int) -> None:
    assert read(zlib.compress(json.dumps(VALUE).encode(), level)) == VALUE


def test_values_of_spillgate_are_read_as_ever() -> None:
    assert migrating().decode(migrating().encode(VALUE).data, {}) == VALUE


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", COMPRESSORS)
def test_pickles_are_not_read_whatever_they_are_packed_in(protocol: int, name: str) -> None:
    for value in (VALUE, "text", [1, 2], Author("Jo"), Loud()):
        assert read(compressor(name)(pickle.dumps(value, protocol))) is Reason.FOREIGN


class Loud:
    """Ends the test run if it is ever unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (sys.exit, ("a pickle was loaded",))


@pytest.mark.parametrize("data", [
    b"", b"hello", b"{", b"'", b"[1, 2", b'{"a": 1} x', b"<html>", b"\xff\xd8\xff\xe0JFIF", b"\x89PNG\r\n\x1a\n",
    b"\x00", b"a:1:{i:0;i:1;}", bz2.compress(b"[1]"), b"\xfe\xff\x00[", b"\xef\xbb\xbf[1]", b"NaN", b"\xc1\x05",
])  # fmt: skip
def test_what_is_neither_is_no_dict(data: bytes) -> None:
    assert read(data, dict[str, int]) in (Reason.FOREIGN, Reason.CORRUPT)
    assert read(b"\x80", dict[str, int]) == {}  # MessagePack's empty map, and too short for a pickle


def test_what_is_not_of_the_type_is_foreign() -> None:
    for name in COMPRESSORS:
        assert read(compressor(name)(json.dumps(VALUE).encode()), list[int]) is Reason.FOREIGN


# ---- too large, and bombs


def packers() -> dict[str, Callable[[bytes], bytes]]:
    """Ways to pack that leave a mark."""
    return {
        "zlib": zlib.compress,
        "gzip": gzip.compress,
        "lzma": lzma.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "zstd without size": zstandard.ZstdCompressor(write_content_size=False).compress,
        "lz4": lz4_frame.compress,
        "lz4 without size": lambda data: lz4_frame.compress(data, store_size=False),
    }


@pytest.mark.parametrize("how", packers())
def test_the_limit_holds_to_the_byte(how: str) -> None:
    text = json.dumps("x" * (MOST_BYTES - 2)).encode()
    assert read(packers()[how](text)) == "x" * (MOST_BYTES - 2)
    assert read(packers()[how](text), max_value_bytes=MOST_BYTES - 1) is Reason.OVERSIZED
    assert read(text) == "x" * (MOST_BYTES - 2)
    assert read(text, max_value_bytes=MOST_BYTES - 1) is Reason.OVERSIZED


@pytest.mark.parametrize("how", packers())
def test_a_bomb_is_unpacked_to_the_limit_and_no_further(how: str) -> None:
    text = json.dumps("x" * 20_000_000).encode()
    data = packers()[how](text)
    del text
    most = 100_000  # LZ4 and zlib pack a thousandth of it, but the limit counts for what is packed as well
    one = migrating(max_value_bytes=most)
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable) as refusal:
            one.decode(data, {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refusal.value.reason is Reason.OVERSIZED
    assert peak < 12_000_000  # zstd's and LZMA's windows of 2 and 8 MB
    assert len(data) < most


def test_lzma_that_wants_much_memory_to_be_read_gets_none() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 28}]
    data = lzma.compress(b"[1]", format=lzma.FORMAT_XZ, filters=filters)
    assert read(data) is Reason.FOREIGN


def test_zstd_that_wants_a_large_window_gets_none() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = writer.compress(b"[1]") + writer.flush()
    assert read(data) is Reason.FOREIGN


# ---- damage


@pytest.mark.parametrize("how", packers())
def test_every_truncation_is_told(how: str) -> None:
    data = packers()[how](json.dumps(VALUE).encode())
    for length in [0, *range(2, len(data))]:  # a single byte is an int in MessagePack
        seen = read(data[:length])
        # What is cut off may be the checksum alone: all of the value is there then.
        assert isinstance(seen, Reason) or seen == VALUE


@pytest.mark.parametrize("how", packers())
@settings(max_examples=150)
@given(data=st.data())
def test_flipped_bytes_give_a_value_or_the_reason_why_not(how: str, data: st.DataObject) -> None:
    stored = bytearray(packers()[how](json.dumps(VALUE).encode()))
    for place in data.draw(st.lists(st.integers(0, len(stored) - 1), min_size=1, max_size=4)):
        stored[place] = data.draw(st.integers(0, 255))
    read(bytes(stored))
    read(bytes(stored), Author)


marks = (
    b"\x78\x01",
    b"\x78\x9c",
    b"\x1f\x8b\x08",
    b"\xfd7zXZ\x00",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"\x80\x04",
    b"",
)


@settings(max_examples=400)
@given(st.sampled_from(marks), st.binary(max_size=100))
def test_random_bytes_after_each_mark(mark: bytes, rest: bytes) -> None:
    for type_ in (Any, dict[str, Any], Author, int):
        read(mark + rest, type_)


def test_lz4_values_are_foreign_where_the_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = lz4_frame.compress(b"[1]")
    assert read(data) == [1]
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    assert read(data) is Reason.FOREIGN


def test_a_header_that_declares_a_terabyte_takes_none() -> None:
    header = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 40) + b"\x01\x00\x00"
    assert read(header) in {Reason.FOREIGN, Reason.OVERSIZED}
