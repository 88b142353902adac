"""One cycle: refresh, decide, carry out."""

from collections.abc import Callable, Iterator

from spillgate.census.collect import HURRIED, QUICK, THOROUGH, collect_census
from spillgate.census.rolling import Rolling
from spillgate.config import Policy
from spillgate.errors import BudgetExhausted, ServerError
from spillgate.governor import words
from spillgate.governor.apply import Cleaner
from spillgate.governor.history import History
from spillgate.governor.journal import Event, Journal
from spillgate.governor.recent import Recent
from spillgate.governor.state import Totals
from spillgate.governor.watch import Watch
from spillgate.model import Census, Level, Outcome, Plan, Reading, Stop
from spillgate.policy.pacing import on_guard
from spillgate.policy.plan import Known, decide, is_urgent
from spillgate.policy.pressure import Assessment
from spillgate.server.capabilities import Capabilities
from spillgate.server.gateway import Gateway
from spillgate.server.tracking import Woken

# A cleanup is planned anew, from a fresh sample, as long as it gets somewhere; this bounds one cycle.
_MOST_ROUNDS = 50
_UPKEEP_CALL_US = 2000
# Held by clients and the like beyond this share of the limit: the census has to tell how much of it is data after all.
_DOUBTFUL_SHARE = 0.1
# What has not changed is told again this often.
_REMIND_S = 300.0


