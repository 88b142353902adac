"""What came of a run: the JSON document, and the same in words that need no knowledge of Redis."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from spillgate.demo.phases import Report
from spillgate.demo.watch import Step
from spillgate.units import format_bytes, format_duration, format_share


@dataclass(frozen=True, slots=True)
class Summary:
    """``evictions`` and ``report.lost`` are None where the server could not tell any more."""

    seconds: float
    limit_bytes: int
    peak_bytes: int
    levels_visited: tuple[str, ...]
    final_level: str
    evictions: int | None
    report: Report
    steps: tuple[Step, ...]
    deleted: Mapping[str, int]

    @property
    def kept(self) -> bool:
        """Whether nothing was lost and no write refused, and that is known."""
        return self.report.lost == 0 and self.report.refused == 0 and self.report.error is None

    def document(self) -> dict[str, object]:
        """What ``--json`` prints. Bytes are numbers; what is not known is null.

        ``levels_visited`` lists each level once, in the order of the first visit. Each of ``actions`` has ``kind``,
        ``namespace`` (null: all), ``reason``, ``deleted`` keys, ``freed_bytes`` and ``seconds``.
        """
        return {
            "limit_bytes": self.limit_bytes,
            "peak_bytes": self.peak_bytes,
            "levels_visited": list(self.levels_visited),
            "protected_lost": self.report.lost,
            "writes": self.report.writes,
            "writes_refused": self.report.refused,
            "server_evictions": self.evictions,
            "actions": [asdict(step) for step in self.steps],
            "final_level": self.final_level,
        }

    def lines(self) -> Iterator[str]:
        """The summary in words."""
        report = self.report
        peak = f"{format_bytes(self.peak_bytes)} ({format_share(self.peak_bytes / self.limit_bytes)})"
        when = f"After {format_duration(round(report.elapsed_s))}" + (
            "" if self.complete else ", stopped before the end"
        )
        yield f"{when}: {self._verdict()}"
        yield (
            f"  {report.writes:,} writes brought {format_bytes(report.written_bytes)} to a server that may use "
            f"{format_bytes(self.limit_bytes)}; it used {peak} at most."
        )
        yield f"  Protected data written: {self._protected()}."
        evictions = "unknown" if self.evictions is None else f"{self.evictions:,}"
        yield f"  Writes refused for want of memory: {report.refused:,}. Keys evicted by the server: {evictions}."
        yield f"  Levels visited: {', '.join(self.levels_visited)}. Level at the end: {self.final_level}."
        yield from self._work()
        yield (
            "  Alone, a server at its limit refuses writes, or evicts keys and sessions among them. This demo does not "
            "measure that; `make bench`, in a clone of the repository, does, under each eviction policy."
        )

    @property
    def complete(self) -> bool:
        """Whether the run went on to its end."""
        return self.report.elapsed_s >= self.seconds

    def _verdict(self) -> str:
        report = self.report
        if report.error:
            return f"FAILED, and whether anything was lost is not known: {report.error}"
        if not self.kept:
            return f"FAILED: {report.lost:,} protected keys lost, {report.refused:,} writes refused."
        return "nothing was lost, and no write was refused."

    def _protected(self) -> str:
        made = {name: count for name, count in self.report.written.items() if name in self.report.due}
        lost = "unknown" if self.report.lost is None else f"{self.report.lost:,}"
        return ", ".join(f"{count:,} {name}" for name, count in made.items()) + f". Lost: {lost}"

    def _work(self) -> Iterator[str]:
        if not self.steps:
            yield "  Spillgate had nothing to clean up."
            return
        freed = format_bytes(sum(step.freed_bytes for step in self.steps))
        keys = ", ".join(f"{count:,} {name}" for name, count in self.deleted.items())
        yield f"  Spillgate freed {freed} in {len(self.steps)} steps and deleted only what may go: {keys or 'no key'}."
