"""What a report tells of the time since the last one, and the commands that it has people type."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spillgate.cli.options import PolicySource
from spillgate.cli.report import Asked, stamp_of
from spillgate.config import ServerSettings
from spillgate.errors import ConfigError
from spillgate.governor import words
from spillgate.governor.history import Point
from spillgate.governor.journal import Entry, Event
from spillgate.model import Level
from spillgate.policy.pressure import Assessment, Limits
from spillgate.report.deployment import Deployment, redis_cli, shell_word, unlink_all
from spillgate.report.model import Format
from spillgate.report.past import Gap, Verdict
from spillgate.report.rendering import document, render
from tests.reporting import DAY_S, ENTRIES, MB, NOW_S, SECRET, entry, past, points, report

if TYPE_CHECKING:
    from pathlib import Path

HOUR_S = 3600.0


# Levels, actions, forecasts


def test_time_in_levels_adds_up() -> None:
    found = past()
    assert found.since_s == NOW_S - 40 * HOUR_S
    assert found.gaps == (Gap(NOW_S - 5 * HOUR_S, NOW_S - 4 * HOUR_S),)
    assert sum(found.seconds.values()) + found.unwatched_s == pytest.approx(40 * HOUR_S)
    assert found.seconds[Level.NORMAL] == pytest.approx(20 * HOUR_S)
    assert found.unwatched_s == pytest.approx(HOUR_S)
    assert found.visits == {Level.WARNING: 1, Level.PREVENTIVE: 1}
    assert found.refused_writes == 3
    assert found.highest is not None
    assert found.highest.high_bytes == round(20.5 * MB)


def test_what_was_before_counts_from_the_beginning_on() -> None:
    found = past(since_s=NOW_S - 15 * HOUR_S)
    assert found.since_s == NOW_S - 15 * HOUR_S
    assert Level.NORMAL not in found.seconds
    assert found.seconds[Level.WARNING] == pytest.approx((5 + 8) * HOUR_S)


def test_nobody_governs_between_a_stop_and_a_start() -> None:
    stopped = (
        *ENTRIES[:3],
        entry(4, 10, Event.STOPPED, "warning", "governor stopped"),
        entry(5, 6, Event.STARTED, "unknown", "governing"),
        entry(6, 6, Event.LEVEL, "warning", "level warning: 15.5MB of 25MB (62%) in use"),
    )
    found = past(entries=stopped)
    assert found.seconds[Level.WARNING] == pytest.approx((10 + 5) * HOUR_S)
    assert found.unwatched_s == pytest.approx(5 * HOUR_S)


def test_the_last_look_need_not_be_followed_yet() -> None:
    known = points()
    assert past(told=(*known[:-1], Point(NOW_S - 60))).gaps == past().gaps
    assert past(told=(*known[:-10], Point(NOW_S - 600))).gaps == (*past().gaps, Gap(NOW_S - 600, NOW_S))


def test_steps_are_added_up_and_dry_runs_told_apart() -> None:
    (step,) = past().steps
    assert (step.kind, step.names, step.deleted, step.expired, step.freed_bytes) == (
        "clear",
        ("analytics", "voice"),
        500,
        20,
        3 * MB,
    )
    assert past().deleted == {"analytics": 400, "voice": 100}
    dry = replace(ENTRIES[4], number=99, details=ENTRIES[4].details | {"dry_run": True})
    both = past(entries=(*ENTRIES, dry))
    assert [one.dry for one in both.steps] == [False, True]
    assert both.deleted == {"analytics": 400, "voice": 100}


def foresees(at_s: float) -> Entry:
    """An entry as the governor writes it when a forecast raises the level to preventive."""
    limits = Limits(25 * MB, 2 * MB)
    before = Assessment(0.0, Level.WARNING, Level.WARNING, 0.7, 0.7, 0.0, limits)
    after = Assessment(1.0, Level.PREVENTIVE, Level.PREVENTIVE, 0.76, 0.81, MB, limits, foreseen=True)
    return Entry(1, at_s, Event.LEVEL, "preventive", words.level_change(before, after))


def acts(at_s: float, *, dry: bool = False) -> Entry:
    """An entry of a cleanup."""
    return Entry(2, at_s, Event.ACTION, "preventive", "cap", {"kind": "cap", "dry_run": dry, "freed_bytes": 1})


def seconds(*megabytes: float | None) -> tuple[Point, ...]:
    """A reading a second from a minute ago on."""
    return tuple(
        Point(
            NOW_S - 60 + number,
            None if size is None else round(size * MB),
            None if size is None else round(size * MB),
            1,
            25 * MB,
        )
        for number, size in enumerate(megabytes)
    )


@pytest.mark.parametrize(
    ("finest", "others", "verdict"),
    [
        ({1: seconds(19, 20.2, 19)}, (), Verdict.TRUE),
        ({1: seconds(19, 19, 20.2)}, (acts(NOW_S - 59),), Verdict.TRUE),
        ({1: seconds(19, 19.4, 18)}, (acts(NOW_S - 59),), Verdict.AVERTED),
        ({1: seconds(19, 19.4, 18)}, (acts(NOW_S - 59, dry=True),), Verdict.FALSE),
        ({1: seconds(19, 19.4, 18)}, (acts(NOW_S - 30),), Verdict.FALSE),
        ({1: seconds(19, *([19] * 20), 20.2)}, (), Verdict.FALSE),
        ({1: (), 60: (Point(NOW_S - 60, 19 * MB, 21 * MB, 2, 25 * MB),)}, (), Verdict.TRUE),
        ({1: seconds(None, None)}, (), Verdict.UNKNOWN),
        ({}, (), Verdict.UNKNOWN),
    ],
)
def test_forecasts_are_held_against_what_came(
    finest: dict[int, tuple[Point, ...]], others: tuple[Entry, ...], verdict: Verdict
) -> None:
    found = past(entries=(foresees(NOW_S - 60), *others), finest=finest)
    assert [(one.level, one.verdict) for one in found.forecasts] == [(Level.PREVENTIVE, verdict)]


def test_a_level_that_memory_itself_has_reached_was_no_forecast() -> None:
    assert past(entries=ENTRIES[:3]).forecasts == ()


# The commands of this very deployment


def test_commands_lead_to_this_deployment_without_its_secrets() -> None:
    with_file = Deployment("my policies/spillgate.toml", limit="25MB")
    assert with_file.command("status") == "spillgate status --config 'my policies/spillgate.toml' --limit 25MB"
    plain = Deployment(url="redis://10.0.0.1:6379/0")
    assert plain.command("cleanup", "ai-context") == "spillgate cleanup ai-context --url redis://10.0.0.1:6379/0"
    secret = Deployment(url=f"redis://:{SECRET}@10.0.0.1/0")
    assert secret.command("status") == 'spillgate status --url "$REDIS_URL"'
    assert secret.needs == ("REDIS_URL holds the address with its password",)
    assert Deployment(url_variable="SPILLGATE_URL").needs == ("SPILLGATE_URL is set as it was for this report",)
    assert Deployment("a.toml").needs == ()


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("redis://127.0.0.1", "redis-cli -h 127.0.0.1 -p 6379"),
        (f"redis://me:{SECRET}@cache.example:6380/3", "redis-cli -h cache.example -p 6380 --user me -n 3"),
        (f"rediss://:{SECRET}@cache.example/0", "redis-cli -h cache.example -p 6379 --tls"),
        (f"redis://h/?db=2&username=a%20b&password={SECRET}", "redis-cli -h h -p 6379 --user 'a b' -n 2"),
        ("unix:///run/my%20redis.sock?db=1", "redis-cli -s '/run/my redis.sock' -n 1"),
        ("redis://[::1]:7000", "redis-cli -h ::1 -p 7000"),
    ],
)
def test_redis_cli_finds_the_same_server(url: str, command: str) -> None:
    assert redis_cli(ServerSettings(url=url)) == command


@pytest.mark.parametrize(
    "word",
    [
        "plain",
        "a b",
        "it's",
        "$(touch /tmp/x)",
        "`id`",
        "new\nline",
        "\x1b[31m",
        "é\u202e",
        '"\\',
        "!history",
        "",
        "a*[b]?",
    ],
)
def test_a_shell_takes_any_word(word: str) -> None:
    written = shell_word(word)
    assert written.isascii()
    assert written.isprintable()
    told = subprocess.run(["bash", "-c", f"printf %s {written}"], capture_output=True, check=True)  # noqa: S607 - any bash
    assert told.stdout == word.encode()


def test_each_glob_is_a_line() -> None:
    lines = unlink_all(ServerSettings(url="redis://h/0"), ("app:a:*", "app:b'\n:*")).split("\n")
    assert len(lines) == 2
    assert lines[0].startswith(
        "redis-cli -h h -p 6379 --scan --pattern 'app:a:*' | LC_ALL=C grep -a -x -E 'app:a:.*' | "
        "xargs -r -d '\\n' -n 500 redis-cli "
    )
    assert lines[1].startswith("# $'app:b\\'\\x0a:*' cannot be done")


@pytest.mark.parametrize(
    ("glob", "fits", "others"),
    [
        ("app:a:*", ["app:a:1", "app:a:"], ["app:b:1", "xapp:a:1"]),
        ("a.b?[0-9]", ["a.bx1"], ["aXbx1", "a.bx", "a.bx12"]),
        ("a\\*|$", ["a*|$"], ["ab|$", "a"]),
        ("[^a]+{1}(", ["b+{1}("], ["a+{1}("]),
    ],
)
def test_only_whole_names_of_a_namespace_are_deleted(glob: str, fits: list[str], others: list[str]) -> None:
    (line,) = unlink_all(ServerSettings(url="redis://h/0"), (glob,)).split("\n")
    match = line.split(" | ")[1] if "|$" not in glob else line[line.index("LC_ALL") : line.index(" | xargs")]
    told = subprocess.run(
        ["bash", "-c", match],  # noqa: S607 - any bash
        input="\n".join([*fits, *others]),
        capture_output=True,
        check=True,
        text=True,
    )
    assert told.stdout.splitlines() == fits


# Since the last report


@pytest.mark.parametrize("form", [*Format, "json"])
def test_each_format_says_when_it_was_made(tmp_path: Path, form: Format | str) -> None:
    path = tmp_path / "report"
    made = report()
    path.write_text(str(document(made)).replace("'", '"') if form == "json" else render(made, Format(form)))
    assert stamp_of(path) == NOW_S
    asked = Asked(PolicySource(None, None, None), output=path)
    assert asked.request(NOW_S + 10).since_s == NOW_S
    assert asked.request(NOW_S + 10).since_why == "the last report"
    assert asked.request(NOW_S - 10).since_s == NOW_S - 10 - 7 * 86_400  # a report of the future is none


@pytest.mark.parametrize("content", [b"", b"generated-at: soon", b"\xff\xfe", b"# My notes"])
def test_another_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    assert stamp_of(path) is None
    assert stamp_of(tmp_path / "none") is None
    assert stamp_of(tmp_path) is None


@pytest.mark.parametrize(
    ("since", "back_s"),
    [("2d", 172_800), ("90m", 5400), ("2027-01-14", 115_200), ("2027-01-15T07:00:00+00:00", 3600)],
)
def test_since_when_can_be_said(since: str, back_s: float) -> None:
    asked = Asked(PolicySource(None, None, None), since=since)
    assert asked.request(NOW_S).since_s == NOW_S - back_s


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"since": "yesterday"}, '--since: expected a time such as "7d" or "2026-11-01", got "yesterday"'),
        ({"since": "2027-02-01"}, '--since: "2027-02-01" lies ahead: name a time that has been'),
        ({"error": "much"}, "--error: expected a share"),
        ({"growth": "2"}, "--growth: expected a duration"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Asked(PolicySource(None, None, None), **options).request(NOW_S)
    assert message in str(refused.value)


def test_an_outage_that_began_before_is_none_of_the_time_watched() -> None:
    watched = [Point(NOW_S - 10 * DAY_S, used_bytes=1, high_bytes=1), Point(NOW_S - 8 * DAY_S)]
    back = [Point(NOW_S - day * DAY_S, used_bytes=1, high_bytes=1) for day in (2, 1)]
    found = past(told=(*watched, *back), entries=(), since_s=NOW_S - 7 * DAY_S)
    assert found.begins_s == NOW_S - 10 * DAY_S
    assert [(gap.start_s, gap.end_s) for gap in found.gaps] == [(NOW_S - 7 * DAY_S, NOW_S - 2 * DAY_S)]
