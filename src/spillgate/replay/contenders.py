"""Who plays the same requests: a server left to itself under each eviction policy, and one that Spillgate governs."""

from dataclasses import dataclass

from spillgate.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to run a server; ``governed`` has a governor beside it."""

    name: str
    eviction_policy: str
    governed: bool = False


NOEVICTION = Contender("noeviction", "noeviction")
STOCK = (
    NOEVICTION,
    *(
        Contender(name, name)
        for name in (
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
        )
    ),
)
"""Every eviction policy that servers have."""

SPILLGATE = Contender("spillgate", "noeviction", governed=True)
EVERYONE = (*STOCK, SPILLGATE)


def named(names: tuple[str, ...]) -> tuple[Contender, ...]:
    """The contenders of these names, in the order of `EVERYONE`; all of them where no name is given.

    Raises:
        ConfigError: there is no such contender.
    """
    known = {one.name: one for one in EVERYONE}
    for name in names:
        if name not in known:
            message = f'there is no "{name}" (there are {", ".join(known)})'
            raise ConfigError(message, source="command line", key="--only")
    return tuple(one for one in EVERYONE if not names or one.name in names)
