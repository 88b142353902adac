"""What type checkers make of the cache library: pyright proves it on tests/typing, where wrong uses must be errors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROOFS = ROOT / "tests" / "typing"


def check(work: Path) -> dict[str, Any]:
    """What pyright, strict and with the library as users have it, says about the programs in a folder."""
    settings: dict[str, Any] = {
        "extraPaths": [str(ROOT), str(ROOT / "src")],
        "pythonVersion": "3.11",
        "typeCheckingMode": "strict",
        "reportUnnecessaryTypeIgnoreComment": True,
    }
    (work / "pyrightconfig.json").write_text(json.dumps(settings))
    pyright = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(work)]
    done = subprocess.run(pyright, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return json.loads(done.stdout)


def errors(report: dict[str, Any]) -> list[str]:
    """Rules and places of what is wrong."""
    return [
        f"{Path(one['file']).name}:{one['range']['start']['line'] + 1}: {one.get('rule')}: {one['message']}"
        for one in report["generalDiagnostics"]
    ]


def test_types_go_in_and_come_out_and_wrong_uses_are_errors(tmp_path: Path) -> None:
    programs = [shutil.copy(path, tmp_path) for path in PROOFS.glob("*.py")]
    report = check(tmp_path)
    assert errors(report) == []
    assert report["summary"]["filesAnalyzed"] == len(programs) >= 5


def test_the_proofs_are_of_wrong_uses_too() -> None:
    """Each file says of many lines that they must be errors; an ignored line without an error is one itself."""
    for name in ("sync_values", "async_values", "sync_cached", "async_cached"):
        text = (PROOFS / f"{name}.py").read_text()
        assert text.startswith("# pyright: strict, reportUnnecessaryTypeIgnoreComment=true\n")
        assert text.count("  # pyright: ignore[") >= 10
        assert text.count("assert_type(") >= 10
        assert "type: ignore" not in text


WRONG = """
from typing import assert_type
from spillgate import Cache
from tests.typing.shapes import Message

messages = Cache.from_url().namespace("messages", Message)
assert_type(messages.get("1"), Message)
messages.set("1", "text")
messages.set("1", Message(1, "a"))  # pyright: ignore[reportArgumentType]

@messages.cached("{number}")
def load(number: int) -> Message:
    return Message(number, "")

load("1")
load(2)
"""


def test_a_wrong_use_is_found(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    found = [error.split(": ")[:2] for error in errors(check(tmp_path))]
    assert found == [
        ["wrong.py:7", "reportAssertTypeFailure"],
        ["wrong.py:8", "reportArgumentType"],
        ["wrong.py:9", "reportUnnecessaryTypeIgnoreComment"],
        ["wrong.py:15", "reportArgumentType"],
    ]


@pytest.mark.parametrize("path", sorted(PROOFS.glob("*_*.py")), ids=lambda path: path.stem)
def test_the_proofs_are_programs(path: Path) -> None:
    """They are only checked, never run; but what does not compile proves nothing."""
    compile(path.read_text(), path, "exec")
