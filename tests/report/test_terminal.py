"""What a terminal shows of verdicts, at any width."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_modelbudget.gate.verdict import check
from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.layer_table import to_text
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.report.terminal import breach_summary, failure, model_lines, models_table
from pytest_modelbudget.report.verdict_text import notes_of
from pytest_modelbudget.settings.limits import Limit, Place

NAME = "encoder.layers.11.mlp"
PROFILE = Profile(
    layers={
        "": Layer("", "Net"),
        NAME: Layer(NAME, "Linear", "in_features=3072, out_features=768", 1, params=2_360_064, macs=464_781_312),
        "head": Layer("head", "Linear", "in_features=768, out_features=1000", 2, params=769_000, macs=768_000),
    },
    peak_memory=123,
    model="vit",
)
OVER = check(PROFILE, {"params": Limit(max=3_000_000, places={"max": Place("pyproject.toml", 12, "[x] params")})})


def test_the_summary_is_one_line_with_each_broken_limit() -> None:
    verdict = check(PROFILE, {"params": Limit(max=3_000_000), "macs": Limit(max=1), "size": Limit(max=1)})
    assert breach_summary(verdict) == "vit: params 3.1M > 3M; macs 465.5M > 1"


def test_the_summary_does_not_say_again_what_the_test_is_called() -> None:
    assert breach_summary(OVER, "pyproject.toml::vit") == breach_summary(OVER, "vit") == "params 3.1M > 3M"


def test_a_case_is_named_with_its_model() -> None:
    assert breach_summary(replace(OVER, profile=replace(PROFILE, case="hd"))).startswith("vit@hd: ")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_numbers_are_whole_at_any_width(width: int) -> None:
    text = to_text(failure(OVER, "pytest x -vv"), width)
    assert f"{NAME}  2,360,064  75.4%  Linear(in" in text
    assert "limit        pyproject.toml:12: [x] params\n" in text
    assert all(len(line) <= width for line in text.splitlines())


def test_several_calls_are_said() -> None:
    assert "out_features=1000) × 2 calls" in to_text(failure(OVER, ""), 200)


def test_there_are_no_escape_sequences_without_colour() -> None:
    assert "\x1b" not in to_text(failure(OVER, ""), 80)
    assert "\x1b[" in to_text(failure(OVER, ""), 80, colour=True)


def test_a_name_is_shown_as_it_is_written() -> None:
    hostile = replace(OVER, profile=replace(PROFILE, model="[bold]x[/bold] :smile:"))
    assert "[bold]x[/bold] :smile: is over budget" in to_text(failure(hostile, ""), 80)


def test_several_verdicts_of_one_profile_are_put_together() -> None:
    other = check(PROFILE, {"macs": Limit(max=500_000_000)})
    rows = to_text(models_table([OVER, other, other]), 100).splitlines()
    assert [row.split()[:2] for row in rows] == [["model", "metric"], ["vit", "params"], ["macs", "465.5M"]]
    [line] = model_lines([OVER, other])
    assert to_text(line, 20) == "vit over budget  params 3.1M > 3M  macs 465.5M ≤ 500M\n"


def test_two_models_of_one_name_are_two_rows() -> None:
    other = check(replace(PROFILE, peak_memory=5), {"params": Limit(max=9_000_000)})
    assert len(to_text(models_table([OVER, other]), 100).splitlines()) == 3


def test_each_limit_says_how_much_is_used() -> None:
    verdict = check(PROFILE, {"params": Limit(max=6_258_128), "macs": Limit(min=4), "size": Limit(max=0)})
    rows = [row.split() for row in to_text(models_table([verdict]), 100).splitlines()]
    assert rows[1:] == [
        ["vit", "params", "3.1M", "6.3M", "█████", "50%"],
        ["macs", "465.5M", "≥", "4"],
        ["size", "0", "B", "0", "B", "0%"],
    ]


def test_many_limits_are_told_by_the_closest_of_each_case_and_the_broken_ones() -> None:
    limits = {"params": Limit(max=4_000_000), "macs": Limit(max=10**12), "size": Limit(max=1)}
    within = [check(replace(PROFILE, model=f"vit{at}"), limits) for at in range(12)]
    over = check(replace(PROFILE, model="over"), {"params": Limit(max=1), "macs": Limit(max=10**12)})
    short = to_text(models_table([*within, over]), 100).splitlines()
    assert len(short) == 1 + 12 + 1 + 1
    assert short[-1] == "25 limits with more room hold too"
    assert len(to_text(models_table([*within, over], 1), 100).splitlines()) == 1 + 12 * 3 + 2


@pytest.mark.parametrize(
    ("limit", "used"), [(3_129_064, "100%"), (3_129_065, "99.9%"), (312_906_400, "1%"), (10**12, "under 0.001%")]
)
def test_what_is_nearly_used_up_is_not_said_to_be(limit: int, used: str) -> None:
    row = to_text(models_table([check(PROFILE, {"params": Limit(max=limit)})]), 100).splitlines()[1]
    assert row.endswith(f" {used}")


def test_what_ran_on_real_tensors_says_why() -> None:
    verdict = check(replace(PROFILE, run="real", note="aten.nonzero"), {})
    assert "vit: ran on real tensors, since the forward pass needs elements: aten.nonzero" in to_text(
        models_table([verdict]), 100
    )


def test_a_limit_of_layers_that_never_ran_is_told_of() -> None:
    # What a graph runs that was exported is the model's own work: its layers hold parameters and never run.
    layers = {"": Layer("", "GraphModule", calls=1, macs=12), "a": Layer("a", "Module"), "a.b": Layer("a.b", "Module")}
    place = Place("pyproject.toml", 5, '[m.layers."a*"] macs')
    limits = {"macs": Limit(max=5, places={"max": place}), "params": Limit(max=5)}
    idle = check(Profile(layers, model="net"), {}, {"a*": limits})
    assert notes_of(idle) == [
        'net: no layer of pyproject.toml:5: [m.layers."a*"] macs ran, so that this limit was held against nothing'
    ]
    forbidden = {"macs": Limit(max=0, places={"max": place})}
    assert notes_of(check(Profile(layers, model="net"), {}, {"a*": forbidden})) == []
    ran = Profile({**layers, "a.b": Layer("a.b", "ReLU", calls=1)}, model="net")
    assert notes_of(check(ran, {}, {"a*": limits})) == []
