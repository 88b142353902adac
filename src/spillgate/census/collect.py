"""Taking the samples of a census."""

from spillgate.census.estimate import Run, estimate_census
from spillgate.model import Census
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import CallBounds, covered

# How many runs of some keys each. QUICK takes some milliseconds on the server, and is enough to tell the heavy
# namespaces apart and to draw cut-offs from. THOROUGH sees every key of a small server.
HURRIED, QUICK, THOROUGH = 2, 8, 200
_KEYS_A_RUN = 150
_CALL_US = 700


def collect_census(gateway: Gateway, most_runs: int = QUICK) -> Census:
    """A census: of every key where ``most_runs`` are enough for that, else of so many runs from random places.

    Raises:
        ServerError: the server failed.
    """
    runs: list[Run] = []
    total = 0
    cursor = 0
    exact = False
    in_order = not gateway.capabilities.random_cursor
    bounds = CallBounds(_KEYS_A_RUN, _CALL_US)
    for number in range(most_runs):
        start = cursor if number == 0 or in_order else gateway.random_cursor()
        reply = gateway.sample(start, bounds)
        runs.append(Run(reply.keys, 1.0 if in_order else covered(start, reply.cursor)))
        total, cursor = reply.total_keys, reply.cursor
        # Runs from random places would see the few keys there are several times, runs in order each of them once.
        in_order = in_order or (number == 0 and total <= most_runs * _KEYS_A_RUN)
        exact = cursor == 0 and (in_order or number == 0)
        if exact:
            break
    names = gateway.table.names
    sizes_known = gateway.capabilities.memory_usage
    return estimate_census(names, runs, total, gateway.now(), exact=exact, sizes_known=sizes_known)
