"""Whole runs: verbosity, exit codes, what starts and what does not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugin.conftest import MODELS, PERCEPTRON, MakeProject

OVER = f"{PERCEPTRON}params = 57\nmacs = 144\n"
WITHIN = f"{PERCEPTRON}params = 58\nmacs = 144\n"
# Twelve layers of 4·4 + 4 = 20 parameters each.
DEEP = "from torch import nn\n\ndef build():\n    return nn.Sequential(*(nn.Linear(4, 4) for _ in range(12)))\n"


@pytest.mark.needs_torch
def test_the_table_says_what_each_model_costs(project: MakeProject) -> None:
    result = project(WITHIN).runpytest()
    result.stdout.fnmatch_lines(
        [
            "*= model budgets =*",
            "model       metric  measured  limit              used",
            "perceptron  params        58     58  ██████████  100%",
            "            macs         144    144  ██████████  100%",
        ]
    )


@pytest.mark.needs_torch
def test_quiet_is_a_line_a_model(project: MakeProject) -> None:
    result = project(WITHIN).runpytest("-q")
    result.stdout.fnmatch_lines("perceptron ok  params 58 ≤ 58  macs 144 ≤ 144")
    result.stdout.no_fnmatch_line("*model budgets*")


@pytest.mark.needs_torch
@pytest.mark.parametrize(("flags", "layers"), [([], 5), (["-v"], 10), (["-vv"], 12)])
def test_more_layers_are_shown_on_demand(project: MakeProject, flags: list[str], layers: int) -> None:
    settings = OVER.replace("models:Perceptron", "deep:build").replace("params = 57", "params = 239")
    result = project(settings.replace("macs = 144", ""), deep=DEEP).runpytest(*flags)
    assert sum(" Linear(in_features=4" in line for line in result.outlines) == layers


@pytest.mark.needs_torch
def test_a_run_without_a_table_measures_without_settings(project: MakeProject) -> None:
    test = "from models import Perceptron\ndef test_it(modelbudget):\n    modelbudget(Perceptron, (3, 4), params=58)\n"
    made = project("", test)
    made.path.joinpath("pyproject.toml").unlink()
    made.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("settings", "args"),
    [
        pytest.param(PERCEPTRON, ["pyproject.toml"], marks=pytest.mark.needs_torch),
        pytest.param(PERCEPTRON, ["-m", "modelbudget"], marks=pytest.mark.needs_torch),
        (WITHIN, ["-m", "modelbudget", "test_it.py"]),
    ],
)
def test_a_gate_that_was_asked_for_and_checks_nothing_is_not_green(
    project: MakeProject, settings: str, args: list[str]
) -> None:
    test = "import pytest\n@pytest.mark.modelbudget\ndef test_it(): pytest.skip()\n"
    result = project(settings, test).runpytest(*args)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines("modelbudget: nothing was checked: *")


def test_a_gate_without_any_model_is_not_green(project: MakeProject) -> None:
    result = project("[tool.modelbudget]\n").runpytest("-m", "modelbudget")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines("modelbudget: nothing was checked: *")


@pytest.mark.needs_torch
def test_a_model_without_limits_says_so(project: MakeProject) -> None:
    result = project(PERCEPTRON).runpytest()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["perceptron  params        58   none", "            macs         144   none"])


def test_importing_the_package_does_not_import_torch() -> None:
    assert _modules_after("import pytest_modelbudget, pytest_modelbudget.plugin").isdisjoint(HEAVY)


def test_a_run_without_the_table_never_imports_torch(project: MakeProject) -> None:
    test = f"import sys\n\ndef test_it():\n    assert {sorted(HEAVY)!r} and not {HEAVY!r} & set(sys.modules)\n"
    made = project("[tool.other]\n", test)
    result = made.runpytest_subprocess()
    result.assert_outcomes(passed=1)


def test_a_run_whose_models_are_not_selected_never_imports_torch(project: MakeProject) -> None:
    test = "import sys\n\ndef test_it():\n    assert 'torch' not in sys.modules\n"
    made = project(WITHIN, test)
    made.runpytest_subprocess("-m", "not modelbudget").assert_outcomes(passed=1, deselected=1)


@pytest.mark.needs_torch
def test_a_nearly_missed_limit_never_looks_like_a_tie(project: MakeProject) -> None:
    # 61 100 840 parameters against one fewer.
    settings = '[tool.modelbudget.models.big]\nfactory = "models:Big"\ninputs = [1, 1]\nparams = 61100839\n'
    big = MODELS + "\nclass Big(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    big += "        self.w = nn.Parameter(torch.empty(61100840))\n    def forward(self, x):\n        return x\n"
    result = project(settings, models=big).runpytest()
    result.stdout.fnmatch_lines("FAILED pyproject.toml::big - params 61,100,840 > 61,100,839")


HEAVY = {"torch", "rich", "pytest_modelbudget.settings.schema"}


def _modules_after(statement: str) -> set[str]:
    listing = "import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{statement}; {listing}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.needs_torch
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_says_what_takes_long(project: MakeProject) -> None:
    import pty

    slow = "import time\nfrom torch import nn\n\ndef build():\n    time.sleep(1.5)\n    return nn.Linear(4, 8)\n"
    made = project(f"{PERCEPTRON.replace('models:Perceptron', 'slow:build')}params = 40\n", slow=slow)
    ours, theirs = pty.openpty()
    # A session of its own, whose first terminal becomes the one that it is controlled from.
    start = (
        "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", start, "-m", "pytest", "-p", "no:cacheprovider", "pyproject.toml"]
    streams: Any = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = subprocess.Popen(command, cwd=made.path, start_new_session=True, **streams)
    os.close(theirs)
    text = b"".join(_read_all(ours)).decode()
    assert process.wait() == 0
    # It is gone before pytest goes on.
    assert 0 < text.rindex(" measuring perceptron ") < text.index("model budgets")


def _read_all(terminal: int) -> Iterator[bytes]:
    # Reading from a terminal that nobody writes to any more is an error.
    with contextlib.suppress(OSError):
        while True:
            yield os.read(terminal, 10_000)
