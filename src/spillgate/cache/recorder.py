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

from spillgate.cache.forking import register
from spillgate.cache.recording import Namespace, Process, Recording
from spillgate.cache.reuse import Sample
from spillgate.cache.track import Blind, Track

PUBLISH_S: Final = 60.0
"""How often a recording is published, a little random, so that processes started together do not do it together."""
LIVES_S: Final = 180.0
"""How long it is there."""

_SPREAD: Final = 0.25
_PATIENCE_S: Final = 1.0
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
        self.sample = sample or _shared()
        self._clock = clock
        self._wall = wall
        self._tracks: dict[str, Track] = {}
        self._left_out: set[str] = set()
        weakref.finalize(self, self.sample.release, self._tracks).atexit = False
        self.forget()
        register(self)

    def forget(self) -> None:
        """Take an identity; after a fork the child needs its own."""
        self._lock = threading.Lock()
        host = _HOST.sub("-", socket.gethostname())[:_LONGEST_HOST] or "-"
        self.process = Process(host, os.getpid(), secrets.token_hex(4))
        self._since_s = self._wall()
        self._noted: list[Namespace] = []
        self._to_note: list[Track] = []
        self._begun_s = 0.0
        self.due_s = self._clock() + self._pause_s()

    def track(self, name: str, *, sliding: bool = False) -> Blind:
        """What takes note of a namespace; `BLIND` where there are too many of them."""
        with self._lock:
            if name not in self._tracks and name not in self._left_out:
                track = self.sample.track(name, sliding=sliding)
                if track is None:
                    self._left_out.add(name)
                else:
                    self._tracks[name] = track
            return self._tracks.get(name, BLIND)

    def snapshot(self) -> Recording:
        """What is recorded up to now."""
        with self._lock:
            return self._recording([self.sample.noted(track) for track in self._tracks.values()])

    def publication(self, now_s: float) -> Publication | None:
        """The command that publishes what is recorded, for one caller when it is due; None for all others.

        When it is due each call makes up one namespace of it, so that none takes much longer than others; where calls
        are rare, the second makes up the rest.
        """
        if now_s < self.due_s or not self._lock.acquire(blocking=False):
            return None
        try:
            return self._next_part(now_s)
        finally:
            self._lock.release()

    def _next_part(self, now_s: float) -> Publication | None:
        if now_s < self.due_s:
            return None  # another thread was faster
        self.due_s = now_s + self._pause_s()
        if not self._to_note:
            self.sample.age()
            self._noted, self._to_note, self._begun_s = [], list(self._tracks.values()), now_s
        while self._to_note:
            self._noted.append(self.sample.noted(self._to_note.pop()))
            if self._to_note and now_s - self._begun_s < _PATIENCE_S:
                self.due_s = now_s
                return None
        document = self._recording(self._noted).encode()
        return ("SET", self.process.key, document, "PX", int(LIVES_S * 1000))

    def _recording(self, noted: list[Namespace]) -> Recording:
        return Recording((self.process,), self._since_s, self._wall(), tuple(noted), len(self._left_out))

    @staticmethod
    def _pause_s() -> float:
        return PUBLISH_S * random.uniform(1 - _SPREAD, 1 + _SPREAD)


_samples: dict[str, Sample] = {}


def _shared() -> Sample:
    """The sample of this process, made when it is first wanted."""
    if not _samples:
        _samples.setdefault("shared", Sample(monotonic))  # of two threads here at once both get the same
    return _samples["shared"]
