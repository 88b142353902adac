"""``spillgate replay``: what was typed, the contenders one after the other, the document, and how the command ends."""

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from spillgate.cli.options import PolicySource
from spillgate.cli.output import Exit, console, emit
from spillgate.cli.replay_command import WorkloadFormat
from spillgate.config import Policy
from spillgate.errors import ConfigError
from spillgate.replay import SPILLGATE, Conditions, Contender, Format, Progress, Result, Source, Workload, load, run
from spillgate.replay.contenders import named
from spillgate.replay.pace import LRU_RESOLUTION_S, Pace
from spillgate.server.embedded import valkey_binary
from spillgate.units import format_bytes, format_duration, parse_bytes

# What a plan is taken to allow where nobody says: the plan of the reference policy.
_ASSUMED_LIMIT = "25MB"
# Namespaces that a note names; the others it counts.
_NAMED = 5
_ROUND_FROM = 100


@dataclass(frozen=True, slots=True)
class Request:
    """The options of the command as they were typed."""

    workload: str
    source: PolicySource
    other: Path | None = None
    only: tuple[str, ...] = ()
    seconds: float | None = None
    file_format: WorkloadFormat | None = None
    clusters: tuple[int, ...] = ()
    requests: int = 200_000
    hours: float = 6.0
    block_size: str = "2KB"
    seed: int | None = None
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender with the policy it plays by, and what both are called."""

    contender: Contender
    policy: Policy
    label: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All runs of a workload. ``policy_name`` is where the policy came from."""

    workload: Workload
    policy_name: str
    limit_bytes: int
    results: tuple[Result, ...]
    notes: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether no governed server lost what is protected or refused a write, as far as its governor lived."""
        governed = [one for one in self.results if one.governor]
        return not any(one.lost or one.refused or (one.governor and one.governor.error) for one in governed)

    def document(self) -> dict[str, object]:
        """What ``--json`` prints; docs/replay.md tells its fields."""
        workload = self.workload
        return {
            "workload": {
                "name": workload.name,
                "note": workload.note,
                "requests": workload.requests_expected,
                "duration_s": round(workload.duration_s, 3),
                "phases": [
                    {"name": one.name, "start_s": round(one.start_s, 3), "end_s": round(one.end_s, 3)}
                    for one in workload.phases
                ],
            },
            "policy": self.policy_name,
            "limit_bytes": self.limit_bytes,
            "contenders": [one.document() for one in self.results],
            "notes": list(self.notes),
        }


def compare(request: Request) -> Exit:
    """The whole command, and the exit code it ends with.

    Raises:
        ConfigError: options, a workload or a policy that cannot be used.
        MissingExtra: ``spillgate[embedded]`` is not installed.
        ServerError: an embedded server failed.
    """
    try:
        with _ended_in_order():
            comparison = _compared(request)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: the servers it had started are ended\n")
        return Exit.INTERRUPTED
    if request.as_json:
        emit(comparison.document())
    else:
        from spillgate.cli import replay_screens  # noqa: PLC0415 - see output.console

        replay_screens.tell(comparison)
    return Exit.FINE if comparison.kept else Exit.ALARMED


def _compared(request: Request) -> Comparison:
    valkey_binary()  # before a long trace is read in vain
    source = Source(
        format=Format(request.file_format) if request.file_format else None,
        seed=request.seed,
        clusters=request.clusters,
        requests=request.requests,
        hours=request.hours,
        block_bytes=_block_bytes(request.block_size),
    )
    workload = load(request.workload, source)
    policy, policy_name, assumed = _policy(request, workload)
    entries = tuple(_entries(request, workload, policy))
    conditions = Conditions(Pace.usual(workload) if request.seconds is None else request.seconds)
    with _progress(entries) as tell:
        results = tuple(
            run(workload, one.policy, one.contender, conditions, tell(number), label=one.label)
            for number, one in enumerate(entries)
        )
    limit = policy.server.limit_bytes
    assert limit is not None  # noqa: S101 - each way to a policy sees to it
    notes = _notes(workload, results, (assumed, _unregistered(workload, policy)))
    return Comparison(workload, policy_name, limit, results, tuple(notes))


def _policy(request: Request, workload: Workload) -> tuple[Policy, str, str]:
    """The policy, where it comes from, and what had to be assumed."""
    assumed, limit = "", request.source.limit or os.environ.get("SPILLGATE_LIMIT") or None
    if request.source.file:
        policy, name, limit = request.source.load(), request.source.file, request.source.limit
    elif workload.policy:
        policy, name = workload.policy, "the scenario's"
    else:
        policy, name = workload.own_policy(parse_bytes(_ASSUMED_LIMIT)), "made from the workload"
        assumed = "no policy was given, so each namespace may be trimmed, and keys live as long as the workload says"
        assumed += " (1h where it does not)" if any(one.ttl_s is None for one in workload.namespaces) else ""
        assumed += "" if limit else f"; no limit was given, so it is {_ASSUMED_LIMIT}"
    policy = _limited(policy, limit)
    if policy.server.limit_bytes is None:
        message = f"a replay needs a limit, and {name} has none: pass --limit {_ASSUMED_LIMIT}"
        raise ConfigError(message, source="command line", key="--limit")
    return workload.weighted(policy), name, assumed


def _entries(request: Request, workload: Workload, policy: Policy) -> Iterator[Entry]:
    """Who plays: everyone, or who was named; with another policy Spillgate by both, and who else was named."""
    if request.other is None:
        yield from (Entry(one, policy, one.name) for one in named(request.only))
        return
    others = [one for one in named(request.only) if not one.governed] if request.only else []
    yield from (Entry(one, policy, one.name) for one in others)
    yield Entry(SPILLGATE, policy, "spillgate, now")
    changed = _limited(PolicySource(None, request.other, None).load(), request.source.limit)
    if changed.server.limit_bytes is None:
        changed = replace(changed, server=replace(changed.server, limit_bytes=policy.server.limit_bytes))
    yield Entry(SPILLGATE, workload.weighted(changed), f"spillgate, {request.other.name}")


def _limited(policy: Policy, limit: str | None) -> Policy:
    """The policy with the limit that was typed, if any."""
    if limit is None:
        return policy
    try:
        limit_bytes = parse_bytes(int(limit) if limit.isdecimal() else limit)
    except ConfigError as error:
        raise ConfigError(str(error), source="command line", key="--limit") from error
    return replace(policy, server=replace(policy.server, limit_bytes=limit_bytes))


def _block_bytes(size: str) -> int:
    try:
        return parse_bytes(size) or 1
    except ConfigError as error:
        raise ConfigError(str(error), source="command line", key="--block-size") from error


def _unregistered(workload: Workload, policy: Policy) -> str:
    """What becomes of namespaces that the policy does not know, where there are such."""
    known = {ns.name for ns in policy.namespaces}
    unknown = [space.name for space in workload.namespaces if space.name not in known]
    if not unknown:
        return ""
    told = ", ".join(unknown[:_NAMED]) + (f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else "")
    return f"the policy does not register {told}: such keys are protected, and have no TTL but one that they bring"


def _notes(workload: Workload, results: Sequence[Result], beforehand: Sequence[str]) -> Iterator[str]:
    """What has to be known to read the results."""
    yield from filter(None, beforehand)
    yield from (f"{one.label}: {one.governor.error}" for one in results if one.governor and one.governor.error)
    yield from dict.fromkeys(note for one in results for note in one.notes)
    factor = results[0].factor if results else 1.0
    policies = [one.contender.eviction_policy for one in results]
    if factor > 1 and any(name.endswith("lru") for name in policies):
        step = format_duration(factor * LRU_RESOLUTION_S)
        yield f"servers count idle time in whole seconds, here {step} each: lru sees less of the order than it would"
    if factor > 1 and any(name.endswith("lfu") for name in policies):
        yield "servers let access counts decay by the minute of wall time: lfu hardly forgets within a run"
    if late := [one for one in results if not one.kept_pace]:
        told = ", ".join(f"{one.label} {format_duration(round(one.lag_p99_s * factor, 3))}" for one in late)
        yield (
            "not all requests could be sent in time; 1 in 100 was later than this, in the workload's time: "
            f"{told}. A longer run tells more: --seconds {2 * round(results[0].seconds)}"
        )
    unfilled = max((sum(row.unfilled for row in one.namespaces) for one in results), default=0)
    if unfilled:
        yield f"up to {unfilled:,} misses are of values whose size {workload.name} does not tell: they stay misses"


@contextmanager
def _progress(entries: Sequence[Entry]) -> Generator[Callable[[int], Callable[[Progress], None]]]:
    """How far each contender is, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: lambda _: None
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - see output.console
    from rich.progress import Progress as Bars  # noqa: PLC0415 - the same

    parts = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Bars(*parts, console=console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=len(entries))

        def tell(number: int) -> Callable[[Progress], None]:
            def told(progress: Progress) -> None:
                bars.update(task, completed=number + progress.share, description=entries[number].label)

            return told

        yield tell


@contextmanager
def _ended_in_order() -> Generator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does: in order, with the servers it started."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def in_words(comparison: Comparison) -> Iterator[str]:
    """What was played, how fast, and under which limit."""
    workload, results = comparison.workload, comparison.results
    yield f"{workload.name}: {workload.note}"
    pace = "as fast as it was"
    if results and (factor := results[0].factor) > 1:
        times = f"{factor:,.0f}" if factor >= _ROUND_FROM else f"{factor:.3g}"
        pace = f"in {format_duration(round(results[0].seconds, 1))} each, {times} times faster"
    length = format_duration(round(workload.duration_s, 1))
    yield f"{workload.requests_expected:,} requests over {length}, {pace}; limit {format_bytes(comparison.limit_bytes)}"
    yield f"policy: {comparison.policy_name}"
