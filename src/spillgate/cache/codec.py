"""Values as bytes and back: one `Codec` a namespace.

What is written::

    5                              an int is its decimal digits, as INCRBY wants it
    {"a":1}                        codec = "json": plain JSON, for readers in other languages
    C1 head [cost] [id id] body    everything else

0xC1 is the one byte that MessagePack never uses, so no value of another library begins like ours. ``head`` has the
version in its upper half, 1 so far, and flags in the lower: the body is a zstd frame; it was made with a dictionary,
whose number follows in two bytes; the time that computing the value took follows in one byte. So a plain value takes 2
bytes more than its MessagePack, 3 if its cost is known.

Whatever cannot be read raises `Unreadable` with the reason to count it under, and nothing else: readers treat it as a
miss. Nothing is unpacked that is larger than the namespace's ``max_value``.
"""

import enum
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from spillgate import config
from spillgate.cache.shapes import (
    check_type,
    decode_model,
    decode_model_json,
    encode_model,
    encode_model_json,
    holds_binary,
    packed_binary,
)
from spillgate.compression import DamagedFrame, OversizedFrame, Zstd
from spillgate.config import NamespacePolicy
from spillgate.errors import ConfigError, ValueRefused, ValueTooLarge
from spillgate.units import format_bytes

T = TypeVar("T")

MAGIC: Final = 0xC1
VERSION: Final = 1
# With a dictionary compression pays from here on.
DICTIONARY_OVER_BYTES: Final = 24
_INT64: Final = 1 << 63
DICTIONARY_ID_BYTES: Final = 2
HEAD_BYTES: Final = 2
MOST_ID: Final = (1 << 8 * DICTIONARY_ID_BYTES) - 1


class Flag:
    """The lower half of an envelope's second byte; plain ints, for those of an enum take a microsecond each."""

    ZSTD: Final = 1
    DICTIONARY: Final = 2
    COST: Final = 4


_HEAD: Final = VERSION << 4
_KNOWN: Final = Flag.ZSTD | Flag.DICTIONARY | Flag.COST
# What reading raises about damaged bytes; anything else comes from the checks of the namespace's own type.
_DAMAGE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError, MemoryError)
_PLAIN: Final = bytes((MAGIC, _HEAD))
_PACKED: Final = bytes((MAGIC, _HEAD | Flag.ZSTD))
_LEARNT: Final = bytes((MAGIC, _HEAD | Flag.ZSTD | Flag.DICTIONARY))


class Reason(enum.StrEnum):
    """Why a value cannot be read."""

    CORRUPT = "corrupt"
    """It is ours, and damaged or truncated."""
    FOREIGN = "foreign"
    """It is not ours, or not of the namespace's type."""
    FUTURE = "future"
    """A later version of Spillgate wrote it."""
    OVERSIZED = "oversized"
    """It would be larger than ``max_value``."""
    DICTIONARY = "no_dictionary"
    """Its dictionary is gone."""


