"""Keys that are too big: strings, collections, and histories that are never cut."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from spillgate.model import Estimate, KeySample
from spillgate.policy.findings import fixes
from spillgate.policy.findings.evidence import Elements, Evidence, Key
from spillgate.policy.findings.finding import Finding, Severity
from spillgate.policy.findings.groups import Group, Kind, owner
from spillgate.policy.findings.numbers import size
from spillgate.units import format_bytes

# A key is big from this share of the data on, or from this size on where that is less, but never below so many times
# the average key: what is usual here is not big.
_BIG_SHARE = 0.005
_BIG_BYTES = 256 * 1024
_TIMES_AVERAGE = 10
# A collection with fewer elements than this is cheap to read and to delete at once.
_MANY_ELEMENTS = 1000
_LONG_HISTORY = 100
_KEPT_SHARE = 0.1
_HISTORY_SHARE = 0.05
# What keeps so many elements of a key, and drops so many more than it.
_CUTS = {
    "list": "LTRIM {key} 0 {last} after each LPUSH, or LTRIM {key} -{keep} -1 after each RPUSH",
    "stream": "XTRIM {key} MAXLEN ~ {keep} after each XADD, where every reader is done with what goes",
    "zset": "ZREMRANGEBYRANK {key} 0 -{beyond} after each ZADD, where the score is the time",
}


@dataclass(frozen=True, slots=True)
class _Big:
    """The big keys of one database that were met, together, and how much of them there is."""

    database: int
    keys: tuple[KeySample, ...]
    held: Estimate


def big_strings(evidence: Evidence) -> Iterator[Finding]:
    """Strings much bigger than the other keys."""
    evidence.need_strings()
    least = evidence.matters_bytes
    for big in _big(evidence, "string"):
        if big.held.value < least:
            continue
        first = big.keys[0]
        bound = format_bytes(min(_BIG_BYTES, first.size_bytes or 0))
        allowed = _allowed(evidence, big)
        yield Finding(
            evidence.graded(big.held),
            f"The biggest holds {format_bytes(first.size_bytes or 0)}, {len(big.keys)} met in all and others like them "
            f"{size(big.held)}. Each is read and written whole.",
            f"keep large values in files or a database and store a link here, split or compress them; "
            f'to refuse them from now on: max_value = "{bound}" in {allowed}',
            wins=big.held,
            database=big.database,
            numbers={"met": len(big.keys), "biggest_bytes": first.size_bytes or 0},
            examples=evidence.examples(big.database, big.keys),
        )


def _allowed(evidence: Evidence, big: _Big) -> str:
    group = owner(evidence.groups, big.database, big.keys[0].name)
    return f'[[namespace]] "{group.name}"' if group and group.namespace else "a [[namespace]] for them"


def big_collections(evidence: Evidence) -> Iterator[Finding]:
    """Hashes, lists, sets, sorted sets and streams with so many elements that one command on them stalls the server."""
    evidence.need_types()
    least, elements = evidence.matters_bytes, evidence.need(evidence.elements, "elements")
    for big in _big(evidence, "hash", "list", "set", "zset", "stream"):
        counted = [
            (elements[big.database, key.name].count, key) for key in big.keys if (big.database, key.name) in elements
        ]
        many = [(number, key) for number, key in counted if number >= _MANY_ELEMENTS]
        if not many or big.held.value < least:
            continue
        most, key = max(many, key=lambda one: one[0])
        name = evidence.shown(big.database, key.name)
        yield Finding(
            max(Severity.LOW, min(Severity.MEDIUM, evidence.graded(big.held))),
            f"The longest has {most:,} elements, {len(many)} met in all have {_MANY_ELEMENTS:,} or more; together such "
            f"collections hold {size(big.held)}. Reading or deleting one whole keeps every other client waiting.",
            f"split them by id or by day ({name}:<part>), read them in pages (HSCAN, SSCAN, ZRANGE … LIMIT); where one "
            "has to go, UNLINK does not keep others waiting",
            database=big.database,
            numbers={"met": len(many), "most_elements": most, "bytes": big.held},
            examples=evidence.examples(big.database, [one for _, one in many]),
        )


def _big(evidence: Evidence, *types: str) -> Iterator[_Big]:
    """The big keys of these types that no queue owns, biggest first."""
    bound = min(_BIG_BYTES, evidence.data_bytes * _BIG_SHARE)
    for database, census in evidence.censuses:
        if not census.total_keys or census.total_bytes is None:
            continue
        least = max(bound, _TIMES_AVERAGE * census.total_bytes.value / census.total_keys)
        keys = tuple(
            key
            for key in census.biggest
            if key.type in types and (key.size_bytes or 0) >= least and not _queued(evidence, database, key)
        )
        if keys:
            met = Estimate.exact(sum(key.size_bytes or 0 for key in keys))
            # Where every key was seen, and the list of the biggest goes on below them, there are no more.
            listed = census.exact and any((key.size_bytes or 0) < least for key in census.biggest)
            yield _Big(database, keys, met if listed else _held(evidence, database, types, least, met))


def _held(evidence: Evidence, database: int, types: tuple[str, ...], least: float, met: Estimate) -> Estimate:
    """What such keys hold by the samples; those that were met are certain."""
    sums = [
        group.total(lambda key: size if key.type in types and (size := key.size_bytes or 0) >= least else 0)
        for group in evidence.groups
        if group.database == database and group.kind is not Kind.QUEUE
    ]
    guess = Estimate.total(part for part in sums if part is not None)
    return Estimate(max(met.value, guess.value), max(met.low, guess.low), max(met.high, guess.high))


def _queued(evidence: Evidence, database: int, key: KeySample) -> bool:
    group = owner(evidence.groups, database, key.name)
    return group is not None and group.kind is Kind.QUEUE


def histories(evidence: Evidence) -> Iterator[Finding]:
    """Full message histories: lists, streams and sorted sets without a TTL that nobody cuts."""
    evidence.need_types()
    evidence.need_ttls()
    elements = evidence.need(evidence.elements, "elements")
    least = max(evidence.matters_bytes, evidence.data_bytes * _HISTORY_SHARE)
    for group in evidence.groups:
        long = {
            key: known
            for key in group.sample
            if _endless(key) and (known := elements.get((group.database, key.name))) and known.count >= _LONG_HISTORY
        }
        if group.kind is Kind.QUEUE or not long:
            continue

        def cut(key: KeySample, group: Group = group, long: Mapping[KeySample, Elements] = long) -> float | None:
            if key in long:
                return (key.size_bytes or 0) * (1 - _KEPT_SHARE)
            return 0 if (group.database, key.name) in elements else None

        wins = group.total_among(_endless, cut, by_size(elements, group.database))
        if wins is not None and wins.value >= least:
            yield _history(evidence, group, long, wins)


def by_size(elements: Mapping[Key, Elements], database: int) -> frozenset[bytes]:
    """The collections that were counted because they are big, and not by chance."""
    return frozenset(name for (number, name), known in elements.items() if number == database and not known.drawn)


def _endless(key: KeySample) -> bool:
    return key.type in _CUTS and key.ttl_ms is None


def _history(evidence: Evidence, group: Group, long: Mapping[KeySample, Elements], wins: Estimate) -> Finding:
    growing = sum(known.later is not None and known.later > known.count for known in long.values())
    uncut = sum(known.ever is not None and known.ever == known.count for known in long.values())
    lengths = [known.count for known in long.values()]
    said = f"; {growing} grew while being watched" if growing else ""
    said += f"; of {uncut} no entry was ever removed" if uncut else ""
    longest = max(long, key=lambda key: long[key].count)
    keep = fixes.round_up(long[longest].count * _KEPT_SHARE)
    name = evidence.shown(group.database, longest.name)
    cut = _CUTS[longest.type or ""].format(key=name, keep=keep, last=keep - 1, beyond=keep + 1)
    return evidence.about(
        group,
        max(Severity.MEDIUM if growing else Severity.LOW, evidence.graded(wins)),
        f"Lists, streams or sorted sets without a TTL: {len(long):,} of {len(group.sample):,} keys sampled, of "
        f"{min(lengths):,} to {max(lengths):,} elements{said}. Keeping the newest tenth of each would free "
        f"{size(wins)}.",
        "what has to stay belongs in a database"
        if group.kind is Kind.KEPT
        else f"if these are histories and no queues, whose elements wait for someone: {cut}; and for the others "
        "likewise. What has to stay belongs in a database",
        wins=wins,
        numbers={"met": len(long), "longest": max(lengths)},
        keys=list(long),
    )
