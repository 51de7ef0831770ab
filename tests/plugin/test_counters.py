"""Counters in runs of pytest."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import PERCEPTRON, MakeProject

pytestmark = pytest.mark.needs_torch

# On 3 rows a Linear of 4·8 MACs each, and a norm of 8 elements each, of which thop counts four operations an element.
NORMED = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
"""
SETTINGS = (
    '[tool.modelbudget]\ncounter = "thop"\n[tool.modelbudget.models.net]\nfactory = "normed:build"\ninputs = [3, 4]\n'
)


def test_the_counter_of_the_settings_counts(project: MakeProject) -> None:
    result = project(f"{SETTINGS}macs = 191\n", normed=NORMED).runpytest()
    result.stdout.fnmatch_lines(["  macs: 192 is over the limit of 191 by 1 *"])


@pytest.mark.parametrize(("counter", "macs"), [("aten", 96), ("thop", 192)])
def test_the_counter_of_the_command_line_goes_before(project: MakeProject, counter: str, macs: int) -> None:
    made = project(f"{SETTINGS}macs = {{ min = {macs}, max = {macs} }}\n", normed=NORMED)
    assert made.runpytest("--modelbudget-counter", counter).ret == 0


def test_a_baseline_remembers_its_counter(project: MakeProject) -> None:
    made = project(f'{SETTINGS}macs = {{ growth = "1%" }}\n', normed=NORMED)
    made.runpytest("--modelbudget-update")
    assert '"counter": "thop"' in (made.path / "budgets" / "net.json").read_text()
    assert made.runpytest().ret == 0
    result = made.runpytest("--modelbudget-counter", "aten")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*budgets/net.json was counted with thop, and this run counts with aten, so growth cannot be *",
            'to compare by aten set counter = "aten" in *, or remove the file; then *: pytest *--modelbudget-update',
        ]
    )


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
@pytest.mark.parametrize("text", ["as recorded", "broken"])
def test_a_counter_of_one_run_replaces_no_file_of_another(
    project: MakeProject, text: str, workers: tuple[str, ...]
) -> None:
    made = project(f"{SETTINGS}params = 56\n", normed=NORMED)
    file = made.path / "budgets" / "net.json"
    made.runpytest("--modelbudget-update")
    if text == "broken":
        file.write_text("<<<<<<< HEAD\n")
    before = file.read_bytes()
    result = made.runpytest("--modelbudget-counter", "aten", "--modelbudget-update", *workers)
    assert result.ret == 1
    reason = "it was counted with thop" if text == "as recorded" else "* holds both sides of a merge conflict"
    result.stdout.fnmatch_lines(
        f"modelbudget: budgets/net.json was not recorded: {reason}, and aten is the counter of this run alone; "
        'set counter = "aten" in [[]tool.modelbudget[]], or remove the file'
    )
    assert file.read_bytes() == before


@pytest.mark.parametrize("way", ["the settings change", "the file is removed", "the file has that counter"])
def test_what_the_refusal_names_is_not_refused(project: MakeProject, way: str) -> None:
    made = project(f"{SETTINGS}params = 56\n", normed=NORMED)
    file = made.path / "budgets" / "net.json"
    made.runpytest("--modelbudget-update")
    if way == "the settings change":
        made.makepyprojecttoml(f"{SETTINGS.replace('thop', 'aten')}params = 56\n")
    elif way == "the file is removed":
        file.unlink()
    else:
        file.write_text(file.read_text().replace('"thop"', '"aten"'))
    assert made.runpytest("--modelbudget-counter", "aten", "--modelbudget-update").ret == 0
    assert '"counter": "aten"' in file.read_text()
    assert '"macs": 96' in file.read_text()


def test_a_broken_ceiling_of_another_counter_is_accepted_without_recording(project: MakeProject) -> None:
    # 4·8 + 8 and 8 + 8 of the norm are 56 parameters.
    made = project(f"{SETTINGS}params = 56\n", normed=NORMED)
    made.runpytest("--modelbudget-update")
    made.makepyprojecttoml(f"{SETTINGS}params = 55\n")
    result = made.runpytest("--modelbudget-counter", "aten")
    result.stdout.fnmatch_lines("accept       change the limit")


def test_a_tool_that_is_not_there_is_an_error_of_the_model(
    project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "pytest_modelbudget.engine.counters.ptflops_", raising=False)
    monkeypatch.setitem(sys.modules, "ptflops", None)
    result = project(f"{PERCEPTRON}macs = 1\n").runpytest("--modelbudget-counter", "ptflops")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("could not measure: *ptflops, which is not installed; pip install *")


def test_what_a_tool_does_not_see_is_no_error(project: MakeProject) -> None:
    module = "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    def forward(self, x): return x @ x.T\n"
    settings = SETTINGS.replace("normed:build", "normed:Net")
    assert project(f"{settings}macs = 0\n", normed=module).runpytest().ret == 0
