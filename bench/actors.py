"""Those who use the server while it is measured, each a process of its own: writers, a reader, one who looks on."""

import contextlib
import multiprocessing
import random
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

P = ParamSpec("P")
T = TypeVar("T")

_processes = multiprocessing.get_context("spawn")
_START_S = 20.0
_END_S = 20.0
MESSAGE_TTL_S = 1800
_PIPELINE = 200
_LOOK_S = 0.01
_READS_PER_S = 300


@dataclass(frozen=True, slots=True)
class Cue:
    """How an actor and its director understand each other."""

    ready: Event
    go: Event
    stop: Event

    def await_go(self) -> float:
        """Say that everything is prepared, wait to be sent off, and return when that was (monotonic seconds)."""
        self.ready.set()
        self.go.wait(_START_S)
        return time.monotonic()


class Actor(Generic[T]):
    """A function in a process of its own; killed, if it still runs, with the block it is used in."""

    def __init__(self, act: Callable[Concatenate[Cue, P], T], *args: P.args, **kwargs: P.kwargs) -> None:
        """Start the process; it prepares itself and waits for `go`."""
        self._cue = Cue(_processes.Event(), _processes.Event(), _processes.Event())
        self._answer, there = _processes.Pipe(duplex=False)
        self._process = _processes.Process(target=_play, args=(there, act, self._cue, args, kwargs), daemon=True)
        self._process.start()
        there.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def go(self) -> None:
        """Send it off."""
        if not self._cue.ready.wait(_START_S):
            raise RuntimeError(f"{self._process.name} did not start within {_START_S:.0f} s")
        self._cue.go.set()

    def result(self, *, stop: bool = False, within_s: float = _END_S) -> T:
        """What the function returns: now, where it is asked to stop, else when it is done.

        Raises:
            RuntimeError: it failed, or took too long.
        """
        if stop:
            self._cue.stop.set()
        if not self._answer.poll(within_s):
            raise RuntimeError(f"{self._process.name} did not end within {within_s:.0f} s")
        try:
            return cast("T", self._answer.recv())
        except EOFError as error:
            raise RuntimeError(f"{self._process.name} failed; see above") from error


def _play(there: Connection, act: Callable[..., Any], cue: Cue, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the director ends it
    there.send(act(cue, *args, **kwargs))


def connected(port: int, timeout_s: float | None) -> redis.Redis:
    """A client that waits this long for an answer and never asks twice."""
    return redis.Redis(port=port, socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0))


@dataclass(frozen=True, slots=True)
class Written:
    """What one writer did; times are monotonic seconds."""

    writes: int
    refused: int
    started_s: float
    ended_s: float


def write_messages(cue: Cue, port: int, seconds: float, per_s: int | None, name: str) -> Written:
    """Write chat messages of 300 to 900 bytes, ``per_s`` of them or as many as one pipelining client can."""
    values = [b"m" * size for size in range(300, 901)]
    random.Random(name).shuffle(values)
    with connected(port, _END_S) as client:
        client.ping()
        pipe = client.pipeline(transaction=False)
        batch = min(_PIPELINE, per_s // 100) if per_s else _PIPELINE
        writes = refused = 0
        started_s = cue.await_go()
        while (elapsed := time.monotonic() - started_s) < seconds:
            if per_s and writes > elapsed * per_s:
                time.sleep(0.001)
                continue
            for i in range(writes, writes + batch):
                key = f"ceo-platform:messages:{name}:{i}"
                pipe.execute_command("SET", key, values[i % len(values)], "EX", MESSAGE_TTL_S)
            refused += sum(isinstance(reply, redis.RedisError) for reply in pipe.execute(raise_on_error=False))
            writes += batch
    return Written(writes, refused, started_s, time.monotonic())


@dataclass(frozen=True, slots=True)
class Series:
    """Measurements with their times (monotonic seconds)."""

    at_s: list[float]
    values: list[float]

    def since(self, start_s: float, end_s: float) -> list[float]:
        """The values of a span."""
        return [value for at_s, value in zip(self.at_s, self.values, strict=True) if start_s <= at_s <= end_s]


def read_keys(cue: Cue, port: int, key: str, count: int) -> Series:
    """GET one of ``count`` keys about 300 times a second; the values are the seconds that each took."""
    series = Series([], [])
    chance = random.Random(1)
    with connected(port, _END_S) as client:
        client.ping()
        next_s = cue.await_go()
        while not cue.stop.is_set():
            next_s += 1 / _READS_PER_S
            time.sleep(max(0.0, next_s - time.monotonic()))
            one = key.format(chance.randrange(count))
            asked_s = time.monotonic()
            client.get(one)
            answered_s = time.monotonic()
            series.at_s.append(answered_s)
            series.values.append(answered_s - asked_s)
    return series


def watch_memory(cue: Cue, port: int) -> Series:
    """Poll ``used_memory`` every 10 ms."""
    series = Series([], [])
    with connected(port, _END_S) as client:
        client.ping()
        cue.await_go()
        while not cue.stop.wait(_LOOK_S):
            info = cast("dict[str, int]", client.info("memory"))
            series.at_s.append(time.monotonic())
            series.values.append(info["used_memory"])
    return series


@contextlib.contextmanager
def all_ready(*actors: Actor[Any]) -> Generator[None]:
    """Send everybody off at once, and end whoever still runs after the block."""
    with contextlib.ExitStack() as stack:
        for actor in actors:
            stack.enter_context(actor)
        for actor in actors:
            actor.go()
        yield
