"""The values that alerts are made of. Severities are on the scale of the levels, whatever an alert is about."""

from dataclasses import dataclass
from enum import StrEnum

from spillgate.model import Level


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment on both clocks: ``monotonic_s`` to measure by, ``unix_s`` to tell."""

    monotonic_s: float
    unix_s: float


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is the case, and that somebody may want to know.

    ``key`` is the same for as long as it is the same trouble. ``title`` has no numbers in it, ``message`` says how bad
    it is with them, ``governor`` what the governor does about it by itself, ``by_hand`` what people can do; the last
    two may be empty. It is worth a word once it has lasted ``after_s``.
    """

    key: str
    severity: Level
    title: str
    message: str
    governor: str = ""
    by_hand: str = ""
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that has lasted long enough, and since when; it stands until it is surely over."""

    key: str
    severity: Level
    title: str
    message: str
    since_unix_s: float


class Kind(StrEnum):
    """What a notice is for."""

    FIRING = "firing"  # news, or worse than was told
    REMINDER = "reminder"
    RECOVERED = "recovered"
    DIGEST = "digest"  # several of these in one
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to people.

    ``peak`` is the worst that it has been, ``was`` the severity that was told before it got worse. ``items`` are the
    notices that a digest sums up; what came and went untold is among them as recovered.
    """

    kind: Kind
    key: str
    severity: Level
    peak: Level
    title: str
    message: str
    at_unix_s: float
    governor: str = ""
    by_hand: str = ""
    since_unix_s: float | None = None
    was: Level | None = None
    items: tuple["Notice", ...] = ()
