"""The server's memory over a run: looked at between batches, when the client has nothing under way."""

import re
from dataclasses import dataclass

from spillgate.replay.client import Line, packed
from spillgate.server.info import parse_fields

_INFO = packed(b"INFO", b"memory")
_USED = re.compile(rb"\r\nused_memory:(\d+)")
_CLIENTS = re.compile(rb"\r\nmem_clients_normal:(\d+)")


@dataclass(frozen=True, slots=True)
class Look:
    """Memory in use, and how much of it clients' buffers take."""

    used_bytes: int
    clients_bytes: int

    @classmethod
    def at(cls, line: Line) -> "Look":
        """What the server uses now."""
        (reply,) = line.exchange([_INFO], 1)
        used, clients = _USED.search(reply), _CLIENTS.search(reply)
        return cls(int(used[1]) if used else 0, int(clients[1]) if clients else 0)


class Average:
    """Means over time of what was looked at, by the trapezium rule."""

    def __init__(self) -> None:
        self._used = self._data = self._time_s = 0.0
        self._last: tuple[float, Look] | None = None

    def add(self, at_s: float, look: Look) -> None:
        """A look, later than the one before."""
        if self._last is not None:
            before_s, before = self._last
            span_s = at_s - before_s
            self._time_s += span_s
            self._used += span_s * (before.used_bytes + look.used_bytes) / 2
            self._data += span_s * (data_of(before) + data_of(look)) / 2
        self._last = (at_s, look)

    def restart(self) -> None:
        """Mean over the time from the latest look on."""
        self._used = self._data = self._time_s = 0.0

    @property
    def used_bytes(self) -> float:
        """Memory in use."""
        return self._used / self._time_s if self._time_s else float(self._latest.used_bytes)

    @property
    def data_bytes(self) -> float:
        """The same without clients' buffers."""
        return self._data / self._time_s if self._time_s else float(data_of(self._latest))

    @property
    def _latest(self) -> Look:
        return self._last[1] if self._last else Look(0, 0)


def data_of(look: Look) -> int:
    """Memory in use without clients' buffers."""
    return look.used_bytes - look.clients_bytes


def facts(line: Line) -> dict[str, int]:
    """What the server counted since it started: evicted and expired keys, and the most memory it ever used."""
    fields = parse_fields(line.call("INFO"))
    return {name: int(fields[name]) for name in ("evicted_keys", "expired_keys", "used_memory_peak")}
