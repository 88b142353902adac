"""Whether the server may evict what must not be lost. Pure: no server, no clock."""

from spillgate.governor.state import State
from spillgate.model import Census, Reading

_NEVER, _ALL = "noeviction", "allkeys-"
# An estimate below this is of no key at all.
_ONE_KEY = 0.5


def protected_evictable(state: State) -> bool | None:
    """Whether the server's eviction policy can take protected keys; None where nobody can tell.

    Protected are namespaces with ``cleanup = "never"``, keys of no namespace, and those of other logical databases.
    Under ``allkeys-*`` it is enough that there may be some, under ``volatile-*`` one of them has to have a TTL. So a
    pure cache, of which the policy file names every key, is told apart from a server that also holds a queue.
    """
    reading, census = state.reading, state.census
    if reading is None or reading.eviction_policy is None:
        return None
    if reading.eviction_policy == _NEVER:
        return False
    if reading.eviction_policy.startswith(_ALL):
        if reading.other_keys or any(namespace.protected for namespace in state.policy.namespaces):
            return True
        return None if census is None else census.unregistered_keys.value >= _ONE_KEY
    if reading.keys_with_ttl == 0 and reading.other_keys == 0:
        return False
    return None if census is None else _timed(state, reading, census)


def _timed(state: State, reading: Reading, census: Census) -> bool | None:
    """Whether a protected key has a TTL."""
    with_ttl = {row.name: row.keys.value - row.no_ttl.value if row.no_ttl else None for row in census.namespaces}
    protected = [with_ttl.get(one.name) for one in state.policy.namespaces if one.protected]
    if any(keys is not None and keys >= _ONE_KEY for keys in protected):
        return True
    if None in protected or reading.other_keys != 0:
        return None
    if census.unregistered_keys.value < _ONE_KEY:
        return False
    counted = [keys for keys in with_ttl.values() if keys is not None]
    if reading.keys_with_ttl is None or not census.exact or len(counted) < len(with_ttl):
        return None
    return reading.keys_with_ttl - sum(counted) >= _ONE_KEY
