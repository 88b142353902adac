"""What fills the memory: samples of the keys, and the numbers drawn from them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from spillgate.units import rounded


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

    @classmethod
    def total(cls, parts: "Iterable[Estimate]") -> "Estimate":
        """The sum of independent numbers: distances to the ends add as the sides of a right angle do (MOVER)."""
        listed = tuple(parts)
        value = math.fsum(part.value for part in listed)
        below = math.hypot(*(part.value - part.low for part in listed))
        return cls(value, value - below, value + math.hypot(*(part.high - part.value for part in listed)))

    @property
    def is_exact(self) -> bool:
        """Whether the interval is a single point."""
        return self.low == self.high

    def ends(self, digits: int = 0) -> dict[str, float | None]:
        """It in a document: ``value``, ``low`` and ``high``, in this order; an end that is not known is None."""
        return {name: rounded(getattr(self, name), digits) for name in ("value", "low", "high")}


class KeySample(NamedTuple):
    """One sampled key: idle seconds (None where the server does not tell), remaining TTL (None: no TTL), size.

    ``size_bytes`` is what ``MEMORY USAGE`` says, None where it is forbidden. Name, type and encoding are there in
    samples that were asked for them.
    """

    idle_s: int | None
    ttl_ms: int | None
    size_bytes: int | None
    name: bytes = b""
    type: str | None = None
    encoding: str | None = None


class Tally(NamedTuple):
    """What the keys of one group in one run add up to.

    ``heavy`` keys are the few that are much bigger than the rest, and counted apart. ``untimed`` and ``unsized`` are
    keys whose TTL or size the server would not tell.
    """

    keys: int = 0
    no_ttl: int = 0
    light_bytes: int = 0
    heavy_keys: int = 0
    heavy_bytes: int = 0
    name_bytes: int = 0
    untimed: int = 0
    unsized: int = 0

    @classmethod
    def total(cls, tallies: "Iterable[Tally]") -> "Tally":
        """All of them together."""
        return cls._make(map(sum, zip(cls(), *tallies, strict=True)))


@dataclass(frozen=True, slots=True)
class Run:
    """What one call saw of a run of keys; groups are numbered: 0 for keys of no group.

    ``covered`` is the share of the table that it went through (any number, where all runs have the same), ``expired``
    how many keys past their TTL it met beside ``visited`` live ones, ``total_keys`` what the database had then.
    ``light_squares`` and ``heavy_squares`` are sums of squared sizes over all groups. ``details`` are some of the keys,
    ``biggest`` those over a bound, each with its group.
    """

    covered: float
    visited: int
    expired: int
    total_keys: int
    tallies: Mapping[int, Tally]
    light_squares: float = 0.0
    heavy_squares: float = 0.0
    details: tuple[tuple[int, KeySample], ...] = ()
    biggest: tuple[tuple[int, KeySample], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What the keys of one namespace or prefix hold.

    ``name`` is the namespace's, or the prefix as a pattern (``user:*:cart``). Bytes are those of ``MEMORY USAGE`` and
    None where that is forbidden. ``name_bytes`` are the lengths of the keys themselves. ``sample`` are some of the
    keys, each as likely as any other, ``biggest`` is the biggest that was met.
    """

    name: str
    keys: Estimate
    bytes: Estimate | None
    no_ttl: Estimate | None
    sample: tuple[KeySample, ...] = ()
    avg_bytes: Estimate | None = None
    name_bytes: Estimate | None = None
    biggest: KeySample | None = None


@dataclass(frozen=True, slots=True)
class Census:
    """Memory by namespace at one moment.

    ``unregistered_keys`` match no namespace, ``total_bytes`` are of all keys with and without one (None where MEMORY
    USAGE is forbidden), ``prefixes`` divide the unregistered keys where that was asked for. ``exact`` says that every
    key was visited. ``expired`` keys are past their TTL and still there. ``biggest`` are the biggest keys met.
    """

    at_s: float
    exact: bool
    sampled_keys: int
    total_keys: int
    namespaces: tuple[Usage, ...]
    unregistered_keys: Estimate
    total_bytes: Estimate | None = None
    prefixes: tuple[Usage, ...] = ()
    expired: Estimate = field(default_factory=lambda: Estimate.exact(0))
    biggest: tuple[KeySample, ...] = ()

    @property
    def unregistered_bytes(self) -> Estimate | None:
        """What the keys of no namespace hold: all but what the others do; None where a part of it is not known."""
        sizes = [usage.bytes for usage in self.namespaces]
        if self.total_bytes is None or None in sizes:
            return None
        registered = Estimate.total(size for size in sizes if size is not None)
        value = max(0.0, self.total_bytes.value - registered.value)
        low = max(0.0, self.total_bytes.low - registered.high)
        return Estimate(value, min(value, low), max(value, self.total_bytes.high - registered.low))

    def usage(self, name: str) -> Usage | None:
        """The row of one namespace, None where the census does not have it."""
        return next((row for row in self.namespaces if row.name == name), None)

    def heaviest(self, count: int = 3) -> tuple[Usage, ...]:
        """The namespaces that hold most, by bytes where known, else by keys."""
        weigh = sorted(self.namespaces, key=lambda row: (row.bytes or row.keys).value, reverse=True)
        return tuple(row for row in weigh[:count] if row.keys.value > 0)


@dataclass(frozen=True, slots=True)
class Survey:
    """A census of every database of a server, and what else its memory holds.

    ``databases`` has each census with the number of its database, the policy's own first. ``info`` are the fields of
    the INFO reply that was taken with it. ``overhead`` is the memory that no key of the census accounts for, by cause:
    with the data it adds up to ``used_bytes``. ``partial`` says that it was interrupted, or left databases out,
    ``notes`` tell in plain words what is missing and why.
    """

    used_bytes: int
    databases: tuple[tuple[int, Census], ...]
    overhead: Mapping[str, Estimate]
    info: Mapping[str, str]
    seconds: float
    partial: bool = False
    notes: tuple[str, ...] = ()

    @property
    def own(self) -> Census:
        """The census of the policy's own database."""
        return self.databases[0][1]
