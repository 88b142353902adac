"""Real values to store, from ``../shared/data`` beside the project, and a bounded, random choice of them."""

import csv
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[2] / "shared" / "data"
# So many distinct values are stored; more would only take longer.
_MOST_VALUES = 2_000


@dataclass(frozen=True, slots=True)
class Corpus:
    """Values of one kind, in two parts: what a dictionary is trained on, and what is then stored and measured."""

    name: str
    to_learn: Sequence[Any]
    to_store: Sequence[Any]


def _turns() -> list[Any]:
    """Chat turns, each with its dialogue and state, as a chat application keeps them."""
    dialogues = json.loads(_read("chats_sgd.json"))
    return [
        {"dialogue_id": dialogue["dialogue_id"], "turn": number, **turn}
        for dialogue in dialogues
        for number, turn in enumerate(dialogue["turns"])
    ]


def _messages() -> list[Any]:
    """Messages of one line; the number and the sender are what an application needs to show one."""
    rows = csv.DictReader(_read("messages_banking77.csv").splitlines())
    return [{"id": number, "sender": "customer", **row} for number, row in enumerate(rows)]


def _conversations() -> list[Any]:
    return json.loads(_read("chats_tm4.json"))


def _events() -> list[Any]:
    """The payloads of webhooks."""
    return [json.loads(line)["payload"] for line in _read("events_github_webhooks.ndjson").splitlines()]


CORPORA: dict[str, Callable[[], list[Any]]] = {
    "turns": _turns,
    "messages": _messages,
    "conversations": _conversations,
    "events": _events,
}


def load(name: str, seed: int = 0) -> Corpus:
    """The values of this name: a quarter of them, by chance of ``seed``, to learn from, and of the others up to 2,000.

    Raises:
        SystemExit: the data is not there.
    """
    values = CORPORA[name]()
    random.Random(seed).shuffle(values)
    quarter = len(values) // 4
    return Corpus(name, values[:quarter], values[quarter:][:_MOST_VALUES])


def _read(file: str) -> str:
    path = DATA / file
    if not path.exists():
        raise SystemExit(f"{path} is missing: this benchmark runs on real data only, which is not part of the project")
    return path.read_text(encoding="utf-8")
