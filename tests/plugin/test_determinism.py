"""The same models give the same bytes, wherever, however and however often they are measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.conftest import OTHER_PLUGINS

pytestmark = pytest.mark.needs_torch

MODELS = """
import torch
import torchvision
from torch import nn


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.größe = nn.Linear(8, 2)

    def forward(self, x):
        return self.größe(torch.relu(self.hidden(x)))


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2)
        self.register_buffer("positions", torch.rand(1, 10, 16))

    def forward(self, ids, mask=None):
        return self.encoder(self.embedding(ids) + self.positions, src_key_padding_mask=mask)


class Selecting(nn.Module):
    # Which elements are positive is known on real tensors only.
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(1, 3)
        nn.init.uniform_(self.first.weight)

    def forward(self, x):
        y = self.first(x)
        return self.second(y[y > 1].unsqueeze(1))


class Sliding(nn.Module):
    # Random numbers, and the first operation of a process that loads PyTorch's compiler.
    def forward(self, x):
        return torch.stack([x, torch.nn.functional.dropout(x)]) @ torch.rand(4, 4)


def mobilenet():
    return torchvision.models.mobilenet_v3_small()


def doubled():
    torch.set_default_dtype(torch.float64)
    return nn.Linear(4, 4)
"""

SETTINGS = """\
[tool.modelbudget.limits]
params = { growth = 0 }
size = { growth = 0 }
macs = { growth = 0 }
activations = { growth = 0 }
peak_memory = { growth = 0 }

[tool.modelbudget.models]
sliding = { factory = "models:Sliding", inputs = [3, 4], mode = "train" }
doubled = { factory = "models:doubled", inputs = [3, 4] }
perceptron = { factory = "models:Perceptron", inputs = [3, 4], cases.wide.inputs = [5, 4] }
selecting = { factory = "models:Selecting", inputs = [64, 4] }
mobilenet = { factory = "models:mobilenet", inputs = [1, 3, 64, 64] }

[tool.modelbudget.models.translator]
factory = "models:Translator"
inputs = { ids = { shape = [2, 10], dtype = "int64", high = 50 }, mask = { shape = [2, 10], fill = false } }
mode = "train"
"""

PLUGINS = [f"-pno:{name}" for name in (*OTHER_PLUGINS, "cacheprovider")]
UPDATE = [*PLUGINS, "--modelbudget-update", "--modelbudget-json=report.json"]


class Project:
    """A project whose models were recorded, and what any other run of it is to give."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "models.py").write_text(MODELS, encoding="utf-8")
        (folder / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
        cold, warm = [*PLUGINS, "--modelbudget-update"], UPDATE
        # What the first measurement of a process gives is recorded, and what another one gives is reported.
        self.run("-c", f"import pytest; assert pytest.main({cold}) == 0; raise SystemExit(pytest.main({warm}))")
        self.recorded = self.files()
        self.report = self.last_report()

    def run(self, *arguments: str, cwd: str = ".", **environment: str) -> str:
        """Run Python in the project's folder; gives what it prints."""
        inherited = {key: value for key, value in os.environ.items() if key not in ("CI", "PYTEST_ADDOPTS")}
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder / cwd,
            env=inherited | environment,
            capture_output=True,
            check=False,
        )
        output = (result.stdout + result.stderr).decode(errors="replace")
        assert result.returncode == 0, output
        return output

    def files(self) -> dict[str, tuple[bytes, int]]:
        """The recorded files, each with the time at which it was written."""
        found = (self.folder / "budgets").iterdir()
        return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in sorted(found)}

    def last_report(self) -> bytes:
        file = self.folder / "report.json"
        data = file.read_bytes()
        file.unlink()
        return data


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def assert_same(project: Project) -> None:
    """The last run measured, recorded and reported the very same, and rewrote nothing."""
    assert project.files() == project.recorded
    assert project.last_report() == project.report


def test_what_a_process_has_measured_before_changes_nothing(project: Project) -> None:
    project.run("-m", "pytest", *UPDATE)
    assert_same(project)


@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        (
            {"PYTHONHASHSEED": "1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            ["set_default_dtype(torch.float64)", "manual_seed(7)", "set_num_threads(1)"],
        ),
        (
            {"PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "4", "LC_ALL": "tr_TR.UTF-8"},
            ["set_default_dtype(torch.bfloat16)", "set_default_device('meta')", "use_deterministic_algorithms(True)"],
        ),
    ],
    ids=["ASCII, one thread, float64 and a seed", "Turkish, four threads, bfloat16 and a device"],
)
def test_the_environment_and_what_a_conftest_sets_change_nothing(
    project: Project, environment: dict[str, str], lines: list[str]
) -> None:
    conftest = project.folder / "conftest.py"
    # PyTorch 2.8 cannot import torchvision where a default device is set.
    conftest.write_text("import torch, torchvision\n" + "".join(f"torch.{line}\n" for line in lines), encoding="utf-8")
    try:
        project.run("-m", "pytest", *UPDATE, **environment)
    finally:
        conftest.unlink()
    assert_same(project)


def test_several_processes_change_nothing(project: Project) -> None:
    project.run("-m", "pytest", *UPDATE, "-n", "2")
    assert_same(project)


def test_another_folder_and_umask_change_nothing(project: Project) -> None:
    (project.folder / "sub").mkdir()
    arguments = [*UPDATE[:-1], "--modelbudget-json=../report.json", "../pyproject.toml"]
    project.run("-c", f"import os, pytest; os.umask(0o077); raise SystemExit(pytest.main({arguments}))", cwd="sub")
    report = project.folder / "report.json"
    # Commands are written as they are run from there.
    assert b"../pyproject.toml" in report.read_bytes()
    report.write_bytes(report.read_bytes().replace(b"../pyproject.toml", b"pyproject.toml"))
    assert_same(project)


def test_windows_line_ends_are_no_change(project: Project) -> None:
    files = [project.folder / "pyproject.toml", *(project.folder / "budgets").iterdir()]
    before = {file: file.read_bytes() for file in files}
    try:
        for file, data in before.items():
            file.write_bytes(data.replace(b"\n", b"\r\n"))
        project.run("-m", "pytest", *UPDATE)
        assert {file: file.read_bytes().replace(b"\r\n", b"\n") for file in files} == before
        assert all(b"\r\n" in file.read_bytes() for file in files)
        assert project.last_report() == project.report
    finally:
        for file, data in before.items():
            file.write_bytes(data)
        project.recorded = project.files()
