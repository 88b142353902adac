"""What is to be projected, and which features are meant by the names it is given with."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spillgate.errors import ConfigError
from spillgate.policy.capacity_assumed import ASSUMED

_DATABASE = re.compile(r" \(db\d+\)$")
_MOST = 10**12


@dataclass(frozen=True, slots=True)
class Scale:
    """One projection: every feature ``times`` as large, but those in ``counts`` of so many objects.

    ``connections`` is how many are open then, None for as many as now.
    """

    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    times: float = 1.0
    connections: int | None = None

    @property
    def words(self) -> str:
        """What it is called."""
        parts = [f"{name}={count:,}" for name, count in self.counts.items()]
        if self.times != 1:
            parts.insert(0, f"{self.times:g} times")
        if self.connections is not None:
            parts.append(f"{self.connections:,} connections")
        return ", ".join(parts) or "as now"


USUAL = tuple(Scale(times=times) for times in (2.0, 5.0, 10.0))
"""What is projected where nothing is asked for."""


def parse_counts(given: Iterable[str]) -> dict[str, int]:
    """The counts in ``NAME=COUNT``.

    Raises:
        ConfigError: one is not of that form, or comes twice.
    """
    found: dict[str, int] = {}
    for text in given:
        name, _, count = text.rpartition("=")
        number = count.replace(",", "").replace("_", "")
        if not name or not number.isdecimal() or int(number) > _MOST:
            raise _refused(f'expected NAME=COUNT such as "messages=10000", got "{text}"')
        if name in found:
            raise _refused(f'"{name}" is given twice: choose one count')
        found[name] = int(number)
    return found


def feature_named(name: str, features: Iterable[str]) -> str:
    """The feature that is meant by a name: its own, a prefix without its star, or a word of one prefix alone.

    A name that no key has yet, of which an assumption is known, is a feature of its own.

    Raises:
        ConfigError: none is meant, or several are.
    """
    known = list(features)
    for spelled in (name, f"{name}*", f"{name}:*"):
        if spelled in known:
            return spelled
    found = [one for one in known if name in re.split(r"[^\w-]+", _DATABASE.sub("", one))]
    if len(found) == 1:
        return found[0]
    if found:
        raise _refused(f'"{name}" may be any of {", ".join(found)}: write one of these')
    if name in ASSUMED:
        return name
    there = f"the server has {', '.join(known)}" if known else "the server has no keys"
    raise _refused(f'"{name}" is unknown: {there}; assumed can be {", ".join(ASSUMED)}')


def _refused(message: str) -> ConfigError:
    return ConfigError(message, source="command line", key="--scale")
