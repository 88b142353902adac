"""What a glob matches, asked of real servers: SCAN MATCH, KEYS, and the Lua pattern inside a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from spillgate.errors import ConfigError
from spillgate.keyspace import Glob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

# What is special to the server, to Lua or to regular expressions, what is next to it, and the ends of the byte range.
BYTES = b"abz09*?[]^-\\%$.()+|{} \n\x00\x01\x7f\x80\xc3\xff"
byte = st.sampled_from([bytes([value]) for value in BYTES])
keys = st.lists(byte, max_size=6).map(b"".join)
piece = st.one_of(
    byte,
    st.sampled_from([b"*", b"?", b"\\*", b"\\?", b"\\[", b"\\\\"]),
    st.lists(byte, min_size=1, max_size=5).map(lambda inside: b"[%b]" % b"".join(inside)),
    st.tuples(byte, byte).map(lambda ends: b"[%b-%b]" % ends),
)
patterns = st.lists(piece, min_size=1, max_size=6).map(b"".join)

# ARGV[1] is the pattern, the others are keys: returns those found.
FIND = "local f = {} for i = 2, #ARGV do if string.find(ARGV[i], ARGV[1]) then f[#f + 1] = ARGV[i] end end return f"


def test_server_lua_and_python_agree(server: Server) -> None:
    client = server.client()

    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
    @given(pattern=patterns, others=st.sets(keys, max_size=20), data=st.data())
    def agree(pattern: bytes, others: set[bytes], data: st.DataObject) -> None:
        try:
            glob = Glob(pattern)
        except ConfigError:
            reject()
        made = [
            b"".join(
                data.draw(keys) if one is None else bytes([data.draw(st.sampled_from(sorted(one)))])
                for one in glob.tokens
            )
        ]
        stored = others | set(made)
        client.flushall()
        client.mset(dict.fromkeys(stored, b""))
        expected = {key for key in stored if glob.matches(key)}
        assert set(made) <= expected
        assert set(cast("list[bytes]", client.keys(pattern))) == expected
        assert set(cast("Iterator[bytes]", client.scan_iter(match=pattern, count=100))) == expected
        assert set(cast("list[bytes]", client.eval(FIND, 0, glob.to_lua(), *stored))) == expected

    agree()
