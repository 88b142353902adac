"""Sharing out memory among namespaces, against trying out everything."""

from __future__ import annotations

import math
from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from spillgate.policy.ttl_choice import Option, choose, envelope, ttls_between

OPTIONS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=5, unique_by=lambda one: one[0]
)


def menu_of(pairs: list[tuple[int, int]]) -> list[Option]:
    """Options of these (bytes, worth), a longer TTL for each that takes more."""
    return [Option(float(number), float(size), float(worth)) for number, (size, worth) in enumerate(sorted(pairs))]


MENUS = st.lists(OPTIONS.map(menu_of), min_size=1, max_size=4)


def worth(options: tuple[Option, ...]) -> float:
    """All of them together."""
    return sum(option.worth for option in options)


def best(menus: list[list[Option]], room: float) -> float | None:
    """The most that anything which fits is worth; None where nothing does."""
    fitting = (each for each in product(*menus) if sum(option.bytes for option in each) <= room)
    return max((sum(option.worth for option in each) for each in fitting), default=None)


@given(MENUS, st.integers(0, 250))
def test_it_is_within_one_segment_of_the_best(menus: list[list[Option]], room: int) -> None:
    chosen = choose(menus, room)
    assert all(option in menu for option, menu in zip(chosen, menus, strict=True))
    most = best(menus, room)
    if most is None:
        assert [option.bytes for option in chosen] == [min(one.bytes for one in menu) for menu in menus]
        return
    assert sum(option.bytes for option in chosen) <= room
    segments = [after.worth - before.worth for menu in menus for before, after in pairwise(envelope(menu))]
    assert worth(chosen) >= most - max(segments, default=0)


@given(st.lists(st.lists(st.integers(0, 40), max_size=5), min_size=1, max_size=4), st.integers(0, 25))
def test_it_is_the_best_where_each_step_is_of_one_size_and_wins_less_than_the_one_before(
    gains: list[list[int]], room: int
) -> None:
    falling = (sorted(one, reverse=True) for one in gains)
    menus = [[Option(float(n), float(n), float(sum(one[:n]))) for n in range(len(one) + 1)] for one in falling]
    assert worth(choose(menus, room)) == best(menus, room)


@given(MENUS, st.integers(0, 250), st.integers(0, 250))
def test_more_room_never_makes_it_worth_less(menus: list[list[Option]], one: int, other: int) -> None:
    assert worth(choose(menus, min(one, other))) <= worth(choose(menus, max(one, other)))


@given(OPTIONS.map(menu_of))
def test_an_envelope_is_concave_and_nothing_is_above_it(menu: list[Option]) -> None:
    hull = envelope(menu)
    rates = [(after.worth - before.worth) / (after.bytes - before.bytes) for before, after in pairwise(hull)]
    assert all(rate > 0 for rate in rates)
    assert all(earlier > later for earlier, later in pairwise(rates))
    assert hull[-1].worth == max(option.worth for option in menu)
    for option in menu:
        for before, after in pairwise(hull):
            if before.bytes <= option.bytes <= after.bytes:
                part = (option.bytes - before.bytes) / (after.bytes - before.bytes)
                assert option.worth <= before.worth + part * (after.worth - before.worth) + 1e-9


def test_room_without_end_takes_all_that_is_worth_anything() -> None:
    menu = menu_of([(1, 1), (2, 5), (9, 5), (20, 6)])
    assert choose([menu], math.inf)[0].worth == 6
    assert choose([menu], 9)[0].bytes == 2  # what takes more and is worth no more is not taken


def test_ttls_are_those_that_people_choose() -> None:
    assert ttls_between(300, 900) == (300, 360, 420, 480, 600, 720, 900)
    assert ttls_between(10, 86_400)[0] == 10
    assert ttls_between(100_000, 200_000) == ()
