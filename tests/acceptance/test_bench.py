"""The benchmarks, run as `make bench` runs them: what may not depend on the machine holds in a short one as well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.flood import SCENARIOS, judge_rate
from bench.goals import Report

ROOT = Path(__file__).parents[2]


def test_nothing_is_lost_refused_or_evicted_in_a_flood(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "bench", "flood", "--quick", "--only", "8000", "--kinds", "valkey"]
    done = subprocess.run([*command, "--json", str(numbers)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert numbers.exists(), done.stderr
    [report] = json.loads(numbers.read_text())
    ours, large = report["numbers"]
    assert (ours["who"], large["who"]) == ("spillgate", "large")
    assert ours["writes"] > 0
    assert (ours["refused"], ours["evicted"], ours["lost"]) == (0, 0, dict.fromkeys(ours["lost"], 0))
    # The exit code follows the goals, which include timings.
    assert done.returncode == any(not goal["reached"] for goal in report["goals"])


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
