# pyright: basic
"""HTTP responses as plain data, so that whole pages can be cached without pickle."""

from collections.abc import Callable, Iterable, Mapping
from http.cookies import Morsel
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase


def fields_of(response: HttpResponseBase, binary: Callable[[bytes], bytes]) -> list[Any]:
    """A response as plain data, the arguments of `response_of`.

    Its content is a text where it is one, whatever its charset says; else ``binary`` decides about it.

    Raises:
        ValueError: it is a stream, or a template that is not rendered yet.
    """
    if not isinstance(response, HttpResponse):
        raise ValueError(f"a {type(response).__name__} is a stream, which cannot be stored")  # noqa: TRY004 (a value)
    if not getattr(response, "is_rendered", True):
        raise ValueError(f"a {type(response).__name__} can be stored after it is rendered, not before")
    content = response.content
    try:
        body: str | bytes = content.decode()
    except UnicodeDecodeError:
        body = binary(content)
    cookies = [
        (one.key, one.value, one.coded_value, {name: value for name, value in one.items() if value != ""})
        for one in response.cookies.values()
    ]
    # Phrase and charset only where they were given: else they follow from status and headers.
    given = (response._reason_phrase, response._charset)  # noqa: SLF001 (the properties do not tell)
    return [body, response.status_code, *given, list(response.headers.items()), cookies]


def response_of(
    body: str | bytes,
    status: int,
    reason: str | None,
    charset: str | None,
    headers: Iterable[tuple[str, str]],
    cookies: Iterable[tuple[str, str, str, Mapping[str, Any]]],
) -> HttpResponse:
    """The response, as an `HttpResponse` whatever class it was of."""
    response = HttpResponse(body.encode() if isinstance(body, str) else body, None, status, reason, charset)
    del response.headers["Content-Type"]
    for name, value in headers:
        response.headers[name] = value
    for key, value, coded, attributes in cookies:
        morsel: Morsel[str] = Morsel()
        morsel.set(key, value, coded)
        morsel.update(attributes)
        response.cookies[key] = morsel
    return response
