"""The cache for threads is made from the cache for asyncio, and nothing of that is left in it."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
CACHE = Path("src/spillgate/cache")
SCRIPT = Path("scripts/unasync.py")


def script() -> ModuleType:
    """The script as a module."""
    spec = spec_from_file_location("unasync", ROOT / SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script of the project at ``root``."""
    return subprocess.run(
        [sys.executable, root / SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the script reads and writes, and of what tells ruff which imports are the project's own."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / SCRIPT, tmp_path / SCRIPT)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def generated(root: Path) -> dict[str, str]:
    """The files that the script writes."""
    return {path.name: path.read_text() for path in (root / CACHE / "_sync").glob("*.py")}


def test_what_is_generated_is_up_to_date() -> None:
    done = run(ROOT, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_difference_is_told_by_its_file_and_changed_by_nobody_but_who_is_asked_to(copy: Path) -> None:
    before = generated(copy)
    source, edited, gone = (copy / CACHE / name for name in ("_async/store.py", "_sync/client.py", "_sync/space.py"))
    source.write_text(source.read_text() + "\n\nasync def more() -> None:\n    await more()\n")
    edited.write_text(edited.read_text() + "# by hand\n")
    gone.unlink()
    (copy / CACHE / "_sync" / "left_over.py").write_text("")

    differing = generated(copy)
    done = run(copy, "--check")
    assert done.returncode == 1
    told = [Path(line.partition(" is not what _async makes it")[0]).name for line in done.stderr.splitlines()]
    assert told == ["client.py", "left_over.py", "space.py", "store.py"]
    assert generated(copy) == differing

    assert run(copy).returncode == 0
    after = generated(copy)
    assert after.keys() == before.keys()
    assert after["store.py"] == before["store.py"] + "\n\ndef more() -> None:\n    more()\n"
    assert {name for name in after if after[name] != before[name]} == {"store.py"}


@pytest.mark.parametrize("path", sorted((ROOT / CACHE / "_sync").glob("*.py")), ids=lambda path: path.name)
def test_nothing_of_asyncio_is_left(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# Generated from ../_async by scripts/unasync.py: change that")
    nodes = list(ast.walk(ast.parse(text)))
    assert not [
        node for node in nodes if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await)
    ]
    names = {
        str(getattr(node, field)) for node in nodes for field in ("id", "attr", "name", "arg") if hasattr(node, field)
    }
    assert not [
        name for name in names if name.startswith(("Async", "async", "aclose", "asleep", "__aenter", "__aexit"))
    ]
    words = {word.strip("\"'`.,:;()[]{}") for word in text.replace("../_async", "").split()}
    assert not words & {"async", "await", "asyncio", "awaitable", "coroutine", "Awaitable", "Coroutine"}


def test_sync_and_async_have_the_same_public_names() -> None:
    for path in (ROOT / CACHE / "_async").glob("*.py"):
        names: list[list[str]] = []
        for source in (path, ROOT / CACHE / "_sync" / path.name):
            tree = ast.parse(source.read_text())
            names.append(
                [
                    node.name
                    for node in ast.walk(tree)
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                ]
            )
        plain: dict[str, Any] = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}
        assert [plain.get(name, name.removeprefix("Async")) for name in names[0]] == names[1]


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("async def get(self) -> int:", "def get(self) -> int:"),
        ("    return await self._space.read(key)", "    return self._space.read(key)"),
        ("async with self.lock, other:", "with self.lock, other:"),
        ("async for one in many:", "for one in many:"),
        ("value = await flight.result(s)", "value = flight.result(s)"),
        ("compute: Callable[[], Awaitable[T]]", "compute: Callable[[], T]"),
        ("Callable[[Callable[P, Awaitable[T]]], AsyncCached[P, T]]", "Callable[[Callable[P, T]], Cached[P, T]]"),
        ("work: Callable[[], Awaitable[dict[str, T]]]", "work: Callable[[], dict[str, T]]"),
        ("from collections.abc import Awaitable, Callable", "from collections.abc import Callable"),
        ("from spillgate.cache._async.space import AsyncSpace", "from spillgate.cache._sync.space import Space"),
        ("await asleep(pause_s)", "sleep(pause_s)"),
        ("await self._hands.aclose()", "self._hands.close()"),
        ("async def __aenter__(self) -> Self:", "def __enter__(self) -> Self:"),
        ("words about asynchronous things await nobody", "words about asynchronous things nobody"),
        ("AsynchronousName = _async_name", "AsynchronousName = _async_name"),
    ],
)
def test_the_rules(source: str, made: str) -> None:
    unasync = script()
    assert unasync.synchronous(source) == unasync.HEADER + made
