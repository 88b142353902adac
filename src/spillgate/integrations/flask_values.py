"""Values of Flask-Caching and cachelib as plain data and back, without pickle.

What comes out is what went in, of the same type, or else it is refused: a value that came back as another would break
the application on a hit, and only then. So these types are taken, and no types made from them: None, bool, int, float,
str, bytes, list, dict, tuple, set, frozenset, datetime, date, time, timedelta, UUID, Decimal, `markupsafe.Markup`,
Flask's responses, and what ``abort`` raises. (Of a time zone the offset is kept; a response comes back as one of the
application's ``response_class``.)

What is no plain data stands as a dict of one member, whose name tells what it is, as in Flask's own cookies. A value
with any of those in it is the one member of such a dict itself, so that plain data need not be looked through when it
is read.
"""

import math
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

from markupsafe import Markup
from werkzeug.exceptions import HTTPException, default_exceptions
from werkzeug.wrappers import Response

from spillgate.errors import ValueRefused

Make = Callable[[str | bytes, str, list[tuple[str, str]]], Response]
"""Makes a response of a body, a status and header fields."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How values of a type are written: under which name, and how their content is made and read."""

    tag: str
    write: Callable[[Any, Any], Any]  # of a `_Packer` and the value
    read: Callable[[Any, Any], Any]  # of `FlaskValues` and the content


def _by_text(tag: str, write: Callable[[Any], str], read: Callable[[str], Any]) -> _Kind:
    return _Kind(tag, lambda _, value: write(value), lambda _, content: read(content))


def _by_list(tag: str, read: Callable[[Iterable[Any]], Any]) -> _Kind:
    return _Kind(
        tag,
        lambda packer, value: [packer.pack(one) for one in value],
        lambda values, content: read(map(values.unpack_part, content)),
    )


_PLAIN: Final = frozenset((type(None), bool, int, float, str))
_KINDS: Final[Mapping[type, _Kind]] = {
    Markup: _by_text(" m", str, Markup),
    datetime: _by_text(" dt", datetime.isoformat, datetime.fromisoformat),
    date: _by_text(" d", date.isoformat, date.fromisoformat),
    time: _by_text(" t", time.isoformat, time.fromisoformat),
    UUID: _by_text(" u", str, UUID),
    Decimal: _by_text(" n", str, Decimal),
    tuple: _by_list(" ()", tuple),
    set: _by_list(" {}", set),
    frozenset: _by_list(" f{}", frozenset),
    bytes: _Kind(
        " b",
        lambda packer, value: packer.values.check_bytes(value),
        lambda _, content: b64decode(content) if type(content) is str else content,  # JSON has them as text
    ),
    # Those that MessagePack or JSON cannot write, or would write as another.
    int: _by_text(" i", str, int),
    float: _by_text(" f", repr, float),
    timedelta: _Kind(
        " td",
        lambda _, value: [value.days, value.seconds, value.microseconds],
        lambda _, content: timedelta(*content),
    ),
    # One whose names are no texts, or begin as a tag does.
    dict: _Kind(
        " k",
        lambda packer, value: [[packer.pack(name), packer.pack(one)] for name, one in value.items()],
        lambda values, content: {values.unpack_part(name): values.unpack_part(one) for name, one in content},
    ),
    Response: _Kind(
        " r",
        lambda packer, value: packer.response(value),
        lambda values, content: values.make(
            values.unpack_part(content[0]), content[1], [(name, one) for name, one in content[2]]
        ),
    ),
    HTTPException: _Kind(
        " e",
        lambda packer, value: packer.values.aborted(value),
        lambda _, content: default_exceptions[content[0]](content[1]),
    ),
}
_READ: Final[Mapping[str, Callable[[Any, Any], Any]]] = {kind.tag: kind.read for kind in _KINDS.values()}
_HOLDS_TAGS: Final = " "
_INT64: Final = 1 << 63


