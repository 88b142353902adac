# pyright: basic
"""A BullMQ application with its queue on the server in REDIS_URL: run as a program, it does all its work.

Plain, prioritised, delayed, retried and failing jobs, a flow of a parent and its child, and a repeating scheduler.
"""

import asyncio
import os
from typing import Any, cast

from bullmq import FlowProducer, Job, Queue, Worker

OPTIONS: Any = {"connection": os.environ["REDIS_URL"]}


async def work(job: Job, _token: str) -> int:
    """Double the number, or fail."""
    if job.name == "broken":
        raise ValueError
    return job.data["number"] * 2


async def main() -> None:
    """Enqueue, work, and return when everything is done."""
    queue, flows = Queue("numbers", OPTIONS), FlowProducer(OPTIONS)
    await queue.add("plain", {"number": 1})
    await queue.add("urgent", {"number": 2}, {"priority": 1})
    await queue.add("later", {"number": 3}, {"delay": 100})
    await queue.add("much later", {"number": 4}, {"delay": 600_000})
    await queue.add("broken", {"number": 5}, {"attempts": 2})
    await flows.add(
        {
            "name": "parent",
            "queueName": "numbers",
            "data": {"number": 6},
            "children": [{"name": "child", "queueName": "numbers", "data": {"number": 7}}],
        }
    )
    await queue.upsertJobScheduler("nightly", {"pattern": "0 3 * * *"}, "nightly", {"number": 8})
    done = asyncio.Queue()
    worker = Worker("numbers", cast("Any", work), OPTIONS)
    worker.on("completed", lambda job, _result: done.put_nowait(job.name))
    worker.on("failed", lambda job, _error: done.put_nowait(job.name))
    expected = ["broken", "broken", "child", "later", "parent", "plain", "urgent"]
    async with asyncio.timeout(30):
        assert sorted([await done.get() for _ in expected]) == expected
    await worker.close()
    await queue.close()
    await flows.close()


if __name__ == "__main__":
    asyncio.run(main())
