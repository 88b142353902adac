"""Prefixes found in keys: every key has one, names stay, ids fold, and there are never too many."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.keyspace import PrefixTree, grow
from spillgate.keyspace.prefixes import SEPARATORS, STAR, shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_PATTERNS, MOST_WORDS_IN_ONE = 250, 6


def divided(keys: Sequence[str | bytes], separator: bytes | None = None) -> dict[str, int]:
    """How many of the keys follow each pattern."""
    raw = [key if isinstance(key, bytes) else key.encode() for key in keys]
    tree = grow(raw, separator)
    counts = Counter(tree.texts()[tree.index_of(key)] for key in raw)
    return {text.decode(): count for text, count in sorted(counts.items())}


class Maker:
    """Ids as applications make them, from a seed."""

    def __init__(self) -> None:
        self._rng = random.Random(11)

    def number(self) -> int:
        return self._rng.randrange(100_000)

    def hex(self, length: int) -> str:
        return f"{self._rng.getrandbits(4 * length):0{length}x}"

    def uuid(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128)))

    def word(self, length: int = 40) -> str:
        return "".join(self._rng.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=length))

    def name(self) -> str:
        return "".join(self._rng.choices(("an", "bo", "ca", "do", "el", "fi", "gu", "ha", "in", "jo"), k=4))

    def day(self) -> str:
        return f"2024-{self._rng.randrange(1, 13):02}-{self._rng.randrange(1, 29):02}"


make = Maker()


def each(count: int, *kinds: Callable[[], str]) -> list[str]:
    """So many keys of each kind, mixed."""
    return [kind() for _ in range(count) for kind in kinds]


APPLICATIONS: dict[str, tuple[list[str], dict[str, int]]] = {
    "ids fold": (
        each(50, lambda: f"user:{make.number()}:cart", lambda: f"user:{make.number()}"),
        {"user:*": 50, "user:*:cart": 50},
    ),
    "names fold where there are many": (
        each(300, lambda: f"user:{make.name()}:cart", lambda: f"user:{make.name()}"),
        {"user:*": 300, "user:*:cart": 300},
    ),
    "names stay where there are few": (
        [f"{tenant}:{what}:{make.number()}" for tenant in ("acme", "globex") for what in ("cart", "page")] * 20,
        {f"{tenant}:{what}:*": 20 for tenant in ("acme", "globex") for what in ("cart", "page")},
    ),
    "numbered namespaces stay, numbered shards fold": (
        [f"app:ns{number % 20}:{make.number()}" for number in range(1000)]
        + [f"shard{number}:lock:{make.number()}" for number in range(100)],
        {f"app:ns{number}:*": 50 for number in range(20)} | {"shard*:lock:*": 100},
    ),
    "sessions": (
        each(
            40,
            lambda: f"sess:{make.hex(40)}",
            lambda: f"spring:session:sessions:{make.uuid()}",
            lambda: f"spring:session:sessions:expires:{make.uuid()}",
            lambda: f"spring:session:expirations:{1400000000000 + make.number()}",
            lambda: f":1:django.contrib.sessions.cache{make.hex(32)}",
        ),
        {
            "sess:*": 40,
            "spring:session:sessions:*": 40,
            "spring:session:sessions:expires:*": 40,
            "spring:session:expirations:*": 40,
            ":*:django.contrib.sessions.*": 40,
        },
    ),
    "Celery": (
        ["celery", "_kombu.binding.celery", "_kombu.binding.celery.pidbox", "unacked", "unacked_index"] * 2
        + each(500, lambda: f"celery-task-meta-{make.uuid()}"),
        {
            "celery": 2,
            "_kombu.binding.celery": 2,
            "_kombu.binding.celery.pidbox": 2,
            "unacked": 2,
            "unacked_index": 2,
            "celery-task-meta-*": 500,
        },
    ),
    "Celery beside others": (
        each(
            50, lambda: f"celery-task-meta-{make.uuid()}", lambda: f"page:{make.number()}", lambda: f"x:{make.name()}"
        ),
        {"celery-task-meta-*": 50, "page:*": 50, "x:*": 50},
    ),
    "BullMQ": (
        each(100, lambda: f"bull:mail:{make.number()}", lambda: f"bull:mail:repeat:{make.hex(32)}:{make.number()}")
        + [f"bull:mail:{what}" for what in ("meta", "id", "wait", "active", "stalled-check")] * 5,
        {"bull:mail:*": 100, "bull:mail:repeat:*": 100}
        | {f"bull:mail:{what}": 5 for what in ("meta", "id", "wait", "active", "stalled-check")},
    ),
    "Sidekiq": (
        ["queues", "queue:default", "queue:mailers", "retry", "schedule", "dead"] * 3
        + each(60, lambda: f"stat:processed:{make.day()}", lambda: f"stat:failed:{make.day()}"),
        dict.fromkeys(["queues", "queue:default", "queue:mailers", "retry", "schedule", "dead"], 3)
        | {"stat:processed:*": 60, "stat:failed:*": 60},
    ),
    "Rails": (
        each(
            50,
            lambda: f"shop:views/products/{make.number()}-2024{make.number()}/{make.hex(32)}",
            lambda: f"shop:session:2::{make.hex(64)}",
            lambda: f"rack::attack:{make.number()}:req/ip:10.0.{make.number()}.7",
        ),
        {"shop:views/products/*/*": 50, "shop:session:*::*": 50, "rack::attack:*:req/ip:*": 50},
    ),
    "Laravel": (
        each(
            50,
            lambda: f"laravel_cache:{make.hex(40)}",
            lambda: f"laravel_cache:user.{make.number()}.settings",
            lambda: f"laravel_session:{make.word()}",
            lambda: "laravel_database_queues:default",
        ),
        {
            "laravel_cache:*": 50,
            "laravel_cache:user.*.settings": 50,
            "laravel_session:*": 50,
            "laravel_database_queues:default": 50,
        },
    ),
    "WordPress": (
        each(
            50,
            lambda: f"wp:post_meta:{make.number()}",
            lambda: f"wp:posts:{make.number()}",
            lambda: f"wp:post-queries:wp_query:{make.hex(32)}:0.{make.number()} {make.number()}",
            lambda: f"wp:userlogins:{make.name()}",
            lambda: "wp:options:alloptions",
        ),
        {
            "wp:post_meta:*": 50,
            "wp:posts:*": 50,
            "wp:post-queries:wp_query:*": 50,
            "wp:userlogins:*": 50,
            "wp:options:alloptions": 50,
        },
    ),
    "hash tags": (
        each(50, lambda: f"{{user:{make.number()}}}:cart", lambda: f"{{user:{make.number()}}}:orders:{make.number()}"),
        {"{user:*}:cart": 50, "{user:*}:orders:*": 50},
    ),
    "another separator": (
        each(50, lambda: f"user_{make.number()}_cart", lambda: f"session_{make.hex(32)}"),
        {"user_*_cart": 50, "session_*": 50},
    ),
    "no separator": (each(100, lambda: str(make.number()), make.word), {"*": 200}),
}


@pytest.mark.parametrize("application", APPLICATIONS)
def test_keys_as_applications_make_them_are_divided_as_people_would(application: str) -> None:
    keys, expected = APPLICATIONS[application]
    assert divided(keys) == expected


def test_the_separator_may_be_given() -> None:
    keys = each(20, lambda: f"a.b:{make.number()}")
    assert divided(keys) == {"a.b:*": 20}
    assert divided(keys, b".") == {"a.b:*": 20}
    assert divided([f"a.b.{number}" for number in range(20)], b":") == {"a.b.*": 20}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (b"cart", b"cart"),
        (b"", b""),
        (b"123", b"*"),
        (b"user-123", b"user-*"),
        (b"user.123.settings", b"user.*.settings"),
        (b"shard12", b"shard*"),
        (b"v2", b"*"),
        (b"0f3a", b"*"),
        (b"12-34", b"*"),
        (b"10.0.0.1", b"*"),
        (b"ip-10-0-0-1", b"ip-*"),
        (b"meta-deadbeef-dead-beef-cafe-deadbeefcafe", b"meta-*"),
        (b"*", b"*"),
        (b"a*b", b"a*b"),
        (b"caf\xc3\xa9 7\n", b"caf\xc3\xa9 *\n"),
        (b"\x00\xff", b"\x00\xff"),
        (b"x" * 201, b"*"),
    ],
)
def test_a_word_s_shape_has_a_star_for_each_part_with_a_digit(word: bytes, expected: bytes) -> None:
    assert shape(word) == expected


def test_a_rare_word_among_many_is_an_id_though_it_came_twice() -> None:
    names = [f"user:{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]
    assert divided([*names, names[3], names[7]]) == {"user:*": 102}


def test_a_few_keys_are_told_by_their_names() -> None:
    assert divided(["config", "lock:mail", "lock:page"]) == {"config": 1, "lock:*": 2}


# ---- any keys at all

keys_of_any_bytes = st.lists(st.binary(max_size=30), max_size=60)
words = st.sampled_from([b"", b"*", b"**", b"a*", b"user", b"123", b"ns1", b"\xff\x00", b"a1b2", b"%d", b"x" * 300])
keys_of_words = st.lists(st.lists(words, max_size=9).map(b":".join), max_size=80)
any_keys = st.one_of(keys_of_any_bytes, keys_of_words)


@given(any_keys, any_keys, st.sampled_from([None, *(bytes([mark]) for mark in SEPARATORS)]))
def test_every_key_has_a_pattern_and_there_are_not_too_many(
    keys: list[bytes], others: list[bytes], separator: bytes | None
) -> None:
    tree = grow(keys, separator)
    assert 1 <= len(tree.patterns) <= MOST_PATTERNS
    assert len(set(tree.patterns)) == len(tree.patterns)
    assert all(1 <= len(pattern) <= MOST_WORDS_IN_ONE for pattern in tree.patterns)
    for key in [*keys, *others]:
        pattern = tree.patterns[tree.index_of(key)]
        assert follows(key.split(tree.separator), pattern), (key, pattern)


def follows(path: list[bytes], pattern: tuple[bytes, ...]) -> bool:
    """Whether each word of the pattern stands for the key's word at its place; stars may stand for none."""
    for place, word in enumerate(pattern):
        if place >= len(path):
            return set(pattern[place:]) == {STAR}
        if word not in {path[place], shape(path[place]), STAR}:
            return False
    return True


