"""What a text of some length takes in a server's memory: allocators hand out blocks of certain sizes only."""

# A string of the server stands behind its length and before a zero byte (sds.h).
_SHORT, _LONG = 256, 65_536
_SHORT_HEADER, _HEADER, _LONG_HEADER = 4, 6, 10
# jemalloc: multiples of 16 bytes up to 128, then four sizes between a power of two and the next.
_STEP = 16
_EVEN_UP_TO = 128
# Others round up with 8 bytes of their own in front, and give 24 at the least.
_FRONT = 8
_LEAST = 24


def string_bytes(length: float, allocator: str) -> float:
    """The memory of a string of ``length`` bytes under an allocator as INFO names it."""
    header = _SHORT_HEADER if length < _SHORT else _HEADER if length < _LONG else _LONG_HEADER
    size = max(1, round(length) + header)
    if not allocator.startswith("jemalloc"):
        return max(_LEAST, _up(size + _FRONT, _STEP) - _FRONT)
    if size <= _EVEN_UP_TO:
        return _up(size, _STEP)
    return _up(size, 1 << ((size - 1).bit_length() - 3))


def _up(size: int, step: int) -> int:
    return -(-size // step) * step
