"""The glob language and the namespaces of keys; tests/server/test_glob.py asks real servers the same."""

from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillgate.errors import ConfigError
from spillgate.keyspace import Glob, Keyspace

# Small enough to try every key: a class that excludes "a" and "b" still has "c" to accept. A shortest key that two
# globs share has no more bytes than both have tokens together, for only a token that is no star makes it longer.
PIECES = ["a", "b", "*", "?", "[ab]", "[^a]", "[^ab]"]
KEYS = [bytes(letters) for length in range(7) for letters in product(b"abc", repeat=length)]


def is_glob(pattern: str) -> bool:
    try:
        Glob(pattern)
    except ConfigError:
        return False
    return True


small_globs = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join).filter(is_glob).map(Glob)


@dataclass(frozen=True)
class Namespace:
    name: str
    keys: tuple[str, ...]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("app:*", [b"app:", b"app:x", b"app:\n\x00\xff"], [b"app", b"xapp:", b""]),
        ("*", [b"", b"x", b"\n"], []),
        ("queue", [b"queue"], [b"queue\n", b"queues", b"queu"]),
        ("a?c", [b"abc", b"a\nc", b"a\xffc"], [b"ac", b"abbc"]),
        ("*:tail", [b":tail", b"a:tail", b"a:tail:tail"], [b":tai", b":tail "]),
        ("a*b*c", [b"abc", b"axbxc", b"abcbc"], [b"ac", b"ab", b"acb"]),
        ("*ab*b", [b"abab", b"abb", b"xabxb"], [b"ab", b"b"]),
        ("h[ae]llo", [b"hallo", b"hello"], [b"hllo", b"hillo"]),
        ("[a-c]", [b"a", b"b", b"c"], [b"d", b"-"]),
        ("[c-a]", [b"a", b"b", b"c"], [b"d", b"-"]),
        ("[^a-c]", [b"d", b"^", b"\x00"], [b"a", b"b", b"", b"dd"]),
        ("[^]", [b"a", b"]"], [b"", b"ab"]),
        ("[a^]", [b"a", b"^"], [b"b"]),
        ("[-a]", [b"-", b"a"], [b"b"]),
        (r"[a\-c]", [b"a", b"-", b"c"], [b"b"]),
        (r"[\]]", [b"]"], [b"\\"]),
        ("[a-]x]", [b"]", b"a", b"^", b"x"], [b"-", b"b"]),  # a range that ends in "]", then an x
        (r"\*\?\[", [b"*?["], [b"xx["]),
        (r"a\b", [b"ab"], [rb"a\b"]),
        ("a]", [b"a]"], [b"a"]),
        ("é*", ["été".encode()], [b"e"]),
    ],
)
def test_matching_is_the_servers(pattern: str, matching: list[bytes], others: list[bytes]) -> None:
    glob = Glob(pattern)
    assert [key for key in matching if not glob.matches(key)] == []
    assert [key for key in others if glob.matches(key)] == []


def test_matching_does_not_backtrack() -> None:
    # With the usual backtracking this takes hours.
    assert not Glob("*a*ab").matches(b"a" * 1_000_000)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "an empty one"),
        ("a[b", 'without its closing "]"'),
        ("a[", 'without its closing "]"'),
        ("[a-]", 'without its closing "]"'),
        ("[a\\", 'without its closing "]"'),
        ("[^", 'without its closing "]"'),
        ("[]", "no byte is in"),
        ("a\\", "lone backslash"),
        ("a**", "two stars in a row"),
        ("*a*b*c", "3 stars before its end"),
        ("[a-é]", "from ASCII to beyond it"),
    ],
)
def test_a_malformed_glob_is_refused_and_told_why(pattern: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Glob(pattern)
    assert problem in str(caught.value)
    assert pattern in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "prefix", "is_prefix"),
    [
        ("app:users:*", b"app:users:", True),
        ("*", b"", True),
        ("app:[u]sers:*", b"app:users:", True),
        (r"a\*b*", b"a*b", True),
        ("app:*:users:*", b"app:", False),
        ("app:?", b"app:", False),
        ("queue", b"queue", False),
        ("[ab]*", b"", False),
        ("*a", b"", False),
    ],
)
def test_the_literal_prefix(pattern: str, prefix: bytes, *, is_prefix: bool) -> None:
    assert Glob(pattern).literal_prefix == prefix
    assert Glob(pattern).is_prefix is is_prefix


