"""TTLs that a governor adjusts on a real server: what it caps, what it publishes, and what the cache library writes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spillgate import Cache
from spillgate.checkup import Checkup, Library
from spillgate.config import Policy, TtlMode
from spillgate.foresight.advising import advise
from spillgate.foresight.steering import Adviser, HitRatios, recommended
from spillgate.governor.journal import Event
from spillgate.governor.loop import Governor
from spillgate.keyspace.ttls import TTLS_KEY, InForce, read
from spillgate.model import Level
from spillgate.web import views
from tests.governing import LIMIT, HandClock, fill, fill_to, governing, level, policy_of, told, ttls, used
from tests.recording import HandClock as Passing
from tests.recording import recorder_by
from tests.servers import eventually

if TYPE_CHECKING:
    from spillgate.cache.recording import Recording
    from tests.servers import Server

AUTO = '[monitor]\nttl_mode = "auto"'
MINUTE = 60.0


def auto(server: Server, **namespace: object) -> Policy:
    """Everything that may go is left to the governor; ``namespace`` is what else is edited of messages."""
    policy = policy_of(server.url, server=f"limit = {LIMIT}", tables=AUTO)
    edited = (replace(ns, **namespace) if ns.name == "messages" else ns for ns in policy.namespaces)
    return replace(policy, namespaces=tuple(edited))


def go_on(governor: Governor, clock: HandClock, minutes: int = 11, **recommended: float) -> None:
    """So many minutes with a look each, and the same recommendation."""
    for _ in range(minutes):
        clock.turn(MINUTE)
        if recommended:
            governor.recommend(recommended)
        governor.cycle()


def published(server: Server) -> dict[str, InForce]:
    """What applications are told."""
    return read(server.client().get(TTLS_KEY))


def in_force(governor: Governor) -> dict[str, float]:
    """The TTLs that are others than the policy's."""
    return {name: one.ttl_s for name, one in governor.state.steering.adjusted.items()}


@pytest.mark.kinds("valkey-9.1")
def test_applications_write_with_the_ttl_in_force_until_it_is_undone(server: Server) -> None:
    policy, clock = auto(server, jitter=0.0), HandClock()
    client = server.client()
    with governing(policy, clock) as governor, Cache(policy) as cache:
        messages = cache.namespace("messages")

        def written() -> float:
            messages.set("1", "hello")
            return round(messages.ttl("1") or 0)

        governor.cycle()
        assert written() == 1800
        assert client.get(TTLS_KEY) is None, "nothing is published while nothing differs"
        sent = governor.state.commands
        go_on(governor, clock, messages=600.0)
        assert in_force(governor) == {"messages": 1620}
        assert published(server) == {"messages": InForce(1620, 1800)}
        assert 0 < client.pttl(TTLS_KEY) <= 300_000
        assert governor.state.commands - sent <= 4 * 11 + 1, "one more command than without"
        eventually(lambda: written() == 1620)
        line = "messages: the TTL changes from 30m to 27m (the policy file has 30m), because 10m is recommended"
        assert line in told(governor, Event.POLICY)
        row = {str(one["name"]): one for one in map(views.row, views.namespaces(governor.state))}["messages"]
        assert (row["ttl_s"], row["ttl_file_s"], row["ttl_reason"]) == (
            1620, 1800, "10m is recommended, a tenth at a time",
        )  # fmt: skip

        # Its key is kept alive, and made anew where the server has lost it.
        client.pexpire(TTLS_KEY, 30_000)
        go_on(governor, clock, 2, messages=1620.0)
        assert client.pttl(TTLS_KEY) > 200_000
        client.delete(TTLS_KEY)
        go_on(governor, clock, 2, messages=1620.0)
        assert published(server) == {"messages": InForce(1620, 1800)}

        # An edit counts at once, and applications that have read it do not wait to be told.
        edited = auto(server, jitter=0.0, ttl_s=1200.0)
        with Cache(edited) as newer:
            for _ in range(2):  # by the second it has looked
                newer.namespace("messages").set("2", "hello")
            assert round(newer.namespace("messages").ttl("2") or 0) == 1200
        governor.reload(edited)
        governor.cycle()
        assert (in_force(governor), client.get(TTLS_KEY)) == ({}, None)
        eventually(lambda: written() == 1800)  # as the policy has it by which this one was started


