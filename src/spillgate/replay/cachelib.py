"""Traces of CacheLib's key-value format.

The columns of its cachebench (facebook/CacheLib): ``op_time`` in seconds, ``op_count`` operations of one kind at once,
``size`` of the value (0 where a get missed), ``ttl`` in seconds (0: none told), ``usecase`` the namespace.
"""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from spillgate.config.values import read_name
from spillgate.errors import ConfigError
from spillgate.replay.csv_trace import rows
from spillgate.replay.scenario_file import LARGEST_VALUE
from spillgate.replay.traces import LONGEST_KEY, Clock, Known, misread, name_of, traced
from spillgate.replay.workload import Op, Request, Workload

COLUMNS = ("op_time", "key", "op", "op_count", "size")
"""The columns that are needed."""

_OPS = {
    **dict.fromkeys(("GET", "GETS", "GET_LEASE"), Op.GET),
    **dict.fromkeys(("SET", "SET_LEASE", "ADD", "REPLACE", "CAS", "APPEND", "PREPEND", "INCR", "DECR"), Op.SET),
    "DELETE": Op.DELETE,
}
_NO_USECASE = "cache"


def read_cachelib(path: Path) -> Workload:
    """The workload in the file at ``path``.

    Raises:
        ConfigError: a line cannot be used; it is named.
    """
    return traced(name_of(path), f"CacheLib trace {path.name}", lambda: _requests(path))


def _requests(path: Path) -> Iterator[Request]:
    clock, known, names = Clock(path), Known(), set[str]()
    for line, row in rows(path, COLUMNS, None):
        op = _OPS.get(row["op"].strip().upper())
        if op is None:
            raise misread(path, line, f'unknown op "{row["op"]}" (known here: {", ".join(_OPS)})')

        def number(column: str, most: int, *, line: int = line, row: dict[str, str] = row) -> int:
            text = row.get(column, "").strip() or "0"
            if not text.isdecimal() or int(text) > most:
                raise misread(path, line, f'{column}: expected a whole number up to {most:,}, got "{text}"')
            return int(text)

        at_s = clock.at(number("op_time", 2**53), line)
        size, ttl_s = number("size", LARGEST_VALUE), number("ttl", 2**40)
        key = row["key"].rjust(
            number("key_size", LONGEST_KEY), "k"
        )  # keys are shortened to hashes, their sizes are not
        name = row.get("usecase", "").strip() or _NO_USECASE
        if name not in names:
            names.add(_named(path, line, name))
        request = known.completed(Request(at_s, name, key, op, size, float(ttl_s) or None))
        yield from repeat(request, max(1, number("op_count", 10**6)))


def _named(path: Path, line: int, usecase: str) -> str:
    try:
        return read_name(usecase)
    except ConfigError as error:
        raise misread(path, line, f"usecase: {error}") from error
