"""The report: what it says of a server, to the letter, and that whatever is in it stays text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from spillgate.census.rows import shown
from spillgate.config import Policy, parse_policy
from spillgate.model import Estimate
from spillgate.report import markdown, wording
from spillgate.report.gathering import Missing
from spillgate.report.model import (
    Bar,
    Card,
    Cards,
    Cell,
    Column,
    Commands,
    Fact,
    Facts,
    Format,
    Mark,
    Paragraph,
    Part,
    Points,
    Report,
    Sample,
    Section,
    Table,
    Tank,
    Timeline,
    Tone,
    code,
    say,
    strong,
    text_of,
)
from spillgate.report.rendering import document, render
from tests.goldens import assert_golden, orphans
from tests.reporting import MB, NOW_S, SECRET, report

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = (
    "<script>alert(1)</script>",
    "a|b\\|c `tick` ``two`` |",
    "line\nbreak\r\n| x | y |\n\n# heading",
    "```\nfence\n```",
    "![image](http://evil.example/x.png) [link](javascript:alert(1)) <http://evil.example>",
    "*bold* _em_ ~~gone~~ $x$ :memo: @somebody &lt;b&gt; &amp;",
    '" onmouseover="alert(1)',
    "</style></title></code></pre><img src=x onerror=alert(1)>",
    "\x1b[31mred\x07\u202e\ud800 \x00",
    "]]> --> <!-- -- >",
    "1. one",
    "- minus",
    "    four",
)


def rendered(of: Report) -> dict[Format, str]:
    return {form: render(of, form) for form in Format}


def test_it_says_all_of_this() -> None:
    texts = rendered(report())
    assert_golden("report/markdown", texts[Format.MD])
    assert_golden("report/page", re.sub(r"<style>.*</style>", "<style>…</style>", texts[Format.HTML], flags=re.DOTALL))
    assert orphans("report", ["markdown", "page"]) == set()


def test_every_section_is_there_for_programs_too() -> None:
    told = document(report())
    assert json.loads(json.dumps(told)) == told
    sections: Any = told["sections"]
    assert list(sections) == [
        "summary",
        "setup",
        "protection",
        "cleanup",
        "ttls",
        "memory",
        "projections",
        "thresholds",
        "findings",
        "practices",
        "happened",
        "emergency",
        "assumptions",
    ]
    assert (told["generated_at"], told["level"], told["risk"]) == ("2027-01-15T08:00:00Z", "warning", "medium")
    assert sections["memory"]["features"][0]["bytes"] == {"value": 3_600_000, "low": 3_600_000, "high": 3_600_000}
    assert sum(_value(row["bytes"]) for row in sections["memory"]["sum"][:-1]) == sections["memory"]["sum"][-1]["bytes"]
    assert sections["projections"]["growth"]["time_to_critical_s"] == {
        "value": None,
        "note": "beyond ten times the history",
    }
    assert sections["ttls"]["namespaces"][0]["ttl_s"]["value"] == 1620


def _value(number: Any) -> Any:
    return number["value"] if isinstance(number, dict) else number  # pyright: ignore[reportUnknownVariableType] - JSON


def test_no_password_is_in_it() -> None:
    made = report()
    for text in (*rendered(made).values(), json.dumps(document(made))):
        assert SECRET not in text
        assert "REDISCLI_AUTH" in text


def test_no_key_is_named() -> None:
    made = report()
    for text in (*rendered(made).values(), json.dumps(document(made))):
        assert "loose" not in text
        assert "messages:1" not in text
        assert "legacy:*" in text.replace("\\*", "*")


NOTHING = Missing("the server cannot be reached")
BARE = parse_policy('[server]\nurl = "redis://127.0.0.1:6379/0"', "test")
ALL_KEPT = parse_policy('[[namespace]]\nname = "users"\nkeys = "ceo-platform:users:*"', "test")


@pytest.mark.parametrize(
    "changes",
    [
        {"examination": NOTHING, "plan": NOTHING, "capacity": NOTHING, "scenarios": NOTHING, "past": NOTHING},
        {"recording": NOTHING, "past": NOTHING},
        {"assessment": None},
        {"assessment": None, "examination": NOTHING, "plan": NOTHING, "capacity": NOTHING, "scenarios": NOTHING},
        {"policy": BARE},
        {"policy": ALL_KEPT},
    ],
    ids=["lost", "no history", "no limit", "nothing", "no policy", "all protected"],
)
def test_what_is_missing_is_unknown(changes: dict[str, Any]) -> None:
    made = report(**changes)
    assert len(made.sections) == 13
    for text in rendered(made).values():
        assert "None" not in text.replace("NoneType", "")
        if "policy" not in changes:
            assert "unknown" in text.lower()
    assert made.unreachable == isinstance(changes.get("examination"), Missing)


def test_without_a_limit_nothing_is_said_of_levels() -> None:
    told: Any = document(report(assessment=None))["sections"]
    assert [row["bytes"] for row in told["protection"]["levels"]] == [None] * 5
    assert told["summary"]["status"]["level"]["value"] is None
    assert "no limit is known" in told["thresholds"]["text"][0]


def test_without_a_policy_nothing_goes() -> None:
    policy: Policy = BARE
    text = render(report(policy=policy), Format.MD)
    assert "every key is protected" in text
    assert "UNLINK" not in text


# Whatever is in it stays text


class Tags(HTMLParser):
    """What a page has: its elements, their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in {"href", "src"}}

    def handle_data(self, data: str) -> None:
        self.text += data


