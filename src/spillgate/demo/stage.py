"""Everything that plays a part in a run, brought up and taken down together."""

import contextlib
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

from spillgate.config import NamespacePolicy
from spillgate.demo.pace import demo_policy, must_live
from spillgate.demo.process import WorkloadProcess
from spillgate.demo.screen import NamespaceRow, View
from spillgate.demo.serving import endpoint
from spillgate.demo.summary import Summary
from spillgate.demo.watch import MemoryWatch, Story
from spillgate.governor.history import History
from spillgate.governor.loop import Governor
from spillgate.governor.state import State
from spillgate.model import Estimate
from spillgate.server.embedded import embedded_valkey
from spillgate.units import format_bytes

_EVICTION_POLICY = "noeviction"


@dataclass(frozen=True, slots=True)
class Stage:
    """A run that goes on: ``limit_bytes`` is the server's memory, ``endpoint`` tells where its health can be asked."""

    seconds: float
    limit_bytes: int
    governor: Governor
    workload: WorkloadProcess
    memory: MemoryWatch
    story: Story
    endpoint: str
    began_unix_s: float

    @property
    def server(self) -> str:
        """What it runs on."""
        can = self.governor.state.capabilities
        version = f"{can.product.capitalize()} {can.version}" if can else "Valkey"
        return f"{version}, {format_bytes(self.limit_bytes)}, {_EVICTION_POLICY}"

    def view(self) -> View:
        """What can be shown now."""
        state = self.governor.state
        known = _keys_by_namespace(state)
        return View(
            seconds=self.seconds,
            elapsed_s=min(self.seconds, time.time() - self.began_unix_s),
            server=self.server,
            endpoint=self.endpoint,
            report=self.workload.report,
            used_bytes=self.memory.used_bytes,
            peak_bytes=self.memory.peak_bytes,
            limit_bytes=self.limit_bytes,
            level=state.assessment.level if state.assessment else None,
            settings=state.policy.levels,
            columns=self.memory.columns,
            rows=[self._row(ns, known) for ns in state.policy.namespaces],
            evicted=self.memory.evicted,
            lines=self.story.lines,
        )

    def _row(self, ns: NamespacePolicy, known: Mapping[str, Estimate]) -> NamespaceRow:
        """What must live the workload counts key by key; of the rest the governor knows."""
        cleanup = ns.cleanup.value if ns.protected else f"{ns.priority} {ns.cleanup.value}"
        deleted = self.story.deleted[ns.name]
        if must_live(ns):
            alive = self.workload.report.alive.get(ns.name, 0)
            return NamespaceRow(ns.name, cleanup, alive, exact=True, deleted=deleted)
        keys = known.get(ns.name)
        exact = keys is not None and keys.is_exact
        return NamespaceRow(ns.name, cleanup, keys.value if keys else None, exact=exact, deleted=deleted)

    def finish(self) -> Summary:
        """Let the workload check and end, and sum up."""
        report = self.workload.finish()
        self.memory.stop()
        self.story.read_on()
        return Summary(
            seconds=self.seconds,
            limit_bytes=self.limit_bytes,
            peak_bytes=self.memory.peak_bytes,
            levels_visited=tuple(level.label for level in self.story.levels),
            final_level=self.governor.state.level_label,
            evictions=self.memory.evicted,
            report=report,
            steps=tuple(self.story.steps),
            deleted=self.story.deleted,
        )


@contextlib.contextmanager
def staged(seconds: float, host: str, port: int) -> Generator[Stage]:
    """Bring up the server, the governor with its endpoint, and the workload; take all of it down in the end.

    Raises:
        ConfigError: ``host`` cannot be used.
        MissingExtra: ``spillgate[embedded]`` is not installed.
        ServerUnreachable: the server does not start.
    """
    policy = demo_policy(seconds)
    limit_bytes = policy.server.limit_bytes
    assert limit_bytes is not None  # noqa: S101 - the reference policy declares one
    with embedded_valkey(limit_bytes, _EVICTION_POLICY) as url:
        policy = replace(policy, server=replace(policy.server, url=url))
        with (
            History() as history,
            Governor(policy, history=history) as governor,
            endpoint(governor, history, host, port) as address,
            WorkloadProcess(url, seconds) as workload,
            MemoryWatch(policy, seconds, lambda: governor.state.reading) as memory,
        ):
            began_unix_s = time.time()
            story = Story(governor.journal, began_unix_s)
            yield Stage(seconds, limit_bytes, governor, workload, memory, story, address, began_unix_s)


def _keys_by_namespace(state: State) -> Mapping[str, Estimate]:
    """The latest the governor knows."""
    return {row.name: row.keys for row in state.census.namespaces} if state.census else {}
