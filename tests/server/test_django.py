# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false, reportOptionalSubscript=false
# (Django has no types, and what is inferred of it is often wrong)
"""The Django cache backend: what Django documents of a cache, point by point, by its sync and its async methods."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import warnings
from datetime import date
from decimal import Decimal
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from django.core.cache import caches
from django.core.cache.backends.base import CacheKeyWarning
from django.core.exceptions import ImproperlyConfigured
from django.db.models import IntegerChoices
from django.http import HttpResponse
from django.utils.safestring import mark_safe

from spillgate import parse_policy
from spillgate.errors import MissingExtra, ServerError, ValueRefused, ValueTooLarge
from tests.django_site import Twin, caching, twin
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

YEAR_S = 365 * 86_400


@pytest.fixture(params=["sync", "async"])
def cache(request: pytest.FixtureRequest, valkey: Server) -> Iterator[Twin]:
    """The default cache by either kind of methods."""
    with caching(valkey) as cache, twin(cache, request.param) as its_twin:
        yield its_twin


def ttl_s(server: Server, key: str = ":1:key") -> float:
    """What is left of a key's TTL in the server."""
    return server.client().pttl(key) / 1000


class TestBasics:
    def test_a_value_comes_back_and_a_default_where_there_is_none(self, cache: Twin) -> None:
        assert cache.get("key") is None
        assert cache.get("key", "default") == "default"
        cache.set("key", "value")
        assert cache.get("key", "default") == "value"
        cache.set("none", None)
        assert cache.get("none", "default") is None

    @pytest.mark.parametrize("mode", ["sync", "async"])
    def test_on_every_kind_of_server(self, server: Server, mode: str) -> None:
        with caching(server) as cache, twin(cache, mode) as both:
            both.set_many({"a": 1, "b": (2, "two")}, 60)
            assert both.get_many(["a", "b", "c"]) == {"a": 1, "b": (2, "two")}
            assert both.incr("a") == 2
            assert both.add("b", 0) is False
            assert both.touch("b", 1000)
            assert 990 < ttl_s(server, ":1:b") <= 1000
            both.clear()
            assert both.get_many(["a", "b"]) == {}

    def test_add_stores_only_where_there_is_nothing(self, cache: Twin) -> None:
        assert cache.add("key", "first") is True
        assert cache.add("key", "second") is False
        assert cache.get("key") == "first"

    def test_many_at_once(self, cache: Twin) -> None:
        assert cache.set_many({"a": 1, "b": None, "c": "x"}) == []
        assert cache.get_many(["a", "b", "other"]) == {"a": 1, "b": None}
        assert cache.get_many(iter(["a", "c"])) == {"a": 1, "c": "x"}
        assert cache.delete_many(["a", "b"]) is None
        assert cache.get_many(["a", "b", "c"]) == {"c": "x"}
        assert cache.set_many({}) == []
        assert cache.get_many([]) == {}
        assert cache.delete_many([]) is None

    def test_delete_says_whether_there_was_something(self, cache: Twin) -> None:
        cache.set("key", "value")
        assert cache.delete("key") is True
        assert cache.delete("key") is False

    def test_has_key(self, cache: Twin) -> None:
        cache.set("key", None)
        assert cache.has_key("key") is True
        assert cache.has_key("other") is False
        assert "key" in cache.cache
        assert "other" not in cache.cache

    def test_incr_and_decr_change_what_is_there(self, cache: Twin, valkey: Server) -> None:
        cache.set("key", 41, 1000)
        assert cache.incr("key") == 42
        assert cache.incr("key", 10) == 52
        assert cache.decr("key") == 51
        assert cache.decr("key", 50) == 1
        assert cache.get("key") == 1
        assert 990 < ttl_s(valkey) <= 1000

    def test_incr_and_decr_raise_where_nothing_is_there(self, cache: Twin, valkey: Server) -> None:
        for change in (cache.incr, cache.decr):
            with pytest.raises(ValueError, match="Key 'key' not found"):
                change("key")
        assert valkey.client().keys() == []

    def test_incr_of_what_is_no_int_is_refused(self, cache: Twin) -> None:
        for value in ("text", None, 1.5):
            cache.set("key", value)
            with pytest.raises(ValueRefused, match="cannot be added"):
                cache.incr("key")

    def test_a_member_of_an_int_enum_can_be_added_to(self, cache: Twin) -> None:
        cache.set("key", IntegerChoices("Size", "SMALL LARGE").LARGE)
        assert cache.incr("key") == 3

    def test_close_leaves_it_usable(self, cache: Twin) -> None:
        cache.set("key", "value")
        cache.close()
        assert cache.get("key") == "value"


