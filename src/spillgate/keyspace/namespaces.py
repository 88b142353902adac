"""A table of namespaces, asked by key."""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from spillgate.keyspace.globs import Glob


class Named(Protocol):
    """What a `Keyspace` needs to know of a namespace: its name and its globs."""

    @property
    def name(self) -> str:
        """The namespace's name."""
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """The globs of its keys."""
        ...


class Keyspace:
    """The namespaces of a policy, asked by key. No key may match two of them, which the policy file's reader checks."""

    __slots__ = ("_names", "_regex", "prefixes")

    prefixes: Mapping[str, str]
    """For each namespace what to show for it: its first glob up to the wildcard, the glob itself where that is
    empty or already taken."""

    def __init__(self, namespaces: Iterable[Named]) -> None:
        globs = {namespace.name: tuple(map(Glob, namespace.keys)) for namespace in namespaces}
        self._names = tuple(globs)
        # One group a namespace, so one search in C answers for all of them.
        groups = (b"(%b)" % b"|".join(glob.regex for glob in alternatives) for alternatives in globs.values())
        self._regex = re.compile(b"|".join(groups), re.DOTALL)
        self.prefixes = MappingProxyType(dict(_prefixes(globs)))

    def namespace_of(self, key: bytes) -> str | None:
        """Return the name of the namespace of ``key``, or None where it matches none."""
        match = self._regex.fullmatch(key)
        return self._names[match.lastindex - 1] if match and match.lastindex else None


def _prefixes(namespaces: Mapping[str, tuple[Glob, ...]]) -> Iterator[tuple[str, str]]:
    taken = {""}
    for name, (first, *_) in namespaces.items():
        prefix = first.literal_prefix.decode(errors="backslashreplace")
        shown = str(first) if prefix in taken else prefix
        taken.add(shown)
        yield name, shown
