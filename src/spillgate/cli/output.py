"""Where output goes: documents and screens to stdout, everything else to stderr; and how a command ends."""

import json
import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING

from spillgate.errors import BudgetExhausted, ServerError, SpillgateError
from spillgate.governor.state import State
from spillgate.model import Level

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Wide enough for any table: in a pipe nothing is cut to the width of a terminal that is not there.
_PIPE_WIDTH = 200


class Exit(IntEnum):
    """The exit codes."""

    FINE = 0
    ALARMED = 1  # level preventive or above, or a target that was not reached
    USAGE = 2  # usage or configuration
    UNREACHABLE = 3  # the server cannot be reached, or does not tell what is needed
    INTERRUPTED = 130  # Ctrl-C


def level_exit(state: State) -> Exit:
    """The code that tells the level in force."""
    level = state.assessment.level if state.assessment else Level.NORMAL
    return Exit.ALARMED if level >= Level.PREVENTIVE else Exit.FINE


def console(*, stderr: bool = False) -> "Console":
    """A console on stdout or stderr: in colour on a terminal, plain in a pipe."""
    from rich.console import Console  # noqa: PLC0415 - 5 MB of memory that a long run does without

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPE_WIDTH, highlight=False, markup=False)


def emit(document: Mapping[str, object]) -> None:
    """The one document of ``--json``."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


def show(*parts: "RenderableType | None") -> None:
    """Screens, one below the other; None is one that there is not."""
    out = console()
    for part in parts:
        if part is not None:
            out.print(part, soft_wrap=isinstance(part, str))


def complain(message: str) -> None:
    """Tell what went wrong, in one line on stderr."""
    sys.stderr.write(f"error: {' '.join(message.split())}\n")


def fail(error: SpillgateError) -> Exit:
    """Tell what ended the command, and return the exit code for it. With ``--json`` stdout gets a document too."""
    complain(str(error))
    if "--json" in sys.argv:
        emit({"error": str(error), "kind": type(error).__name__})
    return Exit.UNREACHABLE if isinstance(error, ServerError | BudgetExhausted) else Exit.USAGE
