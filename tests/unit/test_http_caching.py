"""The rules of HTTP caching, case by case, by the sections of RFC 9111 and RFC 9110 that say so."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.integrations.http_caching import (
    Audience,
    Terms,
    Use,
    Wishes,
    age_of,
    directives,
    is_current,
    kept,
    moment,
    of_not_modified,
    vary_of,
)

NOW_S = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110
MINUTE_LATER = "Sun, 06 Nov 1994 08:50:37 GMT"


def fields(*lines: str) -> list[tuple[bytes, bytes]]:
    """Header fields as ASGI has them, of lines such as ``Vary: Accept``."""
    parts = [line.partition(": ") for line in lines]
    return [(name.lower().encode(), value.encode()) for name, _, value in parts]


def terms(*lines: str, status: int = 200, default_ttl_s: float | None = None) -> Terms | None:
    return Terms.of(status, fields(*lines), now_s=NOW_S, default_ttl_s=default_ttl_s)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("max-age=60", {"max-age": "60"}),
        ("MAX-AGE=60, Public", {"max-age": "60", "public": ""}),
        ('max-age="60"', {"max-age": "60"}),  # 5.2: recipients accept both forms
        ('private="set-cookie, x", max-age=5', {"private": "set-cookie, x", "max-age": "5"}),
        (r'ext="a\"b, no-store", max-age=5', {"ext": r"a\"b, no-store", "max-age": "5"}),
        ("max-age=60, max-age=10", {"max-age": "60"}),  # 4.2.1: the first occurrence
        (" , ,no-cache,, ", {"no-cache": ""}),
        ("", {}),
        ("max-age=", {"max-age": ""}),
    ],
)
def test_cache_control_is_read(value: str, found: dict[str, str]) -> None:
    assert directives(fields(f"Cache-Control: {value}")) == found


def test_cache_control_of_several_lines_is_one() -> None:
    assert directives(fields("Cache-Control: public", "Cache-Control: max-age=5")) == {"public": "", "max-age": "5"}


@pytest.mark.parametrize(
    ("lines", "lifetime_s"),
    [
        (["Cache-Control: max-age=60"], 60),
        (["Cache-Control: max-age=60, s-maxage=10"], 10),  # 5.2.2.10: it overrides for a shared cache
        (["Cache-Control: max-age=60", "Expires: 0"], 60),  # 5.3: max-age overrides Expires
        ([f"Expires: {MINUTE_LATER}"], 60),
        ([f"Expires: {MINUTE_LATER}", "Date: Sun, 06 Nov 1994 08:49:37 GMT"], 60),
        (["Expires: Sunday, 06-Nov-94 08:50:37 GMT"], 60),  # RFC 9110, 5.6.7: obsolete formats
        (["Expires: Sun Nov  6 08:50:37 1994"], 60),
        (["Cache-Control: max-age=99999999999999"], 2**31),  # 1.2.2
        ([f"Cache-Control: max-age={'9' * 5000}"], 2**31),
    ],
)
def test_a_response_that_says_how_long_it_is_fresh_is_stored(lines: list[str], lifetime_s: float) -> None:
    found = terms(*lines)
    assert found is not None
    assert found.lifetime_s == lifetime_s
    assert found.stale_s == 0


@pytest.mark.parametrize(
    "lines",
    [
        [],  # 4.2.2: no heuristics
        ["Cache-Control: public"],
        ["Cache-Control: max-age=0"],
        ["Cache-Control: max-age=-5"],  # 4.2.1: invalid freshness information is stale
        ["Cache-Control: max-age=1.5"],
        ["Cache-Control: max-age=ten"],
        ["Cache-Control: max-age=\u0665"],
        ["Cache-Control: max-age=60; public"],
        ["Cache-Control: s-maxage=0, max-age=60"],
        ["Cache-Control: no-store, max-age=60"],  # 5.2.2.5
        ["Cache-Control: no-cache, max-age=60"],  # 5.2.2.4
        ["Cache-Control: private, max-age=60"],  # 5.2.2.7
        ['Cache-Control: private="x-user", max-age=60'],
        ["Cache-Control: public, private, max-age=60"],
        ["Cache-Control: max-age=60", "Cache-Control: no-store"],
        ["Cache-Control: no-store, must-understand, max-age=60"],
        ["Cache-Control: max-age=60", "Vary: *"],  # 4.1
        ["Cache-Control: max-age=60", "Vary: Accept, *"],
        ["Cache-Control: max-age=60", "Set-Cookie: a=b"],
        ["Expires: 0"],  # 5.3: invalid dates are in the past
        ["Expires: never"],
        ["Expires: Sun, 06 Nov 1994 08:49:37 GMT"],
        ["Expires: Sun, 06 Nov 1994 08:49:00 GMT"],
        ["Cache-Control: max-age=60", "Age: 60"],  # 4.2: as old as it may get
        ["Cache-Control: max-age=60", "Date: Sun, 06 Nov 1994 08:40:00 GMT"],
    ],
)
def test_other_responses_are_not_stored(lines: list[str]) -> None:
    assert terms(*lines) is None


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 302, 307, 308, 404, 410])
def test_statuses_that_are_stored(status: int) -> None:
    assert terms("Cache-Control: max-age=60", status=status)


@pytest.mark.parametrize("status", [101, 201, 202, 206, 303, 304, 400, 401, 403, 405, 418, 429, 500, 502, 503])
def test_statuses_that_are_not(status: int) -> None:
    assert terms("Cache-Control: public, max-age=60", status=status) is None


@pytest.mark.parametrize(("status", "stored"), [(200, True), (301, True), (302, False), (404, False), (410, False)])
def test_a_default_ttl_is_for_no_errors_and_no_temporary_redirects(status: int, stored: bool) -> None:  # noqa: FBT001 (a parameter of the table)
    assert (terms(status=status, default_ttl_s=30.0) is not None) == stored


@pytest.mark.parametrize(
    ("lines", "default_ttl_s", "audience"),
    [
        (["Cache-Control: max-age=60"], None, Audience.UNAUTHORIZED),
        (["Cache-Control: max-age=60, must-revalidate"], None, Audience.UNAUTHORIZED),  # 3.5 would allow it
        (["Cache-Control: public, max-age=60"], None, Audience.ANYONE),
        (["Cache-Control: s-maxage=60"], None, Audience.ANYONE),
        (["Cache-Control: public, max-age=60", "Set-Cookie: a=b"], None, Audience.ANYONE),
        ([f"Expires: {MINUTE_LATER}"], None, Audience.UNAUTHORIZED),
        ([], 30.0, Audience.ANONYMOUS),
        (["Vary: Cookie"], 30.0, Audience.UNAUTHORIZED),
        (["Cache-Control: public"], 30.0, Audience.ANYONE),
        (["Cache-Control: max-age=60"], 30.0, Audience.UNAUTHORIZED),
    ],
)
def test_whose_requests_a_response_may_answer(
    lines: list[str], default_ttl_s: float | None, audience: Audience
) -> None:
    found = terms(*lines, default_ttl_s=default_ttl_s)
    assert found is not None
    assert found.audience is audience


@pytest.mark.parametrize(
    ("lines", "allowed"),
    [
        ([], {Audience.ANYONE, Audience.UNAUTHORIZED, Audience.ANONYMOUS}),
        (["Cookie: a=b"], {Audience.ANYONE, Audience.UNAUTHORIZED}),
        (["Authorization: Bearer x"], {Audience.ANYONE}),
        (["Authorization: Bearer x", "Cookie: a=b"], {Audience.ANYONE}),
    ],
)
def test_which_responses_a_request_may_have(lines: list[str], allowed: set[Audience]) -> None:
    wishes = Wishes.of(fields(*lines))
    assert {audience for audience in Audience if wishes.allowed(audience)} == allowed


@pytest.mark.parametrize(
    ("said", "stale_s"),
    [
        ("max-age=60, stale-while-revalidate=30", 30),
        ("s-maxage=60, stale-while-revalidate=30", 30),
        ("max-age=60, stale-while-revalidate=x", 0),
        ("max-age=60, stale-while-revalidate=30, must-revalidate", 0),  # 5.2.2.2
        ("max-age=60, stale-while-revalidate=30, proxy-revalidate", 0),  # 5.2.2.8
    ],
)
def test_how_long_a_stale_response_may_be_used(said: str, stale_s: float) -> None:
    found = terms(f"Cache-Control: {said}")
    assert found is not None
    assert found.stale_s == stale_s


@pytest.mark.parametrize(
    ("request_says", "age_s", "use"),
    [
        ("", 0, Use.FRESH),
        ("", 59.9, Use.FRESH),
        ("", 60, Use.STALE),
        ("", 89.9, Use.STALE),
        ("", 90, Use.NONE),
        ("no-cache", 0, Use.NONE),  # 5.2.1.4
        ("max-age=10", 10, Use.FRESH),  # 5.2.1.1
        ("max-age=10", 11, Use.NONE),
        ("max-age=0", 0, Use.FRESH),
        ("max-age=0", 0.5, Use.NONE),
        ("max-age=70", 65, Use.NONE),  # nor a stale one
        ("min-fresh=20", 40, Use.FRESH),  # 5.2.1.3
        ("min-fresh=20", 41, Use.NONE),
        ("min-fresh=20", 61, Use.NONE),
        ("only-if-cached", 5, Use.FRESH),
    ],
)
def test_what_a_stored_response_is_good_for(request_says: str, age_s: float, use: Use) -> None:
    wishes = Wishes.of(fields(f"Cache-Control: {request_says}"))
    assert wishes.use(Terms(lifetime_s=60, stale_s=30), age_s) is use


def test_requests_can_be_disobeyed() -> None:
    said = fields("Cache-Control: no-cache, no-store, only-if-cached, max-age=0", "Authorization: x")
    assert Wishes.of(said) == Wishes(
        authorized=True, no_store=True, no_cache=True, only_if_cached=True, max_age_s=0, min_fresh_s=0
    )
    assert Wishes.of(said, obey=False) == Wishes(authorized=True, max_age_s=math.inf)


@pytest.mark.parametrize(
    ("lines", "age_s"),
    [
        ([], 0),
        (["Date: Sun, 06 Nov 1994 08:49:37 GMT"], 0),
        (["Date: Sun, 06 Nov 1994 08:49:27 GMT"], 10),
        (["Date: Sun, 06 Nov 1994 08:50:37 GMT"], 0),  # 4.2.3: apparent_age is at least 0
        (["Age: 7"], 7),
        (["Age: 7", "Date: Sun, 06 Nov 1994 08:49:27 GMT"], 10),
        (["Age: seven"], 0),
    ],
)
def test_how_old_a_response_already_is(lines: list[str], age_s: float) -> None:
    assert age_of(fields(*lines), NOW_S) == age_s


def test_vary_is_a_list_of_names_in_any_case() -> None:
    lines = fields("Vary: Accept-Encoding, cookie", "Vary: ACCEPT, Cookie,")
    assert vary_of(lines) == ("accept", "accept-encoding", "cookie")
    assert vary_of([]) == ()


def test_what_belongs_to_one_client_or_connection_is_not_kept() -> None:
    lines = fields(
        "Content-Type: text/html",
        "Content-Encoding: gzip",
        "Content-Length: 5",
        "Set-Cookie: session=secret",
        "Connection: close, X-Hop",
        "X-Hop: 1",
        "Transfer-Encoding: chunked",
        "Age: 3",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT",
        "ETag: x",
    )
    assert kept(lines) == fields("Content-Type: text/html", "Content-Encoding: gzip", "ETag: x")


@pytest.mark.parametrize(
    ("request_lines", "response_lines", "current"),
    [
        (['If-None-Match: "a"'], ['ETag: "a"'], True),
        (['If-None-Match: "b", W/"a"'], ['ETag: "a"'], True),  # RFC 9110, 13.1.2: weak comparison
        (['If-None-Match: "a"'], ['ETag: W/"a"'], True),
        (['If-None-Match: "b", "c"'], ['ETag: "a"'], False),
        (['If-None-Match: "b,a"'], ['ETag: "a"'], False),
        (["If-None-Match: *"], ['ETag: "a"'], True),
        (['If-None-Match: "a"'], [], False),
        (["If-None-Match: a"], ["ETag: a"], False),
        ([f"If-Modified-Since: {MINUTE_LATER}"], [f"Last-Modified: {MINUTE_LATER}"], True),
        ([f"If-Modified-Since: {MINUTE_LATER}"], ["Last-Modified: Sun, 06 Nov 1994 08:50:38 GMT"], False),
        (["If-Modified-Since: yesterday"], [f"Last-Modified: {MINUTE_LATER}"], False),
        ([f"If-Modified-Since: {MINUTE_LATER}"], [], False),
        # 13.1.3: ignored beside If-None-Match
        (['If-None-Match: "b"', f"If-Modified-Since: {MINUTE_LATER}"], [f"Last-Modified: {MINUTE_LATER}"], False),
        ([], ['ETag: "a"'], False),
    ],
)
def test_when_a_304_says_it_all(request_lines: list[str], response_lines: list[str], current: bool) -> None:  # noqa: FBT001 (a parameter of the table)
    assert is_current(fields(*request_lines), 200, fields(*response_lines)) == current
    assert not is_current(fields(*request_lines), 404, fields(*response_lines))


def test_a_304_has_the_fields_that_are_not_of_the_body() -> None:
    common = ['ETag: "a"', "Cache-Control: max-age=5", "Vary: Accept", "Content-Location: /a", "X-Frame-Options: DENY"]
    of_body = ["Content-Type: text/plain", "Content-Length: 4", "Content-Encoding: gzip"]
    assert of_not_modified(fields(*common, *of_body, f"Last-Modified: {MINUTE_LATER}")) == fields(*common)
    assert of_not_modified(fields(f"Last-Modified: {MINUTE_LATER}")) == fields(f"Last-Modified: {MINUTE_LATER}")


def test_what_is_no_date_is_no_moment() -> None:
    assert moment("Sun, 06 Nov 1994 08:49:37 GMT") == NOW_S
    assert moment("Sun, 06 Nov 1994 08:49:37 -0000") == NOW_S
    assert moment("Sun, 06 Nov 1994 09:49:37 +0100") == NOW_S
    assert [moment(text) for text in ("", "0", "-1", "now", "Sun, 99 Nov 1994 08:49:37 GMT")] == [None] * 5


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"cache-control", b"vary", b"expires", b"date", b"age", b"etag", b"last-modified"]),
            st.binary(max_size=40) | st.text('0123456789 :,="GMTSunov+-', max_size=40).map(str.encode),
        )
    ),
    st.binary(max_size=40),
)
def test_no_header_whatever_breaks_the_rules(response: list[tuple[bytes, bytes]], sent: bytes) -> None:
    request = [
        (name, sent) for name in (b"cache-control", b"if-none-match", b"if-modified-since", b"cookie", b"authorization")
    ]
    found = Terms.of(200, response, now_s=NOW_S, default_ttl_s=5.0)
    if found is not None:
        Wishes.of(request).use(found, 3.0)
    is_current(request, 200, response)
    is_current(request[2:], 200, response)
    kept(response)
