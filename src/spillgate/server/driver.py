"""The boundary to redis-py: connections made from settings, its errors turned into ours.

A driver holds one connection and is used by one thread at a time.
"""

import hashlib
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

from redis import Redis, exceptions
from redis import connection as redis_connection
from redis.connection import ConnectionInterface, ConnectionPool

from spillgate.config import ServerSettings
from spillgate.connection import connection_options, translated
from spillgate.errors import BudgetExhausted, ServerUnreachable

if TYPE_CHECKING:
    from socket import socket

Argument = str | bytes | int
Command = tuple[Argument, ...]


class Script:
    """A server-side script, sent whole once and by its hash afterwards."""

    __slots__ = ("digest", "text")

    def __init__(self, name: str) -> None:
        """Read ``lua/<name>.lua``."""
        self.text = (resources.files("spillgate.server") / "lua" / f"{name}.lua").read_bytes()
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()


class Driver:
    """One connection to one server, made when first needed and anew after it was lost."""

    def __init__(
        self, settings: ServerSettings, *, allow: Callable[[], int | None], database: int | None = None
    ) -> None:
        """Prepare; nothing is sent yet. ``allow`` tells before each command how many are left today (None: no cap).

        ``database`` is a logical database other than the one that the URL names.

        Raises:
            ConfigError: the URL needs more than a single server.
        """
        self.commands = 0
        self._held: Any = None  # the connection of the latest `ask`
        self._unread = False  # and whether its reply is still to be read
        self._settings = settings
        self._allow = allow
        self._pool = _connection_pool(settings, protocol=2)
        if database is not None:
            self._pool.connection_kwargs["db"] = database
        self._client: Any = Redis(connection_pool=self._pool)
        self._client.set_response_callback("INFO", _as_it_is)

    @property
    def database(self) -> int:
        """The number of the logical database in use."""
        return int(self._pool.connection_kwargs.get("db") or 0)

    def close(self) -> None:
        """Close the connection; the next command makes a new one."""
        self._hang_up()
        cast("Any", self._pool).disconnect()

    def subscribe(self, channel: str) -> "PushConnection":
        """Open a second connection to the same server, for messages that it pushes.

        Raises:
            ServerError: of the kind that tells what went wrong.
        """
        self._spend(1)
        with self._translated("SUBSCRIBE"):
            connection = _connection_pool(self._settings, protocol=3).make_connection()
            return PushConnection(connection, channel, self._spend)

    def call(self, *command: Argument) -> Any:
        """The reply to one command.

        Raises:
            BudgetExhausted: the day's commands are spent.
            ServerError: of the kind that tells what went wrong.
        """
        self._spend(1)
        with self._translated(str(command[0])):
            return self._client.execute_command(*command)

    def run(self, script: Script, *arguments: Argument) -> Any:
        """The reply of a script; errors as of `call`."""
        self._spend(1)
        with self._translated("EVALSHA"):
            try:
                return self._client.execute_command("EVALSHA", script.digest, 0, *arguments)
            except exceptions.NoScriptError:
                pass
        return self.call("EVAL", script.text, 0, *arguments)

    def ask(self, script: Script, *arguments: Argument) -> Callable[[], Any]:
        """Call a script now and read its reply later; both raise as `call` does.

        Asked again, when the reply is wanted, if another command came in between, or the connection was lost: so the
        script must change nothing.
        """
        self._pay(1)
        if self._unread:
            self._hang_up()
        with self._translated("EVALSHA"):
            # The pool would look whether the connection is alive each time, which costs as much as the call.
            connection = self._held = self._held or cast("Any", self._pool).get_connection()
            self._unread = True
            with suppress(exceptions.ConnectionError):
                connection.send_command("EVALSHA", script.digest, 0, *arguments)

        def reply() -> Any:
            if self._unread and self._held is connection:
                with self._translated("EVALSHA"), suppress(exceptions.NoScriptError, exceptions.ConnectionError):
                    answer = connection.read_response()
                    self._unread = False
                    return answer
            return self.call("EVAL", script.text, 0, *arguments)

        return reply

    def pipeline(self, commands: Sequence[Command], *, optional: Collection[str] = ()) -> list[Any]:
        """The replies to several commands in one round trip, without MULTI; errors as of `call`.

        A command named in ``optional`` may fail; it then has its error in its place.
        """
        if not commands:
            return []
        self._spend(len(commands))
        with self._translated(str(commands[0][0])):
            pipe = self._client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            replies = pipe.execute(raise_on_error=False)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, Exception) and command[0] not in optional:
                with self._translated(str(command[0])):
                    raise reply
        return replies

    def _hang_up(self) -> None:
        """Give up the connection that was held for `ask`; with a reply unread it would serve nobody."""
        if self._held is not None:
            if self._unread:
                self._held.disconnect()
            cast("Any", self._pool).release(self._held)
        self._held, self._unread = None, False

    def _spend(self, count: int) -> None:
        self._hang_up()
        self._pay(count)

    def _pay(self, count: int) -> None:
        left = self._allow()
        if left is not None and left < count:
            raise BudgetExhausted
        self.commands += count

    @contextmanager
    def _translated(self, command: str) -> Generator[None]:
        """The driver's errors into ours, the cause kept."""
        try:
            yield
        except (exceptions.RedisError, OSError) as error:
            raise translated(error, self._settings.url, command) from error


class PushConnection:
    """A RESP3 connection that is subscribed to one channel and read off its socket, as raw bytes."""

    def __init__(self, connection: ConnectionInterface, channel: str, spend: Callable[[int], None]) -> None:
        """Connect and subscribe; ``spend`` is told of each further command."""
        self._spend = spend
        self._connection: Any = connection
        try:
            self._connection.connect()
            self._connection.send_command("SUBSCRIBE", channel)
            self._connection.read_response(push_request=True)
        except BaseException:
            self.close()
            raise
        # The driver would parse each message, at some microseconds each, where their bytes are all that matters.
        self.socket: socket = self._connection._sock  # noqa: SLF001

    def send(self, *command: str) -> None:
        """Send a command; its reply comes in among the messages.

        Raises:
            BudgetExhausted: the day's commands are spent.
            ServerUnreachable: the connection is lost.
        """
        self._spend(1)
        try:
            self._connection.send_command(*command)
        except (exceptions.RedisError, OSError) as error:
            raise ServerUnreachable(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()


def _as_it_is(reply: object, **_options: object) -> object:
    return reply


def _connection_pool(settings: ServerSettings, *, protocol: int) -> ConnectionPool:
    make_pool: Callable[..., ConnectionPool] = cast("Any", ConnectionPool)
    options = connection_options(settings, redis_connection, settings.connect_timeout_s, settings.timeout_s)
    return make_pool(protocol=protocol, **options)
