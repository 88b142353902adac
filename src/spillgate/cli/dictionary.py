"""``spillgate dictionary``: training on live values, what is in the server, and doing without."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from spillgate.cache._sync.client import Client
from spillgate.cache._sync.space import Space
from spillgate.cache._sync.training import Listing, Progress, Trainer
from spillgate.cache.counters import Counters
from spillgate.cache.dictionary import Training, Untrainable, dictionary_ttl_ms, has_decayed, ratio_of
from spillgate.cache.waiting import Hands
from spillgate.cli.options import PolicySource, let_others_go_first
from spillgate.cli.output import Exit, console, emit, show
from spillgate.config import NamespacePolicy
from spillgate.errors import ConfigError
from spillgate.units import format_bytes, format_duration, format_share, rounded


@dataclass(frozen=True, slots=True)
class Request:
    """The options of the commands as they were typed."""

    source: PolicySource
    namespace: str
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Trained:
    """How ``train`` ended.

    ``number`` is that of the dictionary that was stored, ``reason`` why none was. ``live_ratio`` is what the one in
    force, if any, makes of the values now, ``trained_ratio`` what it did when it was trained.
    """

    policy: NamespacePolicy
    prefix: str
    keys: int
    values: int
    training: Training | None = None
    number: int | None = None
    reason: str | None = None
    live_ratio: float | None = None
    trained_ratio: float | None = None
    seconds: float = 0.0


def train(request: Request, *, dry_run: bool, if_decayed: bool) -> Exit:
    """Sample, train, tell, store.

    Raises:
        ConfigError: the namespace cannot have a dictionary.
        ServerError: the server failed, or has no room for one.
    """
    began_s = time.monotonic()
    let_others_go_first()
    try:
        with _space(request) as space, _progress() as on_progress:
            ended = _trained(space, on_progress, dry_run=dry_run, if_decayed=if_decayed)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was stored\n")  # but for what has a TTL and is not in force
        return Exit.INTERRUPTED
    ended = replace(ended, seconds=time.monotonic() - began_s)
    if request.as_json:
        emit(_trained_document(ended))
    else:
        _tell_trained(ended)
    return Exit.FINE


def listed(request: Request) -> Exit:
    """Tell what is in the server.

    Raises:
        ConfigError: there is no such namespace.
        ServerError: the server failed.
    """
    with _space(request) as space:
        there = space.trainer.listing()
    if request.as_json:
        emit(_names(space) | _listing_document(there))
    else:
        _tell_listing(space, there)
    return Exit.FINE


def drop(request: Request, *, now: bool) -> Exit:
    """Take the dictionary out of force, and tell what becomes of it.

    Raises:
        ConfigError: there is no such namespace.
        ServerError: the server failed.
    """
    with _space(request) as space:
        there = space.trainer.drop(now=now)
    kept_s = dictionary_ttl_ms(space.lifetime.max_ttl_s) / 1000
    if request.as_json:
        emit(_names(space) | {"dropped": there.current, "deleted": now} | _listing_document(there))
    elif not there.versions and there.current is None:
        show(f"{request.namespace} has no dictionary")
    elif there.current is None and not now:
        show(
            f"{request.namespace} has no dictionary in force, so there is nothing to do; values written with an "
            f"earlier one can be read until they expire, {format_duration(kept_s)} at the most"
        )
    elif now:
        if there.current is None:
            show(f"{request.namespace} has no dictionary in force")
        size = format_bytes(sum(version.size_bytes for version in there.versions))
        show(f"deleted {len(there.versions)} of {size}: values written with them are misses from now on")
    else:
        show(
            f"values of {request.namespace} are compressed without a dictionary from the next write on; those written "
            f"with one can be read until they expire, {format_duration(kept_s)} at the most"
        )
    return Exit.FINE


def _trained(space: Space, on_progress: Callable[[Progress], None], *, dry_run: bool, if_decayed: bool) -> Trained:
    trainer: Trainer = space.trainer
    sample = trainer.sample(on_progress)
    ended = Trained(space.policy, space.keys.prefix, sample.keys, len(sample.values))
    current, trained_ratio = trainer.current()
    try:
        if current is not None:
            live = ratio_of(sample.values, current.zstd)
            ended = replace(ended, live_ratio=live, trained_ratio=trained_ratio)
            if if_decayed and not has_decayed(trained_ratio, live):
                return replace(ended, reason=f"dictionary {current.number} has not decayed")
        training = trainer.learn(sample)
    except Untrainable as error:
        return replace(ended, reason=str(error))
    ended = replace(ended, training=training, keys=training.keys)
    if not training.pays:
        better = "no better than the one in force" if training.old_bytes else "not worth what it takes itself"
        return replace(ended, reason=f"a dictionary would be {better}")
    if dry_run:
        return replace(ended, reason="this is a dry run")
    return replace(ended, number=trainer.store(training))


@contextmanager
def _space(request: Request) -> Generator[Space]:
    """The namespace on its server. It waits for replies as patiently as other commands, not as an application."""
    policy = request.source.load()
    known = {one.name: one for one in policy.namespaces}
    if request.namespace not in known:
        there = ", ".join(known) or "none; pass a policy file with --config"
        raise ConfigError(f'unknown namespace "{request.namespace}" (registered: {there})', source="command line")
    policy = replace(policy, cache=replace(policy.cache, timeout_s=policy.server.timeout_s))
    counters = Counters()
    with closing(Client(policy, counters)) as client:
        yield Space(known[request.namespace], client, counters, Hands(), policy.cache.lock_s)


@contextmanager
def _progress() -> Generator[Callable[[Progress], None]]:
    """A line that changes on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with console(stderr=True).status("looking for keys ...") as line:

        def told(done: Progress) -> None:
            line.update(f"{done.keys:,} keys found, {done.values:,} values read ...")

        yield told


