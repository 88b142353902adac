"""What values take in the server, of real data, with Spillgate and with its peers; and what compressing them takes."""

import contextlib
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis

from bench.compressors import measure_speed
from bench.contenders import DEFAULT, OURS, WITH_DICTIONARY, Contender, peers
from bench.corpora import CORPORA, Corpus, load
from bench.dictionaries import give_dictionary
from bench.goals import Report, table
from bench.options import Options
from bench.stores import PREFIX, TTL_S, no_prefix
from tests.servers import Server, ServerKind, eventually

# The most that Spillgate may take of what the best peer takes.
_GOALS = {"turns": 0.55, "messages": 0.65, "conversations": 0.40, "events": 0.55}
_LIMIT = 25 << 20
# The bytes are those of so many keys, or of as many as fit.
_KEYS = 10_000
_BATCH = 100
_CHUNK_BYTES = 16_384
# Of the peers so many, the best ones, are measured on other quarters, too, and fill a server.
_FINALISTS = 2
_OUR_NAMES = {one.name for one in OURS}


@dataclass(frozen=True, slots=True)
class Stored:
    """What one contender took.

    ``value_bytes`` is of a value and its key, all overhead included, a share of the ``dictionary_bytes`` as well;
    ``written_bytes`` is of the value alone. ``fit`` is how many a server of 25 MB took until its first refusal; None:
    not tried.
    """

    kind: str
    corpus: str
    seed: int
    who: str
    keys: int
    value_bytes: float
    written_bytes: float
    dictionary_bytes: int
    fit: int | None


def run(options: Options) -> Report:
    """Store each corpus on each kind of server, print what that took, and judge it."""
    report = Report("values")
    others = list(peers(report, quick=options.quick))
    corpora = [name for name in CORPORA if options.wants(name)]
    for kind in options.kinds_of(report, *ServerKind):
        for name in corpora:
            stored = list(_all_stored(kind, name, others, options))
            print(f"\n{kind}, {name}\n\n{_as_table(stored)}", flush=True)
            report.numbers += [asdict(one) for one in stored]
            _judge(kind, name, stored, report)
    if options.wants("speed"):
        measure_speed(corpora or list(CORPORA), report, rounds=1 if options.quick else 5)
    return report


def _all_stored(kind: ServerKind, name: str, others: Sequence[Contender], options: Options) -> Iterator[Stored]:
    """Everybody once, then the best, as many times as there are repetitions: each with another quarter to learn from.

    The server is filled in the first of those alone.
    """
    corpus = load(name)
    ours = (WITH_DICTIONARY, DEFAULT) if options.quick else OURS
    first = {one.name: _stored(kind, corpus, 0, one) for one in (*ours, *others)}
    best = sorted(others, key=lambda one: first[one.name].value_bytes)[:_FINALISTS]
    finalists = [WITH_DICTIONARY, *best]
    filled = finalists if options.quick else [*finalists, DEFAULT, *_first_of_each(others, first)]
    again = {one.name: _stored(kind, corpus, 0, one, fill=True) for one in filled}
    yield from sorted((first | again).values(), key=lambda one: one.value_bytes)
    for seed in range(1, options.repetitions):
        another = load(name, seed)
        for contender in finalists:
            yield _stored(kind, another, seed, contender)


def _first_of_each(others: Sequence[Contender], first: dict[str, Stored]) -> list[Contender]:
    """The best set-up of each library."""
    ranked = sorted(others, key=lambda one: first[one.name].value_bytes)
    return list({one.library: one for one in reversed(ranked)}.values())


def _stored(kind: ServerKind, corpus: Corpus, seed: int, contender: Contender, *, fill: bool = False) -> Stored:
    """Have the contender write the values to a new server; what it wrote is repeated under further keys."""
    with Server(kind, maxmemory=_LIMIT, maxmemory_policy="noeviction") as server:
        before = _used_bytes(server)
        with server.client() as client:
            learnt = give_dictionary(client, corpus.to_learn, _KEYS) if contender.dictionary else 0
        written = _written(server, corpus.to_store, contender)
        count, fits = len(written), True
        with server.client() as client:
            if count < _KEYS:
                count, fits = _repeat(client, written, count, _KEYS)
        after = _used_bytes(server)
        fit: int | None = None
        if fill:
            with server.client() as client:
                fit, _ = _repeat(client, written, count, None) if fits else (count, False)
    return Stored(
        str(kind),
        corpus.name,
        seed,
        contender.name,
        count,
        (after - before) / count,
        statistics.mean(map(len, written)),
        learnt,
        fit,
    )


