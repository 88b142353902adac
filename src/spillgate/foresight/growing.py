"""What a server holds, how that grows, and what it would take: collected from the server, reckoned in the policy."""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from spillgate.census.overhead import UNEXPLAINED
from spillgate.census.survey import take_survey
from spillgate.config import Policy
from spillgate.errors import BudgetExhausted, ConfigError
from spillgate.foresight.growing_document import document
from spillgate.foresight.growing_history import Growth
from spillgate.foresight.growing_scales import USUAL, Scale, feature_named
from spillgate.governor.history import History
from spillgate.model import Estimate, Level, Survey, Usage
from spillgate.policy.capacity import Capacity, Feature, Projection
from spillgate.policy.capacity_assumed import ASSUMED, UNKNOWN
from spillgate.policy.capacity_growth import time_to
from spillgate.policy.capacity_layout import Layout, mean_beyond
from spillgate.policy.capacity_model import Footing, Holding, doublings, more_that_fit, outlook
from spillgate.policy.capacity_risk import plan_for, risk_of
from spillgate.policy.pressure import level_at, threshold
from spillgate.server.gateway import Gateway
from spillgate.units import format_bytes

__all__ = ["Looks", "Scale", "capacity", "collect", "document"]

_FEW_KEYS = 15_000
_MOST_COUNTED = 300
_COUNTED = frozenset({"hashtable", "skiplist"})
_MOST_CLIENTS = 2000
# A connection takes so much more than CLIENT LIST tells (360 to 530 bytes on Redis 6.2, 7.0 and Valkey 9.1).
_UNTOLD_BYTES = 450
_RESTING_BYTES = {"valkey": 2000.0, "redis": 8000.0, "old": 17_600.0}


@dataclass(frozen=True, slots=True)
class Looks:
    """What was asked beyond a survey: how many elements some collections have, and what a connection takes."""

    elements: Mapping[bytes, int] = field(default_factory=dict[bytes, int])
    per_connection: float | None = None


def collect(gateway: Gateway, error: float) -> tuple[Survey, Looks]:
    """Look at the keys of a probed gateway's server and at its connections; nothing is changed.

    ``error`` is the largest wanted for any namespace, as a share of all bytes; where there are few keys all are seen.

    Raises:
        ServerError: the server failed, or does not let keys be visited.
        BudgetExhausted: the day's commands were spent before a single key was looked at.
    """
    seen = gateway.read()
    if seen.keys is not None and seen.keys + (seen.other_keys or 0) <= _FEW_KEYS:
        error = 0.0
    # Asked before: the first time that a command is given some servers set aside 24 KB for its latencies.
    per_connection = _per_connection(gateway, seen.connected_clients)
    survey = take_survey(gateway, error=error)
    try:
        return survey, Looks(_elements(gateway, survey), per_connection)
    except BudgetExhausted:
        return survey, Looks(per_connection=per_connection)


