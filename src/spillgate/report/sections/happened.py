"""11: what happened since the last report."""

from collections.abc import Iterator

from spillgate.census.rows import shown
from spillgate.governor.journal import Entry
from spillgate.model import Level
from spillgate.report import wording
from spillgate.report.gathering import Gathered, Missing
from spillgate.report.model import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Paragraph,
    Points,
    Section,
    Table,
    Tone,
    code,
    listed,
    say,
)
from spillgate.report.past import Forecast, Past, Step, Verdict
from spillgate.report.sections.shared import LEVEL_TONES
from spillgate.units import format_bytes, format_duration, format_share

_MOST_TOLD = 5
_LEVELS = (
    Column("level", "Level"),
    Column("entered", "Entered", numeric=True),
    Column("seconds", "Time in it", numeric=True),
    Column("share", "Of the time", numeric=True),
)
_STEPS = (
    Column("step", "Step"),
    Column("runs", "Times", numeric=True),
    Column("deleted", "Keys deleted", numeric=True),
    Column("expired", "Expired dropped", numeric=True),
    Column("retimed", "TTLs set or shortened", numeric=True),
    Column("freed_bytes", "Freed", numeric=True),
)
_BY_NAMESPACE = (Column("namespace", "Namespace"), Column("deleted", "Keys deleted", numeric=True))


def section(seen: Gathered) -> Section:
    """What happened."""
    title = "What happened since the last report"
    past = seen.past
    if isinstance(past, Missing):
        return Section("happened", title, (_no_history(past.reason),))
    blocks: list[Block] = [Paragraph(say(_since(seen, past)))]
    if past.begins_s is None:
        blocks.append(Paragraph(say("The history is empty: nothing is known of this time."), Tone.UNKNOWN))
        return Section("happened", title, tuple(blocks))
    blocks += [
        Table("levels", _LEVELS, tuple(_levels(past)), "Levels"),
        *_cleanups(past),
        Facts("forecasts", tuple(_forecasts(past)), "Forecasts"),
        Facts("trouble", tuple(_trouble(past)), "Alarms, errors, outages"),
        *_entries("alarms", "The latest alarms", past.alarms),
        *_entries("errors", "The latest errors", past.errors),
        *_entries("changes", "TTLs that the governor changed", past.changes),
    ]
    return Section("happened", title, tuple(blocks))


def _no_history(reason: str) -> Paragraph:
    return Paragraph(
        say(
            f"Unknown, because {shown(reason)}. The governor keeps one with ",
            code("spillgate run --history FILE"),
            "; then ",
            code("spillgate report --history FILE"),
            " tells what happened.",
        ),
        Tone.UNKNOWN,
    )


def _since(seen: Gathered, past: Past) -> str:
    took = format_duration(round(past.until_s - past.since_s))
    said = f"From {wording.when(past.since_s)} to {wording.when(past.until_s)}, {took} ({seen.request.since_why})."
    asked_s = seen.request.since_s
    if past.begins_s is not None and past.begins_s > asked_s + past.every_s:
        said += f" The history begins there; of the time since {wording.when(asked_s)} before it nothing is known."
    return said


def _levels(past: Past) -> Iterator[tuple[Cell, ...]]:
    whole = max(1.0, past.until_s - past.since_s)
    for level in Level:
        seconds = past.seconds.get(level, 0.0)
        if not seconds and level not in past.visits:
            continue
        entered = past.visits.get(level, 0)
        yield (
            Cell(say(level.label), level.label, LEVEL_TONES[level]),
            wording.nothing() if level is Level.NORMAL else Cell(say(f"{entered:,}"), entered),
            wording.seconds(seconds),
            wording.share(seconds / whole),
        )
    if past.unwatched_s >= 1:
        yield (
            Cell(say("nobody looked"), None, Tone.UNKNOWN),
            wording.nothing(),
            wording.seconds(past.unwatched_s),
            wording.share(past.unwatched_s / whole),
        )


def _cleanups(past: Past) -> Iterator[Block]:
    if not past.steps:
        yield Paragraph(say("Nothing was cleaned up."), title="Actions")
        return
    yield Table("actions", _STEPS, tuple(map(_step, past.steps)), "Actions", _NOTE)
    if past.deleted:
        rows = tuple(
            (Cell(say(code(shown(name))), name), Cell(say(f"{keys:,}"), keys)) for name, keys in past.deleted.items()
        )
        yield Table("deleted", _BY_NAMESPACE, rows, "Keys deleted, by namespace")


