"""What is recommended for the TTLs of a policy, as values."""

from dataclasses import dataclass
from enum import StrEnum

from spillgate.model import Estimate


class Basis(StrEnum):
    """What a recommendation was drawn from."""

    RECORDER = "recorder"  # what the cache library's processes saw of reads and writes
    SERVER = "server"  # ages and idle times of the keys that are there: a bound
    NONE = "none"


class Confidence(StrEnum):
    """How far a recommendation can be relied on."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Advice:
    """What is recommended for the TTL of one namespace. None is what is not known.

    ``recommended_s`` is None where nothing is recommended, for the ``reason``; it may be the TTL as it is now.
    ``hit_ratio`` and ``bytes`` are predicted with the TTL of now, names and overhead of keys included. ``freed_bytes``
    below 0 is what it takes more; ``hits_lost`` is a share of this namespace's reads, below 0 where hits are won.
    ``lever`` is whether another TTL would change anything worth it, as far as is known. ``budget_bytes`` is this
    namespace's part of the target, None where its policy can have no budget.
    """

    name: str
    ttl_s: float | None
    recommended_s: float | None
    hit_ratio: Estimate | None
    hit_ratio_then: Estimate | None
    bytes: Estimate | None
    bytes_then: Estimate | None
    freed_bytes: Estimate | None
    hits_lost: Estimate | None
    basis: Basis
    confidence: Confidence
    lever: bool
    reason: str
    budget_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class TtlPlan:
    """What is recommended for all namespaces together.

    ``target_bytes`` is what the registered data may hold, after overhead and keys of no namespace; None where no limit
    is known. Hit ratios are of the namespaces of which they are known, weighted by reads and by what rebuilding a
    value costs; bytes are of all namespaces. ``fits`` is whether the target is kept with what is recommended, None
    where that cannot be told. ``notes`` tell what is missing, and why.
    """

    target_bytes: int | None
    advices: tuple[Advice, ...]
    hit_ratio: float | None
    hit_ratio_then: float | None
    bytes: float | None
    bytes_then: float | None
    fits: bool | None
    notes: tuple[str, ...] = ()
