"""Who is let in: the token, its limit of wrong ones, and pages of other origins."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from spillgate.web.access import Access, Refused

TOKEN = "right"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def request(authorization: str | None = None, *, address: str = "192.0.2.1", **headers: str) -> Request:
    named = {"host": "spillgate.example:3000", **headers} | ({"authorization": authorization} if authorization else {})
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw, "client": (address, 1)})


def refused(access: Access, asked: Request) -> Refused:
    with pytest.raises(Refused) as caught:
        access.check(asked)
    return caught.value


@pytest.mark.parametrize("authorization", ["Bearer right", "bearer right", "Bearer   right "])
def test_the_token_lets_in(authorization: str) -> None:
    Access(TOKEN).check(request(authorization))


@pytest.mark.parametrize("authorization", [None, "", "Basic cmlnaHQ=", "Bearer", "Bearer ", "right"])
def test_a_request_without_a_token_is_told_what_it_takes(authorization: str | None) -> None:
    refusal = refused(Access(TOKEN), request(authorization))
    assert (refusal.code, refusal.headers) == (401, {"WWW_Authenticate": "Bearer"})
    assert "Authorization: Bearer $SPILLGATE_TOKEN" in str(refusal)


@pytest.mark.parametrize("token", ["wrong", "righ", "rightt", "RIGHT", "r\xefght"])
def test_a_wrong_token_is_refused_and_not_repeated(token: str) -> None:
    refusal = refused(Access(TOKEN), request(f"Bearer {token}"))
    assert refusal.code == 401
    assert token not in str(refusal)


def test_without_a_token_on_the_server_nobody_is_let_in() -> None:
    refusal = refused(Access(None), request("Bearer right"))
    assert refusal.code == 403
    assert "set SPILLGATE_TOKEN" in str(refusal)


def test_after_ten_wrong_tokens_a_minute_an_address_may_not_guess_on() -> None:
    clock = Clock()
    access = Access(TOKEN, clock)
    for second in range(10):
        clock.now_s = float(second)
        assert refused(access, request("Bearer wrong")).code == 401
    for token in ("wrong", "right"):
        refusal = refused(access, request(f"Bearer {token}"))
        assert (refusal.code, refusal.headers) == (429, {"Retry_After": "51"})
    access.check(request("Bearer right", address="192.0.2.2"))
    clock.now_s = 60.5
    access.check(request("Bearer right"))


def test_addresses_without_end_take_bounded_memory() -> None:
    access = Access(TOKEN)
    for number in range(3000):
        refused(access, request("Bearer wrong", address=f"2001:db8::{number:x}"))
    assert len(access._wrong) == 1024  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://spillgate.example:3000", None),
        ("https://spillgate.example:3000", None),
        ("http://elsewhere.example", 403),
        ("http://spillgate.example", 403),
        ("null", 403),
    ],
)
def test_a_page_of_another_origin_may_not(origin: str, code: int | None) -> None:
    asked = request("Bearer right", origin=origin)
    if code is None:
        Access(TOKEN).check(asked)
    else:
        assert refused(Access(TOKEN), asked).code == code
