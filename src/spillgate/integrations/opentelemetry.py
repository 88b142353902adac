"""The counters of a cache for OpenTelemetry, through its API alone.

Example::

    from spillgate.integrations.opentelemetry import observe

    observe(cache)

They are read when the application's SDK exports them, so no call of the cache takes longer. Names begin with
``spillgate.cache.``; attributes are ``spillgate.namespace`` and, of what cannot be read, ``spillgate.reason``.

Raises:
    MissingExtra: opentelemetry-api is not installed.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from spillgate.errors import MissingExtra
from spillgate.integrations.cache_metrics import (
    BREAKER_HELP,
    COUNTERS,
    LEVEL_HELP,
    Counted,
    Counter,
    added_up,
    amounts,
    broken,
    level_of,
)

try:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
except ModuleNotFoundError as error:
    raise MissingExtra("opentelemetry") from error

_PREFIX: Final = "spillgate.cache."
_METER: Final = "spillgate"

Callback = Callable[[CallbackOptions], Iterable[Observation]]


def observe(*caches: Counted, meter_provider: MeterProvider | None = None) -> None:
    """Offer what one cache counted, or several of one server together, to ``meter_provider`` or the global one.

    Instruments stay for as long as their provider does, and so do the caches: call it once, with all of them.
    """
    meter = get_meter(_METER, meter_provider=meter_provider)
    for counter in COUNTERS:
        meter.create_observable_counter(
            _PREFIX + counter.name, [_reader(counter, caches)], unit=counter.unit, description=counter.help
        )
    meter.create_observable_gauge(_PREFIX + "level", [_level(caches)], unit="1", description=LEVEL_HELP)
    meter.create_observable_gauge(_PREFIX + "breaker_open", [_breaker(caches)], unit="1", description=BREAKER_HELP)


def _reader(counter: Counter, caches: Iterable[Counted]) -> Callback:
    def read(_: CallbackOptions) -> Iterator[Observation]:
        for namespace, reason, value in amounts(counter, added_up(caches)):
            attributes = {"spillgate.namespace": namespace, "spillgate.reason": reason}
            yield Observation(value, {name: text for name, text in attributes.items() if text})

    return read


def _level(caches: Iterable[Counted]) -> Callback:
    def read(_: CallbackOptions) -> Iterator[Observation]:
        known = level_of(caches)
        if known is not None:
            yield Observation(int(known))

    return read


def _breaker(caches: Iterable[Counted]) -> Callback:
    def read(_: CallbackOptions) -> Iterator[Observation]:
        yield Observation(int(broken(caches)))

    return read
