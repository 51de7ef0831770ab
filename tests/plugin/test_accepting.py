"""What a failure says accepts the change does accept it: it is done as printed, and the gate is run again."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.plugin.conftest import MODELS, PERCEPTRON, MakeProject

pytestmark = pytest.mark.needs_torch

CASE = "[tool.modelbudget.models.perceptron.cases.many]\ninputs = [9, 4]\n"
LAYER = "[tool.modelbudget.models.perceptron.layers.hidden]\n"


@dataclass(frozen=True)
class Breach:
    """A limit that a hidden layer of 9 breaks: 58 → 65 parameters, 144 → 162 MACs of 3 rows; its own 96 → 108.

    Attributes:
        limits: with the broken limit.
        changed: with one that holds.
        grew: whether growth alone is broken.
    """

    limits: str
    changed: str
    grew: bool = False


BREACHES = {
    "relative growth": Breach('params = { growth = "2%" }\n', 'params = { growth = "13%" }\n', grew=True),
    "absolute growth": Breach("macs = { growth = 17 }\n", "macs = { growth = 18 }\n", grew=True),
    "a ceiling": Breach("params = 64\n", "params = 65\n"),
    "a floor": Breach("params = { min = 66 }\n", "params = { min = 65 }\n"),
    "a ceiling, and growth": Breach(
        'params = { max = 64, growth = "2%" }\n', 'params = { max = 65, growth = "13%" }\n'
    ),
    "growth of a layer": Breach(f"{LAYER}macs = {{ growth = 11 }}\n", f"{LAYER}macs = {{ growth = 12 }}\n", grew=True),
    "a ceiling of a layer": Breach(f"{LAYER}macs = 107\n", f"{LAYER}macs = 108\n"),
    "growth of both cases": Breach(f"macs = {{ growth = 17 }}\n{CASE}", f"macs = {{ growth = 54 }}\n{CASE}", grew=True),
    "a ceiling of another case": Breach(
        f'params = {{ growth = "2%" }}\n{CASE}macs = 485\n', f'params = {{ growth = "13%" }}\n{CASE}macs = 486\n'
    ),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")


def git(made: pytest.Pytester, *args: str) -> None:
    settings = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    subprocess.run(["git", *settings, *args], cwd=made.path, check=True, capture_output=True)


def commit(made: pytest.Pytester) -> None:
    git(made, "init", "-q", "-b", "main", ".")
    git(made, "add", "pyproject.toml", "models.py", *(["budgets"] if (made.path / "budgets").is_dir() else []))
    git(made, "commit", "-q", "-m", "Add the model")


def widen(made: pytest.Pytester) -> None:
    # A module of the same second and size would be taken from its compiled file.
    wider = MODELS.replace("width: int = 8", "width: int = 9")
    made.path.joinpath("models.py").write_text(f"{wider}\n# {time.monotonic_ns()}\n")
    sys.modules.pop("models", None)


def printed(result: pytest.RunResult) -> list[str]:
    """What follows the word accept in the failures of a run."""
    return list(
        dict.fromkeys(line.removeprefix("accept ").strip() for line in result.outlines if line.startswith("accept "))
    )


def accept(made: pytest.Pytester, action: str, changed: str) -> None:
    """Do what is printed."""
    command = action.partition("pytest ")[2]
    if not action.startswith("pytest "):
        made.makepyprojecttoml(changed)
    if command:
        assert made.runpytest_inprocess(*shlex.split(command)).ret == 0


@pytest.mark.parametrize("what", BREACHES)
@pytest.mark.parametrize("against", ["what is recorded", "a base with a record"])
def test_what_is_printed_accepts(project: MakeProject, what: str, against: str) -> None:
    breach = BREACHES[what]
    made = project(PERCEPTRON + breach.limits)
    made.makepyprojecttoml(PERCEPTRON + CASE * (CASE in breach.limits))
    made.runpytest_inprocess("--modelbudget-update", "-q")
    made.makepyprojecttoml(PERCEPTRON + breach.limits)
    args: tuple[str, ...] = ()
    if against == "a base with a record":
        commit(made)
        args = ("--modelbudget-base", "HEAD")
    widen(made)
    result = made.runpytest_inprocess(*args)
    assert result.ret == 1
    actions = printed(result)
    assert actions
    for action in actions:
        assert action.startswith("pytest ") == (breach.grew and not args) or what == "a ceiling of another case"
    # Where one case needs a change of a limit, that of the other is accepted after it.
    for action in sorted(actions, key=lambda each: each.startswith("pytest ")):
        accept(made, action, PERCEPTRON + breach.changed)
    assert made.runpytest_inprocess(*args).ret == 0


@pytest.mark.parametrize("what", ["relative growth", "a ceiling"])
def test_what_is_printed_accepts_over_a_base_that_is_measured(project: MakeProject, what: str) -> None:
    breach = BREACHES[what]
    made = project(PERCEPTRON + breach.limits)
    commit(made)
    widen(made)
    args = ("--modelbudget-base", "HEAD")
    [action] = printed(made.runpytest_inprocess(*args))
    # Nothing is recorded in this project, and nothing has to be.
    assert "pytest" not in action
    assert action.startswith("allow more growth over ") == breach.grew
    accept(made, action, PERCEPTRON + breach.changed)
    assert made.runpytest_inprocess(*args).ret == 0
    assert not (made.path / "budgets").exists()


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_what_is_printed_accepts_where_it_is_printed(
    project: MakeProject, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    test = (
        "import sys; sys.path.insert(0, str(__import__('pathlib').Path(__file__).parents[1]))\n"
        "from models import Perceptron\n"
        "def test_it(modelbudget): modelbudget(Perceptron, (3, 4), params={'growth': 0})\n"
    )
    made = project(PERCEPTRON + BREACHES["relative growth"].limits)
    made.mkdir("tests").joinpath("test_it.py").write_text(test)
    made.runpytest_inprocess("--modelbudget-update")
    widen(made)
    monkeypatch.chdir(made.path / "tests")
    result = made.runpytest_inprocess(*workers)
    actions = [
        line.removeprefix("E ").strip().removeprefix("accept ").strip()
        for line in result.outlines
        if "accept  " in line
    ]
    assert sorted(actions) == [
        "pytest ../pyproject.toml::perceptron --modelbudget-update",
        "pytest ../tests/test_it.py::test_it --modelbudget-update",
    ]
    for action in actions:
        accept(made, action, "")
    assert made.runpytest_inprocess(*workers).ret == 0


# -- what an update does not accept


def test_a_model_over_a_ceiling_is_not_recorded_and_the_others_are(project: MakeProject) -> None:
    good = PERCEPTRON.replace("models.perceptron", "models.good")
    made = project(f"{PERCEPTRON}params = 60\n{good}")
    made.runpytest_inprocess("--modelbudget-update")
    before = (made.path / "budgets" / "perceptron.json").read_bytes()
    widen(made)
    for _ in range(2):
        result = made.runpytest_inprocess("--modelbudget-update")
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            [
                "What changed since budgets/perceptron.json:",
                "modelbudget: not recorded: budgets/perceptron.json, since perceptron breaks params 65 > 60; an *",
            ]
        )
        assert (made.path / "budgets" / "perceptron.json").read_bytes() == before
    assert '"params": 65' in (made.path / "budgets" / "good.json").read_text()


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_no_case_is_recorded_where_another_of_the_model_is_over(project: MakeProject, workers: tuple[str, ...]) -> None:
    # 9 rows: 9·(4·9 + 9·2) = 486 MACs.
    made = project(f'{PERCEPTRON}params = {{ growth = "2%" }}\n{CASE}macs = 485\n')
    made.runpytest_inprocess("--modelbudget-update")
    before = (made.path / "budgets" / "perceptron.json").read_bytes()
    widen(made)
    result = made.runpytest_inprocess("--modelbudget-update", *workers)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines("modelbudget: not recorded: budgets/perceptron.json, since perceptron@many breaks *")
    assert (made.path / "budgets" / "perceptron.json").read_bytes() == before


def test_a_breach_that_a_test_expects_is_not_recorded_either(project: MakeProject) -> None:
    test = (
        "import pytest\nfrom models import Perceptron\nfrom pytest_modelbudget import BudgetExceeded\n"
        "def test_it(modelbudget):\n    with pytest.raises(BudgetExceeded):\n"
        "        modelbudget(Perceptron, (3, 4), name='mine', params=57)\n"
    )
    made = project("", test)
    result = made.runpytest_inprocess("--modelbudget-update")
    assert result.ret == 0
    result.stdout.fnmatch_lines("modelbudget: not recorded: budgets/mine.json, since mine breaks params 58 > 57; *")
    assert not (made.path / "budgets" / "mine.json").exists()
