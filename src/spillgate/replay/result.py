"""What came of one run."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from spillgate.replay.contenders import Contender
from spillgate.replay.governing import Governed
from spillgate.units import rounded


@dataclass(frozen=True, slots=True)
class NamespaceResult:
    """One namespace; counts are of requests, ``lost`` of keys, None where its keys may be evicted or cleaned up.

    ``fills`` are values set because a get had missed, ``writes`` sets of the workload itself; ``refused`` counts both.
    ``unfilled`` are misses of values whose size the workload does not tell.
    """

    name: str
    weight: float
    reads: int
    hits: int
    writes: int
    fills: int
    deletes: int
    refused: int
    unfilled: int
    lost: int | None

    @property
    def hit_ratio(self) -> float | None:
        """The share of its reads that found a value; None of none."""
        return self.hits / self.reads if self.reads else None


@dataclass(frozen=True, slots=True)
class Result:
    """One run of a workload on one contender.

    ``seconds`` of wall time stand for ``factor`` times as many. Memory is in bytes: ``baseline_bytes`` before the first
    request, ``mean_bytes`` the mean over time and ``mean_data_bytes`` how much that is above the baseline, all three
    without clients' buffers; ``peak_bytes`` is the server's own, to the byte. A round trip carries a batch of commands;
    lag is how late requests were sent, ``kept_pace`` whether that was little enough not to matter. All are wall times.
    """

    workload: str
    contender: Contender
    label: str
    limit_bytes: int | None
    seconds: float
    factor: float
    requests: int
    namespaces: tuple[NamespaceResult, ...]
    evicted: int
    expired: int
    peak_bytes: int
    mean_bytes: float
    baseline_bytes: int
    mean_data_bytes: float
    round_trips: int
    round_trip_p50_s: float
    round_trip_p99_s: float
    lag_p99_s: float
    lag_max_s: float
    kept_pace: bool
    governor: Governed | None = None
    notes: tuple[str, ...] = ()

    @property
    def reads(self) -> int:
        """Reads of all namespaces."""
        return sum(one.reads for one in self.namespaces)

    @property
    def hit_ratio(self) -> float | None:
        """The share of all reads that found a value; None of none."""
        return sum(one.hits for one in self.namespaces) / self.reads if self.reads else None

    @property
    def weighted_hit_ratio(self) -> float | None:
        """The same with each read counted as often as its namespace's rebuild cost says."""
        wanted = sum(one.weight * one.reads for one in self.namespaces)
        return sum(one.weight * one.hits for one in self.namespaces) / wanted if wanted else None

    @property
    def writes(self) -> int:
        """Sets tried: of the workload, and of values that were missing."""
        return sum(one.writes + one.fills for one in self.namespaces)

    @property
    def refused(self) -> int:
        """Sets refused for want of memory."""
        return sum(one.refused for one in self.namespaces)

    @property
    def lost(self) -> int:
        """Keys that must not be lost, and were."""
        return sum(one.lost or 0 for one in self.namespaces)

    def document(self) -> dict[str, object]:
        """What ``replay --json`` has for each contender; docs/replay.md tells its fields."""
        return {
            "contender": self.label,
            "eviction_policy": self.contender.eviction_policy,
            "governed": self.contender.governed,
            "requests": self.requests,
            "reads": self.reads,
            "hit_ratio": _share(self.hit_ratio),
            "weighted_hit_ratio": _share(self.weighted_hit_ratio),
            "writes": self.writes,
            "writes_refused": self.refused,
            "protected_lost": self.lost,
            "evicted": self.evicted,
            "expired": self.expired,
            "memory": {
                "limit_bytes": self.limit_bytes,
                "peak_bytes": self.peak_bytes,
                "mean_bytes": round(self.mean_bytes),
                "baseline_bytes": self.baseline_bytes,
                "mean_data_bytes": round(self.mean_data_bytes),
            },
            "round_trips": self.round_trips,
            "round_trip_ms": {"p50": _ms(self.round_trip_p50_s), "p99": _ms(self.round_trip_p99_s)},
            "lag_ms": {"p99": _ms(self.lag_p99_s), "max": _ms(self.lag_max_s)},
            "kept_pace": self.kept_pace,
            "seconds": round(self.seconds, 3),
            "factor": rounded(self.factor, 3),
            "namespaces": list(self._rows()),
            "governor": asdict(self.governor) if self.governor else None,
            "notes": list(self.notes),
        }

    def _rows(self) -> Iterator[dict[str, object]]:
        for one in self.namespaces:
            row: dict[str, object] = asdict(one)
            yield row | {"hit_ratio": _share(one.hit_ratio)}


def _share(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
