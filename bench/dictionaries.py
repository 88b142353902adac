"""A trained dictionary in the server, as `spillgate dictionary train` leaves it there."""

from collections.abc import Sequence
from typing import Any

import msgspec
import redis

from bench.stores import PREFIX
from spillgate.cache.dictionary import learn, pointer_to
from spillgate.cache.keys import Keys

# Where values are compressed without one, in bytes: the default of ``compress_over``.
_OVER_BYTES = 1024


def trained(values: Sequence[Any], keys: int) -> tuple[bytes, float]:
    """The dictionary that makes ``keys`` keys like ``values`` take the least, and the ratio that it reaches."""
    training = learn([msgspec.msgpack.encode(value) for value in values], keys, _OVER_BYTES)
    return training.content, training.ratio


def give_dictionary(client: redis.Redis, values: Sequence[Any], keys: int) -> int:
    """Train it and store it for the namespace; its size."""
    content, ratio = trained(values, keys)
    names = Keys(PREFIX)
    client.set(names.dictionary_version(1), content)
    client.set(names.dictionary, pointer_to(1, ratio))
    return len(content)
