"""Names of keys: those of a namespace's values, by generation, and those that the library keeps for itself.

A value's key is the namespace's prefix and what the caller names it. From the first `clear` on a generation stands in
between, ``app:messages:@3:42``, so that one increment makes all that was there unreachable. A caller's key that begins
with ``@`` always has its generation before it, so none can be taken for another.

The library's own keys begin with ``spillgate:``. They match no namespace, so no governor deletes them; those of
generations and of current dictionaries have no TTL, since they must outlive what they are for. What is in braces
decides in which slot of a Cluster a key is: a lock is where its value is, a namespace's dictionaries are in one place.
"""

import re

from spillgate.config import NamespacePolicy
from spillgate.errors import ConfigError
from spillgate.keyspace import OWN_PREFIX, Glob

_GENERATION = re.compile(rb"@(\d{1,19}):")


def prefix_of(policy: NamespacePolicy) -> str:
    """What all keys of a namespace begin with.

    Raises:
        ConfigError: no pattern of the namespace is a prefix with a star, or it holds the library's own keys.
    """
    globs = [Glob(keys) for keys in policy.keys]
    prefix = next((glob.literal_prefix for glob in globs if glob.is_prefix), None)
    if prefix is None:
        raise ConfigError(
            f"the namespace {policy.name!r} has no pattern that is a prefix with one star at its end, such as "
            f'"app:{policy.name}:*", so its keys cannot be made from it'
        )
    own = Glob(OWN_PREFIX + "*")
    if any(glob.overlaps(own) for glob in globs):
        raise ConfigError(
            f"the namespace {policy.name!r} would hold the keys that Spillgate keeps for itself, {own}: "
            "choose a pattern that does not match them"
        )
    return prefix.decode()


class Keys:
    """The names of one namespace's keys."""

    __slots__ = ("dictionary", "generation", "prefix", "sweeping", "unswept")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.generation = f"{OWN_PREFIX}generation:{prefix}"
        self.unswept = f"{OWN_PREFIX}unswept:{prefix}"
        self.sweeping = f"{OWN_PREFIX}sweeping:{prefix}"
        self.dictionary = f"{OWN_PREFIX}dictionary:{_tagged(prefix)}"

    def value(self, generation: int, key: str) -> str:
        """The key of a value.

        Raises:
            TypeError: ``key`` is no text.
        """
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] (who calls may not check types)
            message = f"a key is a text, got {key!r:.100} ({type(key).__name__})"
            raise TypeError(message)
        if generation or key[:1] == "@":
            return f"{self.prefix}@{generation}:{key}"
        return self.prefix + key

    def generation_of(self, key: bytes) -> int:
        """The generation of a value's key."""
        match = _GENERATION.match(key, len(self.prefix.encode()))
        return int(match[1]) if match else 0

    def dictionary_version(self, number: int) -> str:
        """The key of a dictionary."""
        return f"{self.dictionary}#{number}"

    @property
    def pattern(self) -> bytes:
        """The glob of all values' keys."""
        return re.sub(rb"[*?\[\]^\\-]", rb"\\\g<0>", self.prefix.encode()) + b"*"

    @staticmethod
    def lock(name: str) -> str:
        """The key of the lock under which the value of the key ``name`` is computed."""
        return f"{OWN_PREFIX}lock:{_tagged(name)}"


def _tagged(name: str) -> str:
    """The name as a hash tag; one that has a brace of its own has a tag already."""
    return name if "{" in name else f"{{{name}}}"
