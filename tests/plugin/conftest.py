"""Projects to run pytest in. torch stays loaded between them: it cannot be imported twice in one process."""

from __future__ import annotations

from typing import Protocol

import pytest

from tests.conftest import HAS_TORCH

if HAS_TORCH:
    import torchvision  # noqa: F401

    import pytest_modelbudget.engine.measuring  # noqa: F401

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

OTHER_PLUGINS = ("hypothesispytest", "anyio", "asyncio", "pytest_cov", "randomly", "rerunfailures", "timeout")


class MakeProject(Protocol):
    """Writes a project: its pyproject.toml, its tests, and modules by name."""

    def __call__(self, settings: str, tests: str = "", **modules: str) -> pytest.Pytester: ...


@pytest.fixture(autouse=True)
def _plain_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of pytest are of pytest and pytest-xdist alone; test_other_plugins.py has the others."""
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in OTHER_PLUGINS))
    # These tests may run in CI themselves.
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def project(pytester: pytest.Pytester) -> MakeProject:
    """A function that makes a project with `models.py`."""

    def make(settings: str, tests: str = "", **modules: str) -> pytest.Pytester:
        pytester.makepyprojecttoml(settings)
        pytester.makepyfile(**{"models": MODELS, **modules})
        if tests:
            pytester.makepyfile(test_it=tests)
        return pytester

    return make
