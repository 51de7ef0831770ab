"""A profile against its limits."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbudget.gate.verdict import NoLayerError, Verdict, check
from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.settings.limits import Growth, Limit, Place, merge

PROFILE = Profile(
    layers={
        "": Layer("", "Net"),
        "head": Layer("head", "Sequential"),
        "head.0": Layer("head.0", "Linear", params=40, size=160, macs=32, activations=8),
        "head.1": Layer("head.1", "Linear", params=18, size=72, macs=16, activations=2),
    },
    peak_memory=300,
    model="net",
)


def broken(verdict: Verdict) -> list[tuple[str | None, str, str, int]]:
    return [(each.layer, each.metric, each.bound, each.excess) for each in verdict.breaches]


@pytest.mark.parametrize(
    ("metric", "measured"),
    [("params", 58), ("size", 232), ("macs", 48), ("flops", 96), ("activations", 10), ("peak_memory", 300)],
)
def test_a_limit_is_the_most_that_is_within_budget(metric: str, measured: int) -> None:
    assert not check(PROFILE, {metric: Limit(max=measured)}).breaches
    assert broken(check(PROFILE, {metric: Limit(max=measured - 1)})) == [(None, metric, "max", 1)]


def test_a_minimum_is_the_least_that_is_within_budget() -> None:
    assert not check(PROFILE, {"params": Limit(min=58)}).breaches
    assert broken(check(PROFILE, {"params": Limit(min=60)})) == [(None, "params", "min", 2)]


def test_the_share_of_an_excess_is_that_of_the_limit() -> None:
    [breach] = check(PROFILE, {"params": Limit(max=50)}).breaches
    assert breach.excess_share == Fraction(8, 50)
    [breach] = check(PROFILE, {"params": Limit(max=0)}).breaches
    assert breach.excess_share is None


def test_growth_is_held_against_the_baseline() -> None:
    # 58 parameters are 8 more than 50: 16 percent.
    baseline = Profile(layers={"": Layer("", "Net", params=50)}, peak_memory=0)
    within = {"params": Limit(growth=Growth(relative=Fraction(16, 100)))}
    assert not check(PROFILE, within, baseline=baseline).breaches
    over = {"params": Limit(growth=Growth(relative=Fraction(14, 100)))}
    [breach] = check(PROFILE, over, baseline=baseline).breaches
    assert (breach.bound, breach.limit, breach.baseline, breach.excess) == ("growth", 57, 50, 1)


@pytest.mark.parametrize(
    ("growth", "told"),
    [
        (Growth(relative=Fraction(25, 1000)), "2.5%"),  # one parameter of 50, which 2% would allow too
        (Growth(absolute=3), "3 params"),
        (Growth(relative=Fraction(2, 100), absolute=3), "3 params"),  # 3 are more than 1
        (Growth(relative=Fraction(10, 100), absolute=3), "10%"),  # 5 are more than 3
    ],
)
def test_the_growth_that_holds_is_told_in_words(growth: Growth, told: str) -> None:
    baseline = Profile(layers={"": Layer("", "Net", params=50)}, peak_memory=0)
    [checked] = check(PROFILE, {"params": Limit(growth=growth)}, baseline=baseline).checks
    assert checked.growth == told


def test_growth_that_is_accepted_starts_from_what_is_measured() -> None:
    baseline = Profile(layers={"": Layer("", "Net", params=50)}, peak_memory=0)
    limits = {"params": Limit(growth=Growth(relative=Fraction(50, 100)))}
    [checked] = check(PROFILE, limits, baseline=baseline, accept_growth=True).checks
    assert (checked.limit, checked.baseline, checked.growth) == (58 + 29, 58, "50%")


def test_of_two_allowances_the_larger_one_holds() -> None:
    growth = Growth(relative=Fraction(1, 10), absolute=3)
    assert growth.allowance(100) == 10
    assert growth.allowance(10) == 3
    assert growth.allowance(0) == 3


def test_growth_without_a_baseline_is_new() -> None:
    verdict = check(PROFILE, {"params": Limit(max=58, growth=Growth(absolute=0))})
    assert verdict.new == ("params",)
    assert [each.bound for each in verdict.checks] == ["max"]


def test_a_layer_is_limited_with_its_children() -> None:
    assert broken(check(PROFILE, {}, {"head": {"params": Limit(max=57)}})) == [("head", "params", "max", 1)]


def test_a_pattern_limits_each_layer_that_it_matches() -> None:
    verdict = check(PROFILE, {}, {"head.*": {"macs": Limit(max=20)}})
    assert [each.layer for each in verdict.checks] == ["head.0", "head.1"]
    assert broken(verdict) == [("head.0", "macs", "max", 12)]


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(NoLayerError, match="haed"):
        check(PROFILE, {}, {"haed": {"params": Limit(max=1)}})


def test_a_pattern_does_not_match_the_model_itself() -> None:
    assert [each.layer for each in check(PROFILE, {}, {"*": {"params": Limit(max=99)}}).checks] == [
        "head",
        "head.0",
        "head.1",
    ]


def test_a_verdict_survives_as_plain_data() -> None:
    limits = {"params": Limit(max=57, places={"max": Place("pyproject.toml", 3, "[x] params")})}
    verdict = check(PROFILE, {**limits, "macs": Limit(growth=Growth(absolute=1))})
    assert Verdict.from_plain(json.loads(json.dumps(verdict.to_plain()))) == verdict


def test_merging_takes_each_bound_that_is_left_open_from_the_default() -> None:
    there, here = Place("a", 1, ""), Place("b", 2, "")
    default = Limit(max=5, growth=Growth(absolute=1), places={"max": there, "growth": there})
    merged = merge({"params": Limit(max=9, places={"max": here})}, {"params": default, "macs": default})
    assert merged["params"] == Limit(max=9, growth=Growth(absolute=1), places={"max": here, "growth": there})
    assert merged["macs"] == default


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_maximum_is_broken_exactly_when_it_is_exceeded(measured: int, most: int) -> None:
    profile = Profile(layers={"": Layer("", "Net", params=measured)}, peak_memory=0)
    verdict = check(profile, {"params": Limit(max=most)})
    assert bool(verdict.breaches) == (measured > most)
    assert sum(each.excess for each in verdict.breaches) == max(0, measured - most)
