"""``spillgate top``: what a look tells, what keys change, and the screen."""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from spillgate.cli.options import PolicySource
from spillgate.cli.top.command import Request
from spillgate.cli.top.keys import Controls, Extent, Sort, pressed, split
from spillgate.cli.top.looks import Looks
from spillgate.cli.top.remote import Remote
from spillgate.cli.top.screen import draw
from spillgate.cli.top.seen import Ends, Happened, Seen, document_of, seen_in
from spillgate.cli.top.table import Column, table
from spillgate.cli.top.view import View, line_of, news_line
from spillgate.cli.top.watched import Rise, Trail, Watched
from spillgate.config import load_policy, parse_policy
from spillgate.errors import ConfigError
from spillgate.governor.state import State
from spillgate.model import Census, Estimate, Level, Reading, Usage
from spillgate.policy.pressure import Assessment, Limits
from spillgate.server.capabilities import Capabilities
from tests.goldens import assert_golden, drawn, orphans
from tests.governing import EXAMPLE
from tests.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from spillgate.web.views import Document

MB = 1024 * 1024
NOW_S = 1_769_860_800.0
POLICY = replace(
    load_policy(EXAMPLE, env={}, flags={}),
    server=replace(load_policy(EXAMPLE, env={}, flags={}).server, url="redis://me:secret@cache.example:6379/0"),
)
ALL = Capabilities(
    product="valkey",
    version="9.1.2",
    **dict.fromkeys(
        ("evaluate", "script_clock", "script_flags", "idle", "memory_usage", "scan", "count", "config"), True
    ),
    **dict.fromkeys(("tracking", "random_cursor", "random_key", "acl"), True),
)
HELD: dict[str, tuple[int, float]] = {
    "messages": (9_400, 7.5),
    "analytics": (4_100, 2.25),
    "ai-context": (300, 1.5),
    "sessions": (1_800, 0.9),
    "users": (500, 0.5),
    "tasks": (391, 0.2),
    "channels": (25, 0.02),
    "voice": (0, 0),
}


def estimate(value: float) -> Estimate:
    return Estimate(value, value * 0.95, value * 1.05)


def census(*, exact: bool = False) -> Census:
    about = Estimate.exact if exact else estimate
    rows = tuple(
        Usage(name, about(keys), about(round(size * MB)), about(keys if name == "users" else 0))
        for name, (keys, size) in HELD.items()
    )
    total = sum(keys for keys, _ in HELD.values()) + 12
    return Census(100.0, exact, 1_000, total, rows, about(12), about(round(13 * MB)))


def state(used_mb: float = 14.0, level: Level = Level.NORMAL, fill_bytes_s: float = 0.0, **changes: Any) -> State:
    """A server of 25 MB as it was seen."""
    pressure = used_mb / 25
    known = Assessment(
        at_s=100.0,
        level=level,
        raw_level=level,
        pressure=pressure,
        forecast=pressure + 2 * fill_bytes_s / (25 * MB),
        fill_bytes_s=fill_bytes_s,
        limits=Limits(25 * MB, 2 * MB),
        foreseen=fill_bytes_s > MB,
    )
    reading = Reading(
        at_s=100.0,
        used_bytes=round(used_mb * MB),
        eviction_policy="noeviction",
        clients_bytes=410_000,
        scripts_bytes=8_500,
        keys=16_528,
        evicted_keys=0,
        refused_writes=0,
    )
    found = State(
        policy=POLICY,
        dry_run=False,
        assessment=known,
        reading=reading,
        at_unix_s=NOW_S,
        census=census(),
        capabilities=ALL,
        readings=2,
    )
    return replace(found, **changes)


def seen(of: State | None = None, **changes: Any) -> Seen:
    return replace(seen_in(document_of(of or state(), NOW_S, 2.0)), **changes)


def view(of: Seen | None = None, controls: Controls | None = None, **changes: Any) -> View:
    known: dict[str, Any] = {
        "seen": of or seen(),
        "controls": controls or Controls(),
        "at": "12:00:00",
        "since": "11:57:20",
        "pause_s": 2.0,
        "age_s": 0.1,
        "columns": [round(MB * (8 + 6 * number / 80)) for number in range(80)],
        "evicted": 0,
        "refused": 0,
    }
    return View(**known | changes)


