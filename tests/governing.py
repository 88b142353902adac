"""What tests of the governor share: a clock turned by hand, a policy, keys to govern, and whole passes over them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spillgate.config import parse_policy
from spillgate.governor.apply import Progress
from spillgate.governor.clock import Clock
from spillgate.governor.loop import Governor
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import CallBounds, ScanTable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    import redis

    from spillgate.config import Policy
    from spillgate.governor.journal import Event
    from spillgate.model import Level, Rule

EXAMPLE = Path(__file__).parents[1] / "examples" / "ceo-platform.toml"
MB = 1024 * 1024
LIMIT = 8 * MB

NAMESPACES = """
[[namespace]]
name = "analytics"
keys = "app:analytics:*"
ttl = "15m"
cleanup = "clear"
priority = 1

[[namespace]]
name = "sessions"
keys = "app:sessions:*"
ttl = "15m"
cleanup = "expired"
priority = 2

[[namespace]]
name = "pages"
keys = ["app:pages:*", "web:*:page"]
ttl = "10m"
cleanup = "trim"
priority = 3

[[namespace]]
name = "messages"
keys = "app:messages:*"
ttl = "30m"
cleanup = "shorten"
emergency_ttl = "5m"
critical_ttl = "1m"
priority = 4

[[namespace]]
name = "tasks"
keys = "app:tasks:*"
cleanup = "never"
"""


class HandClock:
    """Both clocks, turned by hand: they stand still unless told.

    ``when_read`` is called whenever the monotonic one is looked at: so a test gets into the middle of a cleanup.
    """

    def __init__(self, monotonic_s: float = 1000.0, wall_s: float = 1_800_000_000.0) -> None:
        self.monotonic_s = monotonic_s
        self.wall_s = wall_s
        self.when_read: Callable[[], object] = lambda: None
        self.clock = Clock(self._read, lambda: self.wall_s)

    def _read(self) -> float:
        self.when_read()
        return self.monotonic_s

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.monotonic_s += seconds
        self.wall_s += seconds


def policy_of(url: str, *, server: str = "", tables: str = "", namespaces: str = NAMESPACES) -> Policy:
    """A policy for the server at ``url``; ``server`` holds more lines of its [server] table."""
    return parse_policy(f'[server]\nurl = "{url}"\n{server}\n{tables}\n{namespaces}', "test policy")


def gateway_of(policy: Policy, *, probed: bool = True) -> Gateway:
    """A gateway as the governor makes it."""
    gateway = Gateway(policy.server, ScanTable(policy.namespaces), clock=HandClock().clock.monotonic)
    if probed:
        gateway.probe()
    return gateway


@contextmanager
def governing(policy: Policy, clock: HandClock | None = None, *, dry_run: bool = False) -> Generator[Governor]:
    """A governor whose cycles the test calls itself."""
    governor = Governor(policy, clock=(clock or HandClock()).clock, dry_run=dry_run, seed=1)
    try:
        yield governor
    finally:
        governor.close()


def level(governor: Governor) -> Level:
    """The level in force."""
    assert governor.state.assessment is not None
    return governor.state.assessment.level


def told(governor: Governor, event: Event | None = None) -> str:
    """What the journal says, one line an entry."""
    return "\n".join(entry.message for entry in governor.journal.entries() if event in {None, entry.event})


def fill(client: redis.Redis, prefix: str, count: int, size: int = 1000, ttl_s: int | None = 600) -> None:
    """Write ``count`` keys of ``size`` bytes."""
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        pipe.set(f"{prefix}{number}", b"x" * size, ex=ttl_s)
    pipe.execute()


def dumped(client: redis.Redis, size: int) -> bytes:
    """A value of this size as RESTORE takes it, which can say how long a key has been idle."""
    client.set("dumped", b"x" * size)
    payload = client.dump("dumped")
    client.delete("dumped")
    assert payload is not None
    return payload


def fill_to(client: redis.Redis, share: float, prefix: str = "app:messages:", ttl_s: int | None = 900) -> None:
    """Write values of 3 KB until this share of `LIMIT` is in use."""
    number = 0
    while (missing := share * LIMIT - used(client)) > 0:
        fill(client, f"{prefix}{number}:", max(1, int(missing / 6000)), size=3000, ttl_s=ttl_s)
        number += 1


def keys_of(client: redis.Redis, pattern: str = "*") -> set[bytes]:
    """The keys that match, none that has expired."""
    return set(cast("list[bytes]", client.keys(pattern)))


def ttls(client: redis.Redis, pattern: str = "*") -> dict[bytes, int]:
    """Each key's TTL in seconds, -1 without."""
    keys = tuple(keys_of(client, pattern))
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.ttl(key)
    return dict(zip(keys, cast("list[int]", pipe.execute()), strict=True))


def used(client: redis.Redis) -> int:
    """What counts towards the limit."""
    info = cast("dict[str, int]", client.info("memory"))
    return info["used_memory"] - info["mem_not_counted_for_evict"]


def sweep_all(
    gateway: Gateway,
    rules: Iterable[Rule],
    bounds: CallBounds | None = None,
    *,
    start: int | None = None,
    dry_run: bool = False,
) -> Progress:
    """One pass over all keys, from a random place unless told."""
    start = gateway.random_cursor() if start is None else start
    progress = Progress(start, start)
    rules = tuple(rules)
    while not progress.complete:
        reply = gateway.sweep(progress.cursor, rules, bounds or CallBounds(200, 5000), dry_run=dry_run)
        progress.fold(reply)
        assert progress.calls < 10_000, "the pass never ends"
    return progress
