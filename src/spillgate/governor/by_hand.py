"""A cleanup by hand: what is asked for, and how it ended."""

from contextlib import closing, suppress
from dataclasses import dataclass

from spillgate.config import Policy
from spillgate.errors import BudgetExhausted, ConfigError, ServerError
from spillgate.governor import words
from spillgate.governor.loop import Governor
from spillgate.governor.state import State
from spillgate.model import Level, Outcome, Plan, Stop
from spillgate.units import format_bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be cleaned: ``only`` these namespaces, where some are named, else by priority to the target."""

    policy: Policy
    level: Level
    only: frozenset[str]

    def check(self, source: str) -> None:
        """Refuse what cannot be meant; errors name ``source``.

        Raises:
            ConfigError: a namespace that does not exist, is protected, or is named with a loss-free level.
        """
        known = {ns.name: ns for ns in self.policy.namespaces}
        for name in sorted(self.only):
            if name not in known:
                listed = ", ".join(known) or "none; a policy file names them"
                raise ConfigError(f'unknown namespace "{name}" (registered: {listed})', source=source)
            if known[name].protected:
                raise ConfigError(f'the namespace "{name}" is protected (cleanup = "never")', source=source)
        if self.only and self.level < Level.EMERGENCY:
            raise ConfigError(
                f"the level {self.level.label} deletes nothing but what has expired, in all namespaces at once: "
                "name namespaces only with the level emergency or critical",
                source=source,
            )

    def preview(self) -> "Report":
        """What it would do, found out on a connection of its own: who governs meanwhile is not held up.

        Raises:
            ServerError: the server failed before anything was decided.
            LimitUnknown: no limit is declared and the server has none.
        """
        with closing(Governor(self.policy, dry_run=True)) as governor:
            return self.carry_out(governor)

    def carry_out(self, governor: Governor) -> "Report":
        """Let ``governor`` do it; errors as of `preview`."""
        plan, outcomes = governor.cleanup(self.level, self.only)
        latest = outcomes
        # Victims are picked by a sample, which may have been too hopeful: then there is more to find.
        while not (governor.dry_run or self.only) and _is_worth_another(latest):
            _, latest = governor.cleanup(self.level)
            outcomes += latest
        failed = any(outcome.stop is Stop.FAILED for outcome in outcomes)
        state = governor.state
        if not (governor.dry_run or failed):
            with suppress(ServerError, BudgetExhausted):  # what was done is told all the same
                state = governor.look()
        return Report(self, plan, outcomes, state)


def _is_worth_another(outcomes: tuple[Outcome, ...]) -> bool:
    """Whether a round saw all keys, deleted some, and was not enough."""
    return bool(outcomes) and outcomes[-1].stop is Stop.COMPLETE and any(outcome.deleted for outcome in outcomes)


@dataclass(frozen=True, slots=True)
class Report:
    """How a cleanup ended, or in a dry run would end. ``state`` is what was seen after it."""

    request: Request
    plan: Plan
    outcomes: tuple[Outcome, ...]
    state: State

    @property
    def deletes(self) -> int:
        """Keys deleted."""
        return sum(outcome.deleted for outcome in self.outcomes)

    @property
    def shortens(self) -> int:
        """TTLs shortened."""
        return sum(outcome.retimed for outcome in self.outcomes)

    @property
    def frees_bytes(self) -> int:
        """Memory freed."""
        return sum(outcome.freed_bytes for outcome in self.outcomes)

    @property
    def error(self) -> str | None:
        """Why it could not be finished."""
        return next((outcome.error for outcome in self.outcomes if outcome.error), None)

    @property
    def data_bytes(self) -> int:
        """The memory of data afterwards; in a dry run what it would come to."""
        reading = self.state.reading
        if self.state.dry_run or reading is None:
            return self.plan.data_bytes - self.frees_bytes
        return reading.data_with(self.plan.shared_bytes)

    @property
    def reached(self) -> bool:
        """Whether memory is down at the target, or the namespaces that were named are done."""
        if self.error is not None:
            return False
        # A budget has a target of its own.
        there = any(one.stop is Stop.TARGET and one.action.bytes_wanted is None for one in self.outcomes)
        return bool(self.request.only) or there or self.data_bytes <= self.plan.target_bytes

    def document(self) -> dict[str, object]:
        """What ``--json`` prints."""
        known = self.state.assessment
        return {
            "dry_run": self.state.dry_run,
            "level": self.plan.level.label,
            "namespaces": sorted(self.request.only) or None,
            "reason": self.plan.reason,
            "data_bytes_before": self.plan.data_bytes,
            "data_bytes": self.data_bytes,
            "target_bytes": None if self.request.only else self.plan.target_bytes,
            "reached": self.reached,
            "deleted": self.deletes,
            "retimed": self.shortens,
            "freed_bytes": self.frees_bytes,
            "level_now": known.level.label if known else None,
            "outcomes": [words.outcome_details(outcome) | {"error": outcome.error} for outcome in self.outcomes],
            "error": self.error,
        }

    def ending(self) -> str:
        """The last line: where memory stands."""
        size, target = format_bytes(self.data_bytes), format_bytes(self.plan.target_bytes)
        leaves = f"{'would leave' if self.state.dry_run else 'leaves'} {size} of data"
        if self.error is not None:
            return f"{leaves}: not finished"
        if self.request.only:
            return leaves
        if self.reached:
            return f"{leaves}: the target of {target} is reached"
        return f"{leaves}: the target of {target} is not reached, the rest is protected or may not go yet"
