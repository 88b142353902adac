"""What ``spillgate run`` tells, and lets be done, under /api/."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import pytest

from tests.governing import MB, fill, keys_of
from tests.programs import GOVERNED, commands_of, fill_up, running, stock
from tests.servers import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.programs import Answer, Running
    from tests.servers import Server

TOKEN = "correct horse"
EMERGENCY = {"level": "emergency", "namespaces": ["analytics"]}


def got(governor: Running, path: str) -> Any:
    answer = governor.get(path)
    assert answer.code == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    return json.loads(answer.body)


def post(
    governor: Running, body: object = None, *, token: str | None = TOKEN, kind: str = "application/json", **headers: str
) -> Answer:
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    named = {"Content-Type": kind, **headers} | ({"Authorization": f"Bearer {token}"} if token else {})
    return governor.get("/api/cleanup", method="POST", headers=named, body=content)


def test_the_state_has_everything_that_the_page_shows(server: Server) -> None:
    client = stock(server)
    with running(*GOVERNED, server=server) as governor:
        eventually(lambda: got(governor, "/api/state")["unregistered_bytes"])
        state = got(governor, "/api/state")
        assert governor.ends(signal.SIGTERM) == 0
    assert (state["status"], state["level"], state["keys"]) == ("healthy", "normal", 612)
    assert 0 <= state["age_s"] < 10
    assert [level["name"] for level in state["levels"]] == ["normal", "warning", "preventive", "emergency", "critical"]
    assert [level["bytes"] for level in state["levels"]] == [
        0,
        *(round(share * 25 * MB) for share in (0.6, 0.8, 0.88, 1)),
    ]
    users = next(row for row in state["namespaces"] if row["name"] == "users")
    assert users["keys"] == users["no_ttl"] == {"value": 300, "low": 300, "high": 300}
    assert (users["protected"], users["ttl_s"], users["ttl_p50_s"]) == (True, 900, None)
    messages = next(row for row in state["namespaces"] if row["name"] == "messages")
    assert 1700 < messages["ttl_p50_s"]["low"] <= messages["ttl_p50_s"]["value"] <= 1800
    size = sum(int(client.memory_usage(key, samples=0) or 0) for key in keys_of(client, "elsewhere:*"))
    assert state["unregistered_bytes"]["low"] <= size <= state["unregistered_bytes"]["high"]
    assert state["cleanup"] == {
        "enabled": False,
        "dry_run_only": False,
        "levels": ["preventive", "emergency", "critical"],
    }
    assert state["history"] == {"file": False, "error": None}
    assert state["library"] is None


def test_what_is_unknown_is_null(valkey: Server) -> None:
    valkey.kill()
    with running(*GOVERNED, server=valkey) as governor:
        governor.awaits("error: ")
        state, census = got(governor, "/api/state"), got(governor, "/api/census")
    for name in ("used_bytes", "age_s", "keys", "unregistered_keys", "unregistered_bytes", "pressure", "missing"):
        assert state[name] is None, name
    assert {row["keys"] for row in state["namespaces"]} == {None}
    assert {level["bytes"] for level in state["levels"]} == {None}
    assert census["total_keys"] is census["exact"] is None


def test_the_census_tells_keys_and_bytes(valkey: Server) -> None:
    stock(valkey)
    with running(*GOVERNED, server=valkey) as governor:
        census = eventually(lambda: (found := got(governor, "/api/census"))["exact"] and found)
    assert (census["total_keys"], census["unregistered_keys"]["value"]) == (612, 12)
    assert {row["name"]: row["keys"]["value"] for row in census["namespaces"]}["analytics"] == 200


def test_history_and_journal_are_told_in_part(valkey: Server, tmp_path: Path) -> None:
    client = stock(valkey)
    kept = str(tmp_path / "history.sqlite")
    with running(*GOVERNED, "--history", kept, server=valkey) as governor:
        governor.becomes("healthy")
        eventually(lambda: len(got(governor, "/api/history")["columns"]["at"]) >= 3, 15)
        fill_up(client, 0.9)
        eventually(lambda: got(governor, "/api/journal?event=action")["entries"], 15)
        hour = got(governor, "/api/history?span=hour")
        columns = hour["columns"]
        assert hour["resolution_s"] == 1
        assert columns["at"][-1] - 2 <= hour["through"] <= columns["at"][-1]
        assert {len(column) for column in columns.values()} == {len(columns["at"])}
        assert columns["at"] == sorted(columns["at"])
        assert max(high or 0 for high in columns["high"]) > 0.5 * 25 * MB
        later = got(governor, f"/api/history?since={columns['at'][-1]}")["columns"]["at"]
        assert all(at >= columns["at"][-1] for at in later)
        for span in ("day", "week", "year"):
            assert got(governor, f"/api/history?span={span}")["columns"]["at"]

        journal = got(governor, "/api/journal?limit=2")
        numbers = [entry["number"] for entry in journal["entries"]]
        assert numbers == sorted(numbers, reverse=True)
        assert (len(numbers), journal["more"]) == (2, True)
        older = got(governor, f"/api/journal?before={numbers[-1]}&limit=500")
        assert [entry["number"] for entry in older["entries"]] == list(range(numbers[-1] - 1, 0, -1))
        assert older["more"] is False
        found = got(governor, "/api/journal?event=action,plan&text=analytics")["entries"]
        assert found
        assert {entry["event"] for entry in found} <= {"action", "plan"}
        assert all("analytics" in entry["message"] for entry in found)
        assert got(governor, f"/api/journal?after={journal['last']}&level=warning")["entries"] == []
        last = got(governor, "/api/journal")["last"]
        assert governor.ends(signal.SIGTERM) == 0
    with running(*GOVERNED, "--history", kept, server=valkey) as governor:
        eventually(lambda: governor.get("/readyz").code == 200)
        assert got(governor, "/api/journal")["last"] > last
        assert columns["at"][0] in got(governor, "/api/history")["columns"]["at"]
        assert numbers[0] in [entry["number"] for entry in got(governor, "/api/journal?limit=500")["entries"]]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/history?span=decade", 'span: expected hour, day, week, year, got "decade"'),
        ("/api/history?since=yesterday", 'since: expected a number from 0 to 1e+11, got "yesterday"'),
        ("/api/history?since=nan", "since: expected a number"),
        ("/api/journal?limit=501", 'limit: expected a number from 1 to 500, got "501"'),
        ("/api/journal?event=cleanup", "event: expected started, "),
        ("/api/journal?level=high", "level: expected normal, "),
        ("/api/journal?before=-1", "before: expected a number"),
    ],
)
def test_a_question_that_cannot_be_read_is_refused(governed: Running, path: str, said: str) -> None:
    answer = governed.get(path)
    assert answer.code == 422
    assert said in json.loads(answer.body)["error"]


def test_a_cleanup_by_hand_is_first_a_dry_run(server: Server) -> None:
    client = stock(server)
    with running(*GOVERNED, server=server, SPILLGATE_TOKEN=TOKEN) as governor:
        governor.becomes("healthy")
        assert got(governor, "/api/state")["cleanup"]["enabled"] is True
        dry = json.loads(post(governor, EMERGENCY).body)
        assert (dry["dry_run"], dry["deleted"], dry["namespaces"]) == (True, 200, ["analytics"])
        assert dry["freed_bytes"] > 0
        assert len(keys_of(client)) == 612
        wet = json.loads(post(governor, EMERGENCY | {"dry_run": False}).body)
        assert (wet["dry_run"], wet["deleted"], wet["error"]) == (False, 200, None)
        assert len(keys_of(client)) == 412
        messages = [entry["message"] for entry in got(governor, "/api/journal")["entries"]]
        assert any("by hand" in message for message in messages)
        assert TOKEN not in governor.log


def test_nobody_cleans_without_the_token(valkey: Server) -> None:
    client = stock(valkey)
    with running(*GOVERNED, server=valkey, SPILLGATE_TOKEN=TOKEN) as governor:
        governor.becomes("healthy")
        asked = EMERGENCY | {"dry_run": False}
        for token in (None, "wrong"):
            refusal = post(governor, asked, token=token)
            assert (refusal.code, refusal.headers["WWW-Authenticate"].split()[0]) == (401, "Bearer")
        assert post(governor, asked, Origin="http://elsewhere.example").code == 403
        assert post(governor, asked, Origin=governor.base_url).code == 200
        assert len(keys_of(client)) == 412
    with running(*GOVERNED, server=valkey) as governor:
        refusal = post(governor, asked)
        assert (refusal.code, "SPILLGATE_TOKEN" in refusal.body) == (403, True)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"level": "warning"}, 422, 'unknown level "warning" (expected one of preventive, emergency, critical)'),
        ({"namespaces": ["nowhere"]}, 422, 'unknown namespace "nowhere"'),
        ({"namespaces": ["users"]}, 422, "is protected"),
        ({"level": "preventive", "namespaces": ["voice"]}, 422, "name namespaces only with"),
        ({"dryrun": True}, 422, "unknown field `dryrun`"),
        ({"dry_run": "no"}, 422, "Expected `bool`"),
        (b"{", 422, "the body cannot be read"),
        (b"\xff", 422, "the body cannot be read"),
        (b'{"level": "' + b"x" * 70_000 + b'"}', 413, "at most 64 KB"),
    ],
)
def test_what_cannot_be_meant_is_refused(governed: Running, body: object, code: int, said: str) -> None:
    answer = post(governed, body)
    assert answer.code == code
    assert said in json.loads(answer.body)["error"]


def test_a_body_of_another_kind_is_refused(governed: Running) -> None:
    assert post(governed, b"level=emergency", kind="application/x-www-form-urlencoded").code == 415


def test_under_dry_run_nothing_is_cleaned_by_hand_either(valkey: Server) -> None:
    client = stock(valkey)
    with running("--dry-run", *GOVERNED, server=valkey, SPILLGATE_TOKEN=TOKEN) as governor:
        governor.becomes("healthy")
        assert post(governor, EMERGENCY).code == 200
        assert post(governor, EMERGENCY | {"dry_run": False}).code == 409
        assert len(keys_of(client)) == 612


def test_two_cleanups_at_a_time_are_one_too_many(valkey: Server) -> None:
    client = stock(valkey)
    fill(client, "ceo-platform:voice:", 30_000, 10, 900)
    with running(*GOVERNED, server=valkey, SPILLGATE_TOKEN=TOKEN) as governor:
        governor.becomes("healthy")
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(post, governor, {"namespaces": ["voice"]}) for _ in range(4)]
            codes = [one.result().code for one in asked]
        assert set(codes) <= {200, 409}
        assert {200, 409} <= set(codes)


def test_a_server_that_is_away_is_said_so(valkey: Server) -> None:
    stock(valkey)
    with running(*GOVERNED, server=valkey, SPILLGATE_TOKEN=TOKEN) as governor:
        governor.becomes("healthy")
        valkey.kill()
        for dry_run in (True, False):
            answer = post(governor, EMERGENCY | {"dry_run": dry_run})
            assert (answer.code, f"127.0.0.1:{valkey.port}" in answer.body) == (503, True)
        assert governor.get("/livez").code == 200


# ---- events


class Stream:
    """A page that listens."""

    def __init__(self, base_url: str, last_event_id: str | None = None) -> None:
        self.connection = HTTPConnection(base_url.removeprefix("http://"), timeout=15)
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        self.connection.request("GET", "/api/events", headers=headers)
        self.response = self.connection.getresponse()

    def close(self) -> None:
        """Go away."""
        self.response.close()
        self.connection.close()

    def events(self) -> Any:
        """Each event's name, id and document, until the stream ends."""
        lines: dict[str, str] = {}
        for raw in self.response:
            line = raw.decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                lines[name] = value
            elif "event" in lines:
                yield lines["event"], lines["id"], json.loads(lines["data"])
                lines = {}

    def until(self, name: str) -> list[tuple[str, str, Any]]:
        """All events up to the first of that name."""
        seen: list[tuple[str, str, Any]] = []
        for event in self.events():
            seen.append(event)
            if event[0] == name:
                return seen
        raise AssertionError(f"the stream ended before {name}: {[one[0] for one in seen]}")


