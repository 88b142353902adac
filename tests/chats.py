"""Short values that are alike, as chats have them."""

from __future__ import annotations

import random
from typing import Any

import msgspec

_WORDS = "I would like to book a table for four people at seven in the Italian place near the station please"


def chat(number: int) -> dict[str, Any]:
    """A message with its state: 100 to 250 bytes."""
    rng = random.Random(number)
    return {
        "conversation": f"c-{rng.randrange(10**9)}",
        "role": rng.choice(["user", "assistant"]),
        "text": " ".join(rng.choices(_WORDS.split(), k=rng.randrange(4, 20))),
        "state": {"intent": "FindRestaurants", "slots": {"party_size": rng.randrange(9), "city": "San Jose"}},
    }


def order(number: int) -> dict[str, Any]:
    """Something else altogether."""
    rng = random.Random(number)
    lines = [{"sku": f"A-{rng.randrange(500)}", "warehouse": rng.choice(["north", "south"])} for _ in range(4)]
    return {"invoice": {"currency": "EUR", "lines": lines}, "shipped_with": "overnight courier", "parcels": number % 5}


def chats(count: int, first: int = 0) -> list[bytes]:
    """Messages as they are before compression."""
    return [msgspec.msgpack.encode(chat(number)) for number in range(first, first + count)]


def orders(count: int) -> list[bytes]:
    """Orders as they are before compression."""
    return [msgspec.msgpack.encode(order(number)) for number in range(count)]