class Cycle:
    """What the governor does with one server under one policy, a step at a time.

    Its attributes are what it last saw and did. It keeps no thread and never waits for the next look: `Governor` does.
    """

    def __init__(
        self,
        policy: Policy,
        gateway: Gateway,
        journal: Journal,
        *,
        asked_to_stop: Callable[[], bool],
        dry_run: bool,
        history: History | None = None,
    ) -> None:
        """Prepare; the server is not touched before the first refresh."""
        self.policy = self.in_force = policy  # as written, and with the TTLs in force
        self.capabilities: Capabilities | None = None
        self.totals = Totals()
        self.watch = Watch(policy, gateway, history)
        self._gateway = gateway
        self._journal = journal
        self._history = history
        self._asked_to_stop = asked_to_stop
        self._dry_run = dry_run
        self._by_hand = False
        self._sent_before = 0
        self._unfinished = Level.NORMAL
        self._told: dict[str, float] = {}
        self._forget_keys()

    def _forget_keys(self) -> None:
        """Start over with nothing known of the server's keys."""
        self.census: Census | None = None
        self._outdated = False  # the census: keys were deleted since
        self._recent = Recent(self.policy)
        self._rolling = Rolling(self._gateway)
        self._cleaner = Cleaner(
            self._gateway, self._recent, interrupt=self._interrupt, wrote=self.watch.wrote, dry_run=self._dry_run
        )

    @property
    def level_label(self) -> str:
        """The level in force, "unknown" before the first reading."""
        return self.watch.assessment.level.label if self.watch.assessment else "unknown"

    @property
    def commands(self) -> int:
        """How many commands were sent, by the cycles before this one, too."""
        return self._sent_before + self._gateway.commands

    def take_over(self, other: "Cycle") -> None:
        """Go on where a cycle under another policy stood: the level stays in force, what is counted goes on."""
        self.watch.assessment, self.watch.reading = other.watch.assessment, other.watch.reading
        self.watch.readings = other.watch.readings
        self.totals, self._sent_before = other.totals, other.commands

    def note(self, event: Event, message: str, **details: object) -> None:
        """Write to the journal, with the level in force."""
        self._journal.write(event, self.level_label, message, **details)

    def refresh(self, woken: Woken) -> Assessment:
        """Look, and say what changed in the server meanwhile; ``woken`` tells how the pause before ended.

        Raises:
            ServerError: the server cannot be read.
            LimitUnknown: no limit is declared and the server has none.
        """
        if self.capabilities is None:
            self._connect()
        before, reading = self.watch.reading, self.watch.look()
        if before is not None and reading.run_id != before.run_id:
            self.note(Event.SERVER, "the server was restarted or replaced: what was known of it is void")
            self.capabilities = None  # should it still be loading, the next cycle asks anew
            self.watch.forget_server()
            self._connect()
            before, reading = None, self.watch.look()
        self._tell_changes(before, reading)
        if before is not None:
            grown = reading.used_bytes - before.used_bytes
            self.watch.wrote(grown, reading.at_s - before.at_s)
            self.watch.pushed(woken.pushed_bytes, grown)
        if woken.early:
            reading = self.watch.glance(reading)
        return self._assess(reading)

    def clean_by_hand(self, level: Level, only: frozenset[str]) -> tuple[Plan, tuple[Outcome, ...]]:
        """The plan of ``level``, or of the namespaces in ``only``, and what came of it; errors as of `refresh`."""
        assessment = self.refresh(Woken())
        self._take_census(THOROUGH)
        self._by_hand = True
        try:
            plan = self._decide(assessment, level, only)
            self.note(Event.PLAN, words.plan(plan, by_hand=True, dry_run=self._dry_run))
            return plan, tuple(self._carry_out(plan))
        finally:
            self._by_hand = False

    def count(self) -> None:
        """A census, of every key where they are not very many; nothing is changed. Errors as of `refresh`."""
        capabilities = self.capabilities or self._connect()
        if capabilities.scan:
            self._take_census(THOROUGH)

    def govern(self, assessment: Assessment) -> None:
        """Upkeep while calm; else plan and carry out, anew as long as a round gets somewhere.

        Raises:
            ServerError: the server failed, or does not let us.
            BudgetExhausted: the day's commands are spent.
        """
        # What an emergency began goes on until its target: also when the pressure has fallen below emergency meanwhile,
        # and after a failure in the middle.
        acting = max(assessment.raw_level, self._unfinished)
        if acting < Level.PREVENTIVE:
            if not on_guard(assessment):
                self._upkeep(assessment)
            return
        for _ in range(_MOST_ROUNDS):
            self._unfinished = acting if acting >= Level.EMERGENCY else Level.NORMAL
            if self._asked_to_stop():
                return
            if not self._round(assessment, acting):
                self._unfinished = Level.NORMAL
                return
            before, reading = self.watch.reading, self.watch.look()
            self._tell_changes(before, reading)
            assessment = self._assess(reading)
            acting = max(acting, assessment.raw_level)

    def _tell_changes(self, before: Reading | None, after: Reading) -> None:
        for event, message in words.changes(before, after):
            self.note(event, message)

    def _connect(self) -> Capabilities:
        self.capabilities = self._gateway.probe()
        self._forget_keys()
        self.note(Event.SERVER, words.connected(self.policy.server, self.capabilities))
        for cost in self.capabilities.missing():
            self.note(Event.SERVER, f"not available: {cost}")
        return self.capabilities

    def _assess(self, reading: Reading) -> Assessment:
        before = self.watch.assessment
        after = self.watch.take(reading, self._known(Level.NORMAL).reaction_s(self.policy))
        if before is None or before.level is not after.level:
            self.note(Event.LEVEL, words.level_change(before, after))
        return after

    def _upkeep(self, assessment: Assessment) -> None:
        """One slice of the round through all keys, and one of the census."""
        for action in self._decide(assessment, assessment.raw_level).actions[:1]:
            reply = self._cleaner.upkeep(action, _UPKEEP_CALL_US)
            if any(count.retimed for count in reply.counts.values()):
                self.note(Event.ACTION, words.upkeep(reply.counts, dry_run=self._dry_run))
        warned = assessment.raw_level >= Level.WARNING and self._due("heaviest")
        if warned or self._outdated or self.census is None:
            census = self._take_census()
            if warned:
                self.note(Event.LEVEL, words.heaviest(census))
        elif census := self._rolling.slice(self._total_keys()):
            self._saw(census)

    def _round(self, assessment: Assessment, acting: Level) -> bool:
        """One plan, as at the level ``acting``. Whether another is worth it."""
        if self._dry_run and not self._due("dry run", self.policy.levels.hold_s):
            return False
        if acting >= Level.EMERGENCY or any(ns.budget_bytes for ns in self.policy.namespaces):
            self._take_census(self._runs_worth_it(assessment))
        plan = self._decide(assessment, acting)
        if not plan.actions or plan.bytes_wanted == 0:
            if plan.bytes_wanted == 0 and not plan.actions and self._due("idle plan"):
                self.note(Event.PLAN, plan.reason)
            return False
        if self._dry_run or self._due(f"plan {plan.level.label}"):
            self.note(Event.PLAN, words.plan(plan, by_hand=False, dry_run=self._dry_run))
        outcomes = tuple(self._carry_out(plan))
        return not self._dry_run and self._goes_on(plan, outcomes)

    def _goes_on(self, plan: Plan, outcomes: tuple[Outcome, ...]) -> bool:
        """Whether another round is worth it; what failed is raised."""
        if not outcomes:
            return False
        last = outcomes[-1]
        if last.stop is Stop.FAILED:
            raise self._cleaner.failure or ServerError(last.error)
        if last.stop is Stop.BUDGET:
            raise BudgetExhausted
        if last.stop is Stop.PREEMPTED:
            return True
        reached = any(outcome.stop is Stop.TARGET and not outcome.action.bytes_wanted for outcome in outcomes)
        if reached or last.stop is Stop.ASKED or plan.level < Level.EMERGENCY:
            return False
        if any(outcome.freed_bytes and outcome.deleted for outcome in outcomes):
            return True
        if self.watch.reading is not None and self._due("exhausted"):
            self.note(Event.ALARM, words.exhausted(plan, self.watch.reading, self.census))
        return False

    def _decide(self, assessment: Assessment, level: Level, only: frozenset[str] = frozenset()) -> Plan:
        reading = self.watch.reading
        assert reading is not None  # noqa: S101 - there is an assessment, so there was a reading
        known = Known() if self._by_hand else self._known(level)
        by_hand = self._by_hand
        return decide(assessment, reading, self.census, self.in_force, known, level=level, only=only, by_hand=by_hand)

    def _carry_out(self, plan: Plan) -> Iterator[Outcome]:
        for outcome in self._cleaner.carry_out(plan):
            self.totals = self.totals.plus(outcome)
            if outcome.deleted and not outcome.dry_run:
                self._rolling.forget()
                self._outdated = True
            if words.worth_telling(outcome):
                self.note(Event.ACTION, words.outcome(outcome), **words.outcome_details(outcome))
            yield outcome

    def _interrupt(self, plan: Plan, reading: Reading) -> Stop | None:
        """Asked after each call of a cleanup: whether to stop there."""
        if self._asked_to_stop():
            return Stop.ASKED
        assessment = self._assess(self.watch.carried(reading))
        yields = not self._by_hand and not self._dry_run
        return Stop.PREEMPTED if yields and assessment.raw_level > plan.level else None

    def _runs_worth_it(self, assessment: Assessment) -> int:
        """How much of a census there is time for, and need of: all of it where clients may not hold what is counted."""
        if is_urgent(assessment, self._known(assessment.raw_level)):
            return HURRIED
        reading = self.watch.reading
        held = sum(reading.held_bytes.values()) if reading else 0
        return THOROUGH if held > _DOUBTFUL_SHARE * assessment.limits.limit_bytes else QUICK

    def _take_census(self, most_runs: int = QUICK) -> Census:
        return self._saw(collect_census(self._gateway, most_runs))

    def _saw(self, census: Census) -> Census:
        self.census, self._outdated = census, False
        self._recent.saw_census(census)
        if self._history is not None:
            self._history.saw(census)
        return census

    def _known(self, level: Level) -> Known:
        return self._recent.known(self._gateway.now(), self._total_keys(), level)

    def _total_keys(self) -> int:
        reading = self.watch.reading
        if reading is not None and reading.keys is not None:
            return reading.keys
        return self.census.total_keys if self.census else 0

    def _older(self, at_s: float, seconds: float) -> bool:
        return not 0 <= self._gateway.now() - at_s < seconds

    def _due(self, what: str, every_s: float = _REMIND_S) -> bool:
        """Whether something is to be told, or done, again; counts as done when it is."""
        if what in self._told and not self._older(self._told[what], every_s):
            return False
        self._told[what] = self._gateway.now()
        return True
