"""Values that are computed when they are missing: once, however many want them."""

import math
import random
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from time import monotonic
from types import MethodType
from typing import Any, Concatenate, Final, Generic, NamedTuple, ParamSpec, Self, TypeVar, cast, overload

from spillgate.cache._async.space import AsyncSpace
from spillgate.cache._async.store import AsyncStore
from spillgate.cache._async.values import MISSING
from spillgate.cache.codec import ForeignReader, cost_of
from spillgate.cache.counters import Event
from spillgate.cache.lifetime import Ttl, seconds_of
from spillgate.cache.lock import Lock
from spillgate.cache.template import KeyTemplate
from spillgate.cache.track import HIT
from spillgate.cache.waiting import Abandoned, AsyncFlight, AsyncFlights, TookTooLong, asleep
from spillgate.cache.wire import Reply, failed
from spillgate.errors import ServerError, ValueRefused

T = TypeVar("T")
P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")

# Who waits for another process looks for its result this often, more seldom the longer it takes.
_FIRST_LOOK_S: Final = 0.004
_LAST_LOOK_S: Final = 0.1
_LOOK_GROWTH: Final = 1.5
# After a refresh that failed the value that is there is served for so long before the next is tried.
_PAUSE_S: Final = 1.0
# -log(1 - x) of the largest x below 1.
_MOST_CHANCE: Final = 37


class AsyncWish(NamedTuple, Generic[T]):
    """A value that a caller wants: its key, what computes it, and how long it is kept."""

    key: str
    compute: Callable[[], Awaitable[T]]
    ttl_s: float | None = None
    stale_s: float = 0.0


class _Found(NamedTuple):
    """A value in the cache, how it is stored, how long it is fresh (below 0: stale), how long it took to compute."""

    value: Any
    data: bytes
    fresh_s: float
    cost_s: float | None


class _Made(NamedTuple):
    """A value for all who wait for it, and how it is stored, if it can be: so that each makes a copy of his own."""

    value: Any
    data: bytes | None


