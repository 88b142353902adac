"""The demo: a small server, a flood, and a governor that keeps it below its limit, to be watched in a terminal."""

from spillgate.demo.run import run_demo

__all__ = ["run_demo"]