def flood() -> View:
    """A governor's view of an emergency."""
    reading = state().reading
    assert reading is not None
    told = replace(reading, used_bytes=round(22.9 * MB), evicted_keys=1_204, refused_writes=17)
    emergency = seen(state(22.9, Level.EMERGENCY, 1.5 * MB, reading=told))
    columns = [None if 30 <= number < 36 else round(MB * (8 + 15 * number / 120)) for number in range(120)]
    return view(emergency, columns=columns, evicted=12, refused=17)


def unreachable() -> View:
    lost = seen(
        state(20.0, Level.PREVENTIVE, error="redis://me:***@cache.example:6379/0: Connection refused", unreadable=True)
    )
    return view(lost, age_s=83.0, columns=[round(MB * 12)] * 40 + [None] * 20)


def never_read() -> View:
    error = "redis://me:***@cache.example:6379/0: Error -2 connecting to cache.example:6379. Name or service not known."
    unread = State(policy=POLICY, dry_run=False, error=error, unreadable=True)
    return view(seen(unread), age_s=None, columns=[None] * 5, evicted=None, refused=None)


def forbidden() -> View:
    """A plan that tells next to nothing."""
    told = Reading(at_s=100.0, used_bytes=14 * MB)
    poor = state(reading=told, census=None, capabilities=Capabilities(), readings=1)
    return view(seen(poor), evicted=None, refused=None)


def of_a_governor() -> View:
    totals = seen(state(17.5, Level.WARNING), dry_run=True)
    happened = [
        Happened(1, 0.0, "level", "level rises from normal to warning: 17.5MB of 25MB (70%) in use"),
        Happened(2, 0.0, "alarm", "the server refused 17 writes for want of memory"),
        Happened(3, 0.0, "action", "clear analytics: deleted 4,100 of analytics\x1b[2J, freed 2.2MB"),
    ]
    done = replace(totals.totals, actions=3, deleted=4_100, retimed=950, freed_bytes=3 * MB)
    return view(replace(totals, totals=done), entries=happened)


def crowded(**controls: Any) -> View:
    names = [f"tenant-{number:02}" for number in range(40)]
    tables = "".join(f'[[namespace]]\nname = "{name}"\nkeys = "{name}:*"\n' for name in names)
    rows = tuple(
        Usage(name, Estimate.exact(10 * number), Estimate.exact(1000 * number), Estimate.exact(0))
        for number, name in enumerate(names)
    )
    found = replace(census(exact=True), namespaces=rows, unregistered_keys=Estimate.exact(0))
    many = replace(state(), policy=parse_policy(tables, "test"), census=found)
    return view(seen(many), Controls(**controls))


def no_policy() -> View:
    lone = replace(
        census(exact=True),
        namespaces=(),
        unregistered_keys=Estimate.exact(16_528),
    )
    return view(seen(state(policy=parse_policy("", "test"), census=lone)))


def budgeted() -> View:
    rows = seen().namespaces
    return view(seen(namespaces=tuple(replace(row, budget_bytes=MB) if row.priority else row for row in rows)))


