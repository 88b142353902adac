"""A Celery application on the flooded server: its worker, and the producer that fills its queue meanwhile."""

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.actors import Cue
from bench.spillgate_run import REFERENCE_POLICY, ROOT

TASKS = 2000
_WORKER = ("-m", "celery", "-A", "bench.celery_app", "worker", "-P", "threads", "-c", "2", "-l", "WARNING")
_DRAIN_S = 60.0
_STOP_S = 20.0


def policy_with_celery(folder: Path) -> Path:
    """The reference policy with the preset of Celery."""
    path = folder / "spillgate.toml"
    path.write_text('presets = ["celery"]\n' + REFERENCE_POLICY.read_text())
    return path


@contextlib.contextmanager
def worker(url: str, runs: Path) -> Iterator[None]:
    """A real Celery worker, ready for tasks."""
    runs.touch()
    environment = os.environ | {"REDIS_URL": url, "RUNS": str(runs)}
    process = subprocess.Popen(
        [sys.executable, *_WORKER], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class Queued:
    """What the producer did: tasks queued, and how many the server refused."""

    queued: int
    refused: int


def queue_tasks(cue: Cue, url: str, runs: str, seconds: float) -> Queued:
    """Queue 2,000 tasks, evenly over ``seconds``; a refused one is not tried again."""
    os.environ |= {"REDIS_URL": url, "RUNS": runs}
    from bench.celery_app import note

    with note.app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=3)
        refused = 0
        started_s = cue.await_go()
        for i in range(TASKS):
            time.sleep(max(0.0, started_s + seconds * i / TASKS - time.monotonic()))
            try:
                note.apply_async((i,), connection=connection, retry=False)
            except (redis.RedisError, note.app.connection_for_write().transport.connection_errors):
                refused += 1
    return Queued(TASKS - refused, refused)


def runs_of(path: Path) -> Counter[int]:
    """How often each task has run."""
    return Counter(int(line) for line in path.read_text().splitlines())


def await_runs(path: Path, wanted: int) -> Counter[int]:
    """The runs when all are done, or when nothing has changed for a while, some time later than needed."""
    deadline = time.monotonic() + _DRAIN_S
    while len(runs_of(path)) < wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1.0)  # for a task that would be run twice
    return runs_of(path)
