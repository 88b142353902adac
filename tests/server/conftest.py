"""Governors whose cycles a test calls itself, closed when it ends."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.governing import LIMIT, NAMESPACES, HandClock, governing, policy_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spillgate.governor.loop import Governor
    from tests.servers import Server


class Govern(Protocol):
    """Makes a governor of a server with `LIMIT`; its clock stands still unless the test turns it."""

    def __call__(
        self,
        server: Server,
        *,
        clock: HandClock | None = None,
        url: str = "",
        tables: str = "",
        namespaces: str = NAMESPACES,
        limit_bytes: int = LIMIT,
        dry_run: bool = False,
    ) -> Governor:
        """Make it."""
        ...


@pytest.fixture
def govern() -> Iterator[Govern]:
    """Governors closed with the test."""
    with ExitStack() as governors:

        def make(
            server: Server,
            *,
            clock: HandClock | None = None,
            url: str = "",
            tables: str = "",
            namespaces: str = NAMESPACES,
            limit_bytes: int = LIMIT,
            dry_run: bool = False,
        ) -> Governor:
            policy = policy_of(url or server.url, server=f"limit = {limit_bytes}", tables=tables, namespaces=namespaces)
            return governors.enter_context(governing(policy, clock, dry_run=dry_run))

        yield make