@pytest.mark.kinds("valkey-9.1")
def test_caps_are_shortened_slowly_and_come_back_at_once(server: Server) -> None:
    clock, client = HandClock(), server.client()
    with governing(auto(server), clock) as governor:

        def capped() -> int:
            """The TTL to which loss-free cleanup cuts a longer one."""
            fill(client, "app:messages:long:", 1, ttl_s=7200)
            fill_to(client, 0.82)
            for _ in range(3):
                clock.turn(20)
                governor.cycle()
                assert level(governor) is Level.PREVENTIVE
            cut = ttls(client, "app:messages:long:*").popitem()[1]
            client.flushall()
            clock.turn(MINUTE)
            for _ in range(5):
                clock.turn(20)
                governor.cycle()
            assert level(governor) < Level.PREVENTIVE
            return cut

        governor.cycle()
        assert 1790 <= capped() <= 1800
        go_on(governor, clock, 13, messages=600.0)
        assert 1610 <= capped() <= 1620
        governor.recommend({"messages": 1800.0})
        governor.cycle()
        assert 1790 <= capped() <= 1800
        assert used(client) < 0.5 * LIMIT


@pytest.mark.kinds("valkey-9.1")
def test_another_governor_goes_on_and_who_only_looks_sees_it(server: Server) -> None:
    policy, clock = auto(server), HandClock()
    with governing(policy, clock) as governor:
        governor.cycle()
        go_on(governor, clock, messages=600.0)
    with closing(Governor(policy)) as looking:
        assert looking.look().steering.adjusted["messages"].ttl_s == 1620
        assert "TTL" not in told(looking, Event.POLICY)
    with Governor(policy, seed=1) as restarted:
        eventually(lambda: in_force(restarted) == {"messages": 1620.0})
        eventually(lambda: restarted.state.census)
        assert "messages: the TTL stays 27m (the policy file has 30m)" in told(restarted, Event.POLICY)
    with closing(Governor(policy)) as ticking:
        ticking.cycle()
        assert in_force(ticking) == {}
    assert published(server) == {"messages": InForce(1620, 1800)}, "one cycle takes nothing from another governor"


@pytest.mark.kinds("valkey-9.1")
def test_what_is_not_allowed_is_told_and_applied_nowhere(server: Server) -> None:
    clock, client = HandClock(), server.client()
    with governing(auto(server), clock, dry_run=True) as dry:
        go_on(dry, clock, messages=600.0)
        assert "messages: the TTL would change from 30m to 27m" in told(dry, Event.POLICY)
        assert (in_force(dry), client.get(TTLS_KEY)) == ({}, None)
        assert dry.state.in_force is dry.state.policy
    metered = auto(server)
    metered = replace(metered, monitor=replace(metered.monitor, commands_per_day=100_000))
    with governing(auto(server), clock) as governor:
        governor.cycle()
        governor.reload(metered)
        go_on(governor, clock, messages=600.0)
        assert in_force(governor) == {}
        assert 'ttl_mode = "auto" does nothing on a plan that meters commands' in told(governor, Event.POLICY)
    client.acl_setuser("least", enabled=True, passwords=["+p"], commands=["+@all", "-set", "-get"], keys=["*"])
    least = auto(server)
    url = server.url.replace("redis://", "redis://least:p@")
    with governing(replace(least, server=replace(least.server, url=url)), clock) as governor:
        go_on(governor, clock, 22, messages=600.0)
        assert in_force(governor) == {"messages": pytest.approx(1458)}, "caps need nobody else"
        complaints = [one for one in governor.journal.entries() if "could not be published" in one.message]
        assert len(complaints) == 1
        assert governor.state.error is None
    with closing(Governor(replace(least, server=replace(least.server, url=url)))) as looking:
        assert looking.look().error is None
    with pytest.raises(ValueError, match="expected a TTL above 0 seconds for the namespace 'messages', got nan"):
        looking.recommend({"messages": float("nan")})


