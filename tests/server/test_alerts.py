"""Alerts beside a real governor of a real server, to a real receiver."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest
import redis
from standardwebhooks.webhooks import Webhook as Verifier

from spillgate.alerts.alerts import Alerts
from spillgate.checkup import Checkup
from spillgate.errors import ConfigError, LimitUnknown
from spillgate.governor.history import History
from spillgate.governor.loop import Governor
from tests.alerting import Http, http_receiver
from tests.governing import LIMIT, NAMESPACES, HandClock, fill, fill_to, policy_of
from tests.servers import Server, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spillgate.config import Policy

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PROTECTED = '[[namespace]]\nname = "tasks"\nkeys = "app:tasks:*"\n'
PURE = '[[namespace]]\nname = "all"\nkeys = "*"\nttl = "30m"\ncleanup = "trim"\npriority = 1\n'


@dataclass
class Watched:
    """A governor with alerts, whose cycles and looks the test calls itself."""

    clock: HandClock
    governor: Governor
    history: History
    alerts: Alerts
    receiver: Http

    def look(self, seconds: float = 2.0) -> list[str]:
        """A cycle, some time, a look; the kinds and keys of what arrived since the last."""
        before = len(self.receiver.got)
        logged = len(self.history.deliveries())
        self.governor.cycle()
        self.clock.turn(seconds)
        self.alerts.look()
        assert eventually(lambda: not any(one.waiting for one in self.alerts.receivers))
        assert eventually(lambda: len(self.history.deliveries()) - logged == len(self.receiver.got) - before)
        return [
            f"{got.json['type'].rpartition('.')[2]} {got.json['data']['key']}" for got in self.receiver.got[before:]
        ]

    def until(self, wanted: str, seconds: float = 5.0) -> dict[str, object]:
        """Look until this arrives; its data."""
        for _ in range(60):
            if wanted in self.look(seconds):
                return next(
                    got.json["data"] for got in reversed(self.receiver.got) if got.json["data"]["key"] in wanted
                )
        pytest.fail(f"{wanted} never came, but {[got.json['data']['subject'] for got in self.receiver.got]}")


class Watch(Protocol):
    """Makes a governor of a server with `LIMIT`, and alerts beside it."""

    def __call__(
        self, server: Server, *, alerts: str = "", namespaces: str = NAMESPACES, limit: str = f"limit = {LIMIT}"
    ) -> Watched:
        """Make it."""
        ...


def with_alerts(server: Server, receiver: Http, alerts: str = "", **rest: str) -> Policy:
    tables = f'[alerts]\n{alerts}\n[[webhook]]\nname = "ops"\nurl = "{receiver.url}"\nsecret = "{SECRET}"'
    limit = rest.get("limit", f"limit = {LIMIT}")
    return policy_of(server.url, server=limit, tables=tables, namespaces=rest.get("namespaces", NAMESPACES))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def watch() -> Iterator[Watch]:
    with ExitStack() as stack:

        def make(
            server: Server, *, alerts: str = "", namespaces: str = NAMESPACES, limit: str = f"limit = {LIMIT}"
        ) -> Watched:
            receiver = stack.enter_context(http_receiver())
            policy = with_alerts(server, receiver, alerts, namespaces=namespaces, limit=limit)
            clock = HandClock(wall_s=time.time())  # a verifier of signatures asks for the real time
            history = History(wall_clock=clock.clock.wall)
            stack.callback(history.stop)
            governor = Governor(policy, clock=clock.clock, seed=1, history=history)
            stack.callback(governor.close)
            made = Alerts(policy, governor, history)
            stack.callback(made.stop)
            return Watched(clock, governor, history, made, receiver)

        yield make


def test_a_level_is_told_and_its_end_and_both_are_signed_and_logged(valkey: Server, watch: Watch) -> None:
    client = valkey.client()
    watched = watch(valkey, namespaces=PROTECTED, alerts='hold = "20s"')
    assert watched.look() == []
    fill_to(client, 0.83, "app:tasks:", None)
    data = watched.until("firing level")
    assert (data["severity"], data["server"]) == ("preventive", valkey.url.partition("://")[2].partition("/")[0])
    assert "of 8MB" in str(data["message"])
    assert [one.key for one in watched.alerts.active] == ["level"]
    fill_to(client, 0.9, "app:tasks:more:", None)
    data = watched.until("firing level")
    assert (data["severity"], data["was"]) == ("emergency", "preventive")
    assert data["governor"] == (
        "It drops what has expired. Nothing else: no namespace has a cleanup, so every key is protected."
    )
    client.flushdb()
    assert "level normal" in str(watched.until("recovered level")["message"])
    assert watched.alerts.active == ()
    for got in watched.receiver.got:
        Verifier(SECRET).verify(got.body, got.headers)
    logged = [(one.key, one.kind, one.status, one.attempts) for one in watched.history.deliveries()]
    assert logged[0] == ("level", "recovered", "delivered", 1)
    assert logged[-1] == ("level", "firing", "delivered", 1)
    assert watched.alerts.receivers[0].failing is False


def test_when_nothing_is_left_and_writes_are_refused_both_are_told(valkey: Server, watch: Watch) -> None:
    client = valkey.client()
    watched = watch(valkey, namespaces=PROTECTED + NAMESPACES.partition('[[namespace]]\nname = "sessions"')[0])
    fill_to(client, 0.95, "app:tasks:", None)
    data = watched.until("firing exhausted")
    assert "nothing is left that the policy lets go" in str(data["message"]).lower()
    client.config_set("maxmemory", LIMIT)
    with suppress(redis.ResponseError):
        fill(client, "app:tasks:even:", 500, 3000, None)
    with pytest.raises(redis.ResponseError):
        client.set("app:tasks:last", b"x" * 100_000)
    data = watched.until("firing refused")
    assert data["severity"] == "critical"
    assert "(noeviction)" in str(data["message"])


def test_evictions_that_may_hit_protected_keys_are_told(valkey: Server, watch: Watch) -> None:
    client = valkey.client()
    client.config_set("maxmemory", LIMIT)
    client.config_set("maxmemory-policy", "allkeys-random")
    fill(client, "app:tasks:", 10, 100, None)
    watched = watch(valkey)
    watched.look()
    fill(client, "app:messages:", 4000, 3000)
    data = watched.until("firing evicted")
    assert data["severity"] == "critical"
    assert "tasks" in str(data["message"])


def test_evictions_of_a_pure_cache_are_not(valkey: Server, watch: Watch) -> None:
    client = valkey.client()
    client.config_set("maxmemory", LIMIT)
    client.config_set("maxmemory-policy", "allkeys-lru")
    watched = watch(valkey, namespaces=PURE)
    watched.look()
    fill(client, "pages:", 4000, 3000)
    assert watched.governor.state.reading is not None
    for _ in range(10):
        assert "firing evicted" not in watched.look()
    assert (watched.governor.state.reading.evicted_keys or 0) > 0


def test_a_server_that_is_gone_is_told_after_the_grace_and_its_return(valkey: Server, watch: Watch) -> None:
    watched = watch(valkey, alerts='grace = "30s"')
    watched.look()
    valkey.kill()
    assert watched.look(10.0) == []
    data = watched.until("firing unreadable", 10.0)
    assert "Connection refused" in str(data["message"])
    assert watched.look() == []
    valkey.restart()
    watched.until("recovered unreadable", 30.0)


def test_what_the_doctor_finds_is_told(valkey: Server) -> None:
    client = valkey.client()
    client.config_set("maxmemory", LIMIT)
    client.config_set("maxmemory-policy", "allkeys-lru")
    for number in range(200):
        client.rpush(f"bull:mail:{number}", "x" * 200)
    with http_receiver() as receiver, History() as history:
        policy = with_alerts(valkey, receiver)
        with (
            Governor(policy, history=history) as governor,
            Checkup(governor, first_s=0.1) as checkup,
            Alerts(policy, governor, history, checkup) as alerts,
        ):
            assert eventually(lambda: checkup.latest is not None, 20.0)
            governor.journal.write(next(iter(governor.journal.entries())).event, "normal", "wake")
            assert eventually(lambda: receiver.got, 20.0)
            assert any(one.key.startswith("finding:") for one in alerts.active)


def test_alerts_run_beside_a_governor_by_themselves(valkey: Server) -> None:
    client = valkey.client()
    with http_receiver() as receiver, History() as history:
        policy = with_alerts(valkey, receiver, 'hold = "0s"', namespaces=PROTECTED)
        with Governor(policy, history=history) as governor, Alerts(policy, governor, history) as alerts:
            assert eventually(lambda: governor.state.reading)
            fill_to(client, 0.9, "app:tasks:", None)
            governor.wake()
            assert eventually(lambda: receiver.got, 5.0)
            assert receiver.got[0].json["data"]["key"] in {"level", "exhausted"}
            assert eventually(lambda: any(one.key == "level" for one in alerts.active))
        began_s = time.monotonic()
        alerts.stop()
        assert time.monotonic() - began_s < 1.0
    with pytest.raises(RuntimeError):
        alerts.start()


def test_a_receiver_that_hangs_holds_up_neither_the_governor_nor_the_alerts(valkey: Server) -> None:
    client = valkey.client()
    with http_receiver(hangs=True) as receiver, History() as history:
        policy = with_alerts(valkey, receiver, namespaces=PROTECTED)
        with Governor(policy, history=history) as governor:
            alerts = Alerts(policy, governor, history)
            alerts.start()
            assert eventually(lambda: governor.state.reading)
            fill_to(client, 0.9, "app:tasks:", None)
            governor.wake()
            assert eventually(lambda: receiver.got)
            readings = governor.state.readings
            assert eventually(lambda: governor.state.readings > readings + 3, 10.0)
            began_s = time.monotonic()
            for _ in range(20):
                alerts.look()
            assert time.monotonic() - began_s < 1.0
            lost = alerts.stop(0.3)
            assert time.monotonic() - began_s < 3.0
            assert any("Memory is at" in one for one in lost)
        assert {one.status for one in history.deliveries()} == {"dropped"}


def test_what_ends_the_governor_is_told_on_the_way_out(valkey: Server) -> None:
    valkey.client().config_set("maxmemory", 0)
    with http_receiver() as receiver, History() as history:
        policy = with_alerts(valkey, receiver, limit="")
        governor = Governor(policy, history=history)
        with pytest.raises(LimitUnknown), Alerts(policy, governor, history):
            governor.run()
        (got,) = receiver.got
    assert (got.json["data"]["key"], got.json["data"]["severity"]) == ("governor", "critical")
    assert "maxmemory is 0" in got.json["data"]["message"]


def test_an_end_that_was_asked_for_is_not(valkey: Server) -> None:
    with http_receiver() as receiver, History() as history:
        policy = with_alerts(valkey, receiver)
        governor = Governor(policy, history=history)
        with Alerts(policy, governor, history) as alerts:
            governor.start()
            assert eventually(lambda: governor.state.reading)
            governor.stop()
            alerts.look()
        assert receiver.got == []


def test_a_reloaded_policy_changes_who_is_told_and_one_that_cannot_be_used_nothing(
    valkey: Server, watch: Watch
) -> None:
    watched = watch(valkey, namespaces=PROTECTED)
    fill_to(valkey.client(), 0.83, "app:tasks:", None)
    watched.until("firing level")
    broken = policy_of(valkey.url, tables='[alerts]\nnotify = ["env:NOT_SET"]')
    with pytest.raises(ConfigError, match="NOT_SET, which is not set"):
        watched.alerts.reload(broken)
    assert [one.name for one in watched.alerts.receivers] == ["ops"]
    with http_receiver() as other:
        watched.alerts.reload(with_alerts(valkey, other, namespaces=PROTECTED, alerts='min_level = "critical"'))
        watched.receiver = other
        data = watched.until("recovered level", 60.0)
        assert data["peak"] == "preventive"
        assert watched.look() == []


def test_a_restart_tells_nothing_anew(valkey: Server, tmp_path: Path) -> None:
    fill_to(valkey.client(), 0.83, "app:tasks:", None)
    clock = HandClock()
    kinds: list[list[str]] = []
    for _ in range(3):
        with http_receiver() as receiver, History(tmp_path / "history.db", wall_clock=clock.clock.wall) as history:
            policy = with_alerts(valkey, receiver, namespaces=PROTECTED)
            governor = Governor(policy, clock=clock.clock, seed=1, history=history)
            alerts = Alerts(policy, governor, history)
            watched = Watched(clock, governor, history, alerts, receiver)
            kinds.append(watched.look() + watched.look())
            alerts.stop()
            governor.close()
    assert kinds == [["firing level"], [], []]


@pytest.mark.parametrize("set_by_s", [0.0, -1800.0, 1800.0])
def test_refused_writes_are_told_also_after_the_clock_was_set(valkey: Server, watch: Watch, set_by_s: float) -> None:
    client = valkey.client()
    watched = watch(valkey, namespaces=PROTECTED)
    for _ in range(5):
        watched.look()
    watched.clock.wall_s += set_by_s
    watched.look()
    client.config_set("maxmemory", LIMIT)
    with suppress(redis.ResponseError):
        fill(client, "app:tasks:", 1000, 9000, None)
    with pytest.raises(redis.ResponseError):
        client.set("app:tasks:last", b"x" * 1_000_000)
    assert watched.until("firing refused")["severity"] == "critical"
    watched.clock.wall_s += set_by_s
    watched.until("recovered refused", 30.0)


def test_who_did_not_get_it_is_told_when_it_can_and_nobody_of_the_end_of_what_he_never_heard(
    valkey: Server, watch: Watch
) -> None:
    watched = watch(valkey, namespaces=PROTECTED)
    watched.look()
    watched.receiver.answers += [(400, {}), (400, {})]
    fill_to(valkey.client(), 0.83, "app:tasks:", None)
    kinds = [kind for _ in range(40) for kind in watched.look(10.0)]
    assert kinds == ["firing level"] * 3  # at once, after a minute, after two
    assert [one.status for one in watched.history.deliveries()] == ["delivered", "failed", "failed"]
    valkey.client().flushdb()
    watched.until("recovered level", 30.0)
    watched.receiver.answers += [(400, {})] * 20
    fill_to(valkey.client(), 0.83, "app:tasks:", None)
    watched.until("firing level")
    valkey.client().flushdb()
    before = len(watched.receiver.got)
    for _ in range(40):
        watched.governor.cycle()
        watched.clock.turn(30.0)
        watched.alerts.look()
        assert eventually(lambda: not any(one.waiting for one in watched.alerts.receivers))
    assert watched.alerts.active == ()
    assert [got.json["type"] for got in watched.receiver.got[before:] if "recovered" in got.json["type"]] == []
    assert eventually(lambda: watched.history.deliveries()[0].kind == "recovered")
    assert watched.history.deliveries()[0].error == "it was never told that this began"


def test_a_look_costs_next_to_nothing(valkey: Server, watch: Watch) -> None:
    watched = watch(valkey)
    for _ in range(900):
        watched.governor.cycle()
        watched.clock.turn(1.0)
    watched.alerts.look()
    began_s = time.process_time()
    for _ in range(100):
        watched.alerts.look()
    assert (time.process_time() - began_s) / 100 < 0.005  # every ten seconds: a two-thousandth of a core
