"""The manual emergency procedure: look at what would go, ask, do it, tell how it ended."""

import sys
from contextlib import closing

from spillgate.cli import screens
from spillgate.cli.output import Exit, complain, console, emit, show
from spillgate.errors import ConfigError
from spillgate.governor.by_hand import Report, Request
from spillgate.governor.loop import Governor
from spillgate.model import Stop


def clean(request: Request, *, dry_run: bool, yes: bool, as_json: bool) -> Exit:
    """The whole procedure, and the exit code it ends with.

    Raises:
        ConfigError: something that cannot be meant, or nobody there to confirm it.
        ServerError: the server failed.
    """
    request.check("command line")
    if not (dry_run or yes) and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError(
            "not on a terminal, so nobody can confirm: pass --yes to go ahead, or --dry-run to see what would go"
        )
    if not yes:
        report = _carried_out(request, dry_run=True)
        if not as_json:
            _tell(report)
        if dry_run or not (report.deletes or report.shortens):
            return _end(report, as_json=as_json)
        if not _confirmed(f"Delete about {report.deletes:,} keys and shorten {report.shortens:,} TTLs?"):
            sys.stderr.write("nothing was changed\n")
            _end(report, as_json=as_json)
            return Exit.ALARMED
    report = _carried_out(request, dry_run=False)
    if not as_json:
        _tell(report)
    return _end(report, as_json=as_json)


def _carried_out(request: Request, *, dry_run: bool) -> Report:
    with console(stderr=True).status("looking at what would go ..." if dry_run else "cleaning up ..."):
        if dry_run:
            return request.preview()
        with closing(Governor(request.policy)) as governor:
            return request.carry_out(governor)


def _tell(report: Report) -> None:
    show(report.plan.reason, screens.steps(report.outcomes) if report.outcomes else "nothing to do", report.ending())


def _end(report: Report, *, as_json: bool) -> Exit:
    if as_json:
        emit(report.document())
    if report.error is not None:
        complain(report.error)
    if any(outcome.stop is Stop.FAILED for outcome in report.outcomes):
        return Exit.UNREACHABLE
    return Exit.FINE if report.reached else Exit.ALARMED


def _confirmed(question: str) -> bool:
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
