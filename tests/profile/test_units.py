"""Quantities as people write them, and as they are printed."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modelbudget.profile.metrics import METRICS, Metric
from pytest_modelbudget.profile.units import (
    LARGEST,
    format_apart,
    format_exact,
    format_quantity,
    parse_percentage,
    parse_quantity,
)

few = settings(max_examples=200, deadline=None, database=None)
metrics = st.sampled_from(list(METRICS.values()))


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [
        ("params", 61_100_840, 61_100_840),
        ("params", 0, 0),
        ("params", "512", 512),
        ("params", "25.6M", 25_600_000),
        ("params", "25.6M params", 25_600_000),
        ("params", "25.6 M params", 25_600_000),
        ("params", "25.6 Mparams", 25_600_000),
        ("params", "1 parameter", 1),
        ("params", "7B", 7 * 10**9),
        ("params", "7G", 7 * 10**9),
        ("params", "1.5T", 1_500_000_000_000),
        ("params", "3k", 3000),
        ("params", "3K", 3000),
        ("params", "7b", 7 * 10**9),
        ("params", "61_100_840", 61_100_840),
        ("params", "61,100,840", 61_100_840),
        ("params", "61,100,840 params", 61_100_840),
        ("params", ".5K", 500),
        ("params", "  4M  ", 4_000_000),
        ("params", "+4M", 4_000_000),
        ("trainable_params", "2M params", 2_000_000),
        ("macs", "4.1G", 4_100_000_000),
        ("macs", "4.1 GMACs", 4_100_000_000),
        ("macs", "720 MMACs", 720_000_000),
        ("macs", "12 macs", 12),
        ("flops", "8.2 GFLOPs", 8_200_000_000),
        ("flops", "8.2 gflops", 8_200_000_000),
        ("activations", "2.5M elements", 2_500_000),
        ("activations", "2.5M activations", 2_500_000),
        ("size", 244_403_360, 244_403_360),
        ("size", "512", 512),
        ("size", "512 B", 512),
        ("size", "512 bytes", 512),
        ("size", "1 byte", 1),
        ("size", "1.5 kB", 1500),
        ("size", "245 MB", 245_000_000),
        ("size", "245MB", 245_000_000),
        ("size", "2 GB", 2 * 10**9),
        ("size", "2 TB", 2 * 10**12),
        ("size", "1 KiB", 1024),
        ("size", "98 MiB", 98 * 1024**2),
        ("peak_memory", "0.5 GiB", 1024**3 // 2),
        ("peak_memory", "1 TiB", 1024**4),
    ],
)
def test_a_quantity_is_read_exactly(key: str, written: object, value: int) -> None:
    assert parse_quantity(written, METRICS[key]) == value


@pytest.mark.parametrize(
    ("key", "written", "message"),
    [
        (
            "params",
            61.2,
            'must be an integer or a string such as "61.2M" or "61.2M params", not a bare float (61.2)',
        ),
        ("params", float("nan"), "not a bare float (nan)"),
        ("params", float("inf"), "not a bare float (inf)"),
        ("size", 1.5, 'must be an integer or a string such as "245 MB", not a bare float (1.5)'),
        ("params", True, "not true"),
        ("params", None, "not a NoneType"),
        ("params", [1], "not a list"),
        ("params", {"max": 1}, "not a table"),
        ("params", -1, "-1 is negative; params is never below 0"),
        ("params", "-1M", '"-1M" is negative; params is never below 0'),
        ("params", "1.5", '"1.5" is not a whole number of params'),
        ("params", "0.0001K", '"0.0001K" is not a whole number of params'),
        ("size", "0.3 B", '"0.3 B" is not a whole number of bytes'),
        ("params", "61Q", '"61Q": unknown suffix "Q"; params is written in params'),
        ("params", "61 million", 'unknown suffix "million"'),
        ("params", "M", '"M" is no quantity; write an integer or a string such as "61.2M"'),
        ("params", "", '"" is no quantity'),
        ("params", "nan", '"nan" is no quantity'),
        ("params", "inf", '"inf" is no quantity'),
        ("params", "1e6", '"1e6" has an exponent'),
        ("params", "1E999999999", "has an exponent"),
        ("params", "1_M", '"1_M" is no number'),
        ("params", "1__0", '"1__0" is no number'),
        ("params", "1.2.3M", '"1.2.3M" is no number'),
        ("params", "1,5M", '"1,5M" is no number'),
        ("params", "1,500M", '"1,500M" has both a comma and a suffix; write decimals with a point'),
        ("params", "٣M", "is no quantity"),
        ("params", "9" * 100, "is too long for a quantity"),
        ("params", 10**24 + 1, "1000000000000000000000001 is too large; no quantity goes beyond 10^24"),
        pytest.param("params", 10**5000, "a very large integer is too large", id="thousands of digits"),
        ("params", "5%", '"5%" is a percentage, which only a relative growth takes'),
        ("macs", "8 GFLOPs", '"8 GFLOPs": FLOPs is the unit of flops; macs is written in MACs'),
        ("flops", "8 GMACs", '"8 GMACs": MACs is the unit of macs; flops is written in FLOPs'),
        ("macs", "25M params", "params is the unit of params and trainable_params; macs is written in MACs"),
        (
            "params",
            "245 MB",
            '"245 MB": bytes are the unit of size and peak_memory; params is written in params',
        ),
        ("params", "245 MiB", "bytes are the unit of size and peak_memory"),
        ("params", "12 bytes", "bytes are the unit of size and peak_memory"),
        (
            "size",
            "720 MMACs",
            '"720 MMACs": MACs is the unit of macs; size is written in bytes, such as "245 MB"',
        ),
        ("size", "245M", '"245M": write MB (powers of 1000) or MiB (powers of 1024)'),
        ("size", "4k", '"4k": write kB (powers of 1000) or KiB (powers of 1024)'),
        ("size", "245 Mb", '"245 Mb": "Mb" means bits; write MB for bytes'),
        ("size", "4 b", '"4 b": "b" means bits; write B for bytes'),
        ("size", "4 Mib", '"4 Mib": "Mib" means bits; write MiB for bytes'),
        ("size", "4 KB", '"4 KB": "KB" can be read in two ways; write kB (1000 bytes) or KiB (1024 bytes)'),
        ("size", "4 gB", '"4 gB": unknown unit "gB"; did you mean "GB"?'),
        (
            "size",
            "4 PB",
            'unknown suffix "PB"; size is written in bytes, such as "245 MB" (known: B kB MB GB TB KiB',
        ),
    ],
)
def test_what_is_no_quantity_of_the_metric_is_refused_in_plain_words(key: str, written: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_quantity(written, METRICS[key])
    assert message in str(caught.value)


def test_a_long_string_is_not_repeated_whole_in_the_message() -> None:
    with pytest.raises(ValueError, match="too long") as caught:
        parse_quantity("M" * 100_000, METRICS["params"])
    assert len(str(caught.value)) < 200


def test_the_largest_quantity_is_accepted() -> None:
    assert parse_quantity("1_000_000_000_000T", METRICS["flops"]) == LARGEST


@few
@given(st.text(), metrics)
def test_any_text_is_a_quantity_or_a_value_error(text: str, metric: Metric) -> None:
    with suppress(ValueError):
        assert 0 <= parse_quantity(text, metric) <= LARGEST


@few
@given(
    st.from_regex(r"[+-]?[0-9_.,]{1,8} ?[kKMGBTiPb%]{0,3} ?(params|MACs|flops|bytes)?", fullmatch=True),
    metrics,
)
def test_anything_like_a_quantity_is_one_or_a_value_error(text: str, metric: Metric) -> None:
    with suppress(ValueError):
        assert 0 <= parse_quantity(text, metric) <= LARGEST


@few
@given(st.integers(0, LARGEST), metrics)
def test_an_exact_text_reads_back_as_the_same_quantity(value: int, metric: Metric) -> None:
    assert parse_quantity(format_exact(value, metric), metric) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2%", Fraction(1, 50)),
        ("0.5 %", Fraction(1, 200)),
        (" 2% ", Fraction(1, 50)),
        ("0%", Fraction(0)),
        ("+10%", Fraction(1, 10)),
        ("250%", Fraction(5, 2)),
        ("0.1%", Fraction(1, 1000)),
    ],
)
def test_a_percentage_is_an_exact_fraction(written: str, value: Fraction) -> None:
    assert parse_percentage(written) == value


@pytest.mark.parametrize("written", ["2", "", "%", "two%", "2%%", "2 percent", "1e9%", "nan%", "9" * 100 + "%"])
def test_what_is_no_percentage_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r'is no percentage; write one as "5%"'):
        parse_percentage(written)


def test_a_negative_percentage_is_refused() -> None:
    with pytest.raises(ValueError, match=r'"-2%" is negative'):
        parse_percentage("-2%")


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("params", 0, "0"),
        ("params", 512, "512"),
        ("params", 999, "999"),
        ("params", 1000, "1K"),
        ("params", 61_100_840, "61.1M"),
        ("params", 62_000_000, "62M"),
        ("params", 62_000_001, "62.0M"),
        ("params", 61_150_000, "61.2M"),
        ("params", 999_949, "999.9K"),
        ("params", 999_950, "1.0M"),
        ("params", 70_553_706_496, "70.6B"),
        ("macs", 714_188_480, "714.2M"),
        ("macs", 4_089_184_256, "4.1G"),
        ("flops", 2 * 10**15, "2000T"),
        ("size", 0, "0 B"),
        ("size", 512, "512 B"),
        ("size", 1500, "1.5 kB"),
        ("size", 244_403_360, "244.4 MB"),
        ("peak_memory", 80 * 10**9, "80 GB"),
        ("macs", -1_250_000, "-1.3M"),
    ],
)
def test_a_quantity_in_short(key: str, value: int, text: str) -> None:
    assert format_quantity(value, METRICS[key]) == text


@pytest.mark.parametrize(
    ("key", "values", "texts"),
    [
        ("params", [], []),
        ("params", [61_100_840, 62_000_000], ["61.1M", "62M"]),
        ("params", [62_000_000, 62_000_000], ["62M", "62M"]),
        ("params", [62_004_000, 62_000_000], ["62.004M", "62M"]),
        ("params", [62_010_000, 62_000_500], ["62.01M", "62.00M"]),
        ("params", [62_000_001, 62_000_000], ["62,000,001", "62,000,000"]),
        ("params", [999_960, 1_000_000], ["999.96K", "1M"]),
        ("macs", [512, 714_188_480], ["512", "714.2M"]),
        ("size", [245_000_000, 245_010_000], ["245 MB", "245.01 MB"]),
        ("size", [244_403_361, 244_403_360], ["244,403,361 bytes", "244,403,360 bytes"]),
    ],
)
def test_different_quantities_are_told_apart(key: str, values: list[int], texts: list[str]) -> None:
    assert format_apart(values, METRICS[key]) == texts


@few
@given(st.integers(0, 10**13), st.integers(-2000, 2000), metrics)
def test_texts_of_different_quantities_differ_and_keep_their_order(value: int, step: int, metric: Metric) -> None:
    values = [value, max(0, value + step)]
    texts = format_apart(values, metric)
    shown = [parse_quantity(text, metric) for text in texts]
    assert (shown[0] < shown[1]) == (values[0] < values[1])
    assert (shown[0] == shown[1]) == (values[0] == values[1])


@few
@given(st.lists(st.integers(0, 10**13), max_size=6), metrics)
def test_sorted_quantities_have_sorted_texts(values: list[int], metric: Metric) -> None:
    texts = format_apart(sorted(values), metric)
    shown = [parse_quantity(text, metric) for text in texts]
    assert shown == sorted(shown)
    assert len(set(shown)) == len(set(values))


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("params", 61_100_840, "61,100,840 params"),
        ("params", 1, "1 param"),
        ("macs", 714_188_480, "714,188,480 MACs"),
        ("flops", 1, "1 FLOP"),
        ("activations", 0, "0 elements"),
        ("size", 244_403_360, "244,403,360 bytes"),
        ("size", 1, "1 byte"),
    ],
)
def test_a_quantity_to_the_last_unit(key: str, value: int, text: str) -> None:
    assert format_exact(value, METRICS[key]) == text
