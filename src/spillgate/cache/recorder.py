"""The recorder of a process: which keys are read and written how often, for whoever asks what other TTLs would do.

It costs less than a microsecond a call and 256 KB a process, whatever is done with the cache (`python -m bench` has the
figures). About once a minute what it knows goes to the server as one small key, along with a command that is sent
anyway, and expires unless the process goes on. Keys of values are never written down: only hashes of a few.
"""

import os
import random
import re
import secrets
import socket
import threading
import weakref
from collections.abc import Callable
from time import monotonic, time
from typing import Final

from spillgate.cache.recording import Process, Recording
from spillgate.cache.reuse import Sample
from spillgate.cache.track import Blind, Track

PUBLISH_S: Final = 60.0
"""How often a recording is published, a little random, so that processes started together do not do it together."""
LIVES_S: Final = 180.0
"""How long it is there."""

_SPREAD: Final = 0.25
_HOST = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_HOST: Final = 64

BLIND: Final = Blind()
"""Records nothing."""

Publication = tuple[str, str, bytes, str, int]
"""The command that publishes."""


class Recorder:
    """What one cache records. All caches of a process share ``sample``, so that its memory is bounded for all.

    ``clock`` is the monotonic one of ``sample``, ``wall`` the time of day, both in seconds.
    """

    def __init__(
        self, sample: Sample | None = None, clock: Callable[[], float] = monotonic, wall: Callable[[], float] = time
    ) -> None:
        self._sample = sample or _shared()
        self._clock = clock
        self._wall = wall
        self._tracks: dict[str, Track] = {}
        self._left_out: set[str] = set()
        weakref.finalize(self, self._sample.release, self._tracks).atexit = False
        self.begin()
        _recorders.add(self)

    def begin(self) -> None:
        """Take an identity; after a fork the child needs its own."""
        self._lock = threading.Lock()
        host = _HOST.sub("-", socket.gethostname())[:_LONGEST_HOST] or "-"
        self.process = Process(host, os.getpid(), secrets.token_hex(4))
        self._since_s = self._wall()
        self.due_s = self._clock() + self._pause_s()

    def track(self, name: str, *, sliding: bool = False) -> Blind:
        """What takes note of a namespace; `BLIND` where there are too many of them."""
        with self._lock:
            if name not in self._tracks and name not in self._left_out:
                track = self._sample.track(name, sliding=sliding)
                if track is None:
                    self._left_out.add(name)
                else:
                    self._tracks[name] = track
            return self._tracks.get(name, BLIND)

    def snapshot(self) -> Recording:
        """What is recorded up to now."""
        with self._lock:
            tracks, left_out = tuple(self._tracks.values()), len(self._left_out)
        namespaces = tuple(self._sample.noted(track) for track in tracks)
        return Recording((self.process,), self._since_s, self._wall(), namespaces, left_out)

    def publication(self, now_s: float) -> Publication | None:
        """The command that publishes what is recorded, for one caller when it is due; None for all others."""
        with self._lock:
            if now_s < self.due_s:
                return None
            self.due_s = now_s + self._pause_s()
        self._sample.age()
        return ("SET", self.process.key, self.snapshot().encode(), "PX", int(LIVES_S * 1000))

    @staticmethod
    def _pause_s() -> float:
        return PUBLISH_S * random.uniform(1 - _SPREAD, 1 + _SPREAD)


_recorders: "weakref.WeakSet[Recorder]" = weakref.WeakSet()
_samples: dict[str, Sample] = {}


def _shared() -> Sample:
    """The sample of this process, made when it is first wanted."""
    if not _samples:
        _samples.setdefault("shared", Sample(monotonic))  # of two threads here at once both get the same
    return _samples["shared"]


def _after_fork() -> None:
    for sample in _samples.values():
        sample.restart()
    for recorder in tuple(_recorders):
        recorder.begin()


os.register_at_fork(after_in_child=_after_fork)
