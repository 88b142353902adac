"""A census of every database of a server, and what else its memory holds."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from spillgate.census.checkpoint import Checkpoint, Subject
from spillgate.census.collect import Collector, CollectorState, Progress
from spillgate.census.overhead import databases, explain
from spillgate.errors import BudgetExhausted, CommandUnavailable, ServerError, ServerUnreachable, SpillgateError
from spillgate.model import Census, Estimate, Survey
from spillgate.server.capabilities import Capabilities
from spillgate.server.gateway import Gateway
from spillgate.server.scanning import ScanTable

_SPENT = "the commands allowed for today are spent: what they told is shown"


def take_survey(
    gateway: Gateway,
    *,
    error: float,
    separator: bytes | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    checkpoint: Checkpoint | None = None,
) -> Survey:
    """Look at the keys of a probed ``gateway``'s database, and at all others of its server; nothing is changed.

    ``error`` is the largest wanted for any namespace or prefix, as a share of the bytes of its database; 0 visits every
    key. Keys of other databases belong to no namespace. ``on_progress`` is called after each command, ``asked_to_stop``
    as well: then the survey is drawn from what was seen so far, as it is when the day's commands are spent. With a
    ``checkpoint`` a full pass that is not complete is kept there, and goes on from there.

    Raises:
        ServerError: the server failed, or does not let keys be visited.
        BudgetExhausted: the day's commands were spent before a single key was looked at.
        ConfigError: the checkpoint cannot be used.
    """
    return _Survey(gateway, error, separator, on_progress, asked_to_stop, checkpoint).take()


@dataclass(slots=True)
class _Survey:
    """One survey under way."""

    gateway: Gateway
    error: float
    separator: bytes | None
    on_progress: Callable[[Progress], None]
    asked_to_stop: Callable[[], bool]
    checkpoint: Checkpoint | None
    notes: list[str] = field(default_factory=list[str])
    passes: dict[int, CollectorState] = field(default_factory=dict[int, CollectorState])
    found: list[tuple[int, Census]] = field(default_factory=list[tuple[int, Census]])
    seen: int = 0
    stopped: bool = False
    partial: bool = False

    def take(self) -> Survey:
        began_s = self.gateway.now()
        if not self.gateway.capabilities.scan:
            raise CommandUnavailable("SCAN is forbidden to this user or plan: without it no key can be looked at")
        if not self.gateway.capabilities.count:
            raise CommandUnavailable("DBSIZE is forbidden to this user or plan: without it nothing tells how many keys")
        info = self.gateway.info()
        if "used_memory" not in info:
            raise ServerError("INFO does not tell used_memory: nothing can be said about this server's memory")
        self._heed_role(info)
        with self._kept(info.get("run_id")):
            self._visit_all([number for number in databases(info) if number != self.gateway.database])
            info, overhead = self._explained(info)
        self.notes += _unknown(self.gateway.capabilities, info, [census for _, census in self.found])
        used, seconds = int(info["used_memory"]), self.gateway.now() - began_s
        return Survey(used, tuple(self.found), overhead, info, seconds, self.partial, tuple(self.notes))

    def _heed_role(self, info: Mapping[str, str]) -> None:
        """A replica's idle times are of its own readers, who may be none."""
        if info.get("role") != "slave":
            return
        self.gateway.capabilities = replace(self.gateway.capabilities, idle=False)
        self.notes.append("keys were read from a replica: its memory is shown, and idle times are unknown there")
        if info.get("master_link_status") == "down":
            self.notes.append("the replica has lost its primary: its keys may be old")

    @contextmanager
    def _kept(self, run_id: str | None) -> Generator[None]:
        """Go on from the checkpoint, and leave one behind where the pass does not come to its end."""
        if self.checkpoint is None:
            yield
            return
        subject = Subject.of(self.gateway, run_id, self.separator)
        self.passes = self.checkpoint.load(subject)
        try:
            yield
        except SpillgateError:
            self.checkpoint.save(subject, self.passes)
            raise
        if self.partial:
            self.checkpoint.save(subject, self.passes)
        else:
            self.checkpoint.delete()

    def _visit_all(self, others: list[int]) -> None:
        self._visit(self.gateway)
        for number in others:
            if self.stopped or self.asked_to_stop():
                self.stopped = True
                self._lacks(f"database {number} was not looked at")
                continue
            with closing(self.gateway.other(number)) as other:
                other.table = ScanTable(())
                try:
                    self._visit(other)
                except ServerUnreachable:
                    raise
                except ServerError as error:
                    self._lacks(f"database {number} could not be read: {error}")

    def _lacks(self, note: str) -> None:
        self.partial = True
        self.notes.append(note)

    def _visit(self, gateway: Gateway) -> None:
        """The census of one database."""
        number = gateway.database
        collector = Collector(gateway, error=self.error, separator=self.separator)
        if number in self.passes:
            collector.restore(self.passes[number])
        try:
            self._walk(collector)
        except BudgetExhausted:
            self.stopped = True
            if not collector.sample.seen and not self.found:
                raise
            self._lacks(_SPENT)
        finally:
            if self.checkpoint is not None:
                self.passes[number] = collector.state()
        if collector.exact or collector.sample.seen:
            self.found.append((number, collector.census()))
            self.seen += collector.sample.seen
        else:
            self._lacks(f"database {number} was not looked at")

    def _walk(self, collector: Collector) -> None:
        for progress in collector.steps():
            self.on_progress(replace(progress, seen=self.seen + progress.seen, wanted=self.seen + progress.wanted))
            if self.asked_to_stop() and not collector.exact:
                self.stopped = True
                self._lacks("interrupted: the numbers are drawn from what was seen until then")
                return

    def _explained(self, info: Mapping[str, str]) -> tuple[Mapping[str, str], Mapping[str, Estimate]]:
        """INFO and what it explains: of right now, for the data is what it is now, if another command is allowed."""
        facts: list[Any] = []
        try:
            info = self.gateway.info()
            facts += [self.gateway.facts.memory_stats(), self.gateway.facts.timed_commands()]
        except BudgetExhausted:
            pass
        return info, explain(int(info["used_memory"]), data_of(self.found), info, *facts)


