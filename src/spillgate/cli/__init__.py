"""The command line.

``commands`` declares what can be typed, ``serve`` runs the governor beside its web surfaces, ``cleaning`` is the manual
emergency procedure, ``screens`` what people read, ``output`` where it goes and with which exit code.
"""

import sys

from spillgate.cli.commands import app
from spillgate.cli.output import fail
from spillgate.errors import SpillgateError


def main() -> None:
    """Run the command that was typed, and exit with its code."""
    try:
        app(prog_name="spillgate")
    except SpillgateError as error:
        sys.exit(fail(error))
