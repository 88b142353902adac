"""The workload, a process of its own: ``python -m spillgate.demo.workload URL SECONDS``.

It writes as the platform's users would, and reports on standard output, a line of JSON four times a second. It ends
when its time is over or its standard input closes, with a last check and a last report. What it wrote and what was
refused it counts by itself, and each key that must not be lost it looks for on the server.
"""

import contextlib
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import redis

from spillgate.config import NamespacePolicy
from spillgate.demo.content import Content
from spillgate.demo.pace import demo_policy, must_live
from spillgate.demo.phases import Report, phase_at

_TICK_S = 0.01
# A stall is not made up for: after one the workload goes on at its rate.
_LONGEST_TICK_S = 0.05
_REPORT_S = 0.25
_CHECK_S = 1.0
_BATCH = 200
_SHORTEST_SESSION_S = 60.0
# Keys with less than this left are not looked for, so that the clocks need not agree.
_MARGIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Write:
    """One SET to come."""

    ns: NamespacePolicy
    key: str
    value: bytes
    ttl_s: float


class Workload:
    """The users of the platform, who write to one server, and the ledger of what must not be lost."""

    def __init__(self, url: str, seconds: float) -> None:
        """Prepare for a run of ``seconds`` on the server at ``url``."""
        self._client: Any = cast("Any", redis.Redis).from_url(url)
        self._seconds = seconds
        self._started = time.monotonic()
        self._namespaces = demo_policy(seconds).namespaces
        self._rng = random.Random()
        self._content = Content(self._rng)
        self._owed: defaultdict[str, float] = defaultdict(float)
        self._made: Counter[str] = Counter()
        self._written: Counter[str] = Counter()
        self._writes = self._refused = self._written_bytes = 0
        self._due_until: dict[str, float] = {}
        self._space = {ns.name: ns.keys[0].removesuffix("*") for ns in self._namespaces}
        self._due: Counter[str] = Counter()
        self._alive: Counter[str] = Counter()
        self._lost: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Write, check and report until the time is over or ``stop`` is set."""
        self._started = looked = reported = checked = time.monotonic()
        self._report()
        while not stop.is_set() and (now := time.monotonic()) - self._started < self._seconds:
            self._tick(now - self._started, min(now - looked, _LONGEST_TICK_S))
            looked = now
            if now - checked >= _CHECK_S:
                self._check()
                checked = now
            if now - reported >= _REPORT_S:
                self._report()
                reported = now
            stop.wait(max(0.0, now + _TICK_S - time.monotonic()))
        self._check()
        self._report(last=True)

    def fail(self, error: Exception) -> None:
        """Report, as the last thing, that the server failed: whether anything was lost is then not known."""
        self._report(last=True, error=str(error))

    def leave_nothing(self) -> None:
        """End the server: who started it is gone without doing so."""
        with contextlib.suppress(redis.RedisError):
            self._client.shutdown(nosave=True)

    def _tick(self, elapsed_s: float, tick_s: float) -> None:
        """Whatever is to be written within ``tick_s``, in batches."""
        phase, position = phase_at(elapsed_s, self._seconds)
        writes: list[Write] = []
        for ns in self._namespaces:
            owed = self._owed[ns.name] + tick_s * phase.writes_s(ns.name, position, phase.share * self._seconds)
            writes += [self._next(ns) for _ in range(int(owed))]
            self._owed[ns.name] = owed % 1
        for start in range(0, len(writes), _BATCH):
            self._send(writes[start : start + _BATCH])

    def _next(self, ns: NamespacePolicy) -> Write:
        number = self._made[ns.name]
        self._made[ns.name] += 1
        return Write(ns, f"{self._space[ns.name]}{number}", self._content.value(ns.name, number), self._ttl_s(ns))

    def _ttl_s(self, ns: NamespacePolicy) -> float:
        """The policy's TTL. Sessions and messages have a range of them."""
        longest = ns.ttl_s or 0.0
        if ns.name == "messages":
            return self._rng.uniform(ns.min_ttl_s or longest, longest)
        return self._rng.uniform(_SHORTEST_SESSION_S, longest) if ns.name == "sessions" else longest

    def _send(self, writes: Sequence[Write]) -> None:
        """Write one batch and take down what came of it."""
        sent_at = time.monotonic()
        pipe = self._client.pipeline(transaction=False)
        for write in writes:
            pipe.execute_command("SET", write.key, write.value, "PX", round(write.ttl_s * 1000))
        self._writes += len(writes)
        for write, reply in zip(writes, pipe.execute(raise_on_error=False), strict=True):
            if isinstance(reply, redis.OutOfMemoryError):
                self._refused += 1
                continue
            if isinstance(reply, Exception):
                raise reply
            self._written[write.ns.name] += 1
            self._written_bytes += len(write.value)
            if must_live(write.ns):
                self._due_until[write.key] = sent_at + write.ttl_s

    def _check(self) -> None:
        """Look for every key whose TTL has not run out."""
        now = time.monotonic()
        self._due_until = {key: until for key, until in self._due_until.items() if until - now >= _MARGIN_S}
        due = list(self._due_until)
        missing: set[str] = set()
        for start in range(0, len(due), _BATCH):
            keys = due[start : start + _BATCH]
            if self._client.exists(*keys) != len(keys):
                missing |= {key for key in keys if not self._client.exists(key)}
        # A key whose time ran out while this process was held up is not lost.
        now = time.monotonic()
        missing = {key for key in missing if self._due_until[key] > now}
        self._lost |= missing
        self._due = self._by_namespace(due)
        self._alive = self._due - self._by_namespace(missing)

    def _by_namespace(self, keys: Iterable[str]) -> Counter[str]:
        named = {space: name for name, space in self._space.items()}
        return Counter(named[key[: key.rindex(":") + 1]] for key in keys)

    def _report(self, *, last: bool = False, error: str | None = None) -> None:
        elapsed_s = time.monotonic() - self._started
        phase, _ = phase_at(elapsed_s, self._seconds)
        report = Report(
            elapsed_s,
            phase.name,
            self._writes,
            self._refused,
            self._written_bytes,
            dict(self._written),
            dict(self._due),
            dict(self._alive),
            None if error else len(self._lost),
            last,
            error,
        )
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        sys.stdout.flush()


def main(url: str, seconds: float) -> None:
    """Run until standard input closes, at the latest."""
    stop = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    workload = Workload(url, seconds)
    try:
        workload.run(stop)
    except redis.RedisError as error:
        workload.fail(error)
    except BrokenPipeError:
        workload.leave_nothing()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
