"""Sweep and sample by the scripts in ``lua``, each call atomic and bounded in time."""

from collections.abc import Mapping

from spillgate.model import KeySample, Rule
from spillgate.server.driver import Script
from spillgate.server.scanning import CallBounds, RuleCount, SampleReply, Scanner, SweepReply

# Without a running clock in scripts, a microsecond of a call's budget buys this many keys at the most.
_BLIND_KEYS_PER_US = 0.3
_LEAST_KEYS = 10
_SWEEP = Script("sweep")
_SAMPLE = Script("sample")


class Scripted(Scanner):
    """Sweeps and samples of a bounded run of keys each."""

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

    def sample(self, cursor: int, bounds: CallBounds) -> SampleReply:
        """One call of ``sample.lua``."""
        next_cursor, visited, total, flat = self._driver.run(
            _SAMPLE,
            cursor,
            self._most_keys(bounds),
            bounds.microseconds,
            int(self._can.idle),
            int(self._can.memory_usage),
            *self._table.sample_arguments(),
        )
        numbers: list[int] = flat
        names = (None, *self._table.names)
        rows = zip(numbers[0::4], numbers[1::4], numbers[2::4], numbers[3::4], strict=True)
        seen = tuple((names[index], KeySample(known(idle), known(ttl), known(size))) for index, idle, ttl, size in rows)
        return SampleReply(int(next_cursor), visited, total, seen)

    def _most_keys(self, bounds: CallBounds) -> int:
        if self._can.script_clock:
            return bounds.keys
        return min(bounds.keys, max(_LEAST_KEYS, int(bounds.microseconds * _BLIND_KEYS_PER_US)))


def known(number: int) -> int | None:
    """Scripts say -1 for unknown, or for no TTL."""
    return None if number < 0 else number
