"""4: in which order it is cleaned up, and what each step would free now."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from spillgate.census.rows import shown
from spillgate.config import Cleanup, NamespacePolicy
from spillgate.model import Estimate, KeySample, Level
from spillgate.policy.findings import Group
from spillgate.policy.pressure import threshold
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import Block, Cell, Column, Paragraph, Section, Table, Tone, Words, code, say
from spillgate.report.sections.shared import Rows, unknown_because
from spillgate.units import format_bytes, format_duration, format_share

_COLUMNS = (
    Column("priority", "Order", numeric=True),
    Column("namespace", "Namespace"),
    Column("cleanup", "Cleanup"),
    Column("goes", "What goes at emergency"),
    Column("bytes", "Holds now", numeric=True),
    Column("frees_bytes", "Would free now", numeric=True),
    Column("frees_so_far_bytes", "All so far", numeric=True),
)


def section(seen: Gathered, rows: Rows | Missing) -> Section:
    """The cleanup order."""
    title = "Cleanup order"
    if not seen.policy.namespaces:
        words = say("No namespace is registered, so every key is protected and nothing would be cleaned up.")
        return Section("cleanup", title, (Paragraph(words, Tone.WATCH),))
    order = _ordered(seen)
    blocks: list[Block] = []
    if isinstance(rows, Missing):
        blocks.append(unknown_because(rows.reason))
    if order:
        steps = tuple(_steps(seen, rows, order))
        blocks += [Table("steps", _COLUMNS, tuple(_cells(step) for step in steps), note=_note(seen, steps))]
    else:
        blocks.append(Paragraph(say("Every namespace is protected, so nothing would be cleaned up."), Tone.WATCH))
    never = [ns for ns in seen.policy.namespaces if ns.protected]
    if never:
        names = ", ".join(shown(ns.name) for ns in never)
        blocks.append(Paragraph(say(f"Never: {names}, and every key that matches no namespace.")))
    return Section("cleanup", title, tuple(blocks))


def _ordered(seen: Gathered) -> list[NamespacePolicy]:
    return sorted((ns for ns in seen.policy.namespaces if not ns.protected), key=lambda ns: ns.priority or 0)


@dataclass(frozen=True, slots=True)
class _Step:
    """One namespace in its turn; what it would free at the most, None where that is unknown, for the reason."""

    namespace: NamespacePolicy
    keys: Estimate | None
    held: Estimate | None
    frees: Estimate | None
    reason: str
    so_far: Estimate | None


def _steps(seen: Gathered, rows: Rows | Missing, order: list[NamespacePolicy]) -> Iterator[_Step]:
    parts: list[Estimate] = []
    complete = True
    for ns in order:
        row = None if isinstance(rows, Missing) else rows.named(ns.name)
        keys, held = (row.keys, row.bytes) if row else (None, None)
        frees, reason = _frees(seen, ns, held)
        complete = complete and frees is not None
        parts += [frees] if frees is not None else []
        yield _Step(ns, keys, held, frees, reason, Estimate.total(parts) if complete else None)


def _frees(seen: Gathered, ns: NamespacePolicy, held: Estimate | None) -> tuple[Estimate | None, str]:
    if isinstance(seen.examination, Missing):
        return None, seen.examination.reason
    if held is None:
        return None, "MEMORY USAGE is forbidden"
    if ns.cleanup is not Cleanup.EXPIRED:
        return held, ""
    group = next((one for one in seen.examination.evidence.groups if one.namespace == ns), None)
    if group is None:
        return Estimate.exact(0), ""
    return _orphans(seen, ns, group)


def _orphans(seen: Gathered, ns: NamespacePolicy, group: Group) -> tuple[Estimate | None, str]:
    """What keys without a TTL hold that are idle for longer than the namespace's."""
    if group.usage.no_ttl is not None and group.usage.no_ttl.high == 0:
        return Estimate.exact(0), ""
    if not seen.capabilities.idle:
        return None, "idle times are unknown, so orphans are not told from others"
    enough = math.ceil(ns.ttl_s or 0)

    def orphaned(key: KeySample) -> float:
        return key.size_bytes or 0 if key.ttl_ms is None and (key.idle_s or 0) > enough else 0

    return group.total(orphaned), "no key of it was sampled"


def _cells(step: _Step) -> tuple[Cell, ...]:
    ns = step.namespace
    frees = wording.size(step.frees, step.reason)
    if ns.cleanup in {Cleanup.TRIM, Cleanup.SHORTEN} and step.frees is not None and step.frees.value:
        frees = Cell((*say("up to "), *frees.words), frees.value, frees.tone, "as far as the target asks")
    holds = wording.size(step.held, "" if step.keys is None else "MEMORY USAGE is forbidden")
    keys = wording.between(step.keys, lambda number: f"{number:,.0f}") + " keys" if step.keys else ""
    return (
        Cell(say(f"{ns.priority}"), ns.priority),
        Cell(say(code(ns.name)), ns.name),
        Cell(say(code(ns.cleanup.value)), ns.cleanup.value),
        Cell(_goes(ns)),
        Cell(holds.words, holds.value, holds.tone, keys),
        frees,
        wording.size(step.so_far, "a step before it is unknown" if step.frees is not None else ""),
    )


def _goes(ns: NamespacePolicy) -> Words:
    match ns.cleanup:
        case Cleanup.CLEAR:
            return say("its keys, until the target is reached")
        case Cleanup.TRIM:
            return say("the longest idle, else the soonest to expire")
        case Cleanup.EXPIRED:
            return say(f"what is past its TTL, and what has none and is idle for over {format_duration(ns.ttl_s or 0)}")
        case Cleanup.SHORTEN:
            emergency, critical = format_duration(ns.emergency_ttl_s or 0), format_duration(ns.critical_ttl_s or 0)
            return say(f"those nearest their end; TTLs of the others go down to {emergency}, at critical to {critical}")
        case Cleanup.NEVER:
            return say("nothing")


def _note(seen: Gathered, steps: tuple[_Step, ...]) -> Words:
    """What an emergency would have to free, beside what is there to be freed."""
    said = "Expired keys go first, then what is over its budget; a cleanup stops as soon as the target is reached."
    if seen.assessment is None:
        return say(said)
    levels, limit = seen.policy.levels, seen.assessment.limits.limit_bytes
    share = threshold(Level.EMERGENCY, levels) - (levels.preventive - levels.release)
    need = f" An emergency that begins at {format_share(levels.emergency)} frees {format_bytes(share * limit)} to end."
    last = steps[-1].so_far if steps else None
    if last is None:
        return say(said, need)
    enough = "enough" if last.low >= share * limit else "less, so what fills it from now on has to be expendable, too"
    return say(said, need, f" What may go now is {wording.between(last, format_bytes)}: {enough}.")
