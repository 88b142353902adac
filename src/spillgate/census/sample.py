"""What the calls of one census have shown so far, in bounded memory."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest

from spillgate.census.estimate import Draw, Estimator
from spillgate.keyspace import PrefixTree
from spillgate.model import Census, KeySample, Run, Tally, Usage

# Runs kept apart. Beyond that those of like density are merged: the variance between them stays as fair as before.
_MOST_RUNS = 200
_MERGE = 5  # times as many are kept before they are merged: that is work
_MOST_DETAILS = 20_000
_MOST_BIGGEST = 20
_LEAST_BIG_BYTES = 4096
NEVER = 1 << 62
"""A size that no key has."""
# Keys bigger than all but so many are heavy.
_HEAVY_SHARE = 0.01
_LEAST_HEAVY = 10


@dataclass(frozen=True, slots=True)
class SampleState:
    """What a `Sample` holds, as values that can be stored."""

    separator: bytes | None
    patterns: tuple[tuple[bytes, ...], ...]
    heavy_bytes: int
    detail_every: int
    total_keys: int
    seen: int
    runs: tuple[Run, ...]
    details: tuple[tuple[int, KeySample], ...]
    biggest: tuple[tuple[int, KeySample], ...]


class Sample:
    """Runs of keys of one database, divided by the namespaces ``names`` and, once it is known, by a tree of prefixes.

    ``detail_every`` is how many keys of a run stand behind each one that is kept with its details.
    """

    def __init__(self, names: Sequence[str], detail_every: int = 1, draw: Draw = Draw.RUNS) -> None:
        self.draw = draw
        self.tree: PrefixTree | None = None
        self.heavy_bytes = NEVER
        self.detail_every = detail_every
        self.total_keys = 0
        self.seen = 0
        self._names = names
        self._expired = 0
        self._runs: list[Run] = []
        self._details: list[tuple[int, KeySample]] = []
        self._biggest: dict[bytes, tuple[int, KeySample]] = {}

    def state(self) -> SampleState:
        """Everything, so that another may go on from here."""
        return SampleState(
            self.tree.separator if self.tree else None,
            self.tree.patterns if self.tree else (),
            self.heavy_bytes,
            self.detail_every,
            self.total_keys,
            self.seen,
            tuple(self._runs),
            tuple(self._details),
            tuple(self._biggest.values()),
        )

    def restore(self, state: SampleState) -> None:
        """Go on from where another was."""
        self.tree = PrefixTree(state.separator, state.patterns) if state.separator is not None else None
        self.heavy_bytes, self.detail_every = state.heavy_bytes, state.detail_every
        self.total_keys, self.seen = state.total_keys, state.seen
        self._runs, self._details = list(state.runs), list(state.details)
        self._expired = sum(run.expired for run in self._runs)
        self._biggest = {key.name: (group, key) for group, key in state.biggest}

    @property
    def big_bytes(self) -> int:
        """From what size on a key is one of the biggest."""
        if len(self._biggest) < _MOST_BIGGEST:
            return _LEAST_BIG_BYTES
        return max(_LEAST_BIG_BYTES, min(key.size_bytes or 0 for _, key in self._biggest.values()))

    def add(self, run: Run) -> None:
        """One more run."""
        self.total_keys = run.total_keys + self._expired  # SCAN has dropped these meanwhile
        self._expired += run.expired
        self.seen += run.visited + run.expired
        self._keep(run)
        self._runs.append(replace(run, details=(), biggest=()) if run.details or run.biggest else run)
        if len(self._runs) > _MERGE * _MOST_RUNS:
            self._runs = _reduced(self._runs)

    def _keep(self, run: Run) -> None:
        self._details += run.details
        while len(self._details) > _MOST_DETAILS:
            self._details = self._details[::2]
            self.detail_every *= 2
        if run.biggest:
            self._biggest |= {key.name: (group, key) for group, key in run.biggest}
            most = nlargest(_MOST_BIGGEST, self._biggest.values(), key=_size)
            self._biggest = {key.name: (group, key) for group, key in most}

    def divide(self, tree: PrefixTree | None, heavy_bytes: int, detail_every: int, pilots: Sequence[Run] = ()) -> None:
        """Go on with a tree of prefixes, with heavy keys apart and the details of one key in ``detail_every``.

        ``pilots`` are the runs so far, with the details of every key in them.
        """
        self.tree, self.heavy_bytes, self.detail_every = tree, heavy_bytes, detail_every
        if pilots:
            runs = [_divided(run, tree, len(self._names) + 1, heavy_bytes) for run in pilots]
            self._runs = [replace(run, details=(), biggest=()) for run in runs]
            self._details = [detail for run in runs for detail in run.details]
            self._biggest = {
                key.name: (_regrouped(group, key, tree, len(self._names) + 1), key)
                for group, key in self._biggest.values()
            }

    def estimator(self, *, exact: bool) -> Estimator:
        """What asks these runs for numbers."""
        return Estimator(_reduced(self._runs), self.total_keys, exact=exact, draw=self.draw)

    def widest(self) -> float:
        """The largest error of any namespace or prefix, as a share of all bytes, or of all keys without sizes."""
        estimator = self.estimator(exact=False)
        groups = [[group] for group in self._groups()]
        sizes = [estimator.bytes(group) for group in groups]
        rows = [size for size in sizes if size is not None]
        if len(rows) < len(sizes):
            rows = [estimator.keys(group) for group in groups]
        whole = sum(row.value for row in rows)
        return max((row.high - row.low) / 2 for row in rows) / whole if whole else 0.0

    def census(self, at_s: float, *, exact: bool, sizes_known: bool) -> Census:
        """The numbers."""
        estimator = self.estimator(exact=exact)
        by_group: dict[int, list[KeySample]] = {}
        for group, key in self._details:
            by_group.setdefault(group, []).append(key)
        top = self._top()
        biggest: dict[int, KeySample] = {}
        for group, key in top:
            biggest.setdefault(group, key)

        def row(name: str, group: int) -> Usage:
            return Usage(
                name,
                estimator.keys([group]),
                estimator.bytes([group]) if sizes_known else None,
                estimator.no_ttl([group]),
                tuple(by_group.get(group, ())),
                estimator.avg_bytes([group]) if sizes_known else None,
                estimator.name_bytes([group]),
                biggest.get(group),
            )

        first = len(self._names) + 1
        texts = self.tree.texts() if self.tree else ()
        met = {group for run in self._runs for group in run.tallies}
        found = [row(_shown(text), group) for group, text in enumerate(texts, start=first) if group in met]
        if 0 in met:
            found.append(row("*", 0))  # there is no tree
        return Census(
            at_s,
            exact,
            sampled_keys=sum(run.visited for run in self._runs),
            total_keys=sum(run.visited for run in self._runs) if exact else self.total_keys,
            namespaces=tuple(row(name, group) for group, name in enumerate(self._names, start=1)),
            unregistered_keys=estimator.keys([0, *range(first, first + len(texts))]),
            total_bytes=estimator.bytes(self._groups()) if sizes_known else None,
            prefixes=tuple(sorted(found, key=_weight, reverse=True)),
            expired=estimator.expired(),
            biggest=tuple(key for _, key in top[:_MOST_BIGGEST]),
        )

    def _top(self) -> list[tuple[int, KeySample]]:
        """The keys met, those that were kept for their size and those that were looked at by chance, biggest first."""
        chance = {key.name: (group, key) for group, key in self._details if key.name and key.size_bytes is not None}
        return sorted((chance | self._biggest).values(), key=_size, reverse=True)

    def _groups(self) -> range:
        return range(1 + len(self._names) + (len(self.tree.patterns) if self.tree else 0))


def _size(met: tuple[int, KeySample]) -> tuple[int, bytes]:
    return met[1].size_bytes or 0, met[1].name


def _weight(row: Usage) -> float:
    return (row.bytes or row.keys).value


def _shown(text: bytes) -> str:
    return text.decode(errors="backslashreplace")


def _density(run: Run) -> float:
    """Keys by the share of the table that the run covered: what it counts for in an estimate."""
    return (run.visited + run.expired) / run.covered


def _reduced(runs: Sequence[Run]) -> list[Run]:
    """The same in no more runs than are worth telling apart; those of like density become one."""
    if len(runs) <= _MOST_RUNS:
        return list(runs)
    ordered, chunk = sorted(runs, key=_density), math.ceil(len(runs) / _MOST_RUNS)
    return [_merged(ordered[i : i + chunk]) for i in range(0, len(ordered), chunk)]


def _merged(runs: Sequence[Run]) -> Run:
    """One run that counts for as much as all of these."""
    density = math.fsum(map(_density, runs))
    met: dict[int, list[Tally]] = {}
    for run in runs:
        for group, tally in run.tallies.items():
            met.setdefault(group, []).append(tally)
    visited, expired = sum(run.visited for run in runs), sum(run.expired for run in runs)
    return Run(
        (visited + expired) / density if density else runs[0].covered,
        visited,
        expired,
        runs[-1].total_keys,
        {group: Tally.total(tallies) for group, tallies in met.items()},
        math.fsum(run.light_squares for run in runs),
        math.fsum(run.heavy_squares for run in runs),
    )


def heavy_from(sizes: Iterable[int | None]) -> int:
    """The size from which on the biggest percent of keys begins; beyond any size where there are too few to tell."""
    known = sorted((size for size in sizes if size is not None), reverse=True)
    heavy = int(len(known) * _HEAVY_SHARE)
    return known[heavy - 1] if heavy >= _LEAST_HEAVY else NEVER


def _divided(run: Run, tree: PrefixTree | None, first: int, heavy_bytes: int) -> Run:
    """A run whose keys all are in its details, added up anew."""
    details = tuple((_regrouped(group, key, tree, first), key) for group, key in run.details)
    met: dict[int, list[Tally]] = {}
    for group, key in details:
        met.setdefault(group, []).append(_tally(key, heavy_bytes))
    sizes = [key.size_bytes or 0 for _, key in details]
    return replace(
        run,
        tallies={group: Tally.total(tallies) for group, tallies in met.items()},
        details=details,
        light_squares=float(sum(size * size for size in sizes if size < heavy_bytes)),
        heavy_squares=float(sum(size * size for size in sizes if size >= heavy_bytes)),
    )


def _regrouped(group: int, key: KeySample, tree: PrefixTree | None, first: int) -> int:
    return first + tree.index_of(key.name) if tree and not group else group


def _tally(key: KeySample, heavy_bytes: int) -> Tally:
    size = key.size_bytes or 0
    heavy = size >= heavy_bytes
    return Tally(
        keys=1,
        no_ttl=int(key.ttl_ms is None),
        light_bytes=0 if heavy else size,
        heavy_keys=int(heavy),
        heavy_bytes=size if heavy else 0,
        name_bytes=len(key.name),
        unsized=int(key.size_bytes is None),
    )
