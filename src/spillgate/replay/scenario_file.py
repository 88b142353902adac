"""Scenario files: a workload described in TOML.

Every key is checked, and an error names the file, the key and the value.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from spillgate.config import Policy, load_policy
from spillgate.config.values import read_name
from spillgate.demo.pace import reference_policy
from spillgate.errors import ConfigError
from spillgate.replay.chance import log_normal
from spillgate.replay.scenario import Population, Scenario, Stretch
from spillgate.units import parse_bytes, parse_duration, parse_share, unreadable

PLATFORM = "ceo-platform"
"""What a scenario file calls the reference policy."""

MOST_KEYS = 2_000_000
"""The largest population: more would take too long to draw from."""
LARGEST_VALUE = 256 * 1024**2
_LEAST_TTL_S = 1.0
_STEEPEST = 5.0

_Read = TypeVar("_Read")
_PLACE = re.compile(r"\$(?:\.\w+|\[(?:\d+|\.\.\.)\])*")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


class _Sizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    p50: str | int
    p99: str | int


class _Namespace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    population: int
    size: str | int | _Sizes
    reads_s: float = 0.0
    writes_s: float = 0.0
    deletes_s: float = 0.0
    zipf: float = 0.9
    ttl: str | None = None
    new: float | str = 0.0
    weight: float | None = None


class _Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    duration: str
    rate: float = 1.0
    rates: dict[str, float] = msgspec.field(default_factory=dict[str, float])


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    namespace: list[_Namespace]
    phase: list[_Phase]
    note: str = "synthetic"
    seed: int = 1
    policy: str | None = None


def read_scenario(path: Path, seed: int | None = None) -> Scenario:
    """The scenario in the file at ``path``; ``seed`` is taken instead of the one it names.

    Raises:
        ConfigError: it cannot be read or used.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text: {error}", source=str(path)) from error
    return parse_scenario(text, str(path), path.stem, seed=seed, folder=path.parent)


