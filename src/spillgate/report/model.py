"""What a report is made of, as values. Pure: whatever writes it down, this is what it says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Format(StrEnum):
    """How a report is written."""

    MD = "md"
    HTML = "html"


class Tone(StrEnum):
    """What a word or number means for who reads it."""

    PLAIN = "plain"
    GOOD = "good"
    WATCH = "watch"
    BAD = "bad"
    MUTED = "muted"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """How a piece of a sentence is written."""

    TEXT = "text"
    CODE = "code"
    STRONG = "strong"


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of a sentence."""

    text: str
    kind: Kind = Kind.TEXT


Words: TypeAlias = tuple[Run, ...]
"""A sentence, or several."""


def code(text: str) -> Run:
    """A name, a key, a setting or a command."""
    return Run(text, Kind.CODE)


def strong(text: str) -> Run:
    """What matters most."""
    return Run(text, Kind.STRONG)


def say(*parts: str | Run) -> Words:
    """A sentence of these pieces."""
    return tuple(Run(part) if isinstance(part, str) else part for part in parts)


def listed(parts: Iterable[str | Run], between: str = ", ") -> Words:
    """Some pieces, one after the other."""
    words: list[Run] = []
    for part in parts:
        words += [Run(between)] if words else []
        words.append(Run(part) if isinstance(part, str) else part)
    return tuple(words)


def text_of(words: Words) -> str:
    """It without any marks."""
    return "".join(run.text for run in words)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar in a row of others; ``most`` is what the full width stands for, ``marks`` are lines across it."""

    value: float
    low: float
    high: float
    most: float
    marks: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing said of another: for people in ``words``, for programs as ``value``.

    ``note`` stands below it in small print; ``assumed`` marks a number that was not measured here.
    """

    words: Words
    value: object = None
    tone: Tone = Tone.PLAIN
    note: str = ""
    assumed: bool = False
    bar: Bar | None = None


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences. One with a ``title`` begins a part of a section."""

    words: Words
    tone: Tone = Tone.PLAIN
    title: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """A cell with its name: ``label`` for people, ``key`` for programs."""

    key: str
    label: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class Facts:
    """Some facts, one below the other."""

    key: str
    rows: tuple[Fact, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; one without a ``key`` is for people alone."""

    key: str
    label: str
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, one for each column. ``note`` stands below it."""

    key: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    note: Words = ()


@dataclass(frozen=True, slots=True)
class Points:
    """A list."""

    key: str
    items: tuple[Words, ...]
    title: str = ""
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Commands:
    """What is to be typed, or written into a file, to the letter."""

    key: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """Something found, with what mends it. ``value`` is what programs get."""

    title: str
    label: str
    tone: Tone
    facts: tuple[Fact, ...]
    text: str
    fix: str
    value: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Cards:
    """Some of those."""

    key: str
    cards: tuple[Card, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across a figure: a level, the ceiling or the limit. ``tone`` is its own word for its colour."""

    label: str
    bytes: float
    tone: str


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what fills the memory. ``stays`` is whether nothing deletes it."""

    label: str
    bytes: float
    stays: bool
    text: str


@dataclass(frozen=True, slots=True)
class Tank:
    """What fills the memory, side by side, up to ``whole`` bytes."""

    key: str
    parts: tuple[Part, ...]
    marks: tuple[Mark, ...]
    whole: float
    title: str
    caption: str


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at a time in Unix seconds: what was used, and the most meanwhile; None where nobody looked."""

    at_s: float
    used: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """Memory over time, from ``start_s`` to ``end_s``, up to ``whole`` bytes. ``every_s`` is how long a sample is."""

    key: str
    samples: tuple[Sample, ...]
    start_s: float
    end_s: float
    every_s: float
    marks: tuple[Mark, ...]
    whole: float
    title: str
    caption: str


Block: TypeAlias = Paragraph | Facts | Table | Points | Commands | Cards | Tank | Timeline


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the report, which programs and links know by its ``id``."""

    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All of it. ``headline`` are the few numbers above everything; ``alarmed`` is what the exit code tells.

    ``unreachable`` says that the server was lost, or does not let its keys be looked at, so that much is unknown.
    """

    server: str
    at_unix_s: float
    version: str
    level: str
    tone: Tone
    headline: tuple[Fact, ...]
    sections: tuple[Section, ...]
    alarmed: bool = False
    unreachable: bool = False
