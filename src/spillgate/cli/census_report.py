"""A survey with its rows, and the documents made of it: JSON and CSV. Pure."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from spillgate.census.rows import Row, masked, namespace_rows, prefix_rows, shown, tells_a_key
from spillgate.census.survey import data_of
from spillgate.config import Policy
from spillgate.keyspace import Keyspace
from spillgate.model import Estimate, KeySample, Survey

# The numbers of a row, each with the decimals that it is told with.
_NUMBERS: Mapping[str, tuple[Callable[[Row], Estimate | None], int]] = {
    "keys": (lambda row: row.keys, 0),
    "bytes": (lambda row: row.bytes, 0),
    "avg_bytes": (lambda row: row.avg_bytes, 1),
    "no_ttl": (lambda row: row.no_ttl, 0),
    "name_bytes": (lambda row: row.name_bytes, 0),
    "ttl_p10_s": (lambda row: row.ttl_s.p10, 3),
    "ttl_p50_s": (lambda row: row.ttl_s.p50, 3),
    "ttl_p90_s": (lambda row: row.ttl_s.p90, 3),
    "idle_p10_s": (lambda row: row.idle_s.p10, 0),
    "idle_p50_s": (lambda row: row.idle_s.p50, 0),
    "idle_p90_s": (lambda row: row.idle_s.p90, 0),
}
_FORMULA = ("=", "+", "-", "@")  # a cell that begins so is run by spreadsheets


@dataclass(frozen=True, slots=True)
class Report:
    """A survey with its rows, names of keys masked where that was asked for."""

    policy: Policy
    survey: Survey
    namespaces: tuple[Row, ...]
    prefixes: tuple[Row, ...]
    shared: tuple[str, ...] | None
    """What of a key's name may be shown: one of these that it begins with. None: all of it."""

    @classmethod
    def of(cls, policy: Policy, survey: Survey, *, mask: bool) -> "Report":
        """Work out the rows."""
        namespaces = namespace_rows(survey, Keyspace(policy.namespaces).prefixes)
        prefixes = prefix_rows(survey)
        if not mask:
            return cls(policy, survey, namespaces, prefixes, None)
        shared = tuple(row.prefix for row in (*namespaces, *(row for row in prefixes if not tells_a_key(row))))
        told = tuple(_without_name(row, shared) if tells_a_key(row) else row for row in prefixes)
        return cls(policy, survey, namespaces, told, shared)

    @property
    def exact(self) -> bool:
        """Whether every key of every database was visited."""
        return not self.survey.partial and all(census.exact for _, census in self.survey.databases)

    @property
    def sampled_keys(self) -> int:
        """Keys looked at."""
        return sum(census.sampled_keys for _, census in self.survey.databases)

    @property
    def total_keys(self) -> int:
        """Keys there are."""
        return sum(census.total_keys for _, census in self.survey.databases)

    @property
    def data(self) -> Estimate | None:
        """The bytes of all keys; None where not all are known."""
        known = all(census.total_bytes is not None for _, census in self.survey.databases)
        return data_of(self.survey.databases) if known else None

    @property
    def limit_bytes(self) -> int | None:
        """What the server may use, by the policy or by itself."""
        return self.policy.server.limit_bytes or int(self.survey.info.get("maxmemory", 0)) or None

    def name_of(self, key: KeySample) -> str:
        """A key as it may be shown."""
        text = key.name.decode(errors="backslashreplace")
        return text if self.shared is None else masked(text, self.shared)


def _without_name(row: Row, shared: tuple[str, ...]) -> Row:
    name = masked(row.name, shared)
    return replace(row, name=name, prefix=name)


def document(report: Report) -> dict[str, object]:
    """What ``--json`` prints; docs/census.md has its fields."""
    survey = report.survey
    return {
        "exact": report.exact,
        "partial": survey.partial,
        "sampled_keys": report.sampled_keys,
        "total_keys": report.total_keys,
        "seconds": round(survey.seconds, 4),
        "used_memory": survey.used_bytes,
        "limit_bytes": report.limit_bytes,
        "data": None if report.data is None else report.data.ends(),
        "overhead": {cause: round(size.value) for cause, size in survey.overhead.items()},
        "namespaces": [_row(row, report) for row in report.namespaces],
        "prefixes": [_row(row, report) for row in report.prefixes],
        "biggest": [
            {"database": number} | _key(key, report) for number, census in survey.databases for key in census.biggest
        ],
        "notes": list(survey.notes),
    }


def _row(row: Row, report: Report) -> dict[str, object]:
    return {
        "name": row.name,
        "prefix": row.prefix,
        "database": row.database,
        **_numbers(row),
        "ttl": _estimates(row.ttl),
        "types": _estimates(row.types),
        "encodings": _estimates(row.encodings),
        "biggest": _key(row.biggest, report) if row.biggest else None,
    }


def _numbers(row: Row) -> dict[str, dict[str, float | None] | None]:
    found = {name: (value(row), digits) for name, (value, digits) in _NUMBERS.items()}
    return {name: None if estimate is None else estimate.ends(digits) for name, (estimate, digits) in found.items()}


def _key(key: KeySample, report: Report) -> dict[str, object]:
    return {
        "key": report.name_of(key),
        "bytes": key.size_bytes,
        "type": key.type,
        "encoding": key.encoding,
        "ttl_s": None if key.ttl_ms is None else key.ttl_ms / 1000,
        "idle_s": key.idle_s,
    }


def _estimates(found: Mapping[str, Estimate]) -> dict[str, object]:
    return {word: estimate.ends() for word, estimate in found.items()}


def table(report: Report) -> str:
    """What ``--csv`` prints: a line for each namespace and prefix (RFC 4180)."""
    numbers = [f"{name}{end}" for name in _NUMBERS for end in ("", "_low", "_high")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["kind", "database", "name", "prefix", *numbers, "biggest_key", "biggest_bytes"])
    for kind, rows in (("namespace", report.namespaces), ("prefix", report.prefixes)):
        writer.writerows(_line(kind, row, report) for row in rows)
    return out.getvalue()


def _line(kind: str, row: Row, report: Report) -> list[object]:
    numbers = [end for number in _numbers(row).values() for end in (number.values() if number else (None,) * 3)]
    biggest = [_cell(report.name_of(row.biggest)), row.biggest.size_bytes] if row.biggest else [None, None]
    return [kind, row.database, _cell(row.name), _cell(row.prefix), *numbers, *biggest]


def _cell(text: str) -> str:
    """A text that stays one."""
    safe = shown(text)
    return f"'{safe}" if safe.startswith(_FORMULA) else safe
