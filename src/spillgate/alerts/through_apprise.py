"""Slack, e-mail, Discord, PagerDuty and everything else that apprise knows, by its URLs (the extra ``alerts``)."""

import hashlib
import logging
import re
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

from spillgate.alerts.delivery import Undelivered
from spillgate.alerts.notice import Kind, Notice
from spillgate.alerts.words import Sender, subject, text
from spillgate.config import Secret
from spillgate.errors import MASK, ConfigError, MissingExtra
from spillgate.model import Level

_LEAST_SECRET = 4
_INCIDENTS = "pagerduty"  # it triggers an incident, and another for what is over, unless its URL says which
_BETWEEN = re.compile(r"[:/?&=@,;#\s]+")


@dataclass(frozen=True, slots=True)
class Service:
    """One URL of apprise. How long it may take says the URL (``cto``, ``rto``; 4 s each unless told)."""

    name: str
    kind: str
    address: str
    sender: Sender
    url: str = field(repr=False)
    service: Any = field(repr=False, compare=False)
    min_level: Level = Level.WARNING

    @classmethod
    def of(cls, url: Secret, name: str, kind: str, sender: Sender) -> "Service":
        """That of a URL of the policy.

        Raises:
            ConfigError: it stands in a variable that is not set, or apprise does not take it.
            MissingExtra: apprise is not installed.
        """
        text = url.reveal()
        service, taken = _opened(text)
        if not taken:
            raise ConfigError(
                f"apprise does not take {url.address}: it knows no such service, or a part of the URL is missing"
            )
        return cls(name, kind, url.address, sender, text, service)

    def send(self, notice: Notice, message_id: str) -> None:  # noqa: ARG002 - services have no place for it
        """Hand it to the service.

        Raises:
            Undelivered: the service did not take it.
        """
        if self.kind != _INCIDENTS:
            self._hand(self.service, notice)
            return
        for one in notice.items or (notice,):  # each opens, and closes, an incident of its own
            service, _ = _opened(self._incident(one.key))
            self._hand(service, one)

    def _hand(self, service: Any, notice: Notice) -> None:
        with _heard() as said:
            taken = service.notify(
                body=text(notice, self.sender),
                title=subject(notice, self.sender),
                notify_type=_type(notice),
                body_format="text",
            )
        if not taken:
            raise Undelivered(self._masked(said[-1]) if said else "apprise does not say why")

    def _incident(self, key: str) -> str:
        """The URL for what is told of one key: what is over closes what it opened, unless the URL says otherwise."""
        ours = {"action": "map", "dedup": hashlib.sha256(f"{self.sender.name}\n{key}".encode()).hexdigest()}
        query = self.url.partition("?")[2]
        more = urlencode({name: value for name, value in ours.items() if name not in parse_qs(query)})
        return f"{self.url}{'&' if query else '' if self.url.endswith('?') else '?'}{more}"

    def _masked(self, line: str) -> str:
        """A line of apprise's log without any part of the URL: which of them are secrets, only the service knows."""
        parts = {*_BETWEEN.split(self.url), *map(unquote, _BETWEEN.split(self.url))}
        for part in sorted(parts - {self.kind}, key=len, reverse=True):
            if len(part) >= _LEAST_SECRET:
                line = line.replace(part, MASK)
        return line


def _opened(url: str) -> tuple[Any, bool]:
    """Apprise with one URL alone, and whether it takes that; it follows no redirect and keeps nothing on disk.

    Raises:
        MissingExtra: apprise is not installed.
    """
    with _heard(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its services are loaded late, some with old modules
        try:
            import apprise  # noqa: PLC0415 - an extra, and heavy: only who names a URL pays for it
        except ModuleNotFoundError as error:
            raise MissingExtra("alerts") from error
        asset = apprise.AppriseAsset(
            app_id="Spillgate",
            app_desc="Spillgate",
            async_mode=False,
            http_redirects=False,
            service_timeout=0,  # else it takes a thread that holds up the end of the process
            storage_mode="memory",
        )
        service: Any = apprise.Apprise(asset=asset)  # whose methods take anything
        return service, bool(service.add(url))


def _type(notice: Notice) -> str:
    """What apprise calls it; services colour by it."""
    if notice.kind is Kind.TEST:
        return "info"
    if notice.kind is Kind.RECOVERED or not notice.severity:
        return "success"
    return "failure" if notice.severity >= Level.EMERGENCY else "warning"


@contextmanager
def _heard() -> Generator[list[str]]:
    """What apprise says in this thread, which goes nowhere else: it quotes what it cannot use, secrets too."""
    said: list[str] = []
    ours = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread != ours:
            return True
        if record.levelno >= logging.WARNING:
            said.append(" ".join(record.getMessage().split()))
        return False

    logger = logging.getLogger("apprise")
    logger.addFilter(keep)
    try:
        yield said
    finally:
        logger.removeFilter(keep)
