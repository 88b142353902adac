"""``spillgate capacity`` as it is typed."""

from pathlib import Path
from typing import Annotated

import typer

from spillgate.cli import logs
from spillgate.cli.options import AsJson, Config, Limit, PolicySource, Url


def capacity(  # noqa: PLR0913 - options are what a command has
    *,
    url: Url = None,
    config: Config = None,
    limit: Limit = None,
    as_json: AsJson = False,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            "--scale",
            metavar="NAME=COUNT",
            help="Project so many objects of this namespace or prefix; may be given several times.",
            show_default=False,
        ),
    ] = None,
    times: Annotated[
        list[float] | None,
        typer.Option(
            "--times",
            metavar="FACTOR",
            min=0,
            max=1_000_000,
            help="Project so many times what is there, but for what --scale names; each time given is a projection.",
            show_default="2, 5 and 10 where nothing else is projected",
        ),
    ] = None,
    connections: Annotated[
        int | None,
        typer.Option(
            "--connections",
            metavar="N",
            min=0,
            max=10_000_000,
            help="Project so many connections.",
            show_default="as now",
        ),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="FILE",
            envvar="SPILLGATE_HISTORY",
            help="The file of spillgate run --history, for how memory grows; the governor may go on writing to it.",
            show_envvar=False,
        ),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Visit every key.")] = False,
    error: Annotated[
        str | None,
        typer.Option(
            "--error", metavar="SHARE", help="The largest error wanted, as for the census.", show_default="1%"
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Load objects like those projected into a Valkey of its own on this machine, and compare.",
        ),
    ] = False,
    verify_on: Annotated[
        str | None,
        typer.Option(
            "--verify-on", metavar="URL", help="The same into this server, which must be empty and nobody else's."
        ),
    ] = None,
) -> None:
    """Tell how much more fits, when memory will be full, and what other numbers would take.

    Changes nothing and needs no policy file. Counts what each namespace or prefix holds, how it grows by the history of
    a governor, and projects: server overhead, tables that double and connections are included. Each number comes with
    its interval, and what was not measured is listed as an assumption. The exit code is 1 where the level, or that of a
    projection asked for, is preventive or above, and where --verify finds a projection off by more than 5 %.
    """
    from spillgate.cli.capacity import Request, plan  # noqa: PLC0415 - only this command takes it

    logs.log_nowhere()
    source = PolicySource(url, config, limit)
    asked = (tuple(scale or ()), tuple(times or ()), connections)
    raise typer.Exit(plan(Request(source, *asked, history, exact, error, verify, verify_on, as_json)))
