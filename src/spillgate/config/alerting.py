"""What is told, to whom and when: the tables [alerts] and [[webhook]].

Addresses and secrets may stand in the environment: ``"env:NAME"`` is the value of that variable. One that is not set is
no mistake of the file, for applications that never send an alert read the same one; who sends is told by
`Secret.reveal`.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from enum import StrEnum
from typing import cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from spillgate.config.values import read_count, read_name, read_one_of, read_text, says
from spillgate.errors import MASK, ConfigError, UnitError
from spillgate.model import Level
from spillgate.units import parse_duration, unreadable

SIGNING_PREFIX = "whsec_"
_BY_ENV = "env:"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=://.)", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_HOUR = 60


class FindingSeverity(StrEnum):
    """The least severe findings that are told, or none of them."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is never shown; ``value`` is None where the ``variable`` that is to hold it is not set."""

    value: str | None
    variable: str | None = None

    def __repr__(self) -> str:
        return f"Secret({_BY_ENV + self.variable if self.variable else MASK!r})"

    def within(self, env: Mapping[str, str]) -> "Secret":
        """The same, with what its variable says; one that is empty is not set."""
        return self if self.variable is None else Secret(env.get(self.variable) or None, self.variable)

    def reveal(self) -> str:
        """The text.

        Raises:
            ConfigError: its variable is not set.
        """
        if self.value is None:
            raise ConfigError(f"names the environment variable {self.variable}, which is not set")
        return self.value

    @property
    def address(self) -> str:
        """Of a URL what may be shown: no path, for that is where services keep their tokens, no user, no query."""
        if self.value is None:
            return f"{_BY_ENV}{self.variable}"
        scheme, host = _scheme(self.value), None
        if scheme in {"http", "https"}:
            try:
                parts = urlsplit(self.value)
                host = parts.hostname and f"{parts.hostname}{f':{parts.port}' if parts.port else ''}"
            except ValueError:
                host = None
        return f"{scheme}://{host + '/' if host else ''}{MASK}" if scheme else MASK


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Minutes of the day between which only the worst is told; ``until`` itself is loud again."""

    since: int
    until: int

    def include(self, minute: int) -> bool:
        """Whether a minute of the day is quiet, also where midnight lies between."""
        if self.since < self.until:
            return self.since <= minute < self.until
        return minute >= self.since or minute < self.until

    def __str__(self) -> str:
        return "-".join("{:02}:{:02}".format(*divmod(minute, _HOUR)) for minute in (self.since, self.until))


def zone_of(name: str) -> tzinfo:
    """The time zone of a name, also where the system has no table of them for "UTC".

    Raises:
        KeyError: there is none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError) as error:  # a path, or a folder
        raise KeyError(name) from error


def read_level(value: object) -> Level:
    """A level that is worth a word."""
    for level in Level:
        if level and value == level.label:
            return level
    raise unreadable("one of " + ", ".join(f'"{level.label}"' for level in Level if level), value)


def read_secret(value: object) -> Secret:
    """A secret, or where it stands; errors do not show it."""
    if not isinstance(value, str) or not value:
        raise UnitError("expected a text, got none" if isinstance(value, str) else "expected a text in quotes")
    if not value.startswith(_BY_ENV):
        return Secret(value)
    variable = value.removeprefix(_BY_ENV)
    if not _VARIABLE.fullmatch(variable):
        raise UnitError('expected the name of an environment variable behind "env:", got something else')
    return Secret(None, variable)


def read_urls(value: object) -> tuple[Secret, ...]:
    """A list of URLs; in one text they stand with spaces between."""
    urls = cast("list[object]", value) if isinstance(value, list) else read_text(value).split()
    return tuple(map(read_secret, urls))


def _read_quiet_hours(value: object) -> QuietHours:
    match = _QUIET.fullmatch(value) if isinstance(value, str) else None
    quiet = QuietHours(*(int(match[i]) * _HOUR + int(match[i + 1]) for i in (1, 3))) if match else None
    if quiet is None or quiet.since == quiet.until:
        raise unreadable('hours such as "22:00-07:00"', value)
    return quiet


def _read_zone(value: object) -> str:
    name = read_text(value)
    try:
        zone_of(name)
    except KeyError:
        raise unreadable('a time zone that this system knows, such as "UTC" or "Europe/Berlin"', value) from None
    return name


