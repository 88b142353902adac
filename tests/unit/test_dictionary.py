"""Which dictionary is trained, what it is said to win, and when it has had its day."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from spillgate import parse_policy
from spillgate.cache.codec import Codec, Dictionary
from spillgate.cache.dictionary import (
    LEAST_VALUES,
    SIZES,
    Decay,
    Training,
    Untrainable,
    dictionary_ttl_ms,
    has_decayed,
    learn,
    pointer_to,
    ratio_of,
    read_pointer,
    sum_stored,
)
from spillgate.compression import Zstd, train
from tests.chats import chat, chats, orders

OVER = 1024


def codec() -> Codec[Any]:
    policy = parse_policy('[[namespace]]\nname = "m"\nkeys = "m:*"\nttl = "1m"', "test")
    return Codec(policy.namespaces[0])


# ---- training


def test_what_is_promised_is_kept_by_values_that_were_not_there() -> None:
    training = learn(chats(800), 100_000, OVER)
    later = chats(400, first=10_000)
    assert sum_stored(later, Zstd(training.content)) == pytest.approx(training.ratio * sum(map(len, later)), rel=0.05)
    assert training.ratio < 0.5
    assert training.pays


def test_bytes_are_those_that_the_codec_writes() -> None:
    writes = codec()
    values = [chat(number) for number in range(80)]
    content = train(chats(400), 4096, 512)
    assert content is not None
    dictionary = Dictionary(7, Zstd(content))
    written = sum(len(writes.encode(value, dictionary).data) for value in values)
    assert sum_stored(chats(80), dictionary.zstd) == written
    training = learn(chats(80), 80, over_bytes=100)
    without = [msgspec.msgpack.decode(value) for value in chats(80)[::4]]
    policy = replace(
        parse_policy('[[namespace]]\nname = "m"\nkeys = "m:*"\nttl = "1m"', "test").namespaces[0],
        compress_over_bytes=100,
    )
    alone: Codec[Any] = Codec(policy)
    assert training.now == sum(len(alone.encode(value).data) for value in without)


def test_the_more_keys_the_larger_the_dictionary_may_be() -> None:
    values = chats(800)
    few, many = learn(values, 100, OVER), learn(values, 1_000_000, OVER)
    assert len(few.content) < len(many.content) <= SIZES[-1]
    assert few.trained > many.trained


def test_the_sum_is_that_of_all_keys_and_of_the_dictionary() -> None:
    training = Training(b"x" * 1000, 500, learnt=40, measured=10, plain=3000, now=2000, trained=500, old_bytes=0)
    assert (training.plain_bytes, training.now_bytes, training.trained_bytes) == (150_000, 100_000, 26_000)
    assert (training.saving_bytes, training.ratio, training.pays) == (74_000, pytest.approx(1 / 6), True)


def test_what_does_not_pay_is_said_so() -> None:
    training = learn(chats(60), 10, OVER)
    assert training.saving_bytes < 0
    assert not training.pays


def test_noise_pays_for_no_dictionary() -> None:
    noise = [random.Random(number).randbytes(200) for number in range(200)]
    assert not learn(noise, 10_000, OVER).pays


def test_the_one_in_force_must_be_beaten_clearly() -> None:
    values = chats(800)
    first = learn(values, 10_000, OVER)
    in_force = Dictionary(1, Zstd(first.content))
    again = learn(values, 10_000, OVER, in_force)
    assert again.old_bytes == len(first.content)
    assert not again.pays
    assert learn(orders(800), 10_000, OVER, in_force).pays


@pytest.mark.parametrize(
    "values",
    [[], [b""] * 500, [b"12345"] * 500, chats(LEAST_VALUES - 1)],
    ids=["none", "empty", "short", "few"],
)
def test_too_little_to_learn_from_is_told(values: list[bytes]) -> None:
    with pytest.raises(Untrainable, match=rf"at least {LEAST_VALUES} values of more than 24 bytes, and only \d+ were"):
        learn(values, 1000, OVER)


@pytest.mark.parametrize(
    ("value", "pays"),
    [(b"x" * 100, True), (bytes(30), True), (b"ab" * 5000, False)],
    ids=["x", "zeros", "packed well already"],
)
def test_values_that_are_all_the_same_can_be_learnt_from(value: bytes, pays: bool) -> None:  # noqa: FBT001 (a case)
    training = learn([value] * 200, 1000, OVER)
    assert training.pays is pays
    assert len(training.content) < 200


def test_short_values_do_not_count_among_the_keys() -> None:
    values = [one for pair in zip(chats(200), [b"1"] * 200, strict=True) for one in pair]
    assert learn(values, 10_000, OVER).keys == 5000


def test_large_values_are_learnt_from_too() -> None:
    large = [b"".join(chats(60, first=60 * number)) for number in range(60)]
    assert min(map(len, large)) > 4096
    training = learn(large, 1000, OVER)
    assert training.pays
    assert training.trained < training.now


# ---- the pointer


@pytest.mark.parametrize(("number", "ratio"), [(1, 0.25), (65_535, 0.0365)])
def test_a_pointer_is_read_as_it_was_written(number: int, ratio: float) -> None:
    assert read_pointer(pointer_to(number, ratio)) == (number, pytest.approx(ratio, abs=1e-4))


@pytest.mark.parametrize(
    ("pointer", "read"),
    [(None, None), (b"", None), (b"nonsense", None), (b"5 half", None), (b"\xff 1", None), (b"5", 5)],
)
def test_a_pointer_of_somebody_else_points_nowhere(pointer: bytes | None, read: int | None) -> None:
    assert read_pointer(pointer) == (read, 1.0)


def test_a_dictionary_outlives_its_values() -> None:
    assert dictionary_ttl_ms(600) > 600_000


# ---- decay


@pytest.mark.parametrize(
    ("trained", "now", "decayed"),
    [(0.2, 0.2, False), (0.2, 0.24, False), (0.2, 0.26, True), (0.03, 0.045, False), (0.03, 0.06, True), (1, 1, False)],
)
def test_decay_is_a_quarter_more(trained: float, now: float, decayed: bool) -> None:  # noqa: FBT001 (a case)
    assert has_decayed(trained, now) is decayed


def test_the_ratio_of_live_values() -> None:
    training = learn(chats(800), 10_000, OVER)
    zstd = Zstd(training.content)
    assert ratio_of(chats(200, first=5000), zstd) == pytest.approx(training.ratio, rel=0.1)
    assert has_decayed(training.ratio, ratio_of([random.Random(n).randbytes(99) for n in range(99)], zstd))
    with pytest.raises(Untrainable):
        ratio_of(chats(3), zstd)


class Hours:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def write(decay: Decay, count: int, stored: int) -> int:
    """How often something was to be done, of so many values of 100 bytes."""
    return sum(decay.noted(100, stored) for _ in range(count))


def test_decay_is_told_once_an_hour_then_less_often() -> None:
    decay, clock = _decay()
    assert write(decay, 1999, 90) == 0
    assert write(decay, 10_001, 90) == 1
    clock.now_s += 3601
    assert write(decay, 4000, 90) == 1
    clock.now_s += 3601
    assert write(decay, 4000, 90) == 0
    clock.now_s += 3601
    assert write(decay, 4000, 90) == 1


def test_as_long_as_values_are_as_they_were_nothing_is_told() -> None:
    decay, _ = _decay()
    assert write(decay, 20_000, 23) == 0


def test_another_dictionary_begins_anew() -> None:
    decay, _ = _decay()
    assert write(decay, 2000, 90) == 1
    decay.begin(0.9)
    assert write(decay, 10_000, 90) == 0
    decay.begin(0.2)
    assert write(decay, 2000, 90) == 1


def test_values_too_short_for_a_dictionary_are_not_looked_at() -> None:
    decay, _ = _decay()
    assert sum(decay.noted(24, 26) for _ in range(10_000)) == 0


def _decay() -> tuple[Decay, Hours]:
    clock = Hours()
    decay = Decay(clock)
    decay.begin(0.2)
    return decay, clock


# ---- compression itself


@pytest.mark.parametrize("messages", [1, 40], ids=["small", "large"])
def test_small_and_large_values_come_back(messages: int) -> None:
    content = train(chats(400), 8192, 512)
    assert content is not None
    writer, reader = Zstd(content), Zstd(content)
    for number in range(20):
        value = b"".join(chats(messages, number))
        assert reader.decompress(writer.compress(value), len(value)) == value


@pytest.mark.parametrize("segment", [None, 1, 16, 64, 10_000])
def test_no_length_of_segment_breaks_the_training(segment: int | None) -> None:
    content = train(chats(100), 4096, segment)
    assert content is None or len(content) <= 4096
