"""Scenarios from the table of Twitter's production caches.

The table (twitter/cache-trace, 2020Mar.md; Yang, Yue and Rashmi, A large scale analysis of hundreds of in-memory cache
clusters at Twitter, OSDI 2020) has for each cluster, over a week: sizes of keys and values, requests per second, how
often a key is asked for on average, the mix of TTLs and operations, and the exponent of its Zipf law. The requests made
from a row are synthetic. They are scaled down: request rate and number of keys by the same factor, so that a key is
asked for as often, on average, as the row says.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spillgate.errors import ConfigError, UnitError
from spillgate.replay.scenario import Population, Scenario, Stretch
from spillgate.replay.scenario_file import MOST_KEYS
from spillgate.replay.traces import opened
from spillgate.replay.workload import Workload
from spillgate.units import parse_duration

_WEEK_S = 7 * 86_400.0
_MOST_KEYS = 500_000
_LEAST_TTL_S = 1.0
_HEADINGS = {
    "key size": "key_size",
    "value size": "value_size",
    "request rate": "rate",
    "mean freq": "frequency",
    "common ttl": "ttls",
    "operation": "operations",
    "zipf alpha": "alpha",
}
_GETS, _DELETES = {"get", "gets"}, {"delete"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A row of the table; rates are requests per second, ``operations`` their shares."""

    name: str
    key_bytes: int
    value_bytes: int
    requests_s: float
    frequency: float
    ttls: tuple[tuple[float, float], ...]
    operations: tuple[tuple[str, float], ...]
    alpha: float

    @property
    def keys(self) -> float:
        """How many keys it has in a week."""
        return self.requests_s * _WEEK_S / self.frequency

    def share(self, kinds: set[str]) -> float:
        """The share that operations of some kinds have in those that are told."""
        total = sum(share for _, share in self.operations)
        return sum(share for kind, share in self.operations if kind in kinds) / total


def read_twitter(path: Path, clusters: Sequence[int], requests: int, hours: float, seed: int | None = None) -> Workload:
    """About so many requests over so many virtual hours, shared evenly by some rows of the table at ``path``.

    Raises:
        ConfigError: the table or one of the rows cannot be used.
    """
    table = _table(path)
    if not clusters:
        message = f"give the rows to use, such as --cluster 4 (there are 1 to {len(table)})"
        raise ConfigError(message, source="command line", key="--cluster")
    chosen = [_cluster(path, table, number) for number in clusters]
    duration_s = hours * 3600.0
    scaled = [_population(one, requests / len(chosen), duration_s) for one in chosen]
    told = "; ".join(
        f"{one.name} scaled down {1 / scale:,.0f} times, to {population.keys:,} keys"
        for one, (population, scale) in zip(chosen, scaled, strict=True)
    )
    return Scenario(
        name="-".join(one.name for one in chosen),
        note=f"synthetic, made from published figures ({path.name}): {told}",
        populations=tuple(population for population, _ in scaled),
        stretches=(Stretch("all", duration_s),),
        seed=1 if seed is None else seed,
    ).workload()


def _population(cluster: Cluster, requests: float, duration_s: float) -> tuple[Population, float]:
    """The keys and rates for so many requests, and by which factor both are scaled."""
    scale = min(1.0, requests / (cluster.requests_s * duration_s), _MOST_KEYS / cluster.keys)
    rate = cluster.requests_s * scale
    gets, deletes = cluster.share(_GETS), cluster.share(_DELETES)
    population = Population(
        name=cluster.name,
        keys=min(MOST_KEYS, max(1, round(cluster.keys * scale))),
        reads_s=rate * gets,
        writes_s=rate * max(0.0, 1 - gets - deletes),
        deletes_s=rate * deletes,
        zipf=cluster.alpha,
        sizes=(cluster.value_bytes,),
        ttls=cluster.ttls,
        name_bytes=cluster.key_bytes,
    )
    return population, scale


def _table(path: Path) -> dict[int, dict[str, str]]:
    """The rows by number, each by heading."""
    found: dict[int, dict[str, str]] = {}
    headings: list[str] = []
    with opened(path) as file:
        for text in file:
            if not text.lstrip().startswith("|"):
                continue
            cells = [cell.strip() for cell in text.strip().strip("|").split("|")]
            number = re.fullmatch(r"cluster ?(\d+)", cells[0], re.IGNORECASE)
            if number:
                found[int(number[1])] = dict(zip(headings, cells, strict=False))
            elif not headings:
                headings = [_heading(cell) for cell in cells]
    missing = [heading for heading, name in _HEADINGS.items() if name not in headings]
    if missing or not found:
        raise ConfigError(f"is no table of clusters: it has no {missing[0] if missing else 'row'}", source=str(path))
    return found


def _heading(cell: str) -> str:
    text = cell.lower()
    return next((name for begin, name in _HEADINGS.items() if text.startswith(begin)), text)


def _cluster(path: Path, table: Mapping[int, Mapping[str, str]], number: int) -> Cluster:
    if number not in table:
        message = f"there is no cluster {number} (there are {min(table)} to {max(table)})"
        raise ConfigError(message, source=str(path), key="--cluster")
    row, place = table[number], f"cluster{number}"

    def real(name: str) -> float:
        try:
            return float(row[name])
        except (KeyError, ValueError):
            message = f'{name}: expected a number, got "{row.get(name, "")}", so that no requests can be made from it'
            raise ConfigError(message, source=str(path), key=place) from None

    def shares(name: str) -> list[tuple[str, float]]:
        found = re.findall(r"([\w.]+):(\d+(?:\.\d+)?)", row.get(name, ""))
        if not any(float(share) for _, share in found):
            message = f'{name}: expected shares such as "60s:0.39, 1h:0.13", got "{row.get(name, "")}"'
            raise ConfigError(message, source=str(path), key=place)
        return [(kind, float(share)) for kind, share in found if float(share)]

    try:
        ttls = tuple((max(_LEAST_TTL_S, parse_duration(ttl)), share) for ttl, share in shares("ttls"))
    except UnitError as error:
        raise ConfigError(str(error), source=str(path), key=place) from error
    return Cluster(
        name=place,
        key_bytes=max(1, round(real("key_size"))),
        value_bytes=max(1, round(real("value_size"))),
        requests_s=real("rate") * 1000,
        frequency=max(1.0, real("frequency")),
        ttls=ttls,
        operations=tuple(shares("operations")),
        alpha=real("alpha"),
    )
