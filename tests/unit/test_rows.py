"""What is said of each namespace and prefix: known numbers stay known, unknown ones are not made up."""

from __future__ import annotations

from spillgate.census.rows import (
    biggest_keys,
    kinds,
    masked,
    namespace_rows,
    prefix_rows,
    shown,
    tells_a_key,
    ttl_classes,
)
from spillgate.model import Census, Estimate, KeySample, Survey, Usage

exact = Estimate.exact
PREFIXES = {"cart": "shop:cart:", "empty": "empty:"}


def key(
    name: bytes = b"k",
    *,
    ttl_s: float | None = None,
    size: int = 100,
    idle_s: int | None = 5,
    kind: tuple[str, str] = ("string", "raw"),
) -> KeySample:
    return KeySample(idle_s, None if ttl_s is None else int(ttl_s * 1000), size, name, *kind)


def usage(name: str, sample: tuple[KeySample, ...], *, keys: float | None = None, timed: bool = True) -> Usage:
    count = len(sample) if keys is None else keys
    size = sum(one.size_bytes or 0 for one in sample)
    without = exact(sum(one.ttl_ms is None for one in sample)) if timed else None
    return Usage(name, exact(count), exact(size), without, sample, biggest=max(sample, key=str, default=None))


def census(*prefixes: Usage, namespaces: tuple[Usage, ...] = (), full: bool = True) -> Census:
    total = sum(int(one.keys.value) for one in prefixes + namespaces)
    biggest = tuple(one for row in prefixes for one in row.sample)
    return Census(0, full, total, total, namespaces, exact(0), exact(0), prefixes, biggest=biggest)


def survey(*databases: Census) -> Survey:
    return Survey(0, tuple(enumerate(databases)), {}, {}, 0)


def test_rows_have_what_their_sample_tells_and_the_heaviest_is_first() -> None:
    cart = usage("cart", tuple(key(ttl_s=second, idle_s=second) for second in range(1, 101)))
    rows = namespace_rows(survey(census(namespaces=(usage("empty", ()), cart))), PREFIXES)
    assert [(row.name, row.prefix, row.database) for row in rows] == [("cart", "shop:cart:", 0), ("empty", "empty:", 0)]
    full, empty = rows
    assert (full.ttl_s.p10, full.ttl_s.p50, full.ttl_s.p90) == (exact(11), exact(51), exact(91))
    assert full.idle_s.p50 == exact(51)
    assert full.ttl == {"none": exact(0), "1m": exact(60), "10m": exact(40)}
    assert (full.types, full.encodings) == ({"string": exact(100)}, {"raw": exact(100)})
    assert (empty.ttl_s.p50, empty.idle_s.p50, empty.types, empty.biggest) == (None, None, {}, None)
    assert empty.ttl == {"none": exact(0)}


def test_numbers_of_a_part_of_the_keys_have_an_interval() -> None:
    some = usage("a:*", tuple(key(ttl_s=30) for _ in range(50)), keys=1000)
    (row,) = prefix_rows(survey(census(some)))
    assert row.types["string"].value == 1000
    assert row.types["string"].low < 1000
    assert row.ttl["1m"].low < row.ttl["1m"].value
    assert row.ttl_s.p50 is not None
    assert row.prefix == "a:"


def test_what_was_not_looked_at_is_unknown() -> None:
    unseen = Usage("a:*", exact(1000), exact(5), exact(10))
    untimed = usage("b:*", (key(),), timed=False)
    first, second = prefix_rows(survey(census(untimed, unseen)))
    assert (first.name, first.ttl) == ("b:*", {})
    assert (second.name, second.ttl, second.types, second.idle_s.p50) == ("a:*", {}, {}, None)
    assert ttl_classes(survey(census(untimed))) == {}


def test_databases_are_told_apart_and_added_up() -> None:
    one = census(usage("a:*", (key(b"a:1", size=300, ttl_s=5), key(b"a:2"))))
    other = census(usage("a:*", (key(b"a:1", size=5000, kind=("hash", "listpack")), key(ttl_s=5), key(ttl_s=10**7))))
    told = survey(one, other)
    assert [(row.database, row.bytes) for row in prefix_rows(told)] == [(1, exact(5200)), (0, exact(400))]
    assert ttl_classes(told) == {"none": exact(2), "1m": exact(2), "more": exact(1)}
    assert list(kinds(told).items()) == [("string raw", exact(4)), ("hash listpack", exact(1))]
    assert [(number, key.size_bytes) for number, key in biggest_keys(told)][:2] == [(1, 5000), (0, 300)]


def test_masked_names_keep_only_what_other_keys_share() -> None:
    shared = ("user:", "user:vip:", "")
    assert masked("user:123:cart", shared) == "user:***"
    assert masked("user:vip:ann", shared) == "user:vip:***"
    assert masked("john", shared) == masked("", ()) == "***"


def test_what_few_keys_have_in_common_is_a_part_of_their_names() -> None:
    patterns = {"user:*:cart": 4, "tok-alice:*": 3, "*:alice": 1, "john": 9, "*": 1}
    rows = prefix_rows(survey(census(*(usage(name, (key(),), keys=count) for name, count in patterns.items()))))
    assert {row.name for row in rows if tells_a_key(row)} == {"tok-alice:*", "*:alice", "john"}
    unsure = Usage("tok-alice:*", Estimate(500, 1, 900), exact(5), exact(5))
    assert tells_a_key(*prefix_rows(survey(census(unsure, full=False))))


def test_a_shown_name_is_one_line_that_does_nothing_to_a_terminal() -> None:
    assert shown(b"user:\xff\x00:\x1b[31m\n\t") == "user:\\xff\\x00:\\x1b[31m\\n\\t"
    assert shown("schl\u00fcssel \u2028 with spaces") == "schl\u00fcssel \\u2028 with spaces"
