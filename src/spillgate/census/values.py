"""Measuring how values compress: zstd at level 3, alone and with a dictionary trained on a quarter of them."""

from collections.abc import Sequence

from spillgate.census.files import kind_of
from spillgate.compression import Zstd, train
from spillgate.policy.findings import Value

# A dictionary is trained on every fourth value, where that gives enough to learn from.
_TRAINED_EVERY = 4
_LEAST_TRAINED = 8
# So few values make a small dictionary, of a third of what they are: tried on chats of 0.1 to 100 KB.
_LEARNT_SHARE = 3
_MOST_DICTIONARY_BYTES = 16 * 1024
_LEAST_DICTIONARY_BYTES = 256
# What a frame has more than ours, as others write it: a magic number, and the header of its block.
_FRAME_BYTES = 7


def measure(heads: Sequence[bytes], lengths: Sequence[int]) -> list[Value]:
    """How each of these values compresses. ``heads`` are the values, or as much of each as was read of its length."""
    alone, learnt = Zstd(), _learnt([head for head in heads[::_TRAINED_EVERY] if head])
    return [
        Value(
            length,
            len(head),
            len(alone.compress(head)) + _FRAME_BYTES,
            None if learnt is None or number % _TRAINED_EVERY == 0 else len(learnt.compress(head)) + _FRAME_BYTES,
            kind_of(head),
        )
        for number, (head, length) in enumerate(zip(heads, lengths, strict=True))
    ]


def _learnt(values: list[bytes]) -> Zstd | None:
    """What compresses with a dictionary, None where there are too few values, or too little in them."""
    size = min(_MOST_DICTIONARY_BYTES, sum(map(len, values)) // _LEARNT_SHARE)
    if len(values) < _LEAST_TRAINED or size < _LEAST_DICTIONARY_BYTES:
        return None
    dictionary = train(values, size)
    return None if dictionary is None else Zstd(dictionary)
