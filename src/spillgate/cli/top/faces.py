"""The ways to show what was seen: a whole terminal, lines in a pipe, documents for programs."""

import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live

from spillgate.cli.top.keys import Extent
from spillgate.cli.top.screen import draw
from spillgate.cli.top.seen import Happened
from spillgate.cli.top.terminal import Events
from spillgate.cli.top.view import View, line_of, news_line
from spillgate.web.views import Document


class Face:
    """For a pipe, or a terminal that cannot do more: what happened, and a line for each look."""

    def tell(self, view: View, document: Document, news: Sequence[Happened]) -> None:  # noqa: ARG002 - some need it
        """One more look, with what its journal has."""
        for one in news:
            _say(news_line(one))
        _say(line_of(view))

    def draw(self, view: View) -> Extent:  # noqa: ARG002 - a screen needs it
        """Looks came in, keys were pressed or time went on; returns how far what is shown can be scrolled."""
        return Extent(0, 0)

    def step_aside(self, events: Events) -> None:
        """Leave the terminal to the shell until it comes back."""
        events.stop_here()


class _Documents(Face):
    """For programs: a document a line."""

    def tell(self, view: View, document: Document, news: Sequence[Happened]) -> None:  # noqa: ARG002 - the document has all
        _say(json.dumps(document, ensure_ascii=False))


class _Screen(Face):
    """The whole terminal."""

    def __init__(self, out: Console, live: Live) -> None:
        self._out = out
        self._live = live

    def tell(self, view: View, document: Document, news: Sequence[Happened]) -> None:
        """It is drawn soon."""

    def draw(self, view: View) -> Extent:
        width, height = self._out.size
        drawn = draw(view, width, height, plain=self._out.options.ascii_only)
        self._live.update(Group(*drawn.lines), refresh=True)
        return drawn.extent

    def step_aside(self, events: Events) -> None:
        self._live.stop()
        events.stop_here()
        self._live.start()


@contextmanager
def shown_by(out: Console, *, live: bool, as_json: bool) -> Generator[Face]:
    """The way to show things; a ``live`` one takes the whole terminal for its time."""
    if not live:
        yield _Documents() if as_json else Face()
        return
    with Live(console=out, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as shown:
        yield _Screen(out, shown)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
