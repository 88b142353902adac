"""The policy reference says what the settings table says. Run this file to write its tables anew."""

import re
from itertools import groupby
from pathlib import Path

from spillgate.config import LISTED, SETTINGS
from spillgate.config.presets import PRESETS

PAGE = Path(__file__).parents[2] / "docs" / "policy.md"
TABLES = re.compile(r"(?<=<!-- settings -->\n).*(?=<!-- end of settings -->)", re.DOTALL)


def tables() -> str:
    """The settings as Markdown, a table for each table of the file."""
    lines: list[str] = []
    for table, settings in groupby(SETTINGS, key=lambda setting: setting.table):
        title = f"[[{table}]]" if table in LISTED else f"[{table}]"
        lines += [f"### `{title}`", "", "| key | default | what it is | environment |", "|---|---|---|---|"]
        for setting in settings:
            default = "required" if setting.required else setting.default or "none"
            names = " ".join(f"`{name}`" for name in setting.env) or "-"
            lines.append(f"| `{setting.key}` | {default} | {setting.help} | {names} |")
        lines.append("")
    return "\n".join(lines) + "\n"


def test_every_setting_is_documented_as_the_table_has_it() -> None:
    found = TABLES.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    assert found.group() == tables()


def test_every_preset_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in PRESETS if f"`{name}`" not in text] == []


if __name__ == "__main__":
    PAGE.write_text(TABLES.sub(lambda _: tables(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
