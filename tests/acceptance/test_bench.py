"""The benchmarks, run as `make bench` runs them: what may not depend on the machine holds in a short one as well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
