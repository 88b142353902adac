"""The frozen values of a policy, and the table of settings.

Each field is one setting: its type, its default, its key in the file, the reader of its unit and its description stand
together, and `SETTINGS` is the table made of them. Fields hold bytes, seconds and shares of 1.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from spillgate.errors import UnitError, mask_url
from spillgate.keyspace import Glob
from spillgate.units import (
    format_bytes,
    format_duration,
    format_share,
    parse_bytes,
    parse_duration,
    parse_share,
    unreadable,
)

DEFAULT_RESERVE_SHARE = 0.08
MIN_TTL_DIVISOR = 6
MAX_TTL_FACTOR = 4
DEFAULT_CRITICAL_TTL_S = 60.0

_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Cleanup(StrEnum):
    """What emergency cleanup may do to a namespace."""

    CLEAR = "clear"
    """Delete its keys until the target is reached."""
    TRIM = "trim"
    """Delete the longest idle, else the soonest to expire, until the target is reached."""
    EXPIRED = "expired"
    """Delete what is past its TTL, and what has no TTL and is idle longer than ``ttl``."""
    SHORTEN = "shorten"
    """Cap remaining TTLs at ``emergency_ttl`` (``critical_ttl`` at critical), then trim if pressure stays."""
    NEVER = "never"
    """Nothing, at any level."""


class Verify(StrEnum):
    """How far a TLS server's certificate is checked."""

    FULL = "full"
    """Its chain and its host name."""
    CA = "ca"
    """Its chain alone."""
    NONE = "none"
    """Not at all."""


class Codec(StrEnum):
    """How the cache library writes a value."""

    MSGPACK = "msgpack"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table of settings.

    ``default`` is written as in the policy file, or says how the default follows from other settings; empty where a
    value is required or absence means none. ``env`` lists its environment variables, the strongest first.
    """

    table: str
    key: str
    field: str
    read: Callable[[object], object]
    default: str
    help: str
    env: tuple[str, ...]
    required: bool


def _says(
    key: str, read: Callable[[object], object], text: str, default: str = "", env: tuple[str, ...] = ()
) -> Mapping[str, object]:
    """Describe a field: its key in the file, its reader, its description, a derived default, its short variables."""
    return {"key": key, "read": read, "help": text, "default": default, "env": env}


def _text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise unreadable("a text", value)


def _path(value: object) -> Path:
    return Path(_text(value))


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise unreadable("true or false", value)


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise unreadable("a whole number, 0 or more", value)


def _weight(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    raise unreadable("a number, 0 or more", value)


def _one_of(choices: type[StrEnum]) -> Callable[[object], StrEnum]:
    def read(value: object) -> StrEnum:
        if value in list(choices):
            return choices(value)
        raise unreadable("one of " + ", ".join(f'"{choice}"' for choice in choices), value)

    return read


def _name(value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise unreadable("up to 64 letters, digits, dots, dashes or underscores", value)


def _globs(value: object) -> tuple[str, ...]:
    globs = tuple(map(_text, cast("list[object]", value))) if isinstance(value, list) else (_text(value),)
    if not globs:
        raise UnitError("expected a glob or a list of globs, got an empty list")
    for glob in globs:
        Glob(glob)
    return globs


def _url(value: object) -> str:
    url = _text(value)
    scheme, _, rest = url.partition("://")
    try:
        complete = urlsplit(url).path if scheme == "unix" else rest
        if scheme in {"redis", "rediss"}:
            complete = urlsplit(url).hostname
            _ = urlsplit(url).port  # reading the port checks it
    except ValueError:
        complete = None
    if scheme in {"redis", "rediss", "unix"} and not _selects_nothing_else(url):
        expected = "a URL with no more than a database number (/0) and the options db, username, password"
        raise unreadable(expected, mask_url(url))
    if not complete or scheme not in _SCHEMES:
        schemes = ", ".join(f"{one}://" for one in _SCHEMES)
        raise unreadable(f"a URL such as redis://127.0.0.1:6379/0 ({schemes})", mask_url(url))
    return url


def _selects_nothing_else(url: str) -> bool:
    """Whether path and query of a URL say only what they may; the driver would take, or guess at, anything."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        return False
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    numbers = [number for number in (path, options.get("db", "")) if number]
    return options.keys() <= {"db", "username", "password"} and all(map(str.isdecimal, numbers))


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """[server]: which server, and how much memory it may use."""

    url: str = field(
        default="redis://127.0.0.1:6379/0",
        metadata=_says(
            "url",
            _url,
            "The server: redis://, rediss:// (TLS), unix://. Not governed yet: redis+sentinel://, redis+cluster://.",
            env=("SPILLGATE_URL", "REDIS_URL"),
        ),
    )
    limit_bytes: int | None = field(
        default=None,
        metadata=_says(
            "limit",
            parse_bytes,
            "Memory that the plan allows.",
            "the server's maxmemory; an error where that is 0",
            env=("SPILLGATE_LIMIT",),
        ),
    )
    reserve_bytes: int | None = field(
        default=None, metadata=_says("reserve", parse_bytes, "Memory kept free below the limit.", "8% of limit")
    )
    connect_timeout_s: float = field(
        default=2.0, metadata=_says("connect_timeout", parse_duration, "Longest wait for a connection.")
    )
    timeout_s: float = field(default=5.0, metadata=_says("timeout", parse_duration, "Longest wait for a reply."))
    ca_file: Path | None = field(
        default=None, metadata=_says("ca_file", _path, "Certificates of the authorities trusted.", "the system's")
    )
    cert_file: Path | None = field(default=None, metadata=_says("cert_file", _path, "The client's certificate."))
    key_file: Path | None = field(default=None, metadata=_says("key_file", _path, "The key of cert_file."))
    verify: Verify = field(
        default=Verify.FULL,
        metadata=_says(
            "verify", _one_of(Verify), 'What of the certificate is checked: "full", "ca" (not the host name), "none".'
        ),
    )

    def __repr__(self) -> str:
        shown = {one.name: getattr(self, one.name) for one in fields(self)} | {"url": mask_url(self.url)}
        return f"ServerSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def reserve_for(self, limit_bytes: int) -> int:
        """Return the bytes to keep free below ``limit_bytes``: as declared, but no more than all; else 8 % of it."""
        if self.reserve_bytes is None:
            return round(limit_bytes * DEFAULT_RESERVE_SHARE)
        return min(self.reserve_bytes, limit_bytes)


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """[monitor]: how often to look, and how many commands that may take."""

    interval_s: float = field(
        default=30.0, metadata=_says("interval", parse_duration, "Time between looks while nothing happens.")
    )
    min_interval_s: float = field(
        default=0.1,
        metadata=_says("min_interval", parse_duration, "Shortest time between looks while the limit is far."),
    )
    commands_per_day: int = field(
        default=0, metadata=_says("commands_per_day", _count, "Most commands a day, for metered plans; 0 = no cap.")
    )


