"""Connections to the server, taken for one exchange each: commands out, as many replies back, within a time limit.

`AsyncWire` and `Wire` do the same by other means, so they are written side by side rather than generated. redis-py
makes the connections (TLS, passwords, databases, sockets); its pools and clients are left out, since they take as long
again as the round trip itself (`python -m bench cache`). Connections have no name in the server's CLIENT LIST: giving
them one takes the driver two round trips, which is much of the limit where the server is far away.

A connection whose exchange ended in any other way than with all its replies read is closed: by an error, a time-out, or
a cancelled task. So no reply ever reaches another caller than its own (redis/redis-py#2665).
"""

import asyncio
import contextlib
import select
import weakref
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from redis import connection as driver
from redis import exceptions
from redis.asyncio import connection as async_driver
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff

from spillgate.cache import forking
from spillgate.cache.limit import Limit
from spillgate.cache.lines import Line, Lines, NoConnectionFree
from spillgate.cache.replies import AsyncParser, Parser, Reply, greet, greet_async, told
from spillgate.config import CacheSettings, ServerSettings
from spillgate.connection import connection_options, translated
from spillgate.errors import ServerError, mask_url

# A connection idle for longer may have been closed by the server or by what is in between.
_DOUBT_S: Final = 1.0
_FAILURES: Final = (exceptions.RedisError, OSError)


class Wire:
    """Exchanges for threads.

    Raises:
        ConfigError: the URL needs more than a single server.
    """

    def __init__(self, server: ServerSettings, settings: CacheSettings) -> None:
        self._url = server.url
        self._timeout_s = settings.timeout_s
        self._most = settings.connections
        self._options = connection_options(server, driver, self._timeout_s, self._timeout_s) | {
            "protocol": 2, "parser_class": Parser, "redis_connect_func": greet, "driver_info": None,
        }  # fmt: skip
        self._make: Any = self._options.pop("connection_class", driver.Connection)
        self._lines = Lines(self._most)
        forking.register(self)

    def forget(self) -> object:
        """Let go of all connections without closing them: after a fork they are the parent's."""
        lines, self._lines = self._lines, Lines(self._most)
        return lines

    def close(self) -> None:
        """Close the idle connections; the wire may be used again."""
        for line in self._lines.take_idle():  # so that nobody uses them meanwhile
            if line.connection is not None:
                line.connection.disconnect()
            self._lines.give(line)

    def exchange(self, packed: bytes, count: int, *, repeatable: bool = True) -> list[Reply]:
        """Send what holds ``count`` commands and return their replies.

        Where an idle connection turns out to be closed, ``repeatable`` commands are sent once more over a new one.

        Raises:
            NoConnectionFree: too many others are at it.
            ServerError: the server did not answer in time, or not at all.
        """
        deadline_s = monotonic() + self._timeout_s
        lines = self._lines
        line = lines.take(deadline_s)
        try:
            reused = self._ready(line, _DOUBT_S if repeatable else 0.0)
            try:
                return self._talk(line.connection, packed, count, deadline_s)
            except exceptions.ConnectionError:
                self.close()  # the others are as old
                if not (reused and repeatable) or monotonic() >= deadline_s:
                    raise
                return self._talk(line.connection, packed, count, deadline_s)
        except _FAILURES as error:
            raise translated(error, self._url, mask_url(self._url)) from error
        finally:
            line.idle_since_s = monotonic()
            lines.give(line)

    def _ready(self, line: Line, doubt_s: float) -> bool:
        """See to it that the line has a connection, which connects when it is used; whether it seems to be alive."""
        connection = line.connection
        if connection is None:
            line.connection = self._make(**self._options)
            return False
        if not connection.is_connected:
            return False
        if monotonic() - line.idle_since_s >= doubt_s:
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
            return told(parser.replies(count), count, self._url)
        except BaseException:
            connection.disconnect()
            raise


@dataclass(slots=True, eq=False)
class _LoopLines:
    """The connections of one event loop."""

    loop: asyncio.AbstractEventLoop
    free: asyncio.Semaphore
    idle: deque[Line] = field(default_factory=deque[Line])
    end: AsyncGenerator[None, None] | None = None
    forgotten: bool = False
    """Whether they are those of a parent process."""


