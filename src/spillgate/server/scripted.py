"""Sweep and census by the scripts in ``lua``, each call atomic and bounded in time."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from spillgate.model import KeySample, Rule, Run, Tally
from spillgate.server.driver import Script
from spillgate.server.scanning import Ask, CallBounds, CensusReply, RuleCount, Scanner, SweepReply, covered

# Without a running clock in scripts, a microsecond of a call's budget buys this many keys at the most.
_BLIND_KEYS_PER_US = 0.3
_LEAST_KEYS = 10
_SWEEP = Script("sweep")
_CENSUS = Script("census")


class Scripted(Scanner):
    """Sweeps and censuses of a bounded run of keys each."""

    def sweep(self, cursor: int, rules: Mapping[str, Rule], bounds: CallBounds, *, dry_run: bool) -> SweepReply:
        """One call of ``sweep.lua``."""
        reply = self._driver.run(
            _SWEEP,
            cursor,
            self._most_keys(bounds),
            bounds.microseconds,
            bounds.need_bytes,
            int(dry_run),
            int(self._can.idle),
            *self._table.sweep_arguments(rules),
        )
        next_cursor, visited, expired, freed, before, info, *counts = reply
        # The script counts up to the highest index it was told of.
        named = zip(self._table.names, counts, strict=False)
        counted = {name: RuleCount(*count) for name, count in named if name in rules}
        return SweepReply(int(next_cursor), visited, max(0, expired), max(0, freed), before, self._parse(info), counted)

    def census(self, cursor: int | None, bounds: CallBounds, ask: Ask, *, made_up: bool) -> CensusReply:
        """One call of ``census.lua``."""
        asked = self._driver.ask(
            _CENSUS,
            "random" if cursor is None else cursor,
            self._most_keys(bounds),
            bounds.microseconds,
            int(made_up),
            int(self._can.idle),
            int(self._can.memory_usage),
            ask.detail_every,
            int(ask.named),
            ask.heavy_bytes,
            ask.big_bytes,
            self._table.census_groups(ask.tree),
        )
        return _CensusReply(asked, named=ask.named, at_random=cursor is None)

    def _most_keys(self, bounds: CallBounds) -> int:
        if self._can.script_clock:
            return bounds.keys
        return min(bounds.keys, max(_LEAST_KEYS, int(bounds.microseconds * _BLIND_KEYS_PER_US)))


class _CensusReply:
    """What ``census.lua`` answers, made sense of only when it is asked for: the server need not wait for that."""

    def __init__(self, asked: Callable[[], Any], *, named: bool, at_random: bool) -> None:
        self._asked = asked
        self._named = named
        self._at_random = at_random

    @cached_property
    def _reply(self) -> list[Any]:
        return self._asked()

    @property
    def cursor(self) -> int:
        return int(self._reply[0])

    @property
    def run(self) -> Run:
        return self._seen

    @cached_property
    def _seen(self) -> Run:
        _, start, visited, expired, total, squares, tallies, details, big = self._reply
        return Run(
            1.0 if self._at_random else covered(int(start), self.cursor),
            visited,
            expired,
            total,
            {tallies[i]: Tally._make(tallies[i + 1 : i + 9]) for i in range(0, len(tallies), 9)},
            *map(float, squares),
            details=_key_samples(details, named=self._named),
            biggest=_key_samples(big, named=True),
        )


def _key_samples(flat: Sequence[Any], *, named: bool) -> tuple[tuple[int, KeySample], ...]:
    if named:
        rows = zip(*(flat[i::7] for i in range(7)), strict=True)
        return tuple(
            (index, KeySample(_known(idle), _known(ttl), _known(size), name, _text(kind), _text(encoding)))
            for index, idle, ttl, size, name, encoding, kind in rows
        )
    rows = zip(*(flat[i::4] for i in range(4)), strict=True)
    return tuple((index, KeySample(_known(idle), _known(ttl), _known(size))) for index, idle, ttl, size in rows)


def _known(number: int) -> int | None:
    """Scripts say -1 for unknown, or for no TTL."""
    return None if number < 0 else number


def _text(word: bytes) -> str | None:
    return word.decode() or None
