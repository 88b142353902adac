# Generated from ../_async by scripts/unasync.py: change that, then run `make sync`.
"""Freeing what invalidated generations left in the server."""

from time import monotonic
from typing import Final

from spillgate.cache._sync.client import Client
from spillgate.cache.counters import Event, NamespaceCounters
from spillgate.cache.forking import register
from spillgate.cache.keys import Keys
from spillgate.cache.lock import Lock
from spillgate.cache.waiting import Hands, sleep
from spillgate.cache.wire import failed
from spillgate.errors import ServerError

_SCAN_COUNT: Final = 500
# A sweep leaves the server to others for this many times as long as it took it.
_REST: Final = 4.0
# A process that does not come back to its sweep for so long has died.
_LOCK_S: Final = 30.0
_TRIES: Final = 5
_FIRST_PAUSE_S: Final = 1.0


class Sweeper:
    """Deletes the keys of a namespace that are of another generation than the present one, a few at a time.

    No list of them is kept, which could leak: they are found by walking the keys. That there is something to be found
    is noted in the server, for as long as such keys can live, so that a process which ends before it is done, a script
    that clears and exits, leaves the rest to any other that uses the namespace. One process sweeps at a time.
    """

    def __init__(self, keys: Keys, client: Client, counter: NamespaceCounters, hands: Hands, longest_s: float) -> None:
        self.note = ("SET", keys.unswept, 1, "PX", int(longest_s * 1000))
        """The command that notes that there is something to free."""
        self._keys = keys
        self._client = client
        self._counter = counter
        self._hands = hands
        self.forget()
        register(self)

    def forget(self) -> None:
        """Begin anew after a fork: who swept is not in this process."""
        self._sweeping: object = None  # what stands for the work under way
        self._again = False

    def begin(self) -> None:
        """Free what there is in the background, and again where that is under way."""
        # First the wish, then a look who is at it. Who ends says so first, and looks for a wish then (`_work`), so one
        # of the two sees the other, without a lock. Should both, they take turns by the lock in the server.
        self._again = True
        if self._sweeping is None:
            self._sweeping = work = object()
            if not self._hands.take(lambda: self._work(work), always=True, then=lambda: self._given_up(work)):
                self._given_up(work)

    def look(self) -> None:
        """Another process has cleared: should that have ended meanwhile, finish its work in the background."""
        if self._sweeping is None:
            self._hands.take(self._finish)

    def sweep(self, rest: float = 0.0, lock: Lock | None = None, *, spare: bool = True) -> bool:
        """Walk all keys once, and delete what is of another generation; without ``spare`` of the present one, too.

        Returns whether it was the same generation all the time, so that nothing is left.

        Raises:
            ServerError: the server failed.
        """
        cursor: bytes | int = 0
        first: bytes | None = None
        while True:
            started_s = monotonic()
            # The generation after the page: a key in the page is of none later than that.
            page, now, *_ = self._client.send(
                ("SCAN", cursor, "MATCH", self._keys.pattern, "COUNT", _SCAN_COUNT),
                ("GET", self._keys.generation),
                *(lock.renew() if lock is not None else ()),
            )
            for reply in (page, now):
                if failed(reply):
                    raise reply
            if spare and (now is None or not now.isdigit()):
                return True  # which generation is the present one is not known, so all there are may be of it
            first = first or now
            cursor, names = page
            generation_of = self._keys.generation_of
            old = [name for name in names if not spare or generation_of(name) != int(now)]
            if old:
                (freed,) = self._client.send(("UNLINK", *old))
                if failed(freed):
                    raise freed
                self._counter.count(Event.FREED, freed)
            if int(cursor) == 0:
                return now == first
            sleep(rest * (monotonic() - started_s))

    def _finish(self) -> None:
        (noted,) = self._client.send(("EXISTS", self._keys.unswept))
        if noted == 1:
            self.begin()

    def _given_up(self, work: object) -> None:
        if self._sweeping is work:
            self.forget()

    def _work(self, work: object) -> None:
        """Sweep until nothing is left, and nobody has cleared in the last moment."""
        while True:
            self._work_once()
            self._sweeping = None
            if not self._again:
                return
            self._sweeping = work

    def _work_once(self) -> None:
        """Sweep until nothing is left; a server that fails is given time."""
        lock = Lock(self._keys.sweeping, _LOCK_S)
        pause_s = _FIRST_PAUSE_S
        for tries_left in reversed(range(_TRIES)):
            try:
                (reply,) = self._client.send(lock.take(), repeatable=False)
                if lock.taken(reply) or failed(reply):  # at its limit the server has no room for a lock
                    self._work_alone(lock)
                    return
            except ServerError:
                if not tries_left:
                    raise
            sleep(pause_s)  # another process is at it, or the server is away
            pause_s *= 2
        self._again = False  # it goes on, and will see what is left

    def _work_alone(self, lock: Lock) -> None:
        while self._again:
            self._again = False
            if not self.sweep(_REST, lock):
                self._again = True
        self._client.send(("UNLINK", self._keys.unswept), *lock.release())
