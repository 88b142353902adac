"""Bringing notices to receivers: a thread and a bounded queue for each, so that none waits for another.

What is handed over never waits: neither the governor nor the engine notices a receiver that is slow or down. One notice
is tried some times, ever further apart, while those behind it wait in their order. When the queue is full the oldest
goes; when the process ends, what is still waiting gets one try each, as far as the time allows.

What a receiver was not told, it is owed: as soon as it takes something, and else ever less often, it is told what still
stands of that. What it never heard of is not told to be over.
"""

import logging
import random
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from spillgate.alerts.notice import Kind, Notice
from spillgate.governor.clock import Clock
from spillgate.governor.history import Delivery
from spillgate.model import Level

DELIVERED, FAILED, DROPPED = "delivered", "failed", "dropped"
"""How a delivery ends: it arrived; it was tried to the end; it had to go before that."""
_MOST_WAITING = 100
_AGAIN_S, _AGAIN_AT_MOST_S = 60.0, 3600.0
_NEWS = {Kind.FIRING, Kind.REMINDER}

_log = logging.getLogger("spillgate")


class Undelivered(Exception):
    """A notice was not delivered; ``final`` says that another try would end the same, ``after_s`` when one may come."""

    def __init__(self, message: str, *, final: bool = False, after_s: float | None = None) -> None:
        super().__init__(message)
        self.final = final
        self.after_s = after_s


class Receiver(Protocol):
    """Somebody who wants to know. ``address`` may be shown; ``min_level`` is the least that it is told of."""

    @property
    def name(self) -> str:
        """What the policy calls it."""
        ...

    @property
    def kind(self) -> str:
        """What it is: "webhook", "slack", ..."""
        ...

    @property
    def address(self) -> str:
        """Where it is, without secrets."""
        ...

    @property
    def min_level(self) -> Level:
        """It is told of what was at least as bad."""
        ...

    def send(self, notice: Notice, message_id: str) -> None:
        """Deliver one notice, in bounded time; ``message_id`` is the same for each try.

        Raises:
            Undelivered: it failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a notice is tried, and how long to wait between: by default within about eight minutes.

    ``pause`` waits for that long, or until the event is set.
    """

    tries: int = 6
    first_s: float = 15.0
    factor: float = 2.0
    longest_s: float = 600.0
    jitter: float = 0.2
    pause: Callable[[threading.Event, float], object] = threading.Event.wait

    def wait_s(self, attempt: int, after_s: float | None, rng: random.Random) -> float:
        """Seconds to wait after so many attempts; ``after_s`` is what the receiver asked for."""
        own = self.first_s * self.factor ** (attempt - 1) * rng.uniform(1 - self.jitter, 1 + self.jitter)
        return min(self.longest_s, max(own, after_s or 0.0))


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """How a receiver does: ``last_error`` is why the last try failed, None where it did not.

    ``waiting`` notices are on their way to it.
    """

    name: str
    kind: str
    address: str
    failing: bool
    last_error: str | None
    waiting: int = 0


class _Parcel:
    """A notice on its way."""

    def __init__(self, notice: Notice) -> None:
        self.notice = notice
        self.message_id = f"msg_{secrets.token_hex(16)}"
        self.attempts = 0
        self.error: str | None = None


