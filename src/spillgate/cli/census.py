"""``spillgate census``: what was typed, the survey taken for it, how the command ends."""

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from spillgate.census.checkpoint import Checkpoint
from spillgate.census.collect import Progress
from spillgate.census.survey import take_survey
from spillgate.cli.census_report import Report, document, table
from spillgate.cli.options import PolicySource, gateway_of, let_others_go_first
from spillgate.cli.output import Exit, console, emit
from spillgate.config import Policy
from spillgate.errors import ConfigError, ServerError
from spillgate.units import parse_share

_DEFAULT_ERROR = 0.01


@dataclass(frozen=True, slots=True)
class Request:
    """The options of the command as they were typed."""

    source: PolicySource
    exact: bool = False
    error: str | None = None
    separator: str | None = None
    top: int = 20
    replica: str | None = None
    resume: Path | None = None
    as_json: bool = False
    as_csv: bool = False
    mask: bool = False

    def policy(self) -> Policy:
        """The policy, with the replica for its server where one is given.

        Raises:
            ConfigError: it cannot be used.
        """
        if self.replica is None:
            return self.source.load()
        try:
            return replace(self.source, url=self.replica).load()
        except ConfigError as error:
            raise ConfigError(str(error).replace("command line: --url", "command line: --replica")) from error

    def wanted_error(self) -> float:
        """The largest error wanted, 0 for a full pass.

        Raises:
            ConfigError: options that cannot be meant together.
        """
        if self.as_json and self.as_csv:
            raise _refused("--csv", "there is one document: choose --json or --csv")
        if self.resume is not None and not self.exact:
            raise _refused("--resume", "only a full pass can be resumed: pass --exact as well, a sample takes no time")
        if self.error is None:
            return 0.0 if self.exact else _DEFAULT_ERROR
        if self.exact:
            raise _refused("--error", "--exact leaves no error: choose one of them")
        try:
            wanted = parse_share(self.error)
        except ConfigError as error:
            raise _refused("--error", str(error)) from error
        if not wanted:
            raise _refused("--error", "no sample is without error: use --exact to visit every key")
        return wanted

    def one_separator(self) -> bytes | None:
        """What divides keys into words; None to find out.

        Raises:
            ConfigError: it is not one byte.
        """
        encoded = None if self.separator is None else os.fsencode(self.separator)
        if encoded is not None and len(encoded) != 1:
            raise _refused("--separator", f'expected one ASCII character such as ":", got "{self.separator}"')
        return encoded


def count(request: Request) -> Exit:
    """Take the survey, print it, and return how the command ends.

    Raises:
        ConfigError: options or a policy that cannot be used.
        ServerError: the server failed.
    """
    wanted, separator, policy = request.wanted_error(), request.one_separator(), request.policy()
    checkpoint = Checkpoint(request.resume) if request.resume else None
    began_s = time.monotonic()
    let_others_go_first()
    gc.freeze()  # what the program is made of stays: looking through it again and again takes longer than some calls
    with closing(gateway_of(policy)) as gateway, _stoppable() as asked_to_stop, _progress() as on_progress:
        gateway.probe()
        if request.replica is not None and gateway.info().get("role") != "slave":
            raise _refused("--replica", "this server is no replica: name it with --url")
        try:
            survey = take_survey(
                gateway,
                error=wanted,
                separator=separator,
                on_progress=on_progress,
                asked_to_stop=asked_to_stop,
                checkpoint=checkpoint,
            )
        except ServerError:
            _tell_kept(request.resume)
            raise
    report = Report.of(policy, survey, mask=request.mask)
    report = replace(report, survey=replace(survey, seconds=time.monotonic() - began_s))
    _print(report, request)
    _tell_kept(request.resume)
    return Exit.INTERRUPTED if asked_to_stop() else Exit.FINE


def _refused(option: str, message: str) -> ConfigError:
    return ConfigError(message, source="command line", key=option)


def _tell_kept(file: Path | None) -> None:
    if file is not None and file.exists():
        sys.stderr.write(f"what was seen is kept in {file}: the same command goes on from there\n")


@contextmanager
def _stoppable() -> Generator[Callable[[], bool]]:
    """Ctrl-C asks to stop, a second one does not ask."""
    asked: list[int] = []

    def stop(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress() -> Generator[Callable[[Progress], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn  # noqa: PLC0415 - see output.console
    from rich.progress import Progress as Bar  # noqa: PLC0415 - the same

    shown_columns = (TextColumn("looking at keys"), BarColumn(), MofNCompleteColumn())
    with Bar(*shown_columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done: bar.update(task, completed=done.seen, total=done.wanted)


def _print(report: Report, request: Request) -> None:
    if request.as_json:
        emit(document(report))
    elif request.as_csv:
        sys.stdout.write(table(report))
    else:
        from spillgate.cli import census_screens  # noqa: PLC0415 - see output.console

        census_screens.tell(report, request.top)
