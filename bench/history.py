"""What the history takes of the governor's time, of a core at rest and of the disk in a year; how fast it answers."""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.goals import Report, number, table
from bench.options import Options
from spillgate.governor.history import History, Span
from spillgate.governor.journal import Event
from spillgate.model import Level
from tests.histories import Wall, assessment, census, journal_of, reading

_READINGS = 100_000
_READINGS_PER_S = 200  # as many as in a flood
_COMMITS = 200
_INTERVAL_S = 30.0
_DAY_S, _WEEK_S, _YEAR_S = 86_400, 7 * 86_400, 366 * 86_400
_MB = 1 << 20


def run(options: Options) -> Report:
    """Feed, fill, ask, and judge."""
    report = Report("history")
    with tempfile.TemporaryDirectory() as folder:
        if options.wants("feeding"):
            _feeding(report, Path(folder), options.repetitions)
        if options.wants("year"):
            _year(report, Path(folder), options.repetitions)
    return report


class Cost(NamedTuple):
    """Microseconds that a reading kept the governor."""

    mean: float
    p999: float
    worst: float


def _feeding(report: Report, folder: Path, repetitions: int) -> None:
    costs: dict[str, list[Cost]] = {}
    commits: list[float] = []
    for repetition in range(repetitions):
        for name, ready in _FILES.items():
            with ready(folder / f"{repetition} {name}.db") as history:
                costs.setdefault(name, []).append(_fed(history))
        costs.setdefault("a commit for each", []).append(_committed(folder / f"{repetition}.db"))
        commits.append(_commit_s(folder / f"{repetition} rest.db"))
    heads = ("µs of a reading", "mean", "99.9 %", "worst")
    rows = [
        (name, *(number(round(statistics.median(one), 1)) for one in zip(*listed, strict=True)))
        for name, listed in costs.items()
    ]
    print("\n" + table(heads, rows), flush=True)
    report.numbers += [{"file": name} | one._asdict() for name, listed in costs.items() for one in listed]
    for name in _FILES:
        report.judge(f"history, {name}: a reading", [one.mean for one in costs[name]], 50, " µs", typical=True)
    # At rest there is one every 30 s: this is 0.01 % of a core.
    report.judge("history: CPU of a commit", [commit_s * 1e3 for commit_s in commits], 3, " ms", typical=True)


@contextmanager
def _memory(_: Path) -> Generator[History]:
    with History() as history:
        yield history


@contextmanager
def _file(path: Path) -> Generator[History]:
    with History(path, gather_s=0.1) as history:
        yield history


@contextmanager
def _locked(path: Path) -> Generator[History]:
    """Somebody else has locked the file, so that nothing can be written."""
    with History(path, gather_s=0.1) as history, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield history
        other.execute("ROLLBACK")


_FILES: dict[str, Callable[[Path], AbstractContextManager[History]]] = {
    "in memory": _memory,
    "in a file": _file,
    "in a locked file": _locked,
}


def _fed(history: History) -> Cost:
    seen = assessment(Level.EMERGENCY)
    took: list[float] = []
    for count in range(_READINGS):
        one = reading(count)
        before = time.perf_counter()
        history.observe(one, seen)
        took.append(time.perf_counter() - before)
        if count % _READINGS_PER_S == 0:
            time.sleep(0.002)  # the governor waits for the server, too, and lets others run
    return _cost(took)


def _committed(path: Path) -> Cost:
    """What it would be if the governor wrote each reading itself."""
    took: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("CREATE TABLE points (at_s REAL PRIMARY KEY, used INTEGER, level INTEGER, keys INTEGER)")
        for count in range(_READINGS // 20):
            before = time.perf_counter()
            db.execute("INSERT INTO points VALUES (?, ?, ?, ?)", (count, count, 0, 7))
            took.append(time.perf_counter() - before)
    return _cost(took)


def _cost(took: list[float]) -> Cost:
    ranked = sorted(took)
    return Cost(statistics.mean(took) * 1e6, ranked[int(len(ranked) * 0.999)] * 1e6, ranked[-1] * 1e6)


def _commit_s(path: Path) -> float:
    """The CPU that one reading and its commit take, as they come every 30 seconds at rest."""
    wall, seen = Wall(), assessment()
    history = History(path, wall_clock=wall)
    before = time.thread_time()
    for count in range(_COMMITS):
        history.observe(reading(count), seen)
        history.flush()
        wall.now_s += _INTERVAL_S
    spent = time.thread_time() - before
    history.stop()
    return spent / _COMMITS


def _year(report: Report, folder: Path, repetitions: int) -> None:
    path, wall = folder / "year.db", Wall()
    _fill(path, wall)
    size = path.stat().st_size
    questions: dict[str, Callable[[History], object]] = {
        **{f"points, {span}": lambda history, span=span: history.points(span) for span in Span},
        "usages, year": lambda history: history.usages(Span.YEAR),
        "journal, newest 100": lambda history: history.entries(),
        "journal, words that are nowhere": lambda history: history.entries(text="nowhere"),
        "newest seconds": lambda history: history.newest(history.seconds - 5),
    }
    took: dict[str, list[float]] = {"opening": []}
    for _ in range(max(3, repetitions)):
        before = time.perf_counter()
        with History(path, wall_clock=wall) as history:
            took["opening"].append((time.perf_counter() - before) * 1e3)
            for name, ask in questions.items():
                before = time.perf_counter()
                ask(history)
                took.setdefault(name, []).append((time.perf_counter() - before) * 1e3)
    print(
        "\n"
        + table(("ms, after a year", "median"), [(name, f"{statistics.median(t):.2f}") for name, t in took.items()])
    )
    print(f"{size / _MB:.1f} MB on disk", flush=True)
    report.numbers += [{"question": name, "ms": ms} for name, ms in took.items()] + [{"bytes": size}]
    for span in Span:
        report.judge(f"history: points of the {span}", took[f"points, {span}"], 50, " ms", typical=True)
    report.judge("history: a year on disk", [size / _MB], 64, " MB")


def _fill(path: Path, wall: Wall) -> None:
    """A year: readings every half hour, a minute in the last week, a second in the last hour; a full journal."""
    history = History(path, wall_clock=wall)
    journal = journal_of(history, wall)
    held = census(**{f"namespace-{number}": (number * 1000, number * 1_000_000) for number in range(50)})
    history.expect(1800.0)
    end_s = wall.now_s + _YEAR_S
    count = 0
    while (left_s := end_s - wall.now_s) > 0:
        history.observe(reading(count), assessment())
        history.saw(held)
        if left_s <= _WEEK_S:
            for _ in range(2):
                journal.write(Event.ACTION, "emergency", "deleted 1,200 of analytics " * 8, deleted=1200, calls=count)
        if count % 200 == 0:  # what waits longer than two weeks of hours is dropped
            history.flush()
        count += 1
        wall.now_s += 1800 if left_s > _WEEK_S else 60 if left_s > 3600 else 1
    history.stop()
