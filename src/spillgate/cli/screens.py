"""What people read on a terminal or in a pipe: states, journals and cleanups as lines and tables."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from spillgate.errors import mask_url
from spillgate.governor.journal import Entry
from spillgate.governor.state import State
from spillgate.model import Estimate, Level, Outcome
from spillgate.units import format_bytes, format_duration, format_share
from spillgate.web import views

LEVEL_STYLES = {
    Level.NORMAL: "green",
    Level.WARNING: "yellow",
    Level.PREVENTIVE: "dark_orange",
    Level.EMERGENCY: "red",
    Level.CRITICAL: "bold red",
}


def columns(*headings: str) -> Table:
    """Columns without lines; those marked with a star hold numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading.rstrip("*"), justify="right" if heading.endswith("*") else "left", overflow="fold")
    return table


def overview(state: State) -> Text:
    """Server, level, memory, forecast and keys, a line each."""
    lines = [("server", Text(_server(state)))]
    if state.assessment is not None:
        level = state.assessment.level
        lines.append(("level", Text(level.label, LEVEL_STYLES[level])))
        lines.append(("memory", Text(_memory(state))))
        lines.append(("forecast", Text(_forecast(state))))
    if state.reading is not None and state.reading.held_bytes:
        held = ", ".join(f"{cause} {format_bytes(size)}" for cause, size in state.reading.held_bytes.items())
        lines.append(("not data", Text(held)))
    lines.append(("keys", Text(_keys(state))))
    return Text("\n").join(Text(f"{name:<10}").append_text(value) for name, value in lines)


def _server(state: State) -> str:
    can, reading = state.capabilities, state.reading
    parts = [mask_url(state.policy.server.url)]
    if can is not None:
        parts.append(f"{can.product} {can.version or 'of unknown version'}")
    if reading is not None and reading.eviction_policy:
        parts.append(reading.eviction_policy)
    return ", ".join(parts)


def _memory(state: State) -> str:
    if state.reading is None or state.assessment is None:
        return "unknown"
    limits, used = state.assessment.limits, state.reading.counted_bytes
    left = limits.ceiling_bytes - used
    room = f"{format_bytes(left)} below" if left >= 0 else f"{format_bytes(-left)} above"
    share = format_share(used / limits.limit_bytes)
    ceiling = format_bytes(limits.ceiling_bytes)
    return f"{format_bytes(used)} of {format_bytes(limits.limit_bytes)} ({share}), {room} the ceiling of {ceiling}"


def _forecast(state: State) -> str:
    rate, left = views.fill_bytes_s(state), views.time_to_limit_s(state)
    if rate is None:
        return "unknown: it takes two looks"
    if not rate or left is None:
        return "memory is not growing"
    return f"{format_bytes(rate)}/s coming in, at the limit in {format_duration(left)}"


def _keys(state: State) -> str:
    total = state.reading.keys if state.reading else None
    unregistered = state.census.unregistered_keys if state.census else None
    text = "unknown" if total is None else f"{total:,}"
    if unregistered is not None and unregistered.value:
        text += f", {_number(unregistered)} of them in no namespace and so protected"
    return text


def namespaces(state: State) -> Table | None:
    """Keys and memory by namespace, in the order in which cleanup takes them."""
    if not state.policy.namespaces:
        return None
    table = columns("namespace", "keys*", "memory*", "without TTL*", "cleanup", "priority*", "pattern")
    for row in sorted(views.namespaces(state), key=lambda row: (row.policy.protected, row.policy.priority or 0)):
        ns = row.policy
        size = "unknown" if row.bytes is None else f"{_about(row.bytes)}{format_bytes(row.bytes.value)}"
        priority = "" if ns.priority is None else str(ns.priority)
        cleanup = "never (protected)" if ns.protected else ns.cleanup.value
        table.add_row(
            ns.name, _number(row.keys), size, _number(row.no_ttl), cleanup, priority, Text(", ".join(ns.keys))
        )
    return table


def missing(state: State) -> str | None:
    """What this server or plan does not allow, and what that costs."""
    costs = state.capabilities.missing() if state.capabilities else ()
    return "\n".join(f"not available: {cost}" for cost in costs) or None


def happened(entries: Iterable[Entry]) -> str:
    """What was done and why, one line each."""
    return "\n".join(f"{entry.event.value}: {entry.message}" for entry in entries) or "nothing had to be done"


def steps(outcomes: Sequence[Outcome]) -> Table:
    """The steps of a cleanup, as they ended or, in a dry run, would end."""
    would = "would " if any(outcome.dry_run for outcome in outcomes) else ""
    verbs = ("delete", "shorten", "free") if would else ("deleted", "shortened", "freed")
    table = columns("step", "namespace", *(f"{would}{verb}*" for verb in verbs), "expired*", "ended with")
    for outcome in outcomes:
        table.add_row(
            outcome.action.kind.value,
            ", ".join(outcome.action.names) or "all",
            f"{outcome.deleted:,} keys" if outcome.deleted else "-",
            f"{outcome.retimed:,} TTLs" if outcome.retimed else "-",
            format_bytes(outcome.freed_bytes) if outcome.freed_bytes else "-",
            f"{outcome.expired:,} keys" if outcome.expired else "-",
            f"{outcome.stop.value}: {outcome.error}" if outcome.error else outcome.stop.value,
        )
    return table


def _number(estimate: Estimate | None) -> str:
    return "unknown" if estimate is None else f"{_about(estimate)}{estimate.value:,.0f}"


def _about(estimate: Estimate) -> str:
    return "" if estimate.is_exact else "about "
