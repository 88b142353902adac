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
    """A connection, and since when it is idle."""

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
        self._idle: deque[_Line] = deque()
        self._free = threading.Semaphore(self._most)

    def close(self) -> None:
        """Close the idle connections; the wire may be used again."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().connection.disconnect()

    def exchange(self, packed: bytes, count: int, *, repeatable: bool = True) -> list[Reply]:
        """Send what holds ``count`` commands and return their replies.

        Where an idle connection turns out to be closed, ``repeatable`` commands are sent once more over a new one.

        Raises:
            NoConnectionFree: too many others are at it.
            ServerError: the server did not answer in time, or not at all.
        """
        deadline_s = monotonic() + self._timeout_s
        if not self._free.acquire(timeout=self._timeout_s):
            raise NoConnectionFree
        line: _Line | None = None
        try:
            line = self._take()
            try:
                return self._talk(line, packed, count, deadline_s)
            except exceptions.ConnectionError:
                self.close()  # the others are as old
                if not (repeatable and line.idle_since_s and monotonic() < deadline_s):
                    raise
                line = self._take()
                return self._talk(line, packed, count, deadline_s)
        except _FAILURES as error:
            raise translated(error, self._url, "the cache") from error
        finally:
            if line is not None and line.connection.is_connected:
                line.idle_since_s = monotonic()
                self._idle.append(line)
            self._free.release()

    def _take(self) -> _Line:
        """An idle connection that seems alive, else a new one, which connects when it is first used."""
        with contextlib.suppress(IndexError):
            while True:
                line = self._idle.pop()
                if monotonic() - line.idle_since_s < _DOUBT_S:
                    return line
                with contextlib.suppress(*_FAILURES):
                    if not line.connection.can_read(0):
                        return line
                line.connection.disconnect()
        return _Line(self._factory.make_connection(), 0.0)

    def _talk(self, line: _Line, packed: bytes, count: int, deadline_s: float) -> list[Reply]:
        connection = line.connection
        try:
            connection._parser.deadline_s = deadline_s  # noqa: SLF001 (the class is ours)
            connection.send_packed_command((packed,), check_health=False)
            replies: list[Reply] = []
            for _ in range(count):
                try:
                    replies.append(connection.read_response())
                except exceptions.ResponseError as error:
                    replies.append(translated(error, self._url, "the cache"))
        except BaseException:
            connection.disconnect()
            raise
        return replies


@dataclass(slots=True)
class _Lines:
    """The connections of one event loop."""

    free: asyncio.Semaphore
    idle: deque[_Line] = field(default_factory=deque[_Line])


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
        lines = self._lines()
        while lines.idle:
            await lines.idle.pop().connection.disconnect(nowait=True)

    async def exchange(self, packed: bytes, count: int, *, repeatable: bool = True) -> list[Reply]:
        """As `Wire.exchange`; a cancelled exchange closes its connection."""
        lines = self._lines()
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

    def _lines(self) -> _Lines:
        loop = asyncio.get_running_loop()
        lines = self._of_loop.get(loop)
        if lines is None:
            lines = self._of_loop[loop] = _Lines(asyncio.Semaphore(self._most))
        return lines

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
            replies: list[Reply] = []
            for _ in range(count):
                try:
                    replies.append(await connection.read_response())
                except exceptions.ResponseError as error:
                    replies.append(translated(error, self._url, "the cache"))
        except BaseException:
            await connection.disconnect(nowait=True)  # this does not wait, so that it works in a cancelled task
            raise
        return replies


_wires: "weakref.WeakSet[Wire | AsyncWire]" = weakref.WeakSet()


def _after_fork() -> None:
    for wire in tuple(_wires):
        wire.forget()


os.register_at_fork(after_in_child=_after_fork)


def failed(reply: Reply) -> bool:
    """Whether a command failed."""
    return isinstance(reply, ServerError)