class Lane:
    """The way to one receiver."""

    def __init__(
        self,
        receiver: Receiver,
        report: Callable[[Delivery], object],
        clock: Clock,
        patience: Patience,
        seed: int | None = None,
    ) -> None:
        """Prepare; the thread starts with the first notice."""
        self.receiver = receiver
        self.last_error: str | None = None
        self._report = report
        self._clock = clock
        self._patience = patience
        self._rng = random.Random(seed)
        self._waiting: deque[_Parcel] = deque()
        self._carried: _Parcel | None = None
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._deadline_s = float("inf")
        self._thread: threading.Thread | None = None
        self._owed: dict[str, bool] = {}  # by key: whether an earlier word of the same arrived
        self._failures = 0  # one after the other
        self._failed_s = 0.0

    @property
    def state(self) -> ReceiverState:
        """How its receiver does."""
        one, error = self.receiver, self.last_error
        with self._changed:
            waiting = len(self._waiting) + (self._carried is not None)
        return ReceiverState(one.name, one.kind, one.address, error is not None, error, waiting)

    def put(self, notice: Notice) -> None:
        """Deliver it as soon as those before it are delivered or given up; returns at once."""
        dropped = None
        with self._changed:
            if self._stopping.is_set():
                dropped = _Parcel(notice)
            else:
                if len(self._waiting) >= _MOST_WAITING:
                    dropped = self._waiting.popleft()
                    self._note(dropped.notice, DROPPED)
                self._waiting.append(_Parcel(notice))
                if self._thread is None:
                    name = f"spillgate-alerts-{self.receiver.name}"
                    self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                    self._thread.start()
                self._changed.notify()
        if dropped is not None:
            self._tell(dropped, DROPPED, "too many were waiting")

    def owe(self, keys: Mapping[str, bool]) -> None:
        """These were told and did not arrive; of each, whether an earlier word of it did."""
        with self._changed:
            self._owed |= keys

    @property
    def owed(self) -> Mapping[str, bool]:
        """What it may be told again now: nothing while something is on its way, or too soon after that failed."""
        with self._changed:
            if self._waiting or self._carried is not None or self._stopping.is_set():
                return {}
            pause_s = min(_AGAIN_AT_MOST_S, _AGAIN_S * 2.0 ** min(self._failures - 1, 30)) if self._failures else 0.0
            return dict(self._owed) if self._clock.monotonic() >= self._failed_s + pause_s else {}

    def hurry(self, deadline_s: float = float("inf")) -> None:
        """Come to an end, without pauses, until ``deadline_s`` of the monotonic clock."""
        with self._changed:
            self._deadline_s = deadline_s
            self._stopping.set()
            self._changed.notify()

    def end(self) -> tuple[Notice, ...]:
        """Wait for what was hurried; return what was not delivered."""
        thread = self._thread
        if thread is not None:
            thread.join(min(threading.TIMEOUT_MAX, max(0.0, self._deadline_s - self._clock.monotonic())))
        with self._changed:
            left = [*([self._carried] if self._carried else []), *self._waiting]
            self._waiting.clear()
            self._carried = None
        for parcel in left:
            self._tell(parcel, DROPPED, parcel.error or "the process ended before it was delivered")
        return tuple(parcel.notice for parcel in left)

    def _run(self) -> None:
        while (parcel := self._next()) is not None:
            unheard = self._unheard(parcel.notice)
            delivered = not unheard and self._carry(parcel)
            status = DELIVERED if delivered else DROPPED if unheard or self._stopping.is_set() else FAILED
            with self._changed:
                ours, self._carried = self._carried is parcel, None
                if ours:
                    self._note(parcel.notice, status)
            if ours:  # else it was given up already
                error = "it was never told that this began" if unheard else parcel.error
                self._tell(parcel, status, None if delivered else error)

    def _unheard(self, notice: Notice) -> bool:
        """Whether it is told the end of what it never heard of."""
        with self._changed:
            return notice.kind is Kind.RECOVERED and self._owed.get(notice.key) is False

    def _next(self) -> _Parcel | None:
        with self._changed:
            while not self._waiting and not self._stopping.is_set():
                self._changed.wait()
            if not self._waiting or self._clock.monotonic() >= self._deadline_s:
                return None
            self._carried = self._waiting.popleft()
            return self._carried

    def _carry(self, parcel: _Parcel) -> bool:
        """Try until it is delivered, or there is no sense in going on."""
        while True:
            failed = self._try(parcel)
            self.last_error = parcel.error = str(failed) if failed else None
            if failed is None:
                return True
            if failed.final or parcel.attempts >= self._patience.tries or self._stopping.is_set():
                return False
            wait_s = self._patience.wait_s(parcel.attempts, failed.after_s, self._rng)
            self._patience.pause(self._stopping, wait_s)

    def _try(self, parcel: _Parcel) -> Undelivered | None:
        parcel.attempts += 1
        try:
            self.receiver.send(parcel.notice, parcel.message_id)
        except Undelivered as error:
            return error
        except Exception as error:  # noqa: BLE001 - a receiver's fault must not end its thread; its text may hold secrets
            return Undelivered(f"failed with {type(error).__name__}")
        return None

    def _tell(self, parcel: _Parcel, status: str, error: str | None) -> None:
        name, notice = self.receiver.name, parcel.notice
        if error is not None:
            _log.warning("alert %r was not delivered to %s: %s", notice.title, name, error)
        at_s = self._clock.wall()
        for one in (*reversed(notice.items), notice):  # of a digest what came and went first: it may stand again
            self._report(Delivery(at_s, name, one.key, one.kind.value, status, parcel.attempts, error))

    def _note(self, notice: Notice, status: str) -> None:
        """What it knows after that, and what it is owed; whoever calls holds the lock."""
        if status == FAILED:
            self._failures, self._failed_s = self._failures + 1, self._clock.monotonic()
        elif status == DELIVERED:
            self._failures = 0
        for one in reversed(notice.items) if notice.items else (notice,):
            if status == DELIVERED or one.kind is Kind.RECOVERED:
                self._owed.pop(one.key, None)
            elif one.kind in _NEWS:
                knew = one.kind is Kind.REMINDER or one.was is not None
                self._owed[one.key] = self._owed.get(one.key, knew)


