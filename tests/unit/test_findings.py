"""Every check fires where it should, stays silent where it should, and says so where it cannot run."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from spillgate.config import parse_policy
from spillgate.model import Estimate, KeySample, Survey
from spillgate.policy.findings import CHECKS, Clients, Elements, Evidence, Finding, Severity, Value, diagnose
from tests.diagnosing import DAY_S, MB, NAMESPACES, census, evidence, key, many, policy

PNG = "PNG image"


def values(keys: list[KeySample], value: Value) -> dict[tuple[int, bytes], Value]:
    return {(0, one.name): value for one in keys}


def elements(keys: list[KeySample], known: Elements) -> dict[tuple[int, bytes], Elements]:
    return {(0, one.name): known for one in keys}


def pages(**more: Any) -> dict[str, list[KeySample]]:
    return {"pages": many("app:pages:", 100, **more)}


ENDLESS = many("web:cache:", 50, ttl_s=None)
BLOBS = many("img:", 20, 30_000)
CHATS = [key(f"chat:{n}:log", 50_000, ttl_s=None, kind="list", encoding="quicklist") for n in range(10)]
PROFILES = many("prof:", 40, 40_000, ttl_s=None, kind="hash", encoding="hashtable")
BIG_ZSET = key("rank:all", 900_000, kind="zset", encoding="skiplist")
COUNTERS = many("count:", 300, 72, ttl_s=None, encoding="int")
LONG = many("our-company:production:eu-central-1:counters:", 500, 100)
JOBS = [key("celery", 200, ttl_s=None, kind="list"), *many("celery-task-meta-", 10)]

FIRES: dict[str, list[Evidence]] = {
    "cache-keys-without-ttl": [
        evidence({}, namespaces=pages(ttl_s=None)),
        evidence({"web:cache:*": ENDLESS}),
        evidence({"user:*": many("user:", 60) + many("user:x", 40, ttl_s=None)}),
        evidence({"user:*": many("user:", 100, ttl_s=None)}),
    ],
    "ttl-outlives-use": [
        evidence({"web:*": many("web:", 70, ttl_s=DAY_S) + many("web:x", 30, ttl_s=DAY_S, idle_s=7200)}),
    ],
    "long-term-storage": [
        evidence({"doc:*": many("doc:", 50, ttl_s=None, idle_s=3 * DAY_S) + many("doc:x", 50)}),
        evidence({}, namespaces={"tasks": many("app:tasks:", 50, ttl_s=None, idle_s=9 * DAY_S)}),
    ],
    "expiry-backlog": [evidence(expired=20)],
    "big-strings": [evidence({"a:*": [*many("a:", 100), key("a:blob", 600_000)]})],
    "big-collections": [
        evidence({"rank:*": [BIG_ZSET, *many("rank:x", 100)]}, elements=elements([BIG_ZSET], Elements(9000))),
    ],
    "message-histories": [
        evidence({"chat:*:log": CHATS}, elements=elements(CHATS, Elements(500))),
        evidence({"chat:*:log": CHATS}, elements=elements(CHATS[:5], Elements(500, later=510))),
    ],
    "files-in-values": [evidence({"img:*": BLOBS}, values=values(BLOBS, Value(29_000, 29_000, 29_000, kind=PNG)))],
    "compressible-values": [
        evidence({"img:*": BLOBS}, values=values(BLOBS, Value(29_000, 29_000, 9000))),
        evidence({"img:*": BLOBS}, values=values(BLOBS, Value(29_000, 29_000, 30_000, 2000))),
    ],
    "tiny-strings": [evidence({"count:*": COUNTERS})],
    "long-key-names": [evidence({"our-company:*": LONG})],
    "keys-outside-namespaces": [evidence({"elsewhere:*": many("elsewhere:", 5)}, namespaces=pages())],
    "unnamespaced-keys": [
        evidence({"*": [key(f"{n:016x}") for n in range(10)], "app:pages:*": many("app:pages:")}),
        evidence({"settings": [key("settings")], "flags": [key("flags")], "app:pages:*": many("app:pages:", 50)}),
    ],
    "just-over-compact-encoding": [
        evidence(
            {"prof:*": PROFILES},
            elements=elements(PROFILES, Elements(600, longest=20, content_bytes=12_000)),
        ),
        evidence({"prof:*": PROFILES}, elements=elements(PROFILES, Elements(90, longest=100, content_bytes=9000))),
    ],
    "queue-under-eviction": [
        evidence({"app:pages:*": many("app:pages:"), "celery": JOBS[:1]}),
        evidence(known=(key("rq:queues", None, kind="set"),)),
        evidence({"bull:*": many("bull:", 5, kind="hash")}, info={"maxmemory_policy": "volatile-lru"}),
    ],
    "cache-without-eviction": [evidence(info={"maxmemory_policy": "noeviction"}, governed=False)],
    "volatile-without-ttl": [
        evidence({"user:*": many("user:", 100, ttl_s=None)}, info={"maxmemory_policy": "volatile-ttl"}),
    ],
    "eviction-order": [
        evidence(info={"evicted_keys": "50", "keyspace_misses": "5000"}, governed=False),
        evidence(info={"evicted_keys": "50", "keyspace_misses": "5000"}, governed=None),
    ],
    "memory-limit": [
        evidence(info={"maxmemory": "0"}),
        evidence(server='limit = "25MB"'),
        evidence(info={"maxmemory": str(9000 * MB)}),
    ],
    "limit-within-a-day": [evidence(growth_bytes_s=Estimate(MB, MB / 2, 2 * MB))],
    "rehash-headroom": [evidence({"a:*": many("a:", 1000, 1)}, used=100 * MB - 10_000)],
    "fork-headroom": [
        evidence(settings={"save": "3600 1"}, info={"maxmemory": str(6000 * MB)}),
        evidence(info={"aof_enabled": "1", "maxmemory": str(6000 * MB)}),
    ],
    "fragmentation": [
        evidence(used=20 * MB, info={"allocator_frag_ratio": "2.5", "allocator_frag_bytes": str(20 * MB)}),
        evidence(
            used=20 * MB,
            info={"mem_allocator": "libc", "mem_fragmentation_ratio": "3", "mem_fragmentation_bytes": str(20 * MB)},
        ),
    ],
    "client-buffers": [evidence(info={"mem_clients_normal": str(4 * MB)})],
    "connections": [evidence(info={"connected_clients": "800"}), evidence(info={"rejected_connections": "3"})],
    "scripts": [evidence(info={"used_memory_scripts": str(MB), "number_of_cached_scripts": "5000"})],
    "several-databases": [
        evidence(
            info={"db0": "keys=200,expires=0", "db3": "keys=9,expires=0"},
            others=[(3, census({"x:*": many("x:", 9)}, {}))],
        ),
    ],
    "open-default-user": [evidence(default_user_open=True)],
}

SILENT: dict[str, list[Evidence]] = {
    "cache-keys-without-ttl": [
        evidence({}, namespaces={"tasks": many("app:tasks:", 100, ttl_s=None)}),
        evidence({"celery-task-meta-*": JOBS, "app:pages:*": many("app:pages:")}),
        # Not worth a word beside the rest.
        evidence({"web:cache:*": [*many("web:cache:", 999), key("web:cache:x", 10, ttl_s=None)]}),
    ],
    "ttl-outlives-use": [
        evidence({"web:*": many("web:", 100, ttl_s=DAY_S)}),  # none is idle for long
        evidence({"web:*": many("web:", 100, ttl_s=600, idle_s=300)}),
        evidence({"user:*": many("user:", 100, ttl_s=None, idle_s=7200)}),
    ],
    "long-term-storage": [evidence({"doc:*": many("doc:", 100, ttl_s=None, idle_s=DAY_S)})],
    "expiry-backlog": [evidence(expired=1)],
    "big-strings": [evidence({"a:*": many("a:", 100, 600_000)})],  # what is usual is not big
    "big-collections": [
        evidence({"rank:*": [BIG_ZSET, *many("rank:x", 100)]}, elements=elements([BIG_ZSET], Elements(900))),
    ],
    "message-histories": [
        evidence({"chat:*:log": CHATS}, elements=elements(CHATS, Elements(50))),
        evidence({"chat:*:log": [one._replace(ttl_ms=1000) for one in CHATS]}, elements=elements(CHATS, Elements(500))),
        evidence(
            {"celery": [key("celery", 90_000, ttl_s=None, kind="list")]}, elements={(0, b"celery"): Elements(900)}
        ),
    ],
    "files-in-values": [
        evidence({"img:*": BLOBS}, values=values(BLOBS, Value(29_000, 29_000, 29_000))),
        evidence(
            {},
            namespaces={"pages": many("app:pages:", 20, 30_000)},
            tables=NAMESPACES.replace("priority = 1", "priority = 1\nbinary = true"),
            values=values(many("app:pages:", 20), Value(29_000, 29_000, 29_000, kind=PNG)),
        ),
    ],
    "compressible-values": [evidence({"img:*": BLOBS}, values=values(BLOBS, Value(29_000, 29_000, 28_900, 28_950)))],
    "tiny-strings": [evidence({"doc:*": many("doc:", 300, 300)})],
    "long-key-names": [evidence({"our-company:*": many("our-company:production:eu-central-1:", 200, 2000)})],
    "keys-outside-namespaces": [evidence({}, namespaces=pages())],
    "unnamespaced-keys": [evidence({"app:pages:*": many("app:pages:"), "celery": JOBS[:1]})],
    "just-over-compact-encoding": [
        evidence(
            {"prof:*": PROFILES},
            elements=elements(PROFILES, Elements(5000, longest=20, content_bytes=12_000)),
        ),
        evidence({"prof:*": PROFILES}, elements=elements(PROFILES, Elements(600, longest=900, content_bytes=12_000))),
    ],
    "queue-under-eviction": [
        evidence({"celery": JOBS[:1]}, info={"maxmemory_policy": "noeviction"}),
        evidence({"celery": JOBS[:1]}, info={"maxmemory_policy": "volatile-lru"}),
        evidence({"queue:*": many("queue:", 5)}),  # strings are no Sidekiq
    ],
    "cache-without-eviction": [
        evidence(info={"maxmemory_policy": "noeviction"}, governed=True),
        evidence({"u:*": many("u:", ttl_s=None)}, info={"maxmemory_policy": "noeviction"}, governed=False),
    ],
    "volatile-without-ttl": [evidence(info={"maxmemory_policy": "volatile-ttl"})],
    "eviction-order": [
        evidence(info={"evicted_keys": "50"}, governed=False),
        evidence(info={"keyspace_misses": "5000"}, governed=False),
        evidence(info={"evicted_keys": "50", "keyspace_misses": "5000"}, governed=True),  # it steers by the order
    ],
    "memory-limit": [evidence(server='limit = "100MB"')],
    "limit-within-a-day": [
        evidence(growth_bytes_s=Estimate(MB, -MB, 3 * MB)),  # not sure that it grows
        evidence(growth_bytes_s=Estimate(10, 5, 15)),
    ],
    "rehash-headroom": [evidence({"a:*": many("a:", 1000, 1)}, used=50 * MB)],
    "fork-headroom": [
        evidence(info={"maxmemory": str(6000 * MB)}),
        evidence(settings={"save": "3600 1"}),
    ],
    "fragmentation": [
        evidence(info={"allocator_frag_ratio": "8", "allocator_frag_bytes": str(5 * MB)}),  # a tiny server
        evidence(used=2 * MB, info={"allocator_frag_ratio": "12", "allocator_frag_bytes": str(23 * MB)}),
        evidence(used=900 * MB, info={"allocator_frag_ratio": "1.1", "allocator_frag_bytes": str(90 * MB)}),
    ],
    "client-buffers": [evidence(info={"mem_clients_normal": str(4 * MB), "connected_clients": "200"})],
    "connections": [evidence(info={"connected_clients": "600"})],
    "scripts": [evidence(info={"used_memory_scripts": str(MB // 10), "number_of_cached_scripts": "5000"})],
    "several-databases": [evidence(info={"db0": "keys=200,expires=0"})],
    "open-default-user": [evidence(default_user_open=False)],
}

UNTYPED = [one._replace(type=None, encoding=None) for one in many("a:")]
UNTOLD = [one._replace(type=None, encoding="quicklist") for one in many("b:", 5)]  # no strings, at any rate
UNENCODED = [one._replace(encoding=None) for one in many("a:")]


def untimed(prefixes: dict[str, list[KeySample]], **more: Any) -> Evidence:
    """Evidence of a user who may not ask for TTLs."""
    seen = evidence(prefixes, **more)
    own = seen.survey.own
    blind = replace(own, prefixes=tuple(replace(row, no_ttl=None) for row in own.prefixes))
    return replace(seen, survey=replace(seen.survey, databases=((0, blind),)))


SECRETIVE = replace(evidence(), settings=None, reasons={"settings": "CONFIG GET"})
UNABLE: list[tuple[str, Evidence, str]] = [
    ("cache-keys-without-ttl", evidence({"a:*": many("a:", size=None)}), "MEMORY USAGE is forbidden"),  # type: ignore[arg-type]
    ("ttl-outlives-use", evidence(info={"maxmemory_policy": "allkeys-lfu"}), "LFU"),
    ("long-term-storage", evidence({"a:*": many("a:", idle_s=None)}), "OBJECT IDLETIME"),
    ("big-strings", evidence({"a:*": UNTYPED}), "TYPE is forbidden"),
    ("big-collections", evidence({"a:*": UNTYPED}), "TYPE is forbidden"),
    ("message-histories", evidence({"a:*": UNTYPED}), "TYPE is forbidden"),
    ("message-histories", untimed({"a:*": many("a:", ttl_s=None)}), "PTTL is forbidden"),
    ("files-in-values", evidence({"a:*": UNTYPED}), "TYPE is forbidden"),
    *(
        (check, evidence({"a:*": many("a:"), "b:*": UNTOLD}), "TYPE is forbidden for some keys")
        for check in ("big-collections", "message-histories", "just-over-compact-encoding", "queue-under-eviction")
    ),
    ("compressible-values", evidence({"a:*": UNTYPED}), "TYPE is forbidden"),
    ("tiny-strings", evidence({"a:*": UNENCODED}), "OBJECT ENCODING is forbidden"),
    ("just-over-compact-encoding", evidence({"a:*": UNENCODED}), "OBJECT ENCODING is forbidden"),
    ("queue-under-eviction", evidence({"a:*": UNTYPED}), "TYPE is forbidden"),
    ("ttl-outlives-use", untimed({"a:*": many("a:", ttl_s=None)}), "PTTL is forbidden"),
    ("cache-keys-without-ttl", untimed({"a:*": many("a:", ttl_s=None)}), "PTTL is forbidden"),
    (
        "volatile-without-ttl",
        untimed({"a:*": many("a:", ttl_s=None)}, info={"maxmemory_policy": "volatile-ttl"}),
        "PTTL is forbidden",
    ),
    ("big-collections", evidence(elements=None, reasons={"elements": "--no-values"}), "--no-values"),
    ("message-histories", evidence(elements=None, reasons={"elements": "--no-values"}), "--no-values"),
    ("files-in-values", evidence(values=None, reasons={"values": "forbidden"}), "forbidden"),
    ("compressible-values", evidence(values=None, reasons={"values": "forbidden"}), "forbidden"),
    ("just-over-compact-encoding", SECRETIVE, "CONFIG GET"),
    ("keys-outside-namespaces", evidence(tables="\n"), "no namespace"),
    ("queue-under-eviction", evidence(info={"maxmemory_policy": None}), "INFO does not tell maxmemory_policy"),
    ("cache-without-eviction", evidence(info={"maxmemory_policy": "noeviction"}, governed=None), "unknown"),
    ("memory-limit", evidence(info={"maxmemory": None}), "INFO does not tell maxmemory"),
    ("limit-within-a-day", evidence(growth_bytes_s=None, reasons={"growth_bytes_s": "not watched"}), "not watched"),
    ("rehash-headroom", evidence(info={"maxmemory": "0"}), "no limit is known"),
    ("fork-headroom", SECRETIVE, "CONFIG GET"),
    ("fragmentation", evidence(info={"mem_allocator": None}), "INFO does not tell mem_allocator"),
    ("connections", evidence(info={"maxclients": None}), "INFO does not tell maxclients"),
    ("scripts", evidence(info={"used_memory_scripts": None}), "INFO does not tell"),
    ("open-default-user", evidence(default_user_open=None), "default user open unknown"),
]


def found(check: str, seen: Evidence) -> list[Finding]:
    diagnosis = diagnose(seen)
    assert check not in diagnosis.unable, diagnosis.unable
    return [finding for finding in diagnosis.findings if finding.check == check]


def one(check: str, seen: Evidence) -> Finding:
    (finding,) = found(check, seen)
    return finding


def test_every_check_is_tried_both_ways() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    assert sorted(FIRES) == sorted(SILENT) == sorted(ids)


@pytest.mark.parametrize(("check", "number"), [(check, n) for check, cases in FIRES.items() for n in range(len(cases))])
def test_it_fires(check: str, number: int) -> None:
    for finding in found(check, FIRES[check][number]) or pytest.fail("nothing found"):
        assert finding.title
        assert finding.text.endswith(".")
        assert finding.fix
        assert finding.numbers
        assert finding.wins is None or 0 <= finding.wins.low <= finding.wins.value <= finding.wins.high


@pytest.mark.parametrize(
    ("check", "number"), [(check, n) for check, cases in SILENT.items() for n in range(len(cases))]
)
def test_it_stays_silent(check: str, number: int) -> None:
    assert found(check, SILENT[check][number]) == []


@pytest.mark.parametrize(("check", "seen", "why"), UNABLE, ids=[f"{check}: {why}" for check, _, why in UNABLE])
def test_it_says_why_it_cannot_run(check: str, seen: Evidence, why: str) -> None:
    diagnosis = diagnose(seen)
    assert why in diagnosis.unable[check]
    assert all(finding.check != check for finding in diagnosis.findings)


def test_a_server_in_good_order_has_no_findings() -> None:
    healthy = evidence({}, namespaces=pages())
    diagnosis = diagnose(healthy)
    assert (diagnosis.findings, dict(diagnosis.unable), diagnosis.worst) == ((), {}, None)


def test_the_most_bytes_to_win_come_first() -> None:
    seen = evidence(
        {"web:cache:*": ENDLESS, "img:*": BLOBS, "count:*": COUNTERS},
        values=values(BLOBS, Value(29_000, 29_000, 9000)),
        info={"maxmemory": "0"},
        default_user_open=True,
    )
    findings = diagnose(seen).findings
    wins = [finding.wins.value if finding.wins else 0.0 for finding in findings]
    assert wins == sorted(wins, reverse=True)
    assert wins[0] > wins[1] > 0
    rest = [finding.severity for finding in findings if finding.wins is None]
    assert len(rest) > 1
    assert rest == sorted(rest, reverse=True)


@pytest.mark.parametrize(
    ("share", "severity"),
    [(0.5, Severity.HIGH), (0.1, Severity.MEDIUM), (0.02, Severity.LOW), (0.005, Severity.INFO)],
)
def test_waste_is_graded_by_its_share_of_the_memory(share: float, severity: Severity) -> None:
    seen = evidence({"web:cache:*": ENDLESS}, used=round(50_000 / share))
    assert one("cache-keys-without-ttl", seen).severity is severity


def test_thresholds_follow_the_data_down_to_a_megabyte() -> None:
    small = evidence({"web:cache:*": many("web:cache:", 100, 500, ttl_s=None)}, used=MB)
    finding = one("cache-keys-without-ttl", small)
    assert finding.wins == Estimate.exact(50_000)
    assert finding.severity is Severity.LOW


def test_what_keys_without_a_ttl_hold_is_counted_exactly_where_all_were_seen() -> None:
    keys = many("user:", 60) + many("user:x", 40, 300, ttl_s=None)
    finding = one("cache-keys-without-ttl", evidence({"user:*": keys}))
    assert finding.wins == Estimate.exact(40 * 300)
    assert "40 of 100 keys have no TTL" in finding.text
    assert finding.place == "user:*"


def test_keys_that_may_have_to_stay_are_told_of_without_bytes_to_win() -> None:
    seen = evidence({"user:*": many("user:", 100, ttl_s=None), "org:*": many("org:", 50, ttl_s=None)})
    finding = one("cache-keys-without-ttl", seen)
    assert finding.wins is None
    assert finding.severity is Severity.LOW
    assert "user:*" in finding.text
    assert "org:*" in finding.text


def test_a_fix_never_names_all_keys() -> None:
    seen = evidence(
        {"*": [key(f"{n:016x}", ttl_s=None if n % 3 else 60) for n in range(100)]},
        values=values([key(f"{n:016x}") for n in range(100)], Value(900, 900, 100)),
    )
    fixes = [finding.fix for finding in diagnose(seen).findings]
    assert any("cache" in finding.check for finding in diagnose(seen).findings)
    assert not any('keys = "*"' in fix for fix in fixes)


def lines_of_policy(finding: Finding) -> str:
    """The part of a fix that is to be pasted into a policy file."""
    table = finding.fix[finding.fix.index("[[namespace]]") :]
    presets = [line for line in finding.fix.splitlines() if line.startswith("presets = ")]
    return "\n".join([*presets, *(line for line in table.splitlines() if line and not line.startswith("presets"))])


def test_the_lines_of_every_fix_can_be_pasted_into_a_policy_file() -> None:
    odd = "we[i]rd?\\xff:*:é:*:x:*:y"
    names = [f"we[i]rd?\udcff:{n}:é:{n}:x:{n}:y".encode("utf-8", "surrogateescape") for n in range(50)]
    seen = [
        *(case for cases in FIRES.values() for case in cases),
        evidence({f"cache:{odd}": [key(b"cache:" + name, ttl_s=None) for name in names]}),
    ]
    pasted = 0
    for case in seen:
        for finding in diagnose(case).findings:
            if "\n[[namespace]]" in f"\n{finding.fix}":
                parsed = parse_policy(lines_of_policy(finding), "a fix")
                assert parsed.namespaces
                pasted += 1
    assert pasted > 5


def test_the_glob_of_a_fix_matches_the_keys() -> None:
    names = [f"we[i]rd?\udcff:{n}:é".encode("utf-8", "surrogateescape") for n in range(50)]
    seen = evidence({"cache:we[i]rd?\\xff:*:é": [key(b"cache:" + name, ttl_s=None) for name in names]})
    parsed = policy(lines_of_policy(one("cache-keys-without-ttl", seen)))
    assert parsed.namespaces[0].keys == ("cache:we\\[i\\]rd\\??:*:é",)


@pytest.mark.parametrize("check", FIRES)
def test_masked_evidence_names_no_key(check: str) -> None:
    for case in FIRES[check]:
        masked = replace(case, masked=True)
        names = [one.name.decode() for group in case.groups for one in group.sample] + [
            one.name.decode() for _, taken in case.censuses for one in taken.biggest
        ]
        for finding in diagnose(masked).findings:
            told = "\n".join(
                (finding.text, finding.fix, finding.place or "", *finding.examples, *map(str, finding.numbers.values()))
            )
            words = set(told.replace(",", " ").replace('"', " ").split())
            assert not words & set(names) - {"celery"}, finding


def test_examples_are_written_as_redis_cli_reads_them() -> None:
    keys = [key(b'web:cache:\xff\x00 "\\', 900, ttl_s=None), *many("web:cache:", 9, ttl_s=None)]
    finding = one("cache-keys-without-ttl", evidence({"web:cache:*": keys}, used=MB))
    assert '"web:cache:\\xff\\x00 \\"\\\\"' in finding.examples or len(finding.examples) == 3
    assert evidence().shown(0, b"a b") == '"a b"'
    assert evidence().shown(0, b"\xff\x1b[1m") == '"\\xff\\x1b[1m"'
    assert evidence().shown(0, "né:1".encode()) == "né:1"


def test_a_dictionary_is_advised_where_it_pays() -> None:
    plain, trained = FIRES["compressible-values"]
    assert "dictionary" not in one("compressible-values", plain).fix
    finding = one("compressible-values", trained)
    assert "dictionary = true" in finding.fix
    assert finding.wins is not None
    assert finding.wins.value == pytest.approx(20 * 27_000, rel=0.15)


def test_what_the_cache_library_keeps_for_itself_is_named_by_its_preset() -> None:
    ours = [key(f"spillgate:{kind}:app:messages:", ttl_s=None) for kind in ("generation", "dictionary")]
    fix = one("keys-outside-namespaces", evidence({"spillgate:*": ours}, namespaces=pages())).fix
    assert 'presets = ["spillgate"]' in fix
    assert 'keys = "spillgate:*"' not in fix


def test_a_history_that_grew_while_being_watched_is_at_least_medium() -> None:
    still, growing = (
        one("message-histories", replace(case, survey=replace(case.survey, used_bytes=40 * MB)))
        for case in FIRES["message-histories"]
    )
    assert still.severity is Severity.LOW
    assert growing.severity is Severity.MEDIUM
    assert "5 grew while being watched" in growing.text
    assert "LTRIM chat:0:log 0 49 after each LPUSH, or LTRIM chat:0:log -50 -1 after each RPUSH" in still.fix
    assert still.fix.startswith("if these are histories and no queues")


def test_an_eviction_that_happened_makes_a_queue_critical() -> None:
    quiet = evidence({"celery": JOBS[:1]})
    assert one("queue-under-eviction", quiet).severity is Severity.HIGH
    evicted = evidence({"celery": JOBS[:1]}, info={"evicted_keys": "7"})
    assert one("queue-under-eviction", evicted).severity is Severity.CRITICAL
    assert 'presets = ["celery"]' in one("queue-under-eviction", evicted).fix


def test_the_hour_makes_a_near_limit_critical() -> None:
    soon = evidence(growth_bytes_s=Estimate(MB, MB / 2, 2 * MB))
    assert one("limit-within-a-day", soon).severity is Severity.CRITICAL
    later = evidence(growth_bytes_s=Estimate(3000, 2000, 4000))
    assert one("limit-within-a-day", later).severity is Severity.HIGH


def test_the_limit_that_is_advised_is_the_plans() -> None:
    assert one("memory-limit", evidence(server='limit = "25MB"')).fix == f"CONFIG SET maxmemory {25 * MB}"
    none = one("memory-limit", evidence(server='limit = "25MB"', info={"maxmemory": "0"}))
    assert (none.fix, none.severity) == (f"CONFIG SET maxmemory {25 * MB}", Severity.HIGH)
    assert one("memory-limit", evidence(info={"maxmemory": "0"})).severity is Severity.MEDIUM


def test_a_password_matters_more_where_others_can_reach_the_port() -> None:
    here = evidence(default_user_open=True)
    assert one("open-default-user", here).severity is Severity.LOW
    anywhere = evidence(default_user_open=True, settings={"bind": "* -::*", "protected-mode": "no"})
    assert one("open-default-user", anywhere).severity is Severity.HIGH


def test_redis_6_2_is_told_its_own_word_for_the_limit() -> None:
    old = {"hash-max-ziplist-entries": "512", "hash-max-ziplist-value": "64"}
    case = FIRES["just-over-compact-encoding"][0]
    finding = one("just-over-compact-encoding", replace(case, settings=old))
    assert "CONFIG SET hash-max-ziplist-entries 600" in finding.fix


def test_the_worst_client_is_named() -> None:
    seen = evidence(info={"mem_clients_normal": str(4 * MB)}, clients=Clients(5, 0, 4 * MB, "client 7", 4 * MB))
    assert "client 7" in one("client-buffers", seen).text


def test_idle_connections_are_told_from_busy_ones() -> None:
    busy = evidence(info={"connected_clients": "800"}, clients=Clients(800, 3, 0))
    assert "timeout" not in one("connections", busy).fix
    idle = evidence(info={"connected_clients": "800"}, clients=Clients(800, 700, 0))
    assert "CONFIG SET timeout 300" in one("connections", idle).fix


def test_two_signs_of_a_queue_are_not_mixed_up_with_a_namespace_of_that_name() -> None:
    seen = evidence({"app:celery:*": many("app:celery:", kind="list", ttl_s=None)})
    assert found("queue-under-eviction", seen) == []


def expendable(seen: Evidence) -> list[str]:
    """Every fix with lines that would let keys be cleaned up."""
    fixes = [finding.fix for finding in diagnose(seen).findings]
    return [fix for fix in fixes if "cleanup = " in fix and 'cleanup = "never"' not in fix]


def words(prefix: str, count: int = 100, **more: Any) -> list[KeySample]:
    return [key(f"{prefix}word{chr(97 + n // 26)}{chr(97 + n % 26)}", **more) for n in range(count)]


MIXED = words("app:", 200, idle_s=9 * DAY_S) + words("app:x", 100, ttl_s=None, idle_s=9 * DAY_S)


def test_a_prefix_that_is_a_cache_only_by_its_ttls_is_made_expendable_by_no_fix() -> None:
    seen = evidence(
        {"app:*": MIXED, "sess:*": many("sess:", ttl_s=9 * DAY_S) + many("sess:x", 60, ttl_s=9e5, idle_s=7200)}
    )
    assert one("cache-keys-without-ttl", seen).place == "app:*"
    assert one("ttl-outlives-use", seen).fix.startswith("SET … EX")
    assert expendable(seen) == []


CACHED = many("app:cache:", 100, ttl_s=None)


def test_a_cache_by_its_name_is_given_lines_that_name_its_keys_alone() -> None:
    beside = {"app:*": words("app:", 5), "app:cache:*": CACHED}
    (fix,) = expendable(evidence(beside))
    assert 'keys = "app:cache:*"' in fix
    assert 'cleanup = "expired"' in fix


@pytest.mark.parametrize(
    "others",
    [
        {"app:cache:keep:*": many("app:cache:keep:", ttl_s=None)},  # a longer prefix below it
        {"*": [*many("y", 5), key("app:cache:stray")]},  # one of its keys is elsewhere
    ],
)
def test_no_lines_name_keys_of_another_group(others: dict[str, list[KeySample]]) -> None:
    seen = evidence({"app:cache:*": CACHED} | others)
    assert "app:cache:*" in {finding.place for finding in found("cache-keys-without-ttl", seen)}
    assert not any('keys = "app:cache:*"' in finding.fix for finding in diagnose(seen).findings)


def test_no_lines_overlap_a_namespace_or_a_queue() -> None:
    empty = NAMESPACES + '[[namespace]]\nname = "kept"\nkeys = "app:cache:kept:*"\n'
    assert expendable(evidence({"app:cache:*": CACHED}, tables=empty)) == []
    jobs = many("queue:cache:", 10, kind="list", ttl_s=None)
    assert expendable(evidence({"queue:cache*": many("queue:cache", ttl_s=None), "queue:cache:*": jobs})) == []
    # Words that no separator ends may go on in keys of others.
    assert expendable(evidence({"cache-*": many("cache-", ttl_s=None), "*": words("a:b:", 300)})) == []


def test_lines_that_protect_name_no_keys_of_others_either() -> None:
    groups = {"app:*": words("app:"), "app:orders:*": many("app:orders:"), "elsewhere:*": many("elsewhere:")}
    lines = policy(lines_of_policy(one("keys-outside-namespaces", evidence(groups))))
    assert {namespace.keys for namespace in lines.namespaces} == {("app:orders:*",), ("elsewhere:*",)}
    alone = evidence({"app:*": words("app:"), "app:*:x": many("app:1:x", 5), "*": words("", 9)})
    assert "[[namespace]]" not in one("keys-outside-namespaces", alone).fix


def test_the_policy_gets_no_lines_for_another_database() -> None:
    seen = evidence(others=[(9, census({"app:cache:*": CACHED}, {}))])
    finding = one("cache-keys-without-ttl", seen)
    assert finding.database == 9
    assert expendable(seen) == []


def test_prefixes_of_which_nobody_can_tell_are_told_of_by_database() -> None:
    kept = many("user:", ttl_s=None)
    seen = evidence({"user:*": kept}, others=[(9, census({"org:*": kept}, {}))])
    told = {one.database: one.text for one in found("cache-keys-without-ttl", seen)}
    assert set(told) == {0, 9}
    assert "org" not in told[0]
    assert "user" not in told[9]


def test_what_is_protected_is_never_advised_to_go() -> None:
    tasks = many("app:tasks:", 50, ttl_s=None, idle_s=9 * DAY_S)
    lists = [one._replace(name=b"app:tasks:x%d" % n) for n, one in enumerate(CHATS)]
    seen = evidence({}, namespaces={"tasks": [*tasks, *lists]}, elements=elements(lists, Elements(500)))
    assert one("long-term-storage", seen).fix == "move what has to stay to a database on disk"
    assert "TRIM" not in one("message-histories", seen).fix
    assert expendable(seen) == []


def test_forgotten_data_that_nobody_called_a_cache_is_not_made_expendable() -> None:
    seen = evidence({"acct:*": many("acct:", 50, ttl_s=None, idle_s=9 * DAY_S)})
    assert "database on disk" in one("long-term-storage", seen).fix
    assert expendable(seen) == []


def test_nobody_is_told_to_evict_all_keys() -> None:
    for policy_of_server in ("noeviction", "volatile-lru"):
        for case in (evidence(), evidence({"user:*": many("user:", ttl_s=None)}), evidence({}, namespaces=pages())):
            info = dict(case.survey.info) | {"maxmemory_policy": policy_of_server}
            seen = replace(case, survey=replace(case.survey, info=info), governed=False)
            assert not any("allkeys" in finding.fix for finding in diagnose(seen).findings)


def test_a_queue_with_a_name_of_its_own_is_a_queue() -> None:
    jobs = [key("emails", 90_000, ttl_s=None, kind="list"), key("_kombu.binding.emails", 100, ttl_s=None, kind="set")]
    seen = evidence(
        {"emails": jobs[:1], "_kombu.binding.emails": jobs[1:], "app:pages:*": many("app:pages:")},
        elements=elements(jobs[:1], Elements(900)),
    )
    assert found("message-histories", seen) == []
    alone = evidence({"emails": jobs[:1]}, elements=elements(jobs[:1], Elements(900)))
    assert found("message-histories", alone) != []


def test_no_prefix_is_made_up_that_may_be_taken() -> None:
    finding = one("long-key-names", FIRES["long-key-names"][0])
    assert "→" not in finding.fix
    assert "RENAMENX" in finding.fix


@pytest.mark.parametrize(
    ("check", "seen"),
    [
        ("memory-limit", evidence(server='limit = "25MB"', used=30 * MB)),
        ("memory-limit", evidence(server='limit = "25MB"', used=30 * MB, info={"maxmemory": "0"})),
        ("memory-limit", evidence(info={"maxmemory": str(9000 * MB)}, used=8000 * MB)),
        (
            "fork-headroom",
            evidence(info={"maxmemory": str(6000 * MB)}, settings={"save": "3600 1"}, used=5000 * MB),
        ),
    ],
)
def test_no_limit_below_what_is_in_use(check: str, seen: Evidence) -> None:
    finding = one(check, seen)
    assert "CONFIG SET maxmemory" not in finding.fix
    assert "first free memory" in finding.fix


def test_a_restart_is_advised_with_what_it_does_to_the_data() -> None:
    waste = FIRES["fragmentation"][1]
    assert one("fragmentation", waste).wins is None  # it frees nothing of used_memory
    assert "nothing is saved" in one("fragmentation", waste).fix
    assert "unknown" in one("fragmentation", replace(waste, settings=None)).fix
    saving = replace(waste, settings={"save": "3600 1"})
    assert "SHUTDOWN SAVE" in one("fragmentation", saving).fix


def test_fixes_tell_what_they_cost() -> None:
    queue = one("queue-under-eviction", FIRES["queue-under-eviction"][0]).fix
    assert queue.index("spillgate run") < queue.index("CONFIG SET maxmemory-policy noeviction")
    assert "PTTL" in one("just-over-compact-encoding", FIRES["just-over-compact-encoding"][0]).fix
    assert "NOSCRIPT" in one("scripts", FIRES["scripts"][0]).fix
    big = evidence({"a:*": [key("a:big", 3 * MB)]}, info={"mem_clients_normal": str(4 * MB)})
    fix = one("client-buffers", big).fix
    hard, soft = map(int, fix.split('"')[1].split()[1:3])
    assert hard > soft > 3 * MB
    assert "disconnects" in fix


def test_names_alone_tell_where_no_prefix_was_found() -> None:
    assert found("unnamespaced-keys", untimed({"*": many("k:", 300)})) == []
    ids = [key(f"user{chr(97 + n // 26)}{chr(97 + n % 26)}:x") for n in range(200)]
    assert one("unnamespaced-keys", evidence({"*": ids})).numbers["keys"] == Estimate.exact(200)


def test_a_word_that_few_keys_share_is_masked_too() -> None:
    seen = replace(
        evidence({"tok-alice:*": many("tok-alice:", 3, 90_000, ttl_s=None), "user:*": many("user:", 50)}), masked=True
    )
    assert {group.name for group in seen.groups} == {"***", "user:*"}
    told = [(one.text, one.fix, one.place, one.examples) for one in diagnose(seen).findings]
    assert told
    assert "alice" not in str(told)


def test_lines_have_nothing_that_a_terminal_acts_on() -> None:
    seen = evidence({"cache:\x1b[31m\x7f:*": many("cache:\x1b[31m\x7f:", ttl_s=None)})
    fix = one("cache-keys-without-ttl", seen).fix
    assert "\x7f" not in fix
    assert "\x1b" not in fix
    assert policy(lines_of_policy(one("cache-keys-without-ttl", seen))).namespaces[0].keys == (
        "cache:\x1b\\[31m\x7f:*",
    )


@pytest.mark.parametrize("drawn", [60, 200])
def test_intervals_from_samples_hold_the_truth(drawn: int) -> None:
    """The truth lies inside at least nine times in ten, for keys of very unequal size."""
    rng = random.Random(7)
    held = 0
    rounds = 200
    for _ in range(rounds):
        keys = [
            key(f"web:cache:{n}", round(rng.lognormvariate(6, 1)), ttl_s=None if rng.random() < 0.4 else 60)
            for n in range(600)
        ]
        truth = sum(one.size_bytes or 0 for one in keys if one.ttl_ms is None)
        seen = _sampled(evidence({"web:cache:*": keys}, used=MB), rng, drawn)
        wins = one("cache-keys-without-ttl", seen).wins
        assert wins is not None
        held += wins.low <= truth <= wins.high
    assert held >= 0.9 * rounds


def _sampled(seen: Evidence, rng: random.Random, drawn: int) -> Evidence:
    """The same evidence, of a census that looked closely at some keys only."""
    own = seen.survey.own
    rows = tuple(replace(row, sample=tuple(rng.sample(row.sample, drawn))) for row in own.prefixes)
    survey: Survey = replace(seen.survey, databases=((0, replace(own, exact=False, prefixes=rows)),))
    return replace(seen, survey=survey)
