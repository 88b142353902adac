"""What fits, what grows and what will be needed, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from spillgate.model import Estimate, Level


class Risk(StrEnum):
    """How much of the limit is in use, or will be soon."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Feature:
    """One namespace (or prefix). None is what is not known.

    ``bytes_per_object`` is what ``MEMORY USAGE`` says of one on average. ``more_fit`` is how many more of them fit
    below preventive while all else stays as it is, ``more_fit_ceiling`` below the ceiling; both are 0 where there is
    no room.
    """

    name: str
    keys: Estimate
    bytes: Estimate | None
    bytes_per_object: Estimate | None
    growth_keys_day: Estimate | None = None
    growth_bytes_day: Estimate | None = None
    more_fit: Estimate | None = None
    more_fit_ceiling: Estimate | None = None
    growth_reason: str = ""


@dataclass(frozen=True, slots=True)
class Doubling:
    """The next time that a database's table of keys doubles: after so many more keys, by so many bytes."""

    database: int
    keys_left: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Projection:
    """What the server would use with so many objects.

    ``scale`` has the objects of each feature that was scaled; ``by_feature`` the bytes of each feature then, as
    MEMORY USAGE would add up, without ``overhead_bytes``: startup, hash tables, connections, buffers, by cause in
    ``overhead``. Together they are ``bytes``. ``plan_bytes`` is the smallest plan that holds it below the preventive
    level, also for the moment in which ``doubling_bytes`` more are in use because a table moves to a larger one.
    ``risk`` and ``level`` are None where no limit is known.
    """

    name: str
    scale: Mapping[str, int]
    bytes: Estimate
    by_feature: Mapping[str, Estimate]
    overhead_bytes: float
    risk: Risk | None
    reason: str
    plan_bytes: int
    overhead: Mapping[str, float] = field(default_factory=dict[str, float])
    level: Level | None = None
    doubling_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a server holds and how long, and how much more of what, that will do.

    ``time_to`` has seconds until memory is at each level; None where it does not grow or that is not known, for the
    reason in ``time_to_reason``. ``overhead`` is what it uses now beside the features, ``doublings`` are the tables
    that are going to double. ``risk`` is None where no limit is known.
    """

    limit_bytes: int | None
    ceiling_bytes: int | None
    used_bytes: int
    features: tuple[Feature, ...]
    growth_bytes_day: Estimate | None
    time_to: Mapping[Level, Estimate | None]
    projections: tuple[Projection, ...]
    risk: Risk | None
    reason: str
    assumptions: tuple[str, ...]
    growth_reason: str = ""
    time_to_reason: Mapping[Level, str] = field(default_factory=dict[Level, str])
    doublings: tuple[Doubling, ...] = ()
    overhead: Mapping[str, float] = field(default_factory=dict[str, float])
