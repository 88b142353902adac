"""The table of metrics in the documentation says what the metrics say. Run this file to write it anew."""

import re
from pathlib import Path

from spillgate.integrations.cache_metrics import BREAKER_HELP, COUNTERS, LEVEL_HELP

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
TABLE = re.compile(r"(?<=<!-- metrics -->\n).*(?=<!-- end of metrics -->)", re.DOTALL)


def table() -> str:
    """The metrics as Markdown."""
    lines = ["| name | what it is |", "|---|---|"]
    for counter in COUNTERS:
        reasons = (
            f" By `reason`: {', '.join(f'`{reason}`' for reason in counter.events)}." if counter.has_reasons else ""
        )
        lines.append(f"| `{counter.name}` | {counter.help}{reasons} |")
    lines += [f"| `level` | {LEVEL_HELP} |", f"| `breaker_open` | {BREAKER_HELP} |"]
    return "\n".join(lines) + "\n"


def test_every_metric_is_documented_as_the_table_has_it() -> None:
    found = TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    assert found.group() == table()


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
