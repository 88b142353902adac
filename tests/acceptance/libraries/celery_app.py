# pyright: basic
"""A Celery application with its broker and results on the server in REDIS_URL: run as a program, it does all its work.

Plain, prioritised, delayed, retried, revoked and failing tasks, a group and a chord, beside a monitor that receives the
worker's events and a remote control that asks it for answers.
"""

import os
import subprocess
import sys
import threading

from celery import Celery, Task, chord, group

URL = os.environ["REDIS_URL"]
app = Celery("celery_app", broker=URL, backend=URL)
app.conf.worker_send_task_events = True
app.conf.broker_connection_retry_on_startup = True


@app.task
def add(x: int, y: int) -> int:
    """Add."""
    return x + y


@app.task
def total(numbers: list[int]) -> int:
    """Sum up."""
    return sum(numbers)


@app.task(bind=True, max_retries=1)
def flaky(self: Task) -> str:
    """Fail the first time."""
    if not self.request.retries:
        raise self.retry(countdown=0.1)
    return "done"


@app.task
def broken() -> None:
    """Fail always."""
    raise ValueError


def watch(stop: threading.Event) -> None:
    """Receive the worker's events, as monitors do."""
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": lambda _: None})
        while not stop.is_set():
            try:
                receiver.capture(limit=None, timeout=0.2, wakeup=False)
            except TimeoutError:
                continue


def main() -> None:
    """Enqueue, work, and return when everything is done."""
    add.delay(0, 0)
    urgent = add.apply_async((1, 1), priority=9)
    low = add.apply_async((1, 1), priority=0)
    add.apply_async((1, 1), countdown=600)  # stays unacknowledged
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-P", "threads", "-c", "2", "-l", "WARNING"],
        cwd=os.path.dirname(__file__),  # noqa: PTH120 (as celery's own -A needs it)
    )
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(stop,))
    watcher.start()
    try:
        assert (urgent.get(timeout=30), low.get(timeout=30)) == (2, 2)
        assert flaky.delay().get(timeout=30) == "done"
        assert isinstance(broken.delay().get(timeout=30, propagate=False), ValueError)
        assert group(add.s(n, n) for n in range(5))().get(timeout=30) == [0, 2, 4, 6, 8]
        assert chord(add.s(n, n) for n in range(5))(total.s()).get(timeout=30) == 20
        assert app.control.inspect(timeout=2).ping()
        add.apply_async((1, 1), countdown=600).revoke()
        assert app.control.broadcast("report", reply=True, timeout=2)
    finally:
        stop.set()
        watcher.join()
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main()
