"""Waiting for others and leaving work to others, for tasks and for threads."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from spillgate.cache.waiting import Abandoned, AsyncFlights, AsyncHands, Flights, Hands, TookTooLong
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

HANDS = 4
SOON_S = 10.0


class Broken(Exception):
    """What work fails with here."""


# ---- flights of threads


def test_who_boards_first_leads_and_the_others_get_what_lands() -> None:
    flights: Flights[int] = Flights()
    flight, leads = flights.board("key")
    assert leads
    with ThreadPoolExecutor(8) as pool:
        followers = [flights.board("key") for _ in range(8)]
        assert followers == [(flight, False)] * 8
        waiting = [pool.submit(one.result, SOON_S) for one, _ in followers]
        flight.land(5)
        assert [one.result(SOON_S) for one in waiting] == [5] * 8
    assert flights.board("other")[1]
    flights.clear("key", flight)
    flights.clear("key", flight)
    another, leads = flights.board("key")
    assert leads
    flights.clear("key", flight)
    assert flights.board("key") == (another, False)


def test_in_place_of_a_flight_that_takes_too_long_one_leads_another_and_the_rest_join_that() -> None:
    flights: Flights[int] = Flights()
    slow, _ = flights.board("key")
    another, leads = flights.board("key", slow)
    assert leads
    assert flights.board("key", slow) == (another, False)
    flights.clear("key", slow)
    assert flights.board("key") == (another, False)


def test_a_flight_that_is_dropped_is_joined_by_nobody() -> None:
    flights: Flights[int] = Flights()
    flight, _ = flights.board("key")
    flights.drop("key")
    flights.drop("none")
    assert flight.dropped
    assert flights.board("key")[1]


def test_the_leader_is_told_that_it_would_wait_for_itself() -> None:
    flights: Flights[int] = Flights()
    flight, _ = flights.board("key")
    assert flight.mine()
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(flight.mine).result()

    async def main() -> None:
        flights: AsyncFlights[int] = AsyncFlights()
        flight, _ = flights.board("key")
        assert flight.mine()
        other = asyncio.create_task(asyncio.to_thread(lambda: None))
        await other

        async def asks() -> bool:
            return flight.mine()

        assert not await asyncio.create_task(asks())

    asyncio.run(main())


def test_of_many_threads_one_leads() -> None:
    with ThreadPoolExecutor(16) as pool:
        for _ in range(50):
            flights: Flights[int] = Flights()
            assert sum(leads for _, leads in pool.map(flights.board, ["key"] * 32)) == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Broken("x"), Broken),
        (KeyboardInterrupt(), Abandoned),
        (SystemExit(), Abandoned),
        (asyncio.CancelledError(), Abandoned),
    ],
)
def test_all_who_wait_in_threads_fail_likewise_or_are_told_that_the_work_was_given_up(
    error: BaseException, told: type[Exception]
) -> None:
    flights: Flights[int] = Flights()
    (leader, _), (follower, _) = flights.board("key"), flights.board("key")
    leader.fail(error)
    with pytest.raises(told):
        follower.result(SOON_S)


def test_a_thread_does_not_wait_longer_than_it_said() -> None:
    flights: Flights[int] = Flights()
    (leader, _), (follower, _) = flights.board("key"), flights.board("key")
    with pytest.raises(TookTooLong):
        follower.result(0.01)
    leader.land(5)
    assert follower.result(0) == 5


# ---- flights of tasks


def test_tasks_get_what_lands() -> None:
    async def main() -> None:
        flights: AsyncFlights[int] = AsyncFlights()
        leader, leads = flights.board("key")
        followers = [flights.board("key") for _ in range(8)]
        assert leads
        assert followers == [(leader, False)] * 8
        waiting = [asyncio.create_task(one.result(SOON_S)) for one, _ in followers]
        await asyncio.sleep(0)
        leader.land(5)
        assert await asyncio.gather(*waiting) == [5] * 8
        flights.clear("key", leader)
        flights.clear("key", leader)
        another, leads = flights.board("key", leader)
        assert leads
        assert flights.board("key", leader) == (another, False)
        flights.clear("key", leader)
        flights.drop("key")
        assert another.dropped
        assert flights.board("key")[1]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "told"), [(Broken("x"), Broken), (KeyboardInterrupt(), Abandoned), (asyncio.CancelledError(), Abandoned)]
)
def test_all_tasks_that_wait_fail_likewise_or_are_told_that_the_work_was_given_up(
    error: BaseException, told: type[Exception]
) -> None:
    async def main() -> None:
        flights: AsyncFlights[int] = AsyncFlights()
        leader, *followers = [flights.board("key")[0] for _ in range(4)]
        waiting = [asyncio.create_task(one.result(SOON_S)) for one in followers]
        await asyncio.sleep(0)
        leader.fail(error)
        assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [told] * 3

    asyncio.run(main())


async def computed(flights: AsyncFlights[int], work: Callable[[], Coroutine[None, None, int]]) -> tuple[int, bool]:
    """The value, and whether this caller computed it, by the way that namespaces go about it."""
    while True:
        flight, leads = flights.board("key")
        if not leads:
            try:
                return await flight.result(SOON_S), False
            except Abandoned:
                continue
        try:
            value = await work()
        except BaseException as error:
            flight.fail(error)
            raise
        else:
            flight.land(value)
            return value, True
        finally:
            flights.clear("key", flight)


def test_when_the_leader_is_cancelled_one_of_those_who_wait_takes_over() -> None:
    runs: list[int] = []

    async def main() -> None:
        release = asyncio.Event()

        async def work() -> int:
            runs.append(len(runs))
            await release.wait()
            return 5

        flights: AsyncFlights[int] = AsyncFlights()
        leader, *followers = [asyncio.create_task(computed(flights, work)) for _ in range(6)]
        await asyncio.sleep(0)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        for _ in range(10):  # until all of them have tried again
            await asyncio.sleep(0)
        release.set()
        outcomes = await asyncio.gather(*followers)
        assert [value for value, _ in outcomes] == [5] * 5
        assert sum(led for _, led in outcomes) == 1

    asyncio.run(main())
    assert runs == [0, 1]


def test_when_one_who_waits_is_cancelled_nobody_else_notices() -> None:
    async def main() -> None:
        flights: AsyncFlights[int] = AsyncFlights()
        leader, impatient, patient = (flights.board("key")[0] for _ in range(3))
        waiting = [asyncio.create_task(one.result(SOON_S)) for one in (impatient, patient)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        with pytest.raises(TookTooLong):
            await flights.board("key")[0].result(0.01)
        leader.land(5)
        assert await waiting[1] == 5

    asyncio.run(main())


def test_each_event_loop_has_its_own_flights() -> None:
    flights: AsyncFlights[int] = AsyncFlights()

    async def leads() -> bool:
        (leader, leads), (_, follows_too) = flights.board("key"), flights.board("key")
        await asyncio.sleep(0)
        assert not follows_too
        leader.land(1)
        return leads

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(asyncio.run, [leads() for _ in range(4)]))


def test_a_failure_that_nobody_waits_for_warns_of_nothing() -> None:
    """What is wrong here is an unraisable exception, or a word in the log, once the future is collected."""

    async def main() -> None:
        flights: AsyncFlights[int] = AsyncFlights()
        for error in (Broken("x"), asyncio.CancelledError()):
            flight, _ = flights.board("key")
            flight.fail(error)
            flights.clear("key", flight)
        (leader, _), (follower, _) = flights.board("key"), flights.board("key")
        with pytest.raises(TookTooLong):
            await follower.result(0.001)
        leader.fail(Broken("too late"))

    said: list[str] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: said.append(context["message"]))
    loop.run_until_complete(main())
    gc.collect()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert said == []


def test_a_flight_that_landed_or_failed_is_over() -> None:
    async def main() -> None:
        flights: AsyncFlights[int] = AsyncFlights()
        (leader, _), (follower, _) = flights.board("key"), flights.board("key")
        leader.land(5)
        leader.fail(Broken("x"))
        leader.land(6)
        assert await follower.result(SOON_S) == 5

    asyncio.run(main())
    flights: Flights[int] = Flights()
    (leader, _), (follower, _) = flights.board("key"), flights.board("key")
    leader.land(5)
    leader.fail(Broken("x"))
    leader.land(6)
    assert follower.result(SOON_S) == 5


def ignore(_loop: object, _context: object) -> None:
    """Say nothing."""


def test_a_loop_that_ends_in_the_middle_leaves_no_trouble_behind() -> None:
    """Whoever stops a loop without cancelling its tasks gets them closed by the garbage collector, outside any loop."""
    flights: AsyncFlights[int] = AsyncFlights()

    async def work() -> int:
        await asyncio.get_running_loop().create_future()
        return 5

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(ignore)  # that a task was destroyed is told to whoever stopped the loop
    coroutine = computed(flights, work)
    task = loop.create_task(coroutine)
    loop.run_until_complete(asyncio.sleep(0))
    coroutine.close()
    del task
    loop.close()
    gc.collect()

    async def main() -> tuple[int, bool]:
        async def five() -> int:
            await asyncio.sleep(0)
            return 5

        return await computed(flights, five)

    assert asyncio.run(main()) == (5, True)


# ---- hands


def test_threads_do_so_much_at_once_and_take_on_no_more() -> None:
    hands, release, done = Hands(), threading.Event(), threading.Semaphore(0)

    def work() -> None:
        release.wait(SOON_S)
        done.release()

    assert [hands.take(work) for _ in range(HANDS + 2)] == [True] * HANDS + [False] * 2
    assert hands.take(work, always=True)
    release.set()
    assert all(done.acquire(timeout=SOON_S) for _ in range(HANDS + 1))
    eventually(lambda: hands.take(work))
    hands.close()


def test_tasks_do_so_much_at_once_and_take_on_no_more() -> None:
    async def main() -> None:
        hands, release, done = AsyncHands(), asyncio.Event(), 0

        async def work() -> None:
            nonlocal done
            await release.wait()
            done += 1

        assert [hands.take(work) for _ in range(HANDS + 2)] == [True] * HANDS + [False] * 2
        assert hands.take(work, always=True)
        release.set()
        for _ in range(3):
            await asyncio.sleep(0)
        assert done == HANDS + 1
        assert hands.take(work)
        await hands.aclose()

    asyncio.run(main())


def test_work_of_threads_that_fails_is_logged_and_its_hand_is_free_again(caplog: pytest.LogCaptureFixture) -> None:
    hands = Hands()

    def work() -> None:
        raise Broken("the reason")

    for number in range(3 * HANDS):
        eventually(lambda: hands.take(work))
        eventually(lambda number=number: len(caplog.records) > number)
    assert {record.getMessage() for record in caplog.records} == {"work in the background failed: Broken: the reason"}
    assert {(record.name, record.levelname) for record in caplog.records} == {("spillgate.cache", "WARNING")}


def test_work_of_tasks_that_fails_is_logged_and_its_hand_is_free_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        hands = AsyncHands()

        async def work() -> None:
            await asyncio.sleep(0)
            raise Broken("the reason")

        for _ in range(3 * HANDS):
            assert hands.take(work)
            for _ in range(3):
                await asyncio.sleep(0)

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "work in the background failed: Broken: the reason"
    ] * 12


def test_closing_gives_up_what_is_not_done() -> None:
    given_up: list[int] = []

    async def main() -> None:
        hands = AsyncHands()

        async def work() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                given_up.append(1)

        for _ in range(HANDS):
            hands.take(work)
        await asyncio.sleep(0)
        await hands.aclose()
        assert len(given_up) == HANDS
        assert hands.take(work)
        await hands.aclose()
        await hands.aclose()

    asyncio.run(main())


def test_closing_in_one_loop_leaves_the_work_of_another_alone() -> None:
    hands, ready, release, done = AsyncHands(), threading.Event(), threading.Event(), threading.Event()

    async def work() -> None:
        ready.set()
        while not release.is_set():  # noqa: ASYNC110 (the event is another thread's)
            await asyncio.sleep(0.001)
        done.set()

    async def elsewhere() -> None:
        hands.take(work)
        while not done.is_set():  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.001)

    other = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    other.start()
    assert ready.wait(SOON_S)
    asyncio.run(hands.aclose())
    release.set()
    assert done.wait(SOON_S)
    other.join(SOON_S)


def test_hands_of_a_loop_that_ended_are_free_again() -> None:
    hands = AsyncHands()

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    async def take() -> bool:
        await asyncio.sleep(0)
        return hands.take(forever)

    for _ in range(3 * HANDS):
        assert asyncio.run(take())
