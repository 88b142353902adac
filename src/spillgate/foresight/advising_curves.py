"""From what the cache library's processes recorded to curves: hits, writes and resident memory by TTL.

Hits, keys and bytes of values come from caches simulated beside the real one in a sample of the keys, scaled up by its
rate (scaled-down simulation: Waldspurger, Saemundsson, Ahmad, Park, USENIX ATC 2017; sampling by hash: SHARDS,
Waldspurger, Park, Garthwaite, Ahmad, FAST 2015). What a key takes beside its value comes from a census: the average
size of a key of that namespace, less the average value that was recorded.

How far keys and bytes may be off for the sampling: a sampled key adds the time that it was there. No key was there for
longer than it was recorded, so the variance of the sum is at most that of as many draws as sampled keys were there at
a time (Horvitz and Thompson, Journal of the American Statistical Association 47, 1952), and more where sizes differ.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from spillgate.cache.curve import TTLS_S
from spillgate.cache.curve import Estimate as Recorded
from spillgate.cache.recording import Namespace, Recording
from spillgate.config import NamespacePolicy, Policy
from spillgate.keyspace import Glob
from spillgate.model import Census, Estimate, Survey, Usage
from spillgate.policy.ttl_curve import Curve, Point

_T95 = 2.365  # Student's t, as for the estimates of the recorder
_ROUNDING = 1.0001
_FEW_KEYS = 10
_LEAST_COMPUTES = 20
_LEAST_S = 10.0  # of less time nothing can be told
_ROUND_TRIP_S = 0.0005
# Of a key beside name and value, where no census tells: an entry of the table, an object and the headers of two texts.
_USUAL_BYTES = 64.0
_USUAL_ID_BYTES = 12.0
_LEAST_BESIDE = 16.0
# Two tables with an entry of 8 bytes each, twice as large as they need to be; more is not for so few keys.
_MOST_TABLE_BYTES = 64.0
_MIDDLE_OF_BUCKET = 0.75


def curves_of(recording: Recording, census: Census | Survey, policy: Policy) -> dict[str, Curve]:
    """The curve of each namespace of the policy that was recorded and read, by name, over the TTLs of the recorder.

    ``cold_hit_ratio`` and ``cold_bytes`` of its points are what a replay of the same accesses from an empty cache on
    comes to, the mean over its time; ``hit_ratio`` and ``bytes`` are when it has gone on for a while. TTLs are exact:
    what jitter takes off is for the caller to reckon with (`Subject.lived`).
    """
    own, tables = (census.own, table_bytes(census)) if isinstance(census, Survey) else (census, 0.0)
    recorded = {namespace.name: namespace for namespace in recording.namespaces}
    curves: dict[str, Curve] = {}
    for namespace in policy.namespaces:
        seen = recorded.get(namespace.name)
        watched = seen is not None and seen.covered_s >= _LEAST_S * max(1, seen.processes)
        estimates = seen.curve() if seen is not None and watched else ()
        if seen is not None and estimates:
            beside = _beside(namespace, own.usage(namespace.name), estimates, tables)
            curves[namespace.name] = _curve(seen, estimates, beside)
    return curves


def table_bytes(survey: Survey) -> float:
    """What the server's key tables take for each key; 0 where it does not tell."""
    keys = sum(census.total_keys for _, census in survey.databases)
    tables = survey.overhead.get("key tables")
    return min(_MOST_TABLE_BYTES, tables.value / keys) if tables is not None and keys else 0.0


def _curve(seen: Namespace, estimates: tuple[Recorded, ...], beside: Estimate) -> Curve:
    sharing = max(1.0, seen.sharing)
    recorded_s = seen.covered_s / max(1, seen.processes) / sharing
    told = [one for one in estimates if one.ttl_s * sharing <= TTLS_S[-1] * _ROUNDING] or estimates[:1]
    sampled_reads = max(seen.rate * seen.reads, float(sum(seen.first) + seen.misses[0]))
    first, updates = sum(seen.first) / seen.rate, seen.updates / seen.rate
    if seen.hot is not None:
        first, updates = first + sum(seen.hot.first), updates + seen.hot.updates
    return Curve(
        name=seen.name,
        points=tuple(_point(seen, estimate, recorded_s, beside) for estimate in told),
        reads=seen.reads,
        reads_per_s=seen.reads_per_s,
        recorded_s=recorded_s,
        hit_ratio=seen.hits / seen.reads,
        first=min(1.0, first / seen.reads),
        updated=min(1.0, updates / seen.writes) if seen.writes else 0.0,
        sampled_reads=sampled_reads,
        noise=_T95 * math.sqrt((1 - seen.rate) * sharing),
        compute_s=seen.compute_s / seen.computes if seen.computes >= _LEAST_COMPUTES else None,
    )


