"""What the recorder takes of a call, and what memory it takes, whatever is done with the cache."""

import random
import time
import tracemalloc
from collections.abc import Callable, Sequence

from bench.goals import Report, table
from bench.rounds import Work, in_turn
from spillgate.cache.recorder import BLIND, Recorder
from spillgate.cache.reuse import Sample

_CALLS = 20_000
_KEYS = 200_000
# So few keys are all in the sample, which is where a call takes longest.
_FEW = 300
_GOAL_US = 1.0
_GOAL_KB = 256
_NOTHING = "nothing"


def measure_recorder(report: Report, repetitions: int, rounds: int) -> None:
    """Reads and writes by a thread alone, of few keys and of many."""
    chance = random.Random(1)
    rows: list[tuple[str, ...]] = []
    for keys in (_FEW, _KEYS):
        what = f"{keys:,} keys"
        numbers = [chance.randrange(keys) for _ in range(_CALLS)]
        recorder = Recorder(Sample(time.monotonic))  # kept: its tracks end with it
        track = recorder.track("values")
        works: dict[str, Work] = {
            _NOTHING: _repeated(lambda key: BLIND.read(key, 500), numbers),
            "a read": _repeated(lambda key, track=track: track.read(key, 500), numbers),
            "a write": _repeated(lambda key, track=track: track.write(key, 500), numbers),
        }
        runs = [in_turn(works, rounds) for _ in range(repetitions)]
        for name in list(works)[1:]:
            micros = [run.more_s(name, _NOTHING) * 1e6 / _CALLS for run in runs]
            report.judge(f"what recording {name} takes, {what}", micros, _GOAL_US, " µs", typical=True)
            report.numbers.append({"what": f"recording {name}, {what}", "us": micros})
            rows.append((f"{name}, {what}", " .. ".join(f"{one:.2f}" for one in sorted(micros))))
        assert recorder.snapshot().namespaces, "nothing was recorded"
    kilobytes = _memory_kb()
    report.judge(f"memory of a recorder that saw {_KEYS:,} keys", [kilobytes], _GOAL_KB, " KB")
    report.numbers.append({"what": "memory of a recorder", "kb": kilobytes})
    print(f"\n{table(('recording', 'µs'), rows)}\n\nmemory: {kilobytes:.0f} KB", flush=True)


def _memory_kb() -> float:
    """What a recorder allocates, from its making on, while 200,000 keys are written and read."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        recorder = Recorder(Sample(time.monotonic))
        track = recorder.track("memory")
        for number in range(_KEYS):
            track.write(f"user:{number}", 500)
            track.read(f"user:{number}", 500)
        after, _ = tracemalloc.get_traced_memory()
        assert recorder.snapshot().namespaces, "nothing was recorded"
    finally:
        tracemalloc.stop()
    return (after - before) / 1024


def _repeated(call: Callable[[str], None], numbers: Sequence[int]) -> Work:
    keys = [f"user:{number}" for number in numbers]

    def work() -> None:
        for key in keys:
            call(key)

    return work
