"""The typed operations on one server, over one connection.

Every command the governor sends goes through here, is counted against the day's budget, and fails with an error of
ours that keeps the driver's as its cause.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any, cast
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool
from redis.retry import Retry

from spillgate.config import ServerSettings, Verify
from spillgate.errors import (
    AuthenticationFailed,
    BudgetExhausted,
    CommandUnavailable,
    ConfigError,
    OutOfMemory,
    PermissionDenied,
    ServerBusy,
    ServerError,
    ServerLoading,
    ServerReadOnly,
    ServerUnreachable,
    mask_url,
)
from spillgate.model import KeySample, Reading, Rule
from spillgate.server import pipelined
from spillgate.server.capabilities import Capabilities
from spillgate.server.info import parse_fields, parse_reading
from spillgate.server.scanning import CallBounds, RuleCount, SampleReply, ScanTable, SweepReply

Argument = str | bytes | int

# Bits of a random cursor; the server masks off those beyond its table.
_RANDOM_CURSOR_BITS = 48
# Without a running clock in scripts, a microsecond of a call's budget buys this many keys at the most.
_BLIND_KEYS_PER_US = 0.3


class Script:
    """A server-side script, sent whole once and by its hash afterwards."""

    __slots__ = ("digest", "text")

    def __init__(self, name: str) -> None:
        """Read ``lua/<name>.lua``."""
        self.text = (resources.files("spillgate.server") / "lua" / f"{name}.lua").read_bytes()
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()


def connection_pool(settings: ServerSettings, **options: object) -> ConnectionPool:
    """A pool for ``settings``: redis://, rediss:// with its certificates, unix://.

    Raises:
        ConfigError: the scheme needs more than a single server.
    """
    scheme = urlsplit(settings.url).scheme
    if scheme not in {"redis", "rediss", "unix"}:
        message = f"{mask_url(settings.url)}: only redis://, rediss:// and unix:// servers can be governed so far"
        raise ConfigError(message)
    if scheme == "rediss":
        options |= {
            "ssl_ca_certs": str(settings.ca_file) if settings.ca_file else None,
            "ssl_certfile": str(settings.cert_file) if settings.cert_file else None,
            "ssl_keyfile": str(settings.key_file) if settings.key_file else None,
            "ssl_cert_reqs": "none" if settings.verify is Verify.NONE else "required",
            "ssl_check_hostname": settings.verify is Verify.FULL,
        }
    from_url = cast("Callable[..., ConnectionPool]", ConnectionPool.from_url)
    return from_url(
        settings.url,
        socket_connect_timeout=settings.connect_timeout_s,
        socket_timeout=settings.timeout_s,
        retry=Retry(NoBackoff(), 0),
        lib_name="spillgate",
        **options,
    )


@contextmanager
def translated(url: str, command: str = "") -> Iterator[None]:
    """Driver errors into ours, the cause kept."""
    try:
        yield
    except redis.exceptions.AuthenticationError as error:
        raise AuthenticationFailed(f"{mask_url(url)}: {error}") from error
    except redis.exceptions.BusyLoadingError as error:
        raise ServerLoading from error
    except redis.exceptions.ReadOnlyError as error:
        raise ServerReadOnly from error
    except redis.exceptions.OutOfMemoryError as error:
        raise OutOfMemory from error
    except redis.exceptions.NoPermissionError as error:
        raise PermissionDenied(str(error), command=command) from error
    except redis.exceptions.ResponseError as error:
        raise _response_error(str(error), command) from error
    except (redis.exceptions.RedisError, OSError) as error:
        raise ServerUnreachable(f"{mask_url(url)}: {error}") from error


def _response_error(text: str, command: str) -> ServerError:
    """The errors that the driver does not tell apart, by the code the server puts first."""
    code = text.split(" ", 1)[0].strip("-").upper()
    if code in {"NOAUTH", "WRONGPASS"}:
        return AuthenticationFailed(text)
    if code in {"BUSY"}:
        return ServerBusy()
    if code == "LOADING" or "LOADING" in text[:40]:
        return ServerLoading()
    if code == "NOPERM" or "NOPERM" in text or "ACL failure" in text:
        return PermissionDenied(text, command=command)
    if "READONLY" in text:
        return ServerReadOnly()
    if "unknown command" in text.lower() or "unknown subcommand" in text.lower() or "not allowed" in text.lower():
        return CommandUnavailable(f"{command}: {text}", command=command)
    return ServerError(f"{command}: {text}" if command else text)


class Gateway:
    """One server, one connection, blocking calls.

    ``clock`` is the monotonic clock that stamps readings; ``allow`` is asked before each command how many are left
    today (None: no cap).
    """

    def __init__(
        self,
        settings: ServerSettings,
        table: ScanTable,
        *,
        clock: Callable[[], float],
        allow: Callable[[], int | None] = lambda: None,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; nothing is sent before the first operation."""
        self.settings = settings
        self.table = table
        self.capabilities = Capabilities(scan=True)
        self.commands = 0
        self._clock = clock
        self._allow = allow
        self._rng = rng or random.Random()  # noqa: S311
        self._pool = connection_pool(settings, protocol=2)
        self._client: Any = redis.Redis(connection_pool=self._pool)
        self._client.set_response_callback("INFO", lambda reply, **_: reply)
        self._database = int(self._pool.connection_kwargs.get("db") or 0)
        self._scripts = {name: Script(name) for name in ("sweep", "sample")}

    def now(self) -> float:
        """The monotonic clock that stamps readings."""
        return self._clock()

    def close(self) -> None:
        """Close the connection; the gateway may be used again."""
        self._pool.disconnect()

    def new_connection(self) -> Connection:
        """A second connection to the same server, which speaks RESP3, for write tracking."""
        return cast("Connection", connection_pool(self.settings, protocol=3).make_connection())

    def call(self, *command: Argument) -> Any:  # noqa: ANN401
        """One command, counted and with its errors translated."""
        self._spend(1)
        with translated(self.settings.url, str(command[0])):
            return self._client.execute_command(*command)

    def pipeline(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """Several commands in one round trip, without MULTI; a failed one has its error in its place."""
        self._spend(len(commands))
        with translated(self.settings.url, str(commands[0][0]) if commands else ""):
            pipe = self._client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            return pipe.execute(raise_on_error=False)

    def _spend(self, count: int) -> None:
        left = self._allow()
        if left is not None and left < count:
            raise BudgetExhausted
        self.commands += count

    def read(self) -> Reading:
        """A full reading: all default sections of INFO in one command."""
        return parse_reading(self.call("INFO"), self._clock(), self._database)

    def read_memory(self) -> Reading:
        """A partial reading: INFO memory alone, cheaper while looking often."""
        return parse_reading(self.call("INFO", "memory"), self._clock(), self._database)

    def sweep(
        self, cursor: int, rules: Iterable[Rule], bounds: CallBounds, *, dry_run: bool = False, blind: bool = False
    ) -> SweepReply:
        """Visit a run of keys from ``cursor`` on, and do what ``rules`` ask for; ``blind`` to all other namespaces."""
        by_name = self.table.by_name(rules, others=not blind)
        if not self.capabilities.evaluate:
            return pipelined.sweep(self, cursor, by_name, bounds, dry_run=dry_run)
        keys = bounds.keys if self.capabilities.script_clock else min(bounds.keys, self._blind_keys(bounds))
        reply = self._run(
            "sweep",
            cursor,
            keys,
            bounds.microseconds,
            bounds.need_bytes,
            int(dry_run),
            int(self.capabilities.idle),
            *self.table.sweep_arguments(by_name),
        )
        next_cursor, visited, expired, freed, before, info, *counts = reply
        # The script counts up to the highest index it was told of.
        counted = {name: RuleCount(*count) for name, count in zip(self.table.names, counts, strict=False) if name in by_name}
        reading = parse_reading(info, self._clock(), self._database)
        return SweepReply(int(next_cursor), visited, max(0, expired), max(0, freed), before, reading, counted)

    def sample(self, cursor: int, bounds: CallBounds) -> SampleReply:
        """Look at a run of keys from ``cursor`` on; nothing is changed."""
        if not self.capabilities.evaluate:
            return pipelined.sample(self, cursor, bounds)
        can = self.capabilities
        keys = bounds.keys if can.script_clock else min(bounds.keys, self._blind_keys(bounds))
        reply = self._run(
            "sample",
            cursor,
            keys,
            bounds.microseconds,
            int(can.idle),
            int(can.memory_usage),
            *self.table.sample_arguments(),
        )
        next_cursor, visited, total, flat = reply
        names = (None, *self.table.names)
        rows = zip(flat[0::4], flat[1::4], flat[2::4], flat[3::4], strict=True)
        seen = tuple(
            (names[index], KeySample(known(idle), known(ttl), known(size))) for index, idle, ttl, size in rows
        )
        return SampleReply(int(next_cursor), visited, total, seen)

    def random_cursor(self) -> int:
        """A place to start from: random where cursors are known to be bucket indices, else the beginning."""
        return self._rng.getrandbits(_RANDOM_CURSOR_BITS) if self.capabilities.random_cursor else 0

    @staticmethod
    def _blind_keys(bounds: CallBounds) -> int:
        return max(10, int(bounds.microseconds * _BLIND_KEYS_PER_US))

    def _run(self, name: str, *arguments: Argument) -> Any:  # noqa: ANN401
        script = self._scripts[name]
        try:
            return self.call("EVALSHA", script.digest, 0, *arguments)
        except ServerError as error:
            if not isinstance(error.__cause__, redis.exceptions.NoScriptError):
                raise
        return self.call("EVAL", script.text, 0, *arguments)

    def probe(self) -> Capabilities:
        """Try each command once and remember what works. Only what is forbidden counts as missing: a server that is
        unreachable, loading or busy raises instead.
        """
        fields = parse_fields(self.call("INFO"))
        product = "valkey" if fields.get("server_name") == "valkey" or "valkey_version" in fields else "unknown"
        if product == "unknown" and fields.get("redis_version") and fields.get("redis_mode"):
            product = "redis"
        lfu = "lfu" in fields.get("maxmemory_policy", "")
        user = self._try("ACL", "WHOAMI")
        self.capabilities = Capabilities(
            product=product,
            version=fields.get("valkey_version") or fields.get("redis_version"),
            user=user.decode("utf-8", "replace") if isinstance(user, bytes) else None,
            evaluate=self._can("EVAL", "return 1", 0),
            script_clock=self._has_script_clock(),
            script_flags=self._can("EVAL", "#!lua flags=allow-oom\nreturn 1", 0),
            idle=not lfu and self._can("OBJECT", "IDLETIME", "spillgate:probe"),
            memory_usage=self._can("MEMORY", "USAGE", "spillgate:probe"),
            scan=self._can("SCAN", 0, "COUNT", 1),
            config=self._can("CONFIG", "GET", "maxmemory"),
            tracking=self._can("CLIENT", "TRACKING", "OFF"),
            random_cursor=product != "unknown" and fields.get("redis_mode", fields.get("server_mode")) == "standalone",
            acl=isinstance(user, bytes),
        )
        return self.capabilities

    def _has_script_clock(self) -> bool:
        spin = "for i = 1, 2000 do end"
        clock = f"local c = rawget(_G, 'os').clock local a = c() {spin} return c() > a and 1 or 0"
        time = f"local a = redis.call('TIME') {spin} {spin} local b = redis.call('TIME') return a[2] ~= b[2] and 1 or 0"
        return self._try("EVAL", clock, 0) == 1 or self._try("EVAL", time, 0) == 1

    def _can(self, *command: Argument) -> bool:
        return self._try(*command) is not _FORBIDDEN

    def _try(self, *command: Argument) -> object:
        """The reply, or ``_FORBIDDEN``. Errors that will pass are raised: they say nothing about what is allowed."""
        try:
            return self.call(*command)
        except (ServerUnreachable, ServerLoading, ServerBusy, AuthenticationFailed):
            raise
        except ServerError:
            return _FORBIDDEN


_FORBIDDEN = object()


def known(number: int) -> int | None:
    """Scripts say -1 for unknown, or for no TTL."""
    return None if number < 0 else number
