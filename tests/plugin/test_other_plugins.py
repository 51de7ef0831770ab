"""The gate beside other plugins and in pytest's other modes: the same verdicts, whatever else is on."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.plugin.conftest import OTHER_PLUGINS, PERCEPTRON, MakeProject

pytestmark = pytest.mark.needs_torch


def model(name: str, limits: str = "params = 58") -> str:
    return f"{PERCEPTRON.replace('models.perceptron', f'models.{name}')}{limits}\n"


@pytest.fixture(autouse=True)
def _plain_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run says itself which plugins it has."""
    monkeypatch.delenv("CI", raising=False)


# Four models, of which one is over budget, one cannot be measured, and one has two cases.
SETTINGS = (
    model("within")
    + model("over", "params = 57")
    + model("broken").replace(":Perceptron", ":Gone")
    + model("cased", 'params = { growth = "1%" }\nmacs = 144')
    + "[tool.modelbudget.models.cased.cases.large]\ninputs = [4, 4]\nmacs = 192\n"
)
TESTS = """
import pytest
from models import Perceptron

def test_given(modelbudget):
    modelbudget(Perceptron, (3, 4), params=58)

@pytest.mark.modelbudget(params=58)
class TestMarked:
    def test_it(self, modelbudget):
        modelbudget(Perceptron, (3, 4))

    @pytest.mark.parametrize("width", [8, 9])
    def test_widths(self, modelbudget, width):
        modelbudget(lambda: Perceptron(width), (3, 4))

@pytest.mark.modelbudget("within")
def test_named(model_profile):
    assert model_profile.macs == 144

def test_plain():
    pass
"""
# Three cases are within budget, and five tests; the test of 9 units is over it: 9·(4 + 1) + 2·(9 + 1) = 65.
OUTCOMES = {"passed": 3 + 5, "failed": 2, "errors": 1}


def run(made: pytest.Pytester, *args: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
    """A run with none of the other plugins but those that are asked for; with them it has a process of its own."""
    without = [arg for name in OTHER_PLUGINS if name not in plugins for arg in ("-p", f"no:{name}")]
    starts = made.runpytest_subprocess if plugins else made.runpytest_inprocess
    return starts(*without, *args)


def found(made: pytest.Pytester, *args: str, plugins: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, int]]:
    """What a run reports and records (exit code, JSON report, files of the baseline), and how its tests ended."""
    baseline = made.path / "budgets"
    result = run(made, "--modelbudget-json", "report.json", "--modelbudget-update", *args, plugins=plugins)
    files = {file.name: file.read_text() for file in sorted(baseline.iterdir())}
    for file in baseline.iterdir():
        file.unlink()
    report = json.loads((made.path / "report.json").read_text())
    return {"code": result.ret, "files": files, "report": report}, result.parseoutcomes()


_ALONE: list[dict[str, Any]] = []


def alone(made: pytest.Pytester) -> dict[str, Any]:
    """What one process alone finds in that project; it is run once."""
    if not _ALONE:
        result, outcomes = found(made)
        assert {key: outcomes.get(key) for key in OUTCOMES} == OUTCOMES
        # Three models were measured, and four tests hand one in.
        # Three models of pyproject.toml and four of tests, less one of each that is over budget.
        assert len(result["files"]) == (3 - 1) + (4 - 1)
        _ALONE.append(result)
    return _ALONE[0]


# -- pytest-xdist


@pytest.mark.parametrize("mode", ["load", "loadscope", "loadfile", "loadgroup", "worksteal"])
def test_workers_find_what_one_process_finds(project: MakeProject, mode: str) -> None:
    made = project(SETTINGS, TESTS)
    expected = alone(made)
    result, outcomes = found(made, "-n", "2", "--dist", mode)
    assert result == expected
    assert {key: outcomes.get(key) for key in OUTCOMES} == OUTCOMES


def test_two_workers_that_run_all_tests_report_each_model_once(project: MakeProject) -> None:
    made = project(SETTINGS, TESTS)
    expected = alone(made)
    result, outcomes = found(made, "--tx", "2*popen", "--dist", "each")
    assert result == expected
    assert {key: outcomes.get(key) for key in OUTCOMES} == {key: 2 * count for key, count in OUTCOMES.items()}


