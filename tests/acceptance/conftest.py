"""The command line, typed in this process: for the many small cases that need none of their own."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from spillgate.cli import main
from tests.conftest import missing
from tests.programs import FOREIGN, GOVERNED, running, stock
from tests.servers import Server, ServerKind, ServerMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.programs import Running


class Told(NamedTuple):
    """How a command ended, named as in `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


class Typed(Protocol):
    """Types a command and tells how it ended."""

    def __call__(self, *arguments: str, server: Server | None = None, **variables: str) -> Told:
        """Do it, with ``variables`` in the environment."""
        ...


def _changes_nothing(_: int) -> int:
    return 0


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Typed]:
    """Runs ``spillgate ...`` in this process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("os.nice", _changes_nothing)  # this process would never get its priority back
    for name in filter(FOREIGN.match, list(os.environ)):
        monkeypatch.delenv(name)

    def run(*arguments: str, server: Server | None = None, **variables: str) -> Told:
        monkeypatch.setattr("sys.argv", ["spillgate", *arguments])
        for name, value in (variables | ({"REDIS_URL": server.url} if server else {})).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        captured = capsys.readouterr()
        return Told(ended.value.code, captured.out, captured.err)

    yield run
    root.handlers, root.level = handlers, level


@pytest.fixture(scope="module")
def governed() -> Iterator[Running]:
    """``spillgate run`` beside a stocked Valkey, with the token "correct horse", for all questions of a module."""
    try:
        server = Server(ServerKind.VALKEY_9_1)
    except ServerMissingError as error:
        missing(str(error))
    with server:
        stock(server)
        with running(*GOVERNED, server=server, SPILLGATE_TOKEN="correct horse") as governor:
            governor.becomes("healthy")
            yield governor
