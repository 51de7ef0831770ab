"""Limits as people write them, above what was measured."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.units import parse_quantity
from pytest_modelbudget.settings.headroom import limit_for, parse_headroom


@pytest.mark.parametrize(
    ("measured", "metric", "limit"),
    [
        (11_689_512, "params", "12.3M"),
        (46_796_608, "size", "49.2 MB"),
        (1_814_073_344, "macs", "1.91G"),
        (7_000_000_000, "params", "7.35B"),
        (999_999, "params", "1.05M"),
        (58, "params", 61),
        (0, "macs", 0),
    ],
)
def test_five_percent_more_in_three_digits(measured: int, metric: str, limit: int | str) -> None:
    assert limit_for(measured, Fraction(1, 20), METRICS[metric]) == limit


def test_without_headroom_it_is_what_was_measured() -> None:
    assert limit_for(11_689_512, Fraction(0), METRICS["params"]) == 11_689_512


@given(st.integers(0, 10**18), st.integers(0, 300), st.sampled_from(sorted(METRICS)))
def test_a_limit_can_be_read_and_is_never_too_low_nor_far_too_high(measured: int, percent: int, key: str) -> None:
    room = parse_headroom(f"{percent}%")
    limit = parse_quantity(limit_for(measured, room, METRICS[key]), METRICS[key])
    assert measured * (1 + room) <= limit
    assert limit <= measured * (1 + room) * Fraction(101, 100) + 1
