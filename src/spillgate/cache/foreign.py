"""Reading what other libraries wrote, so that switching to Spillgate does not start with an empty cache.

These are values of django-redis, with its JSON or MessagePack serializer and any of its compressors that leaves a mark
(zlib, gzip, LZMA, zstd, and LZ4 where the package lz4 is installed), and plain JSON of whoever. Pickles are not read:
loading one runs what it says.
"""

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


def _to_end(decompressor: Any, data: bytes, most_bytes: int) -> bytes:
    """What is packed in ``data``, up to so much; half a value must not be taken for a whole one.

    Raises:
        EOFError: it is truncated.
    """
    plain: bytes = decompressor.decompress(data, most_bytes)
    if len(plain) < most_bytes and not decompressor.eof:
        raise EOFError
    return plain


def _zlib(data: bytes, most_bytes: int) -> bytes:
    return _to_end(zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), data, most_bytes)  # 32: zlib or gzip, by its head


def _lzma(data: bytes, most_bytes: int) -> bytes:
    return _to_end(lzma.LZMADecompressor(memlimit=_LZMA_MEMORY_BYTES), data, most_bytes)


def _zstd(data: bytes, most_bytes: int) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).stream_reader(data) as reader:
        plain = reader.read(most_bytes)
    if len(plain) < min(zstandard.frame_content_size(data), most_bytes):  # which is -1 where it is not declared
        raise EOFError
    return plain


def _lz4(data: bytes, most_bytes: int) -> bytes:
    try:
        lz4: Any = importlib.import_module("lz4.frame")
    except ImportError as error:
        raise Unreadable(Reason.FOREIGN) from error
    return _to_end(lz4.LZ4FrameDecompressor(), data, most_bytes)


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
