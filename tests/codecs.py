"""Codecs of namespaces, and values of all kinds, for tests."""

from __future__ import annotations

import enum
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, NotRequired, TypedDict

import msgspec
import pytest
from hypothesis import strategies as st

from spillgate.cache.codec import (
    Codec,
    Dictionary,
    Reason,
    Unreadable,
)
from spillgate.compression import Zstd, train
from spillgate.config import Codec as CodecName
from spillgate.config import NamespacePolicy

INT64 = 1 << 63


def codec(type_: Any = Any, **settings: Any) -> Codec[Any]:
    """A codec of a namespace with these settings."""
    return Codec(NamespacePolicy("things", ("app:things:*",), ttl_s=60.0, **settings), type_)


def returned(value: Any, type_: Any = Any, **settings: Any) -> Any:
    """What comes back of a value."""
    one = codec(type_, **settings)
    return one.decode(one.encode(value).data, {})


def reason_of(data: bytes, one: Codec[Any], dictionaries: dict[int, Dictionary] | None = None) -> Reason:
    """Why this cannot be read."""
    with pytest.raises(Unreadable) as refusal:
        one.decode(data, dictionaries or {})
    return refusal.value.reason


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Author:
    name: str
    age: int | None = None


@dataclass
class Message:
    number: int
    text: str
    author: Author
    at: datetime
    tags: list[str] = field(default_factory=list[str])
    replies: list[Message] = field(default_factory=list["Message"])


class Point(msgspec.Struct, frozen=True):
    x: float
    y: float


class Path(msgspec.Struct, array_like=True):
    name: str
    points: tuple[Point, ...]
    colour: Colour | None = None


class Card(TypedDict):
    title: str
    count: int
    points: list[Point]
    note: NotRequired[str]


texts = st.text(max_size=40)
ints = st.integers(-INT64, 2 * INT64 - 1)
floats = st.floats(allow_nan=False)
authors = st.builds(Author, texts, st.none() | ints)
messages = st.builds(
    Message, ints, texts, authors, st.datetimes(timezones=st.just(UTC)), st.lists(texts, max_size=3), st.just([])
)
threads = st.builds(
    Message, ints, texts, authors, st.just(datetime(2026, 2, 3, tzinfo=UTC)), replies=st.lists(messages, max_size=3)
)
points = st.builds(Point, floats, floats)
paths = st.builds(Path, texts, st.lists(points, max_size=5).map(tuple), st.none() | st.sampled_from(Colour))
cards = st.fixed_dictionaries(
    {"title": texts, "count": ints, "points": st.lists(points, max_size=3)}, optional={"note": texts}
)
plain = st.recursive(
    st.none() | st.booleans() | ints | floats | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
both_codecs = pytest.mark.parametrize("name", list(CodecName))


def chat(number: int) -> dict[str, Any]:
    """A short message like others."""
    rng = random.Random(number)
    words = ["where", "find", "a", "restaurant", "in", "San", "Francisco", "hotel", "cheap", "please", "today"]
    return {"conversation_id": number, "role": "user", "content": " ".join(rng.choices(words, k=8)), "language": "en"}


@cache
def chat_dictionary() -> Dictionary:
    """A dictionary for `chat`, of a number in two bytes that differ."""
    content = train([msgspec.msgpack.encode(chat(number)) for number in range(400)], 4096)
    assert content is not None
    return Dictionary(258, Zstd(content))


def has_infinity(value: Any) -> bool:
    """Whether JSON cannot write a value as it is."""
    return "Infinity" in json.dumps(msgspec.to_builtins(value))