class AsyncNamespace(AsyncStore[T]):
    """The values of one namespace, and functions that compute them."""

    def __init__(self, space: AsyncSpace, type_: Any, foreign: ForeignReader | None) -> None:
        super().__init__(space, type_, foreign)
        self._flights: AsyncFlights[_Made] = AsyncFlights()
        self._last_cost_s: float | None = None

    async def get_or_set(
        self, key: str, compute: Callable[[], Awaitable[T]], ttl: Ttl | None = None, *, stale: Ttl | None = None
    ) -> T:
        """The value of ``key``, computed and stored where there is none.

        It is computed once, however many callers want it at the same time in however many processes, by a lock that
        lasts ``lock`` of the [cache] table; the others wait for the result and hold no connection meanwhile. The nearer
        a value is to its end, and the longer it takes to compute, the likelier a caller computes it anew before it is
        gone (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015).

        With ``stale`` it is kept for so much longer than its TTL, and served while one caller refreshes it in the
        background. What ``compute`` raises is raised for all who wait. A value that may not be stored is returned all
        the same, and counted.
        """
        return await self._wanted(AsyncWish(key, compute, seconds_of(ttl), seconds_of(stale) or 0.0))

    @overload
    def cached(
        self, key: str, *, ttl: Ttl | None = ..., stale: Ttl | None = ...
    ) -> "Callable[[Callable[P, Awaitable[T]]], AsyncCached[P, T]]": ...
    @overload
    def cached(
        self, key: Callable[P, str], *, ttl: Ttl | None = ..., stale: Ttl | None = ...
    ) -> "Callable[[Callable[P, Awaitable[T]]], AsyncCached[P, T]]": ...
    def cached(
        self, key: str | Callable[..., str], *, ttl: Ttl | None = None, stale: Ttl | None = None
    ) -> "Callable[[Callable[P, Awaitable[T]]], AsyncCached[P, T]]":
        """A decorator for functions that compute the namespace's values: ``@messages.cached("user:{user_id}")``.

        ``key`` names parameters of the function in braces, or is a function of the same parameters. The rest is as of
        `get_or_set`.

        Raises:
            ConfigError: ``key`` names what is no parameter.
        """
        ttl_s, stale_s = seconds_of(ttl), seconds_of(stale) or 0.0

        def decorate(function: Callable[P, Awaitable[T]]) -> AsyncCached[P, T]:
            return AsyncCached(self, function, key if callable(key) else KeyTemplate(key, function), ttl_s, stale_s)

        return decorate

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Delete several values; how many there were. What is being computed in this process is not stored for them.

        Where the server fails it is made up for as soon as that answers again, by this process.
        """
        wanted = list(keys)
        # First, so that what is stored until then is deleted too.
        for key in wanted:
            self._flights.drop(self._space.keys.value(self._space.generation, key))
        return await super().delete_many(wanted)

    async def _wanted(self, wish: AsyncWish[T]) -> T:
        instead: AsyncFlight[_Made] | None = None
        while True:
            work: Callable[[AsyncFlight[_Made], AsyncWish[T]], Awaitable[_Made]] = self._computed
            generation, found = self._space.generation, None
            try:
                generation, found = await self._find(wish)
            except ServerError as error:
                self._dropped(error)
                work = self._computed_alone
            if found is not None:
                return await self._served(found, generation, wish)
            name = self._space.keys.value(generation, wish.key)
            flight, leads = self._flights.board(name, instead)
            if leads:
                return (await self._flown(flight, name, partial(work, flight, wish))).value
            if flight.mine():
                return (await self._compute(_Place(wish, None, None))).value  # a function that wants its own result
            try:
                made = await flight.result(self._space.lock_s)
            except Abandoned:
                continue
            except TookTooLong:
                instead = flight  # the first who says so leads anew, and all others wait for him
                continue
            self._count(Event.SHARED)
            self._track.read(wish.key, HIT)
            copy: Any = MISSING if made.data is None else await self._decoded(made.data)
            return made.value if copy is MISSING else copy

    async def _flown(self, flight: AsyncFlight[_Made], name: str, work: Callable[[], Awaitable[_Made]]) -> _Made:
        """The outcome of ``work`` for the key of this name, also for all who wait for it."""
        try:
            made = await work()
        except BaseException as error:
            flight.fail(error)
            raise
        else:
            flight.land(made)
            return made
        finally:
            self._flights.clear(name, flight)

    async def _find(self, wish: AsyncWish[T]) -> tuple[int, _Found | None]:
        """The generation, and what the cache has; a miss is counted by who computes the value.

        Raises:
            ServerError: the server failed.
        """
        more = (_left, partial(self._renewal, ttl_s=wish.ttl_s, stale_s=wish.stale_s)) if self._sliding else (_left,)
        generation, (data, left_ms, *_) = await self._space.read(wish.key, *more)
        return generation, await self._found(data, left_ms, wish)

    async def _found(self, data: Reply, left_ms: Reply, wish: AsyncWish[T]) -> _Found | None:
        if data is None or (value := await self._decoded(data)) is MISSING:
            return None
        return _Found(value, data, self._space.fresh_s(left_ms, wish.ttl_s, wish.stale_s), cost_of(data))

    async def _served(self, found: _Found, generation: int, wish: AsyncWish[T]) -> T:
        """A value that was there; it may be time to compute it anew."""
        self._count(Event.HIT if found.fresh_s > 0 else Event.STALE)
        self._track.read(wish.key, len(found.data))
        cost_s = self._last_cost_s if found.cost_s is None else found.cost_s
        if not is_due(found.fresh_s, cost_s):
            return found.value
        name = self._space.keys.value(generation, wish.key)
        flight, leads = self._flights.board(name)
        if not leads:
            return found.value
        refresh = partial(self._flown, flight, name, partial(self._refreshed, flight, generation, wish))
        if wish.stale_s:

            def over() -> None:
                self._flights.clear(name, flight)
                flight.fail(Abandoned())

            if not self._space.hands.take(partial(self._tried, refresh, wish), then=over):
                over()
            return found.value
        made = await self._tried(refresh, wish)
        return found.value if made is None else made.value

    async def _tried(self, refresh: Callable[[], Awaitable[_Made]], wish: AsyncWish[T]) -> _Made | None:
        """What a refresh gives; None where another process is at it, or it fails: there is a value yet."""
        try:
            return await refresh()
        except Abandoned:
            pass
        except Exception as error:  # noqa: BLE001 (whatever the function raises)
            self._count(Event.REFRESH_FAILED)
            what = f"{self.name}: {wish.key!r} could not be computed anew: {type(error).__name__}: {error}"
            self._space.client.complain(what, f"{self.name} refresh")
        return None

    async def _refreshed(self, flight: AsyncFlight[_Made], generation: int, wish: AsyncWish[T]) -> _Made:
        """The value computed anew.

        Raises:
            Abandoned: another process is at it.
        """
        space = self._space
        lock = Lock(space.keys.lock(space.keys.value(generation, wish.key)), space.lock_s)
        try:
            (reply,) = await space.take(lock)
        except ServerError as error:
            raise Abandoned from error
        if not lock.taken(reply):
            raise Abandoned
        try:
            made = await self._compute(_Place(wish, flight, generation, lock))
        except Exception:
            await self._send(lock.shorten(_PAUSE_S))  # there is a value: nobody has to try again at once
            raise
        finally:
            await self._send(lock.release())
        self._count(Event.REFRESH)
        return made

    async def _computed(self, flight: AsyncFlight[_Made], wish: AsyncWish[T]) -> _Made:
        """The missing value, computed here under the lock of all processes, or by who has that."""
        space = self._space
        deadline_s, pause_s = monotonic() + space.lock_s, _FIRST_LOOK_S
        generation, lock = space.generation, None
        while monotonic() < deadline_s:
            try:
                generation, lock, (locked, data, left_ms) = await space.read_locked(wish.key)
            except ServerError as error:
                self._dropped(error)
                return await self._computed_alone(flight, wish)
            taken = lock.taken(locked)
            found = await self._found(data, left_ms, wish)
            if found is not None:
                await self._send(lock.release())
                self._count(Event.SHARED)
                self._track.read(wish.key, len(found.data))
                return _Made(found.value, found.data)
            if taken or failed(locked):
                break  # where the server has no room for a lock, computing twice is better than never
            await asleep(pause_s * random.uniform(0.7, 1.3))
            pause_s = min(_LAST_LOOK_S, pause_s * _LOOK_GROWTH)
        self._count(Event.MISS)
        self._track.read(wish.key, 0)
        try:
            return await self._compute(_Place(wish, flight, generation, lock))
        finally:
            if lock is not None:
                await self._send(lock.release())

    async def _computed_alone(self, flight: AsyncFlight[_Made], wish: AsyncWish[T]) -> _Made:
        """The missing value, computed and not stored: who has waited for the server in vain does not wait again."""
        self._count(Event.MISS)
        made = await self._compute(_Place(wish, flight, None))
        self._count(Event.DROP)
        return made

    async def _renewed(self, wish: AsyncWish[T]) -> T:
        """The value computed now, and stored."""
        generation: int | None = None
        try:
            generation = await self._space.learn()
        except ServerError as error:
            self._dropped(error)
        return (await self._compute(_Place(wish, None, generation))).value

    async def _compute(self, place: "_Place[T]") -> _Made:
        """Compute a value, and store it where it belongs."""
        wish, lock = place.wish, place.lock
        started_s = monotonic()
        value = await wish.compute()
        cost_s = self._last_cost_s = monotonic() - started_s
        self._count(Event.COMPUTE)
        self._count(Event.COMPUTE_SECONDS, cost_s)
        try:
            encoded = self._encoded(value, cost_s)
        except ValueRefused as error:
            what = f"{self.name}: the value of {wish.key!r} was computed and not stored: {error}"
            self._space.client.complain(what, f"{self.name} refused")
            return _Made(value, None)
        if place.generation is not None and not (place.flight is not None and place.flight.dropped):
            release = lock.release() if lock is not None else ()
            await self._write({wish.key: encoded}, wish.ttl_s, wish.stale_s, release, place.generation, cost_s=cost_s)
        # Read back, so that a caller gets the same of a miss as of a hit.
        return _Made(self._read_back(value, encoded), encoded.data)


class _Place(NamedTuple, Generic[T]):
    """Where a computed value belongs: whose wish it was, for which generation (None: nowhere), under which lock."""

    wish: AsyncWish[T]
    flight: AsyncFlight[_Made] | None
    generation: int | None
    lock: Lock | None = None


class AsyncCached(Generic[P, T]):
    """A function whose results are cached; it is called as before."""

    def __init__(
        self,
        namespace: AsyncNamespace[T],
        function: Callable[P, Awaitable[T]],
        key: Callable[P, str],
        ttl_s: float | None,
        stale_s: float,
    ) -> None:
        self.key = key
        """The key of a call, by the call's arguments."""
        self._namespace = namespace
        self._ttl_s = ttl_s
        self._stale_s = stale_s
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type | None = ...) -> Self: ...
    @overload
    def __get__(
        self: "AsyncCached[Concatenate[S, Q], T]", instance: S, owner: type | None = ...
    ) -> "AsyncCached[Q, T]": ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """The method of an instance, for a function defined in a class."""
        if instance is None:
            return self
        function, key = MethodType(self.__wrapped__, instance), cast("Any", partial(self.key, instance))
        return AsyncCached(self._namespace, function, key, self._ttl_s, self._stale_s)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, from the cache where it is there."""
        return await self._namespace._wanted(self._wish(*args, **kwargs))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result for these arguments; whether there was one."""
        return await self._namespace.delete(self.key(*args, **kwargs))

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Compute the result for these arguments now, and store it."""
        return await self._namespace._renewed(self._wish(*args, **kwargs))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def _wish(self, *args: P.args, **kwargs: P.kwargs) -> AsyncWish[T]:
        function = self.__wrapped__
        return AsyncWish(self.key(*args, **kwargs), lambda: function(*args, **kwargs), self._ttl_s, self._stale_s)


def _left(name: str) -> tuple[str, str]:
    return ("PTTL", name)


def is_due(fresh_s: float, cost_s: float | None, chance: Callable[[], float] = random.random) -> bool:
    """Whether a value is to be computed anew: it is stale, or by chance so near its end that it soon will be.

    ``chance`` gives a number from 0 to below 1.
    """
    if fresh_s <= 0:
        return True
    if cost_s is None or fresh_s > cost_s * _MOST_CHANCE:
        return False
    return -cost_s * math.log(1 - chance()) >= fresh_s
