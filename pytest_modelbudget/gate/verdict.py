"""A profile against its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.settings.limits import Limits, Place

if TYPE_CHECKING:
    from pytest_modelbudget.profile.diff import Diff

Bound = Literal["max", "min", "growth"]


class NoLayerError(LookupError):
    """A layer pattern matches no layer."""


@dataclass(frozen=True)
class Check:
    """One bound of one metric, held against what was measured.

    Attributes:
        metric: key of the metric.
        bound: which bound it is.
        limit: the largest value (of a ``min``: the smallest) within budget.
        measured: the value measured.
        layer: qualified name of the layer that is limited, or None for the whole model.
        baseline: the recorded value, or None where there is none.
        place: where the bound is written.
        growth: the growth that is allowed, in words: ``2%``, ``1,000 params``; empty of another bound.
    """

    metric: str
    bound: Bound
    limit: int
    measured: int
    layer: str | None = None
    baseline: int | None = None
    place: Place | None = None
    growth: str = ""

    @property
    def excess(self) -> int:
        """By how much the limit is broken, in the metric's unit; 0 where it holds."""
        return max(0, self.limit - self.measured if self.bound == "min" else self.measured - self.limit)

    @property
    def excess_share(self) -> Fraction | None:
        """`excess` as a fraction of the limit; None for a limit of 0."""
        return Fraction(self.excess, self.limit) if self.limit else None


@dataclass(frozen=True)
class Verdict:
    """One profile with all that was checked of it.

    Attributes:
        profile: what was measured.
        checks: every bound that was held against it.
        new: metrics with a growth limit that could not be checked, since no baseline is recorded.
        baseline: the profile recorded earlier, or None.
        since: what `baseline` is: the file that it was read from.
        base: the commit that it is of; empty for the working tree.
        folder: the folder in which this profile is to be recorded.
        accept: the command that records it; empty where recording it is refused, or nothing is recorded.
        own_counter: the counter of its project's settings: its folder's files are counted with it, as a rule.
        note: why a recorded profile is not compared with, where that is no mistake.
        package: the folder of its project below the root; empty in the root.
    """

    profile: Profile
    checks: tuple[Check, ...] = ()
    new: tuple[str, ...] = ()
    baseline: Profile | None = None
    since: str = ""
    base: str = ""
    folder: str = ""
    accept: str = ""
    own_counter: str = ""
    note: str = ""
    package: str = ""

    @property
    def breaches(self) -> tuple[Check, ...]:
        """The checks whose limit is broken."""
        return tuple(check for check in self.checks if check.excess)

    @cached_property
    def diff(self) -> Diff | None:
        """What changed since the baseline; None where there is none."""
        return None if self.baseline is None else self.baseline.diff(self.profile)

    def to_plain(self) -> dict[str, Any]:
        """Plain data, fit for JSON; `from_plain` reads it."""
        return {
            "profile": self.profile.to_json(),
            "checks": [asdict(check) for check in self.checks],
            "new": list(self.new),
            "baseline": None if self.baseline is None else self.baseline.to_json(),
            **{key: getattr(self, key) for key in _TEXTS},
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Verdict:
        """The verdict that `to_plain` gave."""
        checks = (
            Check(**{**check, "place": Place(**check["place"]) if check["place"] else None})
            for check in plain["checks"]
        )
        return cls(
            Profile.from_json(plain["profile"]),
            tuple(checks),
            tuple(plain["new"]),
            None if plain["baseline"] is None else Profile.from_json(plain["baseline"]),
            **{key: plain[key] for key in _TEXTS},
        )


class BudgetExceeded(AssertionError):  # noqa: N818 - the public name
    """A model is over budget.

    Attributes:
        verdict: the profile, and every limit that was held against it.
    """

    __module__ = "pytest_modelbudget"

    def __init__(self, report: str, verdict: Verdict) -> None:
        super().__init__(report)
        self.verdict = verdict


_TEXTS = ("since", "base", "folder", "accept", "own_counter", "note", "package")


def check(
    profile: Profile,
    limits: Limits,
    layers: Mapping[str, Limits] | None = None,
    baseline: Profile | None = None,
    *,
    accept_growth: bool = False,
) -> Verdict:
    """Hold a profile against limits.

    Args:
        profile: what was measured.
        limits: metric to limit, for the whole model.
        layers: shell pattern over qualified names to limits of each layer that it matches, its children included.
        baseline: the profile recorded earlier, or None.
        accept_growth: whether this profile becomes the baseline, so that growth starts from it.

    Raises:
        NoLayerError: a pattern matches no layer.
    """
    checks = list(_check_limits(profile, limits, baseline, None, accept_growth))
    new = _without_baseline(limits, baseline, "")
    for pattern, layer_limits in (layers or {}).items():
        names = [name for name in profile.layers if name and fnmatchcase(name, pattern)]
        if not names:
            raise NoLayerError(pattern)
        for name in names:
            recorded = baseline[name] if baseline is not None and name in baseline.layers else None
            checks += _check_limits(profile[name], layer_limits, recorded, name, accept_growth)
            new += _without_baseline(layer_limits, recorded, f"{name} ")
    if accept_growth:
        new = []
    return Verdict(profile, tuple(checks), tuple(new), baseline)


def _check_limits(
    profile: Profile, limits: Limits, baseline: Profile | None, layer: str | None, accept_growth: bool
) -> Iterator[Check]:
    for metric, limit in limits.items():
        measured: int = getattr(profile, metric)
        recorded = _recorded(baseline, metric)
        places = limit.places or {}
        if limit.max is not None:
            yield Check(metric, "max", limit.max, measured, layer, recorded, places.get("max"))
        if limit.min is not None:
            yield Check(metric, "min", limit.min, measured, layer, recorded, places.get("min"))
        grown_from = measured if accept_growth else recorded
        if limit.growth is not None and grown_from is not None:
            most = grown_from + limit.growth.allowance(grown_from)
            told = limit.growth.told(grown_from, METRICS[metric])
            yield Check(metric, "growth", most, measured, layer, grown_from, places.get("growth"), told)


def _recorded(baseline: Profile | None, metric: str) -> int | None:
    """What a metric was; None where it was not recorded."""
    if baseline is None or metric in baseline.unknown:
        return None
    value: int = getattr(baseline, metric)
    return value


def _without_baseline(limits: Limits, baseline: Profile | None, prefix: str) -> list[str]:
    return [
        f"{prefix}{metric}"
        for metric, limit in limits.items()
        if limit.growth is not None and _recorded(baseline, metric) is None
    ]
