"""Keys of cached functions, made from a template and the arguments of a call."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from string import Formatter
from typing import Any

from spillgate.errors import ConfigError


class KeyTemplate:
    """A template such as ``"user:{user_id}"``, filled in from the arguments of one function.

    Calling it with a call's arguments gives the key. Arguments that the function would not take are a TypeError, as
    they are when it is called.

    Raises:
        ConfigError: the template names what is no parameter of the function, or is malformed.
    """

    __slots__ = ("_by_place", "_defaults", "_names", "_order", "_signature", "_template")

    def __init__(self, template: str, function: Callable[..., Any]) -> None:
        self._template = template
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
        simple = all(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters.values())
        self._order = tuple(parameters) if simple else ()
        self._by_place = _placed(template, self._order) if simple else ""
        self._names = frozenset(parameters)
        self._defaults = {name: one.default for name, one in parameters.items() if one.default is not one.empty}

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """The key of a call with these arguments."""
        if self._order:  # else there are *args, or parameters that are only positional, or only keywords
            if not kwargs and len(args) == len(self._order):
                return self._by_place.format(*args)
            given = dict(zip(self._order, args, strict=False), **kwargs)
            values = {**self._defaults, **given}
            if len(given) == len(args) + len(kwargs) and values.keys() == self._names:
                return self._template.format_map(values)
        bound = self._signature.bind(*args, **kwargs)  # says which argument is wrong, as calling the function would
        bound.apply_defaults()
        return self._template.format_map(bound.arguments)


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
            name = field.partition(".")[0].partition("[")[0]
            converted = f"!{conversion}" if conversion else ""
            formed = f":{_placed(form, order)}" if form else ""
            parts.append(f"{{{order.index(name)}{field[len(name) :]}{converted}{formed}}}")
    return "".join(parts)
