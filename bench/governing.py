"""`spillgate`, as users run it: a process of its own that has to notice everything by itself."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import redis

from tests.servers import free_port

ROOT = Path(__file__).parent.parent
REFERENCE_POLICY = ROOT / "examples" / "ceo-platform.toml"

_START_S = 15.0
_IDLE_S = 3.0
_STOP_S = 10.0


def spillgate(*arguments: str) -> list[str]:
    """The command line of ``spillgate`` with these arguments."""
    return [sys.executable, "-m", "spillgate.cli", *arguments]


def clean_environment() -> dict[str, str]:
    """The environment without what would change a policy."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SPILLGATE_", "REDIS_URL"))}


@contextlib.contextmanager
def governed(server: redis.Redis, url: str, policy: Path = REFERENCE_POLICY) -> Generator[int]:
    """Have the server governed by ``spillgate run``; it has looked around, then been idle for 3 seconds.

    Yields its process number.

    Raises:
        RuntimeError: it did not start, ended by itself, or did not end when told to; the message has its log.
    """
    command = spillgate("run", "--config", str(policy), "--url", url, "--port", str(free_port()))
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            started = _has_looked(process, server)
            time.sleep(_IDLE_S)
            if started:
                yield process.pid
            ended_early = process.poll() is not None
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            if not started or ended_early or process.poll() is None:
                log.seek(0)
                raise RuntimeError(f"{command} did not look, ended by itself or did not end:\n{log.read()}")
        finally:
            process.kill()
            process.wait()


def _has_looked(process: subprocess.Popen[bytes], server: redis.Redis) -> bool:
    """Whether it has swept over some keys, which is the last that it does when it starts."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if "cmdstat_evalsha" in server.info("commandstats"):
            return True
        time.sleep(0.05)
    return False


def cpu_and_wait_s(pid: int) -> tuple[float, float]:
    """Seconds for which a process has run, and for which it was ready to run and had to wait for a core."""
    run = wait = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent = (task / "schedstat").read_text().split()
        run, wait = run + int(spent[0]), wait + int(spent[1])
    return run / 1e9, wait / 1e9
