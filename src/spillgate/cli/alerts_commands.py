"""What can be typed after ``spillgate alerts``."""

from typing import Annotated

import typer

from spillgate.cli import logs
from spillgate.cli.options import AsJson, Config, PolicySource

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="See who is told of what, and whether it reaches them. Alerts are sent by spillgate run.",
)


@app.command("test")
def try_out(
    *,
    config: Config = None,
    as_json: AsJson = False,
    receiver: Annotated[
        str | None, typer.Option("--receiver", metavar="NAME", help="Only this one, as spillgate alerts list names it.")
    ] = None,
) -> None:
    """Send a test to every receiver, once, and tell how that went. Exit code 1 if one did not get it, 2 without any."""
    from spillgate.cli.alerts import send_tests  # noqa: PLC0415 - only these commands take it

    logs.log_nowhere()
    raise typer.Exit(send_tests(PolicySource(None, config, None), receiver, as_json=as_json))


@app.command("list")
def list_command(*, config: Config = None, as_json: AsJson = False) -> None:
    """Show the receivers and what they are told of. Nothing is sent, and no secret is shown."""
    from spillgate.cli.alerts import listed  # noqa: PLC0415 - only these commands take it

    logs.log_nowhere()
    raise typer.Exit(listed(PolicySource(None, config, None), as_json=as_json))
