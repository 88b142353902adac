"""Workloads made by chance from a description: rates, populations, popularity, sizes and phases.

Requests of each kind come as a Poisson process whose rate is constant within a phase. Together they are one such
process, from whose events each kind gets its share: so they are drawn, in order, with one number for the time, one for
the kind and one for the key.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

from spillgate.config import Policy
from spillgate.replay.chance import Zipf, mixed, scattered
from spillgate.replay.workload import Op, Phase, Request, Space, Workload, phases_of

_TTL_SALT = 77_773


@dataclass(frozen=True, slots=True)
class Population:
    """One namespace: how often it is read and written, and what its keys are like. Rates are per second.

    ``keys`` can be asked for, by Zipf's law with the exponent ``zipf``. ``sizes`` are quantiles of value sizes and
    ``ttls`` (TTL, share) of the requests' own TTLs: a key keeps its size and TTL. Of its writes the share ``new``
    brings a key that was never there, which is the most popular one until the next: reads are then of the latest
    ``keys``. Names of keys are filled up to ``name_bytes``.
    """

    name: str
    keys: int
    reads_s: float = 0.0
    writes_s: float = 0.0
    deletes_s: float = 0.0
    zipf: float = 0.9
    sizes: tuple[int, ...] = (500,)
    ttls: tuple[tuple[float, float], ...] = ()
    new: float = 0.0
    name_bytes: int = 0
    weight: float | None = None

    def space(self) -> Space:
        """What the workload tells of it."""
        common = max(self.ttls, key=lambda one: one[1], default=(None, 0.0))[0]
        shortest = min((ttl for ttl, _ in self.ttls), default=None)
        return Space(self.name, common, shortest, self.weight)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase: how long it lasts, and by what rates are multiplied, of single namespaces instead of all of them."""

    name: str
    length_s: float
    factor: float = 1.0
    factors: Mapping[str, float] = field(default_factory=dict[str, float])

    def factor_of(self, namespace: str) -> float:
        """What the rates of a namespace are multiplied by."""
        return self.factors.get(namespace, self.factor)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A description of a workload; the same ``seed`` makes the same requests."""

    name: str
    note: str
    populations: tuple[Population, ...]
    stretches: tuple[Stretch, ...]
    seed: int = 1
    policy: Policy | None = None

    def workload(self) -> Workload:
        """The workload described."""
        phases = phases_of((one.name, one.length_s) for one in self.stretches)
        return Workload(
            name=self.name,
            note=self.note,
            duration_s=phases[-1].end_s,
            namespaces=tuple(one.space() for one in self.populations),
            stream=lambda: _requests(self, phases),
            requests_expected=round(sum(map(self._expected, self.stretches))),
            phases=phases,
            policy=self.policy,
        )

    def _expected(self, stretch: Stretch) -> float:
        rates = ((one, one.reads_s + one.writes_s + one.deletes_s) for one in self.populations)
        return sum(rate * stretch.factor_of(one.name) for one, rate in rates) * stretch.length_s


class _Source:
    """The keys of one namespace while its requests are made."""

    __slots__ = ("_latest", "_name_bytes", "_new", "_popularity", "_rng", "_sizes", "_ttls", "name")

    def __init__(self, population: Population, rng: Random) -> None:
        self.name = population.name
        self._popularity = Zipf(population.keys, population.zipf)
        self._sizes = population.sizes
        self._ttls = mixed(population.ttls) if population.ttls else ()
        self._new = population.new
        self._latest = population.keys - 1
        self._name_bytes = population.name_bytes
        self._rng = rng

    def request(self, at_s: float, op: Op) -> Request:
        """The next request, of a key drawn by popularity, or of a new one."""
        number = self._fresh(op) if self._new else self._popularity.rank(self._rng.random())
        size = self._sizes[scattered(number, len(self._sizes))]
        ttl_s = self._ttls[scattered(number + _TTL_SALT, len(self._ttls))] if self._ttls else None
        return Request(at_s, self.name, str(number).rjust(self._name_bytes, "k"), op, size, ttl_s)

    def _fresh(self, op: Op) -> int:
        if op is Op.SET and self._rng.random() < self._new:
            self._latest += 1
            return self._latest
        return self._latest - self._popularity.rank(self._rng.random())


def _requests(scenario: Scenario, phases: Iterable[Phase]) -> Iterator[Request]:
    rng = Random(scenario.seed)
    sources = [_Source(one, rng) for one in scenario.populations]
    for phase, stretch in zip(phases, scenario.stretches, strict=True):
        kinds = list(_kinds(scenario.populations, sources, stretch))
        if not kinds:
            continue
        ends = list(accumulate(rate for _, _, rate in kinds))
        total, last = ends[-1], len(kinds) - 1
        at_s = phase.start_s
        while (at_s := at_s - math.log(1.0 - rng.random()) / total) < phase.end_s:
            source, op, _ = kinds[min(bisect_left(ends, rng.random() * total), last)]
            yield source.request(at_s, op)


def _kinds(
    populations: Iterable[Population], sources: Iterable[_Source], stretch: Stretch
) -> Iterator[tuple[_Source, Op, float]]:
    """Each kind of request that comes in a phase, with its rate."""
    for one, source in zip(populations, sources, strict=True):
        factor = stretch.factor_of(one.name)
        for op, rate in ((Op.GET, one.reads_s), (Op.SET, one.writes_s), (Op.DELETE, one.deletes_s)):
            if rate * factor > 0:
                yield source, op, rate * factor
