"""``spillgate alerts``, and alerts of a real ``spillgate run``."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from tests.alerting import http_receiver, smtp_receiver
from tests.governing import EXAMPLE
from tests.programs import fill_up, running, stock
from tests.servers import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Typed
    from tests.servers import Server

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def policy(tmp_path: Path, text: str) -> str:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return str(path)


def hook(name: str, url: str) -> str:
    return f'[[webhook]]\nname = "{name}"\nurl = "{url}/hunter2"\nsecret = "env:SIGNING"\n'


def test_a_test_reaches_every_receiver_and_says_so(typed: Typed, tmp_path: Path) -> None:
    with http_receiver() as server, smtp_receiver() as (port, mails):
        mail = f"mailto://127.0.0.1:{port}/?from=spillgate@example.org&to=ops@example.org"
        config = policy(tmp_path, '[alerts]\nname = "cache-1"\nnotify = "env:MAIL"\n' + hook("ops", server.url))
        told = typed("alerts", "test", "--config", config, MAIL=mail, SIGNING=SECRET)
    assert (told.returncode, told.stderr) == (0, "")
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["receiver", "ops", "mailto"]
    assert told.stdout.count("delivered") == 2
    assert "hunter2" not in told.stdout
    (got,) = server.got
    body = Verifier(SECRET).verify(got.body, got.headers)
    assert (body["type"], body["data"]["subject"]) == ("spillgate.alert.test", "[cache-1] test: alerts reach you")
    assert "nothing is wrong" in mails[0]


def test_a_test_that_fails_ends_with_1_and_its_reason(typed: Typed, tmp_path: Path) -> None:
    with http_receiver(503) as broken, http_receiver() as fine:
        config = policy(tmp_path, hook("broken", broken.url) + hook("fine", fine.url))
        told = typed("alerts", "test", "--config", config, "--json", SIGNING=SECRET)
        assert len(broken.got) == 1  # it is tried once
        one = typed("alerts", "test", "--config", config, "--receiver", "fine")
    assert (told.returncode, one.returncode) == (1, 0)
    results = json.loads(told.stdout)["results"]
    assert [(row["receiver"], row["delivered"], row["error"]) for row in results] == [
        ("broken", False, "answered 503"),
        ("fine", True, None),
    ]
    assert results[0]["address"] == f"{broken.url}/***"
    assert "hunter2" not in told.stdout + told.stderr


def test_without_receivers_or_one_of_that_name_it_is_a_mistake(typed: Typed, tmp_path: Path) -> None:
    nobody = typed("alerts", "test")
    assert nobody.returncode == 2
    assert "there is no receiver: name some in the policy file" in nobody.stderr
    document = typed("alerts", "test", "--json")
    assert (document.returncode, json.loads(document.stdout)["kind"]) == (2, "ConfigError")
    other = typed(
        "alerts", "test", "--config", policy(tmp_path, hook("ops", "http://h")), "--receiver", "oops", SIGNING="x"
    )
    assert other.returncode == 2
    assert other.stderr == 'error: command line: --receiver: there is no receiver "oops" (named: ops)\n'


def test_a_secret_that_is_not_set_is_named(typed: Typed, tmp_path: Path) -> None:
    told = typed("alerts", "test", "--config", policy(tmp_path, hook("ops", "http://h")))
    assert told.returncode == 2
    assert told.stderr == 'error: webhook "ops": names the environment variable SIGNING, which is not set\n'


def test_the_list_shows_who_is_told_and_when_and_no_secret(typed: Typed, tmp_path: Path) -> None:
    config = policy(
        tmp_path,
        '[alerts]\nnotify = ["slack://hunter2/hunter2/hunter2"]\nquiet_hours = "22:00-07:00"\n'
        + hook("ops", "https://example.org"),
    )
    told = typed("alerts", "list", "--config", config)
    assert told.returncode == 0
    assert [line.split() for line in told.stdout.splitlines()[:3]] == [
        ["receiver", "kind", "address", "least", "told", "signed"],
        ["ops", "webhook", "https://example.org/***", "warning", "yes"],
        ["slack", "slack", "slack://***", "warning", "-"],
    ]
    assert "quiet_hours = 22:00-07:00" in told.stdout
    assert "hunter2" not in told.stdout
    document = json.loads(typed("alerts", "list", "--config", config, "--json").stdout)
    assert [one["name"] for one in document["receivers"]] == ["ops", "slack"]
    assert document["settings"]["reminder"] == "1h"
    assert "there is no receiver" in typed("alerts", "list").stdout


def test_a_running_governor_tells_a_flood_and_its_end(valkey: Server, tmp_path: Path) -> None:
    client = stock(valkey)
    with http_receiver() as receiver:
        config = policy(tmp_path, EXAMPLE.read_text() + '\n[alerts]\nhold = "0s"\n' + hook("ops", receiver.url))
        hurry = {"SIGNING": SECRET, "SPILLGATE_LEVELS_HOLD": "200ms"}
        with running("--config", config, server=valkey, **hurry) as governor:
            governor.becomes("healthy")
            fill_up(client, 0.9)
            fill_up(client, 0.9, "elsewhere:")  # protected, so that it stays
            first = eventually(lambda: receiver.got[:1], 10.0)[0]
            assert first.json["data"]["key"] in {"level", "exhausted"}
            Verifier(SECRET).verify(first.body, first.headers)
            client.flushdb()
            assert eventually(
                lambda: [one for one in receiver.got if one.json["type"].endswith("recovered")],
                20.0,
            )
            assert governor.ends(signal.SIGTERM) == 0
            assert "hunter2" not in governor.log
            assert "Traceback" not in governor.log


def test_a_receiver_that_hangs_does_not_hold_up_the_end(valkey: Server, tmp_path: Path) -> None:
    client = stock(valkey)
    with http_receiver(hangs=True) as receiver:
        config = policy(tmp_path, EXAMPLE.read_text() + "\n" + hook("ops", receiver.url) + 'timeout = "30s"\n')
        with running("--config", config, server=valkey, SIGNING=SECRET) as governor:
            governor.becomes("healthy")
            fill_up(client, 0.9, "elsewhere:")
            assert eventually(lambda: receiver.got, 10.0)
            began_s = time.monotonic()
            assert governor.ends(signal.SIGTERM) == 0
            assert time.monotonic() - began_s < 8.0  # five seconds for what is on its way


def test_a_governor_is_not_started_with_a_receiver_that_cannot_be_used(valkey: Server, tmp_path: Path) -> None:
    config = policy(tmp_path, EXAMPLE.read_text() + hook("ops", "http://127.0.0.1:1"))
    with running("--config", config, server=valkey) as governor:
        assert governor.ends() == 2
        assert "SIGNING, which is not set" in governor.log
