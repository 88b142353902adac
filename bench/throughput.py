"""How many values a second one client reads and writes: one at a time, and in batches."""

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.contenders import DEFAULT, RAW, SPILLGATE, WITH_DICTIONARY, Contender
from bench.corpora import load
from bench.dictionaries import give_dictionary
from bench.goals import Report, table
from bench.rounds import Rounds, Work, in_turn
from bench.stores import PREFIX, Store, no_prefix
from tests.servers import Server, ServerKind

_VALUES = 100
# A dictionary is trained for so many.
_KEYS = 10_000
# So many batches make one measurement.
_BATCHES = 3
_TRIAL_ROUNDS = 3
# A set-up that took so many times as long as its library's fastest in a short trial has no chance to be the best.
_HOPELESS = 1.5
SMALL = [{"id": number, "name": f"user {number}", "seen": 1_700_000_000 + number} for number in range(_VALUES)]


@dataclass(frozen=True, slots=True)
class Trial:
    """Where, how often and for whom: each repetition has so many rounds."""

    kind: ServerKind
    report: Report
    repetitions: int
    rounds: int

    def run(self, works: Mapping[str, Work]) -> list[Rounds]:
        """All repetitions."""
        return [in_turn(works, self.rounds) for _ in range(self.repetitions)]

    def show(self, what: str, runs: Sequence[Rounds], operations: int, beside: str) -> None:
        """Print, and keep, what was measured; each contender also as so many times as fast as ``beside``."""
        rows: list[tuple[float, tuple[str, ...]]] = []
        for who in runs[0].seconds:
            per_s = sorted(operations / run.median_s(who) for run in runs)
            ratios = sorted(run.times_as_fast(who, beside) for run in runs)
            numbers = {"kind": str(self.kind), "what": what, "who": who, "per_s": per_s, f"times {beside}": ratios}
            self.report.numbers.append(numbers)
            spread = f"{ratios[0]:.2f} .. {ratios[-1]:.2f}"
            middle = len(runs) // 2
            rows.append((per_s[middle], (who, f"{per_s[middle]:,.0f}", f"{ratios[middle]:.2f}", spread)))
        heads = ("", "per s", f"times {beside}", "repetitions")
        ranked = [cells for _, cells in sorted(rows, reverse=True)]
        print(f"\n{self.kind}: {what}\n\n{table(heads, ranked)}", flush=True)


def measure_single(trial: Trial, peers: Sequence[Contender]) -> None:
    """One `get` and one `set` at a time, of chat turns and of small dicts, without compression."""
    corpus = load("turns")
    rivals = [one for one in peers if "," not in one.variant and one.library not in {"cashews", "aiocache"}]
    for what, values in {"chat turn": corpus.to_store[:_VALUES], "small dict": SMALL}.items():
        with prepared(trial.kind, corpus.to_learn) as server:
            opened = {one.name: _open(one, server, values) for one in (DEFAULT, WITH_DICTIONARY, *rivals)}
            for how, make in {"get": _gets, "set": _sets}.items():
                runs = trial.run({name: make(store, keys, values) for name, (store, keys) in opened.items()})
                trial.show(f"one {how} at a time, {what}", runs, len(values), RAW.name)
                ratios = [run.times_as_fast(DEFAULT.name, RAW.name) for run in runs]
                goal = f"{trial.kind}: {how}, {what}: times as fast as redis-py with orjson"
                trial.report.judge(goal, ratios, 0.95, at_least=True, typical=True)


def measure_batches(trial: Trial, peers: Sequence[Contender]) -> None:
    """100 chat turns at a time, compressed."""
    corpus = load("turns")
    values = corpus.to_store[:_VALUES]
    rivals = [one for one in peers if "," in one.variant and one.library not in {"cashews", "aiocache"}]
    with prepared(trial.kind, corpus.to_learn) as server:
        opened = {one.name: _open(one, server, values) for one in (WITH_DICTIONARY, *rivals, RAW)}
        for how, make, least in (("get_many", _many_gets, 1.3), ("set_many", _many_sets, 1.1)):
            works = {name: make(store, keys, values) for name, (store, keys) in opened.items()}
            hopeful = _hopeful(works, rivals)
            runs = trial.run({name: works[name] for name in (WITH_DICTIONARY.name, *hopeful, RAW.name)})
            trial.show(f"{how}, {_VALUES} chat turns", runs, _VALUES * _BATCHES, WITH_DICTIONARY.name)
            best = [name for name in hopeful if name.startswith("django-redis")]
            ratios = [run.times_as_fast(WITH_DICTIONARY.name, run.fastest(best)) for run in runs]
            goal = f"{trial.kind}: {how}, compressed: times as fast as django-redis's best"
            trial.report.judge(goal, ratios, least, at_least=True, typical=True)


def _hopeful(works: Mapping[str, Work], rivals: Sequence[Contender]) -> list[str]:
    """The set-ups of each library that may turn out to be its fastest."""
    tried = in_turn({one.name: works[one.name] for one in rivals}, _TRIAL_ROUNDS)
    names: list[str] = []
    for library in dict.fromkeys(one.library for one in rivals):
        own = [one.name for one in rivals if one.library == library]
        limit_s = _HOPELESS * tried.median_s(tried.fastest(own))
        names += [name for name in own if tried.median_s(name) <= limit_s]
    return names


@contextlib.contextmanager
def prepared(kind: ServerKind, to_learn: Sequence[Any]) -> Generator[Server]:
    """A server with a dictionary for those who want one."""
    with Server(kind) as server:
        with server.client() as client:
            give_dictionary(client, to_learn, _KEYS)
        yield server


def _open(contender: Contender, server: Server, values: Sequence[Any]) -> tuple[Store, list[str]]:
    """The contender's store and the keys of the values, which are there: each contender has keys of its own."""
    own = f"{PREFIX}{contender.library}-{contender.variant}:".replace(", ", "-").replace(" ", "-")
    keys = [f"{own}{number}" for number in range(len(values))]
    keys = [no_prefix(key) for key in keys] if contender.library == SPILLGATE else keys
    store = contender.make(server.url)
    for _ in range(2):  # the first write learns of the dictionary
        store.set_many(dict(zip(keys, values, strict=True)))
    assert list(store.get_many(keys)) == list(values), f"{contender.name} returns something else than was stored"
    return store, keys


def _gets(store: Store, keys: Sequence[str], _: Sequence[Any]) -> Work:
    get = store.get

    def work() -> None:
        for key in keys:
            get(key)

    return work


def _sets(store: Store, keys: Sequence[str], values: Sequence[Any]) -> Work:
    pairs, set_ = list(zip(keys, values, strict=True)), store.set

    def work() -> None:
        for key, value in pairs:
            set_(key, value)

    return work


def _many_gets(store: Store, keys: Sequence[str], _: Sequence[Any]) -> Work:
    def work() -> None:
        for _ in range(_BATCHES):
            list(store.get_many(keys))

    return work


def _many_sets(store: Store, keys: Sequence[str], values: Sequence[Any]) -> Work:
    pairs: dict[str, Any] = dict(zip(keys, values, strict=True))

    def work() -> None:
        for _ in range(_BATCHES):
            store.set_many(pairs)

    return work