def _read_link(value: object) -> str:
    link = read_text(value)
    if _scheme(link) not in {"http", "https"} or "@" in link:
        raise unreadable('a URL such as "https://spillgate.example.org", without a password', Secret(link).address)
    return link


def _scheme(url: str) -> str | None:
    found = _SCHEME.match(url)
    return found[0].lower() if found else None


def check_address(url: Secret, *, web: bool) -> None:
    """Refuse what is no URL, or where it is to be one of the ``web``, of another kind; nothing of it is shown.

    Raises:
        UnitError: it is not.
    """
    if url.value is None:
        return
    usable = _scheme(url.value) is not None
    if web:
        try:
            parts = urlsplit(url.value)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
    if not usable:
        expected = 'a URL such as "https://example.org/hook"' if web else 'a URL of apprise such as "slack://..."'
        raise unreadable(expected, url.address)


def signing_key(secret: str) -> bytes:
    """The bytes that a webhook is signed with: of "whsec_..." what its base64 says, of any other text itself.

    Raises:
        UnitError: it is no base64, or nothing.
    """
    if not secret.startswith(SIGNING_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(SIGNING_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise UnitError('expected base64 behind "whsec_", got something else')
    return key


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """[alerts]: what is worth telling, how often, and to whom by way of apprise."""

    min_level: Level = field(
        default=Level.PREVENTIVE, metadata=says("min_level", read_level, "Least level of memory that is told.")
    )
    forecast_s: float = field(
        default=1800.0,
        metadata=says("forecast", parse_duration, 'Told when memory will be at the limit within this; "0s" = never.'),
    )
    findings: FindingSeverity = field(
        default=FindingSeverity.HIGH,
        metadata=says(
            "findings",
            read_one_of(FindingSeverity),
            'Least severity of the doctor\'s findings told: "info", "low", "medium", "high", "critical", or "never".',
        ),
    )
    grace_s: float = field(
        default=60.0,
        metadata=says("grace", parse_duration, "How long the server may be unreadable, or cleanup fail, untold."),
    )
    hold_s: float = field(
        default=120.0,
        metadata=says("hold", parse_duration, "How long a condition must be gone before it counts as over."),
    )
    reminder_s: float = field(
        default=3600.0,
        metadata=says(
            "reminder", parse_duration, 'First reminder of what lasts, then after twice as long each; "0s" = none.'
        ),
    )
    rate: int = field(
        default=20,
        metadata=says("rate", read_count, "Most messages an hour, at least 1; the rest is summed up in one."),
    )
    quiet_hours: QuietHours | None = field(
        default=None, metadata=says("quiet_hours", _read_quiet_hours, 'Hours such as "22:00-07:00" that are quiet,')
    )
    quiet_level: Level = field(
        default=Level.EMERGENCY, metadata=says("quiet_level", read_level, "but for what is at least as bad as this,")
    )
    timezone: str = field(default="UTC", metadata=says("timezone", _read_zone, "in this time zone."))
    notify: tuple[Secret, ...] = field(
        default=(),
        metadata=says(
            "notify",
            read_urls,
            'URLs of apprise: Slack, e-mail, Discord, PagerDuty and more. "env:NAME" reads one from the environment.',
        ),
    )
    link: str | None = field(
        default=None, metadata=says("link", _read_link, "Where people find the dashboard; messages name it.")
    )
    name: str | None = field(
        default=None,
        metadata=says("name", read_text, "What messages call this server.", "its host and port"),
    )


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """[[webhook]]: an address that gets every alert as JSON, signed where a secret is shared."""

    name: str = field(metadata=says("name", read_name, "Its name."))
    url: Secret = field(metadata=says("url", read_secret, 'Where to POST, or "env:NAME".'))
    secret: Secret | None = field(
        default=None,
        metadata=says("secret", read_secret, 'Signs what is sent: "whsec_" and base64, or a text, or "env:NAME".'),
    )
    min_level: Level = field(
        default=Level.WARNING, metadata=says("min_level", read_level, "Told of what was at least as bad as this.")
    )
    timeout_s: float = field(default=10.0, metadata=says("timeout", parse_duration, "Longest wait for its answer."))