def test_a_worker_measures_a_model_once(project: MakeProject) -> None:
    # Five tests ask for one model, in two processes at most.
    counting = "from models import Perceptron\ndef build():\n    with open('built', 'a') as f: f.write('x')\n"
    counting += "    return Perceptron()\n"
    tests = "import pytest\n@pytest.mark.modelbudget('m')\n@pytest.mark.parametrize('n', range(4))\n"
    tests += "def test_it(n): pass\n"
    made = project(model("m").replace("models:Perceptron", "counting:build"), tests, counting=counting)
    assert run(made, "-n", "2").parseoutcomes()["passed"] == 5
    assert (made.path / "built").read_text() in ("x", "xx")


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_killed_worker_fails_its_model_and_the_rest_stands(project: MakeProject) -> None:
    killer = "import os, signal\ndef build():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    settings = SETTINGS + model("killer").replace("models:Perceptron", "killer:build")
    made = project(settings, TESTS, killer=killer)
    result = run(made, "-n", "2", "--modelbudget-json", "report.json", "--modelbudget-update", "--modelbudget-prune")
    outcomes = result.parseoutcomes()
    assert {key: outcomes[key] for key in OUTCOMES} == {**OUTCOMES, "failed": 3}
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*worker 'gw?' crashed while running 'pyproject.toml::killer'", "modelbudget: nothing was pruned: *"]
    )
    assert len(list((made.path / "budgets").iterdir())) == (3 - 1) + (4 - 1)
    report = json.loads((made.path / "report.json").read_text())
    assert [each["test"] for each in report["unmeasured"]] == ["pyproject.toml::killer", "pyproject.toml::broken"]


# -- the order of tests, and tests that run again


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_random_order_finds_the_same(project: MakeProject, workers: str) -> None:
    made = project(SETTINGS, TESTS)
    expected = alone(made)
    result, outcomes = found(made, "-p", "randomly", "-p", "randomly", "-n", workers, plugins=("randomly",))
    assert result == expected
    assert {key: outcomes.get(key) for key in OUTCOMES} == OUTCOMES


def test_a_test_that_runs_again_counts_once(project: MakeProject) -> None:
    made = project(SETTINGS, TESTS)
    expected = alone(made)
    result, outcomes = found(made, "--reruns", "2", plugins=("rerunfailures",))
    assert result == expected
    assert {key: outcomes.get(key) for key in (*OUTCOMES, "rerun")} == {**OUTCOMES, "rerun": 3 * 2}


def test_the_last_attempt_of_a_test_is_what_counts(project: MakeProject) -> None:
    # 9·(4 + 1) + 2·(9 + 1) = 65 parameters in the first attempt, 58 in the second.
    test = "from models import Perceptron\nwidths = [8, 9]\ndef test_it(modelbudget):\n"
    test += "    width = widths.pop()\n    modelbudget(lambda: Perceptron(width), (3, 4), params=58)\n"
    made = project("", test)
    args = ("--reruns", "1", "--modelbudget-json", "report.json", "--junitxml", "junit.xml")
    assert run(made, *args, plugins=("rerunfailures",)).ret == 0
    report = json.loads((made.path / "report.json").read_text())
    assert [each["totals"]["params"] for each in report["models"]] == [58]
    junit = (made.path / "junit.xml").read_text()
    # With newer versions of pytest and the plugin each attempt is a test case of its own there.
    cases = junit.count("<testcase ")
    assert [junit.count(f' params" value="{params}"') for params in (65, 58)] == [cases - 1, 1]


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_factory_that_hangs_is_an_error_after_its_time(project: MakeProject) -> None:
    hanging = "import time\ndef build():\n    time.sleep(600)\n"
    # PyTorch is loaded before the time runs.
    loaded = "import pytest_modelbudget.engine.measuring\n"
    settings = SETTINGS + model("hangs").replace("models:Perceptron", "hanging:build")
    made = project(settings, hanging=hanging, conftest=loaded)
    result = run(made, "--timeout", "5", "--modelbudget-json", "report.json", plugins=("timeout",))
    assert {key: result.parseoutcomes()[key] for key in OUTCOMES} == {"passed": 3, "failed": 1, "errors": 2}
    result.stdout.fnmatch_lines(["could not measure: pyproject.toml:*: Timeout *>5.0s*", '  File "*hanging.py"*'])
    result.stdout.no_fnmatch_line("*pytest_modelbudget/*")
    report = json.loads((made.path / "report.json").read_text())
    assert [each["test"] for each in report["unmeasured"]] == ["pyproject.toml::broken", "pyproject.toml::hangs"]


