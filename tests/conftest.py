"""Fixtures that start real servers, and the rule about what is not installed here."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

import pytest
from hypothesis import settings

from tests.servers import Server, ServerKind, ServerMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator


class ServerFactory(Protocol):
    """Starts a server that lives as long as the test; takes what `Server` takes."""

    def __call__(
        self,
        kind: ServerKind = ServerKind.VALKEY_9_1,
        *,
        tls: bool = False,
        unixsocket: bool = False,
        **options: str | int,
    ) -> Server:
        """Start it."""
        ...


def missing(reason: str) -> NoReturn:
    """Skip with the reason, or fail where nothing may be missing (SPILLGATE_REQUIRE_ALL=1, as in CI)."""
    if os.environ.get("SPILLGATE_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}; SPILLGATE_REQUIRE_ALL=1 allows nothing to be missing", pytrace=False)
    pytest.skip(reason)


def pytest_configure() -> None:
    """Let a terminated run end as an interrupted one does: with its servers stopped. Choose how Hypothesis searches."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The same examples at every run where a failure must be the change's own fault; new ones on a developer's machine.
    settings.register_profile("spillgate", deadline=None, derandomize=os.environ.get("SPILLGATE_REQUIRE_ALL") == "1")
    settings.load_profile("spillgate")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests in the browser come last: while it is open, Playwright's event loop runs where others run theirs."""
    items.sort(key=lambda item: "browser" in item.path.parts)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold `@pytest.mark.requires(...)`."""
    for marker in item.iter_markers("requires"):
        for program in cast("tuple[str, ...]", marker.args):
            if not shutil.which(program):
                missing(f"the program {program} is not installed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `server` on every kind, or on those that `@pytest.mark.kinds(...)` names."""
    if "server" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("kinds")
        kinds = [ServerKind(name) for name in marker.args] if marker else list(ServerKind)
        metafunc.parametrize("server", kinds, ids=[kind.value for kind in kinds], indirect=True)


@pytest.fixture
def server_factory() -> Iterator[ServerFactory]:
    """Starts servers with settings of the test's own."""
    with ExitStack() as servers:

        def start(
            kind: ServerKind = ServerKind.VALKEY_9_1,
            *,
            tls: bool = False,
            unixsocket: bool = False,
            **options: str | int,
        ) -> Server:
            try:
                server = Server(kind, tls=tls, unixsocket=unixsocket, **options)
            except ServerMissingError as error:
                reason = str(error)
            else:
                return servers.enter_context(server)
            missing(reason)

        yield start


@pytest.fixture
def server(request: pytest.FixtureRequest, server_factory: ServerFactory) -> Server:
    """A fresh server: the test runs once on each kind."""
    return server_factory(cast("ServerKind", request.param))


@pytest.fixture
def valkey(server_factory: ServerFactory) -> Server:
    """A fresh Valkey 9.1, for tests that one kind is enough for."""
    return server_factory(ServerKind.VALKEY_9_1)
