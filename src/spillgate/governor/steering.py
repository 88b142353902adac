"""The TTLs that a governor adjusts: recommendations come in, what is in force goes out to those who write."""

import math
from collections.abc import Mapping

from spillgate.errors import BudgetExhausted, CommandUnavailable, PermissionDenied, ServerError
from spillgate.governor import words
from spillgate.governor.clock import Clock
from spillgate.governor.cycle import Cycle
from spillgate.governor.journal import Event
from spillgate.keyspace.ttls import TTLS_KEY, InForce, read, written
from spillgate.model import Level
from spillgate.policy.steering import Advised, Steering, resumed, steer
from spillgate.server.own_keys import OwnKeys

# How long applications go by what was published last: some looks, so that one that fails changes nothing.
_LEAST_LIVES_S = 300.0
_LOOKS = 4
_RETRY_S = 10.0


class Tuner:
    """What `steer` decides, told in the journal and published for the cache library; in a dry run only told.

    `recommend` may be called from any thread, everything else from the governor's.
    """

    def __init__(self, clock: Clock, *, dry_run: bool) -> None:
        self._clock = clock
        self._dry_run = dry_run
        self._steering = Steering()
        self._advised: Advised | None = None
        self._decides = False
        self._published: bytes | None = None
        self._due_at_s = -math.inf
        self._complaint: str | None = None

    @property
    def steering(self) -> Steering:
        """The TTLs that are in force: in a dry run the policy file's."""
        return Steering() if self._dry_run else self._steering

    def recommend(self, ttls: Mapping[str, float], hit_ratios: Mapping[str, float | None]) -> None:
        """Take note of the TTLs in seconds that are recommended now, and of the hit ratios measured lately.

        Raises:
            ValueError: a TTL is no number of seconds above 0.
        """
        for name, ttl_s in ttls.items():
            if not 0 < ttl_s < math.inf:  # also where it is not a number
                message = f"expected a TTL above 0 seconds for the namespace {name!r}, got {ttl_s!r}"
                raise ValueError(message)
        self._advised = Advised(self._clock.monotonic(), dict(ttls), dict(hit_ratios))

    def steer(self, cycle: Cycle, level: Level | None) -> None:
        """Decide, at the ``level`` (None: it is not known), and tell what has changed. The cycle goes by it."""
        self._decides = True
        before = self._steering
        self._steering, changes = steer(before, cycle.policy, self._advised, self._clock.monotonic(), level)
        self._put_in_force(cycle)
        for change in changes:
            details = words.change_details(change, dry_run=self._dry_run)
            cycle.note(Event.POLICY, words.ttl_change(change, dry_run=self._dry_run), **details)

    def resume(self, cycle: Cycle, keys: OwnKeys) -> None:
        """Go on with what the governor before this one has published, if that is still there, and tell it.

        Raises:
            ServerError: the server failed.
        """
        if not self._decides:
            self.look(cycle, keys)
            for name, one in self.steering.adjusted.items():
                cycle.note(Event.POLICY, words.resumed(name, one), namespace=name, ttl_s=one.ttl_s)

    def look(self, cycle: Cycle, keys: OwnKeys) -> None:
        """Find out which TTLs another governor has put in force, unless it is this one that does.

        Raises:
            ServerError: the server failed.
        """
        if self._decides or self._dry_run or not cycle.policy.adjustable:
            return
        try:
            self._published = keys.read(TTLS_KEY)
        except (PermissionDenied, CommandUnavailable):
            return
        self._steering = resumed(cycle.policy, read(self._published), self._clock.monotonic())
        self._put_in_force(cycle)

    def publish(self, cycle: Cycle, keys: OwnKeys) -> None:
        """Let applications know. Where the server does not let us, they go by their policy, which is told."""
        adjusted = {name: InForce(one.ttl_s, one.file_s) for name, one in self.steering.adjusted.items()}
        document = written(adjusted) if adjusted else None
        now_s = self._clock.monotonic()
        if not self._is_due(document, now_s):
            return
        lives_s = max(_LEAST_LIVES_S, _LOOKS * cycle.policy.monitor.interval_s)
        try:
            if document is None:
                keys.drop(TTLS_KEY)
            elif document != self._published or not keys.renew(TTLS_KEY, lives_s):
                keys.write(TTLS_KEY, document, lives_s)
        except (ServerError, BudgetExhausted) as error:
            if self._complaint != str(error):
                cycle.note(Event.ERROR, words.unpublished(error))
            self._complaint, self._due_at_s = str(error), now_s + _RETRY_S
        else:
            self._complaint, self._published, self._due_at_s = None, document, now_s + lives_s / _LOOKS

    def _is_due(self, document: bytes | None, now_s: float) -> bool:
        """Whether to publish: what has changed at once, what has not to keep it alive, what failed after a while."""
        changed = document != self._published
        if now_s >= self._due_at_s:
            return changed or document is not None
        return changed and self._complaint is None

    def _put_in_force(self, cycle: Cycle) -> None:
        cycle.in_force = self.steering.applied_to(cycle.policy)
