"""Looking at a server without ever changing it: a command or two a look, within the day's commands."""

from spillgate.census.collect import collect_census
from spillgate.census.rolling import Rolling
from spillgate.cli.top.looks import Past
from spillgate.cli.top.seen import document_of
from spillgate.config import Policy
from spillgate.errors import AuthenticationFailed, BudgetExhausted, LimitUnknown, PermissionDenied, ServerError
from spillgate.governor.clock import Clock, CommandMeter
from spillgate.governor.state import State
from spillgate.governor.watch import Watch
from spillgate.model import Census, Reading
from spillgate.policy.pacing import least_affordable_s
from spillgate.policy.plan import Known
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable
from spillgate.web.views import Document

# A reading, and a slice of the census.
_COMMANDS_A_LOOK = 2.0
# Forecasts take two looks, so the second comes soon.
_SECOND_LOOK_S = 0.5


class Looker:
    """One server, looked at by whoever calls; used by one thread at a time."""

    def __init__(self, policy: Policy, clock: Clock | None = None) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            ConfigError: the URL is of a kind that cannot be looked at.
        """
        self._policy = policy
        self._clock = clock or Clock()
        self._meter = CommandMeter(policy.monitor.commands_per_day, self._clock)
        self._gateway = Gateway(
            policy.server,
            ScanTable(policy.namespaces),
            clock=self._clock.monotonic,
            allow=lambda: self._meter.budget(self._gateway.commands).remaining,
        )
        self._watch = Watch(policy, self._gateway)
        self._rolling = Rolling(self._gateway)
        self._probed = False
        self._census: Census | None = None
        self._at_unix_s: float | None = None
        self._looks = 0

    @property
    def past(self) -> Past:
        """What memory was before the first look: nobody knows."""
        return ()

    @property
    def commands(self) -> int:
        """Commands sent so far."""
        return self._gateway.commands

    def close(self) -> None:
        """Give up the connection."""
        self._gateway.close()

    def pause_s(self, interval_s: float) -> float:
        """How long to wait until the next look, where ``interval_s`` is wanted."""
        budget = self._meter.budget(self._gateway.commands)
        if not budget.per_day and self._looks == 1:
            return min(interval_s, _SECOND_LOOK_S)
        return max(interval_s, least_affordable_s(budget, _COMMANDS_A_LOOK))

    def look(self, interval_s: float) -> Document:
        """One look; where it fails the document says so, beside what was last seen.

        Raises:
            LimitUnknown: no limit is declared and the server has none; only while nothing was seen yet.
            ServerError: the server does not let this user in, or not read; only while nothing was seen yet.
        """
        error, read = None, False
        try:
            self._read()
            read = True
            self._count()
            if self._looks == 0:  # connecting and the first census took memory of the server's: that is no growth
                self._settle()
            self._looks += 1
        except (ServerError, BudgetExhausted, LimitUnknown) as failed:
            hopeless = isinstance(failed, LimitUnknown | AuthenticationFailed | PermissionDenied)
            if hopeless and self._watch.assessment is None:
                raise
            error = str(failed)
        return document_of(self._state(error, read=read), self._clock.wall(), self.pause_s(interval_s))

    def _read(self) -> None:
        self._probe()
        before, reading = self._watch.reading, self._gateway.read()
        if before is not None and reading.run_id != before.run_id:  # another server, or it was started anew
            self._watch.forget_server()
            self._probed, self._census, self._rolling = False, None, Rolling(self._gateway)
            self._probe()
            before, reading = None, self._gateway.read()
        if before is not None:
            self._watch.wrote(reading.used_bytes - before.used_bytes, reading.at_s - before.at_s)
        self._assess(reading)
        self._at_unix_s = self._clock.wall()

    def _probe(self) -> None:
        if not self._probed:
            self._gateway.probe()
            self._probed = True

    def _settle(self) -> None:
        self._assess(self._gateway.read())

    def _assess(self, reading: Reading) -> None:
        self._watch.take(reading, Known().reaction_s(self._policy))

    def _count(self) -> None:
        """A census at first, then slices that keep it fresh.

        Without scripts each key takes two commands: too much where every command is paid for.
        """
        can, reading = self._gateway.capabilities, self._watch.reading
        assert reading is not None  # noqa: S101 - just read
        if not can.scan or (self._policy.monitor.commands_per_day and not can.evaluate):
            return
        if self._census is None:
            self._census = collect_census(self._gateway)
        elif census := self._rolling.slice(reading.keys if reading.keys is not None else self._census.total_keys):
            self._census = census

    def _state(self, error: str | None, *, read: bool) -> State:
        return State(
            policy=self._policy,
            dry_run=False,
            assessment=self._watch.assessment,
            reading=self._watch.reading,
            at_unix_s=self._at_unix_s,
            census=self._census,
            capabilities=self._gateway.capabilities if self._probed else None,
            error=error,
            unreadable=not read,
            readings=self._looks,
            commands=self._gateway.commands,
        )
