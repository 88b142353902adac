"""Capacity on real servers: what is projected is loaded, and takes what was said."""

from __future__ import annotations

import random
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from bench.capacity import DataSet, check, objects
from spillgate.config import NamespacePolicy, Policy, ServerSettings
from spillgate.errors import ConfigError
from spillgate.foresight import growing
from spillgate.foresight.growing import Scale
from spillgate.foresight.growing_verify import verify
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable
from tests.servers import ServerKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spillgate.model import Survey
    from spillgate.policy.capacity import Capacity
    from tests.conftest import ServerFactory
    from tests.servers import Server

# Of sizes that vary little, so that chance has no part in the error.
STEADY = DataSet(
    "steady",
    (
        (900, objects.string("s:{}", 300, 320)),
        (200, objects.string("p:{}", 20, 24, None)),
        (150, objects.fields("h:{}", (40, 42), 70)),
        (150, objects.many("sadd", "t:{}", (20, 21), 12)),
        (100, objects.scored("z:{}", (150, 152), 16)),
        (100, objects.many("rpush", "l:{}", (30, 31), 40)),
    ),
)


@pytest.mark.parametrize("kind", ServerKind)
def test_projections_are_within_five_percent(kind: ServerKind) -> None:
    for one in check(kind, STEADY, (2, 8)):
        assert abs(one.off) <= 5, one
        assert one.measured_bytes > 1 << 20


def looked_at(server: Server, scales: Sequence[Scale], *, namespaces: bool = False) -> tuple[Survey, Capacity]:
    settings = ServerSettings(url=server.url)
    policy = Policy(settings, namespaces=(NamespacePolicy("sessions", ("s:*",)),) if namespaces else ())
    with closing(Gateway(settings, ScanTable(policy.namespaces), clock=time.monotonic)) as gateway:
        gateway.probe()
        survey, looks = growing.collect(gateway, 0.01)
    return survey, growing.capacity(policy, survey, None, scales, looks)


def stocked(server: Server) -> None:
    with closing(server.client()) as client:
        pipe, chance = client.pipeline(transaction=False), random.Random(1)
        for count, write in STEADY.parts:
            for number in range(count // 2):
                write(pipe, number, chance)
        pipe.execute()


def test_copies_take_what_is_predicted_on_the_same_kind_and_on_another(server_factory: ServerFactory) -> None:
    valkey, redis, empty = (
        server_factory(kind) for kind in (ServerKind.VALKEY_9_1, ServerKind.REDIS_6_2, ServerKind.VALKEY_9_1)
    )
    for server in (valkey, redis):
        stocked(server)
        survey, found = looked_at(server, [Scale({"sessions": 3000}, times=4, connections=20)], namespaces=True)
        done = verify(survey, found, found.projections[0], empty.url)
        assert abs(done.error) <= 0.05
        assert done.objects == 3000 + 4 * 350
        assert ("copies of what is there now were projected" in done.note) == (server is redis)
        with closing(empty.client()) as client:
            assert client.dbsize() == 0
    survey, found = looked_at(valkey, [Scale(times=2)])
    with pytest.raises(ConfigError, match="has keys: name an empty one"):
        verify(survey, found, found.projections[0], redis.url)
    huge = looked_at(valkey, [Scale(times=100_000)])[1].projections[0]
    with pytest.raises(ConfigError, match="at most 1GB are loaded"):
        verify(survey, found, huge, empty.url)
