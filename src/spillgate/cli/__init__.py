"""The command line.

``commands`` declares what can be typed, ``serve`` runs the governor beside its web surfaces, ``cleaning`` is the manual
emergency procedure, ``screens`` what people read, ``output`` where it goes and with which exit code.
"""

import sys


def main() -> None:
    """Run the command that was typed, and exit with its code."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)  # output.Exit.INTERRUPTED, which may not have come that far


def _run() -> None:
    # Imports take most of the first half second, in which Ctrl-C is no reason for a traceback.
    from spillgate.cli.commands import app  # noqa: PLC0415
    from spillgate.cli.output import fail  # noqa: PLC0415
    from spillgate.errors import SpillgateError  # noqa: PLC0415

    try:
        app(prog_name="spillgate")
    except SpillgateError as error:
        sys.exit(fail(error))
