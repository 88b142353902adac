"""Foresight: what was predicted of each TTL from a sample, beside what a replay measures; and what advice is worth.

Predictions come from a recorder of 256 KB that saw the workload once, under today's TTLs, and from a census of a few of
its objects. Measurements come from a replay of the same requests on a server without a limit, once for each TTL. TTLs
as long as the workload all do the same, and are replayed once.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from time import monotonic

import redis

from bench.corpora import DATA
from bench.goals import Report, number, table
from bench.observing import observe, simulate
from bench.options import Options
from spillgate.cache.recording import TTLS_S, Recording
from spillgate.config import Policy, ServerSettings
from spillgate.foresight.advising import advise, look
from spillgate.foresight.advising_curves import curves_of
from spillgate.model import Survey
from spillgate.policy.ttl_curve import Curve
from spillgate.replay import NOEVICTION, SPILLGATE, STOCK, Conditions, Contender, Result, Source, Workload, load
from spillgate.replay import run as replay
from spillgate.replay.names import namers
from spillgate.server.embedded import embedded_valkey
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable
from spillgate.units import format_duration

MB = 1024 * 1024
_LIMIT = 25 * MB
_TABLE = "twitter_clusters_2020Mar.md"
_CLUSTERS = (4, 10, 14)
# Rows that are simulated as well; those left out in between are read too little, or all of their keys are sampled.
_SIMULATED = (2, 3, 4, 7, 9, 10, 11, 12, 13, 14, 19, 23, 26)
_HOURS = 2.0
_TODAY_S = 600.0
# So many keys are loaded for the census from which the bytes of a key are known.
_CENSUS_KEYS = 20_000
_SECONDS = 12.0
# A tenth of a second is coarse enough for a server that looks for expired keys 500 times a second.
_LEAST_TTL_S = 0.1
_MOST_SECONDS = 110.0
_MOST_POINTS = 2.0
_MOST_OFF = 10.0
_FEW_READS = 1000
_ADVICE_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class Check:
    """A TTL for all namespaces of a workload: hit ratios in percent, bytes of data, means over the whole run.

    ``worst_namespace`` is how far the hit ratio of a namespace was off, in points, where it was off most.
    """

    workload: str
    ttl_s: float
    hits: float
    predicted_hits: float
    worst_namespace: float
    bytes: float
    predicted_bytes: float
    kept_pace: bool

    @property
    def points(self) -> float:
        """How far the hit ratio was off, in points."""
        return abs(self.predicted_hits - self.hits)

    @property
    def off(self) -> float:
        """How far the bytes were off, in percent."""
        return 100 * (self.predicted_bytes / self.bytes - 1)


def run(options: Options) -> Report:
    """Whatever was asked for."""
    report = Report("foresight")
    for name, workload in _workloads(report, options):
        _judge(report, name, list(_checks(name, workload, quick=options.quick)))
    if options.wants("simulated") and (DATA / _TABLE).exists():
        _simulated(report, quick=options.quick)
    if options.wants("advice"):
        for _ in range(options.repetitions):
            _advice(report)
    return report


def _workloads(report: Report, options: Options) -> Iterator[tuple[str, Workload]]:
    """The reference workload and those from real data; where the data is missing that is a goal not reached."""
    if options.wants("reference"):
        yield "reference", load("reference")
    sources = [("mooncake", DATA / "arrivals_mooncake_conversation.jsonl", Source())]
    sources += [(f"cluster{number}", DATA / _TABLE, Source(clusters=(number,), hours=_HOURS)) for number in _CLUSTERS]
    for name, path, source in sources:
        if not options.wants(name):
            continue
        if path.exists():
            yield name, load(path, source)
        else:
            report.judge(f"{name}: {path.name} is missing", (), 0)


# Predictions


def _checks(name: str, workload: Workload, *, quick: bool) -> Iterator[Check]:
    policy = workload.weighted(workload.policy or workload.own_policy(_LIMIT))
    recording = observe(workload, _today(workload, policy))
    curves = curves_of(recording, _census(workload, policy), policy)
    done: dict[float, Result] = {}
    for ttl_s in TTLS_S[::8] if quick else TTLS_S:
        acting_s = min(ttl_s, workload.duration_s)
        if acting_s not in done:
            done[acting_s] = _replayed(workload, policy, ttl_s)
        yield _check(name, ttl_s, curves, done[acting_s])


def _today(workload: Workload, policy: Policy) -> Mapping[str, float]:
    """The TTLs under which the recorder saw it: the policy's, else ten minutes."""
    own = {ns.name: ns.ttl_s or _TODAY_S for ns in policy.namespaces} if workload.policy else {}
    return {space.name: own.get(space.name, _TODAY_S) for space in workload.namespaces}


