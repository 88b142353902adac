"""The governor: refresh, decide, carry out; then wait until it is worth looking again."""

import random
import threading
from collections.abc import Iterator
from typing import Self

from spillgate.census.collect import HURRIED, QUICK, THOROUGH, collect_census
from spillgate.config import Policy
from spillgate.errors import BudgetExhausted, ConfigError, LimitUnknown, ServerError
from spillgate.governor import words
from spillgate.governor.apply import Cleaner
from spillgate.governor.clock import Clock, CommandMeter
from spillgate.governor.journal import Event, Journal
from spillgate.governor.recent import Recent
from spillgate.governor.state import State, Totals
from spillgate.governor.watch import Watch
from spillgate.model import Action, ActionKind, Census, Level, Outcome, Plan, Reading, Stop
from spillgate.policy.pacing import Pause, next_pause, on_guard
from spillgate.policy.plan import Known, decide, is_urgent
from spillgate.policy.pressure import Assessment
from spillgate.server.capabilities import Capabilities
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable
from spillgate.server.tracking import Woken, WriteTracker

# A cleanup is planned anew, from a fresh sample, as long as it gets somewhere; this bounds one cycle.
_MOST_ROUNDS = 50
_UPKEEP_CALL_US = 2000
# Held by clients and the like beyond this share of the limit: the census has to tell how much of it is data after all.
_DOUBTFUL_SHARE = 0.1
# Calls of that length in which a look counts keys one by one; where there are more keys, the census estimates.
_COUNTING_CALLS = 50
_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 5.0
# While nothing is wrong, a census for those who look on is taken this often.
_CENSUS_S = 600.0
# What has not changed is told again this often.
_REMIND_S = 300.0


