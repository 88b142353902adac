"""Which keys are read so often that chance must not decide whether they are sampled."""

from typing import Final

EVERY: Final = 8
"""One read in so many is noticed."""
MOST_KEPT: Final = 64
"""So many keys of a namespace are recorded whatever their hash."""
CELLS: Final = 2048
"""In a bitmap of so many cells, of a byte each, a namespace marks its popular keys."""
SHIFT: Final = 21
"""A key's cell is its hash without so many of its lowest bits."""

# A key that is noticed so often within the window makes up a five-hundredth of all reads, or nearly. In a namespace of
# few reads fewer do, but not so few that keys which share a cell would do as well.
_OFTEN: Final = 8
_LEAST: Final = 3
_WINDOW: Final = 4096
_WIDTH_BITS: Final = 12
_WIDTH: Final = 1 << _WIDTH_BITS
_HALVES: Final = bytes(number >> 1 for number in range(256))


class Popular:
    """Counts of reads by hash, in two rows of cells that keys share: a key was read as often as its lower one says.

    So it is now and then too often, and a key too many is recorded, which does no harm (count-min sketch; Cormode and
    Muthukrishnan, Journal of Algorithms 55, 2005). What came before the last window counts half, and so on.
    """

    def __init__(self) -> None:
        self._rows = bytearray(_WIDTH), bytearray(_WIDTH)
        self._noticed = 0

    def notice(self, hashed: int, share: float) -> bool:
        """Count a key, and tell whether it comes often among those of its namespace, which has that share of all reads.

        Then its count begins anew.
        """
        self._noticed += 1
        if self._noticed >= _WINDOW:
            self._noticed = 0
            self._rows = self._rows[0].translate(_HALVES), self._rows[1].translate(_HALVES)
        one, other = self._rows
        place, beside = hashed % _WIDTH, hashed >> _WIDTH_BITS & _WIDTH - 1
        count = min(one[place], other[beside]) + 1
        if count >= max(_LEAST, _OFTEN * share):
            one[place] = other[beside] = 0
            return True
        one[place], other[beside] = max(one[place], count), max(other[beside], count)
        return False

    def __sizeof__(self) -> int:
        """Its memory."""
        return 2 * _WIDTH + 256
