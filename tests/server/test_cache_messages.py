"""What a cache says of itself and of what it cannot do; and that views of a namespace are made once."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest

from spillgate import AsyncCache, Cache, parse_policy
from spillgate.config import Policy, check_url
from spillgate.errors import ConfigError
from tests.caching import NAMESPACES, Message, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import Server

URL = "redis://user:secret@127.0.0.1:6379/0"


@pytest.fixture
def cache() -> Cache:
    """A cache that nobody connects."""
    return Cache.from_url(URL, config=parse_policy(NAMESPACES, "test"))


@pytest.mark.parametrize("with_policy", [False, True], ids=["environment", "policy"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("bogus", r'expected a URL such as redis://127.0.0.1:6379/0 .*, got "bogus"'),
        ("redis://127.0.0.1:6379/0?socket_timeout=3", "the options db, username, password"),
        ("redis://user:secret@127.0.0.1/zero", r"no more than a database number .*user:\*\*\*@"),
        ("127.0.0.1:6379", "expected a URL such as redis://"),
        ("", "expected a text"),
    ],
)
@pytest.mark.parametrize("kind", [Cache, AsyncCache])
def test_a_url_is_checked_as_in_a_policy_file(
    kind: type[Cache | AsyncCache], url: str, said: str, with_policy: bool,  # noqa: FBT001 (a case)
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("SPILLGATE_CONFIG", raising=False)
    config = parse_policy(NAMESPACES, "test") if with_policy else None
    with pytest.raises(ConfigError, match=f"^url: .*{said}") as caught:
        kind.from_url(url, config=config)
    assert "command line" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_a_url_may_say_it_may_say_here() -> None:
    for url in (URL, "rediss://127.0.0.1", "unix:///tmp/redis.sock?db=3", "redis://127.0.0.1?password=x&db=1"):
        assert check_url(url, "test") == url
        assert Cache.from_url(url, config=Policy()).policy.server.url == url


@pytest.mark.parametrize("config", [None, Policy()], ids=["none", "empty"])
def test_without_a_policy_it_says_how_to_have_one(config: Policy | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPILLGATE_CONFIG", raising=False)
    with pytest.raises(ConfigError, match=r"no namespace 'x', since there is no policy, .*config=, or set "):
        Cache.from_url(URL, config=config).namespace("x")


def test_a_name_that_is_not_in_the_policy(cache: Cache) -> None:
    with pytest.raises(ConfigError, match="'voice', only messages, analytics, users: add it to the policy file"):
        cache.namespace("voice")


def test_the_same_view_is_made_once(cache: Cache) -> None:
    messages = cache.namespace("messages", Message)
    assert cache.namespace("messages", type=Message, migrate=False) is messages
    assert cache.namespace("messages", Message, migrate=True) is not messages
    assert cache.namespace("messages") is cache.namespace("messages", Any)
    assert cache.namespace("messages") is not messages
    assert cache.namespace("users", list[int]) is cache.namespace("users", list[int])
    assert cache.namespace("users", list[int]) is not cache.namespace("users", list[str])
    assert cache.namespace("users", Message) is not messages


def test_a_type_that_has_no_hash_is_taken_all_the_same(cache: Cache) -> None:
    unhashable: Any = Annotated[int, ["metadata in a list"]]
    with pytest.raises(TypeError):
        hash(unhashable)
    assert cache.namespace("messages", unhashable).name == "messages"


def test_callers_of_views_made_in_place_share_a_computation(server: Server) -> None:
    made: list[int] = []

    async def compute() -> int:
        made.append(1)
        await asyncio.sleep(0.02)
        return len(made)

    async def live() -> list[int]:
        async with AsyncCache(policy_of(server)) as cache:
            return await asyncio.gather(*[cache.namespace("messages", int).get_or_set("1", compute) for _ in range(10)])

    assert asyncio.run(live()) == [1] * 10
    assert made == [1]


@pytest.mark.parametrize(
    "given",
    [Message(1, "secret"), {"a": "secret"}, [], "Message", 5, object()],
    ids=["instance", "dict", "list", "name", "number", "object"],
)
def test_an_instance_is_no_type(cache: Cache, given: Any) -> None:
    with pytest.raises(
        ConfigError, match=f"'messages' was given an instance of {type(given).__name__} .*: pass the class"
    ):
        cache.namespace("messages", given)


@pytest.mark.parametrize(
    "given", [Any, None, int | None, Literal["a"], dict[str, Any], Message, list[Message], tuple[int, ...]], ids=repr
)
def test_whatever_describes_a_type_is_one(cache: Cache, given: Any) -> None:
    assert cache.namespace("messages", given).name == "messages"


@pytest.mark.parametrize("kind", [Cache, AsyncCache])
def test_it_tells_where_it_is_but_no_password(kind: type[Cache | AsyncCache]) -> None:
    cache = kind.from_url(URL, config=parse_policy(NAMESPACES, "test"))
    name = kind.__name__
    assert repr(cache) == f"<{name} redis://user:***@127.0.0.1:6379/0, namespaces: messages, analytics, users>"
    assert repr(kind(Policy())) == f"<{name} redis://127.0.0.1:6379/0, namespaces: none>"


@pytest.mark.parametrize("kind", [Cache, AsyncCache])
@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_it_cannot_be_sent_to_another_process(kind: type[Cache | AsyncCache], send: Any) -> None:
    with pytest.raises(TypeError, match="a cache is made in each process: make it there"):
        send(kind(Policy()))


uses: dict[str, Callable[[Any], object]] = {
    "get": lambda users: users.get(1),
    "set": lambda users: users.set(1, "x"),
    "get_many": lambda users: users.get_many(["a", None]),
    "delete": lambda users: users.delete(b"a"),
    "get_or_set": lambda users: users.get_or_set(1, str),
    "cached": lambda users: users.cached(int)(str)(1),
}


@pytest.mark.parametrize("use", uses.values(), ids=uses)
def test_a_key_that_is_no_text_is_a_mistake(server: Server, use: Any) -> None:
    with Cache(policy_of(server)) as cache, pytest.raises(TypeError, match="a key is a text, got "):
        use(cache.namespace("users"))


@pytest.mark.parametrize(
    ("setting", "given", "said"),
    [
        ("CACHE_REDIS_URL", {"CACHE_REDIS_URL": "bogus"}, 'got "bogus"'),
        ("CACHE_REDIS_URL", {"CACHE_REDIS_URL": "redis://:secret@a?socket_timeout=3"}, r'got "redis://:\*\*\*@a'),
        ("CACHE_REDIS_HOST, _PORT, _DB", {"CACHE_REDIS_HOST": "a", "CACHE_REDIS_PORT": "x"}, 'got "redis://a:x/0"'),
    ],
)
@pytest.mark.parametrize("with_file", [False, True], ids=["settings", "policy file"])
def test_flask_names_the_setting(
    tmp_path: Path, setting: str, given: dict[str, str], said: str, with_file: bool  # noqa: FBT001 (a case)
) -> None:  # fmt: skip
    from spillgate.integrations.flask_config import read_config  # noqa: PLC0415 (Flask is an extra)

    path = tmp_path / "spillgate.toml"
    path.write_text(NAMESPACES)
    options = {"config": path, "namespace": "messages"} if with_file else {}
    with pytest.raises(ConfigError, match=f"^{setting}: expected a URL .*{said}"):
        read_config({"CACHE_KEY_PREFIX": "a", **given}, options)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("SERIALIZER", "take it out"),
        ("COMPRESSOR", "take it out"),
        ("CONNECTION_POOL_KWARGS", "take it out"),
        ("PASSWORD", "write it into LOCATION, redis://:password@"),
        ("SOCKET_TIMEOUT", "take it out; SPILLGATE_CACHE_TIMEOUT bounds a call"),
    ],
)
@pytest.mark.parametrize("with_policy", [False, True], ids=["settings", "policy"])
def test_django_knows_what_django_redis_left(option: str, said: str, with_policy: bool) -> None:  # noqa: FBT001 (a case)
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs] (Django is an extra)

    from spillgate.integrations.django import configured  # noqa: PLC0415 (the same)

    options: dict[str, Any] = {option: "x"}
    if with_policy:
        options |= {"config": parse_policy(NAMESPACES, "test"), "namespace": "messages"}
    wanted = configured.Wanted(URL, options, "", 300, timed=False, key=":1:a")
    with pytest.raises(ImproperlyConfigured, match=f"{option} in OPTIONS is an option of django-redis: {said}"):
        configured.configured(wanted)