_NOTE = say("Freed is what the server's own counter fell by. Steps of a dry run are told apart and freed nothing.")


def _step(step: Step) -> tuple[Cell, ...]:
    words = [
        *say(code(step.kind)),
        *(say(" ") if step.names else ()),
        *listed(code(shown(name)) for name in step.names),
    ]
    upkeep = step.kind == "upkeep"
    return (
        Cell(tuple(words), " ".join((step.kind, *step.names)), note="dry run: it would have" if step.dry else ""),
        Cell(say(f"{step.runs:,}"), step.runs),
        Cell(say(f"{step.deleted:,}"), step.deleted),
        Cell(say(f"{step.expired:,}"), step.expired),
        wording.unknown("not kept in numbers") if upkeep else Cell(say(f"{step.retimed:,}"), step.retimed),
        wording.size(step.freed_bytes),
    )


def _forecasts(past: Past) -> Iterator[Fact]:
    total = len(past.forecasts)
    counts = {verdict: sum(one.verdict is verdict for one in past.forecasts) for verdict in Verdict}
    yield Fact("made", "Levels entered on a forecast", Cell(say(f"{total:,}"), total))
    if not total:
        return
    keys = {
        Verdict.TRUE: "came_true",
        Verdict.AVERTED: "averted",
        Verdict.FALSE: "did_not_come_true",
        Verdict.UNKNOWN: "unknown",
    }
    notes = {
        Verdict.TRUE: "memory was at the threshold within 5s",
        Verdict.AVERTED: "so whether it would have come true nobody can tell",
        Verdict.FALSE: "memory stayed below, and nothing was cleaned up",
        Verdict.UNKNOWN: "the history has only hours of that time",
    }
    for verdict, number in counts.items():
        yield Fact(keys[verdict], f"… {verdict.value}", Cell(say(f"{number:,}"), number, note=notes[verdict]))
    yield Fact("latest", "The latest", _latest(past.forecasts[-1]))


def _latest(forecast: Forecast) -> Cell:
    said = f"{wording.when(forecast.at_unix_s)}: {shown(forecast.message)}"
    return Cell(say(said), wording.iso(forecast.at_unix_s), note=forecast.verdict.value)


def _trouble(past: Past) -> Iterator[Fact]:
    yield Fact("alarms", "Alarms", _number(len(past.alarms)))
    yield Fact("evicted_keys", "Keys evicted by the server", _counted(past.evicted_keys))
    yield Fact("refused_writes", "Writes refused", _counted(past.refused_writes))
    yield Fact("errors", "Errors", _number(len(past.errors)))
    out = sum(gap.end_s - gap.start_s for gap in past.gaps)
    words = "none" if not past.gaps else f"{len(past.gaps):,}, {format_duration(round(out))} in all"
    longest = max(past.gaps, key=lambda gap: gap.end_s - gap.start_s, default=None)
    note = ""
    if longest is not None:
        lasted = format_duration(round(longest.end_s - longest.start_s))
        note = f"the longest from {wording.when(longest.start_s)} on, {lasted}"
    tone = Tone.WATCH if past.gaps else Tone.PLAIN
    said = Cell(say(words), {"number": len(past.gaps), "seconds": round(out)}, tone, note)
    yield Fact("outages", "Times when the server was not read", said)
    highest = past.highest
    if highest is not None and highest.high_bytes is not None:
        of = f", {format_share(highest.high_bytes / highest.limit_bytes)} of the limit" if highest.limit_bytes else ""
        words = f"{format_bytes(highest.high_bytes)}{of}, on {wording.when(highest.at_s)}"
        yield Fact("highest_bytes", "Most memory in use", Cell(say(words), highest.high_bytes))


def _number(number: int) -> Cell:
    return Cell(say(f"{number:,}" if number else "none"), number, Tone.WATCH if number else Tone.PLAIN)


def _counted(number: int | None) -> Cell:
    return wording.unknown("not read in this time") if number is None else _number(number)


def _entries(key: str, title: str, entries: tuple[Entry, ...]) -> Iterator[Block]:
    if entries:
        latest = tuple(say(f"{wording.when(one.at_unix_s)}: {shown(one.message)}") for one in entries[-_MOST_TOLD:])
        yield Points(key, latest[::-1], title)
