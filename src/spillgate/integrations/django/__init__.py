"""A cache backend for Django: ``BACKEND = "spillgate.integrations.django.SpillgateCache"``.

See ``docs/django.md`` for its settings, for what is stored how, and for what differs from Django's own backends.

Raises:
    MissingExtra: Django is not installed.
"""

from importlib import import_module

from spillgate.errors import MissingExtra

try:
    import_module("django")
except ImportError as _error:
    raise MissingExtra("django") from _error

from spillgate.integrations.django.backend import SpillgateCache

__all__ = ["SpillgateCache"]
