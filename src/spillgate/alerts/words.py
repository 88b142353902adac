"""How a notice reads: a subject, a text for people, a document for programs. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from spillgate.alerts.notice import Kind, Notice
from spillgate.config import Policy
from spillgate.model import Level

Document = dict[str, object]

_BEFORE = {Kind.REMINDER: "still ", Kind.RECOVERED: "over: ", Kind.TEST: "test: "}


@dataclass(frozen=True, slots=True)
class Sender:
    """What every message says of where it comes from: the server, as people know it, and where its dashboard is."""

    name: str
    link: str | None = None

    @classmethod
    def of(cls, policy: Policy) -> "Sender":
        """That of a policy."""
        return cls(policy.alerts.name or _place(policy.server.url), policy.alerts.link)


def _place(url: str) -> str:
    """Where a server is, without who asks."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]


def trial(at_unix_s: float) -> Notice:
    """The notice by which people see whether alerts reach them."""
    return Notice(
        kind=Kind.TEST,
        key="test",
        severity=Level.NORMAL,
        peak=Level.CRITICAL,  # so that nobody is left out
        title="alerts reach you",
        message="This is only a test, sent by spillgate alerts test: nothing is wrong.",
        at_unix_s=at_unix_s,
        by_hand="Nothing.",
    )


def subject(notice: Notice, sender: Sender) -> str:
    """One line: where, how bad, what."""
    severity = ""
    if notice.kind in {Kind.FIRING, Kind.REMINDER}:
        severity = f"{notice.severity.label}: "
    return f"[{sender.name}] {_BEFORE.get(notice.kind, '')}{severity}{notice.title}"


def text(notice: Notice, sender: Sender) -> str:
    """The message: how bad, what the governor does, what to do, and where to look."""
    worse = f"It got worse, from {notice.was.label} to {notice.severity.label}. " if notice.was is not None else ""
    parts = [
        f"{worse}{notice.message}",
        f"What the governor does: {notice.governor}" if notice.governor else "",
        f"What to do: {notice.by_hand}" if notice.by_hand else "",
        f"{sender.link}" if sender.link else "",
    ]
    return "\n\n".join(filter(None, parts))


def document(notice: Notice, sender: Sender) -> Document:
    """The body of a webhook; docs/alerts.md has its fields."""
    return {
        "type": f"spillgate.alert.{notice.kind.value}",
        "timestamp": _utc(notice.at_unix_s),
        "data": {
            "server": sender.name,
            **_fields(notice),
            "subject": subject(notice, sender),
            "text": text(notice, sender),
            "link": sender.link,
            "items": [{"kind": item.kind.value, "at": _utc(item.at_unix_s), **_fields(item)} for item in notice.items],
        },
    }


def _fields(notice: Notice) -> Document:
    return {
        "key": notice.key,
        "severity": notice.severity.label,
        "peak": notice.peak.label,
        "was": None if notice.was is None else notice.was.label,
        "since": None if notice.since_unix_s is None else _utc(notice.since_unix_s),
        "title": notice.title,
        "message": notice.message,
        "governor": notice.governor or None,
        "by_hand": notice.by_hand or None,
    }


def _utc(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