def everything(text: str) -> Report:
    """A report that has this text wherever a text can be."""
    cell = Cell(say(text, code(text), strong(text)), text, Tone.WATCH, text, assumed=True)
    fact = Fact("fact", text, cell)
    columns = (Column("a", text), Column("b", ""), Column("c", text, numeric=True))
    bar = Cell((), bar=Bar(1, 0.5, 2, 4, (("limit", 3.0),)))
    marks = (Mark(text, 5.0, "warning"), Mark("limit", 9.0, "limit"))
    blocks = (
        Paragraph(say(text, code(text), strong(text)), title=text),
        Facts("facts", (fact, fact), text),
        Table("table", columns, ((cell, bar, cell), (cell, bar, cell)), text, say(text)),
        Points("points", (say(text), say(code(text))), text),
        Points("steps", (say(text), say(strong(text))), text, ordered=True),
        Commands("commands", text, text),
        Cards("cards", (Card(text, text, Tone.BAD, (fact,), text, text, {"text": text}),), text),
        Tank("tank", (Part(text, 1, True, "1B"), Part(text, 2, False, text)), marks, 10, text, text),  # noqa: FBT003 - stays
        Timeline(
            "timeline",
            (Sample(NOW_S, 1, 2), Sample(NOW_S + 60, None, None), Sample(NOW_S + 90, 3, 4), Sample(NOW_S + 99, 3, 4)),
            NOW_S,
            NOW_S + 100,
            1,
            marks,
            10,
            text,
            text,
        ),
    )
    return Report(text, NOW_S, text, text, Tone.GOOD, (fact,), (Section("summary", "Summary", blocks),))


PLAIN = everything("plain")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_page_takes_any_text(text: str) -> None:
    page, plain = Tags(), Tags()
    page.feed(render(everything(text), Format.HTML))
    plain.feed(render(PLAIN, Format.HTML))
    assert page.names <= plain.names | {"code"}
    assert "script" not in page.names
    assert page.attributes == plain.attributes
    assert page.addresses == {"data:,", "#summary"}
    if "\n" not in text and "\x00" not in text:
        assert page.text.count(text.strip()) >= 10


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_markdown_takes_any_text(text: str) -> None:
    tokens = MARKDOWN.parse(render(everything(text), Format.MD))
    plain = MARKDOWN.parse(render(PLAIN, Format.MD))
    kinds = [token.type for token in tokens]
    assert kinds == [token.type for token in plain]
    inside = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inside} <= {
        "text",
        "code_inline",
        "strong_open",
        "strong_close",
        "em_open",
        "em_close",
        "link_open",
        "link_close",
        "html_inline",
        "softbreak",
        "text_special",
    }
    assert {str(child.attrs["href"]) for child in inside if child.type == "link_open"} == {"#1-summary"}
    assert {child.content for child in inside if child.type == "html_inline"} <= {"<!-- -->"}
    spans = [child.content for child in inside if child.type == "code_inline" and "░" not in child.content]
    assert len(spans) >= 7
    assert {span.strip() for span in spans} == {shown(text).strip() or ""}


def _reads(source: str) -> str:
    """The text that people see."""
    inline = [child for token in MARKDOWN.parseInline(source) for child in token.children or ()]
    assert {child.type for child in inline} <= {"text", "text_special", "html_inline"}
    return "".join(child.content for child in inline if child.type != "html_inline")


@given(st.text())
@settings(max_examples=60)
def test_text_is_read_as_it_is(text: str) -> None:
    assert _reads(markdown.escaped(text)).strip() == shown(text).strip()


@given(st.text(min_size=1))
@settings(max_examples=60)
def test_code_is_read_as_it_is(text: str) -> None:
    (token,) = MARKDOWN.parseInline(markdown.code_span(text))
    (child,) = token.children or []
    assert (child.type, child.content.strip()) == ("code_inline", shown(text).strip())


@given(st.text(), st.text())
@settings(max_examples=60)
def test_cells_stay_in_their_place(left: str, right: str) -> None:
    cells = [markdown.cell(Cell(say(text, code(text or "x")), note=text)) for text in (left, right)]
    tokens = MARKDOWN.parse(f"| a | b |\n|--|--|\n| {cells[0]} | {cells[1]} |\n")
    spans = [child.content for token in tokens for child in token.children or () if child.type == "code_inline"]
    assert [span.strip() for span in spans] == [shown(text or "x").strip() for text in (left, right)]
    assert sum(token.type == "td_open" for token in tokens) == 2


@given(st.text())
@settings(max_examples=60)
def test_blocks_of_code_end_where_they_should(text: str) -> None:
    (token,) = MARKDOWN.parse(markdown.fenced(text, "sh"))
    assert token.type == "fence"
    assert token.content == "".join(f"{shown(line)}\n" for line in text.split("\n"))


# Numbers


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Estimate.exact(1.25 * MB), "1.3MB"),
        (Estimate(1.2 * MB, 1.1 * MB, 1.3 * MB), "1.2MB (1.1\N{EN DASH}1.3)"),
        (Estimate(MB, 900 * 1024, 1.1 * MB), "1MB (900KB\N{EN DASH}1.1MB)"),
        (Estimate(MB, MB - 1, MB + 1), "1MB"),
        (Estimate(MB, 0.5 * MB, float("inf")), "1MB (512KB or more)"),
        (Estimate(MB, 0, float("inf")), "about 1MB"),
    ],
)
def test_a_size_has_its_interval(number: Estimate, text: str) -> None:
    assert text_of(wording.size(number).words) == text


def test_unknown_is_not_zero() -> None:
    cell = wording.size(None, "unknown: MEMORY USAGE is forbidden")
    assert (text_of(cell.words), cell.value, cell.note) == ("unknown", None, "MEMORY USAGE is forbidden")
