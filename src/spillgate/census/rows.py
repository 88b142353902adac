"""The rows of a survey: what there is to say of each namespace and each prefix. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from spillgate.census.estimate import quantile, shares
from spillgate.errors import MASK
from spillgate.model import Census, Estimate, KeySample, Survey, Usage

TTL_BOUNDS_S = {"1m": 60.0, "10m": 600.0, "1h": 3600.0, "1d": 86_400.0, "7d": 604_800.0}
"""The upper bounds of the classes of TTLs. Beside them there are ``none`` and ``more``."""

_SEVERAL = 4  # keys; what fewer have in common is a part of their names


@dataclass(frozen=True, slots=True)
class Quantiles:
    """The values that 10, 50 and 90 % of the keys are below; None where there are none to tell of."""

    p10: Estimate | None
    p50: Estimate | None
    p90: Estimate | None

    @classmethod
    def of(cls, values: Sequence[float], *, exact: bool) -> "Quantiles":
        """``exact`` where the values are all there are."""
        return cls(*(quantile(values, share, exact=exact) for share in (0.1, 0.5, 0.9)))


@dataclass(frozen=True, slots=True)
class Row:
    """One namespace or prefix of one database. ``prefix`` is the literal part of its pattern.

    ``ttl`` are keys by how long they have to live, in the classes of `TTL_BOUNDS_S`; ``types`` and ``encodings`` are
    keys, too. What is not known is None, or missing there. ``biggest`` is the biggest key that was met.
    """

    name: str
    prefix: str
    database: int
    keys: Estimate
    bytes: Estimate | None
    avg_bytes: Estimate | None
    no_ttl: Estimate | None
    name_bytes: Estimate | None
    ttl_s: Quantiles
    idle_s: Quantiles
    ttl: Mapping[str, Estimate]
    types: Mapping[str, Estimate]
    encodings: Mapping[str, Estimate]
    biggest: KeySample | None


def namespace_rows(survey: Survey, prefixes: Mapping[str, str]) -> tuple[Row, ...]:
    """The namespaces of the policy, most bytes first; ``prefixes`` has what stands before their wildcards."""
    number, census = survey.databases[0]
    rows = (_row(usage, prefixes[usage.name], number, census) for usage in census.namespaces)
    return tuple(sorted(rows, key=_weight, reverse=True))


def prefix_rows(survey: Survey) -> tuple[Row, ...]:
    """What was found outside of the namespaces, in all databases, most bytes first."""
    rows = (
        _row(usage, usage.name.partition("*")[0], number, census)
        for number, census in survey.databases
        for usage in census.prefixes
    )
    return tuple(sorted(rows, key=_weight, reverse=True))


def ttl_classes(survey: Survey) -> dict[str, Estimate]:
    """All keys by how long they have to live."""
    return _over_all(survey, _ttl_classes)


def kinds(survey: Survey) -> dict[str, Estimate]:
    """All keys by type and encoding, as ``hash listpack``, most first."""
    found = _over_all(survey, lambda usage, census: _spread(usage, census, _kind))
    return dict(sorted(found.items(), key=lambda item: item[1].value, reverse=True))


def biggest_keys(survey: Survey) -> list[tuple[int, KeySample]]:
    """The biggest keys that were met, each with its database, biggest first."""
    met = [(number, key) for number, census in survey.databases for key in census.biggest]
    return sorted(met, key=lambda found: found[1].size_bytes or 0, reverse=True)


def tells_a_key(row: Row) -> bool:
    """Whether the row of a prefix has a key's own name, or a part of one: it need not be what several keys share."""
    return "*" not in row.name or (row.name != "*" and row.keys.low < _SEVERAL)


def masked(name: str, shared: Iterable[str]) -> str:
    """A name without what comes after the longest of the ``shared`` prefixes."""
    return max((prefix for prefix in shared if name.startswith(prefix)), key=len, default="") + MASK


