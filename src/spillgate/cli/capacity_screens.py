"""What people read of a capacity, on a terminal or in a pipe."""

import math
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from spillgate.census.rows import shown
from spillgate.cli.capacity import Told
from spillgate.cli.output import show
from spillgate.cli.screens import columns
from spillgate.drawing import LEVEL_STYLES, bytes_in_words, count_in_words, with_error
from spillgate.errors import mask_url
from spillgate.model import Estimate
from spillgate.policy.capacity import Capacity, Feature, Projection, Risk
from spillgate.policy.pressure import threshold
from spillgate.units import format_bytes, format_duration, format_share

_STYLES = {Risk.LOW: "green", Risk.MEDIUM: "yellow", Risk.HIGH: "bold red"}
_LABEL = 10
_MOST_ROWS = 20


def tell(told: Told) -> None:
    """The whole screen."""
    found = told.capacity
    show(_overview(told))
    for title, table in (
        ("What holds the memory", _features(found)),
        ("What is no data", _overhead(found)),
        ("When a level is reached", _times(told)),
        ("Projections", _projections(found)),
        ("Projections checked by loading them", _verified(told)),
    ):
        if table.rows:
            show("", Text(title, "bold"), table)
    for projection in found.projections:
        show(Text(shown(f"{projection.name}: {_risk(projection)}, {projection.reason}")))
    if found.assumptions:
        show("", Text("Assumptions", "bold"), *(f"  {shown(one)}" for one in found.assumptions))
    for note in dict.fromkeys((*told.survey.notes, *(one.note for one in told.verified))):
        show("", f"note: {shown(note)}")


def _overview(told: Told) -> Text:
    found, info = told.capacity, told.survey.info
    product = "valkey" if "valkey_version" in info else "redis"
    version = info.get("valkey_version") or info.get("redis_version") or "of unknown version"
    limit = found.limit_bytes
    of = f" of {format_bytes(limit)} ({format_share(found.used_bytes / limit)})" if limit else ", no limit known"
    per_day = found.growth_bytes_day
    growth = f"{_signed(per_day)} a day: {found.growth_reason}" if per_day else found.growth_reason
    text = Text(f"{'server':<{_LABEL}}{mask_url(told.policy.server.url)}, {product} {version}\n")
    text.append(
        f"{'memory':<{_LABEL}}{format_bytes(found.used_bytes)}{of}, {info.get('connected_clients', 'unknown')} "
    )
    text.append(f"connections\n{'risk':<{_LABEL}}")
    if found.risk is not None:
        text.append(found.risk, _STYLES[found.risk]).append(": ")
    text.append(f"{found.reason}\n{'growth':<{_LABEL}}{growth}")
    for one in found.doublings:
        where = "" if len(found.doublings) == 1 else f" of database {one.database}"
        text.append(f"\n{'table':<{_LABEL}}the table of keys{where} doubles after {one.keys_left:,.0f} more keys: ")
        text.append(
            f"{format_bytes(one.bytes)} more, and {format_bytes(one.bytes)} of the old one until all have moved"
        )
    return text


def _features(found: Capacity) -> Table:
    headings = ("name", "keys*", "memory*", "an object*", "growth a day*", "more fit*", "below the ceiling*")
    table = columns(*headings)
    shown_first = _heaviest(found)
    for one in shown_first:
        each = "-" if not one.keys.value else bytes_in_words(one.bytes_per_object)
        cells = (count_in_words(one.keys), bytes_in_words(one.bytes), each, _growth(one))
        table.add_row(Text(shown(one.name)), *cells, _fit(one.more_fit), _fit(one.more_fit_ceiling))
    if rest := [one for one in found.features if one not in shown_first]:
        sizes = [one.bytes for one in rest if one.bytes is not None]
        size = Estimate.total(sizes) if len(sizes) == len(rest) else None
        keys = count_in_words(Estimate.total(one.keys for one in rest))
        table.add_row(f"{len(rest):,} more", keys, bytes_in_words(size), "", "", "", "")
    return table


def _heaviest(found: Capacity) -> list[Feature]:
    """The features that hold most, in their order."""
    heavy = sorted(found.features, key=lambda one: (one.bytes or one.keys).value, reverse=True)[:_MOST_ROWS]
    return [one for one in found.features if one in heavy]


