"""What can be typed after ``spillgate advise``."""

from typing import Annotated

import typer

from spillgate.cli import logs
from spillgate.cli.options import AsJson, Config, Limit, PolicySource, Url


def advise(
    *,
    url: Url = None,
    config: Config = None,
    limit: Limit = None,
    as_json: AsJson = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="SIZE",
            help="The memory that the server shall use in all, such as 20MB.",
            show_default="the limit less the reserve, up to where cleanup begins",
        ),
    ] = None,
    error: Annotated[
        str, typer.Option("--error", metavar="SHARE", help="The largest error of the census; 0% visits every key.")
    ] = "1%",
    write: Annotated[
        bool,
        typer.Option("--write", help="Change the ttl lines of the policy file, where confidence is medium or high."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --write: do not ask.")] = False,
) -> None:
    """Recommend a TTL for each namespace: the most hits that the memory is good for.

    From what processes of the cache library recorded of their reads; where there are none, from ages and idle times of
    the keys, which give a bound. Tells what each change frees and costs, and why. Changes nothing but, with --write,
    the policy file: it shows what, asks, and leaves comments and all other lines as they are.
    """
    from spillgate.cli.advise import Request  # noqa: PLC0415 - only this command takes it
    from spillgate.cli.advise import advise as carry_out  # noqa: PLC0415 - the same

    logs.log_nowhere()
    request = Request(PolicySource(url, config, limit), target, error, write, yes, as_json)
    raise typer.Exit(carry_out(request))
