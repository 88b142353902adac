"""What is read from and shown as sizes, durations and shares."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spillgate.errors import ConfigError, UnitError
from spillgate.units import format_bytes, format_duration, format_share, parse_bytes, parse_duration, parse_share


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("25MB", 26_214_400),
        ("256KB", 262_144),
        ("1.5GB", 1_610_612_736),
        ("25mb", 26_214_400),
        ("25 MB", 26_214_400),
        ("512B", 512),
        ("0B", 0),
        ("1048577", 1_048_577),
        (1_048_576, 1_048_576),
        (0, 0),
        ("0.3KB", 307),
    ],
)
def test_sizes_are_read_as_powers_of_1024(text: object, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1KB"),
        (1_258_291, "1.2MB"),
        (23 * 1024**2, "23MB"),
        (22_858_957, "21.8MB"),
        (1024**2 - 1, "1MB"),  # rounds up into the next unit
        (5 * 1024**4, "5120GB"),
        (-1_258_291, "-1.2MB"),
        (1.4, "1B"),
    ],
)
def test_sizes_are_shown_in_the_largest_unit(size: float, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("30s", 30.0),
        ("1.5s", 1.5),
        ("15m", 900.0),
        ("1h", 3_600.0),
        ("2d", 172_800.0),
        ("1h30m", 5_400.0),
        ("1d1h1m1s1ms", 90_061.001),
        ("0s", 0.0),
    ],
)
def test_durations_are_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.1, "100ms"),
        (0.0005, "0.5ms"),
        (0.99999, "1s"),
        (1.5, "1.5s"),
        (30, "30s"),
        (59.97, "1m"),
        (60, "1m"),
        (90, "1m30s"),
        (900, "15m"),
        (3_599.7, "1h"),
        (5_400, "1h30m"),
        (86_399, "1d"),
        (90_061, "1d1h"),
        (-90, "-1m30s"),
    ],
)
def test_durations_are_shown_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "share"),
    [("80%", 0.8), ("4.8%", 0.048), ("100%", 1.0), ("0%", 0.0), (0.8, 0.8), ("0.88", 0.88), (1, 1.0), (0, 0.0)],
)
def test_shares_are_read_as_fractions(value: object, share: float) -> None:
    assert parse_share(value) == share


@pytest.mark.parametrize(
    ("share", "text"), [(0.048, "4.8%"), (0.8, "80%"), (0, "0%"), (1.05, "105%"), (0.0004, "0%"), (0.9999, "100%")]
)
def test_shares_are_shown_as_percent(share: float, text: str) -> None:
    assert format_share(share) == text


WRONG_FOR_ALL: list[object] = [
    "",
    " ",
    "x",
    "-1",
    "1e3",
    "٣",
    "9" * 5_000,
    "9" * 5_000 + "s",
    None,
    True,
    [],
    -1,
    float("nan"),
    float("inf"),
]


@pytest.mark.parametrize(
    "value", [*WRONG_FOR_ALL, "25X", "MB", "25TB", "-1MB", "1.5", "1,5MB", "25MB\n", 1.5], ids=repr
)
def test_what_is_not_a_size_is_refused(value: object) -> None:
    with pytest.raises(UnitError, match='expected a size such as "25MB"'):
        parse_bytes(value)


@pytest.mark.parametrize(
    "value", [*WRONG_FOR_ALL, 30, "30", "30 s", "30S", "m", "30m1h", "1h1h", "5mm", "-30s", "1h-5m"], ids=repr
)
def test_what_is_not_a_duration_is_refused(value: object) -> None:
    with pytest.raises(UnitError, match='expected a duration such as "100ms"'):
        parse_duration(value)


@pytest.mark.parametrize("value", [*WRONG_FOR_ALL, "101%", "80", 80, 1.01, "%", "80 %%", "0x1"], ids=repr)
def test_what_is_not_a_share_is_refused(value: object) -> None:
    with pytest.raises(UnitError, match='expected a share such as "80%"'):
        parse_share(value)


@pytest.mark.parametrize(
    ("parse", "given", "shown"),
    [(parse_bytes, "25TB", '"25TB"'), (parse_duration, 30, "30"), (parse_share, True, "true")],
)
def test_the_error_shows_what_was_given_as_a_policy_file_writes_it(
    parse: Callable[[object], float], given: object, shown: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(given)
    assert str(caught.value).endswith(f", got {shown}")


@given(st.integers(0, 2**60))
def test_a_shown_size_is_within_a_twentieth_of_its_unit(size: int) -> None:
    shown = format_bytes(size)
    unit = parse_bytes("1" + shown.lstrip("0123456789."))
    assert abs(parse_bytes(shown) - size) <= 0.05 * unit + 0.5
    assert format_bytes(parse_bytes(shown)) == shown


@given(st.floats(0, 1e9))
@example(1.25)
@example(88_200)
def test_a_shown_duration_reads_back_as_itself(seconds: float) -> None:
    shown = format_duration(seconds)
    assert format_duration(parse_duration(shown)) == shown
    # Half of the last place: of the decimal of a millisecond or second, else of the second unit (of a day, an hour).
    most_off_s = 0.00005 if seconds < 1 else 0.05 if seconds < 60 else seconds / 48
    assert abs(parse_duration(shown) - seconds) <= most_off_s + 1e-9


@given(st.floats(0, 1))
def test_a_shown_share_reads_back_as_itself(share: float) -> None:
    shown = format_share(share)
    assert format_share(parse_share(shown)) == shown
    assert abs(parse_share(shown) - share) <= 0.0005 + 1e-12


@given(st.text())
def test_any_text_is_read_or_refused_with_a_unit_error(text: str) -> None:
    for parse in (parse_bytes, parse_duration, parse_share):
        try:
            assert parse(text) >= 0
        except UnitError as error:
            assert "expected" in str(error)  # noqa: PT017 (most texts are refused, but not all)
