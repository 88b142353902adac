"""Examining a server now and then, beside a governor and only while that is calm."""

import logging
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Self

from spillgate.cache.recording import Recording, read_recordings
from spillgate.census.evidence import Closeness
from spillgate.checkup.examination import Examination, examine
from spillgate.errors import SpillgateError
from spillgate.governor.clock import Clock
from spillgate.governor.loop import Governor
from spillgate.model import Level
from spillgate.server.driver import Driver
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable

_ERROR = 0.01  # of the survey, as `spillgate doctor` has it
_FIRST_S = 5.0
_END_S = 2.0
_LOOK_AGAIN_S = 60.0
# What the cache library's processes publish is found by walking the keys, a thousand in a command.
_LIBRARY_S = 300.0
_MOST_KEYS = 100_000  # of more keys only once an examination

_log = logging.getLogger("spillgate")


@dataclass(frozen=True, slots=True)
class Library:
    """What the processes of the cache library had published at a time of the wall clock."""

    at_unix_s: float
    recording: Recording


@dataclass(frozen=True, slots=True)
class Latest:
    """The last examination that was finished, and when, by the wall clock."""

    at_unix_s: float
    examination: Examination


class Checkup:
    """A thread that looks for what is wrong with a governor's server, as ``spillgate doctor`` does, and names no keys.

    It has a connection of its own for as long as it looks. It waits while the level is preventive or above, or the
    server is not read, and gives up in the middle when that comes. Plans that meter commands are not examined.
    ``latest`` and ``library`` are None until there is something; ``why_not`` says why nothing is done.
    """

    def __init__(
        self,
        governor: Governor,
        *,
        clock: Clock | None = None,
        first_s: float = _FIRST_S,
    ) -> None:
        """Prepare; ``first_s`` is how long after the start to look for the first time."""
        self.latest: Latest | None = None
        self.library: Library | None = None
        self.error: str | None = None
        self._governor = governor
        self._clock = clock or Clock()
        self._first_s = first_s
        self._examined_at_s = self._read_at_s = -float("inf")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="spillgate-checkup", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, also in the middle of an examination."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_END_S)  # it may wait for a server that hangs; nothing is lost if it goes on doing so

    @property
    def every_s(self) -> float:
        """How often to examine, 0 for never."""
        return self._governor.state.policy.monitor.checkup_s

    @property
    def why_not(self) -> str | None:
        """Why the server is not examined, None where it is."""
        if self._governor.state.policy.monitor.commands_per_day:
            return "the plan meters commands (commands_per_day), so only spillgate doctor examines the server"
        if not self.every_s:
            return 'switched off by [monitor] checkup = "0s"; spillgate doctor examines the server'
        return self.error

    @property
    def next_in_s(self) -> float | None:
        """Seconds until the next examination; None where there is to be none, or the first is still to come."""
        if self.latest is None or not self.every_s or self._governor.state.policy.monitor.commands_per_day:
            return None
        return max(0.0, self._examined_at_s + self.every_s - self._clock.monotonic())

    def _run(self) -> None:
        pause_s = self._first_s
        while not self._stopping.wait(pause_s):
            pause_s = _LOOK_AGAIN_S
            try:
                pause_s = self.step()
            except SpillgateError as error:
                self.error = f"the last examination failed: {error}"
            except Exception as error:  # noqa: BLE001 - a checkup is worth no governor
                self.error = f"the last examination failed: {error!r}"
                _log.warning("the examination of the server failed", exc_info=True)

    def step(self) -> float:
        """Do what is due, and tell how long to wait after it.

        Raises:
            ServerError: the server failed.
        """
        if self._governor.state.policy.monitor.commands_per_day or self._busy():
            return _LOOK_AGAIN_S
        now = self._clock.monotonic()
        every_s = self.every_s
        examining = bool(every_s) and now - self._examined_at_s >= every_s
        few = (self._governor.state.reading.keys or 0) <= _MOST_KEYS if self._governor.state.reading else False
        if examining:
            self._examine()
        if examining or (few and now - self._read_at_s >= _LIBRARY_S):
            self._read_library()
        waits = [_LIBRARY_S, *([self._examined_at_s + every_s - self._clock.monotonic()] if every_s else [])]
        return min(max(1.0, wait) for wait in waits)

    def _busy(self) -> bool:
        """Whether the governor has other worries, or the process is to end."""
        state = self._governor.state
        if self._stopping.is_set() or state.assessment is None or state.unreadable or state.ended:
            return True
        return state.assessment.level >= Level.PREVENTIVE

    def _examine(self) -> None:
        self._examined_at_s = self._clock.monotonic()
        policy = self._governor.state.policy
        closeness = Closeness(growth_s=0.0, masked=True)  # how memory grows the governor knows better
        with closing(Gateway(policy.server, ScanTable(policy.namespaces), clock=time.monotonic)) as gateway:
            done = examine(gateway, policy, _ERROR, closeness, self._busy, governed=True)
        if self._busy():  # what was drawn from a part of the keys is no news
            self._examined_at_s = -float("inf")
            return
        self.latest, self.error = Latest(self._clock.wall(), done), None

    def _read_library(self) -> None:
        self._read_at_s = self._clock.monotonic()
        with closing(Driver(self._governor.state.policy.server, allow=lambda: None)) as driver:
            recording = read_recordings(driver.call)
        self.library = Library(self._clock.wall(), recording) if recording.processes else None