class Unreadable(Exception):
    """A value cannot be read; whoever tries counts that as a miss.

    ``dictionary`` is the number of the dictionary that it takes, if that is the reason.
    """

    def __init__(self, reason: Reason, dictionary: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.dictionary = dictionary


class Encoded(NamedTuple):
    """A value as it is stored, and the bytes that it was before compression."""

    data: bytes
    plain_bytes: int


class Dictionary(NamedTuple):
    """A trained dictionary by which values are compressed: its number, and what does it."""

    number: int
    zstd: Zstd


class ForeignReader(Protocol):
    """Reads what another library wrote."""

    def __call__(self, data: bytes, most_bytes: int, decode: Callable[[bytes, bool], Any]) -> Any:
        """The value in ``data``; ``decode`` takes plain bytes, and whether they are JSON (else MessagePack).

        Raises:
            Unreadable: there is none that is safe to read.
        """
        ...


class Codec(Generic[T]):
    """Writes and reads the values of one namespace, of one type.

    ``type_`` is anything that msgspec decodes, or a Pydantic model, or holds such; Any for plain data. ``foreign``
    reads what has no envelope; without one that is unreadable, except ints, and JSON where that is the codec.

    Raises:
        ConfigError: the type holds bytes and the namespace is not ``binary``, or it cannot be decoded to.
    """

    def __init__(self, policy: NamespacePolicy, type_: Any = Any, foreign: ForeignReader | None = None) -> None:
        self._policy = policy
        self._type = type_
        self._most_bytes = policy.max_value_bytes
        self._over_bytes = policy.compress_over_bytes
        self._json = policy.codec is config.Codec.JSON
        self._foreign = foreign
        self._zstd = Zstd()
        check_type(type_, policy.name, binary=policy.binary)
        try:
            self._from_msgpack = msgspec.msgpack.Decoder(type_, dec_hook=decode_model)
            self._from_json = msgspec.json.Decoder(type_, dec_hook=decode_model_json)
        except TypeError as error:
            raise ConfigError(f"the namespace {policy.name!r} cannot hold {type_!r}: {error}") from error
        to_msgpack = msgspec.msgpack.Encoder(enc_hook=encode_model)
        self._encode = msgspec.json.Encoder(enc_hook=encode_model_json).encode if self._json else to_msgpack.encode

    def encode(self, value: T, dictionary: Dictionary | None = None, cost_s: float | None = None) -> Encoded:
        """``value`` as it is stored; ``cost_s`` is how long it took to compute.

        Raises:
            ValueTooLarge: it takes more than ``max_value`` uncompressed.
            ValueRefused: it is binary, a file, or cannot be written.
        """
        if type(value) is int and -_INT64 <= value < _INT64:
            digits = b"%d" % value
            return Encoded(digits, len(digits))
        body = self._body(value)
        size = len(body)
        if size > self._most_bytes:
            raise ValueTooLarge(
                f"{self._policy.name}: the value takes {format_bytes(size)}, more than the "
                f"{format_bytes(self._most_bytes)} allowed: store less of it, or raise max_value of the namespace"
            )
        if self._json:
            return Encoded(body, size)
        head = _PLAIN
        if size > (DICTIONARY_OVER_BYTES if dictionary else self._over_bytes):
            zstd = dictionary.zstd if dictionary else self._zstd
            frame = zstd.compress(body)
            if len(frame) + (DICTIONARY_ID_BYTES if dictionary else 0) < size:
                head, body = (_LEARNT if dictionary else _PACKED), frame
                if dictionary:
                    body = dictionary.number.to_bytes(DICTIONARY_ID_BYTES) + frame
        if cost_s is not None:
            head = bytes((MAGIC, head[1] | Flag.COST, cost_byte(cost_s)))
        return Encoded(head + body, size)

    def decode(self, data: bytes, dictionaries: Mapping[int, Dictionary]) -> T:
        """The value in ``data``.

        Raises:
            Unreadable: there is none.
        """
        try:
            if len(data) > 1 and data[0] == MAGIC:
                head = data[1]
                if head == _HEAD and len(data) <= self._most_bytes:
                    return self._from_msgpack.decode(memoryview(data)[2:])
                return self._from_msgpack.decode(self._unpack(data, head, dictionaries))
            return self._plain(data)
        except Unreadable:
            raise
        except Exception as error:
            damaged = isinstance(error, _DAMAGE) and not isinstance(error, msgspec.ValidationError)
            raise Unreadable(Reason.CORRUPT if damaged and data[:1] == b"\xc1" else Reason.FOREIGN) from error

    def unpacked(self, data: bytes, dictionaries: Mapping[int, Dictionary]) -> bytes | None:
        """The MessagePack in ``data``, None where it has no envelope of ours.

        Raises:
            Unreadable: there is none.
        """
        if len(data) < HEAD_BYTES or data[0] != MAGIC:
            return None
        return bytes(self._unpack(data, data[1], dictionaries))

    def _body(self, value: T) -> bytes:
        """The encoding of a value; what may not be stored is refused."""
        if callable(getattr(value, "read", None)):
            raise ValueRefused(f"{self._policy.name}: a file is not a value: read it, or store its path")
        try:
            body = self._encode(value)
            binary = not self._policy.binary and (holds_binary(value) if self._json else packed_binary(body))
        except ValueRefused:
            raise  # a model's own words
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.DecodeError) as error:
            raise ValueRefused(f"{self._policy.name}: {type(value).__name__} cannot be stored: {error}") from error
        if binary:
            raise ValueRefused(
                f"{self._policy.name}: binary values are not stored here: keep them in object storage and their "
                "address in the cache, or set binary = true for the namespace"
            )
        return body

    def _unpack(self, data: bytes, head: int, dictionaries: Mapping[int, Dictionary]) -> bytes | memoryview:
        """The body of an envelope, decompressed."""
        if head >> 4 != VERSION or head & 0xF & ~_KNOWN:
            raise Unreadable(Reason.FUTURE if head >> 4 >= VERSION else Reason.CORRUPT)
        at = 3 if head & Flag.COST else 2
        if not head & Flag.ZSTD:
            if head & Flag.DICTIONARY:
                raise Unreadable(Reason.FUTURE)
            if len(data) - at > self._most_bytes:
                raise Unreadable(Reason.OVERSIZED)
            return memoryview(data)[at:]
        zstd = self._zstd
        if head & Flag.DICTIONARY:
            number = int.from_bytes(data[at : at + DICTIONARY_ID_BYTES])
            at += DICTIONARY_ID_BYTES
            if len(data) < at:
                raise Unreadable(Reason.CORRUPT)
            dictionary = dictionaries.get(number)
            if dictionary is None:
                raise Unreadable(Reason.DICTIONARY, number)
            zstd = dictionary.zstd
        try:
            return zstd.decompress(data, self._most_bytes, at)
        except OversizedFrame as error:
            raise Unreadable(Reason.OVERSIZED) from error
        except DamagedFrame as error:
            raise Unreadable(Reason.CORRUPT) from error

    def _plain(self, data: bytes) -> T:
        """A value without an envelope: an int, JSON, or what another library wrote."""
        if is_int(data):
            return msgspec.convert(int(data), self._type, dec_hook=decode_model)
        if len(data) > self._most_bytes:
            raise Unreadable(Reason.OVERSIZED)
        if self._json:
            return self._from_json.decode(data)
        if self._foreign is None:
            raise Unreadable(Reason.CORRUPT if data[:1] in {b"", b"\xc1"} else Reason.FOREIGN)
        return self._foreign(data, self._most_bytes, self._decode_foreign)

    def _decode_foreign(self, plain: bytes, json: bool) -> T:  # noqa: FBT001 (a callback)
        return (self._from_json if json else self._from_msgpack).decode(plain)


