"""Whether there is a limit, and what is left of it: for growth, for a table that doubles, for a fork."""

import math
from collections.abc import Iterator

from spillgate.policy.findings import fixes
from spillgate.policy.findings.evidence import Evidence
from spillgate.policy.findings.finding import Finding, Severity
from spillgate.policy.findings.numbers import size
from spillgate.units import format_bytes, format_duration, format_share

_DAY_S, _HOUR_S = 86_400, 3600
# How much of a machine a server may take where nobody said: the rest is for its buffers, forks and the system.
_MACHINE_SHARE = 0.75
_FORK_SHARE = 0.5
# A pointer a bucket; from Valkey 8.1 on 64 bytes for every seven entries (hashtable.c).
_POINTER_BYTES = 8
_BUCKET_BYTES, _BUCKET_ENTRIES = 64, 7
_FIRST_TABLE = 4


def limit(evidence: Evidence) -> Iterator[Finding]:
    """A server without a limit, or with one above the plan or the machine."""
    maxmemory, declared = evidence.maxmemory_bytes, evidence.policy.server.limit_bytes
    machine = int(evidence.survey.info.get("total_system_memory", "0"))
    if not maxmemory:
        told = f"The plan allows {format_bytes(declared)}" if declared else "Nothing else limits it"
        proper = declared or int(machine * _MACHINE_SHARE)
        why = "" if declared else f" (three quarters of the machine's {format_bytes(machine)})"
        yield Finding(
            Severity.HIGH if declared else Severity.MEDIUM,
            f"The server has no maxmemory. {told}: it grows until the plan or the system ends it, with all its data.",
            f"{_maxmemory(evidence, proper)}{why}" if proper else "CONFIG SET maxmemory <bytes of the plan>",
            numbers={"maxmemory": 0},
        )
    elif declared and maxmemory > declared:
        yield Finding(
            Severity.HIGH,
            f"maxmemory is {format_bytes(maxmemory)}, and the plan allows {format_bytes(declared)}: the server neither "
            "evicts nor refuses before the plan ends it.",
            _maxmemory(evidence, declared),
            numbers={"maxmemory": maxmemory, "limit": declared},
        )
    elif machine and maxmemory > machine:
        yield Finding(
            Severity.HIGH,
            f"maxmemory is {format_bytes(maxmemory)}, and the machine has {format_bytes(machine)}.",
            _maxmemory(evidence, int(machine * _MACHINE_SHARE)),
            numbers={"maxmemory": maxmemory, "machine": machine},
        )


def _maxmemory(evidence: Evidence, proper: int) -> str:
    """The command that sets the limit; below what is in use it would evict at once, or refuse every write."""
    used = evidence.survey.used_bytes
    if used < proper:
        return fixes.config_set("maxmemory", proper)
    return (
        f"first free memory, or take a larger plan: {format_bytes(used)} are in use, and a maxmemory of "
        f"{format_bytes(proper)} would evict at once, or refuse every write. spillgate run frees what its policy file "
        "lets it"
    )


def growth(evidence: Evidence) -> Iterator[Finding]:
    """A limit that is reached within a day, if memory goes on to grow as it does."""
    left, rate = evidence.headroom_bytes, evidence.need(evidence.growth_bytes_s, "growth_bytes_s")
    if rate.low <= 0 or left >= rate.value * _DAY_S:
        return
    seconds = left / rate.value
    severity = Severity.CRITICAL if seconds < _HOUR_S else Severity.HIGH
    yield Finding(
        severity,
        f"{format_bytes(left)} are left, and memory grows by {size(rate)} a second: the limit is reached in "
        f"{format_duration(seconds)}.",
        "name what may go in the policy file of spillgate run; or a larger plan",
        numbers={"headroom_bytes": left, "growth_bytes_s": rate, "seconds": seconds},
    )


def rehash(evidence: Evidence) -> Iterator[Finding]:
    """A table of keys whose next doubling does not fit."""
    left = evidence.headroom_bytes
    for database, census in evidence.censuses:
        average = census.total_bytes.value / census.total_keys if census.total_bytes and census.total_keys else None
        if average is None:
            continue
        room, step = _doubling(evidence, census.total_keys)
        at_step = left - room * average
        if not 0 <= at_step < step:
            continue
        yield Finding(
            Severity.MEDIUM,
            f"With {room:,} more keys the table of keys doubles, which takes {format_bytes(step)} in one step. Of the "
            f"{format_bytes(left)} that are left {format_bytes(at_step)} will be left by then.",
            f'a reserve that holds it, in the policy file: [server] reserve = "{_kilobytes(step)}"; or a larger plan',
            database=database,
            numbers={"keys_left": room, "step_bytes": step, "headroom_bytes": left},
        )


def _doubling(evidence: Evidence, keys: int) -> tuple[int, int]:
    """How many more keys the table takes before it doubles, and what it allocates then."""
    version = evidence.survey.info.get("valkey_version", "")
    major_minor = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if major_minor >= (8, 1):
        buckets = 1 << max(0, math.ceil(math.log2(max(1, keys) / _BUCKET_ENTRIES)))
        return buckets * _BUCKET_ENTRIES - keys, 2 * buckets * _BUCKET_BYTES
    buckets = max(_FIRST_TABLE, 1 << max(0, (max(1, keys) - 1).bit_length()))
    return buckets - keys, 2 * buckets * _POINTER_BYTES


def _kilobytes(number: int) -> str:
    return f"{math.ceil(number / 1024)}KB"


def fork(evidence: Evidence) -> Iterator[Finding]:
    """Persistence that forks, with no room on the machine for what changes meanwhile."""
    appends = evidence.number("aof_enabled")
    if not (appends or evidence.setting("save")):
        return
    machine, used = evidence.number("total_system_memory"), evidence.survey.used_bytes
    grows_to = evidence.limit_bytes or used
    if not machine or grows_to <= _FORK_SHARE * machine:
        return
    last = evidence.survey.info.get("rdb_last_cow_size", "0")
    yield Finding(
        Severity.MEDIUM if used <= _FORK_SHARE * machine else Severity.HIGH,
        f"A snapshot forks the server, and every page written meanwhile is copied (the last time "
        f"{format_bytes(int(last))}). The limit of {format_bytes(grows_to)} is {format_share(grows_to / machine)} of "
        f"the machine's {format_bytes(machine)}: a fork at the limit may not fit.",
        _maxmemory(evidence, int(machine * _FORK_SHARE))
        + "; or, where the data may be lost: "
        + " and ".join([fixes.config_set("save", ""), *[fixes.config_set("appendonly", "no")] * bool(appends)]),
        numbers={"limit_bytes": grows_to, "machine_bytes": machine},
    )
