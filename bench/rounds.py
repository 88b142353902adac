"""Contenders timed in turn: A B C A B C, so that what else the machine does hits all alike."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

Work = Callable[[], object]
AsyncWork = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Rounds:
    """The seconds that each contender took for one and the same work, by its name: one number a round."""

    seconds: Mapping[str, Sequence[float]]

    def median_s(self, who: str) -> float:
        """Of all rounds."""
        return statistics.median(self.seconds[who])

    def times_as_fast(self, who: str, other: str) -> float:
        """How many times as fast as the other: the median of the rounds, each compared within itself."""
        pairs = zip(self.seconds[who], self.seconds[other], strict=True)
        return statistics.median(theirs / ours for ours, theirs in pairs)

    def more_s(self, who: str, other: str) -> float:
        """How much longer than the other, likewise."""
        pairs = zip(self.seconds[who], self.seconds[other], strict=True)
        return statistics.median(ours - theirs for ours, theirs in pairs)

    def fastest(self, whos: Sequence[str]) -> str:
        """The one of these whose median is the lowest."""
        return min(whos, key=self.median_s)


def in_turn(works: Mapping[str, Work], rounds: int) -> Rounds:
    """Time each work once a round, the first of which is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            started_s = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - started_s)
    return Rounds(seconds)


async def tasks_in_turn(works: Mapping[str, AsyncWork], rounds: int) -> Rounds:
    """As `in_turn`, for tasks."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            started_s = time.perf_counter()
            await work()
            if number:
                seconds[name].append(time.perf_counter() - started_s)
            await asyncio.sleep(0)
    return Rounds(seconds)