def _census(workload: Workload, policy: Policy) -> Survey:
    """Of a server with some of its objects, all of them with a TTL."""
    named = namers(policy, tuple(space.name for space in workload.namespaces))
    objects: dict[bytes, int] = {}
    for request in workload.requests():
        if request.size:
            objects[named[request.namespace](request.key)] = request.size
        if len(objects) >= _CENSUS_KEYS:
            break
    with embedded_valkey(0) as url:
        pipe = redis.Redis.from_url(url).pipeline(transaction=False)
        entries = iter(objects.items())
        while batch := list(islice(entries, 500)):
            for key, size in batch:
                pipe.set(key, b"x" * size, ex=86_400)
            pipe.execute()
        settings = ServerSettings(url=url)
        with closing(Gateway(settings, ScanTable(policy.namespaces), clock=monotonic)) as gateway:
            return look(gateway, policy, 0.01).survey


def _replayed(workload: Workload, policy: Policy, ttl_s: float) -> Result:
    """A replay in which every value lives that long, slow enough for the server's clock."""
    seconds = min(_MOST_SECONDS, max(_SECONDS, workload.duration_s * _LEAST_TTL_S / ttl_s))
    ttls = {space.name: ttl_s for space in workload.namespaces}
    return replay(workload, policy, NOEVICTION, Conditions(seconds, limited=False, ttls=ttls))


def _check(name: str, ttl_s: float, curves: Mapping[str, Curve], result: Result) -> Check:
    points = {own: curve.at(ttl_s) for own, curve in curves.items()}
    reads = sum(row.reads for row in result.namespaces)
    hits = sum(row.hits for row in result.namespaces)
    off = [
        100 * abs(points[row.name].cold_hit_ratio - row.hits / row.reads)
        for row in result.namespaces
        if row.reads >= _FEW_READS
    ]
    predicted = sum(points[row.name].cold_hit_ratio * row.reads for row in result.namespaces if row.reads)
    return Check(
        name,
        ttl_s,
        100 * hits / reads,
        100 * predicted / reads,
        max(off),
        result.mean_data_bytes,
        sum(point.cold_bytes for point in points.values()),
        result.kept_pace,
    )


def _judge(report: Report, name: str, checks: list[Check]) -> None:
    heads = ("TTL", "hit ratio", "predicted", "off, points", "a namespace", "data, MB", "predicted", "off")
    rows = [
        (
            format_duration(one.ttl_s) + ("" if one.kept_pace else " (late)"),
            f"{one.hits:.1f} %",
            f"{one.predicted_hits:.1f} %",
            f"{one.points:.2f}",
            f"{one.worst_namespace:.2f}",
            f"{one.bytes / MB:.2f}",
            f"{one.predicted_bytes / MB:.2f}",
            f"{one.off:+.1f} %",
        )
        for one in checks
    ]
    print(f"\n{name}\n\n{table(heads, rows)}", flush=True)
    report.numbers += [asdict(one) for one in checks]
    kept = f"{name}, {len(checks)} TTLs"
    report.judge(f"{kept}: hit ratio, largest error", [max(one.points for one in checks)], _MOST_POINTS, " points")
    if any(one.worst_namespace > one.points + 0.01 for one in checks):
        worst = [max(one.worst_namespace for one in checks)]
        report.judge(f"{kept}: hit ratio of a namespace, largest error", worst, _MOST_POINTS, " points")
    report.judge(f"{kept}: memory, largest error", [max(abs(one.off) for one in checks)], _MOST_OFF, " %")


# Rows without a server


