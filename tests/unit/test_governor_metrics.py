"""What is measured of a governor: its names, what is absent, and what Prometheus' own tools say of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from spillgate.config import parse_policy
from spillgate.model import Census, Estimate, Usage
from spillgate.web.exporter_names import EXPORTER_MEASURES
from spillgate.web.exposure import protected_evictable
from spillgate.web.measures import MEASURES, server_address
from spillgate.web.measuring import MOST_NAMESPACES, OTHERS, Kind, Seen
from spillgate.web.metrics import GovernorCollector
from tests.measured import EVERYTHING, LOST, MB, POLICY, READ, READING, SECRET, UNREAD, census, many, values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from spillgate.governor.state import State
    from spillgate.web.measuring import Measure

ALL = MEASURES + EXPORTER_MEASURES
KNOWN = values(MEASURES, EVERYTHING)


def scraped(seen: Seen, measures: tuple[Measure, ...] = ALL) -> CollectorRegistry:
    """A registry as it is served, without this process's own figures."""
    registry = CollectorRegistry()
    registry.register(GovernorCollector(lambda: seen, measures))
    return registry


def openmetrics(registry: CollectorRegistry) -> str:
    """It as a Prometheus gets it that asks for OpenMetrics."""
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    return encode(registry).decode()


def parse_openmetrics(text: str) -> Iterable[Metric]:
    """What the client library's own parser makes of it, which is not typed."""
    return cast("Iterable[Metric]", parser.text_string_to_metric_families(text))  # pyright: ignore[reportUnknownMemberType]


