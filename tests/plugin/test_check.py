"""``modelbudget check`` and ``modelbudget report``: the gate outside of pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.plugin.conftest import PERCEPTRON, MakeProject


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    code = "from pytest_modelbudget.commands.cli import main; raise SystemExit(main())"
    surroundings = {**os.environ, "COLUMNS": "120", **env}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )


measuring = partial(pytest.param, marks=pytest.mark.needs_torch)


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        measuring(f"{PERCEPTRON}params = 58\n", 0, "perceptron  params        58     58  ██████████  100%"),
        measuring(f"{PERCEPTRON}params = 57\n", 1, "  params: 58 is over the limit of 57 by 1 (1.75%); no baseline"),
        measuring(
            PERCEPTRON.replace(":Perceptron", ":Nothing"), 1, "perceptron could not be measured: pyproject.toml:2: "
        ),
        measuring(PERCEPTRON, 1, "nothing was checked: no model has a limit"),
        ("[tool.modelbudget]\n", 4, "there is nothing to check"),
        (f"{PERCEPTRON}parms = 58\n", 4, 'did you mean "params"?'),
    ],
)
def test_the_exit_code_says_what_it_says_in_pytest(project: MakeProject, settings: str, code: int, said: str) -> None:
    result = run(project(settings).path, "check")
    assert result.returncode == code, result.stdout + result.stderr
    assert said in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.needs_torch
def test_some_models_alone_can_be_checked(project: MakeProject) -> None:
    other = PERCEPTRON.replace("models.perceptron", "models.other")
    made = project(f"{PERCEPTRON}params = 58\n{other}params = 1\n")
    assert run(made.path, "check", "perceptron").returncode == 0
    assert run(made.path, "check").returncode == 1
    result = run(made.path, "check", "percetron")
    assert result.returncode == 4
    assert result.stderr == 'modelbudget: no model is called "percetron"; did you mean "perceptron"?\n'


@pytest.mark.needs_torch
def test_growth_is_held_against_the_baseline_from_any_folder(project: MakeProject) -> None:
    made = project(f"{PERCEPTRON}params = {{ growth = 1 }}\n")
    made.runpytest("--modelbudget-update")
    file = made.path / "budgets" / "perceptron.json"
    file.write_text(
        file.read_text().replace('"params": 18, ', '"params": 16, ').replace('"params": 58', '"params": 56')
    )
    (made.path / "inner").mkdir()
    for folder in (made.path, made.path / "inner"):
        result = run(folder, "check")
        assert result.returncode == 1
        assert "params: 58 is over the limit of 57 (1 param growth allowed) by 1" in result.stdout


@pytest.mark.needs_torch
def test_the_reports_are_written(project: MakeProject) -> None:
    made = project(f"{PERCEPTRON}params = 57\n")
    result = run(made.path, "report", "--json", "report.json", "--markdown", "comment.md")
    assert result.returncode == 0
    assert result.stderr == "modelbudget: 1 of 1 model over budget; wrote comment.md, report.json\n"
    assert json.loads((made.path / "report.json").read_text())["ok"] is False


def test_a_report_needs_a_file(project: MakeProject) -> None:
    result = run(project(PERCEPTRON).path, "report")
    assert result.returncode == 4
    assert "no file to write was given, such as --html page.html" in result.stderr


@pytest.mark.needs_torch
def test_quiet_is_a_line_a_model(project: MakeProject) -> None:
    other = PERCEPTRON.replace("models.perceptron", "models.other")
    result = run(project(f"{PERCEPTRON}params = 57\n{other}params = 58\n").path, "check", "-q")
    assert result.returncode == 1
    assert result.stdout.splitlines() == ["perceptron over budget  params 58 > 57", "other ok  params 58 ≤ 58"]
    assert result.stderr == ""
