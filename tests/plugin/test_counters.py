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
            "record it again with: pytest pyproject.toml::net --modelbudget-counter aten --modelbudget-update",
        ]
    )


def test_a_tool_that_is_not_there_is_an_error_of_the_model(
    project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "pytest_modelbudget.measure.counters.ptflops_", raising=False)
    monkeypatch.setitem(sys.modules, "ptflops", None)
    result = project(f"{PERCEPTRON}macs = 1\n").runpytest("--modelbudget-counter", "ptflops")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("could not measure: *ptflops, which is not installed; pip install *")


def test_what_a_tool_does_not_see_is_no_error(project: MakeProject) -> None:
    module = "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    def forward(self, x): return x @ x.T\n"
    settings = SETTINGS.replace("normed:build", "normed:Net")
    assert project(f"{settings}macs = 0\n", normed=module).runpytest().ret == 0
