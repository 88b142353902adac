"""Commands to the server, or word at once that it is not to be had."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, cast

import hiredis

from spillgate.cache.breaker import Breaker
from spillgate.cache.counters import SERVER, Counters, Event
from spillgate.cache.in_force import TtlsInForce
from spillgate.cache.pressure import Pressure
from spillgate.cache.recorder import Recorder
from spillgate.cache.waiting import logger
from spillgate.cache.wire import AsyncWire, NoConnectionFree, Reply
from spillgate.config import Policy
from spillgate.errors import OutOfMemory, ServerError, ServerUnreachable
from spillgate.keyspace import WAKE_CHANNEL
from spillgate.keyspace.ttls import TTLS_KEY
from spillgate.model import Level

Command = tuple[str | bytes | int, ...]

_pack: Callable[[Command], bytes] = cast("Any", hiredis).pack_command
_LOOK = _pack(("INFO", "memory"))
_TTLS = _pack(("MGET", TTLS_KEY))  # the command that reads values, so that no right is asked for which few users have
_COMPLAIN_S = 60.0
_MOST_OWED = 10_000


class AsyncClient:
    """The way to the server that all namespaces of a cache share.

    A server that failed some times in a row is given up for a while (`Breaker`). Along with a command that is sent
    anyway goes a look at the server's memory, once a second at the most (`Pressure`), and at the TTLs that a governor
    has changed where it may (`TtlsInForce`), and about once a minute what the ``recorder`` knows.
    """

    def __init__(self, policy: Policy, counters: Counters, recorder: Recorder | None = None) -> None:
        self.pressure = Pressure(policy)
        self.ttls = TtlsInForce(policy)
        self.breaker = Breaker(policy.cache.failures, policy.cache.retry_s)
        self.recorder = recorder
        self._wire = AsyncWire(policy.server, policy.cache)
        self._counter = counters.of(SERVER)
        self._complain_at_s: dict[str, float] = {}
        self._owed: dict[str, None] = {}
        self._owed_clears: dict[str, None] = {}
        self._patience_s = policy.cache.timeout_s / 2
        self._away = False

    async def aclose(self) -> None:
        """Close the connections; the client may be used again."""
        await self._wire.aclose()

    async def send(self, *commands: Command, repeatable: bool = True, anyway: bool = False) -> list[Reply]:
        """The replies to the commands, in one round trip; a command that failed has its `ServerError` in place.

        ``repeatable`` says that they may be sent twice where a connection was lost, ``anyway`` that the server is tried
        also where it is given up.

        Raises:
            ServerError: the server was not reached, did not answer in time, or is given up for now.
        """
        now_s = monotonic()
        if not self.breaker.admits(now_s) and not anyway:
            raise ServerUnreachable
        owed = self._take_owed() if self._owed or self._owed_clears else ()
        packed = packed_commands((*owed, *commands) if owed else commands)
        count = len(owed) + len(commands)
        looks = self.pressure.claim_look(now_s)
        asks = looks and self.ttls.asked
        if looks:
            packed += _LOOK + _TTLS if asks else _LOOK
        published = b"" if self.recorder is None or now_s < self.recorder.due_s else self._publication(now_s)
        if published:
            packed += published
        try:
            more = looks + asks + bool(published)
            replies = await self._wire.exchange(packed, count + more, repeatable=repeatable)
        except BaseException as error:
            self._owe_again(owed)
            # One that was cancelled after a while would have waited longer: its caller is less patient than we are.
            if isinstance(error, ServerError) or monotonic() - now_s > self._patience_s:
                self._give_up(error)
            raise
        self.breaker.succeeded()
        if self._away:
            self._away = False
            logger.info("the server of the cache answers again")
        if published:
            replies.pop()  # whether it was published makes no difference to anybody here
        if asks:
            self.ttls.saw(replies.pop())
        if looks:
            self.pressure.saw(replies.pop(), now_s)
        return replies[len(owed) :] if owed else replies

    def owe(self, names: Sequence[str], generation: str | None = None) -> None:
        """The values of these keys are out of date and could not be deleted: it is done before anything else is asked.

        So many are remembered. Where there are more, the namespace is cleared by the key of its ``generation``, if that
        is given; else the old values live on.
        """
        if len(self._owed) + len(names) <= _MOST_OWED:
            self._owed.update(dict.fromkeys(names))
        elif generation is not None:
            self._owed_clears[generation] = None

    def _take_owed(self) -> tuple[Command, ...]:
        names, self._owed = tuple(self._owed), {}
        clears, self._owed_clears = tuple(self._owed_clears), {}
        return (*((("UNLINK", *names),) if names else ()), *(("INCR", generation) for generation in clears))

    def _owe_again(self, owed: Iterable[Command]) -> None:
        for command, *names in owed:
            (self._owed if command == "UNLINK" else self._owed_clears).update(dict.fromkeys(map(str, names)))

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
        self.complain("writes are refused: the server is at its memory limit", "oom")
        if self.pressure.refused(monotonic()):
            with suppress(ServerError):
                await self.send(("PUBLISH", WAKE_CHANNEL, "oom"))
        return True

    def complain(self, error: object, kind: str = "down") -> None:
        """Log what went wrong, once a minute at the most for each ``kind``: it is counted as well."""
        now_s = monotonic()
        if now_s >= self._complain_at_s.get(kind, 0.0):
            self._complain_at_s[kind] = now_s + _COMPLAIN_S
            logger.warning("the cache goes on without its server: %s" if kind == "down" else "%s", error)

    def _publication(self, now_s: float) -> bytes:
        """The command that publishes what is recorded; nothing where it is another's turn, or the server is short."""
        if self.recorder is None or self.pressure.shed or self.pressure.effective >= Level.CRITICAL:
            return b""
        try:
            command = self.recorder.publication(now_s)
        except Exception:  # noqa: BLE001 (a request must not fail because of what is noted about it)
            logger.warning("what the cache has recorded could not be published", exc_info=True)
            return b""
        return b"" if command is None else _pack(command)

    def _give_up(self, error: BaseException) -> None:
        if isinstance(error, NoConnectionFree):
            self.complain(error)  # which says nothing about the server
            return
        self._away = True
        if self.breaker.failed(monotonic()):
            self._counter.count(Event.BREAKER_OPEN)
        self.complain(error if isinstance(error, ServerError) else "it does not answer in the time of its callers")


def packed_commands(commands: Sequence[Command]) -> bytes:
    """Commands as they are sent. A text that is not valid is sent all the same: it is somebody's key."""
    try:
        return b"".join(map(_pack, commands))
    except UnicodeEncodeError:
        return b"".join(_pack(tuple(map(_lenient, command))) for command in commands)


def _lenient(part: str | bytes | int) -> bytes | int:
    return part.encode(errors="surrogatepass") if isinstance(part, str) else part
