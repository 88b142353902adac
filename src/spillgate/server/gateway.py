"""The typed operations on one server: all that the governor ever asks of it."""

import random
from collections.abc import Callable, Iterable

from spillgate.config import ServerSettings
from spillgate.model import Reading, Rule
from spillgate.server.capabilities import Capabilities, probe
from spillgate.server.driver import Driver, PushConnection
from spillgate.server.facts import Facts
from spillgate.server.info import parse_fields, parse_reading
from spillgate.server.own_keys import OwnKeys
from spillgate.server.pipelined import Pipelined
from spillgate.server.scanning import Ask, CallBounds, CensusReply, ScanTable, SweepReply
from spillgate.server.scripted import Scripted

# Bits of a random cursor; the server masks off those beyond its table.
_RANDOM_CURSOR_BITS = 48


class Gateway:
    """One server, one connection, blocking calls.

    ``clock`` is the monotonic clock that stamps readings; ``allow`` is asked before each command how many are left
    today (None: no cap). ``database`` is a logical database other than the URL's.
    """

    def __init__(
        self,
        settings: ServerSettings,
        table: ScanTable,
        *,
        clock: Callable[[], float],
        allow: Callable[[], int | None] = lambda: None,
        rng: random.Random | None = None,
        database: int | None = None,
    ) -> None:
        """Prepare; nothing is sent before the first operation."""
        self.table = table
        self.capabilities = Capabilities(scan=True)
        self._clock = clock
        self._rng = rng or random.Random()
        self._settings = settings
        self._allow = allow
        self._driver = Driver(settings, allow=allow, database=database)
        self._others: list[Gateway] = []

    @property
    def commands(self) -> int:
        """Commands sent so far, those of `other` databases too."""
        return self._driver.commands + sum(gateway.commands for gateway in self._others)

    @property
    def database(self) -> int:
        """The number of the logical database."""
        return self._driver.database

    def now(self) -> float:
        """The monotonic clock that stamps readings."""
        return self._clock()

    def close(self) -> None:
        """Close the connection; the gateway may be used again."""
        self._driver.close()

    def subscribe(self, channel: str) -> PushConnection:
        """A second connection to the same server, for write tracking; errors as of any operation."""
        return self._driver.subscribe(channel)

    def probe(self) -> Capabilities:
        """Find out once what the server allows, and go by it from then on.

        Raises:
            ServerError: it is unreachable, loading or busy, which says nothing about what it allows.
        """
        self.capabilities = probe(self._driver.call, self.table.absent_key)
        return self.capabilities

    def read(self) -> Reading:
        """A full reading: all default sections of INFO in one command."""
        return self._parse(self._driver.call("INFO"))

    def read_memory(self) -> Reading:
        """A partial reading: INFO memory alone, cheaper while looking often."""
        return self._parse(self._driver.call("INFO", "memory"))

    def info(self) -> dict[str, str]:
        """The fields of all default sections of INFO."""
        return parse_fields(self._driver.call("INFO"))

    @property
    def facts(self) -> Facts:
        """What else the server tells of itself, as far as it is allowed."""
        return Facts(self._driver)

    @property
    def own_keys(self) -> OwnKeys:
        """Keys of our own, for those who read the same server."""
        return OwnKeys(self._driver)

    def other(self, database: int) -> "Gateway":
        """The same server's logical database of that number, on a connection of its own that is to be closed."""
        gateway = Gateway(
            self._settings, self.table, clock=self._clock, allow=self._allow, rng=self._rng, database=database
        )
        gateway.capabilities = self.capabilities
        self._others.append(gateway)
        return gateway

    def sweep(
        self, cursor: int, rules: Iterable[Rule], bounds: CallBounds, *, dry_run: bool = False, blind: bool = False
    ) -> SweepReply:
        """Visit a run of keys from ``cursor`` on, and do what ``rules`` ask for; ``blind`` to all other namespaces."""
        return self._scanner.sweep(cursor, self.table.by_name(rules, others=not blind), bounds, dry_run=dry_run)

    def census(self, cursor: int | None, bounds: CallBounds, ask: Ask, *, made_up: bool = False) -> CensusReply:
        """Look at a run of keys from ``cursor`` on (None: at random keys); nothing is changed.

        A cursor that no reply gave is ``made_up``; `Capabilities.random_cursor` tells whether the server takes such.
        """
        return self._scanner.census(cursor, bounds, ask, made_up=made_up)

    def random_cursor(self) -> int:
        """A place to start from: random where cursors are known to be bucket indices, else the beginning."""
        return self._rng.getrandbits(_RANDOM_CURSOR_BITS) if self.capabilities.random_cursor else 0

    @property
    def _scanner(self) -> Scripted | Pipelined:
        """How keys are visited, by what the server allows."""
        kind = Scripted if self.capabilities.evaluate else Pipelined
        return kind(self._driver, self.table, self.capabilities, self._parse)

    def _parse(self, info: bytes) -> Reading:
        return parse_reading(info, self._clock(), self._driver.database)
