"""The tables of measures in the documentation say what the measures say. Run this file to write them anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spillgate.web.exporter_names import EXPORTER_MEASURES
from spillgate.web.measures import MEASURES

if TYPE_CHECKING:
    from spillgate.web.measuring import Measure

PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"
TABLES = {"measures": MEASURES, "exporter names": EXPORTER_MEASURES}


def place(name: str) -> re.Pattern[str]:
    """Where a table stands."""
    return re.compile(rf"(?<=<!-- {name} -->\n).*(?=<!-- end of {name} -->)", re.DOTALL)


def table(measures: tuple[Measure, ...]) -> str:
    """Measures as Markdown."""
    lines = ["| name | labels | what it is |", "|---|---|---|"]
    for measure in measures:
        labels = ", ".join(f"`{label}`" for label in measure.labels) or "-"
        lines.append(f"| `{measure.prometheus}` | {labels} | {measure.help} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", TABLES)
def test_every_measure_is_documented_as_the_table_has_it(name: str) -> None:
    found = place(name).search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    assert found.group() == table(TABLES[name])


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    for name, measures in TABLES.items():
        text = place(name).sub(lambda _, measures=measures: table(measures), text)
    PAGE.write_text(text, encoding="utf-8")
