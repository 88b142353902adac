"""The values that flow through Spillgate: what was seen, what was decided, what came of it.

All are frozen. Sizes are bytes, durations seconds (TTL cut-offs milliseconds, as the server counts them),
shares fractions of 1. ``None`` means unknown and is never written as zero.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Level(IntEnum):
    """How near the limit the server is; higher is worse."""

    NORMAL = 0
    WARNING = 1
    PREVENTIVE = 2
    EMERGENCY = 3
    CRITICAL = 4

    @property
    def label(self) -> str:
        """The level's name as users write and read it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Reading:
    """One observation of a server, parsed from a single INFO reply.

    ``at_s`` is the governor's monotonic clock when the reply arrived. A partial reading (INFO memory alone) leaves the
    fields of the other sections ``None``. ``other_keys`` are in other logical databases of the same server.
    """

    at_s: float
    used_bytes: int
    not_counted_bytes: int = 0
    maxmemory_bytes: int = 0
    eviction_policy: str | None = None
    startup_bytes: int | None = None
    dataset_bytes: int | None = None
    clients_bytes: int | None = None
    replication_bytes: int | None = None
    aof_bytes: int | None = None
    scripts_bytes: int | None = None
    rss_bytes: int | None = None
    fragmentation: float | None = None
    lazyfree_pending: int | None = None
    keys: int | None = None
    keys_with_ttl: int | None = None
    other_keys: int | None = None
    evicted_keys: int | None = None
    expired_keys: int | None = None
    refused_writes: int | None = None
    connected_clients: int | None = None
    run_id: str | None = None
    version: str | None = None
    uptime_s: int | None = None
    role: str | None = None

    @property
    def counted_bytes(self) -> int:
        """Memory that counts towards ``maxmemory``: without replica and AOF buffers."""
        return max(0, self.used_bytes - self.not_counted_bytes)

    @property
    def held_bytes(self) -> dict[str, int]:
        """Counted memory that deleting keys cannot free, by what holds it; only what the server tells."""
        parts = {
            "client buffers": self.clients_bytes,
            "replication backlog": self.replication_bytes,
            "scripts": self.scripts_bytes,
        }
        return {cause: size for cause, size in parts.items() if size}

    @property
    def data_bytes(self) -> int:
        """The share of the counted memory that data explains."""
        return self.data_with(0)

    def data_with(self, shared_bytes: int) -> int:
        """The same, where ``shared_bytes`` of what is held are data's after all."""
        return max(0, self.counted_bytes - max(0, sum(self.held_bytes.values()) - shared_bytes))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval; an exact number has all three equal."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> "Estimate":
        """A number known without error."""
        return cls(value, value, value)

    @property
    def is_exact(self) -> bool:
        """Whether the interval is a single point."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class KeySample:
    """One sampled key: idle seconds (None where the server does not tell), remaining TTL (None: no TTL), size."""

    idle_s: int | None
    ttl_ms: int | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class NamespaceUsage:
    """What one namespace holds. ``bytes`` is None where MEMORY USAGE is forbidden."""

    name: str
    keys: Estimate
    bytes: Estimate | None
    no_ttl: Estimate
    sample: tuple[KeySample, ...] = ()


@dataclass(frozen=True, slots=True)
class Census:
    """Memory by namespace at one moment.

    ``unregistered_keys`` match no namespace, ``total_bytes`` are of all keys with and without one (None where MEMORY
    USAGE is forbidden). ``exact`` says that every key was visited.
    """

    at_s: float
    exact: bool
    sampled_keys: int
    total_keys: int
    namespaces: tuple[NamespaceUsage, ...]
    unregistered_keys: Estimate
    total_bytes: Estimate | None = None

    def usage(self, name: str) -> NamespaceUsage | None:
        """The row of one namespace, None where the census does not have it."""
        return next((row for row in self.namespaces if row.name == name), None)

    def heaviest(self, count: int = 3) -> tuple[NamespaceUsage, ...]:
        """The namespaces that hold most, by bytes where known, else by keys."""
        weigh = sorted(self.namespaces, key=lambda row: (row.bytes or row.keys).value, reverse=True)
        return tuple(row for row in weigh[:count] if row.keys.value > 0)


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
