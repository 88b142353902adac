"""Waiting for others, and leaving work to others: the same for tasks and for threads, by their own means.

What is generated from ``_async`` finds each class here without its ``Async``, and `asleep` as `sleep`.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from time import sleep
from typing import Any, Generic, TypeVar

T = TypeVar("T")

asleep = asyncio.sleep

logger = logging.getLogger("spillgate.cache")

_MOST_AT_ONCE = 4


class Abandoned(Exception):
    """Who did the work was cancelled; somebody else has to."""


class AsyncFlight(Generic[T]):
    """One computation under way, and those who wait for it; ``leads`` tells who does it."""

    __slots__ = ("_future", "leads")

    def __init__(self, future: "asyncio.Future[T]", *, leads: bool) -> None:
        self._future = future
        self.leads = leads

    def land(self, value: T) -> None:
        """Give all who wait the value."""
        if not self._future.done():
            self._future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Let all who wait fail likewise, or try for themselves where the work was only given up."""
        if not self._future.done():
            self._future.set_exception(error if isinstance(error, Exception) else Abandoned())
            self._future.exception()  # nobody may be waiting, which is no reason to warn

    async def result(self, most_s: float) -> T:
        """Wait for the value, for ``most_s`` seconds.

        Raises:
            Abandoned: the work was given up.
            TimeoutError: it takes longer; maybe the caller waits for itself.
        """
        return await asyncio.wait_for(asyncio.shield(self._future), most_s)


class AsyncFlights(Generic[T]):
    """The computations under way in this process, by key, and by event loop."""

    def __init__(self) -> None:
        self._futures: dict[tuple[int, str], asyncio.Future[T]] = {}

    def board(self, key: str) -> AsyncFlight[T]:
        """The flight for ``key``; whoever finds none leads a new one."""
        loop = asyncio.get_running_loop()
        place = (id(loop), key)
        future = self._futures.get(place)
        if future is not None:
            return AsyncFlight(future, leads=False)
        future = self._futures[place] = loop.create_future()
        return AsyncFlight(future, leads=True)

    def clear(self, key: str) -> None:
        """The flight for ``key`` is over."""
        with contextlib.suppress(RuntimeError):  # the loop was stopped in the middle of it: nobody asks there any more
            self._futures.pop((id(asyncio.get_running_loop()), key), None)


class AsyncHands:
    """Work in the background: so much at once, the rest is not taken on."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, work: Callable[[], Coroutine[Any, Any, object]], *, always: bool = False) -> bool:
        """Begin ``work`` in the background, if there is a hand free or it is done ``always``; its failure is logged."""
        if len(self._tasks) >= _MOST_AT_ONCE and not always:
            return False
        task = asyncio.get_running_loop().create_task(self._do(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def aclose(self) -> None:
        """Give up what is not done."""
        loop = asyncio.get_running_loop()
        mine = [task for task in self._tasks if task.get_loop() is loop]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    @staticmethod
    async def _do(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 (nobody is there to catch it)
            logger.warning("work in the background failed: %s: %s", type(error).__name__, error)


class AsyncAside:
    """Work that takes the processor for long, where it is in nobody's way."""

    @staticmethod
    async def do(work: Callable[[], T]) -> T:
        """Do it in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(work)


class Flight(Generic[T]):
    """As `AsyncFlight`."""

    __slots__ = ("_future", "leads")

    def __init__(self, future: "futures.Future[T]", *, leads: bool) -> None:
        self._future = future
        self.leads = leads

    def land(self, value: T) -> None:
        """Give all who wait the value."""
        if not self._future.done():
            self._future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Let all who wait fail likewise, or try for themselves where the work was only given up."""
        if not self._future.done():
            self._future.set_exception(error if isinstance(error, Exception) else Abandoned())

    def result(self, most_s: float) -> T:
        """Wait for the value, for ``most_s`` seconds.

        Raises:
            Abandoned: the work was given up.
            TimeoutError: it takes longer; maybe the caller waits for itself.
        """
        return self._future.result(most_s)


class Flights(Generic[T]):
    """As `AsyncFlights`, for threads."""

    def __init__(self) -> None:
        self._futures: dict[str, futures.Future[T]] = {}
        self._lock = threading.Lock()

    def board(self, key: str) -> Flight[T]:
        """The flight for ``key``; whoever finds none leads a new one."""
        with self._lock:
            future = self._futures.get(key)
            if future is not None:
                return Flight(future, leads=False)
            future = self._futures[key] = futures.Future()
            return Flight(future, leads=True)

    def clear(self, key: str) -> None:
        """The flight for ``key`` is over."""
        with self._lock:
            self._futures.pop(key, None)


class Hands:
    """As `AsyncHands`, in daemon threads; work that is under way when the process ends is lost."""

    def __init__(self) -> None:
        self._free = threading.Semaphore(_MOST_AT_ONCE)

    def take(self, work: Callable[[], object], *, always: bool = False) -> bool:
        """Begin ``work`` in the background, if there is a hand free or it is done ``always``; its failure is logged."""
        hand = self._free.acquire(blocking=False)
        if not hand and not always:
            return False
        thread = threading.Thread(target=self._do, args=(work, hand), name="spillgate-cache", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending, or has no thread left to give
            if hand:
                self._free.release()
            return False
        return True

    def close(self) -> None:
        """Nothing to do: each work ends by itself."""

    def _do(self, work: Callable[[], object], hand: bool) -> None:  # noqa: FBT001 (its own thread's argument)
        try:
            work()
        except Exception as error:  # noqa: BLE001 (nobody is there to catch it)
            logger.warning("work in the background failed: %s: %s", type(error).__name__, error)
        finally:
            if hand:
                self._free.release()


class Aside:
    """As `AsyncAside`, for threads."""

    @staticmethod
    def do(work: Callable[[], T]) -> T:
        """Do it: this thread is in nobody's way."""
        return work()


__all__ = [
    "Abandoned",
    "Aside",
    "AsyncAside",
    "AsyncFlight",
    "AsyncFlights",
    "AsyncHands",
    "Flight",
    "Flights",
    "Hands",
    "asleep",
    "logger",
    "sleep",
]
