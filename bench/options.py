"""What was asked for on the command line."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.goals import Report
from tests.servers import ServerKind, ServerMissingError, find_binary


@dataclass(frozen=True, slots=True)
class Options:
    """``only`` names scenarios by part of their name, ``kinds`` servers likewise; empty means all."""

    quick: bool = False
    repetitions: int = 3
    only: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def wants(self, scenario: str) -> bool:
        """Whether a scenario is to be run."""
        return not self.only or any(part in scenario for part in self.only)

    def kinds_of(self, report: Report, *kinds: ServerKind) -> Iterator[ServerKind]:
        """Those of the kinds of server that are asked for and installed; one that is missing is a goal not reached."""
        for kind in kinds:
            if self.kinds and not any(part in kind for part in self.kinds):
                continue
            try:
                find_binary(kind)
            except ServerMissingError as error:
                report.judge(str(error), (), 0)
                continue
            yield kind