def test_what_happens_is_told_as_it_happens(valkey: Server) -> None:
    client = stock(valkey)
    with running(*GOVERNED, server=valkey) as governor:
        governor.becomes("healthy")
        stream = Stream(governor.base_url)
        with closing(stream):
            assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            [(_, _, first)] = stream.until("state")
            assert first["level"] == "normal"
            fill_up(client, 0.9)
            entry = stream.until("journal")[-1][2]
            assert entry["number"] > 0
            point = stream.until("point")[-1][2]
            assert point["used"] > 0
            state = stream.until("state")[-1][2]
            assert state["totals"]["actions"] >= 0


def test_a_page_that_comes_back_is_told_what_it_missed(valkey: Server) -> None:
    client = stock(valkey)
    with running(*GOVERNED, server=valkey) as governor:
        governor.becomes("healthy")
        other = Stream(governor.base_url)  # keeps the events going
        stream = Stream(governor.base_url)
        with closing(other):
            with closing(stream):
                left_at = stream.until("point")[-1]
            fill_up(client, 0.9)
            other.until("journal")
            other.until("point")
            back = Stream(governor.base_url, left_at[1])
            with closing(back):
                missed = back.until("state")
        names = [name for name, _, _ in missed]
        assert "reset" not in names
        assert {"journal", "point"} <= set(names)
        numbers = [document["number"] for name, _, document in missed if name == "journal"]
        assert numbers == list(range(int(left_at[1].split("-")[1]) + 1, numbers[-1] + 1))
        times = [document["at"] for name, _, document in missed if name == "point"]
        assert times[0] > left_at[2]["at"]
        assert times == sorted(set(times))