@dataclass(frozen=True, slots=True)
class LevelSettings:
    """[levels]: at which pressure each level begins, and when it ends again."""

    warning: float = field(
        default=0.6, metadata=_says("warning", parse_share, "Log, and name the heaviest namespaces.")
    )
    preventive: float = field(default=0.8, metadata=_says("preventive", parse_share, "Begin loss-free cleanup."))
    emergency: float = field(default=0.88, metadata=_says("emergency", parse_share, "Begin cleanup by priority."))
    critical: float = field(
        default=1.0, metadata=_says("critical", parse_share, "Use critical_ttl; the cache library sheds.")
    )
    release: float = field(
        default=0.04, metadata=_says("release", parse_share, "A level ends this far below its threshold,")
    )
    hold_s: float = field(default=15.0, metadata=_says("hold", parse_duration, "and after this long there."))


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """[cache]: how patient the cache library is."""

    timeout_s: float = field(
        default=0.25, metadata=_says("timeout", parse_duration, "Longest that one call to the server may take.")
    )
    connections: int = field(
        default=16, metadata=_says("connections", _count, "Most connections of one process, at least 1.")
    )
    failures: int = field(
        default=3, metadata=_says("failures", _count, "Failures in a row, at least 1, after which calls wait no more,")
    )
    retry_s: float = field(
        default=1.0, metadata=_says("retry", parse_duration, "and how long until one of them tries again.")
    )
    lock_s: float = field(
        default=10.0,
        metadata=_says("lock", parse_duration, "Longest that others wait for one process to compute a value."),
    )


