"""Receivers against real servers on loopback: HTTP, SMTP, and a verifier of signatures that is not ours."""

from __future__ import annotations

import builtins
import ssl
import time
from dataclasses import replace
from email import message_from_string
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from apprise.plugins import pagerduty
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from spillgate.alerts.delivery import Courier, Patience, Receiver, Undelivered
from spillgate.alerts.notice import Kind, Notice
from spillgate.alerts.receivers import receivers_of
from spillgate.alerts.words import trial
from spillgate.errors import ConfigError, MissingExtra
from spillgate.governor.clock import Clock
from spillgate.model import Level
from tests.alerting import Http, http_receiver, settings, smtp_receiver
from tests.servers import eventually

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator
    from pathlib import Path

    from spillgate.governor.history import Delivery

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached directly, whatever the machine says."""
    monkeypatch.setenv("NO_PROXY", "*")


def receiver(text: str, clock: Clock | None = None) -> Receiver:
    (one,) = receivers_of(settings(text), clock or Clock())
    return one


def webhook(url: str, more: str = "", clock: Clock | None = None) -> Receiver:
    return receiver(f'[[webhook]]\nname = "ops"\nurl = "{url}"\n{more}', clock)


def notify(*urls: str) -> Receiver:
    return receiver(f"[alerts]\nnotify = {list(urls)}")


def grave() -> Notice:
    return Notice(
        Kind.FIRING, "level", Level.EMERGENCY, Level.EMERGENCY, "Memory is at emergency", "22.5MB in use → grün.", 1e9
    )


def refused(one: Receiver) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        one.send(grave(), "msg_1")
    assert "hunter2" not in str(caught.value)
    return caught.value


# ---- webhooks


def test_a_webhook_is_signed_as_others_verify_it() -> None:
    with http_receiver() as server:
        webhook(f"{server.url}/hook?a=b", f'secret = "{SECRET}"').send(grave(), "msg_1")
    (got,) = server.got
    assert got.path == "/hook?a=b"
    body = Verifier(SECRET).verify(got.body, got.headers)
    assert (body["type"], body["data"]["message"]) == ("spillgate.alert.firing", "22.5MB in use → grün.")
    assert (got.headers["webhook-id"], got.headers["content-type"]) == ("msg_1", "application/json")
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(got.body.replace(b"22.5MB", b"1MB"), got.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier("whsec_" + "A" * 32).verify(got.body, got.headers)


def test_a_secret_may_be_any_text_and_none_means_no_signature() -> None:
    with http_receiver() as server:
        webhook(server.url, 'secret = "what we agreed on"').send(grave(), "msg_1")
        webhook(server.url).send(grave(), "msg_2")
    signed, plain = server.got
    Verifier(b"what we agreed on").verify(signed.body, signed.headers)
    assert "webhook-signature" not in plain.headers
    assert plain.headers["webhook-id"] == "msg_2"


@pytest.mark.parametrize(
    ("code", "final"),
    [
        (400, True),
        (401, True),
        (404, True),
        (410, True),
        (408, False),
        (425, False),
        (429, False),
        (500, False),
        (503, False),
    ],
)
def test_a_refusal_is_final_where_another_try_would_end_the_same(code: int, *, final: bool) -> None:
    with http_receiver(code) as server:
        error = refused(webhook(f"{server.url}/hunter2", 'secret = "hunter2"'))
    assert (str(error), error.final) == (f"answered {code}", final)


def test_a_redirect_is_not_followed() -> None:
    with http_receiver() as other, http_receiver((307, {"Location": other.url})) as server:
        error = refused(webhook(server.url))
    assert other.got == []
    assert error.final
    assert "redirects are not followed" in str(error)


@pytest.mark.parametrize(
    ("asked", "after_s"),
    [("120", 120.0), ("Sat, 31 Jan 2026 12:01:00 GMT", 60.0), ("soon", None), ("99999999999999999999", 1e20)],
)
def test_a_receiver_may_say_when_to_try_again(asked: str, after_s: float | None) -> None:
    clock = Clock(wall=lambda: 1_769_860_800.0)
    with http_receiver((429, {"Retry-After": asked})) as server:
        assert refused(webhook(server.url, clock=clock)).after_s == after_s


def test_nobody_there_is_told_without_the_address() -> None:
    with http_receiver() as server:
        url = server.url
    error = refused(webhook(f"{url}/hunter2"))
    assert (str(error), error.final) == ("cannot be reached: Connection refused", False)
    assert str(refused(webhook("http://nowhere.invalid/hunter2"))).startswith("cannot be reached: ")


def test_no_answer_in_time_is_a_failure() -> None:
    with http_receiver(hangs=True) as server:
        began_s = time.monotonic()
        assert str(refused(webhook(server.url, 'timeout = "200ms"'))) == "cannot be reached: no answer in time"
        assert time.monotonic() - began_s < 3.0


def test_an_answer_that_trickles_in_is_cut_off_in_time(trickling: str) -> None:
    began_s = time.monotonic()
    assert str(refused(webhook(trickling, 'timeout = "300ms"'))) == "cannot be reached: no answer in time"
    assert time.monotonic() - began_s < 3.0


@pytest.fixture
def trickling() -> Generator[str]:
    """A server that sends a byte of a header every 50 ms, for ever."""
    import socket  # noqa: PLC0415 - nobody else here needs them
    import threading  # noqa: PLC0415 - the same

    listener = socket.create_server(("127.0.0.1", 0))
    ending = threading.Event()

    def serve() -> None:
        line, _ = listener.accept()
        with line:
            line.recv(65536)
            line.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not ending.wait(0.05):
                try:
                    line.sendall(b"x")
                except OSError:
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    ending.set()
    thread.join()
    listener.close()


def test_one_server_that_hangs_does_not_hold_up_another() -> None:
    log: list[Delivery] = []
    with http_receiver(hangs=True) as slow, http_receiver() as quick:
        policy = settings(
            f'[[webhook]]\nname = "slow"\nurl = "{slow.url}"\n[[webhook]]\nname = "quick"\nurl = "{quick.url}"'
        )
        courier = Courier(receivers_of(policy, Clock()), log.append, Clock())
        began_s = time.monotonic()
        for _ in range(50):
            courier.send(trial(1.0))
        assert time.monotonic() - began_s < 0.5
        assert eventually(lambda: len(quick.got) == 50)
        assert eventually(lambda: slow.got)
        assert eventually(lambda: len(log) == 50)
        assert {one.receiver for one in log} == {"quick"}
        lost = courier.stop(0.2)
        assert time.monotonic() - began_s < 10.0
    assert len(lost) == 50
    assert {one.status for one in log if one.receiver == "slow"} == {"dropped"}


def test_each_try_is_signed_anew_under_the_same_id() -> None:
    log: list[Delivery] = []
    tried: list[float] = []
    clock = Clock(wall=lambda: time.time() - 100 + 50 * len(tried))

    def pause(_: threading.Event, seconds: float) -> None:
        tried.append(seconds)

    with http_receiver(503, (429, {"Retry-After": "77"})) as server:
        receivers = receivers_of(
            settings(f'[[webhook]]\nname = "ops"\nurl = "{server.url}"\nsecret = "{SECRET}"'), clock
        )
        courier = Courier(receivers, log.append, clock, Patience(pause=pause))
        courier.send(grave())
        assert eventually(lambda: log)
        courier.stop(5)
    assert [(one.status, one.attempts) for one in log] == [("delivered", 3)]
    assert len({got.headers["webhook-id"] for got in server.got}) == 1
    assert len({got.headers["webhook-timestamp"] for got in server.got}) == 3
    assert tried[1] == 77.0
    for got in server.got:
        Verifier(SECRET).verify(got.body, got.headers)


def test_over_tls_the_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with http_receiver(tls=context) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        assert "certificate verify failed" in str(refused(webhook(url)))
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        webhook(url, f'secret = "{SECRET}"').send(grave(), "msg_1")
        assert "certificate verify failed" in str(refused(webhook(server.url)))  # issued to another name
    (got,) = server.got
    Verifier(SECRET).verify(got.body, got.headers)


# ---- through apprise


def test_apprise_posts_to_a_json_receiver() -> None:
    with http_receiver() as server:
        notify(json_url(server, "/hunter2")).send(grave(), "msg_1")
    (got,) = server.got
    assert (got.path, got.json["title"]) == ("/hunter2", "[127.0.0.1:6379] emergency: Memory is at emergency")
    assert (got.json["message"], got.json["type"]) == ("22.5MB in use → grün.", "failure")


def json_url(server: Http, path: str = "") -> str:
    return server.url.replace("http://", "json://me:hunter2@") + path


def test_apprise_sends_mail() -> None:
    with smtp_receiver() as (port, taken):
        notify(f"mailto://127.0.0.1:{port}/?from=spillgate@example.org&to=ops@example.org").send(grave(), "msg_1")
    (mail,) = map(message_from_string, taken)
    assert mail["To"] == "ops@example.org"
    assert "spillgate@example.org" in mail["From"]
    assert "emergency: Memory is at emergency" in mail["Subject"]
    assert "22.5MB in use" in taken[0]


@pytest.mark.parametrize("code", [401, 500])
def test_what_apprise_cannot_deliver_is_told_with_its_reason_and_without_secrets(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    with http_receiver(code) as server:
        one = notify(json_url(server, "/hunter2"))
        error = refused(one)
    assert f"error={code}" in str(error)
    assert not error.final
    assert caplog.text == ""
    assert "hunter2" not in repr(one)


@pytest.mark.parametrize("own", ["", "?region=us", "?dedup=ours&action=trigger"])
def test_pagerduty_closes_the_incident_that_it_opened(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    begun = grave()
    over = replace(begun, kind=Kind.RECOVERED)
    both = replace(begun, kind=Kind.DIGEST, key="digest", items=(replace(begun, key="other"), over))
    with http_receiver(202, 202, 202, 202) as server:
        monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, pagerduty.PagerDutyRegion.US, server.url)
        one = notify(f"pagerduty://{'a' * 32}@{'b' * 20}{own}")
        for said in (begun, over, both):
            one.send(said, "msg_1")
    events = [(got.json["event_action"], got.json["dedup_key"]) for got in server.got]
    if "dedup" in own:
        assert events == [("trigger", "ours")] * 4
        return
    assert [action for action, _ in events] == ["trigger", "resolve", "trigger", "resolve"]
    assert events[0][1] == events[1][1] == events[3][1] != events[2][1]


def test_apprise_follows_no_redirect() -> None:
    with http_receiver() as other, http_receiver((307, {"Location": other.url})) as server:
        refused(notify(json_url(server)))
    assert other.got == []


def test_a_service_that_does_not_exist_is_refused_without_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError) as caught:
        notify("slak://hunter2/hunter2/hunter2")
    assert str(caught.value) == (
        "alerts.notify: apprise does not take slak://***: it knows no such service, or a part of the URL is missing"
    )
    with pytest.raises(ConfigError):
        notify("slack://hunter2")
    assert "hunter2" not in caplog.text


def test_several_of_a_kind_are_numbered() -> None:
    policy = settings('notify = ["json://a", "json://b", "xml://c"]')
    assert [(one.name, one.kind) for one in receivers_of(policy, Clock())] == [
        ("json", "json"),
        ("json-2", "json"),
        ("xml", "xml"),
    ]


def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "apprise":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'spillgate\[alerts\]'"):
        notify("json://127.0.0.1")


def test_a_variable_that_is_not_set_is_told_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^alerts.notify: names the environment variable SLACK, which is not set$"):
        notify("env:SLACK")
    with pytest.raises(ConfigError, match=r'^webhook "ops": names the environment variable HOOK, which is not set$'):
        webhook("env:HOOK")
