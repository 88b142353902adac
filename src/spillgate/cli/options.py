"""The options that every command has, the policy they lead to, and its server."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from spillgate.config import Policy, load_policy
from spillgate.governor.clock import Clock, CommandMeter
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The server: redis://, rediss:// or unix://. Else SPILLGATE_URL, REDIS_URL, or the policy file says it. "
        "A password is safer in the environment, where other users of the machine do not see it.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The policy file. Else SPILLGATE_CONFIG names it."),
]
Limit = Annotated[
    str | None,
    typer.Option(
        "--limit",
        metavar="SIZE",
        help="Memory that the plan allows, such as 25MB. Else SPILLGATE_LIMIT, the policy file, "
        "or the server's maxmemory says it.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Decide and tell, but delete and re-time nothing.")]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to serve HTTP on.")]
Port = Annotated[
    int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Port to serve HTTP on; 0 takes a free one.")
]

_NICE = 15  # of 19


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Where the policy comes from, so that it can be read again: flags, else the environment, else the file."""

    url: str | None
    config: Path | None
    limit: str | None

    @property
    def file(self) -> str | None:
        """The policy file, where there is one."""
        return str(self.config) if self.config else os.environ.get("SPILLGATE_CONFIG") or None

    def load(self) -> Policy:
        """The policy as it is written now.

        Raises:
            ConfigError: it cannot be used.
        """
        return load_policy(self.config, env=os.environ, flags={"url": self.url, "limit": self.limit})


def gateway_of(policy: Policy) -> Gateway:
    """The policy's server, which is asked no more than the day's commands. Nothing is sent yet."""
    meter = CommandMeter(policy.monitor.commands_per_day, Clock())
    table = ScanTable(policy.namespaces)
    gateway = Gateway(
        policy.server, table, clock=time.monotonic, allow=lambda: meter.budget(gateway.commands).remaining
    )
    return gateway


def let_others_go_first() -> None:
    """Take the processor only when nobody else wants it, as far as the system knows how.

    A look at all keys is nobody's emergency: on the machine of the server or of the application it must not take their
    turn.
    """
    if hasattr(os, "nice"):
        os.nice(_NICE)


def nothing_may_go(policy: Policy) -> str | None:
    """Why a policy lets nothing be cleaned up, where that is so."""
    if not policy.namespaces:
        return "no namespace is registered, so every key is protected and nothing will ever be cleaned up"
    if all(ns.protected for ns in policy.namespaces):
        return "every namespace is protected, so nothing will ever be cleaned up"
    return None


def no_auto(policy: Policy) -> str | None:
    """Why a single cycle adjusts no TTL, where the policy asks for it."""
    if not policy.automatic:
        return None
    return 'ttl_mode = "auto" does nothing here, for a tick keeps no memory: spillgate run adjusts TTLs'
