"""The benchmarks, run as `make bench` runs them: what may not depend on the machine holds in a short one as well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.corpora import DATA, load
from bench.flood import SCENARIOS, judge_rate
from bench.goals import Report
from bench.rounds import Rounds

ROOT = Path(__file__).parents[2]

needs_data = pytest.mark.skipif(not DATA.exists(), reason="the real data in ../shared/data is not here")


def run_quickly(benchmark: str, parts: list[str], numbers: Path) -> tuple[int, Any]:
    """The exit status of a short run on Valkey, and its report."""
    command = [sys.executable, "-m", "bench", benchmark, "--quick", "--kinds", "valkey", "--only", *parts]
    done = subprocess.run([*command, "--json", str(numbers)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert numbers.exists(), done.stderr
    [report] = json.loads(numbers.read_text())
    assert done.returncode == any(not goal["reached"] for goal in report["goals"])
    return done.returncode, report


def test_nothing_is_lost_refused_or_evicted_in_a_flood(tmp_path: Path) -> None:
    # The exit code follows the goals, which include timings.
    _, report = run_quickly("flood", ["8000"], tmp_path / "numbers.json")
    ours, large = report["numbers"]
    assert (ours["who"], large["who"]) == ("spillgate", "large")
    assert ours["writes"] > 0
    assert (ours["refused"], ours["evicted"], ours["lost"]) == (0, 0, dict.fromkeys(ours["lost"], 0))


@needs_data
def test_conversations_take_less_than_a_peers(tmp_path: Path) -> None:
    status, report = run_quickly("values", ["conversations"], tmp_path / "numbers.json")
    assert status == 0  # bytes do not depend on the machine
    taken = {one["who"]: one for one in report["numbers"] if "value_bytes" in one}
    assert {"spillgate, dictionary", "spillgate", "django-redis, msgpack, zlib"} <= taken.keys()
    ours = taken["spillgate, dictionary"]
    assert ours["value_bytes"] > ours["written_bytes"] + ours["dictionary_bytes"] / ours["keys"]  # all is counted
    assert ours["fit"] > 2 * taken["django-redis, msgpack, zlib"]["fit"]


def test_a_cold_value_is_computed_once_and_recording_stays_small(tmp_path: Path) -> None:
    _, report = run_quickly("cache", ["stampede", "recorder"], tmp_path / "numbers.json")
    herds = [one for one in report["numbers"] if "slowest_s" in one]
    assert {herd["how"] for herd in herds} == {"threads", "tasks"}
    assert {herd["runs"] for herd in herds} == {1}
    memory = next(goal for goal in report["goals"] if "memory" in goal["name"])
    assert memory["reached"]


@needs_data
def test_batches_are_measured_beside_a_peer(tmp_path: Path) -> None:
    _, report = run_quickly("cache", ["batch"], tmp_path / "numbers.json")
    measured = {(one["what"].split(",")[0], one["who"]) for one in report["numbers"]}
    whos = {"spillgate, dictionary", "django-redis, msgpack, zlib", "redis-py, orjson"}
    assert measured == {(how, who) for how in ("get_many", "set_many") for who in whos}
    assert {goal["bound"] for goal in report["goals"]} == {1.3, 1.1}


def test_without_its_data_a_benchmark_refuses_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.corpora.DATA", tmp_path)
    with pytest.raises(SystemExit, match=r"chats_sgd\.json is missing: this benchmark runs on real data only"):
        load("turns")


def test_contenders_are_compared_round_by_round() -> None:
    rounds = Rounds({"ours": [1.0, 10.0, 1.0], "theirs": [2.0, 30.0, 1.5]})
    assert rounds.times_as_fast("ours", "theirs") == 2.0
    assert rounds.more_s("theirs", "ours") == 1.0
    assert rounds.fastest(["theirs", "ours"]) == "ours"


@pytest.mark.parametrize(
    ("scenario", "governed_per_s", "free_per_s", "reached", "too_slow"),
    [
        ("8000", [7999, 8000], [7999, 7999], True, False),
        ("8000", [7999, 7000], [7999, 7999], False, False),  # one slow repetition is enough
        ("8000", [5000, 5000], [5100, 7999], False, True),
        ("pipeline", [65_000, 49_000], [90_000, 80_000], False, False),
        ("pipeline", [50_000, 60_000], [49_000, 80_000], True, False),
        ("benchmark", [90_000, 90_000], [300_000, 310_000], True, False),  # the governor's share is shown, not judged
        ("benchmark", [90_000, 90_000], [300_000, 140_000], False, True),
        ("benchmark", [], [], False, False),  # not installed
    ],
)
def test_a_flood_slower_than_promised_is_missed(
    scenario: str, governed_per_s: list[float], free_per_s: list[float], *, reached: bool, too_slow: bool
) -> None:
    report = Report("flood")
    [flooded] = [one for one in SCENARIOS if one.name == scenario]
    judge_rate(report, "here:", flooded, governed_per_s, free_per_s)
    [goal] = report.goals
    assert goal.reached == reached
    assert ("machine too slow" in goal.name) == too_slow