# -- pytest's own modes


@pytest.mark.parametrize(
    "args",
    [
        ["-p", "no:cacheprovider"],
        ["--import-mode=importlib", "-o", "pythonpath=."],
        ["-p", "no:warnings"],
        ["--assert=plain"],
        ["-s"],
        ["-W", "error"],
        ["--doctest-modules", "test_it.py", "pyproject.toml"],
        ["--strict-markers", "--strict-config"],
        pytest.param(
            ["-o", "strict=true"], marks=pytest.mark.skipif(pytest.version_tuple < (9,), reason="new in pytest 9")
        ),
    ],
    ids=" ".join,
)
def test_a_mode_of_pytest_changes_nothing(project: MakeProject, args: list[str]) -> None:
    made = project(SETTINGS, TESTS)
    expected = alone(made)
    assert found(made, *args)[0] == expected


def test_a_run_without_a_terminal_has_its_exit_code_and_report(project: MakeProject) -> None:
    made = project(SETTINGS)
    assert run(made, "-p", "no:terminal", "--modelbudget-json", "report.json").ret == 1
    assert json.loads((made.path / "report.json").read_text())["headline"].startswith("1 of 4 models over budget")


def test_the_first_failure_ends_the_run_in_workers_too(project: MakeProject) -> None:
    made = project(SETTINGS)
    assert run(made, "-x", "-n", "2", "--modelbudget-update").ret == pytest.ExitCode.INTERRUPTED
    assert not (made.path / "budgets").exists()


def test_what_failed_can_be_run_again_alone_or_first_or_from_there_on(project: MakeProject) -> None:
    made = project(SETTINGS, TESTS)
    run(made, "pyproject.toml")
    result = run(made, "--lf", "-v", "pyproject.toml")
    assert result.parseoutcomes() == {"failed": 1, "errors": 1, "deselected": 3}
    order = run(made, "--ff", "--collect-only", "-q", "pyproject.toml")
    order.stdout.fnmatch_lines(["*::over", "*::broken", "*::within", "*::cased", "*::cased@large"], consecutive=True)
    run(made, "--sw", "pyproject.toml")
    stepped = run(made, "--sw", "pyproject.toml")
    assert stepped.parseoutcomes() == {"deselected": 1, "failed": 1}


def test_a_test_case_of_unittest_uses_the_marker(project: MakeProject) -> None:
    test = "import unittest, pytest\nfrom models import Perceptron\nclass TestIt(unittest.TestCase):\n"
    for name, params in (("within", 58), ("over", 57)):
        test += f"    @pytest.mark.modelbudget(model=Perceptron, inputs=(3, 4), params={params})\n"
        test += f"    def test_{name}(self): pass\n"
    result = run(project("", test))
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines("FAILED test_it.py::TestIt::test_over - params 58 > 57")


@pytest.mark.parametrize("plugin", ["anyio", "asyncio"])
def test_an_async_test_uses_the_fixture_and_the_marker(project: MakeProject, plugin: str) -> None:
    if plugin == "anyio":
        pytest.importorskip("anyio")
    test = f"""
        import pytest
        from models import Perceptron

        pytestmark = pytest.mark.{plugin}

        async def test_over(modelbudget):
            modelbudget(Perceptron, (3, 4), params=57)

        @pytest.mark.modelbudget(params=58)
        async def test_within(modelbudget):
            modelbudget(Perceptron, (3, 4))

        @pytest.mark.modelbudget(params=58)
        async def test_unused(modelbudget):
            pass
    """
    result = run(project("", test), plugins=(plugin,))
    each = [
        "FAILED test_it.py::test_over* - params 58 > 57",
        "FAILED test_it.py::test_unused* - Failed: the limits of*",
    ]
    assert result.parseoutcomes()["passed"] == 1
    result.stdout.fnmatch_lines(each)


def test_a_doctest_and_a_text_file_are_left_to_pytest(project: MakeProject) -> None:
    made = project(model("within"))
    (made.path / "test_text.txt").write_text(">>> from models import Perceptron\n>>> 1 + 1\n2\n")
    run(made, "--doctest-modules", "--doctest-glob=*.txt").assert_outcomes(passed=2)
