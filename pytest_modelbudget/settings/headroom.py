"""Limits from what was measured: with some room above it, in numbers that people write."""

from __future__ import annotations

from fractions import Fraction

from pytest_modelbudget.profile.metrics import Metric
from pytest_modelbudget.profile.units import parse_percentage

DEFAULT = "5%"
_DIGITS = 3
_COUNTS = ("", "K", "M", "G", "T")
_BYTES = (" B", " kB", " MB", " GB", " TB")


def parse_headroom(text: str) -> Fraction:
    """``"5%"`` as the fraction 1/20.

    Raises:
        ValueError: it is no percentage.
    """
    return parse_percentage(text)


def limit_for(measured: int, headroom: Fraction, metric: Metric) -> int | str:
    """What to write as the limit of a metric: no less than ``measured`` and its headroom, rounded up to three digits.

    Without headroom it is ``measured`` itself.
    """
    if not headroom:
        return measured
    exact = measured * (1 + headroom)
    least: int = -(-exact.numerator // exact.denominator)
    step: int = 10 ** max(0, len(str(least)) - _DIGITS)
    rounded = -(-least // step) * step
    power = min(max(0, (len(str(rounded)) - 1) // 3), len(_COUNTS) - 1)
    if not power:
        return rounded
    giga = "B" if metric.unit == "params" and power == 3 else _COUNTS[power]
    return _decimal(rounded, power) + (_BYTES[power] if metric.in_bytes else giga)


def _decimal(value: int, power: int) -> str:
    """A value in units of a power of 1000, as a decimal number."""
    whole, rest = divmod(value, 1000**power)
    return f"{whole}.{rest:0{3 * power}d}".rstrip("0").rstrip(".")
