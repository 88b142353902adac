"""3: what happens at each level, here, and what no level touches."""

from collections.abc import Iterable, Iterator

from spillgate.config import Cleanup, NamespacePolicy
from spillgate.model import Estimate, Level
from spillgate.policy.pressure import threshold
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Paragraph,
    Section,
    Table,
    Tone,
    Words,
    code,
    listed,
    say,
)
from spillgate.report.sections.shared import LEVEL_TONES, NO_LIMIT, Rows, total, unknown_because
from spillgate.units import format_bytes, format_duration, format_share

_HEAVIEST = 3
_COLUMNS = (
    Column("level", "Level"),
    Column("bytes", "Begins at", numeric=True),
    Column("share", "Of the limit", numeric=True),
    Column("left_bytes", "Left until then", numeric=True),
    Column("does", "What the governor does"),
)


def section(seen: Gathered, rows: Rows | Missing) -> Section:
    """The protection in force."""
    blocks: list[Block] = [_presence(seen)]
    if seen.assessment is None:
        blocks.append(unknown_because(NO_LIMIT))
    blocks.append(Table("levels", _COLUMNS, tuple(_level_rows(seen, rows)), note=_falls(seen)))
    blocks.append(Facts("protected", tuple(_protected(seen, rows)), "What no level touches"))
    return Section("protection", "Protection in force", tuple(blocks))


def _presence(seen: Gathered) -> Block:
    governed = None if isinstance(seen.examination, Missing) else seen.examination.evidence.governed
    if governed is None:
        return Paragraph(say("Whether a governor runs is unknown; this is what it does where one does."), Tone.UNKNOWN)
    if governed:
        return Paragraph(say("A governor is present. This is what it does, with the policy of this report."), Tone.GOOD)
    return Paragraph(
        say(
            "No governor is present: nothing of this happens until one runs. ",
            code(seen.request.deployment.command("run")),
        ),
        Tone.BAD if seen.assessment is None or seen.assessment.level > Level.NORMAL else Tone.WATCH,
    )


def _level_rows(seen: Gathered, rows: Rows | Missing) -> Iterator[tuple[Cell, ...]]:
    now = seen.assessment.level if seen.assessment else None
    for level in Level:
        part = threshold(level, seen.policy.levels)
        here = level is now
        tone = LEVEL_TONES[level] if here else Tone.PLAIN
        yield (
            Cell(say(level.label), level.label, tone, "here it is now" if here else ""),
            _bound(seen, part),
            wording.share(part),
            _left(seen, part) if level is not Level.NORMAL else wording.nothing(),
            Cell(tuple(_deeds(seen, rows, level))),
        )


def _bound(seen: Gathered, part: float) -> Cell:
    if seen.assessment is None:
        return wording.unknown()
    return wording.size(part * seen.assessment.limits.limit_bytes)


def _left(seen: Gathered, part: float) -> Cell:
    if seen.assessment is None:
        return wording.unknown()
    left = round(part * seen.assessment.limits.limit_bytes) - seen.reading.counted_bytes
    if left <= 0:
        return Cell(say("reached"), left, Tone.MUTED)
    return wording.size(left)


def _deeds(seen: Gathered, rows: Rows | Missing, level: Level) -> Words:
    deeds = {
        Level.NORMAL: _normal,
        Level.WARNING: _warning,
        Level.PREVENTIVE: _preventive,
        Level.EMERGENCY: _emergency,
        Level.CRITICAL: _critical,
    }
    return deeds[level](seen, rows)


def _normal(seen: Gathered, _: Rows | Missing) -> Words:
    names = [ns for ns in seen.policy.namespaces if ns.enforce_ttl and ns.ttl_s]
    if not names:
        return say("nothing: no namespace has TTLs that it may set")
    return say("gives keys without a TTL that of their namespace: ", *_names(names))


def _warning(_: Gathered, rows: Rows | Missing) -> Words:
    said = "writes it to the journal with the heaviest namespaces"
    if isinstance(rows, Missing):
        return say(said)
    heaviest = [row for row in rows.namespaces if row.keys.value][:_HEAVIEST]
    if not heaviest:
        return say(said)
    return (*say(f"{said}, now "), *listed(code(row.name) for row in heaviest))


