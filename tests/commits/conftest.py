"""Real repositories: with a ResNet that is widened, deepened, merged, reverted and renamed, commit by commit."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_modelbudget import Profile
from pytest_modelbudget.baseline.store import Baseline, file_name
from tests.networks import recorded as recorded_network
from tests.networks import with_block, with_classes

BLOCK = 1_117_184
"""Parameters of one more block in layer3: 1024·256 + 256·256·9 + 256·1024, and 2·(256 + 256 + 1024) of its norms."""

CLASSES = 2_049_000
"""Parameters of a thousand classes more: 2048 weights and a bias each."""

RESNET50 = 25_557_032
"""torchvision's own table."""


class Repository:
    """A repository in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", ".")

    def git(self, *args: str, folder: Path | None = None) -> str:
        settings = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "protocol.file.allow=always"]
        command = ["git", *settings, *args]
        return subprocess.run(command, cwd=folder or self.folder, check=True, capture_output=True, text=True).stdout

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def commit(self, subject: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        return self.sha()

    def sha(self, reference: str = "HEAD") -> str:
        return self.git("rev-parse", reference).strip()

    def state(self) -> dict[str, str]:
        """Everything that a command could change: each file of the repository and of its worktree, by content."""
        files = [file for file in self.folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
        return {str(file.relative_to(self.folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


MakeRepository = Callable[..., Repository]


@pytest.fixture(autouse=True, scope="session")
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No settings of the user's git, no cache of theirs, and nothing that a service sets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in ("CI", "GITHUB_REF", "CI_MERGE_REQUEST_EVENT_TYPE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An empty one."""
    return Repository(tmp_path / "repository")


def profiles(blocks: int, classes: int, model: str) -> list[Profile]:
    """What the ResNet of a commit costs."""
    found = [with_classes(profile, classes) for profile in recorded_network("resnet50")]
    found = found if blocks == 6 else [with_block(profile) for profile in found]
    return [replace(profile, model=model) for profile in found]


def build_history(folder: Path, module: str, *, record: bool) -> Repository:
    """Seven commits along the first parents, a merged branch among them.

    Args:
        folder: where.
        module: what the module with the model is called.
        record: whether each commit records its baseline, moves the folder of the baselines once, and renames the model.
    """
    made = Repository(folder)
    state = {"blocks": 6, "classes": 1000, "model": "resnet", "baseline": "budgets"}

    def save(**changes: object) -> None:
        state.update(changes)
        made.write(
            f"{module}.py",
            "from torchvision.models.resnet import Bottleneck, ResNet\n\n\ndef build():\n"
            f"    return ResNet(Bottleneck, [3, 4, {state['blocks']}, 3], num_classes={state['classes']})\n",
        )
        made.write(
            "pyproject.toml",
            f'[tool.modelbudget]\nbaseline = "{state["baseline"]}"\n[tool.modelbudget.models.{state["model"]}]\n'
            f'factory = "{module}:build"\ninputs = [1, 3, 64, 64]\nparams = {{ growth = "2%" }}\n'
            f"[tool.modelbudget.models.{state['model']}.cases.hd]\ninputs = [1, 3, 128, 128]\n",
        )
        if record:
            model = str(state["model"])
            costs = profiles(int(str(state["blocks"])), int(str(state["classes"])), model)
            Baseline(made.folder / str(state["baseline"]), "").record(model, costs)

    save()
    made.commit("Add the model")
    save(classes=2000)
    made.commit("Double the classes")
    made.write("notes.md", "notes")
    made.commit("Write notes")
    made.git("checkout", "-q", "-b", "deeper")
    save(blocks=7)
    made.commit("Deepen the third stage")
    made.git("checkout", "-q", "main")
    made.write("notes.md", "more notes")
    made.commit("Write more notes")
    made.git("merge", "-q", "--no-ff", "deeper", "-m", "Merge the deeper model")
    save(classes=1000)
    made.commit("Revert the classes")
    if record:
        made.git("mv", "budgets", "costs")
        save(baseline="costs")
        made.commit("Move the baselines")
        made.git("rm", "-q", f"costs/{file_name('resnet')}")
    save(model="resnet50")
    made.commit("Rename the model")
    return made


@pytest.fixture(scope="session")
def recorded_once(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return build_history(tmp_path_factory.mktemp("recorded") / "repository", "zoo_recorded", record=True)


@pytest.fixture(scope="session")
def unrecorded_once(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return build_history(tmp_path_factory.mktemp("unrecorded") / "repository", "zoo_unrecorded", record=False)


@pytest.fixture
def recorded(recorded_once: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """The history with a baseline at each commit; nothing of it may change."""
    yield from _unchanged(recorded_once, monkeypatch)


@pytest.fixture
def unrecorded(unrecorded_once: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """The same without baselines; nothing of it may change."""
    yield from _unchanged(unrecorded_once, monkeypatch)


def _unchanged(made: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    monkeypatch.chdir(made.folder)
    monkeypatch.setenv("COLUMNS", "140")
    before = made.state()
    yield made
    assert made.state() == before
