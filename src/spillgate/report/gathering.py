"""Asking: the server once, the history for reading alone; what fails on the way is unknown, for a reason."""

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from spillgate.cache.recording import Recording, read_recordings
from spillgate.census.evidence import Closeness
from spillgate.checkup import Examination, examine
from spillgate.config import Policy
from spillgate.errors import BudgetExhausted, ConfigError, LimitUnknown, ServerError
from spillgate.foresight import advising, growing
from spillgate.foresight.growing_history import opened
from spillgate.foresight.growing_scales import USUAL, Scale, feature_named
from spillgate.governor.history import History, Span
from spillgate.keyspace.ttls import TTLS_KEY, InForce
from spillgate.keyspace.ttls import read as read_ttls
from spillgate.model import Level, Reading
from spillgate.policy.capacity import Capacity
from spillgate.policy.plan import Known
from spillgate.policy.pressure import Assessment, FillRates, assess, find_limits, threshold
from spillgate.policy.ttl import TtlPlan
from spillgate.report.deployment import Deployment
from spillgate.report.masking import capacity_without_names, renaming, without_names
from spillgate.report.past import Past, past_of
from spillgate.server.capabilities import Capabilities
from spillgate.server.driver import Driver
from spillgate.server.gateway import Gateway

_MOST_ENTRIES = 20_000  # the journal keeps no more
DEFAULT_PAST_S = 7 * 86_400.0
"""How far back to look where there was no report before, and nobody said."""

