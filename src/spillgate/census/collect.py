"""Taking the samples of a census."""

import math
import random
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace

from spillgate.census.estimate import Draw
from spillgate.census.sample import NEVER, Sample, SampleState, heavy_from
from spillgate.keyspace import grow
from spillgate.model import Census, Run
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import Ask, CallBounds, CensusReply, cursor_at, scan_position

# How many runs of some keys each. QUICK takes some milliseconds on the server, and is enough to tell the heavy
# namespaces apart and to draw cut-offs from. THOROUGH sees every key of a small server.
HURRIED, QUICK, THOROUGH = 2, 8, 200
_QUICK_BOUNDS = CallBounds(keys=150, microseconds=700)
_BOUNDS = CallBounds(keys=160, microseconds=800)
# The first so many keys are looked at one by one: they tell what prefixes there are and what a usual size is.
_PILOT_KEYS = 2000
# So few keys are all visited: that takes no longer than a sample would.
_FEW_KEYS = 15_000
# Of a larger part a pass through all keys in order is as fast as a sample.
_LARGEST_PART = 1 / 3
# One key in so many is looked at closely: what idle times, TTLs and types are drawn from.
_DETAIL_EVERY = 10
_DETAILS_OF_A_PASS = 10_000
_LEAST_RUNS = 30
# Of the runs that the error so far asks for: beyond them where they are near, else part of the way to look again there.
_MARGIN, _PART_OF_THE_WAY = 1.03, 0.7
_NEAR = 2.5
_ROUNDING = 0.98  # of the error wanted: the total that it is a share of is an estimate as well
GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly however many there are: places to start from."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a census is: keys seen and to be seen, and the largest error so far (None: not known yet)."""

    seen: int
    wanted: int
    error: float | None


