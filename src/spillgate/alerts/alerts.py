"""Alerts beside a governor: one thread that looks at what is known, and one for each receiver that is told."""

import logging
import threading
from collections import deque
from typing import Self

from spillgate.alerts.conditions import FINDING, Seen, conditions, situation
from spillgate.alerts.delivery import Courier, Patience, ReceiverState
from spillgate.alerts.engine import Memory, News, Rules, again, step
from spillgate.alerts.notice import Alert, Moment
from spillgate.alerts.receivers import receivers_of
from spillgate.alerts.recent import Recent
from spillgate.alerts.restoring import restored, unheard
from spillgate.checkup import Checkup
from spillgate.config import Policy
from spillgate.errors import ConfigError, MissingExtra
from spillgate.governor.clock import Clock
from spillgate.governor.history import History
from spillgate.governor.journal import Entry, Event
from spillgate.governor.loop import Governor

_TICK_S = 10.0
_SOON_S = 2.0  # after something happened: what follows from it may be known only now
_APART_S = 0.5
_MOST_ALARMS = 100
_STOP_S = 5.0
_LOGGED = 1000

_log = logging.getLogger("spillgate")


class Alerts:
    """Tells people what a governor sees; reads the governor, its history and the checkup, and never the server.

    It looks when the journal gets an entry, and every ten seconds. ``active`` is what stands, the worst first;
    ``receivers`` is who is told, and how that goes. As a context manager it starts and stops; when an error ends the
    block together with the governor, that is told too.
    """

    def __init__(
        self,
        policy: Policy,
        governor: Governor,
        history: History,
        checkup: Checkup | None = None,
        *,
        clock: Clock | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Prepare; nothing is looked at or sent yet.

        Raises:
            ConfigError: a receiver cannot be used, for example because its variable is not set.
            MissingExtra: apprise is wanted and not installed.
        """
        self.active: tuple[Alert, ...] = ()
        self._governor, self._history, self._checkup = governor, history, checkup
        self._clock = clock or governor.clock
        self._settings, self._rules = policy.alerts, Rules.of(policy.alerts)
        self._courier = Courier(receivers_of(policy, self._clock), history.delivered, self._clock, patience)
        self._memory = Memory()
        self._begun: Moment | None = None
        self._recent: Recent | None = None
        self._alarms: deque[Entry] = deque(maxlen=_MOST_ALARMS)
        self._read = governor.journal.last_number
        self._failure: str | None = None
        self._stopping = threading.Event()
        self._stepping = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def receivers(self) -> tuple[ReceiverState, ...]:
        """Who is told, and how that goes."""
        return self._courier.receivers

    # Life

    def __enter__(self) -> Self:
        """Start the thread."""
        self.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Tell what ended the governor, where something did, and stop."""
        if isinstance(error, Exception) and self._governor.state.ended:
            self._failure = str(error) or type(error).__name__
            self._look_safely()
        self.stop()

    def start(self) -> None:
        """Look in a daemon thread from now on, once. In a server that forks workers, start after the fork.

        Raises:
            RuntimeError: it was started, or stopped, before.
        """
        if self._thread is not None or self._stopping.is_set():
            message = "Alerts run once: make new ones"
            raise RuntimeError(message)
        self._thread = threading.Thread(target=self._run, name="spillgate-alerts", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = _STOP_S) -> tuple[str, ...]:
        """Look no more, and give what is on its way so much time; return what was not delivered, in words.

        The thread may sleep on for some seconds, but does nothing any more.
        """
        self._stopping.set()
        with self._stepping:
            return self._courier.stop(timeout_s)

    def reload(self, policy: Policy) -> None:
        """Use another policy from now on; what stands, and what people know, stays.

        Raises:
            ConfigError: a receiver cannot be used; then everything stays as it was.
        """
        try:
            receivers = receivers_of(policy, self._clock)
        except MissingExtra as error:
            raise ConfigError(str(error), key="alerts.notify") from error
        with self._stepping:
            self._settings, self._rules = policy.alerts, Rules.of(policy.alerts)
            self._courier.replace(receivers)

    def _run(self) -> None:
        while not self._stopping.is_set():
            before = self._read
            self._look_safely()
            happened = self._read != before
            if not self._governor.journal.wait(self._read, _SOON_S if happened else _TICK_S):
                continue
            self._stopping.wait(_APART_S)  # what happens in quick succession is looked at together

    def _look_safely(self) -> None:
        try:
            self.look()
        except Exception:  # noqa: BLE001 - whatever it is, the next look may be better
            _log.warning("looking for what is to be told failed", exc_info=True)

    # One look

    def look(self) -> None:
        """Take in what is known now, and hand over what is news; waits for nobody."""
        with self._stepping:
            if self._stopping.is_set():
                return
            now = Moment(self._clock.monotonic(), self._clock.wall())
            seen = self._seen(now)
            unknown = (FINDING,) if self._checkup is not None and self._checkup.latest is None else ()
            news = News(conditions(seen, self._settings), situation(seen.state), unknown)
            self._memory, notices = step(self._memory, news, now, self._rules)
            self.active = self._memory.active
            for notice in notices:
                self._courier.send(notice)
            quiet = self._rules.quiet(now.unix_s)
            self._courier.send_again(lambda owed: again(self._memory, owed, now, self._rules, quiet=quiet))

    def _seen(self, now: Moment) -> Seen:
        if self._begun is None:
            self._begun = now
            logged = self._history.deliveries(_LOGGED)
            self._memory = restored(logged, now)
            self._courier.owe(unheard(logged, now))
        if self._recent is None:
            self._recent = Recent(self._history, now)
        entries = self._governor.journal.entries(self._read)
        if entries:
            self._read = entries[-1].number
        self._alarms.extend(entry for entry in entries if entry.event is Event.ALARM)
        state = self._governor.state
        last = state.reading.at_s if state.reading else self._begun.monotonic_s
        latest = self._checkup.latest if self._checkup else None
        return Seen(
            state=state,
            now=now,
            age_s=max(0.0, self._governor.clock.monotonic() - last),
            entries=tuple(self._alarms),
            points=self._recent.points(now),
            findings=latest.examination.diagnosis.findings if latest else (),
            history_error=self._history.error,
            failure=self._failure,
            standing=frozenset(one.key for one in self.active),
        )
