"""A Celery application whose tasks write down that they ran: each run one line in the file RUNS."""

import os
from pathlib import Path
from typing import Any

from celery import Celery  # pyright: ignore[reportMissingTypeStubs]

app: Any = Celery("celery_app", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.broker_connection_retry_on_startup = True


@app.task
def note(number: int) -> int:
    """Add this task's number to the file, in one write."""
    with Path(os.environ["RUNS"]).open("a") as runs:
        runs.write(f"{number}\n")
    return number
