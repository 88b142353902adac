"""TTLs that a governor has changed, on their way to the cache library."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.cache.in_force import TtlsInForce
from spillgate.config import Policy, parse_policy
from spillgate.errors import PermissionDenied
from spillgate.keyspace.ttls import MOST_BYTES, InForce, read, written

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
seconds = st.floats(0.001, 1e9)


def policy(mode: str = "auto", ttl: str = "30m") -> Policy:
    """Two namespaces that may be adjusted, and one that is protected."""
    table = '[[namespace]]\nname = "{0}"\nkeys = "{0}:*"\nttl = "{1}"\n'
    open_one = table + 'cleanup = "clear"\npriority = 1\n'
    tables = open_one.format("messages", ttl) + open_one.format("voice", "1h") + table.format("tasks", "10m")
    return parse_policy(f'[monitor]\nttl_mode = "{mode}"\n{tables}', "test")


@given(st.dictionaries(names, st.builds(InForce, seconds, seconds), max_size=20))
def test_what_is_written_is_read(ttls: dict[str, InForce]) -> None:
    assert read(written(ttls)) == ttls


def test_what_does_not_fit_is_left_out() -> None:
    document = written({f"{number:064}": InForce(1620.0, 1800.0) for number in range(500)})
    assert MOST_BYTES - 100 < len(document) <= MOST_BYTES
    assert len(read(document)) > 80


@pytest.mark.parametrize(
    "found",
    [
        {"v": 2, "ttls": {"messages": [60, 1800]}},
        {"ttls": {"messages": [60, 1800]}},
        {"v": 1},
        {"v": 1, "ttls": [1, 2]},
        {"v": 1, "ttls": {"messages": 60}},
        {"v": 1, "ttls": {"messages": [60]}},
        {"v": 1, "ttls": {"messages": ["", 1800]}},
        {"v": 1, "ttls": {"messages": [0, 1800]}},
        {"v": 1, "ttls": {"messages": [-60, 1800]}},
        {"v": 1, "ttls": {"messages": [float("nan"), 1800]}},
        {"v": 1, "ttls": {"messages": [float("inf"), 1800]}},
        {"v": 1, "ttls": {"messages": [10**400, 1800]}},
        [],
        1,
        None,
    ],
)
def test_what_another_version_or_nobody_has_written_counts_for_nothing(found: Any) -> None:
    assert read(json.dumps(found).encode()) == {}


@given(st.binary() | st.text() | st.none() | st.integers())
def test_no_value_of_the_key_does_harm(found: object) -> None:
    assert read(found) == {}
    assert read(b"[" * MOST_BYTES) == {}
    assert read(written({"a": InForce(1, 2)}) + b" " * MOST_BYTES) == {}


def test_a_later_version_may_say_more() -> None:
    assert read(b'{"v":1,"ttls":{"messages":[60,1800,"why"]},"since":1}') == {"messages": InForce(60, 1800)}


def test_the_library_goes_by_it_within_its_own_policy() -> None:
    ttls = TtlsInForce(policy())
    assert ttls.asked
    ttls.saw([written({"messages": InForce(600, 1800), "voice": InForce(1e6, 3600), "tasks": InForce(60, 600)})])
    assert ttls.by_name == {"messages": 600, "voice": 4 * 3600}
    known = ttls.by_name
    ttls.saw([written({"messages": InForce(600, 1800), "voice": InForce(1e6, 3600), "tasks": InForce(60, 600)})])
    assert ttls.by_name is known
    ttls.saw([written({"messages": InForce(1, 1800)})])
    assert ttls.by_name == {"messages": 300}
    ttls.saw([None])
    assert ttls.by_name == {}, "the governor has gone"


def test_what_the_user_has_edited_where_the_library_runs_counts_for_more() -> None:
    ttls = TtlsInForce(policy(ttl="20m"))
    ttls.saw([written({"messages": InForce(600, 1800)})])
    assert ttls.by_name == {}


@pytest.mark.parametrize("reply", [PermissionDenied(), [], None, b"OK", [PermissionDenied()]])
def test_where_it_may_not_be_read_the_policy_counts(reply: object) -> None:
    ttls = TtlsInForce(policy())
    ttls.saw([written({"messages": InForce(600, 1800)})])
    ttls.saw(reply)
    assert ttls.by_name == {}


def test_nobody_asks_where_nothing_is_left_to_the_governor() -> None:
    assert not TtlsInForce(policy("advise")).asked
