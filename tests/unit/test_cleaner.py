"""What the cleaner makes of a plan, call by call, on keyspaces of every kind.

The keyspace here is the pure data side of a sweep, not a server: keys in a table, the cursor's order, and the contract
of `Rule`. It answers as `Gateway` does, so that thousands of keyspaces can be cleaned in a second and each call be
looked at. That real servers answer in this way is what the tests on real servers are for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from spillgate.census.sample import Sample
from spillgate.config import ServerSettings, parse_policy
from spillgate.governor.apply import Cleaner
from spillgate.governor.recent import Recent
from spillgate.model import ActionKind, Census, KeySample, Level, Outcome, Plan, Reading, Rule, Run, Tally, Unlink
from spillgate.policy.plan import Known, decide
from spillgate.policy.pressure import FillRates, assess, find_limits
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import CallBounds, RuleCount, ScanTable, SweepReply, scan_position
from tests.governing import NAMESPACES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Key: TypeAlias = tuple[str | None, KeySample]

POLICY = parse_policy(NAMESPACES.replace('name = "pages"', 'name = "pages"\nbudget = "10kB"'), "test")
NAMES = tuple(ns.name for ns in POLICY.namespaces)
BASE_BYTES = 2000
CURSOR_BITS = 64


class Keyspace(Gateway):
    """A table of ``2**bits`` buckets. A call goes over pages of buckets, as many as ``page_us`` lets it."""

    def __init__(self, keys: Sequence[Key], bits: int, start: int, page: int, page_us: int) -> None:
        self.table = ScanTable(POLICY.namespaces)
        self.buckets: list[list[Key]] = [list(keys[i :: 1 << bits]) for i in range(1 << bits)]
        self.deleted: list[Key] = []
        self.last_page_bytes = 0  # of the last page that a key went from, and of the page that most went from
        self.most_page_bytes = 0
        self._bits, self._start, self._page, self._page_us = bits, start, page, page_us
        self._at_s = 0.0

    @property
    def keys(self) -> list[Key]:
        return [key for bucket in self.buckets for key in bucket]

    @property
    def used_bytes(self) -> int:
        return BASE_BYTES + size_of(self.keys)

    def now(self) -> float:
        return self._at_s

    def random_cursor(self) -> int:
        return self._start

    def read_memory(self) -> Reading:
        return Reading(self._at_s, self.used_bytes)

    def sweep(
        self, cursor: int, rules: Iterable[Rule], bounds: CallBounds, *, dry_run: bool = False, blind: bool = False
    ) -> SweepReply:
        by_name = self.table.by_name(rules, others=not blind)
        counts = {name: RuleCount() for name in by_name}
        before, visited, freed = self.used_bytes, 0, 0
        place = scan_position(cursor) >> (CURSOR_BITS - self._bits)
        for _ in range(max(1, bounds.microseconds // self._page_us)):
            page = self.buckets[place : place + self._page]
            gone = [key for bucket in page for key in self._visit(bucket, by_name, counts, dry_run=dry_run)]
            visited += sum(map(len, page))
            place += len(page)
            freed += size_of(gone)
            self.last_page_bytes = size_of(gone) or self.last_page_bytes
            self.most_page_bytes = max(self.most_page_bytes, size_of(gone))
            if place == len(self.buckets) or visited >= bounds.keys or 0 < bounds.need_bytes <= freed:
                break
        self._at_s += 0.001
        end = scan_position(place << (CURSOR_BITS - self._bits)) if place < len(self.buckets) else 0
        return SweepReply(end, visited, 0, freed, before, self.read_memory(), counts)

    def _visit(
        self, bucket: list[Key], rules: dict[str, Rule], counts: dict[str, RuleCount], *, dry_run: bool
    ) -> list[Key]:
        """Do to one bucket what the rules ask for; the keys that go, or in a dry run would."""
        gone: list[Key] = []
        stay: list[Key] = []
        for name, key in bucket:
            rule = rules.get(name or "")
            if rule is None:
                stay.append((name, key))
                continue
            goes = is_victim(rule, key)
            capped = (
                key if goes or not rule.cap_ms else key._replace(ttl_ms=min(key.ttl_ms or rule.cap_ms, rule.cap_ms))
            )
            counts[rule.namespace] += RuleCount(1, key.ttl_ms is None, goes, capped != key)
            (gone if goes else stay).append((name, capped))
        if not dry_run:
            self.deleted += gone
            bucket[:] = stay
        return gone


def is_victim(rule: Rule, key: KeySample) -> bool:
    """What `Rule` says."""
    match rule.unlink:
        case Unlink.ALL:
            return True
        case Unlink.ORPHAN:
            return key.ttl_ms is None and (key.idle_s or 0) > (rule.idle_s or 0)
        case Unlink.CUT if rule.idle_s is not None and key.idle_s != rule.idle_s:
            return (key.idle_s or 0) > rule.idle_s
        case Unlink.CUT:
            return rule.ttl_ms is None or (key.ttl_ms is not None and key.ttl_ms <= rule.ttl_ms)
        case _:
            return False


def size_of(keys: Iterable[Key]) -> int:
    return sum(key.size_bytes or 0 for _, key in keys)


def census_of(keys: Sequence[Key]) -> Census:
    details = tuple((NAMES.index(name) + 1 if name else 0, key) for name, key in keys)
    met: dict[int, list[Tally]] = {}
    for group, key in details:
        seen = Tally(keys=1, no_ttl=int(key.ttl_ms is None), light_bytes=key.size_bytes or 0)
        met.setdefault(group, []).append(seen)
    tallies = {group: Tally.total(found) for group, found in met.items()}
    sample = Sample(NAMES)
    sample.add(Run(1.0, len(keys), 0, len(keys), tallies, details=details))
    return sample.census(0.0, exact=True, sizes_known=True)


class Case:
    """A keyspace, and the plan that the planner makes for it. ``table`` is how a `Keyspace` holds the keys."""

    def __init__(
        self, keys: list[Key], fullness: float, fill_share_s: float, level: Level, table: tuple[int, int, int, int]
    ) -> None:
        self.keys, self.table = keys, table
        used = BASE_BYTES + size_of(keys)
        limit = round(used / fullness)
        policy = replace(POLICY, server=ServerSettings(limit_bytes=limit))
        reading = Reading(0.0, used, lazyfree_pending=1)
        rates = FillRates((fill_share_s * limit,))
        assessment = assess(None, reading, rates, find_limits(policy.server, reading), policy.levels, 0.2)
        self.plan = decide(assessment, reading, census_of(keys), policy, Known(), level=level)

    def __repr__(self) -> str:
        return f"Case({self.keys}, table={self.table}, {self.plan})"

    def carry_out(self, plan: Plan, *, dry_run: bool = False) -> tuple[Keyspace, list[Outcome]]:
        keyspace = Keyspace(self.keys, *self.table)
        cleaner = Cleaner(keyspace, Recent(POLICY), interrupt=never, wrote=never, dry_run=dry_run)
        return keyspace, list(cleaner.carry_out(plan))

    def without(self, *kinds: ActionKind) -> Plan:
        return replace(self.plan, actions=tuple(action for action in self.plan.actions if action.kind not in kinds))


def never(*_: object) -> None:
    """Nobody interrupts, and nobody is told what others write."""


# One draw a key keeps the search fast.
SAMPLES = [
    KeySample(idle_s, ttl_ms, size)
    for idle_s, ttl_ms, size in product(
        (0, 7, 950, 2000), (None, 5, 50_000, 400_000, 1_500_000), (500, 777, 2500, 5000)
    )
]


def keys_of(names: Sequence[str | None]) -> st.SearchStrategy[list[Key]]:
    return st.lists(st.sampled_from(list(product(names, SAMPLES))), min_size=10, max_size=30)


tables = st.tuples(st.integers(2, 5), st.integers(0, 2**48 - 1), st.integers(1, 3), st.integers(20, 1000))
cases = st.builds(
    Case,
    # Few namespaces at a time, so that some are heavy and others empty.
    st.lists(st.sampled_from([*NAMES, None]), min_size=1, max_size=4).flatmap(keys_of),
    st.sampled_from([0.85, 1.0, 1.1]),
    st.sampled_from([0.0, 0.0, 0.3, 1.0, 20.0]),
    st.sampled_from([Level.PREVENTIVE, Level.EMERGENCY, Level.EMERGENCY, Level.CRITICAL]),
    tables,
)


@given(cases)
def test_no_key_goes_that_no_rule_of_the_plan_names(case: Case) -> None:
    keyspace, outcomes = case.carry_out(case.plan)
    rules = [rule for action in case.plan.actions for rule in action.rules]
    for name, key in keyspace.deleted:
        assert any(rule.namespace == name and is_victim(rule, key) for rule in rules)
        assert name not in {None, "tasks"}
    told = sum((Counter(outcome.deleted_by_namespace) for outcome in outcomes), Counter[str]())
    assert told == Counter(name for name, _ in keyspace.deleted)


@given(cases)
def test_it_never_frees_more_than_a_page_too_much(case: Case) -> None:
    keyspace, outcomes = case.carry_out(case.plan)
    if keyspace.deleted:
        assert keyspace.used_bytes + keyspace.last_page_bytes > case.plan.target_bytes
    for outcome in outcomes:
        if outcome.action.bytes_wanted is not None:
            assert outcome.freed_bytes < outcome.action.bytes_wanted + keyspace.most_page_bytes


@given(cases)
def test_steps_come_in_the_order_of_the_plan_and_none_with_work_is_left_out(case: Case) -> None:
    keyspace, outcomes = case.carry_out(case.plan)
    done = [outcome.action for outcome in outcomes]
    steps = iter(case.plan.actions)
    assert all(action in steps for action in done)
    if keyspace.used_bytes > case.plan.target_bytes and not case.plan.urgent:
        left = [rule for action in case.plan.actions if action not in done for rule in action.rules]
        assert not [
            key for name, key in keyspace.keys for rule in left if rule.namespace == name and is_victim(rule, key)
        ]


@given(cases)
def test_a_dry_run_of_whole_passes_tells_what_the_real_one_does(case: Case) -> None:
    # Nothing is enough, so every step is a whole pass. Those that trim stop where their bytes are found.
    plan = replace(case.without(ActionKind.BUDGET, ActionKind.TRIM), target_bytes=1)
    keyspace, real = case.carry_out(plan)
    untouched, dry = case.carry_out(plan, dry_run=True)
    assert acts(dry) == acts(real)
    assert sum(outcome.freed_bytes for outcome in dry) == size_of(keyspace.deleted)
    assert untouched.buckets == Keyspace(case.keys, *case.table).buckets


@given(cases)
def test_a_dry_run_to_the_target_tells_what_goes_but_for_a_page(case: Case) -> None:
    # A budget's victims are not known any more when the namespace's own turn comes, so a dry run counts them twice.
    plan = case.without(ActionKind.BUDGET)
    keyspace, _ = case.carry_out(plan)
    untouched, dry = case.carry_out(plan, dry_run=True)
    difference = sum(outcome.freed_bytes for outcome in dry) - size_of(keyspace.deleted)
    assert abs(difference) <= max(keyspace.last_page_bytes, untouched.last_page_bytes)
    assert untouched.buckets == Keyspace(case.keys, *case.table).buckets


def acts(outcomes: Iterable[Outcome]) -> list[tuple[ActionKind, str | None, dict[str, int], int]]:
    """What each step did that did anything."""
    return [
        (outcome.action.kind, outcome.action.namespace, outcome.deleted_by_namespace, outcome.retimed)
        for outcome in outcomes
        if outcome.deleted or outcome.retimed
    ]
