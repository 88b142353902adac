"""What a history tells of growth."""

import sqlite3
import tempfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from spillgate.errors import ConfigError
from spillgate.governor.history import History, Point, Span, Usages
from spillgate.governor.history.files import UnusableError, check
from spillgate.model import Level
from spillgate.policy.capacity_growth import DAY_S, Reading, Trend, trend

_WEEK_S, _MONTH_S = 7 * DAY_S, 30 * DAY_S
_WAIT_S = 5.0

NO_HISTORY = Trend(None, "unknown: no history was given, and two looks apart tell nothing; pass --history FILE")


@dataclass(frozen=True, slots=True)
class Growth:
    """How memory has grown, and what the namespaces hold."""

    memory: Trend = NO_HISTORY
    keys: dict[str, Trend] = field(default_factory=dict[str, Trend])
    bytes: dict[str, Trend] = field(default_factory=dict[str, Trend])
    held_down: bool = False

    @classmethod
    def of(cls, history: History | None) -> "Growth":
        """Of the last 30 days where there are more than seven, else of the last seven."""
        if history is None:
            return cls()
        points = [point for point in history.points(Span.YEAR) if point.known]
        if points and points[-1].at_s - points[0].at_s > _WEEK_S:
            points = [point for point in points if point.at_s >= points[-1].at_s - _MONTH_S]
            usages: Sequence[Usages] = history.usages(Span.YEAR)
            usages = [one for one in usages if one.at_s >= points[-1].at_s - _MONTH_S]
        else:
            points = [point for point in history.points(Span.WEEK) if point.known]
            usages = history.usages(Span.WEEK)
        names = {name for one in usages for name in one.namespaces}
        return cls(
            trend([(point.at_s, float(point.used_bytes)) for point in points if point.used_bytes is not None]),
            {name: trend(_of(name, usages, 0)) for name in names},
            {name: trend(_of(name, usages, 1)) for name in names},
            _held_down(points),
        )


def _of(name: str, usages: Iterable[Usages], part: int) -> list[Reading]:
    """The keys (0) or bytes (1) of a namespace, wherever they are known."""
    held = ((one.at_s, one.namespaces[name][part]) for one in usages if name in one.namespaces)
    return [(at_s, float(number)) for at_s, number in held if number is not None]


def _held_down(points: Iterable[Point]) -> bool:
    """Whether something kept memory from growing: evictions, or a level that cleans up."""
    return any(point.evicted_keys or (point.level or 0) >= Level.PREVENTIVE for point in points)


@contextmanager
def opened(path: Path) -> Generator[History]:
    """A history file for reading, whoever writes to it: what is opened is a copy of it.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="spillgate-") as folder:
        copy = Path(folder) / "history"
        try:
            _copy(path, copy)
        except (UnusableError, sqlite3.Error, OSError) as error:
            raise ConfigError(f"{path}: {error}", source="command line", key="--history") from error
        history = History(copy)
        try:
            yield history
        finally:
            history.stop()


def _copy(path: Path, copy: Path) -> None:
    check(path)
    if not path.exists():
        raise UnusableError("there is no such file: it is what spillgate run --history FILE writes")
    uri = f"file:{quote(str(path.resolve()))}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_S)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
