"""Connections to the server, taken for one exchange each: commands out, as many replies back, within a time limit.

`AsyncWire` and `Wire` do the same by other means, so they are written side by side rather than generated. redis-py
makes the connections (TLS, passwords, databases, sockets); its pools and clients are left out, since they take as long
again as the round trip itself (`python -m bench cache`).

A connection whose exchange ended in any other way than with all its replies read is closed: by an error, a time-out, or
a cancelled task. So no reply ever reaches another caller than its own (redis/redis-py#2665).
"""

import asyncio
import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, cast

from redis import exceptions
from redis.asyncio.connection import ConnectionPool as AsyncConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, DefaultParser

from spillgate.config import CacheSettings, ServerSettings
from spillgate.connection import connection_options, translated
from spillgate.errors import ServerError, ServerUnreachable

Reply = Any
"""What a command answered; a `ServerError` where it failed."""

# A connection idle for longer may have been closed by the server or by what is in between.
_DOUBT_S: Final = 1.0
_FAILURES: Final = (exceptions.RedisError, OSError)


class NoConnectionFree(ServerUnreachable):
    """All connections are in use, and none became free in time: allow more of them, or fewer callers at once."""


@dataclass(slots=True)
class _Line:
    """A place for a connection, and since when it is idle."""

    connection: Any
    idle_since_s: float


class _DeadlineParser(cast("Any", DefaultParser)):
    """Reads until a moment, where the driver's own limit begins anew with each piece of a reply."""

    deadline_s = float("inf")

    def read_from_socket(self, *_: object, **__: object) -> bool:
        """Read a piece of a reply."""
        left_s = self.deadline_s - monotonic()
        if left_s <= 0:
            message = "Timeout reading from socket"
            raise exceptions.TimeoutError(message)
        parser: Any = super()
        return parser.read_from_socket(timeout=left_s)


class Wire:
    """Exchanges for threads.

    Raises:
        ConfigError: the URL needs more than a single server.
    """

    def __init__(self, server: ServerSettings, settings: CacheSettings) -> None:
        self._url = server.url
        self._timeout_s = settings.timeout_s
        self._most = settings.connections
        options = connection_options(server, self._timeout_s, self._timeout_s)
        self._factory = cast("Any", ConnectionPool).from_url(
            server.url, protocol=2, parser_class=_DeadlineParser, **options
        )
        self.forget()
        _wires.add(self)

    def forget(self) -> None:
        """Let go of all connections without closing them: after a fork they are the parent's."""
        self._lines = deque(_Line(None, 0.0) for _ in range(self._most))
        self._returned = threading.Condition()
        self._waiting = 0

    def close(self) -> None:
        """Close the idle connections; the wire may be used again."""
        taken: list[_Line] = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._lines.pop())  # so that nobody uses it meanwhile
        for line in taken:
            if line.connection is not None:
                line.connection.disconnect()
            self._give(line)

    def exchange(self, packed: bytes, count: int, *, repeatable: bool = True) -> list[Reply]:
        """Send what holds ``count`` commands and return their replies.

        Where an idle connection turns out to be closed, ``repeatable`` commands are sent once more over a new one.

        Raises:
            NoConnectionFree: too many others are at it.
            ServerError: the server did not answer in time, or not at all.
        """
        deadline_s = monotonic() + self._timeout_s
        line = self._take(deadline_s)
        try:
            reused = self._ready(line)
            try:
                return self._talk(line.connection, packed, count, deadline_s)
            except exceptions.ConnectionError:
                self.close()  # the others are as old
                if not (reused and repeatable) or monotonic() >= deadline_s:
                    raise
                return self._talk(line.connection, packed, count, deadline_s)
        except _FAILURES as error:
            raise translated(error, self._url, "the cache") from error
        finally:
            line.idle_since_s = monotonic()
            self._give(line)

    def _take(self, deadline_s: float) -> _Line:
        """The line that was used last, so that no more connections are made than are needed at once."""
        with contextlib.suppress(IndexError):
            return self._lines.pop()
        with self._returned:
            self._waiting += 1
            try:
                while True:
                    with contextlib.suppress(IndexError):
                        return self._lines.pop()
                    if not self._returned.wait(deadline_s - monotonic()):
                        raise NoConnectionFree
            finally:
                self._waiting -= 1

    def _give(self, line: _Line) -> None:
        self._lines.append(line)
        if self._waiting:
            with self._returned:
                self._returned.notify()

    def _ready(self, line: _Line) -> bool:
        """See to it that the line has a connection, which connects when it is used; whether it seems to be alive."""
        connection = line.connection
        if connection is None:
            line.connection = self._factory.make_connection()
            return False
        if not connection.is_connected:
            return False
        if monotonic() - line.idle_since_s > _DOUBT_S:
            try:
                sound = not connection.can_read(0)
            except _FAILURES:
                sound = False
            if not sound:
                connection.disconnect()
            return sound
        return True

    def _talk(self, connection: Any, packed: bytes, count: int, deadline_s: float) -> list[Reply]:
        try:
            # The connection's own read_response does more for each reply, all of it for other uses.
            parser = connection._parser  # noqa: SLF001 (the class is ours)
            parser.deadline_s = deadline_s
            connection.send_packed_command((packed,), check_health=False)
            replies = [parser.read_response() for _ in range(count)]
        except BaseException:
            connection.disconnect()
            raise
        return _told(replies, self._url)


