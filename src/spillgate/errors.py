"""Every error that Spillgate raises, and how a URL may be shown in one.

The first line of a class's docstring is its default message::

    SpillgateError
    ├── ConfigError (also a ValueError)
    │   ├── UnitError           a size, duration or share that cannot be read
    │   └── LimitUnknown        no limit declared, and the server has none
    ├── ServerError
    │   ├── ServerUnreachable   down, timed out, connection lost
    │   ├── ServerLoading       LOADING
    │   ├── ServerReadOnly      READONLY
    │   ├── ServerBusy          BUSY
    │   ├── AuthenticationFailed  NOAUTH, WRONGPASS
    │   ├── PermissionDenied    NOPERM
    │   ├── OutOfMemory         OOM
    │   └── CommandUnavailable  unknown, renamed or blocked by the plan
    ├── ValueRefused (also a ValueError)  a value that may not be stored, or cannot be written
    │   └── ValueTooLarge       larger than its namespace allows
    ├── BudgetExhausted         the day's commands are spent
    └── MissingExtra            an optional part is not installed
"""

import re

MASK = "***"
"""What stands in place of what is not to be shown."""


def mask_url(url: str) -> str:
    """Return ``url`` with every password in it replaced by ``***``.

    Masks ``user:password@``, ``:password@`` and query parameters such as ``password=``. Where a malformed URL
    leaves doubt (an unescaped ``@`` or ``/`` in the password), more is hidden rather than less.
    """
    url = re.sub(r"^([^:/]*://[^:@/?#]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"([?&][^=&#]*(?:password|secret|token)[^=&#]*=)[^&#]*", r"\1***", url, flags=re.IGNORECASE)


class SpillgateError(Exception):
    """Spillgate failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self._default_message())

    @classmethod
    def _default_message(cls) -> str:
        return (cls.__doc__ or cls.__name__).partition("\n")[0]  # `python -OO` strips docstrings


class ConfigError(SpillgateError, ValueError):
    """The configuration is not valid.

    ``source`` is the file (or "environment", "command line") and ``key`` the path inside it, where they are known;
    both stand before the message.
    """

    def __init__(self, message: str | None = None, *, source: str | None = None, key: str | None = None) -> None:
        super().__init__(": ".join(part for part in (source, key, message or self._default_message()) if part))
        self.source = source
        self.key = key


class UnitError(ConfigError):
    """The value is not a size, duration or share."""


class LimitUnknown(ConfigError):
    """The memory limit is unknown, for maxmemory is 0: pass --limit 25MB, or set limit in the [server] table."""


class ServerError(SpillgateError):
    """The server answered with an error."""


class ServerUnreachable(ServerError):
    """The server cannot be reached: it is down, did not answer in time, or dropped the connection."""


class ServerLoading(ServerError):
    """The server is loading its data set into memory and does not answer commands yet."""


class ServerReadOnly(ServerError):
    """The server is a read-only replica: connect to its primary."""


class ServerBusy(ServerError):
    """The server is busy running somebody's script."""


class AuthenticationFailed(ServerError):
    """The server wants a password, or refused the one given: check the user and password in the URL."""


class _CommandError(ServerError):
    """A server error about one command, whose name is in ``command`` where it is known."""

    def __init__(self, message: str | None = None, *, command: str | None = None) -> None:
        text = message or self._default_message()
        super().__init__(f"{command}: {text}" if command and not message else text)
        self.command = command


class PermissionDenied(_CommandError):
    """The server's ACL does not let this user run the command, or touch the key."""


class OutOfMemory(ServerError):
    """The server is at its memory limit and refuses writes."""


class CommandUnavailable(_CommandError):
    """The server does not offer the command: it is too old, or its plan blocks or renames it."""


class ValueRefused(SpillgateError, ValueError):
    """The value may not be stored in this namespace."""


class ValueTooLarge(ValueRefused):
    """The value is larger than max_value of its namespace allows."""


class BudgetExhausted(SpillgateError):
    """The commands allowed for today (commands_per_day in the [monitor] table) are spent."""


class MissingExtra(SpillgateError):
    """An optional part of Spillgate is not installed; ``extra`` is its name."""

    def __init__(self, extra: str) -> None:
        super().__init__(extra)
        self.extra = extra

    def __str__(self) -> str:
        return f"The extra {self.extra!r} is not installed: run pip install 'spillgate[{self.extra}]'."
