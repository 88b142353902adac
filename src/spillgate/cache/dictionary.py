"""Training a dictionary, and telling when one has had its day; nothing here talks to a server.

A dictionary is worth what all keys take less with it than they do now, less what it takes itself. Both are measured on
values that it was not trained on: on its own ones even a dictionary of noise looks good.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, NamedTuple

from spillgate.cache.codec import DICTIONARY_ID_BYTES, DICTIONARY_OVER_BYTES, HEAD_BYTES, Dictionary
from spillgate.compression import Zstd, train

# zstd advises 100 KB, and 100 times as much to learn from; on chats of 0.1 to 10 KB that is where it stops to pay.
SIZES: Final = tuple(size * 1024 for size in (2, 4, 8, 16, 32, 64, 110))
# Lengths of what is taken over from a sample. By default zstd tries 50 to 2000 on the samples themselves, which
# favours short ones; conversations took 570 bytes so, and 280 with the right one of these.
_SEGMENTS: Final = (256, 512, 1024, 2048)
# A dictionary of this share of its samples has learnt them by heart.
_MOST_SHARE: Final = 1 / 2
LEAST_VALUES: Final = 40
# Every fourth value is measured, so many at the most.
_MEASURED_EVERY: Final = 4
_MOST_MEASURED: Final = 1000
# Taking the place of another, it has to win this share: for a while the server holds both.
_LEAST_BETTER: Final = 0.05
# Values are said to have changed when they take so much more than those on which the dictionary was measured: a ratio
# of 0.20 that has become 0.25. The mean of so many values is nearer to its true one than that.
_DECAYED_BY: Final = 1.25
_DECAYED_LEAST: Final = 0.02
_WINDOW_VALUES: Final = 2000
# From one time to the next that something is done about it: an hour, then two, ... then a day.
AGAIN_S: Final = 3600.0
_MOST_AGAIN_S: Final = 86_400.0
# A dictionary outlives the values that were last written with it by this much.
_MARGIN_S: Final = 60.0


class Untrainable(ValueError):
    """No dictionary can be trained; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Training:
    """A dictionary, and what it is expected to win.

    ``measured`` values were held back to measure on; ``plain``, ``now`` and ``trained`` are the bytes of those:
    uncompressed, as they are stored now (with the dictionary in force, which takes ``old_bytes``, or without), and with
    this one. ``keys`` is for how many keys it is.
    """

    content: bytes
    keys: int
    learnt: int
    measured: int
    plain: int
    now: int
    trained: int
    old_bytes: int

    @property
    def ratio(self) -> float:
        """Bytes stored for a byte of value."""
        return self.trained / self.plain

    @property
    def now_bytes(self) -> int:
        """What all keys' values take now, in bytes, with the dictionary in force."""
        return self._of_all(self.now) + self.old_bytes

    @property
    def trained_bytes(self) -> int:
        """What they would take, with this dictionary."""
        return self._of_all(self.trained) + len(self.content)

    @property
    def plain_bytes(self) -> int:
        """What they would take uncompressed."""
        return self._of_all(self.plain)

    @property
    def saving_bytes(self) -> int:
        """What is won once all values are written anew; below 0 it is a loss."""
        return self.now_bytes - self.trained_bytes

    @property
    def pays(self) -> bool:
        """Whether it is worth its while."""
        return self.saving_bytes > (_LEAST_BETTER * self.now_bytes if self.old_bytes else 0)

    def _of_all(self, measured_bytes: int) -> int:
        return round(measured_bytes * self.keys / self.measured)


class _Candidate(NamedTuple):
    """What a dictionary costs: that of all keys and its own; and how it was made."""

    cost: float
    size: int
    segment: int
    content: bytes


def learn(values: Sequence[bytes], keys: int, over_bytes: int, current: Dictionary | None = None) -> Training:
    """Train the dictionary that makes ``keys`` keys like ``values`` take the least.

    ``values`` are bytes as they are before compression, drawn fairly and in no order; those that are too short for a
    dictionary are left out. ``over_bytes`` is from where on they are compressed without one.

    This takes the processor for a second or two for 4 MB of values.

    Raises:
        Untrainable: there is too little to learn from.
    """
    among = len(values)
    values = _long(values)
    keys = round(keys * len(values) / among)
    measured = values[::_MEASURED_EVERY][:_MOST_MEASURED]
    learnt = [value for number, value in enumerate(values) if number % _MEASURED_EVERY]
    best = _best(learnt, measured, keys)
    if best is None:
        raise Untrainable(f"the {len(values)} values found have too little in common to train a dictionary")
    trained = sum_stored(measured, Zstd(best.content))
    content = _final(best, values, measured, trained)
    return Training(
        content,
        keys,
        learnt=len(values),
        measured=len(measured),
        plain=sum(map(len, measured)),
        now=sum_stored(measured, current.zstd) if current else _sum_without(measured, over_bytes),
        trained=trained,
        old_bytes=len(current.zstd.dictionary or b"") if current else 0,
    )


