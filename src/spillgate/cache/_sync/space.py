# Generated from ../_async by scripts/unasync.py: change that, then run `make sync`.
"""What all views of one namespace share: its keys by generation, its dictionaries, its TTLs, its counters."""

import math
from collections.abc import Callable, Sequence
from time import monotonic, time
from typing import Final

from spillgate.cache._sync.client import Client, Command
from spillgate.cache._sync.dictionaries import Dictionaries
from spillgate.cache._sync.training import Trainer
from spillgate.cache.codec import Encoded
from spillgate.cache.counters import Counters, Event
from spillgate.cache.keys import Keys, prefix_of
from spillgate.cache.lifetime import Lifetime, Ttl, seconds_of
from spillgate.cache.lock import Lock
from spillgate.cache.recorder import BLIND
from spillgate.cache.waiting import Hands, sleep
from spillgate.cache.wire import Reply, failed
from spillgate.config import NamespacePolicy

MakeCommands = Callable[[str, str], Sequence[Command]]
"""Commands on a value, made from its key and the name that this has in the server."""

_SCAN_COUNT: Final = 500
# The sweep of an old generation leaves the server to others for this many times as long as it took it.
_SWEEP_REST: Final = 4.0
_INCR_AT_LIMIT: Final = "#!lua flags=allow-oom\nreturn redis.call('INCR', KEYS[1])"