class TestTimeouts:
    def test_by_default_five_minutes(self, cache: Twin, valkey: Server) -> None:
        cache.set("key", "value")
        assert 299 < ttl_s(valkey) <= 300

    @pytest.mark.parametrize("timeout", [1, 0.5, 100.2, 60 * 60 * 24 * 30 + 1])
    def test_what_is_given_is_what_is_done(self, cache: Twin, valkey: Server, timeout: float) -> None:
        cache.set("key", "value", timeout)
        assert timeout - 0.4 < ttl_s(valkey) <= timeout
        cache.add("added", "value", timeout=timeout)
        assert timeout - 0.4 < ttl_s(valkey, ":1:added") <= timeout
        cache.set_many({"many": 1}, timeout)
        assert timeout - 0.4 < ttl_s(valkey, ":1:many") <= timeout

    def test_a_value_expires(self, cache: Twin) -> None:
        cache.set("key", "value", 0.05)
        eventually(lambda: cache.get("key") is None)
        assert cache.add("key", "new")

    def test_for_ever_is_as_long_as_the_namespace_allows(self, cache: Twin, valkey: Server) -> None:
        cache.set("key", "value", None)
        assert YEAR_S - 1 < ttl_s(valkey) <= YEAR_S
        cache.set("key", "value", 10)
        assert cache.touch("key", None)
        assert YEAR_S - 1 < ttl_s(valkey) <= YEAR_S

    @pytest.mark.parametrize("timeout", [0, -1])
    def test_without_a_timeout_nothing_is_kept(self, cache: Twin, timeout: int) -> None:
        cache.set("key", "before")
        cache.set("key", "value", timeout)
        assert cache.get("key") is None
        assert cache.add("key", "value", timeout) is True
        assert cache.get("key") is None
        cache.set("key", "before")
        assert cache.add("key", "value", timeout) is False
        assert cache.set_many({"key": 1, "other": 2}, timeout) == []
        assert cache.get_many(["key", "other"]) == {}
        cache.set("key", "before")
        assert cache.touch("key", timeout) is True
        assert cache.get("key") is None
        assert cache.get_or_set("key", lambda: 5, timeout) == 5
        assert cache.get_or_set("key", 5, timeout) == 5
        assert cache.get("key") is None

    def test_touch_gives_another_one(self, cache: Twin, valkey: Server) -> None:
        cache.set("key", "value", 10)
        assert cache.touch("key", 1000) is True
        assert 990 < ttl_s(valkey) <= 1000
        assert cache.touch("key") is True
        assert 299 < ttl_s(valkey) <= 300
        assert cache.touch("other") is False

    def test_ttl_tells_what_is_left(self, cache: Twin, valkey: Server) -> None:
        assert cache.ttl("key") == 0
        assert cache.pttl("key") == 0
        cache.set("key", "value", 0.2)
        assert cache.ttl("key") == 1
        assert 0 < cache.pttl("key") <= 200
        assert cache.expire("key", 1000)
        assert 990 < cache.ttl("key") <= 1000
        valkey.client().persist(":1:key")
        assert cache.ttl("key") is None

    @pytest.mark.parametrize(("configured", "seconds"), [(42, 42), (None, YEAR_S), ("43", 43), ("?", 300)])
    def test_the_configured_default(self, valkey: Server, configured: object, seconds: int) -> None:
        with caching(valkey, TIMEOUT=configured) as cache:
            cache.set("key", "value")
            assert seconds - 1 < ttl_s(valkey) <= seconds

    def test_a_configured_default_of_0_keeps_nothing_by_default(self, valkey: Server) -> None:
        with caching(valkey, TIMEOUT=0) as cache:
            cache.set("key", "value")
            assert cache.get("key") is None
            cache.set("key", "value", 10)
            assert cache.get("key") == "value"


