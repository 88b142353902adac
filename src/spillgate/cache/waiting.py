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

from spillgate.cache.forking import register

T = TypeVar("T")

asleep = asyncio.sleep

logger = logging.getLogger("spillgate.cache")

_MOST_AT_ONCE = 4


class Abandoned(Exception):
    """Who did the work was cancelled; somebody else has to."""


class TookTooLong(Exception):
    """The work of another was waited for in vain."""


class AsyncFlight(Generic[T]):
    """One computation under way, and those who wait for it. ``dropped`` tells that its result is out of date."""

    __slots__ = ("_future", "_leader", "dropped")

    def __init__(self) -> None:
        self._future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._leader = asyncio.current_task()
        self.dropped = False

    def mine(self) -> bool:
        """Whether the caller is the one who does it, so that waiting for it would never end."""
        return self._leader is not None and self._leader is asyncio.current_task()

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
            TookTooLong: it takes longer; maybe the caller waits for itself.
        """
        await asyncio.wait((self._future,), timeout=most_s)
        if not self._future.done():
            raise TookTooLong
        return self._future.result()


class AsyncFlights(Generic[T]):
    """The computations under way in this process, by key, and by event loop."""

    def __init__(self) -> None:
        self.forget()
        register(self)

    def forget(self) -> object:
        """Begin anew after a fork: who did the work is not in this process."""
        before = getattr(self, "_flights", None)
        self._flights: dict[tuple[int, str], AsyncFlight[T]] = {}
        return before

    def board(self, key: str, instead: AsyncFlight[T] | None = None) -> tuple[AsyncFlight[T], bool]:
        """The flight for ``key``, and whether the caller leads it: where there is none, or only the one ``instead``."""
        place = (id(asyncio.get_running_loop()), key)
        flight = self._flights.get(place)
        if flight is not None and flight is not instead:
            return flight, False
        flight = self._flights[place] = AsyncFlight()
        return flight, True

    def clear(self, key: str, flight: AsyncFlight[T]) -> None:
        """The ``flight`` for ``key`` is over."""
        with contextlib.suppress(RuntimeError):  # the loop was stopped in the middle of it: nobody asks there any more
            place = (id(asyncio.get_running_loop()), key)
            if self._flights.get(place) is flight:
                del self._flights[place]

    def drop(self, key: str) -> None:
        """What is being computed for ``key`` is out of date: nobody else joins, and it is not to be stored."""
        for place in [place for place in tuple(self._flights) if place[1] == key]:
            flight = self._flights.pop(place, None)
            if flight is not None:
                flight.dropped = True


class AsyncHands:
    """Work in the background: so much at once, the rest is not taken on."""

    def __init__(self) -> None:
        self.forget()
        register(self)

    def forget(self) -> object:
        """Begin anew after a fork: the work is the parent's."""
        before = getattr(self, "_tasks", None)
        self._tasks: set[asyncio.Task[None]] = set()
        return before

    def take(
        self,
        work: Callable[[], Coroutine[Any, Any, object]],
        *,
        always: bool = False,
        then: Callable[[], object] | None = None,
    ) -> bool:
        """Begin ``work`` in the background, if there is a hand free or it is done ``always``; its failure is logged.

        What is to be done ``then`` is done however it ends, also where it is given up before it began.
        """
        if len(self._tasks) >= _MOST_AT_ONCE and not always:
            return False
        task = asyncio.get_running_loop().create_task(self._do(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if then is not None:
            task.add_done_callback(lambda _: then())
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

    __slots__ = ("_future", "_leader", "dropped")

    def __init__(self) -> None:
        self._future: futures.Future[T] = futures.Future()
        self._leader = threading.get_ident()
        self.dropped = False

    def mine(self) -> bool:
        """Whether the caller is the one who does it, so that waiting for it would never end."""
        return self._leader == threading.get_ident()

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
            TookTooLong: it takes longer; maybe the caller waits for itself.
        """
        futures.wait((self._future,), timeout=most_s)
        if not self._future.done():
            raise TookTooLong
        return self._future.result()


class Flights(Generic[T]):
    """As `AsyncFlights`, for threads."""

    def __init__(self) -> None:
        self.forget()
        register(self)

    def forget(self) -> None:
        """Begin anew after a fork: who did the work is not in this process."""
        self._flights: dict[str, Flight[T]] = {}
        self._lock = threading.Lock()

    def board(self, key: str, instead: Flight[T] | None = None) -> tuple[Flight[T], bool]:
        """The flight for ``key``, and whether the caller leads it: where there is none, or only the one ``instead``."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None and flight is not instead:
                return flight, False
            flight = self._flights[key] = Flight()
            return flight, True

    def clear(self, key: str, flight: Flight[T]) -> None:
        """The ``flight`` for ``key`` is over."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def drop(self, key: str) -> None:
        """What is being computed for ``key`` is out of date: nobody else joins, and it is not to be stored."""
        with self._lock:
            flight = self._flights.pop(key, None)
            if flight is not None:
                flight.dropped = True


class Hands:
    """As `AsyncHands`, in daemon threads; work that is under way when the process ends is lost."""

    def __init__(self) -> None:
        self.forget()
        register(self)

    def forget(self) -> None:
        """Begin anew after a fork: the threads are the parent's."""
        self._free = threading.Semaphore(_MOST_AT_ONCE)

    def take(
        self, work: Callable[[], object], *, always: bool = False, then: Callable[[], object] | None = None
    ) -> bool:
        """Begin ``work`` in the background, if there is a hand free or it is done ``always``; its failure is logged.

        What is to be done ``then`` is done however it ends.
        """
        hand = self._free.acquire(blocking=False)
        if not hand and not always:
            return False
        thread = threading.Thread(target=self._do, args=(work, hand, then), name="spillgate-cache", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending, or has no thread left to give
            if hand:
                self._free.release()
            return False
        return True

    def close(self) -> None:
        """Nothing to do: work that was begun goes on, and ends by itself or with the process."""

    def _do(
        self,
        work: Callable[[], object],
        hand: bool,  # noqa: FBT001 (its own thread's argument)
        then: Callable[[], object] | None,
    ) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (nobody is there to catch it)
            logger.warning("work in the background failed: %s: %s", type(error).__name__, error)
        finally:
            if then is not None:
                then()
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
    "TookTooLong",
    "asleep",
    "logger",
    "sleep",
]
