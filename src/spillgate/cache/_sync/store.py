# Generated from ../_async by scripts/unasync.py: change that, then run `make sync`.
"""The values of one namespace, by key."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import compress, islice
from typing import Any, Final, Generic, TypeVar, overload

from spillgate import config
from spillgate.cache._sync.client import Command
from spillgate.cache._sync.space import Space
from spillgate.cache.codec import MAGIC, Codec, Encoded, ForeignReader, Reason, Unreadable, dictionary_of, is_int
from spillgate.cache.counters import Event
from spillgate.cache.lifetime import Ttl
from spillgate.cache.track import HIT
from spillgate.cache.wire import Reply, failed
from spillgate.errors import ServerError, ValueRefused

T = TypeVar("T")
D = TypeVar("D")

# So many keys go to the server in one exchange; the time limit is for each of those.
_BATCH: Final = 500
MISSING: Final = object()
_ENVELOPE_BYTES: Final = 5
_EVENT_OF: Final = {reason: Event(reason.value) for reason in Reason}


class Store(Generic[T]):
    """Reads and writes values of type ``T``.

    Nothing here fails because the server does, but `add`, `incr` and `clear`, which would have to lie: a value that
    cannot be had is a miss, one that cannot be stored is dropped, and both are counted.
    """

    def __init__(self, space: Space, type_: Any, foreign: ForeignReader | None) -> None:
        self._space = space
        self._codec: Codec[T] = Codec(space.policy, type_, foreign)
        self._count = space.counter.count
        self._track = space.track
        self._sliding = space.policy.sliding
        self._migrates = foreign is not None and space.policy.codec is not config.Codec.JSON

    @property
    def name(self) -> str:
        """The namespace's name in the policy."""
        return self._space.policy.name

    @overload
    def get(self, key: str) -> T | None: ...
    @overload
    def get(self, key: str, default: D) -> T | D: ...
    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, or ``default``."""
        try:
            if self._sliding:
                data, _ = self._space.read(key, self._renewal)
            else:
                (data,) = self._space.read(key)
        except ServerError as error:
            self._dropped(error)
            self._count(Event.MISS)
            return default
        if data is None or (value := self._decoded(data)) is MISSING:
            self._count(Event.MISS)
            self._track.read(key, 0)
            return default
        self._count(Event.HIT)
        self._track.read(key, len(data))
        return value

    def get_many(self, keys: Iterable[str]) -> dict[str, T]:
        """The values of those of the keys that have one."""
        found: dict[str, T] = {}
        more = (self._renewal,) if self._sliding else ()
        for batch in batches(dict.fromkeys(keys)):
            try:
                stored, _ = self._space.read_many(batch, *more)
            except ServerError as error:
                self._dropped(error, len(batch))
                self._count(Event.MISS, len(batch))
                continue
            before = len(found)
            for key, data in zip(batch, stored, strict=True):
                if data is None or (value := self._decoded(data)) is MISSING:
                    self._track.read(key, 0)
                else:
                    found[key] = value
                    self._track.read(key, len(data))
            hits = len(found) - before
            self._count(Event.HIT, hits)
            self._count(Event.MISS, len(batch) - hits)
        return found

    def set(self, key: str, value: T, ttl: Ttl | None = None) -> bool:
        """Store a value, for the namespace's TTL or for ``ttl`` within its bounds; whether it was stored.

        Raises:
            ValueTooLarge: it takes more than ``max_value``.
            ValueRefused: it is binary, a file, or cannot be written.
        """
        return not self._write({key: self._encoded(value)}, ttl)

    def set_many(self, values: Mapping[str, T], ttl: Ttl | None = None) -> list[str]:
        """Store several values as `set` does; the keys of those that were not stored."""
        lost: list[str] = []
        for batch in batches(values):
            lost += self._write({key: self._encoded(values[key]) for key in batch}, ttl)
        return lost

    def delete(self, key: str) -> bool:
        """Delete a value; whether there was one."""
        return self.delete_many((key,)) == 1

    def delete_many(self, keys: Iterable[str]) -> int:
        """Delete several values; how many there were."""
        deleted = 0
        for batch in batches(dict.fromkeys(keys)):
            replies = self._ask(batch, _unlink, 0)
            deleted += sum(replies)
            for key in compress(batch, replies):
                self._track.delete(key)
        self._count(Event.DELETE, deleted)
        return deleted

    def exists(self, key: str) -> bool:
        """Whether there is a value."""
        (found,) = self._ask((key,), lambda name: (("EXISTS", name),), 0)
        return found == 1

    def ttl(self, key: str) -> float | None:
        """The seconds until a value expires; None where there is none, or it cannot be told."""
        (left_ms,) = self._ask((key,), lambda name: (("PTTL", name),), -2)
        return left_ms / 1000 if left_ms >= 0 else None

    def touch(self, key: str, ttl: Ttl | None = None) -> bool:
        """Give a value a new TTL, as if it was stored now; whether there was one."""
        ttl_ms = self._space.ttl_ms(ttl)
        renewed, head = self._ask(
            (key,), lambda name: (("PEXPIRE", name, ttl_ms), ("GETRANGE", name, 0, _ENVELOPE_BYTES - 1)), 0, 2
        )
        if renewed == 1 and isinstance(head, bytes):
            self._keep_dictionary(head)
            self._track.renew(key)
        return renewed == 1

    def add(self, key: str, value: T, ttl: Ttl | None = None) -> bool:
        """Store a value unless there is one; whether it was stored. Never shed.

        Raises:
            ServerError: whether there is one cannot be told, or it could not be stored.
            ValueRefused: as of `set`.
        """
        encoded = self._encoded(value)
        ttl_ms = self._space.ttl_ms(ttl)
        (reply,) = self._space.change(
            (key,), lambda _, name: (("SET", name, encoded.data, "PX", ttl_ms, "NX"),), repeatable=False
        )
        self._raise_for(reply)
        if reply is None:
            self._track.read(key, HIT)
            return False
        self._stored((encoded,))
        self._track.read(key, 0)
        self._track.write(key, len(encoded.data))
        return True

    def incr(self, key: str, delta: int = 1, ttl: Ttl | None = None) -> int:
        """Add to an int and return the sum; where there is none it starts from 0, with a TTL. Never shed.

        Raises:
            ServerError: it cannot be counted on.
            ValueRefused: what is there is no int.
        """
        ttl_ms = self._space.ttl_ms(ttl)
        replies = self._space.change(
            (key,),
            lambda _, name: (("SET", name, 0, "PX", ttl_ms, "NX"), ("INCRBY", name, delta), ("PTTL", name)),
            repeatable=False,
        )
        made, total, left_ms = replies
        self._raise_for(made)
        if failed(total) and "not an integer" in str(total):
            raise ValueRefused(f"{self.name}: the value of {key!r} is not an int, so nothing can be added to it")
        self._raise_for(total)
        if left_ms == -1:  # it expired between the two commands
            self._space.change((key,), lambda _, name: (("PEXPIRE", name, ttl_ms),))
        if made is None:
            self._track.read(key, HIT)
        else:
            self._track.read(key, 0)
            self._track.write(key, len(str(total)))
        return total

    def clear(self) -> None:
        """Make all values of the namespace unreachable, for everybody and at once, however many there are.

        What they take is freed in the background.

        Raises:
            ServerError: the server failed, so they may still be reachable.
        """
        self._space.next_generation()

    # What the parts above share

    def _write(
        self,
        values: Mapping[str, Encoded],
        ttl: Ttl | None,
        stale_s: float = 0.0,
        then: Sequence[Command] = (),
        pinned: int | None = None,
        *,
        cost_s: float | None = None,
    ) -> list[str]:
        """Store what is encoded, and send what comes ``then``; the keys of what was not stored.

        What cannot be stored for want of memory takes the value that it was to replace along: nobody shall take that
        for the new one. With the generation ``pinned`` it was computed from the same, and that stays.
        """
        if self._sheds():
            self._count(Event.SHED, len(values))
            self._noted(values, cost_s)
            if pinned is None:
                self._ask(list(values), _unlink, 0)
            self._send(then)
            return list(values)

        def make(key: str, name: str) -> tuple[Command, ...]:
            return (("SET", name, values[key].data, "PX", self._space.ttl_ms(ttl, stale_s)),)

        try:
            replies = self._space.change(tuple(values), make, then, pinned=pinned)
        except ServerError as error:
            self._dropped(error, len(values))
            return list(values)
        self._noted(values, cost_s)
        lost: list[str] = []
        kept: list[Encoded] = []
        for (key, encoded), reply in zip(values.items(), replies, strict=False):
            if failed(reply):
                self._refused(reply)
                lost.append(key)
            else:
                kept.append(encoded)
        if lost and pinned is None:
            self._ask(lost, _unlink, 0)
        self._stored(kept)
        return lost

    def _sheds(self) -> bool:
        """Whether writes are shed now. Who sheds them all sends nothing, and still has to notice that it is over."""
        pressure = self._space.client.pressure
        if self.name not in pressure.shed:
            return False
        with suppress(ServerError):
            self._space.client.look()
        return self.name in pressure.shed

    def _send(self, commands: Sequence[Command]) -> None:
        """Send what is worth a try."""
        if commands:
            try:
                self._space.client.send(*commands)
            except ServerError as error:
                self._dropped(error)

    def _ask(
        self, keys: Sequence[str], make: Callable[[str], tuple[Command, ...]], unknown: int, count: int = 1
    ) -> list[Reply]:
        """The replies to ``count`` commands on each key; ``unknown`` in place of what cannot be told."""
        try:
            replies = self._space.change(keys, lambda _, name: make(name))
        except ServerError as error:
            self._dropped(error, len(keys))
            return [unknown] * (len(keys) * count)
        for number, reply in enumerate(replies):
            if failed(reply):
                self._refused(reply)
                replies[number] = unknown
        return replies

    def _decoded(self, data: bytes) -> Any:
        """The value in what is stored, `MISSING` where it cannot be read."""
        space = self._space
        try:
            value = self._codec.decode(data, space.dictionaries.known)
        except Unreadable as error:
            if error.dictionary is None:
                self._count(_EVENT_OF[error.reason])
                return MISSING
            try:
                space.dictionaries.of(error.dictionary)
                value = self._codec.decode(data, space.dictionaries.known)
            except (Unreadable, ServerError):
                self._count(Event.NO_DICTIONARY)
                return MISSING
        if self._migrates and data[0] != MAGIC and not is_int(data):
            self._count(Event.MIGRATED)
        if self._sliding:
            self._keep_dictionary(data)
        return value

    def _encoded(self, value: T, cost_s: float | None = None) -> Encoded:
        try:
            dictionary = self._space.dictionaries.current
            encoded = self._codec.encode(value, dictionary, cost_s)
        except ValueRefused:
            self._count(Event.REFUSED)
            raise
        if dictionary is not None:
            self._space.note(encoded)
        return encoded

    def _keep_dictionary(self, data: bytes) -> None:
        """The life of a value was prolonged; so is that of its dictionary."""
        number = dictionary_of(data)
        if number is not None:
            try:
                self._space.dictionaries.keep(number)
            except ServerError as error:
                self._dropped(error)

    def _stored(self, values: Collection[Encoded]) -> None:
        plain_bytes = stored_bytes = 0
        for encoded in values:
            plain_bytes += encoded.plain_bytes
            stored_bytes += len(encoded.data)
        self._count(Event.SET, len(values))
        self._count(Event.PLAIN_BYTES, plain_bytes)
        self._count(Event.STORED_BYTES, stored_bytes)

    def _noted(self, values: Mapping[str, Encoded], cost_s: float | None) -> None:
        """Record writes that the application wants, whether or not there is room for them."""
        for key, encoded in values.items():
            self._track.write(key, len(encoded.data), cost_s)

    def _dropped(self, error: ServerError, keys: int = 1) -> None:
        self._count(Event.DROP, keys)
        self._space.client.complain(error)

    def _refused(self, reply: ServerError) -> None:
        """Count a command that the server answered with an error."""
        if self._space.client.refused(reply):
            self._count(Event.OOM)
        else:
            self._dropped(reply)

    def _raise_for(self, reply: Reply) -> None:
        if failed(reply):
            self._refused(reply)
            raise reply

    def _renewal(self, name: str) -> Command:
        return ("PEXPIRE", name, self._space.ttl_ms())


def _unlink(name: str) -> tuple[Command]:
    return (("UNLINK", name),)


def batches(keys: Iterable[str]) -> Iterator[list[str]]:
    """The keys, so many at a time."""
    left = iter(keys)
    while batch := list(islice(left, _BATCH)):
        yield batch
