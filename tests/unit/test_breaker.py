"""Who goes to a server that failed, and who does not wait for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.cache.breaker import Breaker


def broken(failures: int = 3, retry_s: float = 1.0) -> Breaker:
    """A breaker that opened at 100 s."""
    breaker = Breaker(failures, retry_s)
    for _ in range(failures):
        breaker.failed(100.0)
    return breaker


@pytest.mark.parametrize("failures", [1, 3])
def test_it_opens_after_so_many_failures_in_a_row_and_says_so_once(failures: int) -> None:
    breaker = Breaker(failures, 1.0)
    assert [breaker.failed(100.0) for _ in range(failures + 2)] == [False] * (failures - 1) + [True, False, False]
    assert breaker.open
    assert not breaker.admits(100.5)


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker(3, 1.0)
    for _ in range(10):
        breaker.failed(100.0)
        breaker.failed(100.0)
        breaker.succeeded()
    assert not breaker.open
    assert all(breaker.admits(100.0) for _ in range(10))


def test_open_it_lets_one_try_each_time_that_retry_is_over() -> None:
    breaker = broken()
    assert not breaker.admits(100.999)
    assert [breaker.admits(101.0) for _ in range(3)] == [True, False, False]
    assert breaker.open
    assert [breaker.admits(102.0), breaker.admits(102.0)] == [True, False]  # the one before never came back


def test_who_is_on_trial_decides_for_all() -> None:
    breaker = broken()
    assert breaker.admits(101.0)
    breaker.succeeded()
    assert not breaker.open
    assert all(breaker.admits(101.0) for _ in range(10))

    breaker = broken()
    assert breaker.admits(101.0)
    assert not breaker.failed(101.5)  # it was open already
    assert not breaker.admits(102.4)
    assert breaker.admits(102.5)


def test_it_opens_again_after_it_was_closed() -> None:
    breaker = broken()
    breaker.succeeded()
    assert [breaker.failed(200.0) for _ in range(3)] == [False, False, True]
    assert breaker.open


def test_of_many_threads_one_tries() -> None:
    breaker = broken(retry_s=1.0)
    with ThreadPoolExecutor(16) as pool:
        for second in range(101, 121):
            assert sum(pool.map(breaker.admits, [float(second)] * 64)) == 1


def test_of_many_threads_that_fail_at_once_one_is_told_that_it_opened() -> None:
    with ThreadPoolExecutor(16) as pool:
        for _ in range(20):
            breaker = Breaker(3, 1.0)
            assert sum(pool.map(breaker.failed, [100.0] * 64)) == 1


@given(st.lists(st.tuples(st.floats(0, 0.7), st.booleans()), max_size=60), st.integers(1, 4))
def test_whatever_happens_nobody_waits_more_than_once_in_retry_after_the_server_is_given_up(
    steps: list[tuple[float, bool]], failures: int
) -> None:
    breaker = Breaker(failures, 1.0)
    now_s, failed_in_a_row, last_failure_s = 0.0, 0, -10.0
    for passed_s, works in steps:
        now_s += passed_s
        given_up = failed_in_a_row >= failures
        assert breaker.open is given_up
        if not breaker.admits(now_s):
            assert given_up
            assert now_s < last_failure_s + 1.0
        elif works:
            breaker.succeeded()
            failed_in_a_row = 0
        else:
            assert not given_up or now_s >= last_failure_s + 1.0
            breaker.failed(now_s)
            failed_in_a_row, last_failure_s = failed_in_a_row + 1, now_s
