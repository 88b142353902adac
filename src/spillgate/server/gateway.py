"""The typed operations on one server: all that the governor ever asks of it."""

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from spillgate.config import ServerSettings
from spillgate.model import KeySample, Reading, Rule
from spillgate.server import pipelined
from spillgate.server.capabilities import Capabilities, probe
from spillgate.server.driver import Argument, Command, Driver, PushConnection, Script
from spillgate.server.info import parse_reading
from spillgate.server.scanning import CallBounds, RuleCount, SampleReply, ScanTable, SweepReply

# Bits of a random cursor; the server masks off those beyond its table.
_RANDOM_CURSOR_BITS = 48
# Without a running clock in scripts, a microsecond of a call's budget buys this many keys at the most.
_BLIND_KEYS_PER_US = 0.3


class Gateway:
    """One server, one connection, blocking calls.

    ``clock`` is the monotonic clock that stamps readings; ``allow`` is asked before each command how many are left
    today (None: no cap).
    """

    def __init__(
        self,
        settings: ServerSettings,
        table: ScanTable,
        *,
        clock: Callable[[], float],
        allow: Callable[[], int | None] = lambda: None,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; nothing is sent before the first operation."""
        self.table = table
        self.capabilities = Capabilities(scan=True)
        self._clock = clock
        self._rng = rng or random.Random()
        self._driver = Driver(settings, allow=allow)
        self._sweep = Script("sweep")
        self._sample = Script("sample")

    @property
    def commands(self) -> int:
        """Commands sent so far."""
        return self._driver.commands

    def now(self) -> float:
        """The monotonic clock that stamps readings."""
        return self._clock()

    def close(self) -> None:
        """Close the connection; the gateway may be used again."""
        self._driver.close()

    def subscribe(self, channel: str) -> PushConnection:
        """A second connection to the same server, for write tracking; errors as of any operation."""
        return self._driver.subscribe(channel)

    def call(self, *command: Argument) -> Any:
        """One command; for what runs without scripts."""
        return self._driver.call(*command)

    def pipeline(self, commands: Sequence[Command], *, optional: Collection[str] = ()) -> list[Any]:
        """Several commands in one round trip, those in ``optional`` may fail; for what runs without scripts."""
        return self._driver.pipeline(commands, optional=optional)

    def probe(self) -> Capabilities:
        """Find out once what the server allows, and go by it from then on.

        Raises:
            ServerError: it is unreachable, loading or busy, which says nothing about what it allows.
        """
        self.capabilities = probe(self._driver.call)
        return self.capabilities

    def read(self) -> Reading:
        """A full reading: all default sections of INFO in one command."""
        return parse_reading(self._driver.call("INFO"), self._clock(), self._driver.database)

    def read_memory(self) -> Reading:
        """A partial reading: INFO memory alone, cheaper while looking often."""
        return parse_reading(self._driver.call("INFO", "memory"), self._clock(), self._driver.database)

    def sweep(
        self, cursor: int, rules: Iterable[Rule], bounds: CallBounds, *, dry_run: bool = False, blind: bool = False
    ) -> SweepReply:
        """Visit a run of keys from ``cursor`` on, and do what ``rules`` ask for; ``blind`` to all other namespaces."""
        by_name = self.table.by_name(rules, others=not blind)
        if not self.capabilities.evaluate:
            return pipelined.sweep(self, cursor, by_name, bounds, dry_run=dry_run)
        keys = bounds.keys if self.capabilities.script_clock else min(bounds.keys, self._blind_keys(bounds))
        reply = self._driver.run(
            self._sweep,
            cursor,
            keys,
            bounds.microseconds,
            bounds.need_bytes,
            int(dry_run),
            int(self.capabilities.idle),
            *self.table.sweep_arguments(by_name),
        )
        next_cursor, visited, expired, freed, before, info, *counts = reply
        # The script counts up to the highest index it was told of.
        counted = {
            name: RuleCount(*count) for name, count in zip(self.table.names, counts, strict=False) if name in by_name
        }
        reading = parse_reading(info, self._clock(), self._driver.database)
        return SweepReply(int(next_cursor), visited, max(0, expired), max(0, freed), before, reading, counted)

    def sample(self, cursor: int, bounds: CallBounds) -> SampleReply:
        """Look at a run of keys from ``cursor`` on; nothing is changed."""
        if not self.capabilities.evaluate:
            return pipelined.sample(self, cursor, bounds)
        can = self.capabilities
        keys = bounds.keys if can.script_clock else min(bounds.keys, self._blind_keys(bounds))
        reply = self._driver.run(
            self._sample,
            cursor,
            keys,
            bounds.microseconds,
            int(can.idle),
            int(can.memory_usage),
            *self.table.sample_arguments(),
        )
        next_cursor, visited, total = reply[:3]
        flat: list[int] = reply[3]
        names: tuple[str | None, ...] = (None, *self.table.names)
        rows = zip(flat[0::4], flat[1::4], flat[2::4], flat[3::4], strict=True)
        seen = tuple((names[index], KeySample(known(idle), known(ttl), known(size))) for index, idle, ttl, size in rows)
        return SampleReply(int(next_cursor), visited, total, seen)

    def random_cursor(self) -> int:
        """A place to start from: random where cursors are known to be bucket indices, else the beginning."""
        return self._rng.getrandbits(_RANDOM_CURSOR_BITS) if self.capabilities.random_cursor else 0

    @staticmethod
    def _blind_keys(bounds: CallBounds) -> int:
        return max(10, int(bounds.microseconds * _BLIND_KEYS_PER_US))


def known(number: int) -> int | None:
    """Scripts say -1 for unknown, or for no TTL."""
    return None if number < 0 else number
