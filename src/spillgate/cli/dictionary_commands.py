"""What can be typed after ``spillgate dictionary``."""

from typing import Annotated

import typer

from spillgate.cli import logs
from spillgate.cli.options import AsJson, Config, Limit, PolicySource, Url

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train dictionaries by which the cache library compresses short values, and look after them.",
)

Namespace = Annotated[str, typer.Argument(metavar="NAMESPACE", help="A namespace of the policy file.")]


@app.command()
def train(
    namespace: Namespace,
    *,
    url: Url = None,
    config: Config = None,
    limit: Limit = None,
    as_json: AsJson = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Train and tell, but store nothing.")] = False,
    if_decayed: Annotated[
        bool,
        typer.Option(
            "--if-decayed", help="Only where the one in force compresses clearly worse than it did: for cron."
        ),
    ] = False,
) -> None:
    """Train a dictionary on live values, tell what it wins, and put it into force.

    Reads some thousand values of the namespace. Applications take it up with their next write, without a restart; the
    one that it replaces stays for as long as values written with it may live. Nothing is stored that does not pay.
    """
    from spillgate.cli.dictionary import Request  # noqa: PLC0415 - only these commands take it
    from spillgate.cli.dictionary import train as carry_out  # noqa: PLC0415 - the same

    logs.log_nowhere()
    request = Request(PolicySource(url, config, limit), namespace, as_json)
    raise typer.Exit(carry_out(request, dry_run=dry_run, if_decayed=if_decayed))


@app.command("list")
def list_command(
    namespace: Namespace, *, url: Url = None, config: Config = None, limit: Limit = None, as_json: AsJson = False
) -> None:
    """Show the dictionaries that the server holds for a namespace, and which one is in force."""
    from spillgate.cli.dictionary import Request, listed  # noqa: PLC0415 - only these commands take it

    logs.log_nowhere()
    raise typer.Exit(listed(Request(PolicySource(url, config, limit), namespace, as_json)))


@app.command()
def drop(
    namespace: Namespace,
    *,
    url: Url = None,
    config: Config = None,
    limit: Limit = None,
    as_json: AsJson = False,
    now: Annotated[
        bool, typer.Option("--now", help="Delete dictionaries at once; values written with them become misses.")
    ] = False,
) -> None:
    """Compress without a dictionary from here on.

    Values written with one can still be read until they expire, and so long it stays.
    """
    from spillgate.cli.dictionary import Request  # noqa: PLC0415 - only these commands take it
    from spillgate.cli.dictionary import drop as carry_out  # noqa: PLC0415 - the same

    logs.log_nowhere()
    raise typer.Exit(carry_out(Request(PolicySource(url, config, limit), namespace, as_json), now=now))
