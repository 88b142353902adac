"""What can be typed. Each command reads its options, hands over, and ends with an exit code."""

from contextlib import closing
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from spillgate.cli import (
    advise_commands,
    alerts_commands,
    capacity_commands,
    dictionary_commands,
    logs,
    replay_command,
    report_commands,
)
from spillgate.cli.logs import LogFormat, LogLevel
from spillgate.cli.options import AsJson, Config, DryRun, Host, Limit, PolicySource, Port, Url, no_auto, nothing_may_go
from spillgate.cli.output import Exit, complain, emit, level_exit, show
from spillgate.cli.serve import Served, run
from spillgate.errors import ConfigError
from spillgate.governor.by_hand import Request
from spillgate.governor.journal import Event
from spillgate.governor.loop import Governor
from spillgate.model import Level
from spillgate.web import views

app = typer.Typer(
    name="spillgate",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine, 1 level preventive or above, or findings, 2 usage or configuration, "
    "3 server unreachable.",
)

app.add_typer(alerts_commands.app, name="alerts")
app.add_typer(dictionary_commands.app, name="dictionary")

# How long status watches memory, to tell whether it grows.
_APART_S = 0.5
_TELLING = {Event.PLAN, Event.ACTION, Event.ALARM, Event.ERROR}

_EXAMPLE = """
A policy file names the keys that may go; every other key is protected:

\b
    [server]
    limit = "25MB"

\b
    [[namespace]]
    name = "analytics"
    keys = "app:analytics:*"
    ttl = "15m"
    cleanup = "clear"      # or trim, expired, shorten, never
    priority = 1           # lower goes first
"""


class CleanupLevel(StrEnum):
    """The levels that clean up."""

    PREVENTIVE = "preventive"
    EMERGENCY = "emergency"
    CRITICAL = "critical"


class FailOn(StrEnum):
    """The severities of findings."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


def _print_version(value: bool) -> None:  # noqa: FBT001 - how Typer calls back
    if value:
        typer.echo(f"spillgate {metadata.version('spillgate')}")
        raise typer.Exit


@app.callback()
def spillgate(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep a Redis or Valkey below its memory limit without losing what must not be lost.

    Begin with "spillgate status", which only looks. Then write a policy file, and let "spillgate run" guard the server.
    """


@app.command("run", epilog=_EXAMPLE)
def run_command(
    *,
    url: Url = None,
    config: Config = None,
    limit: Limit = None,
    as_json: AsJson = False,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Start a Valkey of its own on this machine, and govern that.")
    ] = False,
    dry_run: DryRun = False,
    web: Annotated[bool, typer.Option("--web/--no-web", help="Whether to serve HTTP.")] = True,
    host: Host = "127.0.0.1",
    port: Port = 3000,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Allow an address that others can reach without SPILLGATE_TOKEN being set."),
    ] = False,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="FILE",
            envvar="SPILLGATE_HISTORY",
            help="Keep readings and the journal in this SQLite file.",
            show_default="in memory",
            show_envvar=False,
        ),
    ] = None,
    exporter_names: Annotated[
        bool,
        typer.Option("--exporter-names", help="Add metrics by the names of the well-known Redis exporter to /metrics."),
    ] = False,
    otlp: Annotated[
        bool,
        typer.Option("--otlp", help="Send metrics by OpenTelemetry, as the OTEL_EXPORTER_OTLP_ variables say."),
    ] = False,
    log_format: Annotated[LogFormat, typer.Option("--log-format", help="How log lines are written.")] = LogFormat.TEXT,
    log_level: Annotated[LogLevel, typer.Option("--log-level", help="Least severe lines that are written.")] = (
        LogLevel.INFO
    ),
) -> None:
    """Guard a server until told to stop.

    Looks at the server's memory, more often the faster it fills, and cleans up by the policy before the limit is
    reached. Logs go to stderr. Over HTTP it serves a dashboard at /, /health/redis-memory, /metrics, and an API, which
    changes nothing without the token that SPILLGATE_TOKEN holds.

    SIGTERM and Ctrl-C stop it with exit code 0. SIGHUP reads the policy file again; a file that cannot be used leaves
    the old policy in force. With --json the logs are JSON too, and the last state is printed at the end.
    """
    if embedded and url:
        raise ConfigError("has a server of its own, and --url names another", source="command line", key="--embedded")
    logs.log_to_stderr(LogFormat.JSON if as_json else log_format, log_level)
    source = PolicySource(url, config, limit)
    bind = (host, port) if web else None
    state = run(Served(source, bind, embedded, dry_run, insecure, history, exporter_names, otlp))
    if as_json:
        emit(views.snapshot(state))


