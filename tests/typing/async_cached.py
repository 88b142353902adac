# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""As `sync_cached`, for asyncio."""

from typing import assert_type

from spillgate import AsyncCache
from tests.typing.shapes import Message, Person

messages = AsyncCache.from_url().namespace("messages", Message)
people = AsyncCache.from_url().namespace("people", Person)


@messages.cached("message:{number}:{lang}", ttl="1h", stale="5m")
async def load(number: int, *, lang: str = "en") -> Message:
    return Message(number, lang)


async def calls() -> None:
    assert_type(await load(1), Message)
    assert_type(await load(number=1, lang="de"), Message)
    assert_type(load.key(1, lang="de"), str)
    assert_type(await load.invalidate(1, lang="de"), bool)
    assert_type(await load.refresh(number=1), Message)
    await load()  # pyright: ignore[reportCallIssue]
    await load("1")  # pyright: ignore[reportArgumentType]
    await load(1, "de")  # pyright: ignore[reportCallIssue]
    await load(1, language="de")  # pyright: ignore[reportCallIssue]
    await load.invalidate()  # pyright: ignore[reportCallIssue]
    await load.refresh(1, 2)  # pyright: ignore[reportCallIssue]
    load.key("1")  # pyright: ignore[reportArgumentType]
    load.invalidate(1)  # pyright: ignore[reportUnusedCoroutine]


class Store:
    @people.cached("{self.name}:{number}")
    async def person(self, number: int, *, full: bool = False) -> Person:
        return Person(name=f"{self.name} {number} {full}")

    name: str = "store"


async def methods(store: Store) -> None:
    assert_type(await store.person(1), Person)
    assert_type(await store.person(number=1, full=True), Person)
    assert_type(store.person.key(1), str)
    assert_type(await store.person.invalidate(1, full=True), bool)
    assert_type(await store.person.refresh(1), Person)
    assert_type(await Store.person(store, 1), Person)
    await store.person("1")  # pyright: ignore[reportArgumentType]
    await store.person.invalidate()  # pyright: ignore[reportCallIssue]
    store.person.key(1, wrong=2)  # pyright: ignore[reportCallIssue]


def named(first: int, *rest: int) -> str:
    return f"{first}:{len(rest)}"


@messages.cached(named)
async def summed(first: int, *rest: int) -> Message:
    return Message(first + sum(rest), "")


async def key_functions() -> None:
    assert_type(await summed(1, 2, 3), Message)
    await summed("1")  # pyright: ignore[reportArgumentType]


def key_of_text(first: str) -> str:
    return first


def wrong_decorations() -> None:
    @messages.cached("wrong result")  # pyright: ignore[reportArgumentType]
    async def one(number: int) -> Person:
        return Person(name=str(number))

    @messages.cached("no coroutine")  # pyright: ignore[reportArgumentType]
    def two(number: int) -> Message:
        return Message(number, "")

    @messages.cached(key_of_text)  # pyright: ignore[reportArgumentType]
    async def three(number: int) -> Message:
        return Message(number, "")

    _ = (one, two, three)
