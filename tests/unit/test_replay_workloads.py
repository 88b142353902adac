"""Workloads: made by chance, from files of several formats, and what is wrong with those that cannot be read."""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import pytest

from spillgate.errors import ConfigError
from spillgate.replay import Format, Op, Request, Source, load
from spillgate.replay.chance import Zipf, log_normal, mixed
from spillgate.replay.scenario import Population, Scenario, Stretch
from spillgate.replay.scenario_file import parse_scenario
from spillgate.replay.shipped import SHIPPED, shipped_scenario
from spillgate.replay.sources import format_of

DATA = Path(__file__).parents[3] / "shared" / "data"

SCENARIO = """
[[namespace]]
name = "pages"
population = 100
reads_s = 2.0
writes_s = 0.5
size = "600B"
ttl = "5m"

[[phase]]
name = "all"
duration = "10m"
"""
CACHELIB = """op_time,key,key_size,op,op_count,size,cache_hits,ttl,usecase,sub_usecase
604038471,aa,4,SET,1,65,0,7200,27,65
604038471,aa,4,GET_LEASE,3,0,0,0,27,65
604038473,bb,2,GET,1,8,1,0,36,41
604038473,bb,2,DELETE,1,0,0,0,36,41
"""
MOONCAKE = """{"timestamp": 1000, "input_length": 9, "output_length": 5, "hash_ids": [0, 1]}

{"timestamp": 4500, "input_length": 9, "output_length": 5, "hash_ids": [0, 2]}
"""
TWITTER = """| cluster | key size | value size | request rate (kqps) | mean freq | common TTL | operation | Zipf alpha |
|:---:|:---:|:---:|:---:|:---:|:---:|:---:|:---:|
| cluster4 | 67 | 2439 | 5.26 | 26.5 | 60s:0.39, 1.5h:0.13, | get:0.93 set:0.05 add:0.02 | 1.1004 |
| cluster5 | N/A | N/A | N/A | N/A | N/A | N/A | NA |
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


class TestChance:
    def test_ranks_come_as_zipf_says(self) -> None:
        zipf = Zipf(1000, 0.9)
        drawn = Counter(zipf.rank((part + 0.5) / 200_000) for part in range(200_000))
        total = sum((rank + 1) ** -0.9 for rank in range(1000))
        for rank in (0, 1, 9, 99):
            assert drawn[rank] / 200_000 == pytest.approx((rank + 1) ** -0.9 / total, rel=0.02)
        assert Zipf(3, 0.0).rank(1.0) == 2

    def test_sizes_have_the_median_and_the_99th_percentile_asked_for(self) -> None:
        sizes = log_normal(1000, 8000)
        assert sizes[len(sizes) // 2] == pytest.approx(1000, rel=0.01)
        assert sizes[round(len(sizes) * 0.99)] == pytest.approx(8000, rel=0.05)
        assert log_normal(700, 700) == (700,)

    def test_values_are_mixed_by_their_shares(self) -> None:
        counts = Counter(mixed([(60.0, 0.39), (300.0, 0.13)]))
        assert counts[60.0] / counts.total() == pytest.approx(0.75, abs=0.01)


class TestScenarios:
    def test_the_same_seed_makes_the_same_requests_in_order_at_the_rates_asked_for(self) -> None:
        pages = Population("pages", 50, reads_s=5.0, writes_s=1.0, deletes_s=0.5, ttls=((60.0, 1.0),), weight=3.0)
        scenario = Scenario("s", "made up", (pages,), (Stretch("calm", 600.0), Stretch("rush", 600.0, 4.0)), seed=7)
        workload = scenario.workload()
        requests = list(workload.requests())
        assert requests == list(workload.requests())
        assert requests != list(replace(scenario, seed=8).workload().requests())
        assert all(before.at_s <= after.at_s for before, after in pairwise(requests))
        counts = Counter((one.op, one.at_s < 600) for one in requests)
        # a Poisson count strays by more than six times its root less than once in 10**8
        for op, rate in ((Op.GET, 5.0), (Op.SET, 1.0), (Op.DELETE, 0.5)):
            for calm, expected in ((True, rate * 600), (False, rate * 2400)):
                assert abs(counts[op, calm] - expected) < 6 * expected**0.5
        assert workload.requests_expected == 6.5 * 3000
        assert workload.checks_s() == (600.0, 1200.0)
        assert {one.ttl_s for one in requests} == {60.0}
        assert workload.weights == {"pages": 3.0}

    def test_new_keys_are_the_most_popular_and_a_key_keeps_its_size(self) -> None:
        feed = Population("feed", 20, reads_s=4.0, writes_s=1.0, new=1.0, sizes=log_normal(500, 4000), zipf=1.0)
        newest, sizes = 19, dict[str, int]()
        for one in Scenario("s", "", (feed,), (Stretch("all", 500.0),)).workload().requests():
            assert sizes.setdefault(one.key, one.size) == one.size
            if one.op is Op.SET:
                newest += 1
                assert int(one.key) == newest
            assert newest - 20 < int(one.key) <= newest
        assert len(set(sizes.values())) > 50

    def test_the_shipped_ones_are_what_the_deployments_risks_are(self) -> None:
        daily = {name: _messages_a_day(shipped_scenario(name)) for name in SHIPPED}
        assert daily["normal"] < 1000
        assert 5000 < daily["busy"] < 20_000 < daily["flood"]
        for name in SHIPPED:
            workload = load(name)
            assert workload.policy is not None
            assert {ns.name for ns in workload.policy.namespaces} == {space.name for space in workload.namespaces}
            assert workload.requests_expected <= 1_000_000
            assert "synthetic" in workload.note

    def test_some_namespaces_alone_have_the_same_requests(self) -> None:
        whole = load("normal")
        alone = whole.only("tasks")
        assert list(alone.requests()) == [one for one in whole.requests() if one.namespace == "tasks"]
        with pytest.raises(ConfigError, match=r'normal has no namespace "task"'):
            whole.only("task")

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ("reads_s", "reads", r'scenario.toml: \[\[namespace\]\] "pages": unknown key "reads"'),
            ("= 2.0", '= "many"', r'"pages": reads_s: expected "float", got "str", got \'many\''),
            ("= 2.0", "= -2.0", r'"pages": reads_s: expected a rate.*, got -2.0'),
            ("= 100", "= 0", r'"pages": population: expected a number of keys from 1 to 2,000,000, got 0'),
            (
                '"600B"',
                '{ p50 = "2KB", p99 = "1KB" }',
                r'"pages": size.p99: expected a size of at least p50, got "1KB"',
            ),
            ('"600B"', '"600 apples"', r'"pages": size: expected a size .*, got "600 apples"'),
            ('"5m"', '"5"', r'"pages": ttl: expected a duration .*, got "5"'),
            ("ttl =", "new = 2 #", r'"pages": new: expected a share .*, got 2'),
            ('duration = "10m"', "", r'\[\[phase\]\] "all": is missing: "duration"'),
            ('"10m"', '"10m"\nrates = { page = 2.0 }', r'"all": rates: unknown namespace "page" \(known here: pages\)'),
            ("[[phase]]", "[[phases]]", r'scenario.toml: unknown key "phases"'),
            ('name = "pages"', "name =", r"scenario.toml: is not valid TOML: .*line 3"),
            ('name = "pages"', 'name = "my pages"', r'name: expected up to 64 letters.*, got "my pages"'),
        ],
    )
    def test_what_cannot_be_used_is_told_by_file_key_and_value(self, before: str, after: str, message: str) -> None:
        assert parse_scenario(SCENARIO, "scenario.toml", "scenario").populations[0].sizes == (600,)
        with pytest.raises(ConfigError, match=message):
            parse_scenario(SCENARIO.replace(before, after, 1), "scenario.toml", "scenario")


def _messages_a_day(scenario: Scenario) -> float:
    (writes_s,) = (one.writes_s for one in scenario.populations if one.name == "messages")
    return sum(writes_s * one.factor_of("messages") * one.length_s for one in scenario.stretches)


class TestTraces:
    def test_our_csv(self, tmp_path: Path) -> None:
        lines = ("100,a,k,set,2KB,15m", "100.5,a,k,GET,,", "101,b,x,get,10,90", "103,b,x,delete,,")
        text = "\n".join(("time,namespace,key,op,size,ttl", *lines))
        workload = load(written(tmp_path, "trace.csv.gz", text))
        assert list(workload.requests()) == [
            Request(0.0, "a", "k", Op.SET, 2048, 900.0),
            Request(0.5, "a", "k", Op.GET, 2048, 900.0),
            Request(1.0, "b", "x", Op.GET, 10, 90.0),
            Request(3.0, "b", "x", Op.DELETE, 0, None),
        ]
        assert (workload.name, workload.duration_s, workload.requests_expected) == ("trace", 3.0, 4)
        policy = workload.own_policy(1000)
        assert [(ns.name, ns.keys, ns.ttl_s) for ns in policy.namespaces] == [
            ("a", ("a:*",), 900.0),
            ("b", ("b:*",), 90.0),
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("time,namespace,key,op\n", r"line 1: expected the columns time,namespace,key,op,size\[,ttl\], .* no size"),
            ("time,namespace,key,op,size,x\n", r'line 1: unknown column "x"'),
            ("time,namespace,key,op,size\n", r"has no request"),
            ("time,namespace,key,op,size\n1,a,k,get,9\n0.5,a,k,get,9\n", r"line 3: time goes back, from 1 to 0.5"),
            ("time,namespace,key,op,size\nnoon,a,k,get,9\n", r'line 2: time: expected seconds.*, got "noon"'),
            ("time,namespace,key,op,size\n1,a b,k,get,9\n", r'line 2: namespace: expected up to 64.*, got "a b"'),
            ("time,namespace,key,op,size\n1,a,k,incr,9\n", r'line 2: op: expected get, set or delete, got "incr"'),
            ("time,namespace,key,op,size\n1,a,,get,9\n", r"line 2: key: expected a key"),
            ("time,namespace,key,op,size\n1,a,k,get,big\n", r'line 2: size: expected a size .*, got "big"'),
            ("time,namespace,key,op,size,ttl\n1,a,k,get,9,-1\n", r'line 2: ttl: expected .*, got "-1"'),
            ("time,namespace,key,op,size\n1,a,k\n", r"line 2: expected 5 values .*, got 3"),
        ],
    )
    def test_what_is_wrong_with_a_csv_is_told_by_its_line(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            load(written(tmp_path, "trace.csv", text), Source(format=Format.CSV))

    def test_cachelib(self, tmp_path: Path) -> None:
        workload = load(written(tmp_path, "kv.csv", CACHELIB))
        read = Request(0.0, "27", "kkaa", Op.GET, 65, 7200.0)  # what the set told is known to the gets
        assert list(workload.requests()) == [
            Request(0.0, "27", "kkaa", Op.SET, 65, 7200.0),
            *[read] * 3,
            Request(2.0, "36", "bb", Op.GET, 8, None),
            Request(2.0, "36", "bb", Op.DELETE, 0, None),
        ]
        with pytest.raises(ConfigError, match=r'line 2: unknown op "TOUCH"'):
            load(written(tmp_path, "kv.csv", CACHELIB.replace(",SET,", ",TOUCH,")))

    @pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
    def test_a_real_cachelib_trace(self) -> None:
        workload = load(DATA / "cachelib_kv_trace.csv")
        assert workload.requests_expected == sum(1 for _ in workload.requests()) == 691
        assert "2777918327" in {space.name for space in workload.namespaces}

    def test_mooncake(self, tmp_path: Path) -> None:
        workload = load(written(tmp_path, "talk.jsonl", MOONCAKE), Source(block_bytes=100))
        assert [(one.at_s, one.key, one.op, one.size) for one in workload.requests()] == [
            (0.0, "0", Op.GET, 100),
            (0.0, "1", Op.GET, 100),
            (3.5, "0", Op.GET, 100),
            (3.5, "2", Op.GET, 100),
        ]
        assert "assumed: each block takes 100B" in workload.note
        with pytest.raises(ConfigError, match="line 3: expected"):
            load(written(tmp_path, "talk.jsonl", MOONCAKE.replace('"hash_ids": [0, 2]', '"hash_ids": "0"')))

    def test_rows_of_twitters_table(self, tmp_path: Path) -> None:
        path = written(tmp_path, "table.md", TWITTER)
        workload = load(path, Source(clusters=(4,), requests=10_000, hours=2.0, seed=3))
        requests = list(workload.requests())
        assert abs(len(requests) - 10_000) < 600
        assert "synthetic" in workload.note
        assert "cluster4 scaled down 3,787 times, to 31,698 keys" in workload.note
        assert {len(one.key) for one in requests} == {67}
        assert {one.size for one in requests} == {2439}
        ttls = Counter(one.ttl_s for one in {request.key: request for request in requests}.values())
        assert abs(ttls[60.0] / ttls.total() - 0.75) < 0.05
        assert abs(sum(one.op is Op.GET for one in requests) / len(requests) - 0.93) < 0.02
        for clusters, message in (
            ((5,), r'cluster5: ttls: expected shares such as .*, got "N/A"'),
            ((9,), r"there is no cluster 9 \(there are 4 to 5\)"),
            ((), r"--cluster: give the rows to use"),
        ):
            with pytest.raises(ConfigError, match=message):
                load(path, Source(clusters=clusters))

    def test_the_format_shows_in_the_first_line(self, tmp_path: Path) -> None:
        for name, text, found in (
            ("a.csv", CACHELIB, Format.CACHELIB),
            ("b.txt", "\ntime,namespace,key,op,size\n", Format.CSV),
            ("c.gz", MOONCAKE, Format.MOONCAKE),
            ("d.md", TWITTER, Format.TWITTER),
            ("e.toml", SCENARIO, Format.SCENARIO),
        ):
            assert format_of(written(tmp_path, name, text)) is found
        with pytest.raises(ConfigError, match=r'cannot tell what it holds from "hello": say --format \(csv, cachelib'):
            load(written(tmp_path, "f.txt", "hello\n"))
        with pytest.raises(ConfigError, match="no such file, and no such scenario"):
            load("bussy")

    def test_requests_are_made_as_they_are_asked_for(self) -> None:
        assert len(list(islice(load("reference").requests(), 10))) == 10