SCREENS: dict[str, Callable[[], tuple[View, int, int, bool]]] = {
    "normal-80x24": lambda: (view(), 80, 24, False),
    "emergency-80x24": lambda: (flood(), 80, 24, False),
    "emergency-plain-80x24": lambda: (flood(), 80, 24, True),
    "emergency-140x50": lambda: (flood(), 140, 50, False),
    "emergency-60x16": lambda: (flood(), 60, 16, False),
    "emergency-40x10": lambda: (flood(), 40, 10, False),
    "unreachable-80x24": lambda: (unreachable(), 80, 24, False),
    "never-read-80x24": lambda: (never_read(), 80, 24, False),
    "forbidden-80x24": lambda: (forbidden(), 80, 24, False),
    "help-forbidden-80x40": lambda: (replace(forbidden(), controls=Controls(help=True)), 80, 40, False),
    "of-a-governor-100x30": lambda: (of_a_governor(), 100, 30, False),
    "journal-80x24": lambda: (replace(of_a_governor(), controls=Controls(journal=True)), 80, 24, False),
    "no-journal-80x24": lambda: (view(controls=Controls(journal=True)), 80, 24, False),
    "scrolled-by-name-80x24": lambda: (crowded(sort=Sort.NAME, offset=30), 80, 24, False),
    "paused-by-keys-80x24": lambda: (view(controls=Controls(paused=True, sort=Sort.KEYS)), 80, 24, False),
    "budgets-100x24": lambda: (budgeted(), 100, 24, False),
    "no-policy-80x24": lambda: (no_policy(), 80, 24, False),
    "metered-80x24": lambda: (view(pause_s=17.3), 80, 24, False),
    "not-yet-80x24": lambda: (View(None, Controls(), "12:00:00", "12:00:00", 2.0), 80, 24, False),
}


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.localtime", __import__("time").gmtime)


@pytest.mark.parametrize("name", SCREENS)
def test_the_screen(name: str) -> None:
    shown, width, height, plain = SCREENS[name]()
    lines = draw(shown, width, height, plain=plain).lines
    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width
    if plain:
        assert all(line.plain.isascii() for line in lines)
    text = "\n".join(line.plain for line in lines)
    assert "secret" not in text
    assert "\x1b" not in text
    assert_golden(f"top/{name}", text)


def test_the_lines_of_a_pipe() -> None:
    shown = [view(), flood(), unreachable(), never_read(), forbidden()]
    lines = [line_of(one) for one in shown] + [news_line(one) for one in of_a_governor().entries or ()]
    failing = seen(error="UNLINK: no permission")
    assert line_of(view(failing)).endswith("; UNLINK: no permission")
    assert line_of(view().__class__(None, Controls(), "12:00:00", "12:00:00", 2.0)).endswith("nothing is known yet")
    assert_golden("top/lines", "\n".join(lines))


def test_no_golden_file_is_orphaned() -> None:
    assert orphans("top", [*SCREENS, "lines"]) == set()


@pytest.mark.parametrize("width", [1, 2, 7, 20, 33, 80, 300])
@pytest.mark.parametrize("height", [1, 2, 3, 5, 9, 13, 24, 100])
def test_any_size_is_drawn(width: int, height: int) -> None:
    for shown in (flood(), unreachable(), never_read(), forbidden(), of_a_governor(), crowded(offset=1000)):
        for controls in (shown.controls, Controls(help=True), Controls(journal=True, offset=3)):
            lines = draw(replace(shown, controls=controls), width, height).lines
            assert len(lines) == height
            assert max(line.cell_len for line in lines) <= width


def test_a_name_that_ascii_cannot_write_is_escaped_where_it_must_be() -> None:
    rows = seen().namespaces
    shown = view(seen(namespaces=(replace(rows[0], name="größe"), *rows[1:])))
    assert any("größe" in line.plain for line in draw(shown, 80, 24).lines)
    plain = draw(shown, 80, 24, plain=True).lines
    assert any(r"gr\xf6\xdfe" in line.plain for line in plain)
    drawn(*plain, plain=True)


def test_what_is_worst_is_red_and_the_level_has_its_colour() -> None:
    lines = draw(flood(), 80, 24).lines
    styled = {line.plain[span.start : span.end]: str(span.style) for line in lines for span in line.spans}
    assert styled["EMERGENCY"] == "reverse red"
    assert styled["17 (+17)"] == "bold red"


def test_a_table_leaves_out_what_matters_less() -> None:
    columns = [Column("name", ["a"], left=True), Column("second", ["22"], drop=2), Column("third", ["333"], drop=1)]

    def headings(width: int) -> str:
        return next(table(columns, width, bars=[0.5], plain=True)).plain.rstrip()

    assert headings(80) == "name  second  third"
    assert headings(12) == "name  second"
    assert headings(5) == "name"
    heading, line = table(columns, 40, bars=[0.5], plain=True)
    assert line.plain.endswith("#" * (40 - len(heading.plain.rstrip()) - 2))


