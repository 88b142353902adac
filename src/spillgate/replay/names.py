"""From a workload's keys to the server's."""

from collections.abc import Callable

from spillgate.config import NamespacePolicy, Policy
from spillgate.errors import ConfigError
from spillgate.keyspace import Glob, Keyspace

Namer = Callable[[str], bytes]
"""From a key as the workload has it to its name on the server."""


def namers(policy: Policy, namespaces: tuple[str, ...]) -> dict[str, Namer]:
    """How the keys of each namespace are named.

    A registered namespace's keys get the prefix of its first pattern that is a prefix with a star, unless they have it;
    where it has no such pattern they must match one as they are. Keys of a namespace that the policy does not register
    get its name and a colon.
    """
    registered = {ns.name: ns for ns in policy.namespaces}
    table = Keyspace(policy.namespaces)
    return {name: _namer(name, registered.get(name), table) for name in namespaces}


def _namer(name: str, ns: NamespacePolicy | None, table: Keyspace) -> Namer:
    if ns is None:
        return _prefixed(f"{name}:".encode())
    prefix = next((glob.literal_prefix for glob in map(Glob, ns.keys) if glob.is_prefix), None)
    return _as_it_is(ns, table) if prefix is None else _prefixed(prefix)


def _prefixed(prefix: bytes) -> Namer:
    def named(key: str) -> bytes:
        raw = key.encode()
        return raw if raw.startswith(prefix) else prefix + raw

    return named


def _as_it_is(ns: NamespacePolicy, table: Keyspace) -> Namer:
    def named(key: str) -> bytes:
        raw = key.encode()
        if table.namespace_of(raw) != ns.name:
            raise ConfigError(
                f"the workload's key {key!r:.80} matches no pattern of it ({', '.join(ns.keys)}), and none of them is "
                "a prefix with a star at its end, from which keys could be named",
                key=f'[[namespace]] "{ns.name}"',
            )
        return raw

    return named
