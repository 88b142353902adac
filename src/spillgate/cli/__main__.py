"""``python -m spillgate.cli``, where the ``spillgate`` script is not on the path."""

from spillgate.cli import main

main()
