"""What to delete, in which order, and when to stop: every rule about deleting is here.

Goal: bring the memory that data explains down to a target, touching the least valuable keys first, and nothing else.

Order inside every cleanup: expired keys, pending lazy frees, namespaces over their budget, then priority. A plan never
names a protected namespace except to set TTLs where ``enforce_ttl`` asks for it. An empty namespace never ends a plan:
its step is left out or finds nothing, and the next one follows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from spillgate.config import Cleanup, NamespacePolicy, Policy
from spillgate.model import Action, ActionKind, Census, KeySample, Level, Plan, Reading, Rule, Unlink, Usage
from spillgate.policy.pressure import Assessment
from spillgate.units import format_bytes, format_duration

# Cleaning never aims lower than this share of the limit: a cache that is emptied serves nobody.
_DEEPEST_TARGET = 0.45
# The depth covers what writers fill in this many reaction times.
_DEPTH_HORIZONS = 2.0
# Bounds for one call on the server: short enough to go unnoticed, long enough to win against full speed.
SHORTEST_CALL_US = 300
# By hand nothing presses, but somebody waits.
_BY_HAND_CALL_US = 1000
LONGEST_CALL_US = 3500
# Within a quarter of a second of the limit, and above the emergency threshold, a longer call is better than a refused
# write: nobody writes while it runs.
LAST_RESORT_CALL_US = 15_000
# At this share of the limit a second the longest call is used.
_FULL_CALL_FILL_SHARE = 1.5
# With less time to the limit than this, or than this many passes over the keys, there is none for looking first.
_URGENT_S = 0.25
_URGENT_PASSES = 1.5
# Victims are picked among this multiple of what has to go, so that a sweep finds them in part of the keyspace.
_VICTIM_SLACK = 2.0
# Under volatile-ttl the server evicts the soonest to expire. Messages of 10 s left were always taken before
# sessions of 60 s and more, at any write rate; 60 s were not enough.
_STEER_MS = 10_000
# Of what is to be kept, this share may have less left to live than what is steered: it is about to expire anyway.
_STEER_QUANTILE = 0.05
# A database takes this much more than its keys, for their tables.
_TABLES_FACTOR = 1.5
_LEAST_STEER_MS = 1_000


@dataclass(frozen=True, slots=True)
class Known:
    """What recent passes over the whole keyspace have shown, so that a plan need not look again.

    ``empty`` names the namespaces in which a step would find nothing; ``purged`` and ``capped`` say that a full pass
    has dropped what was expired, or has capped TTLs at this level, a moment ago. ``pass_s`` is how long one pass over
    the keys takes.
    """

    empty: frozenset[str] = frozenset()
    purged: bool = False
    capped: bool = False
    pass_s: float = 0.0

    def reaction_s(self, policy: Policy) -> float:
        """How long until a cleanup frees anything: the shortest pause, and the pass that comes first if one is due."""
        return policy.monitor.min_interval_s + (0.0 if self.purged else self.pass_s)


def call_budget_us(fill_share_s: float) -> int:
    """Microseconds that one call may take on the server: it follows the fill rate."""
    wanted = LONGEST_CALL_US * fill_share_s / _FULL_CALL_FILL_SHARE
    return round(min(LONGEST_CALL_US, max(SHORTEST_CALL_US, wanted)))


def is_urgent(assessment: Assessment, known: Known) -> bool:
    """Whether a pass over all keys would take too long, measured by the time left."""
    left = assessment.time_to_limit_s
    return left is not None and left < max(_URGENT_S, _URGENT_PASSES * known.pass_s)


def shared_bytes(reading: Reading, census: Census | None) -> int:
    """By how much the census says that there is more data than the server's own counters say, or less (negative).

    More: Valkey 9.1 sends big values without copying them and counts them as memory of the client all the same; but
    what the keys take, and what an empty server takes, is not the clients'. Less: other logical databases are counted
    in, and no key of this one can pay for them.
    """
    if census is None or census.total_bytes is None:
        return 0
    startup = reading.startup_bytes or 0
    held = sum(reading.held_bytes.values())  # which may be more than all that is counted
    at_least = min(startup + int(census.total_bytes.low), reading.counted_bytes)
    more = held + at_least - reading.counted_bytes
    if more > 0 or not reading.other_keys or not math.isfinite(census.total_bytes.high):
        return max(0, more)
    return min(0, startup + int(_TABLES_FACTOR * census.total_bytes.high) - reading.data_bytes)


def target_share(assessment: Assessment, policy: Policy, horizon_s: float) -> float:
    """How far down to clean: the release point of preventive, and deeper the faster memory fills."""
    release_point = policy.levels.preventive - policy.levels.release
    depth = assessment.fill_share_s * horizon_s * _DEPTH_HORIZONS
    return max(min(_DEEPEST_TARGET, release_point), release_point - depth)


def decide(
    assessment: Assessment,
    reading: Reading,
    census: Census | None,
    policy: Policy,
    known: Known,
    *,
    level: Level | None = None,
    only: frozenset[str] = frozenset(),
    by_hand: bool = False,
) -> Plan:
    """The plan for one cycle.

    The level that acts is what the moment asks for, not the one held, unless ``level`` says otherwise. ``only`` names
    the namespaces to clean whatever the pressure: those that may be cleared wholly, others as far as the target asks.
    """
    acting = assessment.raw_level if level is None else level
    limits = assessment.limits
    target = int(target_share(assessment, policy, known.reaction_s(policy)) * limits.limit_bytes)
    shared = shared_bytes(reading, census)
    data = reading.data_with(shared)
    steps = _Steps(acting, assessment, reading, census, policy, known, max(0, data - target), data)
    if only:
        actions, reason, target = steps.named(only), f"asked for {', '.join(sorted(only))}", 0
    else:
        actions, reason = steps.choose()
    return Plan(
        acting,
        data,
        target,
        actions,
        reason,
        call_budget_us=max(_BY_HAND_CALL_US if by_hand else 0, call_budget_us(assessment.fill_share_s)),
        urgent=steps.urgent,
        shared_bytes=shared,
        last_resort_bytes=int(policy.levels.emergency * limits.limit_bytes) if steps.last_resort else None,
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    """The inputs of one decision, and the steps they lead to."""

    level: Level
    assessment: Assessment
    reading: Reading
    census: Census | None
    policy: Policy
    known: Known
    wanted: int
    data: int

    def choose(self) -> tuple[tuple[Action, ...], str]:
        if self.level < Level.PREVENTIVE:
            return self._upkeep(), self.assessment.reason
        if self.wanted == 0:
            return (), self._why_nothing()
        if self.level < Level.EMERGENCY:
            return (*self._loss_free(), *self._over_budget()), f"{self.assessment.reason}; loss-free cleanup"
        steps = (*self._first(), *self._over_budget(), *self._by_priority())
        target = format_bytes(self.data - self.wanted)
        return steps, f"{self.assessment.reason}; cleanup by priority down to {target} of data"

    def _why_nothing(self) -> str:
        if self.assessment.pressure < self.policy.levels.preventive:
            return f"{self.assessment.reason}; data is below the target, nothing has to go yet"
        holders = [f"{cause} {format_bytes(size)}" for cause, size in self.reading.held_bytes.items()]
        if self.reading.other_keys:
            holders.append(f"other databases {self.reading.other_keys} keys")
        held = ", ".join(holders)
        return f"{self.assessment.reason}; data is not what fills it ({held}): deleting keys would not help"

    def named(self, only: frozenset[str]) -> tuple[Action, ...]:
        """The steps of some namespaces; no other is touched. A trim goes no further than the target asks."""
        return tuple(
            replace(
                action,
                rules=tuple(rule for rule in action.rules if rule.namespace in only),
                bytes_wanted=self.wanted if action.kind is ActionKind.TRIM else action.bytes_wanted,
            )
            for action in self._by_priority(in_one_pass=False)
            if action.namespace in only and (action.kind is not ActionKind.TRIM or self.wanted > 0)
        )

    @property
    def urgent(self) -> bool:
        """Whether there is no time for more than deleting."""
        return is_urgent(self.assessment, self.known)

    @property
    def last_resort(self) -> bool:
        """Whether the limit is nearer than anything that is left to try."""
        left = self.assessment.time_to_limit_s
        return left is not None and left < _URGENT_S

    @property
    def expendable(self) -> tuple[NamespacePolicy, ...]:
        """The namespaces that may be cleaned, least valuable first; ties keep the order of the file."""
        return tuple(sorted((ns for ns in self.policy.namespaces if not ns.protected), key=_priority))

    def _upkeep(self) -> tuple[Action, ...]:
        rules = tuple(
            Rule(ns.name, idle_s=_orphan_idle_s(ns), give_ms=_ms(ns.ttl_s))
            for ns in self.policy.namespaces
            if ns.enforce_ttl and ns.ttl_s
        )
        return (Action(ActionKind.UPKEEP, None, rules, "keys without a TTL get their namespace's"),) if rules else ()

    def _loss_free(self) -> tuple[Action, ...]:
        if self.known.capped:
            return ()
        capped = () if self._by_age else tuple(ns for ns in self.policy.namespaces if _may_cap(ns) and ns.ttl_s)
        rules = tuple(Rule(ns.name, cap_ms=_ms(ns.ttl_s)) for ns in capped)
        return (Action(ActionKind.CAP, None, rules, "drops what has expired, caps TTLs at the policy's"),)

    def _first(self) -> tuple[Action, ...]:
        counting = tuple(Rule(ns.name, Unlink.COUNT) for ns in self.expendable if ns.cleanup is Cleanup.EXPIRED)
        purge = Action(ActionKind.PURGE, None, counting, "what has expired goes first: nobody misses it")
        wait = Action(ActionKind.WAIT, None, (), "memory already unlinked is still being freed")
        steps = () if self.known.purged or self.urgent else (purge,)
        return (*steps, wait) if self.reading.lazyfree_pending else steps

    def _over_budget(self) -> tuple[Action, ...]:
        return tuple(action for ns in self.expendable if (action := self._to_budget(ns)) is not None)

    def _to_budget(self, ns: NamespacePolicy) -> Action | None:
        usage = self._usage(ns)
        if ns.budget_bytes is None or usage is None or usage.bytes is None or ns.cleanup is Cleanup.EXPIRED:
            return None
        # An estimate must not delete what may well be within the budget: the low end of its interval decides.
        over = int(usage.bytes.low) - ns.budget_bytes
        if over <= 0:
            return None
        reason = f"{ns.name} holds {format_bytes(int(usage.bytes.value))}, over its {format_bytes(ns.budget_bytes)}"
        return Action(ActionKind.BUDGET, ns.name, (self._cut(ns, over, 0),), reason, over)

    def _by_priority(self, *, in_one_pass: bool = True) -> tuple[Action, ...]:
        """A step or two for each namespace in its turn.

        Under pressing need those that a sample sees nothing of come last: a pass that finds nothing is time lost.
        """
        order = sorted(self.expendable, key=self._unseen) if self.urgent else self.expendable
        first = self._all_needed(order) if in_one_pass else ()
        actions = [self._clear_together(first)] if first else []
        cleared = tuple(rule for ns in first for rule in self._sweeping_up(ns))
        for ns in order:
            if ns in first:
                continue
            steps = [] if ns.name in self.known.empty else self._cleanup_of(ns)
            actions += (Action(kind, ns.name, (*cleared, rule), reason) for kind, rule, reason in steps)
            cleared = (*cleared, *self._sweeping_up(ns))
        return tuple(actions)

    def _all_needed(self, order: Sequence[NamespacePolicy]) -> tuple[NamespacePolicy, ...]:
        """The first namespaces in order that surely have to go whole, where those are several: one pass does for all.

        Surely means that the high ends of their sizes together are less than what has to be freed.
        """
        needed: list[NamespacePolicy] = []
        at_most = 0.0
        for ns in order:
            if ns.name in self.known.empty:
                continue
            usage = self._usage(ns)
            if ns.cleanup not in {Cleanup.CLEAR, Cleanup.EXPIRED} or usage is None or usage.bytes is None:
                break
            orphans_unseen = ns.cleanup is Cleanup.EXPIRED and usage.no_ttl is not None and usage.no_ttl.value == 0
            at_most += 0.0 if orphans_unseen else usage.bytes.high
            if at_most >= self.wanted:
                break
            needed.append(ns)
        return tuple(needed) if len(needed) > 1 else ()

    def _clear_together(self, namespaces: tuple[NamespacePolicy, ...]) -> Action:
        first, *others = namespaces
        rules = tuple(rule for ns in namespaces for _, rule, _ in self._cleanup_of(ns))
        reason = f"priority {first.priority} to {others[-1].priority}: all of it is less than has to go"
        return Action(ActionKind.CLEAR, first.name, rules, reason, together=tuple(ns.name for ns in others))

    def _cleanup_of(self, ns: NamespacePolicy) -> list[tuple[ActionKind, Rule, str]]:
        place = f"priority {ns.priority}"
        match ns.cleanup:
            case Cleanup.CLEAR:
                return [(ActionKind.CLEAR, Rule(ns.name, Unlink.ALL), f"{place}: cleared until the target is reached")]
            case Cleanup.TRIM:
                return [(ActionKind.TRIM, self._cut(ns, self.wanted, self._steer_ms()), f"{place}: longest idle first")]
            case Cleanup.EXPIRED:
                rule = Rule(ns.name, Unlink.ORPHAN, idle_s=_orphan_idle_s(ns))
                return [(ActionKind.EXPIRED, rule, f"{place}: only what is past its TTL; live keys stay")]
            case Cleanup.SHORTEN:
                return self._shorten(ns, place)
            case Cleanup.NEVER:
                return []

    def _shorten(self, ns: NamespacePolicy, place: str) -> list[tuple[ActionKind, Rule, str]]:
        ttl_s = ns.critical_ttl_s if self.level is Level.CRITICAL else ns.emergency_ttl_s
        steer = self._steer_ms()
        cap = 0 if self._by_age else min(_ms(ttl_s), steer or _ms(ttl_s))
        shorten = f"{place}: TTLs down to {format_duration(cap / 1000)}"
        trim = f"{place}: pressure stays, so those nearest their end go first"
        # To the server setting a TTL is a use, so idle times tell nothing any more: the TTL decides alone.
        left = self.assessment.time_to_limit_s
        # Shorter TTLs free nothing before they run out. With less time than that they are set on the way, by the trim;
        # unless the server's evictor is to see them, which helps at once.
        too_late = left is not None and left < cap / 1000 and not steer
        if self.known.capped or self.urgent or too_late or self._by_age:
            return [(ActionKind.TRIM, self._cut(ns, self.wanted, cap, by_idle=False), trim)]
        # Trimmed first: once all TTLs are alike they no longer tell which keys are nearest their end.
        return [
            (ActionKind.TRIM, self._cut(ns, self.wanted, 0, by_idle=False), trim),
            (ActionKind.SHORTEN, Rule(ns.name, cap_ms=cap), shorten),
        ]

    @property
    def _by_age(self) -> bool:
        """Whether the server evicts by use. Setting a TTL counts as one: capped keys would outlive those to be kept."""
        return (self.reading.eviction_policy or "").endswith(("lru", "lfu"))

    def _steer_ms(self) -> int:
        """The TTL that makes the server's own evictor take expendable keys first; 0 where that is not asked for."""
        if self.reading.eviction_policy != "volatile-ttl" or self.level < Level.CRITICAL:
            return 0
        names = {ns.name for ns in self.policy.namespaces if ns.protected or ns.cleanup is Cleanup.EXPIRED}
        rows = self.census.namespaces if self.census else ()
        soonest = [key.ttl_ms for row in rows if row.name in names for key in row.sample if key.ttl_ms is not None]
        if not soonest:
            return _STEER_MS
        early = sorted(soonest)[int(_STEER_QUANTILE * len(soonest))]
        return max(_LEAST_STEER_MS, min(_STEER_MS, early // 4))

    def _cut(self, ns: NamespacePolicy, wanted: int, cap_ms: int, *, by_idle: bool = True) -> Rule:
        """The rule that trims: everything under pressing need, else the keys past cut-offs drawn from the sample."""
        usage = self._usage(ns)
        if self.urgent or usage is None or usage.bytes is None or not usage.sample:
            return Rule(ns.name, Unlink.ALL, cap_ms=cap_ms)
        share = _VICTIM_SLACK * wanted / max(1.0, usage.bytes.value)
        sample = usage.sample if by_idle else tuple(key._replace(idle_s=None) for key in usage.sample)
        return cut_off(ns.name, sample, share, cap_ms)

    def _usage(self, ns: NamespacePolicy) -> Usage | None:
        return self.census.usage(ns.name) if self.census else None

    def _sweeping_up(self, ns: NamespacePolicy) -> tuple[Rule, ...]:
        """A namespace that was cleared before stays cleared: what a later step meets of it goes too."""
        return (Rule(ns.name, Unlink.ALL),) if ns.cleanup is Cleanup.CLEAR and not self.urgent else ()

    def _unseen(self, ns: NamespacePolicy) -> bool:
        """Whether the sample has nothing that a step on the namespace would delete."""
        usage = self._usage(ns)
        if usage is None:
            return False
        found = usage.no_ttl if ns.cleanup is Cleanup.EXPIRED else usage.keys
        return found is not None and found.value == 0


def cut_off(namespace: str, sample: tuple[KeySample, ...], share: float, cap_ms: int = 0) -> Rule:
    """The trim rule under which ``share`` of the sampled bytes goes: the longest idle, of equals the soonest to expire.

    Where idle times are unknown, or tell too little apart, the TTL decides alone.
    """
    if share >= 1 or not sample:
        return Rule(namespace, Unlink.ALL, cap_ms=cap_ms)
    by_idle = all(key.idle_s is not None for key in sample) and len({key.idle_s for key in sample}) > 1
    ordered = sorted(sample, key=lambda key: (-(key.idle_s or 0) if by_idle else 0, _ttl_order(key)))
    goal = share * sum(key.size_bytes or 1 for key in sample)
    gone = 0
    for key in ordered:
        gone += key.size_bytes or 1
        if gone >= goal:
            idle_s = key.idle_s if by_idle else None
            return Rule(namespace, Unlink.CUT, idle_s=idle_s, ttl_ms=key.ttl_ms, cap_ms=cap_ms)
    return Rule(namespace, Unlink.ALL, cap_ms=cap_ms)


def _ttl_order(key: KeySample) -> float:
    return math.inf if key.ttl_ms is None else key.ttl_ms


def _priority(ns: NamespacePolicy) -> int:
    return ns.priority if ns.priority is not None else 0


def _may_cap(ns: NamespacePolicy) -> bool:
    """Live keys of an ``expired`` namespace are never touched; it only gets TTLs where they are missing."""
    return ns.enforce_ttl and ns.cleanup is not Cleanup.EXPIRED


def _orphan_idle_s(ns: NamespacePolicy) -> int | None:
    """How long a key without a TTL must be idle to count as dead; None where its namespace does not ask."""
    return math.ceil(ns.ttl_s or 0) if ns.cleanup is Cleanup.EXPIRED else None


def _ms(seconds: float | None) -> int:
    return round((seconds or 0) * 1000)
