"""Carrying out a plan: one bounded call after the other, the server's memory read off each reply."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import sleep

from spillgate.errors import BudgetExhausted, ServerError
from spillgate.governor.recent import Recent
from spillgate.model import Action, ActionKind, Outcome, Plan, Reading, Rule, Stop
from spillgate.policy.plan import LAST_RESORT_CALL_US, LONGEST_CALL_US
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import CallBounds, RuleCount, SweepReply, scan_position

# More keys than any call can visit within its time: the time is the bound.
_KEYS_A_CALL = 20_000
_LAZYFREE_WAIT_S = 1.0
_LAZYFREE_LOOK_S = 0.005
_URGENT_WAIT_S = 0.05
# Memory that rises by so much while a step deletes: longer calls are needed.
_LOSING = 1.01
# Steps whose calls grow while writers fill faster than they free; the others free nothing yet.
_FREEING = {ActionKind.BUDGET, ActionKind.CLEAR, ActionKind.TRIM}
# Steps that end with their pass, however little or much it freed.
_WHOLE_PASS = {ActionKind.CAP, ActionKind.SHORTEN, ActionKind.UPKEEP}


@dataclass(slots=True)
class Progress:
    """What one step has done so far."""

    start_cursor: int
    cursor: int
    visited: int = 0
    expired: int = 0
    freed_bytes: int = 0
    calls: int = 0
    laps: int = 0
    counts: dict[str, RuleCount] = field(default_factory=dict[str, RuleCount])

    def fold(self, reply: SweepReply) -> None:
        """Add one call."""
        self.calls += 1
        self.visited += reply.visited
        self.expired += reply.expired
        self.freed_bytes += reply.freed_bytes
        for name, count in reply.counts.items():
            self.counts[name] = self.counts.get(name, RuleCount()) + count
        self.cursor = reply.cursor
        self.laps += reply.cursor == 0

    @property
    def complete(self) -> bool:
        """Whether the pass is back where it started; one call may run past that place and reach the end again."""
        if self.laps == 1:
            return scan_position(self.cursor) >= scan_position(self.start_cursor)
        return self.laps > 1


class Cleaner:
    """Carries out plans on one server. The cursor is kept between steps, so that each goes on where the last ended."""

    def __init__(
        self,
        gateway: Gateway,
        recent: Recent,
        *,
        interrupt: Callable[[Plan, Reading], Stop | None],
        wrote: Callable[[int, float], None],
        dry_run: bool = False,
    ) -> None:
        """``interrupt`` is asked after each call whether to stop; ``wrote`` is told what others wrote between calls."""
        self._gateway = gateway
        self._recent = recent
        self._interrupt = interrupt
        self._wrote = wrote
        self._dry_run = dry_run
        self.failure: ServerError | None = None
        self._cursor: int | None = None
        self._upkeep_cursor = 0
        self._data_bytes = 0
        self._spared_bytes = 0
        self._spared_keys = 0

    def carry_out(self, plan: Plan) -> Iterator[Outcome]:
        """The plan's steps in order, each outcome as it is known; ends with the first that ends the plan.

        A server that fails ends the plan with an outcome that says so; ``failure`` is then how, and nothing is raised.
        """
        self._data_bytes = plan.data_bytes
        self._spared_bytes = self._spared_keys = 0
        reached, trimmed = False, set[str | None]()
        for action in plan.actions:
            # What was trimmed has its TTLs shortened as well, though the target is reached; all else is over by then.
            if reached and not (action.kind is ActionKind.SHORTEN and action.namespace in trimmed):
                continue
            # The plan's own first pass may have found a namespace empty. A cleanup by hand (no target) looks anyway.
            if plan.target_bytes and self._found_empty(action):
                continue
            outcome = self._step(plan, action)
            yield outcome
            if outcome.stop not in {Stop.COMPLETE, Stop.TARGET}:
                return
            if action.kind is ActionKind.TRIM:
                trimmed.add(action.namespace)
            to_budget = action.kind is ActionKind.BUDGET and self._data_bytes > plan.target_bytes
            reached = reached or (outcome.stop is Stop.TARGET and not to_budget)
            # Writers have filled up again what a whole pass freed: look anew rather than search where little is.
            if plan.urgent and outcome.freed_bytes:
                return

    def _found_empty(self, action: Action) -> bool:
        now = self._gateway.now()
        return bool(action.names) and all(self._recent.found_empty(name, now) for name in action.names)

    def _step(self, plan: Plan, action: Action) -> Outcome:
        started = self._gateway.now()
        # A pass may overlap its start at its end. What is deleted is not met again there; in a dry run it would be.
        start = 0 if self._dry_run else self._gateway.random_cursor() if self._cursor is None else self._cursor
        progress = Progress(start, start)
        error: str | None = None
        try:
            stop = self._wait(plan) if action.kind is ActionKind.WAIT else self._sweep(plan, action, progress)
        except BudgetExhausted as failure:
            stop, error = Stop.BUDGET, str(failure)
        except ServerError as failure:
            stop, error, self.failure = Stop.FAILED, str(failure), failure
        self._cursor = progress.cursor
        now = self._gateway.now()
        outcome = Outcome(
            action,
            stop,
            visited=progress.visited,
            deleted=sum(count.deleted for count in progress.counts.values()),
            expired=progress.expired,
            retimed=self._retimed(action, progress),
            freed_bytes=progress.freed_bytes,
            seconds=now - started,
            calls=progress.calls,
            dry_run=self._dry_run,
            error=error,
            deleted_by_namespace={name: count.deleted for name, count in progress.counts.items() if count.deleted},
        )
        self._recent.saw_pass(outcome, plan.level, progress.counts, now)
        return outcome

    def _retimed(self, action: Action, progress: Progress) -> int:
        """How many TTLs were shortened. In a dry run those that the trim before would have deleted are still there."""
        retimed = sum(count.retimed for count in progress.counts.values())
        if not self._dry_run:
            return retimed
        if action.kind is ActionKind.TRIM:
            self._spared_keys = sum(count.deleted for count in progress.counts.values())
        return max(0, retimed - self._spared_keys) if action.kind is ActionKind.SHORTEN else retimed

    def _wait(self, plan: Plan) -> Stop:
        """Until nothing unlinked is still being freed, or long enough."""
        reading = self._settled(plan, self._gateway.read_memory())
        self._data_bytes = reading.data_with(plan.shared_bytes)
        if self._data_bytes <= plan.target_bytes:
            return Stop.TARGET
        return self._interrupt(plan, reading) or Stop.COMPLETE

    def _settled(self, plan: Plan, reading: Reading) -> Reading:
        """``reading``, or a later one, when nothing unlinked is still being freed: it must not be deleted for twice."""
        deadline = self._gateway.now() + (_URGENT_WAIT_S if plan.urgent else _LAZYFREE_WAIT_S)
        while reading.lazyfree_pending and self._gateway.now() < deadline:
            sleep(_LAZYFREE_LOOK_S)
            reading = self._gateway.read_memory()
        return reading

    def upkeep(self, action: Action, call_us: int) -> SweepReply:
        """One slice of a steady round through all keys: TTLs where they are missing.

        Raises:
            ServerError: the server failed.
        """
        bounds = CallBounds(_KEYS_A_CALL, call_us)
        reply = self._gateway.sweep(self._upkeep_cursor, action.rules, bounds, dry_run=self._dry_run)
        self._upkeep_cursor = reply.cursor
        return reply

    def _sweep(self, plan: Plan, action: Action, progress: Progress) -> Stop:
        """Call after call until the target, the end of the pass, or an interruption."""
        budget_us = plan.call_budget_us
        data_before = self._data_bytes
        previous: Reading | None = None
        rules = self._rules(action)
        while True:
            bounds = CallBounds(_KEYS_A_CALL, budget_us, self._need(plan, action, progress))
            asked_at_s = self._gateway.now()
            reply = self._gateway.sweep(progress.cursor, rules, bounds, dry_run=self._dry_run, blind=plan.urgent)
            progress.fold(reply)
            self._recent.saw_call(reply, reply.reading.at_s - asked_at_s)
            if previous is not None:
                self._wrote(reply.used_before_bytes - previous.used_bytes, reply.reading.at_s - previous.at_s)
            previous = self._settled(plan, reply.reading)
            progress.freed_bytes += max(0, reply.reading.used_bytes - previous.used_bytes)
            # A dry run frees nothing, so what it would have freed is taken off the reading.
            self._spared_bytes += reply.freed_bytes if self._dry_run else 0
            self._data_bytes = previous.data_with(plan.shared_bytes) - self._spared_bytes
            stop = self._over(plan, action, progress) or self._interrupt(plan, previous)
            if stop is not None:
                return stop
            if progress.complete:
                return Stop.COMPLETE
            if plan.last_resort_bytes is not None and previous.counted_bytes > plan.last_resort_bytes:
                budget_us = LAST_RESORT_CALL_US
            elif action.kind in _FREEING and self._data_bytes > data_before * _LOSING:
                budget_us = min(LONGEST_CALL_US, budget_us * 2)
            else:
                budget_us = plan.call_budget_us

    def _rules(self, action: Action) -> tuple[Rule, ...]:
        """In a dry run what an earlier step would have deleted is still there, and must not count again."""
        if not self._dry_run or not action.names:
            return action.rules
        return tuple(rule for rule in action.rules if rule.namespace in action.names)

    def _over(self, plan: Plan, action: Action, progress: Progress) -> Stop | None:
        """Whether the step has done enough."""
        if action.kind in _WHOLE_PASS:
            return None
        enough = action.bytes_wanted is not None and progress.freed_bytes >= action.bytes_wanted
        return Stop.TARGET if enough or self._data_bytes <= plan.target_bytes else None

    def _need(self, plan: Plan, action: Action, progress: Progress) -> int:
        """Bytes after which the next call may stop; 0 where only the pass ends it."""
        if action.kind in _WHOLE_PASS:
            return 0
        to_target = max(1, self._data_bytes - plan.target_bytes)
        if action.bytes_wanted is None:
            return to_target
        return max(1, min(to_target, action.bytes_wanted - progress.freed_bytes))
