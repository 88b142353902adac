"""Prefixes found in the keys themselves: a tree by separator, with ids folded.

``user:123:cart`` and ``user:456:cart`` are both ``user:*:cart``. What is an id is told by how many different words
stand at one place of the tree more than by what they look like, so that names fold as well as numbers do; only plain
numbers, dates and what looks like a hash or a UUID are ids even where there are few of them.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

STAR = b"*"
SEPARATORS = b":/|.#-_"

_MOST_WORDS = 32  # different words at one place, or of one shape there, that may all be meant
_MOST_SHAPES = 8
_MOST_LEVELS = 5
_MOST_PATTERNS = 250  # each of them is sent with every call of a census
_MOST_WORD_BYTES = 200
_LEAST_SHARE = 1 / 250  # of all keys sampled: what is rarer is not divided further
_LEAST_KEYS = 4
_LEAST_WORD_SHARE = 0.02  # of the keys at a place with more words than may be meant
_FEW_WORDS = 8  # so many different ones at one place are meant even where each of them is rare
_HEX = rb"[0-9A-Fa-f]"
_UUID = re.compile(b"-".join(_HEX + b"{%d}" % count for count in (8, 4, 4, 4, 12)))
_CODED = re.compile(rb"([A-Za-z]{2,})[0-9]+(?![A-Za-z0-9])|[A-Za-z0-9]*[0-9][A-Za-z0-9]*")
_STARS = re.compile(rb"\*(?:[-._]?\*)+")
_PLAIN = re.compile(rb"[A-Za-z_.-]+")
_ID = re.compile(rb"[0-9][0-9._-]*|\*|[0-9A-Fa-f-]{16,}|(?=[A-Za-z]*[0-9])[A-Za-z0-9]{20,}")


@dataclass(slots=True)
class _Node:
    """A place in the tree. ``index`` is set at a leaf, and where keys end although others go on."""

    index: int | None = None
    kids: "dict[bytes, _Node]" = field(default_factory=dict[bytes, "_Node"])


class PrefixTree:
    """Prefixes as patterns, asked by key; every key has one. Made by `grow`, or again from its ``patterns``.

    A pattern is a path of words; a word is literal, ``*``, or has ``*`` in place of each part with a digit in it. It
    stands for the keys that follow it and go on in any way, unless a longer one fits.
    """

    __slots__ = ("_root", "patterns", "separator")

    def __init__(self, separator: bytes, patterns: Iterable[tuple[bytes, ...]]) -> None:
        self.separator = separator
        self.patterns = tuple(patterns)
        self._root = _Node()
        for index, words in enumerate(self.patterns):
            node = self._root
            for word in words:
                node = node.kids.setdefault(word, _Node())
            node.index = index

    def index_of(self, key: bytes) -> int:
        """The index of the pattern that ``key`` follows; `census.lua` walks in the same way."""
        node = self._root
        rest: bytes | None = key
        while node.kids and rest is not None:
            word, found, after = rest.partition(self.separator)
            rest = after if found else None
            node = node.kids.get(word) or node.kids.get(shape(word)) or node.kids[STAR]
        while node.index is None:
            node = node.kids[STAR]
        return node.index

    def texts(self) -> tuple[bytes, ...]:
        """The patterns as people write them: ``user:*:cart``."""
        return tuple(self.separator.join(words) for words in self.patterns)

    def nested(self, first: int) -> "Nested":
        """The tree for ``census.lua``: nodes in nodes, where indices count from ``first``."""
        return _nested(self._root, first)


Nested: TypeAlias = "dict[bytes, int | Nested]"


def _nested(node: _Node, first: int) -> Nested:
    told: Nested = {}
    if node.index is not None:
        told[b"index"] = first + node.index
    if node.kids:
        told[b"kids"] = {word: _nested(kid, first) for word, kid in node.kids.items()}
        told[b"shaped"] = int(any(STAR in word and word != STAR for word in node.kids))
    return told


def shape(word: bytes) -> bytes:
    """A word with each of its parts that has a digit replaced by a star, ``shard12`` by ``shard*``.

    It is one star where little else is left, and where the word is very long.
    """
    if len(word) > _MOST_WORD_BYTES:
        return STAR
    folded = _STARS.sub(STAR, _CODED.sub(rb"\1*", _UUID.sub(STAR, word)))
    return STAR if folded.startswith(STAR) and folded.endswith(STAR) else folded


def grow(keys: Sequence[bytes], separator: bytes | None = None) -> PrefixTree:
    """The tree that a sample of keys suggests. ``separator`` is one byte; by default what the keys use most."""
    separator = separator or usual_separator(keys)
    rests = [key.split(separator, _MOST_LEVELS + 1) for key in keys]
    least = max(_LEAST_KEYS, len(keys) * _LEAST_SHARE)
    while len(patterns := _branch(rests, (), least)) > _MOST_PATTERNS:
        least *= 2
    return PrefixTree(separator, sorted(patterns))


def usual_separator(keys: Sequence[bytes]) -> bytes:
    """The first of the usual separators that stands in half as many keys as the most frequent of them does."""
    counts = [sum(mark in key for key in keys) for mark in SEPARATORS]
    most = max(counts)
    return next(SEPARATORS[i : i + 1] for i, count in enumerate(counts) if 2 * count >= most)


def _branch(rests: list[list[bytes]], path: tuple[bytes, ...], least: float) -> list[tuple[bytes, ...]]:
    """The patterns under ``path``, where ``rests`` are the words that follow it in the keys there."""
    going = [rest for rest in rests if rest]
    if path and (not going or len(rests) < least or len(path) >= _MOST_LEVELS):
        return [path if not going or path[-1] == STAR else (*path, STAR)]
    names = _names(Counter(rest[0] for rest in going), least)
    groups: dict[bytes, list[list[bytes]]] = {STAR: []}
    for word, *rest in going:
        groups.setdefault(names.get(word, STAR), []).append(rest)
    below = [pattern for name, group in groups.items() for pattern in _branch(group, (*path, name), least)]
    if len(going) < len(rests):
        return [path, *below]
    folded = path[-1:] == (STAR,) and all(set(pattern[len(path) :]) == {STAR} for pattern in below)
    return [path] if folded else below


def _names(words: Counter[bytes], least: float) -> dict[bytes, bytes]:
    """What stands for each of the words at one place: itself or its shape; those not named are ids."""
    plain: list[bytes] = []
    shapes: dict[bytes, list[bytes]] = {}
    for word in words:
        form = shape(word)
        if form != word:
            shapes.setdefault(form, []).append(word)
        elif not _is_id(word):
            plain.append(word)
    names = {word: word for word in _meant(plain, words, least)}
    totals = {form: sum(words[word] for word in coded) for form, coded in shapes.items()}
    usual = sorted((form for form in shapes if form != STAR), key=lambda form: (-totals[form], form))
    names |= {word: form for form in usual[:_MOST_SHAPES] if totals[form] >= least for word in shapes[form]}
    for form, coded in shapes.items():
        if len(coded) <= _MOST_WORDS and totals[form] >= least * len(coded):
            names |= {word: word for word in coded if not _is_id(word)}
    return names


def _meant(plain: Collection[bytes], words: Counter[bytes], least: float) -> Iterator[bytes]:
    """Of words without digits, those that stay as they are."""
    few = len(words) <= _FEW_WORDS
    enough = 2 if len(plain) <= _MOST_WORDS else max(least, words.total() * _LEAST_WORD_SHARE)
    for word in plain:
        if words[word] >= enough or (few and _PLAIN.fullmatch(word)):
            yield word


def _is_id(word: bytes) -> bool:
    return len(word) > _MOST_WORD_BYTES or _ID.fullmatch(word) is not None
