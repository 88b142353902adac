"""What the library knows of the server's memory, and which writes it therefore sheds.

The level comes from INFO memory, asked for at most once a second by a process, along with a command that is sent
anyway. It rises at once, also where memory would pass the limit before the next look if it went on filling as it did;
it ends ``release`` below its threshold. A refused write (OOM) says critical whatever INFO says.

At critical the library sheds writes in the order in which the governor cleans: one namespace at first, one more with
each further second and each refused write, one less with each second at emergency, and none at all below that.
Protected namespaces are never shed.
"""

import re
import threading
from collections.abc import Iterable

from spillgate.cache.forking import register
from spillgate.config import NamespacePolicy, Policy
from spillgate.model import Level

LOOK_S = 1.0
_BLIND_LOOK_S = 60.0
# A refused write is remembered this long where INFO cannot tell that it is over.
_OOM_S = 5.0
# More than one refusal of the same burst says nothing new.
_OOM_STEP_S = 0.1
_WAKE_S = 1.0
_POLICY = re.compile(rb"maxmemory_policy:([a-z-]+)")
_FIELD = re.compile(rb"(used_memory|maxmemory|mem_not_counted_for_evict):(\d+)")


class Pressure:
    """The level and what follows from it, shared by all namespaces of a cache, from any thread.

    Times are of a monotonic clock that the caller hands in. ``level`` is None while nothing is known.
    """

    def __init__(self, policy: Policy) -> None:
        self.level: Level | None = None
        self.shed: frozenset[str] = frozenset()
        self._levels = policy.levels
        self._declared_bytes = policy.server.limit_bytes
        self._order = _shed_order(policy.namespaces)
        self._depth = 0
        self._look_at_s = float("-inf")
        self._used_bytes: int | None = None
        self._seen_at_s = 0.0
        self._oom_at_s = float("-inf")
        self._wake_at_s = float("-inf")
        self.forget()
        register(self)

    def forget(self) -> None:
        """Begin anew after a fork."""
        self._lock = threading.Lock()

    @property
    def effective(self) -> Level:
        """The level to act by: normal while it is not known."""
        return self.level or Level.NORMAL

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to look."""
        return now_s >= self._look_at_s

    def claim_look(self, now_s: float) -> bool:
        """Whether it is time to look; the caller who is told so does it."""
        if now_s < self._look_at_s:
            return False
        with self._lock:
            if now_s < self._look_at_s:
                return False
            self._look_at_s = now_s + LOOK_S
            return True

    def saw(self, info: object, now_s: float) -> None:
        """Take in a reply to INFO memory; anything else means that the server does not tell."""
        fields = {name: int(value) for name, value in _FIELD.findall(info)} if isinstance(info, bytes) else {}
        maxmemory = None if _evicts(info) else fields.get(b"maxmemory")
        limits = [size for size in (self._declared_bytes, maxmemory) if size]
        with self._lock:
            if b"used_memory" not in fields or not limits:
                remembered = now_s - self._oom_at_s < _OOM_S
                # While a refusal is remembered, the next look ends that in time.
                self._look_at_s = now_s + (LOOK_S if remembered else _BLIND_LOOK_S)
                self._settle(Level.CRITICAL if remembered else None)
                return
            used = fields[b"used_memory"] - fields.get(b"mem_not_counted_for_evict", 0)
            before, seconds = self._used_bytes, now_s - self._seen_at_s
            self._used_bytes, self._seen_at_s = used, now_s
            grown = max(0, used - before) if before is not None else 0
            coming = used + (grown / seconds * LOOK_S if 0 < seconds <= 2 * LOOK_S else 0)
            self._settle(self._level_of(used / min(limits), coming / min(limits)))

    def refused(self, now_s: float) -> bool:
        """A write was refused for want of memory; whether the governor is to be told, once a second at the most."""
        with self._lock:
            if now_s - self._oom_at_s >= _OOM_STEP_S:
                self._oom_at_s = now_s
                self.level = Level.CRITICAL
                self._deepen(1)
            # A pause after a blind look would outlast what it is good for.
            self._look_at_s = min(self._look_at_s, now_s + LOOK_S)
            if now_s - self._wake_at_s < _WAKE_S:
                return False
            self._wake_at_s = now_s
            return True

    def _level_of(self, pressure: float, forecast: float) -> Level:
        begins = (0.0, self._levels.warning, self._levels.preventive, self._levels.emergency, self._levels.critical)
        risen = max(level for level in Level if pressure >= begins[level])
        if forecast >= begins[Level.CRITICAL]:
            risen = Level.CRITICAL
        now = self.effective
        while now > risen and pressure <= begins[now] - self._levels.release:
            now = Level(now - 1)
        return max(now, risen)

    def _settle(self, level: Level | None) -> None:
        self.level = level
        if level is None or level < Level.EMERGENCY:
            self._deepen(-len(self._order))
        else:
            self._deepen(1 if level is Level.CRITICAL else -1)

    def _deepen(self, steps: int) -> None:
        self._depth = min(max(0, self._depth + steps), len(self._order))
        self.shed = frozenset(self._order[: self._depth])


def _evicts(info: object) -> bool:
    """Whether the server makes room by itself, so that being full is what it is like."""
    policy = _POLICY.search(info) if isinstance(info, bytes) else None
    return policy is not None and policy[1] != b"noeviction"


def _shed_order(namespaces: Iterable[NamespacePolicy]) -> tuple[str, ...]:
    """Names of the namespaces that may be shed, those to go first first."""
    open_ones = [namespace for namespace in namespaces if not namespace.protected]
    return tuple(one.name for one in sorted(open_ones, key=lambda one: one.priority or 0))
