"""What a measure is, and what measures are read from: what the governor last saw, so that it costs the server nothing.

What is not known has no sample: it is absent, never 0. What was read from the server is absent as well while the server
cannot be read.

Names are written as OpenTelemetry has them, units in UCUM. Prometheus' names follow from both by OpenTelemetry's own
rules, so that a metric has the same name whichever way it arrives there.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spillgate.checkup.checkup import Latest, Library
from spillgate.governor.state import State
from spillgate.model import Census, Estimate, Level, Reading
from spillgate.web import views
from spillgate.web.sources import Sources
from spillgate.web.views import NamespaceRow

MOST_NAMESPACES: Final = 100
"""So many namespaces have samples of their own, in the order of the policy file."""
OTHERS: Final = "_other"
"""What the rest of them together are called; no namespace can be."""

_SUFFIXES: Final = {"By": "bytes", "s": "seconds", "1": "ratio", "By/s": "bytes_per_second"}

Sample = tuple[tuple[str, ...], float]
MaybeSample = tuple[tuple[str, ...], float | None]
Pick = Callable[[NamespaceRow], Estimate | None]


class Kind(StrEnum):
    """How a measure moves. An info is always 1; what it has to tell stands in its labels."""

    GAUGE = "gauge"
    COUNTER = "counter"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told of alerts, and whether the latest could not be delivered."""

    name: str
    failing: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """All that measures are read from, as of one moment.

    ``history_writable`` is None where the history is kept in memory, ``firing`` (the severities of the alerts that
    stand) where nothing alerts.
    """

    state: State
    history_writable: bool | None = None
    examined: Latest | None = None
    library: Library | None = None
    firing: tuple[Level, ...] | None = None
    receivers: tuple[Receiver, ...] = ()

    @property
    def up(self) -> bool | None:
        """Whether the server is being read; None before the first look has ended."""
        if views.status_of(self.state) != views.UNREACHABLE:
            return True
        return False if self.state.unreadable or self.state.ended else None

    @property
    def reading(self) -> Reading | None:
        """The latest reading; None while the server cannot be read."""
        return self.state.reading if self.up else None

    @property
    def census(self) -> Census | None:
        """The latest census; None while the server cannot be read."""
        return self.state.census if self.up else None

    @property
    def namespaces(self) -> tuple[NamespaceRow, ...]:
        """What is known of the namespaces; none while the server cannot be read."""
        return views.namespaces(self.state) if self.up else ()


def look(sources: Sources) -> Seen:
    """What is known now."""
    history, checkup, alerts = sources.history, sources.checkup, sources.alerts
    return Seen(
        sources.governor.state,
        history_writable=None if history.path is None else history.error is None,
        examined=checkup.latest if checkup else None,
        library=checkup.library if checkup else None,
        firing=tuple(one.severity for one in alerts.active) if alerts else None,
        receivers=tuple(Receiver(one.name, one.failing) for one in alerts.receivers) if alerts else (),
    )


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table. ``read`` gives the values of the labels with each value, which is None where unknown."""

    name: str
    kind: Kind
    unit: str
    help: str
    read: Callable[[Seen], Iterable[MaybeSample]]
    labels: tuple[str, ...] = ()
    prefix: str = "spillgate"

    def samples(self, seen: Seen) -> Iterator[Sample]:
        """The values that are known, each with those of the labels."""
        for labels, value in self.read(seen):
            if value is not None and math.isfinite(value):
                yield labels, int(value) if isinstance(value, int) else value  # a bool or a level as its number

    @property
    def opentelemetry(self) -> str:
        """Its name in OpenTelemetry."""
        return f"{self.prefix}.{self.name}{'.info' if self.kind is Kind.INFO else ''}"

    @property
    def suffix(self) -> str:
        """The unit at the end of its name in Prometheus, if any."""
        return _SUFFIXES.get(self.unit, "")

    @property
    def prometheus(self) -> str:
        """Its name in Prometheus."""
        total = "total" if self.kind is Kind.COUNTER else ""
        return "_".join(part for part in (self.opentelemetry.replace(".", "_"), self.suffix, total) if part)


def gauge(name: str, unit: str, text: str, read: Callable[[Seen], float | None]) -> Measure:
    """A measure with one value, which may fall."""
    return Measure(name, Kind.GAUGE, unit, text, lambda seen: (((), read(seen)),))


def counter(name: str, unit: str, text: str, read: Callable[[Seen], float | None]) -> Measure:
    """A measure with one value, which only grows until whoever counts starts anew."""
    return Measure(name, Kind.COUNTER, unit, text, lambda seen: (((), read(seen)),))


def info(name: str, text: str, read: Callable[[Seen], Mapping[str, str | None] | None], *labels: str) -> Measure:
    """A measure of texts, none of which is a number; an unknown one is empty."""

    def sample(seen: Seen) -> Iterator[Sample]:
        texts = read(seen)
        if texts is not None:
            yield tuple(texts.get(label) or "" for label in labels), 1

    return Measure(name, Kind.INFO, "", text, sample, labels)


def by(label: str, name: str, unit: str, text: str, read: Callable[[Seen], Mapping[str, float | None]]) -> Measure:
    """A gauge with a value for each of a few words."""

    def samples(seen: Seen) -> Iterator[MaybeSample]:
        return (((word,), value) for word, value in read(seen).items())

    return Measure(name, Kind.GAUGE, unit, text, samples, (label,))


def by_namespace(name: str, unit: str, text: str, pick: Pick) -> Measure:
    """An estimate of each namespace."""

    def samples(seen: Seen) -> Iterator[MaybeSample]:
        for called, estimate in _estimates(seen, pick):
            yield (called,), None if estimate is None else round(estimate.value)

    return Measure(name, Kind.GAUGE, unit, text, samples, ("namespace",))


def bounds(name: str, unit: str, text: str, pick: Pick) -> Measure:
    """The ends of such an estimate's interval."""

    def samples(seen: Seen) -> Iterator[MaybeSample]:
        for called, estimate in _estimates(seen, pick):
            if estimate is not None:
                yield (called, "low"), estimate.low
                yield (called, "high"), estimate.high

    return Measure(name, Kind.GAUGE, unit, text, samples, ("namespace", "bound"))


def _estimates(seen: Seen, pick: Callable[[NamespaceRow], Estimate | None]) -> Iterator[tuple[str, Estimate | None]]:
    """An estimate of each namespace, and of those that there are too many of, together."""
    rows = seen.namespaces
    for row in rows[:MOST_NAMESPACES]:
        yield row.policy.name, pick(row)
    rest = [pick(row) for row in rows[MOST_NAMESPACES:]]
    known = [one for one in rest if one is not None]
    if rest and len(known) == len(rest):
        yield OTHERS, Estimate.total(known)
