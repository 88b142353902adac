"""``spillgate demo``, as people and programs see it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import psutil
import pytest
import redis

from spillgate.config import LevelSettings, load_policy
from spillgate.demo.pace import demo_policy, must_live, reference_policy
from spillgate.demo.phases import PHASES, Report, phase_at
from spillgate.demo.screen import NamespaceRow, View, draw
from spillgate.model import Level
from tests.governing import EXAMPLE, MB
from tests.programs import HEALTH, SPILLGATE, environment, get, spillgate
from tests.servers import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.servers import Server

TIMEOUT_S = 60.0
WORKLOAD = "spillgate.demo.workload"
STEP_TYPES = {
    "together": list,
    "kind": str,
    "namespace": str | None,
    "reason": str,
    "deleted": int,
    "deleted_by_namespace": dict,
    "retimed": int,
    "expired": int,
    "freed_bytes": int,
    "seconds": float,
}


class Demo:
    """A demo that goes on. ``family`` are its processes, its own first, once all are there."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self.family: list[psutil.Process] = []

    @property
    def output(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def errors(self) -> str:
        return (self.folder / "stderr").read_text()

    def awaits(self, text: str) -> None:
        """Wait until it has written ``text``, and has a server and a workload."""
        eventually(lambda: text in self.output, TIMEOUT_S)
        self.meet()

    def meet(self) -> None:
        """Wait until it has a server and a workload."""
        own = psutil.Process(self.process.pid)
        eventually(lambda: {"valkey-server", WORKLOAD} <= {name_of(one) for one in own.children()}, TIMEOUT_S)
        self.family = [own, *own.children()]

    def deletes(self, *keys: str) -> None:
        """Wait until its server has ``keys``, and delete them there."""
        workload = next(one for one in self.family if name_of(one) == WORKLOAD)
        with redis.Redis.from_url(workload.cmdline()[-2]) as client:
            eventually(lambda: client.exists(*keys) == len(keys), TIMEOUT_S)
            client.delete(*keys)

    def ends(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_S)

    @property
    def left_behind(self) -> list[str]:
        """Its processes that run on, and its files."""
        running = [one for one in self.family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        return [str(one) for one in running] + [path.name for path in (self.folder / "tmp").iterdir()]


def name_of(process: psutil.Process) -> str:
    """The workload goes by its module."""
    return WORKLOAD if WORKLOAD in process.cmdline() else process.name()


@contextmanager
def demo(*arguments: str, folder: Path) -> Generator[Demo]:
    """Start it outside of any terminal; its temporary files are in ``folder``."""
    (folder / "tmp").mkdir()
    command = [*SPILLGATE, "demo", *arguments]
    env = environment(TMPDIR=str(folder / "tmp"))
    with (folder / "stdout").open("a") as stdout, (folder / "stderr").open("a") as stderr:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    try:
        yield Demo(folder, process)
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def test_ten_seconds_of_flood_lose_nothing(tmp_path: Path) -> None:
    with demo("--seconds", "10", "--json", "--port", "0", folder=tmp_path) as running:
        running.meet()
        assert running.process.wait(TIMEOUT_S) == 0, running.errors
        assert running.errors == ""
        assert running.left_behind == []
        document = json.loads(running.output)
    assert document["limit_bytes"] == 25 * MB
    assert document["protected_lost"] == document["writes_refused"] == document["server_evictions"] == 0
    assert 20 * MB < document["peak_bytes"] < document["limit_bytes"]
    assert document["levels_visited"][0] == "normal"
    assert {"preventive", "emergency"} <= set(document["levels_visited"])
    assert Level[document["final_level"].upper()] < Level.EMERGENCY
    assert document["writes"] > 20_000
    assert document["actions"]
    for step in document["actions"]:
        assert {name: isinstance(value, STEP_TYPES[name]) for name, value in step.items()} == dict.fromkeys(
            STEP_TYPES, True
        )
        assert sum(step["deleted_by_namespace"].values()) == step["deleted"]
    deleted = {name for step in document["actions"] for name in step["deleted_by_namespace"]}
    assert "messages" in deleted
    assert not deleted & {ns.name for ns in reference_policy().namespaces if must_live(ns)}
    assert set(document) == {
        "limit_bytes",
        "peak_bytes",
        "levels_visited",
        "protected_lost",
        "writes",
        "writes_refused",
        "server_evictions",
        "actions",
        "final_level",
    }


def test_a_pipe_gets_plain_lines_and_ctrl_c_a_summary(tmp_path: Path) -> None:
    port = free_port()
    with demo("--port", str(port), folder=tmp_path) as running:
        running.awaits("evicted 0")
        health = get(f"http://127.0.0.1:{port}", HEALTH)
        assert health.code == 200
        assert health.redis["status"] == "healthy"
        assert running.ends(signal.SIGINT) == 0
        assert running.left_behind == []
    lines = running.output.splitlines()
    assert "\x1b" not in running.output
    assert running.errors == ""
    assert lines[0] == "Spillgate demo: Valkey 9.1.2, 25MB, noeviction, 1m"
    assert re.fullmatch(rf"dashboard http://127\.0\.0\.1:{port}/  token \S{{8}}", lines[1])
    assert any("level normal: " in line for line in lines)
    assert any(line.endswith("refused 0, evicted 0") for line in lines)
    assert any("stopped before the end: nothing was lost, and no write was refused." in line for line in lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_still_writes_one_document(tmp_path: Path, number: signal.Signals) -> None:
    with demo("--json", "--port", "0", folder=tmp_path) as running:
        running.meet()
        running.deletes("ceo-platform:analytics:0")
        assert running.ends(number) == 0
        assert running.left_behind == []
    assert json.loads(running.output)["writes"] > 0


def test_killed_it_leaves_no_process(tmp_path: Path) -> None:
    with demo("--port", "0", folder=tmp_path) as running:
        running.awaits("evicted 0")
        running.process.kill()
        alive = psutil.wait_procs(running.family[1:], timeout=TIMEOUT_S)[1]
    assert alive == []


def test_what_is_lost_is_told(tmp_path: Path) -> None:
    with demo("--port", "0", folder=tmp_path) as running:
        running.awaits("evicted 0")
        running.deletes("ceo-platform:sessions:1", "ceo-platform:users:2")
        assert running.ends(signal.SIGINT) == 1
    assert "FAILED: 2 protected keys lost, 0 writes refused." in running.output


def test_a_server_that_dies_is_told(tmp_path: Path) -> None:
    with demo("--json", "--port", "0", folder=tmp_path) as running:
        running.meet()
        running.deletes("ceo-platform:analytics:0")
        next(one for one in running.family if name_of(one) == "valkey-server").kill()
        assert running.process.wait(TIMEOUT_S) == 1
        assert running.left_behind == []
    assert json.loads(running.output)["protected_lost"] is None


def test_the_workload_counts_what_is_refused(valkey: Server) -> None:
    client = valkey.client()
    client.config_set("maxmemory", 4 * MB)
    command = [sys.executable, "-m", WORKLOAD, valkey.url, "5"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as workload:
        assert workload.stdin
        assert workload.stdout
        reports = (msgspec.json.decode(line, type=Report) for line in workload.stdout)
        next(report for report in reports if report.refused)
        workload.stdin.close()
        *_, last = reports
        assert workload.wait(TIMEOUT_S) == 0
    refused = cast("dict[str, dict[str, int]]", client.info("errorstats"))["errorstat_OOM"]["count"]
    assert last.last
    assert (last.refused, last.lost) == (refused, 0)
    assert last.writes == refused + sum(last.written.values())
    assert client.dbsize() <= last.writes - refused


def test_a_terminal_of_80_by_24_gets_a_live_screen(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = environment(TERM="xterm", TMPDIR=str(tmp_path))
    command = [*SPILLGATE, "demo", "--seconds", "20", "--port", "0"]
    process = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = ""
    try:
        while "MEDIUM" not in shown:
            shown += os.read(ours, 65536).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        while "As written" not in shown and (chunk := _read(ours)):
            shown += chunk
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
        os.close(ours)
    begin, end = shown.index("\x1b[?1049h"), shown.rindex("\x1b[?1049l")
    assert "sessions alive" in shown[begin:end]
    assert "nothing was lost" in shown[end:]
    assert not any(Path(tmp_path).iterdir())


def _read(terminal: int) -> str:
    """What comes next; nothing when the other side is closed."""
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:
        return ""


def view(**changes: Any) -> View:
    """A moment in the flood."""
    alive = {"sessions": 1_204, "tasks": 391, "channels": 25, "users": 310}
    rows = [
        NamespaceRow(ns.name, ns.cleanup.value, 12_345, exact=must_live(ns), deleted=67_890)
        for ns in reference_policy().namespaces
    ]
    known: dict[str, Any] = {
        "seconds": 60.0,
        "elapsed_s": 31.0,
        "server": "Valkey 9.1.2, 25MB, noeviction",
        "endpoint": "http://127.0.0.1:3000/health/redis-memory",
        "report": Report(31.0, "flood", writes=98_765, due=alive, alive=alive),
        "used_bytes": 20 * MB,
        "peak_bytes": 22 * MB,
        "limit_bytes": 25 * MB,
        "level": Level.EMERGENCY,
        "settings": LevelSettings(),
        "columns": [MB * column // 6 for column in range(124)] + [0] * 116,
        "rows": rows,
        "evicted": 0,
        "lines": [(float(number), f"step {number} " + "and so on " * 20) for number in range(100)],
    }
    return View(**known | changes)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (132, 50), (200, 30), (60, 20)])
def test_the_screen_fits_and_fills_any_size(width: int, height: int) -> None:
    lines = draw(view(), width, height)
    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width


def test_the_screen_needs_no_colour() -> None:
    shown = [line.plain for line in draw(view(), 80, 24)]
    text = "\n".join(shown)
    assert "FLOOD: " in text
    assert "memory 20MB of 25MB (80%), at most 22MB   level EMERGENCY" in text
    bar, marks = next((bar, marks) for bar, marks in pairwise(shown) if marks.endswith("100%|"))
    assert bar == "█" * 64 + "·" * 16
    assert [at + 1 for at, mark in enumerate(marks) if mark == "|"] == [48, 64, 70, 80]
    assert "sessions alive 1,204 of 1,204   tasks, channels, users 726 of 726   lost 0" in text
    assert "writes 98,765   refused 0   evicted by the server 0" in text
    assert text.count("~12,345") == 4
    assert " 99.0s step 99" in shown[-1]


def test_the_screen_says_what_is_unknown_and_speaks_ascii() -> None:
    rows = [NamespaceRow("messages", "5 shorten", None, exact=False, deleted=0)]
    report = Report(31.0, "flood", lost=None)
    unknown = view(level=None, evicted=None, rows=rows, report=report)
    text = "\n".join(line.plain for line in draw(unknown, 80, 24, plain=True))
    assert text.isascii()
    assert "level UNKNOWN" in text
    assert "lost unknown" in text
    assert "evicted by the server unknown" in text


def test_the_policy_is_the_example_with_cached_data_ageing_faster() -> None:
    example = load_policy(EXAMPLE, env={}, flags={})
    assert reference_policy() == example
    hurried = demo_policy(10.0)
    assert hurried.server == example.server
    for ns, original in zip(hurried.namespaces, example.namespaces, strict=True):
        assert (ns.name, ns.cleanup, ns.priority) == (original.name, original.cleanup, original.priority)
        assert ns.ttl_s == pytest.approx((original.ttl_s or 0) / (1 if must_live(ns) else 360))
    assert demo_policy(3600.0).namespaces == example.namespaces


def test_the_phases_follow_each_other() -> None:
    assert sum(phase.share for phase in PHASES) == pytest.approx(1)
    assert [phase_at(second, 60.0)[0].name for second in (0, 8.9, 9.1, 20.9, 21.1, 41.9, 42.1, 60, 99)] == [
        *("low", "low", "medium", "medium", "flood", "flood", "calm", "calm", "calm")
    ]
    flood, position = phase_at(31.5, 60.0)
    assert position == pytest.approx(0.5)
    assert flood.writes_s("messages", position, 21.0) == 8_000
    assert flood.writes_s("sessions", position, 16.0) == 100


def test_a_port_that_is_taken_and_one_that_may_not_be(tmp_path: Path, valkey: Server) -> None:
    with demo("--port", str(valkey.port), folder=tmp_path) as running:
        running.awaits(f" (instead of port {valkey.port}: Address already in use)")
    refused = spillgate("demo", "--host", "0.0.0.0")  # noqa: S104 - to see it refused
    assert refused.returncode == 2
    assert "give a loopback address such as 127.0.0.1, not 0.0.0.0" in refused.stderr
    assert spillgate("demo", "--seconds", "2").returncode == 2
