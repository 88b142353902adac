# pyright: basic
"""What ``CACHES`` says about one cache, as a policy and its namespace, and the one cache of a process for it.

Django makes a backend for each thread and each task; all of one configuration share a `Configured`, and all of one
policy share a `Cache` and an `AsyncCache`.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from spillgate.cache import AsyncCache, Cache
from spillgate.cache.keys import prefix_of
from spillgate.config import SETTINGS, NamespacePolicy, Policy, check_url, load_policy, parse_policy
from spillgate.errors import ConfigError
from spillgate.integrations.django.twins import Side
from spillgate.integrations.django.values import Rules, Stored

LONGEST_S: Final = 365 * 86_400.0
"""The TTL of what is to be kept for ever, where no policy says how long that is."""
_SHORTEST_S: Final = 0.001
_MAX_VALUE_BYTES: Final = 1 << 20  # memcached's limit, which Django's users know
_DEFAULT_TIMEOUT_S: Final = 300
# What Django has in OPTIONS for backends that count their entries. The server's memory is what counts here.
_IGNORED: Final = frozenset({"MAX_ENTRIES", "CULL_FREQUENCY"})
_OURS: Final = frozenset({"config", "namespace", "migrate", "prefix"})
_GIVEN_OTHERWISE: Final = {"name": "namespace", "keys": "KEY_PREFIX", "ttl": "TIMEOUT"}
# What django-redis reads, and what does the same here, if anything has to.
_OF_DJANGO_REDIS: Final = dict.fromkeys(
    (
        "CLIENT_CLASS",
        "CLOSE_CONNECTION",
        "COMPRESSOR",
        "CONNECTION_FACTORY",
        "CONNECTION_POOL_CLASS",
        "CONNECTION_POOL_KWARGS",
        "IGNORE_EXCEPTIONS",
        "LOG_IGNORED_EXCEPTIONS",
        "PARSER_CLASS",
        "PICKLE_VERSION",
        "REDIS_CLIENT_CLASS",
        "REDIS_CLIENT_KWARGS",
        "REPLICA_READ_ONLY",
        "REVERSE_KEY_FUNCTION",
        "SENTINELS",
        "SENTINEL_KWARGS",
        "SERIALIZER",
    ),
    "take it out",
) | {
    "DB": "write it into LOCATION, redis://127.0.0.1:6379/1",
    "PASSWORD": "write it into LOCATION, redis://:password@127.0.0.1:6379/0",
    "USERNAME": "write it into LOCATION, redis://user:password@127.0.0.1:6379/0",
    "SOCKET_CONNECT_TIMEOUT": "take it out; SPILLGATE_CACHE_TIMEOUT bounds a call",
    "SOCKET_TIMEOUT": "take it out; SPILLGATE_CACHE_TIMEOUT bounds a call",
}
_SETTINGS: Final = {one.key: one for one in SETTINGS if one.table == "namespace" and one.key not in _GIVEN_OTHERWISE}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of ``CACHES``, as Django hands it to a backend.

    ``timeout_s`` is its TIMEOUT, by default 300, None for ever; ``timed`` says whether that was given. ``key`` is what
    its key function makes of some key.
    """

    location: str | Sequence[str]
    options: Mapping[str, Any]
    key_prefix: str
    timeout_s: int | None
    timed: bool
    key: str

    @property
    def identity(self) -> tuple[object, ...]:
        """What two entries have in common that mean the same."""
        options = tuple((key, one if isinstance(one, Policy) else repr(one)) for key, one in self.options.items())
        environment = tuple(os.environ.get(name) for name in ("SPILLGATE_CONFIG", "SPILLGATE_URL", "REDIS_URL"))
        return (repr(self.location), options, self.key_prefix, self.timeout_s, self.timed, self.key, environment)


@dataclass(frozen=True, slots=True)
class Configured:
    """What all backends of one configuration share.

    A key begins with ``prefix``; ``keeps`` says that Django's keys do so already, else it is put before them.
    """

    prefix: str
    keeps: bool
    max_ttl_s: float
    rules: Rules
    sync: Side
    asynchronous: Side
    url: str


_configured: dict[tuple[object, ...], Configured] = {}
_caches: dict[Policy, tuple[Cache, AsyncCache]] = {}
_making = threading.Lock()


def configured(wanted: Wanted) -> Configured:
    """The shared part of a backend; nothing is sent to the server yet.

    Raises:
        ImproperlyConfigured: the entry of ``CACHES`` cannot be used, or the policy file.
    """
    identity = wanted.identity
    with _making:
        found = _configured.get(identity)
        if found is None:
            try:
                found = _made(wanted)
            except ConfigError as error:
                raise ImproperlyConfigured(f"CACHES: {error}") from error
            _refuse_overlap(found)
            _configured[identity] = found
        return found