def shown(name: bytes | str) -> str:
    """A name in one line of characters that do nothing to a terminal."""
    text = name.decode(errors="backslashreplace") if isinstance(name, bytes) else name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _weight(row: Row) -> float:
    return (row.bytes or row.keys).value


def _row(usage: Usage, prefix: str, number: int, census: Census) -> Row:
    whole = _is_whole(usage, census)
    ttls = [key.ttl_ms / 1000 for key in usage.sample if key.ttl_ms is not None]
    idle = [float(key.idle_s) for key in usage.sample if key.idle_s is not None]
    return Row(
        usage.name,
        prefix,
        number,
        usage.keys,
        usage.bytes,
        usage.avg_bytes,
        usage.no_ttl,
        usage.name_bytes,
        Quantiles.of(ttls, exact=whole),
        Quantiles.of(idle, exact=whole),
        _ttl_classes(usage, census),
        _spread(usage, census, lambda key: key.type),
        _spread(usage, census, lambda key: key.encoding),
        usage.biggest,
    )


def _is_whole(usage: Usage, census: Census) -> bool:
    """Whether the sample has every key."""
    return census.exact and len(usage.sample) == usage.keys.value


def _ttl_classes(usage: Usage, census: Census) -> dict[str, Estimate]:
    if usage.no_ttl is None:
        return {}
    classes = [_ttl_class(key.ttl_ms / 1000) for key in usage.sample if key.ttl_ms is not None]
    without = usage.no_ttl.value
    timed = Estimate(*(max(0.0, end - without) for end in (usage.keys.value, usage.keys.low, usage.keys.high)))
    found = _scaled(classes, timed, whole=_is_whole(usage, census))
    if timed.value and not found:
        return {}  # none of them was looked at closely
    return {"none": usage.no_ttl} | {name: found[name] for name in (*TTL_BOUNDS_S, "more") if name in found}


def _ttl_class(ttl_s: float) -> str:
    return next((name for name, bound in TTL_BOUNDS_S.items() if ttl_s <= bound), "more")


def _kind(key: KeySample) -> str | None:
    return key.type if key.type == key.encoding else " ".join(word for word in (key.type, key.encoding) if word)


def _spread(usage: Usage, census: Census, word_of: Callable[[KeySample], str | None]) -> dict[str, Estimate]:
    """Keys by a word that each of them has."""
    words = [word for key in usage.sample if (word := word_of(key))]
    return _scaled(words, usage.keys, whole=_is_whole(usage, census))


def _scaled(words: Sequence[str], keys: Estimate, *, whole: bool) -> dict[str, Estimate]:
    return {
        word: Estimate(share.value * keys.value, share.low * keys.low, share.high * keys.high)
        for word, share in shares(words, exact=whole).items()
    }


def _over_all(survey: Survey, spread: Callable[[Usage, Census], Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """Of the keys of each database together, for one database's keys are all as likely to be in its sample."""
    found: dict[str, list[Estimate]] = {}
    for _, census in survey.databases:
        for word, keys in spread(_pooled(census), census).items():
            found.setdefault(word, []).append(keys)
    return {word: Estimate.total(estimates) for word, estimates in found.items()}


def _pooled(census: Census) -> Usage:
    """All keys as if they were of one row; how many there are is known."""
    usages = census.namespaces + census.prefixes
    total, expired = census.total_keys, census.expired
    live = (total,) * 3 if census.exact else (total - expired.value, total - expired.high, total - expired.low)
    keys = Estimate(*(max(0.0, end) for end in live))
    no_ttl = [usage.no_ttl for usage in usages if usage.no_ttl is not None]
    without = Estimate.total(no_ttl)
    capped = Estimate(min(without.value, keys.high), min(without.low, keys.high), min(without.high, keys.high))
    sample = tuple(chain.from_iterable(usage.sample for usage in usages))
    return Usage("", keys, None, capped if len(no_ttl) == len(usages) else None, sample)
