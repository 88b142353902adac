"""Spillgate keeps a Redis or Valkey below its memory limit without losing what must not be lost."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spillgate.cache import AsyncCache, AsyncNamespace, Cache, Namespace
    from spillgate.config import Policy, load_policy, parse_policy
    from spillgate.errors import SpillgateError
    from spillgate.governor.loop import Governor
else:
    _HOMES = {
        "AsyncCache": "spillgate.cache",
        "AsyncNamespace": "spillgate.cache",
        "Cache": "spillgate.cache",
        "Governor": "spillgate.governor.loop",
        "Namespace": "spillgate.cache",
        "Policy": "spillgate.config",
        "SpillgateError": "spillgate.errors",
        "load_policy": "spillgate.config",
        "parse_policy": "spillgate.config",
    }

    def __getattr__(name: str) -> object:
        """Import it when it is asked for: the command line starts without, and can be interrupted from the first."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


__all__ = [
    "AsyncCache",
    "AsyncNamespace",
    "Cache",
    "Governor",
    "Namespace",
    "Policy",
    "SpillgateError",
    "load_policy",
    "parse_policy",
]
