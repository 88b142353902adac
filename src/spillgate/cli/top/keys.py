"""What a key that is pressed changes. Pure: bytes of a terminal in, the next state of the screen out."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

SHORTEST_S = 0.1
_INTERVALS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
# What terminals send for keys that are no letters, in their two dialects.
_NAMES = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b[5~": "pageup",
    b"\x1b[6~": "pagedown",
    b"\x1b[H": "home",
    b"\x1bOH": "home",
    b"\x1b[1~": "home",
    b"\x1b[F": "end",
    b"\x1bOF": "end",
    b"\x1b[4~": "end",
    b" ": "pagedown",
}
_KEY = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[ -~]|\x1b(?![\[O])|[^\x1b]", re.DOTALL)


class Sort(StrEnum):
    """The orders of the namespaces, in turn."""

    MEMORY = "memory"
    KEYS = "keys"
    NO_TTL = "no TTL"
    CLEANUP = "cleanup"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Controls:
    """What the keys decide: how often to look, and what of it is shown."""

    interval_s: float = 2.0
    sort: Sort = Sort.MEMORY
    paused: bool = False
    offset: int = 0
    help: bool = False
    journal: bool = False
    quit: bool = False


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to scroll through, and how much of it is seen at once."""

    lines: int
    page: int


def split(received: bytes) -> tuple[list[str], bytes]:
    """The keys in what a terminal sent, by name or letter, and the beginning of one that is not there whole."""
    keys: list[str] = []
    position = 0
    while match := _KEY.match(received, position):
        raw = match[0]
        # An escape at the end may be the key, or the beginning of an arrow.
        if raw == b"\x1b" and match.end() == len(received):
            break
        keys.append(_NAMES.get(raw) or raw.decode("latin-1"))
        position = match.end()
    return keys, received[position:]


def pressed(controls: Controls, key: str, extent: Extent) -> Controls:
    """The controls after one more key; what means nothing changes nothing."""
    if controls.help and key not in {"q", "Q", "up", "down", "pageup", "pagedown", "home", "end"}:
        return replace(controls, help=False, offset=0)
    if key in _SCROLLS:
        last = max(0, extent.lines - extent.page)
        wanted = _SCROLLS[key](min(controls.offset, last), extent)
        return replace(controls, offset=min(last, max(0, wanted)))
    change = _CHANGES.get(key)
    return change(controls) if change else controls


_SCROLLS: Mapping[str, Callable[[int, Extent], int]] = {
    "up": lambda offset, _: offset - 1,
    "k": lambda offset, _: offset - 1,
    "down": lambda offset, _: offset + 1,
    "j": lambda offset, _: offset + 1,
    "pageup": lambda offset, extent: offset - max(1, extent.page),
    "pagedown": lambda offset, extent: offset + max(1, extent.page),
    "home": lambda _, __: 0,
    "end": lambda _, extent: extent.lines,
}


def _next_sort(controls: Controls) -> Controls:
    orders = list(Sort)
    following = orders[(orders.index(controls.sort) + 1) % len(orders)]
    return replace(controls, sort=following, offset=0)


def _less_often(controls: Controls) -> Controls:
    longer = (one for one in _INTERVALS_S if one > controls.interval_s)
    return replace(controls, interval_s=next(longer, controls.interval_s))


def _more_often(controls: Controls) -> Controls:
    shorter = (one for one in reversed(_INTERVALS_S) if one < controls.interval_s)
    return replace(controls, interval_s=next(shorter, controls.interval_s))


_CHANGES: Mapping[str, Callable[[Controls], Controls]] = {
    "q": lambda controls: replace(controls, quit=True),
    "Q": lambda controls: replace(controls, quit=True),
    "s": _next_sort,
    "p": lambda controls: replace(controls, paused=not controls.paused),
    "+": _less_often,
    "=": _less_often,  # the same key without shift
    "-": _more_often,
    "l": lambda controls: replace(controls, journal=not controls.journal, offset=0),
    "?": lambda controls: replace(controls, help=True, offset=0),
    "h": lambda controls: replace(controls, help=True, offset=0),
}

HELP = (
    ("q", "quit; so does Ctrl-C"),
    ("s", f"sort the namespaces by {', '.join(Sort)}, in turn"),
    ("p", "pause: the server is not looked at until p is pressed again"),
    ("+ -", "look less, more often; (metered) says that commands_per_day of the policy allows no more"),
    ("arrows, page up, page down", "scroll, where not everything fits; home and end, j and k, too"),
    ("l", "the governor's journal instead of the namespaces, where one is being read (--from)"),
    ("?", "this help; any key leaves it"),
)
"""What each key does, in words."""