def _point(seen: Namespace, estimate: Recorded, recorded_s: float, beside: Estimate) -> Point:
    cold_bytes = estimate.keys * beside.value + estimate.value_bytes
    keys = _steady(estimate.keys, estimate, seen, recorded_s, _off(estimate, seen, 1.0))
    size = _steady(cold_bytes, estimate, seen, recorded_s, _off(estimate, seen, _unevenness(seen.sizes)))
    below = keys.value * (beside.value - beside.low)
    above = keys.value * (beside.high - beside.value) if keys.value else 0.0
    slow_s = estimate.ttl_s * max(1.0, seen.sharing)
    hits = estimate.hit_ratio
    return Point(
        ttl_s=estimate.ttl_s,
        hit_ratio=Estimate(hits, min(estimate.low, hits), max(estimate.high, hits)),
        unknown=estimate.unknown,
        misses=_at(slow_s, seen.misses),
        squares=_at(slow_s, seen.squares),
        writes_per_s=estimate.writes_per_s,
        keys=keys,
        bytes=Estimate(
            size.value,
            max(0.0, size.value - math.hypot(size.value - size.low, below)),
            size.value + math.hypot(size.high - size.value, above),
        ),
        cold_hit_ratio=estimate.cold_hit_ratio,
        cold_bytes=cold_bytes,
    )


def _at(ttl_s: float, amounts: Sequence[int]) -> float:
    """Of any TTL what there is for each of the recorder's, by the logarithm of the TTL."""
    ttl_s = min(max(ttl_s, TTLS_S[0]), TTLS_S[-1])
    after = bisect_left(TTLS_S, ttl_s)
    if TTLS_S[after] == ttl_s:
        return float(amounts[after])
    part = math.log(ttl_s / TTLS_S[after - 1]) / math.log(TTLS_S[after] / TTLS_S[after - 1])
    return amounts[after - 1] + part * (amounts[after] - amounts[after - 1])


def _off(estimate: Recorded, seen: Namespace, unevenness: float) -> float:
    """Half the interval of a sum over sampled keys, as a share of it."""
    sampled = max(1.0, estimate.keys * seen.rate)
    return min(1.0, _T95 * math.sqrt((1 - seen.rate) * unevenness / sampled))


def _steady(mean: float, estimate: Recorded, seen: Namespace, recorded_s: float, off: float) -> Estimate:
    """What is there once it has gone on for a while, from the mean over the time recorded.

    If the cache was empty at the start and each value is read once, the mean lacks half of a TTL's worth of writes; if
    all that is read was there from the start, it lacks nothing. The truth is between, and never more than what is
    written in the time of one TTL (Little's law), where reading does not prolong it.
    """
    part = min(estimate.ttl_s / (2 * recorded_s), 0.5) if recorded_s else 0.5
    most = mean / (1 - part)
    if not seen.sliding and estimate.keys:
        most = max(mean, min(most, mean * estimate.writes_per_s * estimate.ttl_s / estimate.keys))
    value = (mean + most) / 2
    high = most if seen.sliding is False or estimate.ttl_s <= recorded_s else math.inf
    return Estimate(value, max(0.0, mean * (1 - off)), high * (1 + off) if high else 0.0)


def _unevenness(sizes: tuple[int, ...]) -> float:
    """The mean of squared sizes over the square of the mean, by buckets of powers of two."""
    weighed = [(count, _MIDDLE_OF_BUCKET * (1 << bucket)) for bucket, count in enumerate(sizes) if count]
    total = sum(count for count, _ in weighed)
    mean = sum(count * size for count, size in weighed) / total if total else 0.0
    return max(1.0, sum(count * size * size for count, size in weighed) / total / mean / mean) if mean else 1.0


def _beside(
    namespace: NamespacePolicy, usage: Usage | None, estimates: tuple[Recorded, ...], tables: float
) -> Estimate:
    """What a key takes beside its value: name, headers, its entry, its part of the tables."""
    name = Glob(namespace.keys[0]).literal_prefix
    if usage is None or usage.avg_bytes is None or usage.keys.value < _FEW_KEYS:
        usual = len(name) + _USUAL_ID_BYTES + _USUAL_BYTES + tables
        return Estimate(usual, usual / 2, usual * 2)
    value = _value_bytes(namespace, estimates)
    named = usage.name_bytes.value / usage.keys.value if usage.name_bytes is not None else float(len(name))
    average = usage.avg_bytes
    least = named + _LEAST_BESIDE
    beside = average.value - value
    if beside < least:  # the values that are there now are smaller than those that were recorded
        beside = named + _USUAL_BYTES
    low, high = beside - (average.value - average.low), beside + (average.high - average.value)
    return Estimate(beside + tables, max(least, low) + tables, max(beside, high) + tables)


def _value_bytes(namespace: NamespacePolicy, estimates: tuple[Recorded, ...]) -> float:
    """The average value that is there with the TTL of now."""
    ttl_s = namespace.ttl_s or estimates[-1].ttl_s
    near = min(estimates, key=lambda one: abs(math.log(one.ttl_s / ttl_s)))
    return near.value_bytes / near.keys if near.keys else 0.0


def costs_of(curves: Mapping[str, Curve], policy: Policy) -> dict[str, float]:
    """What rebuilding a value costs: its ``weight`` times what computing one was seen to take.

    Where that was not seen, the average of those of which it was, by reads; where it was of none, the weight alone. A
    miss costs a second round trip at the least.
    """
    seen = [(curve.reads_per_s, curve.compute_s) for curve in curves.values() if curve.compute_s is not None]
    reads = math.fsum(weight for weight, _ in seen)
    usual = math.fsum(weight * cost for weight, cost in seen) / reads if reads else 1.0

    def cost(name: str) -> float:
        own = curves[name].compute_s if name in curves else None
        return max(_ROUND_TRIP_S, usual if own is None else own) if seen else 1.0

    return {one.name: one.weight * cost(one.name) for one in policy.namespaces}
