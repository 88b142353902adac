"""The server's glob language.

A `Glob` means what the server's ``SCAN MATCH`` makes of it (``stringmatchlen`` in its ``util.c``), byte for byte:
``*`` any run, ``?`` any byte, ``[abc]`` ``[a-c]`` ``[^a-c]`` one byte of a class, and a backslash takes the next byte
as it is. It is parsed once into tokens, each a star or the set of bytes accepted there. The matcher, the Lua pattern
and the overlap test are all read off the tokens, so they cannot disagree.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise, takewhile
from typing import TypeAlias

from spillgate.errors import ConfigError

MAX_STARS = 2
"""Most stars in a glob, not counting one at its very end.

Lua's matcher backtracks: a key of n bytes may cost it n to the power of this many steps, while the server does nothing
else. Measured on Redis 7.0 with the worst key for it, of 1,000 bytes: 2.7 ms with two stars, 1.0 s with three.
"""

Token: TypeAlias = frozenset[int] | None
"""The bytes accepted at one place of a key; ``None`` is a star."""

_ANY = frozenset(range(256))
_END: Token = frozenset()
_ALPHANUMERIC = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_ASCII_END = 0x80
_NUL = 0


@dataclass(frozen=True, slots=True, init=False)
class Glob:
    """One key pattern. Text is taken as UTF-8.

    Raises `ConfigError` for a pattern that is empty, has an unclosed or empty class, ends in a lone backslash, has two
    stars in a row or more than `MAX_STARS`, or has a range that different builds of the server read differently.
    """

    pattern: bytes
    tokens: tuple[Token, ...] = field(repr=False, compare=False)
    _regex: re.Pattern[bytes] = field(repr=False, compare=False)

    def __init__(self, pattern: str | bytes) -> None:
        raw = pattern.encode() if isinstance(pattern, str) else pattern
        tokens = tuple(_parse(raw))
        if (None, None) in pairwise(tokens):
            raise _malformed(raw, "has two stars in a row: one is enough")
        if (stars := tokens[:-1].count(None)) > MAX_STARS:
            raise _malformed(
                raw, f"has {stars} stars before its end, more than {MAX_STARS}: list simpler globs instead"
            )
        object.__setattr__(self, "pattern", raw)
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "_regex", re.compile(_to_regex(tokens), re.DOTALL))

    def __str__(self) -> str:
        return self.pattern.decode(errors="backslashreplace")

    def matches(self, key: bytes) -> bool:
        """Tell whether the whole of ``key`` matches, in time linear in its length."""
        return self._regex.fullmatch(key) is not None

    @property
    def regex(self) -> bytes:
        """The source of an equal regular expression for `re.fullmatch` with `re.DOTALL`, without groups."""
        return self._regex.pattern

    @property
    def literal_prefix(self) -> bytes:
        """What every matching key begins with: the pattern up to its first wildcard."""
        return bytes(byte for token in takewhile(_is_literal, self.tokens) for byte in token or ())

    @property
    def is_prefix(self) -> bool:
        """Whether a key matches exactly when it begins with `literal_prefix`."""
        return self.tokens[-1] is None and all(map(_is_literal, self.tokens[:-1]))

    def to_lua(self) -> bytes:
        """Return an anchored Lua 5.1 pattern: ``string.find(key, pattern)`` finds exactly the keys that match."""
        *inner, last = (b".-" if token is None else _lua_item(token) for token in self.tokens)
        # At the end a star is "whatever follows", which is no anchor rather than another loop.
        return b"^" + b"".join(inner) + (b"" if self.tokens[-1] is None else last + b"$")

    def overlaps(self, other: "Glob") -> bool:
        """Tell whether some key matches both."""
        return self.common_key(other) is not None

    def common_key(self, other: "Glob") -> bytes | None:
        """Return a key that matches both globs, or None where no key can.

        Walks the product of the two patterns: a place is a pair of positions, and each place is visited once.
        """
        mine, theirs = (*self.tokens, _END), (*other.tokens, _END)
        places = deque([(0, 0, b"")])
        seen = {(0, 0)}
        while places:
            i, j, key = places.popleft()
            one, another = mine[i], theirs[j]
            if one is _END and another is _END:
                return key
            moves: list[tuple[int, int, bytes]] = []
            if common := (_ANY if one is None else one) & (_ANY if another is None else another):
                moves.append((i + (one is not None), j + (another is not None), key + _sample(common)))
            if one is None:
                moves.append((i + 1, j, key))
            if another is None:
                moves.append((i, j + 1, key))
            places.extend(move for move in moves if move[:2] not in seen)
            seen.update(move[:2] for move in moves)
        return None


def _parse(pattern: bytes) -> Iterator[Token]:
    if not pattern:
        raise ConfigError('expected a glob such as "app:sessions:*", got an empty one')
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        at += 1
        if byte == b"*":
            yield None
        elif byte == b"?":
            yield _ANY
        elif byte == b"[":
            accepted, at = _parse_class(pattern, at)
            yield accepted
        else:
            if byte == b"\\":
                byte = pattern[at : at + 1]
                at += 1
            if not byte:
                raise _malformed(pattern, "ends in a lone backslash; a literal one is written twice")
            yield frozenset(byte)


def _parse_class(pattern: bytes, at: int) -> tuple[frozenset[int], int]:
    """Read the class whose ``[`` stands before ``at``; return the bytes it accepts and where it ends."""
    negated = pattern[at : at + 1] == b"^"
    at += negated
    accepted: set[int] = set()
    while (head := pattern[at : at + 3]) and head[:1] != b"]":
        if head[:1] == b"\\" and head[1:]:
            accepted.add(head[1])
            at += 2
        elif head[1:2] == b"-" and head[2:]:  # also "[a-]", which the server takes for a range that ends in "]"
            low, high = sorted((head[0], head[2]))
            if low < _ASCII_END <= high:  # the server compares `char`, which is signed on some machines only
                raise _malformed(pattern, "has a range from ASCII to beyond it, which servers read differently")
            accepted.update(range(low, high + 1))
            at += 3
        else:
            accepted.add(head[0])
            at += 1
    if not head:
        raise _malformed(pattern, 'has a class without its closing "]"')
    result = _ANY - accepted if negated else frozenset(accepted)
    if not result:
        raise _malformed(pattern, "has a class that no byte is in")
    return result, at + 1


def _malformed(pattern: bytes, problem: str) -> ConfigError:
    return ConfigError(f'the glob "{pattern.decode(errors="backslashreplace")}" {problem}')


def _is_literal(token: Token) -> bool:
    return token is not None and len(token) == 1


def _sample(accepted: frozenset[int]) -> bytes:
    """Return one of the bytes, a readable one if there is."""
    return bytes([min(accepted & _ALPHANUMERIC or accepted)])


def _to_regex(tokens: tuple[Token, ...]) -> bytes:
    """Return a regular expression that never backtracks over more than one star.

    Between two stars the leftmost match is as good as any other, so each such piece stands in an atomic group.
    """
    pieces = [b""]
    for token in tokens:
        if token is None:
            pieces.append(b"")
        else:
            pieces[-1] += _regex_item(token)
    first, *rest = pieces
    if not rest:
        return first
    *inner, last = rest
    return first + b"".join(b"(?>.*?%b)" % piece for piece in inner) + b".*" + last


def _regex_item(accepted: frozenset[int]) -> bytes:
    if accepted == _ANY:
        return b"."
    return b"[%b]" % b"".join(b"\\x%02x" % byte for byte in sorted(accepted))


def _lua_item(accepted: frozenset[int]) -> bytes:
    if accepted == _ANY:
        return b"."
    if len(accepted) == 1:
        return b"".join(map(_lua_byte, accepted))
    excluded = _ANY - accepted
    if len(excluded) < len(accepted):
        return b"[^%b]" % _lua_set(excluded)
    return b"[%b]" % _lua_set(accepted)


def _lua_set(accepted: frozenset[int]) -> bytes:
    """Write bytes for a Lua class: runs of letters and digits as ranges, the others one by one and escaped."""
    text = b""
    ordered = sorted(accepted)
    for _, group in groupby(enumerate(ordered), lambda item: (item[1] - item[0], item[1] in _ALPHANUMERIC)):
        run = [byte for _, byte in group]
        if run[0] in _ALPHANUMERIC and len(run) > 2:  # noqa: PLR2004 (shorter is no shorter as a range)
            text += bytes([run[0], ord("-"), run[-1]])
        else:
            text += b"".join(map(_lua_byte, run))
    return text


def _lua_byte(byte: int) -> bytes:
    if byte == _NUL:
        return b"%z"  # a NUL would end the pattern in Lua 5.1
    return bytes([byte]) if byte in _ALPHANUMERIC or byte >= _ASCII_END else b"%" + bytes([byte])
