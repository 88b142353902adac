"""Webhooks: a POST of JSON, signed as the Standard Webhooks specification has it (standardwebhooks.com).

No redirect is followed: where a message goes is what the policy says. Proxies are those of the environment
(``HTTPS_PROXY``, ``NO_PROXY``).
"""

import base64
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import Any, Self

from spillgate.alerts.delivery import Undelivered
from spillgate.alerts.notice import Notice
from spillgate.alerts.words import Sender, document
from spillgate.config import WebhookSettings
from spillgate.config.alerting import signing_key
from spillgate.governor.clock import Clock
from spillgate.model import Level

_FINE = range(200, 300)
_MOVED = range(300, 400)
_REFUSED = range(400, 500)
_TRY_AGAIN = {408, 425, 429}  # refusals that may be none a moment later
_LATE = "no answer in time"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver that takes POSTs; ``key`` is what messages are signed with, None for not at all."""

    name: str
    address: str
    min_level: Level
    sender: Sender
    timeout_s: float
    url: str = field(repr=False)
    key: bytes | None = field(repr=False)
    clock: Clock
    kind: str = "webhook"

    @classmethod
    def of(cls, settings: WebhookSettings, sender: Sender, clock: Clock) -> "Webhook":
        """That of a table of the policy.

        Raises:
            ConfigError: its URL or secret stands in a variable that is not set.
        """
        key = signing_key(settings.secret.reveal()) if settings.secret else None
        url, address = settings.url.reveal(), settings.url.address
        return cls(settings.name, address, settings.min_level, sender, settings.timeout_s, url, key, clock)

    def send(self, notice: Notice, message_id: str) -> None:
        """POST it.

        Raises:
            Undelivered: nobody answered in time, or not with 2xx.
        """
        body = json.dumps(document(notice, self.sender), ensure_ascii=False, separators=(",", ":")).encode()
        status, headers = self._post(body, signed(message_id, int(self.clock.wall()), body, self.key))
        if status in _FINE:
            return
        if status in _MOVED:
            raise Undelivered(
                f"answered {status}: redirects are not followed, put the address itself into the policy", final=True
            )
        refused = status in _REFUSED and status not in _TRY_AGAIN
        raise Undelivered(f"answered {status}", final=refused, after_s=self._retry_after_s(headers))

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, Message]:
        """The code and the headers of the answer."""
        # Of schemes the policy allows http and https alone.
        request = urllib.request.Request(self.url, body, headers, method="POST")  # noqa: S310
        with _Watch(self.timeout_s) as watch:
            try:
                answer: Any = watch.opener.open(request, timeout=self.timeout_s)
            except urllib.error.HTTPError as error:
                answer = error
            except (OSError, http.client.HTTPException) as error:
                reason = error.reason if isinstance(error, urllib.error.URLError) else error
                raise Undelivered(f"cannot be reached: {_LATE if watch.late else _reason(reason)}") from error
            with answer:
                if watch.late:  # what was cut off looks like an answer that is complete
                    raise Undelivered(f"cannot be reached: {_LATE}")
                return answer.status, answer.headers

    def _retry_after_s(self, headers: Message) -> float | None:
        """Seconds that an answer asks to wait: a number of them, or a date."""
        asked = headers.get("Retry-After")
        if asked is None:
            return None
        try:
            return float(asked) if asked.isdigit() else parsedate_to_datetime(asked).timestamp() - self.clock.wall()
        except (ValueError, OverflowError):
            return None


class _Watch:
    """Opens one address, and cuts the line when the whole takes too long, however steadily something trickles in."""

    def __init__(self, timeout_s: float) -> None:
        self.late = False
        self._lines: list[http.client.HTTPConnection] = []
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True
        self.opener = urllib.request.build_opener(_Http(self._lines), _Https(self._lines), _NoRedirects)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        self.late = True
        for line in self._lines:
            if line.sock is not None:
                with suppress(OSError):
                    socket.socket.shutdown(line.sock, socket.SHUT_RDWR)  # of TLS, too: whoever reads sees the end


class _Http(urllib.request.HTTPHandler):
    """Tells which lines it opened."""

    def __init__(self, lines: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._lines = lines

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._line, req)

    def _line(self, host: str, **options: Any) -> http.client.HTTPConnection:
        self._lines.append(http.client.HTTPConnection(host, **options))
        return self._lines[-1]


class _Https(urllib.request.HTTPSHandler):
    """The same with TLS, whose certificates are checked."""

    def __init__(self, lines: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._lines = lines

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._line, req)

    def _line(self, host: str, **options: Any) -> http.client.HTTPConnection:
        self._lines.append(http.client.HTTPSConnection(host, context=ssl.create_default_context(), **options))
        return self._lines[-1]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def signed(message_id: str, at_unix_s: int, body: bytes, key: bytes | None) -> dict[str, str]:
    """The headers of a message; without a key it has no signature."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"spillgate/{metadata.version('spillgate')}",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_unix_s),
    }
    if key is not None:
        mac = hmac.digest(key, b"%s.%d.%s" % (message_id.encode(), at_unix_s, body), hashlib.sha256)
        headers["webhook-signature"] = f"v1,{base64.b64encode(mac).decode()}"
    return headers


def _reason(error: object) -> str:
    """What went wrong, without what was sent or where."""
    if isinstance(error, TimeoutError):
        return _LATE
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
