"""The points of the last quarter of an hour, also while the clock is set."""

from dataclasses import replace

from spillgate.alerts.conditions import RECENT_S
from spillgate.alerts.notice import Moment
from spillgate.alerts.trend import SPAN_S
from spillgate.governor.history import History, Point, Span

_SECOND_S = 1.0
_SET_S = 2.0  # what the two clocks drift apart by between two looks is less


class Recent:
    """Reads a history on; the times of what it holds are those of the clock as it is now."""

    def __init__(self, history: History, now: Moment) -> None:
        """Begin with what the history knows from before."""
        self._history = history
        self._number = history.seconds
        self._last = now
        earlier = history.points(Span.HOUR, now.unix_s - SPAN_S)
        self._points = {one.at_s: one for one in earlier if one.at_s <= now.unix_s - _SECOND_S}

    def points(self, now: Moment) -> tuple[Point, ...]:
        """Oldest first; the one under way comes when it is over."""
        fresh = self._history.newest(self._number)
        if fresh:
            self._number = fresh[-1][0]
        elapsed_s = now.monotonic_s - self._last.monotonic_s
        set_by_s = now.unix_s - self._last.unix_s - elapsed_s
        points = [point for _, point in fresh]
        if abs(set_by_s) > _SET_S:
            since_s = now.unix_s - elapsed_s - _SET_S
            points = [
                one if since_s <= one.at_s <= now.unix_s else replace(one, at_s=one.at_s + set_by_s) for one in points
            ]
            held = (replace(one, at_s=one.at_s + set_by_s) for one in self._points.values())
            self._points = {one.at_s: one for one in held}
        self._last = now
        self._points |= {one.at_s: one for one in points}
        oldest_s = now.unix_s - max(SPAN_S, RECENT_S)
        self._points = {at_s: one for at_s, one in sorted(self._points.items()) if oldest_s <= at_s <= now.unix_s}
        return tuple(self._points.values())
