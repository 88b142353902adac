"""A Celery application on the flooded server: its worker, and the producer that fills its queue meanwhile."""

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kombu.exceptions import OperationalError

from bench.actors import Actor, Cue
from bench.governing import REFERENCE_POLICY, ROOT, clean_environment

_TASKS = 2000
_WORKER = ("-m", "celery", "-A", "bench.celery_app", "worker", "-P", "threads", "-c", "2", "-l", "WARNING")
_DRAIN_S = 60.0
# A task that would be run twice has this long to do so.
_LINGER_S = 1.0
_STOP_S = 20.0


@dataclass(frozen=True, slots=True)
class TaskRuns:
    """What became of the tasks: how many could not be queued, did not run though queued, ran more than once."""

    refused: int
    never: int
    again: int


class TaskQueue:
    """A real Celery worker, and the policy that knows its keys; a context manager that stops the worker."""

    def __init__(self, url: str, folder: Path) -> None:
        """Start the worker of the server at ``url``; its files are in ``folder``."""
        self.policy = folder / "spillgate.toml"
        self.policy.write_text('presets = ["celery"]\n' + REFERENCE_POLICY.read_text())
        self._url = url
        self._runs = folder / "runs"
        self._runs.touch()
        self._process = subprocess.Popen(
            [sys.executable, *_WORKER],
            cwd=ROOT,
            env=clean_environment() | {"REDIS_URL": url, "RUNS": str(self._runs)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        self._process.kill()
        self._process.wait()

    def producer(self, seconds: float) -> Actor[int]:
        """Who queues 2,000 tasks, evenly over ``seconds``, and returns how many of them were refused."""
        return Actor(queue_tasks, self._url, str(self._runs), seconds)

    def runs(self, refused: int) -> TaskRuns:
        """Wait until the worker is done, and a moment longer."""
        deadline = time.monotonic() + _DRAIN_S
        while len(self._count()) < _TASKS - refused and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(_LINGER_S)
        count = self._count()
        return TaskRuns(refused, _TASKS - refused - len(count), sum(times > 1 for times in count.values()))

    def _count(self) -> Counter[int]:
        return Counter(int(line) for line in self._runs.read_text().split())


def queue_tasks(cue: Cue, url: str, runs: str, seconds: float) -> int:
    """Queue the tasks; one that is refused is not tried again. Returns how many were."""
    os.environ |= {"REDIS_URL": url, "RUNS": runs}
    from bench.celery_app import note  # noqa: PLC0415 - it reads the environment

    note.app.broker_connection().ensure_connection(max_retries=3)
    refused = 0
    started_s = cue.await_go()
    for i in range(_TASKS):
        time.sleep(max(0.0, started_s + seconds * i / _TASKS - time.monotonic()))
        try:
            note.apply_async((i,), retry=False)
        except OperationalError:
            refused += 1
    return refused
