"""A census that is kept fresh a call at a time, at next to no cost."""

from dataclasses import dataclass, field

from spillgate.census.collect import GOLDEN
from spillgate.census.sample import Sample
from spillgate.model import Census, Run
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import Ask, CallBounds, cursor_at

# Some milliseconds of the server's time at the most, like a slice of upkeep.
_BOUNDS = CallBounds(keys=400, microseconds=2000)
_ASK = Ask(detail_every=4)
_ROUND_RUNS = 30  # a round through all keys of no more runs than these is as good as a sample, and exact
_LEAST_RUNS, _MOST_RUNS = 8, 60
_LARGEST_PART = 1 / 3  # of the keys: more runs would overlap
_LONGEST_S = 1800.0


@dataclass(slots=True)
class Rolling:
    """The latest runs through one database.

    Few keys are visited in order, and counted exactly at the end of each round; of more the runs are a sample, from
    places spread over the table.
    """

    gateway: Gateway
    _runs: list[tuple[float, Run]] = field(default_factory=list[tuple[float, Run]])
    _number: int = 0
    _cursor: int = 0
    _in_order: bool = True

    def forget(self) -> None:
        """What was seen is no longer so: keys were deleted."""
        self._runs.clear()
        self._cursor = 0

    def slice(self) -> Census | None:
        """One call more, and what the latest tell; None while they are too few.

        Raises:
            ServerError: the server failed.
        """
        made_up = not self._in_order
        start = cursor_at(self._number * GOLDEN % 1) if made_up else self._cursor
        reply = self.gateway.census(start, _BOUNDS, _ASK, made_up=made_up)
        total = reply.run.total_keys
        in_order = total <= _ROUND_RUNS * _BOUNDS.keys or not self.gateway.capabilities.random_cursor
        if in_order is not self._in_order:
            self._in_order = in_order
            self.forget()
            return None
        self._number += 1
        self._runs.append((self.gateway.now(), reply.run))
        return self._next_in_round(reply.cursor) if in_order else self._sampled(total)

    def _next_in_round(self, cursor: int) -> Census | None:
        self._cursor = cursor
        if cursor:
            return None
        census = self._census(exact=True)
        self.forget()
        return census

    def _sampled(self, total: int) -> Census | None:
        now, _ = self._runs[-1]
        most = min(_MOST_RUNS, int(total * _LARGEST_PART / _BOUNDS.keys))
        self._runs = [(at_s, run) for at_s, run in self._runs[-most:] if now - at_s <= _LONGEST_S]
        return self._census(exact=False) if len(self._runs) >= _LEAST_RUNS else None

    def _census(self, *, exact: bool) -> Census:
        sample = Sample(self.gateway.table.names)
        for _, run in self._runs:
            sample.add(run)
        at_s, _ = self._runs[-1]
        return sample.census(at_s, exact=exact, sizes_known=self.gateway.capabilities.memory_usage)
