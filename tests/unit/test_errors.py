"""The error tree: messages, what errors carry, and that they show no password."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spillgate.errors
from spillgate.errors import (
    CommandUnavailable,
    ConfigError,
    LimitUnknown,
    MissingExtra,
    OutOfMemory,
    PermissionDenied,
    ServerBusy,
    ServerError,
    ServerUnreachable,
    SpillgateError,
    UnitError,
    mask_url,
)

ALL = [
    error
    for error in vars(spillgate.errors).values()
    if isinstance(error, type) and issubclass(error, SpillgateError) and not error.__name__.startswith("_")
]


@pytest.mark.parametrize("error", ALL)
def test_each_error_stands_in_the_tree_drawn_in_the_module(error: type[SpillgateError]) -> None:
    assert f" {error.__name__}" in (spillgate.errors.__doc__ or "")


def test_each_error_has_a_sentence_of_its_own() -> None:
    messages = {str(error("web") if error is MissingExtra else error()) for error in ALL}
    assert len(messages) == len(ALL) > 10
    assert all(message.endswith(".") for message in messages)


def test_a_message_of_ones_own_replaces_the_default() -> None:
    assert str(ServerUnreachable("connection refused")) == "connection refused"


def test_config_errors_are_value_errors_and_name_the_place() -> None:
    error = ConfigError("expected a size", source="spillgate.toml", key="server.limit")
    assert isinstance(error, ValueError)
    assert str(error) == "spillgate.toml: server.limit: expected a size"
    assert (error.source, error.key) == ("spillgate.toml", "server.limit")
    assert issubclass(UnitError, ConfigError)
    assert issubclass(LimitUnknown, ConfigError)


def test_what_the_server_answers_is_told_apart() -> None:
    assert all(
        issubclass(error, ServerError) for error in (ServerUnreachable, ServerBusy, OutOfMemory, PermissionDenied)
    )
    assert not issubclass(ConfigError, ServerError)


def test_an_unknown_limit_says_both_remedies() -> None:
    assert "--limit" in str(LimitUnknown())
    assert "[server]" in str(LimitUnknown())


@pytest.mark.parametrize("error", [PermissionDenied, CommandUnavailable])
def test_the_command_is_carried(error: type[PermissionDenied | CommandUnavailable]) -> None:
    assert error(command="CONFIG GET").command == "CONFIG GET"
    assert str(error(command="CONFIG GET")).startswith("CONFIG GET: ")
    assert str(error("NOPERM no", command="CONFIG GET")) == "NOPERM no"


def test_a_missing_extra_says_how_to_install_it() -> None:
    assert MissingExtra("web").extra == "web"
    assert "pip install 'spillgate[web]'" in str(MissingExtra("web"))


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("no", source="spillgate.toml", key="server.limit"),
        PermissionDenied(command="CONFIG"),
        MissingExtra("web"),
        OutOfMemory(),
    ],
)
def test_errors_survive_copying_between_processes(error: SpillgateError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 (made a moment ago)
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://user@host:6379/0", "redis://user@host:6379/0"),
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://user:hunter2@host/0?ssl_cert_reqs=none", "rediss://user:***@host/0?ssl_cert_reqs=none"),
        ("redis+sentinel://u:hunter2@h1:26379,h2:26379/main/0", "redis+sentinel://u:***@h1:26379,h2:26379/main/0"),
        (
            "redis+sentinel://h1,h2/main?sentinel_password=hunter2&db=0",
            "redis+sentinel://h1,h2/main?sentinel_password=***&db=0",
        ),
        ("unix:///run/redis.sock?db=1&password=hunter2", "unix:///run/redis.sock?db=1&password=***"),
        ("unix://u:hunter2@/run/redis.sock", "unix://u:***@/run/redis.sock"),
        ("unix:///run/a:b@c.sock", "unix:///run/a:b@c.sock"),
        ("redis://u:hun@ter/2@host", "redis://u:***@host"),
        ("redis://h/0?PASSWORD=hunter2", "redis://h/0?PASSWORD=***"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("", ""),
        ("not a url", "not a url"),
    ],
)
def test_passwords_in_urls_are_masked_and_nothing_else(url: str, shown: str) -> None:
    assert mask_url(url) == shown


@given(
    user=st.text("abc", max_size=3),
    password=st.text(min_size=1).map(lambda text: f"S3CRET{text}S3CRET"),
    scheme=st.sampled_from(["redis", "rediss", "unix", "redis+sentinel", "redis+cluster"]),
)
def test_no_password_is_ever_shown(user: str, password: str, scheme: str) -> None:
    assert "S3CRET" not in mask_url(f"{scheme}://{user}:{password}@host:6379/0")
