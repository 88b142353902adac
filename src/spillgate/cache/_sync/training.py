# Generated from ../_async by scripts/unasync.py: change that, then run `make sync`.
"""Training the dictionary of a namespace on its live values, and what of it is kept in the server.

A version, ``spillgate:dictionary:{<prefix>}#<number>``, has no TTL while it is current. One that was replaced gets that
of the longest-lived value that can be left of it. The pointer, ``spillgate:dictionary:{<prefix>}``, is moved in the
same transaction that gives and takes away TTLs, so no version is ever left behind without one.
"""

import random
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Final, NamedTuple

from spillgate import config
from spillgate.cache._sync.client import Client
from spillgate.cache._sync.dictionaries import Dictionaries
from spillgate.cache.codec import MOST_ID, Codec, Dictionary, Unreadable
from spillgate.cache.dictionary import (
    AGAIN_S,
    Training,
    Untrainable,
    dictionary_ttl_ms,
    learn,
    pointer_to,
    read_pointer,
)
from spillgate.cache.keys import Keys
from spillgate.cache.waiting import Aside, logger, sleep
from spillgate.cache.wire import Reply, failed
from spillgate.config import NamespacePolicy
from spillgate.errors import ConfigError, OutOfMemory, ServerError
from spillgate.units import format_bytes

# So much is read of a namespace, however large it is: more makes a dictionary no better.
MOST_VALUES: Final = 4000
MOST_BYTES: Final = 4 * 1024 * 1024
# A page of the walk through all keys keeps the server busy for well under a millisecond.
_SCAN_COUNT: Final = 1000
# What is in flight counts towards the server's memory limit.
_IN_FLIGHT_BYTES: Final = 128 * 1024
_FIRST_CHUNK, _MOST_CHUNK = 8, 200
# In the background the server is left to others for this many times as long as it was asked.
_REST: Final = 4.0
_MOST_TRIES: Final = 100


class Progress(NamedTuple):
    """How far the sampling is: keys found in the namespace, values read of those."""

    keys: int
    values: int


class Sample(NamedTuple):
    """Live values as they are before compression, and how many keys there are that hold such ones."""

    values: list[bytes]
    keys: int


class Version(NamedTuple):
    """A dictionary in the server; ``ttl_s`` is None where it has none."""

    number: int
    size_bytes: int
    ttl_s: float | None


class Listing(NamedTuple):
    """The dictionaries of a namespace, and which one is current (None: none is), trained to this ratio.

    What is current may be missing from ``versions``: then the server has lost it.
    """

    current: int | None
    ratio: float
    versions: list[Version]


OnProgress = Callable[[Progress], None]


