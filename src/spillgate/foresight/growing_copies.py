"""Objects like those of a server, for another one: of the same types and sizes, and of nothing but chance."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from spillgate.model import KeySample, Usage
from spillgate.server.driver import Command, Driver

_MOST_SHAPES = 500
_BATCH = 500
_TTL_S = 1_000_000  # long enough for anything
_POOL_BYTES = 1 << 20
_USUAL_ELEMENT = 64
_MOST_COMPACT = 64
_LONG_ELEMENT = 80  # beyond what compact encodings take
_TABLES = frozenset({"hashtable", "skiplist"})
_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Shape:
    """What an object is like: never what is in it. ``amount`` and ``length`` are what it is made of here."""

    kind: str
    encoding: str
    size_bytes: int
    name_bytes: int
    timed: bool
    amount: int = 1
    length: int = 0


def shapes_of(usage: Usage) -> tuple[Shape, ...]:
    """The shapes of a sample, as many of each as there are."""
    known = [key for key in usage.sample if key.type and key.encoding and key.size_bytes is not None]
    return tuple(_shape(key) for key in known[:: max(1, len(known) // _MOST_SHAPES)])


def _shape(key: KeySample) -> Shape:
    return Shape(key.type or "", key.encoding or "", key.size_bytes or 0, len(key.name), key.ttl_ms is not None)


class Copies:
    """What writes such objects through a connection, each of a feature under a name of its own."""

    def __init__(self, driver: Driver, seed: int = 6) -> None:
        """Prepare; nothing is sent yet."""
        self._driver = driver
        self._chance = random.Random(seed)
        self._pool = self._chance.randbytes(_POOL_BYTES)
        self._fitted: dict[Shape, Shape] = {}

    def fit(self, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
        """The same with what makes them as large here as they are there."""
        return tuple(self._fit(shape) for shape in shapes)

    def write(self, shapes: Sequence[Shape], feature: int, first: int, last: int) -> None:
        """Write the objects of these numbers, the shapes in turn."""
        commands: list[Command] = []
        for number in range(first, last):
            shape = shapes[number % len(shapes)]
            commands += self._commands(shape, name_of(feature, number, shape.name_bytes))
            if len(commands) >= _BATCH:
                self._driver.pipeline(commands)
                commands = []
        self._driver.pipeline(commands)

    def delete(self, shapes: Sequence[Shape], feature: int, first: int, last: int) -> None:
        """Delete the objects of these numbers."""
        names = [name_of(feature, number, shapes[number % len(shapes)].name_bytes) for number in range(first, last)]
        for start in range(0, len(names), _BATCH):
            self._driver.call("UNLINK", *names[start : start + _BATCH])

    def _fit(self, shape: Shape) -> Shape:
        found = self._fitted.get(shape)
        if found is None:
            found = self._fitted[shape] = self._tried(shape)
        return found

    def _tried(self, shape: Shape) -> Shape:
        """Try lengths, or numbers of elements, until MEMORY USAGE says the same."""
        if shape.encoding == "int":
            return shape
        if shape.kind == "string":
            return self._closest(shape, shape.size_bytes, lambda length: replace(shape, length=length))
        if shape.kind == "stream" or shape.encoding == "intset":
            start = replace(shape, length=_USUAL_ELEMENT)
            return self._closest(shape, max(1, shape.size_bytes // 2), lambda count: replace(start, amount=count))
        if shape.encoding in _TABLES:
            start = replace(shape, length=_LONG_ELEMENT)
            most = max(1, shape.size_bytes // _LONG_ELEMENT)
            return self._closest(shape, most, lambda count: replace(start, amount=count))
        amount = max(1, shape.size_bytes // _USUAL_ELEMENT)
        start = replace(shape, amount=amount if shape.kind == "list" else min(_MOST_COMPACT, amount))
        return self._closest(shape, shape.size_bytes, lambda length: replace(start, length=length))

    def _closest(self, shape: Shape, most: int, made: Callable[[int], Shape]) -> Shape:
        """The smallest that takes no less than the shape does, by halving."""
        low, high = 0 if shape.kind == "string" else 1, max(1, most)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._usage(made(middle)) >= shape.size_bytes else (middle + 1, high)
        return made(low)

    def _usage(self, shape: Shape) -> int:
        name = _TRIAL.ljust(shape.name_bytes, b"0")
        *_, size, _ = self._driver.pipeline(
            [*self._commands(shape, name), ("MEMORY", "USAGE", name, "SAMPLES", _SAMPLES), ("UNLINK", name)]
        )
        return int(size)

    def _commands(self, shape: Shape, name: bytes) -> Iterator[Command]:
        if shape.kind == "string":
            value = (
                str(self._chance.randrange(10**9, 10**15)).encode() if shape.encoding == "int" else self._some(shape)
            )
            yield ("SET", name, value, "EX", _TTL_S) if shape.timed else ("SET", name, value)
            return
        if shape.kind == "stream":
            for _ in range(shape.amount):
                yield ("XADD", name, "*", "f", self._some(shape))
        else:
            yield (_ADD[shape.kind], name, *self._elements(shape))
        if shape.timed:
            yield ("EXPIRE", name, _TTL_S)

    def _elements(self, shape: Shape) -> Iterator[bytes | int]:
        for number in range(shape.amount):
            if shape.encoding == "intset":
                yield (1 << 40) + number
            elif shape.kind == "hash":
                yield b"f%x" % number
                yield self._some(shape)
            elif shape.kind == "zset":
                yield number
                yield b"%x" % number + self._some(shape)
            elif shape.kind == "set":
                yield b"%x" % number + self._some(shape)
            else:
                yield self._some(shape)

    def _some(self, shape: Shape) -> bytes:
        """Random bytes."""
        if shape.length > _POOL_BYTES // 2:
            return self._chance.randbytes(shape.length)
        start = self._chance.randrange(_POOL_BYTES - shape.length)
        return self._pool[start : start + shape.length]


_TRIAL = b"trial:"  # begins no name of a feature, which are hexadecimal
_ADD = {"hash": "HSET", "list": "RPUSH", "set": "SADD", "zset": "ZADD"}


def name_of(feature: int, number: int, length: int) -> bytes:
    """A name of this length, if that is enough for one that no other has; `glob_of` matches those of a feature."""
    start = b"%x:" % feature
    return start + (b"%x" % number).rjust(length - len(start), b"0")


def glob_of(feature: int) -> str:
    """What the names of a feature match."""
    return f"{feature:x}:*"
