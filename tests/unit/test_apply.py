"""Where a pass over the keyspace stands, and when it is over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spillgate.governor.apply import Progress
from spillgate.model import Reading
from spillgate.server.scanning import RuleCount, SweepReply, scan_position

CURSOR_BITS = 64


def reply(cursor: int, counts: dict[str, RuleCount] | None = None) -> SweepReply:
    return SweepReply(cursor, 10, 1, 100, 5000, Reading(0.0, 4900), counts or {})


def next_cursor(cursor: int, bits: int) -> int:
    """The server's step from one bucket to the next, in a table of ``2**bits`` (``dictScan`` in its ``dict.c``)."""
    cursor |= ~((1 << bits) - 1) & (2**CURSOR_BITS - 1)
    reverse = int(f"{cursor:064b}"[::-1], 2)
    reverse = (reverse + 1) % 2**CURSOR_BITS
    return int(f"{reverse:064b}"[::-1], 2)


def scan(cursor: int, bits: int, buckets: int) -> tuple[int, set[int]]:
    """One call: it visits so many buckets, or fewer where the table ends."""
    visited: set[int] = set()
    while True:
        visited.add(cursor & ((1 << bits) - 1))
        cursor = next_cursor(cursor, bits)
        if cursor == 0 or len(visited) >= buckets:
            return cursor, visited


def test_positions_are_in_the_order_in_which_scan_goes() -> None:
    cursor, positions = 0, [0]
    while cursor := next_cursor(cursor, 4):
        positions.append(scan_position(cursor))
    assert len(positions) == 16
    assert positions == sorted(positions)


@given(st.integers(0, 8), st.integers(0, 2**48 - 1), st.integers(1, 300))
def test_a_pass_from_anywhere_sees_every_bucket_and_ends(bits: int, start: int, buckets_a_call: int) -> None:
    progress = Progress(start, start)
    seen: set[int] = set()
    while not progress.complete:
        cursor, visited = scan(progress.cursor, bits, buckets_a_call)
        seen |= visited
        progress.fold(reply(cursor))
        assert progress.calls <= 2 * (1 << bits) + 2, "the pass never ends"
    assert seen == set(range(1 << bits))


@given(st.integers(1, 6), st.integers(0, 2**48 - 1), st.integers(1, 100), st.integers(0, 40))
def test_a_pass_ends_and_misses_nothing_while_the_table_grows(
    bits: int, start: int, buckets_a_call: int, calls_before: int
) -> None:
    progress = Progress(start, start)
    seen: set[int] = set()  # buckets of the table as it is after growing
    while not progress.complete:
        now = bits + (progress.calls > calls_before)
        cursor, visited = scan(progress.cursor, now, buckets_a_call)
        grown = visited if now > bits else {bucket | half << bits for bucket in visited for half in (0, 1)}
        seen |= grown
        progress.fold(reply(cursor))
        assert progress.calls <= 4 * (1 << bits) + 4, "the pass never ends"
    assert seen == set(range(2 << bits))


def test_a_pass_adds_up_what_its_calls_did() -> None:
    progress = Progress(5, 5)
    progress.fold(reply(3, {"a": RuleCount(4, 3, 2, 1)}))
    progress.fold(reply(0, {"a": RuleCount(1, 1, 1, 1), "b": RuleCount(7)}))
    assert (progress.calls, progress.visited, progress.expired, progress.freed_bytes) == (2, 20, 2, 200)
    assert progress.counts == {"a": RuleCount(5, 4, 3, 2), "b": RuleCount(7)}
