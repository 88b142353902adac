"""The page about alerts names every condition, and every field of the webhook's document."""

import re
from pathlib import Path

from spillgate.alerts.conditions import FINDING, TITLES
from spillgate.alerts.delivery import DELIVERED, DROPPED, FAILED
from spillgate.alerts.notice import Kind
from spillgate.alerts.words import Sender, document, trial

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")


def test_every_condition_has_its_line() -> None:
    listed = re.findall(r"^\| `([a-z]+)[:…]*` \|", PAGE.partition("## When it is told")[0], re.MULTILINE)
    assert sorted(listed) == sorted([*TITLES, FINDING.rstrip(":")])


def test_every_field_of_the_document_is_described() -> None:
    sent = document(trial(0.0), Sender("x"))
    data = sent["data"]
    assert isinstance(data, dict)
    described = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))
    assert {"type", *data} <= described


def test_every_kind_and_status_is_named() -> None:
    for word in (*Kind, DELIVERED, FAILED, DROPPED):
        assert f"`{word}`" in PAGE
