"""The demo from its start to its summary."""

import json
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Self

from rich.console import Console, Group
from rich.live import Live

from spillgate.demo.pace import pace_in_words
from spillgate.demo.screen import draw, status_line
from spillgate.demo.stage import Stage, staged
from spillgate.demo.summary import Summary
from spillgate.demo.watch import Line
from spillgate.errors import ConfigError
from spillgate.units import format_duration

_SECONDS = 60.0
_LEAST_SECONDS = 5.0
_FRAME_S = 0.25
_LINE_S = 1.0


def run_demo(*, seconds: float | None, as_json: bool, host: str, port: int) -> int:
    """Run the demo for ``seconds`` (60 where None), or until SIGINT, SIGTERM or SIGHUP; return the exit code.

    A terminal gets a live screen, a pipe a line a second, and both a summary in words. With ``as_json`` standard output
    gets the summary as one JSON document and nothing else. 0 says that nothing was lost and no write refused, 1 that
    something was, or that it is not known. Call it in the main thread: it takes over signals for its time.

    Raises:
        ConfigError: ``seconds`` or ``host`` cannot be used.
        MissingExtra: ``spillgate[embedded]`` is not installed.
        ServerUnreachable: the embedded server does not start.
    """
    seconds = _SECONDS if seconds is None else seconds
    if seconds < _LEAST_SECONDS:
        message = f"four phases take {format_duration(_LEAST_SECONDS)} at least, got {format_duration(seconds)}"
        raise ConfigError(message, source="command line", key="--seconds")
    console = Console(stderr=as_json, highlight=False, markup=False)
    with _Stop() as stop, staged(seconds, host, port) as stage:
        summary = _watched(stage, stop, console, quiet=as_json and not console.is_terminal)
    if as_json:
        sys.stdout.write(json.dumps(summary.document(), indent=2) + "\n")
    else:
        _say(console, "", *summary.lines(), "", pace_in_words(seconds), wrap=console.is_terminal)
    return 0 if summary.kept else 1


class _Stop:
    """Whether somebody asked the demo to end. A signal only sets a flag: what was begun is ended in order."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._ask) for number in signals}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def _watched(stage: Stage, stop: _Stop, console: Console, *, quiet: bool) -> Summary:
    """Follow the run to its end, in the way that ``console`` can show."""
    if quiet:
        _follow(stage, stop, lambda _: None)
    elif console.is_terminal and not console.is_dumb_terminal:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            _follow(stage, stop, lambda _: live.update(_screen(stage, console), refresh=True))
    else:
        _say(console, f"Spillgate demo: {stage.server}, {format_duration(stage.seconds)}", stage.endpoint, "")
        _follow(stage, stop, _Lines(stage, console).tell)
    return stage.finish()


def _follow(stage: Stage, stop: _Stop, show: Callable[[Sequence[Line]], None]) -> None:
    while stage.workload.running and not stop.asked:
        show(stage.story.read_on())
        time.sleep(_FRAME_S)


def _screen(stage: Stage, console: Console) -> Group:
    return Group(*draw(stage.view(), console.width, console.height, plain=console.options.ascii_only))


def _say(console: Console, *lines: str, wrap: bool = False) -> None:
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        console.print(textwrap.fill(line, console.width, subsequent_indent=indent) if wrap else line, soft_wrap=True)


class _Lines:
    """For a pipe: what happens when it happens, and where things stand once a second."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self._stage = stage
        self._console = console
        self._stood_at_s = 0.0

    def tell(self, news: Sequence[Line]) -> None:
        """Print ``news``, and the state where that is due."""
        _say(self._console, *(f"{at_s:6.1f}s   {text}" for at_s, text in news))
        if time.monotonic() - self._stood_at_s >= _LINE_S:
            self._stood_at_s = time.monotonic()
            _say(self._console, status_line(self._stage.view()))
