"""What all readers of traces need: lines of a file, errors that name one, and the workload that its requests make."""

import gzip
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from spillgate.errors import ConfigError
from spillgate.replay.workload import Op, Request, Space, Workload

LONGEST_KEY = 64 * 1024


@contextmanager
def opened(path: Path) -> Generator[TextIO]:
    """The text of a file, which is unpacked where its name ends in .gz.

    Raises:
        ConfigError: it cannot be read, when it is opened or later.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8", newline="") as packed:
                yield cast("TextIO", packed)
        else:
            with path.open(encoding="utf-8", newline="") as plain:
                yield plain
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot be read: {reason}", source=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text: {error}", source=str(path)) from error


def name_of(path: Path) -> str:
    """What to call the workload of a file."""
    return Path(path.name.removesuffix(".gz")).stem


def misread(path: Path, line: int, message: str) -> ConfigError:
    """An error at a line of a file."""
    return ConfigError(message, source=f"{path}, line {line}")


class Clock:
    """Times of a trace, from its first line on; they may not go back."""

    def __init__(self, path: Path, unit_s: float = 1.0) -> None:
        self._path = path
        self._unit_s = unit_s
        self._first: float | None = None
        self._latest = 0.0

    def at(self, time: float, line: int) -> float:
        """Seconds since the first line.

        Raises:
            ConfigError: the time is before that of the line before.
        """
        if self._first is None:
            self._first = self._latest = time
        if time < self._latest:
            raise misread(
                self._path, line, f"time goes back, from {self._latest:.15g} to {time:.15g}: sort the file by time"
            )
        self._latest = time
        return (time - self._first) * self._unit_s


class Known:
    """Sizes and TTLs of keys as last told: a get that missed in the original tells none."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str], tuple[int, float | None]] = {}

    def completed(self, request: Request) -> Request:
        """The request with what was told of its key before, where it does not tell itself."""
        if request.op is Op.DELETE:
            return request
        name = (request.namespace, request.key)
        size, ttl_s = self._keys.get(name, (0, None))
        whole = Request(
            request.at_s, request.namespace, request.key, request.op, request.size or size, request.ttl_s or ttl_s
        )
        self._keys[name] = (whole.size, whole.ttl_s)
        return whole


def traced(
    name: str,
    note: str,
    stream: Callable[[], Iterable[Request]],
    weights: Mapping[str, float] | None = None,
) -> Workload:
    """The workload of a trace, which is read through once.

    Raises:
        ConfigError: a line cannot be used, or there is none.
    """
    ttls: dict[str, Counter[float]] = {}
    count, last_s = 0, 0.0
    for request in stream():
        count, last_s = count + 1, request.at_s
        own = ttls.setdefault(request.namespace, Counter())
        if request.ttl_s is not None:
            own[request.ttl_s] += 1
    if not count:
        raise ConfigError("has no request", source=name)
    spaces = tuple(
        Space(
            space, max(own, key=lambda ttl: own[ttl], default=None), min(own, default=None), (weights or {}).get(space)
        )
        for space, own in ttls.items()
    )
    return Workload(name, note, last_s, spaces, stream, count)
