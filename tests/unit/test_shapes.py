"""Which types a namespace can hold, and how Pydantic models come through."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StrictInt,
    computed_field,
    field_validator,
)

from spillgate.cache.codec import Codec, Reason
from spillgate.cache.shapes import packed_binary
from spillgate.config import Codec as CodecName
from spillgate.config import NamespacePolicy
from spillgate.errors import ConfigError, ValueRefused
from tests.codecs import Author, Message, both_codecs, codec, plain, reason_of, returned

T = TypeVar("T")

# ---- Pydantic models


class Address(BaseModel):
    street: str
    number: int | None = None


class Person(BaseModel):
    """Of many types that MessagePack does not have."""

    name: str
    born: date
    seen: datetime
    balance: Decimal
    key: uuid.UUID
    waits: timedelta
    kind: Literal["staff", "guest"] = "guest"
    tags: set[str] = set()
    pair: tuple[int, str] = (0, "")
    address: Address | None = None
    others: list[Person] = []
    scores: dict[str, float] = {}


texts = st.text(max_size=20)
addresses = st.builds(Address, street=texts, number=st.none() | st.integers(-(1 << 63), (1 << 63) - 1))
fields: dict[str, st.SearchStrategy[Any]] = {
    "name": texts,
    "born": st.dates(),
    "seen": st.datetimes(timezones=st.just(UTC)) | st.datetimes(),
    "balance": st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9),
    "key": st.uuids(),
    "waits": st.timedeltas(timedelta(days=-1000), timedelta(days=1000)),
    "kind": st.sampled_from(["staff", "guest"]),
    "tags": st.sets(texts, max_size=3),
    "pair": st.tuples(st.integers(-1000, 1000), texts),
    "address": st.none() | addresses,
    "scores": st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
}
people = st.builds(Person, **fields)


@both_codecs
@given(data=st.data())
def test_models_come_back_as_themselves_wherever_they_are(name: CodecName, data: st.DataObject) -> None:
    person = data.draw(people)
    for type_, value in (
        (Person, person.model_copy(update={"others": [person]})),
        (Person | None, person),
        (Person | None, None),
        (list[Person], [person, person]),
        (dict[str, Person | None], {"a": person, "b": None}),
    ):
        assert returned(value, type_, codec=name, compress_over_bytes=0) == value


class Team(BaseModel):
    lead: Address


@dataclass
class Club:
    """A model inside a dataclass inside a list."""

    members: list[Team]
    by_name: dict[str, Address]


class Numbers(RootModel[list[int]]):
    pass


class Count(RootModel[int]):
    pass


class Page(BaseModel, Generic[T]):
    items: list[T]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    key: uuid.UUID
    at: datetime
    pair: tuple[int, ...]
    unique: set[int]
    count: StrictInt
    price: Decimal


class Exact(BaseModel):
    """Takes nothing beyond its fields, and shows one that it computes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    width: int

    @computed_field
    @property
    def area(self) -> int:
        return self.width**2


class Aliased(BaseModel):
    user_id: int = Field(alias="userId")
    name: str = Field(validation_alias=AliasChoices("fullName", "n"), serialization_alias="Name")
    inner: Aliased | None = None


