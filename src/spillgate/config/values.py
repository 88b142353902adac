"""What settings are made of: the description that each field carries, and the readers of its value.

A reader turns what stands in the policy file into what the field holds, or raises `UnitError`, which says what was
expected and what was given.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from spillgate.units import unreadable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table of settings.

    ``default`` is written as in the policy file, or says how the default follows from other settings; empty where a
    value is required or absence means none. ``env`` lists its environment variables, the strongest first.
    """

    table: str
    key: str
    field: str
    read: Callable[[object], object]
    default: str
    help: str
    env: tuple[str, ...]
    required: bool


def says(
    key: str, read: Callable[[object], object], text: str, default: str = "", env: tuple[str, ...] = ()
) -> Mapping[str, object]:
    """Describe a field: its key in the file, its reader, its description, a derived default, its short variables."""
    return {"key": key, "read": read, "help": text, "default": default, "env": env}


def read_text(value: object) -> str:
    """A text that is not empty."""
    if isinstance(value, str) and value:
        return value
    raise unreadable("a text", value)


def read_path(value: object) -> Path:
    """A path, which is not looked at."""
    return Path(read_text(value))


def read_switch(value: object) -> bool:
    """A switch: true or false."""
    if isinstance(value, bool):
        return value
    raise unreadable("true or false", value)


def read_count(value: object) -> int:
    """A whole number, 0 or more."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise unreadable("a whole number, 0 or more", value)


def read_weight(value: object) -> float:
    """A number, 0 or more."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    raise unreadable("a number, 0 or more", value)


def read_one_of(choices: type[StrEnum]) -> Callable[[object], StrEnum]:
    """The reader of one of some words."""

    def read(value: object) -> StrEnum:
        if value in list(choices):
            return choices(value)
        raise unreadable("one of " + ", ".join(f'"{choice}"' for choice in choices), value)

    return read


def read_name(value: object) -> str:
    """A name that is safe wherever names are shown."""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise unreadable("up to 64 letters, digits, dots, dashes or underscores", value)
