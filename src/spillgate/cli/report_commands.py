"""What can be typed after ``spillgate report``."""

from pathlib import Path
from typing import Annotated

import typer

from spillgate.cli import logs
from spillgate.cli.options import AsJson, Config, Limit, PolicySource, Url
from spillgate.report.model import Format


def report(  # noqa: PLR0913 - each option of a command is a parameter of its function
    *,
    url: Url = None,
    config: Config = None,
    limit: Limit = None,
    as_json: AsJson = False,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Markdown, or one HTML file.", show_default="as the name of FILE ends, else md"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write it to this file.", show_default="stdout"),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="FILE",
            envvar="SPILLGATE_HISTORY",
            help="What spillgate run --history FILE has written: for what happened, and how memory grows. Only read.",
            show_envvar=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help='How far back to look, such as "7d", or since when, such as "2026-11-01".',
            show_default="the report that FILE is now, else 7d",
        ),
    ] = None,
    examples: Annotated[bool, typer.Option("--examples", help="Name some keys where that helps.")] = False,
    error: Annotated[
        str, typer.Option("--error", metavar="SHARE", help="The largest error of the census; 0% visits every key.")
    ] = "1%",
    growth: Annotated[
        str, typer.Option("--growth", metavar="TIME", help="How long to watch memory grow; 0s not at all.")
    ] = "2s",
) -> None:
    """Write the memory optimisation report: one document about this server.

    The setup, the protection in force, what fills the memory, TTLs, projections, findings, what happened, and the
    emergency procedure with the commands of this very deployment. Changes nothing, needs no policy file, and names no
    single key unless told. Every number was measured here, or is marked as assumed.

    The exit code is 1 at level preventive or above, or where the risk is high.
    """
    from spillgate.cli.report import Asked, write  # noqa: PLC0415 - only this command takes it

    logs.log_nowhere()
    source = PolicySource(url, config, limit)
    asked = Asked(source, form, output, history, since, error, growth, examples=examples, as_json=as_json)
    raise typer.Exit(write(asked))