def _written(server: Server, values: Sequence[Any], contender: Contender) -> list[bytes]:
    """The bytes that the contender wrote for each value; it read them back, and they have a TTL."""
    keys = [f"{PREFIX}{number}" for number in range(len(values))]
    names = [no_prefix(key) for key in keys] if contender.is_ours else keys
    store = contender.make(server.url)
    store.set(names[0], values[0])  # the first write learns of the dictionary
    for at in range(0, len(values), _BATCH):
        store.set_many(dict(zip(names[at : at + _BATCH], values[at : at + _BATCH], strict=True)))
        read = list(store.get_many(names[at : at + _BATCH]))
        assert read == values[at : at + _BATCH], f"{contender.name} returns something else than was stored"
    with server.client() as client:
        stored = cast("list[bytes]", client.mget(keys))
        assert None not in stored, f"{contender.name} lost values"
        assert client.pttl(keys[-1]) > 0, f"{contender.name} sets no TTL"
        client.client_kill_filter(_type="normal", skipme=True)
    close = getattr(store, "close", None)
    if close is not None:
        with contextlib.suppress(Exception):
            close()
    return stored


def _repeat(client: redis.Redis, written: Sequence[bytes], count: int, most: int | None) -> tuple[int, bool]:
    """Write the same bytes under further keys, until there are ``most`` or one is refused; how many there are then."""
    while most is None or count < most:
        pipe, size, first = client.pipeline(transaction=False), 0, count
        while size < _CHUNK_BYTES and (most is None or count < most):
            value = written[count % len(written)]
            pipe.execute_command("SET", f"{PREFIX}{count}", value, "PX", TTL_S * 1000)
            count += 1
            size += len(value) + _BATCH
        for place, reply in enumerate(pipe.execute(raise_on_error=False)):
            if isinstance(reply, redis.RedisError):
                return first + place, False
    return count, True


def _used_bytes(server: Server) -> int:
    """What the server uses while nobody but who asks is connected."""
    with server.client() as client:
        client.ping()
        eventually(lambda: len(client.client_list()) == 1)
        return cast("dict[str, int]", client.info("memory"))["used_memory"]


def _judge(kind: ServerKind, name: str, stored: Sequence[Stored], report: Report) -> None:
    """The worst of the repetitions, each against the best peer of the same."""
    shares: list[float] = []
    for seed in sorted({one.seed for one in stored}):
        same = [one for one in stored if one.seed == seed]
        ours = next(one for one in same if one.who == WITH_DICTIONARY.name)
        shares.append(100 * ours.value_bytes / _best_peer(same).value_bytes)
    report.judge(f"{kind}: {name}, bytes / the best peer's", shares, 100 * _GOALS[name], " %")


def _as_table(stored: Sequence[Stored]) -> str:
    """What was measured with the first quarter: the others say little else, and are in the goals' spread."""
    first = [one for one in stored if not one.seed]
    best = _best_peer(first).value_bytes
    heads = ("", "keys", "bytes a value", "of the best peer's", "value alone", "dictionary", "fit into 25 MB")
    return table(heads, [_cells(one, best) for one in first])


def _cells(one: Stored, best: float) -> tuple[str, ...]:
    share = f"{100 * one.value_bytes / best:.0f} %"
    dictionary = f"{one.dictionary_bytes:,}" if one.dictionary_bytes else ""
    fit = f"{one.fit:,}" if one.fit else ""
    return (one.who, f"{one.keys:,}", f"{one.value_bytes:,.1f}", share, f"{one.written_bytes:,.1f}", dictionary, fit)


def _best_peer(stored: Sequence[Stored]) -> Stored:
    """The peer whose values take the least."""
    return min((one for one in stored if one.who not in _OUR_NAMES), key=lambda one: one.value_bytes)
