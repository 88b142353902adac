# pyright: basic
"""What Django caches, as plain data and back, without pickle.

Plain data (None, bools, ints, floats, texts, bytes, lists, and dicts by text or int) is handed to the codec as it is. A
value with anything else in it becomes one MessagePack extension, `Tag.BOX`, whose content is MessagePack again with an
extension in place of each tuple, set, date, ... So reading plain data costs nothing, and all else is restored in one
pass; the codec takes care of envelope, compression and size.

A namespace with ``codec = "json"`` is for readers in other languages: there a value is flattened to what JSON has, and
comes back as that.
"""

import enum
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, Final, Self
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString
from msgspec.msgpack import Ext

from spillgate import config
from spillgate.config import NamespacePolicy
from spillgate.errors import ValueRefused
from spillgate.integrations.django import responses

_SCALARS: Final = frozenset({NoneType, bool, int, float, str})
_KEYS: Final = frozenset({str, int})
_DICTS: Final = frozenset({dict, OrderedDict, defaultdict})
_INT64: Final = 1 << 63
_ENCODER: Final = msgspec.msgpack.Encoder()


class Tag(enum.IntEnum):
    """The number of a MessagePack extension. They are stored, so none is ever given another meaning."""

    BOX = 64
    PAIRS = 65
    """A dict that has other keys than texts and ints."""
    TUPLE = 66
    SET = 67
    FROZENSET = 68
    SAFE = 69
    """A text that is marked as safe HTML."""
    DECIMAL = 70
    UUID = 71
    DATETIME = 72
    DATE = 73
    TIME = 74
    TIMEDELTA = 75
    RESPONSE = 76


@dataclass(frozen=True, slots=True)
class Rules:
    """How the values of a namespace are written."""

    name: str
    binary: bool
    json: bool

    @classmethod
    def of(cls, policy: NamespacePolicy) -> Self:
        """Those of its policy."""
        return cls(policy.name, policy.binary, policy.codec is config.Codec.JSON)

    def storable(self, value: Any) -> Any:
        """A value as the namespace takes it; what cannot be stored is refused by the time it is written."""
        if isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64:
            return int(value)  # so that it can be added to, also where it was a member of an enum
        try:
            return value if _is_plain(value) else Stored(value, self)
        except RecursionError as error:
            raise ValueRefused(f"{self.name}: the value holds itself, or is nested too deeply") from error

    def packed(self, value: Any) -> Any:
        """As `storable`, but for what can be changed from outside: that is packed already.

        So all who get the result of one computation have a copy of their own.

        Raises:
            ValueRefused: it cannot be stored.
        """
        ready = self.storable(value)
        if type(ready) in _SCALARS or self.json:
            return ready
        return (ready if isinstance(ready, Stored) else Stored(ready, self)).model_dump()


class Stored:
    """A value of any type that Django caches.

    To the codec it is a model, as those of Pydantic are: made from plain data by ``model_validate``, which it becomes
    by ``model_dump``.
    """

    __slots__ = ("_rules", "value")

    def __init__(self, value: Any, rules: Rules | None = None) -> None:
        self.value = value
        self._rules = rules

    def model_dump(self, **_: Any) -> Any:
        """It as plain data.

        Raises:
            ValueRefused: that would take a pickle.
        """
        assert self._rules is not None  # noqa: S101 (what is read is never written back as it is)
        write = _Flat if self._rules.json else _Boxed
        try:
            return write(self._rules).whole(self.value)
        except RecursionError as error:
            raise ValueRefused(f"{self._rules.name}: the value holds itself, or is nested too deeply") from error

    @classmethod
    def model_validate(cls, plain: Any, **_: Any) -> Self:
        """From plain data.

        Raises:
            ValueError: it is no value of ours.
        """
        if type(plain) is not Ext:
            return cls(plain)
        if plain.code != Tag.BOX:
            message = f"unknown extension {plain.code}"
            raise ValueError(message)
        try:
            return cls(_DECODER.decode(plain.data))
        except Exception as error:  # whatever is wrong with it, to a reader it is a miss
            message = f"damaged: {error}"
            raise ValueError(message) from error

    @classmethod
    def model_validate_json(cls, data: bytes, **_: Any) -> Self:
        """From JSON."""
        return cls(msgspec.json.decode(data))


def value_of(result: Any) -> Any:
    """The value in what `Rules.packed` made or a namespace gave back."""
    return Stored.model_validate(result).value if type(result) is Ext else getattr(result, "value", result)


def _is_plain(value: Any) -> bool:
    """Whether MessagePack gives back just what it is."""
    kind = type(value)
    if kind is dict:
        if not _KEYS.issuperset(map(type, value)):
            return False
        value = value.values()
    elif kind is not list:
        return kind in _SCALARS or kind is bytes
    return all(_is_plain(one) for one in value if type(one) not in _SCALARS)


