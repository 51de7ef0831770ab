"""The models of pyproject.toml as test items."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import PERCEPTRON, MakeProject

WITHIN = f"{PERCEPTRON}params = 58\nmacs = 144\n"
OVER = f"{PERCEPTRON}params = 57\nmacs = 144\n"
TWO_CASES = f"{WITHIN}[tool.modelbudget.models.perceptron.cases.wide]\ninputs = [10, 4]\nmacs = 480\n"


@pytest.mark.needs_torch
def test_a_model_within_budget_passes(project: MakeProject) -> None:
    result = project(WITHIN).runpytest()
    result.assert_outcomes(passed=1)
    assert result.ret == 0


@pytest.mark.needs_torch
def test_a_model_over_budget_fails(project: MakeProject) -> None:
    result = project(OVER).runpytest()
    result.assert_outcomes(failed=1)
    assert result.ret == 1


@pytest.mark.needs_torch
def test_the_summary_line_says_model_metric_measured_and_limit(project: MakeProject) -> None:
    result = project(OVER).runpytest()
    result.stdout.fnmatch_lines("FAILED pyproject.toml::perceptron - params 58 > 57")


@pytest.mark.needs_torch
def test_the_failure_says_overshoot_dearest_layers_where_the_limit_stands_and_what_to_run(project: MakeProject) -> None:
    result = project(OVER).runpytest()
    result.stdout.fnmatch_lines(
        [
            "perceptron is over budget",
            "  params: 58 is over the limit of 57 by 1 (1.75%); no baseline",
            "The layers that cost most params:",
            "  layer * params * share * module",
            "  hidden * 40 * 69.0% * Linear(in_features=4, out_features=8, bias=True)",
            "  out * 18 * 31.0% * Linear(in_features=8, out_features=2, bias=True)",
            "limit        pyproject.toml:4: [[]tool.modelbudget.models.perceptron[]] params",
            "every layer  pytest pyproject.toml::perceptron -vv",
        ]
    )


def test_each_case_is_an_item(project: MakeProject) -> None:
    result = project(TWO_CASES).runpytest("--collect-only", "-q")
    result.stdout.fnmatch_lines(["pyproject.toml::perceptron", "pyproject.toml::perceptron@wide"])


@pytest.mark.needs_torch
@pytest.mark.parametrize("limit", ["macs = 479", "[tool.modelbudget.limits]\nactivations = 99"])
def test_a_case_has_limits_of_its_own(project: MakeProject, limit: str) -> None:
    # 10 rows: 480 MACs, and 10·8 + 10·2 = 100 activations.
    result = project(TWO_CASES.replace("macs = 480", limit)).runpytest()
    result.stdout.fnmatch_lines("FAILED pyproject.toml::perceptron@wide - *")
    assert result.ret == 1


@pytest.mark.needs_torch
def test_a_case_without_a_limit_has_that_of_the_model(project: MakeProject) -> None:
    result = project(TWO_CASES.replace("macs = 480", "")).runpytest()
    result.stdout.fnmatch_lines("FAILED pyproject.toml::perceptron@wide - macs 480 > 144")


@pytest.mark.needs_torch
def test_a_limit_on_parameters_fails_in_the_first_case_only(project: MakeProject) -> None:
    result = project(TWO_CASES.replace("params = 58", "params = 57")).runpytest()
    result.assert_outcomes(failed=1, passed=1)


@pytest.mark.needs_torch
@pytest.mark.parametrize(
    ("args", "outcomes"),
    [
        (["pyproject.toml"], {"passed": 2}),
        (["pyproject.toml::perceptron"], {"passed": 1}),
        (["pyproject.toml::perceptron@wide"], {"passed": 1}),
        (["-k", "wide"], {"passed": 1, "deselected": 1}),
        (["--deselect", "pyproject.toml::perceptron@wide"], {"passed": 1, "deselected": 1}),
    ],
)
def test_items_are_selected_as_any_other(project: MakeProject, args: list[str], outcomes: dict[str, int]) -> None:
    project(TWO_CASES).runpytest(*args).assert_outcomes(**outcomes)


@pytest.mark.needs_torch
def test_the_marker_selects_the_gate(project: MakeProject) -> None:
    made = project(WITHIN, "def test_other(): pass")
    made.runpytest("-m", "modelbudget").assert_outcomes(passed=1, deselected=1)
    made.runpytest("-m", "not modelbudget").assert_outcomes(passed=1, deselected=1)


@pytest.mark.needs_torch
def test_last_failed_runs_the_failed_model_alone(project: MakeProject) -> None:
    made = project(TWO_CASES.replace("macs = 480", "macs = 479"))
    made.runpytest().assert_outcomes(passed=1, failed=1)
    result = made.runpytest("--lf")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("FAILED pyproject.toml::perceptron@wide*")


@pytest.mark.needs_torch
def test_plain_pytest_collects_the_models_beside_testpaths(project: MakeProject) -> None:
    made = project(f'[tool.pytest.ini_options]\ntestpaths = ["tests"]\n{WITHIN}')
    made.mkdir("tests").joinpath("test_other.py").write_text("def test_other(): pass")
    made.runpytest().assert_outcomes(passed=2)


def test_a_named_test_file_runs_without_the_models(project: MakeProject) -> None:
    project(WITHIN, "def test_other(): pass").runpytest("test_it.py").assert_outcomes(passed=1)


@pytest.mark.needs_torch
def test_collect_false_leaves_the_models_to_who_names_them(project: MakeProject) -> None:
    made = project(f"[tool.modelbudget]\ncollect = false\n{OVER}", "def test_other(): pass")
    made.runpytest().assert_outcomes(passed=1)
    made.runpytest("pyproject.toml").assert_outcomes(failed=1)


@pytest.mark.needs_torch
def test_the_first_failure_ends_the_run_when_asked(project: MakeProject) -> None:
    project(TWO_CASES.replace("params = 58", "params = 57")).runpytest("-x").assert_outcomes(failed=1)


@pytest.mark.needs_torch
def test_a_package_below_has_models_of_its_own(project: MakeProject) -> None:
    made = project(WITHIN)
    package = made.mkdir("package")
    package.joinpath("pyproject.toml").write_text(OVER.replace("models:", "its_models:").replace("[3, 4]", "[1, 4]"))
    package.joinpath("its_models.py").write_text(made.path.joinpath("models.py").read_text())
    result = made.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines("FAILED package/pyproject.toml::perceptron - params 58 > 57")


@pytest.mark.needs_torch
def test_a_factory_is_imported_from_src(project: MakeProject) -> None:
    made = project(WITHIN.replace("models:", "in_src:"))
    made.mkdir("src").joinpath("in_src.py").write_text(made.path.joinpath("models.py").read_text())
    made.runpytest().assert_outcomes(passed=1)


@pytest.mark.needs_torch
def test_a_factory_is_called_with_args_and_kwargs(project: MakeProject) -> None:
    # Width 16: 4·16 + 16 + 16·2 + 2 = 114 parameters.
    by_position = WITHIN.replace("params = 58", "params = { max = 114, min = 114 }\nargs = [16]")
    project(by_position.replace("macs = 144", "")).runpytest().assert_outcomes(passed=1)
    by_name = by_position.replace("args = [16]", "kwargs = { width = 16 }")
    project(by_name.replace("macs = 144", "")).runpytest().assert_outcomes(passed=1)


@pytest.mark.needs_torch
def test_a_factory_may_change_what_it_is_given(project: MakeProject) -> None:
    popping = "from models import Perceptron\n\ndef build(widths):\n    return Perceptron(widths.pop())\n"
    settings = WITHIN.replace("models:Perceptron", "popping:build").replace("params = 58", "args = [[8]]")
    # Built without weights, and again with them.
    made = project(f'{settings}run = "real"\n', popping=popping)
    made.runpytest().assert_outcomes(passed=1)


@pytest.mark.needs_torch
def test_a_layer_pattern_limits_each_layer_that_it_matches(project: MakeProject) -> None:
    limits = '[tool.modelbudget.models.perceptron.layers."*"]\nparams = 39\n'
    result = project(f"{WITHIN}{limits}").runpytest()
    result.stdout.fnmatch_lines(
        [
            "  hidden params: 40 is over the limit of 39 by 1 (2.56%); no baseline",
            'limit        pyproject.toml:7: [[]tool.modelbudget.models.perceptron.layers."*"[]] params',
            "FAILED pyproject.toml::perceptron - hidden params 40 > 39",
        ]
    )


@pytest.mark.needs_torch
def test_a_minimum_that_is_not_reached_fails(project: MakeProject) -> None:
    result = project(f"{PERCEPTRON}params = {{ min = 59 }}").runpytest()
    result.stdout.fnmatch_lines(
        ["  params: 58 is below the least of 59 by 1 (1.69%); no baseline", "FAILED *perceptron - params 58 < 59"]
    )


@pytest.mark.needs_torch
def test_a_flops_limit_over_the_macs_says_which_key_is_meant(project: MakeProject) -> None:
    result = project(f"{PERCEPTRON}flops = 200").runpytest()
    # 3 rows: 144 MACs, 288 FLOPs.
    result.stdout.fnmatch_lines(
        [
            "  flops: 288 is over the limit of 200 *",
            "Many tools call MACs FLOPs. This model has 144 MACs; if the limit is in those",
            "tools' numbers, its key is macs.",
        ]
    )


@pytest.mark.needs_torch
def test_growth_without_a_baseline_is_new_and_said_so(project: MakeProject) -> None:
    result = project(f'{PERCEPTRON}params = {{ growth = "2%" }}').runpytest()
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["perceptron * new", "perceptron: new, so growth of params is not checked: there is no baseline"]
    )


@pytest.mark.needs_torch
def test_junit_has_the_verdict(project: MakeProject) -> None:
    made = project(OVER)
    made.runpytest("--junitxml=junit.xml")
    text = made.path.joinpath("junit.xml").read_text()
    assert 'message="params 58 &gt; 57"' in text
    assert "by 1 (1.75%)" in text


@pytest.mark.needs_torch
def test_xdist_gives_the_same_verdict(project: MakeProject) -> None:
    result = project(OVER).runpytest_subprocess("-n", "2")
    result.stdout.fnmatch_lines(
        [
            "perceptron is over budget",
            "  params: 58 is over the limit of 57 by 1 (1.75%); no baseline",
            "perceptron  params        58     57  ██████████  102%",
            "FAILED pyproject.toml::perceptron - params 58 > 57",
        ]
    )
    assert result.ret == 1
