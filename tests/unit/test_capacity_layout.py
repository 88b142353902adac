"""What keys take beside their MEMORY USAGE, held against what servers were measured to take (bench/capacity.py)."""

from __future__ import annotations

import pytest

from spillgate.model import KeySample
from spillgate.policy.capacity_layout import Layout, mean_beyond

VALKEY = Layout.of({"valkey_version": "9.1.2", "redis_version": "7.2.4", "mem_allocator": "libc"})
REDIS_7 = Layout.of({"redis_version": "7.0.15", "mem_allocator": "jemalloc-5.3.0"})
REDIS_6 = Layout.of({"redis_version": "6.2.14", "mem_allocator": "libc"})


def key(kind: str, encoding: str, size: int, name: int = 17) -> KeySample:
    """A key as a census samples it."""
    return KeySample(0, None, size, b"k" * name, kind, encoding)


@pytest.mark.parametrize(
    ("layout", "keys", "timed", "measured"),
    [
        # used_memory less what the server began with, the sum of MEMORY USAGE, and 50 to 75 KB of latency histograms.
        (REDIS_7, 100_000, 0, 1_900_496 - 51_920),
        (REDIS_7, 100_000, 100_000, 6_149_040 - 51_920),
        (REDIS_7, 57_000, 57_000, 3_380_056 - 51_920),
        (REDIS_6, 100_000, 100_000, 5_314_136 - 8 * 100_000),  # 8 bytes of each object
        # By overhead.db.hashtable.lut of MEMORY STATS: both tables, with so many buckets that hang on others.
        (VALKEY, 100_000, 100_000, 2 * (16_384 * 64 + 4464 * 72)),
        (VALKEY, 57_000, 57_000, 2 * (8192 * 64 + 3288 * 72)),
        (VALKEY, 5_000, 5_000, 2 * (1024 * 64 + 123 * 72)),
    ],
)
def test_tables_take_what_was_measured(layout: Layout, keys: int, timed: int, measured: int) -> None:
    arrays = layout.array_bytes(keys) + layout.array_bytes(timed)
    assert arrays + layout.entries_bytes(keys, timed) == pytest.approx(measured, rel=0.01)


@pytest.mark.parametrize(("layout", "slots", "slot_bytes"), [(REDIS_7, 1, 8), (VALKEY, 7, 64)])
def test_the_key_that_is_one_too_many_doubles_the_table(layout: Layout, slots: int, slot_bytes: int) -> None:
    full = 1024 * slots
    assert layout.array_bytes(full) == 1024 * slot_bytes
    assert layout.array_bytes(full + 1) == 2048 * slot_bytes
    assert layout.full_at(full - 1) == layout.full_at(full) == full
    assert layout.array_bytes(0) == 0


@pytest.mark.parametrize(
    ("layout", "sample", "elements", "beyond"),
    [
        (REDIS_7, key("string", "raw", 184), None, 0),
        (REDIS_7, key("set", "hashtable", 512), 8, 72),
        (REDIS_7, key("set", "hashtable", 11_200), 200, 1608),
        (REDIS_7, key("zset", "skiplist", 21_487), 200, 1608),
        (REDIS_7, key("list", "quicklist", 536), None, 16),
        (REDIS_7, key("stream", "stream", 4736), None, -379),
        (REDIS_6, key("string", "raw", 680), None, 8),
        (REDIS_6, key("string", "embstr", 71), None, 17),
        (REDIS_6, key("string", "int", 64), None, 8),
        (REDIS_6, key("stream", "stream", 4712), None, -377),
        (VALKEY, key("string", "raw", 680), None, 0),
        (VALKEY, key("set", "hashtable", 7550), None, 0),
    ],
)
def test_what_memory_usage_leaves_out(layout: Layout, sample: KeySample, elements: int | None, beyond: float) -> None:
    assert layout.beyond_usage(sample, elements) == pytest.approx(beyond, abs=2)


def test_blocks_of_the_allocators() -> None:
    libc = [REDIS_6.allocated(size) for size in (1, 24, 25, 40, 41, 60)]
    jemalloc = [REDIS_7.allocated(size) for size in (8, 9, 24, 128, 129, 161, 257, 1025)]
    assert libc == [24, 24, 40, 40, 56, 72]
    assert jemalloc == [8, 16, 32, 128, 160, 192, 320, 1280]


def test_a_server_that_was_not_tried_is_told_apart() -> None:
    assert VALKEY.tried
    assert REDIS_7.tried
    assert REDIS_6.tried
    other = Layout.of({"redis_version": "8.4.0", "mem_allocator": "jemalloc-5.3.0"})
    assert not other.tried
    assert other.error > REDIS_7.error
    assert not Layout.of({}).tried
    assert not Layout.of({"valkey_version": "8.0.1"}).bucketed


def test_without_encodings_nothing_is_known() -> None:
    forbidden = [KeySample(0, None, 100, b"a")]
    assert mean_beyond(REDIS_7, forbidden, {}) is None
    assert mean_beyond(REDIS_7, [key("set", "hashtable", 512)], {b"k" * 17: 8}) == 72
