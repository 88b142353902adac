"""zstd: small frames, written and read fast, with or without a trained dictionary, never larger than allowed.

What is written is a zstd frame (RFC 8878) with the length of what is in it, without magic number, dictionary id and
checksum: those, and the header of a block, are much of a short message. Where less than 32 KB are in it and one block
is all that it has, which says so itself, that header is left out, and the frame's own is rewritten: two bytes of which
bit 3 of the first, reserved in a frame, tells that this was done, and the rest is the length::

    hhhh1hhh llllllll block

So whoever reads one always knows what it will take before it is unpacked. That check is ours: zstandard 0.25 trusts
the declared length over its own ``max_output_size``.

zstandard, and not the standard library's module (backports.zstd), since that makes a context for each value read:
10 µs a chat turn with a dictionary where this takes 2 (`python -m bench values`).
"""

import struct
import threading
from collections.abc import Sequence
from typing import Any, Final, cast

import zstandard

LEVEL: Final = 3
_FORMAT: Final = zstandard.FORMAT_ZSTD1_MAGICLESS
# The first bytes of a trained dictionary; anything else would be taken for plain content.
_DICTIONARY_MAGIC: Final = b"\x37\xa4\x30\xec"
_Parameters: Final = cast("Any", zstandard.ZstdCompressionParameters)
# With a dictionary, small values are searched for matches more thoroughly than at level 3. That costs them a
# microsecond or two, and takes off 5 to 10 %; of large ones it would take longer than what lz4 does in all
# (on the values of `python -m bench values`). 2^16 entries find most of what is in 110 KB, and take 320 KB of memory.
_SMALL_BYTES: Final = 2048
_SMALL: Final = _Parameters(
    strategy=zstandard.STRATEGY_GREEDY, window_log=19, hash_log=16, chain_log=16, search_log=5, min_match=5
)
_LARGE: Final = _Parameters(strategy=zstandard.STRATEGY_DFAST, window_log=19, hash_log=15, chain_log=15, min_match=5)
# Frame headers that say how long the content is, by whether that is below 256; the last block, which is compressed.
_BYTE_LONG: Final = 0x20
_SHORT_LONG: Final = 0x60
_LAST_PACKED: Final = 0b101
_TOLD_APART: Final = 0x08
_BARE_BELOW: Final = 1 << 15
_BARE_BYTES: Final = 2
# The upper 7 bits of a length around the bit that tells bare frames apart, and back.
_SPREAD: Final = bytes((high & 0x78) << 1 | _TOLD_APART | high & 7 for high in range(128))
_GATHERED: Final = bytes((spread >> 1) & 0x78 | spread & 7 for spread in range(256))
_SHORT_HEADS: Final = tuple(bytes((_TOLD_APART, length)) for length in range(256))
_byte_long: Final = struct.Struct("<BBHB").pack
_short_long: Final = struct.Struct("<BHHB").pack
# What is the same in two samples is looked for in words of this length (zstd takes 6 or 8).
_WORD_BYTES: Final = 8


class DamagedFrame(ValueError):
    """The frame cannot be read, or was not made with this dictionary."""


class OversizedFrame(ValueError):
    """The frame holds more than is allowed, or does not say how much."""


