"""Telling the keys of queue libraries by their names and types, for what they hold must never be evicted."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from spillgate.config import PRESETS
from spillgate.keyspace import Glob, Keyspace
from spillgate.model import KeySample

# By library: globs that give it away, with the types that its keys have there. Some of its names are so common that
# the type has to agree. More of the names are in the presets.
_SIGNS: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "bullmq": (PRESETS["bullmq"], frozenset({"hash", "list", "set", "stream", "zset", "string"})),
    "celery": (
        ("celery", "celery\x06\x16*", "_kombu.binding*", "unacked", "unacked_index"),
        frozenset({"list", "set", "hash", "zset"}),
    ),
    "dramatiq": (("dramatiq:*",), frozenset({"list", "hash", "set", "zset"})),
    "rq": (PRESETS["rq"], frozenset({"list", "hash", "set", "zset"})),
    "sidekiq": (("queue:*", "queues", "schedule", "retry", "dead", "processes"), frozenset({"list", "set", "zset"})),
}
_GLOBS = {library: tuple(map(Glob, globs)) for library, (globs, _) in _SIGNS.items()}

# Celery keeps a set for each queue, with its own name behind this; "\x06\x16" stands before another priority than 0.
_BINDING = b"_kombu.binding."
_SPECIAL = re.compile(rb"[*?\[\]\\]")

USUAL_KEYS: tuple[bytes, ...] = (
    b"celery",
    b"_kombu.binding.celery",
    b"unacked",
    b"queues",
    b"schedule",
    b"retry",
    b"dead",
    b"rq:queues",
    b"rq:workers",
    b"dramatiq:default",
)
"""Keys that a library nearly always has. They are few, so that a sample may miss them: ask for them by name."""


@dataclass(frozen=True, slots=True)
class _Preset:
    """The keys of one library, as a `Keyspace` takes them."""

    name: str
    keys: tuple[str, ...]


def libraries(keys: Iterable[KeySample]) -> dict[str, KeySample]:
    """The queue libraries whose keys are among these, each with the first one seen."""
    found: dict[str, KeySample] = {}
    for key in keys:
        for library, globs in _GLOBS.items():
            if library in found or key.type not in _SIGNS[library][1]:
                continue
            if any(glob.matches(key.name) for glob in globs):
                found[library] = key
    return found


def owned(seen: Iterable[KeySample]) -> Keyspace:
    """Which keys belong to the queues that these keys tell of."""
    listed = tuple(seen)
    presets = [_Preset(library, PRESETS[library]) for library in libraries(listed)]
    named = tuple(_named(listed))
    return Keyspace([*presets, _Preset("queues", named)] if named else presets)


def _named(seen: Iterable[KeySample]) -> Iterator[str]:
    """Globs of the queues with names of their own, by what Celery keeps beside them."""
    for name in dict.fromkeys(key.name.removeprefix(_BINDING) for key in seen if key.name.startswith(_BINDING)):
        glob = _SPECIAL.sub(rb"\\\g<0>", name).decode(errors="replace")
        yield from (glob, f"{glob}\x06\x16*") if glob else ()
