"""What the configuration of a Flask application says about its cache."""

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from spillgate.config import Policy, check_url, load_policy, parse_policy
from spillgate.config.settings import MIN_TTL_DIVISOR
from spillgate.errors import ConfigError

Timeout = int | float | timedelta | None
"""As cachelib takes it: 0 is for ever, None is the default."""

DEFAULT_S: Final = 300
_FOREVER: Final = float("inf")  # which the namespace bounds
_NAMESPACE: Final = "flask"
_LONGEST_S: Final = 86_400


def ttl_of(timeout: Timeout, default_s: float) -> float:
    """The seconds of a timeout of cachelib, in which 0 and less are for ever."""
    if timeout is None:
        return default_s
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    return seconds if seconds > 0 else _FOREVER


def read_config(config: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Policy, str]:
    """The policy, and the name of the namespace; ``options`` is CACHE_OPTIONS.

    Raises:
        ConfigError: something in there is wrong.
    """
    left = dict(options)
    path = _given("config", "SPILLGATE_CONFIG", config, left)
    name = _given("namespace", "SPILLGATE_NAMESPACE", config, left)
    if path is None:
        return _policy(config, left), _NAMESPACE
    if left:
        raise ConfigError(f"{min(left)!r} belongs into the policy file {path}", source="CACHE_OPTIONS")
    policy = _with_url(load_policy(Path(path), env=os.environ, flags={}), config)
    return policy, name or _only(policy)


def _given(option: str, variable: str, config: Mapping[str, Any], options: dict[str, Any]) -> str | None:
    """What is given by an option, else in the application's configuration, else in the environment."""
    given = options.pop(option, None) or config.get(variable) or os.environ.get(variable)
    return None if given is None else str(given)


def _only(policy: Policy) -> str:
    """The one namespace of a policy that can be meant."""
    names = [namespace.name for namespace in policy.namespaces if namespace.ttl_s is not None]
    if len(names) != 1:
        raise ConfigError(
            f"name one of the policy's namespaces: {', '.join(names) or 'it has none with a ttl'}",
            source="SPILLGATE_NAMESPACE",
        )
    return names[0]


def _policy(config: Mapping[str, Any], options: Mapping[str, Any]) -> Policy:
    """A policy of one namespace."""
    prefix = config.get("CACHE_KEY_PREFIX")
    if not prefix or not isinstance(prefix, str):
        raise ConfigError(
            "must not be empty: what is stored here is cleaned up, and that must not be every key of the server",
            source="CACHE_KEY_PREFIX",
        )
    ttl_s = ttl_of(config.get("CACHE_DEFAULT_TIMEOUT", DEFAULT_S), DEFAULT_S)
    ttl_s = _LONGEST_S if ttl_s == _FOREVER else ttl_s
    keys = "".join(f"\\{letter}" if letter in "\\*?[]^-" else letter for letter in prefix) + "*"
    settings: dict[str, object] = {
        "name": _NAMESPACE,
        "keys": keys,
        "ttl": f"{ttl_s}s",
        "min_ttl": "1s",
        "max_ttl": f"{max(ttl_s, _LONGEST_S)}s",
        "emergency_ttl": f"{max(1.0, ttl_s / MIN_TTL_DIVISOR)}s",
        "cleanup": "trim",
        "priority": 1,
    }
    settings.update(options)
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in settings.items()]
    return _with_url(parse_policy("[[namespace]]\n" + "\n".join(lines), "CACHE_OPTIONS", env=os.environ), config)


def _with_url(policy: Policy, config: Mapping[str, Any]) -> Policy:
    """The policy, for the server that Flask-Caching's own settings name, if they do."""
    url, setting = config.get("CACHE_REDIS_URL"), "CACHE_REDIS_URL"
    if not url and config.get("CACHE_REDIS_HOST"):
        password = config.get("CACHE_REDIS_PASSWORD")
        login = f":{quote(password, safe='')}@" if password else ""
        place = f"{config['CACHE_REDIS_HOST']}:{config.get('CACHE_REDIS_PORT', 6379)}"
        url = f"redis://{login}{place}/{config.get('CACHE_REDIS_DB', 0)}"
        setting = "CACHE_REDIS_HOST, _PORT, _DB"
    return replace(policy, server=replace(policy.server, url=check_url(url, setting))) if url else policy
