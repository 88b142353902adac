"""Pauses that writes, a call for help or another thread cut short, and that nothing else does."""

from __future__ import annotations

import os
import resource
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spillgate.keyspace import WAKE_CHANNEL
from spillgate.policy.pacing import Pause
from spillgate.server.tracking import WriteTracker
from tests.governing import fill, gateway_of, policy_of
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spillgate.server.gateway import Gateway
    from spillgate.server.tracking import Woken
    from tests.servers import Server

LONG = Pause(20.0, 4096)


@pytest.fixture
def gateway(server: Server) -> Iterator[Gateway]:
    """A gateway to the test's server."""
    gateway = gateway_of(policy_of(server.url))
    yield gateway
    gateway.close()


@pytest.fixture
def tracker(gateway: Gateway) -> Iterator[WriteTracker]:
    """A tracker that may track, connected after a first pause."""
    tracker = WriteTracker(gateway.subscribe)
    tracker.enabled = True
    tracker.wait(Pause(0.001, 4096))
    yield tracker
    tracker.close()


class Waiting:
    """A pause that runs in a thread of its own."""

    def __init__(self, tracker: WriteTracker, pause: Pause = LONG) -> None:
        self.woken: Woken | None = None
        self.took_s = 0.0
        self._thread = threading.Thread(target=self._wait, args=(tracker, pause))
        self._thread.start()

    def _wait(self, tracker: WriteTracker, pause: Pause) -> None:
        started = time.monotonic()
        self.woken = tracker.wait(pause)
        self.took_s = time.monotonic() - started

    def join(self) -> Woken:
        self._thread.join(25)
        assert self.woken is not None
        return self.woken


def while_waiting(tracker: WriteTracker, do: Callable[[], object], pause: Pause = LONG) -> Waiting:
    waiting = Waiting(tracker, pause)
    do()
    waiting.join()
    return waiting


def is_tracking(server: Server) -> bool:
    return any("t" in client["flags"] for client in server.client().client_list())


def subscribers(server: Server) -> int:
    return int(dict(server.client().pubsub_numsub(WAKE_CHANNEL)).popitem()[1])


def test_a_pause_that_nothing_happens_in_lasts(server: Server, tracker: WriteTracker) -> None:
    assert subscribers(server) == 1
    started = time.monotonic()
    woken = tracker.wait(Pause(0.3, 4096))
    assert time.monotonic() - started >= 0.3
    assert not woken.early
    assert woken.pushed_bytes < 200  # the answer to CLIENT TRACKING, no more


def test_reads_and_a_few_writes_do_not_cut_it_short(server: Server, tracker: WriteTracker) -> None:
    client = server.client()

    def little() -> None:
        eventually(lambda: is_tracking(server))
        for _ in range(200):
            client.get("app:messages:1")
        fill(client, "app:messages:", 5)

    waiting = while_waiting(tracker, little, Pause(1.0, 4096))
    assert waiting.woken is not None
    assert not waiting.woken.early
    assert 0 < waiting.woken.pushed_bytes < 1000
    assert waiting.took_s >= 1.0


def test_many_writes_cut_it_short(server: Server, tracker: WriteTracker) -> None:
    def much() -> None:
        eventually(lambda: is_tracking(server))
        fill(server.client(), "app:messages:", 3000, size=10)

    waiting = while_waiting(tracker, much)
    assert waiting.woken is not None
    assert waiting.woken.early
    assert waiting.woken.pushed_bytes >= 2000
    assert waiting.took_s < 10


def test_a_call_for_help_cuts_it_short_also_at_full_memory(server: Server, tracker: WriteTracker) -> None:
    client = server.client()
    client.config_set("maxmemory", 1)
    client.config_set("maxmemory-policy", "noeviction")
    waiting = while_waiting(tracker, lambda: client.publish(WAKE_CHANNEL, "help"))
    assert waiting.woken is not None
    assert waiting.woken.early
    assert waiting.took_s < 10


