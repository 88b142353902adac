"""The frozen values of a policy, and the table of settings.

Each field is one setting: its type, its default, its key in the file, the reader of its unit and its description stand
together, and `SETTINGS` is the table made of them. Fields hold bytes, seconds and shares of 1.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from spillgate.config.alerting import AlertSettings, WebhookSettings, read_level
from spillgate.config.choices import Cleanup, Codec, TtlMode, Verify
from spillgate.config.values import (
    Setting,
    read_count,
    read_name,
    read_one_of,
    read_path,
    read_switch,
    read_text,
    read_weight,
    says,
)
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


def _globs(value: object) -> tuple[str, ...]:
    globs = tuple(map(read_text, cast("list[object]", value))) if isinstance(value, list) else (read_text(value),)
    if not globs:
        raise UnitError("expected a glob or a list of globs, got an empty list")
    for glob in globs:
        Glob(glob)
    return globs


def _url(value: object) -> str:
    url = read_text(value)
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
        metadata=says(
            "url",
            _url,
            "The server: redis://, rediss:// (TLS), unix://. Not governed yet: redis+sentinel://, redis+cluster://.",
            env=("SPILLGATE_URL", "REDIS_URL"),
        ),
    )
    limit_bytes: int | None = field(
        default=None,
        metadata=says(
            "limit",
            parse_bytes,
            "Memory that the plan allows.",
            "the server's maxmemory; an error where that is 0",
            env=("SPILLGATE_LIMIT",),
        ),
    )
    reserve_bytes: int | None = field(
        default=None, metadata=says("reserve", parse_bytes, "Memory kept free below the limit.", "8% of limit")
    )
    connect_timeout_s: float = field(
        default=2.0, metadata=says("connect_timeout", parse_duration, "Longest wait for a connection.")
    )
    timeout_s: float = field(default=5.0, metadata=says("timeout", parse_duration, "Longest wait for a reply."))
    ca_file: Path | None = field(
        default=None, metadata=says("ca_file", read_path, "Certificates of the authorities trusted.", "the system's")
    )
    cert_file: Path | None = field(default=None, metadata=says("cert_file", read_path, "The client's certificate."))
    key_file: Path | None = field(default=None, metadata=says("key_file", read_path, "The key of cert_file."))
    verify: Verify = field(
        default=Verify.FULL,
        metadata=says(
            "verify",
            read_one_of(Verify),
            'What of the certificate is checked: "full", "ca" (not the host name), "none".',
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
        default=30.0, metadata=says("interval", parse_duration, "Time between looks while nothing happens.")
    )
    min_interval_s: float = field(
        default=0.1,
        metadata=says("min_interval", parse_duration, "Shortest time between looks while the limit is far."),
    )
    commands_per_day: int = field(
        default=0, metadata=says("commands_per_day", read_count, "Most commands a day, for metered plans; 0 = no cap.")
    )
    checkup_s: float = field(
        default=3600.0,
        metadata=says(
            "checkup",
            parse_duration,
            'How often the running governor examines the server, as the doctor does, while all is calm; "0s" = never.',
        ),
    )
    ttl_mode: TtlMode = field(
        default=TtlMode.ADVISE,
        metadata=says(
            "ttl_mode",
            read_one_of(TtlMode),
            'Whether each ttl stays as it is here ("advise"), or the governor adjusts it within its bounds ("auto").',
        ),
    )


@dataclass(frozen=True, slots=True)
class LevelSettings:
    """[levels]: at which pressure each level begins, and when it ends again."""

    warning: float = field(default=0.6, metadata=says("warning", parse_share, "Log, and name the heaviest namespaces."))
    preventive: float = field(default=0.8, metadata=says("preventive", parse_share, "Begin loss-free cleanup."))
    emergency: float = field(default=0.88, metadata=says("emergency", parse_share, "Begin cleanup by priority."))
    critical: float = field(
        default=1.0, metadata=says("critical", parse_share, "Use critical_ttl; the cache library sheds.")
    )
    release: float = field(
        default=0.04, metadata=says("release", parse_share, "A level ends this far below its threshold,")
    )
    hold_s: float = field(default=15.0, metadata=says("hold", parse_duration, "and after this long there."))


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """[cache]: how patient the cache library is."""

    timeout_s: float = field(
        default=0.25, metadata=says("timeout", parse_duration, "Longest that one call to the server may take.")
    )
    connections: int = field(
        default=16, metadata=says("connections", read_count, "Most connections of one process, at least 1.")
    )
    failures: int = field(
        default=3,
        metadata=says("failures", read_count, "Failures in a row, at least 1, after which calls wait no more,"),
    )
    retry_s: float = field(
        default=1.0, metadata=says("retry", parse_duration, "and how long until one of them tries again.")
    )
    lock_s: float = field(
        default=10.0,
        metadata=says("lock", parse_duration, "Longest that others wait for one process to compute a value."),
    )


@dataclass(frozen=True, slots=True)
class NamespacePolicy:
    """[[namespace]]: a named set of keys and what may be done to them.

    The TTLs are all known where ``ttl_s`` is (only a protected namespace may be without), and all None where not:
    what is not given is derived from ``ttl_s`` when the value is made.
    """

    name: str = field(metadata=says("name", read_name, "Its name."))
    keys: tuple[str, ...] = field(metadata=says("keys", _globs, "Glob of its keys, or a list of globs."))
    ttl_s: float | None = field(
        default=None, metadata=says("ttl", parse_duration, "Time its keys live.", 'required unless cleanup = "never"')
    )
    cleanup: Cleanup = field(
        default=Cleanup.NEVER,
        metadata=says(
            "cleanup", read_one_of(Cleanup), 'What an emergency may do: "clear", "trim", "expired", "shorten", "never".'
        ),
    )
    priority: int | None = field(
        default=None,
        metadata=says(
            "priority",
            read_count,
            "Lower is cleaned first, equal ones in the order of the file.",
            'required unless cleanup = "never"',
        ),
    )
    min_ttl_s: float | None = field(
        default=None, metadata=says("min_ttl", parse_duration, "Least that ttl may become by advice.", "ttl / 6")
    )
    max_ttl_s: float | None = field(
        default=None,
        metadata=says("max_ttl", parse_duration, "Most that ttl, and any TTL, may become.", "4 · ttl"),
    )
    ttl_mode: TtlMode | None = field(
        default=None,
        metadata=says(
            "ttl_mode",
            read_one_of(TtlMode),
            "The same for its ttl alone.",
            'as [monitor] says; "advise" if cleanup = "never" or "expired"',
        ),
    )
    emergency_ttl_s: float | None = field(
        default=None, metadata=says("emergency_ttl", parse_duration, "Cap on TTLs at emergency.", "min_ttl")
    )
    critical_ttl_s: float | None = field(
        default=None,
        metadata=says("critical_ttl", parse_duration, "Cap on TTLs at critical.", '"1m", or emergency_ttl if less'),
    )
    enforce_ttl: bool = field(
        default=cast("bool", None),  # only until __post_init__
        metadata=says(
            "enforce_ttl",
            read_switch,
            "Whether the governor sets and caps TTLs.",
            'false if cleanup = "never", else true',
        ),
    )
    budget_bytes: int | None = field(
        default=None, metadata=says("budget", parse_bytes, "Memory beyond which it is trimmed first.", "none")
    )
    weight: float = field(default=1.0, metadata=says("weight", read_weight, "Cost of rebuilding a value, relative."))
    max_value_bytes: int = field(
        default=256 * 1024, metadata=says("max_value", parse_bytes, "Largest value the cache library accepts.")
    )
    compress_over_bytes: int = field(
        default=1024, metadata=says("compress_over", parse_bytes, "Values larger than this are compressed.")
    )
    codec: Codec = field(
        default=Codec.MSGPACK,
        metadata=says("codec", read_one_of(Codec), 'How values are written: "msgpack" or "json".'),
    )
    dictionary: bool = field(
        default=False, metadata=says("dictionary", read_switch, "Whether to compress with a trained dictionary.")
    )
    binary: bool = field(default=False, metadata=says("binary", read_switch, "Whether binary values are accepted."))
    jitter: float = field(
        default=0.1, metadata=says("jitter", parse_share, "Share of its TTL by which a key may expire sooner.")
    )
    sliding: bool = field(default=False, metadata=says("sliding", read_switch, "Whether reading a key renews its TTL."))

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
    alerts: AlertSettings = field(default_factory=AlertSettings)
    webhooks: tuple[WebhookSettings, ...] = ()

    @property
    def adjustable(self) -> tuple[NamespacePolicy, ...]:
        """The namespaces whose TTL the governor may adjust: none on a plan that meters commands, for it takes some."""
        return () if self.monitor.commands_per_day else self.automatic

    @property
    def automatic(self) -> tuple[NamespacePolicy, ...]:
        """The namespaces whose TTL is to be adjusted, as the policy has it; of ``expired`` ones those that say so.

        Their live keys are not to be touched, and a session that ends sooner than its TTL says is one that was.
        """
        return tuple(ns for ns in self.namespaces if not ns.protected and self._ttl_mode(ns) is TtlMode.AUTO)

    def _ttl_mode(self, ns: NamespacePolicy) -> TtlMode:
        return ns.ttl_mode or (TtlMode.ADVISE if ns.cleanup is Cleanup.EXPIRED else self.monitor.ttl_mode)


_TABLES = {
    "server": ServerSettings,
    "monitor": MonitorSettings,
    "levels": LevelSettings,
    "cache": CacheSettings,
    "alerts": AlertSettings,
    "webhook": WebhookSettings,
    "namespace": NamespacePolicy,
}
LISTED = ("webhook", "namespace")
"""The tables of which there may be any number, each begun with ``[[name]]``."""
_WRITTEN_BY: dict[object, Callable[[Any], str]] = {
    parse_bytes: format_bytes,
    parse_duration: format_duration,
    parse_share: format_share,
    read_level: lambda level: level.label,
}


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
            env = () if table in LISTED else (long_env, *says["env"])
            required = one.default is MISSING
            yield Setting(table, key, one.name, says["read"], written, says["help"], env, required)


SETTINGS = tuple(_settings())
"""The table of settings: every key of the policy file but ``presets``."""
