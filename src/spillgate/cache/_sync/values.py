# Generated from ../_async by scripts/unasync.py: change that, then run `make sync`.
"""The values of one namespace on their way into bytes and back, and what is counted and recorded of them."""

from collections.abc import Collection, Mapping
from typing import Any, Final, Generic, TypeVar

from spillgate import config
from spillgate.cache._sync.client import Command
from spillgate.cache._sync.space import Space
from spillgate.cache.codec import MAGIC, Codec, Encoded, ForeignReader, Reason, Unreadable, dictionary_of, is_int
from spillgate.cache.counters import Event
from spillgate.cache.wire import Reply, failed
from spillgate.errors import ServerError, ValueRefused

T = TypeVar("T")

MISSING: Final = object()
"""In place of a value that is not there, or cannot be read."""

_EVENT_OF: Final = {reason: Event(reason.value) for reason in Reason}


class Values(Generic[T]):
    """Values of type ``T`` of one namespace.

    ``foreign`` reads what other libraries wrote, where it is given.

    Raises:
        ConfigError: the namespace cannot hold that type.
    """

    def __init__(self, space: Space, type_: Any, foreign: ForeignReader | None) -> None:
        self._space = space
        self._codec: Codec[T] = Codec(space.policy, type_, foreign)
        self._count = space.counter.count
        self._track = space.track
        self._sliding = space.policy.sliding
        self._typed = type_ is not Any
        self._migrates = foreign is not None and space.policy.codec is not config.Codec.JSON

    @property
    def name(self) -> str:
        """The namespace's name in the policy."""
        return self._space.policy.name

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
        if len(values) > 1:
            self._track.write_many(list(values), [len(encoded.data) for encoded in values.values()])
            return
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

    def _renewal(self, name: str, ttl_s: float | None = None, stale_s: float = 0.0) -> Command:
        return ("PEXPIRE", name, self._space.ttl_ms(ttl_s, stale_s))

    def _read_back(self, value: T, encoded: Encoded) -> T:
        """What reading gives of a value that was encoded: the value itself, where the namespace has a type."""
        try:
            read = self._codec.decode(encoded.data, self._space.dictionaries.known)
        except Unreadable:
            what = f"{self.name}: a {type(value).__name__} was stored that is not what the namespace's type says, so "
            self._space.client.complain(what + "reading it is a miss", f"{self.name} type")
            return value
        return value if self._typed else read
