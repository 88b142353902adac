"""Looking at the server: readings, fill rates, and the level they lead to."""

from dataclasses import fields, replace
from time import sleep

from spillgate.config import Policy
from spillgate.governor.history import History
from spillgate.model import Reading
from spillgate.policy.pacing import DEFAULT_BYTES_PER_PUSHED
from spillgate.policy.pressure import Assessment, FillRates, assess, find_limits
from spillgate.server.gateway import Gateway

# What others write between calls is gathered this long before it counts as a rate: shorter spans are mostly noise.
_RATE_SPAN_S = 0.1
# A full INFO at least this often, INFO memory in between.
_FULL_READING_S = 5.0
# Fewer pushed bytes than this say nothing about how much memory a write takes.
_LEAST_PUSHED_BYTES = 2048
_FORGET = 0.9
_GLANCE_S = 0.005


class Watch:
    """The latest reading and assessment of one server."""

    def __init__(self, policy: Policy, gateway: Gateway, history: History | None = None) -> None:
        """Start knowing nothing; ``history`` gets every reading that is taken."""
        self.policy = policy
        self.reading: Reading | None = None
        self.assessment: Assessment | None = None
        self.readings = 0
        self.bytes_per_pushed = DEFAULT_BYTES_PER_PUSHED
        self._gateway = gateway
        self._history = history
        self._rates = FillRates()
        self._grown_bytes = 0
        self._grown_s = 0.0
        self._full_at_s: float | None = None
        self._full = False  # the reading that is about to be taken tells more than memory

    def forget_server(self) -> None:
        """Another server answers now: what is known of the old one's memory is void. The level stays."""
        self.reading = self._full_at_s = None
        self._rates = FillRates()
        self._grown_bytes, self._grown_s = 0, 0.0

    def look_closely(self) -> None:
        """Take a full reading next time: something may have changed."""
        self._full_at_s = None

    def look(self) -> Reading:
        """A new reading: a full one when the last is some seconds old, else memory alone with the rest carried over.

        Raises:
            ServerError: the server failed.
        """
        now = self._gateway.now()
        full = self._full_at_s is None or not 0 <= now - self._full_at_s < _FULL_READING_S
        if not full:
            return self.carried(self._gateway.read_memory())
        reading = self._gateway.read()
        self._full_at_s, self._full = now, True
        return reading

    def glance(self, first: Reading) -> Reading:
        """Look once more right after ``first``: the pause before it says little about how fast memory fills now."""
        sleep(_GLANCE_S)
        second = _completed(self._gateway.read_memory(), first)
        self._rates = self._rates.observe(second.used_bytes - first.used_bytes, second.at_s - first.at_s)
        return second

    def carried(self, reading: Reading) -> Reading:
        """A partial reading, completed by what the last one told."""
        self._full = False
        return reading if self.reading is None else _completed(reading, self.reading)

    def take(self, reading: Reading, horizon_s: float) -> Assessment:
        """Make ``reading`` the latest, and tell the level with what is forecast for ``horizon_s`` from now.

        Raises:
            LimitUnknown: no limit is declared and the server has none.
        """
        limits = find_limits(self.policy.server, reading)
        assessment = assess(self.assessment, reading, self._rates, limits, self.policy.levels, horizon_s)
        self.reading, self.assessment = reading, assessment
        self.readings += 1
        if self._history is not None:
            self._history.observe(reading, assessment, full=self._full)
        return assessment

    def wrote(self, grown_bytes: int, seconds: float) -> None:
        """Others wrote this much in this time."""
        self._grown_bytes += grown_bytes
        self._grown_s += max(0.0, seconds)
        if self._grown_s >= _RATE_SPAN_S:
            self._rates = self._rates.observe(self._grown_bytes, self._grown_s)
            self._grown_bytes, self._grown_s = 0, 0.0

    def pushed(self, pushed_bytes: int, grown_bytes: int) -> None:
        """Learn how much memory a byte of invalidation messages stands for: the most seen lately."""
        if pushed_bytes < _LEAST_PUSHED_BYTES:
            return
        seen = grown_bytes / pushed_bytes
        self.bytes_per_pushed = max(DEFAULT_BYTES_PER_PUSHED, seen, self.bytes_per_pushed * _FORGET)


def _completed(reading: Reading, last: Reading) -> Reading:
    """A reading with what it does not tell taken from another."""
    missing = {one.name: getattr(last, one.name) for one in fields(reading) if getattr(reading, one.name) is None}
    return replace(reading, **missing)
