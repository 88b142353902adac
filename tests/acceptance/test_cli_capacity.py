"""``spillgate capacity`` as people type it."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from spillgate.governor.history import History
from tests.governing import MB, fill, keys_of
from tests.histories import Wall, see
from tests.programs import GOVERNED, ends_of, stock, untouched

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Told, Typed
    from tests.servers import Server

SCALED = ("--scale", "messages=10000", "--scale", "voice=200", "--connections", "50")


def document(told: Told) -> dict[str, Any]:
    assert told.stderr == ""
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def test_a_projection_is_told_and_loaded(valkey: Server, typed: Typed) -> None:
    with closing(stock(valkey)) as client:
        before = ends_of(client)
        told = typed("capacity", "--json", *GOVERNED, *SCALED, "--verify", server=valkey)
        assert untouched(before, client)
    assert told.returncode == 0
    found = document(told)
    assert (found["limit_bytes"], found["ceiling_bytes"], found["risk"]) == (25 * MB, 23 * MB, "low")
    (projection,) = found["projections"]
    assert projection["name"] == "messages=10,000, voice=200, 50 connections"
    assert projection["scale"] == {"messages": 10_000, "voice": 200}
    parts = sum(size["value"] for size in projection["by_feature"].values()) + projection["overhead_bytes"]
    assert abs(parts - projection["bytes"]["value"]) < 20
    assert projection["plan_bytes"] in {20 * MB, 25 * MB}
    assert projection["risk"] == "medium"
    (verified,) = found["verified"]
    assert abs(verified["error"]) <= 0.05
    assert verified["objects"] == 10_000 + 200 + 300 + 200 + 12
    messages = next(one for one in found["features"] if one["name"] == "messages")
    assert messages["keys"] == {"value": 100, "low": 100, "high": 100}
    assert messages["more_fit"]["value"] > 15_000
    assert messages["growth_keys_day"] is None
    assert any(one.startswith("voice: 4KB an object") for one in found["assumptions"])
    assert found["time_to"]["preventive"]["seconds"] is None


def test_people_read_the_same_without_a_policy_and_without_a_limit(valkey: Server, typed: Typed) -> None:
    with closing(stock(valkey)) as client:
        client.config_set("maxmemory", 0)
    told = typed("capacity", server=valkey)
    assert (told.returncode, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert lines[0].startswith(f"server    {valkey.url}, valkey 9.1")
    assert ", no limit known, " in lines[1]
    assert lines[2].startswith("risk      unknown: no limit is known")
    assert lines[3].startswith("growth    unknown: no history was given")
    assert any(line.startswith("ceo-platform:messages:*") for line in lines)
    assert {"What holds the memory", "When a level is reached", "Projections"} <= set(lines)
    assert any(line.startswith("smallest plan") for line in lines)


def test_a_history_tells_when_it_will_be_full(valkey: Server, typed: Typed, tmp_path: Path) -> None:
    path, wall = tmp_path / "history", Wall()
    began_s = time.time() - 3 * 86_400
    with History(path, wall_clock=wall) as history:
        for number in range(3 * 24):
            wall.now_s = began_s + number * 3600
            see(history, 2 * MB + number * MB // 8)  # 3 MB a day
            history.expect(3600)
    with closing(stock(valkey)):
        told = typed("capacity", *GOVERNED, "--history", str(path), "--json", server=valkey)
    found = document(told)
    assert abs(found["growth_bytes_day"]["value"] - 3 * MB) < 0.05 * MB
    assert 5 * 86_400 < found["time_to"]["preventive"]["seconds"]["value"] < 7 * 86_400
    assert found["risk"] == "medium"
    assert "preventive level is" in found["reason"]
    missing = typed("capacity", "--history", str(tmp_path / "none"), server=valkey)
    assert missing.returncode == 2
    assert "no such file" in missing.stderr


def test_a_projection_above_a_level_is_an_alarm(valkey: Server, typed: Typed) -> None:
    client = stock(valkey)
    assert typed("capacity", *GOVERNED, "--scale", "messages=50000", server=valkey).returncode == 1
    assert typed("capacity", *GOVERNED, "--times", "2", server=valkey).returncode == 0
    fill(client, "ceo-platform:messages:more:", 7000, 3000)
    assert typed("capacity", *GOVERNED, server=valkey).returncode == 1
    assert len(keys_of(client, "ceo-platform:users:*")) == 300


def test_what_cannot_be_meant_is_refused(valkey: Server, typed: Typed) -> None:
    stock(valkey)
    unknown = typed("capacity", *GOVERNED, "--scale", "mesages=5", server=valkey)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert '--scale: "mesages" is unknown: the server has analytics, voice, sessions' in unknown.stderr
    assert typed("capacity", "--scale", "messages", server=valkey).returncode == 2
    both = typed("capacity", "--verify", "--verify-on", valkey.url, server=valkey)
    assert both.returncode == 2
    full = typed("capacity", "--times", "2", "--verify-on", valkey.url, server=valkey)
    assert full.returncode == 2
    assert "has keys" in full.stderr
    valkey.kill()
    assert typed("capacity", server=valkey).returncode == 3
