"""Which keys are in the sample: a hash table in plain arrays, 14 bytes a key where a dict would take 114."""

import sys
from array import array
from collections.abc import Iterable, Iterator


class Slots:
    """Places for ``capacity`` keys, numbered from 1 on; a key is its hash and the number of its namespace.

    Linear probing. Keys are taken out in bulk alone, after which the table is made anew, so it needs no tombstones.
    """

    __slots__ = ("_free", "_mask", "_owners", "_table", "capacity", "hashes")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.hashes = array("I", (0,)) * (capacity + 1)
        self._mask = (1 << (capacity * 3 // 2).bit_length()) - 1
        self._owners = bytearray(capacity + 1)
        self._table = self._empty()
        self._free = array("H", range(capacity, 0, -1))

    @property
    def free(self) -> int:
        """How many more keys there is room for."""
        return len(self._free)

    def find(self, owner: int, hashed: int) -> int:
        """The slot of a key, 0 where it has none. Needs no lock: it may miss a key while others are taken out."""
        table, mask, hashes = self._table, self._mask, self.hashes
        place = (hashed + owner) & mask
        slot = table[place]
        while hashes[slot] != hashed or self._owners[slot] != owner:
            if not slot:
                return 0
            place = (place + 1) & mask
            slot = table[place]
        return slot

    def add(self, owner: int, hashed: int) -> int:
        """A slot for a key that has none.

        Raises:
            IndexError: there is none free.
        """
        slot = self._free.pop()
        self.hashes[slot], self._owners[slot] = hashed, owner
        self._enter(self._table, slot)
        return slot

    def of(self, owner: int) -> list[int]:
        """The slots of a namespace."""
        return [slot for slot, other in enumerate(self._owners) if other == owner]

    def taken(self) -> Iterator[int]:
        """The slots of all keys."""
        return (slot for slot, owner in enumerate(self._owners) if owner)

    def count(self, owner: int) -> int:
        """How many keys a namespace has."""
        return self._owners.count(owner)

    def remove(self, slots: Iterable[int]) -> None:
        """Take keys out."""
        removed = array("H", slots)
        if not removed:
            return
        for slot in removed:
            self._owners[slot] = 0
        self._free.extend(removed)
        table = self._empty()
        for slot in self.taken():
            self._enter(table, slot)
        self._table = table

    def size_bytes(self) -> int:
        """The memory that it takes."""
        return sum(map(sys.getsizeof, (self, self.hashes, self._owners, self._table, self._free)))

    def _empty(self) -> "array[int]":
        return array("H", (0,)) * (self._mask + 1)

    def _enter(self, table: "array[int]", slot: int) -> None:
        place = (self.hashes[slot] + self._owners[slot]) & self._mask
        while table[place]:
            place = (place + 1) & self._mask
        table[place] = slot
