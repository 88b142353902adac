"""6: what holds the memory, by feature and by cause."""

import math
from collections.abc import Iterable, Iterator

from spillgate.census.overhead import UNEXPLAINED
from spillgate.census.rows import Row, shown
from spillgate.census.survey import data_of
from spillgate.model import Estimate, Survey
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import Bar, Block, Cell, Column, Paragraph, Part, Section, Table, Tank, Words, code, say
from spillgate.report.sections.shared import Rows, exact, marks, total, unknown_because
from spillgate.units import format_bytes, format_share

_MOST_ROWS = 30
_BESIDE = {"*": "keys that no longer prefix fits, and no namespace"}
_LEAST_PART = 0.004  # of the whole; smaller ones are shown together
_FEATURES = (
    Column("name", "Feature"),
    Column("bar", ""),
    Column("bytes", "Memory", numeric=True),
    Column("share", "Share", numeric=True),
    Column("keys", "Keys", numeric=True),
    Column("avg_bytes", "Average", numeric=True),
    Column("no_ttl", "Without TTL", numeric=True),
)
_CAUSES = (Column("cause", "What"), Column("bytes", "Memory", numeric=True), Column("share", "Share", numeric=True))


def section(seen: Gathered, rows: Rows | Missing) -> Section:
    """The memory by feature."""
    title = "Memory by feature"
    if isinstance(rows, Missing) or isinstance(seen.examination, Missing):
        reason = rows.reason if isinstance(rows, Missing) else ""
        return Section("memory", title, (unknown_because(reason),))
    survey = seen.examination.evidence.survey
    blocks: list[Block] = [Paragraph(_looked(survey)), _tank(seen, rows, survey)]
    listed = rows.all[:_MOST_ROWS]
    if listed:
        most = max((_most(row) for row in listed), default=0.0)
        cells = tuple(_feature(row, rows, survey.used_bytes, most) for row in listed)
        blocks.append(Table("features", _FEATURES, cells, "By feature", _rest(rows.all[_MOST_ROWS:])))
    blocks.append(Table("sum", _CAUSES, tuple(_causes(survey, rows)), "All of it, adding up to used_memory"))
    return Section("memory", title, tuple(blocks))


def _looked(survey: Survey) -> Words:
    sampled = sum(census.sampled_keys for _, census in survey.databases)
    keys = sum(census.total_keys for _, census in survey.databases)
    if exact(survey):
        return say(f"All {keys:,} keys were looked at: numbers are exact.")
    return say(f"{sampled:,} of {keys:,} keys were looked at: numbers in brackets are 95 % intervals.")


def _most(row: Row) -> float:
    size = row.bytes or Estimate.exact(0)
    return size.high if math.isfinite(size.high) else size.value


def _feature(row: Row, rows: Rows, used: int, most: float) -> tuple[Cell, ...]:
    size, keys = row.bytes, row.keys.value
    bar = Bar(size.value, size.low, _most(row), most) if size is not None and most else None
    part = None if size is None else size.value / max(1, used)
    label = rows.label(row)
    is_namespace = row in rows.namespaces
    without = row.no_ttl
    share = format_share(without.value / keys) if without is not None and keys else ""
    return (
        Cell(
            say(code(label)),
            row.name if row.name == label else label,
            note="" if is_namespace else _BESIDE.get(row.name, "no namespace"),
        ),
        Cell((), bar=bar),
        wording.size(size, "MEMORY USAGE is forbidden"),
        wording.share(part),
        wording.count(row.keys),
        wording.size(row.avg_bytes, "MEMORY USAGE is forbidden") if keys else wording.nothing(),
        _without(without, share),
    )


def _without(number: Estimate | None, share: str) -> Cell:
    cell = wording.count(number, "PTTL is forbidden")
    return Cell(cell.words, cell.value, cell.tone, share if number is not None and number.value else "")


def _rest(rows: Iterable[Row]) -> Words:
    listed = list(rows)
    if not listed:
        return ()
    held = total(row.bytes for row in listed)
    size = "an unknown size" if held is None else wording.between(held, format_bytes)
    return say(f"And {len(listed):,} more prefixes, with {size} together: spillgate census lists them.")


def _causes(survey: Survey, rows: Rows) -> Iterator[tuple[Cell, ...]]:
    used = survey.used_bytes
    if rows.namespaces:
        yield _cause("data in namespaces", total(row.bytes for row in rows.namespaces), used)
    others = "data of other keys" if rows.namespaces else "data"
    yield _cause(others, total(row.bytes for row in rows.prefixes), used)
    for cause, size in survey.overhead.items():
        if size.value or not size.is_exact:
            yield _cause(cause, size, used, _UNEXPLAINED if cause == UNEXPLAINED else "")
    yield (Cell(say("used_memory"), "used_memory"), wording.size(used), wording.share(1.0))


_UNEXPLAINED = "what allocators round up, and what the server does not tell of"


def _cause(name: str, size: Estimate | None, used: int, note: str = "") -> tuple[Cell, ...]:
    return (
        Cell(say(name), name, note=note),
        wording.size(size, "MEMORY USAGE is forbidden: it is in what is unexplained"),
        wording.share(None if size is None else size.value / max(1, used)),
    )


def _tank(seen: Gathered, rows: Rows, survey: Survey) -> Tank:
    """What fills the memory, side by side: what never goes first, then the last to go, then the first."""
    whole = float(seen.assessment.limits.limit_bytes if seen.assessment else survey.used_bytes)
    whole = max(whole, float(survey.used_bytes))
    data = data_of(survey.databases)
    parts = [Part("the server itself", max(0.0, survey.used_bytes - data.value), stays=True, text="")]
    order = {ns.name: ns.priority for ns in seen.policy.namespaces if not ns.protected}
    stays = [row for row in rows.all if row not in rows.namespaces or row.name not in order]
    goes = [row for row in rows.namespaces if row.name in order]
    goes.sort(key=lambda row: -(order[row.name] or 0))
    parts += [_part(row, rows, stays=True) for row in stays if row.bytes]
    parts += [_part(row, rows, stays=False) for row in goes if row.bytes]
    told = [
        Part(part.label, part.bytes, part.stays, format_bytes(part.bytes))
        for part in _merged(parts, whole)
        if part.bytes
    ]
    of = f" of {format_bytes(whole)}" if seen.assessment else ""
    caption = f"{format_bytes(survey.used_bytes)}{of} in use. "
    caption += "Hatched parts never go; of the others the one next to the free memory goes first."
    return Tank("fill", tuple(told), tuple(marks(seen)), whole, "What fills the memory", caption)


def _part(row: Row, rows: Rows, *, stays: bool) -> Part:
    return Part(shown(rows.label(row)), row.bytes.value if row.bytes else 0.0, stays, "")


def _merged(parts: Iterable[Part], whole: float) -> Iterator[Part]:
    """Those too narrow to be seen in one, in the place of the first of them; what stays and what goes apart."""
    listed = list(parts)
    for stays in (True, False):
        small = [part for part in listed if part.stays is stays and part.bytes < _LEAST_PART * whole]
        yield from (part for part in listed if part.stays is stays and part not in small)
        if small:
            label = small[0].label if len(small) == 1 else f"{len(small)} more"
            yield Part(label, sum(part.bytes for part in small), stays, "")
