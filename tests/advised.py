"""Namespaces used in a known way, recorded by a clock of our own, with a census that fits."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING

from spillgate.config import NamespacePolicy, Policy, parse_policy
from spillgate.foresight.advising import advise
from spillgate.model import Census, Estimate, Usage
from tests.recording import HandClock, recorder_by, zipf_trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spillgate.cache.recording import Recording
    from spillgate.model import KeySample
    from spillgate.policy.ttl import Advice, TtlPlan

HOUR_S = 3600
BESIDE = 90  # bytes of a key beside its value
MB = 1 << 20

Call = tuple[float, str, int]
"""When, of which key, and of what size: negative where it is written anew, positive where it is asked for."""


def popular(keys: int, count: int, size: int, hours: float = 6, seed: int = 1) -> list[Call]:
    """Reads by Zipf's law: longer TTLs win more and more slowly."""
    return [(a.at_s, a.key, size) for a in zipf_trace(keys, count, count / hours / HOUR_S, seed=seed)]


def soon(keys: int, size: int, hours: float = 6, seed: int = 2) -> list[Call]:
    """Each key is read a few times within minutes, and then never again."""
    return sorted(_soon(random.Random(seed), keys, size, hours * HOUR_S))


def _soon(chance: random.Random, keys: int, size: int, seconds: float) -> Iterator[Call]:
    for number in range(keys):
        at_s = chance.random() * seconds
        for _ in range(chance.randint(2, 6)):
            if at_s < seconds:
                yield at_s, f"soon:{number}", size
            at_s += chance.expovariate(1 / 60)


def once(keys: int, size: int, hours: float = 6, seed: int = 3) -> list[Call]:
    """No key is ever read again."""
    chance = random.Random(seed)
    return sorted((chance.random() * hours * HOUR_S, f"once:{number}", size) for number in range(keys))


def renewed(keys: int, count: int, size: int, hours: float = 6, seed: int = 4) -> list[Call]:
    """Values are written anew all the time, and read in between."""
    chance = random.Random(seed)
    times = sorted(chance.random() * hours * HOUR_S for _ in range(count))
    return [(at_s, f"new:{chance.randrange(keys)}", size * chance.choice((1, -1))) for at_s in times]


@dataclass(frozen=True)
class Scene:
    """Namespaces of a policy with the calls of each; ``samples`` are keys that a census looks at closely."""

    policy: Policy
    calls: Mapping[str, list[Call]]
    hours: float = 6
    samples: Mapping[str, tuple[KeySample, ...]] = field(default_factory=dict[str, "tuple[KeySample, ...]"])

    @cached_property
    def seen(self) -> tuple[Recording, Census]:
        """What the calls come to, with the TTLs of the policy in force."""
        return _seen(self)

    def advised(self, target_mb: float | None = None, **other: int) -> TtlPlan:
        """What is advised where one MB is used by other things."""
        recording, census = self.seen
        target = None if target_mb is None else round((target_mb + 1) * MB)
        assert census.total_bytes is not None
        used = round(census.total_bytes.value) + MB
        return advise(self.policy, census, recording, target_bytes=target, used_bytes=used, **other)

    def advice(self, name: str, target_mb: float | None = None) -> Advice:
        """What is advised of one namespace."""
        return next(one for one in self.advised(target_mb).advices if one.name == name)

    def with_policy(self, name: str, **changes: object) -> Scene:
        """Another policy for one namespace, the calls as they were."""
        namespaces = tuple(
            NamespacePolicy(**(_given(one) | changes)) if one.name == name else one  # pyright: ignore[reportArgumentType]
            for one in self.policy.namespaces
        )
        return replace(self, policy=replace(self.policy, namespaces=namespaces))


def _given(one: NamespacePolicy) -> dict[str, object]:
    """What was given for a namespace, so that the rest is derived anew."""
    names = ("name", "keys", "ttl_s", "cleanup", "priority", "jitter", "weight")
    return {name: getattr(one, name) for name in names}


def scene(calls: Mapping[str, list[Call]], ttls: Mapping[str, str], cleanup: str = "clear", hours: float = 6) -> Scene:
    """Namespaces with these TTLs; 25 MB, none of it reserved for jitter."""
    tables = [
        f'[[namespace]]\nname = "{name}"\nkeys = "app:{name}:*"\nttl = "{ttl}"\ncleanup = "{cleanup}"\njitter = 0\n'
        + ("priority = 1\n" if cleanup != "never" else "")
        for name, ttl in ttls.items()
    ]
    return Scene(parse_policy('[server]\nlimit = "25MB"\n' + "".join(tables), "test"), calls, hours)


def _seen(shown: Scene) -> tuple[Recording, Census]:
    ttls = {one.name: one.ttl_s for one in shown.policy.namespaces}
    clock = HandClock()
    recorder, start_s = recorder_by(clock), clock.now_s
    tracks = {name: recorder.track(name) for name in shown.calls}
    ends: dict[tuple[str, str], tuple[float, int]] = {}
    calls = [(at_s, name, key, size) for name, some in shown.calls.items() for at_s, key, size in some]
    for at_s, name, key, size in sorted(calls):
        clock.now_s = start_s + at_s
        there = ends.get((name, key), (-1.0, 0))[0] > at_s
        if size > 0:
            tracks[name].read(key, size if there else 0)
        if size < 0 or not there:
            tracks[name].write(key, abs(size), 0.002 if size > 0 else None)
            ends[name, key] = (at_s + (ttls[name] or 0.0), abs(size))
    clock.now_s = start_s + shown.hours * HOUR_S
    live = {key: size for key, (end_s, size) in ends.items() if end_s > shown.hours * HOUR_S}
    usages = tuple(
        _usage(one.name, [size for (name, _), size in live.items() if name == one.name], shown)
        for one in shown.policy.namespaces
    )
    total = sum(usage.bytes.value for usage in usages if usage.bytes)
    return recorder.snapshot(), Census(
        0.0,
        exact=True,
        sampled_keys=0,
        total_keys=0,
        namespaces=usages,
        unregistered_keys=Estimate.exact(0),
        total_bytes=Estimate.exact(total),
    )


def _usage(name: str, sizes: list[int], shown: Scene) -> Usage:
    held = sum(sizes) + BESIDE * len(sizes)
    average = Estimate.exact(held / len(sizes)) if sizes else None
    keys, no_ttl = Estimate.exact(len(sizes)), Estimate.exact(0)
    return Usage(
        name, keys, Estimate.exact(held), no_ttl, shown.samples.get(name, ()), average, Estimate.exact(20 * len(sizes))
    )


@cache
def usual() -> Scene:
    """Four namespaces, each used in its own way."""
    return scene(
        {
            "hot": popular(3000, 30_000, 800),
            "soon": soon(3000, 2000),
            "once": once(4000, 1500),
            "new": renewed(4, 8000, 3000),
        },
        {"hot": "30m", "soon": "1h", "once": "15m", "new": "15m"},
    )
