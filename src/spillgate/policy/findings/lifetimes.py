"""How long keys live: those that never end, those that outlive their use, those that are past their end."""

from collections.abc import Iterator

from spillgate.model import Estimate, KeySample
from spillgate.policy.findings import fixes
from spillgate.policy.findings.evidence import Evidence
from spillgate.policy.findings.finding import Finding, Severity, Unable
from spillgate.policy.findings.groups import Group, Kind
from spillgate.policy.findings.numbers import count, median, scaled, size, times
from spillgate.units import format_duration, format_share

# Half of the keys live this much longer than half of them have been idle; and a key is given so much more than that.
_FAR_LONGER = 10
_SPARE = 4
_LEAST_TTL_S = 60.0
_LONG_TERM_S = 2 * 86_400
_LEAST_STORED_SHARE = 0.05
_LEAST_BACKLOG_SHARE = 0.01
_MOST_EFFORT = 10
_MOST_LISTED = 5
_END = f"what may go gets a TTL where it is written: SET … EX {_LONG_TERM_S}"
_EFFORT = 5


def without_ttl(evidence: Evidence) -> Iterator[Finding]:
    """Cache keys that stay until somebody deletes them; where nobody can tell what is cache, all such keys together."""
    evidence.need_ttls()
    least = evidence.matters_bytes
    unclear: list[tuple[Group, Estimate]] = []
    for group in evidence.groups:
        keys = group.usage.no_ttl
        if group.kind in {Kind.QUEUE, Kind.KEPT} or not keys or not keys.value:
            continue
        held = _endless_bytes(group)
        if held is None or held.value < least:
            continue
        if group.kind is Kind.PLAIN:
            unclear.append((group, held))
            continue
        yield evidence.about(
            group,
            evidence.graded(held),
            f"{count(keys)} of {count(group.usage.keys)} keys have no TTL and hold {size(held)} until deleted.",
            _ttl_fix(evidence, group),
            wins=held,
            numbers={"keys": group.usage.keys, "without_ttl": keys, "without_ttl_bytes": held},
            keys=[key for key in group.sample if key.ttl_ms is None],
        )
    unclear.sort(key=lambda one: -one[1].value)
    for database, _ in evidence.censuses:
        here = [one for one in unclear if one[0].database == database]
        if here:
            yield _unclear(evidence, here)


def _endless_bytes(group: Group) -> Estimate | None:
    if group.usage.no_ttl == group.usage.keys:
        return group.usage.bytes
    return group.total(lambda key: _size(key) if key.ttl_ms is None else 0)


def _unclear(evidence: Evidence, found: list[tuple[Group, Estimate]]) -> Finding:
    """Prefixes that may be a cache, or data that has to stay: only who wrote them knows."""
    held = Estimate.total(part for _, part in found)
    listed = ", ".join(f"{group.name} {size(part)}" for group, part in found[:_MOST_LISTED])
    more = f" and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
    return Finding(
        min(Severity.LOW, evidence.graded(held)),
        f"Keys without a TTL hold {size(held)}: {listed}{more}. Nothing tells whether they are a cache or data that "
        "has to stay.",
        f"what is a cache gets a TTL where it is written: SET … EX {fixes.DEFAULT_TTL_S:.0f}. What has to stay "
        "belongs in a namespace that is never cleaned up, or in a database on disk",
        database=found[0][0].database,
        numbers={"prefixes": len(found), "without_ttl_bytes": held},
    )


def _ttl_fix(evidence: Evidence, group: Group) -> str:
    usual = median(key.ttl_ms / 1000 for key in group.sample if key.ttl_ms is not None)
    namespace = group.namespace
    if namespace is not None:
        ttl_s = namespace.ttl_s or fixes.DEFAULT_TTL_S
        if not namespace.enforce_ttl:
            return f"where these keys may go: {fixes.namespace_line(namespace, 'enforce_ttl = true')}"
        if evidence.governed:
            return f"SET … EX {ttl_s:.0f} when writing; the governor gives each its {format_duration(ttl_s)} meanwhile"
        return f"spillgate run, which gives each its {format_duration(ttl_s)}; or SET … EX {ttl_s:.0f} when writing"
    ttl_s = fixes.round_ttl_s(usual or fixes.DEFAULT_TTL_S)
    written = f"those that may go get a TTL where they are written: SET … EX {ttl_s:.0f}"
    if group.says_cache and evidence.nameable(group):
        lines = fixes.policy_lines(group, ttl_s=ttl_s, cleanup="expired")
        return f"{written}. Where all of them are a cache, in the policy file:\n{lines}"
    return f"{written}. What has to stay belongs under a prefix of its own"


