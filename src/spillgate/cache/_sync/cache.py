# Generated from ../_async by scripts/unasync.py: change that, then run `make sync`.
"""A cache: one server, and the namespaces of a policy."""

import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn, Self, TypeVar, overload

from spillgate.cache._sync.client import Client
from spillgate.cache._sync.namespace import Namespace
from spillgate.cache._sync.space import Space
from spillgate.cache.counters import Counters, Event, Hook
from spillgate.cache.foreign import read_foreign
from spillgate.cache.recorder import Recorder
from spillgate.cache.recording import Recording
from spillgate.cache.waiting import Hands
from spillgate.cache.wire import failed
from spillgate.config import Policy, check_url, load_policy
from spillgate.errors import ConfigError, mask_url
from spillgate.model import Level

T = TypeVar("T")

# Where what describes a type is defined (list[int], int | None, Any), if it is no class.
_OF_TYPES: Final = frozenset({"types", "typing", "typing_extensions"})


class Cache:
    """The way into the namespaces of a policy, on its server.

    Nothing is sent before the first operation. One cache serves a whole process: any number of threads and tasks.
    ``hook`` is told of each event as it happens. ``record`` says whether a sample of accesses is recorded, for advice
    on TTLs.
    """

    def __init__(self, policy: Policy, *, hook: Hook | None = None, record: bool = True) -> None:
        """Prepare.

        Raises:
            ConfigError: the URL needs more than a single server.
        """
        self.policy = policy
        self._counters = Counters(hook)
        self._client = Client(policy, self._counters, Recorder() if record else None)
        self._hands = Hands()
        self._spaces: dict[str, Space] = {}
        self._views: dict[tuple[str, Any, bool], Namespace[Any]] = {}
        self._making = threading.Lock()

    @classmethod
    def from_url(
        cls,
        url: str | None = None,
        *,
        config: Policy | Path | str | None = None,
        hook: Hook | None = None,
        record: bool = True,
    ) -> Self:
        """A cache on the server at ``url``, by default the policy's.

        ``config`` is a policy or the path of a policy file, by default ``SPILLGATE_CONFIG``; the environment overrides
        the file as it does for the command line.

        Raises:
            ConfigError: the policy file cannot be used, or the URL.
        """
        if url is not None:
            check_url(url, "url")
        if isinstance(config, Policy):
            policy = config if url is None else replace(config, server=replace(config.server, url=url))
        else:
            path = None if config is None else Path(config)
            policy = load_policy(path, env=os.environ, flags={"url": url})
        return cls(policy, hook=hook, record=record)

    def __repr__(self) -> str:
        """Where it is, without the password, and what is in it."""
        names = ", ".join(one.name for one in self.policy.namespaces) or "none"
        return f"<{type(self).__name__} {mask_url(self.policy.server.url)}, namespaces: {names}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be sent to another process, or copied."""
        message = "a cache is made in each process: make it there, with the same URL and policy, instead of sending it"
        raise TypeError(message)

    def __enter__(self) -> Self:
        """Nothing to do: connections are made when they are needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the work in the background and close the connections; the cache may be used again."""
        self._hands.close()
        self._client.close()

    @overload
    def namespace(self, name: str, type: type[T], *, migrate: bool = ...) -> Namespace[T]: ...
    @overload
    def namespace(self, name: str, type: Any = ..., *, migrate: bool = ...) -> Namespace[Any]: ...
    def namespace(self, name: str, type: Any = Any, *, migrate: bool = False) -> Namespace[Any]:  # noqa: A002
        """The values of a namespace of the policy, as ``type``.

        That is a dataclass, a msgspec Struct, a TypedDict, a Pydantic model, plain data, or a container of such. What
        is read is checked to be one, and is a miss where it is not. With ``migrate``, values that django-redis wrote
        (but for pickles) and plain JSON are read as well.

        Asked again for the same, it gives the same object.

        Raises:
            ConfigError: the policy has no such namespace, it has no TTL, its keys cannot be made from its patterns, or
                it cannot hold that type.
        """
        view = (name, type, migrate)
        try:
            found = self._views.get(view)
        except TypeError:  # some types cannot be told apart by hashing
            return self._made(view)
        return self._views.setdefault(view, self._made(view)) if found is None else found

    @property
    def level(self) -> Level | None:
        """How near its limit the server was when last seen; None where that is not known."""
        return self._client.pressure.level

    @property
    def available(self) -> bool:
        """Whether the server is tried at all; false after some failures in a row, until one of them tries again."""
        return not self._client.breaker.open

    def counts(self) -> Mapping[str, Mapping[Event, float]]:
        """What happened so far, by namespace and event; ``*`` stands for the server."""
        return self._counters.snapshot()

    def recording(self) -> Recording:
        """What this cache recorded so far; with ``record=False`` nothing."""
        recorder = self._client.recorder
        return Recording() if recorder is None else recorder.snapshot()

    def ping(self) -> None:
        """Ask the server whether it is there, for a check at start.

        Raises:
            ServerError: it is not, or does not let us in.
        """
        (reply,) = self._client.send(("PING",), anyway=True)
        if failed(reply):
            raise reply

    def _made(self, view: tuple[str, Any, bool]) -> Namespace[Any]:
        name, type_, migrate = view
        if type(type_).__module__ not in _OF_TYPES and not isinstance(type_, type | None):
            raise ConfigError(
                f"the namespace {name!r} was given an instance of {type(type_).__name__} for a type: pass the class"
            )
        return Namespace(self._space(name), type_, read_foreign if migrate else None)

    def _space(self, name: str) -> Space:
        with self._making:
            if name not in self._spaces:
                known = {one.name: one for one in self.policy.namespaces}
                if name not in known:
                    raise ConfigError(_unknown(name, known))
                self._spaces[name] = Space(
                    known[name], self._client, self._counters, self._hands, self.policy.cache.lock_s
                )
            return self._spaces[name]


def _unknown(name: str, known: Collection[str]) -> str:
    """What to say of a namespace that there is not."""
    if known:
        return f"the policy has no namespace {name!r}, only {', '.join(known)}: add it to the policy file"
    return (
        f"there is no namespace {name!r}, since there is no policy, or none that has namespaces: pass config=, or set "
        "SPILLGATE_CONFIG to the path of a policy file"
    )
