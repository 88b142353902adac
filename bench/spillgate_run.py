"""`spillgate run`, as users run it: a process of its own that has to notice everything by itself."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import redis

ROOT = Path(__file__).parent.parent
REFERENCE_POLICY = ROOT / "examples" / "ceo-platform.toml"

_START_S = 15.0
_STOP_S = 10.0
_RUNNER = """
import logging, signal, sys
from pathlib import Path
from spillgate import Governor, load_policy
logging.basicConfig(level=logging.INFO)
governor = Governor(load_policy(Path(sys.argv[1]), env={}, flags={"url": sys.argv[2]}))
signal.signal(signal.SIGTERM, lambda *_: governor.stop(0))
governor.run()
"""
_CLEANER = """
import sys
from pathlib import Path
from spillgate import Governor, load_policy
from spillgate.model import Level
governor = Governor(load_policy(Path(sys.argv[1]), env={}, flags={"url": sys.argv[2]}))
governor.cleanup(Level.EMERGENCY, frozenset({sys.argv[3]}))
"""


def run_command(policy: Path, url: str) -> list[str]:
    """``spillgate run`` without its web surfaces."""
    return _command("run", "--no-web") + _on(policy, url) if _has_cli() else [sys.executable, "-c", _RUNNER, str(policy), url]


def cleanup_command(policy: Path, url: str, namespace: str) -> list[str]:
    """``spillgate cleanup`` of one namespace."""
    if _has_cli():
        return _command("cleanup", namespace, "--level", "emergency", "--yes") + _on(policy, url)
    return [sys.executable, "-c", _CLEANER, str(policy), url, namespace]


def _has_cli() -> bool:
    spec = importlib.util.find_spec("spillgate")
    return spec is not None and (Path(spec.origin).parent / "cli" / "commands.py").exists()


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "spillgate", *arguments]


def _on(policy: Path, url: str) -> list[str]:
    return ["--config", str(policy), "--url", url]


def clean_environment() -> dict[str, str]:
    """The environment without what would change a policy."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SPILLGATE_", "REDIS_URL"))}


@contextlib.contextmanager
def governed(
    server: redis.Redis, url: str, policy: Path = REFERENCE_POLICY, *, idle_s: float = 3.0
) -> Iterator[psutil.Process]:
    """Have the server governed: a governor that has looked around and then been idle for ``idle_s`` seconds.

    Raises:
        RuntimeError: it did not start, ended by itself, or did not end when told to; the message has its log.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            run_command(policy, url),
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            started = _has_looked(process, server)
            time.sleep(idle_s)
            if started:
                yield psutil.Process(process.pid)
            ended_early = process.poll() is not None
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            if not started or ended_early or process.poll() is None:
                log.seek(0)
                raise RuntimeError(f"the governor did not look, ended by itself or did not end:\n{log.read()}")
        finally:
            process.kill()
            process.wait()


def _has_looked(process: subprocess.Popen[bytes], server: redis.Redis) -> bool:
    """Whether it has swept over some keys, which it does last of all when it starts."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if "cmdstat_evalsha" in server.info("commandstats"):
            return True
        time.sleep(0.05)
    return False


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time that a process has used."""
    times = process.cpu_times()
    return times.user + times.system
