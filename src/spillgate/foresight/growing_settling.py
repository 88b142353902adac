"""Waiting until a server's memory stands still: tables that move, buffers that shrink."""

import time
from collections.abc import Callable

_PAUSE_S, _LIMIT_S = 0.12, 20.0
_SAME = 4


def settled(
    used_bytes: Callable[[], int],
    limit_s: float = _LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """The memory in use once it was the same some times, or what it is after so many seconds."""
    last: list[int] = []
    end_s = clock() + limit_s
    while True:
        last = [*last[1 - _SAME :], used_bytes()]
        if (len(last) == _SAME and len(set(last)) == 1) or clock() >= end_s:
            return last[-1]
        wait(_PAUSE_S)
