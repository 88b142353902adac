"""Lanes: order, retries, what happens when a receiver is slow, down or the process ends."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from spillgate.alerts.delivery import Courier, Patience, Undelivered
from spillgate.alerts.notice import Kind, Moment, Notice
from spillgate.alerts.restoring import restored, unheard
from spillgate.alerts.words import trial
from spillgate.governor.clock import Clock
from spillgate.model import Level
from tests.alerting import Engine, condition
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Generator

    from spillgate.governor.history import Delivery


@dataclass(eq=False)
class Listener:
    """A receiver in this process; ``fails`` are what its next tries end with."""

    name: str = "ops"
    kind: str = "test"
    address: str = "here"
    min_level: Level = Level.WARNING
    fails: list[Exception] = field(default_factory=list[Exception])
    got: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    tries: list[str] = field(default_factory=list[str])
    opened: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.opened.set()

    def send(self, notice: Notice, message_id: str) -> None:
        self.tries.append(message_id)
        self.opened.wait(20)
        if self.fails:
            raise self.fails.pop(0)
        self.got.append((notice.key, message_id))

    @property
    def keys(self) -> list[str]:
        """What arrived."""
        return [key for key, _ in self.got]


class Post:
    """A courier whose pauses are only written down, and its log."""

    def __init__(self, *listeners: Listener, patience: Patience | None = None) -> None:
        self.log: list[Delivery] = []
        self.pauses: list[float] = []
        self.courier = Courier(listeners, self.log.append, Clock(), patience or Patience(pause=self._pause))

    def _pause(self, _: threading.Event, seconds: float) -> None:
        self.pauses.append(seconds)

    def logged(self, count: int) -> list[tuple[str, str, int, str | None]]:
        """Wait for so many lines of the log; receiver, status, attempts and error of each."""
        assert eventually(lambda: len(self.log) >= count), self.log
        return [(one.receiver, one.status, one.attempts, one.error) for one in self.log]


@pytest.fixture
def threads_end() -> Generator[None]:
    before = threading.active_count()
    yield
    assert eventually(lambda: threading.active_count() <= before)


def notice(key: str = "level", peak: Level = Level.PREVENTIVE, kind: Kind = Kind.FIRING) -> Notice:
    return Notice(kind, key, peak, peak, f"Title of {key}", "Message.", 1_800_000_000.0)


@pytest.mark.usefixtures("threads_end")
def test_notices_arrive_in_their_order_and_are_logged() -> None:
    ops = Listener()
    post = Post(ops)
    for number in range(20):
        post.courier.send(notice(f"k{number}"))
    assert post.logged(20) == [("ops", "delivered", 1, None)] * 20
    assert ops.keys == [f"k{number}" for number in range(20)]
    assert len({message_id for _, message_id in ops.got}) == 20
    assert (post.log[0].key, post.log[0].kind) == ("k0", "firing")
    assert post.courier.stop(5) == ()


def test_no_thread_is_started_before_there_is_something_to_say() -> None:
    before = threading.active_count()
    Post(Listener(), Listener("other"))
    assert threading.active_count() == before


@pytest.mark.usefixtures("threads_end")
def test_a_failed_try_is_made_again_ever_later_with_the_same_id() -> None:
    ops = Listener(fails=[Undelivered("answered 503")] * 5)
    post = Post(ops)
    post.courier.send(notice())
    assert post.logged(1) == [("ops", "delivered", 6, None)]
    assert len(set(ops.tries)) == 1
    for pause_s, wanted_s in zip(post.pauses, (15, 30, 60, 120, 240), strict=True):
        assert 0.8 * wanted_s <= pause_s <= 1.2 * wanted_s
    assert post.courier.stop(5) == ()


@pytest.mark.usefixtures("threads_end")
def test_after_six_tries_it_is_given_up_and_the_next_gets_its_turn() -> None:
    ops = Listener(fails=[Undelivered("answered 503")] * 6)
    post = Post(ops)
    post.courier.send(notice("first"))
    post.courier.send(notice("second"))
    assert post.logged(2) == [("ops", "failed", 6, "answered 503"), ("ops", "delivered", 1, None)]
    assert ops.keys == ["second"]
    post.courier.stop(5)


@pytest.mark.usefixtures("threads_end")
def test_what_is_refused_for_good_is_not_tried_again() -> None:
    post = Post(Listener(fails=[Undelivered("answered 410", final=True)]))
    post.courier.send(notice())
    assert post.logged(1) == [("ops", "failed", 1, "answered 410")]
    (state,) = post.courier.receivers
    assert (state.failing, state.last_error) == (True, "answered 410")
    post.courier.send(notice())
    post.logged(2)
    assert post.courier.receivers[0].failing is False
    post.courier.stop(5)


@pytest.mark.usefixtures("threads_end")
def test_a_receivers_own_fault_is_a_failure_that_shows_no_secret() -> None:
    post = Post(Listener(fails=[ValueError("hunter2")]), patience=Patience(tries=1))
    post.courier.send(notice())
    assert post.logged(1) == [("ops", "failed", 1, "failed with ValueError")]
    post.courier.stop(5)


def test_a_receiver_may_ask_to_wait_longer_but_not_for_ever() -> None:
    patience, rng = Patience(jitter=0.0), random.Random(1)
    assert patience.wait_s(1, None, rng) == 15
    assert patience.wait_s(1, 100.0, rng) == 100
    assert patience.wait_s(1, -5.0, rng) == 15
    assert patience.wait_s(1, 1e9, rng) == 600
    assert patience.wait_s(30, None, rng) == 600


@pytest.mark.usefixtures("threads_end")
def test_one_that_hangs_holds_up_nobody_else() -> None:
    slow, quick = Listener("slow"), Listener("quick")
    slow.opened.clear()
    post = Post(slow, quick)
    began_s = time.monotonic()
    for number in range(500):
        post.courier.send(notice(f"k{number}"))
    assert time.monotonic() - began_s < 1.0
    assert eventually(lambda: len(quick.got) >= 100)
    assert slow.got == []
    slow.opened.set()
    assert eventually(lambda: slow.keys[-1:] == ["k499"])
    assert post.courier.stop(5) == ()


@pytest.mark.usefixtures("threads_end")
def test_when_too_many_wait_the_oldest_go_and_that_is_logged() -> None:
    ops = Listener()
    ops.opened.clear()
    post = Post(ops)
    post.courier.send(notice("under way"))
    assert eventually(lambda: ops.tries)
    for number in range(105):
        post.courier.send(notice(f"k{number}"))
    assert [one.key for one in post.log] == [f"k{number}" for number in range(5)]
    assert {(one.status, one.attempts, one.error) for one in post.log} == {("dropped", 0, "too many were waiting")}
    ops.opened.set()
    post.logged(5 + 101)
    assert ops.keys == ["under way", *(f"k{number}" for number in range(5, 105))]
    post.courier.stop(5)


def test_the_end_comes_in_time_and_tells_what_was_not_delivered() -> None:
    ops = Listener()
    ops.opened.clear()
    post = Post(ops)
    post.courier.send(notice("a"))
    post.courier.send(notice("b"))
    assert eventually(lambda: ops.tries)
    began_s = time.monotonic()
    assert post.courier.stop(0.2) == ("ops: Title of a", "ops: Title of b")
    assert time.monotonic() - began_s < 2.0
    assert [one[1] for one in post.logged(2)] == ["dropped", "dropped"]
    ops.opened.set()
    post.courier.send(notice("late"))
    assert [one.key for one in post.log] == ["a", "b", "late"]


@pytest.mark.usefixtures("threads_end")
def test_at_the_end_what_waits_is_tried_once_more_without_a_pause() -> None:
    ops = Listener(fails=[Undelivered("answered 503")])
    post = Post(ops, patience=Patience(first_s=500.0))
    post.courier.send(notice("a"))
    assert eventually(lambda: post.courier.receivers[0].failing)
    post.courier.send(notice("b"))
    assert post.courier.stop(5) == ()
    assert ops.keys == ["a", "b"]


def digest(*items: Notice) -> Notice:
    return replace(notice("digest", kind=Kind.DIGEST), items=items)


@pytest.mark.usefixtures("threads_end")
def test_what_was_told_in_a_digest_is_not_told_again_after_a_restart_and_its_end_is() -> None:
    post = Post(Listener())
    post.courier.send(digest(*(notice(f"k{n}") for n in range(7)), notice("k0", kind=Kind.RECOVERED)))
    post.logged(9)
    engine = Engine(at_unix_s=post.log[0].at_unix_s + 60)
    engine.memory = restored(post.log[::-1], engine.at)
    assert len(engine.memory.sent_s) == 1
    stand = [condition(f"k{n}") for n in range(6)]
    assert engine.sees(*stand) == []
    assert [one[1:] for one in engine.lasts(200, *stand)] == [("recovered", "k6")]
    post.courier.send(digest(*(notice(f"k{n}", kind=Kind.RECOVERED) for n in range(7))))
    post.logged(17)
    assert dict(restored(post.log[::-1], engine.at).tracked) == {}
    post.courier.stop(5)


@pytest.mark.usefixtures("threads_end")
def test_what_did_not_arrive_is_owed_and_after_a_restart_too() -> None:
    ops = Listener(fails=[Undelivered("answered 400", final=True)] * 2)
    post = Post(ops, Listener("other"))
    post.courier.send(notice("a"))
    post.courier.send(replace(notice("b"), was=Level.WARNING))
    post.logged(4)
    asked: list[dict[str, bool]] = []
    post.courier.send_again(lambda owed: asked.append(dict(owed)))
    assert asked == []  # too soon
    assert unheard(post.log[::-1], Moment(0.0, post.log[-1].at_unix_s)) == {
        "ops": {"a": False, "b": False},
        "other": {},
    }
    post.courier.send(notice("c"))
    post.logged(6)
    post.courier.send_again(lambda owed: asked.append(dict(owed)))
    assert asked == [{"a": False, "b": True}]
    post.courier.send(notice("a", kind=Kind.RECOVERED))
    post.courier.send(notice("b", kind=Kind.RECOVERED))
    post.logged(10)
    assert ops.keys == ["c", "b"]
    post.courier.stop(5)


@pytest.mark.usefixtures("threads_end")
def test_who_is_told_only_of_the_worst_is_told_of_that_to_its_end() -> None:
    pager, chat = Listener("pager", min_level=Level.EMERGENCY), Listener("chat")
    post = Post(pager, chat)
    post.courier.send(notice("a", Level.PREVENTIVE))
    post.courier.send(notice("b", Level.CRITICAL, Kind.RECOVERED))
    post.courier.send(trial(1.0))
    assert eventually(lambda: len(post.log) == 5)
    assert (sorted(pager.keys), sorted(chat.keys)) == (["b", "test"], ["a", "b", "test"])
    post.courier.stop(5)


@pytest.mark.usefixtures("threads_end")
def test_other_receivers_take_over_and_who_stays_keeps_what_waits() -> None:
    stays, goes, comes = Listener("stays"), Listener("goes"), Listener("comes")
    stays.opened.clear()
    post = Post(stays, goes)
    post.courier.send(notice("a"))
    assert eventually(lambda: stays.tries and goes.got)
    post.courier.send(notice("b"))
    post.courier.replace([comes, stays])
    post.courier.send(notice("c"))
    stays.opened.set()
    assert eventually(lambda: len(stays.got) == 3)
    assert (stays.keys, comes.keys) == (["a", "b", "c"], ["c"])
    assert eventually(lambda: goes.keys == ["a", "b"])
    assert [one.name for one in post.courier.receivers] == ["comes", "stays"]
    assert post.courier.stop(5) == ()


def test_who_goes_and_hangs_is_still_told_of_at_the_end() -> None:
    goes = Listener("goes")
    goes.opened.clear()
    post = Post(goes)
    post.courier.send(notice("a"))
    assert eventually(lambda: goes.tries)
    post.courier.replace([])
    assert post.courier.receivers == ()
    assert post.courier.stop(0.1) == ("goes: Title of a",)
    goes.opened.set()
