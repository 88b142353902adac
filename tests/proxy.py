"""What stands between a client and its server in tests."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from tests.servers import HOST


class Proxy:
    """Stands between a cache and its server, and delays or trickles what the server answers."""

    def __init__(self, port: int, *, delay_s: float = 0.0, piece: int = 65_536, pause_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.cut_after: int | None = None
        self._piece, self._pause_s = piece, pause_s
        self._port = port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End all connections."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((HOST, self._port))
                self._sockets += [near, far]
                threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:  # noqa: FBT001 (a thread's)
        with contextlib.suppress(OSError):
            while chunk := source.recv(65_536):
                if not answers:
                    target.sendall(chunk)
                    continue
                time.sleep(self.delay_s)
                if self.cut_after is not None:
                    target.sendall(chunk[: self.cut_after])
                    break
                for at in range(0, len(chunk), self._piece):
                    target.sendall(chunk[at : at + self._piece])
                    time.sleep(self._pause_s)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
