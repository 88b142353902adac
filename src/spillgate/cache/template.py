"""Keys of cached functions, made from a template and the arguments of a call."""

import inspect
from collections.abc import Callable
from string import Formatter
from typing import Any

from spillgate.errors import ConfigError


class KeyTemplate:
    """A template such as ``"user:{user_id}"``, filled in from the arguments of one function.

    Calling it with a call's arguments gives the key. Where an argument is missing the function itself says so.

    Raises:
        ConfigError: the template names what is no parameter of the function, or is malformed.
    """

    __slots__ = ("_defaults", "_names", "_places", "_signature", "_template")

    def __init__(self, template: str, function: Callable[..., Any]) -> None:
        self._template = template
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters
        try:
            fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
        except ValueError as error:
            raise ConfigError(f"the key {template!r} cannot be read: {error}") from error
        names = [field.partition(".")[0].partition("[")[0] for field in fields]
        for name in names:
            if name not in parameters:
                raise ConfigError(
                    f"the key {template!r} names {name!r}, which is no parameter of {function.__qualname__}: "
                    f"it has {', '.join(parameters) or 'none'}"
                )
        self._names = tuple(dict.fromkeys(names))
        self._places = {name: place for place, name in enumerate(parameters)}
        self._defaults = {name: one.default for name, one in parameters.items() if one.default is not one.empty}
        simple = all(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters.values())
        if not simple:
            self._places = {}

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """The key of a call with these arguments."""
        if not self._places:  # *args, or parameters that are only positional, or only keywords
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return self._template.format_map(bound.arguments)
        values: dict[str, Any] = {}
        for name in self._names:
            place = self._places[name]
            if place < len(args):
                values[name] = args[place]
            elif name in kwargs:
                values[name] = kwargs[name]
            elif name in self._defaults:
                values[name] = self._defaults[name]
            else:
                self._signature.bind(*args, **kwargs)  # says which argument is missing, as calling the function would
        return self._template.format_map(values)