def is_int(data: bytes) -> bool:
    """Whether ``data`` is what an int is stored as."""
    digits = data[1:] if data[:1] == b"-" else data
    return 0 < len(digits) <= 19 and digits.isdigit()  # noqa: PLR2004 (the digits of 2^63)


# A byte holds 10 µs to 4 days, each step 10 % more than the one before.
_LEAST_COST_S: Final = 1e-5
_COST_STEP: Final = math.log(1.1)
_COSTS: Final = tuple(_LEAST_COST_S * math.exp(step * _COST_STEP) for step in range(256))


def cost_byte(seconds: float) -> int:
    """A duration as a byte, within 5 %."""
    if seconds <= _LEAST_COST_S:
        return 0
    return min(255, round(math.log(seconds / _LEAST_COST_S) / _COST_STEP))


def cost_of(data: bytes) -> float | None:
    """The seconds that computing the stored value took, None where that is not known."""
    if len(data) > 2 and data[0] == MAGIC and data[1] & Flag.COST and data[1] >> 4 == VERSION:  # noqa: PLR2004
        return _COSTS[data[2]]
    return None


def dictionary_of(data: bytes) -> int | None:
    """The number of the dictionary that the stored value takes, None where it takes none."""
    if len(data) > 1 and data[0] == MAGIC and data[1] >> 4 == VERSION and data[1] & Flag.DICTIONARY:
        at = 3 if data[1] & Flag.COST else 2
        return int.from_bytes(data[at : at + DICTIONARY_ID_BYTES])
    return None
