"""Limits: the most, the least, or the most growth that one metric may reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


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
