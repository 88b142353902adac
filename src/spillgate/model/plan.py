"""What was decided, and what came of it."""

from dataclasses import dataclass, field
from enum import StrEnum

from spillgate.model.reading import Level


class Unlink(StrEnum):
    """Which of a namespace's keys a sweep deletes."""

    NONE = "none"
    COUNT = "count"  # none, but tell how many have no TTL
    ALL = "all"
    CUT = "cut"  # those past the rule's idle and TTL cut-offs
    ORPHAN = "orphan"  # those without a TTL that are idle beyond the rule's idle cut-off


@dataclass(frozen=True, slots=True)
class Rule:
    """What a sweep does to the keys of one namespace.

    ``cap_ms`` lowers a longer (or missing) TTL to itself; ``give_ms`` is set on keys without one, if they are idle
    longer than ``idle_s`` where that is given; 0 turns either off.
    Under ``Unlink.CUT`` a key goes if it is idle longer than ``idle_s``, or as long and its TTL is at most ``ttl_ms``
    (no TTL counts as the longest). Where ``idle_s`` is None only the TTL decides.
    """

    namespace: str
    unlink: Unlink = Unlink.NONE
    idle_s: int | None = None
    ttl_ms: int | None = None
    cap_ms: int = 0
    give_ms: int = 0

    @property
    def acts(self) -> bool:
        """Whether the rule changes anything."""
        return self.unlink not in {Unlink.NONE, Unlink.COUNT} or self.cap_ms > 0 or self.give_ms > 0


class ActionKind(StrEnum):
    """The steps a plan is made of."""

    PURGE = "purge"  # let the server drop what has expired
    WAIT = "wait"  # let pending lazy frees finish
    CAP = "cap"  # cap TTLs at policy
    BUDGET = "budget"  # trim a namespace to its budget
    CLEAR = "clear"
    TRIM = "trim"
    EXPIRED = "expired"
    SHORTEN = "shorten"
    UPKEEP = "upkeep"  # give TTLs to cache keys that have none


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a plan.

    ``rules`` is everything the step may change: what no rule names is not touched. ``bytes_wanted`` bounds what it
    frees (None: its pass is not bounded by bytes). ``together`` names further namespaces that the step cleans in the
    same pass as ``namespace``.
    """

    kind: ActionKind
    namespace: str | None
    rules: tuple[Rule, ...]
    reason: str
    bytes_wanted: int | None = None
    together: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The namespaces that the step is for; none where it is for the whole keyspace."""
        return (self.namespace, *self.together) if self.namespace else ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What the governor decided for one cycle.

    The plan is over as soon as the data is at ``target_bytes``. ``call_budget_us`` bounds one call on the server.
    ``urgent`` says that there is no time for anything but deleting: keys of other namespaces are not even counted.
    With more than ``last_resort_bytes`` in use (None: never) a call may take longer. ``shared_bytes`` are counted by
    the server as held by something else, but are data's.
    """

    level: Level
    data_bytes: int
    target_bytes: int
    actions: tuple[Action, ...]
    reason: str
    call_budget_us: int = 1000
    urgent: bool = False
    last_resort_bytes: int | None = None
    shared_bytes: int = 0

    @property
    def bytes_wanted(self) -> int:
        """What has to be freed, at least 0."""
        return max(0, self.data_bytes - self.target_bytes)


class Stop(StrEnum):
    """Why a step ended."""

    TARGET = "target reached"
    COMPLETE = "all keys seen"
    PREEMPTED = "a higher level took over"
    BUDGET = "command budget spent"
    FAILED = "server failed"
    ASKED = "asked to stop"
    NOTHING = "nothing to do"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one action did, measured. ``freed_bytes`` is what the server's own counter fell by inside the calls."""

    action: Action
    stop: Stop
    visited: int = 0
    deleted: int = 0
    expired: int = 0
    retimed: int = 0
    freed_bytes: int = 0
    seconds: float = 0.0
    calls: int = 0
    dry_run: bool = False
    error: str | None = None
    deleted_by_namespace: dict[str, int] = field(default_factory=dict[str, int])
