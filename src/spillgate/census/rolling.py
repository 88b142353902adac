"""A census that is kept fresh a call at a time, at next to no cost."""

import math
from dataclasses import dataclass, field, replace

from spillgate.census.collect import GOLDEN, collect_census, heavy_tail
from spillgate.census.estimate import Draw
from spillgate.census.sample import Sample
from spillgate.model import Census, Run
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import Ask, CallBounds, cursor_at

# Some milliseconds of the server's time at the most, like a slice of upkeep.
_BOUNDS = CallBounds(keys=400, microseconds=2000)
_DETAIL_EVERY = 4
# So few keys are counted exactly, all in one go: as rarely as makes one call a look.
_FEW_KEYS = 10_000
_FEWEST, _MOST = 8, 60
_LARGEST_PART = 1 / 3  # of the keys: more runs would overlap
_LONGEST_S = 1800.0
_LARGEST_CHANGE = 0.05  # in the number of keys, since a run was made that still counts


@dataclass(slots=True)
class Rolling:
    """The latest runs through one database. Few keys are counted exactly instead, when enough looks have saved it."""

    gateway: Gateway
    _runs: list[tuple[float, Run]] = field(default_factory=list[tuple[float, Run]])
    _ask: Ask | None = None
    _number: int = 0
    _saved_calls: int = 0

    def forget(self) -> None:
        """What was seen is no longer so: keys were deleted."""
        self._runs.clear()

    def slice(self, total_keys: int) -> Census | None:
        """What one call more tells, of so many keys; None while that is not enough.

        Raises:
            ServerError: the server failed.
        """
        can = self.gateway.capabilities
        if total_keys <= _FEW_KEYS or not (can.random_cursor or can.random_key):
            return self._all(total_keys)
        self._saved_calls = 0
        place = cursor_at(self._number * GOLDEN % 1) if can.random_cursor else None
        ask = self._ask or Ask(detail_every=_DETAIL_EVERY)
        reply = self.gateway.census(place, _BOUNDS, ask, made_up=can.random_cursor)
        self._number += 1
        self._runs.append((self.gateway.now(), reply.run))
        return self._sampled(reply.run.total_keys)

    def _all(self, total_keys: int) -> Census | None:
        self._runs.clear()
        self._saved_calls += 1
        # Some more for what a call does not finish in its time.
        calls = 2 * math.ceil(total_keys / _BOUNDS.keys) + 1
        if self._saved_calls < calls / 2:
            return None
        self._saved_calls = 0
        return collect_census(self.gateway, calls, _BOUNDS)

    def _sampled(self, total: int) -> Census | None:
        now, _ = self._runs[-1]
        most = min(_MOST, int(total * _LARGEST_PART / _BOUNDS.keys))
        self._runs = [
            (at_s, run)
            for at_s, run in self._runs[-most:]
            if now - at_s <= _LONGEST_S and abs(run.total_keys - total) <= _LARGEST_CHANGE * total
        ]
        if len(self._runs) < _FEWEST:
            return None
        if self._ask is None:  # what a usual size is, is known now
            self._ask = Ask(detail_every=_DETAIL_EVERY, heavy_bytes=heavy_tail(run for _, run in self._runs))
            self._runs.clear()
            return None
        can = self.gateway.capabilities
        sample = Sample(self.gateway.table.names, draw=Draw.RUNS if can.random_cursor else Draw.KEYS)
        for _, run in self._runs:
            sample.add(replace(run, expired=0, total_keys=run.total_keys - run.expired))
        return sample.census(now, exact=False, sizes_known=can.memory_usage)