@dataclass(slots=True)
class _Lines:
    """The connections of one event loop."""

    free: asyncio.Semaphore
    idle: deque[_Line] = field(default_factory=deque[_Line])
    end: AsyncGenerator[None, None] | None = None


class AsyncWire:
    """Exchanges for tasks, of any event loop: each loop has its own connections.

    Raises:
        ConfigError: the URL needs more than a single server.
    """

    def __init__(self, server: ServerSettings, settings: CacheSettings) -> None:
        self._url = server.url
        self._timeout_s = settings.timeout_s
        self._most = settings.connections
        options = connection_options(server, None, None)  # one limit is set around everything
        options["retry"] = AsyncRetry(NoBackoff(), 0)
        self._factory = cast("Any", AsyncConnectionPool).from_url(server.url, protocol=2, **options)
        self.forget()
        _wires.add(self)

    def forget(self) -> None:
        """Let go of all connections without closing them: after a fork they are the parent's."""
        self._of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Lines] = weakref.WeakKeyDictionary()

    async def aclose(self) -> None:
        """Close the idle connections of this event loop; the wire may be used again."""
        await _hang_up(await self._lines())

    async def exchange(self, packed: bytes, count: int, *, repeatable: bool = True) -> list[Reply]:
        """As `Wire.exchange`; a cancelled exchange closes its connection."""
        lines = await self._lines()
        line: _Line | None = None
        try:
            async with asyncio.timeout(self._timeout_s), lines.free:
                try:
                    line = await self._take(lines)
                    try:
                        return await self._talk(line, packed, count)
                    except exceptions.ConnectionError:
                        reused = line.idle_since_s
                        await self.aclose()  # the others are as old
                        if not (repeatable and reused):
                            raise
                        line = await self._take(lines)
                        return await self._talk(line, packed, count)
                finally:
                    if line is not None and line.connection.is_connected:
                        line.idle_since_s = monotonic()
                        lines.idle.append(line)
        except TimeoutError as error:
            if line is None:
                raise NoConnectionFree from error
            message = f"no answer within {self._timeout_s} s"
            raise translated(exceptions.TimeoutError(message), self._url, "the cache") from error
        except _FAILURES as error:
            raise translated(error, self._url, "the cache") from error

    async def _lines(self) -> _Lines:
        loop = asyncio.get_running_loop()
        lines = self._of_loop.get(loop)
        if lines is None:
            lines = self._of_loop[loop] = _Lines(asyncio.Semaphore(self._most))
            lines.end = self._end(loop, lines)
            await anext(lines.end)
        return lines

    async def _end(self, loop: asyncio.AbstractEventLoop, lines: _Lines) -> AsyncGenerator[None, None]:
        """Closes the connections of a loop as its last act: whatever ends one closes its generators before.

        Some frameworks make a loop for each request, whose connections, open and out of use, would add up.
        """
        try:
            yield
        finally:
            self._of_loop.pop(loop, None)
            await _hang_up(lines)
            await asyncio.sleep(0)  # in which the transports close

    async def _take(self, lines: _Lines) -> _Line:
        while lines.idle:
            line = lines.idle.pop()
            if monotonic() - line.idle_since_s < _DOUBT_S:
                return line
            with contextlib.suppress(*_FAILURES):
                if not await line.connection.can_read():
                    return line
            await line.connection.disconnect(nowait=True)
        return _Line(self._factory.make_connection(), 0.0)

    async def _talk(self, line: _Line, packed: bytes, count: int) -> list[Reply]:
        connection = line.connection
        try:
            await connection.send_packed_command((packed,), check_health=False)
            parser = connection._parser  # noqa: SLF001 (as in `Wire`)
            replies = [await parser.read_response() for _ in range(count)]
        except BaseException:
            await connection.disconnect(nowait=True)  # this does not wait, so that it works in a cancelled task
            raise
        return _told(replies, self._url)


def _told(replies: list[Reply], url: str) -> list[Reply]:
    """The replies, with our errors in place of the driver's."""
    for place, reply in enumerate(replies):
        if isinstance(reply, Exception):
            replies[place] = translated(reply, url, "the cache")
    return replies


async def _hang_up(lines: _Lines) -> None:
    while lines.idle:
        await lines.idle.pop().connection.disconnect(nowait=True)


_wires: "weakref.WeakSet[Wire | AsyncWire]" = weakref.WeakSet()


def _after_fork() -> None:
    for wire in tuple(_wires):
        wire.forget()


os.register_at_fork(after_in_child=_after_fork)


def failed(reply: Reply) -> bool:
    """Whether a command failed."""
    return isinstance(reply, ServerError)
