# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""As `sync_values`, for asyncio: each method is awaited, and what comes of it has the same type."""

from typing import Any, assert_type

from spillgate import AsyncCache, AsyncNamespace, Policy
from tests.typing.shapes import Card, Message, Person, Point


async def made(policy: Policy) -> None:
    async with AsyncCache(policy) as cache:
        assert_type(cache, AsyncCache)
    assert_type(AsyncCache.from_url("redis://localhost", config=policy), AsyncCache)
    assert_type(await cache.aclose(), None)
    assert_type(await cache.ping(), None)
    with AsyncCache(policy):  # pyright: ignore[reportGeneralTypeIssues]
        pass
    cache.close()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def namespaces(cache: AsyncCache) -> None:
    assert_type(cache.namespace("a", Message), AsyncNamespace[Message])
    assert_type(cache.namespace("a", type=Point), AsyncNamespace[Point])
    assert_type(cache.namespace("a", Card), AsyncNamespace[Card])
    assert_type(cache.namespace("a", Person), AsyncNamespace[Person])
    assert_type(cache.namespace("a", list[int]), AsyncNamespace[list[int]])
    assert_type(cache.namespace("a"), AsyncNamespace[Any])
    cache.namespace(5)  # pyright: ignore[reportArgumentType]


async def reads(messages: AsyncNamespace[Message], cards: AsyncNamespace[Card]) -> None:
    assert_type(await messages.get("1"), Message | None)
    assert_type(await messages.get("1", 5), Message | int)
    assert_type(await messages.get("1", default=Message(1, "")), Message)
    assert_type(await messages.get_many(["1", "2"]), dict[str, Message])
    assert_type((await cards.get_many(("1",)))["1"]["title"], str)
    assert_type(await messages.exists("1"), bool)
    assert_type(await messages.ttl("1"), float | None)
    await messages.get(1)  # pyright: ignore[reportArgumentType]
    await messages.get_many([1])  # pyright: ignore[reportArgumentType]
    _ = messages.get("1").text  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    _ = (await messages.get("1")).text  # pyright: ignore[reportOptionalMemberAccess]
    messages.delete("1")  # pyright: ignore[reportUnusedCoroutine]


async def writes(messages: AsyncNamespace[Message], counts: AsyncNamespace[int]) -> None:
    message = Message(1, "a")
    assert_type(await messages.set("1", message, "15m"), bool)
    assert_type(await messages.set_many({"1": message}, ttl=60), list[str])
    assert_type(await messages.add("1", message), bool)
    assert_type(await messages.touch("1"), bool)
    assert_type(await messages.delete("1"), bool)
    assert_type(await messages.delete_many(["1"]), int)
    assert_type(await counts.incr("n", 5), int)
    assert_type(await messages.clear(), None)
    await messages.set("1", "a")  # pyright: ignore[reportArgumentType]
    await messages.set("1", None)  # pyright: ignore[reportArgumentType]
    await messages.set_many({"1": Point(1, 2)})  # pyright: ignore[reportArgumentType]
    await messages.add("1", {"number": 1})  # pyright: ignore[reportArgumentType]
    await counts.incr("n", 0.5)  # pyright: ignore[reportArgumentType]


async def computes(messages: AsyncNamespace[Message]) -> None:
    async def load() -> Message:
        return Message(1, "a")

    async def wrong() -> Person:
        return Person(name="a")

    async def needs_a_number(number: int) -> Message:
        return Message(number, "a")

    assert_type(await messages.get_or_set("1", load), Message)
    assert_type(await messages.get_or_set("1", load, 60, stale="1h"), Message)
    await messages.get_or_set("1", lambda: Message(1, "a"))  # pyright: ignore[reportArgumentType]
    await messages.get_or_set("1", load())  # pyright: ignore[reportArgumentType]
    await messages.get_or_set("1", wrong)  # pyright: ignore[reportArgumentType]
    await messages.get_or_set("1", needs_a_number)  # pyright: ignore[reportArgumentType]