@app.command()
def tick(
    *, url: Url = None, config: Config = None, limit: Limit = None, as_json: AsJson = False, dry_run: DryRun = False
) -> None:
    """Look once, clean up if that is due, and end: for cron.

    It keeps no memory from one time to the next, so no TTL is adjusted (ttl_mode = "auto"): "spillgate run" does.

    The exit code is 1 when the level was preventive or above, also when the cleanup has brought memory down since.
    """
    from spillgate.cli import screens  # noqa: PLC0415 - see output.console

    logs.log_nowhere()
    with closing(Governor(PolicySource(url, config, limit).load(), dry_run=dry_run)) as governor:
        governor.cycle()
        state, entries = governor.state, governor.journal.entries()
    told = [entry for entry in entries if entry.event in _TELLING]
    if as_json:
        journal = [{"event": entry.event.value, "message": entry.message, **entry.details} for entry in entries]
        emit(views.snapshot(state) | {"journal": journal})
    elif state.reading is not None:
        show(screens.overview(state), "", screens.happened(told), nothing_may_go(state.policy), no_auto(state.policy))
    if state.error is not None:
        complain(state.error)
        raise typer.Exit(Exit.UNREACHABLE)
    raise typer.Exit(level_exit(state))


@app.command()
def status(*, url: Url = None, config: Config = None, limit: Limit = None, as_json: AsJson = False) -> None:
    """Show how full the server is and what fills it.

    Changes nothing. Tells what this server or plan does not allow, and what that costs. The exit code is 1 at level
    preventive or above.
    """
    from spillgate.cli import screens  # noqa: PLC0415 - see output.console

    logs.log_nowhere()
    with closing(Governor(PolicySource(url, config, limit).load())) as governor:
        state = governor.look(_APART_S)
    if as_json:
        emit(views.snapshot(state))
    else:
        show(*screens.status(state))
    raise typer.Exit(level_exit(state))


@app.command()
def top(
    *,
    url: Url = None,
    config: Config = None,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document a line for each look.")] = False,
    governor: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="URL",
            help="Ask the spillgate run at this address, such as http://127.0.0.1:3000, instead of the server.",
        ),
    ] = None,
    interval: Annotated[str, typer.Option("--interval", metavar="TIME", help="Time between looks.")] = "2s",
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="End after so many looks.", show_default="never")
    ] = None,
) -> None:
    """Watch how full the server is and what fills it, live.

    Changes nothing. Press ? for the keys and q to end. In a pipe it prints a line for each look. The exit code is 0;
    with --count that of the last look, as for status.
    """
    from spillgate.cli.top import command  # noqa: PLC0415 - only this command takes it

    logs.log_nowhere()
    request = command.Request(PolicySource(url, config, limit), governor, interval, count, as_json)
    raise typer.Exit(command.watch(request))


