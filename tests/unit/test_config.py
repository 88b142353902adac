"""The policy file, the environment and flags: what is read, and how every mistake is told."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillgate.config import (
    LISTED,
    PRESETS,
    SETTINGS,
    AlertSettings,
    CacheSettings,
    Cleanup,
    Codec,
    FindingSeverity,
    LevelSettings,
    MonitorSettings,
    NamespacePolicy,
    Policy,
    QuietHours,
    Secret,
    ServerSettings,
    TtlMode,
    Verify,
    WebhookSettings,
    load_policy,
    parse_policy,
)
from spillgate.errors import ConfigError
from spillgate.keyspace import Glob
from spillgate.model import Level

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLE = Path(__file__).parents[2] / "examples" / "ceo-platform.toml"
MB = 1024 * 1024


def parse(text: str) -> Policy:
    return parse_policy(text, "spillgate.toml")


def refusal(text: str, *, env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_policy(text, "spillgate.toml", env=env, flags=flags)
    return str(caught.value)


def namespace(settings: str = "", name: str = "a", keys: str = "a:*") -> str:
    return f'[[namespace]]\nname = "{name}"\nkeys = "{keys}"\n{settings}\n'


# ---- what is read


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse("") == Policy(
        ServerSettings(), MonitorSettings(), LevelSettings(), CacheSettings(), (), AlertSettings(), ()
    )
    assert parse("").server == ServerSettings(
        url="redis://127.0.0.1:6379/0",
        limit_bytes=None,
        reserve_bytes=None,
        connect_timeout_s=2.0,
        timeout_s=5.0,
        ca_file=None,
        cert_file=None,
        key_file=None,
        verify=Verify.FULL,
    )
    assert parse("").monitor == MonitorSettings(
        interval_s=30.0, min_interval_s=0.1, commands_per_day=0, checkup_s=3600.0, ttl_mode=TtlMode.ADVISE
    )
    assert parse("").levels == LevelSettings(
        warning=0.6, preventive=0.8, emergency=0.88, critical=1.0, release=0.04, hold_s=15.0
    )


def test_a_partial_table_keeps_the_defaults_of_the_rest() -> None:
    levels = parse('[levels]\nwarning = "50%"').levels
    assert levels == LevelSettings(warning=0.5)
    assert levels.preventive == 0.8


def test_every_key_of_every_table_is_read() -> None:
    policy = parse("""
        presets = ["rq"]
        [server]
        url = "rediss://user:secret@example.org:6380/1"
        limit = "100MB"
        reserve = 1048576
        connect_timeout = "1s"
        timeout = "500ms"
        ca_file = "ca.pem"
        cert_file = "cert.pem"
        key_file = "key.pem"
        verify = "ca"
        [monitor]
        interval = "1m"
        min_interval = "1s"
        commands_per_day = 15000
        checkup = "0s"
        ttl_mode = "auto"
        [levels]
        warning = 0.5
        preventive = "70%"
        emergency = "80%"
        critical = "95%"
        release = "2%"
        hold = "1m"
        [cache]
        timeout = "100ms"
        connections = 4
        failures = 5
        retry = "2s"
        lock = "30s"
        [alerts]
        min_level = "warning"
        forecast = "1h"
        findings = "medium"
        grace = "30s"
        hold = "1m"
        reminder = "2h"
        rate = 10
        quiet_hours = "22:00-07:30"
        quiet_level = "critical"
        timezone = "Europe/Berlin"
        notify = ["slack://a/b/c", "mailto://me:pw@example.org"]
        link = "https://spillgate.example.org/"
        name = "production"
        [[webhook]]
        name = "pager"
        url = "https://example.org/hook/abc"
        secret = "whsec_c2VjcmV0"
        min_level = "emergency"
        timeout = "3s"
        [[namespace]]
        name = "messages"
        keys = ["m:*", "old:m:*"]
        ttl = "30m"
        cleanup = "shorten"
        priority = 5
        min_ttl = "5m"
        max_ttl = "1h"
        ttl_mode = "advise"
        emergency_ttl = "4m"
        critical_ttl = "30s"
        enforce_ttl = false
        budget = "5MB"
        weight = 2
        max_value = "64KB"
        compress_over = "512B"
        codec = "json"
        dictionary = true
        binary = true
        jitter = "20%"
        sliding = true
    """)
    assert policy == Policy(
        ServerSettings(
            url="rediss://user:secret@example.org:6380/1",
            limit_bytes=100 * MB,
            reserve_bytes=MB,
            connect_timeout_s=1.0,
            timeout_s=0.5,
            ca_file=Path("ca.pem"),
            cert_file=Path("cert.pem"),
            key_file=Path("key.pem"),
            verify=Verify.CA,
        ),
        MonitorSettings(
            interval_s=60.0, min_interval_s=1.0, commands_per_day=15_000, checkup_s=0.0, ttl_mode=TtlMode.AUTO
        ),
        LevelSettings(warning=0.5, preventive=0.7, emergency=0.8, critical=0.95, release=0.02, hold_s=60.0),
        CacheSettings(timeout_s=0.1, connections=4, failures=5, retry_s=2.0, lock_s=30.0),
        (
            NamespacePolicy(
                name="messages",
                keys=("m:*", "old:m:*"),
                ttl_s=1_800.0,
                cleanup=Cleanup.SHORTEN,
                priority=5,
                min_ttl_s=300.0,
                max_ttl_s=3_600.0,
                ttl_mode=TtlMode.ADVISE,
                emergency_ttl_s=240.0,
                critical_ttl_s=30.0,
                enforce_ttl=False,
                budget_bytes=5 * MB,
                weight=2.0,
                max_value_bytes=65_536,
                compress_over_bytes=512,
                codec=Codec.JSON,
                dictionary=True,
                binary=True,
                jitter=0.2,
                sliding=True,
            ),
            NamespacePolicy(name="rq", keys=PRESETS["rq"]),
        ),
        AlertSettings(
            min_level=Level.WARNING,
            forecast_s=3600.0,
            findings=FindingSeverity.MEDIUM,
            grace_s=30.0,
            hold_s=60.0,
            reminder_s=7200.0,
            rate=10,
            quiet_hours=QuietHours(22 * 60, 7 * 60 + 30),
            quiet_level=Level.CRITICAL,
            timezone="Europe/Berlin",
            notify=(Secret("slack://a/b/c"), Secret("mailto://me:pw@example.org")),
            link="https://spillgate.example.org/",
            name="production",
        ),
        (
            WebhookSettings(
                name="pager",
                url=Secret("https://example.org/hook/abc"),
                secret=Secret("whsec_c2VjcmV0"),
                min_level=Level.EMERGENCY,
                timeout_s=3.0,
            ),
        ),
    )


def test_the_table_of_settings_covers_every_field_and_describes_it() -> None:
    tables = {
        "server": ServerSettings,
        "monitor": MonitorSettings,
        "levels": LevelSettings,
        "cache": CacheSettings,
        "alerts": AlertSettings,
        "webhook": WebhookSettings,
        "namespace": NamespacePolicy,
    }
    assert [(one.table, one.field) for one in SETTINGS] == [
        (table, one.name) for table, values in tables.items() for one in fields(values)
    ]
    assert all(one.help.endswith((".", ",")) for one in SETTINGS)
    assert [one.key for one in SETTINGS if one.required] == ["name", "url", "name", "keys"]


def test_written_defaults_are_the_real_ones() -> None:
    written = "".join(
        f"[{table}]\n"
        + "".join(f"{one.key} = {one.default}\n" for one in SETTINGS if one.table == table and is_toml(one.default))
        for table in ("monitor", "levels", "cache", "alerts")
    )
    assert len(written.splitlines()) == 4 + 16 + 10
    assert parse(written) == Policy()
    derived = "".join(
        f"{one.key} = {one.default}\n" for one in SETTINGS if one.table == "namespace" and is_toml(one.default)
    )
    assert parse(namespace(derived)) == parse(namespace())


def is_toml(text: str) -> bool:
    try:
        tomllib.loads(f"x = {text}")
    except tomllib.TOMLDecodeError:
        return False
    return True


# ---- namespaces


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [
        ("30m", (300.0, 7_200.0, 300.0, 60.0)),
        ("6m", (60.0, 1_440.0, 60.0, 60.0)),
        ("1m", (10.0, 240.0, 10.0, 10.0)),  # a minute at critical would be longer than the 10 s at emergency
    ],
)
def test_what_is_not_given_follows_from_the_ttl(ttl: str, expected: tuple[float, ...]) -> None:
    (one,) = parse(namespace(f'ttl = "{ttl}"')).namespaces
    assert (one.min_ttl_s, one.max_ttl_s, one.emergency_ttl_s, one.critical_ttl_s) == expected


def test_emergency_follows_a_given_minimum() -> None:
    (one,) = parse(namespace('ttl = "30m"\nmin_ttl = "20s"')).namespaces
    assert (one.emergency_ttl_s, one.critical_ttl_s) == (20.0, 20.0)


def test_a_namespace_is_protected_and_unenforced_unless_told() -> None:
    one, other = parse(
        namespace() + namespace('cleanup = "clear"\npriority = 1\nttl = "1m"', name="b", keys="b:*")
    ).namespaces
    assert (one.cleanup, one.protected, one.enforce_ttl, one.ttl_s) == (Cleanup.NEVER, True, False, None)
    assert (one.min_ttl_s, one.max_ttl_s, one.emergency_ttl_s, one.critical_ttl_s) == (None, None, None, None)
    assert (other.cleanup, other.protected, other.enforce_ttl) == (Cleanup.CLEAR, False, True)


def test_a_namespace_without_ttl_may_say_that_none_is_enforced() -> None:
    (one,) = parse(namespace("enforce_ttl = false")).namespaces
    assert (one.ttl_s, one.enforce_ttl) == (None, False)


def test_a_protected_namespace_may_have_its_ttl_enforced() -> None:
    (one,) = parse(namespace('ttl = "1m"\nenforce_ttl = true')).namespaces
    assert (one.protected, one.enforce_ttl) == (True, True)


def test_namespaces_keep_the_order_of_the_file_and_may_share_a_priority() -> None:
    settings = 'cleanup = "clear"\npriority = 1\nttl = "1m"'
    policy = parse("".join(namespace(settings, name=name, keys=f"{name}:*") for name in "zay"))
    assert [one.name for one in policy.namespaces] == ["z", "a", "y"]


def test_a_namespace_may_repeat_itself_in_its_own_globs() -> None:
    policy = parse('[[namespace]]\nname = "a"\nkeys = ["a:*", "a:b:*"]')
    assert policy.namespaces[0].keys == ("a:*", "a:b:*")


# ---- presets


def test_presets_add_protected_namespaces_after_the_files_own() -> None:
    policy = parse(f"presets = {sorted(PRESETS)}\n" + namespace())
    assert [one.name for one in policy.namespaces] == ["a", *sorted(PRESETS)]
    assert all(one.protected and one.enforce_ttl is False for one in policy.namespaces)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_of_the_users_own_making_is_told_as_overlapping(name: str) -> None:
    pattern = PRESETS[name][-1].encode("unicode_escape").decode().replace("\\x", "\\u00")
    message = refusal(f'presets = ["{name}"]\n' + namespace(keys=pattern))
    assert message.startswith(f'spillgate.toml: preset "{name}": keys: "{PRESETS[name][-1]}" overlaps')
    assert 'of namespace[1] "a"' in message


# ---- the limit's reserve


def test_the_reserve_is_as_declared_else_8_percent() -> None:
    assert ServerSettings().reserve_for(25 * MB) == 2 * MB
    assert ServerSettings().reserve_for(100) == 8
    assert ServerSettings(reserve_bytes=MB).reserve_for(25 * MB) == MB
    assert ServerSettings(reserve_bytes=MB).reserve_for(1000) == 1000


# ---- where a value comes from


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[server]\nlimit = "10MB"\nreserve = "1MB"\n[monitor]\ninterval = "10s"\n')
    env = {"SPILLGATE_LIMIT": "20MB", "SPILLGATE_MONITOR_INTERVAL": "20s"}
    policy = load_policy(path, env=env, flags={"limit": "30MB", "url": None})
    assert policy.server == ServerSettings(limit_bytes=30 * MB, reserve_bytes=MB)
    assert policy.monitor.interval_s == 20.0
    assert load_policy(path, env={}, flags={}).server.limit_bytes == 10 * MB
    assert load_policy(None, env={}, flags={}) == Policy()


def test_the_most_telling_variable_wins() -> None:
    env = {"REDIS_URL": "redis://c", "SPILLGATE_URL": "redis://b", "SPILLGATE_SERVER_URL": "redis://a"}
    assert load_policy(None, env=env, flags={}).server.url == "redis://a"
    del env["SPILLGATE_SERVER_URL"]
    assert load_policy(None, env=env, flags={}).server.url == "redis://b"
    assert load_policy(None, env=env | {"SPILLGATE_URL": ""}, flags={}).server.url == "redis://c"


def test_every_setting_outside_namespaces_has_its_variable() -> None:
    env = {
        "SPILLGATE_SERVER_LIMIT": "26214400",
        "SPILLGATE_MONITOR_COMMANDS_PER_DAY": "15000",
        "SPILLGATE_LEVELS_WARNING": "0.5",
        "SPILLGATE_SERVER_CONNECT_TIMEOUT": "1s",
    }
    policy = load_policy(None, env=env, flags={})
    assert policy.server == ServerSettings(limit_bytes=25 * MB, connect_timeout_s=1.0)
    assert policy.monitor.commands_per_day == 15_000
    assert policy.levels.warning == 0.5
    variables = [name for one in SETTINGS for name in one.env]
    assert len(set(variables)) == len(variables)
    assert all(bool(one.env) == (one.table not in LISTED) for one in SETTINGS)


def test_the_file_may_be_named_in_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[server]\nlimit = "10MB"')
    assert load_policy(None, env={"SPILLGATE_CONFIG": str(path)}, flags={}).server.limit_bytes == 10 * MB
    other = tmp_path / "other.toml"
    other.write_text("")
    assert load_policy(other, env={"SPILLGATE_CONFIG": str(path)}, flags={}).server.limit_bytes is None


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: No such file"):
        load_policy(tmp_path / "absent.toml", env={}, flags={})
    (tmp_path / "latin1.toml").write_bytes(b'x = "\xe9"')
    with pytest.raises(ConfigError, match=r"latin1\.toml: is not UTF-8 text"):
        load_policy(tmp_path / "latin1.toml", env={}, flags={})


def test_mistakes_outside_the_file_name_the_variable_or_flag() -> None:
    assert refusal("", env={"SPILLGATE_LIMIT": "lots"}).startswith("environment: SPILLGATE_LIMIT: expected a size")
    assert refusal("", flags={"min_interval": "soon"}).startswith("command line: --min-interval: expected a duration")
    assert refusal('[server]\nreserve = "30MB"', flags={"limit": "25MB"}) == (
        "spillgate.toml: server.reserve: must be less than the limit of 25MB, is 30MB"
    )
    assert refusal('[levels]\nwarning = "30%"', env={"SPILLGATE_LEVELS_WARNING": "85%"}) == (
        "environment: SPILLGATE_LEVELS_WARNING: must be below preventive (80%), is 85%"
    )


# ---- secrets


def test_no_password_is_shown_by_values_or_errors() -> None:
    policy = parse('[server]\nurl = "redis://user:hunter2@localhost/0?password=hunter2"')
    assert "hunter2" in policy.server.url
    assert "hunter2" not in repr(policy)
    assert "redis://user:***@localhost/0?password=***" in repr(policy)
    assert "hunter2" not in refusal('[server]\nurl = "http://user:hunter2@localhost"')
    assert "hunter2" not in refusal('[server]\nurl = "redis://user:hunter2@localhost"\nca_file = "ca.pem"')


def test_no_secret_of_an_alert_is_shown() -> None:
    policy = parse("""
        [alerts]
        notify = ["slack://hunter2/hunter2/hunter2", "https://hooks.example.org/hunter2", "env:HUNTER"]
        [[webhook]]
        name = "a"
        url = "https://me:hunter2@example.org:8443/hunter2?x=hunter2"
        secret = "hunter2"
    """)
    assert "hunter2" not in repr(policy)
    assert [url.address for url in policy.alerts.notify] == [
        "slack://***",
        "https://hooks.example.org/***",
        "env:HUNTER",
    ]
    assert policy.webhooks[0].url.address == "https://example.org:8443/***"
    for text in (
        '[alerts]\nnotify = ["hunter2"]',
        '[alerts]\nnotify = "env:hunter2 "\nlink = "hunter2"',
        '[alerts]\nnotify = ["env:hunter2-hunter2"]',
        '[alerts]\nlink = "https://me:hunter2@example.org"',
        '[[webhook]]\nname = "a"\nurl = "ftp://hunter2/hunter2"',
        '[[webhook]]\nname = "a"\nurl = "http://hunter2:hunter2/"',
        '[[webhook]]\nname = "a"\nurl = "https://h"\nsecret = "whsec_hunter2!"',
    ):
        assert "hunter2" not in refusal(text)


# ---- secrets that stand in the environment


BY_ENV = """
    [alerts]
    notify = ["env:SLACK"]
    [[webhook]]
    name = "a"
    url = "env:HOOK"
    secret = "env:SIGNING"