# Objects at once at each of the three risks of the deployment that the reference policy is for: the upper ends of what
# it estimates, and all messages of a day, which is more than their TTL keeps.
REFERENCE_SCALES = {
    "low: 50 users, 1,000 messages a day, light voice": {
        "users": 50,
        "sessions": 50,
        "channels": 20,
        "tasks": 200,
        "messages": 1_000,
        "voice": 10,
        "ai-context": 10,
        "analytics": 1_000,
    },
    "medium: 100 users, 5,000 messages a day, frequent voice": {
        "users": 100,
        "sessions": 100,
        "channels": 20,
        "tasks": 200,
        "messages": 5_000,
        "voice": 50,
        "ai-context": 20,
        "analytics": 1_500,
    },
    "high: over 100 users, message flood, continuous voice": {
        "users": 200,
        "sessions": 200,
        "channels": 20,
        "tasks": 400,
        "messages": 20_000,
        "voice": 500,
        "ai-context": 40,
        "analytics": 2_000,
    },
}
_SLACK_S = 3600.0
_PAUSES = 2
_LEAST_KNOWN = 3  # of those namespaces; with fewer this is another kind of deployment

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Missing:
    """A part of the report that there is not, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    ``since_s`` is when the time that is looked back on begins (Unix seconds), for the reason ``since_why``. ``wanted``
    is the largest error of the census, ``growth_s`` how long memory is watched, ``examples`` whether keys may be named.
    """

    deployment: Deployment
    since_s: float
    since_why: str
    history: Path | None = None
    wanted: float = 0.01
    growth_s: float = 2.0
    examples: bool = False


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that a report is made of.

    ``assessment`` is None where no limit is known. ``in_force`` are TTLs that stand in place of the policy's.
    """

    policy: Policy
    request: Request
    at_unix_s: float
    capabilities: Capabilities
    reading: Reading
    assessment: Assessment | None
    examination: Examination | Missing
    plan: TtlPlan | Missing
    capacity: Capacity | Missing
    scenarios: Capacity | Missing
    past: Past | Missing
    recording: Recording | Missing
    in_force: dict[str, InForce] = field(default_factory=dict[str, InForce])
    seconds: float = 0.0
    commands: int = 0


def gather(
    gateway: Gateway,
    policy: Policy,
    request: Request,
    *,
    wall_clock: Callable[[], float] = time.time,
    tell: Callable[[str], None] = lambda _: None,
) -> Gathered:
    """Ask everything that a report needs; nothing is changed, and each key is looked at once. ``tell`` hears of steps.

    Raises:
        ServerError: the server cannot be read at all.
        BudgetExhausted: the day's commands are spent.
        ConfigError: the history cannot be read.
    """
    return _Gathering(gateway, policy, request, wall_clock, tell).all()


class _Gathering:
    """One report's questions."""

    def __init__(
        self,
        gateway: Gateway,
        policy: Policy,
        request: Request,
        wall_clock: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        self._gateway, self._policy, self._request = gateway, policy, request
        self._wall_clock, self._tell = wall_clock, tell

    def all(self) -> Gathered:
        began_s = time.monotonic()
        if self._request.history is None:
            return self._with(None, began_s)
        with opened(self._request.history) as history:
            return self._with(history, began_s)

    def _with(self, history: History | None, began_s: float) -> Gathered:
        gateway, policy = self._gateway, self._policy
        self._tell("connecting")
        capabilities, reading = gateway.probe(), gateway.read()
        self._tell("looking at keys, values and settings")
        examination = self._try(lambda: self._examine(governed=self._writes(history)))
        self._tell("reading what the cache library recorded")
        recording = self._try(self._recorded)
        in_force = self._try(lambda: read_ttls(gateway.own_keys.read(TTLS_KEY))) if policy.automatic else {}
        self._tell("reckoning what may change")
        return Gathered(
            policy=policy,
            request=self._request,
            at_unix_s=self._wall_clock(),
            capabilities=capabilities,
            reading=reading,
            assessment=self._assess(reading, examination),
            examination=examination,
            plan=_of(examination, lambda done: self._advise(done, recording)),
            capacity=_of(examination, lambda done: self._capacity(done, history, USUAL)),
            scenarios=_of(examination, lambda done: self._scenarios(done, history)),
            past=self._past(history),
            recording=recording,
            in_force={} if isinstance(in_force, Missing) else in_force,
            seconds=time.monotonic() - began_s,
            commands=gateway.commands,
        )

    def _try(self, ask: Callable[[], T]) -> T | Missing:
        """The answer, or why there is none."""
        try:
            return ask()
        except (ServerError, BudgetExhausted) as error:
            return Missing(str(error).rstrip("."))

    def _writes(self, history: History | None) -> bool:
        """Whether a governor has just written to the history: while it cleans up it does not listen."""
        latest = (
            max((point.at_s for point in history.points(Span.HOUR) if point.known), default=0.0) if history else 0.0
        )
        return self._wall_clock() - latest < _PAUSES * self._policy.monitor.interval_s

    def _examine(self, *, governed: bool) -> Examination:
        close = Closeness(growth_s=self._request.growth_s, masked=not self._request.examples)
        return examine(self._gateway, self._policy, self._request.wanted, close, governed=governed)

    def _recorded(self) -> Recording:
        most = self._policy.monitor.commands_per_day
        with closing(
            Driver(
                self._policy.server,
                allow=lambda: most - self._gateway.commands - driver.commands if most else None,
            )
        ) as driver:
            return read_recordings(driver.call)

    def _assess(self, reading: Reading, examination: Examination | Missing) -> Assessment | None:
        """The level, foreseen as a governor that looks now would foresee it."""
        try:
            limits = find_limits(self._policy.server, reading)
        except LimitUnknown:
            return None
        rates = FillRates()
        if not isinstance(examination, Missing) and (grown := examination.evidence.growth_bytes_s) is not None:
            rates = rates.observe(max(0.0, grown.low), 1.0)
        horizon_s = Known().reaction_s(self._policy)
        return assess(None, reading, rates, limits, self._policy.levels, horizon_s)

    def _advise(self, done: Examination, recording: Recording | Missing) -> TtlPlan:
        seen = None if isinstance(recording, Missing) else recording
        plan = advising.advise(self._policy, done.evidence.survey, seen)
        return plan if self._request.examples else without_names(plan, renaming(self._policy, done.evidence.survey))

    def _capacity(self, done: Examination, history: History | None, scales: Iterable[Scale]) -> Capacity:
        evidence = done.evidence
        found = (evidence.elements or {}).items()
        counted = {name: one.count for (number, name), one in found if number == evidence.own}
        found = growing.capacity(self._policy, evidence.survey, history, scales, growing.Looks(counted))
        if self._request.examples:
            return found
        return capacity_without_names(found, renaming(self._policy, evidence.survey))

    def _scenarios(self, done: Examination, history: History | None) -> Capacity | Missing:
        """The user's three risks, where the server has such data."""
        survey = done.evidence.survey
        features = [row.name for row in (*survey.own.namespaces, *survey.own.prefixes)]
        scales = [Scale(_known(counts, features)) for counts in REFERENCE_SCALES.values()]
        if any(len(scale.counts) < _LEAST_KNOWN for scale in scales):
            return Missing("the namespaces of this deployment are others than those that the figures are for")
        return self._capacity(done, history, scales)

    def _past(self, history: History | None) -> Past | Missing:
        if history is None:
            return Missing("no history was given: pass --history FILE, which spillgate run --history FILE writes")
        now_s, since_s = self._wall_clock(), self._request.since_s
        year = history.points(Span.YEAR)
        first = next((point.at_s for point in year), since_s)
        # An hour more or less is worth no coarser points.
        span = next((one for one in Span if one.seconds + _SLACK_S >= now_s - max(since_s, first)), Span.YEAR)
        return past_of(
            history.entries(limit=_MOST_ENTRIES),
            [*(point for point in year if point.at_s <= since_s), *history.points(span, since_s)],
            {one.resolution_s: history.points(one, since_s) for one in (Span.HOUR, Span.WEEK)},
            since_s=since_s,
            until_s=now_s,
            every_s=span.resolution_s,
            levels={level: threshold(level, self._policy.levels) for level in Level},
            interval_s=self._policy.monitor.interval_s,
        )


def _of(examination: Examination | Missing, reckon: Callable[[Examination], T | Missing]) -> T | Missing:
    """What is reckoned from an examination, where there is one."""
    if isinstance(examination, Missing):
        return examination
    try:
        return reckon(examination)
    except ConfigError as error:
        return Missing(str(error))


def _known(counts: dict[str, int], features: list[str]) -> dict[str, int]:
    """Those counts whose names the server, or the policy, has."""
    found: dict[str, int] = {}
    for name, count in counts.items():
        try:
            named = feature_named(name, features)
        except ConfigError:
            continue
        if named in features:
            found[name] = count
    return found