class TestGetOrSet:
    def test_a_value_or_what_a_callable_returns(self, cache: Twin) -> None:
        assert cache.get_or_set("key", 42) == 42
        assert cache.get_or_set("key", 43) == 42
        assert cache.get_or_set("called", lambda: (1, [2])) == (1, [2])
        assert cache.get_or_set("called", lambda: 1 / 0) == (1, [2])
        assert cache.get("called") == (1, [2])

    def test_none_is_a_value(self, cache: Twin) -> None:
        assert cache.get_or_set("key", None) is None
        assert cache.get_or_set("called", lambda: None) is None
        assert cache.get("key", "default") is None
        assert cache.get_or_set("called", lambda: 5) is None

    def test_versions_and_timeouts(self, cache: Twin, valkey: Server) -> None:
        assert cache.get_or_set("key", lambda: 1, 1000, version=2) == 1
        assert 990 < ttl_s(valkey, ":2:key") <= 1000
        assert cache.get("key") is None

    def test_what_the_callable_raises_is_raised(self, cache: Twin) -> None:
        with pytest.raises(ZeroDivisionError):
            cache.get_or_set("key", lambda: 1 / 0)
        with pytest.raises(ValueRefused, match="pickle"):
            cache.get_or_set("key", object)

    def test_a_computed_counter_can_be_added_to(self, cache: Twin) -> None:
        cache.get_or_set("key", lambda: 5)
        assert cache.incr("key") == 6

    def test_many_threads_call_once_and_each_has_its_own_copy(self, valkey: Server) -> None:
        calls: list[int] = []
        results: list[list[int]] = []
        begin = threading.Barrier(8)

        def compute() -> list[int]:
            calls.append(1)
            eventually(lambda: sum(one.name == "asking" for one in threading.enumerate()) == 8)
            return [1]

        with caching(valkey):

            def ask() -> None:
                begin.wait()
                result = caches["default"].get_or_set("key", compute)
                result.append(len(result))
                results.append(result)

            threads = [threading.Thread(target=ask, name="asking") for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(calls) == 1
        assert results == [[1, 1]] * 8

    def test_an_awaitable_is_awaited(self, valkey: Server) -> None:
        async def load() -> str:
            await asyncio.sleep(0)
            return "loaded"

        async def ask() -> Any:
            assert await caches["default"].aget_or_set("key", load, 0) == "loaded"
            return await caches["default"].aget_or_set("key", load)

        with caching(valkey) as cache:
            assert asyncio.run(ask()) == "loaded"
            assert cache.get("key") == "loaded"


def joined(key: str, prefix: str, version: int) -> str:
    """A key function that leaves nothing of Django's own form."""
    return "CUSTOM-" + "-".join((prefix, str(version), key))


class TestKeys:
    def test_they_are_those_of_djangos_own_backend(self, valkey: Server) -> None:
        with caching(valkey, {"KEY_PREFIX": "site", "VERSION": 3}) as cache:
            cache.set("key", 1)
            caches["1"].set("ünicode", 2, version=7)
            caches["1"].set("key", 2)
            assert cache.get("key") == 1
        names = {b":1:key", "site:7:ünicode".encode(), b"site:3:key"}
        assert set(valkey.client().keys()) == names

    def test_a_prefix_with_signs_of_a_glob_is_just_a_text(self, valkey: Server) -> None:
        with caching(valkey, {"KEY_PREFIX": "axb"}, KEY_PREFIX="a*b[c]?") as cache:
            cache.set("key", 1)
            caches["1"].set("key", 2)
            assert sorted(valkey.client().keys()) == [b"a*b[c]?:1:key", b"axb:1:key"]
            cache.clear()
            eventually(lambda: not valkey.client().exists("a*b[c]?:1:key"))
            assert caches["1"].get("key") == 2

    def test_keys_need_not_be_texts(self, cache: Twin) -> None:
        cache.set(7, "seven")
        assert cache.get(7) == "seven"
        assert cache.get_many([7, 8]) == {7: "seven"}

    @pytest.mark.parametrize("function", [joined, f"{__name__}.joined"])
    def test_a_key_function_of_another_form_needs_its_prefix(self, valkey: Server, function: Any) -> None:
        sys.modules.setdefault(__name__, SimpleNamespace(joined=joined))  # pyright: ignore[reportArgumentType]
        with caching(valkey, KEY_FUNCTION=function, OPTIONS={"prefix": "CUSTOM-"}) as cache:
            cache.set("key", 1)
            assert cache.get("key") == 1
        assert valkey.client().keys() == [b"CUSTOM--1-key"]

    def test_without_it_that_is_an_error(self, valkey: Server) -> None:
        with (
            caching(valkey, {"KEY_FUNCTION": joined}),
            pytest.raises(ImproperlyConfigured, match=r"'CUSTOM--1-key', which do not begin with ':': set \"prefix\""),
        ):
            caches["1"].get("key")

    def test_a_key_function_that_leaves_the_prefix_later_is_an_error(self, cache: Twin) -> None:
        cache.cache.key_func = joined
        with pytest.raises(ImproperlyConfigured, match="does not begin with ':', as all keys of this cache do"):
            cache.get("key")

    @pytest.mark.parametrize(
        ("method", "arguments"),
        [
            ("get", ["a b"]),
            ("set", ["a b", 1]),
            ("add", ["a b", 1]),
            ("touch", ["a b"]),
            ("delete", ["a b"]),
            ("has_key", ["a b"]),
            ("get_many", [["a b"]]),
            ("set_many", [{"a b": 1}]),
            ("delete_many", [["a b"]]),
            ("get_or_set", ["a b", lambda: 1]),
        ],
    )
    def test_keys_that_memcached_would_not_take_are_warned_of(
        self, cache: Twin, method: str, arguments: list[Any]
    ) -> None:
        with pytest.warns(CacheKeyWarning, match="characters that will cause errors"):
            getattr(cache, method)(*arguments)
        long = "x" * 250
        with pytest.warns(CacheKeyWarning, match="longer than 250"):
            cache.get(long)

    def test_versions_are_apart(self, cache: Twin) -> None:
        cache.set("key", "one")
        cache.set("key", "two", version=2)
        assert cache.get("key") == cache.get("key", version=1) == "one"
        assert cache.get("key", version=2) == "two"
        assert cache.get_many(["key"], version=2) == {"key": "two"}
        assert cache.has_key("key", version=3) is False
        assert cache.delete("key", version=2) is True
        assert cache.get("key") == "one"
        cache.set_many({"n": 1}, version=2)
        assert cache.incr("n", version=2) == 2
        assert cache.touch("n", version=1) is False

    def test_a_value_moves_to_another_version_with_its_timeout(self, cache: Twin, valkey: Server) -> None:
        cache.set("key", (1, 2), 1000)
        assert cache.incr_version("key") == 2
        assert cache.get("key") is None
        assert cache.get("key", version=2) == (1, 2)
        assert 990 < ttl_s(valkey, ":2:key") <= 1000
        assert cache.decr_version("key", version=2) == 1
        assert cache.get("key") == (1, 2)
        for move in (cache.incr_version, cache.decr_version):
            with pytest.raises(ValueError, match="Key 'other' not found"):
                move("other")

    def test_clear_takes_all_versions_of_this_cache_and_nothing_else(self, cache: Twin, valkey: Server) -> None:
        valkey.client().set("elsewhere", 1)
        valkey.client().set("other:1:key", 1)
        cache.set("key", 1)
        cache.set("key", 2, version=2)
        assert cache.clear() is None
        assert cache.get("key") is None
        assert cache.get("key", version=2) is None
        cache.set("key", 3)
        assert cache.get("key") == 3
        eventually(lambda: not valkey.client().exists(":1:key"))
        assert {b"elsewhere", b"other:1:key"} < set(valkey.client().keys())

    def test_two_caches_of_which_one_would_clear_the_other_are_an_error(self, valkey: Server) -> None:
        with caching(valkey, {"KEY_PREFIX": "app:pages"}, KEY_PREFIX="app") as cache:
            cache.set("key", 1)
            with pytest.raises(ImproperlyConfigured, match=r"begin with 'app:' and those of another with 'app:pages:'"):
                caches["1"].get("key")


class TestServerDown:
    @pytest.fixture(autouse=True)
    def soon_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SPILLGATE_CACHE_RETRY", "100ms")

    def test_reads_are_misses_and_writes_are_dropped(self, cache: Twin, valkey: Server) -> None:
        cache.set("key", 1)
        valkey.kill()
        assert cache.get("key", "default") == "default"
        assert cache.get_many(["key"]) == {}
        assert cache.set("key", 2) is False
        assert cache.set_many({"key": 2, "other": 3}) == ["key", "other"]
        assert cache.delete("key") is False
        assert cache.delete_many(["key"]) is None
        assert cache.has_key("key") is False
        assert cache.touch("key") is False
        assert cache.get_or_set("key", 5) == 5
        assert cache.get_or_set("key", lambda: (5, 6)) == (5, 6)
        assert cache.cache.counts()["drop"] > 5
        valkey.start()
        eventually(lambda: cache.set("key", 2))  # after the breaker's pause
        assert cache.get("key") == 2

    def test_what_would_have_to_lie_raises(self, cache: Twin, valkey: Server) -> None:
        valkey.kill()
        for operation in (
            lambda: cache.add("key", 1),
            lambda: cache.incr("key"),
            lambda: cache.decr("key"),
            lambda: cache.incr_version("key"),
            lambda: cache.decr_version("key"),
            cache.clear,
        ):
            with pytest.raises(ServerError):
                operation()


POLICY = """
[[namespace]]
name = "sessions"
keys = "app:sessions:*"
ttl = "15m"
jitter = 0

[[namespace]]
name = "pages"
keys = "app:pages:*"
ttl = "1h"
min_ttl = "30m"
max_ttl = "2h"
cleanup = "clear"
priority = 1
jitter = 0
max_value = "1KB"

[[namespace]]
name = "plain"
keys = "app:plain:*"
ttl = "1h"
codec = "json"
"""


class TestPolicy:
    @pytest.fixture
    def config(self, tmp_path: Path) -> str:
        (tmp_path / "spillgate.toml").write_text(POLICY)
        return str(tmp_path / "spillgate.toml")

    def test_bounds_and_ttl_are_those_of_the_namespace(self, valkey: Server, config: str) -> None:
        with caching(valkey, OPTIONS={"config": config, "namespace": "pages"}) as cache:
            for timeout, seconds in ((1, 1), (3000, 3000), (100_000, 7200), (None, 7200)):
                cache.set("key", "value", timeout)
                assert seconds - 1 < ttl_s(valkey, "app:pages::1:key") <= seconds
            cache.set("key", "value")
            assert 3599 < ttl_s(valkey, "app:pages::1:key") <= 3600
            cache.set("key", "value", 0)
            assert cache.get("key") is None

    def test_a_timeout_in_the_settings_is_a_wish_within_them(self, valkey: Server, config: str) -> None:
        with caching(valkey, OPTIONS={"config": config, "namespace": "pages"}, TIMEOUT=2000) as cache:
            cache.set("key", "value")
            assert 1999 < ttl_s(valkey, "app:pages::1:key") <= 2000

    def test_a_key_prefix_that_is_the_namespaces_is_not_repeated(self, valkey: Server, config: str) -> None:
        options = {"config": config, "namespace": "pages"}
        with caching(valkey, OPTIONS=options, KEY_PREFIX="app:pages") as cache:
            cache.set("key", "value")
            assert cache.get("key") == "value"
        assert valkey.client().keys() == [b"app:pages:1:key"]

    def test_caches_of_one_policy_share_its_connections_and_clear_themselves_alone(
        self, valkey: Server, config: str
    ) -> None:
        sessions = {"OPTIONS": {"config": config, "namespace": "sessions"}}
        with caching(valkey, sessions, OPTIONS={"config": config, "namespace": "pages"}) as pages:
            sessions = caches["1"]
            assert pages.shared.sync.cache is sessions.shared.sync.cache
            pages.set("key", 1)
            sessions.set("key", 2)
            pages.clear()
            assert (pages.get("key"), sessions.get("key")) == (None, 2)
            assert pages.counts() == {"set": 1, "plain_bytes": 1, "stored_bytes": 1, "miss": 1} | {
                name: amount for name, amount in pages.counts().items() if name == "freed"
            }

    def test_a_policy_in_code_and_a_variable(
        self, valkey: Server, config: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        policy = parse_policy(POLICY, "test")
        monkeypatch.setenv("SPILLGATE_CONFIG", config)
        monkeypatch.setenv("REDIS_URL", valkey.url)
        with caching(
            valkey, {"LOCATION": "", "OPTIONS": {"namespace": "sessions"}},
            OPTIONS={"config": policy, "namespace": "pages"},
        ) as cache:  # fmt: skip
            cache.set("key", 1)
            caches["1"].set("key", 2)
        assert sorted(valkey.client().keys()) == [b"app:pages::1:key", b"app:sessions::1:key"]

    def test_binary_pages_are_served_and_not_stored_where_binary_is_off(self, valkey: Server, config: str) -> None:
        with caching(valkey, OPTIONS={"config": config, "namespace": "pages"}) as cache:
            assert cache.set("page", HttpResponse("text"))
            assert cache.set("picture", HttpResponse(b"\x89PNG\xff")) is False
            for value in (b"\xff", {"a": (b"\xff",)}):
                with pytest.raises(ValueRefused, match="set binary = true"):
                    cache.set("key", value)

    def test_plain_json_has_the_types_of_json(self, valkey: Server, config: str) -> None:
        value = {"a": (1, 2), "when": date(2025, 1, 1), "html": mark_safe("<b>"), "cost": Decimal("1.5")}
        with caching(valkey, OPTIONS={"config": config, "namespace": "plain"}) as cache:
            cache.set("key", value)
            flat = {"a": [1, 2], "when": "2025-01-01", "html": "<b>", "cost": "1.5"}
            assert cache.get("key") == flat
            assert msgspec.json.decode(valkey.client().get("app:plain::1:key")) == flat
            assert cache.get_or_set("other", lambda: value) == value
            assert cache.get("other") == flat
            assert cache.set("page", HttpResponse("x")) is False
            with pytest.raises(ValueRefused):
                cache.set("key", object())

    def test_settings_of_a_namespace_without_a_policy(self, valkey: Server) -> None:
        options = {"max_ttl": "1h", "max_value": "1KB", "binary": False, "MAX_ENTRIES": 5, "CULL_FREQUENCY": 2}
        with caching(valkey, OPTIONS=options) as cache:
            cache.set("key", "value", None)
            assert 3599 < ttl_s(valkey) <= 3600
            with pytest.raises(ValueTooLarge):
                cache.set("key", "x" * 1025)
            with pytest.raises(ValueRefused):
                cache.set("key", b"x")

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ({"LOCATION": ["redis://a", "redis://b"]}, "LOCATION names 2 servers or more"),
            ({"LOCATION": "redis://a,redis://b"}, "servers or more"),
            ({"LOCATION": "http://a"}, "expected a URL such as redis://"),
            ({"OPTIONS": {"CLIENT_CLASS": "x"}}, "CLIENT_CLASS in OPTIONS is an option of django-redis: take it out"),
            ({"OPTIONS": {"ttl": "5m"}}, "TIMEOUT says that"),
            ({"OPTIONS": {"max_value": "much"}}, r"OPTIONS: max_value: expected"),
            ({"OPTIONS": {"config": "/nowhere.toml"}}, r"/nowhere.toml: cannot be read"),
            ({"OPTIONS": {"config": parse_policy(POLICY, "test"), "namespace": "x"}}, "'x', only sessions, pages"),
            ({"OPTIONS": {"config": parse_policy(POLICY, "test")}}, 'sessions, pages, plain: name one by "namesp'),
            ({"OPTIONS": {"config": parse_policy(POLICY, "test"), "max_ttl": 5}}, "belong into the policy file"),
            ({"KEY_PREFIX": "spillgate"}, "keys that Spillgate keeps for itself"),
        ],
    )  # fmt: skip
    def test_settings_that_cannot_be_used_are_told(
        self, valkey: Server, entry: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SPILLGATE_CONFIG", raising=False)
        with caching(valkey, entry), pytest.raises(ImproperlyConfigured, match=words):
            caches["1"].get("key")


class TestProcess:
    def test_threads_share_one_cache(self, valkey: Server) -> None:
        shared: list[Any] = []
        with caching(valkey):
            threads = [threading.Thread(target=lambda: shared.append(caches["default"].shared)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(shared) == 3
        assert len({id(one) for one in shared}) == 1

    def test_a_forked_worker_has_connections_of_its_own(self, valkey: Server) -> None:
        with caching(valkey) as cache:
            cache.set("key", "parent")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # this process may have threads
                child = os.fork()
            if child == 0:  # a worker, as of gunicorn with preloading
                found = [cache.get("key") for _ in range(50)]
                os._exit(0 if found == ["parent"] * 50 and cache.set("child", "child") else 1)
            assert [cache.get("key") for _ in range(50)] == ["parent"] * 50
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert cache.get("child") == "child"

    def test_a_loop_that_ends_takes_its_connections_along(self, valkey: Server) -> None:
        client = valkey.client()
        with caching(valkey) as cache:
            before = client.info("clients")["connected_clients"]
            for _ in range(5):
                asyncio.run(cache.aset("key", 1))
            eventually(lambda: client.info("clients")["connected_clients"] == before)

    def test_aclose_closes_those_of_the_running_loop(self, valkey: Server) -> None:
        client = valkey.client()
        before = client.info("clients")["connected_clients"]

        async def live() -> None:
            await cache.aset("key", 1)
            assert client.info("clients")["connected_clients"] == before + 1
            await cache.aclose()
            await asyncio.sleep(0)
            eventually(lambda: client.info("clients")["connected_clients"] == before)
            assert await cache.aget("key") == 1

        with caching(valkey) as cache:
            asyncio.run(live())

    def test_without_django_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "django", None)  # pyright: ignore[reportArgumentType]
        monkeypatch.delitem(sys.modules, "spillgate.integrations.django")
        with pytest.raises(MissingExtra, match=r"spillgate\[django\]"):
            import_module("spillgate.integrations.django")
