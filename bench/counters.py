"""The programs that tell what fills the memory of a server: Spillgate and its peers, each call one run."""

import contextlib
import json
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from bench.goals import Report
from bench.governing import ROOT, clean_environment, spillgate
from tests.servers import HOST, Server, free_port

_EXPORTER, _SIZER, _MEMKEYS = "prometheus-redis-exporter", "redis-sizer", "redis-cli"
# The other tools, and where they come from.
PEERS = {
    _EXPORTER: "the system package of this name",
    _SIZER: "the Python package of this name, which needs an environment of its own",
    _MEMKEYS: "the system package redis-tools",
}
_GROUP = r'redis_key_group_memory_usage_bytes{.*key_group="bench:(\w+)".*} (\S+)'
_START_S = 10.0
_LIMIT_S = 300.0
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Said:
    """The bytes that a namespace is said to have, and between which numbers."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Count:
    """What a run took and said.

    ``seconds`` is the time at work, over at ``ended_s`` (monotonic); ``wall_s`` has the process's start and end too.
    ``peak_bytes`` is the most memory that was resident. What a program says in another form is not read.
    """

    seconds: float
    wall_s: float
    ended_s: float
    peak_bytes: int
    namespaces: dict[str, Said] = field(default_factory=dict[str, Said])
    sampled_keys: int = 0


def installed_peers(report: Report) -> Iterator[str]:
    """The peers that are on this machine; one that is not is a goal not reached."""
    for program, origin in PEERS.items():
        if shutil.which(program):
            yield program
        else:
            report.judge(f"{program} is not installed: it is {origin}", (), 0)


def count_with_peer(program: str, server: Server) -> Count:
    """A full pass of this peer.

    Raises:
        RuntimeError: it failed; the message tells what it said.
    """
    if program == _EXPORTER:
        return _scraped(server.port)
    port = str(server.port)
    options = {_SIZER: [HOST, "--port", port, "--max-depth", "2"], _MEMKEYS: ["-p", port, "--memkeys"]}
    ran = _run([program, *options[program]])
    return Count(ran.wall_s, ran.wall_s, ran.ended_s, ran.peak_bytes)


def count_with_spillgate(server: Server, *options: str) -> Count:
    """A census.

    Raises:
        RuntimeError: it failed; the message tells what it said.
    """
    ran = _run(spillgate("census", "--json", "--url", server.url, *options))
    document = json.loads(ran.output)
    said = {row["name"]: Said(**row["bytes"]) for row in document["namespaces"]}
    return Count(document["seconds"], ran.wall_s, ran.spoke_s, ran.peak_bytes, said, document["sampled_keys"])


def _scraped(port: int) -> Count:
    """One scrape of the exporter, which tells the bytes of all keys by what they begin with."""
    web = f"{HOST}:{free_port()}"
    command = [_EXPORTER, "-redis.addr", f"redis://{HOST}:{port}", "-web.listen-address", web]
    command += ["-check-key-groups", "^(bench:[^:]+):", "-connection-timeout", f"{_LIMIT_S:.0f}s"]
    began_s = time.monotonic()
    with tempfile.TemporaryFile("w+") as log, _started(command, log, log) as process:
        _get(f"http://{web}/", _START_S)
        started_s = time.monotonic()
        page = _get(f"http://{web}/metrics", _LIMIT_S)
        ended_s = time.monotonic()
        peak_bytes = _peak_bytes(process.pid)
        if not (groups := re.findall(_GROUP, page)):
            log.seek(0)
            raise RuntimeError(f"{_EXPORTER} has found no groups of keys:\n{log.read()}")
    said = {name: Said(*[float(size)] * 3) for name, size in groups}
    return Count(ended_s - started_s, ended_s - began_s, ended_s, peak_bytes, said)


def _get(url: str, within_s: float) -> str:
    """The page, as soon as somebody listens there."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return httpx.get(url, timeout=within_s).raise_for_status().text
        except httpx.HTTPError as error:
            if time.monotonic() > deadline or not isinstance(error, httpx.ConnectError):
                raise RuntimeError(f"{url} did not answer as it should within {within_s:.0f} s: {error}") from error
            time.sleep(_POLL_S)


@dataclass(frozen=True, slots=True)
class _Ran:
    """``spoke_s`` is when the first of the output came."""

    output: bytes
    started_s: float
    spoke_s: float
    ended_s: float
    peak_bytes: int

    @property
    def wall_s(self) -> float:
        return self.ended_s - self.started_s


def _run(command: Sequence[str]) -> _Ran:
    started_s = time.monotonic()
    output, spoke_s, peak_bytes = b"", started_s, 0
    with tempfile.TemporaryFile("w+") as errors, _started(command, subprocess.PIPE, errors) as process:
        assert process.stdout
        while True:
            peak_bytes = _peak_bytes(process.pid) or peak_bytes
            if time.monotonic() > started_s + _LIMIT_S:
                raise RuntimeError(f"{command} did not end within {_LIMIT_S:.0f} s")
            if not select.select([process.stdout], [], [], _POLL_S)[0]:
                continue
            if not (part := process.stdout.read(1 << 16)):
                break
            spoke_s = spoke_s if output else time.monotonic()
            output += part
        status = process.wait(_LIMIT_S)
        ended_s = time.monotonic()
        if status:
            errors.seek(0)
            raise RuntimeError(f"{command} ended with status {status}:\n{output.decode()}{errors.read()}")
    return _Ran(output, started_s, spoke_s, ended_s, peak_bytes)


@contextlib.contextmanager
def _started(command: Sequence[str], output: IO[str] | int, errors: IO[str]) -> Generator[subprocess.Popen[bytes]]:
    """A program that ends with the block at the latest."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        bufsize=0,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _peak_bytes(pid: int) -> int:
    """The most memory it has had resident so far; 0 if it has ended."""
    # Not the rusage of a process that has ended: that begins with what its parent had before the exec.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(peak[1]) * 1024 if peak else 0