class FlaskValues:
    """Packs and unpacks the values of a namespace of this name; ``binary`` says whether it takes bytes."""

    def __init__(self, namespace: str, *, binary: bool, make: Make) -> None:
        self._namespace = namespace
        self._binary = binary
        self.make = make

    def pack(self, value: object) -> Any:
        """A value as plain data.

        Raises:
            ValueRefused: it would not come back as it is.
        """
        packer = _Packer(self)
        try:
            plain = packer.pack(value)
        except RecursionError as error:
            raise self.refuse(value, "it is nested too deep") from error
        except ValueError as error:
            if isinstance(error, ValueRefused):
                raise
            raise self.refuse(value, str(error)) from error
        return {_HOLDS_TAGS: plain} if packer.tagged else plain

    def unpack(self, plain: Any) -> Any:
        """The value that was packed; None for what is none of ours."""
        if type(plain) is not dict or _HOLDS_TAGS not in plain:
            return cast("Any", plain)
        try:
            return self.unpack_part(cast("dict[str, Any]", plain)[_HOLDS_TAGS])
        except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError):
            return None

    def refuse(self, value: object, why: str) -> ValueRefused:
        """The error that says why a value is not stored."""
        return ValueRefused(f"{self._namespace}: {type(value).__qualname__} cannot be stored: {why}")

    def body(self, response: Response) -> str | bytes:
        """The body of a response as it can be stored."""
        if response.is_streamed or response.direct_passthrough:
            raise self.refuse(response, "it is a stream or a file; leave it out by response_filter")
        if "Set-Cookie" in response.headers:
            raise self.refuse(response, "its cookie is for one client alone; set it outside of what is cached")
        data = response.get_data()
        if self._binary:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.refuse(response, "its body is no UTF-8 text; set binary = true for the namespace") from error

    def check_bytes(self, value: bytes) -> bytes:
        """Bytes, where they are taken."""
        if not self._binary:
            raise self.refuse(value, "binary values are not stored here; set binary = true for the namespace")
        return value

    def aborted(self, error: HTTPException) -> list[Any]:
        """What an exception of ``abort`` is made from."""
        given = {name for name, one in vars(error).items() if one is not None}
        code = error.code or 0
        if default_exceptions.get(code) is not type(error) or given - {"description"}:
            raise self.refuse(error, "it has more than a status and a description; leave it out by response_filter")
        return [code, vars(error).get("description")]

    def unpack_part(self, plain: Any) -> Any:
        """What was packed as a part of a value."""
        if type(plain) is list:
            return [self.unpack_part(one) for one in cast("list[Any]", plain)]
        if type(plain) is not dict:
            return plain
        members = cast("dict[str, Any]", plain)
        if len(members) == 1:
            ((tag, content),) = members.items()
            if tag[:1] == " ":
                return _READ[tag](self, content)
        return {name: self.unpack_part(one) for name, one in members.items()}


class _Packer:
    """Packs one value, and notes whether anything in it was tagged."""

    def __init__(self, values: FlaskValues) -> None:
        self.values = values
        self.tagged = False

    def pack(self, value: object) -> Any:
        kind = type(value)
        if kind in _PLAIN and not _is_extreme(value):
            return value
        if kind is list:
            return [self.pack(one) for one in cast("list[object]", value)]
        if kind is dict:
            members = cast("dict[Any, object]", value)
            if all(type(name) is str and name[:1] != " " for name in members):
                return {name: self.pack(one) for name, one in members.items()}
        base = next((base for base in (Response, HTTPException) if isinstance(value, base)), kind)
        if base not in _KINDS:
            why = "it would not come back as it is; store plain data that it can be made from"
            raise self.values.refuse(value, why)
        self.tagged = True
        known = _KINDS[base]
        return {known.tag: known.write(self, value)}

    def response(self, response: Response) -> list[Any]:
        body = self.pack(self.values.body(response))
        return [body, response.status, [list(field) for field in response.headers.items()]]


def _is_extreme(value: object) -> bool:
    """Whether it is a number that is not written as it is."""
    if type(value) is int:
        return not -_INT64 <= value < _INT64
    return type(value) is float and not math.isfinite(value)
