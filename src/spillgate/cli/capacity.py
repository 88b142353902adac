"""``spillgate capacity``: what was typed, what is reckoned, and how the command ends."""

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from spillgate.cli.census import Request as CensusRequest
from spillgate.cli.options import PolicySource, gateway_of, let_others_go_first
from spillgate.cli.output import Exit, console, emit
from spillgate.config import Policy
from spillgate.errors import ConfigError, mask_url
from spillgate.foresight import growing, growing_history
from spillgate.foresight.growing_scales import Scale, parse_counts
from spillgate.foresight.growing_verify import MOST_BYTES, Verified, verify
from spillgate.model import Level, Survey
from spillgate.policy.capacity import Capacity
from spillgate.policy.pressure import level_at
from spillgate.server.embedded import embedded_valkey

MOST_OFF = 0.05
"""How far a projection may be off before that is an alarm."""


@dataclass(frozen=True, slots=True)
class Request:
    """The options of the command as they were typed."""

    source: PolicySource
    scale: tuple[str, ...] = ()
    times: tuple[float, ...] = ()
    connections: int | None = None
    history: Path | None = None
    exact: bool = False
    error: str | None = None
    verify: bool = False
    verify_on: str | None = None
    as_json: bool = False

    def scales(self) -> tuple[Scale, ...]:
        """What is to be projected; nothing where nothing was asked for.

        Raises:
            ConfigError: a count cannot be read, or the two ways to verify are asked for together.
        """
        if self.verify and self.verify_on:
            raise ConfigError(
                "has a server of its own, and --verify-on names another", source="command line", key="--verify"
            )
        counts = parse_counts(self.scale)
        if not counts and not self.times and self.connections is None:
            return ()
        return tuple(Scale(counts, times, self.connections) for times in self.times or (1.0,))


@dataclass(frozen=True, slots=True)
class Told:
    """All that there is to tell."""

    policy: Policy
    survey: Survey
    capacity: Capacity
    verified: tuple[Verified, ...] = ()

    def document(self) -> dict[str, object]:
        """The document of ``--json``; docs/capacity.md has its fields."""
        info = self.survey.info
        return {
            "server": mask_url(self.policy.server.url),
            "product": "valkey" if "valkey_version" in info else "redis",
            "version": info.get("valkey_version") or info.get("redis_version"),
            **growing.document(self.capacity),
            "verified": [
                {
                    "name": one.name,
                    "predicted_bytes": round(one.predicted_bytes),
                    "measured_bytes": round(one.measured_bytes),
                    "error": round(one.error, 4),
                    "objects": one.objects,
                    "on": one.on,
                    "note": one.note,
                }
                for one in self.verified
            ],
            "notes": list(self.survey.notes),
        }


def plan(request: Request) -> Exit:
    """The whole command, and the exit code it ends with.

    Raises:
        ConfigError: options, a policy or a history that cannot be used.
        ServerError: the server failed.
    """
    wanted, scales = CensusRequest(request.source, request.exact, request.error).wanted_error(), request.scales()
    policy = request.source.load()
    try:
        told = _told(request, policy, wanted, scales)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    if request.as_json:
        emit(told.document())
    else:
        from spillgate.cli import capacity_screens  # noqa: PLC0415 - see output.console

        capacity_screens.tell(told)
    return Exit.ALARMED if any(_alarms(told, asked=bool(scales))) else Exit.FINE


def _told(request: Request, policy: Policy, wanted: float, scales: tuple[Scale, ...]) -> Told:
    let_others_go_first()
    past = growing_history.opened(request.history) if request.history else nullcontext()
    with past as history, closing(gateway_of(policy)) as gateway:
        with console(stderr=True).status("looking at the keys ..."):
            gateway.probe()
            survey, looks = growing.collect(gateway, wanted)
        found = growing.capacity(policy, survey, history, scales, looks)
    verified = tuple(_verified(request, survey, found))
    return Told(policy, survey, found, verified)


def _verified(request: Request, survey: Survey, found: Capacity) -> Iterator[Verified]:
    if not request.verify and not request.verify_on:
        return
    for projection in found.projections:
        own = embedded_valkey(4 * MOST_BYTES) if request.verify else nullcontext(request.verify_on or "")
        with own as url, _progress(projection.name) as on_progress:
            yield verify(survey, found, projection, url, on_progress)


@contextmanager
def _progress(name: str) -> Generator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _done, _wanted: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - see output.console

    shown_columns = (TextColumn(f"loading {name}"), BarColumn(), MofNCompleteColumn())
    with Progress(*shown_columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, wanted: bar.update(task, completed=done, total=wanted)


def _alarms(told: Told, *, asked: bool) -> Iterator[bool]:
    found, info = told.capacity, told.survey.info
    if found.limit_bytes:
        counted = found.used_bytes - int(info.get("mem_not_counted_for_evict", "0"))
        yield level_at(max(0.0, counted / found.limit_bytes), told.policy.levels) >= Level.PREVENTIVE
    if asked:
        yield from (one.level is not None and one.level >= Level.PREVENTIVE for one in found.projections)
    yield from (abs(one.error) > MOST_OFF for one in told.verified)