def _made(wanted: Wanted) -> Configured:
    options = wanted.options
    url = _url(wanted.location)
    if "config" in options or "namespace" in options:
        _refuse_unknown(options, _OURS - {"prefix"}, ": settings of a namespace belong into the policy file")
        policy = _policy_of(options.get("config"), url)
        namespace = _namespace_of(policy, options.get("namespace"))
    else:
        _refuse_unknown(options, {*_OURS, *_SETTINGS})
        policy = parse_policy("", "CACHES", env=os.environ, flags={"url": url})
        namespace = _made_up(wanted)
        policy = replace(policy, namespaces=(namespace,))
    prefix = prefix_of(namespace)
    keeps = wanted.key.startswith(prefix)
    if not (keeps or "config" in options or "namespace" in options):
        raise ImproperlyConfigured(
            f"CACHES: the KEY_FUNCTION makes keys such as {wanted.key!r}, which do not begin with {prefix!r}: "
            'set "prefix" in OPTIONS to what all its keys begin with'
        )
    cache, async_cache = _caches_of(policy)
    migrate = bool(options.get("migrate", True))
    return Configured(
        prefix,
        keeps,
        namespace.max_ttl_s or LONGEST_S,
        Rules.of(namespace),
        Side(cache, cache.namespace(namespace.name, Stored, migrate=migrate)),
        Side(async_cache, async_cache.namespace(namespace.name, Stored, migrate=migrate)),
        policy.server.url,
    )


def _url(location: str | Sequence[str]) -> str | None:
    """The URL that LOCATION names; None where it names none, which leaves it to the policy."""
    urls = [location] if isinstance(location, str) else list(location)
    if len(urls) > 1 or any(mark in url for url in urls for mark in (",", ";")):
        raise ImproperlyConfigured(f"CACHES: LOCATION names {len(urls)} servers or more, and there can be one")
    return check_url(urls[0], "LOCATION") if urls and urls[0] else None


def _refuse_unknown(options: Mapping[str, Any], known: set[str] | frozenset[str], hint: str = "") -> None:
    unknown = [key for key in options if key not in known and key not in _IGNORED]
    if unknown:
        left = next((key for key in unknown if key in _OF_DJANGO_REDIS), None)
        if left is not None:
            raise ImproperlyConfigured(
                f"CACHES: {left} in OPTIONS is an option of django-redis: {_OF_DJANGO_REDIS[left]}"
            )
        more = hint or "".join(f"; {_GIVEN_OTHERWISE[key]} says that" for key in unknown if key in _GIVEN_OTHERWISE)
        there = ", ".join(sorted(known))
        raise ImproperlyConfigured(f"CACHES: unknown in OPTIONS: {', '.join(unknown)} (known: {there}){more}")


def _policy_of(config: Any, url: str | None) -> Policy:
    if isinstance(config, Policy):
        return config if url is None else replace(config, server=replace(config.server, url=url))
    return load_policy(None if config is None else Path(config), env=os.environ, flags={"url": url})


def _namespace_of(policy: Policy, name: str | None) -> NamespacePolicy:
    known = {one.name: one for one in policy.namespaces}
    if name in known:
        return known[name]
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    there = ", ".join(known) or "none"
    if name is None and known:
        raise ConfigError(f'the policy has several namespaces, {there}: name one by "namespace" in OPTIONS')
    raise ConfigError(f'the policy has no namespace {name!r}, only {there}: name one by "namespace" in OPTIONS')


def _made_up(wanted: Wanted) -> NamespacePolicy:
    """The namespace of an entry without a policy, which does what Django documents: what is given is what is done.

    Timeouts are neither rounded nor cut short, and no level of memory touches it, unless OPTIONS say so.
    """
    read: dict[str, Any] = {}
    for key, setting in _SETTINGS.items():
        if key in wanted.options:
            try:
                read[setting.field] = setting.read(wanted.options[key])
            except ConfigError as error:
                raise ConfigError(str(error), source="OPTIONS", key=key) from error
    longest_s = read.get("max_ttl_s", max(LONGEST_S, wanted.timeout_s or 0))
    ttl_s = longest_s if wanted.timeout_s is None else min(max(wanted.timeout_s, _SHORTEST_S), longest_s)
    short_s = min(ttl_s, _DEFAULT_TIMEOUT_S) / 6
    defaults: dict[str, Any] = {
        "min_ttl_s": _SHORTEST_S,
        "max_ttl_s": longest_s,
        "emergency_ttl_s": short_s,
        "critical_ttl_s": min(60.0, read.get("emergency_ttl_s", short_s)),
        "jitter": 0.0,
        "binary": True,
        "max_value_bytes": _MAX_VALUE_BYTES,
    }
    prefix = str(wanted.options.get("prefix", f"{wanted.key_prefix}:"))
    return NamespacePolicy("django", (_escaped(prefix) + "*",), ttl_s=ttl_s, **defaults | read)


def _escaped(prefix: str) -> str:
    """A glob that matches just this text."""
    return "".join(f"\\{one}" if one in "*?[]\\" else one for one in prefix)


def _caches_of(policy: Policy) -> tuple[Cache, AsyncCache]:
    if policy not in _caches:
        _caches[policy] = (Cache(policy), AsyncCache(policy))
    return _caches[policy]


def _refuse_overlap(new: Configured) -> None:
    """Refuse two caches of which one holds the other: to clear it would clear both."""
    for other in _configured.values():
        if other.url == new.url and other.prefix != new.prefix:
            longer, shorter = sorted((other.prefix, new.prefix), key=len, reverse=True)
            if longer.startswith(shorter):
                raise ImproperlyConfigured(
                    f"CACHES: the keys of one cache begin with {shorter!r} and those of another with {longer!r}, so "
                    "clearing the one would clear the other: give them a KEY_PREFIX that none begins with"
                )


def forget(*, setting: str = "CACHES", **_: Any) -> None:
    """Forget all configurations and close their connections, as when a test changes ``CACHES``."""
    if setting == "CACHES":
        with _making:
            for cache, _async in _caches.values():
                cache.close()
            _caches.clear()
            _configured.clear()


setting_changed.connect(forget)
