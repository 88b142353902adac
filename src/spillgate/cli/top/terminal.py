"""Borrowing a terminal: keys as they are pressed, signals as they come, and everything put back in the end."""

import os
import select
import signal
import sys
import termios
import tty
from contextlib import suppress
from types import FrameType
from typing import Any, Self

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BLOCK = 1024


class Events:
    """What a program waits for: keys, signals and `wake`, one at a time, in the main thread, while in its context.

    ``keys`` says whether standard input is asked for keys, which takes a terminal; its echo and line editing are off
    for the time. Signals only set flags: ``asked_to_end`` and ``asked_to_stop`` (Ctrl-Z).
    """

    def __init__(self, *, keys: bool) -> None:
        self.asked_to_end = False
        self.asked_to_stop = False
        self._keys = keys and sys.stdin is not None and sys.stdin.isatty()
        self._modes: list[Any] | None = None
        self._signals: dict[int, Any] = {}
        self._write_end = -1

    def __enter__(self) -> Self:
        self._read_end, self._write_end = os.pipe()
        for end in (self._read_end, self._write_end):
            os.set_blocking(end, False)
        signals = (*_ENDING, signal.SIGWINCH, *([signal.SIGTSTP] if self._keys else []))
        heeded = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores some
        self._signals = {number: signal.signal(number, self._take) for number in heeded}
        self.borrow()
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()
        for number, handler in self._signals.items():
            signal.signal(number, handler)
        os.close(self._read_end)
        write_end, self._write_end = self._write_end, -1  # a thread may still want to `wake`
        os.close(write_end)

    def borrow(self) -> None:
        """Take keys one by one, without echo. Signals stay what they are: Ctrl-C and Ctrl-Z send them."""
        if self._keys:
            self._modes = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin, termios.TCSANOW)

    def give_back(self) -> None:
        """The terminal as it was."""
        if self._modes is not None:
            with suppress(termios.error):  # it may be gone
                termios.tcsetattr(sys.stdin, termios.TCSANOW, self._modes)
            self._modes = None

    def stop_here(self) -> None:
        """Let the shell take over until it continues this process."""
        self.asked_to_stop = False
        self.give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.borrow()

    def wake(self) -> None:
        """End the present or next `wait`; from any thread."""
        with suppress(OSError):  # full: it will end anyway; not there: nobody waits yet, or any more
            os.write(self._write_end, b"\0")

    def wait(self, seconds: float) -> bytes:
        """Until something happens, or for so long; returns what the keyboard sent."""
        sources = [self._read_end, *([sys.stdin.fileno()] if self._keys else [])]
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._read_end in ready:
            with suppress(BlockingIOError):
                while os.read(self._read_end, _BLOCK):
                    pass
        return self._pressed() if len(sources) > 1 and sources[1] in ready else b""

    def _pressed(self) -> bytes:
        try:
            received = os.read(sys.stdin.fileno(), _BLOCK)
        except OSError:
            received = b""
        if not received:  # the terminal is gone, and with it whoever looked at it
            self._keys, self.asked_to_end = False, True
        return received

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if number in _ENDING:
            self.asked_to_end = True
        elif number == signal.SIGTSTP:
            self.asked_to_stop = True
        self.wake()
