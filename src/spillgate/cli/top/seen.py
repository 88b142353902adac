"""What one look tells, in the document that ``--json`` prints and a governor serves, and as typed values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from spillgate.config import LevelSettings
from spillgate.governor.state import State
from spillgate.model import Estimate, Level
from spillgate.policy.pressure import threshold
from spillgate.web import views
from spillgate.web.views import Document

UNREACHABLE = views.UNREACHABLE


@dataclass(frozen=True, slots=True)
class Ends:
    """An estimate as documents have it; an end that is not known is None."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def estimate(self) -> Estimate:
        """The same, to reckon with."""
        low = -math.inf if self.low is None else self.low
        return Estimate(self.value, low, math.inf if self.high is None else self.high)


@dataclass(frozen=True, slots=True)
class Server:
    """What the server says of itself."""

    product: str | None = None
    version: str | None = None
    eviction_policy: str | None = None
    evicted_keys: int | None = None
    refused_writes: int | None = None


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace, and what its keys hold."""

    name: str
    cleanup: str
    priority: int | None = None
    budget_bytes: int | None = None
    keys: Ends | None = None
    bytes: Ends | None = None
    no_ttl: Ends | None = None


@dataclass(frozen=True, slots=True)
class LevelMark:
    """Where a level begins, as a share of the limit."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class Totals:
    """What a governor has done so far."""

    actions: int = 0
    deleted: int = 0
    retimed: int = 0
    freed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Happened:
    """An entry of a governor's journal."""

    number: int
    at: float
    event: str
    message: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. What is None is not known; of other members of the document nothing is asked."""

    url: str
    status: str
    level: str = "unknown"
    reason: str | None = None
    error: str | None = None
    dry_run: bool = False
    age_s: float | None = None
    used_bytes: int | None = None
    limit_bytes: int | None = None
    forecast: float | None = None
    fill_bytes_s: float | None = None
    time_to_limit_s: float | None = None
    held_bytes: dict[str, int] | None = None
    server: Server = field(default_factory=Server)
    missing: tuple[str, ...] | None = None
    keys: int | None = None
    unregistered_keys: Ends | None = None
    unregistered_bytes: Ends | None = None
    levels: tuple[LevelMark, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    totals: Totals = field(default_factory=Totals)
    journal: tuple[Happened, ...] | None = None

    @property
    def reachable(self) -> bool:
        """Whether the server was read by this look."""
        return self.status != UNREACHABLE

    @property
    def in_force(self) -> Level | None:
        """The level."""
        return next((level for level in Level if level.label == self.level), None)

    @property
    def settings(self) -> LevelSettings:
        """Where the levels begin."""
        named = {mark.name: mark.share for mark in self.levels}
        return LevelSettings(**{level.label: named[level.label] for level in list(Level)[1:] if level.label in named})


def seen_in(document: Mapping[str, object]) -> Seen:
    """The values in a document.

    Raises:
        msgspec.ValidationError: it is another kind of document.
    """
    return msgspec.convert(document, Seen)


def document_of(state: State, now_s: float, pause_s: float) -> Document:
    """What the look at ``now_s`` told; the next comes in ``pause_s``. A part of what a governor serves."""
    rows = views.namespaces(state)
    size = state.census.unregistered_bytes if state.census else None
    return views.snapshot(state) | {
        "now": round(now_s, 3),
        "age_s": None if state.at_unix_s is None else round(max(0.0, now_s - state.at_unix_s), 3),
        "next_look_s": round(pause_s, 3),
        "levels": [{"name": level.label, "share": threshold(level, state.policy.levels)} for level in Level],
        "namespaces": [views.row(one) | {"budget_bytes": one.policy.budget_bytes} for one in rows],
        "unregistered_bytes": dict(size.ends()) if size else None,
    }