class Courier:
    """The lanes to all receivers."""

    def __init__(
        self,
        receivers: Iterable[Receiver],
        report: Callable[[Delivery], object],
        clock: Clock,
        patience: Patience | None = None,
    ) -> None:
        """Prepare; no thread starts before the first notice."""
        self._report = report
        self._clock = clock
        self._patience = patience or Patience()
        self._lanes = tuple(map(self._lane, receivers))
        self._leaving: tuple[Lane, ...] = ()

    def _lane(self, receiver: Receiver) -> Lane:
        return Lane(receiver, self._report, self._clock, self._patience)

    @property
    def receivers(self) -> tuple[ReceiverState, ...]:
        """How each does."""
        return tuple(lane.state for lane in self._lanes)

    def send(self, notice: Notice) -> None:
        """Hand a notice to everybody who wants to know of it; returns at once."""
        for lane in self._lanes:
            if notice.kind is Kind.TEST or notice.peak >= lane.receiver.min_level:
                lane.put(notice)

    def owe(self, keys: Mapping[str, Mapping[str, bool]]) -> None:
        """What was told before and did not arrive, by the names of receivers."""
        for lane in self._lanes:
            lane.owe(keys.get(lane.receiver.name, {}))

    def send_again(self, notice_of: Callable[[Mapping[str, bool]], Notice | None]) -> None:
        """Tell each what it is owed, where it may be told now; ``notice_of`` says what is still to be said of it."""
        for lane in self._lanes:
            notice = notice_of(owed) if (owed := lane.owed) else None
            if notice is not None:
                lane.put(notice)

    def replace(self, receivers: Iterable[Receiver]) -> None:
        """Other receivers from now on. Who stays keeps what waits for it; who goes gets one more try of each."""
        before = {lane.receiver: lane for lane in self._lanes}
        after = tuple(before.pop(one, None) or self._lane(one) for one in receivers)
        self._lanes = after
        for lane in before.values():
            lane.hurry()
        self._leaving = tuple(lane for lane in (*self._leaving, *before.values()) if lane.state.waiting)

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """End within the time; return what was not delivered, in words."""
        deadline_s = self._clock.monotonic() + timeout_s
        lanes = (*self._lanes, *self._leaving)
        for lane in lanes:
            lane.hurry(deadline_s)
        return tuple(f"{lane.receiver.name}: {notice.title}" for lane in lanes for notice in lane.end())