def outlived(evidence: Evidence) -> Iterator[Finding]:
    """TTLs far longer than the keys are used."""
    _need_idle(evidence)
    evidence.need_ttls()
    least = evidence.matters_bytes
    for group in evidence.groups:
        if group.kind is not Kind.CACHE:
            continue
        timed = [(key.ttl_ms / 1000, key.idle_s) for key in group.sample if key.ttl_ms and key.idle_s is not None]
        ttl, idle = median(ttl for ttl, _ in timed), median(idle for _, idle in timed)
        if ttl is None or idle is None:
            continue
        enough = fixes.round_ttl_s(max(_LEAST_TTL_S, _SPARE * idle))
        if ttl < _FAR_LONGER * max(idle, 1) or ttl <= enough:
            continue
        wins = group.total(lambda key, enough=enough: _size(key) if _outlives(key, enough) else 0)
        if wins is not None and wins.value >= least:
            yield _outlived(evidence, group, wins, (ttl, idle, enough))


def _outlives(key: KeySample, enough_s: float) -> bool:
    return key.ttl_ms is not None and key.idle_s is not None and key.idle_s > enough_s


def _outlived(evidence: Evidence, group: Group, wins: Estimate, times_s: tuple[float, float, float]) -> Finding:
    ttl, idle, enough = times_s
    text = (
        f"Half of the keys were used within the last {format_duration(idle)}, yet half have {format_duration(ttl)} or "
        f"more to live. Those idle for over {format_duration(enough)} hold {size(wins)}."
    )
    return evidence.about(
        group,
        evidence.graded(wins),
        text,
        _shorter(group, enough),
        wins=wins,
        numbers={"ttl_p50_s": ttl, "idle_p50_s": idle, "enough_s": enough},
        keys=[key for key in group.sample if _outlives(key, enough)],
    )


def _shorter(group: Group, ttl_s: float) -> str:
    line = f'ttl = "{format_duration(ttl_s)}"'
    if group.namespace is not None:
        return f"where they may end so soon: {fixes.namespace_line(group.namespace, line)}"
    return f"SET … EX {ttl_s:.0f} when writing, where they may end so soon: sessions, say, have to outlive a break"


def stored(evidence: Evidence) -> Iterator[Finding]:
    """Long-term storage: what nobody has read or written for days."""
    _need_idle(evidence)
    least = max(evidence.matters_bytes, evidence.data_bytes * _LEAST_STORED_SHARE)
    for group in evidence.groups:
        forgotten = [key for key in group.sample if (key.idle_s or 0) >= _LONG_TERM_S]
        if group.kind is Kind.QUEUE or not forgotten:
            continue
        wins = group.total(lambda key: _size(key) if (key.idle_s or 0) >= _LONG_TERM_S else 0)
        keys = group.number(lambda key: (key.idle_s or 0) >= _LONG_TERM_S)
        if wins is None or keys is None or wins.value < least:
            continue
        days = format_duration(_LONG_TERM_S)
        fix = (
            _ttl_fix(evidence, group)
            if group.says_cache
            else "move what has to stay to a database on disk"
            if group.kind is Kind.KEPT
            else f"move what has to stay to a database on disk; {_END}"
        )
        yield evidence.about(
            group,
            evidence.graded(wins),
            f"{count(keys)} keys were neither read nor written for {days} or more and hold {size(wins)}.",
            fix,
            wins=wins,
            numbers={"keys": keys, "idle_at_least_s": _LONG_TERM_S},
            keys=forgotten,
        )


def _need_idle(evidence: Evidence) -> None:
    if "lfu" in evidence.survey.info.get("maxmemory_policy", ""):
        raise Unable("under an LFU policy the server keeps no idle times")
    sample = [key for group in evidence.groups for key in group.sample]
    if sample and all(key.idle_s is None for key in sample):
        raise Unable("OBJECT IDLETIME is forbidden, so idle times are unknown")


def backlog(evidence: Evidence) -> Iterator[Finding]:
    """Keys past their TTL that the server has not dropped yet."""
    for database, census in evidence.censuses:
        everything = census.total_keys + (census.expired.value if census.exact else 0)
        if census.expired.value < max(1.0, everything * _LEAST_BACKLOG_SHARE):
            continue
        wins = None
        if census.exact or census.total_bytes is None:
            seen = "The look at every key has let the server drop them, but more will come."
        else:
            average = scaled(census.total_bytes, 1 / max(1, census.total_keys))
            wins = times(census.expired, average)
            seen = f"They hold {size(wins)}."
        part = format_share(census.expired.value / max(1, everything))
        yield Finding(
            max(Severity.LOW, evidence.graded(wins)) if wins else Severity.LOW,
            f"{count(census.expired)} keys ({part}) are past their TTL and were still in memory. {seen}",
            _expire_fix(evidence),
            wins=wins,
            database=database,
            numbers={"expired": census.expired},
        )


def _expire_fix(evidence: Evidence) -> str:
    effort = (evidence.settings or {}).get("active-expire-effort", "1")
    if effort.isdecimal() and int(effort) < _MOST_EFFORT:
        higher = min(_MOST_EFFORT, max(_EFFORT, int(effort) + 3))
        return f"{fixes.config_set('active-expire-effort', higher)}, or run spillgate tick from cron"
    return "run spillgate tick from cron: it visits the keys, which makes the server drop those past their TTL"


def _size(key: KeySample) -> int:
    return key.size_bytes or 0
