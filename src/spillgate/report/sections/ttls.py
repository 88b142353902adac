"""5: TTLs, as they are and as they should be."""

from collections.abc import Iterator

from spillgate.census.rows import Row, shown
from spillgate.config import NamespacePolicy
from spillgate.policy.ttl import Advice, Basis, TtlPlan
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import Block, Cell, Column, Fact, Facts, Points, Section, Table, Tone, code, say, strong
from spillgate.report.sections.shared import Rows, unknown_because
from spillgate.units import format_bytes, format_duration, format_share

_LONGER = 1.05  # a TTL that is this much over the policy's is longer than it
_COLUMNS = (
    Column("namespace", "Namespace"),
    Column("ttl_s", "Now", numeric=True),
    Column("found_s", "Left on the keys", numeric=True),
    Column("recommended_s", "Recommended", numeric=True),
    Column("freed_bytes", "Frees", numeric=True),
    Column("hits_lost", "Hits lost", numeric=True),
    Column("confidence", "Confidence"),
    Column("reason", "Reason"),
)


def section(seen: Gathered, rows: Rows | Missing) -> Section:
    """The TTLs."""
    blocks: list[Block] = []
    plan = seen.plan
    if isinstance(plan, Missing):
        blocks.append(unknown_because(plan.reason))
        lines = [_cells(seen, rows, ns, None) for ns in seen.policy.namespaces]
    else:
        blocks.append(Facts("outlook", tuple(_outlook(plan))))
        lines = [_cells(seen, rows, _policy_of(seen, advice.name), advice) for advice in plan.advices]
    if lines:
        note = say(
            "Left on the keys: half of the keys with a TTL have less than this to live, 90 % less than the number "
            "below it. A TTL that was just written is the policy's, less jitter."
        )
        blocks.append(Table("namespaces", _COLUMNS, tuple(lines), note=note))
    if not isinstance(plan, Missing) and plan.notes:
        blocks.append(Points("notes", tuple(say(shown(note)) for note in plan.notes)))
    return Section("ttls", "TTLs, old and recommended", tuple(blocks))


def _policy_of(seen: Gathered, name: str) -> NamespacePolicy | str:
    return next((ns for ns in seen.policy.namespaces if ns.name == name), name)


def _outlook(plan: TtlPlan) -> Iterator[Fact]:
    fits = plan.fits
    if fits is None:
        yield Fact("fits", "With what is recommended", wording.unknown("without a limit, or without sizes"))
    else:
        words = "keeps the target" if fits else "exceeds the target: more memory, or fewer objects, is what helps"
        yield Fact("fits", "With what is recommended", Cell(say(words), fits, Tone.GOOD if fits else Tone.WATCH))
    target = wording.size(plan.target_bytes, "no limit is known")
    yield Fact("target_bytes", "Target for this data", target)
    now = wording.share(plan.hit_ratio, "no reads were recorded")
    then = wording.share(plan.hit_ratio_then, "no reads were recorded")
    yield Fact("hit_ratio", "Hit ratio, weighted", now)
    if plan.hit_ratio != plan.hit_ratio_then:
        yield Fact("hit_ratio_then", "Hit ratio with what is recommended", then)


def _cells(
    seen: Gathered, rows: Rows | Missing, subject: NamespacePolicy | str, advice: Advice | None
) -> tuple[Cell, ...]:
    name = subject if isinstance(subject, str) else subject.name
    # Masked names may be of several prefixes, which cannot be told apart then.
    found = () if isinstance(rows, Missing) else tuple(one for one in rows.all if one.name == name)
    row = found[0] if len(found) == 1 else None
    return (
        Cell(say(code(shown(name))), name),
        _now(seen, subject),
        _found(subject, row),
        _recommended(advice),
        wording.size(advice.freed_bytes if advice else None) if _changes(advice) else wording.nothing(),
        _lost(advice) if _changes(advice) else wording.nothing(),
        _confidence(advice),
        Cell(say(shown(advice.reason) if advice else "not reckoned"), advice.reason if advice else None),
    )


def _now(seen: Gathered, subject: NamespacePolicy | str) -> Cell:
    if isinstance(subject, str):
        return wording.unknown("in no namespace")
    if subject.ttl_s is None:
        return Cell(say("none"), None, Tone.MUTED, "protected without one")
    adjusted = seen.in_force.get(subject.name)
    if adjusted is not None and adjusted.ttl_s != subject.ttl_s:
        note = f"adjusted by the governor; the file has {format_duration(subject.ttl_s)}"
        return Cell(say(format_duration(adjusted.ttl_s)), adjusted.ttl_s, note=note)
    return Cell(say(format_duration(subject.ttl_s)), subject.ttl_s)


def _found(subject: NamespacePolicy | str, row: Row | None) -> Cell:
    """What the keys themselves have left, against the policy."""
    if row is None:
        return wording.unknown("the keys are not known")
    if not row.keys.value:
        return wording.nothing("no keys")
    if row.no_ttl is None:
        return wording.unknown("PTTL is forbidden")
    if row.ttl_s.p50 is None or row.ttl_s.p90 is None:
        return Cell(say("no TTL"), None, Tone.WATCH, "none of the keys has one")
    ttl_s = None if isinstance(subject, str) else subject.max_ttl_s
    longer = ttl_s is not None and row.ttl_s.p90.low > _LONGER * ttl_s
    half, most = row.ttl_s.p50, row.ttl_s.p90
    note = f"90 %: {format_duration(round(most.value))}"
    if longer:
        note += "; longer than the policy allows"
    if row.no_ttl.value >= 1:
        note += f"; {wording.between(row.no_ttl, lambda number: f'{number:,.0f}')} without"
    value = {"p50": half.ends(1), "p90": most.ends(1), "without": row.no_ttl.ends()}
    tone = Tone.WATCH if longer or row.no_ttl.low >= 1 else Tone.PLAIN
    return Cell(wording.seconds(half).words, value, tone, note)


def _changes(advice: Advice | None) -> bool:
    return advice is not None and advice.recommended_s is not None and advice.recommended_s != advice.ttl_s


def _recommended(advice: Advice | None) -> Cell:
    if advice is None:
        return wording.unknown()
    if advice.recommended_s is None:
        return Cell(say("none"), None, Tone.MUTED)
    words = format_duration(advice.recommended_s)
    if not _changes(advice):
        return Cell(say(words), advice.recommended_s, note="as it is")
    return Cell(say(strong(words)), advice.recommended_s, Tone.WATCH)


def _lost(advice: Advice | None) -> Cell:
    lost = advice.hits_lost if advice else None
    if lost is None:
        return wording.unknown("no reads were recorded")
    return Cell(say(wording.between(lost, format_share)), lost.ends(4))


def _confidence(advice: Advice | None) -> Cell:
    if advice is None:
        return wording.unknown()
    basis = {Basis.RECORDER: "reads recorded", Basis.SERVER: "ages and idle times: a bound", Basis.NONE: "no basis"}
    held = f"; holds {format_bytes(advice.bytes.value)}" if advice.bytes and advice.basis is Basis.RECORDER else ""
    return Cell(say(advice.confidence.value), advice.confidence.value, note=f"{basis[advice.basis]}{held}")
