"""Reading a policy: from a file, the environment and flags into checked, frozen values.

A setting of [server], [monitor], [levels], [cache] or [alerts] comes from the first of::

    a flag                     --limit 25MB
    SPILLGATE_<TABLE>_<KEY>    SPILLGATE_SERVER_LIMIT=25MB
    its short variables        SPILLGATE_LIMIT, SPILLGATE_URL, REDIS_URL
    the policy file            [server] limit = "25MB"
    its default

A variable that is set but empty counts as not set.
"""

import difflib
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any, TypeVar, cast

from spillgate.config.alerting import AlertSettings, WebhookSettings, check_address, signing_key
from spillgate.config.choices import TtlMode
from spillgate.config.presets import PRESETS
from spillgate.config.settings import (
    LISTED,
    SETTINGS,
    CacheSettings,
    LevelSettings,
    MonitorSettings,
    NamespacePolicy,
    Policy,
    ServerSettings,
)
from spillgate.errors import ConfigError, mask_url
from spillgate.keyspace import Glob
from spillgate.units import format_bytes, format_duration, format_share, unreadable

_Values = TypeVar(
    "_Values",
    ServerSettings,
    MonitorSettings,
    LevelSettings,
    CacheSettings,
    AlertSettings,
    WebhookSettings,
    NamespacePolicy,
)
_TABLES = ("server", "monitor", "levels", "cache", "alerts")
_TTLS = ("ttl", "min_ttl", "max_ttl", "emergency_ttl", "critical_ttl")
_LEAST_TTL_S = 1.0


def load_policy(path: Path | None, *, env: Mapping[str, str], flags: Mapping[str, object]) -> Policy:
    """Return the policy of the file at ``path``, else at ``SPILLGATE_CONFIG``, else of no file, with its overrides.

    ``flags`` holds values of the command line by key ("url", "limit", ...), as text or as in the file; None is one not
    given. Raises `ConfigError`, which names the file or variable, the key, the value and what was expected.
    """
    if path is None and env.get("SPILLGATE_CONFIG"):
        path = Path(env["SPILLGATE_CONFIG"])
    if path is None:
        return parse_policy("", "no policy file", env=env, flags=flags)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text: {error}", source=str(path)) from error
    return parse_policy(text, str(path), env=env, flags=flags)