def _simulated(report: Report, *, quick: bool) -> None:
    """Hit ratios of many rows of the table, predicted and counted; memory is not."""
    rows: list[tuple[str, ...]] = []
    off: dict[str, float] = {}
    for row in _SIMULATED[::6] if quick else _SIMULATED:
        workload = load(DATA / _TABLE, Source(clusters=(row,), hours=_HOURS))
        (space,) = workload.namespaces
        noted = observe(workload, {space.name: _TODAY_S})[space.name]
        requests = list(workload.requests())
        points = [100 * abs(one.cold_hit_ratio - simulate(requests, one.ttl_s)) for one in noted.curve()]
        off[space.name] = max(points)
        rows.append((space.name, number(noted.reads), f"{noted.rate:.3f}", f"{max(points):.2f}"))
    print(f"\n{table(('row, synthetic', 'reads', 'sampled', 'off most, points'), rows)}", flush=True)
    report.numbers.append({"simulated": off})
    report.judge("simulated rows: hit ratio, largest error", list(off.values()), _MOST_POINTS, " points")


# Advice


def _advice(report: Report) -> None:
    """The reference workload in 25 MB: under stock policies, under Spillgate as shipped, and with the advised TTLs."""
    workload = load("reference")
    assert workload.policy is not None
    shipped = workload.weighted(workload.policy)
    recording = observe(workload, _today(workload, shipped))
    advised = _advised(workload, shipped, recording)
    results = {one.name: _in_25_mb(workload, shipped, one) for one in STOCK}
    results["as shipped"] = _in_25_mb(workload, shipped, SPILLGATE)
    results["as advised"] = _in_25_mb(workload, advised, SPILLGATE)
    ttls = {ns.name: ns.ttl_s for ns in shipped.namespaces}
    changed = [
        f"{ns.name} {format_duration(ttls[ns.name] or 0)} -> {format_duration(ns.ttl_s or 0)}"
        for ns in advised.namespaces
        if ns.ttl_s != ttls[ns.name]
    ]
    rows = [
        (
            name,
            f"{100 * (one.hit_ratio or 0):.2f} %",
            f"{_weighted(one):.2f} %",
            number(one.refused),
            number(one.lost),
            number(one.evicted),
            f"{one.mean_bytes / MB:.1f}",
            f"{one.peak_bytes / MB:.1f}",
        )
        for name, one in results.items()
    ]
    heads = ("reference, 25 MB", "hits", "weighted", "refused", "lost", "evicted", "mean, MB", "peak, MB")
    print(f"\n{table(heads, rows)}\n\nadvised: {', '.join(changed) or 'nothing'}", flush=True)
    report.numbers.append({"advised": changed} | {name: one.document() for name, one in results.items()})
    best = max((results[one.name] for one in STOCK), key=_weighted)
    reached = _weighted(results["as advised"])
    report.judge(
        "advised TTLs: weighted hits more than the best stock policy's",
        [reached - _weighted(best)], 0, " points", at_least=True,
    )  # fmt: skip
    report.judge(
        "advised TTLs: weighted hits more than with the policy as shipped",
        [reached - _weighted(results["as shipped"])], 0, " points", at_least=True,
    )  # fmt: skip
    report.judge("advised TTLs: protected keys lost", [results["as advised"].lost], 0)
    report.judge("advised TTLs: writes refused", [results["as advised"].refused], 0)


def _advised(workload: Workload, policy: Policy, recording: Recording) -> Policy:
    survey = _census(workload, policy)
    plan = advise(policy, survey, recording, limit_bytes=_LIMIT)
    ttls = {one.name: one.recommended_s for one in plan.advices}
    return replace(
        policy,
        namespaces=tuple(replace(ns, ttl_s=ttls.get(ns.name) or ns.ttl_s) for ns in policy.namespaces),
    )


def _weighted(result: Result) -> float:
    """Hits by what rebuilding costs, in percent."""
    assert result.weighted_hit_ratio is not None
    return 100 * result.weighted_hit_ratio


def _in_25_mb(workload: Workload, policy: Policy, contender: Contender) -> Result:
    return replay(workload, policy, contender, Conditions(_ADVICE_SECONDS))
