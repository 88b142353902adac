"""The workload's process, as the demo sees it."""

import subprocess
import sys
import threading
from dataclasses import replace
from typing import Self

import msgspec

from spillgate.demo.phases import PHASES, Report

_END_S = 10.0


class WorkloadProcess:
    """Runs the workload in a process of its own, so that it does not take the governor's time, while in its context.

    ``report`` is the latest; the last one has ``last`` set. The process is in a session of its own: Ctrl-C is for the
    demo, which then asks it to finish.
    """

    def __init__(self, url: str, seconds: float) -> None:
        """Prepare a run of ``seconds`` on the server at ``url``."""
        self.report = Report(0.0, PHASES[0].name)
        self._command = [sys.executable, "-P", "-m", "spillgate.demo.workload", url, str(seconds)]
        self._begun = threading.Event()

    def __enter__(self) -> Self:
        """Start it and wait for its first report, from which on it writes."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read, name="spillgate-demo-reports", daemon=True)
        self._reader.start()
        self._begun.wait(_END_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        with self._process:  # closes what is left of the pipes
            self._process.kill()
            self._reader.join()

    @property
    def running(self) -> bool:
        """Whether reports are still to come."""
        return self._reader.is_alive()

    def finish(self) -> Report:
        """Ask it to check and to end; its last report. One that ends without it has failed."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.close()
        self._reader.join(_END_S)
        if not self.report.last:
            self.report = replace(self.report, lost=None, last=True, error="the workload ended before its time")
        return self.report

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in self._process.stdout:
            self.report = msgspec.json.decode(line, type=Report)
            self._begun.set()
        self._begun.set()