def sum_stored(values: Sequence[bytes], dictionary: Zstd) -> int:
    """The bytes that values take with a dictionary."""
    return sum(
        HEAD_BYTES + min(len(value), len(dictionary.compress(value)) + DICTIONARY_ID_BYTES)
        if len(value) > DICTIONARY_OVER_BYTES
        else HEAD_BYTES + len(value)
        for value in values
    )


def ratio_of(values: Sequence[bytes], dictionary: Zstd) -> float:
    """The bytes stored for a byte of value with a dictionary, of those values that are long enough for it.

    Raises:
        Untrainable: there are too few values to tell.
    """
    values = _long(values)
    return sum_stored(values, dictionary) / sum(map(len, values))


def has_decayed(trained_ratio: float, ratio: float) -> bool:
    """Whether values are stored at a clearly worse ratio than their dictionary was trained to."""
    return ratio > max(trained_ratio * _DECAYED_BY, trained_ratio + _DECAYED_LEAST)


class Decay:
    """Whether the values that this process writes are still like those that their dictionary was trained on.

    Threads that note values at once may lose some, which does no harm to a mean.
    """

    __slots__ = ("_again_s", "_clock", "_due_at_s", "_plain", "_stored", "_trained", "_values")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.begin(1.0)

    def begin(self, trained_ratio: float) -> None:
        """From here on there is another dictionary, trained to this ratio."""
        self._trained = trained_ratio
        self._values = self._plain = self._stored = 0
        self._again_s, self._due_at_s = AGAIN_S, float("-inf")

    def noted(self, plain_bytes: int, stored_bytes: int) -> bool:
        """Note a value; whether something is to be done, which after this is not said again for an hour or more."""
        if plain_bytes <= DICTIONARY_OVER_BYTES:
            return False
        self._values += 1
        self._plain += plain_bytes
        self._stored += stored_bytes
        if self._values < _WINDOW_VALUES:
            return False
        ratio = self._stored / self._plain
        self._values = self._plain = self._stored = 0
        now_s = self._clock()
        if now_s < self._due_at_s or not has_decayed(self._trained, ratio):
            return False
        self._due_at_s = now_s + self._again_s
        self._again_s = min(2 * self._again_s, _MOST_AGAIN_S)
        return True


def dictionary_ttl_ms(longest_s: float) -> int:
    """The milliseconds for which a replaced dictionary is kept, where ``longest_s`` is the longest TTL of a value."""
    return int((longest_s + _MARGIN_S) * 1000)


def pointer_to(number: int, ratio: float) -> bytes:
    """What the pointer key says: the number of the current dictionary, and the ratio it was trained to."""
    return b"%d %.4f" % (number, ratio)


def read_pointer(pointer: bytes | None) -> tuple[int | None, float]:
    """The number and the ratio that a pointer key says; None where there is no current dictionary."""
    try:
        number, _, ratio = (pointer or b"").partition(b" ")
        return int(number), float(ratio or 1)
    except ValueError:
        return None, 1.0


def _long(values: Sequence[bytes]) -> list[bytes]:
    """Those that are long enough for a dictionary."""
    found = [value for value in values if len(value) > DICTIONARY_OVER_BYTES]
    if len(found) < LEAST_VALUES:
        raise Untrainable(
            f"it takes at least {LEAST_VALUES} values of more than {DICTIONARY_OVER_BYTES} bytes, and only "
            f"{len(found)} were found"
        )
    return found


def _best(learnt: Sequence[bytes], measured: Sequence[bytes], keys: int) -> _Candidate | None:
    """The size and segment length that come out best."""
    best: _Candidate | None = None
    most = sum(map(len, learnt)) * _MOST_SHARE
    for size in [size for size in SIZES if size <= most] or [SIZES[0]]:
        for segment in _SEGMENTS:
            content = train(learnt, size, segment)
            if content is not None:
                cost = sum_stored(measured, Zstd(content)) * keys / len(measured) + len(content)
                if best is None or cost < best.cost:
                    best = _Candidate(cost, size, segment, content)
    return best


def _final(best: _Candidate, values: Sequence[bytes], measured: Sequence[bytes], trained: int) -> bytes:
    """A dictionary made like the best one, out of all values; that one itself where this turns out to be none."""
    content = train(values, best.size, best.segment)
    if content is None or len(content) > best.size or sum_stored(measured, Zstd(content)) > trained:
        return best.content
    return content


def _sum_without(values: Sequence[bytes], over_bytes: int) -> int:
    """The bytes that values take without a dictionary."""
    zstd = Zstd()
    return sum(
        HEAD_BYTES + (min(len(value), len(zstd.compress(value))) if len(value) > over_bytes else len(value))
        for value in values
    )
