"""Reading what a running governor knows: that costs the Redis server nothing."""

import base64
import time
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import msgspec

from spillgate.cli.top.looks import Past
from spillgate.cli.top.seen import UNREACHABLE, Seen, seen_in
from spillgate.errors import ConfigError, mask_url
from spillgate.web.views import Document

_TIMEOUT_S = 5.0
_FIRST_ENTRIES, _MOST_ENTRIES = 20, 100
_FINE = 200
_TRANSPORTS = {"http": HTTPConnection, "https": HTTPSConnection}


class _NoGovernorError(Exception):
    """Something answers, but not as a governor does."""


class Remote:
    """The governor whose pages are served at ``url``."""

    def __init__(self, url: str) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            ConfigError: it is no such URL.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in _TRANSPORTS or not parts.hostname or port == 0:
            message = f'expected the address of a running governor such as "http://127.0.0.1:3000", got {mask_url(url)}'
            raise ConfigError(message, source="command line", key="--from")
        self._url = mask_url(url)
        self._transport = _TRANSPORTS[parts.scheme]
        self._host, self._port = parts.hostname, port
        self._path = parts.path.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        self._past: list[tuple[float, int | None]] = []
        self._latest: Document | None = None
        self._latest_at_s = 0.0
        self._last_number: int | None = None

    @property
    def past(self) -> Past:
        """The last hour."""
        return self._past

    def pause_s(self, interval_s: float) -> float:
        """As wanted: no command is sent to the server."""
        return interval_s

    def close(self) -> None:
        """Each look has a connection of its own."""

    def look(self, interval_s: float) -> Document:  # noqa: ARG002 - how often makes no difference here
        """What the governor knows now, with the entries of its journal since the last look under ``journal``.

        Raises:
            ConfigError: something else is served there; only while no governor has answered yet.
        """
        try:
            document = self._answers()
        except _NoGovernorError as error:
            if self._latest is None:
                raise ConfigError(f"{self._url}: {error}", source="command line", key="--from") from error
            return self._failed(error)
        except (OSError, HTTPException) as error:
            return self._failed(error)
        self._latest, self._latest_at_s = document, time.monotonic()
        return document

    def _answers(self) -> Document:
        document = self._get("/api/state")
        try:
            seen_in(document)
        except msgspec.ValidationError as error:
            message = f"GET /api/state answers, but not as a governor of this version does: {error}"
            raise _NoGovernorError(message) from error
        if self._last_number is None:
            self._past = _past(self._get("/api/history?span=hour"), cast("float", document.get("now", 0.0)))
            journal = self._get(f"/api/journal?limit={_FIRST_ENTRIES}")
        else:
            journal = self._get(f"/api/journal?limit={_MOST_ENTRIES}&after={self._last_number}")
        entries = cast("list[dict[str, Any]]", journal.get("entries", []))
        numbers = [cast("int", entry["number"]) for entry in entries]
        self._last_number = max(numbers, default=self._last_number or 0)
        return document | {"journal": entries[::-1]}

    def _get(self, path: str) -> Document:
        with closing(self._transport(self._host, self._port, timeout=_TIMEOUT_S)) as connection:
            connection.request("GET", self._path + path, headers=self._headers)
            response = connection.getresponse()
            body = response.read()
        if response.status != _FINE:
            raise _NoGovernorError(f"GET {path} is answered with {response.status} {response.reason}")
        try:
            return msgspec.json.decode(body, type=dict[str, object])
        except msgspec.MsgspecError as error:
            raise _NoGovernorError(f"GET {path} is answered with something else than JSON") from error

    def _failed(self, error: Exception) -> Document:
        """What was known last, older by now."""
        known: Document = self._latest or {"url": self._url, "level": Seen("", "").level, "age_s": None}
        age_s = cast("float | None", known.get("age_s"))
        silent_s = time.monotonic() - self._latest_at_s
        failure: Document = {
            "status": UNREACHABLE,
            "error": f"the governor at {self._url} does not answer: {error}",
            "age_s": None if age_s is None else round(age_s + silent_s, 3),
            "journal": (),
        }
        return known | failure


def _past(history: Mapping[str, object], now_s: float) -> list[tuple[float, int | None]]:
    """The columns of a history as ages and bytes."""
    columns = cast("dict[str, list[Any]]", history.get("columns", {}))
    pairs = zip(columns.get("at", []), columns.get("high", columns.get("used", [])), strict=False)
    return [(max(0.0, now_s - at), used) for at, used in pairs]
