"""What a benchmark reports: tables to read, and goals with their measured values."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of what must be reached.

    ``values`` has one measurement for each repetition; ``measured``, drawn from them, is held against ``bound``. A goal
    without values, for lack of a program or server, is not reached.
    """

    name: str
    values: tuple[float, ...]
    bound: float
    unit: str = ""
    at_least: bool = False
    typical: bool = False

    @property
    def measured(self) -> float:
        """The median where that was asked for (timings, on a machine that others use too), else the worst."""
        if self.typical:
            return statistics.median(self.values)
        return min(self.values) if self.at_least else max(self.values)

    @property
    def reached(self) -> bool:
        """Whether the measurement is on the right side of the bound, the bound itself included."""
        if not self.values:
            return False
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def row(self) -> tuple[str, str, str, str, str]:
        """Verdict, name, measurement, bound and spread, as they are printed."""
        bound = f"{'>=' if self.at_least else '<='} {number(self.bound)}{self.unit}"
        if not self.values:
            return "MISSING", self.name, "not measured", bound, ""
        spread = f"{number(min(self.values))} .. {number(max(self.values))}" if len(self.values) > 1 else ""
        verdict = "reached" if self.reached else "MISSED"
        return verdict, self.name, f"{number(self.measured)}{self.unit}", bound, spread


@dataclass(slots=True)
class Report:
    """What one benchmark found: prose and tables as text, goals, and the raw numbers for ``--json``."""

    name: str
    goals: list[Goal] = field(default_factory=list[Goal])
    numbers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def judge(self, name: str, values: Sequence[float], bound: float, unit: str = "", **how: bool) -> None:
        """Add a goal."""
        self.goals.append(Goal(name, tuple(values), bound, unit, **how))

    def document(self) -> dict[str, Any]:
        """Everything, for JSON."""
        goals = [asdict(goal) | {"reached": goal.reached} for goal in self.goals]
        return {"name": self.name, "goals": goals, "numbers": self.numbers}


def number(value: float) -> str:
    """A number as people read it: whole ones with separators, others with as many digits as they deserve."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.1f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """The rows in aligned columns; the first ``left`` ones stand left, numbers right."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    place: list[Callable[[str, int], str]] = [str.ljust if i < left else str.rjust for i in range(len(heads))]
    rule = ["-" * width for width in widths]
    lines = [zip(place, row, widths, strict=True) for row in (heads, rule, *rows)]
    return "\n".join("  ".join(put(cell, width) for put, cell, width in line).rstrip() for line in lines)


def verdicts(goals: Sequence[Goal]) -> str:
    """All goals as a table."""
    return table(("", "goal", "measured", "wanted", "repetitions"), [goal.row() for goal in goals], left=2)
