"""Tables for scripts, in the MessagePack that servers' ``cmsgpack`` reads.

That is its first version, which has no type for bytes, so that today's libraries do not write it. One such argument
costs the server less than the many that it stands for, in each call.
"""

from collections.abc import Mapping, Sequence

Packable = int | bytes | Sequence["Packable"] | Mapping[bytes, "Packable"]


def pack(value: Packable) -> bytes:
    """``value`` as MessagePack; numbers are whole and at least 0."""
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, bytes):
        return _head(len(value), 0xA0, 32, 0xDA) + value
    if isinstance(value, Mapping):
        return _head(len(value), 0x80, 16, 0xDE) + b"".join(pack(key) + pack(item) for key, item in value.items())
    return _head(len(value), 0x90, 16, 0xDC) + b"".join(map(pack, value))


def _number(value: int) -> bytes:
    return bytes((value,)) if value < 0x80 else b"\xce" + value.to_bytes(4, "big")  # noqa: PLR2004 - seven bits


def _head(length: int, short: int, below: int, long: int) -> bytes:
    """The mark of a type and a length: in one byte, or followed by two or four bytes."""
    if length < below:
        return bytes((short | length,))
    if length < 1 << 16:
        return bytes((long,)) + length.to_bytes(2, "big")
    return bytes((long + 1,)) + length.to_bytes(4, "big")