@dataclass(frozen=True, slots=True)
class NamespacePolicy:
    """[[namespace]]: a named set of keys and what may be done to them.

    The TTLs are all known where ``ttl_s`` is (only a protected namespace may be without), and all None where not:
    what is not given is derived from ``ttl_s`` when the value is made.
    """

    name: str = field(metadata=_says("name", _name, "Its name."))
    keys: tuple[str, ...] = field(metadata=_says("keys", _globs, "Glob of its keys, or a list of globs."))
    ttl_s: float | None = field(
        default=None, metadata=_says("ttl", parse_duration, "Time its keys live.", 'required unless cleanup = "never"')
    )
    cleanup: Cleanup = field(
        default=Cleanup.NEVER,
        metadata=_says(
            "cleanup", _one_of(Cleanup), 'What an emergency may do: "clear", "trim", "expired", "shorten", "never".'
        ),
    )
    priority: int | None = field(
        default=None,
        metadata=_says(
            "priority",
            _count,
            "Lower is cleaned first, equal ones in the order of the file.",
            'required unless cleanup = "never"',
        ),
    )
    min_ttl_s: float | None = field(
        default=None, metadata=_says("min_ttl", parse_duration, "Least that ttl may become by advice.", "ttl / 6")
    )
    max_ttl_s: float | None = field(
        default=None,
        metadata=_says("max_ttl", parse_duration, "Most that ttl, and any TTL, may become.", "4 · ttl"),
    )
    emergency_ttl_s: float | None = field(
        default=None, metadata=_says("emergency_ttl", parse_duration, "Cap on TTLs at emergency.", "min_ttl")
    )
    critical_ttl_s: float | None = field(
        default=None,
        metadata=_says("critical_ttl", parse_duration, "Cap on TTLs at critical.", '"1m", or emergency_ttl if less'),
    )
    enforce_ttl: bool = field(
        default=cast("bool", None),  # only until __post_init__
        metadata=_says(
            "enforce_ttl", _switch, "Whether the governor sets and caps TTLs.", 'false if cleanup = "never", else true'
        ),
    )
    budget_bytes: int | None = field(
        default=None, metadata=_says("budget", parse_bytes, "Memory beyond which it is trimmed first.", "none")
    )
    weight: float = field(default=1.0, metadata=_says("weight", _weight, "Cost of rebuilding a value, relative."))
    max_value_bytes: int = field(
        default=256 * 1024, metadata=_says("max_value", parse_bytes, "Largest value the cache library accepts.")
    )
    compress_over_bytes: int = field(
        default=1024, metadata=_says("compress_over", parse_bytes, "Values larger than this are compressed.")
    )
    codec: Codec = field(
        default=Codec.MSGPACK, metadata=_says("codec", _one_of(Codec), 'How values are written: "msgpack" or "json".')
    )
    dictionary: bool = field(
        default=False, metadata=_says("dictionary", _switch, "Whether to compress with a trained dictionary.")
    )
    binary: bool = field(default=False, metadata=_says("binary", _switch, "Whether binary values are accepted."))
    jitter: float = field(
        default=0.1, metadata=_says("jitter", parse_share, "Share of its TTL by which a key may expire sooner.")
    )
    sliding: bool = field(default=False, metadata=_says("sliding", _switch, "Whether reading a key renews its TTL."))

    def __post_init__(self) -> None:
        derived: dict[str, object] = {}
        if cast("bool | None", self.enforce_ttl) is None:
            derived["enforce_ttl"] = self.cleanup is not Cleanup.NEVER
        if (ttl := self.ttl_s) is not None:
            floor = ttl / MIN_TTL_DIVISOR if self.min_ttl_s is None else self.min_ttl_s
            emergency = floor if self.emergency_ttl_s is None else self.emergency_ttl_s
            derived |= {
                "min_ttl_s": floor,
                "max_ttl_s": ttl * MAX_TTL_FACTOR if self.max_ttl_s is None else self.max_ttl_s,
                "emergency_ttl_s": emergency,
                "critical_ttl_s": (
                    min(DEFAULT_CRITICAL_TTL_S, emergency) if self.critical_ttl_s is None else self.critical_ttl_s
                ),
            }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def protected(self) -> bool:
        """Whether no level may touch its keys."""
        return self.cleanup is Cleanup.NEVER


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that was configured. Namespaces stand in the order of the file, those of presets after them."""

    server: ServerSettings = field(default_factory=ServerSettings)
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    levels: LevelSettings = field(default_factory=LevelSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    namespaces: tuple[NamespacePolicy, ...] = ()


_TABLES = {
    "server": ServerSettings,
    "monitor": MonitorSettings,
    "levels": LevelSettings,
    "cache": CacheSettings,
    "namespace": NamespacePolicy,
}
_WRITTEN_BY = {parse_bytes: format_bytes, parse_duration: format_duration, parse_share: format_share}


def _settings() -> Iterator[Setting]:
    for table, values in _TABLES.items():
        for one in fields(values):
            says = one.metadata
            key = says["key"]
            written = says["default"]
            default = cast("Any", one.default)
            if not written and default not in {MISSING, None}:
                write = _WRITTEN_BY.get(says["read"])
                written = json.dumps(write(default) if write else default, ensure_ascii=False)
            long_env = f"SPILLGATE_{table}_{key}".upper()
            env = () if table == "namespace" else (long_env, *says["env"])
            required = one.default is MISSING
            yield Setting(table, key, one.name, says["read"], written, says["help"], env, required)


SETTINGS = tuple(_settings())
"""The table of settings: every key of the policy file but ``presets``."""
