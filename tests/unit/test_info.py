"""INFO replies: what is told is read, what is not told stays unknown, and nothing makes parsing fail."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.errors import ServerError
from spillgate.model import Reading
from spillgate.server.info import parse_fields, parse_reading

FULL = b"""# Server\r
redis_version:7.2.4\r
server_name:valkey\r
valkey_version:9.1.2\r
run_id:0123456789abcdef0123456789abcdef01234567\r
uptime_in_seconds:42\r
# Clients\r
connected_clients:3\r
# Memory\r
used_memory:2000000\r
used_memory_rss:3000000\r
used_memory_startup:900000\r
used_memory_dataset:700000\r
used_memory_scripts:184\r
maxmemory:26214400\r
maxmemory_policy:volatile-ttl\r
mem_fragmentation_ratio:1.50\r
mem_not_counted_for_evict:5000\r
mem_replication_backlog:1048576\r
mem_clients_normal:22400\r
mem_aof_buffer:16\r
lazyfree_pending_objects:7\r
# Stats\r
expired_keys:11\r
evicted_keys:12\r
keyspace_hits:13\r
total_error_replies:5\r
# Replication\r
role:master\r
# Errorstats\r
errorstat_OOM:count=4\r
# Keyspace\r
db0:keys=145,expires=120,avg_ttl=99\r
db3:keys=9,expires=1,avg_ttl=99\r
"""


def test_a_full_reply() -> None:
    assert parse_reading(FULL, 1.5) == Reading(
        at_s=1.5,
        used_bytes=2_000_000,
        not_counted_bytes=5000,
        maxmemory_bytes=26_214_400,
        eviction_policy="volatile-ttl",
        startup_bytes=900_000,
        dataset_bytes=700_000,
        clients_bytes=22_400,
        replication_bytes=1_048_576,
        aof_bytes=16,
        scripts_bytes=184,
        rss_bytes=3_000_000,
        fragmentation=1.5,
        lazyfree_pending=7,
        keys=145,
        keys_with_ttl=120,
        other_keys=9,
        evicted_keys=12,
        expired_keys=11,
        refused_writes=4,
        connected_clients=3,
        run_id="0123456789abcdef0123456789abcdef01234567",
        version="9.1.2",
        uptime_s=42,
        role="master",
    )


def test_keys_are_those_of_the_database_in_use() -> None:
    assert (parse_reading(FULL, 0, 3).keys, parse_reading(FULL, 0, 3).keys_with_ttl) == (9, 1)
    assert (parse_reading(FULL, 0, 5).keys, parse_reading(FULL, 0, 5).keys_with_ttl) == (0, 0)


def test_what_is_not_told_is_unknown_and_never_zero() -> None:
    bare = parse_reading(b"used_memory:5\r\n", 0)
    known = {one.name: getattr(bare, one.name) for one in fields(bare) if getattr(bare, one.name) is not None}
    # Memory outside the limit and a limit are there only where the server tells of them.
    assert known == {"at_s": 0, "used_bytes": 5, "not_counted_bytes": 0, "maxmemory_bytes": 0}


def test_refused_writes_are_none_yet_or_unknown() -> None:
    counted = FULL.replace(b"errorstat_OOM:count=4\r\n", b"")
    assert parse_reading(counted, 0).refused_writes == 0
    old = counted.replace(b"total_error_replies:5\r\n", b"")
    assert parse_reading(old, 0).refused_writes is None


@pytest.mark.parametrize("value", [b"18446744073709000000", b"-5", b"2000001", b"x", b""])
def test_a_dataset_that_underflowed_or_makes_no_sense_is_unknown(value: bytes) -> None:
    reading = parse_reading(FULL.replace(b"used_memory_dataset:700000", b"used_memory_dataset:" + value), 0)
    assert reading.dataset_bytes is None
    assert reading.used_bytes == 2_000_000


@pytest.mark.parametrize("reply", [b"", b"used_memory:\r\n", b"used_memory:many\r\n", b"# Memory\r\n", b"\xff\x00"])
def test_a_reply_without_used_memory_says_that_nothing_can_be_governed(reply: bytes) -> None:
    with pytest.raises(ServerError, match="used_memory"):
        parse_reading(reply, 0)


def test_lines_that_are_no_fields_are_passed_over() -> None:
    reply = b"# Section: one\nname:value:with:colons \r\n\nnonsense\nb\xff:1\n"
    assert parse_fields(reply) == {"name": "value:with:colons", "b\N{REPLACEMENT CHARACTER}": "1"}


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(FULL.splitlines())), max_size=40), st.integers(0, 9))
def test_garbage_is_never_worse_than_unknown(lines: list[bytes], database: int) -> None:
    reading = parse_reading(b"\r\n".join([*lines, b"used_memory:2000000", b"keyspace_hits:1"]), 0, database)
    assert reading.used_bytes == 2_000_000
    assert 0 <= reading.data_bytes <= max(0, reading.counted_bytes)


@given(st.binary(max_size=40))
def test_a_field_of_any_value_is_a_number_or_unknown(value: bytes) -> None:
    for line in (
        b"mem_clients_normal",
        b"mem_fragmentation_ratio",
        b"db0",
        b"errorstat_OOM",
        b"lazyfree_pending_objects",
    ):
        parse_reading(
            b"used_memory:1\r\nkeyspace_hits:1\r\n" + line + b":" + value.replace(b"\n", b"").replace(b"\r", b""), 0
        )