def test_a_document_is_the_snapshot_and_what_a_screen_needs_besides() -> None:
    document = document_of(state(at_unix_s=NOW_S - 5), NOW_S, 2.0)
    text = json.dumps(document, allow_nan=False)
    assert "secret" not in text
    assert (document["now"], document["age_s"], document["next_look_s"]) == (NOW_S, 5.0, 2.0)
    known = seen_in(json.loads(text))
    assert known.url == "redis://me:***@cache.example:6379/0"
    assert known.in_force is Level.NORMAL
    assert (known.settings.warning, known.settings.critical) == (0.6, 1.0)
    assert known.unregistered_bytes is not None
    assert known.unregistered_bytes.value == pytest.approx(0.13 * MB, abs=2)
    assert known.namespaces[0].name == "analytics"


def test_what_is_unknown_stays_so() -> None:
    unread = seen(State(policy=POLICY, dry_run=False))
    assert not unread.reachable
    assert (unread.in_force, unread.used_bytes, unread.age_s, unread.held_bytes) == (None, None, None, None)
    assert unread.unregistered_bytes is None
    assert {row.keys for row in unread.namespaces} == {None}
    assert seen(replace(state(), census=replace(census(), total_bytes=None))).unregistered_bytes is None
    assert Ends(5.0).estimate == Estimate(5.0, -math.inf, math.inf)
    with pytest.raises(msgspec.ValidationError):
        seen_in({"hello": "world"})


@pytest.mark.parametrize(
    ("sent", "keys", "rest"),
    [
        (b"q", ["q"], b""),
        (b"ss?", ["s", "s", "?"], b""),
        (b"\x1b[A\x1bOB\x1b[5~ ", ["up", "down", "pageup", "pagedown"], b""),
        (b"\x1b[", [], b"\x1b["),
        (b"s\x1b", ["s"], b"\x1b"),
        (b"\x1bq", ["\x1b", "q"], b""),
        (b"\x1b[1;5Cq", ["\x1b[1;5C", "q"], b""),
        ("ü".encode(), ["Ã", "¼"], b""),
    ],
)
def test_what_a_terminal_sends_is_split_into_keys(sent: bytes, keys: list[str], rest: bytes) -> None:
    assert split(sent) == (keys, rest)


def after(keys: str | list[str], controls: Controls | None = None, extent: Extent | None = None) -> Controls:
    controls = controls or Controls()
    for key in keys:
        controls = pressed(controls, key, extent or Extent(40, 10))
    return controls


def test_keys_change_what_is_shown() -> None:
    assert after("q").quit
    assert after("Q", Controls(help=True)).quit
    assert after("p").paused
    assert not after("pp").paused
    assert [after("s" * count).sort for count in range(len(Sort) + 1)] == [*Sort, Sort.MEMORY]
    assert after("s", Controls(offset=9)).offset == 0
    assert after("l").journal
    assert not after("ll").journal
    assert after("?").help
    assert not after("?x").help
    assert after("z") == Controls()


def test_intervals_have_steps_and_ends() -> None:
    assert after("+").interval_s == 5.0
    assert after("-").interval_s == 1.0
    assert after("-", Controls(3.0)).interval_s == 2.0
    assert after("+" * 20).interval_s == 300.0
    assert after("-" * 20).interval_s == 0.2
    assert after("-", Controls(0.1)).interval_s == 0.1
    assert after("+", Controls(900.0)).interval_s == 900.0


def test_scrolling_ends_where_the_rows_do() -> None:
    assert after(["down", "down", "up"]).offset == 1
    assert after(["up"]).offset == 0
    assert after(["pagedown", "pagedown"]).offset == 20
    assert after(["end"]).offset == 30
    assert after(["end", "down", "k"]).offset == 29
    assert after(["home"], Controls(offset=12)).offset == 0
    assert after(["down"], extent=Extent(5, 10)).offset == 0
    assert after(["pageup"], Controls(offset=1000)).offset == 20
    assert after(["down"], Controls(help=True)).help


