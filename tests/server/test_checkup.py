"""The examination of a governed server, now and then and only while all is calm."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from spillgate.checkup import Checkup
from spillgate.config import MonitorSettings
from spillgate.governor.clock import Clock
from spillgate.governor.loop import Governor
from tests.governing import MB, fill, policy_of
from tests.programs import fill_up, stock
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.servers import Server


class Turned:
    """A monotonic clock that tests turn."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def governed(server: Server, **monitor: float) -> Generator[tuple[Governor, Checkup, Turned]]:
    """A governor that has looked once, and a checkup whose steps the test takes."""
    policy = policy_of(server.url)
    policy = replace(policy, monitor=replace(MonitorSettings(), **monitor))
    turned = Turned()
    governor = Governor(policy)
    try:
        governor.cycle()
        yield governor, Checkup(governor, clock=Clock(monotonic=turned)), turned
    finally:
        governor.close()


def test_it_finds_what_the_doctor_finds_and_names_no_keys(server: Server) -> None:
    client = stock(server)
    client.set("app:sessions:who@example.com", b"x" * 2 * MB)
    with governed(server) as (_, checkup, _):
        checkup.step()
        assert checkup.latest is not None
        findings = checkup.latest.examination.diagnosis.findings
        assert findings
        assert not any("who@example.com" in f"{one.text} {one.examples} {one.fix}" for one in findings)
        assert checkup.why_not is None
        assert "cache-without-eviction" not in {one.check for one in findings}, "a governor runs: this one"


def test_it_looks_again_when_its_time_has_come(valkey: Server) -> None:
    stock(valkey)
    with governed(valkey, checkup_s=3600.0) as (_, checkup, turned):
        assert checkup.next_in_s is None
        assert checkup.step() == 300
        first = checkup.latest
        assert checkup.next_in_s == 3600
        turned.now_s += 3599
        assert checkup.step() == 1
        assert checkup.latest is first
        turned.now_s += 1
        checkup.step()
        assert checkup.latest is not first


def test_it_waits_while_the_governor_has_other_worries(valkey: Server) -> None:
    client = fill_up(stock(valkey), 0.9, prefix="elsewhere:more:")
    with governed(valkey) as (governor, checkup, _):
        assert governor.state.level_label != "normal"
        before = client.info("stats")["total_commands_processed"]
        assert checkup.step() == 60
        assert checkup.latest is None
        assert client.info("stats")["total_commands_processed"] == before + 1


def test_plans_that_meter_commands_and_zero_intervals_are_not_examined(valkey: Server) -> None:
    stock(valkey)
    with governed(valkey, commands_per_day=10_000) as (_, checkup, _):
        assert checkup.step() == 60
        assert (checkup.latest, checkup.library) == (None, None)
        assert "meters commands" in (checkup.why_not or "")
    with governed(valkey, checkup_s=0.0) as (_, checkup, _):
        assert checkup.step() == 300
        assert checkup.latest is None
        assert "switched off" in (checkup.why_not or "")


# In a process of its own: only some two dozen namespaces of a process are noted, and tests have many more.
USER = """
import sys
from spillgate import Cache
from tests.governing import policy_of
with Cache(policy_of(sys.argv[1])) as cache:
    messages = cache.namespace("messages", type=str)
    messages.set("1", "one")
    for key in ("1", "1", "1", "2"):
        messages.get(key)
    cache._client.recorder.due_s = 0.0
    messages.get("1")
"""


def test_what_the_cache_library_published_is_read(valkey: Server) -> None:
    stock(valkey)
    subprocess.run([sys.executable, "-c", USER, valkey.url], check=True, timeout=30)
    with governed(valkey) as (_, checkup, turned):
        checkup.step()
        assert checkup.library is not None
        found = checkup.library.recording["messages"]
        assert (found.reads, found.hits) in {(5, 4), (4, 3)}
        first = checkup.library
        turned.now_s += 299
        checkup.step()
        assert checkup.library is first
        turned.now_s += 1
        checkup.step()
        assert checkup.library is not first


def test_without_the_library_there_is_nothing_to_read(valkey: Server) -> None:
    stock(valkey)
    with governed(valkey) as (_, checkup, _):
        checkup.step()
        assert checkup.library is None


def test_the_thread_examines_by_itself_and_ends_in_the_middle(valkey: Server) -> None:
    client = stock(valkey)
    fill(client, "app:pages:", 20_000, 10)
    policy = policy_of(valkey.url)
    with Governor(policy) as governor:
        eventually(lambda: governor.state.assessment)
        with Checkup(governor, first_s=0.0) as checkup:
            eventually(lambda: checkup.latest, 20)
        with Checkup(governor, first_s=0.0):
            pass  # it does not wait for an examination to end
    eventually(lambda: client.info("clients")["connected_clients"] == 1)


def test_a_server_that_goes_away_is_told_and_examined_when_it_is_back(valkey: Server) -> None:
    stock(valkey)
    policy = policy_of(valkey.url)
    with Governor(policy) as governor, Checkup(governor, first_s=3600.0) as checkup:
        eventually(lambda: governor.state.assessment)
        valkey.kill()
        governor.wake()
        eventually(lambda: governor.state.unreadable)
        assert checkup.step() == 60
        valkey.restart()
        client = valkey.client()
        client.config_set("maxmemory", 25 * MB)
        eventually(lambda: governor.state.assessment and not governor.state.unreadable, 15)
        checkup.step()
        assert checkup.latest is not None
