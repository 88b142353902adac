"""Taking the samples of a census."""

from spillgate.census.estimate import Run, estimate_census
from spillgate.model import Census
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import CallBounds

# Eight runs of a few hundred keys: some milliseconds on the server, enough to tell the heavy namespaces apart and to
# draw cut-offs from.
_RUNS = 8
_HURRIED_RUNS = 2
_KEYS_A_RUN = 150
_CALL_US = 2000


def collect_census(gateway: Gateway, *, hurried: bool = False) -> Census:
    """A quick census: of every key where they are few, else of runs from random places, the fewer the more it hurries.

    Raises:
        ServerError: the server failed.
    """
    runs: list[Run] = []
    total = 0
    cursor = 0
    exact = False
    bounds = CallBounds(_KEYS_A_RUN, _CALL_US)
    for number in range(_HURRIED_RUNS if hurried else _RUNS):
        start = cursor if number == 0 or not gateway.capabilities.random_cursor else gateway.random_cursor()
        reply = gateway.sample(start, bounds)
        runs.append(reply.keys)
        total = reply.total_keys
        cursor = reply.cursor
        exact = number == 0 and cursor == 0
        if cursor == 0 and (exact or not gateway.capabilities.random_cursor):
            break
    names = gateway.table.names
    sizes_known = gateway.capabilities.memory_usage
    return estimate_census(names, runs, total, gateway.now(), exact=exact, sizes_known=sizes_known)
