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
    "eviction-order": [evidence(info={"evicted_keys": "50", "keyspace_misses": "5000"})],
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
        evidence(info={"allocator_frag_ratio": "2.5", "allocator_frag_bytes": str(20 * MB)}),
        evidence(
            info={"mem_allocator": "libc", "mem_fragmentation_ratio": "3", "mem_fragmentation_bytes": str(20 * MB)}
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
    "eviction-order": [evidence(info={"evicted_keys": "50"}), evidence(info={"keyspace_misses": "5000"})],
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
        evidence(used=900 * MB, info={"allocator_frag_ratio": "1.1", "allocator_frag_bytes": str(90 * MB)}),
    ],
    "client-buffers": [evidence(info={"mem_clients_normal": str(4 * MB), "connected_clients": "200"})],
    "connections": [evidence(info={"connected_clients": "600"})],
    "scripts": [evidence(info={"used_memory_scripts": str(MB // 10), "number_of_cached_scripts": "5000"})],
    "several-databases": [evidence(info={"db0": "keys=200,expires=0"})],
    "open-default-user": [evidence(default_user_open=False)],
}

SECRETIVE = replace(evidence(), settings=None, reasons={"settings": "CONFIG GET"})
UNABLE: list[tuple[str, Evidence, str]] = [
    ("cache-keys-without-ttl", evidence({"a:*": many("a:", size=None)}), "MEMORY USAGE is forbidden"),  # type: ignore[arg-type]
    ("ttl-outlives-use", evidence(info={"maxmemory_policy": "allkeys-lfu"}), "LFU"),
    ("long-term-storage", evidence({"a:*": many("a:", idle_s=None)}), "OBJECT IDLETIME"),
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


@pytest.mark.parametrize(("check", "seen", "why"), UNABLE, ids=[check for check, _, _ in UNABLE])
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
        evidence({odd: [key(name, ttl_s=None if n % 3 else 60) for n, name in enumerate(names)]}),
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
    seen = evidence({"we[i]rd?\\xff:*:é": [key(name, ttl_s=None if n % 3 else 60) for n, name in enumerate(names)]})
    parsed = policy(lines_of_policy(one("cache-keys-without-ttl", seen)))
    assert parsed.namespaces[0].keys == ("we\\[i\\]rd\\??:*:é",)


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


def test_a_history_that_grew_while_being_watched_is_at_least_medium() -> None:
    still, growing = (
        one("message-histories", replace(case, survey=replace(case.survey, used_bytes=40 * MB)))
        for case in FIRES["message-histories"]
    )
    assert still.severity is Severity.LOW
    assert growing.severity is Severity.MEDIUM
    assert "5 grew while being watched" in growing.text
    assert "LTRIM chat:0:log -50 -1" in still.fix


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
