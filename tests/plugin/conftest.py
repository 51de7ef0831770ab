"""Projects to run pytest in. torch stays loaded between them: it cannot be imported twice in one process."""

from __future__ import annotations

from typing import Protocol

import pytest
import torchvision  # noqa: F401

import pytest_modelbudget.measure.measuring  # noqa: F401

# A perceptron 4 → 8 → 2: 4·8 + 8 + 8·2 + 2 = 58 parameters, 232 bytes, 4·8 + 8·2 = 48 MACs a row of the batch.
MODELS = """
import torch
from torch import nn


class Perceptron(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, width)
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x)))
"""

PERCEPTRON = """
[tool.modelbudget.models.perceptron]
factory = "models:Perceptron"
inputs = [3, 4]
"""


class MakeProject(Protocol):
    """Writes a project: its pyproject.toml, its tests, and modules by name."""

    def __call__(self, settings: str, tests: str = "", **modules: str) -> pytest.Pytester: ...


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> MakeProject:
    """A function that makes a project with `models.py`."""
    # The one takes a second of each of these runs, the other would shuffle them.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:randomly")
    # These tests may run in CI themselves.
    monkeypatch.delenv("CI", raising=False)

    def make(settings: str, tests: str = "", **modules: str) -> pytest.Pytester:
        pytester.makepyprojecttoml(settings)
        pytester.makepyfile(**{"models": MODELS, **modules})
        if tests:
            pytester.makepyfile(test_it=tests)
        return pytester

    return make
