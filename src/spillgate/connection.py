"""What both sides need of redis-py: a connection's options from the settings, and its errors turned into ours."""

from types import ModuleType
from typing import Any, cast
from urllib.parse import urlsplit

from redis import exceptions
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.retry import Retry

from spillgate.config import ServerSettings, Verify
from spillgate.errors import (
    AuthenticationFailed,
    CommandUnavailable,
    ConfigError,
    OutOfMemory,
    PermissionDenied,
    ServerBusy,
    ServerError,
    ServerLoading,
    ServerReadOnly,
    ServerUnreachable,
    mask_url,
)

_SCHEMES = {"redis", "rediss", "unix"}
_OF_URL = {"connection_class", "host", "port", "path", "db", "username", "password"}


def connection_options(
    settings: ServerSettings,
    driver: ModuleType,
    connect_timeout_s: float | None,
    timeout_s: float | None,
) -> dict[str, object]:
    """The options of a connection that never retries by itself.

    ``driver`` is `redis.connection` or `redis.asyncio.connection`; what is meant for its class comes along, and the
    class. Of a URL only where the server is and who comes counts: with the driver's own ``from_url`` its query would
    win over all that is asked for here.

    Raises:
        ConfigError: the URL needs more than a single server, or cannot be read.
    """
    scheme = urlsplit(settings.url).scheme
    if scheme not in _SCHEMES:
        message = f"{mask_url(settings.url)}: only redis://, rediss:// and unix:// servers can be used so far"
        raise ConfigError(message)
    try:
        found: dict[str, object] = cast("Any", driver).parse_url(settings.url)
    except ValueError as error:
        raise ConfigError(f"{mask_url(settings.url)}: {error}") from error
    options = {name: value for name, value in found.items() if name in _OF_URL}
    options |= {
        "socket_connect_timeout": connect_timeout_s,
        "socket_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": DriverInfo(name="spillgate"),
    }
    if scheme == "rediss":
        options |= {
            "ssl_ca_certs": str(settings.ca_file) if settings.ca_file else None,
            "ssl_certfile": str(settings.cert_file) if settings.cert_file else None,
            "ssl_keyfile": str(settings.key_file) if settings.key_file else None,
            "ssl_cert_reqs": "none" if settings.verify is Verify.NONE else "required",
            "ssl_check_hostname": settings.verify is Verify.FULL,
        }
    return options


def translated(error: Exception, url: str, command: str) -> ServerError:  # noqa: PLR0911 (a table)
    """The driver's error about ``command`` as one of ours; whoever raises it names ``error`` as its cause."""
    match error:
        case exceptions.AuthenticationError():
            return AuthenticationFailed(f"{mask_url(url)}: {error} Check the user and password in the URL.")
        case exceptions.BusyLoadingError():
            return ServerLoading()
        case exceptions.ReadOnlyError():
            return ServerReadOnly()
        case exceptions.OutOfMemoryError():
            return OutOfMemory()
        case exceptions.NoPermissionError():
            return PermissionDenied(f"{command}: {error}", command=command)
        case exceptions.ResponseError():
            return _response_error(str(error), command)
        case _:
            return ServerUnreachable(f"{mask_url(url)}: {error}")


def _response_error(text: str, command: str) -> ServerError:
    """Errors that the driver has no class for, and those that a script met inside the server and passes on."""
    if text.startswith("BUSY"):
        return ServerBusy()
    if "READONLY" in text:
        return ServerReadOnly()
    if any(words in text for words in ("NOPERM", "ACL failure", "can't run this command", "can't access at least one")):
        return PermissionDenied(f"{command}: {text}", command=command)
    if any(words in text.lower() for words in ("unknown command", "unknown subcommand", "not allowed")):
        return CommandUnavailable(f"{command}: {text}", command=command)
    return ServerError(f"{command}: {text}")
