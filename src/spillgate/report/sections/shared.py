"""What several sections say alike."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from spillgate.census.rows import Row, namespace_rows, prefix_rows, shown
from spillgate.keyspace import Keyspace
from spillgate.model import Estimate, Level, Survey
from spillgate.policy.pressure import threshold
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.masking import renaming
from spillgate.report.model import Mark, Paragraph, Tone, say

LEVEL_TONES = {
    Level.NORMAL: Tone.GOOD,
    Level.WARNING: Tone.WATCH,
    Level.PREVENTIVE: Tone.BAD,
    Level.EMERGENCY: Tone.BAD,
    Level.CRITICAL: Tone.BAD,
}
NO_LIMIT = "no limit is known: the server has no maxmemory, and none was given with --limit"


def unknown_because(reason: str) -> Paragraph:
    """That a section, or a part of one, could not be made."""
    return Paragraph(say(f"Unknown, because {shown(reason).rstrip('.')}."), Tone.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of the census: namespaces of the policy, and what was found beside them. No single key is named."""

    namespaces: tuple[Row, ...]
    prefixes: tuple[Row, ...]
    several: bool

    @classmethod
    def of(cls, seen: Gathered) -> "Rows | Missing":
        """Of what was gathered."""
        if isinstance(seen.examination, Missing):
            return seen.examination
        survey = seen.examination.evidence.survey
        namespaces = namespace_rows(survey, Keyspace(seen.policy.namespaces).prefixes)
        prefixes = prefix_rows(survey)
        if not seen.request.examples:
            rename = renaming(seen.policy, survey)
            prefixes = tuple(replace(row, name=rename(row.name)) for row in prefixes)
        return cls(namespaces, prefixes, len(survey.databases) > 1)

    @property
    def all(self) -> tuple[Row, ...]:
        """Both, most bytes first."""
        return tuple(sorted((*self.namespaces, *self.prefixes), key=lambda row: -(row.bytes or row.keys).value))

    def label(self, row: Row) -> str:
        """Its name, with its database where there are several."""
        return f"{shown(row.name)}{f' (db{row.database})' if self.several else ''}"

    def named(self, name: str) -> Row | None:
        """The row of a namespace of the policy."""
        return next((row for row in self.namespaces if row.name == name), None)


def total(parts: Iterable[Estimate | None]) -> Estimate | None:
    """The sum; None where a part is unknown."""
    listed = list(parts)
    known = [part for part in listed if part is not None]
    return Estimate.total(known) if len(known) == len(listed) else None


def exact(survey: Survey) -> bool:
    """Whether every key of every database was looked at."""
    return not survey.partial and all(census.exact for _, census in survey.databases)


def marks(seen: Gathered) -> Iterator[Mark]:
    """Where levels begin, the ceiling and the limit, lowest first."""
    assessment = seen.assessment
    if assessment is None:
        return
    limits = assessment.limits
    levels = seen.policy.levels
    found = [
        Mark(level.label, threshold(level, levels) * limits.limit_bytes, level.label) for level in list(Level)[1:4]
    ]
    critical = threshold(Level.CRITICAL, levels) * limits.limit_bytes
    if critical < limits.limit_bytes:
        found.append(Mark(Level.CRITICAL.label, critical, Level.CRITICAL.label))
    found += [Mark("ceiling", limits.ceiling_bytes, "ceiling"), Mark("limit", limits.limit_bytes, "limit")]
    yield from sorted(found, key=lambda mark: mark.bytes)
