"""Operations written once, as the steps that a cache is to do, and done by `Cache` or awaited of `AsyncCache`."""

from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, Final, NamedTuple, Protocol

from spillgate.cache import AsyncCache, AsyncNamespace, Cache, Namespace
from spillgate.errors import SpillgateError

Steps = Generator[tuple[Any, ...], Any, Any]
"""What a namespace is to do, one after the other: the name of its method, and the arguments.

What came of a step is sent, or thrown where it failed.
"""

PING: Final = ("ping",)
"""The one step that a cache does, and no namespace."""


class Side(NamedTuple):
    """A cache, sync or async, and the namespace of it that a backend uses."""

    cache: Cache | AsyncCache
    namespace: Namespace[Any] | AsyncNamespace[Any]

    def does(self, step: tuple[Any, ...]) -> Any:
        """What came of a step, or an awaitable for it."""
        return getattr(self.cache if step == PING else self.namespace, step[0])(*step[1:])


class _Shared(Protocol):
    @property
    def sync(self) -> Side: ...
    @property
    def asynchronous(self) -> Side: ...


class Sided(Protocol):
    """What has both sides."""

    @property
    def shared(self) -> _Shared:
        """Both."""
        ...


def twins(steps: Callable[..., Steps]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The method that does these steps, and the one that awaits each; they have the name after ``_do_``."""
    name = steps.__name__.removeprefix("_do_")
    return _named(_done(steps), name), _named(_awaited(steps), "a" + name)


def _done(steps: Callable[..., Steps]) -> Callable[..., Any]:
    @wraps(steps)
    def method(self: Sided, *args: Any, **kwargs: Any) -> Any:
        run = steps(self, *args, **kwargs)
        side = self.shared.sync
        reply: Any = None
        error: SpillgateError | None = None
        try:
            while True:
                step = run.send(reply) if error is None else run.throw(error)
                reply = error = None
                try:
                    reply = side.does(step)
                except SpillgateError as caught:
                    error = caught
        except StopIteration as done:
            return done.value

    return method


def _awaited(steps: Callable[..., Steps]) -> Callable[..., Any]:
    @wraps(steps)
    async def method(self: Sided, *args: Any, **kwargs: Any) -> Any:
        run = steps(self, *args, **kwargs)
        side = self.shared.asynchronous
        reply: Any = None
        error: SpillgateError | None = None
        try:
            while True:
                step = run.send(reply) if error is None else run.throw(error)
                reply = error = None
                try:
                    reply = await side.does(step)
                except SpillgateError as caught:
                    error = caught
        except StopIteration as done:
            return done.value

    return method


def _named(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    owner = method.__qualname__.rpartition(".")[0]
    method.__name__, method.__qualname__ = name, f"{owner}.{name}"
    return method
