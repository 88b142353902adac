"""Caches on test servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spillgate import parse_policy

if TYPE_CHECKING:
    from spillgate.config import Policy
    from tests.servers import Server

NAMESPACES = """
[[namespace]]
name = "messages"
keys = "app:messages:*"
ttl = "30m"
cleanup = "shorten"
priority = 2
jitter = 0

[[namespace]]
name = "analytics"
keys = "app:analytics:*"
ttl = "15m"
cleanup = "clear"
priority = 1

[[namespace]]
name = "users"
keys = "app:users:*"
ttl = "15m"
"""


@dataclass
class Message:
    """What most tests store."""

    number: int
    text: str


def policy_of(server: Server, namespaces: str = NAMESPACES, **cache: str | int) -> Policy:
    """A policy for a cache on this server; ``cache`` is its [cache] table."""
    table = "\n".join(f"{key} = {value!r}" for key, value in cache.items())
    ca_file = f'ca_file = "{server.ca_file}"\n' if server.ca_file else ""
    text = f'[server]\nurl = "{server.url}"\n{ca_file}[cache]\n{table}\n{namespaces}'
    return parse_policy(text, "test")


def counted(cache: Any, namespace: str = "messages") -> dict[str, float]:
    """What happened in a namespace, but for sizes and times."""
    counts = cache.counts().get(namespace, {})
    return {str(event): amount for event, amount in counts.items() if not event.endswith(("bytes", "seconds"))}
