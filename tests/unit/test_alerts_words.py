"""How notices read, and what is known of them after a restart."""

from __future__ import annotations

import json
from dataclasses import replace

from spillgate.alerts.notice import Kind, Moment, Notice
from spillgate.alerts.restoring import restored
from spillgate.alerts.words import Sender, document, subject, text, trial
from spillgate.governor.history import Delivery
from spillgate.model import Level
from tests.alerting import START_S, Engine, condition, settings

SENDER = Sender("cache-1", "https://spillgate.example.org/")
NOTICE = Notice(
    kind=Kind.FIRING,
    key="level",
    severity=Level.EMERGENCY,
    peak=Level.EMERGENCY,
    title="Memory is at emergency",
    message="22.5MB of 25MB (90%) in use.",
    at_unix_s=START_S,
    governor="It deletes.",
    by_hand="Look.",
    since_unix_s=START_S - 60,
    was=Level.PREVENTIVE,
)


def test_a_subject_says_where_how_bad_and_what() -> None:
    assert subject(NOTICE, SENDER) == "[cache-1] emergency: Memory is at emergency"
    assert subject(replace(NOTICE, kind=Kind.REMINDER), SENDER) == "[cache-1] still emergency: Memory is at emergency"
    assert subject(replace(NOTICE, kind=Kind.RECOVERED), SENDER) == "[cache-1] over: Memory is at emergency"
    assert subject(trial(START_S), SENDER) == "[cache-1] test: alerts reach you"


def test_a_text_says_what_happens_what_to_do_and_where_to_look() -> None:
    assert text(NOTICE, SENDER) == (
        "It got worse, from preventive to emergency. 22.5MB of 25MB (90%) in use.\n\n"
        "What the governor does: It deletes.\n\n"
        "What to do: Look.\n\n"
        "https://spillgate.example.org/"
    )
    plain = replace(NOTICE, governor="", by_hand="", was=None)
    assert text(plain, Sender("cache-1")) == "22.5MB of 25MB (90%) in use."


def test_the_document_is_the_one_that_is_documented() -> None:
    assert document(NOTICE, SENDER) == {
        "type": "spillgate.alert.firing",
        "timestamp": "2026-01-31T12:00:00Z",
        "data": {
            "server": "cache-1",
            "key": "level",
            "severity": "emergency",
            "peak": "emergency",
            "was": "preventive",
            "since": "2026-01-31T11:59:00Z",
            "title": "Memory is at emergency",
            "message": "22.5MB of 25MB (90%) in use.",
            "governor": "It deletes.",
            "by_hand": "Look.",
            "subject": "[cache-1] emergency: Memory is at emergency",
            "text": text(NOTICE, SENDER),
            "link": "https://spillgate.example.org/",
            "items": [],
        },
    }


def test_a_digest_has_all_its_items() -> None:
    engine = Engine()
    engine.sees(*(condition(f"k{number}") for number in range(7)))
    (digest,) = engine.said
    sent = json.loads(json.dumps(document(digest, SENDER)))
    assert [one["key"] for one in sent["data"]["items"]] == [f"k{number}" for number in range(7)]
    assert {one["kind"] for one in sent["data"]["items"]} == {"firing"}
    assert sent["data"]["message"].splitlines()[0] == "- firing: Title of k0. Message of k0."


def test_a_server_is_called_by_its_name_else_by_its_place_without_who_asks() -> None:
    assert Sender.of(settings('name = "production"')) == Sender("production")
    assert Sender.of(settings('[server]\nurl = "rediss://me:pw@h.example.org:6380/1"')).name == "h.example.org:6380"
    assert Sender.of(settings('[server]\nurl = "unix:///run/redis.sock?password=x"')).name == "/run/redis.sock"


# ---- after a restart


def log(*lines: tuple[float, str, str] | tuple[float, str, str, str]) -> list[Delivery]:
    """Deliveries so many seconds ago, newest first as the history gives them."""
    return [
        Delivery(START_S - ago_s, rest[0] if rest else "chat", key, kind, "delivered", 1)
        for ago_s, key, kind, *rest in lines
    ]


def again(*lines: tuple[float, str, str] | tuple[float, str, str, str], text: str = "") -> Engine:
    """An engine that goes on after these."""
    engine = Engine(text)
    engine.memory = restored(log(*lines), engine.at)
    return engine


def test_what_was_told_before_a_restart_is_not_told_again() -> None:
    engine = again((600, "finding:x", "firing"))
    assert engine.memory.active == ()  # until it is seen
    assert engine.sees(condition("finding:x")) == []
    assert [one.key for one in engine.memory.active] == ["finding:x"]
    assert engine.lasts(3100, condition("finding:x"), every_s=50) == [(3000.0, "reminder", "finding:x")]


def test_reminders_go_on_where_they_were() -> None:
    engine = again((600, "finding:x", "reminder"), (4200, "finding:x", "firing"))
    told = engine.lasts(7200, condition("finding:x"), every_s=60)
    assert told == [(6600.0, "reminder", "finding:x")]
    assert "after 3h" in engine.said[0].message


def test_what_is_grave_is_told_again() -> None:
    assert again((600, "level", "firing")).sees(condition(severity=Level.CRITICAL)) == [("firing", "level")]


def test_what_got_worse_after_it_was_seen_again_is_told() -> None:
    engine = again((600, "level", "firing"))
    engine.sees(condition(severity=Level.PREVENTIVE))
    assert engine.sees(condition(severity=Level.EMERGENCY)) == [("firing", "level")]


def test_what_ended_meanwhile_is_told_to_be_over() -> None:
    engine = again((600, "level", "firing"), (700, "forecast", "recovered"), (900, "forecast", "firing"))
    assert engine.lasts(600) == [(120.0, "recovered", "level")]
    over = engine.said[0]
    assert over.message == "Over; the governor was restarted since it was told. All is well."
    assert (over.title, over.peak) == ("Memory is near its limit", Level.CRITICAL)


def test_what_nobody_can_tell_yet_is_not_over() -> None:
    engine = again((600, "finding:no-ttl: x", "firing"))
    for _ in range(60):
        engine.turn(10)
        assert engine.sees(unknown=("finding:",)) == []
    assert engine.lasts(130)[0][1:] == ("recovered", "finding:no-ttl: x")
    assert engine.said[0].title == "Finding no-ttl: x"


def test_the_rate_is_kept_over_restarts() -> None:
    told = [(60.0 * number, f"k{number}", "firing") for number in range(1, 5)]
    engine = again(*told, *((at, key, kind, "pager") for at, key, kind in told), text="rate = 4")
    assert engine.sees(condition("new", Level.CRITICAL)) == []
    assert len(engine.memory.sent_s) == 4


def test_what_did_not_arrive_or_is_old_was_not_told() -> None:
    lost = Delivery(START_S - 60, "chat", "a", "firing", "failed", 6, "answered 500")
    old = Delivery(START_S - 30 * 86_400, "chat", "b", "firing", "delivered", 1)
    other = Delivery(START_S - 60, "chat", "test", "test", "delivered", 1)
    assert dict(restored([lost, old, other], Moment(0.0, START_S)).tracked) == {}
