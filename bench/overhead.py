"""What a warm call of a cached function takes beyond the round trip that it makes."""

import socket
import statistics
from collections.abc import Sequence
from typing import Any, cast

import hiredis

from bench.rounds import Rounds, Work
from bench.stores import PREFIX, RawStore, policy_for
from bench.throughput import SMALL, Trial
from spillgate import Cache
from spillgate.cache.keys import Keys
from spillgate.cache.wire import Wire
from tests.servers import HOST, Server

_CALLS = 100
_BARE, _OWN, _RAW, _GET, _CACHED = "a bare socket", "a connection of Spillgate", "redis-py, orjson", "get", "cached"
_GOAL_US = 15


def measure_cached(trial: Trial) -> None:
    """The same commands on a bare socket, where replies are parsed and no more; each layer above; a cached function."""
    with Server(trial.kind) as server, socket.create_connection((HOST, server.port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        runs = trial.run(_works(server, line))
    trial.show(f"warm calls of a small value, {_CALLS} in turn", runs, _CALLS, _BARE)
    print()
    print(f"{_OWN}: {_more_us(runs, _OWN, _BARE)} µs more than {_BARE}")
    for who in (_RAW, _GET, _CACHED):
        print(f"{who}: {_more_us(runs, who, _BARE)} µs more than {_BARE}, {_more_us(runs, who, _OWN)} than {_OWN}")
    added = [run.more_s(_CACHED, _OWN) * 1e6 / _CALLS for run in runs]
    goal = f"{trial.kind}: what a warm cached call adds to the round trip of its commands"
    trial.report.judge(goal, added, _GOAL_US, " µs", typical=True)


def _more_us(runs: Sequence[Rounds], who: str, other: str) -> str:
    """The median of the repetitions, for one call."""
    return f"{statistics.median(run.more_s(who, other) for run in runs) * 1e6 / _CALLS:.1f}"


def _works(server: Server, line: socket.socket) -> dict[str, Work]:
    policy = policy_for(server.url)
    values = Cache(policy).namespace("values", type=dict[str, Any])
    wire = Wire(policy.server, policy.cache)
    raw = RawStore(server.url)

    @values.cached("user:{number}")
    def load(number: int) -> dict[str, Any]:
        return SMALL[number]

    load(7)
    raw.set("raw", SMALL[7])
    name = f"{PREFIX}{load.key(7)}"
    pack: Any = cast("Any", hiredis).pack_command
    packed = pack(("MGET", Keys(PREFIX).generation, name)) + pack(("PTTL", name))
    return {
        _BARE: _repeated(lambda: _exchange(line, packed)),
        _OWN: _repeated(lambda: wire.exchange(packed, 2)),
        _RAW: _repeated(lambda: raw.get("raw")),
        _GET: _repeated(lambda: values.get("user:7")),
        _CACHED: _repeated(lambda: load(7)),
    }


def _exchange(line: socket.socket, packed: bytes) -> Sequence[object]:
    """Send two commands, return their replies."""
    line.sendall(packed)
    reader: Any = cast("Any", hiredis).Reader()
    replies: list[object] = []
    while len(replies) < 2:
        reader.feed(line.recv(65_536))
        while (reply := reader.gets()) is not False:
            replies.append(reply)
    return replies


def _repeated(call: Work) -> Work:
    def work() -> None:
        for _ in range(_CALLS):
            call()

    return work