class _Flat:
    """Writes what JSON has; msgspec knows what dates, decimals, and so on are there."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def whole(self, value: Any) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return value
        if kind in _DICTS:
            return {self.whole(key): self.whole(one) for key, one in value.items()}
        if kind in {list, tuple, set, frozenset}:
            return [self.whole(one) for one in value]
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, HttpResponseBase):
            raise ValueRefused(f'{self._rules.name}: a response needs codec = "msgpack"')
        return value


class _Boxed:
    """Writes everything, in one box."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def whole(self, value: Any) -> Ext:
        return self._ext(Tag.BOX, self._part(value))

    def _part(self, value: Any) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return value
        if kind is list:
            return list(map(self._part, value))
        if kind in _DICTS:
            if _KEYS.issuperset(map(type, value)):
                return {key: self._part(one) for key, one in value.items()}
            return self._ext(Tag.PAIRS, [(self._part(key), self._part(one)) for key, one in value.items()])
        if kind in _GROUPS:
            return self._ext(_GROUPS[kind], list(map(self._part, value)))
        return self._other(value)

    def _other(self, value: Any) -> Any:
        """What may be of a class derived from one that is known."""
        if isinstance(value, bytes | bytearray | memoryview):
            return self._binary(bytes(value))
        if isinstance(value, SafeString):
            return self._ext(Tag.SAFE, str.__str__(value))
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int | float):
            return self._part(int(value) if isinstance(value, int) else float(value))
        for kind, (tag, write) in _WRITERS.items():
            if isinstance(value, kind):
                return self._ext(tag, write(value))
        if isinstance(value, HttpResponseBase):
            return self._ext(Tag.RESPONSE, self._response(value))
        raise ValueRefused(
            f"{self._rules.name}: {type(value).__module__}.{type(value).__qualname__} could only be stored as a "
            "pickle, and Spillgate has none: store plain data instead, such as a primary key, str(text) or "
            "list(queryset.values())"
        )

    def _response(self, value: HttpResponseBase) -> Any:
        try:
            return responses.fields_of(value, self._binary)
        except ValueError as error:
            raise ValueRefused(f"{self._rules.name}: {error}") from error

    def _binary(self, data: bytes) -> bytes:
        if self._rules.binary:
            return data
        raise ValueRefused(
            f"{self._rules.name}: binary values are not stored here: keep them in object storage and their address "
            "in the cache, or set binary = true for the namespace"
        )

    def _ext(self, tag: Tag, content: Any) -> Ext:
        try:
            return Ext(int(tag), _ENCODER.encode(content))
        except (UnicodeEncodeError, OverflowError) as error:
            raise ValueRefused(f"{self._rules.name}: the value cannot be stored: {error}") from error


def _moment(value: datetime) -> list[Any]:
    """A datetime: as it is shown, its time zone where that has a name, and which of two repeated hours it is in."""
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    return [(value.replace(tzinfo=None) if zone else value).isoformat(), zone, value.fold]


def _read_moment(shown: str, zone: str | None, fold: int) -> datetime:
    moment = datetime.fromisoformat(shown)
    return moment.replace(tzinfo=ZoneInfo(zone) if zone else moment.tzinfo, fold=fold)


def _clock(value: time) -> list[Any]:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueRefused(f"{value!r} has a time zone but no date to tell its offset: store a datetime")
    return [value.isoformat(), value.fold]


def _read_time(shown: str, fold: int) -> time:
    return time.fromisoformat(shown).replace(fold=fold)


_GROUPS: Final = {tuple: Tag.TUPLE, set: Tag.SET, frozenset: Tag.FROZENSET}
# A datetime is a date as well, so it comes first.
_WRITERS: Final[dict[type, tuple[Tag, Callable[[Any], Any]]]] = {
    datetime: (Tag.DATETIME, _moment),
    date: (Tag.DATE, date.isoformat),
    time: (Tag.TIME, _clock),
    timedelta: (Tag.TIMEDELTA, lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: (Tag.DECIMAL, str),
    UUID: (Tag.UUID, lambda value: value.hex),
}


def _unpacked(read: Callable[..., Any]) -> Callable[[Iterable[Any]], Any]:
    return lambda parts: read(*parts)


_READERS: Final[dict[int, Callable[[Any], Any]]] = {
    Tag.BOX: lambda value: value,
    Tag.PAIRS: dict,
    Tag.TUPLE: tuple,
    Tag.SET: set,
    Tag.FROZENSET: frozenset,
    Tag.SAFE: SafeString,
    Tag.DECIMAL: Decimal,
    Tag.UUID: UUID,
    Tag.DATETIME: _unpacked(_read_moment),
    Tag.DATE: date.fromisoformat,
    Tag.TIME: _unpacked(_read_time),
    Tag.TIMEDELTA: _unpacked(timedelta),
    Tag.RESPONSE: _unpacked(responses.response_of),
}


def _read(code: int, data: memoryview) -> Any:
    return _READERS[code](_DECODER.decode(data))


_DECODER: Final = msgspec.msgpack.Decoder(ext_hook=_read)
