"""The types that the other files here store: one of each kind."""

from dataclasses import dataclass
from typing import NotRequired, TypedDict

import msgspec
from pydantic import BaseModel


@dataclass
class Message:
    number: int
    text: str


class Point(msgspec.Struct):
    x: float
    y: float


class Card(TypedDict):
    title: str
    note: NotRequired[str]


class Person(BaseModel):
    name: str
    age: int | None = None
