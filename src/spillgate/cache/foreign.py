"""Reading what other libraries wrote, so that switching to Spillgate does not start with an empty cache.

These are values of django-redis, with its JSON or MessagePack serializer and any of its compressors that leaves a mark
(zlib, gzip, LZMA, zstd, and LZ4 where the package lz4 is installed), and plain JSON of whoever. Pickles are not read:
loading one runs what it says.
"""

import contextlib
import importlib
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Final

import zstandard

from spillgate.cache.codec import Reason, Unreadable

_PICKLE: Final = b"\x80"
_ASCII_END: Final = 0x80
_LZMA_MEMORY_BYTES: Final = 1 << 26
_ZSTD_WINDOW_BYTES: Final = 1 << 23


def read_foreign(data: bytes, most_bytes: int, decode: Callable[[bytes, bool], Any]) -> Any:
    """The value in ``data``, of ``most_bytes`` at the most; ``decode`` takes plain bytes, and whether they are JSON.

    Raises:
        Unreadable: there is none that is safe to read.
    """
    unpack = next((unpack for mark, unpack in _UNPACK if data.startswith(mark)), None)
    if unpack is not None:
        try:
            data = unpack(data, most_bytes + 1)
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError, RuntimeError, MemoryError) as error:
            raise Unreadable(Reason.FOREIGN) from error
        if len(data) > most_bytes:
            raise Unreadable(Reason.OVERSIZED)
    if len(data) > 1 and data.startswith(_PICKLE):
        raise Unreadable(Reason.FOREIGN)
    # A MessagePack of more than one byte begins with one beyond ASCII, and JSON never does.
    return decode(data, len(data) > 1 and data[0] < _ASCII_END)


def _zlib(data: bytes, most_bytes: int) -> bytes:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(data, most_bytes)  # 32: zlib or gzip, by its head


def _lzma(data: bytes, most_bytes: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY_BYTES).decompress(data, most_bytes)


def _zstd(data: bytes, most_bytes: int) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).stream_reader(data) as reader:
        return reader.read(most_bytes)


def _lz4(data: bytes, most_bytes: int) -> bytes:
    with contextlib.suppress(ImportError):
        return importlib.import_module("lz4.frame").LZ4FrameDecompressor().decompress(data, most_bytes)
    raise Unreadable(Reason.FOREIGN)


_UNPACK: Final = (
    (b"\x78\x01", _zlib),
    (b"\x78\x5e", _zlib),
    (b"\x78\x9c", _zlib),
    (b"\x78\xda", _zlib),
    (b"\x1f\x8b", _zlib),
    (b"\xfd7zXZ\x00", _lzma),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"\x04\x22\x4d\x18", _lz4),
)
