"""Capacity by doing it: today's objects are projected, then as many are loaded, and the two held against each other."""

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

from bench import objects
from bench.corpora import DATA, load
from bench.goals import Report, number, table
from bench.objects import DataSet
from bench.options import Options
from spillgate.config import ServerSettings, load_policy
from spillgate.foresight import growing
from spillgate.foresight.growing import Scale
from spillgate.foresight.growing_settling import settled
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable
from tests.servers import Server, ServerKind

TIMES = (2, 5, 10, 20)
_MOST_OFF = 5.0  # percent
_LIMIT = "1GB"
_BATCH = 500
_EXAMPLE = Path(__file__).parents[1] / "examples" / "ceo-platform.toml"


@dataclass(frozen=True, slots=True)
class Check:
    """One projection and what came of it; ``off`` is how far the prediction is from it, in percent."""

    kind: str
    data: str
    times: int
    keys: int
    predicted_bytes: float
    low_bytes: float
    high_bytes: float
    measured_bytes: int
    off: float


def run(options: Options) -> Report:
    """Check every data set on every kind of server."""
    report = Report("capacity")
    checks: list[Check] = []
    for kind in options.kinds_of(report, *ServerKind):
        for data in _data_sets(quick=options.quick):
            if options.wants(data.name):
                checks += check(kind, data)
    report.numbers = [asdict(one) for one in checks]
    for kind in sorted({one.kind for one in checks}):
        own = [one for one in checks if one.kind == kind]
        print(f"\n{kind}\n\n{_as_table(own)}", flush=True)
        off = [abs(one.off) for one in own]
        inside = sum(one.low_bytes <= one.measured_bytes <= one.high_bytes for one in own)
        report.judge(
            f"{kind}: intervals that hold what was measured", [100 * inside / len(own)], 95, " %", at_least=True
        )
        report.judge(f"{kind}: largest error of {len(own)} projections of 2 to 20 times", [max(off)], _MOST_OFF, " %")
        print(f"\nmedian error {number(statistics.median(off))} %, worst {number(max(off))} %")
    return report


def check(kind: ServerKind, data: DataSet, times: Sequence[int] = TIMES) -> Iterator[Check]:
    """Load it, project, load what was projected, and compare."""
    with Server(kind) as server:
        loaded = [0] * len(data.parts)
        _grow(server, data, loaded, 1)
        _settled(server)
        policy = load_policy(_EXAMPLE, env={}, flags={"url": server.url, "limit": _LIMIT})
        settings = ServerSettings(url=server.url)
        with closing(Gateway(settings, ScanTable(policy.namespaces), clock=time.monotonic)) as gateway:
            gateway.probe()
            survey, looks = growing.collect(gateway, 0.01)
        found = growing.capacity(policy, survey, None, [Scale(times=float(one)) for one in times], looks)
        for many, projection in zip(times, found.projections, strict=True):
            _grow(server, data, loaded, many)
            measured = _settled(server)
            size = projection.bytes
            off = 100 * (size.value - measured) / measured
            yield Check(str(kind), data.name, many, sum(loaded), size.value, size.low, size.high, measured, off)


def _settled(server: Server) -> int:
    with closing(server.client()) as client:
        return settled(lambda: client.info("memory")["used_memory"])


def _grow(server: Server, data: DataSet, loaded: list[int], times: int) -> None:
    """Load until there are so many times today's objects; the connection is a new one, whose buffers go with it."""
    with closing(redis.Redis(port=server.port, socket_timeout=60)) as client:
        for part, (count, write) in enumerate(data.parts):
            chance = random.Random(times * 100 + part)
            for first in range(loaded[part], count * times, _BATCH):
                pipe = client.pipeline(transaction=False)
                for i in range(first, min(first + _BATCH, count * times)):
                    write(pipe, i, chance)
                pipe.execute()
            loaded[part] = count * times


# What is loaded


def _platform(name: str) -> str:
    return f"ceo-platform:{name}:" + "{}"


def _data_sets(*, quick: bool) -> Iterator[DataSet]:
    """The reference deployment, small and in earnest; every type; names of all lengths; real values."""
    reference = (
        (50, objects.string(_platform("sessions"), 600, 1400)),
        (50, objects.string(_platform("users"), 300, 700)),
        (20, objects.string(_platform("channels"), 800, 2000, None)),
        (200, objects.string(_platform("tasks"), 300, 1500)),
        (1000, objects.string(_platform("messages"), 150, 600)),
        (20, objects.string(_platform("voice"), 1000, 8000)),
        (20, objects.string(_platform("ai-context"), 2000, 9000)),
        (500, objects.string(_platform("analytics"), 80, 800)),
    )
    yield DataSet("reference", reference)
    if quick:
        return
    yield DataSet("reference, ten times", tuple((count * 10, write) for count, write in reference))
    yield DataSet("small strings", ((3000, objects.string("n:{}", 1, 60)), (2000, objects.string("m:{}", 1, 60, None))))
    yield DataSet("numbers", ((4000, objects.number("count:{}")),))
    yield DataSet("long names", ((3000, objects.string("a:" + "long-name-" * 8 + "{}", 20, 200)),))
    yield DataSet("large strings", ((300, objects.string("page:{}", 2000, 60_000)),))
    yield DataSet("small hashes", ((2000, objects.fields("user:{}:profile", (3, 20), 20)),))
    yield DataSet("large hashes", ((300, objects.fields("user:{}:settings", (30, 800), 80)),))
    yield DataSet(
        "lists",
        ((1000, objects.many("rpush", "queue:{}", (2, 60), 40)), (50, objects.many("rpush", "log:{}", (500, 900), 90))),
    )
    yield DataSet(
        "sets",
        ((1000, objects.many("sadd", "tags:{}", (2, 20), 12)), (100, objects.many("sadd", "seen:{}", (200, 900), 24))),
    )
    yield DataSet(
        "sorted sets",
        ((1000, objects.scored("rank:{}", (2, 40), 16)), (60, objects.scored("board:{}", (200, 900), 24))),
    )
    yield DataSet("streams", ((400, objects.stream("events:{}", (2, 60), 60)),))
    mixed = (
        (2000, objects.string("s:{}", 20, 900)),
        (500, objects.fields("h:{}", (3, 60), 30)),
        (300, objects.scored("z:{}", (5, 200), 20)),
    )
    yield DataSet(
        "mixed",
        (*mixed, (300, objects.many("rpush", "l:{}", (5, 200), 50)), (200, objects.stream("x:{}", (1, 30), 80))),
    )
    if DATA.exists():
        for corpus in ("turns", "messages", "conversations", "events"):
            values = [repr(value).encode() for value in load(corpus).to_store]
            yield DataSet(f"real {corpus}", ((1000, objects.one_of(_platform("messages"), values)),))
    else:
        print(f"{DATA} is missing: real values are left out")


def _as_table(checks: Sequence[Check]) -> str:
    heads = ("data", "times", "keys", "predicted", "measured", "off by")
    rows = [
        (
            one.data,
            str(one.times),
            f"{one.keys:,}",
            *(f"{size / (1 << 20):.2f} MB" for size in (one.predicted_bytes, one.measured_bytes)),
            f"{one.off:+.2f} %",
        )
        for one in checks
    ]
    return table(heads, rows)