def flat(families: Iterable[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of what a parser found."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


class TestTable:
    def test_it_has_the_names_of_the_design(self) -> None:
        names = {measure.prometheus for measure in MEASURES}
        design = (
            *("pressure_ratio", "level", "namespace_memory_bytes", "namespace_keys", "reclaimed_bytes_total"),
            *("actions_total", "time_to_limit_seconds", "readings_total", "build_info"),
        )
        assert {f"spillgate_{name}" for name in design} <= names

    def test_names_are_unique_and_say_what_they_measure(self) -> None:
        for name in ("prometheus", "opentelemetry"):
            names = [getattr(measure, name) for measure in ALL]
            assert len(set(names)) == len(names)
        for measure in ALL:
            assert re.fullmatch(r"(spillgate|redis)(_[a-z]+)+", measure.prometheus)
            assert measure.prometheus.endswith("_total") == (measure.kind is Kind.COUNTER)
            assert measure.prometheus.endswith("_info") == (measure.kind is Kind.INFO)
            assert measure.help.endswith(".")

    def test_everything_can_be_known(self) -> None:
        assert [measure.prometheus for measure in MEASURES if measure.prometheus not in KNOWN] == []
        assert [one.prometheus for one in EXPORTER_MEASURES if not list(one.samples(EVERYTHING))] == []

    def test_series_are_bounded_whatever_the_server_holds(self) -> None:
        policy = many(250)
        rows = tuple(
            Usage(one.name, Estimate(2, 1, 3), Estimate(2, 1, 3), Estimate(2, 1, 3)) for one in policy.namespaces
        )
        counted = Census(1.0, False, 9, 999, rows, Estimate.exact(0), Estimate.exact(999))  # noqa: FBT003 - exact
        known = values(MEASURES, replace(EVERYTHING, state=replace(READ, policy=policy, census=counted)))
        keys = known["spillgate_namespace_keys"]
        assert (len(keys), keys["n0",], keys[OTHERS,]) == (101, 2, 300)
        assert known["spillgate_namespace_memory_bound_bytes"].keys() >= {(OTHERS, "low"), ("n99", "high")}
        assert ("n100",) not in keys
        assert sum(map(len, known.values())) < 70 + 10 * (MOST_NAMESPACES + 1)

    def test_the_rest_is_not_added_up_where_a_part_is_unknown(self) -> None:
        policy = many(102)
        rows = tuple(Usage(one.name, Estimate.exact(1), None, None) for one in policy.namespaces[:-1])
        counted = Census(1.0, True, 9, 999, rows, Estimate.exact(0))  # noqa: FBT003 - exact
        known = values(MEASURES, Seen(replace(READ, policy=policy, census=counted)))
        assert (OTHERS,) not in known["spillgate_namespace_keys"]
        assert "spillgate_namespace_memory_bytes" not in known


class TestValues:
    def test_what_is_known(self) -> None:
        expected = {
            "spillgate_up": 1,
            "spillgate_used_bytes": 19 * MB,
            "spillgate_limit_bytes": 25 * MB,
            "spillgate_ceiling_bytes": 23 * MB,
            "spillgate_pressure_ratio": 0.76,
            "spillgate_level": 2,
            "spillgate_time_to_limit_seconds": 6291.5,
            "spillgate_last_look_timestamp_seconds": 1_769_860_800.5,
            "spillgate_refused_writes_total": 0,
            "spillgate_reclaimed_bytes_total": 3 * MB,
            "spillgate_protected_evictable": 1,
            "spillgate_unavailable_commands": 11,
            "spillgate_unregistered_keys": 46,
            "spillgate_cleanup_failing": 0,
            "spillgate_history_writable": 1,
        }
        assert {name: KNOWN[name][()] for name in expected} == expected
        assert all(type(value) is not bool for found in KNOWN.values() for value in found.values())

    def test_what_is_known_of_parts(self) -> None:
        assert KNOWN["spillgate_held_bytes"] == {
            ("client buffers",): 0,
            ("replication backlog",): 2 * MB,
            ("scripts",): 3000,
        }
        assert KNOWN["spillgate_level_threshold_bytes"]["emergency",] == 23_068_672
        assert KNOWN["spillgate_namespace_info"].keys() == {("users", "never", ""), ("messages", "clear", "1")}
        assert KNOWN["spillgate_namespace_budget_bytes"] == {("messages",): 5 * MB}
        assert KNOWN["spillgate_findings"]["high",] == 1
        assert KNOWN["spillgate_findings"]["critical",] == 0
        assert KNOWN["spillgate_alerts_firing"]["warning",] == 2
        assert KNOWN["spillgate_alerts_receiver_failing"] == {("chat",): 1, ("mail",): 0}

    def test_estimates_have_both_ends_and_an_endless_one_has_none(self) -> None:
        assert KNOWN["spillgate_namespace_memory_bytes"] == {("users",): 4000, ("messages",): 9000}
        assert KNOWN["spillgate_namespace_memory_bound_bytes"]["messages", "high"] == 10_000
        assert KNOWN["spillgate_namespace_keys_bound"].keys() == {
            ("users", "low"),
            ("users", "high"),
            ("messages", "low"),
        }

    def test_a_hit_ratio_is_told_of_namespaces_of_the_policy_that_were_read(self) -> None:
        assert KNOWN["spillgate_library_hit_ratio"] == {("messages",): 0.75}

    def test_no_secret_is_told(self) -> None:
        text = generate_latest(scraped(EVERYTHING)).decode()
        assert SECRET not in text
        assert 'server="cache.internal:6380"' in text

    @pytest.mark.parametrize(
        ("url", "address"),
        [
            ("redis://me:secret@h", "h:6379"),
            ("rediss://:secret@[::1]:7/2", "[::1]:7"),
            ("unix://me:secret@/run/redis.sock?db=1", "/run/redis.sock"),
        ],
    )
    def test_an_address_is_without_user_and_password(self, url: str, address: str) -> None:
        assert server_address(url) == address


class TestUnknown:
    def test_before_the_first_look(self) -> None:
        known = values(MEASURES, Seen(UNREAD))
        assert known.keys() == {
            *("spillgate_build_info", "spillgate_governor_running", "spillgate_dry_run", "spillgate_server_info"),
            *("spillgate_readings_total", "spillgate_commands_total", "spillgate_actions_total"),
            *("spillgate_reclaimed_bytes_total", "spillgate_deleted_keys_total", "spillgate_purged_keys_total"),
            *("spillgate_retimed_keys_total", "spillgate_namespace_info", "spillgate_namespace_budget_bytes"),
        }
        assert values(EXPORTER_MEASURES, Seen(UNREAD)) == {}

    def test_a_server_that_never_answered_is_down(self) -> None:
        state = replace(UNREAD, unreadable=True, error="refused")
        assert values(ALL, Seen(state))["redis_up"] == {(): 0}
        assert values(ALL, Seen(replace(UNREAD, ended=True)))["spillgate_up"] == {(): 0}

    def test_while_the_server_cannot_be_read_only_what_is_not_its_own_stands(self) -> None:
        known = values(ALL, LOST)
        gone = KNOWN.keys() - known.keys()
        assert known["spillgate_up"] == {(): 0}
        assert known["spillgate_level"] == {(): 2}
        assert known["spillgate_last_look_timestamp_seconds"] == {(): 1_769_860_800.5}
        assert gone == {
            *("spillgate_used_bytes", "spillgate_rss_bytes", "spillgate_held_bytes", "spillgate_pressure_ratio"),
            *("spillgate_forecast_ratio", "spillgate_fill_bytes_per_second", "spillgate_time_to_limit_seconds"),
            *("spillgate_eviction_policy_info", "spillgate_protected_evictable", "spillgate_keys"),
            *("spillgate_other_database_keys", "spillgate_evicted_keys_total", "spillgate_expired_keys_total"),
            *("spillgate_refused_writes_total", "spillgate_connected_clients", "spillgate_namespace_memory_bytes"),
            *("spillgate_namespace_memory_bound_bytes", "spillgate_namespace_keys", "spillgate_namespace_keys_bound"),
            *("spillgate_namespace_unttl_keys", "spillgate_unregistered_keys", "spillgate_keyspace_memory_bytes"),
        }
        assert [name for name in known if name.startswith("redis_")] == ["redis_up"]

    def test_bytes_where_memory_usage_is_forbidden(self) -> None:
        known = values(MEASURES, Seen(replace(READ, census=census(sized=False))))
        assert "spillgate_namespace_keys" in known
        missing = ("namespace_memory_bytes", "namespace_memory_bound_bytes", "keyspace_memory_bytes")
        assert known.keys().isdisjoint(f"spillgate_{name}" for name in missing)

    def test_namespaces_before_the_first_census(self) -> None:
        known = values(MEASURES, Seen(replace(READ, census=None)))
        assert {name for name in known if "namespace" in name} == {
            "spillgate_namespace_info",
            "spillgate_namespace_budget_bytes",
        }

    def test_a_rate_before_two_readings_and_a_time_that_never_comes(self) -> None:
        assert READ.assessment is not None
        once = values(MEASURES, Seen(replace(READ, readings=1, assessment=replace(READ.assessment, fill_bytes_s=0.0))))
        assert once.keys().isdisjoint({"spillgate_fill_bytes_per_second", "spillgate_time_to_limit_seconds"})
        still = values(MEASURES, Seen(replace(READ, assessment=replace(READ.assessment, fill_bytes_s=0.0))))
        assert still["spillgate_fill_bytes_per_second"] == {(): 0}
        assert "spillgate_time_to_limit_seconds" not in still

    def test_what_does_not_run_beside_the_governor(self) -> None:
        beside = ("findings", "checkup", "library", "alerts", "history")
        assert [name for name in values(MEASURES, Seen(READ)) if name.split("_")[1] in beside] == []

    def test_a_cleanup_that_the_server_forbids(self) -> None:
        state = replace(READ, error="UNLINK: forbidden")
        assert values(MEASURES, Seen(state))["spillgate_cleanup_failing"] == {(): 1}


PURE = parse_policy(
    '[[namespace]]\nname = "messages"\nkeys = "app:messages:*"\nttl="1m"\ncleanup="clear"\npriority=1', "t"
)
UNCOUNTED = replace(READ, census=None)


def under(policy: str, state: State = READ, **reading: int | None) -> State:
    """A state in which the server evicts like this."""
    return replace(state, reading=replace(READING, eviction_policy=policy, **reading))


PURE_CACHE = replace(READ, policy=PURE, census=census(unregistered=0))
TIMED = replace(census(), namespaces=(Usage("users", Estimate.exact(12), None, Estimate.exact(10)),))
UNTIMED = replace(census(), namespaces=(Usage("users", Estimate.exact(12), None, None),))
SESSIONS = replace(READ, policy=replace(POLICY, namespaces=POLICY.namespaces[:1]))


class TestEvictable:
    @pytest.mark.parametrize(
        ("state", "known"),
        [
            pytest.param(under("noeviction"), False, id="a server that evicts nothing"),
            pytest.param(under("allkeys-lru"), True, id="a protected namespace"),
            pytest.param(under("allkeys-lru", PURE_CACHE), False, id="a pure cache"),
            pytest.param(under("allkeys-lru", PURE_CACHE, other_keys=3), True, id="another database"),
            pytest.param(under("allkeys-lfu", replace(READ, policy=PURE)), True, id="keys of no namespace"),
            pytest.param(under("allkeys-lru", replace(UNCOUNTED, policy=PURE)), None, id="nothing counted yet"),
            pytest.param(under("volatile-lru", UNCOUNTED, keys_with_ttl=0), False, id="no key has a TTL"),
            pytest.param(under("volatile-lru", UNCOUNTED), None, id="some have, not counted yet"),
            pytest.param(under("volatile-ttl", PURE_CACHE), False, id="volatile, a pure cache"),
            pytest.param(under("volatile-lru", replace(SESSIONS, census=TIMED)), True, id="sessions with a TTL"),
            pytest.param(under("volatile-lru", replace(SESSIONS, census=UNTIMED)), None, id="TTLs are not told"),
            pytest.param(under("volatile-lru"), None, id="a sample of keys of no namespace"),
            pytest.param(
                under("volatile-lru", replace(READ, census=census(exact=True))), False, id="which have no TTL"
            ),
            pytest.param(
                under("volatile-lru", replace(READ, census=census(exact=True)), keys_with_ttl=90),
                True,
                id="some of which have one",
            ),
            pytest.param(under("volatile-lru", PURE_CACHE, other_keys=3), None, id="volatile, another database"),
            pytest.param(UNREAD, None, id="a server that was never read"),
        ],
    )
    def test_what_the_server_may_take(self, state: State, known: bool | None) -> None:  # noqa: FBT001 - the expected answer
        assert protected_evictable(state) is known


class TestExporterNames:
    def test_they_mean_what_the_exporter_means(self) -> None:
        known = values(EXPORTER_MEASURES, EVERYTHING)
        expected = {
            "redis_memory_used_bytes": 20 * MB,
            "redis_memory_max_bytes": 25 * MB,
            "redis_connected_clients": 12,
            "redis_uptime_in_seconds": 3600,
        }
        assert {name: known[name][()] for name in expected} == expected
        assert known["redis_db_keys"] == {("db3",): 145}
        assert known["redis_db_keys_expiring"] == {("db3",): 87}
        assert known["redis_errors_total"] == {("OOM",): 0}
        assert known["redis_instance_info"] == {("master", "", "9.1.2", "allkeys-lru", "abc"): 1}

    def test_a_version_is_that_of_its_product(self) -> None:
        assert READ.capabilities is not None
        redis = replace(READ, capabilities=replace(READ.capabilities, product="redis"))
        assert list(values(EXPORTER_MEASURES, Seen(redis))["redis_instance_info"]) == [
            ("master", "9.1.2", "", "allkeys-lru", "abc")
        ]

    @pytest.mark.parametrize(
        ("url", "name"),
        [("redis://h", "db0"), ("redis://h/5", "db5"), ("redis://h?db=2", "db2"), ("unix:///run/r.sock?db=4", "db4")],
    )
    def test_the_database_is_the_one_of_the_address(self, url: str, name: str) -> None:
        state = replace(READ, policy=replace(POLICY, server=replace(POLICY.server, url=url)))
        assert list(values(EXPORTER_MEASURES, Seen(state))["redis_db_keys"]) == [(name,)]

    def test_a_server_without_a_limit_of_its_own_has_none(self) -> None:
        state = replace(READ, reading=replace(READING, maxmemory_bytes=0))
        assert "redis_memory_max_bytes" not in values(EXPORTER_MEASURES, Seen(state))


class TestFormats:
    @pytest.mark.parametrize("seen", [EVERYTHING, LOST, Seen(UNREAD)], ids=["everything", "lost", "unread"])
    def test_both_formats_are_read_back_alike(self, seen: Seen) -> None:
        registry = scraped(seen)
        text = flat(parse_text(generate_latest(registry).decode()))
        modern = flat(parse_openmetrics(openmetrics(registry)))
        assert text == modern
        assert len(text) == sum(map(len, values(ALL, seen).values()))

    def test_openmetrics_names_the_units(self) -> None:
        lines = openmetrics(scraped(EVERYTHING)).splitlines()
        assert "# UNIT spillgate_used_bytes bytes" in lines
        assert "# UNIT spillgate_reclaimed_bytes bytes" in lines
        assert "# UNIT spillgate_pressure_ratio ratio" in lines

    @pytest.mark.requires("promtool")
    @pytest.mark.parametrize("measures", [MEASURES, ALL], ids=["own names", "the exporter's too"])
    def test_promtool_finds_nothing_to_mend(self, measures: tuple[Measure, ...]) -> None:
        text, promtool = generate_latest(scraped(EVERYTHING, measures)), shutil.which("promtool") or ""
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