class Governor:
    """Keeps one server below its limit.

    `run` blocks until `stop`; `start` runs it in a thread of its own, for use inside an application; as a context
    manager it does both. `cycle` is one look with what follows from it. ``state`` and ``journal`` may be read from any
    thread.
    """

    def __init__(
        self, policy: Policy, *, dry_run: bool = False, clock: Clock | None = None, seed: int | None = None
    ) -> None:
        """Prepare; the server is not touched before the first cycle.

        Raises:
            ConfigError: the URL is of a kind that cannot be governed.
        """
        self.clock = clock or Clock()
        self.journal = Journal(self.clock.wall)
        self.dry_run = dry_run
        self._rng = random.Random(seed)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy = threading.Lock()
        self._capabilities: Capabilities | None = None
        self._census: Census | None = None
        self._totals = Totals()
        self._error: str | None = None
        self._at_unix_s: float | None = None
        self._pause_s: float | None = None
        self._retry_s = _FIRST_RETRY_S
        self._woken = Woken()
        self._next_policy: Policy | None = None
        self._by_hand = False
        self._ended = False
        self._told: dict[str, float] = {}
        self._meter = CommandMeter(policy.monitor.commands_per_day, self.clock)
        self._adopt(policy)

    def _adopt(self, policy: Policy) -> None:
        """Make everything that depends on the policy."""
        self._policy = policy
        self._gateway = Gateway(
            policy.server,
            ScanTable(policy.namespaces),
            clock=self.clock.monotonic,
            allow=lambda: self._meter.budget(self._gateway.commands).remaining,
            rng=self._rng,
        )
        self._tracker = WriteTracker(self._gateway.subscribe)
        self._watch = Watch(policy, self._gateway)
        self._forget_keys()

    def _forget_keys(self) -> None:
        """Start over with nothing known of the server's keys."""
        self._recent = Recent(self._policy)
        self._cleaner = Cleaner(
            self._gateway, self._recent, interrupt=self._interrupt, wrote=self._watch.wrote, dry_run=self.dry_run
        )

    @property
    def state(self) -> State:
        """What was last seen and done."""
        return State(
            policy=self._policy,
            dry_run=self.dry_run,
            assessment=self._watch.assessment,
            reading=self._watch.reading,
            at_unix_s=self._at_unix_s,
            census=self._census,
            counts=self._recent.counts,
            capabilities=self._capabilities,
            error=self._error,
            pause_s=self._pause_s,
            readings=self._watch.readings,
            commands=self._gateway.commands,
            totals=self._totals,
            ended=self._ended,
        )

    # Life

    def __enter__(self) -> Self:
        """Start the thread."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread."""
        self.stop()

    def start(self) -> None:
        """Run in a daemon thread. In a server that forks workers, start after the fork."""
        if self._thread is None:
            self._thread = threading.Thread(target=self.run, name="spillgate-governor", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float | None = 10.0) -> None:
        """Ask the loop to end, also in the middle of a cleanup, and wait for it."""
        self._stopping.set()
        self._tracker.wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def wake(self) -> None:
        """Look now instead of at the end of the pause."""
        self._tracker.wake()

    def reload(self, policy: Policy) -> None:
        """Use ``policy`` from the next cycle on.

        Raises:
            ConfigError: it is for another server, which takes a restart, or a key of a protected namespace would belong
                to another, too.
        """
        ScanTable(policy.namespaces)
        if policy.server.url != self._policy.server.url:
            message = "the server's address cannot change while running: restart to use the new one"
            raise ConfigError(message, key="[server] url")
        self._next_policy = policy
        self.wake()

    def run(self) -> None:
        """Cycle until `stop`."""
        self._note(Event.STARTED, words.started(self._policy, dry_run=self.dry_run))
        try:
            while not self._stopping.is_set():
                pause = self.cycle()
                if not self._stopping.is_set():
                    self._wait(pause)
        except Exception as error:
            self._error = str(error)  # who looks at the state later sees why nothing moves
            raise
        finally:
            self._ended = True
            self._note(Event.STOPPED, "governor stopped")
            self.close()

    def close(self) -> None:
        """Give up the connections. `run` does so by itself; who calls `cycle` or `cleanup` does it when done."""
        self._gateway.close()
        self._tracker.close()

    def _wait(self, pause: Pause) -> None:
        self._pause_s = pause.seconds
        self._woken = self._tracker.wait(pause)

    # One cycle

    def cycle(self) -> Pause:
        """Refresh, decide, carry out; then how long to pause. Never raises for what a server does.

        Raises:
            LimitUnknown: no limit is declared and the server has none.
        """
        with self._busy:
            self._take_over_policy()
            try:
                assessment = self._refresh()
                self._govern(assessment)
            except ServerError as error:
                self._fail(str(error))
                return self._retry()
            except (BudgetExhausted, LimitUnknown) as error:
                if isinstance(error, LimitUnknown) and self._watch.assessment is None:
                    raise
                self._fail(str(error))
            return self._pause()

    def cleanup(self, level: Level, only: frozenset[str] = frozenset()) -> tuple[Plan, tuple[Outcome, ...]]:
        """A cleanup by hand, as at ``level``; of the namespaces in ``only`` where some are named, at any pressure.

        Raises:
            ServerError: the server failed.
            LimitUnknown: no limit is declared and the server has none.
        """
        with self._busy:
            assessment = self._refresh()
            self._take_census()
            plan = self._decide(assessment, level, only)
            self._note(Event.PLAN, words.plan(plan, by_hand=True, dry_run=self.dry_run))
            self._by_hand = True
            try:
                return plan, tuple(self._carry_out(plan))
            finally:
                self._by_hand = False

    def look(self, apart_s: float = 0.0) -> State:
        """Look without acting: a census, and two readings ``apart_s`` seconds apart, which tell how fast memory fills.

        Raises:
            ServerError: the server failed.
            LimitUnknown: no limit is declared and the server has none.
        """
        with self._busy:
            if self._capabilities is None:
                self._capabilities = self._connect()
            if self._capabilities.scan:
                self._take_census()
                self._count_keys()
            self._refresh()
            if apart_s:
                self._stopping.wait(apart_s)
                self._refresh()
            return self.state

    def _count_keys(self) -> None:
        """Count them all by namespace, where they are few enough for that."""
        counting = Action(ActionKind.UPKEEP, None, (), "counts keys by namespace")
        for _ in range(_COUNTING_CALLS):
            if self._cleaner.upkeep(counting, self._total_keys(), _UPKEEP_CALL_US).cursor == 0:
                return

    def _take_over_policy(self) -> None:
        if self._next_policy is None:
            return
        policy, self._next_policy = self._next_policy, None
        level_in_force = self._watch.assessment
        self._meter.change(policy.monitor.commands_per_day, self._gateway.commands)
        self._gateway.close()
        self._tracker.close()
        self._adopt(policy)
        self._watch.assessment = level_in_force
        self._capabilities = None
        self._note(Event.POLICY, f"policy reloaded: {len(policy.namespaces)} namespaces")

    def _refresh(self) -> Assessment:
        """Look, and say what changed in the server meanwhile."""
        if self._capabilities is None:
            self._connect()
        before, reading = self._watch.reading, self._watch.look()
        if before is not None and reading.run_id != before.run_id:
            self._note(Event.SERVER, "the server was restarted or replaced: what was known of it is void")
            self._capabilities = None  # should it still be loading, the next cycle asks anew
            self._watch.forget_server()
            self._connect()
            before, reading = None, self._watch.look()
        if self._error is not None:
            self._note(Event.SERVER, "the server answers again")
        self._error, self._retry_s, self._at_unix_s = None, _FIRST_RETRY_S, self.clock.wall()
        for event, message in words.changes(before, reading):
            self._note(event, message)
        if before is not None:
            grown = reading.used_bytes - before.used_bytes
            self._watch.wrote(grown, reading.at_s - before.at_s)
            self._watch.pushed(self._woken.pushed_bytes, grown)
        if self._woken.early:
            reading = self._watch.glance(reading)
        self._woken = Woken()
        return self._assess(reading)

    def _connect(self) -> Capabilities:
        self._capabilities = self._gateway.probe()
        self._tracker.enabled = self._capabilities.tracking
        self._forget_keys()
        self._note(Event.SERVER, words.connected(self._policy.server, self._capabilities))
        for cost in self._capabilities.missing():
            self._note(Event.SERVER, f"not available: {cost}")
        return self._capabilities

    def _assess(self, reading: Reading) -> Assessment:
        before = self._watch.assessment
        after = self._watch.take(reading, self._known(Level.NORMAL).reaction_s(self._policy))
        if before is None or before.level is not after.level:
            self._note(Event.LEVEL, words.level_change(before, after))
        return after

    def _govern(self, assessment: Assessment) -> None:
        """Upkeep while calm; else plan and carry out, anew as long as a round gets somewhere."""
        if assessment.raw_level < Level.PREVENTIVE:
            if not on_guard(assessment):
                self._upkeep(assessment)
            return
        for _ in range(_MOST_ROUNDS):
            if self._stopping.is_set() or not self._round(assessment):
                return
            assessment = self._assess(self._watch.look())

    def _upkeep(self, assessment: Assessment) -> None:
        """One slice of the round through all keys, and now and then a census."""
        plan = self._decide(assessment, None)
        action = next(iter(plan.actions), Action(ActionKind.UPKEEP, None, (), "counts keys by namespace"))
        reply = self._cleaner.upkeep(action, self._total_keys(), _UPKEEP_CALL_US)
        if any(count.retimed for count in reply.counts.values()):
            self._note(Event.ACTION, words.upkeep(reply.counts, dry_run=self.dry_run))
        warned = assessment.raw_level >= Level.WARNING and self._due("heaviest")
        if warned or self._census is None or self._older(self._census.at_s, _CENSUS_S):
            census = self._take_census()
            if warned:
                self._note(Event.LEVEL, words.heaviest(census))

    def _round(self, assessment: Assessment) -> bool:
        """One plan. Whether another is worth it."""
        if self.dry_run and not self._due("dry run", self._policy.levels.hold_s):
            return False
        if assessment.raw_level >= Level.EMERGENCY or any(ns.budget_bytes for ns in self._policy.namespaces):
            self._take_census(self._runs_worth_it(assessment))
        plan = self._decide(assessment, None)
        if not plan.actions or plan.bytes_wanted == 0:
            if plan.bytes_wanted == 0 and not plan.actions and self._due("idle plan"):
                self._note(Event.PLAN, plan.reason)
            return False
        if self.dry_run or self._due(f"plan {plan.level.label}"):
            self._note(Event.PLAN, words.plan(plan, by_hand=False, dry_run=self.dry_run))
        outcomes = tuple(self._carry_out(plan))
        return not self.dry_run and self._goes_on(plan, outcomes)

    def _goes_on(self, plan: Plan, outcomes: tuple[Outcome, ...]) -> bool:
        """Whether another round is worth it; what failed is raised."""
        last = outcomes[-1]
        if last.stop is Stop.FAILED:
            raise ServerError(last.error)
        if last.stop is Stop.BUDGET:
            raise BudgetExhausted
        if last.stop is Stop.PREEMPTED:
            return True
        if last.stop is not Stop.COMPLETE or plan.level < Level.EMERGENCY:
            return False
        if any(outcome.freed_bytes and outcome.deleted for outcome in outcomes):
            return True
        if self._watch.reading is not None and self._due("exhausted"):
            self._note(Event.ALARM, words.exhausted(plan, self._watch.reading, self._census))
        return False

    def _decide(self, assessment: Assessment, level: Level | None, only: frozenset[str] = frozenset()) -> Plan:
        reading = self._watch.reading
        assert reading is not None  # noqa: S101 - there is an assessment, so there was a reading
        known = self._known(assessment.raw_level) if level is None else Known()
        return decide(assessment, reading, self._census, self._policy, known, level=level, only=only)

    def _carry_out(self, plan: Plan) -> Iterator[Outcome]:
        for outcome in self._cleaner.carry_out(plan):
            self._totals = self._totals.plus(outcome)
            if words.worth_telling(outcome):
                self._note(Event.ACTION, words.outcome(outcome), **words.outcome_details(outcome))
            yield outcome

    def _interrupt(self, plan: Plan, reading: Reading) -> Stop | None:
        """Asked after each call of a cleanup: whether to stop there."""
        if self._stopping.is_set():
            return Stop.ASKED
        assessment = self._assess(self._watch.carried(reading))
        yields = not self._by_hand and not self.dry_run
        return Stop.PREEMPTED if yields and assessment.raw_level > plan.level else None

    # Small parts

    def _runs_worth_it(self, assessment: Assessment) -> int:
        """How much of a census there is time for, and need of: all of it where clients may not hold what is counted."""
        if is_urgent(assessment, self._known(assessment.raw_level)):
            return HURRIED
        reading = self._watch.reading
        held = sum(reading.held_bytes.values()) if reading else 0
        return THOROUGH if held > _DOUBTFUL_SHARE * assessment.limits.limit_bytes else QUICK

    def _take_census(self, most_runs: int = QUICK) -> Census:
        self._census = collect_census(self._gateway, most_runs)
        self._recent.saw_census(self._census)
        return self._census

    def _known(self, level: Level) -> Known:
        return self._recent.known(self._gateway.now(), self._total_keys(), level)

    def _total_keys(self) -> int:
        reading = self._watch.reading
        if reading is not None and reading.keys is not None:
            return reading.keys
        return self._census.total_keys if self._census else 0

    def _older(self, at_s: float, seconds: float) -> bool:
        return not 0 <= self._gateway.now() - at_s < seconds

    def _due(self, what: str, every_s: float = _REMIND_S) -> bool:
        """Whether something is to be told, or done, again; counts as done when it is."""
        if what in self._told and not self._older(self._told[what], every_s):
            return False
        self._told[what] = self._gateway.now()
        return True

    def _pause(self) -> Pause:
        budget = self._meter.budget(self._gateway.commands)
        assessment = self._watch.assessment
        monitor, levels = self._policy.monitor, self._policy.levels
        if assessment is None or budget.spent:
            return Pause(budget.left_s if budget.spent else monitor.interval_s)
        return next_pause(assessment, monitor, levels, budget, bytes_per_pushed=self._watch.bytes_per_pushed)

    def _fail(self, error: str) -> None:
        """A look or a cleanup failed: the level stays as it is."""
        if self._error != error:
            self._note(Event.ERROR, f"{error}; the level stays at {self.state.level_label}")
        self._error = error
        self._watch.look_closely()

    def _retry(self) -> Pause:
        pause = Pause(self._retry_s)
        self._retry_s = min(_LAST_RETRY_S, self._retry_s * 2)
        return pause

    def _note(self, event: Event, message: str, **details: object) -> None:
        assessment = self._watch.assessment
        self.journal.write(event, assessment.level.label if assessment else "unknown", message, **details)
