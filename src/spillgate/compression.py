"""zstd: small frames, written and read fast, with or without a trained dictionary, never larger than allowed.

Frames are "magicless" and carry no dictionary id: the four bytes that every frame begins with, and those of the id, are
much of a short message. They always declare their size, so whoever reads one knows what it will take before it is
unpacked. That check is ours: zstandard 0.25 trusts the declared size over its own ``max_output_size``.

zstandard, and not the standard library's module (backports.zstd), since that makes a context for each value read:
9 µs a chat turn where this takes 1 (`python -m bench values`).
"""

import threading
from collections.abc import Sequence
from typing import Any, cast

import zstandard

LEVEL = 3
_FORMAT = zstandard.FORMAT_ZSTD1_MAGICLESS
# The first bytes of a trained dictionary; anything else would be taken for plain content.
_DICTIONARY_MAGIC = b"\x37\xa4\x30\xec"


class DamagedFrame(ValueError):
    """The frame cannot be read, or was not made with this dictionary."""


class OversizedFrame(ValueError):
    """The frame holds more than is allowed, or does not say how much."""


class Zstd:
    """Compresses and decompresses with one dictionary, or none; safe to share between threads.

    Raises:
        ValueError: ``dictionary`` is not a trained one.
    """

    def __init__(self, dictionary: bytes | None = None, level: int = LEVEL) -> None:
        self._dictionary: zstandard.ZstdCompressionDict | None = None
        if dictionary is not None:
            if not dictionary.startswith(_DICTIONARY_MAGIC):
                message = "not a zstd dictionary"
                raise ValueError(message)
            try:
                self._dictionary = zstandard.ZstdCompressionDict(dictionary, zstandard.DICT_TYPE_FULLDICT)
                cast("Any", self._dictionary).precompute_compress(level)
            except zstandard.ZstdError as error:
                message = f"not a zstd dictionary: {error}"
                raise ValueError(message) from error
        self._parameters = cast("Any", zstandard.ZstdCompressionParameters).from_level(
            level, format=_FORMAT, write_content_size=1, write_dict_id=0, write_checksum=0
        )
        self._contexts = threading.local()  # a context serves one thread at a time

    def compress(self, data: bytes) -> bytes:
        """``data`` as one frame."""
        try:
            context = self._contexts.compress
        except AttributeError:
            context = self._contexts.compress = zstandard.ZstdCompressor(
                dict_data=self._dictionary, compression_params=self._parameters
            )
        return context.compress(data)

    def decompress(self, frame: bytes | memoryview, most_bytes: int) -> bytes:
        """What ``frame`` holds, of ``most_bytes`` at the most.

        Raises:
            OversizedFrame: it holds more, or does not say how much.
            DamagedFrame: it cannot be read.
        """
        try:
            context = self._contexts.decompress
        except AttributeError:
            context = self._contexts.decompress = zstandard.ZstdDecompressor(dict_data=self._dictionary, format=_FORMAT)
        try:
            declared = zstandard.get_frame_parameters(frame, format=_FORMAT).content_size
            if declared > most_bytes:  # also where it is not declared: that is 2^64 - 1
                raise OversizedFrame
            return context.decompress(frame, max_output_size=declared, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise DamagedFrame from error


def train(samples: Sequence[bytes], most_bytes: int) -> bytes | None:
    """A dictionary of at most ``most_bytes`` for values like ``samples``; None where there is too little to learn."""
    try:
        return zstandard.train_dictionary(most_bytes, list(samples)).as_bytes()
    except zstandard.ZstdError:
        return None