class Doubled(BaseModel):
    """Changes what it is given: not twice."""

    texts: list[str]

    @field_validator("texts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value


strict = Strict(
    key=uuid.UUID(int=5), at=datetime(2026, 2, 3, tzinfo=UTC), pair=(1, 2), unique={3}, count=4, price=Decimal("1.50")
)
models: dict[str, tuple[Any, Any]] = {
    "in a dataclass": (Club, Club([Team(lead=Address(street="A"))], {"b": Address(street="B", number=2)})),
    "root": (Numbers, Numbers([1, 2])),
    "root of an int": (Count, Count(5)),
    "generic": (Page[Address], Page[Address](items=[Address(street="A")])),
    "strict": (Strict, strict),
    "strict, in a list": (list[Strict], [strict]),
    "computed field, no extras": (Exact, Exact(width=3)),
    "aliases": (
        Aliased,
        Aliased.model_validate({"userId": 1, "fullName": "A", "inner": {"userId": 2, "n": "B"}}),
    ),
    "validator": (Doubled, Doubled.model_validate({"texts": "a,b"})),
}


@both_codecs
@pytest.mark.parametrize("what", models)
def test_models_of_every_kind_come_back(name: CodecName, what: str) -> None:
    type_, value = models[what]
    assert returned(value, type_, codec=name) == value


def test_models_are_written_as_plain_data() -> None:
    data = codec(Exact, codec=CodecName.JSON).encode(Exact(width=3)).data
    assert json.loads(data) == {"width": 3}
    assert codec().decode(codec(Exact).encode(Exact(width=3)).data, {}) == {"width": 3}


def test_a_model_reads_what_names_its_fields_by_their_aliases() -> None:
    one = codec(Aliased, codec=CodecName.JSON)
    assert one.decode(b'{"userId": 1, "n": "A"}', {}) == Aliased.model_validate({"userId": 1, "n": "A"})


@both_codecs
def test_what_is_not_the_model_is_foreign(name: CodecName) -> None:
    wrong = codec(codec=name).encode({"street": [1]}).data
    assert reason_of(wrong, codec(Address, codec=name)) is Reason.FOREIGN
    assert reason_of(b"5", codec(Address, codec=name)) is Reason.FOREIGN


class Fragile(BaseModel):
    number: int

    def model_post_init(self, _: object) -> None:
        """Fail as no validator should."""
        _ = {1: "one"}[self.number]


@dataclass
class Brittle:
    number: int

    def __post_init__(self) -> None:
        _ = {1: "one"}[self.number]


@both_codecs
@pytest.mark.parametrize("type_", [Fragile, Brittle])
def test_what_a_types_own_checks_raise_makes_a_value_foreign_and_no_error(name: CodecName, type_: Any) -> None:
    assert returned(type_(number=1), type_, codec=name) == type_(number=1)
    assert reason_of(codec(codec=name).encode({"number": 2}).data, codec(type_, codec=name)) is Reason.FOREIGN


class Picture(BaseModel):
    title: str
    data: bytes


def test_binary_fields_of_models_come_back_or_are_refused_but_are_never_changed() -> None:
    value = Picture(title="x", data=b"\xff\x00")
    assert returned(value, Picture, binary=True) == value
    with pytest.raises(ValueRefused, match=r"Picture cannot be stored: .*invalid utf-8"):
        codec(Picture, binary=True, codec=CodecName.JSON).encode(value)
    text = Picture(title="x", data=b"text")
    assert returned(text, Picture, binary=True, codec=CodecName.JSON) == text


@both_codecs
def test_a_model_with_binary_is_refused_in_an_untyped_namespace(name: CodecName) -> None:
    with pytest.raises(ValueRefused, match="things: binary values are not stored here"):
        codec(codec=name).encode({"a": [Picture(title="x", data=b"text")]})


# ---- types that are refused


class Binary(TypedDict):
    name: str
    data: bytes


class Tree(msgspec.Struct):
    children: list[Tree]
    data: bytearray | None = None


class Coded(BaseModel):
    data: Base64Bytes


class Album(BaseModel):
    albums: list[Album]
    pictures: dict[str, Picture | None]


@dataclass
class Shelf:
    album: Album


class Opaque:
    pass


@dataclass
class Wrapped:
    opaque: Opaque


@dataclass
class Unresolved:
    other: Missing  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore  (what the test is about)


binary_types = [
    bytes, bytearray, memoryview, bytes | None, list[bytes], dict[str, list[bytes]], tuple[int, bytes],
    Annotated[bytes, "x"], Binary, Tree, Picture, list[Picture], Album, Shelf, Coded, Page[bytes],
]  # fmt: skip


@pytest.mark.parametrize("type_", binary_types, ids=str)
def test_types_with_bytes_anywhere_are_refused_at_once_unless_the_namespace_is_binary(type_: Any) -> None:
    with pytest.raises(ConfigError, match=r"'things' cannot hold .*, which has binary parts: .* set binary = true"):
        codec(type_)
    assert codec(type_, binary=True)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("type_", [Opaque, list[Opaque], Wrapped, object, Callable[[], int], Generic], ids=str)
def test_types_that_cannot_be_read_back_are_refused_at_once(type_: Any, binary: bool) -> None:  # noqa: FBT001 (a parameter)
    with pytest.raises(ConfigError, match=r"'things' cannot hold .*is no dataclass, msgspec Struct, TypedDict"):
        codec(type_, binary=binary)


@pytest.mark.parametrize(
    "type_", [Address | Person, Author | Message, int | Literal["x"] | Decimal | date, Unresolved], ids=str
)
def test_types_that_cannot_be_told_apart_or_found_are_refused_at_once(type_: Any) -> None:
    with pytest.raises(ConfigError, match=r"'things' cannot hold .*: .*(union|Missing)"):
        codec(type_)


@pytest.mark.parametrize(
    "type_",
    [Any, int, None, list, dict, list[int], Mapping[str, Sequence[int]], Message, Person, Address | None],
    ids=str,
)
def test_types_that_are_held(type_: Any) -> None:
    assert codec(type_)


def test_models_may_have_parts_that_only_pydantic_knows() -> None:
    class Known(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        opaque: Opaque | None = None
        number: int | str | float | date = 1

    assert Codec(NamespacePolicy("things", ("app:things:*",), ttl_s=60.0), Known)


# ---- what looks binary


@given(plain)
def test_binary_is_found_exactly(value: Any) -> None:
    assert not packed_binary(msgspec.msgpack.encode(["ąęć", 196, value]))
    assert packed_binary(msgspec.msgpack.encode(["ąęć", [{"a": [value, b""]}]]))
