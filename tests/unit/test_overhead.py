"""Memory by cause: with the data it adds up, and nothing is counted twice or made up."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spillgate.census.overhead import UNEXPLAINED, databases, explain, keys_with_ttl
from spillgate.model import Estimate

DATA = Estimate(5_000_000, 4_900_000, 5_200_000)
INFO = {
    "used_memory_startup": "900000",
    "mem_clients_normal": "22272",
    "mem_clients_slaves": "1000",
    "mem_replication_backlog": "2000",
    "mem_aof_buffer": "0",
    "used_memory_scripts": "856",
    "db0": "keys=90000,expires=60000,avg_ttl=1",
    "db12": "keys=10000,expires=0,avg_ttl=0",
    "dbx": "no database",
}
# As 100,000 keys were counted, 60,000 of them with a TTL, in 131,072 and 65,536 buckets of 8 bytes.
BUCKETS = (131_072 + 65_536) * 8


def stats(main: int, expires: int, **more: int) -> dict[str, Any]:
    """MEMORY STATS of two databases."""
    tables = {"overhead.hashtable.main": main // 2, "overhead.hashtable.expires": expires // 2}
    return {"keys.count": 100_000, "db.dict.rehashing.count": 0, "db.0": tables, "db.12": tables} | {
        name.replace("_", "."): value for name, value in more.items()
    }


def test_all_causes_and_the_data_add_up_to_the_memory_used() -> None:
    told = explain(12_000_000, DATA, INFO, stats(5_048_576, 1_964_288), 10)
    assert sum(size.value for size in told.values()) + DATA.value == 12_000_000
    assert list(told)[-1] == UNEXPLAINED
    assert {cause: size.value for cause, size in told.items() if cause != UNEXPLAINED} == {
        "startup": 900_000,
        "client buffers": 22_272,
        "replica buffers": 1000,
        "replication backlog": 2000,
        "AOF buffer": 0,
        "scripts and functions": 856,
        "key tables": BUCKETS + 60_000 * 24,
        "latency histograms": 246_880,
    }
    assert all(size.is_exact for cause, size in told.items() if cause != UNEXPLAINED)


def test_what_is_unexplained_is_as_uncertain_as_the_data_and_may_be_negative() -> None:
    rest = explain(5_900_000, DATA, {"used_memory_startup": "1000000"})[UNEXPLAINED]
    assert rest == Estimate(-100_000, -300_000, 0)
    endless = explain(5_900_000, Estimate(1, 0, math.inf), {})[UNEXPLAINED]
    assert (endless.value, endless.low, endless.high) == (5_899_999, -math.inf, 5_900_000)


def test_tables_are_counted_without_what_is_the_keys_own() -> None:
    keys, timed = 100_000, 60_000
    up_to_7_2 = stats(BUCKETS + keys * 40, timed * 24)
    from_7_4 = stats(BUCKETS + keys * 40, timed * 24, overhead_db_hashtable_lut=BUCKETS)
    valkey = stats(BUCKETS + keys * 16, 0, overhead_db_hashtable_lut=BUCKETS)
    told = [explain(0, DATA, INFO, one)["key tables"].value for one in (up_to_7_2, from_7_4, valkey)]
    assert told == [BUCKETS + timed * 24, BUCKETS + timed * 24, BUCKETS]


def test_what_the_server_does_not_tell_is_left_out() -> None:
    assert list(explain(1, DATA, {}, None, 0)) == [UNEXPLAINED]
    assert list(explain(1, DATA, {}, {"peak.allocated": 1})) == [UNEXPLAINED]
    assert list(explain(1, DATA, {"mem_aof_buffer": "7"})) == ["AOF buffer", UNEXPLAINED]


def test_the_keyspace_section_names_the_databases() -> None:
    assert databases(INFO) == [0, 12]
    assert keys_with_ttl(INFO) == 60_000
    assert (databases({}), keys_with_ttl({})) == ([], 0)
    assert keys_with_ttl({"db0": "keys=5"}) == 0


ends = st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 30), st.integers(0, 1 << 30))


@given(st.lists(ends.map(lambda e: Estimate(e[0], e[0] - e[1], e[0] + e[2]))))
def test_a_sum_is_of_the_values_and_less_uncertain_than_all_ends_together(parts: list[Estimate]) -> None:
    total = Estimate.total(parts)
    assert total.value == sum(one.value for one in parts)
    low, high = sum(one.low for one in parts), sum(one.high for one in parts)
    assert low - 1e-3 <= total.low <= total.value <= total.high <= high + 1e-3
    assert total.is_exact == all(one.is_exact for one in parts)
