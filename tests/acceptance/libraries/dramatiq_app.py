# pyright: basic
"""A Dramatiq application with its broker on the server in REDIS_URL: run as a program, it does all its work.

Plain, delayed, retried and dead messages, and stored results under their readable names.
"""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

URL = os.environ["REDIS_URL"]
broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL, use_namespace_prefix_keys=True), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor
def add(x: int, y: int) -> int:
    """Add."""
    return x + y


@dramatiq.actor(max_retries=1, min_backoff=50, max_backoff=50)
def broken() -> None:
    """Fail always: tried twice, then dead."""
    raise ValueError


def main() -> None:
    """Enqueue, work, and return when everything is done."""
    messages = [add.send(n, n) for n in range(5)]
    add.send_with_options(args=(1, 1), delay=100)
    broken.send()
    worker = dramatiq.Worker(broker, worker_threads=2)
    worker.start()
    try:
        assert [message.get_result(block=True, timeout=30_000) for message in messages] == [0, 2, 4, 6, 8]
        broker.join("default", timeout=30_000)
    finally:
        worker.stop()
        broker.close()


if __name__ == "__main__":
    main()