# ---- what is recommended


def recorded(*, late: bool = False) -> Recording:
    """Three hours: each minute values are written, and read within the next; a third is once more read ``late``."""
    clock = Passing()
    recorder = recorder_by(clock)
    tracks = [recorder.track(name) for name in ("messages", "tasks", "sessions")]
    begun_s = clock.now_s
    written = [(minute * 60.0, f"{minute}:{number}", 0) for minute in range(180) for number in range(6)]
    reads = [(at_s + again_s, key, 1000) for at_s, key, _ in written for again_s in (20, 40, 60)]
    reads += [(at_s + 1700, key, 1000) for at_s, key, _ in written if late and key[-1] in "03"]
    for at_s, key, size in sorted(written + reads):
        clock.now_s = begun_s + at_s
        for track in tracks:
            track.read(key, size)
            if not size:
                track.write(key, 1000, 0.002)
    return recorder.snapshot()


@pytest.mark.kinds("valkey-9.1")
def test_recordings_lead_to_a_shorter_ttl_of_what_is_left_to_the_governor_alone(server: Server) -> None:
    clock = HandClock()
    fill(server.client(), "app:messages:", 100)
    with governing(auto(server, jitter=0.0), clock) as governor:
        checkup = Checkup(governor)
        adviser = Adviser(governor, checkup, clock=clock.clock)
        governor.cycle()
        assert adviser.step() == MINUTE, "nothing was recorded yet"
        seen = recorded()
        for _ in range(11):
            clock.turn(MINUTE)
            checkup.library = Library(clock.wall_s, seen)
            assert adviser.step() == 5 * MINUTE
            governor.cycle()
        assert in_force(governor) == {"messages": 1620}
        checkup.library = Library(clock.wall_s - 2 * 3600, seen)
        assert adviser.step() == MINUTE, "recordings of long ago tell nothing"
        governor.reload(
            replace(governor.state.policy, monitor=replace(governor.state.policy.monitor, ttl_mode=TtlMode.ADVISE))
        )
        governor.cycle()
        assert in_force(governor) == {}
        checkup.library = Library(clock.wall_s, seen)
        assert adviser.step() == MINUTE


@pytest.mark.kinds("valkey-9.1")
def test_what_is_expected_to_lose_many_hits_is_left_to_the_user(server: Server) -> None:
    seen = Library(0.0, recorded(late=True))
    with governing(auto(server, jitter=0.0)) as governor:
        governor.cycle()
        state = governor.state
        assert state.census is not None
        short = replace(state, policy=replace(state.policy, server=replace(state.policy.server, limit_bytes=100_000)))
        (messages,) = [
            one
            for one in advise(short.policy, state.census, seen.recording, used_bytes=10 * LIMIT).advices
            if one.name == "messages"
        ]
        assert messages.recommended_s is not None
        assert messages.recommended_s < 900, "memory is short"
        assert recommended(short, state.census, seen)["messages"] == 1800


def test_hit_ratios_are_those_of_late() -> None:
    clock = Passing()
    recorder = recorder_by(clock)
    track = recorder.track("messages")
    ratios = HitRatios()

    def pass_by(reads: int, hits: int, seconds: float = 300.0) -> float | None:
        for number in range(reads):
            clock.now_s += seconds / reads
            track.read(f"{number % 50}", 10 if number < hits else 0)
        return ratios.saw(Library(clock.now_s, recorder.snapshot()))["messages"]

    assert pass_by(4000, 4000) is None, "since when is not known"
    assert pass_by(4000, 3000) == 0.75
    assert pass_by(2000, 0) == 0.75, "too few to tell"
    assert pass_by(2000, 2000) == 0.5
    recorder.forget()  # a forked process, which is another one
    assert pass_by(4000, 0) is None
    assert pass_by(4000, 4000) == 1.0
    assert ratios.saw(Library(0.0, recorder.snapshot()))["messages"] == 1.0