def test_a_trail_has_a_column_for_each_look_and_gaps_where_nothing_was_seen() -> None:
    trail = Trail(0.0, 2.0)
    for at_s, used in ((0.0, 5), (2.0, 7), (3.0, 6), (4.0, None), (6.0, 8)):
        trail.add(at_s, used, 2.0)
    assert trail.columns == [5, 7, None, 8]
    trail.add(14.0, 9, 5.0)  # looked at less often: what was seen stands
    assert trail.columns == [5, 7, None, 8, 8, 8, 8, 9]
    trail.add(60.0, 9, 5.0)  # paused
    assert trail.columns[8:] == [None] * 22 + [9]


def test_a_long_trail_is_thinned_and_keeps_its_peaks() -> None:
    trail = Trail(0.0, 1.0)
    for second in range(5_000):
        trail.add(float(second), 1_000 if second == 777 else second % 10, 1.0)
    assert 256 <= len(trail.columns) <= 512
    assert trail.column_s == 16.0
    assert trail.columns.index(1_000) == 777 // 16
    trail.add(1e9, 1, 1.0)
    assert len(trail.columns) <= 512


def test_a_trail_can_begin_in_the_past() -> None:
    trail = Trail.of_past([(6.0, 1), (4.0, None), (2.0, 3)], 100.0, 2.0)
    trail.add(100.0, 4, 2.0)
    assert trail.columns == [1, None, 3, 4]


def test_counters_rise_and_begin_anew() -> None:
    rise = Rise()
    totals: list[int | None] = []
    for count in (None, 5, 5, 9, None, 2, 3):
        rise.add(count)
        totals.append(rise.total)
    assert totals == [None, 0, 0, 4, 4, 6, 7]


def test_what_was_seen_is_remembered() -> None:
    watched = Watched(Trail(0.0, 2.0))
    assert watched.age_s(5.0) is None
    entry = Happened(1, 0.0, "level", "level normal")
    assert watched.take(seen(journal=(entry,), age_s=1.0), 0.0, 2.0) == (entry,)
    assert watched.take(unreachable().seen or seen(), 2.0, 2.0) == ()
    assert watched.trail.columns == [14 * MB, None]
    assert watched.entries == deque([entry])
    watched.take(seen(age_s=1.0), 4.0, 2.0)
    assert watched.age_s(7.5) == 4.5


class Once:
    """A source whose second look breaks."""

    past = ()

    def __init__(self) -> None:
        self.looked = 0

    def look(self, interval_s: float) -> Document:
        self.looked += 1
        if self.looked > 1:
            raise ZeroDivisionError
        return {"interval_s": interval_s}

    def pause_s(self, interval_s: float) -> float:
        return interval_s

    def close(self) -> None:
        """Nothing to close."""


def test_what_breaks_in_the_thread_is_raised_where_it_is_seen() -> None:
    told: list[int] = []
    with Looks(Once(), 0.001, lambda: told.append(1)) as looks:
        assert eventually(looks.take)[0].document == {"interval_s": 0.001}
        eventually(lambda: len(told) == 2)
        with pytest.raises(ZeroDivisionError):
            looks.take()


def test_a_pause_lasts_until_it_is_ended() -> None:
    source = Once()
    with Looks(source, 600.0, lambda: None) as looks:
        assert eventually(looks.take)
        looks.change(0.001, paused=True)
        assert looks.take() == []
        assert source.looked == 1
        looks.change(0.001, paused=False)
        eventually(lambda: source.looked == 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"interval": "soon"}, 'command line: --interval: expected a duration such as "100ms"'),
        ({"interval": "50ms"}, 'command line: --interval: expected 100ms or more, got "50ms"'),
    ],
)
def test_an_interval_that_cannot_be_used(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        Request(PolicySource(None, None, None), **changes).interval_s()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:3000", "ftp://host", "http://", "http://host:0", "http://host:port", "http://me:secret@host:0"]
)
def test_an_address_of_no_governor(url: str) -> None:
    with pytest.raises(ConfigError, match="--from: expected the address of a running governor") as raised:
        Remote(url)
    assert "secret" not in str(raised.value)


def test_a_governor_knows_its_own_server() -> None:
    with pytest.raises(ConfigError, match="leave out --url"):
        Request(PolicySource("redis://host", None, None), "http://127.0.0.1:3000").source()