def _unknown(can: Capabilities, info: Mapping[str, str], found: Sequence[Census]) -> Iterator[str]:
    """What is told of no key, or not of each, and why."""
    usages = [usage for census in found for usage in census.namespaces + census.prefixes]
    if not can.memory_usage:
        yield "MEMORY USAGE is forbidden: sizes are unknown, what is unexplained holds the data"
    elif any(usage.bytes is None for usage in usages):
        yield "MEMORY USAGE is forbidden for some keys: their sizes are unknown, what is unexplained holds them"
    if any(usage.no_ttl is None for usage in usages):
        yield "PTTL is forbidden, for some keys at least: how long they live is unknown"
    # Neither is tried beforehand: on servers with latency histograms every command ever given costs 24 KB for good.
    sample = [key for usage in usages for key in usage.sample]
    no_encodings = bool(sample) and all(key.encoding is None for key in sample)
    no_types = bool(sample) and all(key.type is None for key in sample)
    if no_encodings:
        yield "OBJECT is forbidden: idle times and encodings are unknown"
    elif "lfu" in info.get("maxmemory_policy", ""):
        yield f"idle times are unknown: under {info['maxmemory_policy']} the server keeps none"
    elif not can.idle and info.get("role") != "slave":
        yield "OBJECT IDLETIME is forbidden: idle times are unknown"
    if no_types or any(key.encoding and not key.type for key in sample):
        yield f"TYPE is forbidden: types are unknown{'' if no_encodings else ', but for strings'}"


def data_of(found: Iterable[tuple[int, Census]]) -> Estimate:
    """The data as far as its size is known: what the rows add up to, in whole bytes, with the error of the total."""
    return Estimate.total(_data(census) for _, census in found)


def _data(census: Census) -> Estimate:
    value = sum(round(row.bytes.value) for row in (census.namespaces + census.prefixes) if row.bytes is not None)
    total = census.total_bytes or Estimate.exact(value)
    return Estimate(value, min(value, total.low), max(value, total.high))