def test_another_thread_cuts_it_short_with_tracking_and_without(tracker: WriteTracker) -> None:
    for enabled in (True, False):
        tracker.enabled = enabled
        waiting = while_waiting(tracker, tracker.wake)
        assert waiting.woken is not None
        assert waiting.woken.early
        assert waiting.took_s < 10


def test_a_wake_before_the_pause_ends_it_at_once_and_only_it(tracker: WriteTracker) -> None:
    tracker.wake()
    tracker.wake()
    assert tracker.wait(LONG).early
    assert not tracker.wait(Pause(0.05, 4096)).early


def test_short_pauses_and_servers_that_forbid_it_are_not_tracked(server: Server, tracker: WriteTracker) -> None:
    tracker.wait(Pause(0.001, 4096))
    eventually(lambda: is_tracking(server))
    tracker.wait(Pause(0.001))
    eventually(lambda: not is_tracking(server))
    fill(server.client(), "app:messages:", 2000, size=10)
    assert tracker.wait(Pause(0.05)).pushed_bytes == 0
    never = WriteTracker(lambda _: pytest.fail("it connects although it is not enabled"))
    assert never.wait(Pause(0.01, 4096)).pushed_bytes == 0
    never.close()


def test_messages_of_a_pause_that_is_over_do_not_cut_the_next_one_short(server: Server, tracker: WriteTracker) -> None:
    tracker.wait(Pause(0.001, 4096))
    eventually(lambda: is_tracking(server))
    fill(server.client(), "app:messages:", 3000, size=10)
    tracker.wait(Pause(0.001))  # the governor looks often meanwhile
    started = time.monotonic()
    assert not tracker.wait(Pause(0.3, 4096)).early
    assert time.monotonic() - started >= 0.3


def test_the_server_dies_while_it_is_waited_for(server: Server, tracker: WriteTracker) -> None:
    waiting = while_waiting(tracker, server.kill)
    assert waiting.woken is not None
    assert waiting.woken.early  # a look will tell what is wrong
    assert waiting.took_s < 10
    # Without a server a pause is just a pause, and it does not fail.
    assert not tracker.wait(Pause(0.05, 4096)).early
    server.start()
    tracker.wait(Pause(0.05, 4096))
    assert subscribers(server) == 1


def test_a_server_that_hangs_makes_no_pause_longer(server: Server, tracker: WriteTracker) -> None:
    """The connection is half open: nothing comes, and nothing says that it is lost."""
    server.freeze()
    started = time.monotonic()
    assert not tracker.wait(Pause(0.2, 4096)).early
    assert not tracker.wait(Pause(0.2)).early
    assert time.monotonic() - started < 5
    server.thaw()
    waiting = while_waiting(tracker, lambda: server.client().publish(WAKE_CHANNEL, "help"))
    assert waiting.woken is not None
    assert waiting.woken.early


def test_a_connection_that_the_server_closes_is_made_anew(server: Server, tracker: WriteTracker) -> None:
    client = server.client()
    waiting = while_waiting(tracker, lambda: client.client_kill_filter(_type="pubsub"))
    assert waiting.woken is not None
    assert waiting.woken.early
    tracker.wait(Pause(0.01, 4096))
    assert subscribers(server) == 1
    assert waiting.took_s < 10


def test_waking_a_closed_tracker_does_nothing(gateway: Gateway) -> None:
    tracker = WriteTracker(gateway.subscribe)
    tracker.close()
    tracker.wake()


def test_waking_never_waits_however_often(gateway: Gateway) -> None:
    tracker = WriteTracker(gateway.subscribe)
    for _ in range(100_000):
        tracker.wake()
    assert tracker.wait(LONG).early
    tracker.close()


def test_a_process_with_many_files_open_can_wait(gateway: Gateway) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2048)), hard))
    with ExitStack() as files:
        while files.enter_context(Path(os.devnull).open("rb")).fileno() < 1100:
            pass
        tracker = WriteTracker(gateway.subscribe)
        tracker.enabled = True
        assert not tracker.wait(Pause(0.3, 4096)).early
        tracker.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
