"""Limits: the most, the least, or the most growth that one metric may reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from pytest_modelbudget.profile.metrics import Metric
from pytest_modelbudget.profile.units import format_apart, format_exact, parse_percentage, parse_quantity
from pytest_modelbudget.text.wording import Mistake, instead
from pytest_modelbudget.text.wording import shown as in_words


@dataclass(frozen=True)
class Growth:
    """How much a metric may exceed its baseline; of two allowances the larger one holds.

    Attributes:
        relative: fraction of the baseline (``2%`` is ``Fraction(1, 50)``), or None.
        absolute: amount in the metric's own unit, or None.
    """

    relative: Fraction | None = None
    absolute: int | None = None

    def allowance(self, baseline: int) -> int:
        """The growth allowed over ``baseline``, in the metric's own unit, rounded down."""
        by_fraction = int(baseline * self.relative) if self.relative is not None else 0
        return max(by_fraction, self.absolute or 0)

    def told(self, baseline: int, metric: Metric) -> str:
        """The allowance over ``baseline`` that holds: the percentage that is written, or an amount: ``1,000 MACs``."""
        if self.relative is None or self.allowance(baseline) > int(baseline * self.relative):
            return format_exact(self.absolute or 0, metric)
        return f"{float(100 * self.relative):g}%"


@dataclass(frozen=True)
class Place:
    """Where a limit is written, for the reader who wants to change it.

    Attributes:
        file: path of the file, as it should be shown.
        line: line number from 1, or None where it is not known.
        label: the table and key (``[tool.modelbudget.models.alexnet] params``), or what stands there.
    """

    file: str
    line: int | None
    label: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.label}" if self.label else where


@dataclass(frozen=True)
class Limit:
    """The bounds of one metric, each with the place where it is written.

    Attributes:
        max: the largest value within budget, or None.
        min: the smallest value within budget, or None.
        growth: the growth allowed over the baseline, or None.
        places: ``"max"``, ``"min"`` or ``"growth"`` to where that bound is written.
    """

    max: int | None = None
    min: int | None = None
    growth: Growth | None = None
    places: Mapping[str, Place] | None = None

    def over(self, default: Limit) -> Limit:
        """This limit, with the bounds that it leaves open taken from ``default``."""
        return Limit(
            max=self.max if self.max is not None else default.max,
            min=self.min if self.min is not None else default.min,
            growth=self.growth if self.growth is not None else default.growth,
            places={**(default.places or {}), **(self.places or {})},
        )


Limits = Mapping[str, Limit]


def merge(limits: Limits, defaults: Limits) -> dict[str, Limit]:
    """``limits`` completed, bound by bound, from ``defaults``; keys are metrics."""
    merged = dict(defaults)
    for key, limit in limits.items():
        merged[key] = limit.over(defaults[key]) if key in defaults else limit
    return merged


def parse_limit(value: object, metric: Metric) -> Limit:
    """The limit that a user wrote for ``metric``, without places.

    Args:
        value: a quantity, which is the same as ``max``, or a table of ``max``, ``min`` and ``growth``.
        metric: whose limit it is.

    Raises:
        ValueError: it is no limit of this metric; the message says what is wrong and what would be right.
    """
    if not isinstance(value, dict):
        return Limit(max=parse_quantity(value, metric))
    _check_keys(value, ("max", "min", "growth"))
    limit = Limit(
        max=_part(value, "max", metric),
        min=_part(value, "min", metric),
        growth=_growth(value["growth"], metric) if "growth" in value else None,
    )
    complaint = contradiction(limit, metric)
    if complaint:
        raise Mistake(complaint)
    return limit


def contradiction(limit: Limit, metric: Metric) -> str | None:
    """What is wrong with a limit that no value can keep, or None."""
    if limit.max is None or limit.min is None or limit.min <= limit.max:
        return None
    most, least = format_apart((limit.max, limit.min), metric)
    return f"max {most} is less than min {least}; no model can be within both"


def _growth(value: object, metric: Metric) -> Growth:
    """The allowance that ``growth`` gives."""
    if isinstance(value, str) and "%" in value:
        return Growth(relative=_percentage(value, ("growth",)))
    if not isinstance(value, dict):
        return Growth(absolute=_part({"growth": value}, "growth", metric))
    try:
        _check_keys(value, ("relative", "absolute"))
        relative = _percentage(value["relative"], ("relative",)) if "relative" in value else None
        absolute = _part(value, "absolute", metric)
    except Mistake as mistake:
        raise mistake.under("growth") from None
    return Growth(relative, absolute)


def _check_keys(table: dict[str, object], valid: tuple[str, ...]) -> None:
    """Refuse a table that has no keys, or others than ``valid``."""
    if not table:
        raise Mistake(f"an empty table limits nothing; write {', '.join(valid[:-1])} or {valid[-1]}")
    for key in table:
        if key not in valid:
            raise Mistake(f"unknown key; {instead(str(key), valid)}", (str(key),))


def _part(table: Mapping[str, object], key: str, metric: Metric) -> int | None:
    """The quantity under ``key``, or None where there is no such key."""
    if key not in table:
        return None
    try:
        return parse_quantity(table[key], metric)
    except Mistake as mistake:
        raise mistake.under(key) from None


def _percentage(value: object, path: tuple[str, ...]) -> Fraction:
    """The fraction that a percentage under ``path`` stands for."""
    if not isinstance(value, str):
        raise Mistake(f'must be a percentage such as "5%", not {in_words(value)}', path)
    try:
        return parse_percentage(value)
    except Mistake as mistake:
        raise mistake.under(*path) from None
