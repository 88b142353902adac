"""A short lock in the server: who holds it computes a value, and all others wait for that."""

import secrets
from time import monotonic
from typing import Final

from spillgate.cache.wire import Reply, failed

# A lock is given back only while it surely is still ours, by a clock that may run differently from the server's.
_SURE: Final = 0.9


class Lock:
    """One try to be the one who computes. It ends by itself after ``lock_s``."""

    __slots__ = ("_held_since_s", "_lock_s", "_name", "_token")

    def __init__(self, name: str, lock_s: float) -> None:
        self._name = name
        self._lock_s = lock_s
        self._token = secrets.token_hex(8)
        self._held_since_s: float | None = None

    def take(self) -> tuple[str | int, ...]:
        """The command that takes it."""
        self._held_since_s = monotonic()
        return ("SET", self._name, self._token, "PX", int(self._lock_s * 1000), "NX")

    def taken(self, reply: Reply) -> bool:
        """Whether that command took it."""
        if reply is None or failed(reply):
            self._held_since_s = None
        return self._held_since_s is not None

    def renew(self) -> tuple[tuple[str | int, ...], ...]:
        """The commands by which it lasts as long again: none where it is not held."""
        if self._held_since_s is None:
            return ()
        self._held_since_s = monotonic()
        return (("PEXPIRE", self._name, int(self._lock_s * 1000)),)

    def shorten(self, seconds: float) -> tuple[tuple[str | int, ...], ...]:
        """The commands by which it ends soon: none where it is not held."""
        if self._held_since_s is None:
            return ()
        self._held_since_s = None
        return (("PEXPIRE", self._name, int(seconds * 1000)),)

    def look(self) -> tuple[str, str]:
        """The command that tells who holds it; for one that may have been taken unnoticed."""
        return ("GET", self._name)

    def leave(self, holder: Reply) -> tuple[tuple[str, ...], ...]:
        """The commands that give it back where that is us."""
        return (("UNLINK", self._name),) if holder == self._token.encode() else ()

    def release(self) -> tuple[tuple[str, ...], ...]:
        """The commands that give it back: none where it is not held, or may be somebody else's by now."""
        if self._held_since_s is None or monotonic() - self._held_since_s > _SURE * self._lock_s:
            return ()
        self._held_since_s = None
        return (("UNLINK", self._name),)