"""


def test_a_secret_may_stand_in_the_environment() -> None:
    env = {"SLACK": "slack://a/b/c", "HOOK": "https://example.org/", "SIGNING": "whsec_c2VjcmV0"}
    policy = parse_policy(BY_ENV, "spillgate.toml", env=env)
    assert [url.reveal() for url in policy.alerts.notify] == ["slack://a/b/c"]
    (webhook,) = policy.webhooks
    assert webhook.secret is not None
    assert (webhook.url.reveal(), webhook.secret.reveal()) == ("https://example.org/", "whsec_c2VjcmV0")
    assert "Secret('env:SLACK')" in repr(policy)


def test_one_that_is_not_set_is_told_to_who_needs_it_alone() -> None:
    policy = parse_policy(BY_ENV, "spillgate.toml", env={"SLACK": ""})
    with pytest.raises(ConfigError, match="names the environment variable SLACK, which is not set"):
        policy.alerts.notify[0].reveal()
    assert policy.webhooks[0].url.address == "env:HOOK"


def test_what_a_variable_says_is_checked_too() -> None:
    assert refusal(BY_ENV, env={"HOOK": "gopher://h"}) == (
        'spillgate.toml: webhook[1] "a": url: expected a URL such as "https://example.org/hook", got "gopher://***"'
    )
    assert refusal(BY_ENV, env={"SLACK": "xoxb"}) == (
        'spillgate.toml: alerts.notify: expected a URL of apprise such as "slack://...", got "***"'
    )
    assert refusal("", env={"SPILLGATE_ALERTS_NOTIFY": "slack"}).startswith("environment: SPILLGATE_ALERTS_NOTIFY: exp")


def test_several_receivers_in_one_variable_stand_with_spaces_between() -> None:
    policy = load_policy(None, env={"SPILLGATE_ALERTS_NOTIFY": " a://b,c  d://e "}, flags={})
    assert [url.reveal() for url in policy.alerts.notify] == ["a://b,c", "d://e"]


@pytest.mark.parametrize(
    ("hours", "quiet", "loud"),
    [("22:00-07:00", (1320, 1439, 0, 419), (420, 1319)), ("00:00-06:30", (0, 389), (390, 1439))],
)
def test_quiet_hours_may_span_midnight(hours: str, quiet: tuple[int, ...], loud: tuple[int, ...]) -> None:
    read = parse(f'[alerts]\nquiet_hours = "{hours}"').alerts.quiet_hours
    assert read is not None
    assert str(read) == hours
    assert all(map(read.include, quiet))
    assert not any(map(read.include, loud))


# ---- the server's address


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:pw@localhost:6379/0",
        "redis://[::1]:6379/0",
        "rediss://localhost:6380",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://one:26379,two:26379/main/0",
        "redis+cluster://one:6379,two:6379",
    ],
)
def test_addresses_that_are_accepted(url: str) -> None:
    assert parse(f'[server]\nurl = "{url}"').server.url == url


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "localhost",
        "http://localhost",
        "redis://",
        "redis://host:port",
        "redis://h:99999",
        "unix://",
        "redis:/h",
    ],
)
def test_addresses_that_are_not(url: str) -> None:
    message = refusal(f'[server]\nurl = "{url}"')
    assert message.startswith("spillgate.toml: server.url: expected a URL such as redis://127.0.0.1:6379/0")
    assert message.endswith(f', got "{url}"')


@pytest.mark.parametrize(
    "url",
    [
        "redis://h/abc",
        "redis://h/0/1",
        "redis://h?db=x",
        "redis://h?foo=1",
        "redis://h?decode_responses=true",
        "unix:///run/redis.sock?socket_timeout=9",
    ],
)
def test_what_an_address_may_not_say(url: str) -> None:
    message = refusal(f'[server]\nurl = "{url}"')
    assert "expected a URL with no more than a database number (/0) and the options db, username, password" in message


def test_ttls_are_left_to_the_governor_but_for_what_is_protected_or_metered_and_sessions_that_do_not_say_so() -> None:
    kinds = ("clear", "trim", "expired", "shorten", "never")

    def adjustable(monitor: str = "", settings: str = "") -> list[str]:
        tables = "".join(
            namespace(
                f'cleanup = "{kind}"\nttl = "10m"\n{"" if kind == "never" else settings}\npriority = 1', kind, kind
            )
            for kind in kinds
        )
        return [ns.name for ns in parse(f"[monitor]\n{monitor}\n{tables}").adjustable]

    assert adjustable() == []
    assert adjustable('ttl_mode = "auto"') == ["clear", "trim", "shorten"]
    assert adjustable(settings='ttl_mode = "auto"') == ["clear", "trim", "expired", "shorten"]
    assert adjustable('ttl_mode = "auto"', 'ttl_mode = "advise"') == []
    assert adjustable('ttl_mode = "auto"\ncommands_per_day = 1000') == []


@pytest.mark.parametrize("cleanup", ["never", "expired"])
def test_a_budget_that_nothing_would_enforce_is_refused(cleanup: str) -> None:
    namespace = f'name = "a"\nkeys = "a:*"\nttl = "1m"\npriority = 1\ncleanup = "{cleanup}"\nbudget = "1MB"'
    assert "choose clear, trim or shorten" in refusal(f"[[namespace]]\n{namespace}")


# ---- mistakes


MISTAKES = {
    "x = 1": 'unknown key "x" (known here: alerts, cache, levels, monitor, namespace, presets, server, webhook)',
    "[servre]": 'unknown key "servre" (did you mean "server"?)',
    '[server]\nlimt = "1MB"': 'server: unknown key "limt" (did you mean "limit"?)',
    "server = 3": "server: expected a table, got 3",
    "[server]\nlimit = true": (
        'server.limit: expected a size such as "25MB" or "256KB", or a whole number of bytes, got true'
    ),
    '[server]\nlimit = "0MB"': "server.limit: must be more than 0; leave it out to use the server's maxmemory",
    '[server]\nlimit = "2MB"\nreserve = "2MB"': "server.reserve: must be less than the limit of 2MB, is 2MB",
    '[server]\ntimeout = "0s"': "server.timeout: must be more than 0",
    '[server]\nverify = "maybe"': 'server.verify: expected one of "full", "ca", "none", got "maybe"',
    '[server]\nurl = "rediss://h"\ncert_file = "c"': "server.cert_file: needs key_file beside it",
    '[server]\nurl = "rediss://h"\nkey_file = "c"': "server.key_file: needs cert_file beside it",
    '[server]\nca_file = "c"': "server.ca_file: needs a TLS connection, a rediss:// URL; got redis://127.0.0.1:6379/0",
    '[server]\nca_file = ""': 'server.ca_file: expected a text, got ""',
    "[monitor]\ninterval = 30": (
        'monitor.interval: expected a duration such as "100ms", "30s", "15m", "1h30m" or "2d", got 30'
    ),
    '[monitor]\ncommands_per_day = "5"': 'monitor.commands_per_day: expected a whole number, 0 or more, got "5"',
    "[monitor]\ncommands_per_day = true": "monitor.commands_per_day: expected a whole number, 0 or more, got true",
    '[monitor]\nmin_interval = "1m"': (
        "monitor.min_interval: must be more than 0 and at most the interval of 30s, is 1m"
    ),
    '[monitor]\nmin_interval = "0s"': (
        "monitor.min_interval: must be more than 0 and at most the interval of 30s, is 0s"
    ),
    '[levels]\nwarning = "80"': 'levels.warning: expected a share such as "80%" or 0.8, at most 100%, got "80"',
    '[levels]\nwarning = "0%"': "levels.warning: normal (0%) must be below it, and it is 0%",
    '[levels]\npreventive = "90%"': "levels.preventive: must be below emergency (88%), is 90%",
    '[levels]\nemergency = "80%"': "levels.emergency: preventive (80%) must be below it, and it is 80%",
    '[levels]\nrelease = "10%"': "levels.release: must be less than the 8% between preventive and emergency, is 10%",
    '[levels]\nwarning = "25%"\npreventive = "50%"\nemergency = "75%"\nrelease = "25%"': (
        "levels.release: must be less than the 25% between normal and warning, is 25%"
    ),
    '[levels]\nwarning = "60%"\npreventive = "90%"\nemergency = "95%"\nrelease = "30%"': (
        "levels.release: must be less than the 30% between warning and preventive, is 30%"
    ),
    '[alerts]\nmin_level = "normal"': (
        'alerts.min_level: expected one of "warning", "preventive", "emergency", "critical", got "normal"'
    ),
    '[alerts]\nfindings = "none"': (
        'alerts.findings: expected one of "info", "low", "medium", "high", "critical", "never", got "none"'
    ),
    "[alerts]\nrate = 0": "alerts.rate: must be more than 0; leave out notify and [[webhook]] to send no alerts",
    '[alerts]\nquiet_hours = "22-7"': 'alerts.quiet_hours: expected hours such as "22:00-07:00", got "22-7"',
    '[alerts]\nquiet_hours = "07:00-07:00"': (
        'alerts.quiet_hours: expected hours such as "22:00-07:00", got "07:00-07:00"'
    ),
    '[alerts]\ntimezone = "Berlin"': (
        'alerts.timezone: expected a time zone that this system knows, such as "UTC" or "Europe/Berlin", got "Berlin"'
    ),
    '[alerts]\ntimezone = "../etc"': (
        'alerts.timezone: expected a time zone that this system knows, such as "UTC" or "Europe/Berlin", got "../etc"'
    ),
    "[alerts]\nnotify = [1]": "alerts.notify: expected a text in quotes",
    '[alerts]\nlink = "example.org"': (
        'alerts.link: expected a URL such as "https://spillgate.example.org", without a password, got "***"'
    ),
    '[webhook]\nname = "a"': "webhook: expected a list of tables, each begun with [[webhook]]",
    '[[webhook]]\nname = "a"': 'webhook[1] "a": url: is missing',
    '[[webhook]]\nname = "a"\nurl = "https://h"\ntimeout = "0s"': 'webhook[1] "a": timeout: must be more than 0',
    '[[webhook]]\nname = "a"\nurl = "https://h"\nsecret = "whsec_"': (
        'webhook[1] "a": secret: expected base64 behind "whsec_", got something else'
    ),
    '[[webhook]]\nname = "a"\nurl = "https://h"\n[[webhook]]\nname = "a"\nurl = "https://h"': (
        'webhook[2] "a": name: the name "a" is already that of another webhook'
    ),
    '[namespace]\nname = "a"': "namespace: expected a list of tables, each begun with [[namespace]]",
    "namespace = [1]": "namespace[1]: expected a table, got 1",
    '[[namespace]]\nkeys = "a"': "namespace[1].name: is missing",
    '[[namespace]]\nname = "a"': 'namespace[1] "a": keys: is missing',
    namespace(name="a b"): (
        'namespace[1] "a b": name: expected up to 64 letters, digits, dots, dashes or underscores, got "a b"'
    ),
    '[[namespace]]\nname = "a"\nkeys = []': (
        'namespace[1] "a": keys: expected a glob or a list of globs, got an empty list'
    ),
    '[[namespace]]\nname = "a"\nkeys = [1]': 'namespace[1] "a": keys: expected a text, got 1',
    namespace(keys="a[b"): 'namespace[1] "a": keys: the glob "a[b" has a class without its closing "]"',
    namespace('cleanup = "wipe"'): (
        'namespace[1] "a": cleanup: expected one of "clear", "trim", "expired", "shorten", "never", got "wipe"'
    ),
    '[monitor]\nttl_mode = "automatic"': 'monitor.ttl_mode: expected one of "advise", "auto", got "automatic"',
    namespace('ttl = "1m"\nttl_mode = "auto"'): (
        'namespace[1] "a": ttl_mode: cannot be "auto" with cleanup = "never": what is protected keeps its TTLs'
    ),
    namespace('cleanup = "trim"\npriority = 1'): 'namespace[1] "a": ttl: is required with cleanup = "trim"',
    namespace('cleanup = "trim"\nttl = "1m"'): 'namespace[1] "a": priority: is required with cleanup = "trim"',
    namespace("priority = -1"): 'namespace[1] "a": priority: expected a whole number, 0 or more, got -1',
    namespace("weight = nan"): 'namespace[1] "a": weight: expected a number, 0 or more, got nan',
    namespace('dictionary = "yes"'): 'namespace[1] "a": dictionary: expected true or false, got "yes"',
    namespace('codec = "pickle"'): 'namespace[1] "a": codec: expected one of "msgpack", "json", got "pickle"',
    namespace('ttl = "0s"'): 'namespace[1] "a": ttl: must be at least 1s, is 0s',
    namespace('ttl = "1m"\ncritical_ttl = "0s"'): 'namespace[1] "a": critical_ttl: must be at least 1s, is 0s',
    namespace('max_ttl = "5m"'): 'namespace[1] "a": max_ttl: needs a ttl beside it',
    namespace("enforce_ttl = true"): 'namespace[1] "a": enforce_ttl: needs a ttl beside it',
    namespace('ttl = "1m"\nmin_ttl = "5m"'): 'namespace[1] "a": min_ttl: must be at most ttl (1m), is 5m',
    namespace('ttl = "5m"\nmax_ttl = "1m"'): 'namespace[1] "a": ttl: must be at most max_ttl (1m), is 5m',
    namespace('ttl = "5m"\nemergency_ttl = "6m"'): 'namespace[1] "a": emergency_ttl: must be at most ttl (5m), is 6m',
    namespace('ttl = "5m"\ncritical_ttl = "1m"'): (
        'namespace[1] "a": critical_ttl: must be at most emergency_ttl (50s), is 1m'
    ),
    namespace() + namespace(keys="b:*"): 'namespace[2] "a": the name "a" is already that of namespace[1] "a"',
    namespace(keys="a:*") + namespace(name="b", keys="*:b"): (
        'namespace[2] "b": keys: "*:b" overlaps "a:*" of namespace[1] "a": the key "a:b" would belong to both'
    ),
    'presets = "rq"': 'presets: expected a list of presets, got "rq"',
    'presets = ["bulmq"]': 'presets: unknown preset "bulmq" (did you mean "bullmq"?)',
    'presets = ["rq"]\n' + namespace(name="rq"): 'preset "rq": the name "rq" is already that of namespace[1] "rq"',
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_a_mistake_is_told_with_file_key_value_and_what_was_expected(text: str, message: str) -> None:
    assert refusal(text) == f"spillgate.toml: {message}"


@pytest.mark.parametrize(("text", "line"), [("a = 1\nb = [", 2), ("a = 1\nb 2\n", 2), ('\n\nx = "y', 3)])
def test_broken_toml_is_told_with_its_line(text: str, line: int) -> None:
    message = refusal(text)
    assert message.startswith("spillgate.toml: is not valid TOML: ")
    assert f"line {line}" in message


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_a_config_error(text: str) -> None:
    try:
        assert isinstance(parse(text), Policy)
    except ConfigError as error:
        assert str(error).startswith("spillgate.toml: ")  # noqa: PT017 (most texts are refused, but not all)


# ---- the reference policy


def test_the_reference_policy_is_the_deployment_it_describes() -> None:
    policy = load_policy(EXAMPLE, env={}, flags={})
    assert policy.server == ServerSettings(limit_bytes=25 * MB, reserve_bytes=2 * MB)
    assert policy.monitor == MonitorSettings(interval_s=30.0)
    assert policy.levels == LevelSettings()
    assert [(one.name, one.ttl_s, one.cleanup.value, one.priority) for one in policy.namespaces] == [
        ("analytics", 900.0, "clear", 1),
        ("voice", 1_800.0, "clear", 2),
        ("sessions", 900.0, "expired", 3),
        ("ai-context", 300.0, "clear", 4),
        ("messages", 1_800.0, "shorten", 5),
        ("tasks", 600.0, "never", None),
        ("channels", 1_800.0, "never", None),
        ("users", 900.0, "never", None),
    ]
    assert all(one.keys == (f"ceo-platform:{one.name}:*",) for one in policy.namespaces)
    assert all(Glob(one.keys[0]).is_prefix and one.compress_over_bytes == 1024 for one in policy.namespaces)
    messages = policy.namespaces[4]
    assert (messages.min_ttl_s, messages.emergency_ttl_s, messages.critical_ttl_s) == (300.0, 300.0, 60.0)