@dataclass(frozen=True, slots=True)
class CollectorState:
    """How far a full pass has come. ``pilots`` are the first runs, None once prefixes were drawn from them."""

    cursor: int
    exact: bool
    pilots: tuple[Run, ...] | None
    sample: SampleState


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a call starts; None is at random keys."""

    cursor: int | None
    made_up: bool = False

    @property
    def in_order(self) -> bool:
        """Whether it is where another call ended."""
        return self.cursor is not None and not self.made_up


class Collector:
    """One census of one database, a call at a time.

    ``error`` is the largest error wanted for any namespace or prefix, as a share of all bytes; 0 visits every key.
    """

    def __init__(
        self, gateway: Gateway, *, error: float, separator: bytes | None = None, rng: random.Random | None = None
    ) -> None:
        """Prepare; nothing is sent yet."""
        self.sample = Sample(gateway.table.names)
        self.exact = False
        self.cursor = 0
        self._gateway = gateway
        self._error = error
        self._separator = separator
        self._offset = (rng or random.Random()).random()
        self._pilots: list[Run] | None = []
        self._ahead: CensusReply | None = None

    def state(self) -> CollectorState:
        """Everything, so that another of the same database and namespaces may go on from here."""
        pilots = None if self._pilots is None else tuple(self._pilots)
        return CollectorState(self.cursor, self.exact, pilots, self.sample.state())

    def restore(self, state: CollectorState) -> None:
        """Go on from where another was."""
        self.cursor, self.exact = state.cursor, state.exact
        self._pilots = None if state.pilots is None else list(state.pilots)
        self.sample.restore(state.sample)

    def census(self) -> Census:
        """What the calls so far tell."""
        sizes_known = self._gateway.capabilities.memory_usage
        return self.sample.census(self._gateway.now(), exact=self.exact, sizes_known=sizes_known)

    def steps(self) -> Iterator[Progress]:
        """Call until the census is as exact as wanted; after any step it may be left, and `census` asked.

        Raises:
            ServerError: the server failed.
        """
        can = self._gateway.capabilities
        if self._error > 0 and (can.random_cursor or can.random_key):
            self.sample.draw = Draw.RUNS if can.random_cursor else Draw.KEYS
            if (yield from self._sampled()):
                return
            self._start_over()
        yield from self._in_order()

    def _sampled(self) -> Generator[Progress, None, bool]:
        """Runs from places all over the table, until the error is as wanted; false where a full pass is as good."""
        wanted = _LEAST_RUNS
        number = 0
        error: float | None = None
        while number < wanted:
            after = self._place(number + 1) if number + 1 < wanted else None
            self._take(self._place(number), lambda _, after=after: after)
            number += 1
            if number == wanted:
                self._end_pilot()
                error = self.sample.widest()
                wanted = _runs_wanted(number, error / self._error / _ROUNDING)
            keys_wanted = wanted * self.sample.seen // number
            total = self.sample.total_keys
            if total <= _FEW_KEYS or keys_wanted > total * _LARGEST_PART:
                return False
            yield Progress(self.sample.seen, keys_wanted, error)
        return True

    def _place(self, number: int) -> _Place:
        """Where a run starts: places as even as can be, else keys at random."""
        if self._gateway.capabilities.random_cursor:
            return _Place(cursor_at((self._offset + number * GOLDEN) % 1), made_up=True)
        return _Place(None)

    def _start_over(self) -> None:
        """Forget what was sampled, but for the prefixes it has shown."""
        self._ahead = None
        sampled, self.sample = self.sample, Sample(self._gateway.table.names)
        if self._pilots is None:
            self.sample.divide(sampled.tree, sampled.heavy_bytes, self._detail_every(sampled.total_keys))
        else:
            self._pilots = []

    def _in_order(self) -> Iterator[Progress]:
        """Every key, from where the cursor stands."""
        self.sample.draw = Draw.RUNS if self._gateway.capabilities.random_cursor else Draw.UNFAIR
        while not self.exact:
            self.cursor = self._take(_Place(self.cursor), lambda cursor: _Place(cursor) if cursor else None)
            self.exact = self.cursor == 0
            yield Progress(self.sample.seen, max(self.sample.seen, self.sample.total_keys), None)

    def _take(self, place: _Place, following: Callable[[int], _Place | None]) -> int:
        """One call, and the cursor that it ended at.

        The call from the place ``following`` it is made at once, so that the server does not wait for us.
        """
        reply = self._ahead or self._call(place)
        cursor = reply.cursor
        after = following(cursor) if self._pilots is None else None
        self._ahead = self._call(after) if after else None
        # Runs that follow each other see each key as often as any other, wherever they are denser.
        run = replace(reply.run, covered=1.0) if place.in_order else reply.run
        self.sample.add(run)
        if self._pilots is not None:
            self._pilots.append(run)
            if self.sample.seen >= _PILOT_KEYS or (cursor == 0 and place.in_order):
                self._end_pilot()
        return cursor

    def _call(self, place: _Place) -> CensusReply:
        sample = self.sample
        ask = Ask(
            sample.tree,
            detail_every=sample.detail_every,
            named=True,
            heavy_bytes=sample.heavy_bytes,
            big_bytes=sample.big_bytes,
        )
        return self._gateway.census(place.cursor, _BOUNDS, ask, made_up=place.made_up)

    def _end_pilot(self) -> None:
        """Draw prefixes and the usual sizes from the keys so far, all of which were looked at one by one."""
        pilots, self._pilots = self._pilots, None
        if pilots is None:
            return
        every = self._detail_every(self.sample.total_keys)
        if any(tally.untimed for run in pilots for tally in run.tallies.values()):
            self.sample.divide(None, NEVER, every)  # a user who may not look at other keys
            return
        names = [key.name for run in pilots for group, key in run.details if group == 0]
        heavy = heavy_tail(pilots)
        self.sample.divide(grow(names, self._separator) if names else None, heavy, every, pilots)

    def _detail_every(self, total: int) -> int:
        return max(1, total // _DETAILS_OF_A_PASS) if self._error <= 0 else _DETAIL_EVERY


def _runs_wanted(number: int, times_too_wide: float) -> int:
    """How many runs the error so far asks for. It is an estimate itself, so a long way is not gone at once."""
    if times_too_wide <= 1:
        return number
    predicted = number * times_too_wide**2
    return math.ceil(predicted * (_MARGIN if predicted < _NEAR * number else _PART_OF_THE_WAY))


def collect_census(gateway: Gateway, most_runs: int = QUICK, bounds: CallBounds = _QUICK_BOUNDS) -> Census:
    """A census by namespace alone: of every key where ``most_runs`` are enough for that, else of runs at random places.

    Raises:
        ServerError: the server failed.
    """
    can = gateway.capabilities
    draw = Draw.RUNS if can.random_cursor else Draw.KEYS if can.random_key else Draw.UNFAIR
    sample = Sample(gateway.table.names, draw=draw)
    cursor = 0
    exact = False
    in_order = draw is Draw.UNFAIR
    offset = scan_position(gateway.random_cursor()) / (1 << 64)
    for number in range(most_runs):
        made_up = draw is Draw.RUNS and not in_order
        start = cursor if in_order else cursor_at((offset + number * GOLDEN) % 1) if made_up else None
        reply = gateway.census(start, bounds, Ask(), made_up=made_up)
        if number == 0 and not in_order and reply.run.total_keys <= most_runs * bounds.keys:
            # Runs from random places would see the few keys there are several times, runs in order each of them once.
            in_order = True
            continue
        sample.add(reply.run)
        cursor = reply.cursor
        exact = cursor == 0 and in_order
        if exact or (made_up and sample.seen > reply.run.total_keys * _LARGEST_PART):  # more would overlap
            break
    if in_order and not can.random_cursor:
        sample.draw = Draw.UNFAIR
    return sample.census(gateway.now(), exact=exact, sizes_known=can.memory_usage)


def heavy_tail(runs: Iterable[Run]) -> int:
    """The size from which on keys are better counted apart, as far as the details of these runs tell."""
    return heavy_from(key.size_bytes for run in runs for _, key in run.details)
