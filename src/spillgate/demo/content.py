"""Values as the platform would write them: text of the right size and shape, made up anew for each run."""

import random
from typing import Any

import msgspec

_VOCABULARY = (
    "about after again agree all answer any ask at back because before board budget build but by call can change "
    "channel check client close comment cost could customer daily data date deadline decide delay deliver design "
    "detail do done draft each early email enough every example expect feature feedback figure file final find first "
    "fix follow for forward from get give go good group have help here hold hour how idea if in invoice issue it item "
    "join just keep know last late later leave less let like list long look lunch make many market meet meeting "
    "message minute Monday more morning move much need new next no note now number of offer office on one only open "
    "or order other our out page part pay people phone plan please point price problem product project question quick "
    "quite read ready reason release reply report result review right room sale same say schedule see send share "
    "should sign since small some soon start status still stop summary support sure take talk task team test than "
    "thank that the them then there they think this time to today together tomorrow tool top try two under until up "
    "update use user version very wait want was way we week well what when where which who why will with without word "
    "work would write year yes yet you"
)
_STATES = ("open", "assigned", "in progress", "review", "done")
_PAGES = ("inbox", "board", "calendar", "voice", "search", "settings")
_POOL = 64
# Bytes of text in a value; the fields around it add some sixty.
_MESSAGE_TEXT = (240, 840)
_TRANSCRIPT_TEXT = (4_000, 12_000)
_CONTEXT_TEXT = (300, 1_200)
_NOTE_TEXT = (200, 700)


class Content:
    """Makes values. Texts are drawn from pools written once, so that making one costs microseconds."""

    def __init__(self, rng: random.Random) -> None:
        """Write the pools with ``rng``."""
        self._rng = rng
        self._words = _VOCABULARY.split()
        self._messages, self._transcripts, self._turns, self._notes = (
            [self._prose(rng.randint(*sizes)) for _ in range(_POOL)]
            for sizes in (_MESSAGE_TEXT, _TRANSCRIPT_TEXT, _CONTEXT_TEXT, _NOTE_TEXT)
        )

    def value(self, namespace: str, number: int) -> bytes:
        """The ``number``-th value of ``namespace``, as JSON."""
        return msgspec.json.encode(self._fields(namespace, number))

    def _fields(self, namespace: str, number: int) -> dict[str, Any]:
        make = {
            "messages": self._message,
            "sessions": self._session,
            "tasks": self._task,
            "channels": self._channel,
            "users": self._user,
            "voice": self._transcript,
            "ai-context": self._context,
            "analytics": self._event,
        }
        return make[namespace](number)

    def _prose(self, size: int) -> str:
        """About ``size`` bytes of sentences."""
        text = ""
        while len(text) < size:
            sentence = " ".join(self._rng.choices(self._words, k=self._rng.randint(5, 14)))
            text += f"{sentence.capitalize()}. "
        return text[:size]

    def _pick(self, texts: list[str]) -> str:
        return texts[int(self._rng.random() * len(texts))]

    def _someone(self) -> str:
        return f"u{int(self._rng.random() * 600)}"

    def _message(self, number: int) -> dict[str, Any]:
        return {"id": number, "channel": f"c{number % 40}", "from": self._someone(), "text": self._pick(self._messages)}

    def _session(self, number: int) -> dict[str, Any]:
        token = f"{self._rng.getrandbits(128):032x}"
        device = {"name": "browser", "language": "en", "zone": "UTC"}
        return {"user": f"u{number % 600}", "token": token, "device": device, "draft": self._pick(self._notes)}

    def _task(self, number: int) -> dict[str, Any]:
        title = self._pick(self._messages)[:60]
        state = self._rng.choice(_STATES)
        return {
            "id": number,
            "title": title,
            "state": state,
            "owner": self._someone(),
            "notes": self._pick(self._notes),
        }

    def _channel(self, number: int) -> dict[str, Any]:
        members = [self._someone() for _ in range(self._rng.randint(10, 80))]
        return {"id": number, "topic": self._pick(self._notes), "members": members}

    def _user(self, number: int) -> dict[str, Any]:
        settings = {"theme": "dark", "sounds": True, "digest": "daily", "zone": "UTC"}
        return {"id": number, "email": f"u{number}@example.org", "settings": settings, "about": self._pick(self._notes)}

    def _transcript(self, number: int) -> dict[str, Any]:
        return {"id": number, "by": self._someone(), "language": "en", "text": self._pick(self._transcripts)}

    def _context(self, number: int) -> dict[str, Any]:
        turns = [{"role": role, "text": self._pick(self._turns)} for role in ("user", "assistant") * 3]
        return {"conversation": number, "turns": turns}

    def _event(self, number: int) -> dict[str, Any]:
        page = self._rng.choice(_PAGES)
        timing = {"load_ms": int(self._rng.random() * 900), "idle_s": int(self._rng.random() * 300)}
        return {"id": number, "user": self._someone(), "page": page, "timing": timing, "trail": list(_PAGES) * 3}