@pytest.mark.parametrize("last_event_id", ["nonsense", "0-0-0", "cafe-99999-1", "-1-1", f"ab-{9:05000}-1"])
def test_a_page_from_another_time_is_told_to_begin_anew(governed: Running, last_event_id: str) -> None:
    stream = Stream(governed.base_url, last_event_id)
    with closing(stream):
        assert [name for name, _, _ in stream.until("state")] == ["reset", "state"]


def test_listening_costs_the_server_nothing_and_ends_with_the_process(valkey: Server) -> None:
    client = stock(valkey)
    with running(*GOVERNED, server=valkey, SPILLGATE_MONITOR_INTERVAL="1h", SPILLGATE_MONITOR_CHECKUP="0s") as governor:
        governor.becomes("healthy")
        eventually(lambda: commands_of(client).get("cmdstat_subscribe"))
        before = eventually(lambda: (first := commands_of(client)) == commands_of(client) and first)
        streams = [Stream(governor.base_url) for _ in range(10)]
        for stream in streams:
            stream.until("state")
        for path in ("/api/state", "/api/census", "/api/history", "/api/journal", "/api/alerts", "/metrics", "/"):
            assert governor.get(path).code == 200
        time.sleep(3)  # for some rounds of looking what is new
        assert commands_of(client) == before
        began = time.monotonic()
        ended = threading.Thread(target=lambda: [list(stream.events()) for stream in streams])
        ended.start()
        assert governor.ends(signal.SIGTERM) == 0
        ended.join(5)
        assert not ended.is_alive()
        assert time.monotonic() - began < 5
        for stream in streams:
            stream.close()


