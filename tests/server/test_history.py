"""What governors of real servers leave in a history."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import redis.exceptions

from spillgate.governor.history import History, Span
from spillgate.governor.journal import Event
from spillgate.governor.loop import Governor
from spillgate.model import Level
from tests.governing import LIMIT, HandClock, fill, fill_to, policy_of
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.servers import Server


@contextmanager
def recorded(server: Server, path: Path | None, clock: HandClock) -> Generator[tuple[Governor, History]]:
    """A governor whose cycles the test calls itself, and its history."""
    history = History(path, wall_clock=clock.clock.wall)
    policy = policy_of(server.url, server=f"limit = {LIMIT}")
    governor = Governor(policy, clock=clock.clock, seed=1, history=history)
    try:
        yield governor, history
    finally:
        governor.close()
        history.stop()


def test_every_reading_every_level_and_every_entry_is_kept(server: Server, tmp_path: Path) -> None:
    client = server.client()
    fill(client, "app:messages:", 50)
    clock = HandClock()
    with recorded(server, tmp_path / "history.db", clock) as (governor, history):
        governor.cycle()
        clock.turn(6)  # so that the next reading is a full one
        fill_to(client, 0.95)
        for _ in range(2):  # the second look sees what the first has cleaned
            governor.cycle()
        state = governor.state
        assert state.reading is not None
        calm, flood = history.points(Span.HOUR)
        assert (calm.level, calm.limit_bytes, calm.keys) == (Level.NORMAL, LIMIT, 50)
        assert flood.used_bytes == state.reading.counted_bytes < 0.8 * LIMIT  # it was cleaned within that second
        assert flood.high_bytes is not None
        assert flood.high_bytes >= 0.95 * LIMIT
        assert flood.level is not None
        assert flood.level >= Level.EMERGENCY
        assert (flood.evicted_keys, flood.refused_writes) == (0, 0)
        written = governor.journal.entries()
        assert history.entries(limit=1000) == tuple(reversed(written))
        assert history.entries(events=[Event.ACTION])
        [held] = history.usages(Span.DAY)
        assert state.census is not None
        counted = state.census.usage("messages")
        assert counted is not None
        assert held.namespaces["messages"][0] == round(counted.keys.value)
        assert held.namespaces["tasks"][0] == 0
    with recorded(server, tmp_path / "history.db", clock) as (governor, history):
        assert history.points(Span.HOUR) == (calm, flood)
        governor.cycle()
        numbers = [entry.number for entry in history.entries(limit=1000)]
        assert numbers == list(range(len(numbers), 0, -1))
        assert governor.journal.entries()[0].number == len(written) + 1


@pytest.mark.kinds("valkey-9.1", "redis-6.2")
def test_refused_writes_are_in_the_second_that_read_them(server: Server) -> None:
    client = server.client()
    clock = HandClock()
    with recorded(server, None, clock) as (governor, history):
        governor.cycle()
        client.config_set("maxmemory", 1)
        for _ in range(7):
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("app:tasks:1", b"x")
        client.config_set("maxmemory", 0)
        for _ in range(6):
            clock.turn(1)
            governor.cycle()
        assert [point.refused_writes for point in history.points(Span.HOUR)] == [None] * 5 + [7, None]
        assert [point.keys for point in history.points(Span.HOUR)] == [0] + [None] * 4 + [0, None]
        assert history.points(Span.DAY)[0].refused_writes == 7


@pytest.mark.kinds("valkey-9.1")
def test_while_the_server_is_not_read_nothing_is_known(server: Server) -> None:
    clock = HandClock()
    with recorded(server, None, clock) as (governor, history):
        governor.cycle()
        clock.turn(1)
        server.kill()
        governor.cycle()
        clock.turn(1)
        governor.cycle()
        first, *rest = history.points(Span.HOUR)
        assert first.known
        assert [(point.known, point.level) for point in rest] == [(False, None)] * 2


@pytest.mark.kinds("valkey-9.1")
def test_a_history_that_cannot_be_written_is_told_and_governs_on(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    clock = HandClock()
    with recorded(server, folder / "history.db", clock) as (governor, history):
        governor.cycle()
        history.flush()
        shutil.rmtree(folder)
        for _ in range(2):
            clock.turn(1)
            governor.cycle()
            history.flush()
        assert governor.state.error is None
        [entry] = [entry for entry in governor.journal.entries() if entry.event is Event.ERROR]
        assert "the history cannot be written: the folder" in entry.message
        folder.mkdir()
        history.flush()
        clock.turn(1)
        governor.cycle()
        assert governor.journal.entries()[-1].message == "the history is written again"
        assert history.error is None
        assert len(history.points(Span.HOUR)) == 4


@pytest.mark.kinds("valkey-9.1")
def test_a_governor_that_runs_is_written_by_itself(server: Server, tmp_path: Path) -> None:
    fill(server.client(), "app:messages:", 50)
    path = tmp_path / "history.db"
    policy = policy_of(server.url, server=f"limit = {LIMIT}")
    with History(path, gather_s=0.01) as history, Governor(policy, history=history) as governor:
        eventually(lambda: governor.state.census is not None)
        assert governor.journal.wait(0, 5)
        before_s = time.time()
        assert history.points(Span.DAY)[0].keys == 50
        assert history.points(Span.DAY)[0].at_s <= before_s
    with History(path) as history:
        assert [entry.message for entry in history.entries(limit=1)] == ["governor stopped"]
        assert history.points(Span.DAY)[0].keys == 50
