"""The census of a million keys, sampled and exact, beside a full pass of other tools over the same server."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.actors import Actor, all_ready, read_keys
from bench.counters import PEERS, Count, count_with_peer, count_with_spillgate, installed_peers
from bench.data import Keyspace
from bench.goals import Report, number, table
from bench.governing import cpu_and_wait_s
from bench.options import Options
from bench.sweep import worst_call_s
from tests.servers import Server, ServerKind

_SMALL, _MILLION, _LARGE = 100_000, 1_000_000, 5_000_000
_SAMPLED, _EXACT, _PREFIXES = "spillgate census", "spillgate census --exact", "spillgate census, no policy"
_ALONE = "(reader alone)"
_ALONE_S = 5.0
# A sampled census is short: so many make one repetition.
_SAMPLED_RUNS = 10
# A peer that took so many times as long as the fastest is not run again.
_HOPELESS = 1.5
_SLOW_US = 100
_LIMIT_S = 60.0
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Pass:
    """One repetition of one way to find out what fills the memory: of its runs the median times and the worst else.

    The reader's times are those of its GETs while the program was at work, ``waits`` the share of the time for which
    the server was ready to run and had no core. ``half_width`` is of the widest interval and ``error`` the largest
    distance from the truth, both in percent of the bytes of all namespaces. Of ``told`` namespaces, ``close`` are
    within 1 % of the truth, and the intervals of ``inside`` hold it.
    """

    kind: str
    who: str
    keys: int
    seconds: float
    wall_s: float
    reader_p99_s: float
    reader_worst_s: float
    worst_call_s: float
    waits: float
    peak_bytes: int
    sampled_keys: int
    half_width: float
    error: float
    told: int
    close: int
    inside: int


def run(options: Options) -> Report:
    """Have each kind of server counted, print what that took, and judge it."""
    report = Report("census")
    peers = [] if options.quick else list(installed_peers(report))
    for kind in options.kinds_of(report, *ServerKind):
        with Server(kind) as server, tempfile.TemporaryDirectory(prefix="spillgate-") as folder:
            passes = list(_Stage(server, Path(folder) / "spillgate.toml").passes(peers, report, options))
        print(f"\n{kind}\n\n{_as_table(passes)}", flush=True)
        report.numbers += [asdict(one) for one in passes]
        if options.wants("million"):
            _judge_million(kind, [one for one in passes if one.keys == _MILLION], report, beside_peers=bool(peers))
        if options.wants("growth"):
            _judge_growth(kind, passes, report)
    return report


class _Stage:
    """A server that fills up, and all who look at it while another process reads."""

    def __init__(self, server: Server, policy: Path) -> None:
        self._server = server
        self._client = server.client(socket_timeout=_LIMIT_S)
        self._client.config_set("slowlog-log-slower-than", _SLOW_US)
        self._client.config_set("slowlog-max-len", 100_000)
        self._keyspace = Keyspace(self._client)
        policy.write_text("\n".join(_policy(self._keyspace)))
        self._policy = ("--config", str(policy))

    def passes(self, peers: Sequence[str], report: Report, options: Options) -> Iterator[Pass]:
        """All passes, over 100,000, a million and five million keys."""
        growth, million = options.wants("growth"), options.wants("million")
        if growth:
            self._keyspace.grow(_SMALL)
            yield from (self._sampled() for _ in range(options.repetitions))
        self._keyspace.grow(_MILLION)
        for _ in range(options.repetitions):
            yield self._sampled()
            if million:
                yield self._watched(_ALONE, _pause)
                yield self._exact()
                theirs = list(self._peers(peers, report))
                peers = [one.who for one in theirs if one.seconds < _HOPELESS * min(two.seconds for two in theirs)]
                yield from theirs
        if million:
            yield self._watched(_PREFIXES, lambda: count_with_spillgate(self._server))
        if growth and not options.quick:
            self._keyspace.grow(_LARGE)
            yield from (self._sampled() for _ in range(options.repetitions))
            yield self._exact()

    def _sampled(self) -> Pass:
        return self._watched(_SAMPLED, lambda: count_with_spillgate(self._server, *self._policy), _SAMPLED_RUNS)

    def _exact(self) -> Pass:
        return self._watched(_EXACT, lambda: count_with_spillgate(self._server, *self._policy, "--exact"))

    def _peers(self, peers: Sequence[str], report: Report) -> Iterator[Pass]:
        for peer in peers:
            try:
                yield self._watched(peer, lambda peer=peer: count_with_peer(peer, self._server))
            except RuntimeError as error:
                print(f"{self._server.kind}: {error}", flush=True)
                report.judge(f"{self._server.kind}: {peer} failed", (), 0)

    def _watched(self, who: str, count: Callable[[], Count], runs: int = 1) -> Pass:
        self._client.slowlog_reset()
        reader = Actor(read_keys, self._server.port, "bench:n0:{}", self._keyspace.truth["n0"].keys)
        with all_ready(reader):
            started_s, (_, wait_before) = time.monotonic(), cpu_and_wait_s(self._server.pid)
            counts = [count() for _ in range(runs)]
            spent_s, (_, wait_after) = time.monotonic() - started_s, cpu_and_wait_s(self._server.pid)
            series = reader.result(stop=True)
        reads = sorted(s for one in counts for s in series.since(one.ended_s - one.seconds, one.ended_s))
        truth, percent = self._keyspace.truth, 100 / self._keyspace.total.bytes
        told = [(said, truth[name].bytes) for one in counts for name, said in one.namespaces.items() if name in truth]
        errors = [abs(said.value - true) * percent for said, true in told]
        return Pass(
            str(self._server.kind),
            who,
            self._keyspace.total.keys,
            seconds=statistics.median(one.seconds for one in counts),
            wall_s=statistics.median(one.wall_s for one in counts),
            reader_p99_s=reads[int(len(reads) * 0.99)],
            reader_worst_s=reads[-1],
            worst_call_s=worst_call_s(self._client),
            waits=(wait_after - wait_before) / spent_s,
            peak_bytes=max(one.peak_bytes for one in counts),
            sampled_keys=round(statistics.median(one.sampled_keys for one in counts)),
            half_width=max(((said.high - said.low) / 2 * percent for said, _ in told), default=0),
            error=max(errors, default=0),
            told=len(told),
            close=sum(error <= 1 for error in errors),
            inside=sum(said.low <= true <= said.high for said, true in told),
        )


def _policy(keyspace: Keyspace) -> Iterator[str]:
    yield '[server]\nlimit = "4GB"'
    for priority, name in enumerate(keyspace.truth):
        yield f'[[namespace]]\nname = "{name}"\nkeys = "bench:{name}:*"\nttl = "1h"'
        yield f'cleanup = "clear"\npriority = {priority}'


def _pause() -> Count:
    time.sleep(_ALONE_S)
    return Count(_ALONE_S, _ALONE_S, time.monotonic(), 0)


def _judge_million(kind: ServerKind, passes: Sequence[Pass], report: Report, *, beside_peers: bool) -> None:
    by = {who: [one for one in passes if one.who == who] for who in (_SAMPLED, _EXACT, _ALONE)}
    sampled, exact, alone = by.values()
    report.judge(f"{kind}: half of the widest interval", [one.half_width for one in sampled], 1, " % of all")
    close = [100 * one.close / max(1, one.told) for one in sampled]
    report.judge(f"{kind}: namespaces within 1 % of all of the truth", close, 95, " %", at_least=True)
    report.judge(f"{kind}: --exact, largest distance from the truth", [one.error for one in exact], 0, " % of all")
    if beside_peers:
        fastest_s = _fastest_s([one for one in passes if one.who in PEERS])
        faster = [fastest_s / one.seconds for one in sampled] if fastest_s else []
        report.judge(f"{kind}: times as fast as the fastest peer", faster, 20, at_least=True, typical=True)
        ratio = [one.seconds / fastest_s for one in exact] if fastest_s else []
        report.judge(f"{kind}: --exact, time / the fastest peer's", ratio, 1, typical=True)
    for name, ours in (("", sampled), ("--exact, ", exact)):
        slower = [one.reader_p99_s / quiet.reader_p99_s for one, quiet in zip(ours, alone, strict=True)]
        report.judge(f"{kind}: {name}reader's p99 / its p99 alone", slower, 2, typical=True)
        calls = [one.worst_call_s * 1e3 for one in ours]
        report.judge(f"{kind}: {name}worst call", calls, 5, " ms", typical=True)


def _judge_growth(kind: ServerKind, passes: Sequence[Pass], report: Report) -> None:
    """Times at each size, of the same repetition; and the memory with the most keys."""
    sampled = [one for one in passes if one.who == _SAMPLED]
    sizes = [[one.seconds for one in sampled if one.keys == keys] for keys in sorted({one.keys for one in sampled})]
    ratios = [max(times) / min(times) for times in zip(*sizes, strict=True)]
    most = max(one.keys for one in passes)
    report.judge(f"{kind}: longest / shortest time, {_SMALL:,} to {most:,} keys", ratios, 2, typical=True)
    peaks = [one.peak_bytes / _MB for one in passes if one.keys == most and one.who in (_SAMPLED, _EXACT)]
    report.judge(f"{kind}: resident memory at {most:,} keys", peaks, 80, " MB")


def _fastest_s(peers: Sequence[Pass]) -> float | None:
    """The median time of the peer whose median is the shortest."""
    whos = {one.who for one in peers}
    return min((statistics.median(one.seconds for one in peers if one.who == who) for who in whos), default=None)


def _as_table(passes: Sequence[Pass]) -> str:
    heads = ("", "keys", "seconds", "wall clock", "looked at", "interval %", "error %", "close", "inside")
    heads += ("GET p99 ms", "worst ms", "worst call ms", "waits", "RSS MB")
    return table(heads, [_cells(one) for one in passes])


def _cells(one: Pass) -> tuple[str, ...]:
    times = (f"{one.seconds:.2f}", f"{one.wall_s:.2f}")
    said = ("",) * 4
    if one.told:
        shares = (f"{100 * part / one.told:.0f} %" for part in (one.close, one.inside))
        said = (f"±{one.half_width:.2f}", f"{one.error:.2f}", *shares)
    looked_at = f"{one.sampled_keys:,}" if one.sampled_keys else ""
    millis = [f"{s * 1e3:.2f}" for s in (one.reader_p99_s, one.reader_worst_s, one.worst_call_s)]
    peak = number(round(one.peak_bytes / _MB)) if one.peak_bytes else ""
    return (one.who, f"{one.keys:,}", *times, looked_at, *said, *millis, f"{100 * one.waits:.0f} %", peak)
