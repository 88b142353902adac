"""What tests of the history share; and, as ``python -m tests.histories``, processes that write one."""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from spillgate.governor.history import History, Span
from spillgate.governor.journal import Event, Journal
from spillgate.model import Census, Estimate, Level, Reading, Usage
from spillgate.policy.pressure import Assessment, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

MB = 1 << 20
NOW_S = 1_800_000_000.0


class Wall:
    """A wall clock turned by hand."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def assessment(level: Level = Level.NORMAL) -> Assessment:
    """How bad it is: ``level``, of 25 MB."""
    return Assessment(0.0, level, level, 0.1, 0.1, 0.0, Limits(25 * MB, 2 * MB))


def reading(used_bytes: int, *, evicted: int | None = 0, refused: int | None = 0, run_id: str = "a") -> Reading:
    """One observation of a server with 7 keys."""
    return Reading(0.0, used_bytes, keys=7, evicted_keys=evicted, refused_writes=refused, run_id=run_id)


def see(history: History, used_bytes: int, level: Level = Level.NORMAL) -> None:
    """Feed one reading."""
    history.observe(reading(used_bytes), assessment(level))


def census(**held: tuple[int, int | None]) -> Census:
    """A census of these namespaces: keys and bytes."""
    rows = tuple(
        Usage(name, Estimate.exact(keys), None if size is None else Estimate.exact(size), None)
        for name, (keys, size) in held.items()
    )
    return Census(0.0, True, 0, 0, rows, Estimate.exact(0))  # noqa: FBT003 - an exact one


def journal_of(history: History, clock: Callable[[], float]) -> Journal:
    """A journal as the governor makes it, whose entries are logged nowhere."""
    logger = logging.getLogger("tests.histories")
    logger.propagate, logger.disabled = False, True
    return Journal(clock, logger, last_number=history.last_number, keep=history.keep)


def write_until_killed(path: Path) -> None:
    """Write readings and entries, and say on stdout which entry was committed last."""
    history = History(path, gather_s=0.001)
    journal = journal_of(history, time.time)
    history.start()
    chance = random.Random()
    for count in itertools.count():
        see(history, count, Level(count % 5))
        journal.write(Event.ACTION, "normal", "x" * chance.randrange(3000), count=count)
        if chance.random() < 0.2:
            number = journal.last_number
            history.flush()
            os.write(1, b"%d\n" % number)


def run_out_of_room(path: Path) -> None:
    """Write with room, without, and with room again; tell in JSON what was seen."""
    history = History(path, gather_s=0.001)
    journal = journal_of(history, time.time)
    told: dict[str, object] = {}
    journal.write(Event.STARTED, "normal", "with room")
    history.flush()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The log of the transactions is full, and so is the file, however little is to be written.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
    for number in range(8000):
        see(history, number)
        journal.write(Event.ACTION, "normal", f"entry {number}")
    started_s = time.perf_counter()
    history.flush()
    told["took_s"] = time.perf_counter() - started_s
    told["error"] = history.error
    told["points"] = [point.high_bytes for point in history.points(Span.DAY)][-1]
    told["entries"] = [entry.message for entry in history.entries(limit=1)]
    told["old"] = [entry.message for entry in history.entries(before=2)]
    told["pending"] = len(history.entries(limit=100_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    history.flush()
    told["error_after"] = history.error
    told["notices"] = [notice.message for notice in history.notices()]
    told["kept"] = [len(history.entries(limit=100_000)), history.entries(limit=1)[0].message]
    history.stop()
    print(json.dumps(told))  # noqa: T201 - the answer


if __name__ == "__main__":
    {"write": write_until_killed, "full": run_out_of_room}[sys.argv[1]](Path(sys.argv[2]))
