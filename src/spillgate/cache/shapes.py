"""Which types a namespace can hold, how Pydantic models pass through msgspec, and which values hold binary ones."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, cast

import msgspec
from msgspec import inspect

from spillgate.errors import ConfigError

_BINARY: Final = (bytes, bytearray, memoryview)
_BINARY_TYPES: Final = (inspect.BytesType, inspect.ByteArrayType, inspect.MemoryViewType)
# What MessagePack writes before binary: only a value with one of these bytes somewhere can hold any.
_BINARY_8, _BINARY_16, _BINARY_32 = b"\xc4", b"\xc5", b"\xc6"
# Plain data without binary, nested this deep, which msgspec checks some times faster than Python can walk it.
_NESTED: Final = 6
_LEAF: Final[Any] = None | bool | int | float | str
_KNOWN: Final = "dataclass, msgspec Struct, TypedDict, Pydantic model or plain data"


def encode_model(value: object) -> object:
    """A Pydantic model as plain data, for MessagePack; msgspec knows the other types by itself.

    Computed fields are left out: they are not what the model is made from.

    Raises:
        TypeError: it is no Pydantic model.
    """
    return _dump(value)(mode="python", round_trip=True)


def encode_model_json(value: object) -> object:
    """As `encode_model`, the way that Pydantic writes the model as JSON."""
    return _dump(value)(mode="json", round_trip=True)


def decode_model(type_: Any, value: object) -> object:
    """The Pydantic model in plain data, which names its fields by their names or by their aliases.

    Strict models are no exception: MessagePack has no sets, tuples or UUIDs that could be told from lists and texts.
    What it raises is a ValueError, which msgspec turns into its own ValidationError.
    """
    return type_.model_validate(value, strict=False, by_name=True)


def decode_model_json(type_: Any, value: object) -> object:
    """As `decode_model`, the way that Pydantic reads JSON."""
    return type_.model_validate_json(msgspec.json.encode(value), by_name=True)


def check_type(type_: Any, name: str, *, binary: bool) -> None:
    """Refuse what the namespace ``name`` cannot hold: types that are not known, and binary ones where they may not be.

    Raises:
        ConfigError: it is such a type, or holds one.
    """
    if type_ is Any:
        return
    try:
        parts = tuple(_parts(inspect.type_info(type_), {}))
    except (TypeError, NameError) as error:
        raise ConfigError(f"the namespace {name!r} cannot hold {type_!r}: {error}") from error
    unknown = next((part.cls for part in parts if isinstance(part, inspect.CustomType) and not _is_model(part)), None)
    if unknown is not None:
        raise ConfigError(f"the namespace {name!r} cannot hold {type_!r}: {unknown!r} is no {_KNOWN}")
    if not binary and any(isinstance(part, _BINARY_TYPES) for part in parts):
        raise ConfigError(
            f"the namespace {name!r} cannot hold {type_!r}, which has binary parts: keep those in object storage, or "
            "set binary = true for the namespace"
        )


def packed_binary(body: bytes) -> bool:
    """Whether MessagePack holds a binary value anywhere. Most does not even look like it, which is found fast."""
    if _BINARY_8 not in body and _BINARY_16 not in body and _BINARY_32 not in body:
        return False
    try:
        _plain_data.decode(body)
    except msgspec.ValidationError:
        return _walk(msgspec.msgpack.decode(body))
    return False


def holds_binary(value: object) -> bool:
    """Whether a value is binary, or has a binary value anywhere in it.

    Raises:
        TypeError: it is, or has, what cannot be stored.
    """
    try:
        return packed_binary(msgspec.msgpack.encode(value, enc_hook=encode_model))
    except OverflowError:  # JSON takes ints of any length, MessagePack of 64 bits
        return _walk(value)


def _plain_type() -> Any:
    nested = _LEAF
    for _ in range(_NESTED):
        nested = _LEAF | list[nested] | dict[str | int, nested]
    return nested


_plain_data: Final = msgspec.msgpack.Decoder(_plain_type())


def _walk(value: object) -> bool:
    """Whether plain data holds a binary value."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, _BINARY):
            return True
        if isinstance(one, dict):
            left.extend(cast("dict[object, object]", one).keys())
            left.extend(cast("dict[object, object]", one).values())
        elif isinstance(one, list | tuple | set | frozenset):
            left.extend(cast("list[object]", one))
    return False


def _dump(value: object) -> Callable[..., object]:
    dump = getattr(value, "model_dump", None)
    if dump is None or isinstance(value, type):
        message = f"no {_KNOWN}"
        raise TypeError(message)
    return dump


def _parts(info: object, seen: dict[int, object]) -> Iterator[inspect.Type]:
    """The description of a type and of all types in it; types may hold themselves."""
    if isinstance(info, tuple):
        for one in cast("tuple[object, ...]", info):
            yield from _parts(one, seen)
    if not isinstance(info, msgspec.Struct) or id(info) in seen:
        return
    seen[id(info)] = info  # which keeps it, so that no other one gets its id
    if isinstance(info, inspect.Type):
        yield info
    for name in info.__struct_fields__:
        yield from _parts(getattr(info, name), seen)
    if isinstance(info, inspect.CustomType) and id(info.cls) not in seen:
        seen[id(info.cls)] = info.cls
        # What else is in a model is for Pydantic to judge.
        yield from (part for part in _model_parts(info.cls, seen) if isinstance(part, _BINARY_TYPES))


def _model_parts(model: type, seen: dict[int, object]) -> Iterator[inspect.Type]:
    fields = cast("Mapping[str, Any]", getattr(model, "model_fields", {}))
    for field in fields.values():
        with suppress(TypeError, NameError):
            yield from _parts(inspect.type_info(field.annotation), seen)


def _is_model(info: inspect.CustomType) -> bool:
    return hasattr(info.cls, "model_validate")
