"""Our own CSV: ``time,namespace,key,op,size[,ttl]``."""

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from spillgate.config.values import read_name
from spillgate.errors import ConfigError
from spillgate.replay.scenario_file import LARGEST_VALUE
from spillgate.replay.traces import LONGEST_KEY, Clock, Known, misread, name_of, opened, traced
from spillgate.replay.workload import Op, Request, Workload
from spillgate.units import parse_bytes, parse_duration, unreadable

COLUMNS = ("time", "namespace", "key", "op", "size")
"""The columns that a file must have, in any order; ``ttl`` may be there."""

_Read = TypeVar("_Read")


def read_csv(path: Path) -> Workload:
    """The workload in the file at ``path``.

    Raises:
        ConfigError: a line cannot be used; it is named.
    """
    return traced(name_of(path), f"trace {path.name}", lambda: _requests(path))


def rows(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...] | None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line of a CSV file with its number, by the names in its first line; ``optional`` None allows any others.

    Raises:
        ConfigError: columns are missing, unknown, or more or fewer than the first line names.
    """
    with opened(path) as file:
        reader = csv.reader(file)
        header = [name.strip().lower() for name in next(reader, list[str]())]
        _check(path, header, required, optional)
        try:
            for row in reader:
                if row:
                    if len(row) != len(header):
                        message = f"expected {len(header)} values ({','.join(header)}), got {len(row)}"
                        raise misread(path, reader.line_num, message)
                    yield reader.line_num, dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise misread(path, reader.line_num, f"is not CSV: {error}") from error


def _check(path: Path, header: list[str], required: tuple[str, ...], optional: tuple[str, ...] | None) -> None:
    if missing := [name for name in required if name not in header]:
        expected = ",".join(required) + "".join(f"[,{name}]" for name in optional or ())
        raise misread(path, 1, f"expected the columns {expected}, and there is no {missing[0]}")
    if optional is not None and (unknown := [name for name in header if name not in required + optional]):
        raise misread(path, 1, f'unknown column "{unknown[0]}" (known here: {", ".join(required + optional)})')
    if twice := [name for name in header if header.count(name) > 1]:
        raise misread(path, 1, f'the column "{twice[0]}" comes twice')


def _requests(path: Path) -> Iterator[Request]:
    clock, known, names = Clock(path), Known(), set[str]()
    for line, row in rows(path, COLUMNS, ("ttl",)):
        name = row["namespace"].strip()
        if name not in names:
            names.add(_read(path, line, row, "namespace", lambda value: read_name(value.strip())))
        at_s = clock.at(_read(path, line, row, "time", _time), line)
        size = _read(path, line, row, "size", _size)
        ttl_s = _read(path, line, row, "ttl", _ttl) if row.get("ttl") else None
        key, op = _read(path, line, row, "key", _key), _read(path, line, row, "op", _op)
        yield known.completed(Request(at_s, name, key, op, size, ttl_s))


def _read(path: Path, line: int, row: Mapping[str, str], column: str, read: Callable[[str], _Read]) -> _Read:
    try:
        return read(row[column])
    except (ConfigError, ValueError) as error:
        raise ConfigError(str(error), source=f"{path}, line {line}", key=column) from error


def _time(value: str) -> float:
    try:
        time = float(value)
    except ValueError:
        time = math.nan
    if not math.isfinite(time):
        raise unreadable("seconds, such as 12.5", value)
    return time


def _key(value: str) -> str:
    if not 0 < len(value) <= LONGEST_KEY:
        raise unreadable("a key of at most 64KB", value[:80])
    return value


def _op(value: str) -> Op:
    try:
        return Op(value.strip().lower())
    except ValueError:
        raise unreadable("get, set or delete", value) from None


def _size(value: str) -> int:
    size = parse_bytes(value.strip()) if value.strip() else 0
    if size > LARGEST_VALUE:
        raise unreadable("a size of at most 256MB", value)
    return size


def _ttl(value: str) -> float:
    try:
        ttl_s = float(value)
    except ValueError:
        ttl_s = parse_duration(value.strip())
    if not 0 < ttl_s < math.inf:
        raise unreadable('a TTL of more than 0, in seconds or such as "15m"', value)
    return ttl_s
