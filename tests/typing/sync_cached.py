# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""A cached function is called as before: with its parameters, their names, their defaults, and its result."""

from typing import assert_type

from spillgate import Cache
from tests.typing.shapes import Message, Person

messages = Cache.from_url().namespace("messages", Message)
people = Cache.from_url().namespace("people", Person)


@messages.cached("message:{number}:{lang}", ttl="1h", stale="5m")
def load(number: int, *, lang: str = "en") -> Message:
    return Message(number, lang)


def calls() -> None:
    assert_type(load(1), Message)
    assert_type(load(number=1, lang="de"), Message)
    assert_type(load.key(1, lang="de"), str)
    assert_type(load.invalidate(1, lang="de"), bool)
    assert_type(load.refresh(number=1), Message)
    load()  # pyright: ignore[reportCallIssue]
    load("1")  # pyright: ignore[reportArgumentType]
    load(1, "de")  # pyright: ignore[reportCallIssue]
    load(1, language="de")  # pyright: ignore[reportCallIssue]
    load.key("1")  # pyright: ignore[reportArgumentType]
    load.invalidate()  # pyright: ignore[reportCallIssue]
    load.invalidate(1, lang=5)  # pyright: ignore[reportArgumentType]
    load.refresh(1, 2)  # pyright: ignore[reportCallIssue]


class Store:
    @people.cached("{self.name}:{number}")
    def person(self, number: int, *, full: bool = False) -> Person:
        return Person(name=f"{self.name} {number} {full}")

    @staticmethod
    @people.cached("static:{number}")
    def anybody(number: int) -> Person:
        return Person(name=str(number))

    name: str = "store"


def methods(store: Store) -> None:
    assert_type(store.person(1), Person)
    assert_type(store.person(number=1, full=True), Person)
    assert_type(store.person.key(1), str)
    assert_type(store.person.invalidate(1, full=True), bool)
    assert_type(store.person.refresh(1), Person)
    assert_type(Store.person(store, 1), Person)
    assert_type(Store.anybody(1), Person)
    store.person("1")  # pyright: ignore[reportArgumentType]
    store.person(store, 1)  # pyright: ignore[reportCallIssue]
    store.person.invalidate()  # pyright: ignore[reportCallIssue]
    store.person.key(1, wrong=2)  # pyright: ignore[reportCallIssue]
    Store.person(1)  # pyright: ignore[reportCallIssue]


def named(first: int, *rest: int) -> str:
    return f"{first}:{len(rest)}"


@messages.cached(named)
def summed(first: int, *rest: int) -> Message:
    return Message(first + sum(rest), "")


def key_functions() -> None:
    assert_type(summed(1, 2, 3), Message)
    summed("1")  # pyright: ignore[reportArgumentType]


def key_of_text(first: str) -> str:
    return first


def wrong_decorations() -> None:
    @messages.cached("wrong result")  # pyright: ignore[reportArgumentType]
    def one(number: int) -> Person:
        return Person(name=str(number))

    @messages.cached("a coroutine")  # pyright: ignore[reportArgumentType]
    async def two(number: int) -> Message:
        return Message(number, "")

    @messages.cached(key_of_text)  # pyright: ignore[reportArgumentType]
    def three(number: int) -> Message:
        return Message(number, "")

    @messages.cached(5)  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def four(number: int) -> Message:
        return Message(number, "")

    @messages.cached  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def five(number: int) -> Message:
        return Message(number, "")

    _ = (one, two, three, four, five)
