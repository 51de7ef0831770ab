"""``pytest --modelbudget-base``: which commit is compared with, and what it cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_modelbudget.commits.base import find_base
from pytest_modelbudget.commits.git import Git
from pytest_modelbudget.errors import GitError
from tests.commits.conftest import Repository

MODEL = """
from torch import nn

def build():
    return nn.Linear(4, {width})
"""
SETTINGS = """
[tool.modelbudget.models.net]
factory = "{module}:build"
inputs = [3, 4]
params = {{ growth = "10%" }}
"""


def gate(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *args]
    surroundings = {**os.environ, "COLUMNS": "120", **env}
    return subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)


def small(made: Repository, width: int, module: str = "net") -> None:
    """A Linear from 4: 5 parameters for each unit of width."""
    made.write(f"{module.replace('.', '/')}.py", MODEL.format(width=width))
    made.write("pyproject.toml", SETTINGS.format(module=module))


@pytest.fixture
def branch(repository: Repository) -> Repository:
    """main with two commits, and a branch from the first of them with a wider model."""
    small(repository, 10)
    repository.commit("Add the model")
    repository.git("checkout", "-q", "-b", "wider")
    small(repository, 12)
    repository.commit("Widen")
    repository.git("checkout", "-q", "main")
    small(repository, 11)
    repository.commit("Widen a little")
    repository.git("checkout", "-q", "wider")
    return repository


# -- which commit


def test_it_is_the_merge_base_and_not_the_tip(branch: Repository) -> None:
    base = find_base(Git(branch.folder), "main")
    assert (base.commit, base.how) == (branch.sha("main~1"), "merge base of main and HEAD")


def test_in_a_merge_of_a_branch_into_main_it_is_what_was_merged_into(branch: Repository) -> None:
    branch.git("checkout", "-q", "--detach", "main")
    branch.git("merge", "-q", "-s", "ours", "--no-ff", "wider", "-m", "Merge")
    assert find_base(Git(branch.folder), "main").commit == branch.sha("HEAD^1")


def test_in_a_merge_that_was_made_to_test_it_is_the_first_parent_though_main_is_behind(branch: Repository) -> None:
    branch.git("branch", "behind", "main~1")
    branch.git("checkout", "-q", "--detach", "main")
    subject = f"Merge {branch.sha('wider')} into {branch.sha('main')}"
    branch.git("merge", "-q", "-s", "ours", "--no-ff", "wider", "-m", subject)
    for reference in ("behind", "not-fetched"):
        assert find_base(Git(branch.folder), reference).commit == branch.sha("HEAD^1")


def test_in_a_branch_that_merged_main_it_is_what_it_merged(branch: Repository) -> None:
    branch.git("merge", "-q", "-s", "ours", "main", "-m", "Merge main")
    assert find_base(Git(branch.folder), "main").commit == branch.sha("main")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere", '"nowhere" is no revision here'),
        ("origin/main", r'"origin/main" is no revision here; fetch it with: git fetch origin main$'),
        ("--help", '"--help" is no revision here'),
        ("alone", "alone and HEAD have no common ancestor"),
    ],
)
def test_a_reference_that_leads_nowhere_is_one_message(branch: Repository, reference: str, message: str) -> None:
    branch.git("checkout", "-q", "--orphan", "alone")
    branch.commit("Alone")
    branch.git("checkout", "-q", "wider")
    with pytest.raises(GitError, match=message):
        find_base(Git(branch.folder), reference)


def test_a_shallow_clone_without_the_base_says_how_to_fetch_it(branch: Repository, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    branch.git("clone", "-q", "--depth", "1", "--no-single-branch", "-b", "wider", branch.folder.as_uri(), str(clone))
    result = gate(clone, "--modelbudget-base", "origin/main")
    assert result.returncode == 4
    assert "origin/main and HEAD have no common ancestor: this clone is shallow" in result.stderr
    assert "git fetch --unshallow" in result.stderr


@pytest.mark.needs_torch
def test_a_shallow_clone_of_a_tested_merge_needs_no_more(branch: Repository, tmp_path: Path) -> None:
    branch.git("checkout", "-q", "-b", "pull", "main")
    subject = f"Merge {branch.sha('wider')} into {branch.sha('main')}"
    branch.git("merge", "-q", "-s", "recursive", "-X", "theirs", "--no-ff", "wider", "-m", subject)
    clone = tmp_path / "clone"
    branch.git("clone", "-q", "--depth", "2", "-b", "pull", branch.folder.as_uri(), str(clone))
    branch.git("checkout", "-q", "--detach", folder=clone)
    result = gate(clone, "--modelbudget-base", "origin/main")
    assert f"modelbudget: compared with {branch.sha('main')[:9]}, the first parent of the merge" in result.stdout
    # 5 · 12 is over 5 · 11 and a tenth of that, which is 60 rounded down.
    assert result.returncode == 0, result.stdout


def test_outside_a_repository_it_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(SETTINGS.format(module="net"))
    result = gate(tmp_path, "--modelbudget-base", "main", GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    assert result.returncode == 4
    assert "--modelbudget-base: git rev-parse: not a git repository" in result.stderr


# -- what it cost


@pytest.mark.needs_torch
def test_a_clone_is_compared_with_what_is_recorded(recorded: Repository, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    recorded.git("clone", "-q", str(recorded.folder), str(clone))
    recorded.git("branch", "-q", "feature", "HEAD", folder=clone)
    recorded.git("checkout", "-q", "feature", folder=clone)
    file = clone / "zoo_recorded.py"
    file.write_text(file.read_text().replace("[3, 4, 7, 3]", "[3, 4, 8, 3]"))
    result = gate(clone, "--modelbudget-base", "origin/main")
    base = recorded.sha()[:9]
    assert result.returncode == 1
    assert f"modelbudget: compared with {base}, the merge base of origin/main and HEAD" in result.stdout
    assert f"What changed since costs/resnet50.json at {base}:" in result.stdout
    told = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "layer3.7 +1,117,184 +17,825,792 added Bottleneck (8 layers)" in told


@pytest.mark.needs_torch
def test_what_is_not_recorded_is_measured_once(branch: Repository, tmp_path: Path) -> None:
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    before = branch.state()
    for _ in range(2):
        result = gate(branch.folder, "--modelbudget-base", "main", **cache)
        assert result.returncode == 1
        # 5 · 12 = 60 parameters over the 50 of main~1 and a tenth of that.
        assert "params: 60 is over the limit of 55" in result.stdout
        assert f"What changed since {branch.sha('main~1')[:9]}, measured:" in result.stdout
        assert "changed Linear: out_features 10 → 12" in result.stdout
    assert branch.state() == before
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 1


@pytest.mark.needs_torch
def test_a_baseline_of_another_counter_is_not_used_but_measured(branch: Repository) -> None:
    branch.git("checkout", "-q", "main~1")
    gate(branch.folder, "--modelbudget-update")
    file = branch.folder / "budgets" / "net.json"
    file.write_text(file.read_text().replace('"aten"', '"thop"'))
    branch.commit("Record with another counter")
    small(branch, 12)
    result = gate(branch.folder, "--modelbudget-base", "HEAD")
    assert "params: 60 is over the limit of 55" in result.stdout
    assert ", measured:" in result.stdout


@pytest.mark.needs_torch
@pytest.mark.parametrize(
    ("module", "folder"), [("net", ""), ("package.net", ""), ("package.net", "src"), ("package.net", "lib")]
)
def test_its_imports_come_from_there(repository: Repository, module: str, folder: str, tmp_path: Path) -> None:
    path = f"{folder}/{module.replace('.', '/')}.py".lstrip("/")
    if "." in module:
        repository.write(f"{folder}/package/__init__.py".lstrip("/"), "")
        repository.write(f"{folder}/package/width.py".lstrip("/"), "WIDTH = 10\n")
        text = MODEL.replace("\ndef", "\nfrom package.width import WIDTH\n\ndef").format(width="WIDTH")
    else:
        text = MODEL.format(width=10)
    repository.write(path, text)
    repository.write("pyproject.toml", SETTINGS.format(module=module))
    repository.commit("Add the model")
    changed = f"{folder}/package/width.py".lstrip("/") if "." in module else path
    repository.write(changed, (repository.folder / changed).read_text().replace("10", "12"))
    # As an editable install puts a folder that is neither the project's nor its src on the path.
    on_path = {"PYTHONPATH": str(repository.folder / folder)} if folder == "lib" else {}
    result = gate(repository.folder, "--modelbudget-base", "HEAD", XDG_CACHE_HOME=str(tmp_path), **on_path)
    assert "params: 60 is over the limit of 55" in result.stdout, result.stdout + result.stderr


@pytest.mark.needs_torch
def test_the_finder_of_an_editable_install_is_redirected(repository: Repository, tmp_path: Path) -> None:
    repository.write("code/package/__init__.py", "")
    repository.write("code/package/net.py", MODEL.format(width=10))
    repository.write("pyproject.toml", SETTINGS.format(module="package.net"))
    repository.commit("Add the model")
    repository.write("code/package/net.py", MODEL.format(width=12))
    site = tmp_path / "site"
    site.mkdir()
    (site / "__editable___package_finder.py").write_text(
        f"import sys, importlib.util\nMAPPING = {{'package': {str(repository.folder / 'code' / 'package')!r}}}\n"
        "class Finder:\n    @classmethod\n    def find_spec(cls, name, path=None, target=None):\n"
        "        if name in MAPPING:\n"
        "            return importlib.util.spec_from_file_location(name, MAPPING[name] + '/__init__.py',\n"
        "                submodule_search_locations=[MAPPING[name]])\n"
        "sys.meta_path.append(Finder)\n"
    )
    (site / "sitecustomize.py").write_text("import __editable___package_finder\n")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    result = gate(repository.folder, "--modelbudget-base", "HEAD", PYTHONPATH=str(site), **cache)
    assert "params: 60 is over the limit of 55" in result.stdout, result.stdout + result.stderr


@pytest.mark.needs_torch
def test_a_revision_that_cannot_be_imported_is_an_error_that_says_so(branch: Repository) -> None:
    branch.git("checkout", "-q", "main")
    branch.write("net.py", "import a_module_that_was_never_there\n")
    branch.commit("Break it")
    small(branch, 12)
    result = gate(branch.folder, "--modelbudget-base", "HEAD")
    assert result.returncode == 1
    short = branch.sha()[:9]
    assert f"could not compare with the baseline: {short} has no budgets/net.json, and it cannot be" in result.stdout
    assert "a_module_that_was_never_there" in result.stdout


@pytest.mark.needs_torch
def test_a_revision_that_ends_its_process_is_an_error_that_says_so(branch: Repository) -> None:
    branch.write("net.py", "import os\nos._exit(7)\n")
    branch.commit("End it")
    small(branch, 12)
    result = gate(branch.folder, "--modelbudget-base", "HEAD")
    assert "its process ended with exit code 7" in result.stdout


@pytest.mark.needs_torch
def test_a_model_that_was_not_there_is_new(repository: Repository) -> None:
    repository.commit("Nothing yet")
    small(repository, 12)
    result = gate(repository.folder, "--modelbudget-base", "HEAD")
    assert result.returncode == 0
    assert "net: new, so growth of params is not checked" in result.stdout


@pytest.mark.needs_torch
def test_a_model_that_the_gate_did_not_know_yet_is_measured(branch: Repository) -> None:
    branch.git("checkout", "-q", "main~1")
    settings = (branch.folder / "pyproject.toml").read_text()
    branch.write("pyproject.toml", "[project]\nname = 'x'\n")
    branch.commit("No gate yet")
    branch.write("pyproject.toml", settings)
    small(branch, 12)
    result = gate(branch.folder, "--modelbudget-base", "HEAD")
    assert "params: 60 is over the limit of 55" in result.stdout


@pytest.mark.needs_torch
def test_a_project_in_a_folder_of_the_repository_is_found(repository: Repository) -> None:
    package = Repository.__new__(Repository)
    package.folder = repository.folder / "packages" / "one"
    small(package, 10)
    repository.commit("Add the model")
    gate(package.folder, "--modelbudget-update")
    repository.commit("Record it")
    small(package, 12)
    result = gate(package.folder, "--modelbudget-base", "HEAD")
    assert f"What changed since budgets/net.json at {repository.sha()[:9]}:" in result.stdout


@pytest.mark.needs_torch
def test_a_submodule_is_taken_as_it_was(repository: Repository, tmp_path: Path) -> None:
    inner = Repository(tmp_path / "inner")
    inner.write("net.py", MODEL.format(width=10))
    inner.commit("Add the model")
    repository.git("submodule", "-q", "add", str(inner.folder), "layers")
    repository.write("pyproject.toml", SETTINGS.format(module="layers.net"))
    repository.commit("Use it")
    (repository.folder / "layers" / "net.py").write_text(MODEL.format(width=12))
    result = gate(repository.folder, "--modelbudget-base", "HEAD", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert "params: 60 is over the limit of 55" in result.stdout, result.stdout


@pytest.mark.needs_torch
def test_a_submodule_whose_commit_is_not_here_is_one_message(repository: Repository, tmp_path: Path) -> None:
    inner = Repository(tmp_path / "inner")
    inner.write("net.py", MODEL.format(width=10))
    inner.commit("Add the model")
    repository.git("submodule", "-q", "add", str(inner.folder), "layers")
    repository.write("pyproject.toml", SETTINGS.format(module="layers.net"))
    repository.git("add", "-A")
    repository.git("update-index", "--cacheinfo", f"160000,{'a' * 40},layers")
    repository.git("commit", "-q", "-m", "Use a commit that is nowhere")
    result = gate(repository.folder, "--modelbudget-base", "HEAD", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert "the submodule layers was at aaaaaaaaa then, and that commit is not here; fetch it with:" in result.stdout


@pytest.mark.needs_torch
def test_workers_compare_with_the_same_commit(branch: Repository) -> None:
    result = gate(branch.folder, "--modelbudget-base", "main", "-n", "2")
    assert "params: 60 is over the limit of 55" in result.stdout
    assert "compared with" in result.stdout


@pytest.mark.needs_torch
def test_it_works_inside_a_hook_of_git(branch: Repository) -> None:
    result = gate(branch.folder, "--modelbudget-base", "main", GIT_DIR=".git", GIT_INDEX_FILE=".git/index.lock")
    assert "params: 60 is over the limit of 55" in result.stdout


@pytest.mark.needs_torch
def test_temporary_files_may_be_inside_the_repository(branch: Repository) -> None:
    (branch.folder / "tmp").mkdir()
    result = gate(branch.folder, "--modelbudget-base", "main", TMPDIR=str(branch.folder / "tmp"))
    assert "params: 60 is over the limit of 55" in result.stdout
    assert list((branch.folder / "tmp").iterdir()) == []


@pytest.mark.needs_torch
def test_a_module_that_comes_from_the_working_tree_is_an_error_wherever_temporary_files_are(branch: Repository) -> None:
    branch.write(
        "net.py", f"import sys\nsys.path.insert(0, {str(branch.folder / 'stray')!r})\nfrom stray import build\n"
    )
    branch.write("stray/stray.py", MODEL.format(width=10))
    branch.commit("Reach for the working tree")
    (branch.folder / "tmp").mkdir()
    result = gate(branch.folder, "--modelbudget-base", "HEAD", TMPDIR=str(branch.folder / "tmp"))
    assert "stray was imported from " in result.stdout


@pytest.mark.needs_torch
def test_an_unwritable_cache_is_done_without(branch: Repository, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = gate(branch.folder, "--modelbudget-base", "main", XDG_CACHE_HOME=str(tmp_path / "file"))
    assert "params: 60 is over the limit of 55" in result.stdout
