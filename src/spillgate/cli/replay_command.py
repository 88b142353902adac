"""What can be typed after ``spillgate replay``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spillgate.cli import logs
from spillgate.cli.options import AsJson, Config, Limit, PolicySource


class WorkloadFormat(StrEnum):
    """What a workload's file may hold."""

    CSV = "csv"
    CACHELIB = "cachelib"
    MOONCAKE = "mooncake"
    SCENARIO = "scenario"
    TWITTER = "twitter"


def replay(  # noqa: PLR0913 - each option of a command is a parameter of its function
    workload: Annotated[
        str,
        typer.Argument(
            metavar="WORKLOAD",
            help="normal, busy, flood or reference, which come with Spillgate; else a file: a scenario (TOML), a trace "
            "as CSV (time,namespace,key,op,size[,ttl]), of CacheLib or of Mooncake, or Twitter's table of clusters.",
        ),
    ],
    *,
    config: Config = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="Another policy file: compare the two under Spillgate."),
    ] = None,
    limit: Limit = None,
    as_json: AsJson = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="A contender: an eviction policy, or spillgate. May be repeated."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            min=1,
            help="How long each contender runs; time is scaled to fit.",
            show_default="20, longer for more than 500,000 requests",
        ),
    ] = None,
    file_format: Annotated[
        WorkloadFormat | None,
        typer.Option("--format", help="What the file holds.", show_default="what its first line looks like"),
    ] = None,
    cluster: Annotated[
        list[int] | None,
        typer.Option("--cluster", metavar="N", help="A row of Twitter's table to use. May be repeated."),
    ] = None,
    requests: Annotated[
        int, typer.Option("--requests", metavar="N", min=1000, max=5_000_000, help="Requests to make of those rows,")
    ] = 200_000,
    hours: Annotated[
        float, typer.Option("--hours", metavar="H", min=0.1, max=1000, help="and hours that they are spread over.")
    ] = 6.0,
    block_size: Annotated[
        str,
        typer.Option("--block-size", metavar="SIZE", help="What a block of a Mooncake trace takes: an assumption."),
    ] = "2KB",
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Seed of the requests made.", show_default="the scenario's"),
    ] = None,
) -> None:
    """Try a workload on servers of this machine, side by side.

    Plays the same requests, cache-aside, on an embedded Valkey under each eviction policy and under Spillgate: hit
    ratio by namespace, and weighted by what rebuilding a value costs; refused writes, protected keys lost, evictions,
    memory, latency. Time runs faster, for requests and TTLs alike. With --policy it tells what a change of the policy
    would do before it is made. Touches no other server.
    """
    from spillgate.cli.replay import Request, compare  # noqa: PLC0415 - only this command takes it

    logs.log_nowhere()
    raise typer.Exit(
        compare(
            Request(
                workload=workload,
                source=PolicySource(None, config, limit),
                other=policy,
                only=tuple(only or ()),
                seconds=seconds,
                file_format=file_format,
                clusters=tuple(cluster or ()),
                requests=requests,
                hours=hours,
                block_size=block_size,
                seed=seed,
                as_json=as_json,
            )
        )
    )
