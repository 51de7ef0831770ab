"""Models with limits that a run leaves out are told, unless it was asked to; a gate that finds none is not green."""

from __future__ import annotations

import json

import pytest

from pytest_modelbudget.report.markdown import escaped
from tests.plugin.conftest import PERCEPTRON, MakeProject

LIMITED = f"{PERCEPTRON}params = 58\n"
OTHER = LIMITED.replace("models.perceptron", "models.other")
UNLIMITED = PERCEPTRON.replace("models.perceptron", "models.free")
SAYS = "modelbudget: 2 models with limits were not checked: pyproject.toml is not among the arguments"


@pytest.fixture
def made(project: MakeProject) -> pytest.Pytester:
    """A project with tests, and two models that have limits."""
    made = project(LIMITED + OTHER + UNLIMITED)
    made.mkdir("tests").joinpath("test_it.py").write_text("def test_it(): pass\n")
    return made


@pytest.mark.parametrize(
    "args",
    [
        ("tests",),
        ("tests/test_it.py",),
        ("tests", "-q"),
        ("tests", "-m", "not slow"),
        ("tests", "--ignore=docs"),
        ("tests", "-n", "1"),
    ],
)
def test_a_run_whose_arguments_leave_models_out_says_so(made: pytest.Pytester, args: tuple[str, ...]) -> None:
    result = made.runpytest_inprocess(*args)
    assert result.ret == 0
    assert result.outlines.count(SAYS) == 1


@pytest.mark.parametrize(
    "args",
    [
        ("tests", "-m", "not modelbudget"),
        ("tests", "-m", "not (slow or modelbudget)"),
        ("tests", "-k", "test_it"),
        ("tests", "--lf"),
        ("tests/test_it.py::test_it",),
        ("tests", "--ignore=pyproject.toml"),
        ("tests", "--ignore-glob=*.toml"),
        ("--ignore=pyproject.toml",),
    ],
)
def test_a_run_that_was_asked_to_says_nothing(made: pytest.Pytester, args: tuple[str, ...]) -> None:
    result = made.runpytest_inprocess(*args)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("modelbudget: *")


@pytest.mark.parametrize(
    "settings",
    [f"[tool.modelbudget]\ncollect = false\n{LIMITED}", UNLIMITED, "[tool.modelbudget]\n", "[tool.other]\n"],
)
def test_a_project_that_leaves_none_out_says_nothing(made: pytest.Pytester, settings: str) -> None:
    made.makepyprojecttoml(settings)
    made.runpytest_inprocess("tests").stdout.no_fnmatch_line("modelbudget: *")


def test_a_conftest_that_keeps_pytest_out_of_the_file_is_told(made: pytest.Pytester) -> None:
    made.makeconftest("collect_ignore = ['pyproject.toml']\n")
    result = made.runpytest_inprocess()
    result.stdout.fnmatch_lines("modelbudget: 2 models with limits were not checked: pyproject.toml was not collected")


def test_the_package_of_an_argument_is_told_too(made: pytest.Pytester) -> None:
    made.makepyprojecttoml("[tool.other]\n")
    package = made.mkdir("package")
    package.joinpath("pyproject.toml").write_text(LIMITED)
    package.joinpath("tests").mkdir()
    package.joinpath("tests", "test_its.py").write_text("def test_it(): pass\n")
    result = made.runpytest_inprocess("package/tests")
    result.stdout.fnmatch_lines(
        "modelbudget: 1 model with limits was not checked: package/pyproject.toml is not among the arguments"
    )


def test_the_file_is_called_as_it_is_from_where_pytest_was_started(
    made: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made.path / "tests")
    result = made.runpytest_inprocess("test_it.py")
    result.stdout.fnmatch_lines("modelbudget: *: ../pyproject.toml is not among the arguments")


def test_the_reports_say_it_too(made: pytest.Pytester) -> None:
    made.runpytest_inprocess("tests", "--modelbudget-json=run.json", "--modelbudget-markdown=run.md")
    said = SAYS.removeprefix("modelbudget: ")
    assert json.loads((made.path / "run.json").read_text())["notes"] == [said]
    assert f"- {escaped(said)}" in (made.path / "run.md").read_text()


# -- the gate was asked for


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
@pytest.mark.parametrize("settings", ["", "[tool.modelbudget]\ncollect = false\n"])
def test_a_gate_without_the_file_is_red_and_says_which_is_missing(
    made: pytest.Pytester, settings: str, workers: tuple[str, ...]
) -> None:
    made.makepyprojecttoml(settings + LIMITED + OTHER)
    result = made.runpytest_inprocess("-m", "modelbudget", "tests", *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    says = "pyproject.toml says collect = false, and" if settings else "pyproject.toml"
    result.stdout.fnmatch_lines(
        f"modelbudget: nothing was checked: 2 models with limits were not checked: {says} is not among the arguments"
    )
    result.stdout.no_fnmatch_line("*set limits*")


def test_a_gate_that_deselects_its_models_does_not_say_that_they_have_no_limits(made: pytest.Pytester) -> None:
    result = made.runpytest_inprocess("-m", "modelbudget", "-k", "nothing")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "modelbudget: nothing was checked: no model that has a limit was measured" in result.outlines


@pytest.mark.parametrize("expression", ["not (slow or modelbudget)", "not(modelbudget)", "not modelbudget"])
@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_a_run_that_leaves_the_gate_out_is_green(
    made: pytest.Pytester, expression: str, workers: tuple[str, ...]
) -> None:
    assert made.runpytest_inprocess("-m", expression, *workers).ret == 0


def test_the_reports_of_a_gate_that_found_nothing_say_so(made: pytest.Pytester) -> None:
    made.runpytest_inprocess("-m", "modelbudget", "tests", "--modelbudget-json=run.json")
    [note] = json.loads((made.path / "run.json").read_text())["notes"]
    assert note.startswith("nothing was checked: ")
