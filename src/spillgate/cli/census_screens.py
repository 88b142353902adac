"""What people read of a census, on a terminal or in a pipe."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from spillgate.census.rows import Row, biggest_keys, kinds, shown, ttl_classes
from spillgate.cli.census_report import Report
from spillgate.cli.output import show
from spillgate.cli.screens import columns
from spillgate.drawing import bytes_in_words, count_in_words, with_error
from spillgate.errors import mask_url
from spillgate.model import Estimate
from spillgate.units import format_bytes, format_duration, format_share

_MOST_BIGGEST = 10
_CLASSES = {"none": "never", "more": "more than 7d"}


def tell(report: Report, top: int) -> None:
    """The whole screen; ``top`` rows of a table at the most."""
    show(_overview(report))
    for title, table in (
        ("What holds the memory", _memory(report)),
        ("Namespaces", _rows(report.namespaces, report, top)),
        ("Keys of no namespace" if report.namespaces else "Prefixes", _rows(report.prefixes, report, top)),
        ("Time to live", _classes(report)),
        ("Types and encodings", _kinds(report)),
        ("Biggest keys seen", _biggest(report)),
    ):
        if table is not None and table.rows:
            show("", Text(title, "bold"), table)
    for note in report.survey.notes:
        show("", f"note: {note}")


def _overview(report: Report) -> Text:
    info, used = report.survey.info, report.survey.used_bytes
    product = "valkey" if "valkey_version" in info else "redis"
    version = info.get("valkey_version") or info.get("redis_version") or "of unknown version"
    limit = report.limit_bytes
    of = f" of {format_bytes(limit)} ({format_share(used / limit)})" if limit else ""
    lines = {
        "server": f"{mask_url(report.policy.server.url)}, {product} {version}",
        "memory": f"{format_bytes(used)}{of}",
        "looked at": _looked(report),
    }
    return Text("\n".join(f"{name:<10}{line}" for name, line in lines.items()))


def _looked(report: Report) -> str:
    took = format_duration(round(report.survey.seconds, 3))
    if report.exact:
        return f"all {report.sampled_keys:,} keys in {took}: exact"
    part = f"{report.sampled_keys:,} of {report.total_keys:,} keys in {took}"
    return f"{part}, so each number has its 95 % interval (±)"


def _memory(report: Report) -> Table:
    """What adds up to the memory used."""
    table = columns("", "memory*", "share*")
    used = report.survey.used_bytes
    parts = {"data": report.data or _sum(report.namespaces + report.prefixes)}
    if report.namespaces:
        parts |= {"  in namespaces": _sum(report.namespaces), "  other keys": _sum(report.prefixes)}
    for what, size in (parts | dict(report.survey.overhead)).items():
        if size is None or size.value or not size.is_exact:
            table.add_row(what, bytes_in_words(size), _share(size, used))
    table.add_row("used_memory", format_bytes(used), "100%")
    return table


def _rows(rows: Sequence[Row], report: Report, top: int) -> Table | None:
    """The rows with most, the rest in one."""
    several = len(report.survey.databases) > 1
    headings = ("name", "keys*", "memory*", "share*", "average*", "without TTL*", "TTL p50*", "idle p50*", "biggest*")
    table = columns(*(("db*",) if several else ()), *headings)
    used = report.survey.used_bytes
    for row in rows[:top]:
        table.add_row(*([str(row.database)] if several else []), *_cells(row, used))
    if rest := rows[top:]:
        keys, size = Estimate.total(row.keys for row in rest), _sum(rest)
        more = [
            f"{len(rest):,} more",
            count_in_words(keys),
            bytes_in_words(size),
            _share(size, used),
            "",
            "",
            "",
            "",
            "",
        ]
        table.add_row(*([""] if several else []), *more)
    return table


def _cells(row: Row, used: int) -> Iterator[Text | str]:
    biggest = row.biggest.size_bytes if row.biggest else None
    yield Text(shown(row.name))
    yield count_in_words(row.keys)
    yield bytes_in_words(row.bytes)
    yield _share(row.bytes, used)
    yield bytes_in_words(row.avg_bytes) if row.keys.value else "-"
    yield count_in_words(row.no_ttl)
    yield _seconds(row.ttl_s.p50)
    yield _seconds(row.idle_s.p50)
    yield format_bytes(biggest) if biggest is not None else "-"


def _classes(report: Report) -> Table:
    found = ttl_classes(report.survey)
    return _spread("expires", {_CLASSES.get(name, f"within {name}"): keys for name, keys in found.items()}, report)


def _kinds(report: Report) -> Table:
    return _spread("type and encoding", kinds(report.survey), report)


def _spread(heading: str, found: Mapping[str, Estimate], report: Report) -> Table:
    table = columns(heading, "keys*", "share*")
    for word, keys in found.items():
        table.add_row(word, count_in_words(keys), _share(keys, report.total_keys))
    return table


def _biggest(report: Report) -> Table:
    several = len(report.survey.databases) > 1
    table = columns(*(("db*",) if several else ()), "key", "memory*", "type", "encoding", "TTL*", "idle*")
    for number, key in biggest_keys(report.survey)[:_MOST_BIGGEST]:
        table.add_row(
            *([str(number)] if several else []),
            Text(shown(report.name_of(key))),
            _unknown_or(key.size_bytes, format_bytes),
            key.type or "unknown",
            key.encoding or "unknown",
            "none" if key.ttl_ms is None else format_duration(key.ttl_ms // 1000),
            _unknown_or(key.idle_s, format_duration),
        )
    return table


def _sum(rows: Iterable[Row]) -> Estimate | None:
    """Their bytes; None where not all are known."""
    sizes = [row.bytes for row in rows]
    known = [size for size in sizes if size is not None]
    return Estimate.total(known) if len(known) == len(sizes) else None


def _seconds(estimate: Estimate | None) -> str:
    return "-" if estimate is None else with_error(estimate, lambda seconds: format_duration(round(seconds)))


def _share(part: Estimate | None, whole: float) -> str:
    """Its error is that of the number beside it."""
    return format_share(part.value / whole) if part is not None and whole else ""


def _unknown_or(number: int | None, write: Callable[[float], str]) -> str:
    return "unknown" if number is None else write(number)
