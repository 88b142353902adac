"""One observation of a server, and how near its limit it is."""

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How near the limit the server is; higher is worse."""

    NORMAL = 0
    WARNING = 1
    PREVENTIVE = 2
    EMERGENCY = 3
    CRITICAL = 4

    @property
    def label(self) -> str:
        """The level's name as users write and read it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Reading:
    """One observation of a server, parsed from a single INFO reply.

    ``at_s`` is the governor's monotonic clock when the reply arrived. A partial reading (INFO memory alone) leaves the
    fields of the other sections ``None``. ``other_keys`` are in other logical databases of the same server.
    """

    at_s: float
    used_bytes: int
    not_counted_bytes: int = 0
    maxmemory_bytes: int = 0
    eviction_policy: str | None = None
    startup_bytes: int | None = None
    dataset_bytes: int | None = None
    clients_bytes: int | None = None
    replication_bytes: int | None = None
    aof_bytes: int | None = None
    scripts_bytes: int | None = None
    rss_bytes: int | None = None
    fragmentation: float | None = None
    lazyfree_pending: int | None = None
    keys: int | None = None
    keys_with_ttl: int | None = None
    other_keys: int | None = None
    evicted_keys: int | None = None
    expired_keys: int | None = None
    refused_writes: int | None = None
    connected_clients: int | None = None
    run_id: str | None = None
    version: str | None = None
    uptime_s: int | None = None
    role: str | None = None

    @property
    def counted_bytes(self) -> int:
        """Memory that counts towards ``maxmemory``: without replica and AOF buffers."""
        return max(0, self.used_bytes - self.not_counted_bytes)

    @property
    def held_bytes(self) -> dict[str, int]:
        """Counted memory that deleting keys cannot free, by what holds it; only what the server tells."""
        parts = {
            "client buffers": self.clients_bytes,
            "replication backlog": self.replication_bytes,
            "scripts": self.scripts_bytes,
        }
        return {cause: size for cause, size in parts.items() if size}

    @property
    def data_bytes(self) -> int:
        """The share of the counted memory that data explains."""
        return self.data_with(0)

    def data_with(self, shared_bytes: int) -> int:
        """The same, where ``shared_bytes`` of what is held are data's after all."""
        return max(0, self.counted_bytes - max(0, sum(self.held_bytes.values()) - shared_bytes))
