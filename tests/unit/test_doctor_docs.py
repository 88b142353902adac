"""The table of checks in the documentation says what the checks say. Run this file to write it anew."""

import re
from pathlib import Path

from spillgate.policy.findings import CHECKS, Severity

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
TABLE = re.compile(r"(?<=<!-- checks -->\n).*(?=<!-- end of checks -->)", re.DOTALL)


def table() -> str:
    """The checks as Markdown."""
    lines = ["| id | what it is, and when | severity | fix |", "|---|---|---|---|"]
    lines += [
        f"| `{check.id}` | **{check.title}**: {check.when} | {check.severity} | {check.fix} |" for check in CHECKS
    ]
    return "\n".join(lines) + "\n"


def test_every_check_is_documented_as_the_table_has_it() -> None:
    found = TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    assert found.group() == table()


def test_every_severity_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [severity.label for severity in Severity if f"`{severity.label}`" not in text] == []


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
