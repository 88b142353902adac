"""Objects of all types, written into pipelines by their number: what capacities are tried on."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Write = Callable[[Any, int, random.Random], object]
"""Writes the object of a number into a pipeline."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Objects of several namespaces: how many there are of each today, and how one is written."""

    name: str
    parts: tuple[tuple[int, Write], ...]


def string(name: str, low: int, high: int, ttl_s: int | None = 900) -> Write:
    """A string of random bytes."""
    return lambda pipe, i, chance: pipe.set(name.format(i), chance.randbytes(chance.randint(low, high)), ex=ttl_s)


def number(name: str) -> Write:
    """A counter."""
    return lambda pipe, i, chance: pipe.set(name.format(i), chance.randint(10**5, 10**12), ex=3600)


def fields(name: str, count: tuple[int, int], size: int) -> Write:
    """A hash of so many fields, which expires."""

    def write(pipe: Any, i: int, chance: random.Random) -> None:
        names = [f"field{n}" for n in range(chance.randint(*count))]
        pipe.hset(name.format(i), mapping={field: chance.randbytes(size) for field in names})
        pipe.expire(name.format(i), 3600)

    return write


def many(command: str, name: str, elements: tuple[int, int], size: int) -> Write:
    """A list or set of so many elements."""

    def write(pipe: Any, i: int, chance: random.Random) -> None:
        getattr(pipe, command)(name.format(i), *(chance.randbytes(size) for _ in range(chance.randint(*elements))))

    return write


def scored(name: str, elements: tuple[int, int], size: int) -> Write:
    """A sorted set of so many members."""

    def write(pipe: Any, i: int, chance: random.Random) -> None:
        count = chance.randint(*elements)
        pipe.zadd(name.format(i), {chance.randbytes(size): chance.random() for _ in range(count)})

    return write


def stream(name: str, entries: tuple[int, int], size: int) -> Write:
    """A stream of so many entries."""

    def write(pipe: Any, i: int, chance: random.Random) -> None:
        for _ in range(chance.randint(*entries)):
            pipe.xadd(name.format(i), {"body": chance.randbytes(size)})

    return write


def one_of(name: str, values: Sequence[bytes]) -> Write:
    """One of some values, by chance."""
    return lambda pipe, i, chance: pipe.set(name.format(i), chance.choice(values), ex=1800)
