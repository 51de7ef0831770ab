"""The fixtures `modelbudget` and `model_profile`, and the marker."""

from __future__ import annotations

import textwrap
from functools import partial

import pytest

from tests.plugin.conftest import MODELS, PERCEPTRON, MakeProject

NAMED = f"{PERCEPTRON}params = 58\nmacs = 144\n[tool.modelbudget.models.perceptron.cases.wide]\ninputs = [10, 4]\n"
HEAD = "import pytest\nimport torch\nfrom models import Perceptron\n"
# For tests that fail before anything is measured.
UNMEASURED_HEAD = "import pytest\nPerceptron = object\n"


@pytest.mark.needs_torch
def test_the_fixture_measures_checks_and_gives_the_profile(project: MakeProject) -> None:
    test = """
        def test_it(modelbudget):
            profile = modelbudget(Perceptron(), (3, 4), params=58, macs="144")
            assert (profile.params, profile.macs, profile["hidden"].macs) == (58, 144, 96)
    """
    project("", HEAD + _dedent(test)).runpytest().assert_outcomes(passed=1)


@pytest.mark.needs_torch
def test_the_fixture_fails_a_test_over_budget_where_it_is_called(project: MakeProject) -> None:
    test = """
        def test_it(modelbudget):
            modelbudget(Perceptron, (3, 4), name="mine", params={"max": 57})
    """
    result = project("", HEAD + _dedent(test)).runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            '>*modelbudget(Perceptron, (3, 4), name="mine", params={"max": 57})',
            "E *mine is over budget",
            "E *params: 58 is over the limit of 57 by 1 (1.75%); no baseline",
            "E *hidden * 40 *",
            "E *limit        test_it.py:5: modelbudget(...) params",
            "mine   params        58     57  ██████████  102%",
            "FAILED test_it.py::test_it - mine: params 58 > 57",
        ]
    )


@pytest.mark.needs_torch
def test_budget_exceeded_can_be_caught_and_read(project: MakeProject) -> None:
    test = """
        from pytest_modelbudget import BudgetExceeded

        def test_it(modelbudget):
            with pytest.raises(BudgetExceeded) as caught:
                modelbudget(Perceptron, (3, 4), params=57)
            [breach] = caught.value.verdict.breaches
            assert (breach.metric, breach.limit, breach.measured, breach.excess) == ("params", 57, 58, 1)
            assert isinstance(caught.value, AssertionError)
    """
    project("", HEAD + _dedent(test)).runpytest().assert_outcomes(passed=1)


@pytest.mark.needs_torch
def test_measure_checks_nothing(project: MakeProject) -> None:
    test = """
        def test_it(modelbudget):
            assert modelbudget.measure(Perceptron, torch.zeros(3, 4)).macs == 144
    """
    project("", HEAD + _dedent(test)).runpytest().assert_outcomes(passed=1)


@pytest.mark.needs_torch
def test_a_model_is_named_after_its_test(project: MakeProject) -> None:
    test = """
        def test_it(modelbudget):
            assert modelbudget(Perceptron, (3, 4)).model == "test_it.py::test_it"
            assert modelbudget(Perceptron, (3, 4), name="mine").model == "mine"
    """
    project("", HEAD + _dedent(test)).runpytest().assert_outcomes(passed=1)


@pytest.mark.needs_torch
def test_a_model_that_cannot_be_measured_is_an_error(project: MakeProject) -> None:
    test = """
        def test_it(modelbudget):
            modelbudget(Perceptron, (3, 5), params=58)
    """
    result = project("", HEAD + _dedent(test)).runpytest()
    result.assert_outcomes(errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["could not measure: the forward pass failed in hidden (Linear) on float32 3×5: *", "measured in test_it.py:5"]
    )


measuring = partial(pytest.param, marks=pytest.mark.needs_torch)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("Perceptron, (3, 4), parms=58", 'parms: unknown metric; did you mean "params"?'),
        ("Perceptron, (3, 4), params=1.5", "params: *bare float*"),
        measuring("Perceptron, 3", "inputs: expected a tensor, a shape such as (1, 3, 224, 224), *, not int"),
        measuring("3, (3, 4)", "*expected an nn.Module or a callable that builds one, not int"),
    ],
)
def test_a_wrong_argument_is_said_in_one_message(project: MakeProject, call: str, message: str) -> None:
    result = project("", f"{UNMEASURED_HEAD}def test_it(modelbudget):\n    modelbudget({call})\n").runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(f"*{message}")
    result.stdout.no_fnmatch_line("*pytest_modelbudget/*")


