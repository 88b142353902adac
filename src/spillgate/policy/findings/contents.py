"""What stands in the values: files, what would compress, and values too tiny for a key of their own."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from spillgate.model import Estimate, KeySample
from spillgate.policy.findings import fixes
from spillgate.policy.findings.allocation import string_bytes
from spillgate.policy.findings.evidence import Evidence, Key, Value
from spillgate.policy.findings.finding import Finding, Severity
from spillgate.policy.findings.groups import Group, Kind
from spillgate.policy.findings.numbers import count, size
from spillgate.units import format_bytes, format_share

_TINY_ENCODINGS = frozenset({"embstr", "int"})
# A tiny string in a hash of so many fields, which any server keeps compact: what a listpack adds to name and value.
_ENTRIES = 100
_FIELD_BYTES = 4
_LEAST_TINY_SHARE = 0.5
_USUAL_INT_BYTES = 8
# A trained dictionary has to be handed out and kept: it must save so much more than plain compression.
_DICTIONARY_PAYS = 1.2
_LEAST_SAVED_SHARE = 0.1
# What the envelope of a compressed value costs, and from what length on a dictionary pays.
_ENVELOPE_BYTES = 4
_LEAST_TRAINED_BYTES = 64


def files(evidence: Evidence) -> Iterator[Finding]:
    """Values that are files: images, archives, documents, by their first bytes."""
    evidence.need_strings()
    least, values = evidence.matters_bytes, evidence.need(evidence.values, "values")
    for group, read in _read(evidence, values):
        if group.namespace is not None and group.namespace.binary:
            continue
        kinds = Counter(value.kind for _, value in read if value.kind)
        wins = _total(values, group, lambda key, value: (key.size_bytes or 0) if value.kind else 0)
        if not kinds or wins is None or wins.value < least:
            continue
        found = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
        table = "in the policy file, its [[namespace]]" if group.namespace else "a [[namespace]] for them"
        yield evidence.about(
            group,
            max(Severity.LOW, evidence.graded(wins)),
            f"Of {len(read)} values read {kinds.total()} are files ({found}). Files like these hold {size(wins)}.",
            f"store files outside (object storage, a disk) and their address here; where they are meant: "
            f"binary = true in {table}",
            wins=wins,
            numbers={"read": len(read), "files": kinds.total()},
            keys=[key for key, value in read if value.kind],
        )


def compressible(evidence: Evidence) -> Iterator[Finding]:
    """Values that would be smaller compressed, with or without a dictionary."""
    evidence.need_strings()
    least, values = evidence.matters_bytes, evidence.need(evidence.values, "values")
    allocator = evidence.survey.info.get("mem_allocator", "")

    def plainly(_: KeySample, value: Value) -> float:
        return _saved(value, value.packed, allocator)

    def trained(_: KeySample, value: Value) -> float | None:
        return None if value.with_dictionary is None else _saved(value, value.with_dictionary, allocator)

    for group, read in _read(evidence, values):
        plain, learnt = _total(values, group, plainly), _total(values, group, trained)
        if group.kind is Kind.QUEUE or plain is None or group.usage.bytes is None:
            continue
        pays = learnt is not None and learnt.value >= plain.value * _DICTIONARY_PAYS
        wins = learnt if learnt and pays else plain
        if wins.value >= max(least, group.usage.bytes.value * _LEAST_SAVED_SHARE):
            numbers = {"read": len(read), "plain_bytes": plain} | ({"dictionary_bytes": learnt} if learnt else {})
            yield evidence.about(
                group,
                evidence.graded(wins),
                _shrinking([value for _, value in read], plain, learnt),
                _compressing(evidence, group, [value for _, value in read], dictionary=pays),
                wins=wins,
                numbers=numbers,
                keys=[key for key, _ in read],
            )


def _shrinking(read: Sequence[Value], plain: Estimate, learnt: Estimate | None) -> str:
    average = format_bytes(sum(value.length for value in read) / len(read))
    part = _part((value.packed, value.read) for value in read)
    text = (
        f"{len(read)} values read, {average} on average: zstd (level 3) makes them {part} smaller, {size(plain)} in all"
    )
    if learnt is None:
        return f"{text}."
    part = _part((value.with_dictionary or 0, value.read) for value in read if value.with_dictionary is not None)
    return f"{text}; with a dictionary trained on a quarter of them {part}, {size(learnt)}."


def _part(pairs: Iterable[tuple[int, int]]) -> str:
    """By what share values are smaller; those that would grow stay as they are."""
    packed, raw = map(sum, zip(*((min(packed, raw), raw) for packed, raw in pairs), strict=True))
    return format_share(1 - packed / max(1, raw))


def _compressing(evidence: Evidence, group: Group, read: Sequence[Value], *, dictionary: bool) -> str:
    fix = "compress when writing (zstd, level 3)" + (", with a trained dictionary" if dictionary else "")
    smaller = [value.length for value in read if value.packed + _ENVELOPE_BYTES < value.length]
    over = _LEAST_TRAINED_BYTES if dictionary else min(smaller, default=_LEAST_TRAINED_BYTES)
    lines = [f'compress_over = "{format_bytes(fixes.round_down(over))}"', *["dictionary = true"] * dictionary]
    if group.namespace is not None:
        return f"{fix}; for the cache library {fixes.namespace_line(group.namespace, *lines)}"
    if evidence.nameable(group):
        policy = fixes.policy_lines(group, ttl_s=None, cleanup="never")
        return "\n".join((f"{fix}; for the cache library in the policy file:", policy, *lines))
    return fix


def _saved(value: Value, packed: int, allocator: str) -> float:
    """What a whole value becomes smaller by, where what was read of it stands for the rest; never less than nothing."""
    shrunk = value.length * packed / max(1, value.read) + _ENVELOPE_BYTES
    return max(0.0, string_bytes(value.length, allocator) - string_bytes(shrunk, allocator))


def tiny(evidence: Evidence) -> Iterator[Finding]:
    """Many strings so small that a key costs more than what is in it."""
    evidence.need_strings()
    evidence.need_encodings()
    least = evidence.matters_bytes
    for group in evidence.groups:
        if group.kind is Kind.QUEUE or not group.sample:
            continue
        value = _usual_value(evidence, group)
        wins = group.total(lambda key, group=group, value=value: _packed_away(group, key, value))
        keys = group.number(_is_tiny)
        if wins is None or keys is None or keys.value < _LEAST_TINY_SHARE * group.usage.keys.value:
            continue
        if wins.value < least:
            continue
        timed = any(key.ttl_ms is not None for key in group.sample)
        yield evidence.about(
            group,
            min(Severity.MEDIUM, evidence.graded(wins)),
            f"{count(keys)} keys are tiny strings: the key costs more than the value. As fields of hashes of "
            f"{_ENTRIES} each they would need {size(wins)} less, and the tables of keys would shrink besides.",
            f"HSET <prefix><id / {_ENTRIES}> <id % {_ENTRIES}> <value> instead of SET"
            + ("; a TTL then stands on the whole hash" if timed else ""),
            wins=wins,
            numbers={"keys": keys},
            keys=[key for key in group.sample if _is_tiny(key)],
        )


def _is_tiny(key: KeySample) -> bool:
    return key.type == "string" and key.encoding in _TINY_ENCODINGS


def _usual_value(evidence: Evidence, group: Group) -> float | None:
    """The average length of the values that were read, None where none was."""
    read = [(evidence.values or {}).get((group.database, key.name)) for key in group.sample if _is_tiny(key)]
    lengths = [value.length for value in read if value is not None]
    return sum(lengths) / len(lengths) if lengths else None


def _packed_away(group: Group, key: KeySample, value: float | None) -> float:
    """What a tiny string costs more than a field of a hash would: the rest of its name, its value, a few bytes."""
    if not _is_tiny(key) or key.size_bytes is None:
        return 0
    if value is None:
        value = _USUAL_INT_BYTES if key.encoding == "int" else key.size_bytes / 2
    rest = key.name[len(group.globs[0].literal_prefix if group.globs else b"") :]
    field = len(str(_ENTRIES)) if rest.isdigit() else len(rest)
    return max(0.0, key.size_bytes - field - value - _FIELD_BYTES)


def _is_string(key: KeySample) -> bool:
    return key.type == "string"


def _total(
    values: Mapping[Key, Value], group: Group, weigh: Callable[[KeySample, Value], float | None]
) -> Estimate | None:
    """What ``weigh`` counts of all strings of the group, by those whose values were read."""

    def known(key: KeySample) -> float | None:
        value = values.get((group.database, key.name))
        return None if value is None else weigh(key, value)

    by_size = [name for (database, name), value in values.items() if database == group.database and not value.drawn]
    return group.total_among(_is_string, known, frozenset(by_size))


def _read(evidence: Evidence, values: Mapping[Key, Value]) -> Iterator[tuple[Group, list[tuple[KeySample, Value]]]]:
    """The groups of which values were read, with them."""
    for group in evidence.groups:
        read = [(key, value) for key in group.sample if (value := values.get((group.database, key.name)))]
        if read:
            yield group, read
