"""From what was typed to a workload: a shipped scenario by name, else a file, whose format shows in its first line."""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from spillgate.errors import ConfigError
from spillgate.replay.cachelib import read_cachelib
from spillgate.replay.csv_trace import read_csv
from spillgate.replay.mooncake import DEFAULT_BLOCK_BYTES, read_mooncake
from spillgate.replay.scenario_file import read_scenario
from spillgate.replay.shipped import SHIPPED, shipped_scenario
from spillgate.replay.traces import opened
from spillgate.replay.twitter import read_twitter
from spillgate.replay.workload import Workload

_FIRST_CHARACTERS = 4096


class Format(StrEnum):
    """What a file may hold."""

    CSV = "csv"
    CACHELIB = "cachelib"
    MOONCAKE = "mooncake"
    SCENARIO = "scenario"
    TWITTER = "twitter"


@dataclass(frozen=True, slots=True)
class Source:
    """How to read a workload. ``seed`` is of scenarios and clusters, None takes the scenario's own.

    ``clusters``, ``requests`` and ``hours`` are for Twitter's table, ``block_bytes`` for Mooncake's traces.
    """

    format: Format | None = None
    seed: int | None = None
    clusters: tuple[int, ...] = ()
    requests: int = 200_000
    hours: float = 6.0
    block_bytes: int = DEFAULT_BLOCK_BYTES


def load(given: str | Path, source: Source = Source()) -> Workload:
    """The workload of a shipped scenario's name or of a file.

    Raises:
        ConfigError: there is no such file, its format cannot be told, or it cannot be used.
    """
    if isinstance(given, str) and given in SHIPPED:
        return shipped_scenario(given, source.seed).workload()
    path = Path(given)
    if not path.exists():
        shipped = ", ".join(SHIPPED)
        raise ConfigError(f"there is no such file, and no such scenario (there are {shipped})", source=str(given))
    match source.format or format_of(path):
        case Format.CSV:
            return read_csv(path)
        case Format.CACHELIB:
            return read_cachelib(path)
        case Format.MOONCAKE:
            return read_mooncake(path, source.block_bytes)
        case Format.SCENARIO:
            return read_scenario(path, source.seed).workload()
        case Format.TWITTER:
            return read_twitter(path, source.clusters, source.requests, source.hours, source.seed)


def format_of(path: Path) -> Format:
    """What a file holds, by its first line that is not empty.

    Raises:
        ConfigError: it looks like nothing that is known.
    """
    if path.suffix == ".toml":
        return Format.SCENARIO
    with opened(path) as file:
        first = next((line.strip() for line in file.read(_FIRST_CHARACTERS).splitlines() if line.strip()), "")
    columns = {name.strip().lower() for name in first.split(",")}
    if {"op_time", "op_count"} <= columns:
        return Format.CACHELIB
    if {"time", "namespace"} <= columns or len(columns & {"time", "namespace", "key", "op", "size"}) > 1:
        return Format.CSV
    if first.startswith("{") and '"hash_ids"' in first:
        return Format.MOONCAKE
    if first.startswith("|") and "cluster" in first:
        return Format.TWITTER
    formats = ", ".join(Format)
    raise ConfigError(
        f"cannot tell what it holds from {json.dumps(first[:40], ensure_ascii=False)}: say --format ({formats})",
        source=str(path),
    )
