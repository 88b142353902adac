"""A projection checked by doing it: objects like those that are there are loaded into an empty server."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from spillgate.census.overhead import databases
from spillgate.config import NamespacePolicy, Policy, ServerSettings
from spillgate.errors import ConfigError
from spillgate.foresight.growing import capacity, collect, usages_of
from spillgate.foresight.growing_copies import Copies, Shape, glob_of, shapes_of
from spillgate.foresight.growing_scales import Scale
from spillgate.foresight.growing_settling import settled
from spillgate.model import Survey
from spillgate.policy.capacity import Capacity, Projection
from spillgate.policy.capacity_layout import Layout
from spillgate.policy.capacity_model import CONNECTIONS
from spillgate.server.driver import Driver
from spillgate.server.gateway import Gateway
from spillgate.server.info import parse_fields
from spillgate.server.scanning import ScanTable
from spillgate.units import format_bytes

MOST_BYTES = 1 << 30
_TIMEOUT_S = 120.0
_STEP = 5000
_ASSUMED_NAME_BYTES = 32


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of a projection. ``on`` is the kind of server that it was loaded into, ``note`` what was compared."""

    name: str
    predicted_bytes: float
    measured_bytes: float
    objects: int
    on: str
    note: str

    @property
    def error(self) -> float:
        """Above 0 where more was predicted than measured."""
        return (self.predicted_bytes - self.measured_bytes) / self.measured_bytes


def verify(
    survey: Survey,
    found: Capacity,
    projection: Projection,
    url: str,
    on_progress: Callable[[int, int], None] = lambda _done, _wanted: None,
) -> Verified:
    """Load today's objects, then those of the ``projection``, into the empty server at ``url``, and compare.

    Into a server of the same kind: what is used now and what the load added are held against the prediction. Into one
    of another kind, where objects take something else: the copies of today's objects are projected there. What was
    written is deleted at the end. ``on_progress`` is called with the objects written and to be written.

    Raises:
        ConfigError: the server is not empty, or the projection is too large.
        ServerError: the server failed.
    """
    if projection.bytes.value > MOST_BYTES:
        message = f"{projection.name} is {format_bytes(projection.bytes.value)}: at most {format_bytes(MOST_BYTES)}"
        raise ConfigError(f"{message} are loaded, so project less", source="command line", key="--verify")
    with closing(Driver(ServerSettings(url=url, timeout_s=_TIMEOUT_S), allow=lambda: None)) as driver:
        if databases(parse_fields(driver.call("INFO"))):
            message = "the server to verify on has keys: name an empty one, which nobody else uses"
            raise ConfigError(message, source="command line", key="--verify-on")
    return _Load(survey, projection, url, on_progress).verified(found)


@dataclass(frozen=True, slots=True)
class _Part:
    """The objects of one feature: how many there are now and then."""

    feature: int
    shapes: tuple[Shape, ...]
    now: int
    then: int


class _Load:
    def __init__(
        self, survey: Survey, projection: Projection, url: str, on_progress: Callable[[int, int], None]
    ) -> None:
        self._survey, self._projection = survey, projection
        self._settings = ServerSettings(url=url, timeout_s=_TIMEOUT_S)
        self._on_progress = on_progress
        self._parts = tuple(self._all_parts())
        self._written = 0

    def verified(self, found: Capacity) -> Verified:
        """Load, compare, and leave nothing behind."""
        try:
            for part in self._parts:
                self._fill(part, 0, part.now)
            before = self._used()
            kind = Layout.of(parse_fields(self._ask("INFO")))
            own = Layout.of(self._survey.info)
            predicted = None if kind == own else self._predicted_there()
            for part in self._parts:
                self._fill(part, part.now, part.then)
            after = self._used()
        finally:
            self._clear()
        objects = sum(part.then for part in self._parts)
        if predicted is not None:
            note = f"this server is {own.words}, so copies of what is there now were projected on the other one"
            return Verified(self._projection.name, predicted, after, objects, kind.words, note)
        connections = self._projection.overhead[CONNECTIONS] - found.overhead[CONNECTIONS]
        wanted = self._projection.bytes.value - connections
        measured = self._survey.used_bytes + after - before
        note = "what is used now, and what the objects to come added there"
        return Verified(self._projection.name, wanted, measured, objects, kind.words, note)

    def _all_parts(self) -> Iterator[_Part]:
        there = usages_of(self._survey)
        for feature, (name, size) in enumerate(self._projection.by_feature.items()):
            usage = there[name][0] if name in there else None
            now = round(usage.keys.value) if usage else 0
            then = self._projection.scale.get(name, now)
            shapes = shapes_of(usage) if usage else ()
            if not shapes and then:
                shapes = (Shape("string", "raw", round(size.value / then), _ASSUMED_NAME_BYTES, timed=True),)
            if shapes:
                yield _Part(feature, shapes, now, then)

    def _predicted_there(self) -> float:
        """What is predicted for the server that was loaded, by what it holds itself."""
        namespaces = tuple(NamespacePolicy(f"f{part.feature}", (glob_of(part.feature),)) for part in self._parts)
        policy = Policy(self._settings, namespaces=namespaces)
        with closing(Gateway(self._settings, ScanTable(namespaces), clock=time.monotonic)) as gateway:
            gateway.probe()
            survey, looks = collect(gateway, 0.01)
        counts = {f"f{part.feature}": part.then for part in self._parts if part.now}
        sizes = sum(self._assumed(part) for part in self._parts if not part.now)
        projected = capacity(policy, survey, None, [Scale(counts)], looks).projections[0]
        return projected.bytes.value + sizes

    def _assumed(self, part: _Part) -> float:
        return part.then * part.shapes[0].size_bytes

    def _fill(self, part: _Part, first: int, last: int) -> None:
        with closing(Driver(self._settings, allow=lambda: None)) as driver:
            copies = Copies(driver)
            if last < first:
                copies.delete(part.shapes, part.feature, last, first)
                return
            shapes = copies.fit(part.shapes)
            for start in range(first, last, _STEP):
                end = min(last, start + _STEP)
                copies.write(shapes, part.feature, start, end)
                self._written += end - start
                self._on_progress(self._written, sum(max(one.now, one.then) for one in self._parts))

    def _clear(self) -> None:
        with closing(Driver(self._settings, allow=lambda: None)) as driver:
            copies = Copies(driver)
            for part in self._parts:
                copies.delete(part.shapes, part.feature, 0, max(part.now, part.then))

    def _used(self) -> int:
        with closing(Driver(self._settings, allow=lambda: None)) as driver:
            return settled(lambda: int(parse_fields(driver.call("INFO", "memory"))["used_memory"]))

    def _ask(self, *command: str) -> bytes:
        with closing(Driver(self._settings, allow=lambda: None)) as driver:
            reply: bytes = driver.call(*command)
            return reply
