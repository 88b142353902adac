"""The command: what was typed, looks that come in, keys, and what is shown of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from spillgate.cli.options import PolicySource
from spillgate.cli.output import Exit
from spillgate.cli.top.faces import Face, shown_by
from spillgate.cli.top.keys import SHORTEST_S, Controls, Extent, pressed, split
from spillgate.cli.top.looking import Looker
from spillgate.cli.top.looks import Look, Looks, Source
from spillgate.cli.top.remote import Remote
from spillgate.cli.top.seen import Happened, seen_in
from spillgate.cli.top.terminal import Events
from spillgate.cli.top.view import View
from spillgate.cli.top.watched import Trail, Watched
from spillgate.errors import ConfigError
from spillgate.model import Level
from spillgate.units import parse_duration

_REDRAW_S = 1.0  # the clock, and how old things are


@dataclass(frozen=True, slots=True)
class Request:
    """The options of the command as they were typed."""

    policy: PolicySource
    governor: str | None = None
    interval: str = "2s"
    count: int | None = None
    as_json: bool = False

    def interval_s(self) -> float:
        """How often to look.

        Raises:
            ConfigError: it is no time, or too short a one.
        """
        try:
            seconds = parse_duration(self.interval)
        except ConfigError as error:
            raise ConfigError(str(error), source="command line", key="--interval") from error
        if seconds < SHORTEST_S:
            message = f'expected 100ms or more, got "{self.interval}"'
            raise ConfigError(message, source="command line", key="--interval")
        return seconds

    def source(self) -> Source:
        """Where looks come from.

        Raises:
            ConfigError: neither a server nor a governor can be found.
        """
        if self.governor is None:
            return Looker(self.policy.load())
        if self.policy.url or self.policy.limit or self.policy.config:
            message = "the governor knows its server and its policy: leave out --url, --config and --limit"
            raise ConfigError(message, source="command line", key="--from")
        return Remote(self.governor)


def watch(request: Request) -> Exit:
    """The whole command, and the exit code it ends with: of the latest look where it ends by ``count``, else 0.

    A terminal gets a live screen, a dumb terminal and a pipe a line for each look, and with ``as_json`` a document a
    line.

    Raises:
        ConfigError: options, a policy or a limit that cannot be used.
        ServerError: the server does not let this user in.
    """
    from spillgate.cli.output import console  # noqa: PLC0415 - it brings rich

    controls, source = Controls(request.interval_s()), request.source()
    out = console()
    live = out.is_terminal and not out.is_dumb_terminal and not request.as_json
    events = Events(keys=live)
    with (  # in this order the terminal is given back first
        Looks(source, controls.interval_s, events.wake) as looks,
        events,
        shown_by(out, live=live, as_json=request.as_json) as face,
    ):
        return _Session(source, looks, events, face, controls).run(request.count)


class _Session:
    """One run of the command."""

    def __init__(self, source: Source, looks: Looks, events: Events, face: Face, controls: Controls) -> None:
        began_s = time.monotonic()
        self.controls = controls
        self._source = source
        self._looks = looks
        self._events = events
        self._face = face
        self._watched = Watched(Trail(began_s, controls.interval_s))
        self._since = _clock()
        self._unread = b""
        self._extent = Extent(0, 0)

    def run(self, count: int | None) -> Exit:
        """Until it is told to end, or so many looks were shown."""
        left = count
        while not (self._events.asked_to_end or self.controls.quit):
            for look in self._looks.take()[:left]:
                news = self._take(look)
                self._face.tell(self._view(), look.document, news)
                left = None if left is None else left - 1
            self._extent = self._face.draw(self._view())
            if left == 0:
                return self._exit()
            self._heed(self._events.wait(_REDRAW_S))
            if self._events.asked_to_stop:
                self._face.step_aside(self._events)
        return Exit.FINE

    def _take(self, look: Look) -> Sequence[Happened]:
        if self._watched.seen is None and (past := self._source.past):
            self._watched.trail = Trail.of_past(past, look.at_s, self.controls.interval_s)
            self._since = _clock(past[0][0])
        return self._watched.take(seen_in(look.document), look.at_s, self._pause_s)

    def _heed(self, received: bytes) -> None:
        before = self.controls
        keys, self._unread = split(self._unread + received)
        for key in keys:
            self.controls = pressed(self.controls, key, self._extent)
        after = self.controls
        if (before.interval_s, before.paused) != (after.interval_s, after.paused):
            self._looks.change(after.interval_s, paused=after.paused)

    def _exit(self) -> Exit:
        seen = self._watched.seen
        if seen is None or not seen.reachable:
            return Exit.UNREACHABLE
        return Exit.ALARMED if (seen.in_force or Level.NORMAL) >= Level.PREVENTIVE else Exit.FINE

    @property
    def _pause_s(self) -> float:
        return self._source.pause_s(self.controls.interval_s)

    def _view(self) -> View:
        watched, now_s = self._watched, time.monotonic()
        return View(
            seen=watched.seen,
            controls=self.controls,
            at=_clock(),
            since=self._since,
            pause_s=self._pause_s,
            age_s=watched.age_s(now_s),
            columns=watched.trail.columns,
            column_s=watched.trail.column_s,
            evicted=watched.evicted.total,
            refused=watched.refused.total,
            entries=watched.entries,
        )


def _clock(ago_s: float = 0.0) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time.time() - ago_s))
