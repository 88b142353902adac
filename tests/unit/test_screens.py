"""What people read of status, cleanup, census, doctor and the demo, to the letter; and the pieces it is drawn from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spillgate.checkup import Examination
from spillgate.cli import census_screens, doctor_screens, screens
from spillgate.cli.census_report import Report as CensusReport
from spillgate.config import LevelSettings, load_policy, parse_policy
from spillgate.demo import screen as demo_screen
from spillgate.demo.phases import Report as DemoReport
from spillgate.drawing import bar, bytes_in_words, chart, count_in_words, fit, grouped, margin, marks
from spillgate.governor.by_hand import Report as CleanupReport
from spillgate.governor.by_hand import Request
from spillgate.governor.journal import Entry, Event
from spillgate.governor.state import State
from spillgate.model import Action, ActionKind, Census, Estimate, Level, Outcome, Plan, Reading, Stop, Survey, Usage
from spillgate.policy.findings import diagnose
from spillgate.policy.pressure import Assessment, Limits
from spillgate.server.capabilities import Capabilities
from tests import diagnosing
from tests.goldens import assert_golden, drawn, orphans
from tests.governing import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType
    from rich.text import Text

MB = 1024 * 1024
POLICY = load_policy(EXAMPLE, env={}, flags={"url": "redis://me:secret@cache.example:6379/0"})
PROTECTED = parse_policy('[[namespace]]\nname = "users"\nkeys = "ceo-platform:users:*"', "test")
SOME = Capabilities(product="redis", version="7.0.15", evaluate=True, scan=True, count=True, memory_usage=True)
ALL = Capabilities("valkey", "9.1.2", "default", *[True] * 12)
HELD = {"messages": (9_400, 7.5), "analytics": (4_100, 2.25), "sessions": (1_800, 0.9), "users": (500, 0.5)}


def about(value: float) -> Estimate:
    return Estimate(value, value * 0.9, value * 1.1)


def census(known: Callable[[float], Estimate] = Estimate.exact) -> Census:
    rows = [(ns.name, *HELD.get(ns.name, (0, 0.0))) for ns in POLICY.namespaces]
    usages = tuple(Usage(name, known(keys), known(round(size * MB)), known(0)) for name, keys, size in rows)
    return Census(1.0, known is Estimate.exact, 1_000, 15_812, usages, known(12), known(12 * MB))


def state(used_mb: float, level: Level, fill_bytes_s: float = 0.0, **changes: Any) -> State:
    known = Assessment(
        at_s=1.0,
        level=level,
        raw_level=level,
        pressure=used_mb / 25,
        forecast=used_mb / 25,
        fill_bytes_s=fill_bytes_s,
        limits=Limits(25 * MB, 2 * MB),
    )
    reading = Reading(
        at_s=1.0,
        used_bytes=round(used_mb * MB),
        eviction_policy="noeviction",
        clients_bytes=410_000,
        scripts_bytes=8_500,
        keys=15_812,
        evicted_keys=0,
        refused_writes=0,
        uptime_s=93_784,
    )
    found = State(POLICY, False, known, reading, 1.0, census(), ALL, readings=2)  # noqa: FBT003 - no dry run
    return replace(found, **changes)


def emergency() -> State:
    busy = state(23.5, Level.EMERGENCY, 1.5 * MB, census=census(about))
    assert busy.reading is not None
    return replace(busy, reading=replace(busy.reading, evicted_keys=1_204, refused_writes=17))


def forbidden() -> State:
    poor = state(14.0, Level.NORMAL, census=None, capabilities=Capabilities(), readings=1)
    return replace(poor, reading=Reading(at_s=1.0, used_bytes=14 * MB))


def unnamed() -> State:
    lone = replace(census(), namespaces=(), unregistered_keys=Estimate.exact(15_812))
    return state(18.0, Level.WARNING, policy=parse_policy("", "test"), census=lone)


def all_protected() -> State:
    return state(21.0, Level.PREVENTIVE, policy=PROTECTED, census=None, capabilities=SOME)


def status(of: State, **console: Any) -> str:
    return drawn(*screens.status(of), **console)


def tick() -> str:
    told = [
        Entry(1, 0.0, Event.PLAN, "emergency", "cleanup at emergency: 23.5MB of 25MB (94%) in use. Steps: clear voice"),
        Entry(2, 0.0, Event.ACTION, "emergency", "clear voice (priority 2): deleted 310 of voice, freed 1.2MB"),
    ]
    return drawn(screens.overview(emergency()), "", screens.happened(told), "", screens.happened([]))


def outcomes(*, dry_run: bool) -> tuple[Outcome, ...]:
    def action(kind: ActionKind, namespace: str | None, *together: str) -> Action:
        return Action(kind, namespace, (), "its turn", together=together)

    failed = Outcome(action(ActionKind.TRIM, "ai-context"), Stop.FAILED, error="UNLINK: no permission", dry_run=dry_run)
    return (
        Outcome(action(ActionKind.PURGE, None), Stop.COMPLETE, 15_812, expired=45, freed_bytes=9_000, dry_run=dry_run),
        Outcome(
            action(ActionKind.CLEAR, "analytics", "voice"),
            Stop.COMPLETE,
            15_812,
            deleted=4_100,
            freed_bytes=round(2.25 * MB),
            dry_run=dry_run,
        ),
        Outcome(
            action(ActionKind.SHORTEN, "messages"),
            Stop.TARGET,
            9_400,
            deleted=1_200,
            retimed=8_200,
            freed_bytes=MB,
            dry_run=dry_run,
        ),
        *([] if dry_run else [failed]),
    )


def cleanup(*, dry_run: bool) -> str:
    plan = Plan(Level.EMERGENCY, 23 * MB, 19 * MB, (), "23MB of data, 19MB is the target")
    done = outcomes(dry_run=dry_run)
    report = CleanupReport(
        Request(POLICY, Level.EMERGENCY, frozenset()), plan, done, replace(emergency(), dry_run=dry_run)
    )
    return drawn(plan.reason, screens.steps(done), report.ending(), width=120)


def survey() -> Survey:
    """Found in two databases, some of it estimated."""
    keys = [
        *diagnosing.many("shop:cart:", 40, 900, ttl_s=None, kind="hash", encoding="listpack"),
        *diagnosing.many("shop:page:", 60, 4_000, ttl_s=540),
    ]
    carts, pages = diagnosing.usage("shop:cart:*", keys[:40]), diagnosing.usage("shop:page:*", keys[40:])
    assert pages.bytes is not None
    sampled = replace(pages, keys=about(6_000), bytes=about(24_000_000), no_ttl=Estimate(0, 0, 15))
    named = replace(diagnosing.usage("pages", keys[40:]), biggest=keys[40])
    own = replace(
        diagnosing.census({}, {}),
        exact=False,
        sampled_keys=2_000,
        total_keys=6_040,
        namespaces=(named,),
        prefixes=(replace(sampled, biggest=keys[41]), carts),
        unregistered_keys=about(6_000),
        total_bytes=about(24_500_000),
        biggest=(diagnosing.key(b"shop:page:\x1b[2J", 70_000), diagnosing.key("shop:cart:1", None, kind="hash")),
    )
    info = {"redis_version": "7.0.15", "maxmemory": str(100 * MB)}
    overhead = {"client buffers": Estimate.exact(2 * MB), "tables": Estimate(90_000, 80_000, 100_000)}
    notes = ("MEMORY USAGE is forbidden: bytes are unknown",)
    databases = ((0, own), (3, replace(own, namespaces=())))
    return Survey(50 * MB, databases, overhead, info, 1.25, notes=notes)


def counted() -> Survey:
    """Few keys, all of them seen."""
    keys = diagnosing.many("shop:page:", 12, 1_500, ttl_s=None)
    own = diagnosing.census({}, {"pages": keys})
    return Survey(2 * MB, ((0, own),), {}, {"valkey_version": "9.1.2", "used_memory": "2097152"}, 0.004)


def told_census(found: Survey, top: int = 20) -> None:
    policy = diagnosing.policy(diagnosing.NAMESPACES.split('[[namespace]]\nname = "tasks"')[0])
    census_screens.tell(CensusReport.of(policy, found, mask=False), top)


def told_doctor(**evidence: Any) -> None:
    seen = diagnosing.evidence(**evidence)
    doctor_screens.tell(Examination(SOME, seen, diagnose(seen), 0.75))


def unwell() -> None:
    """Much to mend, and checks that cannot run."""
    cart = diagnosing.many("shop:cart:", 400, 20_000, ttl_s=None, idle_s=100_000)
    told_doctor(
        prefixes={"shop:cart:*": cart, "shop:\x1b[2J:*": diagnosing.many("shop:\x1b[2J:", 200, 3_000, ttl_s=60)},
        info={"maxmemory_policy": "noeviction", "maxmemory": str(12 * MB), "evicted_keys": None},
        clients=None,
        reasons={"clients": "CLIENT LIST is forbidden"},
        used=11 * MB,
    )


def demo(*, plain: bool = False, width: int = 80, height: int = 24, **changes: Any) -> str:
    alive = {"sessions": 1_204, "tasks": 391, "channels": 25, "users": 310}
    rows = [
        demo_screen.NamespaceRow(
            ns.name, ns.cleanup.value, None if ns.name == "voice" else 12_345, exact=ns.protected, deleted=67_890
        )
        for ns in POLICY.namespaces
    ]
    known: dict[str, Any] = {
        "seconds": 60.0,
        "elapsed_s": 31.0,
        "server": "Valkey 9.1.2, 25MB, noeviction",
        "endpoint": "http://127.0.0.1:3000/",
        "report": DemoReport(31.0, "flood", writes=98_765, due=alive, alive=alive),
        "used_bytes": 20 * MB,
        "peak_bytes": 22 * MB,
        "limit_bytes": 25 * MB,
        "level": Level.EMERGENCY,
        "settings": LevelSettings(),
        "columns": [MB * column // 6 for column in range(124)] + [0] * 116,
        "rows": rows,
        "evicted": 0,
        "lines": [(float(number), f"clear analytics: deleted {number} keys") for number in range(30)],
    }
    view = demo_screen.View(**known | changes)
    lines = demo_screen.draw(view, width, height, plain=plain)
    return "\n".join([*(line.plain for line in lines), "", demo_screen.status_line(view)])


SCREENS: dict[str, Callable[[], str]] = {
    "status": lambda: status(state(14.0, Level.NORMAL)),
    "status-wide": lambda: status(state(14.0, Level.NORMAL), width=140),
    "status-pipe": lambda: status(state(14.0, Level.NORMAL), width=200, terminal=False),
    "status-ascii": lambda: status(state(14.0, Level.NORMAL), plain=True),
    "status-narrow": lambda: status(state(14.0, Level.NORMAL), width=40),
    "status-emergency": lambda: status(emergency()),
    "status-emergency-narrow": lambda: status(emergency(), width=64),
    "status-forbidden": lambda: status(forbidden()),
    "status-no-policy": lambda: status(unnamed()),
    "status-all-protected": lambda: status(all_protected()),
    "status-critical": lambda: status(state(25.5, Level.CRITICAL)),
    "tick": tick,
    "cleanup": lambda: cleanup(dry_run=False),
    "cleanup-dry-run": lambda: cleanup(dry_run=True),
    "demo": demo,
    "demo-ascii": lambda: demo(plain=True),
    "demo-wide": lambda: demo(width=120, height=40),
    "demo-unknown": lambda: demo(level=None, evicted=None, report=DemoReport(31.0, "flood", lost=None)),
}
PRINTED: dict[str, Callable[[], None]] = {
    "census": lambda: told_census(survey()),
    "census-top-1": lambda: told_census(survey(), top=1),
    "census-exact": lambda: told_census(counted()),
    "doctor": unwell,
    "doctor-nothing": lambda: told_doctor(prefixes={}, namespaces={"pages": diagnosing.many("app:pages:", 200)}),
}


@pytest.mark.parametrize("name", SCREENS)
def test_the_screen(name: str) -> None:
    text = SCREENS[name]()
    assert "secret" not in text
    assert "\x1b" not in text
    assert_golden(f"screens/{name}", text)


@pytest.mark.parametrize("name", PRINTED)
def test_what_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    PRINTED[name]()
    told = capsys.readouterr()
    assert told.err == ""
    assert "\x1b" not in told.out
    assert_golden(f"screens/{name}", told.out)


def test_no_golden_file_is_orphaned() -> None:
    assert orphans("screens", [*SCREENS, *PRINTED]) == set()


def test_a_pipe_of_status_is_ascii_apart_from_errors() -> None:
    assert status(state(14.0, Level.NORMAL), terminal=False).isascii()
    assert "█" in status(state(14.0, Level.NORMAL))
    assert "±" in status(emergency(), terminal=False)


@pytest.mark.parametrize(
    ("of", "said", "unsaid"),
    [
        (state(14.0, Level.NORMAL), ["spillgate run"], ["spillgate cleanup", "spillgate doctor"]),
        (state(18.0, Level.WARNING), ["spillgate doctor: what can be saved"], ["spillgate cleanup"]),
        (state(21.0, Level.PREVENTIVE), ["spillgate cleanup --dry-run", "spillgate run"], ["spillgate census"]),
        (emergency(), ["why the server evicted keys or refused writes"], ["what can be saved"]),
        (unnamed(), ["spillgate census", "a larger plan"], ["spillgate run", "spillgate cleanup"]),
        (all_protected(), ["a larger plan"], ["spillgate run", "spillgate cleanup"]),
        (State(policy=POLICY, dry_run=False), ["spillgate run"], ["spillgate doctor"]),
    ],
)
def test_status_says_what_to_do_next(of: State, said: list[str], unsaid: list[str]) -> None:
    text = "\n".join(screens.advice(of))
    assert [words for words in said if words not in text] == []
    assert [words for words in unsaid if words in text] == []
    assert text.endswith("spillgate top: the same as here, live")


SETTINGS = LevelSettings()


def plain_text(parts: list[Text]) -> list[str]:
    return [part.plain for part in parts]


def test_a_bar_is_as_long_as_it_is_told_and_has_the_colour_of_its_level() -> None:
    assert bar(0.5, SETTINGS, 10, plain=True).plain == "#####-----"
    assert bar(7.0, SETTINGS, 10, plain=False).plain == "█" * 10
    assert bar(-1.0, SETTINGS, 4, plain=True).plain == "----"
    assert [str(bar(share, SETTINGS, 10, plain=True).style) for share in (0.5, 0.6, 0.8, 0.88, 1.0)] == [
        *("green", "yellow", "dark_orange", "red", "bold red")
    ]


def test_marks_stand_where_levels_begin_and_are_named_where_there_is_room() -> None:
    for width in (10, 40, 80, 200):
        line = marks(SETTINGS, width).plain
        assert [at + 1 for at, mark in enumerate(line) if mark == "|"] == [
            round(share * width) for share in (0.6, 0.8, 0.88, 1.0)
        ]
    assert "critical 100%" in marks(SETTINGS, 200).plain


def test_a_chart_has_a_gap_where_nothing_is_known() -> None:
    shares = [0.0, 0.25, None, 0.5, 1.0, 2.0]
    assert plain_text(list(chart(shares, SETTINGS, top="1MB", rows=2, plain=True))) == [
        "  1MB |    ##",
        "    0 | |?###",
    ]
    assert margin("1023.9MB") == 10
    wide: list[RenderableType] = list(chart(shares, SETTINGS, top="1023.9MB", rows=3, plain=False))
    assert [len(line.split("|")[0]) for line in drawn(*wide).splitlines()] == [9, 9, 9]


def test_numbers_are_grouped_by_their_highest() -> None:
    assert grouped([1, 5, None, None, 2, 3], 3) == [5, None, 3]
    assert grouped([1, 2], 4) == [1, 1, 2, 2]


def test_what_does_not_fit_is_cut() -> None:
    lines = [marks(SETTINGS, 80), marks(SETTINGS, 80)]
    kept = fit(lines, 20, 1, plain=False)
    assert [line.cell_len for line in kept] == [20]
    assert kept[0].plain.endswith("…")


@pytest.mark.parametrize(
    ("estimate", "keys", "size"),
    [
        (None, "unknown", "unknown"),
        (Estimate.exact(2048), "2,048", "2KB"),
        (Estimate(2048, 1024, 3072), "2,048 ±1,024", "2KB ±1KB"),
        (Estimate(0, 0, 1024), "0 +1,024", "0B +1KB"),
        (Estimate(2048, 1024, 2048), "2,048 -1,024", "2KB -1KB"),
        (Estimate(2048, 1024, float("inf")), "about 2,048", "about 2KB"),
    ],
)
def test_numbers_come_with_their_error(estimate: Estimate | None, keys: str, size: str) -> None:
    assert (count_in_words(estimate), bytes_in_words(estimate)) == (keys, size)