def _growth(one: Feature) -> str:
    if one.growth_keys_day is None:
        return "unknown"
    rate = one.growth_keys_day
    sign = "+" if rate.value > 0 else ""
    return f"{sign}{rate.value:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"


def _fit(count: Estimate | None) -> str:
    if count is None:
        return "unknown"
    if not math.isfinite(count.value):
        return "any number"
    return f"{count.value:,.0f}" if count.is_exact else f"{count.value:,.0f} (at least {count.low:,.0f})"


def _overhead(found: Capacity) -> Table:
    table = columns("", "memory*")
    for cause, size in found.overhead.items():
        table.add_row(cause, format_bytes(size))
    return table


def _times(told: Told) -> Table:
    table = columns("level", "from*", "in*", "")
    found = told.capacity
    for level, one in found.time_to.items():
        bound = "unknown"
        if found.limit_bytes is not None:
            bound = format_bytes(threshold(level, told.policy.levels) * found.limit_bytes)
        table.add_row(Text(level.label, LEVEL_STYLES[level]), bound, _time(one), found.time_to_reason[level])
    return table


def _time(one: Estimate | None) -> str:
    if one is None:
        return "-"
    if not one.value:
        return "now"
    words = [format_duration(round(end)) if math.isfinite(end) else "never" for end in (one.value, one.low, one.high)]
    return f"{words[0]} ({words[1]} to {words[2]})"


def _projections(found: Capacity) -> Table:
    """A row for each feature, a column for each projection."""
    table = columns("feature", "now*", *(f"{shown(one.name)}*" for one in found.projections))
    now = {one.name: one for one in found.features}
    kept = {one.name for one in _heaviest(found)} | {
        name for one in found.projections for name in one.by_feature
    } - now.keys()
    rest: list[str] = []
    for name in dict.fromkeys(name for one in found.projections for name in one.by_feature):
        held = now.get(name)
        if name not in kept:
            rest.append(name)
            continue
        count = round(held.keys.value) if held else 0
        cells = [_amount(one.by_feature.get(name), one.scale.get(name, count)) for one in found.projections]
        table.add_row(Text(shown(name)), _amount(held.bytes, count) if held else "-", *cells)
    if rest:
        more = [format_bytes(sum(one.by_feature[name].value for name in rest)) for one in found.projections]
        table.add_row(f"{len(rest):,} more", "", *more)
    rows = ("overhead", "total", "of the limit", "level", "risk", "smallest plan", "table doubling")
    lines = [_now(found), *(list(_foot(one, found)) for one in found.projections)]
    for number, heading in enumerate(rows):
        table.add_row(Text(heading, "bold"), *(line[number] for line in lines))
    return table


def _amount(size: Estimate | None, count: int) -> str:
    return f"{'unknown' if size is None else format_bytes(size.value)} ({count:,})"


def _now(found: Capacity) -> list[str | Text]:
    limit = found.limit_bytes
    share = format_share(found.used_bytes / limit) if limit else "unknown"
    overhead = format_bytes(sum(found.overhead.values()))
    return [overhead, format_bytes(found.used_bytes), share, "", found.risk or "unknown", "", ""]


def _foot(one: Projection, found: Capacity) -> Iterator[str | Text]:
    yield format_bytes(one.overhead_bytes)
    yield with_error(one.bytes, format_bytes)
    yield format_share(one.bytes.value / found.limit_bytes) if found.limit_bytes else "unknown"
    yield "unknown" if one.level is None else Text(one.level.label, LEVEL_STYLES[one.level])
    yield _risk(one)
    yield format_bytes(one.plan_bytes)
    yield f"+{format_bytes(one.doubling_bytes)}"


def _risk(one: Projection) -> Text | str:
    return "unknown" if one.risk is None else Text(one.risk, _STYLES[one.risk])


def _verified(told: Told) -> Table:
    table = columns("projection", "objects*", "predicted*", "measured*", "off by*", "on")
    for one in told.verified:
        sizes = (format_bytes(one.predicted_bytes), format_bytes(one.measured_bytes))
        table.add_row(Text(shown(one.name)), f"{one.objects:,}", *sizes, f"{100 * one.error:+.2f}%", one.on)
    return table


def _signed(number: Estimate) -> str:
    sign = "+" if number.value > 0 else ""
    return f"{sign}{format_bytes(number.value)} ({format_bytes(number.low)} to {format_bytes(number.high)})"
