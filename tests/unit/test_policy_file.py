"""TTLs changed in a policy file: nothing else in it changes, and it is never half of one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.config import load_policy, parse_policy
from spillgate.errors import ConfigError
from spillgate.foresight import policy_file
from spillgate.foresight.policy_file import difference, read_text, replace_file, with_ttls
from tests.governing import EXAMPLE

if TYPE_CHECKING:
    from pathlib import Path

ODD = """\
# a file as people write them
presets = ["celery"]   # first
[server]\r
limit = '25MB'\t# in quotes of the other kind\r
\r
[[ namespace ]]
  name = "a"
  "keys" = [ "a:*",   # a comment
             "b:*" ]
  # ttl = "30m", or ttl = '30m'
  ttl   =   '30m'   # thirty
  cleanup = "clear"
  priority = 1

# between

[[namespace]]
name = "ttl"
keys = 'ttl = "1h"*'
cleanup = "never"
ttl = "1h"
"""


def changed_lines(before: str, after: str) -> list[str]:
    """Lines that went, and lines that came."""
    return [
        line
        for line in difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
        if line[0] in "+-"
    ]


def test_only_the_lines_of_these_ttls_change() -> None:
    after = with_ttls(ODD, {"a": 1200.0, "ttl": 5400.0}, "test")
    assert changed_lines(ODD, after) == [
        "-   ttl   =   '30m'   # thirty\n",
        "+   ttl   =   '20m'   # thirty\n",
        '- ttl = "1h"\n',
        '+ ttl = "1h30m"\n',
    ]


def test_the_shipped_policy_keeps_its_comments() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    after = with_ttls(text, {"messages": 600.0, "ai-context": 300.0}, "test")
    assert changed_lines(text, after) == ['- ttl = "30m"\n', '+ ttl = "10m"\n']


def test_tables_in_one_line_are_tables_too() -> None:
    text = 'namespace = [{name = "a", keys = "a:*", ttl = "1h"}, {name = "b", keys = "b:*", ttl = "1h"}] # two\n'
    assert with_ttls(text, {"b": 60.0}, "test") == text.replace('"b:*", ttl = "1h"', '"b:*", ttl = "1m"')


@given(st.integers(10_000, 90_000_000))
def test_any_ttl_is_written_so_that_it_is_read_again(milliseconds: int) -> None:
    ttl_s = milliseconds / 1000
    text = '[[namespace]]\nname = "a"\nkeys = "a:*"\nttl = "1h"\n'
    assert parse_policy(with_ttls(text, {"a": ttl_s}, "test"), "test").namespaces[0].ttl_s == ttl_s


@pytest.mark.parametrize(
    ("ttls", "message"),
    [
        ({"nobody": 60.0}, 'no namespace "nobody"'),
        ({"a": 7_200.0}, "max_ttl"),
        ({"b": 60.0}, 'no namespace "b" with a ttl'),
    ],
)
def test_what_would_be_no_policy_is_refused(ttls: dict[str, float], message: str) -> None:
    text = (
        '[[namespace]]\nname = "a"\nkeys = "a:*"\nttl = "1h"\nmax_ttl = "1h"\n[[namespace]]\nname = "b"\nkeys = "b:*"\n'
    )
    with pytest.raises(ConfigError, match=message):
        with_ttls(text, ttls, "test")


def test_the_file_is_replaced_at_once_with_its_mode_and_through_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, link = tmp_path / "policy.toml", tmp_path / "link.toml"
    file.write_bytes(ODD.encode())
    file.chmod(0o640)
    link.symlink_to(file)
    before = read_text(link)
    after = with_ttls(before, {"a": 1200.0}, str(link))
    assert not replace_file(link, before, after, lambda: False)
    assert file.read_bytes().decode() == ODD
    assert replace_file(link, before, after)
    assert link.is_symlink()
    assert file.read_bytes().decode() == after
    assert file.stat().st_mode & 0o7777 == 0o640
    assert load_policy(link, env={}, flags={}).namespaces[0].ttl_s == 1200
    with pytest.raises(ConfigError, match="changed by somebody meanwhile"):
        replace_file(link, before, ODD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(policy_file.os, "fsync", full)
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        replace_file(link, after, ODD)
    assert file.read_bytes().decode() == after
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link.toml", "policy.toml"]


def test_what_changed_is_shown_as_diff_shows_it() -> None:
    after = with_ttls(ODD, {"a": 1200.0}, "test")
    shown = difference(ODD, after, "policy.toml")
    assert shown.startswith("--- policy.toml\n+++ policy.toml (advised)\n@@ ")
    assert "\n-  ttl   =   '30m'   # thirty\n+  ttl   =   '20m'   # thirty\n" in shown
    assert difference(ODD, ODD, "policy.toml") == ""