@pytest.mark.needs_torch
def test_a_marker_names_a_configured_model(project: MakeProject) -> None:
    test = """
        @pytest.mark.modelbudget("perceptron")
        def test_it(model_profile):
            assert model_profile.macs == 144

        @pytest.mark.modelbudget("perceptron@wide")
        def test_wide(model_profile):
            assert model_profile.macs == 480
    """
    result = project(NAMED, HEAD + _dedent(test)).runpytest("test_it.py")
    # The limit of 144 MACs holds for the case `wide` too.
    result.stdout.fnmatch_lines("FAILED test_it.py::test_wide - perceptron@wide: macs 480 > 144")
    result.assert_outcomes(passed=1, failed=1)


@pytest.mark.needs_torch
def test_a_marker_describes_a_model_in_place(project: MakeProject) -> None:
    test = """
        @pytest.mark.modelbudget(model=Perceptron, inputs=(3, 4), params=58)
        def test_within(model_profile):
            assert model_profile.params == 58

        @pytest.mark.modelbudget(model=Perceptron, inputs=(3, 4), params=57)
        def test_over():
            raise RuntimeError("ran although the model is over budget")
    """
    result = project("", HEAD + _dedent(test)).runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "  params: 58 is over the limit of 57 by 1 (1.75%); no baseline",
            "limit        test_it.py:8: @pytest.mark.modelbudget params",
            "FAILED test_it.py::test_over - params 58 > 57",
        ]
    )


@pytest.mark.needs_torch
def test_a_marker_limits_what_the_fixture_measures(project: MakeProject) -> None:
    test = """
        @pytest.mark.modelbudget(params=57)
        def test_it(modelbudget):
            modelbudget(Perceptron, (3, 4))
    """
    result = project("", HEAD + _dedent(test)).runpytest()
    result.stdout.fnmatch_lines("FAILED test_it.py::test_it - *params 58 > 57")


@pytest.mark.needs_torch
def test_a_nearer_marker_holds_before_a_class(project: MakeProject) -> None:
    test = """
        @pytest.mark.modelbudget(params=57, macs=143)
        class TestIt:
            @pytest.mark.modelbudget(params=58)
            def test_it(self, modelbudget):
                modelbudget(Perceptron, (3, 4))
    """
    result = project("", HEAD + _dedent(test)).runpytest()
    result.stdout.fnmatch_lines("FAILED test_it.py::TestIt::test_it - macs 144 > 143")


def test_a_marked_test_that_measures_nothing_fails_and_says_so(project: MakeProject) -> None:
    test = """
        @pytest.mark.modelbudget(params=57)
        def test_it(modelbudget):
            pass
    """
    result = project("", UNMEASURED_HEAD + _dedent(test)).runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*held against nothing: this test measured no model;*")


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("parms=1", '@pytest.mark.modelbudget(parms=...): unknown argument; did you mean "params"?'),
        ("params='1 GFLOPs'", "@pytest.mark.modelbudget: params: *FLOPs is the unit of flops*"),
        ("model=Perceptron", "@pytest.mark.modelbudget(model=...) needs inputs=... too"),
        ("'perceptro'", '*has no model "perceptro"*did you mean "perceptron"?'),
        ("'perceptron@wde'", '*has no case "wde"; did you mean "wide"?'),
        ("'perceptron', 'other'", "@pytest.mark.modelbudget takes a model of pyproject.toml *"),
        ("3", "@pytest.mark.modelbudget takes a model of pyproject.toml *"),
    ],
)
def test_a_wrong_marker_is_an_error_at_collection(project: MakeProject, marker: str, message: str) -> None:
    test = f"{UNMEASURED_HEAD}@pytest.mark.modelbudget({marker})\ndef test_it():\n    raise RuntimeError('ran')\n"
    result = project(NAMED, test).runpytest("test_it.py")
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*ERROR collecting test_it.py*", f"test_it.py::test_it: {message}"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_model_profile_without_a_model_says_what_to_write(project: MakeProject) -> None:
    result = project("", "def test_it(model_profile): pass").runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*the fixture model_profile needs a marker that says which model: *")