def parse_policy(
    text: str, source: str, *, env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Policy:
    """Return the policy written in ``text``, as `load_policy` does; errors name ``source`` as its file."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = f"at end of document, line {text.count(chr(10)) + 1}"
        message = str(error).replace("at end of document", place)
        raise ConfigError(f"is not valid TOML: {message}", source=source) from error
    _refuse_unknown(document, ("presets", *LISTED, *_TABLES), source, "")
    overrides = _overrides(env or {}, flags or {})
    server, monitor, levels, cache, alerts = (
        _Table.of(document.get(name, {}), name, source, name, overrides[name]) for name in _TABLES
    )
    return Policy(
        server=_read_server(server),
        monitor=_read_monitor(monitor),
        levels=_read_levels(levels),
        cache=_read_cache(cache),
        namespaces=_read_namespaces(document, source),
        alerts=_read_alerts(alerts, env or {}),
        webhooks=_read_webhooks(document, source, env or {}),
    )


def check_url(url: str, source: str) -> str:
    """The URL of a server, where it is one that a policy file may name; errors name ``source``.

    Raises:
        ConfigError: it is not.
    """
    read = next(one.read for one in SETTINGS if (one.table, one.key) == ("server", "url"))
    try:
        read(url)
    except ConfigError as error:
        raise ConfigError(str(error), source=source) from error
    return url


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was written, and where."""

    value: object
    source: str
    key: str


@dataclass(frozen=True, slots=True)
class _Table:
    """What was given for one table, from wherever; ``path`` is how errors name it in ``source``."""

    name: str
    source: str
    path: str
    given: Mapping[str, _Given]

    @classmethod
    def of(
        cls, raw: object, name: str, source: str, path: str, overrides: Mapping[str, _Given] | None = None
    ) -> "_Table":
        """Take the table ``raw`` of the file and what overrides it, refusing keys that do not exist."""
        if not isinstance(raw, dict):
            raise ConfigError(str(unreadable("a table", raw)), source=source, key=path)
        values = cast("dict[str, object]", raw)
        _refuse_unknown(values, [one.key for one in SETTINGS if one.table == name], source, path)
        in_file = {key: _Given(value, source, _join(path, key)) for key, value in values.items()}
        return cls(name, source, path, in_file | dict(overrides or {}))

    def error(self, key: str, message: str) -> ConfigError:
        """Return the error that names the place where ``key`` was given, or would be."""
        place = self.given.get(key) or _Given(None, self.source, _join(self.path, key))
        return ConfigError(message, source=place.source, key=place.key)

    def disorder(self, lower: str, upper: str, relation: str, shown: Mapping[str, str]) -> ConfigError:
        """Return the error of ``lower`` not standing ``relation`` to ``upper``; it names the one that was written."""
        if lower in self.given:
            return self.error(lower, f"must be {relation} {upper} ({shown[upper]}), is {shown[lower]}")
        return self.error(upper, f"{lower} ({shown[lower]}) must be {relation} it, and it is {shown[upper]}")

    def check(self, key: str, check: Callable[..., object], *values: object, **options: object) -> None:
        """Call a check of what ``key`` says; what it raises names the place."""
        try:
            check(*values, **options)
        except ConfigError as error:
            raise self.error(key, str(error)) from error

    def read(self, values: type[_Values]) -> _Values:
        """Convert every value given, and leave the others at their defaults."""
        read: dict[str, Any] = {}
        for setting in (one for one in SETTINGS if one.table == self.name):
            if (given := self.given.get(setting.key)) is not None:
                try:
                    read[setting.field] = setting.read(given.value)
                except ConfigError as error:
                    raise self.error(setting.key, str(error)) from error
            elif setting.required:
                raise self.error(setting.key, "is missing")
        return values(**read)


def _join(path: str, key: str) -> str:
    return f"{path}: {key}" if '"' in path else f"{path}.{key}"


def _refuse_unknown(given: Collection[str], known: Collection[str], source: str, path: str, kind: str = "key") -> None:
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f'did you mean "{close[0]}"?' if close else f"known here: {', '.join(sorted(known))}"
            raise ConfigError(f'unknown {kind} "{key}" ({hint})', source=source, key=path or None)


def _overrides(env: Mapping[str, str], flags: Mapping[str, object]) -> dict[str, dict[str, _Given]]:
    """Return, by table and key, what flags and the environment say."""
    found: dict[str, dict[str, _Given]] = {name: {} for name in _TABLES}
    settings = [one for one in SETTINGS if one.table in found]
    flagged = {one.key: one.table for one in reversed(settings)}  # of keys in two tables, flags mean the first
    for setting in settings:
        variable = next((name for name in setting.env if env.get(name)), None)
        if variable is not None:
            found[setting.table][setting.key] = _Given(_number(env[variable]), "environment", variable)
    for key, value in flags.items():
        if value is not None:
            flag = f"--{key.replace('_', '-')}"
            found[flagged[key]][key] = _Given(_number(value), "command line", flag)
    return found


def _number(value: object) -> object:
    """Turn text that is a whole number into one: outside a file there is no other way to write it."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _read_server(table: _Table) -> ServerSettings:
    server = table.read(ServerSettings)
    limit, reserve = server.limit_bytes, server.reserve_bytes
    if limit == 0:
        raise table.error("limit", "must be more than 0; leave it out to use the server's maxmemory")
    if limit is not None and reserve is not None and reserve >= limit:
        raise table.error(
            "reserve", f"must be less than the limit of {format_bytes(limit)}, is {format_bytes(reserve)}"
        )
    for key, seconds in (("connect_timeout", server.connect_timeout_s), ("timeout", server.timeout_s)):
        if not seconds:
            raise table.error(key, "must be more than 0")
    if (server.cert_file is None) != (server.key_file is None):
        given, missing = ("cert_file", "key_file") if server.cert_file else ("key_file", "cert_file")
        raise table.error(given, f"needs {missing} beside it")
    if server.url.startswith(("redis://", "unix://")):
        for key in ("ca_file", "cert_file", "verify"):
            if key in table.given:
                raise table.error(key, f"needs a TLS connection, a rediss:// URL; got {mask_url(server.url)}")
    return server


def _read_monitor(table: _Table) -> MonitorSettings:
    monitor = table.read(MonitorSettings)
    if not 0 < monitor.min_interval_s <= monitor.interval_s:
        raise table.error(
            "min_interval",
            f"must be more than 0 and at most the interval of {format_duration(monitor.interval_s)}, "
            f"is {format_duration(monitor.min_interval_s)}",
        )
    return monitor


def _read_levels(table: _Table) -> LevelSettings:
    levels = table.read(LevelSettings)
    begins = {"normal": 0.0} | {
        key: cast("float", getattr(levels, key)) for key in ("warning", "preventive", "emergency", "critical")
    }
    for (lower, low), (upper, high) in pairwise(begins.items()):
        if low >= high:
            raise table.disorder(lower, upper, "below", {key: format_share(share) for key, share in begins.items()})
        if levels.release >= round(high - low, 9):  # 90 % - 60 % is 30 %, whatever binary fractions make of it
            raise table.error(
                "release",
                f"must be less than the {format_share(high - low)} between {lower} and {upper}, "
                f"is {format_share(levels.release)}",
            )
    return levels


def _read_cache(table: _Table) -> CacheSettings:
    cache = table.read(CacheSettings)
    for setting in (one for one in SETTINGS if one.table == table.name):
        if not getattr(cache, setting.field):
            raise table.error(setting.key, "must be more than 0")
    return cache


def _read_alerts(table: _Table, env: Mapping[str, str]) -> AlertSettings:
    alerts = table.read(AlertSettings)
    if not alerts.rate:
        raise table.error("rate", "must be more than 0; leave out notify and [[webhook]] to send no alerts")
    notify = tuple(url.within(env) for url in alerts.notify)
    for url in notify:
        table.check("notify", check_address, url, web=False)
    return replace(alerts, notify=notify)


def _read_webhooks(document: Mapping[str, object], source: str, env: Mapping[str, str]) -> tuple[WebhookSettings, ...]:
    webhooks: dict[str, WebhookSettings] = {}
    for table in _listed(document, "webhook", source):
        read = table.read(WebhookSettings)
        if read.name in webhooks:
            raise table.error("name", f'the name "{read.name}" is already that of another webhook')
        if not read.timeout_s:
            raise table.error("timeout", "must be more than 0")
        webhook = replace(read, url=read.url.within(env), secret=read.secret and read.secret.within(env))
        table.check("url", check_address, webhook.url, web=True)
        if webhook.secret and webhook.secret.value is not None:
            table.check("secret", signing_key, webhook.secret.value)
        webhooks[read.name] = webhook
    return tuple(webhooks.values())


def _listed(document: Mapping[str, object], name: str, source: str) -> Iterator[_Table]:
    """The tables begun with ``[[name]]``; errors name each by its number and its own name."""
    raw = document.get(name, [])
    if not isinstance(raw, list):
        raise ConfigError(f"expected a list of tables, each begun with [[{name}]]", source=source, key=name)
    for number, table in enumerate(cast("list[object]", raw), start=1):
        called = cast("dict[str, object]", table).get("name") if isinstance(table, dict) else None
        path = f"{name}[{number}]" + (f' "{called}"' if isinstance(called, str) else "")
        yield _Table.of(cast("object", table), name, source, path)


def _read_namespaces(document: Mapping[str, object], source: str) -> tuple[NamespacePolicy, ...]:
    namespaces = [(table.path, _read_namespace(table)) for table in _listed(document, "namespace", source)]
    namespaces += _read_presets(document.get("presets", []), source)
    _refuse_overlaps(namespaces, source)
    return tuple(namespace for _, namespace in namespaces)


def _read_namespace(table: _Table) -> NamespacePolicy:
    namespace = table.read(NamespacePolicy)
    if not namespace.protected:
        for key in ("ttl", "priority"):
            if key not in table.given:
                raise table.error(key, f'is required with cleanup = "{namespace.cleanup}"')
    if namespace.budget_bytes is not None and namespace.cleanup in {"never", "expired"}:
        raise table.error("budget", f'has no use with cleanup = "{namespace.cleanup}": choose clear, trim or shorten')
    if namespace.ttl_mode is TtlMode.AUTO and namespace.protected:
        raise table.error("ttl_mode", 'cannot be "auto" with cleanup = "never": what is protected keeps its TTLs')
    _check_ttls(table, namespace)
    return namespace


def _check_ttls(table: _Table, namespace: NamespacePolicy) -> None:
    if namespace.ttl_s is None:
        idle = [key for key in _TTLS if key in table.given] + ["enforce_ttl"] * namespace.enforce_ttl
        if idle:
            raise table.error(idle[0], "needs a ttl beside it")
        return
    ttls = {key: cast("float", getattr(namespace, f"{key}_s")) for key in _TTLS}
    shown = {key: format_duration(seconds) for key, seconds in ttls.items()}
    for key, seconds in ttls.items():
        if key in table.given and seconds < _LEAST_TTL_S:
            raise table.error(key, f"must be at least {format_duration(_LEAST_TTL_S)}, is {shown[key]}")
    for lower, upper in (
        ("min_ttl", "ttl"),
        ("ttl", "max_ttl"),
        ("emergency_ttl", "ttl"),
        ("critical_ttl", "emergency_ttl"),
    ):
        if ttls[lower] > ttls[upper]:
            raise table.disorder(lower, upper, "at most", shown)


def _read_presets(raw: object, source: str) -> Iterator[tuple[str, NamespacePolicy]]:
    if not isinstance(raw, list):
        raise ConfigError(str(unreadable("a list of presets", raw)), source=source, key="presets")
    names = cast("list[object]", raw)
    _refuse_unknown([str(name) for name in names], PRESETS, source, "presets", "preset")
    for name in dict.fromkeys(map(str, names)):
        yield f'preset "{name}"', NamespacePolicy(name, PRESETS[name])


def _refuse_overlaps(namespaces: Sequence[tuple[str, NamespacePolicy]], source: str) -> None:
    """Refuse two namespaces of one name, and two that a key could match both, naming such a key."""
    listed = [(path, namespace.name, [Glob(glob) for glob in namespace.keys]) for path, namespace in namespaces]
    for (earlier, name, globs), (later, other_name, other_globs) in combinations(listed, 2):
        if name == other_name:
            raise ConfigError(f'the name "{name}" is already that of {earlier}', source=source, key=later)
        for mine, theirs in product(globs, other_globs):
            if (key := mine.common_key(theirs)) is not None:
                shown = key.decode(errors="backslashreplace")
                raise ConfigError(
                    f'"{theirs}" overlaps "{mine}" of {earlier}: the key "{shown}" would belong to both',
                    source=source,
                    key=_join(later, "keys"),
                )
