# pyright: basic
"""An RQ application with its queues on the server in REDIS_URL: run as a program, it does all its work.

Plain, dependent, scheduled, retried, repeated, failing and cancelled jobs, a group, and a worker with its scheduler.
"""

import operator
import os
from datetime import timedelta

from redis import Redis
from rq import Queue, Repeat, Retry, SimpleWorker
from rq.group import Group


def main() -> None:
    """Enqueue, work, and return when everything is done."""
    with Redis.from_url(os.environ["REDIS_URL"]) as connection:
        queue = Queue(connection=connection)
        first = queue.enqueue(operator.add, 1, 2)
        second = queue.enqueue(operator.add, 3, 4, depends_on=first)
        queue.enqueue(operator.truediv, 1, 0, retry=Retry(max=2))
        queue.enqueue(operator.truediv, 1, 0, retry=Retry(max=2, interval=60))
        queue.enqueue(operator.add, 5, 6, repeat=Repeat(times=1, interval=60))
        queue.enqueue_in(timedelta(hours=1), operator.add, 7, 8)
        queue.enqueue(operator.add, 9, 10).cancel()
        Group.create(connection).enqueue_many(
            queue, [Queue.prepare_data(operator.add, (1, 1)), Queue.prepare_data(operator.add, (2, 2))]
        )
        SimpleWorker([queue], connection=connection).work(burst=True, with_scheduler=True)
        assert (first.return_value(), second.return_value()) == (3, 7)


if __name__ == "__main__":
    main()
