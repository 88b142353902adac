"""Sharing out memory: one option for each namespace, so that what they are worth together is the most that fits.

Of each namespace's options only those on the concave envelope of worth over bytes matter, for any other is beaten by a
mixture of two of them (convex hulls of miss curves: Beckmann and Sanchez, "Talus", HPCA 2015). Along envelopes the next
byte is best spent where it gains most, so segments are taken by their slope until one does not fit (marginal analysis:
Fox, "Discrete optimization via marginal analysis", Management Science 13, 1966). That is within one segment of the
best there is, and the best itself where the segments are of equal size; tests/unit/test_ttl_choice.py compares.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_TTLS_S = (
    *(10, 15, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300, 360, 420, 480, 600, 720, 900, 1200, 1500, 1800, 2400, 2700),
    *(3600, 4500, 5400, 7200, 9000, 10_800, 14_400, 18_000, 21_600, 28_800, 36_000, 43_200, 64_800, 86_400),
)


@dataclass(frozen=True, slots=True)
class Option:
    """A TTL, the bytes that it takes, and what its hits are worth a second."""

    ttl_s: float
    bytes: float
    worth: float


def ttls_between(least_s: float, most_s: float) -> tuple[float, ...]:
    """The TTLs that people choose, from ``least_s`` to ``most_s``."""
    return tuple(float(ttl) for ttl in _TTLS_S if least_s <= ttl <= most_s)


def envelope(options: Iterable[Option]) -> tuple[Option, ...]:
    """Those on the concave envelope, fewest bytes first: each is worth more than the one before, at a lower rate."""
    hull: list[Option] = []
    for option in sorted(options, key=lambda one: (one.bytes, -one.worth, one.ttl_s)):
        if hull and option.worth <= hull[-1].worth:
            continue
        while len(hull) > 1 and _rate(hull[-2], hull[-1]) <= _rate(hull[-1], option):
            hull.pop()
        hull.append(option)
    return tuple(hull)


def choose(menus: Sequence[Sequence[Option]], room_bytes: float) -> tuple[Option, ...]:
    """One option of each menu, worth the most together in ``room_bytes``; the cheapest ones where nothing fits.

    More room never makes them worth less. No menu may be empty.
    """
    hulls = [envelope(menu) for menu in menus]
    chosen = [hull[0] for hull in hulls]
    left = room_bytes - sum(option.bytes for option in chosen)
    if left < 0:
        return tuple(chosen)
    steps = [
        (number, hull[place], hull[place + 1]) for number, hull in enumerate(hulls) for place in range(len(hull) - 1)
    ]
    for number, before, after in sorted(steps, key=lambda step: (-_rate(step[1], step[2]), step[0])):
        if after.bytes - before.bytes > left:
            chosen[number] = _part_of_the_way(menus[number], before, left)
            break
        left -= after.bytes - before.bytes
        chosen[number] = after
    return tuple(chosen)


def _part_of_the_way(menu: Iterable[Option], before: Option, left: float) -> Option:
    """Of a segment that does not fit, the best of the options beneath it that does."""
    fitting = (option for option in menu if before.bytes <= option.bytes <= before.bytes + left)
    return max(fitting, key=lambda option: (option.worth, -option.bytes), default=before)


def _rate(before: Option, after: Option) -> float:
    """What a byte more is worth."""
    more = after.bytes - before.bytes
    return (after.worth - before.worth) / more if more > 0 else float("inf")
