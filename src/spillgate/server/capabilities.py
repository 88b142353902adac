"""What a server allows, tried once, and what the lack of it costs."""

from collections.abc import Callable
from dataclasses import dataclass

from spillgate.errors import AuthenticationFailed, ServerBusy, ServerError, ServerLoading, ServerUnreachable
from spillgate.server.info import parse_fields

_COSTS = {
    "evaluate": "EVAL: cleaning goes through pipelines, more slowly; keys without a TTL of expired namespaces stay",
    "script_clock": "a clock in scripts: calls are bounded by their number of keys alone",
    "idle": "OBJECT IDLETIME: the order falls back to time to live, and orphans without a TTL are not found",
    "memory_usage": "MEMORY USAGE: bytes by namespace stay unknown, budgets are not enforced, trims not measured first",
    "scan": "SCAN: keys cannot be visited, so nothing can be cleaned up",
    "count": "DBSIZE: keys cannot be counted, so there is no census, and no order drawn from one",
    "config": "CONFIG GET: server settings cannot be checked",
    "tracking": "CLIENT TRACKING: a flood is noticed at the next look only; choose a shorter interval",
    "random_cursor": "SCAN from a random place: samples start where the last one ended",
    "random_key": "RANDOMKEY: where samples cannot start at random places, a census visits every key",
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
    count: bool = False
    config: bool = False
    tracking: bool = False
    random_cursor: bool = False
    random_key: bool = False
    acl: bool = False

    def missing(self) -> tuple[str, ...]:
        """What is missing, each with what that costs. Script flags are only missed by versions that know of none."""
        return tuple(cost for name, cost in _COSTS.items() if not getattr(self, name))


def probe(call: Callable[..., object], absent_key: bytes) -> Capabilities:
    """Try each command once, where one takes a key with ``absent_key``. What is forbidden counts as missing.

    Raises:
        ServerError: the server is unreachable, loading or busy, which says nothing about what it allows.
    """
    info = call("INFO")
    fields = parse_fields(info) if isinstance(info, bytes) else {}
    product = _product(fields)
    user = attempt(call, "ACL", "WHOAMI")
    lfu = "lfu" in fields.get("maxmemory_policy", "")

    def can(*command: str | bytes | int) -> bool:
        return attempt(call, *command) is not FORBIDDEN

    return Capabilities(
        product=product,
        version=fields.get("valkey_version") or fields.get("redis_version"),
        user=user.decode("utf-8", "replace") if isinstance(user, bytes) else None,
        evaluate=can("EVAL", "return 1", 0),
        script_clock=_has_script_clock(call),
        script_flags=can("EVAL", "#!lua flags=allow-oom\nreturn 1", 0),
        idle=not lfu and can("OBJECT", "IDLETIME", absent_key),
        memory_usage=can("MEMORY", "USAGE", absent_key),
        scan=can("SCAN", 0, "COUNT", 1),
        count=can("DBSIZE"),
        config=can("CONFIG", "GET", "maxmemory"),
        tracking=can("CLIENT", "TRACKING", "OFF"),
        random_cursor=product != "unknown" and fields.get("server_mode", fields.get("redis_mode")) == "standalone",
        random_key=can("RANDOMKEY"),
        acl=isinstance(user, bytes),
    )


FORBIDDEN = object()
"""In place of the reply to a command that this user or plan may not give."""


def _product(fields: dict[str, str]) -> str:
    """Who made the server. Compatible servers that do not say so in the words of these two stay unknown."""
    if fields.get("server_name") == "valkey":
        return "valkey"
    return "redis" if "redis_version" in fields and "redis_build_id" in fields else "unknown"


def _has_script_clock(call: Callable[..., object]) -> bool:
    """Whether a clock moves while a script runs: os.clock in Valkey, TIME in Redis up to 7.0."""
    spin = "for i = 1, 4000 do end"
    clock = f"local c = rawget(_G, 'os').clock local a = c() {spin} return c() > a and 1 or 0"
    time = f"local a = redis.call('TIME') {spin} {spin} local b = redis.call('TIME') return a[2] ~= b[2] and 1 or 0"
    return attempt(call, "EVAL", clock, 0) == 1 or attempt(call, "EVAL", time, 0) == 1


def attempt(call: Callable[..., object], *command: str | bytes | int) -> object:
    """The reply, or `FORBIDDEN`; errors that will pass are raised."""
    try:
        return call(*command)
    except (ServerUnreachable, ServerLoading, ServerBusy, AuthenticationFailed):
        raise
    except ServerError:
        return FORBIDDEN
