"""Names of keys: by namespace, by generation, and the library's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.cache.keys import Keys, prefix_of
from spillgate.config import NamespacePolicy
from spillgate.errors import ConfigError
from spillgate.keyspace import OWN_PREFIX, Glob

names = st.text(st.characters(codec="utf-8"), max_size=30)
# What could be taken for a generation, and what nearly could.
nasty = st.one_of(names, names.map(lambda rest: "@" + rest), st.from_regex(r"@\d{0,21}:?.{0,5}", fullmatch=True))
generations = st.integers(0, 10**19 - 1)
prefixes = st.sampled_from(["app:messages:", "a", "ü:", "app:@3:", "we[i]rd*?\\:"])


@given(prefixes, generations, nasty)
def test_the_generation_is_read_back_from_any_key(prefix: str, generation: int, key: str) -> None:
    keys = Keys(prefix)
    assert keys.generation_of(keys.value(generation, key).encode()) == generation


@given(prefixes, generations, nasty, generations, nasty)
def test_no_key_is_another_ones(prefix: str, generation: int, key: str, other: int, another: str) -> None:
    keys = Keys(prefix)
    assert (keys.value(generation, key) == keys.value(other, another)) == ((generation, key) == (other, another))


@given(prefixes, generations, nasty)
def test_all_keys_begin_with_the_prefix_and_end_with_what_the_caller_said(
    prefix: str, generation: int, key: str
) -> None:
    name = Keys(prefix).value(generation, key)
    assert name.startswith(prefix)
    assert name.endswith(key)


def test_what_keys_look_like() -> None:
    keys = Keys("app:messages:")
    assert keys.value(0, "42") == "app:messages:42"
    assert keys.value(3, "42") == "app:messages:@3:42"
    assert keys.value(0, "@3:42") == "app:messages:@0:@3:42"
    assert keys.value(0, "") == "app:messages:"
    assert keys.value(3, "") == "app:messages:@3:"
    assert keys.generation == "spillgate:generation:app:messages:"
    assert keys.dictionary == "spillgate:dictionary:{app:messages:}"
    assert keys.dictionary_version(7) == "spillgate:dictionary:{app:messages:}#7"
    assert Keys.lock("app:messages:42") == "spillgate:lock:{app:messages:42}"


def test_in_a_cluster_a_lock_is_where_its_value_is() -> None:
    for name in ("app:messages:42", "app:{user:7}:42", "app:messages:@3:42"):
        assert slot_text(Keys.lock(name)) == slot_text(name)
    keys, tagged = Keys("app:messages:"), Keys("{app}:messages:")
    assert tagged.dictionary == "spillgate:dictionary:{app}:messages:"
    for one in (keys, tagged):
        places = {slot_text(name) for name in (one.dictionary, one.dictionary_version(7), Keys.lock(one.dictionary))}
        assert len(places) == 1


def slot_text(name: str) -> str:
    """What of a key a Cluster hashes: what is in the first braces, if there is something, else all of it."""
    _, opened, rest = name.partition("{")
    tag, closed, _ = rest.partition("}")
    return tag if opened and closed and tag else name


@pytest.mark.parametrize(
    ("key", "said"),
    [(1, r"a key is a text, got 1 \(int\)"), (None, "got None"), (b"1", r"got b'1' \(bytes\)"), (("a",), "tuple")],
)
@pytest.mark.parametrize("generation", [0, 3])
def test_a_key_that_is_no_text_is_told(generation: int, key: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Keys("app:messages:").value(generation, key)


@pytest.mark.parametrize(
    "name",
    [
        b"app:messages:42",
        b"app:messages:@:1",
        b"app:messages:@x:1",
        b"app:messages:@3",
        b"app:m",
        b"",
        b"x" * 20 + b"@3:",
    ],
)
def test_other_keys_are_of_the_first_generation(name: bytes) -> None:
    assert Keys("app:messages:").generation_of(name) == 0


@given(prefixes, generations, nasty, st.integers(0, 65_535))
def test_the_librarys_own_keys_are_in_no_namespace(prefix: str, generation: int, key: str, number: int) -> None:
    keys = Keys(prefix)
    own = Glob(OWN_PREFIX + "*")
    for name in (
        keys.generation,
        keys.dictionary,
        keys.dictionary_version(number),
        Keys.lock(keys.value(generation, key)),
    ):
        assert own.matches(name.encode())
        assert not Glob(keys.pattern).matches(name.encode())


@given(prefixes, generations, nasty)
def test_the_pattern_of_a_namespace_finds_all_its_keys_and_no_others(prefix: str, generation: int, key: str) -> None:
    keys = Keys(prefix)
    assert Glob(keys.pattern).is_prefix
    assert Glob(keys.pattern).matches(keys.value(generation, key).encode())
    assert not Glob(keys.pattern).matches(b"x" + keys.value(generation, key).encode())


# ---- prefixes


def prefix(*globs: str) -> str:
    """The prefix of a namespace of these patterns."""
    return prefix_of(NamespacePolicy("things", globs, ttl_s=60.0))


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["app:things:*"], "app:things:"),
        (["a*"], "a"),
        (["app:*:old", "app:things:*"], "app:things:"),
        (["app:one:*", "app:two:*"], "app:one:"),
        (["we\\[ird\\*:*"], "we[ird*:"),
        (["[a]pp:*"], "app:"),
        (["über:*"], "über:"),
        (["exact", "more:*"], "more:"),
    ],
)
def test_the_prefix_is_that_of_the_first_pattern_with_one_star_at_its_end(globs: list[str], expected: str) -> None:
    assert prefix(*globs) == expected
    assert Keys(expected).pattern.endswith(b"*")


@pytest.mark.parametrize(
    "globs", [["app:things"], ["app:*:things"], ["app:*:*"], ["app:?:*"], ["app:[ab]:*"], ["*:things", "a?*"]]
)
def test_a_namespace_that_keys_cannot_be_made_for_is_refused(globs: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"'things' has no pattern that is a prefix with one star .* \"app:things:\*\""
    ):
        prefix(*globs)


@pytest.mark.parametrize(
    "globs", [["*"], ["spillgate:*"], ["spill*"], ["spillgate:lock:*"], ["app:*", "spillgate:x"], ["app:*", "*:x"]]
)
def test_a_namespace_that_would_hold_the_librarys_own_keys_is_refused(globs: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"'things' would hold the keys that Spillgate keeps for itself, spillgate:\*"
    ):
        prefix(*globs)