def _preventive(seen: Gathered, _: Rows | Missing) -> Words:
    capped = [ns for ns in seen.policy.namespaces if ns.enforce_ttl and ns.ttl_s and ns.cleanup is not Cleanup.EXPIRED]
    budgets = [ns for ns in seen.policy.namespaces if ns.budget_bytes and not ns.protected]
    said = [*say("drops what has expired")]
    by_use = (seen.reading.eviction_policy or "").endswith(("lru", "lfu"))
    if capped and by_use:
        said += say("; caps no TTL, since this server evicts by use and would count that as one")
    elif capped:
        said += say("; caps TTLs at those of the policy, of ", *_names(capped))
    if budgets:
        named = ", ".join(f"{ns.name} to {format_bytes(ns.budget_bytes or 0)}" for ns in budgets)
        said += say(f"; trims what is over its budget: {named}")
    return tuple(said)


def _emergency(seen: Gathered, _: Rows | Missing) -> Words:
    levels = seen.policy.levels
    down = levels.preventive - levels.release
    target = f" ({format_bytes(down * seen.assessment.limits.limit_bytes)})" if seen.assessment else ""
    order = sorted((ns for ns in seen.policy.namespaces if not ns.protected), key=lambda ns: ns.priority or 0)
    if not order:
        return say("nothing: no namespace may be cleaned up")
    return say(
        f"cleans up by priority until data is down to {format_share(down)}{target}, deeper the faster memory fills: ",
        *_names(order),
    )


def _critical(seen: Gathered, _: Rows | Missing) -> Words:
    ttls = [
        f"{ns.name} to {format_duration(ns.critical_ttl_s)}"
        for ns in seen.policy.namespaces
        if ns.cleanup is Cleanup.SHORTEN and ns.critical_ttl_s
    ]
    shortened = f"; TTLs go down further: {', '.join(ttls)}" if ttls else ""
    return say(f"the same{shortened}; the cache library stops writing what has low priority")


def _names(namespaces: Iterable[NamespacePolicy]) -> Words:
    return listed(code(ns.name) for ns in namespaces)


def _falls(seen: Gathered) -> Words:
    levels = seen.policy.levels
    return say(
        "A level rises at once, also on the forecast. It falls one step at a time, after "
        f"{format_duration(levels.hold_s)} spent {format_share(levels.release)} below its threshold."
    )


def _protected(seen: Gathered, rows: Rows | Missing) -> Iterator[Fact]:
    names = [ns.name for ns in seen.policy.namespaces if ns.protected]
    if names:
        words = listed(code(name) for name in names)
        yield Fact("namespaces", "Protected namespaces", Cell(words, names, note=_held(rows, names)))
    else:
        yield Fact("namespaces", "Protected namespaces", Cell(say("none"), names))
    yield Fact("others", "Keys of no namespace", _others(rows))


def _held(rows: Rows | Missing, names: Iterable[str]) -> str:
    if isinstance(rows, Missing):
        return ""
    found = [row for row in rows.namespaces if row.name in set(names)]
    held = total(row.bytes for row in found)
    keys = Estimate.total(row.keys for row in found)
    size = "an unknown size" if held is None else wording.between(held, format_bytes)
    return f"{wording.between(keys, lambda number: f'{number:,.0f}')} keys, {size}"


def _others(rows: Rows | Missing) -> Cell:
    if isinstance(rows, Missing):
        return wording.unknown(rows.reason)
    if not rows.prefixes:
        return Cell(say("there are none; they would be protected, too"), 0)
    keys, held = Estimate.total(row.keys for row in rows.prefixes), total(row.bytes for row in rows.prefixes)
    said = wording.count(keys)
    size = "an unknown size" if held is None else wording.between(held, format_bytes)
    return Cell((*said.words, *say(f" keys, {size}")), said.value, note="none of them is ever deleted or given a TTL")
