"""Replay on real servers: batches mean what single requests would, and each contender does what its kind does."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from spillgate.config import parse_policy
from spillgate.replay import NOEVICTION, SPILLGATE, STOCK, Conditions, Op, Request, run
from spillgate.replay.client import Line
from spillgate.replay.player import Player, Target
from spillgate.replay.scenario import Population, Scenario, Stretch
from tests.governing import keys_of
from tests.servers import ServerKind

if TYPE_CHECKING:
    from tests.servers import Server

MB = 1024**2
SECONDS = 1.5
# What lives in the rush takes 9 MB where 5 MB may be used. Keys of "jobs" live through the whole of it.
POLICY = parse_policy(
    """
    [server]
    limit = "5MB"
    [[namespace]]
    name = "feed"
    keys = "app:feed:*"
    ttl = "10m"
    cleanup = "clear"
    priority = 1
    [[namespace]]
    name = "jobs"
    keys = "app:jobs:*"
    ttl = "60m"
    """,
    "policy",
)
FEED = Population("feed", 500, reads_s=10.0, writes_s=4.0, new=1.0, sizes=(1000,))
JOBS = Population("jobs", 300, reads_s=2.0, writes_s=1.0, zipf=0.0, sizes=(2000,))
RUSH = Scenario("rush", "made up", (FEED, JOBS), (Stretch("calm", 600.0), Stretch("rush", 600.0, 1.0, {"feed": 3.0})))


def alive(server: Server, prefix: str) -> set[bytes]:
    return {key for key in keys_of(server.client()) if key.startswith(prefix.encode())}


@pytest.mark.kinds(ServerKind.VALKEY_9_1)
class TestPlayer:
    def test_a_batch_means_what_its_requests_mean_one_after_the_other(self, server: Server) -> None:
        chance = random.Random(11)
        ops = (Op.GET, Op.GET, Op.GET, Op.SET, Op.DELETE)
        requests = [
            Request(0.0, "a", str(chance.randrange(40)), chance.choice(ops), chance.choice((0, 30, 3000)))
            for _ in range(3000)
        ]
        held: set[str] = set()
        expected: Counter[str] = Counter()
        for one in requests:
            if one.op is Op.GET:
                expected["reads"] += 1
                expected["hits"] += one.key in held
                expected["fills"] += one.key not in held and one.size > 0
                expected["unfilled"] += one.key not in held and one.size == 0
            if one.op is Op.DELETE:
                held.discard(one.key)
            elif one.op is Op.SET or one.size:
                held.add(one.key)
        with Line(server.url) as line:
            player = Player(line, {"a": Target(lambda key: b"a:" + key.encode(), None, kept=True)}, 1.0)
            rest = iter(requests)
            while batch := list(islice(rest, chance.randint(1, 200))):
                player.play(batch)
            player.check()
        tally = player.tallies["a"]
        assert Counter({name: getattr(tally, name) for name in expected}) == expected
        assert alive(server, "a:") == {b"a:" + key.encode() for key in held}
        assert player.ledger.lost == {}

    def test_whatever_way_a_key_is_lost_it_is_noticed_once(self, server: Server) -> None:
        with Line(server.url) as line:
            player = Player(line, {"a": Target(str.encode, 60_000, kept=True)}, 1.0)
            player.play(Request(0.0, "a", key, Op.SET, 10) for key in ("read", "set", "looked for", "kept", "deleted"))
            player.play([Request(0.0, "a", "deleted", Op.DELETE, 0)])
            server.client().delete("read", "set", "looked for")
            player.play([Request(0.0, "a", "read", Op.GET, 10), Request(0.0, "a", "set", Op.SET, 10)])
            assert player.ledger.lost == {"a": 2}
            player.check()
            player.check()
        assert player.ledger.lost == {"a": 3}
        assert player.tallies["a"].hits == 0
        assert 50_000 < server.client().pttl("set") <= 60_000

    def test_what_a_full_server_refuses_is_counted_and_what_it_holds_stays(self, server: Server) -> None:
        client = server.client()
        with Line(server.url) as line:
            player = Player(line, {"a": Target(str.encode, 60_000, kept=True)}, 1.0)
            player.play([Request(0.0, "a", "before", Op.SET, 10)])
            client.config_set("maxmemory", 1)
            player.play(Request(0.0, "a", key, op, 10) for key, op in (("before", Op.SET), ("after", Op.GET)))
            player.check()
        tally = player.tallies["a"]
        assert (tally.refused, tally.writes, tally.fills, tally.hits) == (2, 2, 1, 0)
        assert player.ledger.lost == {}
        assert client.exists("before")


class TestRun:
    def test_each_contender_does_what_its_kind_does(self) -> None:
        workload = RUSH.workload()
        conditions = Conditions(seconds=SECONDS)
        lru = next(one for one in STOCK if one.name == "allkeys-lru")
        refusing, evicting, governed = (run(workload, POLICY, one, conditions) for one in (NOEVICTION, lru, SPILLGATE))
        assert refusing.requests == evicting.requests == governed.requests
        assert refusing.refused > 1000
        assert (refusing.lost, refusing.evicted) == (0, 0)
        assert evicting.lost > 20
        assert evicting.evicted > 1000
        assert (evicting.refused, evicting.governor) == (0, None)
        assert (governed.lost, governed.evicted) == (0, 0)
        assert governed.refused < refusing.refused / 10  # none, but where the machine does not let it run in time
        assert governed.governor is not None
        assert governed.governor.deleted.keys() == {"feed"}
        assert "emergency" in governed.governor.levels
        assert evicting.peak_bytes > 4.9 * MB
        assert governed.hit_ratio is not None
        assert refusing.hit_ratio is not None
        assert governed.hit_ratio > refusing.hit_ratio
        assert [one.lost is None for one in governed.namespaces] == [True, False]

    def test_ttls_can_be_tried_and_memory_is_what_lives(self) -> None:
        workload = Scenario("w", "", (replace(FEED, writes_s=20.0),), (Stretch("all", 3600.0),)).workload()
        policy = workload.own_policy(25 * MB)
        conditions = Conditions(seconds=2.0, limited=False, ttls={"feed": 600.0}, from_s=1200.0)
        result = run(workload, policy, NOEVICTION, conditions)
        assert result.limit_bytes is None
        # a Poisson count strays by more than six times its root less than once in 10**8
        assert abs(result.requests - 30 * 2400) < 6 * (30 * 2400) ** 0.5
        # some 1,100 bytes a key; the server's tables, and what it keeps beyond its time, add a little
        assert result.mean_data_bytes == pytest.approx(20 * 600 * 1100, rel=0.15)
