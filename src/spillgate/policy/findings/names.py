"""How keys are named: what the names themselves hold, and keys whose names put them nowhere."""

import re
from collections import Counter
from collections.abc import Iterator

from spillgate.keyspace import OWN_PREFIX
from spillgate.keyspace.prefixes import SEPARATORS, STAR, shape
from spillgate.model import Estimate, KeySample
from spillgate.policy.findings import fixes
from spillgate.policy.findings.allocation import string_bytes
from spillgate.policy.findings.evidence import Evidence, quoted
from spillgate.policy.findings.finding import Finding, Severity, Unable
from spillgate.policy.findings.groups import Group, Kind
from spillgate.policy.findings.numbers import count, scaled, size
from spillgate.policy.findings.queues import libraries, owned
from spillgate.units import format_share

# Names are long where they hold so much of a group's memory, and begin with so much that all of them share.
_LONG_SHARE = 0.2
_LONG_PREFIX = 12
# What a prefix can be shortened to.
_SHORT_PREFIX = 4
_LEAST_UNNAMED_SHARE = 0.02
_MOST_LISTED = 3
# A first word that so few keys share, where no prefix was found, is an id.
_RARE_SHARE = 0.02
_OWN = OWN_PREFIX.encode()
_SEPARATOR = re.compile(b"[%b]" % re.escape(SEPARATORS))


def long_names(evidence: Evidence) -> Iterator[Finding]:
    """Key names that hold a large share of the memory and could be shorter."""
    least = evidence.matters_bytes
    for group in evidence.groups:
        names, held = group.usage.name_bytes, group.usage.bytes
        prefix = _common([key.name for key in group.sample])
        if not names or not held or not held.value or len(group.sample) <= 1 or len(prefix) < _LONG_PREFIX:
            continue
        part = names.value / held.value
        wins = scaled(group.usage.keys, _saved_bytes(evidence, group, len(prefix) - _SHORT_PREFIX))
        if group.kind is Kind.QUEUE or part < _LONG_SHARE or wins.value < least:
            continue
        shown = quoted(group.literal) if evidence.masked else quoted(prefix)
        yield evidence.about(
            group,
            min(Severity.MEDIUM, evidence.graded(wins)),
            f"The names hold {size(names)}, {format_share(part)} of what these keys hold. All begin with the same "
            f"{len(prefix)} bytes; with {_SHORT_PREFIX} instead they would need {size(wins)} less.",
            f"shorten the prefix in the application: instead of {shown} some {_SHORT_PREFIX} bytes that no other key "
            "begins with. RENAMENX moves what is there, TTL and all, and overwrites nothing",
            wins=wins,
            numbers={"name_bytes": names, "share": part, "prefix_bytes": len(prefix)},
            keys=group.sample,
        )


def _saved_bytes(evidence: Evidence, group: Group, shorter: int) -> float:
    """What an average name of the sample takes less of the memory when it is so much shorter."""
    allocator = evidence.survey.info.get("mem_allocator", "")
    lengths = [len(key.name) for key in group.sample]
    saved = (string_bytes(one, allocator) - string_bytes(one - shorter, allocator) for one in lengths)
    return sum(saved) / len(lengths)


def _common(names: list[bytes]) -> bytes:
    """What all of these begin with."""
    first, last = min(names, default=b""), max(names, default=b"")
    return first[
        : next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    ]


def outside(evidence: Evidence) -> Iterator[Finding]:
    """Keys that match no namespace of the policy."""
    if not evidence.policy.namespaces:
        raise Unable("the policy has no namespace, so there is nothing that keys could be outside of")
    census = evidence.survey.own
    if not census.unregistered_keys.value:
        return
    groups = [group for group in evidence.groups if group.namespace is None and group.database == evidence.own]
    held = [group.usage.bytes for group in groups if group.usage.bytes]
    strange = [group for group in groups if group.kind is not Kind.QUEUE and not group.literal.startswith(_OWN)]
    named = [group for group in strange if evidence.nameable(group)][:_MOST_LISTED]
    total = Estimate.total(held) if held else None
    seen = [*evidence.known, *(key for group in groups for key in group.sample)]
    presets = libraries(seen)
    if ours := next((key for key in seen if key.name.startswith(_OWN)), None):
        presets["spillgate"] = ours
    part = census.unregistered_keys.value / max(1, census.total_keys)
    lines = [fixes.presets_line(presets)] if presets else []
    lines += [fixes.policy_lines(group, ttl_s=None, cleanup="never") for group in named]
    yield Finding(
        Severity.LOW if part < 1 / 2 else Severity.MEDIUM,
        f"{count(census.unregistered_keys)} keys ({format_share(part)}) match no namespace"
        + (f" and hold {size(total)}" if total else "")
        + ". They are protected: no cleanup touches them, and nobody gives them a TTL.",
        "name them in the policy file, with cleanup and ttl where they may go"
        + (":\n" + "\n\n".join(lines) if lines else ", under prefixes that a glob can name apart from others"),
        database=evidence.own,
        numbers={"keys": census.unregistered_keys} | ({"bytes": total} if total else {}),
        examples=evidence.examples(evidence.own, [key for group in groups for key in group.sample]),
    )


def unnamespaced(evidence: Evidence) -> Iterator[Finding]:
    """Keys whose names say nothing of what they are: no separator, or an id where the first word should be."""
    queues = owned(evidence.seen)
    for database, census in evidence.censuses:
        found: list[KeySample] = []
        parts: list[Estimate] = []
        for group in evidence.groups:
            if group.database == database and group.namespace is None:
                nameless = [key for key in _nameless(group) if not queues.namespace_of(key.name)]
                names = {key.name for key in nameless}
                number = group.number(lambda key, names=names: key.name in names)
                found += nameless
                parts += [number] if number else []
        keys = Estimate.total(parts)
        if keys.value <= 1 or keys.value < _LEAST_UNNAMED_SHARE * census.total_keys:
            continue
        yield Finding(
            Severity.LOW,
            f"{count(keys)} keys ({format_share(keys.value / max(1, census.total_keys))}) have names that do not say "
            "what they are: no separator, or an id where the first word should be. No pattern can name them without "
            "naming others, so no cleanup, budget or ACL can be set for them.",
            "write them under a prefix, such as app:<kind>:<id>",
            database=database,
            numbers={"keys": keys},
            examples=evidence.examples(database, found),
        )


def _nameless(group: Group) -> list[KeySample]:
    """Those by whose names alone nobody can tell, wherever the tree of prefixes has put them."""
    firsts = [_SEPARATOR.split(key.name, maxsplit=1) for key in group.sample]
    counts = Counter(first for first, *_ in firsts)
    rare = max(1.0, _RARE_SHARE * len(firsts)) if group.usage.name.startswith("*") else 0.0
    return [
        key
        for key, (first, *rest) in zip(group.sample, firsts, strict=True)
        if not rest or shape(first) == STAR or counts[first] <= rare
    ]