@app.command()
def cleanup(
    namespace: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAMESPACE",
            help="Clean these alone, whatever the pressure; else all, by priority, until the target is reached.",
            show_default=False,
        ),
    ] = None,
    *,
    url: Url = None,
    config: Config = None,
    limit: Limit = None,
    as_json: AsJson = False,
    level: Annotated[CleanupLevel, typer.Option("--level", help="Clean up as at this level.")] = CleanupLevel.EMERGENCY,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Clean up by hand: shows what would go, asks, does it.

    Protected namespaces, and keys that match no namespace, are never touched. The exit code is 1 when the target was
    not reached, or when you said no.
    """
    from spillgate.cli.cleaning import clean  # noqa: PLC0415 - see output.console

    logs.log_nowhere()
    policy = PolicySource(url, config, limit).load()
    request = Request(policy, Level[level.name], frozenset(namespace or ()))
    raise typer.Exit(clean(request, dry_run=dry_run, yes=yes, as_json=as_json))


@app.command()
def census(
    *,
    url: Url = None,
    config: Config = None,
    limit: Limit = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line of CSV for each namespace and prefix.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Visit every key.")] = False,
    error: Annotated[
        str | None,
        typer.Option(
            "--error",
            metavar="SHARE",
            help="The largest error wanted for any namespace or prefix, as a share of the memory of all keys.",
            show_default="1%",
        ),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(
            "--separator",
            metavar="CHARACTER",
            help="What divides keys into words.",
            show_default="the one that most keys have",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows of a table; the rest is summed up.")] = 20,
    replica: Annotated[
        str | None, typer.Option("--replica", metavar="URL", help="Look at this replica, and leave the server alone.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="FILE", help="With --exact: keep an interrupted pass in this file, and go on from it."
        ),
    ] = None,
    mask: Annotated[bool, typer.Option("--mask", help="Show no names of single keys.")] = False,
) -> None:
    """Show what fills the memory: by namespace, by prefix, and what is no data at all.

    Changes nothing and needs no policy file. Looks at as many keys as the wanted error takes, wherever they are, and at
    every key where there are few. Each number comes with its error; together they add up to the memory used. Ctrl-C
    ends it with what was seen so far, and exit code 130.
    """
    from spillgate.cli.census import Request, count  # noqa: PLC0415 - only this command takes it

    logs.log_nowhere()
    source = PolicySource(url, config, limit)
    request = Request(source, exact, error, separator, top, replica, resume, as_json, as_csv, mask)
    raise typer.Exit(count(request))


@app.command()
def doctor(
    *,
    url: Url = None,
    config: Config = None,
    limit: Limit = None,
    as_json: AsJson = False,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", metavar="SEVERITY", help="Least severe finding that ends with exit code 1.")
    ] = FailOn.MEDIUM,
    exact: Annotated[bool, typer.Option("--exact", help="Visit every key.")] = False,
    error: Annotated[
        str | None,
        typer.Option(
            "--error", metavar="SHARE", help="The largest error wanted, as for the census.", show_default="1%"
        ),
    ] = None,
    values: Annotated[
        bool,
        typer.Option(
            "--values/--no-values",
            help="Whether to look into some hundred keys. Servers without CLIENT NO-TOUCH count that as a use of them.",
        ),
    ] = True,
    growth: Annotated[
        str, typer.Option("--growth", metavar="TIME", help="How long to watch memory grow; 0s not at all.")
    ] = "2s",
    mask: Annotated[bool, typer.Option("--mask", help="Show no names of single keys.")] = False,
) -> None:
    """Tell what is wrong with a server and what mends it, the most bytes to win first.

    Changes nothing and needs no policy file. Each finding has a severity, its evidence, the bytes that it would win and
    the setting or command that fixes it. A check that cannot run says why. The exit code is 1 where a finding is as
    severe as --fail-on, or worse.
    """
    from spillgate.cli.doctor import Request, examine  # noqa: PLC0415 - only this command takes it
    from spillgate.policy.findings import Severity  # noqa: PLC0415 - the same

    logs.log_nowhere()
    source = PolicySource(url, config, limit)
    request = Request(source, exact, error, values, growth, mask, Severity[fail_on.name], as_json)
    raise typer.Exit(examine(request))


app.command("advise")(advise_commands.advise)
app.command("capacity")(capacity_commands.capacity)
app.command("replay")(replay_command.replay)
app.command("report")(report_commands.report)


@app.command()
def demo(
    *,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=1, help="How long it lasts; Ctrl-C ends it sooner.", show_default="60"),
    ] = None,
    as_json: AsJson = False,
    host: Host = "127.0.0.1",
    port: Port = 3000,
) -> None:
    """Watch a small server survive a flood.

    Starts a Valkey of 25 MB on this machine, floods it, and shows what the governor does. Touches no other server.
    """
    from spillgate.demo import run_demo  # noqa: PLC0415 - heavy, and of no use to the other commands

    logs.log_nowhere()
    raise typer.Exit(run_demo(seconds=seconds, as_json=as_json, host=host, port=port))
