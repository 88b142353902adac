# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""What comes out of a `Namespace` has the type that its namespace was given, and nothing else goes in."""

from datetime import timedelta
from typing import Any, assert_type

from spillgate import Cache, Namespace, Policy
from tests.typing.shapes import Card, Message, Person, Point


def made(policy: Policy) -> None:
    with Cache(policy) as cache:
        assert_type(cache, Cache)
    assert_type(Cache.from_url(), Cache)
    assert_type(Cache.from_url("redis://localhost", config=policy), Cache)
    Cache.from_url(config="spillgate.toml", hook=print)
    Cache("redis://localhost")  # pyright: ignore[reportArgumentType]
    Cache.from_url(5)  # pyright: ignore[reportArgumentType]
    Cache(policy, hook=5)  # pyright: ignore[reportArgumentType]


def namespaces(cache: Cache) -> None:
    assert_type(cache.namespace("a", Message), Namespace[Message])
    assert_type(cache.namespace("a", type=Point), Namespace[Point])
    assert_type(cache.namespace("a", Card), Namespace[Card])
    assert_type(cache.namespace("a", Person), Namespace[Person])
    assert_type(cache.namespace("a", int), Namespace[int])
    assert_type(cache.namespace("a", list[int]), Namespace[list[int]])
    assert_type(cache.namespace("a", dict[str, Person], migrate=True), Namespace[dict[str, Person]])
    assert_type(cache.namespace("a"), Namespace[Any])
    cache.namespace(5)  # pyright: ignore[reportArgumentType]
    cache.namespace("a", Message, 1)  # pyright: ignore[reportCallIssue]
    cache.namespace("a", Message, migrate="yes")  # pyright: ignore[reportCallIssue, reportArgumentType]


def reads(messages: Namespace[Message], cards: Namespace[Card]) -> None:
    assert_type(messages.get("1"), Message | None)
    assert_type(messages.get("1", None), Message | None)
    assert_type(messages.get("1", 5), Message | int)
    assert_type(messages.get("1", default=Message(1, "")), Message)
    assert_type(messages.get_many(["1", "2"]), dict[str, Message])
    assert_type(messages.get_many(str(one) for one in range(5)), dict[str, Message])
    assert_type(cards.get_many(("1",))["1"]["title"], str)
    assert_type(messages.exists("1"), bool)
    assert_type(messages.ttl("1"), float | None)
    messages.get(1)  # pyright: ignore[reportArgumentType]
    messages.get_many([1])  # pyright: ignore[reportArgumentType]
    _ = messages.get("1").text  # pyright: ignore[reportOptionalMemberAccess]
    _ = messages.get_many(["1"])["1"].wrong  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    _ = cards.get_many(["1"])["1"]["wrong"]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]


def writes(messages: Namespace[Message], counts: Namespace[int], numbers: Namespace[list[int]]) -> None:
    message = Message(1, "a")
    assert_type(messages.set("1", message), bool)
    messages.set("1", message, 60)
    messages.set("1", message, ttl="15m")
    messages.set("1", message, ttl=timedelta(minutes=1))
    assert_type(messages.set_many({"1": message}), list[str])
    assert_type(messages.add("1", message), bool)
    assert_type(messages.touch("1", 60), bool)
    assert_type(messages.delete("1"), bool)
    assert_type(messages.delete_many(["1"]), int)
    assert_type(counts.incr("n"), int)
    assert_type(counts.incr("n", 5, ttl="1h"), int)
    messages.set("1", "a")  # pyright: ignore[reportArgumentType]
    messages.set("1", None)  # pyright: ignore[reportArgumentType]
    messages.set("1", Point(1, 2))  # pyright: ignore[reportArgumentType]
    messages.set("1", message, ttl=b"15m")  # pyright: ignore[reportArgumentType]
    messages.set_many({"1": 5})  # pyright: ignore[reportArgumentType]
    messages.set_many({1: message})  # pyright: ignore[reportArgumentType]
    messages.add("1", {"number": 1})  # pyright: ignore[reportArgumentType]
    numbers.set("1", ["a"])  # pyright: ignore[reportArgumentType]
    counts.incr("n", 0.5)  # pyright: ignore[reportArgumentType]


def untyped(anything: Namespace[Any]) -> None:
    anything.set("1", {"a": [1, None]})
    assert_type(anything.get("1"), Any | None)


def never_without_a_ttl(messages: Namespace[Message], message: Message) -> None:
    """There is no word for it: None is the policy's TTL, and 0 is bounded by its least."""
    messages.set("1", message, persist=True)  # pyright: ignore[reportCallIssue]


def computes(messages: Namespace[Message], numbers: Namespace[list[int]]) -> None:
    assert_type(messages.get_or_set("1", lambda: Message(1, "a")), Message)
    assert_type(messages.get_or_set("1", lambda: Message(1, "a"), 60, stale="1h"), Message)
    assert_type(numbers.get_or_set("1", list), list[int])
    messages.get_or_set("1", Message(1, "a"))  # pyright: ignore[reportArgumentType]
    messages.get_or_set("1", lambda: 5)  # pyright: ignore[reportArgumentType]

    def needs_a_number(number: int) -> Message:
        return Message(number, "a")

    async def later() -> Message:
        return Message(1, "a")

    messages.get_or_set("1", needs_a_number)  # pyright: ignore[reportArgumentType]
    messages.get_or_set("1", later)  # pyright: ignore[reportArgumentType]