class Trainer:
    """Trains, stores, lists and drops the dictionaries of one namespace."""

    def __init__(
        self,
        policy: NamespacePolicy,
        keys: Keys,
        client: Client,
        dictionaries: Dictionaries,
        longest_s: float,
    ) -> None:
        self._policy = policy
        self._keys = keys
        self._client = client
        self._dictionaries = dictionaries
        self._ttl_ms = dictionary_ttl_ms(longest_s)
        self._codec: Codec[Any] = Codec(policy)

    def current(self) -> tuple[Dictionary | None, float]:
        """The dictionary in force, None where there is none or the server has lost it, and the ratio it is to have.

        Raises:
            ServerError: the server failed.
        """
        number, ratio = read_pointer(self._ask("GET", self._keys.dictionary))
        return (None if number is None else self._dictionaries.of(number)), ratio

    def sample(self, on_progress: OnProgress | None = None, rest: float = 0.0) -> Sample:
        """Live values, each key as likely as any other; what cannot be read is left out.

        All keys of the server are walked through, and of those of the namespace some thousand are read.

        Raises:
            ConfigError: the namespace's values are never compressed.
            ServerError: the server failed.
        """
        if self._policy.codec is config.Codec.JSON:
            raise ConfigError(
                f'the namespace {self._policy.name!r} has codec = "json", which is never compressed, so that others '
                'can read it: a dictionary takes codec = "msgpack"'
            )
        names, keys = self._names(on_progress, rest)
        values: list[bytes] = []
        looked_at = size = at = 0
        chunk = _FIRST_CHUNK
        while at < len(names) and size < MOST_BYTES:
            started_s = monotonic()
            found = [data for data in self._ask("MGET", *names[at : at + chunk]) if data is not None]
            at += chunk
            looked_at += len(found)
            for data in found:
                value = self._unpacked(data)
                if value is not None:
                    values.append(value)
                    size += len(value)
            stored = sum(map(len, found)) // max(1, len(found))
            chunk = max(1, min(_MOST_CHUNK, 2 * chunk, _IN_FLIGHT_BYTES // max(1, stored)))
            if on_progress is not None:
                on_progress(Progress(keys, len(values)))
            sleep(rest * (monotonic() - started_s))
        return Sample(values, round(keys * len(values) / looked_at) if looked_at else 0)

    def learn(self, sample: Sample) -> Training:
        """The dictionary for what was sampled; it is not stored yet.

        Raises:
            Untrainable: there is too little to learn from.
            ServerError: the server failed.
        """
        current, _ = self.current()
        over_bytes = self._policy.compress_over_bytes
        return Aside.do(lambda: learn(sample.values, sample.keys, over_bytes, current))

    def store(self, training: Training) -> int:
        """Put a dictionary into force for all processes, with their next write; its number.

        Raises:
            OutOfMemory: there is no room for it; the one in force stays.
            ServerError: the server failed.
        """
        before, _ = read_pointer(self._ask("GET", self._keys.dictionary))
        number = self._new_version(training.content, before)
        name = self._keys.dictionary_version(number)
        commands = [
            ("GETSET", self._keys.dictionary, pointer_to(number, training.ratio)),
            ("PERSIST", name),
            *self._outdated(before),
        ]
        *queued, done = self._client.send(("MULTI",), *commands, ("EXEC",), repeatable=False)
        error = next((reply for reply in (*queued, done) if failed(reply)), None)
        if error is not None:
            self._client.send(("UNLINK", name))
            self._raise(error, training.content)
        replaced, _ = read_pointer(done[0])
        if replaced != before:  # somebody else trained one at the same time
            self._client.send(*self._outdated(replaced))
        return number

    def listing(self) -> Listing:
        """What is in the server.

        Raises:
            ServerError: the server failed.
        """
        number, ratio = read_pointer(self._ask("GET", self._keys.dictionary))
        versions: list[Version] = []
        prefix = Keys(self._keys.dictionary + "#")
        for names in self._pages(prefix.pattern):
            for name in names:
                end = name[len(prefix.prefix.encode()) :]
                size, left_ms = self._client.send(("STRLEN", name), ("PTTL", name))
                if end.isdigit() and not failed(size) and not failed(left_ms) and size:
                    versions.append(Version(int(end), size, None if left_ms < 0 else left_ms / 1000))
        return Listing(number, ratio, sorted(set(versions)))

    def drop(self, *, now: bool = False) -> Listing:
        """Compress without a dictionary from here on; what there was.

        Existing values stay readable, for their dictionaries stay for as long as those may live. With ``now`` they go
        at once, and values written with them are misses.

        Raises:
            ServerError: the server failed.
        """
        there = self.listing()
        commands = [("UNLINK", self._keys.dictionary)]
        for version in there.versions:
            if now:
                commands.append(("UNLINK", self._keys.dictionary_version(version.number)))
            elif version.ttl_s is None:
                commands += self._outdated(version.number)
        for reply in self._client.send(*commands):
            if failed(reply):
                raise reply
        return there

    def retrain(self) -> None:
        """Train and store a better dictionary, if there is one, and nobody else has tried to in the last hour.

        Raises:
            ServerError: the server failed.
        """
        lock = self._keys.lock(self._keys.dictionary)
        if self._ask("SET", lock, 1, "PX", int(AGAIN_S * 1000), "NX") is None:
            return
        name = self._policy.name
        try:
            training = self.learn(self.sample(rest=_REST))
        except Untrainable as error:
            logger.info("%s: the dictionary compresses worse than it did, and there is no other: %s", name, error)
            return
        if not training.pays:
            logger.info("%s: the dictionary compresses worse than it did, but no other does better", name)
            return
        number = self.store(training)
        logger.info(
            "%s: dictionary %d takes over, to save %s of %s",
            name, number, format_bytes(training.saving_bytes), format_bytes(training.now_bytes),
        )  # fmt: skip

    def _names(self, on_progress: OnProgress | None, rest: float) -> tuple[list[bytes], int]:
        """Names of some of the namespace's keys, in no order, and how many there are."""
        generation = self._ask("GET", self._keys.generation)
        number = int(generation) if generation is not None and generation.isdigit() else 0
        chosen: list[bytes] = []
        seen = 0
        for page in self._pages(self._keys.pattern, rest):
            for name in page:
                if self._keys.generation_of(name) == number:
                    seen += 1
                    place = len(chosen) if len(chosen) < MOST_VALUES else random.randrange(seen)
                    if place < MOST_VALUES:
                        chosen[place : place + 1] = [name]
            if on_progress is not None:
                on_progress(Progress(seen, 0))
        chosen = list(set(chosen))  # SCAN may tell one twice
        random.shuffle(chosen)
        return chosen, seen

    def _pages(self, pattern: bytes, rest: float = 0.0) -> Iterator[list[bytes]]:
        """The keys of this pattern, some at a time."""
        cursor: bytes | int = 0
        while True:
            started_s = monotonic()
            cursor, names = self._ask("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
            took_s = monotonic() - started_s
            yield names
            if int(cursor) == 0:
                return
            sleep(rest * took_s)

    def _unpacked(self, data: bytes) -> bytes | None:
        """A value as it was before compression, None where there is none that a dictionary is for."""
        known = self._dictionaries.known
        try:
            return self._codec.unpacked(data, known)
        except Unreadable as error:
            if error.dictionary is None or self._dictionaries.of(error.dictionary) is None:
                return None
        try:
            return self._codec.unpacked(data, known)
        except Unreadable:
            return None

    def _new_version(self, content: bytes, before: int | None) -> int:
        """Store a dictionary under a number that no value can have, for a while."""
        # After all dictionaries were lost or dropped, values that name theirs may be left.
        number = random.randrange(MOST_ID) if before is None else before
        for _ in range(_MOST_TRIES):
            number = number % MOST_ID + 1
            name = self._keys.dictionary_version(number)
            (reply,) = self._client.send(("SET", name, content, "PX", self._ttl_ms, "NX"), repeatable=False)
            if failed(reply):
                self._raise(reply, content)
            if reply is not None:
                return number
        raise ServerError(f"{_MOST_TRIES} dictionaries after number {before} are in use: drop them, then train again")

    def _ask(self, *command: Any) -> Reply:
        (reply,) = self._client.send(command)
        if failed(reply):
            raise reply
        return reply

    def _outdated(self, number: int | None) -> list[Any]:
        """The command that gives a version its TTL."""
        return [] if number is None else [("PEXPIRE", self._keys.dictionary_version(number), self._ttl_ms)]

    def _raise(self, error: ServerError, content: bytes) -> None:
        if self._client.refused(error):
            raise OutOfMemory(
                f"the server is at its memory limit and takes no dictionary of {format_bytes(len(content))}: the one "
                "in force, if any, stays; make room first, as with spillgate cleanup"
            ) from error
        raise error
