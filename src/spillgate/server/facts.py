"""What a server tells beside INFO, where it is asked and allowed to. Forbidden is None, never an empty answer.

Questions about keys are asked of many at once; a key that is gone, of another type or forbidden has None in its place.
They count as a use of the key, unless `Facts.leave_no_trace` was allowed.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, cast

from spillgate.server.capabilities import FORBIDDEN, attempt
from spillgate.server.driver import Argument, Command, Driver

_COUNT_BY_TYPE = {"hash": "HLEN", "list": "LLEN", "set": "SCARD", "stream": "XLEN", "zset": "ZCARD"}
_READ_BY_TYPE: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "hash": ("HGETALL", ()),
    "set": ("SMEMBERS", ()),
    "zset": ("ZRANGE", (0, -1)),
}


class Facts:
    """Single questions to one server; each raises `ServerError` where the server cannot be asked at all."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def memory_stats(self) -> Mapping[str, Any] | None:
        """What MEMORY STATS tells, nested as in its reply."""
        reply = self._ask("MEMORY", "STATS")
        return None if reply is None else _mapping(reply)

    def timed_commands(self) -> int | None:
        """Of how many commands a histogram of latencies is kept (Redis 7.0, Valkey)."""
        reply = self._ask("INFO", "latencystats")
        return None if reply is None else reply.count(b"latency_percentiles_usec_")

    def settings(self, names: Iterable[str]) -> Mapping[str, str] | None:
        """These settings of the server, as far as it has them."""
        replies = self._ask_all(("CONFIG", "GET", name) for name in names)
        told = [reply for reply in replies if reply is not None]
        pairs = chain.from_iterable(_pairs(reply) for reply in told)
        return {_text(name): _text(value) for name, value in pairs} if told else None

    def clients(self) -> Sequence[Mapping[str, str]] | None:
        """The connections, by the fields of CLIENT LIST."""
        reply = self._ask("CLIENT", "LIST")
        if reply is None:
            return None
        return [dict(_field(part) for part in line.split(" ")) for line in _text(reply).splitlines()]

    def default_user_open(self) -> bool | None:
        """Whether the default user is on and has no password."""
        reply = self._ask("ACL", "GETUSER", "default")
        if reply is None:
            return None
        flags = set(map(_text, dict(_pairs(reply)).get("flags", ())))
        return {"on", "nopass"} <= flags

    def subscribers(self, channel: str) -> int | None:
        """How many connections listen to a channel."""
        reply = self._ask("PUBSUB", "NUMSUB", channel)
        return None if reply is None else int(reply[1])

    def leave_no_trace(self) -> bool:
        """Whether from now on questions on this connection leave the idle times of keys alone (Redis 7.2, Valkey)."""
        return self._ask("CLIENT", "NO-TOUCH", "ON") is not None

    def types(self, keys: Iterable[bytes]) -> list[str | None]:
        """The type of each key."""
        replies = self._ask_all(("TYPE", key) for key in keys)
        return [None if reply is None or _text(reply) == "none" else _text(reply) for reply in replies]

    def counts(self, keys: Iterable[tuple[bytes, str]]) -> list[int | None]:
        """The number of elements of each collection, given with its type."""
        return self._ask_all((_COUNT_BY_TYPE[kind], key) for key, kind in keys)

    def ever_added(self, streams: Iterable[bytes]) -> list[int | None]:
        """How many entries each stream was ever given (Redis 7.0)."""
        replies = self._ask_all(("XINFO", "STREAM", key) for key in streams)
        return [None if reply is None else dict(_pairs(reply)).get("entries-added") for reply in replies]

    def lengths(self, strings: Iterable[bytes]) -> list[int | None]:
        """The length of each string in bytes."""
        return self._ask_all(("STRLEN", key) for key in strings)

    def heads(self, strings: Iterable[bytes], most_bytes: int) -> list[bytes | None]:
        """The first so many bytes of each string."""
        return self._ask_all(("GETRANGE", key, 0, most_bytes - 1) for key in strings)

    def elements(self, keys: Iterable[tuple[bytes, str]]) -> list[list[bytes] | None]:
        """The fields and values, or members, of each hash, set or sorted set, given with its type: for small ones."""
        replies = self._ask_all((name, key, *rest) for key, kind in keys for name, rest in [_READ_BY_TYPE[kind]])
        return [None if reply is None else list(_flat(reply)) for reply in replies]

    def _ask(self, *command: Argument) -> Any | None:
        reply = attempt(self._driver.call, *command)
        return None if reply is FORBIDDEN else reply

    def _ask_all(self, commands: Iterable[Command]) -> list[Any | None]:
        """In one round trip."""
        asked = list(commands)
        replies = self._driver.pipeline(asked, optional={str(command[0]) for command in asked})
        return [None if isinstance(reply, Exception) else reply for reply in replies]


def _mapping(flat: list[Any]) -> dict[str, Any]:
    """A reply of names and values in turn; values may be such lists themselves."""
    return {
        name.decode(): _mapping(cast("list[Any]", value)) if isinstance(value, list) else value
        for name, value in zip(flat[::2], flat[1::2], strict=True)
    }


def _pairs(flat: Sequence[Any]) -> Iterable[tuple[str, Any]]:
    """Names and what follows each."""
    return ((_text(name), value) for name, value in zip(flat[::2], flat[1::2], strict=True))


def _field(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name, value


def _flat(reply: Any) -> Iterable[bytes]:
    """Everything in a collection, whichever way the driver hands it over."""
    return chain.from_iterable(cast("Mapping[bytes, bytes]", reply).items()) if isinstance(reply, dict) else reply


def _text(word: bytes | str) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else word