@pytest.mark.parametrize(
    ("pattern", "lua"),
    [
        ("app:users:*", b"^app%:users%:"),
        ("a*b?c", b"^a.-b.c$"),
        ("[a-c]*", b"^[a-c]"),
        ("[^]-]", b"^.%-%]$"),
        ("[^a-c]", b"^[^a-c]$"),
        (r"[\]^\-]", b"^[%-%]%^]$"),
        (b"a\x00\n%\xff", b"^a%z%\n%%\xff$"),
    ],
)
def test_the_lua_pattern(pattern: str | bytes, lua: bytes) -> None:
    assert Glob(pattern).to_lua() == lua


def test_globs_are_equal_by_their_pattern_and_show_it() -> None:
    assert Glob("a*") == Glob(b"a*")
    assert Glob("a*") != Glob("[a]*")
    assert len({Glob("a*"), Glob(b"a*")}) == 1
    assert str(Glob(b"\xc3\xa9\xff*")) == "é\\xff*"


@settings(max_examples=500)
@given(small_globs, small_globs)
def test_overlap_is_exact_on_a_small_alphabet(one: Glob, other: Glob) -> None:
    shared = any(one.matches(key) and other.matches(key) for key in KEYS)
    assert one.overlaps(other) is shared
    assert other.overlaps(one) is shared


@given(small_globs, small_globs)
def test_the_key_that_proves_an_overlap_matches_both(one: Glob, other: Glob) -> None:
    if (key := one.common_key(other)) is not None:
        assert one.matches(key)
        assert other.matches(key)
    else:
        assert one != other


@given(st.binary(min_size=1, max_size=30), st.integers(0, 29), st.integers(0, 29))
def test_a_key_that_matches_two_globs_proves_that_they_overlap(key: bytes, cut: int, hole: int) -> None:
    escaped = [b"\\" + bytes([byte]) for byte in key]
    one = Glob(b"".join(escaped[:cut]) + b"*")
    hole = min(hole, len(escaped) - 1)
    other = Glob(b"".join([*escaped[:hole], b"?", *escaped[hole + 1 :]]))
    assert one.matches(key)
    assert other.matches(key)
    assert one.overlaps(other)


def test_a_keyspace_names_the_namespace_of_a_key() -> None:
    keyspace = Keyspace(
        [
            Namespace("users", ("app:users:*",)),
            Namespace("jobs", ("queue", "job:*:[0-9]")),
            Namespace("odd", ("a|b(c",)),
        ]
    )
    assert keyspace.namespace_of(b"app:users:\xff\n") == "users"
    assert keyspace.namespace_of(b"queue") == "jobs"
    assert keyspace.namespace_of(b"job:x:7") == "jobs"
    assert keyspace.namespace_of(b"job:x:77") is None
    assert keyspace.namespace_of(b"a|b(c") == "odd"
    assert keyspace.namespace_of(b"queue2") is None
    assert keyspace.namespace_of(b"") is None


def test_an_empty_keyspace_knows_no_key() -> None:
    assert Keyspace([]).namespace_of(b"") is None
    assert Keyspace([]).namespace_of(b"x") is None
    assert dict(Keyspace([]).prefixes) == {}


def test_prefixes_end_at_the_wildcard_and_tell_namespaces_apart() -> None:
    keyspace = Keyspace(
        [
            Namespace("users", ("app:users:*", "old:users:*")),
            Namespace("wait", ("bull:*:wait",)),
            Namespace("done", ("bull:*:done",)),
            Namespace("suffix", ("*:tmp",)),
        ]
    )
    assert dict(keyspace.prefixes) == {
        "users": "app:users:",
        "wait": "bull:",
        "done": "bull:*:done",
        "suffix": "*:tmp",
    }
