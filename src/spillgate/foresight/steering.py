"""Recommending TTLs to a governor, from what the cache library records, where the policy says ``ttl_mode = "auto"``."""

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from spillgate.cache.recording import Namespace, Process
from spillgate.checkup import Checkup, Library
from spillgate.config import Policy
from spillgate.foresight.advising import advise
from spillgate.foresight.advising_curves import curves_of
from spillgate.governor.clock import Clock
from spillgate.governor.loop import Governor
from spillgate.governor.state import State
from spillgate.model import Census, Level
from spillgate.policy.steering import GUARD
from spillgate.policy.ttl import Advice, Basis, Confidence
from spillgate.policy.ttl_choice import ttls_between
from spillgate.policy.ttl_curve import Curve

# As often as a checkup reads what the library's processes publish; of very many keys it does so once an hour.
_EVERY_S = 300.0
_LIBRARY_FRESH_S = 1.25 * 3600
_LOOK_AGAIN_S = 60.0
_END_S = 2.0
# Of the hits that the governor lets go before it takes a TTL back, so much may be planned: the rest is for chance.
_MOST_LOST = GUARD / 2
# Two hit ratios of so many reads each differ by 1 point by chance alone (one standard deviation, at 50 %).
_LEAST_READS = 4000
# Totals of recordings halve from day to day: a window that seems to hold less of its time than this is none.
_LEAST_COVERED = 0.5

_log = logging.getLogger("spillgate")


class Adviser:
    """A thread that hands recommendations to a governor every few minutes, while all is calm.

    It asks no server: recordings come from the ``checkup``, the census from the governor. Recommended is what the
    recorder shows with at least medium confidence, and no TTL that is expected to lose many hits.
    """

    def __init__(self, governor: Governor, checkup: Checkup, *, clock: Clock | None = None) -> None:
        """Prepare; nothing is done before it is entered, or `step` is called."""
        self._governor = governor
        self._checkup = checkup
        self._clock = clock or Clock()
        self._hit_ratios = HitRatios()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="spillgate-adviser", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_END_S)

    def _run(self) -> None:
        pause_s = _LOOK_AGAIN_S
        while not self._stopping.wait(pause_s):
            try:
                pause_s = self.step()
            except Exception:  # noqa: BLE001 - advice is worth no governor
                pause_s = _EVERY_S
                _log.warning("TTLs could not be recommended", exc_info=True)

    def step(self) -> float:
        """Recommend what there is to recommend, and tell how long to wait after it."""
        state, library = self._governor.state, self._checkup.library
        if not state.policy.adjustable or not _calm(state):
            self._hit_ratios = HitRatios()  # what a cleanup costs must not count against a TTL
            return _LOOK_AGAIN_S
        fresh = library is not None and 0 <= self._clock.wall() - library.at_unix_s < _LIBRARY_FRESH_S
        if library is None or state.census is None or not fresh:
            return _LOOK_AGAIN_S
        measured = self._hit_ratios.saw(library)
        self._governor.recommend(recommended(state, state.census, library), measured)
        return _EVERY_S


def _calm(state: State) -> bool:
    known = state.assessment
    return known is not None and known.level < Level.PREVENTIVE and not state.unreadable and not state.ended


def recommended(state: State, census: Census, library: Library) -> dict[str, float]:
    """The TTLs in seconds that the recordings speak for, of the namespaces that are left to the governor."""
    policy = state.in_force
    plan = advise(
        policy,
        census,
        library.recording,
        used_bytes=state.reading.counted_bytes if state.reading else None,
        limit_bytes=state.assessment.limits.limit_bytes if state.assessment else None,
    )
    curves = curves_of(library.recording, census, policy)
    return dict(_reliable(plan.advices, state.policy, curves))


def _reliable(advices: tuple[Advice, ...], policy: Policy, curves: Mapping[str, Curve]) -> Iterator[tuple[str, float]]:
    adjustable = {ns.name: ns for ns in policy.adjustable}
    for one in advices:
        ns, curve = adjustable.get(one.name), curves.get(one.name)
        if ns is None or ns.ttl_s is None or curve is None or one.recommended_s is None:
            continue
        if one.basis is Basis.RECORDER and one.confidence in {Confidence.HIGH, Confidence.MEDIUM}:
            yield one.name, _affordable(curve, ns.ttl_s, one.recommended_s)


def _affordable(curve: Curve, file_s: float, wanted_s: float) -> float:
    """The shortest TTL from the one that is wanted on that loses no more hits than may be planned."""
    shorter = (wanted_s, *(ttl_s for ttl_s in ttls_between(wanted_s, file_s) if ttl_s > wanted_s))
    return next((ttl_s for ttl_s in shorter if curve.lost(file_s, ttl_s).value <= _MOST_LOST), max(wanted_s, file_s))


@dataclass(frozen=True, slots=True)
class _Begun:
    """Where a window of a namespace begins."""

    at_s: float
    processes: frozenset[Process]
    seen: Namespace


class HitRatios:
    """Hit ratios of late, each over a window that has enough reads: recordings tell totals of a day and more."""

    def __init__(self) -> None:
        self._begun: dict[str, _Begun] = {}
        self._latest: dict[str, float | None] = {}
        self._at_s = 0.0

    def saw(self, library: Library) -> Mapping[str, float | None]:
        """One more set of recordings; the hit ratio of the latest whole window by namespace, None before the first."""
        if library.at_unix_s > self._at_s:
            self._at_s = library.at_unix_s
            processes = frozenset(library.recording.processes)
            for seen in library.recording.namespaces:
                self._take(_Begun(library.recording.until_s, processes, seen))
        return dict(self._latest)

    def _take(self, now: _Begun) -> None:
        name = now.seen.name
        begun = self._begun.setdefault(name, now)
        if begun is now or not _goes_on(begun, now):
            self._begun[name], self._latest[name] = now, None
            return
        reads, hits = now.seen.reads - begun.seen.reads, now.seen.hits - begun.seen.hits
        if reads >= _LEAST_READS:
            self._begun[name], self._latest[name] = now, hits / reads


def _goes_on(begun: _Begun, now: _Begun) -> bool:
    """Whether the later totals are the earlier ones and what came since."""
    reads, hits = now.seen.reads - begun.seen.reads, now.seen.hits - begun.seen.hits
    covered_s = now.seen.covered_s - begun.seen.covered_s
    due_s = (now.at_s - begun.at_s) * now.seen.processes
    return begun.processes == now.processes and 0 <= hits <= reads and covered_s >= _LEAST_COVERED * due_s
