"""What passes over the whole keyspace have shown lately, so that a cleanup in a long flood need not look again."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from spillgate.config import Cleanup, Policy
from spillgate.model import ActionKind, Census, Level, Outcome, Stop
from spillgate.policy.plan import Known
from spillgate.server.scanning import RuleCount, SweepReply

# Until a pass was timed: microseconds a key, on the slow side of what was measured (1.2 to 3 on two cores).
_US_A_KEY = 3.0
_SMOOTHING = 0.2
_LEAST_TIMED_KEYS = 100


@dataclass(slots=True)
class Recent:
    """Fed with every sweep and outcome; forgets after ``hold`` seconds."""

    policy: Policy
    _empty: dict[str, float] = field(default_factory=dict[str, float])
    _purged_at: float | None = None
    _capped_at: dict[Level, float] = field(default_factory=dict[Level, float])
    _us_a_key: float = _US_A_KEY

    def known(self, now_s: float, total_keys: int | None, level: Level) -> Known:
        """What still holds at ``now_s``."""
        return Known(
            empty=frozenset(name for name in self._empty if self.found_empty(name, now_s)),
            purged=self._fresh(self._purged_at, now_s),
            capped=self._fresh(self._capped_at.get(level), now_s),
            pass_s=(total_keys or 0) * self._us_a_key / 1e6,
        )

    def found_empty(self, name: str | None, now_s: float) -> bool:
        """Whether a pass of a moment ago has shown that a step on this namespace would find nothing."""
        return name is not None and self._fresh(self._empty.get(name), now_s)

    def _fresh(self, at_s: float | None, now_s: float) -> bool:
        return at_s is not None and 0 <= now_s - at_s < self.policy.levels.hold_s

    def saw_call(self, reply: SweepReply, seconds: float) -> None:
        """One more call: how fast it went, and whether a namespace held empty turns out not to be."""
        if reply.visited >= _LEAST_TIMED_KEYS:
            self._us_a_key += _SMOOTHING * (seconds * 1e6 / reply.visited - self._us_a_key)
        self._met(name for name, count in reply.counts.items() if count.matched)

    def _met(self, names: Iterable[str]) -> None:
        """Keys of these namespaces were seen: what was found empty is so no more.

        Of ``expired`` ones only orphans would count, and those take a pass to be told apart.
        """
        orphans_only = {ns.name for ns in self.policy.namespaces if ns.cleanup is Cleanup.EXPIRED}
        for name in set(names) - orphans_only:
            self._empty.pop(name, None)

    def saw_pass(self, outcome: Outcome, level: Level, counts: dict[str, RuleCount], now_s: float) -> None:
        """One more step that ended."""
        if outcome.stop is not Stop.COMPLETE or outcome.dry_run or outcome.action.kind is ActionKind.WAIT:
            return
        # A hurried pass asks the server for one namespace's keys alone, and what has expired elsewhere stays.
        if counts.keys() >= {ns.name for ns in self.policy.namespaces}:
            self._purged_at = now_s
        if outcome.action.kind in {ActionKind.CAP, ActionKind.SHORTEN}:
            self._capped_at[level] = now_s
        for ns in self.policy.namespaces:
            count = counts.get(ns.name)
            if count is None:
                continue
            own = ns.name in outcome.action.names
            looked = own or outcome.action.kind is ActionKind.PURGE
            no_orphans = looked and ns.cleanup is Cleanup.EXPIRED and count.no_ttl == 0
            done = own and outcome.action.kind in {ActionKind.CLEAR, ActionKind.EXPIRED}
            if count.matched == 0 or no_orphans or done:
                self._empty[ns.name] = now_s

    def saw_census(self, census: Census) -> None:
        """A census tells which namespaces have keys."""
        self._met(row.name for row in census.namespaces if row.keys.value)
