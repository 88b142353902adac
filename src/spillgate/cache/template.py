"""Keys of cached functions, made from a template and the arguments of a call.

Where a template has several fields, ``"{tenant}:{name}"``, the arguments are quoted so far that different texts give
different keys: "a" and "b:c" give ``a:b%3Ac``, "a:b" and "c" give ``a%3Ab:c``. Quoted are the percent sign and whatever
stands between fields and is neither letter nor digit, as in URLs. So none of these characters comes from an argument,
and each tells where it stands in the template. With one field there is nothing to take it for.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import Formatter
from typing import Any

from spillgate.errors import ConfigError


class KeyTemplate:
    """A template such as ``"user:{user_id}"``, filled in from the arguments of one function.

    Calling it with a call's arguments gives the key. Arguments that the function would not take are a TypeError, as
    they are when it is called.

    Raises:
        ConfigError: the template names what is no parameter of the function, is malformed, or has nothing between two
            fields that keeps them apart.
    """

    __slots__ = ("_defaults", "_fill", "_names", "_order", "_signature", "_simple")

    def __init__(self, template: str, function: Callable[..., Any]) -> None:
        try:
            self._signature = inspect.signature(function)
        except ValueError as error:
            raise ConfigError(f"the key {template!r} cannot be filled in: {error}: give a function instead") from error
        parameters = self._signature.parameters
        try:
            names = list(_names_in(template))
        except ValueError as error:
            raise ConfigError(f"the key {template!r} cannot be read: {error}") from error
        for name in names:
            if name not in parameters:
                raise ConfigError(
                    f"the key {template!r} names {name!r}, which is no parameter of "
                    f"{getattr(function, '__qualname__', function)}: it has {', '.join(parameters) or 'none'}"
                )
        self._order = tuple(parameters)
        self._simple = bool(parameters) and all(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters.values())
        self._names = frozenset(parameters)
        self._defaults = {name: one.default for name, one in parameters.items() if one.default is not one.empty}
        self._fill = _filler(template, self._order)

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """The key of a call with these arguments."""
        if self._simple:  # else there are *args, or parameters that are only positional, or only keywords
            if not kwargs and len(args) == len(self._order):
                return self._fill(*args)
            given = dict(zip(self._order, args, strict=False), **kwargs)
            values = {**self._defaults, **given}
            if len(given) == len(args) + len(kwargs) and values.keys() == self._names:
                return self._fill(*[values[name] for name in self._order])
        bound = self._signature.bind(*args, **kwargs)  # says which argument is wrong, as calling the function would
        bound.apply_defaults()
        return self._fill(*bound.arguments.values())


class _Quoting:
    """Fills in a template of several fields.

    ``frame`` has ``{}`` for each, ``fields`` the place of the argument that goes there, or for parts of an argument and
    formats a template of its own. ``quoted`` is what becomes of characters that are quoted.
    """

    __slots__ = ("_fields", "_frame", "_quoted")

    def __init__(self, frame: str, fields: Sequence[int | str], quoted: Mapping[int, str]) -> None:
        self._frame = frame.format
        self._fields = fields
        self._quoted = quoted

    def __call__(self, *values: Any) -> str:
        texts: list[object] = []
        for field in self._fields:
            value = field.format(*values) if isinstance(field, str) else values[field]
            # Digits, and texts of letters and digits, stay as they are; this is on the way of every call.
            if type(value) is not int and not (type(value) is str and value.isalnum()):
                value = f"{value}".translate(self._quoted)
            texts.append(value)
        return self._frame(*texts)


def _filler(template: str, order: Sequence[str]) -> Callable[..., str]:
    """What makes the key of arguments in this order.

    Raises:
        ConfigError: between two fields there are only letters and digits, or nothing.
    """
    parts = list(Formatter().parse(template))
    if sum(field is not None for _, field, _, _ in parts) <= 1:
        return _placed(template, order).format
    frame, between, literals, fields = "", "", "", list[int | str]()
    for literal, field, form, conversion in parts:
        literals += literal
        between += literal
        frame += literal.replace("{", "{{").replace("}", "}}")
        if field is None:
            continue
        if fields and all(one.isalnum() or one == "%" for one in between):
            raise ConfigError(
                f"the key {template!r} has nothing that keeps {{{field}}} apart from what is before it, so different "
                'arguments could give the same key: put a ":" between them'
            )
        plain = field in order and not form and not conversion
        fields.append(order.index(field) if plain else _field(field, form, conversion, order))
        frame += "{}"
        between = ""
    return _Quoting(frame, fields, {ord(one): _quoted(one) for one in {"%", *literals} if not one.isalnum()})


def _quoted(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogatepass"))


def _names_in(template: str) -> Iterator[str]:
    """The parameters that a template names, also in the format of another: ``{price:.{digits}f}``.

    Raises:
        ValueError: it is malformed.
    """
    for _, field, form, _ in Formatter().parse(template):
        if field is not None:
            yield field.partition(".")[0].partition("[")[0]
            yield from _names_in(form or "")


def _placed(template: str, order: Sequence[str]) -> str:
    """The template with the places of parameters for their names, which is filled in faster."""
    parts: list[str] = []
    for literal, field, form, conversion in Formatter().parse(template):
        parts.append(literal.replace("{", "{{").replace("}", "}}"))
        if field is not None:
            parts.append(_field(field, form, conversion, order))
    return "".join(parts)


def _field(field: str, form: str | None, conversion: str | None, order: Sequence[str]) -> str:
    """A field of a template, with the places of parameters for their names."""
    name = field.partition(".")[0].partition("[")[0]
    converted = f"!{conversion}" if conversion else ""
    formed = f":{_placed(form, order)}" if form else ""
    return f"{{{order.index(name)}{field[len(name) :]}{converted}{formed}}}"
