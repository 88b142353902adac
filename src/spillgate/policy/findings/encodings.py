"""Collections that are just too large for the compact encoding."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from spillgate.model import Estimate, KeySample
from spillgate.policy.findings import fixes
from spillgate.policy.findings.evidence import Elements, Evidence, Key
from spillgate.policy.findings.finding import Finding, Severity
from spillgate.policy.findings.groups import Group, Kind
from spillgate.policy.findings.numbers import size
from spillgate.policy.findings.sizes import by_size

# So many times the limit is still just over it. A longer listpack makes each command on it slower.
_JUST_OVER = 2
# What a listpack adds to each of its entries: a byte before and one behind, two and two from 64 bytes on (listpack.c).
_ENTRY_BYTES, _LONG_ENTRY_BYTES, _SHORT = 2, 4, 64
_HEADER_BYTES = 64  # with the key's own
_SCORE_BYTES = 6
# By type: the encodings that are not compact, entries of a listpack for an element, and the settings of the limits.
# Redis 6.2 says ziplist where later ones say listpack; sets have listpacks from Redis 7.2 on.
_LOOSE = {
    "hash": (("hashtable",), 2, ("hash-max-listpack-entries", "hash-max-ziplist-entries")),
    "set": (("hashtable",), 1, ("set-max-listpack-entries",)),
    "zset": (("skiplist",), 2, ("zset-max-listpack-entries", "zset-max-ziplist-entries")),
}


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit of the server, and what collections just over it would need: entries, or the length of one."""

    setting: str
    allowed: int
    needed: int


def just_over(evidence: Evidence) -> Iterator[Finding]:
    """Hashes, sets and sorted sets just over the limit of the compact encoding."""
    evidence.need_types()
    evidence.need_encodings()
    least, elements = evidence.matters_bytes, evidence.need(evidence.elements, "elements")
    evidence.need(evidence.settings, "settings")
    for group in evidence.groups:
        if group.kind is Kind.QUEUE:
            continue
        over: dict[str, list[tuple[KeySample, _Limit]]] = defaultdict(list)
        for key in group.sample:
            known = elements.get((group.database, key.name))
            if known is not None and (limit := _just_over(evidence, key, known)) is not None:
                over[limit.setting].append((key, limit))
        for setting, keys in over.items():
            wins = _won(group, elements, {key.name for key, _ in keys})
            if wins is not None and wins.value >= least:
                yield _compact(evidence, group, setting, [limit for _, limit in keys], wins, [key for key, _ in keys])


def _just_over(evidence: Evidence, key: KeySample, known: Elements) -> _Limit | None:
    """The one limit that the key is just over, None where it is none, or both."""
    encodings, _, names = _LOOSE.get(key.type or "", ((), 0, ()))
    if key.encoding not in encodings or known.longest is None:
        return None
    settings = evidence.settings or {}
    entries = next((name for name in names if name in settings), None)
    if entries is None:
        return None
    most, longest = int(settings[entries]), int(settings.get(entries.replace("entries", "value"), "64"))
    if known.count <= most and longest < known.longest <= _JUST_OVER * longest:
        return _Limit(entries.replace("entries", "value"), longest, known.longest)
    if most < known.count <= _JUST_OVER * most and known.longest <= longest:
        return _Limit(entries, most, known.count)
    return None


def _won(group: Group, elements: Mapping[Key, Elements], over: Collection[bytes]) -> Estimate | None:
    """What the keys that are just over a limit, and those like them, would need less."""

    def saved(key: KeySample) -> float | None:
        known = elements.get((group.database, key.name))
        if known is None:
            return None
        if key.name not in over or known.content_bytes is None:
            return 0
        return max(0, (key.size_bytes or 0) - _compact_bytes(key, known, known.content_bytes))

    return group.total_among(lambda key: key.type in _LOOSE, saved, by_size(elements, group.database))


def _compact(
    evidence: Evidence, group: Group, setting: str, limits: list[_Limit], wins: Estimate, keys: list[KeySample]
) -> Finding:
    needed, allowed = max(limit.needed for limit in limits), limits[0].allowed
    what = "elements" if "entries" in setting else "bytes in their longest element"
    return evidence.about(
        group,
        min(Severity.MEDIUM, evidence.graded(wins)),
        f"Of the collections looked at {len(limits)} have up to {needed:,} {what}, just over {setting} = {allowed:,}, "
        f"so they are kept as tables. Compact they would need {size(wins)} less.",
        f"{fixes.config_set(setting, fixes.round_up(needed))} (a key becomes compact when it is written anew: DUMP and "
        "RESTORE <key> <what PTTL tells, 0 for none> <dump> REPLACE while nobody writes it), or split them",
        wins=wins,
        numbers={"looked_at": len(limits), "needed": needed, "allowed": allowed},
        keys=keys,
    )


def _compact_bytes(key: KeySample, known: Elements, content_bytes: int) -> int:
    _, entries, _ = _LOOSE[key.type or ""]
    entry = _ENTRY_BYTES if (known.longest or 0) < _SHORT else _LONG_ENTRY_BYTES
    scores = known.count * _SCORE_BYTES if key.type == "zset" else 0
    return content_bytes + scores + known.count * entries * entry + len(key.name) + _HEADER_BYTES