@pytest.mark.needs_torch
def test_a_marker_on_a_parameter_is_read(project: MakeProject) -> None:
    test = """
        @pytest.mark.parametrize("macs", [
            pytest.param(144, marks=pytest.mark.modelbudget("perceptron")),
        ])
        def test_it(model_profile, macs):
            assert model_profile.macs == macs
    """
    project(NAMED, HEAD + _dedent(test)).runpytest("test_it.py").assert_outcomes(passed=1)


@pytest.mark.needs_torch
def test_a_unittest_method_may_be_marked(project: MakeProject) -> None:
    test = """
        import unittest

        class TestIt(unittest.TestCase):
            @pytest.mark.modelbudget("perceptron")
            def test_within(self):
                pass

            @pytest.mark.modelbudget(model=Perceptron, inputs=(3, 4), params=57)
            def test_over(self):
                pass
    """
    result = project(NAMED, HEAD + _dedent(test)).runpytest("test_it.py")
    result.assert_outcomes(passed=1, failed=1)


@pytest.mark.needs_torch
def test_each_model_and_case_is_measured_once(project: MakeProject) -> None:
    counting = """
        from models import Perceptron
        from pathlib import Path

        def build():
            with Path("builds.txt").open("a") as file:
                file.write("built\\n")
            return Perceptron()
    """
    test = """
        from counting import build

        @pytest.mark.modelbudget("perceptron")
        def test_one(model_profile): pass

        @pytest.mark.modelbudget("perceptron")
        def test_two(model_profile): pass

        @pytest.mark.modelbudget(model=build, inputs=(3, 4))
        def test_three(model_profile): pass

        @pytest.mark.modelbudget(model=build, inputs=(3, 4))
        def test_four(model_profile): pass
    """
    settings = NAMED.replace("models:Perceptron", "counting:build").replace("macs = 144", "")
    made = project(settings, HEAD + _dedent(test), counting=_dedent(counting))
    made.runpytest().assert_outcomes(passed=6)
    # Once for both cases of the configured model, once for the described one.
    assert made.path.joinpath("builds.txt").read_text() == "built\n" * 2


@pytest.mark.needs_torch
def test_the_fixture_measures_each_time_since_a_model_may_change(project: MakeProject) -> None:
    test = """
        def test_it(modelbudget):
            model = Perceptron()
            assert modelbudget(model, (3, 4)).trainable_params == 58
            model.hidden.requires_grad_(False)
            assert modelbudget(model, (3, 4)).trainable_params == 18
    """
    project("", HEAD + _dedent(test)).runpytest().assert_outcomes(passed=1)


@pytest.mark.needs_torch
def test_a_test_in_a_package_uses_the_models_of_that_package(project: MakeProject) -> None:
    made = project(NAMED)
    package = made.mkdir("package")
    package.joinpath("pyproject.toml").write_text(
        PERCEPTRON.replace("perceptron]", "mine]").replace("models:", "its_models:") + "params = 57\n"
    )
    package.joinpath("its_models.py").write_text(MODELS)
    package.joinpath("test_package.py").write_text(
        "import pytest\n\n@pytest.mark.modelbudget('mine')\ndef test_it(): pass\n"
    )
    result = made.runpytest("package/test_package.py")
    result.stdout.fnmatch_lines("FAILED package/test_package.py::test_it - mine: params 58 > 57")


def test_pytest_explains_the_fixtures_the_marker_and_the_options(project: MakeProject) -> None:
    made = project(NAMED)
    made.runpytest("--fixtures").stdout.fnmatch_lines(
        [
            "modelbudget -- *",
            "    Hold a model against limits, *",
            "model_profile -- *",
            "    The profile of the model *",
        ]
    )
    made.runpytest("--markers").stdout.fnmatch_lines("@pytest.mark.modelbudget(name | model=..., inputs=..., *")
    made.runpytest("--help").stdout.fnmatch_lines(["model budgets *", "*--modelbudget-counter=NAME*"])


def _dedent(source: str) -> str:
    return textwrap.dedent(source).lstrip("\n")
