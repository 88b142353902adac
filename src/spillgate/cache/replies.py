"""Replies off a connection: all of an exchange at once, and its greeting in one round trip.

The driver's own parsers take a call for each reply, which is half of what a reply to SET costs.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any, Final, cast

import hiredis
from redis import exceptions
from redis.asyncio.connection import DefaultParser as AsyncDefaultParser
from redis.connection import DefaultParser

from spillgate.connection import translated
from spillgate.errors import mask_url

Reply = Any
"""What a command answered; a `ServerError` where it failed."""

# So much longer than its limit an exchange may take.
_NEAR_ENOUGH_S: Final = 0.001
_CLOSED: Final = "the connection is closed"
_pack: Callable[[tuple[str, ...]], bytes] = cast("Any", hiredis).pack_command


class Parser(cast("Any", DefaultParser)):
    """For threads: reads until a moment, where the driver's own limit begins anew with each piece of a reply."""

    deadline_s = float("inf")

    def on_connect(self, connection: Any, **options: object) -> None:
        """Begin to read from a new socket."""
        parser: Any = super()
        parser.on_connect(connection, **options)
        self._nothing = self._reader.gets()
        self._fresh_s = connection.socket_timeout - _NEAR_ENOUGH_S

    def read_from_socket(self, *_: object, **__: object) -> bool:
        """Read a piece of a reply; what has arrived also when it is too late to wait."""
        parser: Any = super()
        left_s = self.deadline_s - monotonic()
        if left_s > self._fresh_s:  # the socket's own limit is as good, and setting another takes two system calls
            return parser.read_from_socket()
        return parser.read_from_socket(timeout=max(0.0, left_s))

    def replies(self, count: int) -> list[Any]:
        """The next so many, with errors in their places; what came with those as well, which nobody asked for."""
        reader = self._reader
        if reader is None:
            raise exceptions.ConnectionError(_CLOSED)
        replies: list[Any] = []
        while len(replies) < count:
            self.read_from_socket()
            replies += iter(reader.gets, self._nothing)
        return replies


class AsyncParser(cast("Any", AsyncDefaultParser)):
    """For tasks."""

    def on_connect(self, connection: Any) -> None:
        """Begin to read from a new socket."""
        parser: Any = super()
        parser.on_connect(connection)
        self._nothing = self._reader.gets()

    async def replies(self, count: int) -> list[Any]:
        """As `Parser.replies`."""
        if not self._connected:
            raise exceptions.ConnectionError(_CLOSED)
        replies: list[Any] = []
        while len(replies) < count:
            await self.read_from_socket()
            replies += iter(self._reader.gets, self._nothing)
        return replies


def greet(connection: Any) -> None:
    """Say who comes and which database is meant, where the driver would wait for one reply after the other."""
    connection._parser.on_connect(connection)  # noqa: SLF001 (which whoever greets has to do)
    greeting = _greeting(connection)
    if greeting:
        connection.send_packed_command((b"".join(greeting),), check_health=False)
        for _ in greeting:
            connection.read_response()


async def greet_async(connection: Any) -> None:
    """As `greet`."""
    connection._parser.on_connect(connection)  # noqa: SLF001 (as above)
    greeting = _greeting(connection)
    if greeting:
        await connection.send_packed_command((b"".join(greeting),), check_health=False)
        for _ in greeting:
            await connection.read_response()


def told(replies: list[Reply], count: int, url: str) -> list[Reply]:
    """The replies of so many commands, with our errors in place of the driver's.

    Raises:
        ConnectionError: the server told that the connection cannot be used.
        InvalidResponse: there are more replies than commands.
    """
    if len(replies) > count:
        message = "more replies than commands"
        raise exceptions.InvalidResponse(message)
    for place, reply in enumerate(replies):
        if isinstance(reply, Exception):
            if isinstance(reply, exceptions.ConnectionError):
                raise reply
            replies[place] = translated(reply, url, mask_url(url))
    return replies


def _greeting(connection: Any) -> list[bytes]:
    """The commands; the server's answer to those that fail is raised by the driver."""
    commands: list[bytes] = []
    if connection.username:
        commands.append(_pack(("AUTH", connection.username, connection.password or "")))
    elif connection.password:
        commands.append(_pack(("AUTH", connection.password)))
    if int(connection.db or 0):
        commands.append(_pack(("SELECT", str(connection.db))))
    return commands
