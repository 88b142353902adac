# Generated from ../_async by scripts/unasync.py: change that, then run `make sync`.
"""What all views of one namespace share: its keys by generation, its dictionaries, its TTLs, its counters."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from time import time
from typing import Final

from spillgate.cache._sync.client import Client, Command
from spillgate.cache._sync.dictionaries import Dictionaries
from spillgate.cache._sync.sweeping import Sweeper
from spillgate.cache._sync.training import Trainer
from spillgate.cache.codec import Encoded
from spillgate.cache.counters import Counters, Event
from spillgate.cache.keys import Keys, prefix_of
from spillgate.cache.lifetime import Lifetime
from spillgate.cache.lock import Lock
from spillgate.cache.recorder import BLIND
from spillgate.cache.waiting import Hands, sleep
from spillgate.cache.wire import Reply, failed
from spillgate.config import NamespacePolicy
from spillgate.errors import ServerError
from spillgate.model import Level

MakeCommands = Callable[[str, str], Sequence[Command]]
"""Commands on a value, made from its key and the name that this has in the server."""

# A lock that may have been taken unnoticed is looked for after this long, when its command surely has been read.
_SETTLED_S: Final = 0.05
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
        self._as_written = Lifetime.of(policy)
        self._in_force: tuple[Mapping[str, float], Lifetime] = ({}, self._as_written)
        self.counter = counters.of(policy.name)
        recorder = client.recorder
        self.track = BLIND if recorder is None else recorder.track(policy.name, sliding=policy.sliding)
        self.hands = hands
        self.lock_s = lock_s
        self._now: tuple[int, bytes | None] = (0, None)
        longest_s = self._as_written.max_ttl_s
        self.dictionaries = Dictionaries(policy.name, self.keys, client, hands, longest_s)
        self.trainer = Trainer(policy, self.keys, client, self.dictionaries, longest_s)
        self.sweeper = Sweeper(self.keys, client, self.counter, hands, longest_s)
        self._asks = (self.keys.generation, self.keys.dictionary) if policy.dictionary else (self.keys.generation,)

    @property
    def generation(self) -> int:
        """The generation that was last seen."""
        return self._now[0]

    @property
    def lifetime(self) -> Lifetime:
        """The TTLs of the policy, with the one that a governor has put in force where it has."""
        seen, lifetime = self._in_force
        by_name = self.client.ttls.by_name
        if by_name is not seen:
            lifetime = self._as_written.with_ttl(by_name.get(self.policy.name))
            self._in_force = by_name, lifetime
        return lifetime

    def ttl_ms(self, ttl_s: float | None = None, stale_s: float = 0.0) -> int:
        """The milliseconds that a key written now gets; ``stale_s`` of them are for serving it when it is stale."""
        return next(self.ttls_ms(ttl_s, stale_s))

    def ttls_ms(self, ttl_s: float | None = None, stale_s: float = 0.0) -> Iterator[int]:
        """As `ttl_ms`, of as many keys as are written now."""
        level, lifetime = self.client.pressure.effective, self.lifetime
        longest_s = lifetime.longest(level, ttl_s, stale_s)
        shortened = longest_s < lifetime.longest(Level.NORMAL, ttl_s, stale_s)
        longest_ms, share = longest_s * 1000, lifetime.share
        while True:
            if shortened:
                self.counter.count(Event.SHORTENED)
            yield int(longest_ms * share()) or 1

    def fresh_s(self, left_ms: Reply, ttl_s: float | None, stale_s: float) -> float:
        """The seconds until a value is stale, of those until it is gone; infinite where they are not known."""
        if not isinstance(left_ms, int) or left_ms < 0:
            return math.inf
        if not stale_s:
            return left_ms / 1000
        return left_ms / 1000 - self.lifetime.stale_part(self.client.pressure.effective, ttl_s, stale_s)

    def read(self, key: str, *more: Callable[[str], Command]) -> tuple[int, list[Reply]]:
        """The generation, and the stored bytes of a value (None: there is none) with the replies to ``more`` commands.

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
                return generation, replies

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

    def read_locked(self, key: str) -> tuple[int, Lock, list[Reply]]:
        """Try to become the one who computes a value: the generation, the lock, then the value and its TTL.

        The lock comes first, so that who gets it sees what the one before has stored. It is one of this generation.

        Raises:
            ServerError: the server failed.
        """
        while True:
            generation, told = self._now
            name = self.keys.value(generation, key)
            lock = Lock(self.keys.lock(name), self.lock_s)
            locked, first, left_ms = self.take(lock, ("MGET", self.keys.generation, name), ("PTTL", name))
            if failed(first):
                raise first
            if first[0] == told or not self._changed(first[0], generation):
                return generation, lock, [locked, first[1], left_ms]

    def take(self, lock: Lock, *more: Command) -> list[Reply]:
        """The replies to taking a lock, and to ``more`` commands.

        Where the reply does not come, the lock may be ours without our knowing, and would hold up others until it ends:
        so it is looked for in the background.

        Raises:
            ServerError: the server failed.
        """
        try:
            return self.client.send(lock.take(), *more, repeatable=False)
        except BaseException:
            if self.client.breaker.open:
                raise
            self.hands.take(lambda: self._leave(lock))
            raise

    def _leave(self, lock: Lock) -> None:
        sleep(_SETTLED_S)
        with suppress(ServerError):
            (holder,) = self.client.send(lock.look())
            if commands := lock.leave(holder):
                self.client.send(*commands)

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

    def owe(self, keys: Iterable[str], *, all_of_them: bool) -> None:
        """The values of these keys are out of date, and could not be deleted or replaced.

        ``all_of_them`` says that rather the whole namespace is to be cleared than one of them forgotten.
        """
        generation = self.generation
        names = [self.keys.value(generation, key) for key in keys]
        self.client.owe(names, self.keys.generation if all_of_them else None)

    def learn(self) -> int:
        """Ask the server which generation it is.

        Raises:
            ServerError: the server failed.
        """
        self.change((), lambda _key, _name: ())
        return self.generation

    def next_generation(self, *, wait: bool) -> None:
        """Make all values unreachable, at once and for everybody; what they take is freed in the background.

        Raises:
            ServerError: the server failed; they may still be reachable.
        """
        increment = ("INCR", self.keys.generation)
        reply, _ = self.client.send(increment, self.sweeper.note)
        if self.client.refused(reply):
            (reply,) = self.client.send(("EVAL", _INCR_AT_LIMIT, 1, self.keys.generation))
            if failed(reply):
                # An old server at its limit: room first.
                self.sweeper.sweep(spare=False)
                (reply,) = self.client.send(increment)
        if not failed(reply) and reply <= self.generation:
            # The server had lost it: of a number that was used before there may be values left.
            (reply,) = self.client.send(("INCRBY", self.keys.generation, int(time())))
        if failed(reply):
            raise reply
        self._take(b"%d" % reply)
        if wait:
            self.sweeper.sweep()
        else:
            self.sweeper.begin()

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
            return made is not None and not failed(made)
        if not found.isdigit():
            return False  # somebody else's key; without generations then
        if self._take(found):
            self.sweeper.look()
        return int(found) != assumed

    def _take(self, found: bytes) -> bool:
        """Go on with a generation; whether it is another one."""
        another = int(found) != self.generation
        if another:
            self.track.clear()
        self._now = (int(found), found)  # both at once: others read them meanwhile
        return another
