"""The values of one namespace, by key."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import compress, islice
from typing import Any, Final, TypeVar, overload

from spillgate.cache._async.client import Command
from spillgate.cache._async.values import MISSING, AsyncValues
from spillgate.cache.codec import Encoded
from spillgate.cache.counters import Event
from spillgate.cache.lifetime import Ttl, seconds_of
from spillgate.cache.track import HIT
from spillgate.cache.wire import Reply, failed
from spillgate.errors import ServerError, ValueRefused

T = TypeVar("T")
D = TypeVar("D")

# So many keys go to the server in one exchange; the time limit is for each of those.
_BATCH: Final = 500
_INT64: Final = 1 << 63
_ENVELOPE_BYTES: Final = 5


class AsyncStore(AsyncValues[T]):
    """Reads and writes values of type ``T``.

    Nothing here fails because the server does, but `add`, `incr` and `clear`, which would have to lie: a value that
    cannot be had is a miss, one that cannot be stored is dropped, and both are counted.
    """

    @overload
    async def get(self, key: str) -> T | None: ...
    @overload
    async def get(self, key: str, default: D) -> T | D: ...
    async def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, or ``default``."""
        try:
            if self._sliding:
                _, (data, _) = await self._space.read(key, self._renewal)
            else:
                _, (data,) = await self._space.read(key)
        except ServerError as error:
            self._dropped(error)
            self._count(Event.MISS)
            return default
        if data is None or (value := await self._decoded(data)) is MISSING:
            self._count(Event.MISS)
            self._track.read(key, 0)
            return default
        self._count(Event.HIT)
        self._track.read(key, len(data))
        return value

    async def get_many(self, keys: Iterable[str]) -> dict[str, T]:
        """The values of those of the keys that have one."""
        found: dict[str, T] = {}
        more = (self._renewal,) if self._sliding else ()
        for batch in batches(dict.fromkeys(keys)):
            try:
                stored, _ = await self._space.read_many(batch, *more)
            except ServerError as error:
                self._dropped(error, len(batch))
                self._count(Event.MISS, len(batch))
                continue
            before = len(found)
            sizes: list[int] = []
            for key, data in zip(batch, stored, strict=True):
                if data is None or (value := await self._decoded(data)) is MISSING:
                    sizes.append(0)
                else:
                    found[key] = value
                    sizes.append(len(data))
            self._track.read_many(batch, sizes)
            hits = len(found) - before
            self._count(Event.HIT, hits)
            self._count(Event.MISS, len(batch) - hits)
        return found

    async def set(self, key: str, value: T, ttl: Ttl | None = None) -> bool:
        """Store a value, for the namespace's TTL or for ``ttl`` within its bounds; whether it was stored.

        Raises:
            ValueTooLarge: it takes more than ``max_value``.
            ValueRefused: it is binary, a file, or cannot be written.
        """
        return not await self._write({key: self._encoded(value)}, seconds_of(ttl))

    async def set_many(self, values: Mapping[str, T], ttl: Ttl | None = None) -> list[str]:
        """Store several values as `set` does; the keys of those that were not stored."""
        lost: list[str] = []
        ttl_s = seconds_of(ttl)
        for batch in batches(values):
            lost += await self._write({key: self._encoded(values[key]) for key in batch}, ttl_s)
        return lost

    async def delete(self, key: str) -> bool:
        """Delete a value; whether there was one."""
        return await self.delete_many((key,)) == 1

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Delete several values; how many there were.

        Where the server fails it is made up for as soon as that answers again, by this process.
        """
        deleted = 0
        for batch in batches(dict.fromkeys(keys)):
            replies = await self._unlinked(batch)
            deleted += sum(replies)
            for key in compress(batch, replies):
                self._track.delete(key)
        self._count(Event.DELETE, deleted)
        return deleted

    async def exists(self, key: str) -> bool:
        """Whether there is a value."""
        (found,) = await self._ask((key,), lambda name: (("EXISTS", name),), 0)
        return found == 1

    async def ttl(self, key: str) -> float | None:
        """The seconds until a value expires; None where there is none, or it cannot be told."""
        (left_ms,) = await self._ask((key,), lambda name: (("PTTL", name),), -2)
        return left_ms / 1000 if left_ms >= 0 else None

    async def touch(self, key: str, ttl: Ttl | None = None) -> bool:
        """Give a value a new TTL, as if it was stored now; whether there was one."""
        ttl_ms = self._space.ttl_ms(seconds_of(ttl))
        renewed, head = await self._ask(
            (key,), lambda name: (("PEXPIRE", name, ttl_ms), ("GETRANGE", name, 0, _ENVELOPE_BYTES - 1)), 0, 2
        )
        if renewed == 1 and isinstance(head, bytes):
            await self._keep_dictionary(head)
            self._track.renew(key)
        return renewed == 1

    async def add(self, key: str, value: T, ttl: Ttl | None = None) -> bool:
        """Store a value unless there is one; whether it was stored. Never shed.

        Raises:
            ServerError: whether there is one cannot be told, or it could not be stored.
            ValueRefused: as of `set`.
        """
        encoded = self._encoded(value)
        ttl_ms = self._space.ttl_ms(seconds_of(ttl))
        (reply,) = await self._space.change(
            (key,), lambda _, name: (("SET", name, encoded.data, "PX", ttl_ms, "NX"),), repeatable=False
        )
        await self._raise_for(reply)
        if reply is None:
            self._track.read(key, HIT)
            return False
        self._stored((encoded,))
        self._track.read(key, 0)
        self._track.write(key, len(encoded.data))
        return True

    async def incr(self, key: str, delta: int = 1, ttl: Ttl | None = None) -> int:
        """Add to an int and return the sum; where there is none it starts from 0, with a TTL. Never shed.

        Raises:
            ServerError: it cannot be counted on.
            ValueRefused: what is there is no int, or the sum would have more than 64 bits.
        """
        if not -_INT64 <= delta < _INT64:
            raise ValueRefused(f"{self.name}: {delta} has more than 64 bits, so it cannot be added")
        ttl_ms = self._space.ttl_ms(seconds_of(ttl))
        replies = await self._space.change(
            (key,),
            lambda _, name: (("SET", name, 0, "PX", ttl_ms, "NX"), ("INCRBY", name, delta), ("PTTL", name)),
            repeatable=False,
        )
        made, total, left_ms = replies
        if left_ms == -1:  # it expired between the two commands, or only the first of them was refused
            await self._space.change((key,), lambda _, name: (("PEXPIRE", name, ttl_ms),))
        await self._raise_for(made)
        if failed(total) and any(words in str(total) for words in ("not an integer", "WRONGTYPE", "overflow")):
            raise ValueRefused(f"{self.name}: to the value of {key!r} {delta} cannot be added: {total}")
        await self._raise_for(total)
        if made is None:
            self._track.read(key, HIT)
        else:
            self._track.read(key, 0)
            self._track.write(key, len(str(total)))
        return total

    async def clear(self, *, wait: bool = False) -> None:
        """Make all values of the namespace unreachable, for everybody and at once, however many there are.

        What they take is freed in the background. A script that ends soon should ``wait`` for that, else it is left to
        any other process that uses the namespace.

        Raises:
            ServerError: the server failed, so they may still be reachable.
        """
        await self._space.next_generation(wait=wait)

    # What the parts above share

    async def _write(
        self,
        values: Mapping[str, Encoded],
        ttl_s: float | None,
        stale_s: float = 0.0,
        then: Sequence[Command] = (),
        pinned: int | None = None,
        *,
        cost_s: float | None = None,
    ) -> list[str]:
        """Store what is encoded, and send what comes ``then``; the keys of what was not stored.

        What cannot be stored takes the value that it was to replace along: nobody shall take that for the new one. With
        the generation ``pinned`` it was computed from the same, and that stays.
        """
        if await self._sheds():
            self._count(Event.SHED, len(values))
            self._noted(values, cost_s)
            if pinned is None:
                await self._unlinked(list(values))
            await self._send(then)
            return list(values)

        ttls_ms = self._space.ttls_ms(ttl_s, stale_s)

        def make(key: str, name: str) -> tuple[Command, ...]:
            return (("SET", name, values[key].data, "PX", next(ttls_ms)),)

        try:
            replies = await self._space.change(tuple(values), make, then, pinned=pinned)
        except ServerError as error:
            self._dropped(error, len(values))
            if pinned is None:
                self._space.owe(values, all_of_them=False)
            return list(values)
        self._noted(values, cost_s)
        if not any(map(failed, replies)):
            self._stored(values.values())
            return []
        lost: list[str] = []
        kept: list[Encoded] = []
        for (key, encoded), reply in zip(values.items(), replies, strict=False):
            if failed(reply):
                await self._refused(reply)
                lost.append(key)
            else:
                kept.append(encoded)
        if lost and pinned is None:
            await self._unlinked(lost)
        self._stored(kept)
        return lost

    async def _sheds(self) -> bool:
        """Whether writes are shed now. Who sheds them all sends nothing, and still has to notice that it is over."""
        pressure = self._space.client.pressure
        if self.name not in pressure.shed:
            return False
        self._space.client.complain(f"writes to {self.name} are shed: the server is about to be full", self.name)
        with suppress(ServerError):
            await self._space.client.look()
        return self.name in pressure.shed

    async def _send(self, commands: Sequence[Command]) -> None:
        """Send what is worth a try."""
        if commands:
            try:
                await self._space.client.send(*commands)
            except ServerError as error:
                self._dropped(error)

    async def _unlinked(self, keys: Sequence[str]) -> list[Reply]:
        """For each of the keys whether there was a value, which is gone; 0 where it could not be deleted yet."""
        return await self._ask(keys, lambda name: (("UNLINK", name),), 0, owed=True)

    async def _ask(
        self,
        keys: Sequence[str],
        make: Callable[[str], tuple[Command, ...]],
        unknown: int,
        count: int = 1,
        *,
        owed: bool = False,
    ) -> list[Reply]:
        """The replies to ``count`` commands on each key; ``unknown`` in place of what cannot be told.

        ``owed`` says that the values are out of date: where the server fails they are deleted later.
        """
        try:
            replies = await self._space.change(keys, lambda _, name: make(name))
        except ServerError as error:
            self._dropped(error, len(keys))
            if owed:
                self._space.owe(keys, all_of_them=True)
            return [unknown] * (len(keys) * count)
        for number, reply in enumerate(replies):
            if failed(reply):
                await self._refused(reply)
                replies[number] = unknown
        return replies


def batches(keys: Iterable[str]) -> Iterator[list[str]]:
    """The keys, so many at a time."""
    left = iter(keys)
    while batch := list(islice(left, _BATCH)):
        yield batch
