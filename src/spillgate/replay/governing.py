"""The governor of a replay, in a process of its own, so that client and governor do not wait for each other.

``python -m spillgate.replay.governing`` takes a policy on standard input, governs until that closes, and tells on
standard output a line when it has looked for the first time, and in the end a line of what it did.
"""

import logging
import pickle
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self, cast

import msgspec

from spillgate.config import Policy
from spillgate.errors import ServerUnreachable
from spillgate.governor.journal import Event
from spillgate.governor.loop import Governor
from spillgate.governor.state import State

_START_S = 20.0
_END_S = 15.0


@dataclass(frozen=True, slots=True)
class Governed:
    """What a governor did: levels in the order of their first visit, steps of cleanups, and what those touched."""

    levels: tuple[str, ...] = ()
    steps: int = 0
    deleted: dict[str, int] = field(default_factory=dict[str, int])
    retimed: int = 0
    freed_bytes: int = 0
    commands: int = 0
    error: str | None = None


class GovernorProcess:
    """A governor that runs while in its context; `finish` ends it and tells what it did."""

    def __init__(self, policy: Policy) -> None:
        """Prepare to govern the server of ``policy``."""
        self._policy = policy
        self._told: Governed | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it has looked once.

        Raises:
            ServerUnreachable: it does not come so far.
        """
        command = [sys.executable, "-P", "-c", "from spillgate.replay.governing import main; main()"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        try:
            self._write(pickle.dumps(self._policy))
            begun = self._read(_START_S)
        except BaseException:
            self.__exit__()
            raise
        if not begun:
            self.__exit__()
            raise ServerUnreachable("the replay's governor did not start")
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes what is left of the pipes
            self._process.kill()

    def finish(self) -> Governed:
        """End it, and return what it did."""
        if self._told is None:
            stdin = self._process.stdin
            assert stdin is not None  # noqa: S101 - a pipe was asked for
            stdin.close()
            line = self._read(_END_S)
            failed = Governed(error="the governor ended before its time")
            self._told = msgspec.json.decode(line, type=Governed) if line else failed
        return self._told

    def _write(self, data: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - a pipe was asked for
        stdin.write(b"%d\n%b" % (len(data), data))
        stdin.flush()

    def _read(self, timeout_s: float) -> bytes:
        """The next line; empty where the process ends, or has to be ended, without one."""
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        guard = threading.Timer(timeout_s, self._process.kill)
        guard.start()
        try:
            return self._process.stdout.readline()
        finally:
            guard.cancel()


class _Collector(logging.Handler):
    """Adds up what the governor's journal tells, entry by entry: the journal itself keeps but the latest."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[str] = []
        self.deleted: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Take one entry."""
        told = cast("dict[str, Any]", getattr(record, "spillgate", {}))
        if told.get("event") == Event.LEVEL and told["level"] not in self.levels:
            self.levels.append(told["level"])
        self.deleted.update(cast("dict[str, int]", told.get("deleted_by_namespace", {})))

    def done(self, state: State) -> Governed:
        """What it comes to, with what the governor added up itself."""
        totals = state.totals
        return Governed(
            tuple(self.levels),
            totals.actions,
            dict(self.deleted),
            totals.retimed,
            totals.freed_bytes,
            state.commands,
            state.error,
        )


def main() -> None:
    """Govern until standard input closes."""
    size = int(sys.stdin.buffer.readline())
    policy = cast("Policy", pickle.loads(sys.stdin.buffer.read(size)))  # noqa: S301 - it comes from our own parent
    collector, logger = _Collector(), logging.getLogger("spillgate")
    logger.addHandler(collector)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    governor = Governor(policy)
    governor.cycle()
    with governor:
        _tell(b"begun")
        sys.stdin.buffer.read()
    _tell(msgspec.json.encode(collector.done(governor.state)))


def _tell(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
