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
    in_order = not gateway.capabilities.random_cursor
    bounds = CallBounds(_KEYS_A_RUN, _CALL_US)
    most = _HURRIED_RUNS if hurried else _RUNS
    for number in range(most):
        start = cursor if number == 0 or in_order else gateway.random_cursor()
        reply = gateway.sample(start, bounds)
        runs.append(reply.keys)
        total, cursor = reply.total_keys, reply.cursor
        # Runs from random places would see the few keys there are several times, runs in order each of them once.
        in_order = in_order or (number == 0 and total <= most * _KEYS_A_RUN)
        exact = cursor == 0 and (in_order or number == 0)
        if exact:
            break
    names = gateway.table.names
    sizes_known = gateway.capabilities.memory_usage
    return estimate_census(names, runs, total, gateway.now(), exact=exact, sizes_known=sizes_known)