class Zstd:
    """Compresses and decompresses with one dictionary, or none; safe to share between threads.

    Raises:
        ValueError: ``dictionary`` is not a trained one.
    """

    def __init__(self, dictionary: bytes | None = None) -> None:
        self._content = dictionary
        self._small = None if dictionary is None else _prepared(dictionary, _SMALL)
        self._large: zstandard.ZstdCompressionDict | None = None  # not every namespace has large values
        self._contexts = threading.local()  # a context serves one thread at a time

    @property
    def dictionary(self) -> bytes | None:
        """The dictionary that it was made with."""
        return self._content

    def compress(self, data: bytes) -> bytes:
        """``data`` as one frame."""
        contexts = self._contexts
        try:
            context = contexts.small if len(data) <= _SMALL_BYTES else contexts.large
        except AttributeError:
            context = self._new_context(large=len(data) > _SMALL_BYTES)
        return _bared(context.compress(data), len(data))

    def decompress(self, data: bytes | memoryview, most_bytes: int, at: int = 0) -> bytes:
        """What the frame holds that is in ``data`` from ``at`` on; ``most_bytes`` at the most.

        Raises:
            OversizedFrame: it holds more, or does not say how much.
            DamagedFrame: it cannot be read.
        """
        try:
            context = self._contexts.decompress
        except AttributeError:
            context = self._contexts.decompress = zstandard.ZstdDecompressor(dict_data=self._small, format=_FORMAT)
        try:
            first = data[at]
            if first & _TOLD_APART:
                length = _GATHERED[first] << 8 | data[at + 1]
                if length > most_bytes:
                    raise OversizedFrame
                return context.decompress(_clothed(data[at + _BARE_BYTES :], length), length)
            frame = data[at:]
            # Arguments by name would take half as long again as the work itself.
            declared = zstandard.get_frame_parameters(frame, _FORMAT).content_size
            if declared > most_bytes:  # also where it is not declared: that is 2^64 - 1
                raise OversizedFrame
            return context.decompress(frame, declared, False, False)  # noqa: FBT003 (see above: no further frame, no rest)
        except (zstandard.ZstdError, IndexError, struct.error) as error:  # struct: no block is as long
            raise DamagedFrame from error

    def _new_context(self, *, large: bool) -> zstandard.ZstdCompressor:
        """What compresses values of this size in this thread."""
        dictionary = self._small
        if large and self._content is not None:
            if self._large is None:
                self._large = _prepared(self._content, _LARGE)  # two threads at once make one too many, no more
            dictionary = self._large
        made = zstandard.ZstdCompressor(
            dict_data=dictionary,
            compression_params=_Parameters.from_level(
                LEVEL, format=_FORMAT, write_content_size=1, write_dict_id=0, write_checksum=0
            ),
        )
        setattr(self._contexts, "large" if large else "small", made)
        return made


def _bared(frame: bytes, length: int) -> bytes:
    """A frame without what can be told from its length and that of its content."""
    if length < 256:  # noqa: PLR2004 (what is in a byte)
        if frame[0] == _BYTE_LONG and frame[2] & 7 == _LAST_PACKED:
            return _SHORT_HEADS[length] + frame[5:]
    elif length < _BARE_BELOW and frame[0] == _SHORT_LONG and frame[3] & 7 == _LAST_PACKED:
        return bytes((_SPREAD[length >> 8], length & 0xFF)) + frame[6:]
    return frame


def _clothed(block: bytes | memoryview, length: int) -> bytes:
    """The whole frame again, of what follows a bare one's length."""
    size = len(block) << 3 | _LAST_PACKED
    if length < 256:  # noqa: PLR2004 (as above)
        return _byte_long(_BYTE_LONG, length, size & 0xFFFF, size >> 16) + block
    return _short_long(_SHORT_LONG, length - 256, size & 0xFFFF, size >> 16) + block


def train(samples: Sequence[bytes], most_bytes: int, segment_bytes: int | None = None) -> bytes | None:
    """A dictionary of at most ``most_bytes`` for values like ``samples``; None where there is too little to learn.

    It is put together from segments of this length; by default zstd chooses one, by what the samples themselves take.
    """
    chosen = {} if segment_bytes is None else {"k": segment_bytes, "d": _WORD_BYTES}
    try:
        return zstandard.train_dictionary(most_bytes, list(samples), **chosen).as_bytes()
    except (zstandard.ZstdError, ValueError):
        return None


def _prepared(dictionary: bytes, parameters: object) -> zstandard.ZstdCompressionDict:
    """A dictionary with its tables made.

    Raises:
        ValueError: it is not a trained one.
    """
    if not dictionary.startswith(_DICTIONARY_MAGIC):
        message = "not a zstd dictionary"
        raise ValueError(message)
    try:
        prepared = zstandard.ZstdCompressionDict(dictionary, zstandard.DICT_TYPE_FULLDICT)
        cast("Any", prepared).precompute_compress(compression_params=parameters)
    except zstandard.ZstdError as error:
        message = f"not a zstd dictionary: {error}"
        raise ValueError(message) from error
    return prepared
