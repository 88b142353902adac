"""What people read on a terminal or in a pipe: states, journals and cleanups as lines and tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from spillgate.cli.options import nothing_may_go
from spillgate.config import LevelSettings
from spillgate.drawing import LEVEL_STYLES, bar, bytes_in_words, count_in_words, marks, or_unknown
from spillgate.errors import mask_url
from spillgate.governor.journal import Entry
from spillgate.governor.state import State
from spillgate.model import Level, Outcome, Reading
from spillgate.policy.pressure import threshold
from spillgate.units import format_bytes, format_duration, format_share
from spillgate.web import views

_LABEL = 10
_BAR_WIDTH = 60
_WIDEST = 1000  # to measure without wrapping
# Columns of the namespaces, on ever narrower consoles.
_CHOICES = (
    ("namespace", "keys*", "memory*", "without TTL*", "cleanup", "priority*", "pattern"),
    ("namespace", "keys*", "memory*", "without TTL*", "cleanup", "priority*"),
    ("namespace", "keys*", "memory*", "without TTL*", "cleanup in a word", "priority*"),
    ("namespace", "keys*", "memory*", "cleanup in a word"),
    ("namespace", "memory*"),
)


def columns(*headings: str) -> Table:
    """Columns without lines; those marked with a star hold numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading.rstrip("*"), justify="right" if heading.endswith("*") else "left", overflow="fold")
    return table


class _Gauge:
    """Memory as a bar, and where on it the levels begin: in blocks on a terminal that has them, else in ASCII."""

    def __init__(self, share: float, settings: LevelSettings) -> None:
        self._share = share
        self._settings = settings

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = min(_BAR_WIDTH, max(0, options.max_width - _LABEL))
        plain = options.ascii_only or not console.is_terminal
        yield _line("", bar(self._share, self._settings, width, plain=plain))
        yield _line("", marks(self._settings, width))


class _FirstThatFits:
    """The first of these tables that is no wider than the console, else the last."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        widths = (console.measure(table, options=options.update(max_width=_WIDEST)).maximum for table in self._tables)
        fitting = (table for table, width in zip(self._tables, widths, strict=True) if width <= options.max_width)
        yield next(fitting, self._tables[-1])


def status(state: State) -> Iterator[RenderableType]:
    """Everything for one look: how full it is, what fills it, what is not possible here, and what to do next."""
    yield overview(state)
    for part in (
        namespaces(state),
        adjusted(state),
        nothing_may_go(state.policy),
        missing(state),
        _labelled("next", advice(state)),
    ):
        if part is not None:
            yield ""
            yield part


def overview(state: State) -> Group:
    """Server, level, memory, forecast, keys and what the server did about it, a line each."""
    parts: list[RenderableType] = [_line("server", _server(state))]
    if state.assessment is not None:
        level, settings = state.assessment.level, state.policy.levels
        parts.append(_line("level", Text(level.label, LEVEL_STYLES[level])))
        parts.append(_line("memory", _memory(state)))
        parts.append(_Gauge(state.assessment.pressure, settings))
        parts.append(_line("levels", _thresholds(settings, state.assessment.limits.limit_bytes)))
        parts.append(_line("forecast", _forecast(state)))
    if state.reading is not None and state.reading.held_bytes:
        held = ", ".join(f"{cause} {format_bytes(size)}" for cause, size in state.reading.held_bytes.items())
        parts.append(_line("not data", held))
    parts.append(_line("keys", _keys(state)))
    if state.reading is not None:
        parts.append(_line("evicted", _evicted(state.reading)))
    return Group(*parts)


def _line(name: str, value: str | Text) -> Text:
    return Text.assemble(f"{name:<{_LABEL}}", value)


def _labelled(name: str, lines: Sequence[str]) -> str:
    """Lines, the first of them with a label."""
    return "\n".join(f"{'' if number else name:<{_LABEL}}{line}" for number, line in enumerate(lines))


def _thresholds(settings: LevelSettings, limit_bytes: int) -> str:
    begins = {level.label: threshold(level, settings) * limit_bytes for level in list(Level)[1:]}
    return ", ".join(f"{label} {format_bytes(size)}" for label, size in begins.items())


def _evicted(reading: Reading) -> str:
    """What the server did by itself since it was started."""
    evicted, refused = or_unknown(reading.evicted_keys), or_unknown(reading.refused_writes)
    since = (
        "" if reading.uptime_s is None else f", since the server was started {format_duration(reading.uptime_s)} ago"
    )
    return f"{evicted} keys, refused {refused} writes{since}"


def advice(state: State) -> list[str]:
    """What to do next, the most pressing first."""
    level = state.assessment.level if state.assessment else Level.NORMAL
    reading, policy = state.reading, state.policy
    nothing_goes = nothing_may_go(policy) is not None
    steps: list[str] = []
    if not policy.namespaces:
        steps.append("spillgate census: which prefixes fill the memory, to write a policy file by")
    if level >= Level.PREVENTIVE and not nothing_goes:
        steps.append("spillgate cleanup --dry-run: what a cleanup would delete; without --dry-run it asks and does it")
    if level >= Level.WARNING and nothing_goes:
        steps.append("a policy file that names what may go, or a larger plan: now nothing can be cleaned up")
    if reading is not None and (reading.evicted_keys or reading.refused_writes):
        steps.append("spillgate doctor: why the server evicted keys or refused writes, and what mends that")
    elif level >= Level.WARNING:
        steps.append("spillgate doctor: what can be saved, and how")
    if not nothing_goes:
        steps.append("spillgate run: keeps memory below the ceiling, unless it runs already")
    return [*steps, "spillgate top: the same as here, live"]


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
        text += f", {count_in_words(unregistered)} of them in no namespace and so protected"
    return text


def namespaces(state: State) -> RenderableType | None:
    """Keys and memory by namespace, in the order in which cleanup takes them; with patterns where there is room."""
    if not state.policy.namespaces:
        return None
    rows = sorted(views.namespaces(state), key=lambda row: (row.policy.protected, row.policy.priority or 0))
    cells = [_cells(row) for row in rows]
    return _FirstThatFits([_only(headings, cells) for headings in _CHOICES])


def _cells(row: views.NamespaceRow) -> dict[str, str]:
    """What there is to say of a namespace, by heading."""
    ns = row.policy
    return {
        "namespace": ns.name,
        "keys*": count_in_words(row.keys),
        "memory*": bytes_in_words(row.bytes),
        "without TTL*": count_in_words(row.no_ttl),
        "cleanup": "never (protected)" if ns.protected else ns.cleanup.value,
        "cleanup in a word": ns.cleanup.value,
        "priority*": "" if ns.priority is None else str(ns.priority),
        "pattern": ", ".join(ns.keys),
    }


def _only(headings: Sequence[str], rows: Iterable[Mapping[str, str]]) -> Table:
    table = columns(*(heading.removesuffix(" in a word") for heading in headings))
    for row in rows:
        table.add_row(*(Text(row[heading]) for heading in headings))
    return table


def adjusted(state: State) -> str | None:
    """The TTLs that a governor has put in the place of the policy file's."""
    lines = [
        f"{name}: {format_duration(one.ttl_s)} (the policy file has {format_duration(one.file_s)})"
        for name, one in state.steering.adjusted.items()
    ]
    return _labelled("TTLs", lines) if lines else None


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