@given(any_keys, st.randoms(use_true_random=False))
def test_the_order_of_the_keys_does_not_matter(keys: list[bytes], rng: random.Random) -> None:
    shuffled = list(keys)
    rng.shuffle(shuffled)
    assert (grow(shuffled).separator, grow(shuffled).patterns) == (grow(keys).separator, grow(keys).patterns)


@given(any_keys)
def test_a_tree_made_again_from_its_patterns_answers_alike(keys: list[bytes]) -> None:
    tree = grow(keys)
    again = PrefixTree(tree.separator, tree.patterns)
    assert [again.index_of(key) for key in keys] == [tree.index_of(key) for key in keys]
    assert again.texts() == tree.texts()


def test_many_names_at_every_level_are_divided_only_as_far_as_there_is_room() -> None:
    letters = "abcdefghijklmnopqrst"
    keys = [f"{a}{a}:{b}{b}:{c}{c}" for a in letters for b in letters for c in letters for _ in range(2)]
    assert divided(keys) == {f"{letter * 2}:*": 800 for letter in letters}


def test_keys_as_large_as_they_get_make_no_large_patterns() -> None:
    keys = [b"blob:" + b"x" * 100_000 + (b":%d" % (number % 2)) for number in range(20)]
    tree = grow(keys)
    assert all(len(word) <= 200 for pattern in tree.patterns for word in pattern)
    assert {tree.texts()[tree.index_of(key)] for key in keys} == {b"blob:*"}
