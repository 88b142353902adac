"""Commands to the server, or word at once that it is not to be had."""

from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, cast

import hiredis

from spillgate.cache.breaker import Breaker
from spillgate.cache.counters import SERVER, Counters, Event
from spillgate.cache.pressure import Pressure
from spillgate.cache.waiting import logger
from spillgate.cache.wire import AsyncWire, NoConnectionFree, Reply
from spillgate.config import Policy
from spillgate.errors import OutOfMemory, ServerError, ServerUnreachable
from spillgate.keyspace import WAKE_CHANNEL

Command = tuple[str | bytes | int, ...]

_pack: Callable[[Command], bytes] = cast("Any", hiredis).pack_command
_LOOK = _pack(("INFO", "memory"))
_COMPLAIN_S = 60.0


class AsyncClient:
    """The way to the server that all namespaces of a cache share.

    A server that failed some times in a row is given up for a while (`Breaker`). Along with a command that is sent
    anyway goes a look at the server's memory, once a second at the most (`Pressure`).
    """

    def __init__(self, policy: Policy, counters: Counters) -> None:
        self.pressure = Pressure(policy)
        self.breaker = Breaker(policy.cache.failures, policy.cache.retry_s)
        self._wire = AsyncWire(policy.server, policy.cache)
        self._counter = counters.of(SERVER)
        self._complain_at_s = 0.0

    async def aclose(self) -> None:
        """Close the connections; the client may be used again."""
        await self._wire.aclose()

    async def send(self, *commands: Command, repeatable: bool = True) -> list[Reply]:
        """The replies to the commands, in one round trip; a command that failed has its `ServerError` in place.

        ``repeatable`` says that they may be sent twice where a connection was lost.

        Raises:
            ServerError: the server was not reached, did not answer in time, or is given up for now.
        """
        now_s = monotonic()
        if not self.breaker.admits(now_s):
            raise ServerUnreachable
        packed = b"".join(map(_pack, commands))
        count = len(commands)
        looks = self.pressure.claim_look(now_s)
        try:
            replies = await self._wire.exchange(
                packed + _LOOK if looks else packed, count + looks, repeatable=repeatable
            )
        except NoConnectionFree:
            raise
        except ServerError as error:
            self._give_up(error)
            raise
        self.breaker.succeeded()
        if looks:
            self.pressure.saw(replies.pop(), now_s)
        return replies

    async def look(self) -> None:
        """Look at the server's memory, if it is time to, with no command to go along with.

        Raises:
            ServerError: as of `send`.
        """
        if self.pressure.is_due(monotonic()):
            await self.send()

    async def refused(self, reply: Reply) -> bool:
        """Whether the server refused a write for want of memory; the governor is told, if there is one."""
        if not isinstance(reply, OutOfMemory):
            return False
        if self.pressure.refused(monotonic()):
            with suppress(ServerError):
                await self.send(("PUBLISH", WAKE_CHANNEL, "oom"))
        return True

    def complain(self, error: ServerError) -> None:
        """Log what went wrong, once a minute at the most: it is counted as well."""
        now_s = monotonic()
        if now_s >= self._complain_at_s:
            self._complain_at_s = now_s + _COMPLAIN_S
            logger.warning("the cache goes on without its server: %s", error)

    def _give_up(self, error: ServerError) -> None:
        if self.breaker.failed(monotonic()):
            self._counter.count(Event.BREAKER_OPEN)
        self.complain(error)
