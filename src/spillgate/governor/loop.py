"""The governor: one cycle, then wait until it is worth looking again."""

import random
import threading
from collections.abc import Mapping
from typing import Self

from spillgate.config import Policy
from spillgate.errors import BudgetExhausted, ConfigError, LimitUnknown, ServerError, ServerUnreachable, SpillgateError
from spillgate.governor import words
from spillgate.governor.clock import Clock, CommandMeter
from spillgate.governor.cycle import Cycle
from spillgate.governor.history import History
from spillgate.governor.journal import Event, Journal
from spillgate.governor.state import State
from spillgate.governor.steering import Tuner
from spillgate.model import Level, Outcome, Plan
from spillgate.policy.pacing import Pause, least_affordable_s, next_pause
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable
from spillgate.server.tracking import Woken, WriteTracker

_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 5.0


class Governor:
    """Keeps one server below its limit.

    `run` blocks until `stop`; `start` runs it in a thread of its own, for use inside an application; as a context
    manager it does both. `cycle` is one look with what follows from it. ``state`` and ``journal`` may be read from any
    thread. A ``history`` is fed with everything; who opened it starts and stops it, and stops it after the governor.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        dry_run: bool = False,
        clock: Clock | None = None,
        seed: int | None = None,
        history: History | None = None,
    ) -> None:
        """Prepare; the server is not touched before the first cycle.

        Raises:
            ConfigError: the URL is of a kind that cannot be governed.
        """
        self.clock = clock or Clock()
        self.history = history
        self.journal = Journal(
            self.clock.wall,
            last_number=history.last_number if history else 0,
            keep=history.keep if history else None,
        )
        self.dry_run = dry_run
        self._rng = random.Random(seed)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy = threading.Lock()
        self._error: str | None = None
        self._unreadable = False
        self._at_unix_s: float | None = None
        self._pause_s: float | None = None
        self._retry_s = _FIRST_RETRY_S
        self._woken = Woken()
        self._next_policy: Policy | None = None
        self._ended = False
        self._looping = False
        self._tuner = Tuner(self.clock, dry_run=dry_run)
        self._meter = CommandMeter(policy.monitor.commands_per_day, self.clock)
        self._adopt(policy)

    def _adopt(self, policy: Policy, before: Cycle | None = None) -> None:
        """Make everything that depends on the policy; go on where the cycle ``before`` stood."""
        self._gateway = Gateway(
            policy.server,
            ScanTable(policy.namespaces),
            clock=self.clock.monotonic,
            allow=lambda: self._meter.budget(self._gateway.commands).remaining,
            rng=self._rng,
        )
        self._tracker = WriteTracker(self._gateway.subscribe)
        cycle = Cycle(
            policy,
            self._gateway,
            self.journal,
            asked_to_stop=self._stopping.is_set,
            dry_run=self.dry_run,
            history=self.history,
        )
        if before is not None:
            cycle.take_over(before)
            self._tuner.steer(cycle, None)
        self._cycle = cycle  # only now: who asks for the state finds the old one, or one that goes on

    @property
    def state(self) -> State:
        """What was last seen and done."""
        cycle, watch = self._cycle, self._cycle.watch
        return State(
            policy=cycle.policy,
            dry_run=self.dry_run,
            assessment=watch.assessment,
            reading=watch.reading,
            at_unix_s=self._at_unix_s,
            census=cycle.census,
            capabilities=cycle.capabilities,
            error=self._error,
            unreadable=self._unreadable,
            pause_s=self._pause_s,
            readings=watch.readings,
            commands=cycle.commands,
            totals=cycle.totals,
            ended=self._ended,
            steering=self._tuner.steering,
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
        """Run in a daemon thread, once. In a server that forks workers, start after the fork.

        Raises:
            RuntimeError: it was started, or stopped, before.
        """
        if self._thread is not None or self._stopping.is_set():
            message = "a Governor runs once: make a new one"
            raise RuntimeError(message)
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
        if policy.server.url != self._cycle.policy.server.url:
            message = "the server's address cannot change while running: restart to use the new one"
            raise ConfigError(message, key="[server] url")
        self._next_policy = policy
        self.wake()

    def recommend(self, ttls: Mapping[str, float], hit_ratios: Mapping[str, float | None] | None = None) -> None:
        """TTLs in seconds that are recommended now, by namespace, for those that the policy leaves to the governor.

        ``hit_ratios`` are those measured lately. What is no longer recommended is not named again. From any thread.

        Raises:
            ValueError: a TTL is no number of seconds above 0.
        """
        self._tuner.recommend(ttls, hit_ratios or {})

    def run(self) -> None:
        """Cycle until `stop`."""
        self._looping = True
        self._cycle.note(Event.STARTED, words.started(self._cycle.policy, dry_run=self.dry_run))
        self._tell_of_ttl_mode()
        try:
            while not self._stopping.is_set():
                pause = self.cycle()
                if not self._stopping.is_set():
                    self._wait(pause)
        except Exception as error:
            self._error, self._unreadable = str(error), True  # who looks later sees why nothing moves
            raise
        finally:
            self._ended = True
            self._cycle.note(Event.STOPPED, "governor stopped")
            self.close()

    def close(self) -> None:
        """Give up the connections. `run` does so by itself; who calls `cycle` or `cleanup` does it when done."""
        self._gateway.close()
        self._tracker.close()

    def _wait(self, pause: Pause) -> None:
        capabilities = self._cycle.capabilities
        self._tracker.enabled = capabilities is not None and capabilities.tracking
        self._pause_s = pause.seconds
        if self.history is not None:
            self.history.expect(pause.seconds)
        self._woken = self._tracker.wait(pause)

    # One cycle

    def cycle(self) -> Pause:
        """Refresh, decide, carry out; then how long to pause. Never raises for what a server does.

        Raises:
            LimitUnknown: no limit is declared and the server has none.
        """
        with self._busy:
            self._take_over_policy()
            self._tell_of_history()
            woken, self._woken = self._woken, Woken()
            read = False
            try:
                assessment = self._cycle.refresh(woken)
                read, self._unreadable, self._at_unix_s = True, False, self.clock.wall()
                if self._looping:
                    self._tuner.resume(self._cycle, self._gateway.own_keys)
                self._tuner.steer(self._cycle, assessment.level)
                self._cycle.govern(assessment)
                self._tuner.publish(self._cycle, self._gateway.own_keys)
            except ServerError as error:
                self._fail(error, unreadable=not read or isinstance(error, ServerUnreachable))
                return self._retry()
            except (BudgetExhausted, LimitUnknown) as error:
                if isinstance(error, LimitUnknown) and self._cycle.watch.assessment is None:
                    raise
                self._fail(error, unreadable=True)
                return self._pause()
            if self._error is not None:
                self._cycle.note(Event.SERVER, "the server answers again")
            self._error, self._retry_s = None, _FIRST_RETRY_S
            return self._pause()

    def cleanup(self, level: Level, only: frozenset[str] = frozenset()) -> tuple[Plan, tuple[Outcome, ...]]:
        """A cleanup by hand, as at ``level``; of the namespaces in ``only`` where some are named, at any pressure.

        Raises:
            ServerError: the server failed.
            LimitUnknown: no limit is declared and the server has none.
        """
        with self._busy:
            return self._cycle.clean_by_hand(level, only)

    def look(self, apart_s: float = 0.0) -> State:
        """Look without acting: a census, and two readings ``apart_s`` seconds apart, which tell how fast memory fills.

        Raises:
            ServerError: the server failed.
            LimitUnknown: no limit is declared and the server has none.
        """
        with self._busy:
            self._cycle.count()
            self._cycle.refresh(Woken())
            self._at_unix_s = self.clock.wall()
            if apart_s:
                self._stopping.wait(apart_s)
                self._cycle.refresh(Woken())
            self._tuner.look(self._cycle, self._gateway.own_keys)
            return self.state

    def _take_over_policy(self) -> None:
        if self._next_policy is None:
            return
        policy, self._next_policy = self._next_policy, None
        self.close()
        self._meter.change(policy.monitor.commands_per_day, self._gateway.commands)
        self._adopt(policy, self._cycle)
        self._cycle.note(Event.POLICY, f"policy reloaded: {len(policy.namespaces)} namespaces")
        self._tell_of_ttl_mode()

    def _tell_of_ttl_mode(self) -> None:
        if reason := words.unadjusted(self._cycle.policy):
            self._cycle.note(Event.POLICY, reason)

    def _tell_of_history(self) -> None:
        for notice in self.history.notices() if self.history else ():
            self._cycle.note(Event.ERROR if notice.grave else Event.SERVER, notice.message)

    def _pause(self) -> Pause:
        budget = self._meter.budget(self._gateway.commands)
        assessment, policy = self._cycle.watch.assessment, self._cycle.policy
        if assessment is None or budget.spent:
            return Pause(budget.left_s if budget.spent else policy.monitor.interval_s)
        learnt = self._cycle.watch.bytes_per_pushed
        return next_pause(assessment, policy.monitor, policy.levels, budget, bytes_per_pushed=learnt)

    def _fail(self, error: SpillgateError, *, unreadable: bool) -> None:
        """The server was not read, or did not let us do what was planned: the level stays as it is."""
        self._unreadable = unreadable
        if unreadable and self.history is not None:
            self.history.unreadable()
        if self._error != str(error):
            self._cycle.note(Event.ERROR, f"{str(error).rstrip('.')}; the level stays at {self._cycle.level_label}")
        self._error = str(error)
        self._cycle.watch.look_closely()

    def _retry(self) -> Pause:
        # An outage must not spend the day's commands on failing looks.
        affordable_s = least_affordable_s(self._meter.budget(self._gateway.commands))
        pause = Pause(max(self._retry_s, affordable_s))
        self._retry_s = min(_LAST_RETRY_S, self._retry_s * 2)
        return pause
