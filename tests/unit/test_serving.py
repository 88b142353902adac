"""The socket that is served on, and the token that is asked for."""

from __future__ import annotations

import socket

import pytest

from spillgate.errors import ConfigError
from spillgate.web.serving import listen
from spillgate.web.sources import token_in


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


@pytest.mark.parametrize(
    ("given", "token"), [({}, None), ({"SPILLGATE_TOKEN": " "}, None), ({"SPILLGATE_TOKEN": "t\u00f6k\n"}, "t\u00f6k")]
)
def test_a_token_is_taken_without_the_white_space_around_it(given: dict[str, str], token: str | None) -> None:
    assert token_in(given) == token


def test_a_token_that_no_header_can_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match="SPILLGATE_TOKEN: expected a token of one line") as caught:
        token_in({"SPILLGATE_TOKEN": "one\ntwo"})
    assert "two" not in str(caught.value)