def parse_scenario(
    text: str, source: str, name: str, *, seed: int | None = None, folder: Path | None = None
) -> Scenario:
    """The scenario written in ``text``; errors name ``source``. A policy file that it names is in ``folder``.

    Raises:
        ConfigError: it cannot be used.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not valid TOML: {error}", source=source) from error
    file = _file(document, source)
    for key, found in (("namespace", file.namespace), ("phase", file.phase)):
        if not found:
            raise ConfigError("needs at least one", source=source, key=f"[[{key}]]")
    populations = tuple(_population(one, source) for one in file.namespace)
    names = [one.name for one in populations]
    if twice := [one for one in names if names.count(one) > 1]:
        raise ConfigError("comes twice", source=source, key=f'[[namespace]] "{twice[0]}"')
    return Scenario(
        name=name,
        note=file.note,
        populations=populations,
        stretches=tuple(_stretch(one, names, source) for one in file.phase),
        seed=file.seed if seed is None else seed,
        policy=_policy(file.policy, folder or Path()) if file.policy else None,
    )


def _policy(name: str, folder: Path) -> Policy:
    return reference_policy() if name == PLATFORM else load_policy(folder / name, env={}, flags={})


def _file(document: Mapping[str, Any], source: str) -> _File:
    try:
        return msgspec.convert(document, _File)
    except msgspec.ValidationError as error:
        raise _where(error, document, source) from error


def _where(error: msgspec.ValidationError, document: Mapping[str, Any], source: str) -> ConfigError:
    """The error with the place in the words of the file, and with the value that stands there."""
    message = str(error)
    place = _PLACE.search(message)
    text = message.partition(" - at ")[0].replace("`", '"').replace("Object contains unknown field", "unknown key")
    text = text.replace("Object missing required field", "is missing:")
    path: list[str] = []
    value: object = document
    for word, number in _STEP.findall(place[0] if place else ""):
        if number:
            value = cast("Sequence[object]", value)[int(number)]
            named = value.get("name") if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            path[-1] = (
                f'[[{path[-1]}]] "{named}"' if isinstance(named, str) else f"[[{path[-1]}]] number {int(number) + 1}"
            )
        else:
            path.append(word)
            value = cast("Mapping[str, object]", value).get(word)
    shown = "" if isinstance(value, dict | list) or not path else f", got {value!r}"
    return ConfigError(f"{text[:1].lower()}{text[1:]}{shown}", source=source, key=": ".join(path) or None)


def _read(read: Callable[[object], _Read], value: object, source: str, key: str) -> _Read:
    try:
        return read(value)
    except ConfigError as error:
        raise ConfigError(str(error), source=source, key=key) from error


def _number(least: float, most: float, what: str) -> Callable[[object], float]:
    def read(value: object) -> float:
        if isinstance(value, int | float) and least <= value <= most:
            return float(value)
        raise unreadable(what, value)

    return read


_rate = _number(0.0, 1e6, "a rate, requests per second, from 0 to 1,000,000")
_factor = _number(0.0, 1e6, "a factor from 0 to 1,000,000")
_weight = _number(0.0, 1e9, "a number, 0 or more")
_alpha = _number(0.0, _STEEPEST, "an exponent from 0 to 5")
_keys = _number(1, MOST_KEYS, f"a number of keys from 1 to {MOST_KEYS:,}")


def _size(value: object) -> int:
    size = parse_bytes(value)
    if not 1 <= size <= LARGEST_VALUE:
        raise unreadable("a size from 1B to 256MB", value)
    return size


def _ttl(value: object) -> float:
    ttl_s = parse_duration(value)
    if ttl_s < _LEAST_TTL_S:
        raise unreadable("a TTL of at least 1s", value)
    return ttl_s


def _length(value: object) -> float:
    length_s = parse_duration(value)
    if not length_s:
        raise unreadable("a duration of more than 0", value)
    return length_s


def _population(given: _Namespace, source: str) -> Population:
    place = f'[[namespace]] "{given.name}"'

    def read(reader: Callable[[object], _Read], key: str, value: object) -> _Read:
        return _read(reader, value, source, f"{place}: {key}")

    return Population(
        name=read(read_name, "name", given.name),
        keys=int(read(_keys, "population", given.population)),
        reads_s=read(_rate, "reads_s", given.reads_s),
        writes_s=read(_rate, "writes_s", given.writes_s),
        deletes_s=read(_rate, "deletes_s", given.deletes_s),
        zipf=read(_alpha, "zipf", given.zipf),
        sizes=tuple(_sizes(given.size, read)),
        ttls=() if given.ttl is None else ((read(_ttl, "ttl", given.ttl), 1.0),),
        new=read(parse_share, "new", given.new),
        weight=None if given.weight is None else read(_weight, "weight", given.weight),
    )


def _sizes(given: str | int | _Sizes, read: Callable[[Callable[[object], int], str, object], int]) -> Iterator[int]:
    if not isinstance(given, _Sizes):
        yield read(_size, "size", given)
        return
    p50, p99 = read(_size, "size.p50", given.p50), read(_size, "size.p99", given.p99)

    def in_order(value: object) -> int:
        if p99 < p50:
            raise unreadable("a size of at least p50", value)
        return p99

    yield from log_normal(p50, read(in_order, "size.p99", given.p99))


def _stretch(given: _Phase, names: Sequence[str], source: str) -> Stretch:
    place = f'[[phase]] "{given.name}"'
    for name in given.rates:
        if name not in names:
            message = f'unknown namespace "{name}" (known here: {", ".join(names)})'
            raise ConfigError(message, source=source, key=f"{place}: rates")
    return Stretch(
        name=given.name,
        length_s=_read(_length, given.duration, source, f"{place}: duration"),
        factor=_read(_factor, given.rate, source, f"{place}: rate"),
        factors={name: _read(_factor, rate, source, f"{place}: rates.{name}") for name, rate in given.rates.items()},
    )