def _names(space: Space) -> dict[str, object]:
    return {"namespace": space.policy.name, "prefix": space.keys.prefix}


def _trained_document(ended: Trained) -> dict[str, object]:
    """What ``--json`` prints; docs/dictionaries.md has its fields."""
    training = ended.training
    return {
        "namespace": ended.policy.name,
        "prefix": ended.prefix,
        "keys": ended.keys,
        "values": ended.values,
        "measured": training.measured if training else None,
        "plain_bytes": training.plain_bytes if training else None,
        "now_bytes": training.now_bytes if training else None,
        "trained_bytes": training.trained_bytes if training else None,
        "dictionary_bytes": len(training.content) if training else None,
        "saving_bytes": training.saving_bytes if training else None,
        "ratio": rounded(training.ratio, 4) if training else None,
        "live_ratio": None if ended.live_ratio is None else rounded(ended.live_ratio, 4),
        "trained_ratio": ended.trained_ratio,
        "stored": ended.number is not None,
        "number": ended.number,
        "reason": ended.reason,
        "enabled": ended.policy.dictionary,
        "seconds": round(ended.seconds, 3),
    }


def _listing_document(there: Listing) -> dict[str, object]:
    return {
        "current": there.current,
        "ratio": there.ratio if there.current is not None else None,
        "versions": [
            {
                "number": version.number,
                "bytes": version.size_bytes,
                "ttl_s": version.ttl_s,
                "current": version.number == there.current,
            }
            for version in there.versions
        ],
    }


def _tell_trained(ended: Trained) -> None:
    name, training = ended.policy.name, ended.training
    show(f"{name}: {ended.values:,} values read, of about {ended.keys:,} keys, in {format_duration(ended.seconds)}")
    if ended.live_ratio is not None and ended.trained_ratio is not None:
        show(
            f"with the dictionary in force they take {format_share(ended.live_ratio)} of their size; when it was "
            f"trained, {format_share(ended.trained_ratio)}"
        )
    if training is not None:
        from spillgate.cli.screens import columns  # noqa: PLC0415 - see output.console

        table = columns("", "a value*", "all keys*")
        for title, part, total in (
            ("uncompressed", training.plain, training.plain_bytes),
            ("as stored now", training.now, training.now_bytes),
            ("with the new dictionary", training.trained, training.trained_bytes),
        ):
            table.add_row(title, f"{part / training.measured:,.0f}B", format_bytes(total))
        show(table)
        size, saved = format_bytes(len(training.content)), training.saving_bytes
        share = format_share(saved / training.now_bytes) if training.now_bytes else "0%"
        show(f"a dictionary of {size} {'saves' if saved > 0 else 'loses'} {format_bytes(abs(saved))} ({share})")
    show(f"nothing was stored: {ended.reason}" if ended.number is None else f"stored as dictionary {ended.number}")
    if ended.number is not None and not ended.policy.dictionary:
        show(f"applications use it once the namespace has dictionary = true in the policy file: {name} has not")


def _tell_listing(space: Space, there: Listing) -> None:
    name = space.policy.name
    if there.current is None:
        show(f"{name} has no dictionary in force")
    elif all(version.number != there.current for version in there.versions):
        show(f"the server has lost dictionary {there.current} of {name}: train another")
    if there.versions:
        from spillgate.cli.screens import columns  # noqa: PLC0415 - see output.console

        table = columns("dictionary*", "size*", "ends in*", "")
        for version in there.versions:
            current = f"in force, trained to {format_share(there.ratio)}" if version.number == there.current else ""
            ends = "-" if version.ttl_s is None else format_duration(version.ttl_s)
            table.add_row(str(version.number), format_bytes(version.size_bytes), ends, current)
        show(table)
