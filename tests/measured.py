"""What tests of metrics read them from: states in which nothing, something or everything is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from spillgate.cache.recording import Namespace, Process, Recording
from spillgate.checkup.checkup import Latest, Library
from spillgate.checkup.examination import Examination
from spillgate.config import parse_policy
from spillgate.governor.state import State, Totals
from spillgate.model import Census, Estimate, Level, Reading, Usage
from spillgate.policy.findings import Diagnosis, Evidence, Finding, Severity
from spillgate.policy.pressure import Assessment, Limits
from spillgate.server.capabilities import Capabilities
from spillgate.web.measuring import Receiver, Seen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spillgate.config import Policy
    from spillgate.web.measuring import Measure

MB = 1024 * 1024
SECRET = "hunter2"
POLICY = parse_policy(
    f"""
    [server]
    url = "redis://me:{SECRET}@cache.internal:6380/3"
    [[namespace]]
    name = "users"
    keys = "app:users:*"
    [[namespace]]
    name = "messages"
    keys = "app:messages:*"
    ttl = "30m"
    cleanup = "clear"
    priority = 1
    budget = "5MB"
    """,
    "test",
)
READING = Reading(
    at_s=100.0,
    used_bytes=20 * MB,
    not_counted_bytes=MB,
    maxmemory_bytes=25 * MB,
    eviction_policy="allkeys-lru",
    startup_bytes=900_000,
    dataset_bytes=17 * MB,
    clients_bytes=0,
    replication_bytes=2 * MB,
    aof_bytes=0,
    scripts_bytes=3000,
    rss_bytes=24 * MB,
    fragmentation=1.2,
    lazyfree_pending=0,
    keys=145,
    keys_with_ttl=87,
    other_keys=0,
    evicted_keys=7,
    expired_keys=1000,
    refused_writes=0,
    connected_clients=12,
    run_id="abc",
    version="9.1.2",
    uptime_s=3600,
    role="master",
)
UNREAD = State(policy=POLICY, dry_run=False)


def census(*, sized: bool = True, unregistered: float = 45.6, exact: bool = False) -> Census:
    """One in which users have 12 keys without a TTL and messages about 87 with one."""
    rows = (
        Usage("users", Estimate.exact(12), Estimate.exact(4000) if sized else None, Estimate.exact(12)),
        Usage(
            "messages",
            Estimate(87.4, 60, float("inf")),
            Estimate(9000.5, 8000, 10_000) if sized else None,
            Estimate(0, 0, 4),
        ),
    )
    return Census(
        100.0,
        exact=exact,
        sampled_keys=100,
        total_keys=145,
        namespaces=rows,
        unregistered_keys=Estimate(unregistered, unregistered, unregistered),
        total_bytes=Estimate(20_000, 19_000, 21_000) if sized else None,
    )


READ = State(
    policy=POLICY,
    dry_run=False,
    assessment=Assessment(
        at_s=100.0,
        level=Level.PREVENTIVE,
        raw_level=Level.WARNING,
        pressure=0.76,
        forecast=0.78,
        fill_bytes_s=1000.0,
        limits=Limits(25 * MB, 2 * MB),
    ),
    reading=READING,
    at_unix_s=1_769_860_800.5,
    census=census(),
    capabilities=Capabilities(product="valkey", version="9.1.2", scan=True),
    pause_s=30.0,
    readings=20,
    commands=300,
    totals=Totals(actions=4, deleted=200, expired=30, retimed=10, freed_bytes=3 * MB),
)


def recorded(name: str, *, reads: int, hits: int) -> Namespace:
    """What the cache library told of a namespace."""
    zeros = dict.fromkeys(Namespace.__struct_fields__, 0)
    values: dict[str, Any] = zeros | {"name": name, "reads": reads, "hits": hits, "rate": 1.0, "sliding": False}
    return Namespace(**values)


EXAMINATION = Examination(
    Capabilities(),
    cast("Evidence", None),  # nothing is read from it
    Diagnosis((Finding(Severity.HIGH, "bad", "mend it"), Finding(Severity.INFO, "so so", "leave it")), {}),
    1.0,
)
EVERYTHING = Seen(
    READ,
    history_writable=True,
    examined=Latest(1_769_860_000.0, EXAMINATION),
    library=Library(
        1_769_860_000.0,
        Recording(
            processes=(Process("web-1", 7, "token"),),
            namespaces=(
                recorded("messages", reads=200, hits=150),
                recorded("users", reads=0, hits=0),
                recorded("made up", reads=10, hits=10),
            ),
        ),
    ),
    firing=(Level.WARNING, Level.WARNING, Level.CRITICAL),
    receivers=(Receiver("chat", failing=True), Receiver("mail", failing=False)),
)
"""All that can be known is."""
LOST = replace(EVERYTHING, state=replace(READ, unreadable=True, error="the server cannot be reached"))
"""The server was read, and cannot be read any more."""


def values(measures: Iterable[Measure], seen: Seen) -> dict[str, dict[tuple[str, ...], float]]:
    """Every value that is known, by the name in Prometheus and the labels."""
    return {one.prometheus: found for one in measures if (found := dict(one.samples(seen)))}


def many(count: int) -> Policy:
    """A policy of so many namespaces."""
    tables = (f'[[namespace]]\nname = "n{number}"\nkeys = "n{number}:*"' for number in range(count))
    return parse_policy("\n".join(tables), "test")