class Space:
    """The shared part of one namespace.

    Every exchange asks for the namespace's generation along with what it is about. So what another process has cleared
    is never read, added to, counted on or kept alive, at no further round trip: where the generation turns out to be
    another one, the exchange is done again under the new name.

    Raises:
        ConfigError: the namespace has no TTL, or no pattern to make keys from.
    """

    def __init__(
        self, policy: NamespacePolicy, client: Client, counters: Counters, hands: Hands, lock_s: float
    ) -> None:
        self.policy = policy
        self.client = client
        self.keys = Keys(prefix_of(policy))
        self.lifetime = Lifetime.of(policy)
        self.counter = counters.of(policy.name)
        recorder = client.recorder
        self.track = BLIND if recorder is None else recorder.track(policy.name, sliding=policy.sliding)
        self.hands = hands
        self.lock_s = lock_s
        self._now: tuple[int, bytes | None] = (0, None)
        self.dictionaries = Dictionaries(policy.name, self.keys, client, hands, self.lifetime.max_ttl_s)
        self.trainer = Trainer(policy, self.keys, client, self.dictionaries, self.lifetime.max_ttl_s)
        self._sweeping = False
        self._unswept = False
        self._asks = (self.keys.generation, self.keys.dictionary) if policy.dictionary else (self.keys.generation,)

    @property
    def generation(self) -> int:
        """The generation that was last seen."""
        return self._now[0]

    def ttl_ms(self, ttl: Ttl | None = None, stale_s: float = 0.0) -> int:
        """The milliseconds that a key written now gets; ``stale_s`` of them are for serving it when it is stale."""
        level = self.client.pressure.effective
        if self.lifetime.cap(level) is not None:
            self.counter.count(Event.SHORTENED)
        ttl_s = None if ttl is None else seconds_of(ttl)
        return max(1, int(self.lifetime.at(level, ttl_s, stale_s) * 1000))

    def fresh_s(self, left_ms: Reply, ttl: Ttl | None, stale_s: float) -> float:
        """The seconds until a value is stale, of those until it is gone; infinite where they are not known."""
        if not isinstance(left_ms, int) or left_ms < 0:
            return math.inf
        if not stale_s:
            return left_ms / 1000
        ttl_s = None if ttl is None else seconds_of(ttl)
        return left_ms / 1000 - self.lifetime.stale_part(self.client.pressure.effective, ttl_s, stale_s)

    def read(self, key: str, *more: Callable[[str], Command]) -> list[Reply]:
        """The stored bytes of a value (None: there is none), and the replies to ``more`` commands on its key.

        Raises:
            ServerError: the server failed.
        """
        while True:
            generation, told = self._now
            name = self.keys.value(generation, key)
            replies = self.client.send(("MGET", self.keys.generation, name), *[make(name) for make in more])
            first = replies[0]
            if failed(first):
                raise first
            replies[0] = first[1]
            if first[0] == told or not self._changed(first[0], generation):
                return replies

    def read_many(self, keys: Sequence[str], *more: Callable[[str], Command]) -> tuple[list[Reply], list[Reply]]:
        """As `read`, of several keys: all values, then the replies to ``more`` of each key in turn."""
        while True:
            generation, told = self._now
            names = [self.keys.value(generation, key) for key in keys]
            first, *rest = self.client.send(
                ("MGET", self.keys.generation, *names), *(make(name) for name in names for make in more)
            )
            if failed(first):
                raise first
            if first[0] == told or not self._changed(first[0], generation):
                return first[1:], rest

    def read_locked(self, key: str) -> tuple[Lock, list[Reply]]:
        """Try to become the one who computes a value; the lock, and the value and its TTL as of after that.

        The lock comes first, so that who gets it sees what the one before has stored. It is one of this generation.

        Raises:
            ServerError: the server failed.
        """
        while True:
            generation, told = self._now
            name = self.keys.value(generation, key)
            lock = Lock(self.keys.lock(name), self.lock_s)
            locked, first, left_ms = self.client.send(
                lock.take(), ("MGET", self.keys.generation, name), ("PTTL", name), repeatable=False
            )
            if failed(first):
                raise first
            if first[0] == told or not self._changed(first[0], generation):
                return lock, [locked, first[1], left_ms]

    def change(
        self,
        keys: Sequence[str],
        make: MakeCommands,
        then: Sequence[Command] = (),
        *,
        pinned: int | None = None,
        repeatable: bool = True,
    ) -> list[Reply]:
        """The replies to commands that change, or ask about, the values of ``keys``, and to what comes ``then``.

        With the generation ``pinned`` they are for that one alone: what was made for it is not carried into a later.

        Raises:
            ServerError: the server failed.
        """
        while True:
            generation, told = self._now
            if pinned is not None:
                generation = pinned
            name_of = self.keys.value
            commands = [command for key in keys for command in make(key, name_of(generation, key))]
            replies = self.client.send(*commands, *then, ("MGET", *self._asks), repeatable=repeatable)
            now = replies.pop()
            if failed(now):
                raise now
            if len(now) > 1:
                self.dictionaries.saw(now[1])
            if now[0] == told or not self._changed(now[0], generation) or pinned is not None:
                return replies

    def next_generation(self) -> None:
        """Make all values unreachable, at once and for everybody; what they take is freed in the background.

        Raises:
            ServerError: the server failed; they may still be reachable.
        """
        increment = ("INCR", self.keys.generation)
        (reply,) = self.client.send(increment)
        if self.client.refused(reply):
            (reply,) = self.client.send(("EVAL", _INCR_AT_LIMIT, 1, self.keys.generation))
            if failed(reply):
                # An old server at its limit: room first.
                self._sweep()
                (reply,) = self.client.send(increment)
        if failed(reply):
            raise reply
        self._take(b"%d" % reply)
        self._unswept = True
        if not self._sweeping:
            self._sweeping = True
            self.hands.take(self._free, always=True)

    def note(self, encoded: Encoded) -> None:
        """Keep an eye on what the current dictionary wins; where that is much less than it was, train another."""
        if self.dictionaries.decay.noted(encoded.plain_bytes, len(encoded.data)):
            self.counter.count(Event.DECAYED)
            self.hands.take(self.trainer.retrain, always=True)

    def _changed(self, found: bytes | None, assumed: int) -> bool:
        """Take over the generation that the server has; whether it is another than the one that was assumed."""
        if found is None:
            # The server lost it, by eviction maybe, and values of any earlier generation may still be there. A number
            # that was never used hides them all; seconds since 1970 are more than anybody has counted to.
            (made,) = self.client.send(("SET", self.keys.generation, int(time()), "NX"))
            return not failed(made)
        if not found.isdigit():
            return False  # somebody else's key; without generations then
        self._take(found)
        return int(found) != assumed

    def _take(self, found: bytes) -> None:
        if int(found) != self.generation:
            self.track.clear()
        self._now = (int(found), found)  # both at once: others read them meanwhile

    def _free(self) -> None:
        """Delete what earlier generations left, again if there is another meanwhile."""
        try:
            while self._unswept:
                self._unswept = False
                self._sweep(rest=_SWEEP_REST)
        finally:
            self._sweeping = False

    def _sweep(self, rest: float = 0.0) -> None:
        """Delete the namespace's keys of other generations than this, a few at a time; of this as well without a rest.

        No list of them is kept anywhere, which could leak: they are found by walking the keys. ``rest`` is how many
        times as long as it took the server is left to others.
        """
        cursor: bytes | int = 0
        while True:
            started_s = monotonic()
            (page,) = self.client.send(("SCAN", cursor, "MATCH", self.keys.pattern, "COUNT", _SCAN_COUNT))
            if failed(page):
                raise page
            cursor, names = page
            old = [name for name in names if not rest or self.keys.generation_of(name) != self.generation]
            if old:
                (freed,) = self.client.send(("UNLINK", *old))
                if failed(freed):
                    raise freed
                self.counter.count(Event.FREED, freed)
            if int(cursor) == 0:
                return
            sleep(rest * (monotonic() - started_s))
