"""The server's eviction policy against what the server is used for."""

from collections.abc import Iterator

from spillgate.model import Estimate
from spillgate.policy.findings import fixes
from spillgate.policy.findings.evidence import Evidence
from spillgate.policy.findings.finding import Finding, Severity, Unable
from spillgate.policy.findings.groups import Kind
from spillgate.policy.findings.numbers import size
from spillgate.policy.findings.queues import libraries, owned
from spillgate.units import format_bytes, format_share

_NEVER, _ALL, _VOLATILE = "noeviction", "allkeys-", "volatile-"
_CACHE_SHARE = 0.2
_NEAR, _NEARER = 0.6, 0.88  # of the limit
_ENDLESS_SHARE = 0.5
# A hit ratio says something from so many reads on, and is poor below so much.
_LEAST_READS = 1000
_POOR_HITS = 0.9
_BETTER = {
    "allkeys-lru": ("allkeys-lfu", "keeps what is used often, where LRU keeps what was used last"),
    "volatile-lru": ("volatile-lfu", "keeps what is used often, where LRU keeps what was used last"),
    "allkeys-lfu": ("allkeys-lru", "follows what is used now, where LFU holds on to what was used once"),
    "volatile-lfu": ("volatile-lru", "follows what is used now, where LFU holds on to what was used once"),
    "allkeys-random": ("allkeys-lfu", "evicts what is used least, not anything"),
    "volatile-random": ("volatile-lfu", "evicts what is used least, not anything"),
    "volatile-ttl": ("volatile-lfu", "evicts what is used least, not what ends first"),
}


def queues(evidence: Evidence) -> Iterator[Finding]:
    """Queues on a server that may evict them."""
    policy = evidence.eviction
    if policy == _NEVER:
        return
    evidence.need_types()
    seen = evidence.seen
    found = libraries(seen)
    if not found:
        return
    # One scan through what was seen: a key of a queue that has a TTL is what volatile-* may take.
    queued = owned(seen)
    timed = [key for key in seen if key.ttl_ms is not None and queued.namespace_of(key.name)]
    names = ", ".join(sorted(found))
    if policy.startswith(_ALL):
        severity = Severity.CRITICAL if evidence.number("evicted_keys") else Severity.HIGH
        risk = f"{policy} evicts any key, so jobs are lost without an error"
    elif timed:
        severity, risk = Severity.MEDIUM, f"{policy} evicts keys with a TTL, and some keys of the queue have one"
    else:
        return
    evicted = evidence.number("evicted_keys")
    yield Finding(
        severity,
        f"There are keys of {names}, and {risk}. {evicted:,.0f} keys were evicted since the server started.",
        f"first start spillgate run, with {fixes.presets_line(found)} and the caches in its policy file; when it has "
        f"made room, {fixes.config_set('maxmemory-policy', _NEVER)}: from then on a full server refuses writes instead "
        "of evicting",
        numbers={"evicted_keys": evicted, "libraries": names},
        examples=evidence.examples(evidence.own, [*found.values(), *timed]),
    )


def unevicted(evidence: Evidence) -> Iterator[Finding]:
    """Caches under noeviction that nobody governs."""
    limit = evidence.limit_bytes
    if evidence.eviction != _NEVER or evidence.governed:
        return
    if evidence.governed is None:
        raise Unable(evidence.reasons.get("governed", "whether a governor runs is unknown"))
    if limit is None:
        return  # without a limit nothing is refused; that is a finding of its own
    held = [group.usage.bytes for group in evidence.groups if group.kind is Kind.CACHE and group.usage.bytes]
    cache = Estimate.total(held)
    if cache.value < _CACHE_SHARE * evidence.data_bytes or cache.value < evidence.matters_bytes:
        return
    full = 1 - evidence.headroom_bytes / limit
    severity = Severity.HIGH if full >= _NEARER else Severity.MEDIUM if full >= _NEAR else Severity.LOW
    yield Finding(
        severity,
        f"Caches hold {size(cache)}, under noeviction, and no governor listens: {format_share(full)} of the limit of "
        f"{format_bytes(limit)} are used, and at the limit every write is refused, also of what is no cache.",
        "spillgate run, with the caches in its policy file",
        numbers={"cache_bytes": cache, "used_share": full},
    )


def volatile(evidence: Evidence) -> Iterator[Finding]:
    """A volatile-* policy where much never expires, and so is never evicted."""
    policy = evidence.eviction
    if not policy.startswith(_VOLATILE):
        return
    evidence.need_ttls()
    endless = [group.total(lambda key: (key.size_bytes or 0) if key.ttl_ms is None else 0) for group in evidence.groups]
    held = Estimate.total(part for part in endless if part is not None)
    part = held.value / max(1.0, evidence.data_bytes)
    if part < _ENDLESS_SHARE or held.value < evidence.matters_bytes:
        return
    limit = evidence.limit_bytes
    nothing = part >= 1
    full = held.value / limit if limit else 0.0
    yield Finding(
        Severity.HIGH if full >= _NEAR else Severity.MEDIUM,
        f"{policy} evicts only keys with a TTL, and {format_share(part)} of the data ({size(held)}) have none"
        + (": at the limit there is nothing to evict, and writes are refused." if nothing else "."),
        "give what is a cache a TTL, and keep what has to stay on a server of its own or small enough: spillgate run",
        numbers={"without_ttl_bytes": held, "share": part},
    )


def order(evidence: Evidence) -> Iterator[Finding]:
    """Evictions that cost hits: another order may fit better. A governor steers by the order that there is."""
    policy, evicted = evidence.eviction, evidence.number("evicted_keys")
    hits, misses = evidence.number("keyspace_hits"), evidence.number("keyspace_misses")
    reads = hits + misses
    if evidence.governed or policy not in _BETTER or not evicted or reads < _LEAST_READS or hits >= _POOR_HITS * reads:
        return
    better, why = _BETTER[policy]
    unless = "where no governor runs, " if evidence.governed is None else ""
    yield Finding(
        Severity.LOW,
        f"{evicted:,.0f} keys were evicted under {policy}, and {format_share(hits / reads)} of {reads:,.0f} reads were "
        "hits.",
        f"{unless}try {fixes.config_set('maxmemory-policy', better)}, "
        f"which {why}, and compare the hits; "
        f"{fixes.config_set('maxmemory-samples', 10)} makes either order more exact",
        numbers={"evicted_keys": evicted, "hit_ratio": hits / reads},
    )
