"""The table of checks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from spillgate.policy.findings import (
    contents,
    encodings,
    eviction,
    headroom,
    lifetimes,
    names,
    server,
    sizes,
)
from spillgate.policy.findings.evidence import Evidence
from spillgate.policy.findings.finding import Finding

_BY_SHARE = "by the share"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked for.

    ``find`` yields what it found, or raises `Unable`. ``when``, ``severity`` and ``fix`` tell people when it does, how
    bad that is ("by the share": as `Severity` says), and what mends it.
    """

    id: str
    title: str
    when: str
    severity: str
    fix: str
    find: Callable[[Evidence], Iterator[Finding]]


CHECKS: tuple[Check, ...] = (
    Check(
        "cache-keys-without-ttl",
        "Keys without a TTL in a cache",
        "keys of a namespace that may be cleaned up, or of a prefix most of whose keys have a TTL or whose name says "
        "cache, have none. Prefixes of which nobody can tell are named too, with no bytes to win",
        f"{_BY_SHARE}; at most low where it may be no cache",
        "a TTL when writing, `spillgate run`, `enforce_ttl = true`; where the name says cache, the lines that make it "
        "a namespace",
        lifetimes.without_ttl,
    ),
    Check(
        "ttl-outlives-use",
        "TTLs far longer than the keys are used",
        "in a cache the median TTL left is over ten times the median idle time, and some keys are idle much longer",
        _BY_SHARE,
        "a shorter TTL: four times the median idle time, rounded up",
        lifetimes.outlived,
    ),
    Check(
        "long-term-storage",
        "Data that nobody uses",
        "keys idle for two days or more hold 5 % of the data",
        _BY_SHARE,
        "a database on disk, or a TTL where the data may go",
        lifetimes.stored,
    ),
    Check(
        "expiry-backlog",
        "Keys past their TTL still in memory",
        "1 % of the keys of a database are past their TTL",
        f"low, or {_BY_SHARE}",
        "`active-expire-effort`, or `spillgate tick` from cron",
        lifetimes.backlog,
    ),
    Check(
        "big-strings",
        "Strings far bigger than the rest",
        "strings of ten times the average key, and 0.5 % of the data or 256KB, hold 1 % of the data",
        _BY_SHARE,
        "store them elsewhere, split or compress them; `max_value` in the policy file",
        sizes.big_strings,
    ),
    Check(
        "big-collections",
        "Collections with very many elements",
        "collections as big as that have 1,000 elements or more",
        "low or medium",
        "split them, read them in pages, `UNLINK`",
        sizes.big_collections,
    ),
    Check(
        "message-histories",
        "Full message histories",
        "lists, streams and sorted sets of 100 elements or more without a TTL, no queue's, hold 5 % of the data",
        f"{_BY_SHARE}; at least medium where one grew while being watched",
        "`LTRIM`, `XTRIM … MAXLEN`, `ZREMRANGEBYRANK`: the newest tenth stays. None for protected namespaces",
        sizes.histories,
    ),
    Check(
        "files-in-values",
        "Files in values",
        "values begin as images, archives, documents, sound or video do, also in Base64, and hold 1 % of the data",
        f"{_BY_SHARE}, at least low",
        "store files outside; `binary = true` where they are meant",
        contents.files,
    ),
    Check(
        "compressible-values",
        "Values that would compress",
        "zstd makes the values of a sample smaller by what comes to 10 % of their group and 1 % of the data; measured "
        "with a dictionary too, trained on a quarter of the sample",
        _BY_SHARE,
        "compress when writing; `compress_over` and `dictionary` in the policy file",
        contents.compressible,
    ),
    Check(
        "tiny-strings",
        "Many tiny strings",
        "half of a group's keys are strings so small that the server keeps them with the key's own object",
        f"{_BY_SHARE}, at most medium",
        "hashes of some hundred fields",
        contents.tiny,
    ),
    Check(
        "long-key-names",
        "Long key names",
        "names hold 20 % of a group's memory, and begin with 12 bytes or more that all share",
        f"{_BY_SHARE}, at most medium",
        "a shorter prefix",
        names.long_names,
    ),
    Check(
        "keys-outside-namespaces",
        "Keys outside any namespace",
        "keys match no namespace of the policy",
        "low; medium where it is half of all keys",
        "the lines for the policy file: presets and namespaces",
        names.outside,
    ),
    Check(
        "unnamespaced-keys",
        "Keys without a prefix",
        "2 % of the keys have no separator in their name, or begin with an id",
        "low",
        "a prefix",
        names.unnamespaced,
    ),
    Check(
        "just-over-compact-encoding",
        "Collections just over the compact encoding",
        "hashes, sets or sorted sets of up to twice the limit for the compact encoding are kept as tables, and 1 % of "
        "the data could be won",
        f"{_BY_SHARE}, at most medium",
        "`hash-max-listpack-entries` and its like (`ziplist` in Redis 6.2)",
        encodings.just_over,
    ),
    Check(
        "queue-under-eviction",
        "A queue that may be evicted",
        "keys of BullMQ, Celery, Dramatiq, RQ or Sidekiq under `allkeys-*`, or with a TTL under `volatile-*`",
        "high, critical once something was evicted; medium under `volatile-*`",
        "`spillgate run`, and then `maxmemory-policy noeviction`",
        eviction.queues,
    ),
    Check(
        "cache-without-eviction",
        "A cache that nobody cleans",
        "caches hold a fifth of the data under `noeviction`, and no governor listens",
        "low; medium from 60 % of the limit, high from 88 %",
        "`spillgate run`",
        eviction.unevicted,
    ),
    Check(
        "volatile-without-ttl",
        "Eviction that finds little to evict",
        "under `volatile-*` half of the data has no TTL",
        "medium; high from 60 % of the limit",
        "TTLs, `spillgate run`",
        eviction.volatile,
    ),
    Check(
        "eviction-order",
        "Another eviction order may keep more hits",
        "keys were evicted, fewer than 90 % of 1,000 or more reads were hits, and no governor listens",
        "low",
        "LFU instead of LRU, or the other way round",
        eviction.order,
    ),
    Check(
        "memory-limit",
        "The memory limit",
        "`maxmemory` is missing, or above the plan (`--limit`), or above the machine",
        "high; medium where no plan is known",
        "`CONFIG SET maxmemory`; where more is in use, first free memory",
        headroom.limit,
    ),
    Check(
        "limit-within-a-day",
        "The limit is near",
        "memory surely grows, and reaches the limit within a day at that rate",
        "high; critical within the hour",
        "`spillgate run`, or a larger plan",
        headroom.growth,
    ),
    Check(
        "rehash-headroom",
        "No room for the table to double",
        "the next doubling of the table of keys takes more than will be left by then",
        "medium",
        "`reserve` in the policy file, or a larger plan",
        headroom.rehash,
    ),
    Check(
        "fork-headroom",
        "No room for a snapshot",
        "snapshots or the append-only file are on, and the limit is over half of the machine's memory",
        "medium; high where the memory in use is",
        "a lower `maxmemory`, or no persistence",
        headroom.fork,
    ),
    Check(
        "fragmentation",
        "Fragmentation",
        "the ratio is 1.4 or more, 16MB or more are in use, and it wastes as much and a quarter of it",
        "medium; high where it wastes as much as is used",
        "`activedefrag`, a replica that takes over, or a restart where data is saved",
        server.fragmentation,
    ),
    Check(
        "client-buffers",
        "Memory in the buffers of clients",
        "they hold 5 % of the memory in use, and as much beyond what such connections need",
        f"{_BY_SHARE}, at least medium",
        "`client-output-buffer-limit`",
        server.buffers,
    ),
    Check(
        "connections",
        "Too many connections",
        "70 % of `maxclients` are open, or some were refused",
        "medium; high from 90 %",
        "smaller pools, `timeout`",
        server.connections,
    ),
    Check(
        "scripts",
        "Memory in scripts and functions",
        "cached scripts and functions hold 2 % of the memory in use",
        _BY_SHARE,
        "`SCRIPT FLUSH` and `ARGV`, `FUNCTION DELETE`",
        server.scripts,
    ),
    Check(
        "several-databases",
        "Several logical databases",
        "more than one has keys",
        "low",
        "prefixes, or a server for each use",
        server.databases,
    ),
    Check(
        "open-default-user",
        "No password",
        "the default user has none",
        "high; low where only this machine can reach it",
        "`ACL SETUSER default`, `requirepass`",
        server.open_default_user,
    ),
)
"""Every check, in the order of the documentation."""
