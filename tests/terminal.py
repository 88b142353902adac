"""A program in a pseudo-terminal of its own, as a person would use it."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence

TIMEOUT_S = 30.0
ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
"""What makes a terminal show its other screen, and its own again."""
CURSOR_SHOWN = "\x1b[?25h"
_HOME = "\x1b[H"
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Makes its input its controlling terminal, so that Ctrl-C and a change of size reach it; then becomes the program.
_LAUNCH = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class Terminal:
    """A terminal of ``rows`` by ``columns`` in which ``command`` runs until it ends, or the block does."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], *, rows: int = 24, columns: int = 80, kind: str = "xterm"
    ) -> None:
        self._ours, self._theirs = os.openpty()
        self.resize(rows, columns)
        self.before = self.modes
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, *command],
            # its size is that of the terminal, not what its parent's was
            env={name: value for name, value in env.items() if name not in {"LINES", "COLUMNS"}} | {"TERM": kind},
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    @property
    def modes(self) -> list[Any]:
        """How the terminal is set: echo, line editing and the rest."""
        return termios.tcgetattr(self._theirs)

    @property
    def frame(self) -> str:
        """The screen as it was last drawn whole; all output where none was."""
        frames = self.output.split(_HOME)
        whole = frames[-1] if self._is_whole(frames[-1]) or len(frames) == 1 else frames[-2]
        return _SEQUENCE.sub("", whole).replace("\r", "")

    @property
    def last_words(self) -> str:
        """What came after the program had given the screen back."""
        return _SEQUENCE.sub("", self.output.rpartition(LEFT)[2]).replace("\r", "")

    def _is_whole(self, frame: str) -> bool:
        return LEFT in frame or frame.count("\n") >= self._rows - 1

    def resize(self, rows: int, columns: int) -> None:
        """Give it another size."""
        self._rows = rows
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def writes(self, text: str, count: int) -> None:
        """Wait until it has written this so many times, on any screen."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.output.count(text) < count:
            assert time.monotonic() < deadline, f"wrote {text!r} {self.output.count(text)} times"
            self._read(0.05)

    def awaits(self, *texts: str) -> str:
        """Wait until a screen has all of these; return it."""
        deadline = time.monotonic() + TIMEOUT_S
        while not all(text in self.frame for text in texts):
            assert time.monotonic() < deadline, f"never showed {texts}, but last:\n{self.frame}"
            ended = self.process.poll()
            if not self._read(0.05):
                assert ended is None, f"ended with {ended} before it showed {texts}:\n{self.frame}"
        return self.frame

    def ends(self, number: signal.Signals | None = None) -> int:
        """Send a signal, where one is given, and wait for the exit code; what is written meanwhile is read."""
        if number is not None:
            self.process.send_signal(number)
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"does not end; its last screen:\n{self.frame}"
            self._read(0.02)
        while self._read(0.05):
            pass
        return self.process.wait()

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], seconds)
        if ready:
            self.output += os.read(self._ours, 65536).decode(errors="replace")
        return bool(ready)
