"""Measuring how values compress: zstd at level 3, alone and with a dictionary trained on a quarter of them."""

import sys
from collections.abc import Sequence

from spillgate.census.files import kind_of
from spillgate.policy.findings import Value

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 3
# A dictionary is trained on every fourth value, where that gives enough to learn from.
_TRAINED_EVERY = 4
_LEAST_TRAINED = 8
# So few values make a small dictionary, of a third of what they are: tried on chats of 0.1 to 100 KB.
_LEARNT_SHARE = 3
_MOST_DICTIONARY_BYTES = 16 * 1024
_LEAST_DICTIONARY_BYTES = 256


def measure(heads: Sequence[bytes], lengths: Sequence[int]) -> list[Value]:
    """How each of these values compresses. ``heads`` are the values, or as much of each as was read of its length."""
    dictionary = _train([head for head in heads[::_TRAINED_EVERY] if head])
    return [
        Value(
            length,
            len(head),
            len(zstd.compress(head, LEVEL)),
            None
            if dictionary is None or number % _TRAINED_EVERY == 0
            else len(zstd.compress(head, LEVEL, zstd_dict=dictionary)),
            kind_of(head),
        )
        for number, (head, length) in enumerate(zip(heads, lengths, strict=True))
    ]


def _train(values: list[bytes]) -> zstd.ZstdDict | None:
    """A dictionary, None where there are too few values, or too little in them."""
    size = min(_MOST_DICTIONARY_BYTES, sum(map(len, values)) // _LEARNT_SHARE)
    if len(values) < _LEAST_TRAINED or size < _LEAST_DICTIONARY_BYTES:
        return None
    try:
        return zstd.train_dict(values, size)
    except zstd.ZstdError:
        return None
