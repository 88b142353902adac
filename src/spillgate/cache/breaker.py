"""A circuit breaker: after some failures in a row nobody waits for the server, but for one who tries it again."""

import threading

from spillgate.cache.forking import register


class Breaker:
    """Closed, it lets everybody through. After ``failures`` in a row it is open: nobody, but one every ``retry_s``.

    Times are of a monotonic clock that the caller hands in. Safe from any thread.
    """

    __slots__ = ("__weakref__", "_failed", "_failures", "_lock", "_retry_at_s", "_retry_s")

    def __init__(self, failures: int, retry_s: float) -> None:
        self._failures = failures
        self._retry_s = retry_s
        self._failed = 0
        self._retry_at_s = 0.0
        self.forget()
        register(self)

    def forget(self) -> None:
        """Begin anew after a fork."""
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether the server is given up for now."""
        return self._failed >= self._failures

    def admits(self, now_s: float) -> bool:
        """Whether a caller may go to the server; where it is open, the one who may is on trial for all others."""
        if self._failed < self._failures:
            return True
        with self._lock:
            if now_s < self._retry_at_s:
                return False
            self._retry_at_s = now_s + self._retry_s
            return True

    def succeeded(self) -> None:
        """The server answered."""
        if self._failed:
            self._failed = 0

    def failed(self, now_s: float) -> bool:
        """The server did not answer; whether that opened the breaker."""
        with self._lock:
            self._failed += 1
            self._retry_at_s = now_s + self._retry_s
            return self._failed == self._failures