def test_no_more_pages_listen_than_there_is_room_for(governed: Running) -> None:
    streams = [Stream(governed.base_url) for _ in range(65)]
    codes = [stream.response.status for stream in streams]
    for stream in streams:
        stream.close()
    assert codes.count(503) >= 1
    assert codes.count(200) == 64
    eventually(lambda: _listens(governed))


def _listens(governed: Running) -> bool:
    stream = Stream(governed.base_url)
    with closing(stream):
        return stream.response.status == 200


def test_addresses_of_the_table_and_no_others_are_served(governed: Running) -> None:
    from spillgate.web.endpoints import ENDPOINTS  # noqa: PLC0415 - the table alone

    for endpoint in ENDPOINTS:
        if endpoint.path == "/api/events":
            continue
        other = "POST" if endpoint.method == "GET" else "GET"
        answer = governed.get(endpoint.path, method=other)
        assert answer.code == 405, endpoint.path
        assert json.loads(answer.body)["error"] == f"Method Not Allowed: {other} {endpoint.path}"
        assert endpoint.method in answer.headers["Allow"]
    assert governed.get("/api").code == governed.get("/api/nothing").code == 404


# ---- connections


def test_headers_without_end_are_cut_off(governed: Running) -> None:
    host, _, port = governed.base_url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        with suppress(OSError):  # it may be closed before all is sent
            for _ in range(100):
                connection.sendall(b"x" * 1024)
        with suppress(ConnectionResetError):
            assert connection.recv(1000).startswith(b"HTTP/1.1 431 ")
    assert governed.get("/livez").code == 200


def test_connections_beyond_what_it_serves_are_closed_and_the_others_answered(governed: Running) -> None:
    host, _, port = governed.base_url.removeprefix("http://").partition(":")
    with ExitStack() as silent:
        for _ in range(700):
            silent.enter_context(socket.create_connection((host, int(port)), 10))
        # Those that were let in and say nothing are closed after some seconds, and there is room again.
        eventually(lambda: _answers(governed), 30)
    assert "out of system resource" not in governed.log
    assert governed.get("/livez").code == 200


def _answers(governed: Running) -> bool:
    with suppress(OSError, HTTPException):
        return governed.get("/livez").code == 200
    return False


def test_head_of_events_has_an_end(governed: Running) -> None:
    answer = governed.get("/api/events", method="HEAD")
    assert (answer.code, answer.body) == (200, "")
    assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_a_page_that_leaves_while_it_is_told_what_it_missed_goes_on_from_there(valkey: Server) -> None:
    client = stock(valkey)
    with running(*GOVERNED, server=valkey) as governor:
        governor.becomes("healthy")
        other = Stream(governor.base_url)
        with closing(other):
            other.until("point")
            begin = other.until("point")[-1][1]
            for _ in range(3):
                fill(client, "ceo-platform:messages:more:", 20)
                other.until("point")
            back = Stream(governor.base_url, begin)
            with closing(back):
                missed = [event for event in back.until("state") if event[0] == "point"]
            assert len(missed) >= 3
            again = Stream(governor.base_url, missed[0][1])
            with closing(again):
                rest = [event for event in again.until("state") if event[0] == "point"]
        assert [event[2]["at"] for event in rest][: len(missed) - 1] == [event[2]["at"] for event in missed[1:]]
