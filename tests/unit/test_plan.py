"""The planner's promises, on policies, readings and censuses of every kind."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spillgate.config import Cleanup, LevelSettings, NamespacePolicy, Policy, ServerSettings, load_policy
from spillgate.model import (
    Action,
    ActionKind,
    Census,
    Estimate,
    KeySample,
    Level,
    Plan,
    Reading,
    Rule,
    Unlink,
    Usage,
)
from spillgate.policy.plan import Known, cut_off, decide
from spillgate.policy.pressure import Assessment, FillRates, assess, find_limits
from tests.governing import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterable

MB = 1024 * 1024
LIMIT = 25 * MB
# No cleaning goes deeper than this share of the limit, whatever the flood: a cache that is emptied serves nobody.
FLOOR = 0.4
DELETING = {Unlink.ALL, Unlink.CUT, Unlink.ORPHAN}
BY_PRIORITY = {ActionKind.CLEAR, ActionKind.TRIM, ActionKind.EXPIRED, ActionKind.SHORTEN}

# ---- strategies

names = [f"n{number}" for number in range(3)]
level_settings = st.sampled_from(
    [
        LevelSettings(),
        LevelSettings(warning=0.4, preventive=0.5, emergency=0.6, critical=0.7, release=0.05),
        LevelSettings(warning=0.5, preventive=0.9, emergency=0.95, critical=1.0, release=0.01),
        LevelSettings(warning=0.1, preventive=0.3, emergency=0.5, critical=0.9, release=0.15),
    ]
)


@st.composite
def namespaces(draw: st.DrawFn, name: str) -> NamespacePolicy:
    cleanup = draw(st.sampled_from([*Cleanup, Cleanup.CLEAR]))
    protected = cleanup is Cleanup.NEVER
    ttl_s = draw(st.one_of(st.none(), st.integers(1, 7200))) if protected else draw(st.integers(1, 7200))
    return NamespacePolicy(
        name,
        (f"{name}:*",),
        ttl_s=ttl_s,
        cleanup=cleanup,
        priority=None if protected else draw(st.integers(0, 3)),
        enforce_ttl=ttl_s is not None and draw(st.booleans()),
        budget_bytes=draw(st.sampled_from([None, 0, MB])),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    chosen = draw(st.permutations(names))[: draw(st.sampled_from([3, 3, 2, 1, 0]))]
    server = ServerSettings(limit_bytes=LIMIT)
    return Policy(
        server=server, levels=draw(level_settings), namespaces=tuple(draw(namespaces(name)) for name in chosen)
    )


optional = st.one_of(st.none(), st.integers(0, MB))


def readings(least_used: int = 0) -> st.SearchStrategy[Reading]:
    return st.builds(
        Reading,
        at_s=st.just(0.0),
        used_bytes=st.integers(least_used, 2 * LIMIT),
        not_counted_bytes=optional.map(lambda size: size or 0),
        eviction_policy=st.sampled_from([None, "noeviction", "volatile-ttl", "allkeys-lru"]),
        clients_bytes=st.one_of(optional, st.integers(0, 2 * LIMIT)),
        replication_bytes=optional,
        scripts_bytes=optional,
        lazyfree_pending=st.one_of(st.none(), st.integers(0, 3)),
    )


key_samples = st.builds(
    KeySample,
    idle_s=st.one_of(st.none(), st.integers(0, 5)),
    ttl_ms=st.one_of(st.none(), st.integers(0, 5000)),
    size_bytes=st.one_of(st.none(), st.integers(1, 5000)),
)


@st.composite
def estimates(draw: st.DrawFn, most: int) -> Estimate:
    low, value, high = sorted(draw(st.lists(st.integers(0, most), min_size=3, max_size=3)))
    return Estimate(value, low, high)


@st.composite
def censuses(draw: st.DrawFn) -> Census | None:
    if draw(st.sampled_from([False, False, True])):
        return None
    rows = tuple(
        Usage(
            name,
            keys=draw(estimates(1000)),
            bytes=draw(st.one_of(estimates(LIMIT), estimates(LIMIT), st.none())),
            no_ttl=draw(estimates(1000)),
            sample=tuple(draw(st.lists(key_samples, max_size=3))),
        )
        for name in names[draw(st.sampled_from([0, 0, 1])) :]
    )
    return Census(
        0.0,
        exact=False,
        sampled_keys=10,
        total_keys=1000,
        namespaces=rows,
        unregistered_keys=Estimate.exact(5),
        total_bytes=draw(st.one_of(st.none(), estimates(LIMIT))),
    )


knowns = st.builds(
    Known,
    empty=st.frozensets(st.sampled_from(names)),
    purged=st.booleans(),
    capped=st.booleans(),
    pass_s=st.floats(0, 2),
)


class Case:
    """One decision and everything that went into it."""

    def __init__(  # noqa: PLR0917 (it is what the planner is asked)
        self,
        policy: Policy,
        reading: Reading,
        fill_share_s: float,
        census: Census | None,
        known: Known,
        level: Level | None,
        only: frozenset[str] = frozenset(),
    ) -> None:
        self.policy, self.reading, self.census, self.known, self.level, self.only = (
            policy,
            reading,
            census,
            known,
            level,
            only,
        )
        self.assessment = look(policy, reading, fill_share_s)
        self.plan = decide(self.assessment, reading, census, policy, known, level=level, only=only)
        self.by_name = {ns.name: ns for ns in policy.namespaces}

    def __repr__(self) -> str:
        given_values = (self.policy, self.reading, self.assessment, self.census, self.known, self.level, self.only)
        return f"Case({', '.join(map(repr, given_values))}, plan={self.plan})"


def look(policy: Policy, reading: Reading, fill_share_s: float = 0.0) -> Assessment:
    limits = find_limits(policy.server, reading)
    return assess(None, reading, FillRates((fill_share_s * limits.limit_bytes,)), limits, policy.levels, 0.2)


fills = st.one_of(st.just(0.0), st.floats(0, 0.5), st.floats(0, 20))
any_level = st.one_of(st.none(), st.sampled_from(Level))


def cases(levels: st.SearchStrategy[Level | None] = any_level, least_used: int = 0) -> st.SearchStrategy[Case]:
    """Decisions at some levels, with no less memory in use than ``least_used``."""
    return st.builds(Case, policies(), readings(least_used), fills, censuses(), knowns, levels)


alarming = cases(st.sampled_from([Level.EMERGENCY, Level.CRITICAL]), LIMIT * 9 // 10)
named_cases = st.builds(
    Case,
    policies(),
    readings(),
    fills,
    censuses(),
    knowns,
    any_level,
    st.frozensets(st.sampled_from(names), min_size=1),
)


def rules(actions: Iterable[Action]) -> list[Rule]:
    return [rule for action in actions for rule in action.rules]


def unmet(case: Case, ns: NamespacePolicy) -> bool:
    """Whether the census has nothing that a step on the namespace would delete."""
    usage = case.census.usage(ns.name) if case.census else None
    if usage is None:
        return False
    found = usage.no_ttl if ns.cleanup is Cleanup.EXPIRED else usage.keys
    return found is not None and found.value == 0


def deletes(rule: Rule) -> bool:
    return rule.unlink in DELETING


# ---- promises


@given(st.one_of(cases(), alarming, named_cases))
def test_nothing_of_a_protected_namespace_is_deleted_or_retimed_without_being_asked_for(case: Case) -> None:
    for rule in rules(case.plan.actions):
        ns = case.by_name[rule.namespace]  # and no rule names what the policy does not have
        if ns.protected:
            assert not deletes(rule)
            assert ns.enforce_ttl or not rule.acts
            assert {rule.cap_ms, rule.give_ms} <= {0, round((ns.ttl_s or 0) * 1000)}


@given(st.one_of(cases(), alarming, named_cases))
def test_of_sessions_only_orphans_go_and_no_ttl_is_shortened(case: Case) -> None:
    for rule in rules(case.plan.actions):
        ns = case.by_name[rule.namespace]
        if ns.cleanup is Cleanup.EXPIRED:
            assert rule.unlink in {Unlink.NONE, Unlink.COUNT, Unlink.ORPHAN}
            assert rule.cap_ms == 0
            assert rule.unlink is not Unlink.ORPHAN or (rule.idle_s or 0) >= (ns.ttl_s or 0)


@given(cases(st.sampled_from([Level.NORMAL, Level.WARNING])))
def test_below_preventive_nothing_is_deleted_and_no_ttl_shortened(case: Case) -> None:
    assert {action.kind for action in case.plan.actions} <= {ActionKind.UPKEEP}
    for rule in rules(case.plan.actions):
        assert not deletes(rule)
        assert rule.cap_ms == 0
        assert case.by_name[rule.namespace].enforce_ttl


@given(cases(st.just(Level.PREVENTIVE), LIMIT * 8 // 10))
def test_at_preventive_only_what_costs_nothing_or_is_over_budget(case: Case) -> None:
    for action in case.plan.actions:
        assert action.kind in {ActionKind.CAP, ActionKind.BUDGET}
        for rule in action.rules:
            ns = case.by_name[rule.namespace]
            if action.kind is ActionKind.CAP:
                assert not deletes(rule)
                assert (rule.cap_ms, ns.enforce_ttl) == (round((ns.ttl_s or 0) * 1000), True)


@given(cases(st.sampled_from([Level.PREVENTIVE, Level.EMERGENCY]), LIMIT * 9 // 10))
def test_over_budget_is_what_surely_is_and_no_more_than_that_goes(case: Case) -> None:
    for action in case.plan.actions:
        if action.kind is ActionKind.BUDGET:
            ns = case.by_name[str(action.namespace)]
            usage = case.census.usage(ns.name) if case.census else None
            assert usage is not None
            assert usage.bytes is not None
            assert ns.budget_bytes is not None
            assert {rule.namespace for rule in action.rules} == {ns.name}
            assert 0 < (action.bytes_wanted or 0) == usage.bytes.low - ns.budget_bytes


@given(alarming)
def test_the_order_is_expired_lazy_frees_budgets_then_priority(case: Case) -> None:
    ranks = {ActionKind.PURGE: 0, ActionKind.WAIT: 1, ActionKind.BUDGET: 2} | dict.fromkeys(BY_PRIORITY, 3)
    order = [ranks[action.kind] for action in case.plan.actions]
    assert order == sorted(order)
    # Under pressing need namespaces that the sample met nothing of come last, among themselves in order, too.
    turns = [
        (case.plan.urgent and unmet(case, ns), ns.priority or 0)
        for ns in (
            case.by_name[name] for action in case.plan.actions if action.kind in BY_PRIORITY for name in action.names
        )
    ]
    assert turns == sorted(turns)
    # A step deletes nothing that is worth more than the namespaces it is for.
    for action in case.plan.actions:
        if action.kind in BY_PRIORITY and not case.plan.urgent:
            own = max(case.by_name[name].priority or 0 for name in action.names)
            assert all((case.by_name[rule.namespace].priority or 0) <= own for rule in action.rules)


@given(alarming)
def test_namespaces_share_a_pass_only_where_all_of_them_surely_have_to_go(case: Case) -> None:
    for action in case.plan.actions:
        if action.together:
            assert {rule.namespace for rule in action.rules} == set(action.names)
            rows = [case.census.usage(name) if case.census else None for name in action.names]
            assert all(row and row.bytes for row in rows)
            sizes = [row.bytes.high for row in rows if row and row.bytes and not only_live(case, row)]
            assert sum(sizes) < case.plan.bytes_wanted


def only_live(case: Case, row: Usage) -> bool:
    """Whether a namespace has nothing that its step would delete, as far as the sample tells."""
    return case.by_name[row.name].cleanup is Cleanup.EXPIRED and row.no_ttl is not None and row.no_ttl.value == 0


@given(alarming)
def test_pending_lazy_frees_are_waited_for_before_anything_living_is_deleted(case: Case) -> None:
    assume(case.plan.actions and case.reading.lazyfree_pending)
    kinds = [action.kind for action in case.plan.actions]
    assert ActionKind.WAIT in kinds
    assert not any(deletes(rule) for rule in rules(case.plan.actions[: kinds.index(ActionKind.WAIT)]))


@given(alarming)
def test_an_empty_namespace_never_ends_a_plan(case: Case) -> None:
    assume(case.plan.bytes_wanted > 0)
    found = {name for action in case.plan.actions if action.kind in BY_PRIORITY for name in action.names}
    expendable = {ns.name for ns in case.policy.namespaces if not ns.protected}
    assert found == expendable - case.known.empty


@given(cases(st.sampled_from([Level.PREVENTIVE, Level.EMERGENCY, Level.CRITICAL])))
def test_nothing_is_deleted_where_data_is_not_what_fills_the_server(case: Case) -> None:
    told = case.census.total_bytes.low if case.census and case.census.total_bytes else 0
    assert case.plan.data_bytes == max(case.reading.data_bytes, min(int(told), case.reading.counted_bytes))
    assume(case.plan.bytes_wanted == 0)
    assert case.plan.actions == ()
    if case.assessment.pressure >= case.policy.levels.preventive:
        for holder in case.reading.held_bytes:
            assert holder in case.plan.reason


@given(cases())
def test_the_target_lies_between_the_floor_and_the_release_point(case: Case) -> None:
    release_point = case.policy.levels.preventive - case.policy.levels.release
    share = case.plan.target_bytes / LIMIT
    assert min(FLOOR, release_point) - 1e-6 <= share <= release_point + 1e-6


@given(policies(), readings(), st.floats(0, 5), st.floats(0, 5))
def test_the_faster_it_fills_the_deeper_and_harder_it_cleans(
    policy: Policy, reading: Reading, one: float, other: float
) -> None:
    slow, fast = (Case(policy, reading, share, None, Known(), Level.EMERGENCY).plan for share in sorted((one, other)))
    assert fast.target_bytes <= slow.target_bytes
    assert fast.call_budget_us >= slow.call_budget_us
    assert fast.call_budget_us < 5000


@given(named_cases)
def test_a_cleanup_of_some_namespaces_touches_no_other(case: Case) -> None:
    for action in case.plan.actions:
        assert action.namespace in case.only
        assert {rule.namespace for rule in action.rules if rule.acts} <= case.only


def test_a_cleanup_by_name_runs_also_without_pressure() -> None:
    policy = load_policy(EXAMPLE, env={}, flags={})
    case = Case(policy, Reading(0, MB), 0.0, None, Known(), Level.EMERGENCY, frozenset({"voice", "tasks", "messages"}))
    assert [(action.kind, action.namespace) for action in case.plan.actions] == [
        (ActionKind.CLEAR, "voice"),
        (ActionKind.SHORTEN, "messages"),
    ]


def test_the_reference_policy_at_critical() -> None:
    policy = load_policy(EXAMPLE, env={}, flags={})
    plan = Case(policy, Reading(0, LIMIT, lazyfree_pending=1), 0.0, None, Known(), None).plan
    assert plan.level is Level.CRITICAL
    assert [(action.kind.value, action.namespace) for action in plan.actions] == [
        ("purge", None),
        ("wait", None),
        ("clear", "analytics"),
        ("clear", "voice"),
        ("expired", "sessions"),
        ("clear", "ai-context"),
        ("trim", "messages"),
        ("shorten", "messages"),
    ]
    assert plan.actions[-1].rules[-1].cap_ms == 60_000


@pytest.mark.parametrize(("level", "cap_ms"), [(Level.EMERGENCY, 300_000), (Level.CRITICAL, 60_000)])
def test_shorten_uses_the_ttl_of_its_level(level: Level, cap_ms: int) -> None:
    policy = load_policy(EXAMPLE, env={}, flags={})
    plan = Case(policy, Reading(0, LIMIT), 0.0, None, Known(), level).plan
    shorten = next(action for action in plan.actions if action.kind is ActionKind.SHORTEN)
    assert shorten.rules[-1] == Rule("messages", cap_ms=cap_ms)
    assert "priority 5" in shorten.reason


def protected_sample(ttl_ms: int | None) -> Census:
    row = Usage("tasks", Estimate.exact(1), Estimate.exact(100), Estimate.exact(0), (KeySample(0, ttl_ms, 100),))
    return Census(0.0, exact=True, sampled_keys=1, total_keys=1, namespaces=(row,), unregistered_keys=Estimate.exact(0))


@pytest.mark.parametrize("ttl_ms", [600_000, 30_000, 8_000, None])
def test_under_volatile_ttl_expendable_keys_are_made_to_expire_before_protected_ones(ttl_ms: int | None) -> None:
    policy = load_policy(EXAMPLE, env={}, flags={})
    reading = Reading(0, LIMIT, eviction_policy="volatile-ttl")
    plan = Case(policy, reading, 0.0, protected_sample(ttl_ms), Known(), None).plan
    # The trim before it sets none: the step that shortens sees to all that are left.
    shortens = [action for action in plan.actions if action.kind is ActionKind.SHORTEN]
    caps = {rule.cap_ms for rule in rules(shortens) if rule.namespace == "messages"}
    assert all(0 < cap < (60_000 if ttl_ms is None else ttl_ms) for cap in caps)
    assert caps
    unsteered = Case(
        policy, replace(reading, eviction_policy="noeviction"), 0.0, protected_sample(ttl_ms), Known(), None
    )
    assert unsteered.plan.actions[-1].rules[-1] == Rule("messages", cap_ms=60_000)


def test_what_was_just_done_is_not_done_again() -> None:
    policy = load_policy(EXAMPLE, env={}, flags={})
    full = Reading(0, LIMIT)
    plan = Case(policy, full, 0.0, None, Known(frozenset({"analytics"}), purged=True, capped=True), None).plan
    kinds = {(action.kind, action.namespace) for action in plan.actions}
    assert not kinds & {(ActionKind.PURGE, None), (ActionKind.CLEAR, "analytics"), (ActionKind.SHORTEN, "messages")}
    assert plan.actions
    # What comes into the cleared namespace meanwhile goes with the sweeps for the others.
    assert all(Rule("analytics", Unlink.ALL) in action.rules for action in plan.actions)


# ---- cut-offs


def goes(rule: Rule, key: KeySample) -> bool:
    """What `Rule` says of ``Unlink.CUT``."""
    if rule.unlink is Unlink.ALL:
        return True
    if rule.idle_s is not None and key.idle_s is not None and key.idle_s != rule.idle_s:
        return key.idle_s > rule.idle_s
    return rule.ttl_ms is None or (key.ttl_ms is not None and key.ttl_ms <= rule.ttl_ms)


def order(key: KeySample) -> tuple[int, float]:
    return -(key.idle_s or 0), float("inf") if key.ttl_ms is None else key.ttl_ms


whole_samples = st.lists(
    st.builds(
        KeySample,
        idle_s=st.integers(0, 100),
        ttl_ms=st.one_of(st.none(), st.integers(0, 5000)),
        size_bytes=st.integers(1, 1000),
    ),
    min_size=1,
    max_size=50,
)


@given(whole_samples, st.floats(0.01, 0.99))
def test_a_cut_takes_the_wanted_share_and_no_key_more(sample: list[KeySample], share: float) -> None:
    assume(len({key.idle_s for key in sample}) > 1)
    rule = cut_off("n", tuple(sample), share)
    taken = [key for key in sample if goes(rule, key)]
    left = [key for key in sample if not goes(rule, key)]
    goal = share * sum(key.size_bytes or 0 for key in sample)
    assert sum(key.size_bytes or 0 for key in taken) >= goal
    # Without the last of those taken, and its equals, it would be too little.
    last = max(map(order, taken))
    assert sum(key.size_bytes or 0 for key in taken if order(key) < last) < goal
    # The longest idle go first; of equals, the soonest to expire.
    assert all(last < order(key) for key in left)


@given(whole_samples, st.floats(0.01, 0.99), st.sampled_from([None, 7]))
def test_where_idle_times_tell_nothing_the_soonest_to_expire_go(
    sample: list[KeySample], share: float, idle_s: int | None
) -> None:
    sample = [key._replace(idle_s=idle_s) for key in sample]
    rule = cut_off("n", tuple(sample), share, cap_ms=5)
    assert rule.idle_s is None
    assert rule.cap_ms == 5
    taken = [key for key in sample if goes(rule, key)]
    assert sum(key.size_bytes or 0 for key in taken) >= share * sum(key.size_bytes or 0 for key in sample)
    soonest_left = min((order(key)[1] for key in sample if not goes(rule, key)), default=float("inf"))
    assert max(order(key)[1] for key in taken) <= soonest_left


@given(st.lists(key_samples, max_size=20), st.floats(1, 100))
def test_a_share_of_all_or_no_sample_takes_all(sample: list[KeySample], share: float) -> None:
    assert cut_off("n", tuple(sample), share) == Rule("n", Unlink.ALL)
    assert cut_off("n", (), 0.5) == Rule("n", Unlink.ALL)


def test_a_plan_says_how_much_has_to_go() -> None:
    assert Plan(Level.EMERGENCY, 100, 80, (), "").bytes_wanted == 20
    assert Plan(Level.EMERGENCY, 70, 80, (), "").bytes_wanted == 0
