"""Workloads: what an application asks of its cache, request by request, in virtual time.

A workload is cache-aside: a get that misses computes its value and sets it. Its requests are made or read anew each
time they are asked for, always the same ones, so that every contender gets them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType

import msgspec

from spillgate.config import Cleanup, NamespacePolicy, Policy, ServerSettings
from spillgate.errors import ConfigError

DEFAULT_TTL_S = 3600.0
"""The TTL of a namespace of which neither a policy nor the workload tells one."""


class Op(StrEnum):
    """What a request does."""

    GET = "get"
    """Reads a key; where it is missing, its value is computed and set."""
    SET = "set"
    DELETE = "delete"


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request, ``at_s`` seconds of virtual time after the first.

    ``size`` are the bytes of the key's value, also for a get; 0 where that is not known, and then a miss stays one.
    ``ttl_s`` is the request's own TTL; None leaves it to the policy.
    """

    at_s: float
    namespace: str
    key: str
    op: Op
    size: int
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """What a workload tells of one of its namespaces; None is nothing.

    ``ttl_s`` is the TTL that most of its requests bring along, ``shortest_ttl_s`` the least of them; ``weight`` what
    rebuilding a value costs, relative to other namespaces.
    """

    name: str
    ttl_s: float | None = None
    shortest_ttl_s: float | None = None
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a workload, in virtual seconds."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Workload:
    """A named stream of requests.

    ``note`` says what it is: measured or made up, and how it was scaled. ``requests_expected`` is exact for a trace.
    ``policy`` is the one that it was written for, where there is one.
    """

    name: str
    note: str
    duration_s: float
    namespaces: tuple[Space, ...]
    stream: Callable[[], Iterable[Request]] = field(repr=False)
    requests_expected: int
    phases: tuple[Phase, ...] = ()
    policy: Policy | None = field(default=None, repr=False)
    chosen: frozenset[str] | None = None

    def requests(self) -> Iterator[Request]:
        """All requests from the first, in the order of their times."""
        if self.chosen is None:
            return iter(self.stream())
        chosen = self.chosen
        return (request for request in self.stream() if request.namespace in chosen)

    def only(self, *names: str) -> "Workload":
        """The same requests, but those of some namespaces alone.

        Raises:
            ConfigError: there is no such namespace.
        """
        known = {space.name for space in self.namespaces}
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(f'{self.name} has no namespace "{unknown[0]}" (there are: {", ".join(sorted(known))})')
        kept = tuple(space for space in self.namespaces if space.name in names)
        return replace(self, namespaces=kept, chosen=frozenset(names))

    @property
    def weights(self) -> Mapping[str, float]:
        """What rebuilding a value costs, of the namespaces of which the workload tells it."""
        return MappingProxyType({one.name: one.weight for one in self.namespaces if one.weight is not None})

    def weighted(self, policy: Policy) -> Policy:
        """The policy with the weights that the workload tells."""
        weights = self.weights
        namespaces = (replace(ns, weight=weights.get(ns.name, ns.weight)) for ns in policy.namespaces)
        return replace(policy, namespaces=tuple(namespaces))

    def own_policy(self, limit_bytes: int) -> Policy:
        """A policy made from nothing else: each namespace is registered, and may be trimmed, in their order."""
        namespaces = (
            NamespacePolicy(
                name=space.name,
                keys=(f"{space.name}:*",),
                ttl_s=space.ttl_s or DEFAULT_TTL_S,
                cleanup=Cleanup.TRIM,
                priority=number,
                weight=1.0 if space.weight is None else space.weight,
            )
            for number, space in enumerate(self.namespaces, 1)
        )
        return Policy(server=ServerSettings(limit_bytes=limit_bytes), namespaces=tuple(namespaces))

    def checks_s(self) -> tuple[float, ...]:
        """When to look whether everything is there that must be: at the end of each phase, else eight times."""
        if self.phases:
            return tuple(phase.end_s for phase in self.phases)
        return tuple(self.duration_s * part / _CHECKS for part in range(1, _CHECKS + 1))


_CHECKS = 8


def phases_of(lengths: Iterable[tuple[str, float]]) -> tuple[Phase, ...]:
    """Phases that follow each other, from their names and lengths in seconds."""
    given = tuple(lengths)
    ends = [0.0]
    for _, length_s in given:
        ends.append(ends[-1] + length_s)
    return tuple(Phase(name, start, end) for (name, _), (start, end) in zip(given, pairwise(ends), strict=True))
