"""How a server lays out its keys in memory, and what of that ``MEMORY USAGE`` leaves out. Pure.

Tried by experiment on Valkey 9.1 (libc), Redis 7.0 (jemalloc) and Redis 6.2 (libc), with every type and up to 100,000
keys; bench/capacity.py does it again. What is left out beside the tables:

- Redis keeps an entry of 24 bytes for each key, which ``MEMORY USAGE`` counts as just that, and a second one for each
  key with a TTL, which it does not count. jemalloc gives out 32 bytes for each. The tables are an array of pointers,
  a power of two that is at least the number of keys: the key that is one too many doubles it, and until all keys have
  moved the old one stands beside it (``dict.c``).
- Valkey from 8.1 keeps keys in buckets of 64 bytes that hold seven; the key that is one too many doubles those. A
  bucket that is full before that has another chained to it (``hashtable.c``): keys fall into buckets by chance, so how
  many there are follows from Poisson's law. The time to live is in the key's object, whose size the allocator tells.
- Redis adds up what an object asked for, not what the allocator gave for it: how far that is apart is a matter of type,
  encoding and version, and follows from the size. Elements of tables are entries again. Of streams it counts too much.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from spillgate.model import KeySample

ENTRY_BYTES = 24
"""What an entry of a table in Redis asks for."""

_POINTER, _OBJECT = 8, 16
_BUCKET, _SLOTS, _CHAINED_SLOTS = 64, 7, 6
_FIRST_BUCKETED = (8, 1)
_MOST_IN_ONE = 40  # keys, of seven on average at the most
_LEAST_BUCKETS = 4
_NODE_BYTES = 8192  # of a list
_USUAL_ELEMENT_BYTES = 96
# Of what MEMORY USAGE says of a stream so much is not there: 7.4 to 9.6 % on Redis 6.2 and 7.0.
_STREAM_EXCESS = 0.08
_COMPACT = frozenset({"ziplist", "intset"})
_BY_ELEMENT = frozenset({"hashtable", "skiplist"})
_ERROR, _ERROR_UNTRIED = 0.02, 0.1
_SHORT_NAME, _LONG_NAME = 32, 256


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of server. ``bucketed`` is Valkey from 8.1; ``jemalloc`` is the allocator, else the C library's.

    ``tried`` says that the figures were tried on this version; on others they are taken from the nearest.
    """

    product: str
    version: tuple[int, int]
    jemalloc: bool
    bucketed: bool
    tried: bool

    @classmethod
    def of(cls, info: Mapping[str, str]) -> "Layout":
        """By the fields of INFO; a server that does not tell is taken for a Redis 7.0 with jemalloc."""
        valkey = info.get("valkey_version")
        version = _version(valkey or info.get("redis_version", ""))
        jemalloc = not info.get("mem_allocator", "jemalloc").startswith("libc")
        tried = (9, 1) if valkey else (7, 0) if jemalloc else (6, 2)
        known = version == tried and ("mem_allocator" in info)
        bucketed = bool(valkey) and version >= _FIRST_BUCKETED
        return cls("valkey" if valkey else "redis", version, jemalloc, bucketed, known)

    @property
    def words(self) -> str:
        """The kind as people know it."""
        return f"{self.product} {self.version[0]}.{self.version[1]} with {'jemalloc' if self.jemalloc else 'libc'}"

    def allocated(self, size: int) -> int:
        """What the allocator gives for so many bytes."""
        if not self.jemalloc:
            return max(24, (size + 8 + 15) // 16 * 16 - 8)
        if size <= 8:  # noqa: PLR2004 (the smallest class)
            return 8
        if size <= 128:  # noqa: PLR2004 (classes of 16 bytes up to there)
            return (size + 15) // 16 * 16
        step = 1 << ((size - 1).bit_length() - 3)  # four classes to each doubling
        return (size + step - 1) // step * step

    def array_bytes(self, keys: float) -> int:
        """The table for so many keys, without what each of them adds."""
        if keys < 1:
            return 0
        return self._buckets(keys) * (_BUCKET if self.bucketed else _POINTER)

    def entries_bytes(self, keys: float, timed: float) -> float:
        """What is there for each key beside its MEMORY USAGE: of ``keys``, ``timed`` have a TTL."""
        if self.bucketed:
            return sum(self._chained(count) * self.allocated(_BUCKET) for count in (keys, timed) if count >= 1)
        entry = self.allocated(ENTRY_BYTES)
        return keys * (entry - ENTRY_BYTES) + timed * entry

    def full_at(self, keys: float) -> int:
        """The number of keys that a table for ``keys`` holds before it doubles."""
        return self._buckets(keys) * (_SLOTS if self.bucketed else 1)

    def beyond_usage(self, key: KeySample, elements: int | None = None) -> float:  # noqa: PLR0911 - a table
        """What one object takes beside its MEMORY USAGE and the tables; below 0 where that says too much.

        ``elements`` is how many a collection has, where that is known.
        """
        encoding, size = key.encoding or "", key.size_bytes or 0
        if self.bucketed:
            return 0.0
        around = float(self.allocated(_OBJECT) - _OBJECT)
        old = self.version < (7, 0)
        own = size - ENTRY_BYTES - self._name_bytes(len(key.name)) - _OBJECT
        if key.type == "stream":
            return -_STREAM_EXCESS * size
        if encoding == "embstr":
            length = own - 2
            return self.allocated(max(0, length) + 20) - (own + _OBJECT) if old and key.name else 0.0
        if encoding in _COMPACT and old:
            return around + self.allocated(max(1, own)) - max(1, own)
        if encoding == "quicklist":
            nodes = max(1, math.ceil(own / _NODE_BYTES))
            return around + (self.allocated(40) - 40) + nodes * (16.0 if old else 8.0)
        if encoding in _BY_ELEMENT:
            count = own / _USUAL_ELEMENT_BYTES if elements is None else elements
            return around + 8.0 + count * (self.allocated(ENTRY_BYTES) - ENTRY_BYTES)
        return around if encoding else 0.0

    @property
    def error(self) -> float:
        """How far off these figures may be, as a share of what is added (bench/capacity.py)."""
        return _ERROR if self.tried else _ERROR_UNTRIED

    @property
    def wants_elements(self) -> bool:
        """Whether it takes the number of elements to tell what tables inside of keys take."""
        return not self.bucketed and self.allocated(ENTRY_BYTES) > ENTRY_BYTES

    def _buckets(self, keys: float) -> int:
        slots = _SLOTS if self.bucketed else 1
        least = 1 if self.bucketed else _LEAST_BUCKETS
        return max(least, 1 << max(0, math.ceil(keys / slots) - 1).bit_length())

    def _chained(self, keys: float) -> float:
        """How many buckets hang on others, on average."""
        buckets = self._buckets(keys)
        return _chained_to_one(round(keys / buckets, 3)) * buckets

    def _name_bytes(self, length: int) -> int:
        header = 1 if length < _SHORT_NAME else 3 if length < _LONG_NAME else 5
        return self.allocated(length + header + 1)


@cache
def _chained_to_one(mean: float) -> float:
    """How many buckets hang on one that so many keys fall into on average."""
    chance, found = math.exp(-mean), 0.0
    for count in range(1, _MOST_IN_ONE):
        chance *= mean / count
        found += chance * max(0, math.ceil((count - _SLOTS) / _CHAINED_SLOTS))
    return found


def mean_beyond(layout: Layout, sample: Sequence[KeySample], elements: Mapping[bytes, int]) -> float | None:
    """What an object takes on average beside its MEMORY USAGE; None where no encoding is known."""
    known = [key for key in sample if key.encoding and key.size_bytes is not None]
    if not known:
        return 0.0 if layout.bucketed else None
    return math.fsum(layout.beyond_usage(key, elements.get(key.name)) for key in known) / len(known)


def _version(text: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (7, 0)
