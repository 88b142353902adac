"""Traces of Mooncake's conversation format: requests to a language model, and which blocks of their prefix they share.

Each line is a request: ``timestamp`` in milliseconds, ``hash_ids`` the blocks of 512 tokens that its input begins with
(kvcache-ai/Mooncake, FAST'25). Read as a cache: a request gets its blocks in order, and a block that is missing is
computed and stored. What a block weighs depends on what is kept of it, which the trace does not tell: an assumption.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from spillgate.replay.traces import Clock, misread, name_of, opened, traced
from spillgate.replay.workload import Op, Request, Workload
from spillgate.units import format_bytes

NAMESPACE = "blocks"
DEFAULT_BLOCK_BYTES = 2048
"""The text of 512 tokens, at four characters each."""

_MS = 0.001


class _Line(msgspec.Struct, frozen=True, gc=False):
    timestamp: float
    hash_ids: list[int]


def read_mooncake(path: Path, block_bytes: int = DEFAULT_BLOCK_BYTES) -> Workload:
    """The workload in the file at ``path``, with ``block_bytes`` assumed for each block.

    Raises:
        ConfigError: a line cannot be used; it is named.
    """
    note = f"Mooncake trace {path.name}; assumed: each block takes {format_bytes(block_bytes)}"
    return traced(name_of(path), note, lambda: _requests(path, block_bytes))


def _requests(path: Path, block_bytes: int) -> Iterator[Request]:
    decoder, clock = msgspec.json.Decoder(_Line), Clock(path, _MS)
    with opened(path) as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                line = decoder.decode(text)
            except msgspec.DecodeError as error:
                raise misread(path, number, f'expected {{"timestamp": 0, "hash_ids": [0, 1]}}: {error}') from error
            at_s = clock.at(line.timestamp, number)
            for block in line.hash_ids:
                yield Request(at_s, NAMESPACE, str(block), Op.GET, block_bytes)