def _elements(gateway: Gateway, survey: Survey) -> dict[bytes, int]:
    """How many elements some of the keys have that are kept as tables, where that is needed."""
    if not Layout.of(survey.info).wants_elements:
        return {}
    rows = (*survey.own.namespaces, *survey.own.prefixes)
    tables = [
        [(key.name, key.type) for key in row.sample if key.encoding in _COUNTED and key.type and key.name]
        for row in rows
    ]
    each = _MOST_COUNTED // max(1, sum(map(bool, tables)))
    asked = [key for row in tables for key in row[:: max(1, len(row) // max(1, each))]]
    if not asked:
        return {}
    gateway.facts.leave_no_trace()
    counts = gateway.facts.counts(asked)
    return {name: count for (name, _), count in zip(asked, counts, strict=True) if count is not None}


def _per_connection(gateway: Gateway, connections: int | None) -> float | None:
    """What a connection takes on average, ours apart, which is just being used; None where there is no other."""
    if connections is None or not 1 < connections <= _MOST_CLIENTS:
        return None
    others = [one for one in gateway.facts.clients() or () if not one.get("cmd", "").startswith("client")]
    sizes = [int(one["tot-mem"]) for one in others if one.get("tot-mem", "").isdecimal()]
    return math.fsum(sizes) / len(sizes) + _UNTOLD_BYTES if sizes else None


def capacity(
    policy: Policy,
    survey: Survey,
    history: History | None = None,
    scales: Iterable[Scale] = (),
    looks: Looks | None = None,
) -> Capacity:
    """What the server of a survey holds, how that grows, and what it would take.

    Raises:
        ConfigError: a scale names what is not known.
    """
    return _Reckoning(policy, survey, looks or Looks(), Growth.of(history)).capacity(tuple(scales) or USUAL)


class _Reckoning:
    """One server, and what is assumed about it on the way."""

    def __init__(self, policy: Policy, survey: Survey, looks: Looks, growth: Growth) -> None:
        self._policy, self._survey, self._looks, self._growth = policy, survey, looks, growth
        self._info = survey.info
        self._layout = Layout.of(survey.info)
        self.assumptions: list[str] = []
        self._usages: dict[str, tuple[Usage, int]] = {}
        self.footing = self._footing()
        declared = (policy.server.limit_bytes, _number(self._info, "maxmemory"))
        self._limit = min((size for size in declared if size), default=None)
        self._not_counted = _number(self._info, "mem_not_counted_for_evict")

    def capacity(self, scales: Iterable[Scale]) -> Capacity:
        limit, counted = self._limit, max(0, self._survey.used_bytes - self._not_counted)
        times, reasons = self._times(counted)
        projections = tuple(self._projection(scale) for scale in scales)
        risk, reason = risk_of(counted, limit, times[Level.PREVENTIVE])
        memory = self._growth.memory
        why = f"{memory.reason}{f'; {memory.note}' if memory.note else ''}"
        if self._growth.held_down:
            why += "; evictions or cleanups held memory down at times, so that it grew less than what was written"
        return Capacity(
            limit_bytes=limit,
            ceiling_bytes=None if limit is None else limit - self._policy.server.reserve_for(limit),
            used_bytes=self._survey.used_bytes,
            features=tuple(self._feature(holding) for holding in self.footing.holdings if holding.name in self._usages),
            growth_bytes_day=memory.per_day,
            time_to=times,
            projections=projections,
            risk=risk,
            reason=reason,
            assumptions=tuple(dict.fromkeys(self.assumptions)),
            growth_reason=why,
            time_to_reason=reasons,
            doublings=doublings(self.footing),
            overhead=outlook(self.footing, {}).overhead,
        )

    def _times(self, counted: int) -> tuple[dict[Level, Estimate | None], dict[Level, str]]:
        levels = list(Level)[1:]
        if self._limit is None:
            return dict.fromkeys(levels), dict.fromkeys(levels, "unknown: no limit is known")
        told = {level: time_to(self._bound(level) - counted, self._growth.memory) for level in levels}
        return {level: one for level, (one, _) in told.items()}, {level: why for level, (_, why) in told.items()}

    def _bound(self, level: Level) -> float:
        return threshold(level, self._policy.levels) * (self._limit or 0)

    def _feature(self, holding: Holding) -> Feature:
        usage, _ = self._usages[holding.name]
        keys, size = self._growth.keys.get(holding.name), self._growth.bytes.get(holding.name)
        memory = self._growth.memory.reason
        unseen = memory if memory.startswith("unknown") else "unknown: the history has no census of it"
        return Feature(
            holding.name,
            usage.keys,
            usage.bytes,
            holding.per_object if usage.bytes is not None and usage.keys.value else None,
            keys.per_day if keys else None,
            size.per_day if size else None,
            *self._room(holding),
            growth_reason=keys.reason if keys else unseen,
        )

    def _room(self, holding: Holding) -> tuple[Estimate | None, Estimate | None]:
        """How many more fit below preventive, and below the ceiling."""
        if self._limit is None:
            return None, None
        ceiling = self._limit - self._policy.server.reserve_for(self._limit)
        bounds = (self._bound(Level.PREVENTIVE), ceiling)
        below, ceiled = (more_that_fit(self.footing, holding.name, bound + self._not_counted) for bound in bounds)
        return below, ceiled

    def _projection(self, scale: Scale) -> Projection:
        named: dict[str, int] = {}
        for name, count in scale.counts.items():
            feature = feature_named(name, self.footing.counts)
            if feature in named:
                message = f'"{name}" is another name of {feature}, which has a number already'
                raise ConfigError(message, source="command line", key="--scale")
            named[feature] = count
        for name, count in named.items():
            self._heed(name, count)
        counts = {name: count * scale.times for name, count in self.footing.counts.items()} | named
        if scale.times == 1:
            counts = named
        found = outlook(self.footing, counts, scale.connections)
        counted = found.bytes.value - self._not_counted
        risk, reason = risk_of(counted, self._limit)
        levels, reserve = self._policy.levels, self._policy.server.reserve_bytes
        most = found.bytes.high if math.isfinite(found.bytes.high) else found.bytes.value
        return Projection(
            scale.words,
            {name: round(count) for name, count in counts.items()},
            found.bytes,
            found.by_feature,
            sum(found.overhead.values()),
            risk,
            reason,
            plan_for(
                max(most, found.bytes.value + found.doubling_bytes) - self._not_counted, levels.preventive, reserve
            ),
            found.overhead,
            None if self._limit is None else level_at(max(0.0, counted) / self._limit, levels),
            found.doubling_bytes,
        )

    # What it stands on

    def _footing(self) -> Footing:
        survey, info = self._survey, self._info
        if not self._layout.tried:
            self.assumptions.append(
                f"tables of {self._layout.words} were not tried: they are taken to be as in its like"
            )
        self._usages = usages_of(survey)
        holdings = tuple(self._holding(name, usage, number) for name, (usage, number) in self._usages.items())
        tables = survey.overhead.get("key tables")
        return Footing(
            self._layout,
            survey.used_bytes,
            holdings,
            None if tables is None else tables.value,
            _number(info, "connected_clients"),
            self._connection_bytes(),
        )

    def _connection_bytes(self) -> float:
        if self._looks.per_connection is not None:
            return self._looks.per_connection
        layout = self._layout
        kind = layout.product if layout.product == "valkey" or layout.version >= (7, 0) else "old"
        size = _RESTING_BYTES[kind]
        self.assumptions.append(f"{format_bytes(size)} a connection, as one at rest takes on such a server")
        return size

    def _holding(self, name: str, usage: Usage, database: int) -> Holding:
        size = usage.avg_bytes
        if size is None or not usage.keys.value:
            size = self._assumed_size(name, usage)
        beyond = mean_beyond(self._layout, usage.sample, self._looks.elements)
        if beyond is None and usage.keys.value:
            self.assumptions.append(
                f"{name}: encodings are unknown, so what MEMORY USAGE leaves out is taken as nothing"
            )
        return Holding(name, usage.keys, size, _spread(usage), self._timed(name, usage), beyond or 0.0, database)

    def _timed(self, name: str, usage: Usage) -> float:
        """The share of a feature's objects that has a TTL."""
        keys = usage.keys.value
        if not keys:
            return 1.0
        if usage.no_ttl is None:
            self.assumptions.append(f"{name}: all objects are taken to have a TTL, for PTTL is forbidden")
            return 1.0
        return min(1.0, max(0.0, 1 - usage.no_ttl.value / keys))

    def _assumed_size(self, name: str, usage: Usage) -> Estimate:
        if usage.keys.value:
            size = self._average_of_all()
            self.assumptions.append(
                f"{name}: {format_bytes(size.value)} an object, the average of all keys, for MEMORY USAGE is forbidden"
            )
            return size
        return ASSUMED[name][0] if name in ASSUMED else self._average_of_all()

    def _average_of_all(self) -> Estimate:
        """The average of all objects; where sizes are unknown, of what nothing else explains."""
        total = sum(census.total_keys for _, census in self._survey.databases)
        if not total:
            return UNKNOWN
        known = [census.total_bytes for _, census in self._survey.databases if census.total_bytes is not None]
        held = sum(size.value for size in known)
        if len(known) < len(self._survey.databases):
            held = max(0.0, self._survey.overhead[UNEXPLAINED].value) + held
        return Estimate(held / total, held / total / 4, held / total * 4)

    def _heed(self, name: str, count: int) -> None:
        """Tell what is assumed of a feature that the server has no key of; one that no policy names is added."""
        if name not in self.footing.counts:
            holding = Holding(name, Estimate.exact(0), ASSUMED[name][0])
            self.footing = replace(self.footing, holdings=(*self.footing.holdings, holding))
        held = next(one for one in self.footing.holdings if one.name == name)
        if held.keys.value or not count:
            return
        size = held.per_object
        between = f"{format_bytes(size.value)} an object ({format_bytes(size.low)} to {format_bytes(size.high)})"
        why = ASSUMED[name][1] if name in ASSUMED else "the average of all keys, give or take four times"
        self.assumptions.append(f"{name}: {between}: {why}; the server has none yet")


def usages_of(survey: Survey) -> dict[str, tuple[Usage, int]]:
    """The namespaces, and the prefixes of the keys of none, each with its database, by the name of the feature."""
    found: dict[str, tuple[Usage, int]] = {}
    own = survey.databases[0][0]
    for number, census in survey.databases:
        for usage in (*census.namespaces, *census.prefixes):
            name = usage.name if number == own else f"{usage.name} (db{number})"
            found[f"{name} (other keys)" if name in found else name] = usage, number
    return found


def _spread(usage: Usage) -> float | None:
    sizes = [key.size_bytes for key in usage.sample if key.size_bytes is not None]
    return statistics.stdev(sizes) if len(sizes) > 1 else None


def _number(info: Mapping[str, str], name: str) -> int:
    text = info.get(name, "0")
    return int(text) if text.lstrip("-").isdecimal() else 0
