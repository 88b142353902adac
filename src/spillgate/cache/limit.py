"""A time limit for tasks that is patient where their event loop was blocked."""

import asyncio
from time import monotonic
from types import TracebackType
from typing import Final, Self

# Within so long an event loop hands out what has arrived.
_LEAST_GRACE_S: Final = 0.002


class Limit:
    """Lets a task wait for so many seconds, as `asyncio.timeout` does, from ``with`` to its end.

    Where other code kept the event loop busy for longer than the limit, answers have arrived that nobody has read: a
    timer that runs late tells so. Once, it then waits for as long again as it was late, the limit at most.

    Raises:
        TimeoutError: at the end of ``with``, in place of the cancellation that ended it.
    """

    __slots__ = ("_allowed_s", "_cancelling", "_due_s", "_expired", "_graced", "_task", "_timer")

    def __init__(self, allowed_s: float) -> None:
        self._allowed_s = allowed_s
        self._graced = self._expired = False

    def __enter__(self) -> Self:
        """Begin."""
        task = asyncio.current_task()
        if task is None:
            message = "an asynchronous cache is used by tasks only"
            raise RuntimeError(message)
        self._task = task
        self._cancelling = task.cancelling()
        self._due_s = monotonic() + self._allowed_s
        self._timer = task.get_loop().call_later(self._allowed_s, self._run_out)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End: a cancellation that others asked for stays one."""
        self._timer.cancel()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _run_out(self) -> None:
        if self._graced:
            self._expired = True
            self._task.cancel()
            return
        self._graced = True
        late_s = monotonic() - self._due_s
        grace_s = min(max(late_s, _LEAST_GRACE_S), self._allowed_s)
        self._timer = self._task.get_loop().call_later(grace_s, self._run_out)