class AsyncWire:
    """Exchanges for tasks, of any event loop: each loop has its own connections.

    Raises:
        ConfigError: the URL needs more than a single server.
    """

    def __init__(self, server: ServerSettings, settings: CacheSettings) -> None:
        self._url = server.url
        self._timeout_s = settings.timeout_s
        self._most = settings.connections
        # One limit is set around everything.
        self._options = connection_options(server, async_driver, None, None) | {
            "protocol": 2, "parser_class": AsyncParser, "redis_connect_func": greet_async, "driver_info": None,
            "retry": AsyncRetry(NoBackoff(), 0),
        }  # fmt: skip
        self._make: Any = self._options.pop("connection_class", async_driver.Connection)
        self._of_loop: dict[asyncio.AbstractEventLoop, _LoopLines] = {}
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()  # also those in use
        forking.register(self)

    def forget(self) -> object:
        """Let go of all connections without closing them: after a fork they are the parent's.

        Closing one would take it out of the parent's selector, which the child shares.
        """
        of_loop, made = self._of_loop, tuple(self._made)
        for lines in of_loop.values():
            lines.forgotten = True
        self._of_loop = {}
        self._made = weakref.WeakSet()
        return of_loop, made

    async def aclose(self) -> None:
        """Close the idle connections of this event loop; the wire may be used again."""
        lines = self._of_loop.get(asyncio.get_running_loop())
        if lines is not None:
            await _hang_up(lines)

    async def exchange(self, packed: bytes, count: int, *, repeatable: bool = True) -> list[Reply]:
        """As `Wire.exchange`; a cancelled exchange closes its connection."""
        loop = asyncio.get_running_loop()
        lines = self._of_loop.get(loop) or await self._new_lines(loop)
        line: Line | None = None
        try:
            with Limit(self._timeout_s):
                async with lines.free:
                    try:
                        line = await self._take(lines, _DOUBT_S if repeatable else 0.0)
                        try:
                            return await self._talk(lines, line.connection, packed, count)
                        except exceptions.ConnectionError:
                            reused = line.idle_since_s
                            await _hang_up(lines)  # the others are as old
                            if not (repeatable and reused):
                                raise
                            line = await self._take(lines, _DOUBT_S)
                            return await self._talk(lines, line.connection, packed, count)
                    finally:
                        if line is not None and line.connection.is_connected:
                            line.idle_since_s = monotonic()
                            lines.idle.append(line)
        except TimeoutError as error:
            if line is None:
                raise NoConnectionFree from error
            message = f"no answer within {self._timeout_s} s"
            raise translated(exceptions.TimeoutError(message), self._url, mask_url(self._url)) from error
        except _FAILURES as error:
            raise translated(error, self._url, mask_url(self._url)) from error

    async def _new_lines(self, loop: asyncio.AbstractEventLoop) -> _LoopLines:
        for other, lines in tuple(self._of_loop.items()):
            if other.is_closed():
                self._of_loop.pop(other, None)
                while lines.idle:
                    _abandon(lines.idle.pop().connection)
        lines = self._of_loop[loop] = _LoopLines(loop, asyncio.Semaphore(self._most))
        lines.end = self._end(lines)
        await anext(lines.end)
        return lines

    async def _end(self, lines: _LoopLines) -> AsyncGenerator[None, None]:
        """Closes the connections of a loop as its last act: whatever ends one closes its generators before.

        Some frameworks make a loop for each request, whose connections, open and out of use, would add up.
        """
        try:
            yield
        finally:
            if not lines.forgotten:
                self._of_loop.pop(lines.loop, None)
                for line in lines.idle:
                    _abort(line.connection)  # the farewell of TLS would wait for the server, in a loop that ends
                await _hang_up(lines)
                await asyncio.sleep(0)  # in which the transports close

    async def _take(self, lines: _LoopLines, doubt_s: float) -> Line:
        while lines.idle:
            line = lines.idle.pop()
            if monotonic() - line.idle_since_s < doubt_s:
                return line
            with contextlib.suppress(*_FAILURES):
                if not (await line.connection.can_read() or _readable(line.connection)):
                    return line
            await line.connection.disconnect(nowait=True)
        line = Line(self._make(**self._options))
        self._made.add(line.connection)
        return line

    async def _talk(self, lines: _LoopLines, connection: Any, packed: bytes, count: int) -> list[Reply]:
        try:
            await connection.send_packed_command((packed,), check_health=False)
            parser = connection._parser  # noqa: SLF001 (as in `Wire`)
            return told(await parser.replies(count), count, self._url)
        except BaseException:
            if lines.loop.is_closed():
                _abandon(connection)
            elif not lines.forgotten:
                await connection.disconnect(nowait=True)  # this does not wait, so that it works in a cancelled task
            raise


def _readable(connection: Any) -> bool:
    """Whether something has come in, or the end, that the event loop has not seen yet."""
    sock = connection._writer.get_extra_info("socket")  # noqa: SLF001 (there is no other way to it)
    if sock is None:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def _hang_up(lines: _LoopLines) -> None:
    while lines.idle and not lines.forgotten:
        await lines.idle.pop().connection.disconnect(nowait=True)


def _abort(connection: Any) -> None:
    """Let a connection close as soon as its event loop comes to it; it has nothing left to say."""
    if connection._writer is not None:  # noqa: SLF001 (there is no other way to it)
        connection._writer.transport.abort()  # noqa: SLF001


def _abandon(connection: Any) -> None:
    """Close a connection whose event loop is closed: its transport would leave that to the loop."""
    writer = connection._writer  # noqa: SLF001 (here and below: nothing public closes it)
    connection._reader = connection._writer = None  # noqa: SLF001
    if writer is None:
        return
    with contextlib.suppress(RuntimeError):  # the event loop is closed
        writer.close()
    transport = writer.transport
    inner = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None) or transport
    end = getattr(inner, "_call_connection_lost", None)  # uvloop has none, and closed everything with the loop
    if end is not None:
        with contextlib.suppress(RuntimeError):
            end(None)


def failed(reply: Reply) -> bool:
    """Whether a command failed."""
    return isinstance(reply, ServerError)
