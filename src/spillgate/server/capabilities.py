"""What a server allows, tried once, and what the lack of it costs."""

from dataclasses import dataclass

_COSTS = {
    "evaluate": "EVAL: cleaning goes through pipelines, several times slower, and a key may change between look and delete",
    "script_clock": "a clock in scripts: calls are bounded by their number of keys alone",
    "idle": "OBJECT IDLETIME: the order falls back to time to live, and orphans without a TTL are not found",
    "memory_usage": "MEMORY USAGE: bytes by namespace are unknown; budgets are not enforced and trims are not measured first",
    "scan": "SCAN: keys cannot be visited, so nothing can be cleaned up",
    "config": "CONFIG GET: server settings cannot be checked",
    "tracking": "CLIENT TRACKING: a flood is noticed at the next look only; choose a shorter interval",
    "random_cursor": "SCAN from a random place: samples start where the last one ended",
    "acl": "ACL WHOAMI: the user in force is unknown",
    "script_flags": "script flags: scripts cannot write at 100 % memory",
}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one server offers to this user. ``product`` is valkey, redis or unknown; ``user`` the ACL user, if told."""

    product: str = "unknown"
    version: str | None = None
    user: str | None = None
    evaluate: bool = False
    script_clock: bool = False
    script_flags: bool = False
    idle: bool = False
    memory_usage: bool = False
    scan: bool = False
    config: bool = False
    tracking: bool = False
    random_cursor: bool = False
    acl: bool = False

    def missing(self) -> tuple[str, ...]:
        """What is missing, each with what that costs. Script flags are only missed by versions that know of none."""
        return tuple(cost for name, cost in _COSTS.items() if not getattr(self, name))
